"""Which tickets a sentence moves, reads or makes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.tickets.id_grammar import TICKET_ID, ids_in
from orchestrator.workflow_reader.vocabulary import (
    AGENT,
    FOLDER,
    MARKS,
    Verb,
    VerbKind,
    masked,
    plain,
    sentences,
    verbs_in,
)


@dataclass(frozen=True)
class NamedMove:
    """A ticket's move as worded: `ids` or, without any, whom the words mean (`own` …)."""

    ids: tuple[str, ...]
    whom: str
    folder: str
    owner: str


_WHOM = (
    (
        "children",
        re.compile(r"\b(?:both|all|the) (?:children|child tickets|sub-?tickets)\b", re.IGNORECASE),
    ),
    (
        "own",
        re.compile(
            r"\b(?:both|all|the|this|your|its|each)(?: of the)? (?:work orders?|tickets?)\b",
            re.IGNORECASE,
        ),
    ),
    ("parent", re.compile(r"\bthe parent(?: ticket)?\b", re.IGNORECASE)),
    ("before", re.compile(r"\b(?:it|them)\b", re.IGNORECASE)),
)
#: a folder without its number, in backticks: `BUILD`
_BARE_FOLDER = re.compile(r"`(?:[\w.-]+/)*([A-Z][A-Z_-]+)/?`")
_TO_FOLDER = re.compile(
    rf"(?:\b(?:to|into|in|under|folder)|→|->|\(){MARKS}(?:the\s+)?(?:folder\s+)?{MARKS}$",
    re.IGNORECASE,
)
_OWNER = re.compile(
    rf"\bowner{MARKS}[:=]?{MARKS}({AGENT})|\b(?:for|owned by|assigned to)\s+{MARKS}({AGENT})\b"
)


def moves_in(text: str) -> tuple[NamedMove, ...]:
    """The moves that a paragraph or a list item asks for."""
    return tuple(move for sentence in sentences(text) for move in _moves_of(sentence))


def _folder_spans(sentence: str) -> list[tuple[int, int, str]]:
    spans = [(m.start(), m.end(), m.group(1)) for m in FOLDER.finditer(sentence)]
    taken = {s for start, end, _ in spans for s in range(start - 1, end + 1)}
    for m in _BARE_FOLDER.finditer(sentence):
        if m.start() not in taken:
            spans.append((m.start(), m.end(), m.group(1)))
    return sorted(spans)


def _moves_of(sentence: str) -> Iterator[NamedMove]:
    verbs, spans = verbs_in(sentence), _folder_spans(sentence)
    done, carried = 0, NamedMove((), "own", "", "")
    for index, (start, end, folder) in enumerate(spans):
        verb = next((v for v in reversed(verbs) if v.end <= start), None)
        region = sentence[done:start]
        ids, whom = _movers(region, carried)
        following = spans[index + 1][0] if index + 1 < len(spans) else len(sentence)
        owner = _owner(region, sentence[end:following], verbs, end)
        move = NamedMove(ids, whom, folder, owner)
        done, carried = end, move
        if verb is not None and _moves(verb, move) and _TO_FOLDER.search(region):
            yield move


def _moves(verb: Verb, move: NamedMove) -> bool:
    if verb.negated:
        return False
    made = bool(move.ids) and (
        VerbKind.MAKE in verb.kind or (verb.base == "open" and bool(move.owner))
    )
    return made or VerbKind.MOVE in verb.kind


def _movers(region: str, carried: NamedMove) -> tuple[tuple[str, ...], str]:
    ids = ids_in(region)
    if ids:
        return ids, ""
    for whom, words in _WHOM:
        if words.search(masked(region)):
            return (carried.ids, carried.whom) if whom == "before" else ((), whom)
    return carried.ids, carried.whom


def _owner(region: str, rest: str, verbs: tuple[Verb, ...], end: int) -> str:
    stops = [m.start() for m in TICKET_ID.finditer(rest)]
    stops += [
        v.start - end for v in verbs if v.start >= end and v.kind & (VerbKind.MOVE | VerbKind.MAKE)
    ]
    after = _OWNER.search(rest[: min(stops, default=len(rest))])
    last = list(TICKET_ID.finditer(region))
    before = _OWNER.search(region[last[-1].end() :]) if last else None
    found = after or before
    return (found.group(1) or found.group(2)) if found else ""


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


@dataclass(frozen=True)
class NamedChild:
    """A child ticket, the agent that it goes to, and what it is for."""

    id: str
    agent: str
    title: str


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
SPLIT = re.compile(
    r"\bsplit(?:s|ting)?\b|\bchild(?:ren)?\b|\bsub-?tickets?\b|\btickets\b", re.IGNORECASE
)


def children_in(text: str, *, splitting: bool) -> tuple[NamedChild, ...]:
    """The children that a text routes; looser wordings count only below a line about a split."""
    found = list(_ARROW.finditer(text))
    if not found and splitting:
        one = _LOOSE.match(text) or _REVERSED.match(text)
        found = [one] if one else []
    return tuple(
        NamedChild(m["id"], m["agent"], plain(m["paren"] or m["rest"] or "").rstrip("."))
        for m in found
    )
