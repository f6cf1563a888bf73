"""What runs in parallel: headings, text and drawn summaries that disagree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations

from orchestrator.markdown.blocks import Kind
from orchestrator.workflow_lint.base import LintContext, LintFinding, lint_rule


@lint_rule
def check_parallel_headings(context: LintContext) -> Iterator[LintFinding]:
    """A "parallel" that names several stages, or a checkpoint."""
    for section in context.outline.stages:
        head = section.head
        if not head.beside:
            continue
        others = [context.section(n) for n in head.beside]
        listed = "stage " + " and ".join(map(str, head.beside))
        if len(others) > 1:
            message = (
                f"stage {head.number} is to run beside {listed}; "
                f"it starts with stage {min(head.beside)}"
            )
            yield LintFinding("parallel-with-several", head.line, message, "name one stage")
        for other in others:
            if head.is_checkpoint or other.head.is_checkpoint:
                message = (
                    f"stages {head.number} and {other.head.number} cannot run in parallel: "
                    "a checkpoint waits"
                )
                hint = "put the stage before or after the checkpoint"
                yield LintFinding("parallel-with-checkpoint", head.line, message, hint)


@lint_rule
def check_summaries(context: LintContext) -> Iterator[LintFinding]:
    """Diagrams outside the stages that leave out a checkpoint or draw another order."""
    workflow = context.workflow
    agents = {s.agent for s in workflow.stages if not s.is_checkpoint}
    for piece in context.outline.rest:
        drawn = [name.group() for name in _agents_in(piece.text, agents)]
        if piece.kind is not Kind.FENCE or len(drawn) < 2:
            continue
        for stage in workflow.checkpoints:
            named = rf"checkpoint\s*#?\s*{stage.checkpoint}\b|\bstage\s*{stage.number}\b"
            titled = bool(stage.title) and stage.title.lower() in piece.text.lower()
            if not titled and not re.search(named, piece.text, re.IGNORECASE):
                yield LintFinding(
                    "summary-omits-checkpoint",
                    piece.line,
                    f"the summary leaves out checkpoint #{stage.checkpoint} (stage {stage.number})",
                    "draw it where the family waits for USER",
                )
        for agent in sorted(agents.difference(drawn)):
            message = f"the summary leaves out {agent}"
            yield LintFinding("summary-omits-agent", piece.line, message, "draw its stage")
        for number, line in enumerate(piece.text.split("\n"), start=piece.line + 1):
            for one, other in _drawn_side_by_side(line, agents):
                mine, theirs = (
                    [s for s in workflow.stages if s.agent == agent] for agent in (one, other)
                )
                if not any(context.are_parallel(a, b) for a in mine for b in theirs):
                    message = (
                        f"the summary draws {one} and {other} side by side, "
                        "but their stages run one after the other"
                    )
                    hint = "draw them in order, or say in the headings that they run in parallel"
                    yield LintFinding("summary-parallel", number, message, hint)


def _agents_in(text: str, agents: set[str]) -> Iterator[re.Match[str]]:
    names = re.finditer(r"(?<![\w-])[A-Z][A-Z0-9_-]+(?![\w-])", text)
    return (name for name in names if name.group() in agents)


def _drawn_side_by_side(line: str, agents: set[str]) -> Iterator[tuple[str, str]]:
    """Names on one line with a wide gap or a box's edge between them, and no arrow."""
    for left, right in combinations(_agents_in(line, agents), 2):
        between = line[left.end() : right.start()]
        apart = re.search(r"\s{3,}|[│|]", between) and not re.search(r"→|⇒|>", between)
        if apart and left.group() != right.group():
            yield left.group(), right.group()
