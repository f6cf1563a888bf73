"""How wide text is on a terminal, and what of it fits."""

from __future__ import annotations

import unicodedata


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: CJK and emoji take two, accents none."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fitted(text: str, width: int) -> str:
    """`text`, cut to so many columns of a terminal (0: not cut)."""
    if not width or (len(text) if text.isascii() else columns(text)) <= width:
        return text
    used, kept = 1, 0
    for char in text:
        used += _width(char)
        if used > width:
            break
        kept += 1
    return text[:kept].rstrip() + "…"
