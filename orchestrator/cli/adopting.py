"""`orchestrate adopt`: an existing ticket or board comes under the conductor, after a look."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.session import AsJson, WorkflowFile, session
from orchestrator.cli.text import one_line, paint, say, say_json, table
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.adoption import Proposal, Refusal, Survey

_DIFF_STYLE = {"+": "green", "-": "red", "@": "cyan"}
#: ids of one reason that are named one by one
_NAMED = 8


def adopt(
    context: typer.Context,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Tickets; their families go along."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All families of the board that lie in working folders.")
    ] = False,
    workflow: WorkflowFile = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take existing tickets, or the whole board, under the conductor; nothing is run.

    Shows for each family what was understood and each line that would change, and changes it
    only after your yes. Without a terminal it needs --yes; else it changes nothing and exits 1.
    What cannot be adopted is listed with the reason. Exit code 1 also if a ticket that you named
    was not adopted.
    """
    if bool(ids) is every:
        raise UsageError("name tickets, or all of them", hint="orchestrate adopt ID, or --all")
    from orchestrator import adoption

    here = session(context)
    conductor, file = here.conductor(), here.file(workflow)
    found = adoption.survey(conductor, ids or (), file)
    if not as_json:
        _say_survey(found)
    adopted: list[str] = []
    late: list[Refusal] = []
    agreed = not dry_run and bool(found.proposals) and (yes or _asks(len(found.proposals), as_json))
    if agreed:
        adopted, late = adoption.adopt(conductor, found.proposals, file)
    if as_json:
        say_json(_told(found, adopted, late, dry_run))
    else:
        _say_end(found, adopted, late, dry_run)
    undone = bool(found.proposals) and not agreed and not dry_run
    raise typer.Exit(1 if undone or late or (ids and found.refusals) else 0)


def _asks(count: int, as_json: bool) -> bool:
    """Whether a person at a terminal says yes."""
    if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("nothing is changed without a yes: add --yes", file=sys.stderr)
        return False
    return typer.confirm(f"Adopt {_families(count)}?", default=False)


def _families(count: int) -> str:
    return f"{count} famil{'y' if count == 1 else 'ies'}"


def _told(
    found: Survey, adopted: Sequence[str], late: Sequence[Refusal], dry_run: bool
) -> dict[str, Any]:
    return {
        "families": [proposal.to_dict() for proposal in found.proposals],
        "refused": [asdict(refusal) for refusal in (*found.refusals, *late)],
        "conducted": list(found.conducted),
        "adopted": list(adopted),
        "dry_run": dry_run,
    }


# -- for people ----------------------------------------------------------------------------------


def _say_survey(found: Survey) -> None:
    for proposal in found.proposals:
        _say_proposal(proposal)
        say()
    _say_refusals(found.refusals)
    if found.conducted:
        say(f"conducted already: {_some(found.conducted)}")


def _say_proposal(proposal: Proposal) -> None:
    say(f"{paint(proposal.parent, 'bold')}  {one_line(proposal.members[0].title)}")
    for line in table((m.id, m.folder, m.owner or "nobody", m.path) for m in proposal.members):
        say(f"  {line}")
    say(f"  follows {one_line(proposal.workflow)}: {proposal.found}")
    for number, label in proposal.stages:
        here = number == proposal.stage
        say(f"    {'→' if here else ' '} {one_line(label)}{' (it would stand here)' * here}")
    for note in proposal.notes:
        place = f" line {note.line}:" if note.line else ""
        told = f"{note.ticket} [{note.code}]{place} {note.message}"
        say(f"  {paint('!', 'yellow')} {one_line(told)}")
    for change in proposal.changes:
        for line in change.diff:
            say("    " + paint(line.rstrip("\r"), _DIFF_STYLE.get(line[:1], "")))


def _say_refusals(refusals: Sequence[Refusal]) -> None:
    alike: dict[tuple[str, str, str], list[Refusal]] = defaultdict(list)
    for refusal in refusals:
        alike[(refusal.code, refusal.message, refusal.hint)].append(refusal)
    for (code, message, hint), those in alike.items():
        sign = paint("✗", "yellow")
        say(f"{sign} {_some([r.id for r in those])} [{code}] {one_line(message)}")
        if len(those) == 1 and those[0].path:
            say(f"    {those[0].path}")
        if hint:
            say(f"    hint: {one_line(hint)}")


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(ids[:_NAMED]) + more


def _say_end(found: Survey, adopted: Sequence[str], late: Sequence[Refusal], dry_run: bool) -> None:
    _say_refusals(late)
    if adopted:
        say(paint(f"adopted {_families(len(adopted))}: {_some(adopted)}", "green"))
        say(f"  next: orchestrate run {adopted[0]}")
    elif not found.proposals:
        say("nothing to adopt")
    else:
        shown = f"{_families(len(found.proposals))} could be adopted"
        say(f"{shown}; this was a dry run" if dry_run else f"{shown}; nothing was changed")
