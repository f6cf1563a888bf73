"""What reads like a person's approval and is not a checkpoint (DESIGN 4.7).

A gate that a person wrote into a workflow is asked or doubted, never passed over: a workflow that
has one which is not understood does not start until USER has said so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby, pairwise

from orchestrator.markdown.blocks import Kind, Piece
from orchestrator.workflow_reader.gate_words import (
    YES,
    UnreadGate,
    asks_in_diagram,
    asks_nobody,
    gate_in_data,
    gates_in,
    is_at_end,
    is_gate_key,
    is_loud,
    is_personal,
    is_review,
    lead_asks,
    may_ask,
    names_approvers,
    refers_back,
)
from orchestrator.workflow_reader.headings import StageHead
from orchestrator.workflow_reader.outline import Outline, Section, read_outline
from orchestrator.workflow_reader.stage_tables import title_key

#: the code of the doubt, by which it is accepted
UNREAD_GATE = "human-gate"
#: values of a key that name nobody: any checkpoint is what they ask for
_NOBODY = {*YES, "always", "needed", "stage"}
#: languages of fences
_PLAIN = ("", "text", "txt", "plain", "plaintext", "ascii")
_DIAGRAMS = ("mermaid", "dot", "graphviz", "plantuml", "puml", "d2")
_SETTINGS = (*_PLAIN, "yaml", "yml", "json", "jsonc", "json5", "toml", "ini")
_ARROW = re.compile(r"[-=]>|→|⇒|➜")


@lru_cache(maxsize=16)
def unread_gates_in(text: str, path: str) -> tuple[UnreadGate, ...]:
    """As `unread_gates`, of a workflow's text: many families begin with the same one."""
    return unread_gates(read_outline(text, path))


def unread_gates(outline: Outline) -> tuple[UnreadGate, ...]:
    """Where a workflow asks for an approval that no checkpoint stands for, in order of lines."""
    heads = sorted((section.head for section in outline.stages), key=lambda head: head.line)
    asked = _asked_about(heads)
    found = dict[int, UnreadGate]()
    for gate in _find(outline):
        if not _is_asked(gate, asked):
            found.setdefault(gate.line, gate)
    return tuple(found[line] for line in sorted(found))


def _asked_about(heads: Sequence[StageHead]) -> set[str]:
    """Numbers and titles of the checkpoints, and of the stages that one follows."""
    asked = [head for head in heads if head.is_checkpoint]
    asked += [head for head, after in pairwise(heads) if after.is_checkpoint]
    asked += heads[-1:]
    return {key for head in asked for key in (head.said or str(head.number), title_key(head.title))}


def _is_asked(gate: UnreadGate, asked: set[str]) -> bool:
    """Whether a table's row is about a stage after which USER is asked."""
    named = {key for cell in gate.cells for key in (cell.strip(" *`"), title_key(cell))}
    named |= {
        n for cell in gate.cells for n in re.findall(r"(?i)\b(?:stage|phase|step)\s*([\d.]+)", cell)
    }
    return bool(named & asked - {""})


def _find(outline: Outline) -> Iterator[UnreadGate]:
    if not any(section.head.is_checkpoint for section in outline.stages):
        yield from _in_diagrams(outline)
    agents = {section.head.agent for section in outline.stages} | set(outline.agents)
    names = sorted(agents - {"USER", ""})
    by_line = sorted(outline.stages, key=lambda s: s.head.line)
    for section in by_line:
        head = section.head
        if head.is_checkpoint:
            continue
        is_review_of_people = not head.agent and is_review(head.title)
        if (
            is_personal(head.title)
            or is_review_of_people
            or may_ask(head.title, names, is_title=True)
        ):
            yield UnreadGate(head.line, f"{head.agent} — {head.title}".removeprefix(" — "))
            continue
        asked_before, asked_after = _is_beside_checkpoints(section, outline.stages)
        for gate in _gates_among(section.body, names):
            # USER is asked after the stage: that covers what asks for it at its end; or was asked
            # before it: that covers first words such as "After USER approves:"
            is_met = asked_before and not gate.at and refers_back(gate.words)
            if not is_met and not (asked_after and is_at_end(gate, section.body)):
                yield gate
    has_checkpoint = any(section.head.is_checkpoint for section in by_line)
    # what stands between two stages may be either's
    for count, between in groupby(
        outline.rest, key=lambda p: sum(s.head.line < p.line for s in by_line)
    ):
        around = by_line[max(count - 1, 0) : count + 1]
        if any(section.head.is_checkpoint for section in around):
            continue
        pieces = tuple(between)
        is_title = not count and pieces[0].kind is Kind.HEADING and pieces[0].level == 1
        for gate in _gates_among(pieces[1:] if is_title else pieces, names):
            # before the first stage, sentences speak of the workflow as a whole, and a table of
            # its checkpoints
            if count or gate.is_heading or gate.cells or not has_checkpoint:
                yield gate
    yield from _unseen(outline, names, has_checkpoint=has_checkpoint)


def _gates_among(pieces: Sequence[Piece], agents: Sequence[str]) -> Iterator[UnreadGate]:
    """As `gates_in`, and what may be about an approval."""
    gates = tuple(g for g in gates_in(pieces) if not asks_nobody(pieces[g.at].said))
    read = {n for gate in gates for n in range(gate.line, max(gate.line, gate.last) + 1)}
    yield from gates
    for at, (piece, lead) in enumerate(zip(pieces, _leads_of(pieces), strict=True)):
        lines = [(piece.line, piece.markdown or piece.text)]
        if piece.kind is Kind.FENCE:
            lines = [(n, line) for n, line in enumerate(piece.text.split("\n"), piece.line + 1)]
            yield from _in_fence(piece, at, is_file=at > 0 and _names_file(pieces[at - 1]))
        elif piece.kind is Kind.TABLE:
            lines = [(row.line, cell) for row in piece.rows[1:] for cell in row.cells]
        for n, line in lines:
            if asks_nobody(line):
                continue
            is_code = piece.kind is Kind.FENCE
            is_title = piece.kind is Kind.HEADING
            said = line.strip() if is_code and is_loud(line) else ""
            # a list that markdown does not know is one paragraph with the line above it
            words = re.sub(r":\s*[•◦▪▸‣●○]", " ", line)
            said = said if is_code else may_ask(words, agents, is_title=is_title)
            if piece.kind in (Kind.PARAGRAPH, Kind.ITEM):
                said = said or names_approvers(line, agents)
            said = said or (lead_asks(lead, line, agents) if lead else "")
            if said and n not in read:
                cells = (line,) if piece.kind is Kind.TABLE else ()
                yield UnreadGate(n, said[:90], last=piece.end, cells=cells, at=at)


def _leads_of(pieces: Sequence[Piece]) -> Iterator[str]:
    """For each piece the line with a colon above the list that it is in; "" if there is none."""
    above = list[Piece]()
    for piece in pieces:
        if piece.kind is not Kind.ITEM:
            above = [piece]
            yield ""
            continue
        while above and above[-1].kind is Kind.ITEM and above[-1].level >= piece.level:
            above.pop()
        lead = above[-1] if above else None
        words = (Kind.PARAGRAPH, Kind.ITEM)
        is_lead = lead is not None and lead.kind in words and lead.markdown.endswith(":")
        yield lead.markdown if lead and is_lead else ""
        above.append(piece)


def _names_file(piece: Piece) -> bool:
    """Whether the block below is a file's content: "Write `a.yaml` with:"."""
    return re.search(r"`[^`]+\.\w+`[^`]*:\s*$", piece.markdown) is not None


def _in_fence(piece: Piece, at: int, *, is_file: bool) -> Iterator[UnreadGate]:
    """What a diagram or settings in a block of code ask for; a file's content asks nobody."""
    if is_file:
        return
    lines = piece.text.split("\n")
    for n, line in enumerate(lines):
        said = ""
        if piece.language in _DIAGRAMS or (piece.language in _PLAIN and _ARROW.search(line)):
            said = asks_in_diagram(line)
        elif piece.language in _SETTINGS:
            said = gate_in_data(line, lines[n + 1 :])
        if said:
            yield UnreadGate(piece.line + 1 + n, said[:90], last=piece.end, at=at)


def _unseen(
    outline: Outline, agents: Sequence[str], *, has_checkpoint: bool
) -> Iterator[UnreadGate]:
    """What asks for an approval in comments, and in keys of the frontmatter."""
    around = sorted((s.head.line, s.last) for s in outline.stages if s.head.is_checkpoint)
    for n, line in outline.comments:
        if is_loud(line) and not any(first <= n <= last for first, last in around):
            yield UnreadGate(n, line.strip())
    for key, value in outline.meta.items():
        named = set(re.findall(r"[^\W\d_][\w-]+", str(value).casefold()))
        named -= {"user", *_NOBODY, *(name.casefold() for name in agents)}
        if is_gate_key(key, value) and (named or not has_checkpoint):
            yield UnreadGate(outline.meta_lines[key], f"{key}: {value}"[:90])


def _in_diagrams(outline: Outline) -> Iterator[UnreadGate]:
    """A diagram that shows an approval, where no stage is one."""
    for piece in outline.blocks:
        for n, line in enumerate(piece.text.split("\n") if piece.language == "mermaid" else ()):
            if words := asks_in_diagram(line):
                yield UnreadGate(piece.line + 1 + n, words, is_explicit=True)


def _is_beside_checkpoints(section: Section, stages: Sequence[Section]) -> tuple[bool, bool]:
    """Whether USER is asked directly before a stage and those beside it, and directly after."""
    beside = {section.head.number, *section.head.beside}
    others = [s.head for s in stages if not beside & {s.head.number, *s.head.beside}]
    earlier = [head for head in others if head.number < section.head.number]
    later = [head for head in others if head.number > section.head.number]
    before = bool(earlier) and earlier[-1].is_checkpoint
    return before, not later or later[0].is_checkpoint
