"""The family's changed files as a question shows and covers them, with their diffs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.approvals.changed_file import ChangedFile
from orchestrator.changes.compare import Change, shown, unified_diff
from orchestrator.changes.entries import Entry
from orchestrator.family.attempt_files import AGENT, CHECK, COMMITTED, PERSON, UNKNOWN, pack
from orchestrator.family.change_log import ChangeLog
from orchestrator.settings.board import FILE
from orchestrator.settings.config import Settings
from orchestrator.templating import longest_backticks

#: lines of a diff in a ticket, for one file and for all
_SHORT, _SHORT_ALL = 12, 40
#: files whose content is not copied into a ticket: they tend to hold keys
_PRIVATE = (".env", ".pem", ".key", ".p12", ".pfx", "id_rsa", "id_ed25519", ".netrc", ".npmrc")
#: bytes from which on a file is pointed out
_LARGE = 20_000_000


_LOST = (
    "what lay there when the work began is no longer known (.orchestrate/changes was removed or "
    "altered): this list may name what was there before, and without git it may be incomplete"
)


@dataclass(frozen=True)
class FileDiff:
    """A changed file with its unified diff; `lines` is None where there is none to show."""

    file: ChangedFile
    lines: tuple[str, ...] | None

    @property
    def added(self) -> int:
        return sum(line.startswith("+") for line in self.lines or ())

    @property
    def removed(self) -> int:
        return sum(line.startswith("-") for line in self.lines or ())

    @property
    def counts(self) -> str:
        if self.lines is None:
            return "not shown as text"
        if not self.lines:
            return ""
        return f"+{self.added} −{self.removed}"


def list_changed_files(log: ChangeLog, settings: Settings) -> tuple[ChangedFile, ...]:
    """The family's changes since its start, as they are now."""
    touched = log.touched() or {}
    return tuple(
        ChangedFile(
            shown(change.path),
            change.kind,
            (change.before.kind, change.before.sha256),
            (change.after.kind, change.after.sha256),
            shown(change.source),
            _describe_workers(change, touched),
            _warning_about(change.path, settings) or _size_of(log.tree.root / change.path),
        )
        for change in log.family_changes()
    )


def list_notes(log: ChangeLog) -> tuple[str, ...]:
    """What agents did in git besides changing files."""
    begun, records = log.start_record, log.history.records
    since = records[records.index(begun) :] if begun is not None else ()
    found = [
        f"while {record['agent']} worked (stage {record['stage']}, attempt {record['attempt']}): "
        f"{shown(note)}"
        for record in since
        if record["type"] == "changes"
        for note in record["notes"]
    ]
    if log.is_start_lost:
        found.insert(0, _LOST)
    return tuple(dict.fromkeys(found))


def diff_files(log: ChangeLog, files: Sequence[ChangedFile]) -> tuple[FileDiff, ...]:
    """The files with their diffs, from the family's start to now."""
    changes = {shown(c.path): c for c in log.family_changes()} if files else {}
    return tuple(FileDiff(f, _diff(log, f, changes.get(f.path))) for f in files)


def _diff(log: ChangeLog, file: ChangedFile, change: Change | None) -> tuple[str, ...] | None:
    path = change.path if change is not None else file.path
    source = (change.source if change is not None else "") or path
    before = _bytes_before(log, source, Entry(*file.before), bool(file.source))
    after = _bytes_now(log, path) if file.after[0] != "absent" else b""
    if before is None or after is None:
        return None
    lines = unified_diff(before, after)
    return None if lines is None else tuple(lines)


def _bytes_before(log: ChangeLog, path: str, entry: Entry, renamed: bool) -> bytes | None:
    if not entry.there and not renamed:
        return b""
    kept = log.tree.contents.read(entry.sha256) if entry.sha256 else None
    start = log.start
    if kept is None and start is not None:
        kept = log.tree.bytes_at(start, path)
    if kept is None and entry.sha256:
        # a workflow as it was pinned
        file = log.tree.state / "state" / "workflows" / entry.sha256
        kept = file.read_bytes() if file.is_file() else None
    return kept


def _bytes_now(log: ChangeLog, path: str) -> bytes | None:
    entry, place = log.tree.entry(path), log.tree.place(path)
    try:
        if entry.kind == "link":
            return b"-> " + bytes(place.readlink())
        return place.read_bytes() if entry.is_file else None
    except OSError:
        return None


def _describe_workers(
    change: Change, touched: Mapping[str, Mapping[tuple[int, int], Mapping[str, Any]]]
) -> str:
    """Who changed a path, as far as that can be determined."""
    found: list[str] = []
    together: list[str] = []
    for path in (change.path, change.source):
        for record in touched.get(path, {}).values():
            name = pack(path)
            who = set(record["paths"][name][2])
            words = {AGENT: record["agent"], PERSON: "a person"}
            words[CHECK] = "a check, or a person meanwhile"
            text = " and ".join(words[w] for w in words if w in who)
            if COMMITTED in who:
                text = f"a commit or checkout while {record['agent']} worked"
            elif UNKNOWN in who:
                text = f"{record['agent']} or a person, while the conductor was stopped"
            if others := record["shared"].get(name):
                place = f"({record['ticket']}, stage {record['stage']})"
                together += [f"{text} {place}", *others]
            else:
                found.append(text)
    if together:
        names = " or ".join(dict.fromkeys(together))
        found.append(f"{names} (at work together, they cannot be distinguished)")
    return ", ".join(dict.fromkeys(found))


def _warning_about(path: str, settings: Settings) -> str:
    """Why a path matters more than others, or ""."""
    if path.startswith(".git/"):
        return "git's own settings"
    folder = path.partition("/")[0]
    if (
        path == FILE
        or folder == "checks"
        or any(path.startswith(f"{w}/") for w in settings.workflows)
    ):
        return "rules how work is done and judged"
    return ""


def _size_of(file: Path) -> str:
    """How large a file is that git would have for good, or "" for a small one."""
    with contextlib.suppress(OSError):
        size = file.lstat().st_size
        if size >= _LARGE:
            return f"{size / 1e6:,.0f} MB, which the repository keeps for good"
    return ""


# -- as text ---------------------------------------------------------------------------------


def changed_files_block(diffs: Sequence[FileDiff], notes: Sequence[str]) -> str:
    """The block of a question that names every changed file, with the beginning of its diff."""
    if not diffs and not notes:
        return ""
    lines = [f"**Changed files ({len(diffs)})**", ""]
    lines += [f"- {describe_file(diff, code=True)}" for diff in diffs]
    lines += [f"- {' '.join(note.split())}" for note in notes]
    short = list(shorten(diffs))
    if short:
        fence = "`" * max(3, 1 + max(map(longest_backticks, short)))
        lines += ["", f"{fence}diff", *short, fence]
    return "\n".join(lines) + "\n"


def describe_file(diff: FileDiff, *, code: bool = False) -> str:
    """A changed file in a line."""
    file = diff.file
    tick = "`" if code else ""
    by = f"by {file.by}" if file.by else ""
    sha256 = f"sha256 {file.after[1][:12]}" if file.after[1] else ""
    parts = (f"{tick}{file.path}{tick}", _in_words(file), diff.counts, by, sha256)
    return " · ".join(filter(None, parts)) + (f" — {file.warning}" if file.warning else "")


def _in_words(file: ChangedFile) -> str:
    words = {
        "mode": "made executable" if file.after[0] == "executable" else "no longer executable",
        "link": "now a link" if file.after[0] == "link" else "no longer a link",
        "renamed": f"renamed from {file.source}",
    }
    return words.get(file.kind, file.kind)


def shorten(diffs: Sequence[FileDiff]) -> Iterator[str]:
    """The first lines of each diff, as many as a ticket holds.

    The beginning of a long new file says little: it is left to `review`, like all that is cut.
    """
    left, long = _SHORT_ALL, list[str]()
    for diff in diffs:
        name = Path(diff.file.path).name
        if not diff.lines or any(mark in name for mark in _PRIVATE):
            continue
        if diff.file.kind == "added" and len(diff.lines) > _SHORT:
            long.append(f"{diff.file.path} ({len(diff.lines)} lines)")
            continue
        if left <= 2:
            yield "… (`orchestrate review` shows all)"
            return
        yield f"--- {diff.file.path}"
        count = min(_SHORT, left)
        yield from (printable(line) for line in diff.lines[:count])
        if len(diff.lines) > count:
            yield f"… {len(diff.lines) - count} more lines (`orchestrate review` shows all)"
        left -= 2 + min(len(diff.lines), count)
    if long:
        named = ", ".join(long[:3]) + (f" and {len(long) - 3} more" if len(long) > 3 else "")
        yield f"… new: {named} (`orchestrate review` shows all)"


def printable(line: str) -> str:
    """A line of a diff that cannot steer a terminal or break out of its block."""
    text = "".join(c if c == "\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return text if len(text) <= 300 else f"{text[:300]}…"
