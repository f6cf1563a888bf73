"""Text that a terminal shows as it is: without control characters, as wide as there is room."""

from __future__ import annotations

import re
import unicodedata

#: control and bidirectional-override characters
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """`text` without characters that could control a terminal; lines and tabs stay."""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: CJK and emoji take two, accents none."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fitted(text: str, width: int) -> str:
    """`text`, cut to so many columns of a terminal (0: not cut)."""
    if not width or columns(text) <= width:
        return text
    used, kept = 1, 0
    for char in text:
        used += _width(char)
        if used > width:
            break
        kept += 1
    return text[:kept].rstrip() + "…"
