"""Sections that the conductor writes into a ticket: marked as its own, and folded when done with.

A person may write anywhere in a ticket, also inside such a section. Folding therefore takes away
only lines that the conductor is known to have written there, each as often as it wrote it.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from orchestrator.markdown.body import MARK, lines_outside_code, parse_heading
from orchestrator.markdown.frontmatter_parser import bare, lines_of

#: below this heading of a question a person writes
USER_HEADING = "### USER"
#: headings of this level begin a section
_LEVEL = 2


def marked(markdown: str) -> str:
    """A section with the mark under its heading, and under every other heading of its level.

    A heading of the first level becomes one of the second: whatever a person writes below would
    otherwise belong to it.
    """
    lines = markdown.strip("\r\n").splitlines()
    heads = {
        at: found[0] for at, line in lines_outside_code(lines) if (found := parse_heading(line))
    }
    for at in [at for at, level in heads.items() if level < _LEVEL]:
        lines[at], heads[at] = lines[at].replace("#", "#" * _LEVEL, 1), _LEVEL
    if not heads or min(heads) != 0:
        return "\n".join([MARK, *lines])
    out: list[str] = []
    for at, line in enumerate(lines):
        out.append(line)
        if heads.get(at, _LEVEL + 9) <= heads[0] and lines[at + 1 : at + 2] != [MARK]:
            out.append(MARK)
    return "\n".join(out)


def fold_section(data: bytes, written: str, folded: str) -> bytes:
    """The file with a section that the conductor wrote replaced by a shorter one.

    `written` is the section as it was appended, `folded` what takes its place, with the same first
    line. What a person wrote or changed in the section stays below it, line for line; what stood
    under `### USER` stays under it. Unchanged where the section is not found.
    """
    old = lines_of(data)
    texts = [bare(line).rstrip() for line in old]
    ours = [line.rstrip() for line in written.splitlines() if line.strip()]
    new = [line.rstrip() for line in folded.strip("\n").splitlines()]
    places = [at for at, text in enumerate(texts) if ours and text == ours[0]]
    found = [(start, _match(texts, start, ours)) for start in places]
    start, matched = max(found, key=lambda f: (len(f[1]), f[0]), default=(0, frozenset[int]()))
    if not matched or any(texts[at : at + len(new)] == new for at in places):
        return data
    end = max(matched) + 1
    while end < len(old) and not _begins_section(texts, end, marks=MARK in ours):
        end += 1
    end_of_line = "\r\n" if b"\r\n" in data else "\n"
    kept = _kept_lines(old, texts, (start, end), matched, end_of_line)
    block = [line + end_of_line for line in new]
    if kept:
        block += [end_of_line, *kept]
    if end < len(old):
        block.append(end_of_line)
    lines = [*old[:start], *block, *old[end:]]
    return "".join(lines).encode("utf-8", "surrogateescape")


def _match(texts: Sequence[str], start: int, ours: Sequence[str]) -> frozenset[int]:
    """The lines from `start` on that are the conductor's, up to the next section."""
    end = start + 1
    while end < len(texts) and not _begins_section(texts, end, marks=MARK in ours):
        end += 1
    filled = [at for at in range(start, end) if texts[at]]
    there = [texts[at] for at in filled]
    blocks = difflib.SequenceMatcher(None, there, ours, autojunk=False).get_matching_blocks()
    return frozenset(filled[b.a + k] for b in blocks for k in range(b.size))


def _begins_section(texts: Sequence[str], at: int, *, marks: bool) -> bool:
    """Whether another section of the conductor begins; without marks, any section."""
    heading = parse_heading(texts[at])
    if heading is None or heading[0] > _LEVEL:
        return False
    return not marks or texts[at + 1 : at + 2] == [MARK]


def _kept_lines(
    old: Sequence[str],
    texts: Sequence[str],
    place: tuple[int, int],
    ours: frozenset[int],
    end_of_line: str,
) -> list[str]:
    """A person's lines in the section, under `### USER` what stood there.

    Blank lines between two of them stay; where lines of the conductor were, one does.
    """
    kept: list[str] = []
    blank: list[str] = []
    under_user = False
    for at in range(*place):
        if at in ours:
            blank = [end_of_line] if kept else []
            under_user = under_user or texts[at] == USER_HEADING
        elif not texts[at]:
            joins = at and (at - 1) in ours
            blank += [old[at]] if kept and not joins else []
        else:
            kept += blank
            if under_user:
                kept += [USER_HEADING + end_of_line, end_of_line]
            blank, under_user = [], False
            kept.append(old[at] if old[at].endswith(("\n", "\r")) else old[at] + end_of_line)
    return kept
