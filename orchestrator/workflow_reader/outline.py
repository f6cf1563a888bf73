"""A workflow's blocks by stage, and what makes a file unreadable as a workflow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.errors import WorkflowError
from orchestrator.markdown.blocks import Kind, Piece, label_of, pieces
from orchestrator.markdown.frontmatter import Document
from orchestrator.workflow_reader.headings import Heading, number_checkpoints, stage_head
from orchestrator.workflow_reader.stage import Head


@dataclass(frozen=True)
class Section:
    """A stage's heading and the blocks below it; `last` is its last line."""

    head: Head
    body: tuple[Piece, ...]
    last: int


@dataclass(frozen=True)
class Outline:
    """A workflow's blocks: those of its stages, and the rest."""

    meta: Mapping[str, Any]
    #: what is odd about the frontmatter: (code, line, message)
    odd: tuple[tuple[str, int, str], ...]
    stages: tuple[Section, ...]
    rest: tuple[Piece, ...]
    #: the line of the fence that the whole file stands in, else 0
    wrapped: int = 0

    @property
    def blocks(self) -> tuple[Piece, ...]:
        """Every block but the stage headings, in order of the file."""
        inside = (piece for section in self.stages for piece in section.body)
        return tuple(sorted((*self.rest, *inside), key=lambda p: p.line))


def outline(text: str, path: str) -> Outline:
    """The blocks of a workflow, by stage. Raises WorkflowError."""
    document, body, wrapped = _body(text.split("\n"))
    blocks = tuple(_prose_for_underlined(p) for p in pieces("\n".join(body)))
    stages, rest = _sections(blocks, path, len(body))
    _refuse_unreadable(stages, blocks, path)
    odd = tuple((d.code, d.line, d.message) for d in document.diagnoses)
    return Outline(document.meta, odd, stages, rest, wrapped)


_STAGE_LINE = re.compile(r"^ {0,3}#{1,6}\s+\W*stage\s*#?\d", re.IGNORECASE)


def _wrapping(lines: Sequence[str]) -> int:
    """The 1-based line of a markdown fence that the whole file stands in, else 0."""
    first = next((i for i, line in enumerate(lines) if line.strip()), None)
    if first is None or not re.fullmatch(
        r"\s{0,3}(`{3,}|~{3,})\s*(?:markdown|md)?\s*", lines[first]
    ):
        return 0
    following = (line for line in lines[first + 1 :] if line.strip())
    begins = next(following, "")
    heads = re.match(r"#|---\s*$", begins.strip()) is not None
    return first + 1 if heads and any(_STAGE_LINE.match(line) for line in lines) else 0


def _unwrapped(lines: list[str]) -> tuple[list[str], int]:
    """The lines with the fence around all of them blanked, and that fence's line."""
    wrapped = _wrapping(lines)
    if not wrapped:
        return lines, 0
    last = next(i for i in range(len(lines) - 1, -1, -1) if lines[i].strip())
    outer = {wrapped - 1}
    if last != wrapped - 1 and re.fullmatch(r"\s{0,3}(`{3,}|~{3,})\s*", lines[last]):
        outer.add(last)
    return ["" if i in outer else line for i, line in enumerate(lines)], wrapped


def _body(lines: list[str]) -> tuple[Document, list[str], int]:
    """The frontmatter, the lines with it blanked, and the line of a fence around the file."""
    lines, outside = _unwrapped(lines)
    document = Document.parse("\n".join(lines).encode("utf-8", "replace"))
    head = document.body_line - 1
    body, inside = _unwrapped([""] * head + lines[head:])
    return document, body, outside or inside


def _prose_for_underlined(piece: Piece) -> Piece:
    """A paragraph that a rule directly below it turned into a heading is a paragraph still."""
    if piece.kind is not Kind.HEADING or not piece.underlined or Heading.of(piece).looks_like_stage:
        return piece
    label, rest = label_of(piece.text)
    if not label and not re.search(r"[.!?;:`]", piece.text):
        return piece
    return replace(piece, kind=Kind.PARAGRAPH, level=0, label=label, text=rest, underlined=False)


def _sections(
    blocks: tuple[Piece, ...], path: str, lines: int
) -> tuple[tuple[Section, ...], tuple[Piece, ...]]:
    found: list[tuple[Head, list[Piece], int]] = []
    rest: list[Piece] = []
    inside = False
    for piece in blocks:
        head = stage_head(piece, path)
        ends = piece.kind is Kind.HEADING and inside and piece.level <= found[-1][0].level
        if (head is not None or ends) and inside:
            found[-1] = (*found[-1][:2], piece.line - 1)
        if head is not None:
            found.append((head, [], lines))
            inside = True
            continue
        inside = inside and not ends
        (found[-1][1] if inside else rest).append(piece)
    heads = {h.number: h for h in number_checkpoints([h for h, _, _ in found])}
    _refuse_doubled([h for h, _, _ in found], path)
    sections = (Section(heads[h.number], tuple(body), last) for h, body, last in found)
    return tuple(sorted(sections, key=lambda s: s.head.number)), tuple(rest)


def _refuse_doubled(heads: Iterable[Head], path: str) -> None:
    seen: dict[int, Head] = {}
    for head in heads:
        if head.number in seen:
            raise WorkflowError(
                f"stage {head.number} stands at line {seen[head.number].line} already",
                path=path,
                line=head.line,
                code="duplicate-stage",
                hint="number the stages anew",
            )
        seen[head.number] = head


def _refuse_unreadable(stages: tuple[Section, ...], blocks: tuple[Piece, ...], path: str) -> None:
    _refuse_swallowing(blocks, path)
    if not stages:
        raise WorkflowError(
            "has no stage",
            path=path,
            line=1,
            code="no-stage",
            hint="a stage is a heading such as `## STAGE 1: LEAD — Architecture`",
        )
    _refuse_strangers([s.head for s in stages], path)


def _refuse_swallowing(blocks: Iterable[Piece], path: str) -> None:
    """An open fence would hide stages, and checkpoints among them."""
    for piece in blocks:
        if piece.unclosed and any(_STAGE_LINE.match(line) for line in piece.text.split("\n")):
            raise WorkflowError(
                "this code fence is never closed and swallows the stages below it",
                path=path,
                line=piece.line,
                code="unclosed-fence",
                hint="close the fence",
            )


def _refuse_strangers(heads: Sequence[Head], path: str) -> None:
    numbers = {head.number for head in heads}
    for head in heads:
        for other in head.beside:
            if other not in numbers or other == head.number:
                raise WorkflowError(
                    f"stage {head.number} cannot run beside stage {other}: there is no such other",
                    path=path,
                    line=head.line,
                    code="parallel-unknown",
                    hint="name a stage that there is",
                )
