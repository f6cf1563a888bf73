"""Stages under other words: phases, steps, numbered headings, agents' names, a numbered list.

A workflow without a `STAGE n` heading is read by its outermost series of headings. The stages are
numbered in the order in which they stand. A heading of the series, or next to it, that asks for a
person's approval is a checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from orchestrator.markdown.blocks import Kind, Piece
from orchestrator.workflow_reader.headings import StageHead, heading_words, is_gate, is_personal
from orchestrator.workflow_reader.vocabulary import any_of, word_set

_DASH = r"(?:[:.)\]·|—–→]+|\s-+\s)"
_NUMBER = (
    r"(?:\d{1,3}(?:\.\d{1,3})*[a-z]?|[ivx]{1,4}|[a-h]"
    r"|one|two|three|four|five|six|seven|eight|nine|ten)"
)
_WORDED = re.compile(
    rf"(?P<word>{any_of('stage')})\s*[#№]?\s*(?P<number>{_NUMBER})\b[)\]]?\s*{_DASH}?\s*(?P<title>.*)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"(?P<number>\d{1,2}(?:\.\d{1,2})?)\s*(?:[.):—–]|-\s)\s*(?P<title>\S.*)")
_NAMED = re.compile(rf"(?P<agent>[A-Za-z][A-Za-z0-9_]{{1,20}})\s*{_DASH}\s*(?P<title>\S.*)")
#: an item of a list: "BUILDER writes …"
_DOES = re.compile(r"(?P<agent>[A-Z][A-Z0-9_]{2,20})\s+(?P<title>[a-z].*)", re.DOTALL)
_IN_BRACKETS = re.compile(
    r"[(\[]\s*(?P<key>(?:agent|owner|by|role|who|assignee)\s*[:=]?\s+)?(?P<at>@?)(?P<who>[A-Za-z][\w-]*)"
    r"\s*[)\]]\s*$"
)
_BEHIND = re.compile(
    r"\s*(?:[—–|,;:]|\s-)\s*(?:agent|owner|by|assignee|assigned to)\s*[:=]?\s+@?(?P<who>[\w-]+)\s*$"
    r"|\s+@(?P<at>[\w-]+)\s*$",
    re.IGNORECASE,
)
_OWNER_LINE = re.compile(
    rf"{any_of('stage_owner')}\s*[:=—–]\s*[*_`@\[]*(?:the\s+)?"
    rf"(?P<who>{any_of('person')}\b|[A-Za-z][\w-]*)",
    re.IGNORECASE,
)
_PERSON = re.compile(any_of("person"), re.IGNORECASE)
_ROLES = word_set("roles")
_NOT_AGENTS = word_set("not_agents") | word_set("acronyms")
_BESIDE = re.compile(
    rf"[\s(,;—–-]*\b(?:runs?\s+)?(?:in\s+)?{any_of('parallel')}\s+(?:with|to)\s+{any_of('stage')}s?\s*"
    rf"(?P<number>{_NUMBER})\b\s*\)?",
    re.IGNORECASE,
)

#: of headings; the items of a list are below it
LOWEST_HEADING = 6
_LIST = LOWEST_HEADING + 1


class _Entry(NamedTuple):
    """What a heading or an item of a series says by its form; "" where it does not."""

    title: str
    word: str = ""
    number: str = ""
    agent: str = ""


def read_series(blocks: Sequence[Piece]) -> dict[int, StageHead]:
    """Index of a block → the stage that it heads; empty if there is no series."""
    found, level = _outermost(blocks)
    if not found:
        return {}
    entries = {**_gates_at(blocks, level), **found}
    members = sorted(entries)
    numbers = {entries[at].number.lower(): n for n, at in enumerate(members, 1)}
    owners = _owners_in_tables(blocks)
    return {
        at: _head(blocks[at:end], number, entries[at], numbers, owners)
        for number, (at, end) in enumerate(pairwise([*members, len(blocks)]), 1)
    }


def _outermost(blocks: Sequence[Piece]) -> tuple[dict[int, _Entry], int]:
    """The series of the outermost headings that are one, and their level (`_LIST` for a list)."""
    levels = sorted({p.level for p in blocks if p.kind is Kind.HEADING})
    for form in (_WORDED, _NUMBERED, _NAMED):
        for level in levels:
            read = (
                (at, _read(form, heading_words(piece)))
                for at, piece in enumerate(blocks)
                if piece.kind is Kind.HEADING and piece.level == level
            )
            series = {at: entry for at, entry in read if entry is not None}
            if len(series) > 1:
                return series, level
    texts = {
        at: piece.said.replace("**", "")
        for at, piece in enumerate(blocks)
        if piece.number is not None and piece.level == 1 and piece.box is None
    }
    items = {at: _read(_DOES, text) or _Entry(text) for at, text in texts.items() if text}
    named = [entry for entry in items.values() if entry.agent or _agent_in(entry.title)[0]]
    return (items, _LIST) if len(named) > 1 else ({}, 0)


def _read(form: re.Pattern[str], words: str) -> _Entry | None:
    """What words of this form say; None for others, and where an agent's place has none."""
    found = form.fullmatch(words)
    entry = _Entry(**found.groupdict()) if found else None
    return None if entry and entry.agent and not _is_agent(entry.agent) else entry


def _gates_at(blocks: Sequence[Piece], level: int) -> dict[int, _Entry]:
    """The headings of a level that ask for an approval, whether they are of the series or not."""
    return {
        at: _Entry(words, word="gate")
        for at, piece in enumerate(blocks)
        if piece.kind is Kind.HEADING and piece.level == level
        if is_gate(words := heading_words(piece))
    }


def _head(
    blocks: Sequence[Piece],
    number: int,
    entry: _Entry,
    numbers: Mapping[str, int],
    owners: Mapping[str, str],
) -> StageHead:
    """The stage of the first of these blocks; the others stand below it."""
    piece, title = blocks[0], entry.title
    beside: tuple[int, ...] = ()
    if parallel := _BESIDE.search(title):
        other = numbers.get(parallel["number"].lower())
        beside = (other,) if other is not None and other != number else ()
        title = f"{title[: parallel.start()]} {title[parallel.end() :]}".strip()
    agent = _name(entry.agent)
    if not agent:
        agent, title = _agent_in(title)
    said = _owner_below(blocks[1:]) or owners.get(_key(title), "")
    if said:
        agent = said
    person = _PERSON.fullmatch(agent.replace("_", " ")) is not None
    asks = is_gate(entry.word) or is_personal(title) or (not agent and is_gate(title))
    if person or (asks and not said):
        agent = "USER"
    return StageHead(
        number=number,
        agent=agent,
        title=title.strip(" -—–:*"),
        line=piece.line,
        level=piece.level if piece.kind is Kind.HEADING else _LIST,
        is_checkpoint=agent == "USER",
        ready=agent != "USER" and "✅" in piece.text,
        beside=beside,
    )


def _agent_in(title: str) -> tuple[str, str]:
    """The agent that a title names, "" if none, and the rest of it."""
    if named := _read(_NAMED, title):
        return _name(named.agent), named.title
    found = _IN_BRACKETS.search(title)
    if found and (found["key"] or found["at"] or _is_agent(found["who"])):
        return _name(found["who"]), title[: found.start()]
    found = _BEHIND.search(title)
    if found:
        return _name(found["who"] or found["at"]), title[: found.start()]
    return "", title


def _is_agent(word: str) -> bool:
    if word.lower() in _ROLES:
        return True
    return len(word) > 1 and word.isupper() and word not in _NOT_AGENTS


def _owner_below(body: Sequence[Piece]) -> str:
    """Who an "Owner:" line below a heading, and before the next one, names."""
    for piece in body:
        if piece.kind is Kind.HEADING:
            return ""
        if piece.kind not in (Kind.FENCE, Kind.TABLE):
            found = _OWNER_LINE.match(re.sub(r"[*_`]{1,3}", "", piece.said))
            if found:
                return _name(found["who"])
    return ""


def _owners_in_tables(blocks: Sequence[Piece]) -> dict[str, str]:
    """Title of a stage → who does it, from a table that has a column for each."""
    found: dict[str, str] = {}
    for piece in blocks:
        if piece.kind is not Kind.TABLE or len(piece.rows) < 2:
            continue
        head = [cell.strip(" *`").lower() for cell in piece.rows[0].cells]
        what = next(
            (i for i, c in enumerate(head) if re.fullmatch(any_of("stage_column"), c)), None
        )
        who = next((i for i, c in enumerate(head) if re.match(any_of("agent_column"), c)), None)
        if what is None or who is None:
            continue
        for row in piece.rows[1:]:
            if len(row.cells) > max(what, who):
                name = re.match(r"[\W_]*([A-Za-z][\w-]*)", row.cells[who])
                title = re.sub(
                    rf"(?i)^\W*(?:{any_of('stage')}\s*)?{_NUMBER}\b\W*", "", row.cells[what]
                )
                if name:
                    found[_key(title or row.cells[what])] = _name(name[1])
    return found


def _key(title: str) -> str:
    return re.sub(r"\W+", " ", title).strip().casefold()


def _name(words: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", words.strip().upper()).strip("_")
