"""The marks that git leaves in a file when a merge is not finished."""

from __future__ import annotations

import re
from collections.abc import Sequence

from orchestrator.markdown.frontmatter_parser import bare, lines_of

_BEGIN = re.compile(r"<{7}(?: |\Z)")
_MIDDLE = re.compile(r"={7}\Z")
_END = re.compile(r">{7}(?: |\Z)")


def conflict_line(data: bytes, lines: Sequence[str] | None = None) -> int:
    """The 1-based line of the first mark of an unfinished merge, 0 if there is none.

    Outside of code each mark counts, so that one half of a conflict is seen too. In code, where a
    text may show what a mark looks like, only a whole conflict counts.
    """
    if b"<<<<<<<" not in data and b">>>>>>>" not in data:
        return 0
    from orchestrator.markdown.body import lines_outside_code

    lines = lines_of(data) if lines is None else lines
    for at, line in lines_outside_code(lines):
        if _BEGIN.match(line) or _END.match(line):
            return min(at + 1, _whole_conflict(lines) or at + 1)
    return _whole_conflict(lines)


def _whole_conflict(lines: Sequence[str]) -> int:
    """The line at which a conflict with all its three marks begins, 0 if there is none."""
    begin, middle = 0, False
    for number, line in enumerate(map(bare, lines), 1):
        if _BEGIN.match(line):
            begin, middle = number, False
        elif begin and _MIDDLE.match(line):
            middle = True
        elif middle and _END.match(line):
            return begin
    return 0
