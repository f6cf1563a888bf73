"""Which files a sentence says are made, and by whom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.workflow_reader.vocabulary import (
    AGENT,
    MARKS,
    PARTICIPLES,
    Verb,
    VerbKind,
    masked,
    paths_in,
    sentences,
    verbs_in,
)


@dataclass(frozen=True)
class NamedFile:
    """A file that a sentence says somebody makes. `by` is empty where no name stands before it."""

    path: str
    verb: str
    by: str


_PASSIVE = re.compile(
    r"[\s,]*(?:which\s+)?(?:is|are|gets|has to be|have to be|(?:must|shall|should|will) be)"
    rf"\s+(?:then\s+)?({'|'.join(PARTICIPLES)})\b(?:[^.;]*?\bby\s+{MARKS}({AGENT}))?"
)
_FROM_DOER = re.compile(rf"[\s,]*\(?(?:from|by)\s+{MARKS}({AGENT})\b")
_NEEDS = re.compile(
    r"\b(?:needs?|requires?|expects?|awaits?|waits? for|depends? on)\b", re.IGNORECASE
)
_NOT_MADE = re.compile(
    r"\b(?:against|alongside|after|before|beside|by|for|from|imports?|like|matching|of|per|see|than|"
    r"through|using|via|with)\s+(?:(?:a|an|the|this|that|its|our|your|existing|new|file|files|script|"
    r"table|module|schema|columns?|data|rows)\s+)*$",
    re.IGNORECASE,
)
_INTO = re.compile(r"\b(?:to|into|as|in|under)\s+(?:(?:a|an|the|file|new)\s+)*$", re.IGNORECASE)
_COORDINATE = re.compile(r"(?:[\s,&+/]|\band\b|\bor\b|\bthe\b|\bthen\b)*")


def files_made(text: str) -> tuple[NamedFile, ...]:
    """The files that a paragraph or a list item says are made, with who makes them."""
    return tuple(named for sentence in sentences(text) for named in _files_of(sentence))


def _files_of(sentence: str) -> Iterator[NamedFile]:
    mask, verbs = masked(sentence), verbs_in(sentence)
    before_end, last = 0, None
    for start, end, path in paths_in(sentence):
        joined = before_end and _COORDINATE.fullmatch(mask[before_end:start])
        named = _passive(sentence, path, end)
        if named is None:
            named = last if joined else _active(mask, verbs, path, start)
        before_end, last = end, named
        if named is not None:
            yield NamedFile(path, named.verb, named.by)


def _passive(sentence: str, path: str, end: int) -> NamedFile | None:
    rest = sentence[end:]
    passive = _PASSIVE.match(rest)
    if passive:
        return NamedFile(path, PARTICIPLES[passive.group(1)], passive.group(2) or "")
    giver = _FROM_DOER.match(rest)
    if giver and _NEEDS.search(sentence[:end]):
        return NamedFile(path, "provide", giver.group(1))
    return None


def _active(mask: str, verbs: tuple[Verb, ...], path: str, start: int) -> NamedFile | None:
    verb = next((v for v in reversed(verbs) if v.end <= start), None)
    if verb is None or verb.negated:
        return None
    between = mask[verb.end : start]
    if VerbKind.MAKE in verb.kind and not _NOT_MADE.search(between[-80:]):
        return NamedFile(path, verb.base, verb.by)
    if VerbKind.MAKE_INTO in verb.kind and _INTO.search(between[-80:]):
        return NamedFile(path, verb.base, verb.by)
    return None


_HEADED = re.compile(
    r"(?:(?:part|deliverable|output|artifact|artefact|file|task)s?\s*#?[\w.]{0,4}\s*[:.)—–-]+\s*)",
    re.IGNORECASE,
)


def file_headed(text: str, *, bare: bool = False) -> NamedFile | None:
    """The file that a heading names: ``Deliverable 1: `path` ``; with `bare` also just the path."""
    prefix = _HEADED.match(text)
    if prefix is None and not bare:
        return None
    at = prefix.end() if prefix else 0
    for start, _, path in paths_in(text):
        if not text[at:start].strip(" *_["):
            return NamedFile(path, "deliver", "")
    return None
