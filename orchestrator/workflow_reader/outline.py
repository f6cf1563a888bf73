"""A workflow's blocks by stage, and what makes a file unreadable as a workflow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.errors import WorkflowError
from orchestrator.markdown.blocks import Kind, Piece, label_of, pieces
from orchestrator.markdown.frontmatter import Document
from orchestrator.markdown.problem import Diagnosis
from orchestrator.workflow_reader.gate_words import cut_at_gates, is_gate
from orchestrator.workflow_reader.headings import (
    StageHead,
    looks_like_stage,
    names_agent,
    number_checkpoints,
    read_stage_head,
)
from orchestrator.workflow_reader.series import (
    LOWEST_HEADING,
    agent_and_title,
    heads_stage,
    is_prose,
    read_series,
    words_of,
)
from orchestrator.workflow_reader.stage_tables import rows_as_items

_STAGE_LINE = re.compile(r"^ {0,3}#{1,6}\s+\W*stage\s*#?\d", re.IGNORECASE)


@dataclass(frozen=True)
class Section:
    """A stage's heading and the blocks below it; `last` is its last line."""

    head: StageHead
    body: tuple[Piece, ...]
    last: int


@dataclass(frozen=True)
class Outline:
    """A workflow's blocks: those of its stages, and the rest."""

    meta: Mapping[str, Any]
    #: of the frontmatter
    diagnoses: tuple[Diagnosis, ...]
    stages: tuple[Section, ...]
    rest: tuple[Piece, ...]
    #: the line of a code fence around the whole file, else 0
    fence_line: int = 0
    #: a key of the frontmatter → its line
    meta_lines: Mapping[str, int] = field(default_factory=dict)
    #: (line, text) of the lines of HTML comments
    comments: tuple[tuple[int, str], ...] = ()

    @property
    def blocks(self) -> tuple[Piece, ...]:
        """Every block but the stage headings, in order of the file."""
        inside = (piece for section in self.stages for piece in section.body)
        return tuple(sorted((*self.rest, *inside), key=lambda p: p.line))

    @property
    def title(self) -> str:
        """The frontmatter's title, else the first heading, else the first stage's."""
        title = self.meta.get("title")
        if isinstance(title, str) and title.strip():
            return title.strip()
        heading = next((p for p in self.rest if p.kind is Kind.HEADING), None)
        return heading.text if heading else self.stages[0].head.title

    @property
    def agents(self) -> tuple[str, ...]:
        """The frontmatter's agents, else those of the stage headings, in upper case."""
        named = self.meta.get("agents")
        if isinstance(named, str):
            named = re.split(r"[,\s/|]+", named.strip("[] "))
        if not isinstance(named, list) or not named:
            named = [section.head.agent for section in self.stages]
        names = (name.strip().upper() for name in named if isinstance(name, str))
        return tuple(dict.fromkeys(filter(None, names)))


def read_outline(text: str, path: str) -> Outline:
    """The blocks of a workflow, by stage. Raises WorkflowError."""
    lines, outside = _without_outer_fence(text.split("\n"))
    document = Document.parse("\n".join(lines).encode("utf-8", "replace"))
    head = document.body_line - 1
    body, inside = _without_outer_fence([""] * head + lines[head:])
    blocks = [_as_paragraph_if_prose(p) for p in pieces("\n".join(body))]
    blocks = [part for piece in blocks for part in cut_at_gates(piece, body)]
    heads = _read_heads(blocks, path)
    if not heads:
        blocks = rows_as_items(blocks)
        heads = read_series(blocks)
    stages, rest = _split_into_stages(blocks, heads, path, len(body))
    _refuse_unreadable(stages, blocks, path)
    return Outline(
        document.meta,
        tuple(document.diagnoses),
        stages,
        rest,
        outside or inside,
        {key: document.line_of(key) or 1 for key in document.meta},
        tuple(_comments(body, blocks)),
    )


def _comments(lines: Sequence[str], blocks: Sequence[Piece]) -> Iterator[tuple[int, str]]:
    """The lines of HTML comments, which no reader of the page sees; those in code are code."""
    code = {n for p in blocks if p.kind is Kind.FENCE for n in range(p.line, p.end + 1)}
    text = "\n".join("" if n in code else line for n, line in enumerate(lines, 1))
    for comment in re.finditer(r"<!--(.*?)(?:-->|\Z)", text, re.DOTALL):
        first = text.count("\n", 0, comment.start()) + 1
        yield from enumerate(comment[1].split("\n"), first)


def _without_outer_fence(lines: list[str]) -> tuple[list[str], int]:
    """The lines with a markdown fence around all of them blanked, and its 1-based line, else 0."""
    filled = [i for i, line in enumerate(lines) if line.strip()]
    if not filled or not re.fullmatch(
        r"\s{0,3}(`{3,}|~{3,})\s*(?:markdown|md)?\s*", lines[filled[0]]
    ):
        return lines, 0
    first, last = filled[0], filled[-1]
    begins = lines[filled[1]].strip() if len(filled) > 1 else ""
    if not re.match(r"#|---\s*$", begins) or not any(map(_STAGE_LINE.match, lines)):
        return lines, 0
    outer = {first}
    if re.fullmatch(r"\s{0,3}(`{3,}|~{3,})\s*", lines[last]):
        outer.add(last)
    return ["" if i in outer else line for i, line in enumerate(lines)], first + 1


def _as_paragraph_if_prose(piece: Piece) -> Piece:
    """A paragraph that a rule directly below it turned into a heading is a paragraph still."""
    if piece.kind is not Kind.HEADING or not piece.underlined:
        return piece
    if looks_like_stage(piece) or heads_stage(words_of(piece)):
        return piece
    label, rest = label_of(piece.text)
    if not label and not re.search(r"[.!?;:`]", piece.text):
        return piece
    return replace(piece, kind=Kind.PARAGRAPH, level=0, label=label, text=rest, underlined=False)


def _split_into_stages(
    blocks: Sequence[Piece], stage_heads: Mapping[int, StageHead], path: str, lines: int
) -> tuple[tuple[Section, ...], tuple[Piece, ...]]:
    """The stages in order of their numbers, and the blocks outside them."""
    found: list[tuple[StageHead, list[Piece], int]] = []
    rest: list[Piece] = []
    inside = False
    for at, piece in enumerate(blocks):
        head = stage_heads.get(at)
        # blocks between the items of a list belong to the item above them, and code below the last
        cut = piece.kind is Kind.FENCE or at < max(stage_heads, default=0)
        ends = inside and _ends(found[-1][0], piece, cut=cut)
        shares = inside and head is not None and head.shares
        if shares:
            found[-1][1].append(piece)
        if (head is not None or ends) and inside:
            found[-1] = (*found[-1][:2], piece.end if shares else piece.line - 1)
        if head is not None:
            # an item of a list is its own instruction
            found.append((head, [] if piece.kind is Kind.HEADING else [piece], lines))
            inside = True
            continue
        inside = inside and not ends
        (found[-1][1] if inside else rest).append(piece)
    seen: dict[int, StageHead] = {}
    for head, _, _ in found:
        if head.number in seen:
            raise WorkflowError(
                f"stage {head.number} already exists at line {seen[head.number].line}",
                path=path,
                line=head.line,
                code="duplicate-stage",
                hint="renumber the stages",
            )
        seen[head.number] = head
    heads = {h.number: h for h in number_checkpoints([h for h, _, _ in found])}
    sections = (Section(heads[h.number], tuple(body), last) for h, body, last in found)
    return tuple(sorted(sections, key=lambda s: s.head.number)), tuple(rest)


def _read_heads(blocks: Sequence[Piece], path: str) -> dict[int, StageHead]:
    """Index of a block → the stage that it heads."""
    series = {} if any(map(names_agent, blocks)) else read_series(blocks)
    if series:
        return series
    found = ((at, read_stage_head(piece, path)) for at, piece in enumerate(blocks))
    return {at: head for at, head in found if head is not None}


def _ends(head: StageHead, piece: Piece, *, cut: bool) -> bool:
    """Whether a block is no more below a stage's heading, or its item of a list."""
    if piece.kind is Kind.HEADING:
        return piece.level <= head.level
    return head.level > LOWEST_HEADING + 1 and piece.level == 0 and not cut


def _hides_stage(line: str) -> bool:
    words = re.sub(r"^ {0,3}#{1,6}\s+[^\w]*", "", line)
    return words != line and (
        _STAGE_LINE.match(line) is not None or heads_stage(words) or is_gate(words)
    )


def _smallest_edit(headings: Sequence[Piece]) -> str:
    """Lines that turn what is there into stages, as a diff that works when it is applied."""
    named = [p for p in headings if p.level > 1 and not is_prose(p.text)]
    levels = [p.level for p in named]
    level = next((n for n in sorted(set(levels)) if levels.count(n) > 1), 0)
    chosen = [p for p in named if p.level == level]
    if not chosen and (below := [p for p in headings if p.level > 1]):
        chosen = [p for p in below if p.level == below[0].level]
    edits = list[str]()
    for n, p in enumerate(chosen, 1):
        agent, title = agent_and_title(p)
        who = "USER CHECKPOINT" if agent == "USER" else agent or "BUILDER"
        edits.append(
            f"  line {p.line}:  -{'#' * p.level} {p.text}\n"
            f"  {' ' * len(f'line {p.line}:')}  +{'#' * p.level} STAGE {n}: {who} — {title}"
        )
    at = headings[0].end + 1 if headings else 1
    edits = edits or [f"  line {at}:  +## STAGE 1: BUILDER — Do what this page says"]
    return (
        "name the stages and who does each (BUILDER, USER CHECKPOINT #1 for an approval, …):\n"
        + "\n".join(edits)
    )


def _refuse_unreadable(stages: Sequence[Section], blocks: Sequence[Piece], path: str) -> None:
    for piece in blocks:
        # an open fence would hide stages, and checkpoints among them
        if piece.unclosed and any(map(_hides_stage, piece.text.split("\n"))):
            raise WorkflowError(
                "this code fence is never closed and swallows the stages below it",
                path=path,
                line=piece.line,
                code="unclosed-fence",
                hint="close the fence",
            )
    if not stages:
        headings = [p for p in blocks if p.kind is Kind.HEADING]
        names = "; ".join(f"“{p.text}” (line {p.line})" for p in headings[:20]) or "no heading"
        more = f"; and {len(headings) - 20} more" if len(headings) > 20 else ""
        raise WorkflowError(
            f"has no stage; it has {names}{more}",
            path=path,
            line=1,
            code="no-stage",
            hint=_smallest_edit(headings),
        )
    numbers = {section.head.number for section in stages}
    for head in (section.head for section in stages):
        for other in head.beside:
            if other not in numbers or other == head.number:
                raise WorkflowError(
                    f"stage {head.number} cannot run in parallel with stage {other}: "
                    "there is no such other stage",
                    path=path,
                    line=head.line,
                    code="parallel-unknown",
                    hint="name an existing stage",
                )
