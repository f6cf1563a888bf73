"""Three-way merge by line, so that two edits of one ticket both survive (DESIGN 8.2)."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class _Hunk:
    """Base lines `start:end` become `lines`."""

    start: int
    end: int
    lines: tuple[bytes, ...]

    def touches(self, other: _Hunk) -> bool:
        """Whether both change the same lines, or insert at the same place."""
        same = (self.start, self.end) == (other.start, other.end)
        return same or (self.start < other.end and other.start < self.end)


def merge_lines(
    base: bytes, ours: bytes, theirs: bytes, yielding: bytes = b""
) -> tuple[bytes, bool]:
    """Three-way merge by line: the result, and whether no line was changed on both sides.

    Lines changed differently on both sides are taken from `ours`, but from `theirs` where they
    begin with `yielding`. Lines that both sides insert at one place are kept, theirs first.
    """
    if ours == theirs or theirs == base:
        return ours, True
    if ours == base:
        return theirs, True
    versions = [_whole_lines(data) for data in (base, ours, theirs)]
    mine, other = _hunks(versions[0], versions[1]), _hunks(versions[0], versions[2])
    if yielding:
        mine = [hunk for hunk in mine if not _gives_way(hunk, other, yielding)]
    hunks, clean = _unite(mine, other)
    merged = b"".join(_applied(versions[0], hunks))
    if not ours.endswith((b"\n", b"\r")) and not theirs.endswith((b"\n", b"\r")):
        merged = merged.removesuffix(b"\n").removesuffix(b"\r")
    return merged, clean


def _whole_lines(data: bytes) -> list[bytes]:
    lines = data.splitlines(keepends=True)
    if lines and not lines[-1].endswith((b"\n", b"\r")):
        lines[-1] += b"\r\n" if b"\r\n" in data else b"\n"
    return lines


def _hunks(base: list[bytes], new: list[bytes]) -> list[_Hunk]:
    found: list[_Hunk] = []
    matcher = difflib.SequenceMatcher(None, base, new, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "replace" and i2 - i1 == j2 - j1:
            found += [_Hunk(i1 + k, i1 + k + 1, (new[j1 + k],)) for k in range(i2 - i1)]
        elif tag != "equal":
            found.append(_Hunk(i1, i2, tuple(new[j1:j2])))
    return found


def _unite(ours: list[_Hunk], theirs: list[_Hunk]) -> tuple[list[_Hunk], bool]:
    """All hunks that can stand together, in order of base, and whether none had to give way."""
    kept = [(hunk.start, hunk.end, 1, hunk) for hunk in ours]
    clean = True
    for hunk in theirs:
        rivals = [mine for mine in ours if mine.touches(hunk)]
        if hunk in rivals:
            continue
        if all(_both_insert(mine, hunk) for mine in rivals):
            # theirs first
            kept.append((hunk.start, hunk.end, 0, _without_common(hunk, rivals)))
        else:
            clean = False
    return [hunk for *_, hunk in sorted(kept, key=lambda each: each[:3])], clean


def _gives_way(mine: _Hunk, theirs: list[_Hunk], yielding: bytes) -> bool:
    """Whether both changed one line that is the others' to change."""
    return any(
        mine.touches(hunk)
        and all(len(h.lines) == 1 for h in (mine, hunk))
        and mine.lines[0].startswith(yielding)
        and hunk.lines[0].startswith(yielding)
        for hunk in theirs
    )


def _without_common(hunk: _Hunk, rivals: list[_Hunk]) -> _Hunk:
    """The insertion without the lines that the other side inserted there as well."""
    lines: list[bytes | None] = list(hunk.lines)
    for mine in rivals:
        matcher = difflib.SequenceMatcher(None, lines, list(mine.lines), autojunk=False)
        for block in matcher.get_matching_blocks():
            for at in range(block.a, block.a + block.size):
                # a blank line too many does no harm, one too few joins two paragraphs
                if (lines[at] or b"").strip():
                    lines[at] = None
    return _Hunk(hunk.start, hunk.end, tuple(line for line in lines if line is not None))


def _both_insert(one: _Hunk, other: _Hunk) -> bool:
    return one.start == one.end == other.start == other.end


def _applied(base: list[bytes], hunks: list[_Hunk]) -> Iterator[bytes]:
    at = 0
    for hunk in hunks:
        yield from base[at : hunk.start]
        yield from hunk.lines
        at = hunk.end
    yield from base[at:]
