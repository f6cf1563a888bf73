"""Which headings of a ticket mean criteria. The words are data: `criteria.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any
from unicodedata import normalize

from orchestrator.markdown.leads import drops, title_turns, turns
from orchestrator.markdown.loose_lists import points

_WORDS: dict[str, Any] = tomllib.loads(
    files(__package__).joinpath("criteria.toml").read_text(encoding="utf-8")
)
#: how they begin: all else in a text is passed over
_FIRST = re.escape("".join(sorted({word[0] for word in _WORDS["similar"]})))
_SIMILAR = re.compile(
    rf"(?<!\w)(?=[{_FIRST}])(?:{'|'.join(_WORDS['similar'])})|{'|'.join(_WORDS['similar_signs'])}",
    re.IGNORECASE,
)
_SCENARIO = re.compile(
    r"(?i)[*_]*(?:scenario\b.{0,200}?)?given\b.{0,2000}?\bwhen\b.{0,2000}?\bthen\b", re.DOTALL
)
_TAGS = r"(?:</?[a-z]\w*\b[^<>]*>|\W)*"
_NONE = re.compile(rf"{_TAGS}(?:none|n/?a|not applicable|tbd)?{_TAGS}\Z", re.IGNORECASE)
#: `some_key` of the frontmatter, as a heading
_KEY_GAPS = (re.compile(r"[\s_-]+"), re.compile(r"[\s_-]+|(?<=[a-z])(?=[A-Z])"))
#: a key of a criterion that only numbers it: `k2`, `AC-1`
_NUMBER = re.compile(r"[A-Za-z]{0,4}[-_]?\d+")
_EMPHASIS = re.compile(r"[*_`]+")
#: of a list below a common word: two words that do not put it off
_SENTENCE = re.compile(r"(?!(?:not|tbd|todo|none|n/a|see)\b)\S+ \S", re.IGNORECASE)
#: so much of a heading or keyword line is looked at (characters)
_LONGEST = 200


class Headings:
    """Tells which headings mean criteria; `own` are those of the workspace, as written."""

    def __init__(self, own: Sequence[str] = ()) -> None:
        spaced = [r"\s+".join(map(re.escape, heading.split())) for heading in own]
        long = "|".join([*spaced, *_WORDS["headings"]])
        short, other = "|".join(_WORDS["short_headings"]), "|".join(_WORDS["not_criteria"])
        alone = "|".join(_WORDS["whole_headings"])
        lead, remark = r"[\W\d_]*", r"\W*(?:[(\[:—–/&,].*|(?:for|of|to|in|and)\b.*)?\Z"
        few, number = r"(?:[\w'’-]+\s+){0,3}", r"(?:[ #-]?\d+(?:\.\d+)*)?"
        flags = re.IGNORECASE | re.DOTALL
        end = r"\W*(?:[(\[:—–].*)?\Z"
        self._known = re.compile(
            rf"{lead}(?:{few}(?:(?:{long})\b|(?:{short}){number}{remark})|(?:{alone}){end})", flags
        )
        said = rf"(?:{long}|{short}|{alone})"
        self._whole = re.compile(rf"{lead}(?:{long}|{short}){number}\W*(?:\(.*\)\W*)?\Z", flags)
        self._common = re.compile(rf"(?:{'|'.join(_WORDS['common_keys'])})\Z", flags)
        self._other = re.compile(rf"{lead}(?:{other}){remark}", flags)
        self._line = re.compile(rf"[*_]*{said}{number}[*_]*\s*[:—–][*_]*", flags)

    def means_criteria(self, heading: str) -> bool:
        return self._known.match(_plain(heading)) is not None

    def is_exactly(self, heading: str) -> bool:
        """Whether the heading says nothing else; a ticket's title may speak of criteria."""
        return self._whole.match(_plain(heading)) is not None

    def is_common(self, heading: str) -> bool:
        """Whether it is a word that means criteria where a list follows: "verification"."""
        return self._common.match(_plain(heading)) is not None

    def excludes(self, heading: str) -> bool:
        """Whether what is below the heading does not have to hold."""
        return self._other.match(_plain(heading)) is not None

    def resembles(self, heading: str) -> bool:
        """Whether the heading may mean criteria, in whatever language."""
        return _SIMILAR.search(normalize("NFC", _plain(heading))) is not None

    @staticmethod
    def resembles_any(body: str) -> bool:
        """Whether a text has any word of a heading that may mean criteria."""
        return _SIMILAR.search(normalize("NFC", body)) is not None

    @staticmethod
    def is_scenario(text: str) -> bool:
        """Whether a text says what holds in the words Given, When, Then."""
        return _SCENARIO.match(text) is not None

    def after_keyword(self, text: str) -> str | None:
        """`x` of `Done when: x` or `**Done when:** x`; None if the text begins otherwise."""
        start = text[:_LONGEST]
        said = ":" in start or "—" in start or "–" in start
        found = self._line.match(start) if said else None
        return text[found.end() :].strip() if found else None


def _plain(heading: str) -> str:
    """A heading without emphasis; what follows after 200 characters is not looked at."""
    heading = heading[:_LONGEST]
    is_plain = "*" not in heading and "_" not in heading and "`" not in heading
    return " ".join((heading if is_plain else _EMPHASIS.sub("", heading)).split())


@lru_cache(maxsize=16)
def headings_of(own: tuple[str, ...]) -> Headings:
    """The headings of a workspace."""
    return Headings(own)


_SAYS = re.compile(rf"(?i)\W*{_WORDS['table']['says']}\W*")
_BESIDE = re.compile(rf"(?i)\W*{_WORDS['table']['beside']}\W*")


def criterion_in_row(head: Sequence[str], cells: Sequence[str]) -> str:
    """What a row of a table says must hold: the cells that are not beside it, as `a | b`.

    "" if no column is known to say it.
    """
    head = [re.sub(r"[*_`]+", "", title) for title in head]
    if not any(map(_SAYS.fullmatch, head)) or len(head) != len(cells):
        return ""
    pairs = [(title, cell) for title, cell in zip(head, cells, strict=True) if cell]
    return " | ".join(
        cell
        for title, cell in pairs
        if drops(cell)
        or (
            (not _BESIDE.fullmatch(title))
            and (title or not re.fullmatch(r"\W*[\w.#-]{0,8}\W*", cell))
        )
    )


def says_nothing(text: str) -> bool:
    """Whether it is "none", "n/a" or a dash."""
    return len(text) < 40 and _NONE.match(text) is not None


def criteria_in_keys(
    meta: Mapping[str, Any], own_headings: tuple[str, ...] = ()
) -> Iterator[tuple[str, str]]:
    """(key, criterion) for each text under a key such as `acceptance_criteria:`."""
    for key, value in meta.items():
        # YAML has keys that are not text
        certain, common = _meaning(str(key), own_headings)
        several = isinstance(value, list) or re.match(r"\s*[-*+] .*\n", str(value)) is not None
        if certain or (common and several):
            for text in _texts_in(value):
                # of a common word the sentences: `verification: [lint, types]` is for a tool
                if not says_nothing(text) and (certain or _SENTENCE.match(text.strip())):
                    yield key, " ".join(text.split())


@lru_cache(maxsize=4096)
def _meaning(key: str, own_headings: tuple[str, ...]) -> tuple[bool, bool]:
    """Whether a key is one for criteria, and whether it is a word that may be."""
    headings = headings_of(own_headings)
    words = [gap.sub(" ", key) for gap in _KEY_GAPS]
    return any(map(headings.is_exactly, words)), any(map(headings.is_common, words))


def _texts_in(value: Any, *, is_item: bool = False) -> Iterator[str]:
    """The criteria of a value: a list, a block of items, or mappings that have an id and a text."""
    # `- AC1: a` is a mapping to YAML, and a text with its label to whoever wrote it
    is_numbered = isinstance(value, Mapping) and all(_NUMBER.fullmatch(str(k)) for k in value)
    if isinstance(value, list):
        yield from _with_leads([text for each in value for text in _texts_in(each, is_item=True)])
    elif is_numbered and not is_item:
        for each in value.values():
            yield from _texts_in(each)
    elif isinstance(value, Mapping):
        said = {str(k): str(v) for k, v in value.items() if not isinstance(v, list | Mapping)}
        for key, nested in value.items():
            if isinstance(nested, list | Mapping):
                yield from (f"{_turn(key)} {text}".strip() for text in _texts_in(nested))
        beside = _WORDS["keys"]["beside"]
        kept = {
            k: v for k, v in said.items() if drops(v) or k.lower() not in beside or len(said) == 1
        }
        if {"given", "then"} <= {k.lower() for k in kept} or len(kept) == 1 == len(value):
            mark = ":" if len(value) == 1 else ""
            yield " ".join(f"{_turn(k) or f'{k}{mark}'} {v}" for k, v in kept.items())
            return
        known = _WORDS["keys"]["proof"]
        proofs = [v for k, v in kept.items() if k.lower() in known and len(kept) > 1]
        texts = [v for k, v in kept.items() if v not in proofs]
        yield " | ".join(texts) + "".join(f" — `{proof.strip('`')}`" for proof in proofs)
    elif isinstance(value, str):
        items = re.split(r"(?m)^[ \t]*(?:[-*+]|\d{1,3}[.)])[ \t]+(?:\[[ xX]?\][ \t]*)?", value)
        if len(items) > 2:
            parts = [" ".join(item.split()) for item in items]
        else:
            # the line ends of a block are its writer's
            paragraphs = re.split(r"\n[ \t]*\n", value.strip("\n"))
            parts = [text for each in paragraphs for _, text in points(each.split("\n"))]
        yield from _with_leads(parts)


def _turn(key: object) -> str:
    """A key such as `none_of` as a line above points, where it changes what they say."""
    words = next((w for gap in _KEY_GAPS if title_turns(w := gap.sub(" ", str(key)))), "")
    return words and f"{words}:"


def _with_leads(said: Sequence[str]) -> Iterator[str]:
    """Texts with the one above that changes what they say; alone where none follows it."""
    lead = ""
    for at, text in enumerate(said):
        if turns(text):
            lead = text
            if at + 1 == len(said):
                yield text
        elif text:
            lead = "" if text.endswith(":") else lead
            yield f"{lead} {text}".strip()
