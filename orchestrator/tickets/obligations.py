"""Sentences of a ticket that say what must hold, outside of its criteria: told, never judged."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from functools import lru_cache

from orchestrator.markdown.body import (
    LABEL_LEVEL,
    MARK,
    box_text,
    lines_outside_code,
    parse_heading,
    placed_lines,
)
from orchestrator.tickets.criteria import Unread
from orchestrator.tickets.criteria_headings import headings_of

_OBLIGES = re.compile(
    r"(?i)\b(?:must|shall|should)(?:n['’]t)?\b|\b(?:has|have|needs?)\s+to\b|\b(?:is|are)\s+required\s+to\b"
)
#: all of it has one of these
_OBLIGING = ("must", "shall", "should", "has", "have", "need", "required")
#: what is asked, supposed or complained of, and what people do today
_NO_OBLIGATION = re.compile(
    r"""\? | \b(?:I|we|one)\s+(?:\w+\s+)?(?:should|need\s+to)
    | \b(?:must|should)\s+(?:\w+\s+)?have\b
    | \bshould\s+(?:be\s+)?(?:probably|perhaps|maybe|fine|ok|okay|enough|easy|simple|help)\b
    | \b(?:currently|today|right\s+now|at\s+the\s+moment|nowadays|so\s+far|every\s+time)\b
    | \b(?:I|you|people|users?|customers?|we|they)\s+(?:\w+\s+)?(?:has|have|needs?)\s+to\b
    | \b(?:only|just|some(?:body|one)|none|nothing|nobody|no\s+\w+)\s+(?:has|have|needs?)\s+to\b
    | \b(?:no|not|n['’]t|never)\s+(?:have|need)\s+to\b
    | \b(?:whether|why|how|what|if)\b.{0,30}\bshould\b
    | \bas\s+(?:it|they|one)\s+should\b""",
    re.IGNORECASE | re.VERBOSE,
)
_CODE = re.compile(r"`[^`]*`|[\"“][^\"”]*[\"”]")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z*_`])")
_SHOWN = 90


def may_oblige(text: str) -> bool:
    """A look at a text first: whether anything in it says must, shall, should or has to."""
    said = text.casefold()
    return any(word in said for word in _OBLIGING) and _OBLIGES.search(text) is not None


def unread_obligations(
    lines: Sequence[str], start: int, own_headings: tuple[str, ...], read: Iterable[int]
) -> Unread | None:
    """The sentences from line `start` (0-based) on that oblige, and stand below no criteria.

    `read` are the lines (1-based) that are read or reported already. What is below headings such as
    Background or Notes is left out, as it does not have to hold.
    """
    below = frozenset(line - start for line in read)
    found = _unread(tuple(lines[start:]), own_headings, below)
    return found.moved(start) if found else None


@lru_cache(maxsize=64)
def _unread(
    lines: tuple[str, ...], own_headings: tuple[str, ...], read: frozenset[int]
) -> Unread | None:
    found = list(_find(lines, own_headings, read))
    if not found:
        return None
    count = f"{len(found)} sentence{'s' * (len(found) > 1)}"
    why = "outside of the criteria and not judged, though it says what must hold"
    at, said = zip(*found, strict=True)
    return Unread(at, said, count, "", why)


def _find(
    lines: Sequence[str], own_headings: tuple[str, ...], read: Container[int]
) -> list[tuple[int, str]]:
    headings, found = headings_of(own_headings), list[tuple[int, str]]()
    if not may_oblige("".join(lines)):
        return found
    appended = _appended(lines)
    for line in placed_lines(lines):
        text = line.text.strip()
        if not may_oblige(text) or text[:1] in "|<":
            continue
        if line.at + 1 in read or line.at in appended or box_text(text):
            continue
        if any(headings.means_criteria(h) or headings.excludes(h) for h in line.above):
            continue
        for sentence in _SENTENCE.split(text.lstrip("> ")):
            said = _CODE.sub("", sentence)
            if may_oblige(said) and not _NO_OBLIGATION.search(said):
                shown = sentence if len(sentence) <= _SHOWN else f"{sentence[: _SHOWN - 1]}…"
                found.append((line.at + 1, shown))
                break
    return found


def _appended(lines: Sequence[str]) -> set[int]:
    """The lines (0-based) of sections that an agent or the conductor appended."""
    heads = {at: parse_heading(s) for at, s in lines_outside_code(lines)}
    found, level = set[int](), 0
    for at in range(len(lines)):
        head = heads.get(at)
        if head and head[0] <= level:
            level = 0
        if lines[at].strip() == MARK:
            above = heads.get(at - 1)
            level = above[0] if above else LABEL_LEVEL
        if level:
            found.add(at)
    return found
