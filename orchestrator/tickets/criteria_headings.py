"""Which headings of a ticket mean criteria. The words are data: `criteria.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from unicodedata import normalize

_WORDS: dict[str, list[str]] = tomllib.loads(
    files(__package__).joinpath("criteria.toml").read_text(encoding="utf-8")
)
_SIMILAR = re.compile(
    rf"(?<!\w)(?:{'|'.join(_WORDS['similar'])})|{'|'.join(_WORDS['similar_signs'])}", re.IGNORECASE
)
_EMPHASIS = re.compile(r"[*_`]+")
#: so much of a heading or keyword line is looked at (characters)
_LONGEST = 200


class Headings:
    """Tells which headings mean criteria; `own` are those of the workspace, as written."""

    def __init__(self, own: Sequence[str] = ()) -> None:
        spaced = [r"\s+".join(map(re.escape, heading.split())) for heading in own]
        long = "|".join([*spaced, *_WORDS["headings"]])
        short, other = "|".join(_WORDS["short_headings"]), "|".join(_WORDS["not_criteria"])
        lead, remark = r"[\W\d_]*", r"\W*(?:[(\[:—–/&,].*|(?:for|of|to|in|and)\b.*)?\Z"
        few, number = r"(?:[\w-]+\s+){0,3}", r"(?:[ #-]?\d+(?:\.\d+)*)?"
        flags = re.IGNORECASE | re.DOTALL
        self._known = re.compile(rf"{lead}{few}(?:(?:{long})\b|(?:{short}){number}{remark})", flags)
        self._whole = re.compile(rf"{lead}(?:{long}|{short}){number}\W*(?:\(.*\)\W*)?\Z", flags)
        self._other = re.compile(rf"{lead}(?:{other}){remark}", flags)
        self._line = re.compile(rf"[*_]*(?:{long}|{short}){number}[*_]*\s*[:—–][*_]*", flags)

    def means_criteria(self, heading: str) -> bool:
        return self._known.match(_plain(heading)) is not None

    def is_exactly(self, heading: str) -> bool:
        """Whether the heading says nothing else; a ticket's title may speak of criteria."""
        return self._whole.match(_plain(heading)) is not None

    def excludes(self, heading: str) -> bool:
        """Whether what is below the heading does not have to hold."""
        return self._other.match(_plain(heading)) is not None

    def resembles(self, heading: str) -> bool:
        """Whether the heading may mean criteria, in whatever language."""
        return _SIMILAR.search(normalize("NFC", _plain(heading))) is not None

    def after_keyword(self, text: str) -> str | None:
        """`x` of `Done when: x` or `**Done when:** x`; None if the text begins otherwise."""
        found = self._line.match(text[:_LONGEST])
        return text[found.end() :].strip() if found else None


def _plain(heading: str) -> str:
    """A heading without emphasis; what follows after 200 characters is not looked at."""
    return " ".join(_EMPHASIS.sub("", heading[:_LONGEST]).split())


@lru_cache(maxsize=16)
def headings_of(own: tuple[str, ...]) -> Headings:
    """The headings of a workspace."""
    return Headings(own)
