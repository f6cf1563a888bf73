"""Which tickets a sentence moves, reads or makes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.domain.id_grammar import TICKET_ID, ids_in
from orchestrator.domain.workflow import ChildSpec
from orchestrator.workflow_reader.vocabulary import (
    AGENT,
    FOLDER,
    MARKS,
    VerbKind,
    any_of,
    masked,
    plain,
    sentences,
    verbs_in,
)


class Whom(StrEnum):
    """The tickets that a move without ids means."""

    #: "both children"
    CHILDREN = "children"
    #: "both tickets", "your work order": those that the stage works on
    OWN = "own"
    #: "the parent"
    PARENT = "parent"
    #: "it", "them": as in the move before
    BEFORE = "before"


@dataclass(frozen=True)
class NamedMove:
    """A ticket's move as worded: `ids` or, without any, whom the words mean."""

    ids: tuple[str, ...]
    whom: Whom | None
    folder: str
    owner: str


_WHOM = {
    Whom.CHILDREN: r"\b(?:both|all|the) (?:children|child tickets|sub-?tickets)\b",
    Whom.OWN: r"\b(?:both|all|the|this|your|its|each)(?: of the)? (?:work orders?|tickets?)\b",
    Whom.PARENT: r"\bthe parent(?: ticket)?\b",
    Whom.BEFORE: r"\b(?:it|them)\b",
}
#: a folder without its number, in backticks: `BUILD`
_BARE_FOLDER = re.compile(r"`(?:[\w.-]+/)*([A-Z][A-Z_-]+)/?`")
_TO_FOLDER = re.compile(
    rf"(?:\b(?:to|into|in|under|folder)|→|->|\(){MARKS}(?:the\s+)?(?:folder\s+)?{MARKS}$",
    re.IGNORECASE,
)
_OWNER = re.compile(
    rf"\bowner{MARKS}[:=]?{MARKS}({AGENT})|\b(?:for|owned by|assigned to)\s+{MARKS}({AGENT})\b"
)


def moves_in(text: str) -> Iterator[NamedMove]:
    """The moves that a paragraph or a list item asks for."""
    for sentence in sentences(text):
        yield from _moves_in_sentence(sentence)


def _moves_in_sentence(sentence: str) -> Iterator[NamedMove]:
    verbs = verbs_in(sentence)
    folders = list(FOLDER.finditer(sentence))
    taken = {at for m in folders for at in range(m.start() - 1, m.end() + 1)}
    folders += [m for m in _BARE_FOLDER.finditer(sentence) if m.start() not in taken]
    folders.sort(key=lambda m: m.span())
    done, before = 0, NamedMove((), Whom.OWN, "", "")
    for index, folder in enumerate(folders):
        verb = next((v for v in reversed(verbs) if v.end <= folder.start()), None)
        region = sentence[done : folder.start()]
        ids: tuple[str, ...] = ids_in(region)
        whom = None
        if not ids:
            words = masked(region)
            named = (w for w, p in _WHOM.items() if re.search(p, words, re.IGNORECASE))
            whom = next(named, Whom.BEFORE)
            if whom is Whom.BEFORE:
                ids, whom = before.ids, before.whom
        end = folders[index + 1].start() if index + 1 < len(folders) else len(sentence)
        # an owner belongs to this move up to the next ticket or the next thing to do
        stops = [m.start() for m in TICKET_ID.finditer(sentence, folder.end(), end)]
        stops += [
            v.start
            for v in verbs
            if folder.end() <= v.start < end and v.kind & (VerbKind.MOVE | VerbKind.MAKE)
        ]
        owner = _OWNER.search(sentence[folder.end() : min(stops, default=end)])
        if owner is None and (last := list(TICKET_ID.finditer(region))):
            owner = _OWNER.search(region[last[-1].end() :])
        move = NamedMove(ids, whom, folder.group(1), (owner[1] or owner[2]) if owner else "")
        done, before = folder.end(), move
        if verb is None or verb.negated or not _TO_FOLDER.search(region):
            continue
        opened = verb.base == "open" and bool(move.owner)
        made = bool(ids) and (VerbKind.MAKE in verb.kind or opened)
        if made or VerbKind.MOVE in verb.kind:
            yield move


def worked_on(text: str) -> tuple[str, ...]:
    """The tickets that a sentence tells somebody to read, review or move."""
    found: list[str] = []
    for sentence in sentences(text):
        verbs = verbs_in(sentence)
        for match in TICKET_ID.finditer(sentence):
            verb = next((v for v in reversed(verbs) if v.end <= match.start()), None)
            if verb and not verb.negated and verb.kind & (VerbKind.USE | VerbKind.MOVE):
                found.append(match.group())
    return tuple(dict.fromkeys(found))


_ID = rf"(?P<id>{TICKET_ID.pattern})"
_TITLE = r"(?:\s*\((?P<paren>(?:[^()]|\([^()]*\))*)\)|\s*[:,—–-]\s*(?P<rest>[^*\n]+))?"
_ARROW = re.compile(
    rf"{_ID}{MARKS}(?:→|⇒|➜|➔|->|=>|-->|—>){MARKS}(?P<agent>{AGENT})\b[*_`]*{_TITLE}"
)
_LOOSE = re.compile(
    rf"{MARKS}{_ID}{MARKS}(?:[—–:-]|is for|for|goes to|to|assigned to|owned by){MARKS}"
    rf"(?P<agent>{AGENT})\b[*_`]*{_TITLE}"
)
_REVERSED = re.compile(
    rf"{MARKS}(?P<agent>{AGENT}){MARKS}(?:[—–:←-]|<-|gets|takes|receives){MARKS}{_ID}[*_`]*{_TITLE}"
)
_SPLIT = re.compile(rf"\b{any_of('split')}\b", re.IGNORECASE)


def mentions_split(text: str) -> bool:
    """Whether the text is about splitting a ticket."""
    return _SPLIT.search(text) is not None


def children_in(text: str, line: int, *, splitting: bool) -> list[ChildSpec]:
    """The children that a text routes; looser wordings count only below a line about a split."""
    found = list(_ARROW.finditer(text))
    if not found and splitting:
        one = _LOOSE.match(text) or _REVERSED.match(text)
        found = [one] if one else []
    return [
        ChildSpec(m["id"], m["agent"], plain(m["paren"] or m["rest"] or "").rstrip("."), line)
        for m in found
    ]
