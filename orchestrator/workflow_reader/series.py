"""Stages under other words: phases, steps, numbered headings, agents' names, lists and tables.

A workflow without a `STAGE n: AGENT` heading is read by its outermost series of headings, else of
bold lines, else by a numbered list or a table of stages. The stages are numbered in the order in
which they stand. What asks for a person's approval next to them, or at the end of one, is a
checkpoint of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple
from unicodedata import normalize

from orchestrator.markdown.blocks import Kind, Piece
from orchestrator.workflow_reader.gate_words import (
    UnreadGate,
    asks_person,
    gates_in,
    is_at_end,
    is_gate,
    is_personal,
)
from orchestrator.workflow_reader.headings import StageHead, heading_words
from orchestrator.workflow_reader.namings import Naming, agent_in, is_agent, owner_below, who
from orchestrator.workflow_reader.stage_tables import NUMBER, owners_in_tables, title_key
from orchestrator.workflow_reader.vocabulary import any_of, plain

_DASH = r"(?:[:.)\]·|—–→：、|]+|\s-+\s)"
_WORDED = re.compile(
    rf"(?P<word>{any_of('stage')})\s*[#№]?\s*(?P<number>{NUMBER})(?![\w-])[)\]]?\s*"
    rf"(?:\([^)]*\)\s*(?=[:—–]))?{_DASH}?\s*(?P<title>.*)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(
    r"(?P<number>\d{1,2}(?:\.\d{1,2})+(?=\.?\s)|(?:\d{1,2}|[A-H]|[IVX]{1,5}|[A-Z]{1,4}-?\d{1,3})"
    r"(?=\s*(?:[.):—–：、|]|-\s)))\s*(?:[.):—–：、|]|-\s)?\s*(?P<title>[^\s\d].*)"
    r"|(?P<sign>\d{1,2})\u20e3?\s+(?P<words>\S.*)"
)
_WORD_ALONE = re.compile(rf"(?P<word>{any_of('stage')})\s*[:—–]\s*(?P<title>\S.*)", re.IGNORECASE)
_NAMED = re.compile(rf"(?P<agent>[A-Za-z][A-Za-z0-9_]{{1,20}})\s*{_DASH}\s*(?P<title>\S.*)")
#: an item of a list: "BUILDER writes …"
_DOES = re.compile(r"(?P<agent>[A-Z][A-Z0-9_]{2,20})\s+(?P<title>[a-z].*)", re.DOTALL)
_PERSON_ACTS = re.compile(
    rf"(?:an?\s+|the\s+)?{any_of('person')}\s+(?:then\s+)?(?:{any_of('acts')}|creates|merges|tests"
    r"|provides|checks|gives|chooses|picks|selects|answers|reads|looks)\b",
    re.IGNORECASE,
)
_BESIDE = re.compile(
    rf"[\s(,;—–-]*\b(?:runs?\s+)?(?:in\s+)?{any_of('parallel')}\s+(?:with|to)\s+{any_of('stage')}s?\s*"
    rf"(?P<number>{NUMBER})\b\s*\)?",
    re.IGNORECASE,
)
_PROSE = re.compile(rf"\W*(?:{any_of('prose')}|{any_of('holds_stages')})\W*", re.IGNORECASE)
_HOLDS = re.compile(rf"\W*{any_of('holds_stages')}\W*", re.IGNORECASE)
_GATED_WORK = re.compile(
    r"(?P<title>.+?)\s*(?:[—–:(\[|←]|\s-\s)\W*(?:(?:new|human|user)\s+)?"
    r"(?:check-?point|gate|approval|sign[- ]?off)(?:\s+(?:required|needed))?\W*",
    re.IGNORECASE,
)
_IF_SO = re.compile(r"\W*(?:if|once|when|after|upon)\b", re.IGNORECASE)
_ROMAN = {"I": 1, "V": 5, "X": 10}

#: of headings; bold lines that head a stage are below them, the items of a list below those
LOWEST_HEADING = 6
_BOLD = LOWEST_HEADING + 1
_LIST = LOWEST_HEADING + 2


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
    owners = owners_in_tables(blocks)
    heads: dict[int, tuple[StageHead, _Entry]] = {}
    for at, end in pairwise([*sorted(entries), len(blocks)]):
        heads[at] = (_head(blocks[at:end], entries[at], level, owners), entries[at])
    for at, end in pairwise(sorted(heads)):
        # "If approved, publish it" is done after the approval that was asked for
        (before, _), (head, entry) = heads[at], heads[end]
        if before.is_checkpoint and head.is_checkpoint and _IF_SO.match(entry.title):
            heads[end] = (replace(head, agent="", is_checkpoint=False), entry)
    for at, entry in _gates_at_ends(blocks, {at: head for at, (head, _) in heads.items()}):
        line = blocks[at].line
        level_of = blocks[at].level if blocks[at].kind is Kind.HEADING else level
        head = StageHead(0, "USER", entry.title, line, level_of, is_checkpoint=True)
        heads[at] = (replace(head, shares=entry.word == "sentence"), entry)
    numbers = {heads[at][1].number.lower(): n for n, at in enumerate(sorted(heads), 1)}
    return {
        at: _numbered(*heads[at], number, numbers) for number, at in enumerate(sorted(heads), 1)
    }


def words_of(piece: Piece) -> str:
    """A heading's words, with numbers in signs (`1️⃣`, `②`) as digits, without marks behind them."""
    words = normalize("NFKC", heading_words(piece))
    return re.sub(r"\s*←.*$|[^\w)\]\"'`.!?%…]+$", "", words.replace("\ufe0f", "")).strip()


def heads_stage(words: str) -> bool:
    """Whether a heading reads "Phase 2: …" or the like; "Phases 1-3" are several."""
    return _WORDED.fullmatch(words) is not None


def is_prose(words: str) -> bool:
    """Whether a heading is of a section about the work, or of one that holds the stages."""
    return _PROSE.fullmatch(words) is not None


# -- which blocks are the series -------------------------------------------------------------


def _outermost(blocks: Sequence[Piece]) -> tuple[dict[int, _Entry], int]:
    """The series of the outermost headings that are one, and their level.

    One further in is preferred if it names agents and the outer one does not.
    """
    levels = sorted({p.level for p in blocks if p.kind is Kind.HEADING})
    every: list[tuple[dict[int, _Entry], int]] = []
    worded = list[dict[int, _Entry]]()
    for form in (_WORDED, _NUMBERED, _WORD_ALONE, _NAMED, None):
        every += [(_series(blocks, form, level), level) for level in levels]
        if form is _WORDED:
            every.append((_bold_series(blocks), _BOLD))
            worded = [found for found, _ in every]
    every = [(found, level) for found, level in every if len(found) > 1]
    below = _below_holder(blocks)
    if len(below[0]) > 1 and not (every and every[0][0] in worded):
        every = [below, *every]
    if not every:
        listed = _list(blocks)
        return (listed, _LIST) if listed else _single(blocks, levels)
    first = every[0][0]
    for found, level in every:
        names = any(_names_one(blocks, at, entry) for at, entry in found.items())
        if names and (found is first or _is_inside(found, first)):
            return found, level
    return every[0]


def _single(blocks: Sequence[Piece], levels: Sequence[int]) -> tuple[dict[int, _Entry], int]:
    """A lone "Phase 1: Build (BUILDER)", where it names its agent; a page may have one stage."""
    for level in levels:
        for at, entry in _series(blocks, _WORDED, level).items():
            if _names_one(blocks, at, entry):
                return {at: entry}, level
    return {}, 0


def agent_and_title(piece: Piece) -> tuple[str, str]:
    """Whom a heading names ("" for nobody), and its title without number and name."""
    words = words_of(piece)
    entry = _read(_WORDED, words) or _read(_NUMBERED, words) or _Entry(words)
    naming, title = agent_in(entry.title)
    return naming.agent, title or words


def _is_inside(inner: Iterable[int], outer: Iterable[int]) -> bool:
    """Whether each of the outer stages has one of the inner ones below it."""
    ends = [*sorted(outer), 1 << 30]
    return all(any(at < i < end for i in inner) for at, end in pairwise(ends))


def _holds(words: str) -> bool:
    """Whether a heading such as “5. Procedure” holds the stages."""
    numbered = _read(_NUMBERED, words)
    return _HOLDS.fullmatch(numbered.title if numbered else words) is not None


def _below_holder(blocks: Sequence[Piece]) -> tuple[dict[int, _Entry], int]:
    """The headings directly below one such as “Workflow”."""
    found: dict[int, _Entry] = {}
    holder = level = 0
    for at, piece in enumerate(blocks):
        if piece.kind is not Kind.HEADING:
            continue
        if holder and piece.level <= holder:
            break
        if holder and (not level or piece.level == level):
            level = piece.level
            found[at] = _read(_NUMBERED, words_of(piece)) or _Entry(words_of(piece))
        elif not holder and piece.level > 1 and _holds(words_of(piece)):
            holder = piece.level
    return found, level


def _series(blocks: Sequence[Piece], form: re.Pattern[str] | None, level: int) -> dict[int, _Entry]:
    """The headings of a level that have a form; without one, those that name somebody."""
    found: dict[int, _Entry] = {}
    for at, piece in enumerate(blocks):
        if piece.kind is not Kind.HEADING or piece.level != level:
            continue
        words = words_of(piece)
        if form is None:
            owned = agent_in(words)[0].agent or owner_below(blocks[at + 1 :]) is not None
            entry = _Entry(words) if owned else None
        else:
            entry = _read(form, words)
        # "Tasks" is a stage too, unless it holds some
        after = next((p.level for p in blocks[at + 1 :] if p.kind is Kind.HEADING), 0)
        is_other = is_prose(words if entry is None else entry.title) and (
            after > level or not _holds(words if entry is None else entry.title)
        )
        if entry is not None and (form is _WORDED or not is_other):
            found[at] = entry
    return found if form is not _NUMBERED or _in_order(found.values()) else {}


def _bold_series(blocks: Sequence[Piece]) -> dict[int, _Entry]:
    """Paragraphs that are bold lines such as **Step 1: Design**."""
    texts = {
        at: plain(piece.markdown)
        for at, piece in enumerate(blocks)
        if piece.kind is Kind.PARAGRAPH and piece.level == 0
        if re.match(r"\W{0,3}(?:\*\*|__)", piece.markdown)
    }
    read = {at: _read(_WORDED, text) for at, text in texts.items()}
    return {at: entry for at, entry in read.items() if entry is not None}


def _list(blocks: Sequence[Piece]) -> dict[int, _Entry]:
    """The numbered list that names agents, else the one below a heading such as “Steps”."""
    lists: list[tuple[dict[int, _Entry], bool]] = []
    last, holds = 0, True
    for at, piece in enumerate(blocks):
        if piece.kind is Kind.HEADING:
            last, holds = 0, piece.level == 1 or _holds(words_of(piece))
        elif piece.number is not None and piece.level == 1 and piece.box is None:
            if piece.number <= last or not last:
                lists.append(({}, holds))
            last = piece.number
            if text := piece.said.replace("**", ""):
                lists[-1][0][at] = _read(_DOES, text) or _Entry(text)
    worded = {
        at: entry
        for at, piece in enumerate(blocks)
        if piece.kind is Kind.ITEM and piece.level == 1 and piece.box is None
        if (entry := _read(_WORDED, plain(piece.markdown).replace("**", ""))) is not None
    }
    lists = [(items, holds) for items, holds in [(worded, True), *lists] if len(items) > 1]
    for items, _ in lists:
        named = [e for e in items.values() if e.agent or agent_in(e.title)[0].agent]
        if len(named) > 1:
            return items
    under = [items for items, holds in lists if holds]
    return under[0] if len(under) == 1 or (under and under[0] is worded) else {}


def _read(form: re.Pattern[str], words: str) -> _Entry | None:
    """What words of this form say; None for others, and where an agent's place has none."""
    found = form.fullmatch(words)
    if found is None:
        return None
    said = {name: value or "" for name, value in found.groupdict().items()}
    if sign := said.pop("sign", ""):
        said["number"] = sign
    said["title"] = said.pop("words", "") or said["title"]
    entry = _Entry(**said)
    several = re.match(r"\s*(?:[-–&,+]|and|to)\s*\d", entry.title)
    return None if several or (entry.agent and not is_agent(entry.agent)) else entry


def _in_order(entries: Iterable[_Entry]) -> bool:
    """Whether letters and roman numbers count on from the first one."""
    numbers = [e.number for e in entries if not e.number[:1].isdigit()]
    if not numbers:
        return True
    places = [ord(n) - 64 if numbers[0] == "A" and len(n) == 1 else _roman(n) for n in numbers]
    return places == list(range(1, len(places) + 1))


def _roman(number: str) -> int:
    values = [_ROMAN.get(sign, 0) for sign in number]
    return sum(-a if a < b else a for a, b in pairwise([*values, 0]))


def _names_one(blocks: Sequence[Piece], at: int, entry: _Entry) -> bool:
    return bool(
        entry.agent or agent_in(entry.title)[0].agent or owner_below(blocks[at + 1 :]) is not None
    )


# -- gates next to the stages ----------------------------------------------------------------


def _gates_at(blocks: Sequence[Piece], level: int) -> dict[int, _Entry]:
    """The headings of a level that ask for an approval, whether they are of the series or not."""
    return {
        at: _Entry(words_of(piece), word="gate")
        for at, piece in enumerate(blocks)
        if piece.kind is Kind.HEADING and piece.level == level and is_gate(heading_words(piece))
    }


def _gates_at_ends(
    blocks: Sequence[Piece], heads: Mapping[int, StageHead]
) -> Iterator[tuple[int, _Entry]]:
    """What asks for an approval at the end of a stage, where no checkpoint follows."""
    for at, end in pairwise(sorted(heads)):
        if heads[at].is_checkpoint or heads[end].is_checkpoint:
            continue
        gate = _gate_at_end(blocks[at + 1 : end])
        if gate is not None:
            piece = blocks[at + 1 + gate.at]
            words = re.sub(r"^[\W_]+", "", plain(piece.markdown))
            word = "gate" if gate.is_whole else "sentence"
            yield at + 1 + gate.at, _Entry(words[:80].strip(" .:"), word=word)


def _gate_at_end(body: Sequence[Piece]) -> UnreadGate | None:
    """The gate below which a stage says no more than what comes of each answer."""
    gates = (gate for gate in gates_in(body) if not gate.cells)
    return next((gate for gate in gates if is_at_end(gate, body)), None)


# -- one stage -------------------------------------------------------------------------------


def _head(
    blocks: Sequence[Piece], entry: _Entry, level: int, owners: Mapping[str, Naming]
) -> StageHead:
    """The stage of the first of these blocks; the others stand below it."""
    piece, title = blocks[0], entry.title
    naming = who(entry.agent) if entry.agent else Naming("")
    if not naming.agent:
        title = _BESIDE.sub(" ", title, count=1).strip()
        naming, rest = agent_in(title)
        # "Checkpoint (human)" is said as a whole
        title = title if naming.is_person and title.endswith((")", "]")) else rest
    said = owner_below(blocks[1:]) or owners.get(title_key(title)) or owners.get(entry.number)
    if said:
        naming = said
    asks = is_gate(entry.word) or is_personal(title) or (not naming.agent and is_gate(title))
    asks = asks or _PERSON_ACTS.match(title) is not None or is_gate_mark(piece)
    if asks and not naming.is_person and (work := _GATED_WORK.fullmatch(title)):
        # "Design — checkpoint" is done first where it says itself what is then asked
        gate = _gate_at_end(blocks[1:])
        if gate is not None and gate.at > 0:
            asks, title = False, work["title"]
    asks = asks or (level == _LIST and not naming.agent and asks_person(piece.markdown) != "")
    is_user = naming.is_person or (asks and not said)
    return StageHead(
        number=0,
        agent="USER" if is_user else naming.agent,
        title=re.sub(r"^[^\w(\[`\"'“]+", "", title.strip(" -—–:*|")),
        line=piece.line,
        level=piece.level if piece.kind is Kind.HEADING else level,
        is_checkpoint=is_user,
        ready=not is_user and "✅" in piece.text,
        said=entry.number,
    )


def is_gate_mark(piece: Piece) -> bool:
    """Whether a heading carries a mark such as “← NEW CHECKPOINT” or ⏸ beside its title."""
    mark = re.search(r"←(.*)$|[⏸✋]", piece.text)
    return mark is not None and (mark[1] is None or is_gate(mark[1]))


def _numbered(head: StageHead, entry: _Entry, number: int, numbers: Mapping[str, int]) -> StageHead:
    """The stage with its number, and that of the one that it runs beside."""
    parallel = _BESIDE.search(entry.title)
    other = numbers.get(parallel["number"].lower()) if parallel else None
    beside = (other,) if other is not None and other != number else ()
    return replace(head, number=number, beside=beside, is_of_series=True)
