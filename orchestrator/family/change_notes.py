"""What happened in an attempt besides changed files: commits, branches, the index, tickets."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.changes.board_files import is_cache
from orchestrator.changes.compare import shown, unified_diff
from orchestrator.changes.snapshot import Snapshot, WorkTree
from orchestrator.git.listing import new_commits
from orchestrator.storage.atomic import sha256_bytes
from orchestrator.storage.versions import Versions
from orchestrator.storage.written import was_latest

#: said where an agent altered what its changes are compared with
ALTERED = (
    "the record of what lay there before (.orchestrate/changes) was removed or altered meanwhile: "
    "look at every change"
)
#: lines of an edited ticket that are shown, and characters of each
_SHOWN, _WIDTH = 12, 160
#: ignored files that are named
_IGNORED = 10


def describe(tree: WorkTree, before: Snapshot, after: Snapshot) -> Iterator[str]:
    """All that happened besides the changed files, a line for each kind."""
    for part in (_describe_moves, _describe_tickets, _describe_ignored):
        yield from part(tree, before, after)


def _describe_tickets(tree: WorkTree, before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Tickets and other files of the board that somebody other than the conductor wrote."""
    found = []
    for name in sorted({name for name, _ in before.board.items() ^ after.board.items()}):
        was, now = before.board.get(name), after.board.get(name)
        written = Versions(tree.home, name).last()
        if (written is None or sha256_bytes(written) != now) and not _is_own(tree, name, now):
            how = "removed" if now is None else "added" if was is None else "edited"
            found.append(f"{name} ({how}){_describe_edit(tree, name, was, now)}")
    if found:
        yield f"on the board, by the agent or by a person: {', '.join(found)}"


def _is_own(tree: WorkTree, name: str, sha256: str | None) -> bool:
    """Whether the conductor wrote that last under this name: a new ticket."""
    held = tree.contents.read(sha256) if sha256 else None
    return held is not None and was_latest(tree.home / tree.board / name, held)


def _describe_edit(tree: WorkTree, name: str, was: str | None, now: str | None) -> str:
    """The lines of an edit: “-…” and “+…”."""
    before, after = (_bytes_of(tree, name, each) if each else None for each in (was, now))
    if before is None or after is None:
        return ""
    lines = [x for x in unified_diff(before, after) or () if x[:1] in "+-" and x[1:].strip()]
    more = f" and {len(lines) - _SHOWN} more lines" if len(lines) > _SHOWN else ""
    quoted = (line[:_WIDTH].replace("`", "'") for line in lines[:_SHOWN])
    shown = " ".join(f"“{line}”" for line in quoted)
    return f" {shown}{more}" if lines else ""


def _bytes_of(tree: WorkTree, name: str, sha256: str) -> bytes | None:
    """What a file of the board held, None if that is not kept (any more)."""
    held = tree.contents.read(sha256)
    if held is None:
        versions = Versions(tree.home, name).known()
        held = next((each for each in versions if sha256_bytes(each) == sha256), None)
    return held


def _describe_ignored(tree: WorkTree, before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Files below folders that git ignores, written between two snapshots."""
    written: list[str] = []
    more = False
    for folder in sorted(name for name in after.ignored if name.endswith("/")):
        if is_cache(folder.rstrip("/")) or not tree.concerns(folder):
            continue
        for path, changed in tree.times_below(folder.rstrip("/")):
            # unlike the time of a change of content, nobody can set this one
            if before.taken <= changed <= (after.taken or changed):
                more = len(written) == _IGNORED
                if more:
                    break
                written.append(path)
    if written:
        rest = " and more" if more else ""
        yield f"also written, ignored by git: {', '.join(map(shown, written))}{rest}"


def _describe_moves(tree: WorkTree, before: Snapshot, after: Snapshot) -> Iterator[str]:
    """What happened to the repository besides its files."""
    if before.branch != after.branch:
        yield f"HEAD went from {before.branch or 'no branch'} to {after.branch or 'no branch'}"
    commits = new_commits(tree.root, before.head, after.head) if after.by_git else []
    for line in commits:
        yield f"commit {line}"
    if before.head != after.head and not commits and before.branch == after.branch:
        ancestors = new_commits(tree.root, after.head, before.head)
        if ancestors:
            yield f"HEAD went back from {before.head[:10]} to {after.head[:10]}"
    if before.head == after.head:
        names = {*before.index, *after.index}
        staged = sorted(p for p in names if before.index.get(p) != after.index.get(p))
        if staged and (outside := [p for p in staged if tree.concerns(p)]):
            yield f"git's index was changed: {', '.join(outside[:10])}"
