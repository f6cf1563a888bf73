"""`orchestrate workflow`: a workflow as it is understood, and every doubt about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.text import counted, one_line, paint, say, say_json
from orchestrator.cli.workspace import AcceptDoubts, AsJson, Workspace, workspace

if TYPE_CHECKING:
    from orchestrator.domain.workflow import Stage, Workflow

#: values for a template, since there is no ticket
_EXAMPLE = {"id": "WO-001", "title": "An example", "owner": "BUILDER", "priority": "P2"}

WorkflowPath = Annotated[Path, typer.Argument(metavar="FILE", help="A workflow's markdown file.")]


def check(
    context: typer.Context,
    file: WorkflowPath,
    accept_doubts: AcceptDoubts = None,
    as_json: AsJson = False,
) -> None:
    """Print the stages as understood and every doubt.

    Exit code 1 if there is a doubt. A doubt whose code --accept-doubts names is printed, and does
    not count.
    """
    from orchestrator.agent_process.worker import agent_names
    from orchestrator.workflow_lint.linter import check_workflow

    here = workspace(context)
    workflow = _read(here, file)
    agents = {*agent_names(), *here.settings.agents}
    folders = here.settings.board.folders_in(here.root)
    doubts = list(check_workflow(workflow, root=here.root, agents=agents, folders=folders))
    accepted = frozenset(accept_doubts or ())
    left = [doubt for doubt in doubts if doubt.code not in accepted]
    if as_json:
        say_json(
            {
                "workflow": str(workflow.path),
                "title": workflow.title,
                "stages": [
                    {
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
                    for stage in workflow.stages
                ],
                "doubts": [
                    {**asdict(doubt), "accepted": doubt.code in accepted} for doubt in doubts
                ],
            }
        )
        raise typer.Exit(1 if left else 0)
    say(paint(workflow.title or str(file), "bold"))
    for stage in workflow.stages:
        say(f"  {stage.label}  {paint(' · '.join(_summarize(stage)), 'dim')}")
    say()
    for doubt in doubts:
        kind = paint("doubt", "yellow") if doubt in left else "accepted doubt"
        say(f"{kind}[{doubt.code}]: {file}:{doubt.line}: {doubt.message}")
        if doubt.hint and doubt in left:
            say(f"  hint: {doubt.hint}")
    more = f" ({len(doubts) - len(left)} accepted)" if len(left) < len(doubts) else ""
    say((counted(len(left), "doubt") if left else paint("no doubts", "green")) + more)
    raise typer.Exit(1 if left else 0)


def show(context: typer.Context, file: WorkflowPath, as_json: AsJson = False) -> None:
    """Print all that is read from a workflow.

    Members, deliverables, statements and moves of each stage.
    """
    workflow = _read(workspace(context), file)
    if as_json:
        say_json(asdict(workflow))
        return
    say(paint(workflow.title or str(file), "bold"))
    for stage in workflow.stages:
        say()
        say(paint(f"{stage.label}  (line {stage.line})", "bold"))
        for label, text in _list_parts(stage):
            say(f"  {label + ':':<12} {one_line(text)}")
    for statement in workflow.statements:
        say(f"  {statement.kind.value + ':':<12} {one_line(statement.text)}")


def _read(here: Workspace, file: Path) -> Workflow:
    from orchestrator.workflow_reader.parser import read_workflow

    return read_workflow(here.file(file) or file, root=here.root, variables=_EXAMPLE)


def _summarize(stage: Stage) -> Iterator[str]:
    if stage.members:
        yield ", ".join(stage.members)
    if stage.deliverables:
        yield counted(len(stage.deliverables), "deliverable")
    if stage.statements:
        yield counted(len(stage.statements), "statement")
    if stage.ready:
        yield "marked as done"
    if stage.parallel_with is not None:
        yield f"parallel with stage {stage.parallel_with}"


def _list_parts(stage: Stage) -> Iterator[tuple[str, str]]:
    """What a stage contains, as (label, text)."""
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
