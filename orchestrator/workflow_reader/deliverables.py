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
    any_of,
    masked,
    paths_in,
    sentences,
    verbs_in,
)


@dataclass(frozen=True)
class NamedFile:
    """A file that a sentence says somebody makes. `by` is empty where no name is before it."""

    path: str
    verb: str
    by: str


_PASSIVE = re.compile(
    r"[\s,]*(?:which\s+)?(?:is|are|gets|has to be|have to be|(?:must|shall|should|will) be)"
    rf"\s+(?:then\s+)?({'|'.join(PARTICIPLES)})\b(?:[^.;]*?\bby\s+{MARKS}({AGENT}))?"
)
_FROM_AGENT = re.compile(rf"[\s,]*\(?(?:from|by)\s+{MARKS}({AGENT})\b")
_NEEDS = re.compile(rf"\b{any_of('needs_file')}\b", re.IGNORECASE)
_NOT_MADE = re.compile(
    rf"\b{any_of('not_made')}\s+(?:{any_of('not_made_filler')}\s+)*$", re.IGNORECASE
)
_INTO = re.compile(r"\b(?:to|into|as|in|under)\s+(?:(?:a|an|the|file|new)\s+)*$", re.IGNORECASE)
_LIST_SEPARATOR = re.compile(r"(?:[\s,&+/]|\band\b|\bor\b|\bthe\b|\bthen\b)*")
_HEADED = re.compile(rf"{any_of('heads_file')}s?\s*#?[\w.]{{0,4}}\s*[:.)—–-]+\s*", re.IGNORECASE)


def files_made(text: str) -> Iterator[NamedFile]:
    """The files that a paragraph or a list item says are made, with who makes them."""
    for sentence in sentences(text):
        mask, verbs = masked(sentence), verbs_in(sentence)
        before_end, last = 0, None
        for start, end, path in paths_in(sentence):
            in_list = before_end and _LIST_SEPARATOR.fullmatch(mask[before_end:start])
            named = _made_in_passive(sentence, path, end)
            if named is None:
                named = last if in_list else _made_by_verb(mask, verbs, path, start)
            before_end, last = end, named
            if named is not None:
                yield NamedFile(path, named.verb, named.by)


def _made_in_passive(sentence: str, path: str, end: int) -> NamedFile | None:
    passive = _PASSIVE.match(sentence, end)
    if passive:
        return NamedFile(path, PARTICIPLES[passive.group(1)], passive.group(2) or "")
    provider = _FROM_AGENT.match(sentence, end)
    if provider and _NEEDS.search(sentence[:end]):
        return NamedFile(path, "provide", provider.group(1))
    return None


def _made_by_verb(mask: str, verbs: tuple[Verb, ...], path: str, start: int) -> NamedFile | None:
    verb = next((v for v in reversed(verbs) if v.end <= start), None)
    if verb is None or verb.negated:
        return None
    near = mask[verb.end : start][-80:]
    made = VerbKind.MAKE in verb.kind and not _NOT_MADE.search(near)
    made_into = VerbKind.MAKE_INTO in verb.kind and _INTO.search(near)
    return NamedFile(path, verb.base, verb.by) if made or made_into else None


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
