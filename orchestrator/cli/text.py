"""Lines for a terminal: colours only where wanted, and no control characters from tickets."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

_SGR = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
#: control and bidirectional-override characters
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
#: the same, but for the colours that `paint` writes itself
_BUT_COLOURS = re.compile(rf"(?!\x1b\[(?:0|{'|'.join(_SGR.values())})m){_CONTROL.pattern}")
_RESET = "\x1b[0m"
#: verdict → mark and colour
MARKS = {
    "proven": ("✓", "green"),
    "failed": ("✗", "red"),
    "unproven": ("?", "yellow"),
    "pending": ("·", "dim"),
    "not applicable": ("-", "dim"),
    "accepted": ("~", "yellow"),
}


def is_terminal() -> bool:
    """Whether a person looks at stdout."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def coloured() -> bool:
    """Whether to colour: a terminal, and NO_COLOR (https://no-color.org) unset."""
    return is_terminal() and not os.environ.get("NO_COLOR")


def paint(text: str, style: str) -> str:
    """`text` in a style of `_SGR` where colours are on."""
    return f"\x1b[{_SGR[style]}m{text}{_RESET}" if style and coloured() else text


def clean(text: str) -> str:
    """`text` without characters that could steer a terminal; a ticket's colours end with it."""
    if not coloured():
        return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    shown = _BUT_COLOURS.sub("\N{REPLACEMENT CHARACTER}", text)
    ends = shown.rfind("\x1b") == shown.rfind(_RESET)
    return shown if ends else shown + _RESET


def say(text: str = "") -> None:
    """Print one line (or several) in one write: agents side by side report from threads."""
    sys.stdout.write(clean(text) + "\n")
    sys.stdout.flush()


def mark(verdict: str) -> str:
    """The coloured sign of a verdict."""
    sign, style = MARKS.get(verdict, ("?", "yellow"))
    return paint(sign, style)


def say_json(data: Any, *, indent: int | None = 2) -> None:
    """Print JSON; `indent=None` for one line."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=indent, default=str) + "\n")
    sys.stdout.flush()


def terminal_width(used: int) -> int:
    """The columns that are left on a line; 0 (no limit) where no terminal is."""
    return max(20, shutil.get_terminal_size().columns - used) if is_terminal() else 0


def first_line(text: str) -> str:
    """The first line, with a sign where more follow (a check to write, say)."""
    head, _, more = text.strip().partition("\n")
    return f"{head.rstrip(' :')} …" if more else head


def one_line(text: str, width: int = 0) -> str:
    """White space collapsed, cut at `width` (0: whole)."""
    flat = " ".join(text.split())
    return flat if not width or len(flat) <= width else flat[: width - 1].rstrip() + "…"


def counted(number: int, thing: str) -> str:
    """`1 ticket`, `2 tickets`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows as aligned columns; the last column is not padded."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
