"""Doubts about what runs beside what: headings, text and drawn summaries that disagree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations

from orchestrator.markdown.blocks import Kind, Piece
from orchestrator.workflow_lint.base import Doubt, Subject
from orchestrator.workflow_reader.outline import Section
from orchestrator.workflow_reader.vocabulary import sentences

_TOGETHER = re.compile(
    r"\bparallel|side by side|\bsame time\b|\bconcurrent|\bsimultaneous|\balongside\b|\bbeside\b"
    r"|\bmeanwhile\b",
    re.IGNORECASE,
)


def only_in_heading(subject: Subject) -> Iterator[Doubt]:
    """A stage whose heading says "parallel" while no sentence does."""
    for section in _beside(subject):
        head = section.head
        others = [subject.section(n) for n in head.beside]
        bodies = [p for s in (section, *others) for p in s.body if p.kind is not Kind.FENCE]
        said = any(_TOGETHER.search(p.markdown) for p in bodies)
        if not said and not _said_elsewhere(subject, {head.number, *head.beside}):
            yield Doubt(
                "parallel-only-in-heading",
                head.line,
                f"only the heading lets stage {head.number} run beside {_stages(head.beside)}",
                "say it in the text of both stages",
            )


def _beside(subject: Subject) -> Iterator[Section]:
    return (s for s in subject.outline.stages if s.head.beside)


def _stages(numbers: tuple[int, ...]) -> str:
    return "stage " + " and ".join(map(str, numbers))


def _said_elsewhere(subject: Subject, numbers: set[int]) -> bool:
    prose = (p for p in subject.outline.rest if p.kind is not Kind.FENCE)
    said = (s for p in prose for s in sentences(p.markdown) if _TOGETHER.search(s))
    return any(numbers <= {int(n) for n in re.findall(r"\d+", s)} for s in said)


def impossible(subject: Subject) -> Iterator[Doubt]:
    """Stages that are to run beside several others, or beside a checkpoint."""
    for section in _beside(subject):
        head = section.head
        if len(head.beside) > 1:
            yield Doubt(
                "parallel-with-several",
                head.line,
                f"stage {head.number} is to run beside {_stages(head.beside)}; "
                f"it starts with stage {min(head.beside)}",
                "name one stage",
            )
        for number in head.beside:
            if head.is_checkpoint or subject.section(number).head.is_checkpoint:
                yield Doubt(
                    "parallel-with-checkpoint",
                    head.line,
                    f"stages {head.number} and {number} cannot run in parallel: a checkpoint waits",
                    "let the stage stand before or behind the checkpoint",
                )


# -- summaries -------------------------------------------------------------------------------


def summaries(subject: Subject) -> Iterator[Doubt]:
    """Diagrams outside the stages that leave out a checkpoint or draw another order."""
    agents = {s.agent for s in subject.workflow.stages if not s.is_checkpoint}
    for piece in subject.outline.rest:
        if piece.kind is Kind.FENCE and len(_agents_of(piece.text, agents)) > 1:
            yield from _omissions(subject, piece, agents)
            yield from _drawn_beside(subject, piece, agents)


def _agents_of(text: str, agents: set[str]) -> list[re.Match[str]]:
    names = re.finditer(r"(?<![\w-])[A-Z][A-Z0-9_-]+(?![\w-])", text)
    return [name for name in names if name.group() in agents]


def _omissions(subject: Subject, piece: Piece, agents: set[str]) -> Iterator[Doubt]:
    for stage in subject.workflow.checkpoints:
        named = rf"checkpoint\s*#?\s*{stage.checkpoint}\b|\bstage\s*{stage.number}\b"
        titled = bool(stage.title) and stage.title.lower() in piece.text.lower()
        if not titled and not re.search(named, piece.text, re.IGNORECASE):
            yield Doubt(
                "summary-omits-checkpoint",
                piece.line,
                f"the summary leaves out checkpoint #{stage.checkpoint} (stage {stage.number})",
                "draw it where the family waits for USER",
            )
    for agent in sorted(agents - {m.group() for m in _agents_of(piece.text, agents)}):
        yield Doubt(
            "summary-omits-agent", piece.line, f"the summary leaves out {agent}", "draw its stage"
        )


def _drawn_beside(subject: Subject, piece: Piece, agents: set[str]) -> Iterator[Doubt]:
    for offset, line in enumerate(piece.text.split("\n"), start=1):
        for one, other in _side_by_side(line, agents):
            if not _any_beside(subject, one, other):
                yield Doubt(
                    "summary-parallel",
                    piece.line + offset,
                    f"the summary draws {one} and {other} side by side, "
                    "but their stages run one after the other",
                    "draw them in order, or say in the headings that they run in parallel",
                )


def _side_by_side(line: str, agents: set[str]) -> Iterator[tuple[str, str]]:
    """Names on one line with a wide gap or a box's edge between them, and no arrow."""
    for left, right in combinations(_agents_of(line, agents), 2):
        between = line[left.end() : right.start()]
        apart = re.search(r"\s{3,}|[│|]", between) and not re.search(r"→|⇒|>", between)
        if apart and left.group() != right.group():
            yield left.group(), right.group()


def _any_beside(subject: Subject, one: str, other: str) -> bool:
    stages = subject.workflow.stages
    return any(
        subject.beside(a, b) for a in stages if a.agent == one for b in stages if b.agent == other
    )


RULES = (only_in_heading, impossible, summaries)
