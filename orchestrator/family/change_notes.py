"""What happened in an attempt besides changed files: commits, branches, the index, tickets."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.changes.snapshot import Snapshot, WorkTree
from orchestrator.git.listing import new_commits
from orchestrator.storage.atomic import sha256_bytes
from orchestrator.storage.versions import Versions


def describe_tickets(tree: WorkTree, before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Tickets that somebody other than the conductor wrote or removed."""
    found = []
    for name in sorted({*before.board, *after.board}):
        was, now = before.board.get(name), after.board.get(name)
        written = Versions(tree.root, name).last() if was != now else None
        if was != now and (written is None or sha256_bytes(written) != now):
            found.append(
                f"{name} ({'removed' if now is None else 'added' if was is None else 'edited'})"
            )
    if found:
        yield f"on the board, by the agent or by a person: {', '.join(found)}"


def describe_moves(tree: WorkTree, before: Snapshot, after: Snapshot) -> Iterator[str]:
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
