"""A workflow's blocks by stage, and what makes a file unreadable as a workflow."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.errors import WorkflowError
from orchestrator.markdown.blocks import Kind, Piece, label_of, pieces
from orchestrator.markdown.frontmatter import Document
from orchestrator.markdown.frontmatter_parser import Diagnosis
from orchestrator.workflow_reader.headings import (
    StageHead,
    looks_like_stage,
    names_agent,
    number_checkpoints,
    read_stage_head,
)
from orchestrator.workflow_reader.series import LOWEST_HEADING, read_series

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
    stages, rest = _split_into_stages(blocks, path, len(body))
    _refuse_unreadable(stages, blocks, path)
    return Outline(document.meta, tuple(document.diagnoses), stages, rest, outside or inside)


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
    if piece.kind is not Kind.HEADING or not piece.underlined or looks_like_stage(piece):
        return piece
    label, rest = label_of(piece.text)
    if not label and not re.search(r"[.!?;:`]", piece.text):
        return piece
    return replace(piece, kind=Kind.PARAGRAPH, level=0, label=label, text=rest, underlined=False)


def _split_into_stages(
    blocks: Sequence[Piece], path: str, lines: int
) -> tuple[tuple[Section, ...], tuple[Piece, ...]]:
    """The stages in order of their numbers, and the blocks outside them."""
    found: list[tuple[StageHead, list[Piece], int]] = []
    rest: list[Piece] = []
    inside = False
    stage_heads = _read_heads(blocks, path)
    for at, piece in enumerate(blocks):
        head = stage_heads.get(at)
        ends = inside and _ends(found[-1][0], piece)
        if (head is not None or ends) and inside:
            found[-1] = (*found[-1][:2], piece.line - 1)
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


def _ends(head: StageHead, piece: Piece) -> bool:
    """Whether a block is no more below a stage's heading, or its item of a list."""
    if piece.kind is Kind.HEADING:
        return piece.level <= head.level
    return head.level > LOWEST_HEADING and piece.level == 0


def _refuse_unreadable(stages: Sequence[Section], blocks: Sequence[Piece], path: str) -> None:
    for piece in blocks:
        # an open fence would hide stages, and checkpoints among them
        if piece.unclosed and any(map(_STAGE_LINE.match, piece.text.split("\n"))):
            raise WorkflowError(
                "this code fence is never closed and swallows the stages below it",
                path=path,
                line=piece.line,
                code="unclosed-fence",
                hint="close the fence",
            )
    if not stages:
        headings = [p for p in blocks if p.kind is Kind.HEADING]
        names = "; ".join(f"“{p.text}” (line {p.line})" for p in headings[:8]) or "no heading"
        first = next((p for p in headings if p.level > 1), None)
        edit = f", e.g. line {first.line}: `## STAGE 1: BUILDER — {first.text}`" if first else ""
        raise WorkflowError(
            f"has no stage; it has {names}",
            path=path,
            line=1,
            code="no-stage",
            hint=f"a stage is a heading such as `## STAGE 1: LEAD — Architecture`{edit}",
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
