"""Doubts about order: checkpoints, numbers, and stages that do not say when they are done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from orchestrator.domain.workflow import Stage, StatementKind
from orchestrator.markdown.blocks import Kind, Piece
from orchestrator.workflow_lint.base import Doubt, Subject
from orchestrator.workflow_reader.headings import Heading

_COUNTS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_LIST = r"(?P<numbers>#?\d+(?:\s*(?:,\s*and|,|and|&|or|/)\s*#?\d+)*)"
_AT_STAGES = re.compile(
    rf"\bcheckpoints?\b(?:\s*#?\d+)?[^.;:]*?\bstages?\s+{_LIST}"
    rf"|\bstages?\s+{_LIST.replace('numbers', 'first')}\s+(?:is|are)\s+"
    r"(?:[\w-]+\s+){0,2}checkpoints?\b",
    re.IGNORECASE,
)
_HOW_MANY = re.compile(
    rf"\b(?:has|have|with|in|of|these|the|all)\s+(?P<count>\d{{1,2}}|{'|'.join(_COUNTS)})\s+(?:USER\s+)?"
    r"(?P<what>stages|checkpoints)\b",
    re.IGNORECASE,
)


def _listed(numbers: tuple[int, ...] | list[int]) -> str:
    words = [str(n) for n in numbers]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) or "none"


def announced_checkpoints(subject: Subject) -> Iterator[Doubt]:
    """ "checkpoints at stages 3 and 6" where the headings say otherwise."""
    real = [stage.number for stage in subject.workflow.checkpoints]
    for piece in subject.prose:
        for found in _AT_STAGES.finditer(piece.markdown):
            said = [int(n) for n in re.findall(r"\d+", found["numbers"] or found["first"])]
            several = "checkpoints" in found.group().lower() or len(said) > 1
            if set(said) - set(real) or (several and set(said) != set(real)):
                yield Doubt(
                    "checkpoint-position",
                    piece.line,
                    f"checkpoints are announced at stages {_listed(said)}, "
                    f"but stand at {_listed(real)}",
                    "correct the sentence or the headings; the headings count",
                )


def announced_counts(subject: Subject) -> Iterator[Doubt]:
    """ "in eight stages" where there are seven."""
    real = {
        "stages": len(subject.workflow.stages),
        "checkpoints": len(subject.workflow.checkpoints),
    }
    for piece in subject.prose:
        for found in _HOW_MANY.finditer(piece.markdown):
            word, what = found["count"].lower(), found["what"].lower()
            said = int(word) if word.isdigit() else _COUNTS.index(word) + 1
            if said != real[what]:
                yield Doubt(
                    "wrong-count",
                    piece.line,
                    f"the text speaks of {said} {what}, but there are {real[what]}",
                    "correct the figure",
                )


def unknown_references(subject: Subject) -> Iterator[Doubt]:
    """Stages and checkpoints that are named and do not exist."""
    stages = {s.number for s in subject.workflow.stages}
    points = {s.checkpoint for s in subject.workflow.checkpoints}
    for piece in subject.prose:
        for found in re.finditer(rf"\bstages?\s+{_LIST}", piece.markdown, re.IGNORECASE):
            for n in re.findall(r"\d+", found["numbers"]):
                if int(n) not in stages:
                    yield Doubt(
                        "unknown-stage", piece.line, f"there is no stage {n}", "correct the number"
                    )
        for found in re.finditer(r"\bcheckpoint\s*#?\s*(\d+)", piece.markdown, re.IGNORECASE):
            if int(found[1]) not in points:
                yield Doubt(
                    "unknown-checkpoint",
                    piece.line,
                    f"there is no checkpoint #{found[1]}",
                    "correct the number",
                )


def missing_done_when(subject: Subject) -> Iterator[Doubt]:
    """Stages that do not say when they are done, or claim nothing at all."""
    stages = subject.workflow.stages
    silent = [s for s in stages if not _says_when_done(s)]
    for stage in silent:
        yield Doubt(
            "stage-without-done-when",
            stage.line,
            f'stage {stage.number} has no "Done when" ({len(stages)} stages, '
            f"{len(stages) - len(silent)} with one)",
            "add a line **Done when:** with what must hold",
        )
        if not stage.statements:
            yield Doubt(
                "stage-without-statement",
                stage.line,
                f"stage {stage.number} claims nothing that can be proven",
                "add a **Done when:** or a checklist",
            )


def _says_when_done(stage: Stage) -> bool:
    return any(
        s.kind is StatementKind.DONE_WHEN or re.match(r"done[ -]when", s.group, re.IGNORECASE)
        for s in stage.statements
    )


def early_build(subject: Subject) -> Iterator[Doubt]:
    """A ticket that is put in BUILD while its maker still waits for a checkpoint."""
    for stage in subject.workflow.stages:
        for move in stage.moves:
            for member in move.members if re.search(r"(?:^|_)BUILD$", move.folder) else ():
                maker = _maker(subject, stage, member, move.owner)
                gate = maker and _gate_between(subject, stage, maker)
                if maker and gate:
                    yield Doubt(
                        "build-before-checkpoint",
                        move.line,
                        f"{member} is put in {move.folder} at stage {stage.number}, but "
                        f"{maker.agent} starts at stage {maker.number}, behind {gate}",
                        f"move it to {move.folder} when {gate} is approved",
                    )


def _maker(subject: Subject, stage: Stage, member: str, owner: str) -> Stage | None:
    """The later stage in which the ticket's own agent first works on it."""
    routes = {c.id: c.agent for s in subject.workflow.stages for c in s.children}
    agent = routes.get(member) or owner
    later = (s for s in subject.workflow.stages if s.number > stage.number)
    return next((s for s in later if s.agent == agent and member in s.members), None)


def _gate_between(subject: Subject, stage: Stage, maker: Stage) -> str:
    numbers = [c for c in subject.workflow.checkpoints if stage.number < c.number < maker.number]
    return f"checkpoint #{numbers[0].checkpoint}" if numbers else ""


def stage_numbers(subject: Subject) -> Iterator[Doubt]:
    """Stages out of order or with gaps."""
    for before, stage in pairwise(subject.workflow.stages):
        if stage.line < before.line:
            yield Doubt(
                "stage-order",
                stage.line,
                f"stage {stage.number} stands above stage {before.number}",
                "stages run by number; let them stand so",
            )
        elif stage.number != before.number + 1:
            yield Doubt(
                "stage-gap",
                stage.line,
                f"stage {stage.number} follows stage {before.number}",
                "is a stage missing?",
            )


def checkpoint_numbers(subject: Subject) -> Iterator[Doubt]:
    """Checkpoints that are not counted 1, 2, 3, or not called so."""
    for k, stage in enumerate(subject.workflow.checkpoints, start=1):
        if stage.checkpoint != k:
            yield Doubt(
                "checkpoint-number",
                stage.line,
                f"checkpoint #{stage.checkpoint} is number {k} in order",
                "count the checkpoints anew",
            )
        if not re.search("checkpoint", stage.text.split("\n", 1)[0], re.IGNORECASE):
            yield Doubt(
                "user-stage",
                stage.line,
                f"stage {stage.number} is USER's but not called a checkpoint; it is taken as one",
                f"write STAGE {stage.number}: USER CHECKPOINT #{stage.checkpoint} — {stage.title}",
            )


def headings_not_read(subject: Subject) -> Iterator[Doubt]:
    """Headings that look like a stage and are none."""
    for piece in subject.outline.blocks:
        if piece.kind is Kind.HEADING and Heading.of(piece).looks_like_stage:
            yield Doubt(
                "heading-not-a-stage",
                piece.line,
                f"'{piece.text}' is not read as a stage",
                "a stage's heading is `STAGE n: AGENT — Title`",
            )


def list_numbers(subject: Subject) -> Iterator[Doubt]:
    """Numbered lists that start in the middle, skip, restart, or are cut in two."""
    for section in subject.outline.stages:
        for line, problem in _list_problems(section.body):
            yield Doubt(
                "list-numbering",
                line,
                f"stage {section.head.number}: {problem}",
                "number the steps 1, 2, 3 … in one list (indent a block that belongs to a step)",
            )


def _list_problems(body: Iterable[Piece]) -> Iterator[tuple[int, str]]:
    last, cut = 0, 0
    for piece in body:
        if piece.kind is Kind.HEADING or (piece.is_label and piece.level == 0):
            last, cut = 0, 0
        elif piece.level == 0 and last:
            cut = cut or piece.line
        elif piece.kind is Kind.ITEM and piece.level == 1 and piece.number is not None:
            problem = _numbering(last, piece.number, cut)
            if problem:
                yield piece.line, problem
            last, cut = piece.number, 0


def _numbering(last: int, number: int, cut: int) -> str:
    if last == 0:
        return f"the numbered list starts at {number}" if number > 1 else ""
    if number == last + 1:
        return f"the numbered list is cut at line {cut} and goes on at {number}" if cut else ""
    if number <= last:
        lazy = number == last and not cut
        return "" if lazy else f"the numbered list restarts at {number} after {last}"
    return f"the numbered list jumps from {last} to {number}"


RULES = (
    announced_checkpoints,
    announced_counts,
    unknown_references,
    missing_done_when,
    early_build,
    stage_numbers,
    checkpoint_numbers,
    headings_not_read,
    list_numbers,
)
