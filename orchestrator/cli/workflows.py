"""`orchestrate workflow`: a workflow as it is understood, and every doubt about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.session import AsJson, Session, session
from orchestrator.cli.text import one_line, paint, say, say_json

if TYPE_CHECKING:
    from orchestrator.domain.workflow import Stage, Workflow
    from orchestrator.workflow_lint import LintFinding

#: what a template is read with, as no ticket is at hand
_EXAMPLE = {"id": "WO-001", "title": "An example", "owner": "BUILDER", "priority": "P2"}

File = Annotated[Path, typer.Argument(metavar="FILE", help="A workflow's markdown file.")]


def check(context: typer.Context, file: File, as_json: AsJson = False) -> None:
    """Print the stages as understood and every doubt; exit 1 if there is one."""
    here = session(context)
    workflow = _read(here, file)
    doubts = _doubts(here, workflow)
    if as_json:
        say_json(
            {
                "workflow": str(workflow.path),
                "title": workflow.title,
                "stages": [_summary(stage) for stage in workflow.stages],
                "doubts": [asdict(doubt) for doubt in doubts],
            }
        )
    else:
        say(paint(workflow.title or str(file), "bold"))
        for stage in workflow.stages:
            say(f"  {stage.label}  {paint(_counts(stage), 'dim')}")
        _say_doubts(file, doubts)
    raise typer.Exit(1 if doubts else 0)


def show(context: typer.Context, file: File, as_json: AsJson = False) -> None:
    """Print all that is read from a workflow: members, deliverables, statements, moves."""
    workflow = _read(session(context), file)
    if as_json:
        say_json(asdict(workflow))
        return
    say(paint(workflow.title or str(file), "bold"))
    for stage in workflow.stages:
        say()
        say(paint(f"{stage.label}  (line {stage.line})", "bold"))
        for label, text in _parts(stage):
            say(f"  {label + ':':<12} {one_line(text)}")
    for statement in workflow.statements:
        say(f"  {statement.kind.value + ':':<12} {one_line(statement.text)}")


def _read(here: Session, file: Path) -> Workflow:
    from orchestrator.workflow_reader.parser import read_workflow

    return read_workflow(here.file(file) or file, root=here.root, variables=_EXAMPLE)


def _doubts(here: Session, workflow: Workflow) -> list[LintFinding]:
    from orchestrator.agent_process.worker import agent_names
    from orchestrator.workflow_lint.linter import check_workflow

    agents = {*agent_names(), *here.settings.agents}
    return list(
        check_workflow(
            workflow,
            root=here.root,
            agents=agents,
            folders=here.settings.board.folders_in(here.root),
        )
    )


def _say_doubts(file: Path, doubts: list[LintFinding]) -> None:
    say()
    if not doubts:
        say(paint("no doubts", "green"))
        return
    for doubt in doubts:
        say(f"{paint('doubt', 'yellow')}[{doubt.code}]: {file}:{doubt.line}: {doubt.message}")
        if doubt.hint:
            say(f"  hint: {doubt.hint}")
    say(f"{len(doubts)} doubt{'s' if len(doubts) != 1 else ''}")


def _summary(stage: Stage) -> dict[str, Any]:
    return {
        "number": stage.number,
        "agent": stage.agent,
        "title": stage.title,
        "line": stage.line,
        "checkpoint": stage.checkpoint,
        "ready": stage.ready,
        "parallel_with": stage.parallel_with,
        "members": list(stage.members),
        "deliverables": [deliverable.path for deliverable in stage.deliverables],
        "statements": [statement.text for statement in stage.statements],
    }


def _counts(stage: Stage) -> str:
    counts = [
        (len(stage.deliverables), "deliverable"),
        (len(stage.statements), "statement"),
    ]
    words = [f"{n} {word}{'s' if n != 1 else ''}" for n, word in counts if n]
    if stage.members:
        words.insert(0, ", ".join(stage.members))
    if stage.ready:
        words.append("marked as done")
    if stage.parallel_with is not None:
        words.append(f"beside stage {stage.parallel_with}")
    return " · ".join(words)


def _parts(stage: Stage) -> Iterator[tuple[str, str]]:
    """What a stage holds, as (label, text)."""
    if stage.members:
        yield "works on", ", ".join(stage.members)
    for child in stage.children:
        yield "splits off", f"{child.id} for {child.agent}: {child.title}"
    for deliverable in stage.deliverables:
        block = f" ({deliverable.block.language} block)" if deliverable.block else ""
        yield deliverable.verb, f"{deliverable.path}{block}"
    for need in stage.needs:
        yield "needs", f"{need.path} from {need.provider}"
    for statement in stage.statements:
        yield statement.kind.value, statement.text
    for move in stage.moves:
        yield "moves", f"{', '.join(move.members)} → {move.folder} ({move.owner or 'same owner'})"
    if stage.on_pass:
        yield "if PASS", stage.on_pass
    if stage.on_fail:
        yield "if FAIL", stage.on_fail
