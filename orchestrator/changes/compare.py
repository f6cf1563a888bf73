"""Comparing two snapshots: additions, edits, deletions, renames, modes and links."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from orchestrator.changes.entries import ABSENT, Entry
from orchestrator.changes.snapshot import Snapshot, WorkTree

#: lines around a difference
_CONTEXT_LINES = 3
#: bytes; a larger text is not compared line by line
LARGEST_COMPARED = 300_000


@dataclass(frozen=True)
class Change:
    """One path that is not as it was."""

    path: str
    before: Entry
    after: Entry
    #: where a renamed file was
    source: str = ""

    @property
    def kind(self) -> str:
        """added, deleted, renamed, edited, mode (only the executable bit), or link."""
        if self.source:
            return "renamed"
        if not self.before.there:
            return "added"
        if not self.after.there:
            return "deleted"
        if self.before.is_file and self.after.is_file:
            return "mode" if self.before.sha256 == self.after.sha256 else "edited"
        return "link" if "link" in (self.before.kind, self.after.kind) else "replaced"


def compare(tree: WorkTree, before: Snapshot, after: Snapshot) -> list[Change]:
    """What changed from one snapshot to a later one, taken `since` it. Raises GitError."""
    paths = before.entries.keys() | after.entries.keys()
    return compare_entries(tree.entries_at(before, paths), tree.entries_at(after, paths))


def compare_entries(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> list[Change]:
    """The changes between two moments, renames found by equal content."""
    changed = {p: (was, after[p]) for p, was in before.items() if after[p] != was}
    gone: dict[Entry, list[str]] = {}
    for path, (was, now) in sorted(changed.items()):
        if was.there and not now.there:
            gone.setdefault(was, []).append(path)
    found, renamed = [], set[str]()
    for path, (was, now) in sorted(changed.items()):
        if not was.there and (sources := gone.get(now)):
            source = sources.pop(0)
            renamed.add(source)
            found.append(Change(path, was, now, source))
        else:
            found.append(Change(path, was, now))
    return [change for change in found if change.path not in renamed]


def paths_of(changes: Iterable[Change]) -> set[str]:
    """Every path that changed, the sources of renames included."""
    return {p for change in changes for p in (change.path, change.source) if p}


def without_renames(changes: Iterable[Change]) -> Iterator[Change]:
    """The changes with each rename as a deletion and an addition."""
    for change in changes:
        yield Change(change.path, change.before, change.after)
        if change.source:
            yield Change(change.source, change.after, ABSENT)


def shown(path: str) -> str:
    """A path for people: whatever cannot be printed, and a backtick, is escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return re.sub(
        r"[\x00-\x1f\x7f-\x9f`\u2028\u2029\u202a-\u202e\u2066-\u2069]",
        lambda found: found[0].encode("unicode_escape").decode() if found[0] != "`" else r"\x60",
        text,
    )


def unified_diff(before: bytes | None, after: bytes | None) -> list[str] | None:
    """The lines of a unified diff without its head; None for what is not text, or too large."""
    texts = []
    for data in (before, after):
        if data is not None and (b"\0" in data or len(data) > LARGEST_COMPARED):
            return None
        try:
            texts.append((data or b"").decode("utf-8"))
        except UnicodeDecodeError:
            return None
    old, new = (text.split("\n") for text in texts)
    for lines in (old, new):
        if lines[-1]:
            lines.append("\\ No newline at end of file")
        else:
            lines.pop()
    return list(difflib.unified_diff(old, new, lineterm="", n=_CONTEXT_LINES))[2:]
