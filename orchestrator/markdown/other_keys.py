"""Keys at the top of a file that are not YAML between `---`: told, never read, never written to."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: how they open: `+++` (TOML), `;;;` or `{` (JSON), a block of code, a comment, another rule
_FENCE = re.compile(r"\s*(?:(?P<mark>([^\w\s#>|\[\](])\2{2,})[ \t]*\w*[ \t]*|<!--.*|\{.*)\Z")
#: what opens nothing but keys → their format, and what a key is there
_FORMATS = {"+": "TOML", ";": "JSON", "{": "JSON"}
_ANY_KEY = re.compile(r"""[\s{,-]*(?:\w[\w.-]*[ \t]*=|["']\w[^"']*["'][ \t]*:)""")
_TICKET_KEY = re.compile(
    r"""[\s{,-]*["'`]?(?:id|wo|(?:ticket|task|work_order)_?id|status|state|owner|assigned_?to"""
    r"""|assignee|parent|depends_?on|blocked_?by)["'`]?[ \t]*[:=]\s*[^\s=]""",
    re.IGNORECASE,
)
_LINE = re.compile(r"\w[\w .-]*[:=](?:\s|\Z)")
#: how many lines are looked at, and how much of one a message shows
_AHEAD, _SHOWN = 200, 60


def find_other_keys(lines: Sequence[str], first: int) -> tuple[str, int, str] | None:
    """What is wrong, its line (1-based) and a hint, if such keys begin at `first` (0-based)."""
    opening = lines[first].lstrip("\ufeff").rstrip()
    fence = _FENCE.match(opening)
    form = _FORMATS.get(opening.lstrip()[:1], "") if fence else ""
    key = _ANY_KEY if form else _TICKET_KEY
    start = first + 1 if fence and "{" not in opening else first
    for at in range(start, min(len(lines), first + _AHEAD)):
        line = lines[at].lstrip("\ufeff").rstrip()
        if key.match(line):
            where = f"in {form}" if form else "without `---` lines"
            if fence and not form:
                where = f"below “{opening.strip()[:20]}”"
            message = f"keys {where} are not read: `{line.strip()[:_SHOWN]}`"
            hint = "write them as `key: value`, between two lines `---` at the top of the file"
            return message, at + 1, hint
        ends = line.strip() == fence["mark"] if fence else not _LINE.match(line)
        if ends or not (line or form):
            break
    return None
