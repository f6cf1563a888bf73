"""Lists that markdown takes for a paragraph: with marks that it does not know, or with none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

#: marks by family; a list has marks of one
_MARKS = re.compile(
    r"(?:(?P<bullet>[•◦▪▸▹‣⁃∙●○■□➢➤→➔·–—−])[ \t\u00a0]*(?=\S)"
    r"|(?P<circled>[\u2460-\u2473\u2776-\u277f\u278a-\u2793])[ \t]*(?=\S)"
    r"|(?P<square>\[\d{1,3}\][ \t]+)"
    r"|(?P<hash>\#\d{1,3}[.:)]?[ \t]+)"
    r"|(?P<dash>\d{1,3}[ \t]*[-–—][ \t]+)"
    r"|(?P<enclosed>\((?:\d{1,3}|[a-zA-Z]|[ivx]{2,4})\)[ \t]+)"
    r"|(?P<bracket>(?:[a-zA-Z]|[ivx]{2,4})\)[ \t]+)"
    r"|(?P<letter>(?:[a-zA-Z]|[ivx]{2,4})\.[ \t]+)"
    r"|(?P<colon>\d{1,3}[ \t]*:[ \t]+)"
    r"|(?P<id>(?:AC|REQ|CRIT|DOD|TC)[-_ ]?\d{1,3}"
    r"(?:[ \t]?[:)–—]|\.(?!\d)|[ \t]-(?=[ \t])|(?=[ \t]))[ \t]*)(?!\Z))"
)
#: a family whose single line is a list of one: nothing else begins so
_SURE = frozenset({"bullet", "enclosed", "circled"})
#: what no sentence has at the beginning of a line
_BULLETS = frozenset("•◦▪▸▹‣⁃∙●○■□➢➤")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_BOX = re.compile(r"\[[ xX~-]?\][ \t]+")
#: as wide as no page that is wrapped: a break before it is meant
_WIDTH = 60
#: how a line ends that goes on
_GOES_ON = re.compile(
    r"(?:[,:(/&+-]|\b(?:an?|the|of|to|in|on|for|with|and|or|by|from|that|which|whose|is|are|was|be"
    r"|must|shall|should|will|can|may|has|have|not|as|at|if|when|where|than|into|its|no|only|all"
    r"|each|every|unless|until|after|before|while|without|except|but|neither|either|nor|never"
    r"|alternatively|instead|because|since|so|provided|once|else|though|whenever|does|given"
    r"|assuming|writes?|makes?|creates?|says?|shows?|prints?"
    r"|und|oder|der|die|das|ein|eine|mit|von|zu|ist|sind))\Z",
    re.IGNORECASE,
)


def mark_of(line: str) -> tuple[str, str]:
    """(family, rest) of a line with such a mark; ("", line) if it has none."""
    found = _MARKS.match(line.lstrip())
    if found is None:
        return "", line
    family = found.lastgroup or ""
    # two lists of bullets may be nested in one another
    return found["bullet"] or family, line.lstrip()[found.end() :]


def points(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """(index of its first line, text without its mark) of each point of a paragraph's lines.

    The whole paragraph if it is no list. Lines are as written, with the spaces at their ends.
    """
    starts = [0, *_starts(lines)]
    for start, end in pairwise([*starts, len(lines)]):
        first = lines[start]
        family, rest = mark_of(first)
        is_mark = family and (len(starts) > 1 or _is_sure(family))
        parts = [rest if is_mark else first, *lines[start + 1 : end]]
        text = " ".join(part.strip().removesuffix("\\").strip() for part in parts)
        yield start, _BOX.sub("", text, count=1) if is_mark and text[:1] == "[" else text


def with_breaks(lines: Sequence[str]) -> tuple[list[str], list[int]]:
    """Lines broken where HTML breaks them, and the index of the line that each was in."""
    parts = [(part, at) for at, line in enumerate(lines) for part in _broken(line)]
    return [part for part, _ in parts], [at for _, at in parts]


def _broken(line: str) -> list[str]:
    if "<" not in line:
        return [line]
    *broken, last = _BREAK.split(line)
    # a hard break, as markdown writes it
    return [f"{part.rstrip()}  " for part in broken if part.strip()] + [last][: bool(last.strip())]


def is_list(lines: Sequence[str]) -> bool:
    """Whether a paragraph's lines are such a list, if only of one point."""
    return _is_sure(mark_of(lines[0])[0]) or bool(_starts(lines))


def _is_sure(family: str) -> bool:
    return len(family) == 1 or family in _SURE


def _starts(lines: Sequence[str]) -> list[int]:
    """The lines behind the first one that begin another point."""
    families = [mark_of(line)[0] for line in lines]
    marked = next((n for n, family in enumerate(families) if family), None)
    if marked is not None:
        above = lines[marked - 1].rstrip(" *_") if marked else ":"
        if above.endswith(":") or (
            families[marked] in _BULLETS and above.endswith((".", ";", "`"))
        ):
            return [n for n in range(max(marked, 1), len(lines)) if families[n] == families[marked]]
    if any(line.rstrip(" \\*_").endswith(":") for line in lines[:-1]):
        # what is below a colon is part of what it says
        return []
    return list(range(1, len(lines))) if _are_parallel(lines) else []


def _are_parallel(lines: Sequence[str]) -> bool:
    """Whether lines begin alike, and break where they did not have to."""
    said = [line.strip() for line in lines]
    if len({_how_it_begins(line) for line in said}) != 1 or not _how_it_begins(said[0]):
        return False
    return all(" " in line for line in said) and all(
        not _GOES_ON.search(line.rstrip(" \\"))
        and (
            written.endswith(("  ", "\\")) or len(line) + 1 + len(below.split(None, 1)[0]) <= _WIDTH
        )
        for written, (line, below) in zip(lines, pairwise(said), strict=False)
    )


def _how_it_begins(line: str) -> str:
    return line[:1] if line[:1] in ("`", '"', "“", "'", "*", "_") else ""
