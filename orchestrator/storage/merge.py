"""Three-way merge by line, so that two edits of one ticket both survive (DESIGN 8.2)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from merge3 import Merge3

_KEY = re.compile(rb"[\w-]+:").match


class _LineMerge(Merge3[bytes]):
    """Merges neighboring lines apart: merge3 alone joins edits of adjacent lines to one conflict.

    Both sides also agree on the place between two lines that each of them edited one for one.
    """

    def find_sync_regions(self) -> list[tuple[int, int, int, int, int, int]]:
        """(base, base end, ours, ours end, theirs, theirs end) of what both sides agree on."""
        ours, theirs = _cuts(self.base, self.a), _cuts(self.base, self.b)
        regions = []
        for at in sorted(ours.keys() & theirs.keys()):
            # before and behind what is inserted here, so that it is a region of its own
            regions += [
                (at, at, one, one, other, other)
                for one, other in zip(ours[at], theirs[at], strict=True)
            ]
        return regions


def _cuts(base: Sequence[bytes], new: Sequence[bytes]) -> dict[int, tuple[int, int]]:
    """Base position → where `new` continues there: before and behind what it inserts."""
    cuts = {0: (0, 0)}
    matcher = difflib.SequenceMatcher(None, base, new, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "insert":
            cuts[i1] = (j1, j2)
            continue
        cuts.setdefault(i1, (j1, j1))
        if i2 - i1 == j2 - j1:
            cuts.update((i1 + k, (j1 + k, j1 + k)) for k in range(1, i2 - i1))
        cuts[i2] = (j2, j2)
    return cuts


def merge_lines(
    base: bytes, ours: bytes, theirs: bytes, yielding: bytes = b"", prefer_theirs: bool = False
) -> tuple[bytes, bool]:
    """Three-way merge by line: the result, and whether no line was changed on both sides.

    Lines changed differently on both sides are taken from `ours`, but from `theirs` if they begin
    with `yielding`, or with `prefer_theirs` if ours are not more than they were. Lines that both
    sides insert at one place are kept, theirs first, and those that one side inserts among lines
    that the other one changed.
    """
    if ours == theirs or theirs == base:
        return ours, True
    if ours == base:
        return theirs, True
    merged: list[bytes] = []
    clean = True
    versions = _whole_lines(base), _whole_lines(ours), _whole_lines(theirs)
    for group in _LineMerge(*versions).merge_groups():
        if group[0] != "conflict":
            merged += group[1]
            continue
        _, old, mine, other = group
        one_line_each = len(mine) == len(other) == 1
        if yielding and one_line_each and all(s[0].startswith(yielding) for s in (mine, other)):
            merged += other
        elif old and (united := _united(old, mine, other, deletes=prefer_theirs)) is not None:
            merged += united
        elif old and not (prefer_theirs and len(mine) > len(old) and not any(map(_KEY, old))):
            merged += other if prefer_theirs else mine
            clean = False
        else:
            # more lines than there were are new ones, whichever of them was changed; a key stands
            # once
            mine = _new(old, mine) if old else mine
            merged += [*_without_common(other, mine), *mine]
    text = b"".join(merged)
    if not ours.endswith((b"\n", b"\r")) and not theirs.endswith((b"\n", b"\r")):
        text = text.removesuffix(b"\n").removesuffix(b"\r")
    heads = [_HEAD.match(version) for version in (ours, theirs, text)]
    if all(map(_is_sound, heads[:2])) and not _is_sound(heads[2]):
        # lines that are right by themselves may be no YAML together
        side, head = (theirs, heads[1]) if prefer_theirs else (ours, heads[0])
        if heads[2] is None or head is None:
            return side, False
        return head.group() + text[heads[2].end() :], False
    return text, clean


_HEAD = re.compile(rb"---[ \t]*\r?\n(?P<keys>.*?^)---[ \t]*\r?(?:\n|\Z)", re.DOTALL | re.MULTILINE)


def _is_sound(head: re.Match[bytes] | None) -> bool:
    """Whether the frontmatter of a text is YAML that has each key once."""
    if head is None:
        return False
    import yaml

    keys = re.findall(rb"^([\w-]+):", head["keys"], re.MULTILINE)
    try:
        loaded = yaml.load(head["keys"], Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return False
    return len(keys) == len(set(keys)) and (loaded is None or isinstance(loaded, dict))


def _whole_lines(data: bytes) -> list[bytes]:
    lines = data.splitlines(keepends=True)
    if lines and not lines[-1].endswith((b"\n", b"\r")):
        lines[-1] += b"\r\n" if b"\r\n" in data else b"\n"
    return lines


def _new(old: Sequence[bytes], ours: Sequence[bytes]) -> list[bytes]:
    """The lines that were not there."""
    codes = difflib.SequenceMatcher(None, old, ours, autojunk=False).get_opcodes()
    return [line for tag, _, _, j1, j2 in codes if tag != "equal" for line in ours[j1:j2]]


def _united(
    old: Sequence[bytes], ours: Sequence[bytes], theirs: Sequence[bytes], *, deletes: bool
) -> list[bytes] | None:
    """Both, where one side only inserts lines among those that the other one changed, or deletes.

    Without `deletes` None where it only deletes: perhaps a line that the other one changed.
    """
    for simple, changed in ((ours, theirs), (theirs, ours)):
        inserted, gone = _inserted(old, simple), set[int]()
        if inserted is None:
            only_deleted = _deleted(old, simple) if deletes else None
            if only_deleted is None:
                continue
            inserted, gone = [[] for _ in range(len(old) + 1)], only_deleted
        new = {line for line in changed if line.strip()}.difference(old)
        united = list[bytes]()
        matcher = difflib.SequenceMatcher(None, old, changed, autojunk=False)
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            for at in range(i1, i2):
                united += (line for line in inserted[at] if line not in new)
                united += [old[at]] if tag == "equal" and at not in gone else []
                if at == i1 and tag == "replace":
                    united += changed[j1:j2]
            united += changed[j1:j2] if tag == "insert" else []
        return [*united, *(line for line in inserted[len(old)] if line not in new)]
    return None


def _inserted(old: Sequence[bytes], new: Sequence[bytes]) -> list[list[bytes]] | None:
    """What is inserted before each of the old lines, and behind the last; None if one is gone."""
    found: list[list[bytes]] = [[]]
    for line in new:
        if len(found) <= len(old) and line == old[len(found) - 1]:
            found.append([])
        else:
            found[-1].append(line)
    return found if len(found) > len(old) else None


def _deleted(old: Sequence[bytes], new: Sequence[bytes]) -> set[int] | None:
    """Which of the old lines are gone; None if there is another one."""
    gone, at = set[int](), 0
    for n, line in enumerate(old):
        if at < len(new) and line == new[at]:
            at += 1
        else:
            gone.add(n)
    return gone if at == len(new) else None


def _without_common(theirs: Sequence[bytes], ours: Sequence[bytes]) -> list[bytes]:
    """Their insertion without the lines that we inserted there as well."""
    matcher = difflib.SequenceMatcher(None, theirs, ours, autojunk=False)
    common = {block.a + k for block in matcher.get_matching_blocks() for k in range(block.size)}
    # a blank line too many does no harm, one too few joins two paragraphs
    return [line for at, line in enumerate(theirs) if at not in common or not line.strip()]
