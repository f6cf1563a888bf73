"""`orchestrate adopt`: bring existing tickets or a whole board under the conductor."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.elapsed import stop_line
from orchestrator.cli.text import (
    callable_commands,
    counted,
    one_line,
    paint,
    say,
    say_diff,
    say_json,
    some_of,
    table,
)
from orchestrator.cli.workspace import AcceptDoubts, AsJson, WorkflowFile, workspace
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.conductor.adoption import Proposal, Refusal


def adopt(
    context: typer.Context,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Tickets; their families are included."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All families of the board in working folders.")
    ] = False,
    workflow: WorkflowFile = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Adopt without asking.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")
    ] = False,
    accept_doubts: AcceptDoubts = None,
    as_json: AsJson = False,
) -> None:
    """Bring existing tickets, or a whole board, under the conductor.

    Nothing is run. Shows for each family what was understood and each line that would change, and
    changes it only after you agree. Without a terminal it needs --yes; otherwise it changes nothing
    and exits 1. What cannot be adopted is listed with the reason. Exit code 1 also if a ticket that
    you named was not adopted.
    """
    if bool(ids) is every:
        raise UsageError("name tickets, or all of them", hint="orchestrate adopt ID, or --all")
    from orchestrator.conductor import adoption

    here = workspace(context)
    conductor = here.conductor(accept_doubts=accept_doubts or ())
    file = here.file(workflow)
    found = adoption.survey(conductor, [here.id(id) for id in ids or ()], file)
    proposals, families = found.proposals, counted(len(found.proposals), "family", "families")
    if not as_json:
        for proposal in proposals:
            _say_proposal(proposal)
            say()
        _say_refusals(found.refusals)
        if found.conducted:
            say(f"already conducted: {some_of(found.conducted)}")
    agreed = not dry_run and bool(proposals) and (yes or _ask(families, as_json))
    adopted, late = adoption.adopt(conductor, proposals, file) if agreed else ([], [])
    if as_json:
        say_json(
            {
                "families": [proposal.to_dict() for proposal in proposals],
                "refused": [asdict(refusal) for refusal in (*found.refusals, *late)],
                "conducted": list(found.conducted),
                "adopted": list(adopted),
                "dry_run": dry_run,
            }
        )
    else:
        _say_refusals(late)
        if adopted:
            count = counted(len(adopted), "family", "families")
            say(paint(f"adopted {count}: {some_of(adopted)}", "green"))
            say(callable_commands(f"  next: orchestrate run {adopted[0]}"))
        elif not proposals:
            say("nothing to adopt")
        else:
            end = "this was a dry run" if dry_run else "nothing was changed"
            say(f"{families} could be adopted; {end}")
    undone = bool(proposals) and not agreed and not dry_run
    raise typer.Exit(1 if undone or late or (ids and found.refusals) else 0)


def _ask(families: str, as_json: bool) -> bool:
    """Whether a person at a terminal agrees."""
    if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("nothing is changed without your consent: add --yes", file=sys.stderr)
        return False
    stop_line()
    return typer.confirm(f"Adopt {families}?", default=False)


def _say_proposal(proposal: Proposal) -> None:
    say(f"{paint(proposal.parent, 'bold')}  {one_line(proposal.members[0].title)}")
    for line in table((m.id, m.folder, m.owner or "nobody", m.path) for m in proposal.members):
        say(f"  {line}")
    say(f"  follows {one_line(proposal.workflow)}: {proposal.found}")
    for number, label in proposal.stages:
        here = number == proposal.stage
        say(f"    {'→' if here else ' '} {one_line(label)}{' (it would start here)' * here}")
    for note in proposal.notes:
        place = f" line {note.line}:" if note.line else ""
        text = f"{note.ticket} [{note.code}]{place} {note.message}"
        say(f"  {paint('!', 'yellow')} {one_line(text)}")
    for change in proposal.changes:
        if change.status:
            say(f"  {paint('!', 'yellow')} {one_line(change.status)}")
        say_diff(change.diff, "    ")


def _say_refusals(refusals: Sequence[Refusal]) -> None:
    alike: dict[tuple[str, str, str], list[Refusal]] = defaultdict(list)
    for refusal in refusals:
        alike[(refusal.code, refusal.message, refusal.hint)].append(refusal)
    for (code, message, hint), same in alike.items():
        sign = paint("✗", "yellow")
        say(f"{sign} {some_of([r.id for r in same])} [{code}] {one_line(message)}")
        if len(same) == 1 and same[0].path:
            say(f"    {same[0].path}")
        if hint:
            say(f"    hint: {one_line(hint)}")
