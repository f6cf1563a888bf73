"""Order: checkpoints, numbers, and stages that do not say when they are done."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from orchestrator.domain.workflow import StatementKind
from orchestrator.markdown.blocks import Kind
from orchestrator.workflow_lint.base import LintContext, LintFinding, lint_rule
from orchestrator.workflow_reader.gate_words import is_gate
from orchestrator.workflow_reader.headings import looks_like_stage
from orchestrator.workflow_reader.human_gates import UNREAD_GATE, unread_gates
from orchestrator.workflow_reader.series import (
    LOWEST_HEADING,
    heads_stage,
    is_prose,
    words_of,
)

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


@lint_rule
def check_announced_checkpoints(context: LintContext) -> Iterator[LintFinding]:
    """ "checkpoints at stages 3 and 6" where the headings say otherwise."""
    real = [stage.number for stage in context.workflow.checkpoints]
    for piece in context.prose:
        for found in _AT_STAGES.finditer(piece.markdown):
            said = [int(n) for n in re.findall(r"\d+", found["numbers"] or found["first"])]
            several = "checkpoints" in found.group().lower() or len(said) > 1
            if set(said) - set(real) or (several and set(said) != set(real)):
                message = (
                    f"checkpoints are announced at stages {_listed(said)}, "
                    f"but are at {_listed(real)}"
                )
                hint = "correct the sentence or the headings; the headings count"
                yield LintFinding("checkpoint-position", piece.line, message, hint)


@lint_rule
def check_announced_counts(context: LintContext) -> Iterator[LintFinding]:
    """ "in eight stages" where there are seven."""
    real = {
        "stages": len(context.workflow.stages),
        "checkpoints": len(context.workflow.checkpoints),
    }
    for piece in context.prose:
        for found in _HOW_MANY.finditer(piece.markdown):
            word, what = found["count"].lower(), found["what"].lower()
            said = int(word) if word.isdigit() else _COUNTS.index(word) + 1
            if said != real[what]:
                message = f"the text says {said} {what}, but there are {real[what]}"
                yield LintFinding("wrong-count", piece.line, message, "correct the figure")


@lint_rule
def check_references(context: LintContext) -> Iterator[LintFinding]:
    """Stages and checkpoints that are named and do not exist."""
    stages = {s.number for s in context.workflow.stages}
    points = {s.checkpoint for s in context.workflow.checkpoints}
    for piece in context.prose:
        for found in re.finditer(rf"\bstages?\s+{_LIST}", piece.markdown, re.IGNORECASE):
            for n in re.findall(r"\d+", found["numbers"]):
                if int(n) not in stages:
                    yield LintFinding(
                        "unknown-stage", piece.line, f"there is no stage {n}", "correct the number"
                    )
        for found in re.finditer(r"\bcheckpoint\s*#?\s*(\d+)", piece.markdown, re.IGNORECASE):
            if int(found[1]) not in points:
                message = f"there is no checkpoint #{found[1]}"
                yield LintFinding("unknown-checkpoint", piece.line, message, "correct the number")


@lint_rule
def check_done_when(context: LintContext) -> Iterator[LintFinding]:
    """Stages that do not say when they are done, or claim nothing at all."""
    stages = context.workflow.stages
    silent = [
        stage
        for stage in stages
        if not any(
            s.kind is StatementKind.DONE_WHEN or re.match(r"done[ -]when", s.group, re.IGNORECASE)
            for s in stage.statements
        )
    ]
    # of a checkpoint, USER's answer says that it is done
    mute = [stage for stage in silent if not (stage.statements or stage.is_checkpoint)]
    if len(mute) > 2 and len(mute) == sum(not stage.is_checkpoint for stage in stages):
        message = "no stage says what must hold: only the criteria of the tickets are proven"
        hint = "add a line **Done when:** with what must hold, or leave it to the tickets"
        yield LintFinding("stage-without-statement", mute[0].line, message, hint)
        return
    for stage in silent:
        if stage in mute:
            message = f"stage {stage.number} claims nothing that can be proven"
            hint = "add a **Done when:** or a checklist"
            yield LintFinding("stage-without-statement", stage.line, message, hint)
        elif stage.statements:
            message = (
                f'stage {stage.number} has no "Done when" ({len(stages)} stages, '
                f"{len(stages) - len(silent)} with one)"
            )
            hint = "add a line **Done when:** with what must hold"
            yield LintFinding("stage-without-done-when", stage.line, message, hint)


@lint_rule
def check_early_build(context: LintContext) -> Iterator[LintFinding]:
    """A ticket that is put in BUILD while its maker still waits for a checkpoint."""
    stages = context.workflow.stages
    routes = {child.id: child.agent for stage in stages for child in stage.children}
    for stage in stages:
        built = [m for m in stage.moves if re.search(r"(?:^|_)BUILD$", m.folder)]
        for move, member in ((m, member) for m in built for member in m.members):
            agent = routes.get(member) or move.owner
            later = (s for s in stages if s.number > stage.number)
            maker = next((s for s in later if s.agent == agent and member in s.members), None)
            if maker is None:
                continue
            between = range(stage.number + 1, maker.number)
            for waiting in [c for c in context.workflow.checkpoints if c.number in between][:1]:
                gate = f"checkpoint #{waiting.checkpoint}"
                message = (
                    f"{member} is put in {move.folder} at stage {stage.number}, but "
                    f"{maker.agent} starts at stage {maker.number}, behind {gate}"
                )
                hint = f"move it to {move.folder} when {gate} is approved"
                yield LintFinding("build-before-checkpoint", move.line, message, hint)


@lint_rule
def check_numbers(context: LintContext) -> Iterator[LintFinding]:
    """Stages out of order or with gaps, checkpoints not counted 1, 2, 3 or not called so."""
    for before, stage in pairwise(context.workflow.stages):
        if stage.line < before.line:
            message = f"stage {stage.number} is above stage {before.number}"
            hint = "stages run by number; put them in that order"
            yield LintFinding("stage-order", stage.line, message, hint)
        elif stage.number != before.number + 1:
            message = f"stage {stage.number} follows stage {before.number}"
            yield LintFinding("stage-gap", stage.line, message, "is a stage missing?")
    for k, stage in enumerate(context.workflow.checkpoints, start=1):
        if stage.checkpoint != k:
            message = f"checkpoint #{stage.checkpoint} is number {k} in order"
            hint = "renumber the checkpoints"
            yield LintFinding("checkpoint-number", stage.line, message, hint)
        heading = stage.text.split("\n", 1)[0].lower()
        # of a series, "Human approval" is said plainly enough
        if re.match(r"#+\W+stage\b", heading) and "checkpoint" not in heading:
            yield LintFinding(
                "user-stage",
                stage.line,
                f"stage {stage.number} is USER's but not called a checkpoint; it is taken as one",
                f"write STAGE {stage.number}: USER CHECKPOINT #{stage.checkpoint} — {stage.title}",
            )


@lint_rule
def check_headings(context: LintContext) -> Iterator[LintFinding]:
    """Headings that look like a stage and are none: by their words, or between two stages."""
    heads = [section.head for section in context.outline.stages]
    first, last = min(h.line for h in heads), max(h.line for h in heads)
    level = min(h.level for h in heads)
    outside = {p.line for p in context.outline.rest}
    for piece in context.outline.blocks:
        if piece.kind is not Kind.HEADING:
            continue
        words = words_of(piece)
        between = first < piece.line < last and piece.level == level and not is_prose(words)
        numbered = heads_stage(words) and piece.level >= level
        if looks_like_stage(piece) or (piece.line in outside and (between or numbered)):
            if is_gate(words):
                continue  # told as one
            message = f"'{piece.text}' is not read as a stage"
            hint = "a stage's heading is `STAGE n: AGENT — Title`"
            yield LintFinding("heading-not-a-stage", piece.line, message, hint)


@lint_rule
def check_list_numbers(context: LintContext) -> Iterator[LintFinding]:
    """Numbered lists that start in the middle, skip, restart, or are cut in two."""
    hint = "number the steps 1, 2, 3 … in one list (indent a block that belongs to a step)"
    for section in context.outline.stages:
        if section.head.level > LOWEST_HEADING:
            continue  # the list is the stages
        last, cut = 0, 0
        for piece in section.body:
            number = piece.number
            if piece.kind is Kind.HEADING or (piece.is_label and piece.level == 0):
                last, cut = 0, 0
            elif piece.level == 0 and last:
                cut = cut or piece.line
            elif piece.kind is Kind.ITEM and piece.level == 1 and number is not None:
                problem = ""
                if last == 0 and number > 1:
                    problem = f"starts at {number}"
                elif last and number == last + 1 and cut:
                    problem = f"is cut at line {cut} and goes on at {number}"
                elif number < last or (number == last and cut):
                    problem = f"restarts at {number} after {last}"
                elif last and number > last + 1:
                    problem = f"jumps from {last} to {number}"
                if problem:
                    message = f"stage {section.head.number}: the numbered list {problem}"
                    yield LintFinding("list-numbering", piece.line, message, hint)
                last, cut = number, 0


@lint_rule
def check_human_gates(context: LintContext) -> Iterator[LintFinding]:
    """Approvals that are written down and that no checkpoint asks for."""
    heads = sorted((s.head for s in context.outline.stages), key=lambda h: h.line)
    for gate in unread_gates(context.outline):
        message = f"“{gate.words}” reads like a person's approval, and no checkpoint asks for it"
        before = [head for head in heads if head.line < gate.line]
        mark = "#" * min(heads[0].level, LOWEST_HEADING)
        title = gate.words if len(gate.words) < 50 else "Approval"
        if not any(head.is_of_series for head in heads):
            number = before[-1].number + 1 if before else heads[0].number
            k = sum(head.is_checkpoint for head in before) + 1
            made = f"{mark} STAGE {number}: USER CHECKPOINT #{k} — {title}"
            hint = f"make it a stage, `{made}`, and renumber those that follow"
        else:
            hint = (
                f"put the heading `{mark} Checkpoint: {title}` above it, and one above what follows"
            )
        yield LintFinding(UNREAD_GATE, gate.line, message, hint)
