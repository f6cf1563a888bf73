"""The words of a workflow: file paths, folders and verbs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Flag, auto

from orchestrator.tickets.id_grammar import TICKET_ID

#: a board folder, with the path before it: `_WORK_ORDERS/03_BUILD/`
FOLDER = re.compile(r"(?<![\w.-])(?:[\w.-]+/)*(\d{1,3}(?:\.\d+)?_[A-Z][A-Z_-]*)/?(?![\w])")
AGENT = r"[A-Z][A-Z0-9_-]*[A-Z0-9]"
MARKS = r"[*_`\s]*"

_KNOWN = (
    "bash cfg conf css csv go html ini ipynb java js json jsonl jsx kt lock lua md mjs parquet php "
    "png ps1 py r rb rs scss sh sql sqlite svg tex toml ts tsv tsx txt vue xlsx xml yaml yml"
)
_NAME = r"[\w.@+-]+"
_PATH = re.compile(
    rf"(?:~?/|(?:\.{{1,2}}/)+)?(?:(?:{_NAME}/)+{_NAME}\.[A-Za-z]\w{{0,9}}"
    rf"|{_NAME}\.(?:{_KNOWN.replace(' ', '|')}))"
)
_SPAN = re.compile(
    rf"`([^`\n]+)`|(?<![\w`/:.@-])((?:\.{{1,2}}/)*(?:{_NAME}/)+{_NAME}\.[A-Za-z]\w{{0,5}})(?![\w/])"
)
#: a paragraph's part that is read as instructions
_LONGEST = 20_000
_CODE_SPAN = re.compile(r"`[^`\n]+`")


class VerbKind(Flag):
    """What a verb does to the file or the ticket that follows it."""

    MAKE = auto()
    MAKE_INTO = auto()  # only with "to", "into", "as" before the path
    MOVE = auto()
    USE = auto()


_VERBS = {
    VerbKind.MAKE: "author build create define deliver develop draft emit generate implement "
    "prepare produce provide render supply write add",
    VerbKind.MAKE_INTO: "collect compile dump export extract gather put record save store "
    "transcribe",
    VerbKind.MOVE: "advance file go hand move place promote put return route send shift transfer",
    VerbKind.USE: "append apply approve ask call check compare confirm consult continue copy "
    "delete edit execute fetch find follow import ingest insert inspect keep list load look open "
    "parse paste pick query read remove review run see start take test update upload upsert use "
    "validate verify",
}
#: forms in -s that are as often nouns: they count only behind a word that makes them verbs
_NOUN_FORMS = (
    "authors builds calls checks copies drafts edits exports files imports lists loads looks "
    "moves queries records returns reviews routes runs sees shifts starts stores tests "
    "updates uses"
)
_VERB_FOLLOWS = (
    "and also can finally first it just last may must never next not now or please she he "
    "should shall so then they to that we which who will you don't"
)

_NOUNS, _BEFORE_VERB = frozenset(_NOUN_FORMS.split()), frozenset(_VERB_FOLLOWS.split())


def _forms(base: str) -> dict[str, str]:
    stem = base[:-1] if base.endswith("e") and not base.endswith("ee") else base
    if base in ("run", "put"):
        stem = base + base[-1]
    third = base + "s"
    if base.endswith(("s", "sh", "ch", "x", "o")):
        third = base + "es"
    elif base.endswith("y") and base[-2] not in "aeiou":
        third = base[:-1] + "ies"
    return {base: "base", third: "s", stem + "ing": "ing"}


def _vocabulary() -> dict[str, tuple[str, str, VerbKind]]:
    words: dict[str, tuple[str, str, VerbKind]] = {}
    for kind, bases in _VERBS.items():
        for base in bases.split():
            for form, shape in _forms(base).items():
                known = words.get(form)
                words[form] = (base, shape, kind | known[2] if known else kind)
    return words


_FORMS = _vocabulary()
_WORD = re.compile(r"[A-Za-z][A-Za-z']*")
PARTICIPLES = {
    "authored": "author",
    "built": "build",
    "created": "create",
    "delivered": "deliver",
    "drafted": "draft",
    "generated": "generate",
    "produced": "produce",
    "provided": "provide",
    "supplied": "supply",
    "written": "write",
    "added": "add",
    "prepared": "prepare",
}


@dataclass(frozen=True)
class Verb:
    """A verb in a sentence; `by` is the upper-case name that does it, `negated` by "do not" etc."""

    base: str
    kind: VerbKind
    start: int
    end: int
    by: str = ""
    negated: bool = False


def masked(text: str) -> str:
    """`text` with code spans blanked out, so that words in them are no words of the sentence."""
    return _CODE_SPAN.sub(lambda m: "\ue000" * len(m.group()), text)


def plain(text: str) -> str:
    """`text` without bold, italic and code marks around words."""
    return re.sub(r"(?<!\w)[*_]{1,3}(?=\S)|(?<=\S)[*_]{1,3}(?!\w)|`", "", text).strip()


def unbold(text: str) -> str:
    """`text` without bold marks; code spans stay."""
    return text.replace("**", "").strip()


def sentences(text: str) -> Iterator[str]:
    """The sentences of a paragraph; a full stop inside a code span ends none.

    What follows after 20,000 characters is no instruction and is not looked at.
    """
    text, start = text[:_LONGEST], 0
    for stop in re.finditer(r"(?<=[.!?;])[*_]*\s+(?=[A-Z`*\ue000(])", masked(text)):
        yield text[start : stop.end()].strip()
        start = stop.end()
    if text[start:].strip():
        yield text[start:].strip()


def paths_in(text: str) -> tuple[tuple[int, int, str], ...]:
    """(start, end, path) of every file: in backticks, or bare with folder and extension."""
    found = []
    for span in _SPAN.finditer(text):
        path = (span.group(1) or span.group(2)).strip()
        if _PATH.fullmatch(path):
            found.append((span.start(), span.end(), path.removeprefix("./")))
    return tuple(found)


def is_ticket_file(path: str) -> bool:
    """`_WORK_ORDERS/03_BUILD/WO-231a_Tables.md`: made by a split, never a deliverable."""
    name = path.rsplit("/", 1)[-1]
    return name.endswith(".md") and re.match(rf"(?:{TICKET_ID.pattern})(?=[_.-])", name) is not None


def folders_in(text: str) -> tuple[str, ...]:
    """The numbered board folders that a text names."""
    return tuple(m.group(1) for m in FOLDER.finditer(text))


_DOER = re.compile(
    rf"(?<![\w-])({AGENT})(?:'s job is)?{MARKS}(?:(?:will|shall|must|should|may|can|then|also|to|"
    r"now|first|still|only|not|never)\s+)*$"
)
_NEGATION = re.compile(
    r"(?:\b(?:not|never|without|no longer)|n't)\b[*_]*(?:\s+\w+)?\s*$", re.IGNORECASE
)
_UPPER_WORDS = "ALL AND MUST NEVER NOT ONLY THEN WILL YOU"

_NO_DOERS = frozenset(_UPPER_WORDS.split())


def verbs_in(sentence: str) -> tuple[Verb, ...]:
    """The verbs of a sentence that say what happens to files and tickets."""
    mask = masked(sentence)
    return tuple(v for word in _WORD.finditer(mask) if (v := _verb(mask, word)) is not None)


def _verb(mask: str, word: re.Match[str]) -> Verb | None:
    known = _FORMS.get(word.group().lower())
    if known is None:
        return None
    base, shape, kind = known
    near = mask[max(0, word.start() - 80) : word.start()]
    before = near.rstrip(" *_")
    previous = re.search(r"([\w']+)$", before)
    name = previous.group(1) if previous else ""
    follows = not name or name.lower() in _BEFORE_VERB or (name.isupper() and len(name) > 1)
    if shape == "base" and not follows:
        return None
    if shape == "s" and word.group().lower() in _NOUNS and not follows:
        return None
    doer = _DOER.search(near)
    by = doer.group(1) if doer and doer.group(1) not in _NO_DOERS else ""
    negated = _NEGATION.search(near) is not None
    return Verb(base, kind, word.start(), word.end(), by, negated)
