"""The words of a workflow: file paths, folders and verbs. The lists are in `words.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Flag, auto
from importlib.resources import files
from typing import Any

from orchestrator.domain.id_grammar import TICKET_ID


def read_data(file: str) -> dict[str, Any]:
    """The tables of a TOML file of this package."""
    return tomllib.loads(files(__package__).joinpath(file).read_text(encoding="utf-8"))


_WORDS = read_data("words.toml")
_WORDS["phrases"] |= read_data("gates.toml")["phrases"]

#: a board folder, with the path before it: `_WORK_ORDERS/03_BUILD/`
FOLDER = re.compile(r"(?<![\w.-])(?:[\w.-]+/)*(\d{1,3}(?:\.\d+)?_[A-Z][A-Z_-]*)/?(?![\w])")
AGENT = r"[A-Z][A-Z0-9_-]*[A-Z0-9]"
MARKS = r"[*_`\s]*"
_NAME = r"[\w.@+-]+"
_PATH = re.compile(
    rf"(?:~?/|(?:\.{{1,2}}/)+)?(?:(?:{_NAME}/)+{_NAME}\.[A-Za-z]\w{{0,9}}"
    rf"|{_NAME}\.(?:{'|'.join(_WORDS['files']['extensions'].split())}))"
)
_SPAN = re.compile(
    rf"`([^`\n]+)`|(?<![\w`/:.@-])((?:\.{{1,2}}/)*(?:{_NAME}/)+{_NAME}\.[A-Za-z]\w{{0,5}})(?![\w/])"
)
#: so much of a paragraph is read as instructions (characters)
_LONGEST = 20_000


def any_of(name: str) -> str:
    """A pattern for the phrases that `words.toml` has under a name."""
    return f"(?:{'|'.join(_WORDS['phrases'][name])})"


def word_set(name: str) -> frozenset[str]:
    """The words that `words.toml` has under a name of `[cues]`."""
    return frozenset(_WORDS["cues"][name].split())


def can_specify(language: str, path: str) -> bool:
    """Whether a code fence in a language can be the specification of a file."""
    extension = path.rsplit(".", 1)[-1].lower()
    if not language or language == extension:
        return True
    known = _WORDS["fence_languages"]
    if extension in known:
        return language in known[extension]
    return language not in ("sh", *known["sh"])


# -- text ------------------------------------------------------------------------------------


def masked(text: str) -> str:
    """`text` with code spans blanked out, so that the words in them do not count."""
    return re.sub(r"`[^`\n]+`", lambda m: "\ue000" * len(m.group()), text)


def plain(text: str) -> str:
    """`text` without bold, italic and code marks around words."""
    return re.sub(r"(?<!\w)[*_]{1,3}(?=\S)|(?<=\S)[*_]{1,3}(?!\w)|`", "", text).strip()


def sentences(text: str) -> Iterator[str]:
    """The sentences of a paragraph; a full stop inside a code span does not end one.

    What follows after 20,000 characters is not read.
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


# -- verbs -----------------------------------------------------------------------------------


class VerbKind(Flag):
    """What a verb does to the file or the ticket that follows it."""

    MAKE = auto()
    MAKE_INTO = auto()  # only with "to", "into", "as" before the path
    MOVE = auto()
    USE = auto()


@dataclass(frozen=True)
class Verb:
    """A verb in a sentence; `by` is the upper-case name that does it, `negated` by "do not" etc."""

    base: str
    kind: VerbKind
    start: int
    end: int
    by: str = ""
    negated: bool = False


_BEFORE_VERB = frozenset(_WORDS["cues"]["before_verb"].split())
_NOT_AGENTS = word_set("not_agents")
#: participle → base form
PARTICIPLES: dict[str, str] = {}
#: form → base form, kind, whether it counts only behind a word of `_BEFORE_VERB`
_FORMS: dict[str, tuple[str, VerbKind, bool]] = {}
for _name, _verbs in _WORDS["verbs"].items():
    for _base, _listed in _verbs.items():
        _third, _ing, *_participles = _listed.split()
        PARTICIPLES.update(dict.fromkeys(_participles, _base))
        for _form in (_base, _third, _ing):
            _kind = VerbKind[_name.upper()]
            if _form in _FORMS:
                _kind |= _FORMS[_form][1]
            _cued = _form == _base or _form in _WORDS["cues"]["nouns"].split()
            _FORMS[_form] = (_base, _kind, _cued)


def third_persons() -> frozenset[str]:
    """The forms of verbs that say what somebody does: "writes", "builds"."""
    return frozenset(v.split()[0] for verbs in _WORDS["verbs"].values() for v in verbs.values())


_DOER = re.compile(
    rf"(?<![\w-])({AGENT})(?:'s job is)?{MARKS}(?:(?:will|shall|must|should|may|can|then|also|to|"
    r"now|first|still|only|not|never)\s+)*$"
)
_NEGATION = re.compile(
    r"(?:\b(?:not|never|without|no longer)|n't)\b[*_]*(?:\s+\w+)?\s*$", re.IGNORECASE
)


def verbs_in(sentence: str) -> tuple[Verb, ...]:
    """The verbs of a sentence that say what happens to files and tickets."""
    mask, found = masked(sentence), []
    for word in re.finditer(r"[A-Za-z][A-Za-z']*", mask):
        known = _FORMS.get(word.group().lower())
        if known is None:
            continue
        base, kind, needs_cue = known
        near = mask[max(0, word.start() - 80) : word.start()]
        previous = re.search(r"([\w']+)$", near.rstrip(" *_"))
        cue = previous.group(1) if previous else ""
        is_cued = not cue or cue.lower() in _BEFORE_VERB or (cue.isupper() and len(cue) > 1)
        if needs_cue and not is_cued:
            continue
        doer = _DOER.search(near)
        by = doer.group(1) if doer and doer.group(1) not in _NOT_AGENTS else ""
        negated = _NEGATION.search(near) is not None
        found.append(Verb(base, kind, word.start(), word.end(), by, negated))
    return tuple(found)
