"""The commands by which USER answers and steers: approve, send-back, hold, resume, …"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.running import ProgressPrinter
from orchestrator.cli.session import AsJson, Session, TicketId, session
from orchestrator.cli.text import one_line, paint, say, say_json

if TYPE_CHECKING:
    from orchestrator.conductor.conductor import Conductor, RunOutcome

Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Words for the record.")]


def _conductor(here: Session, as_json: bool) -> Conductor:
    return here.conductor(None if as_json else ProgressPrinter())


def _done(what: str, outcome: RunOutcome, as_json: bool, go_on: str = "") -> None:
    """Say what was recorded, and how the family goes on."""
    if as_json:
        say_json(outcome.to_dict(), indent=None)
        return
    say(paint(f"{outcome.ticket}: {what}", "green"))
    for reason in outcome.reasons:
        say(f"  {one_line(reason)}")
    if go_on:
        say(f"  next: {go_on}")


def approve(
    context: typer.Context,
    id: TicketId,
    note: Note = "",
    accept: Annotated[
        list[str] | None,
        typer.Option(
            "--accept", metavar="STATEMENT", help="Accept this failed statement; may be repeated."
        ),
    ] = None,
    accept_unproven: Annotated[
        bool, typer.Option("--accept-unproven", help="Take the statements that are unproven.")
    ] = False,
    target: Annotated[
        str,
        typer.Option(
            "--target", metavar="NAME", help="Name the database that the effects write to."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Answer the open question: approved. `run` then goes on."""
    outcome = _conductor(session(context), as_json).approve(
        id, note=note, accept=accept or (), accept_unproven=accept_unproven, target=target
    )
    _done("approved", outcome, as_json, f"orchestrate run {outcome.ticket}")


def send_back(
    context: typer.Context,
    id: TicketId,
    note: Annotated[
        str, typer.Option("--note", metavar="TEXT", help="What has to change, for the maker.")
    ],
    member: Annotated[
        str,
        typer.Option("--member", metavar="ID", help="Send only this ticket back, e.g. WO-231a."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Answer the open question: changes requested.

    The makers get your words and a new attempt; it does not count as a failure.
    """
    outcome = _conductor(session(context), as_json).send_back(id, member=member, note=note)
    _done("sent back", outcome, as_json, f"orchestrate run {outcome.ticket}")


def hold(
    context: typer.Context,
    id: TicketId,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it has to wait.")],
    as_json: AsJson = False,
) -> None:
    """Put a ticket on hold; its family waits until `resume`."""
    outcome = _conductor(session(context), as_json).hold(id, reason=reason)
    _done("on hold", outcome, as_json, f"orchestrate resume {outcome.ticket}")


def resume(context: typer.Context, id: TicketId, as_json: AsJson = False) -> None:
    """Take a held family back to where it was.

    Its failure counts start again at 0.
    """
    outcome = _conductor(session(context), as_json).resume(id)
    _done("resumed", outcome, as_json, f"orchestrate run {outcome.ticket}")


def archive(context: typer.Context, id: TicketId, as_json: AsJson = False) -> None:
    """Put a family away for good. An open question closes unanswered."""
    outcome = _conductor(session(context), as_json).archive(id)
    _done("archived", outcome, as_json, f"orchestrate reopen {outcome.ticket}")


def shelve(context: typer.Context, id: TicketId, as_json: AsJson = False) -> None:
    """Put a family from triage or hold into the backlog, until `resume`."""
    outcome = _conductor(session(context), as_json).shelve(id)
    _done("in the backlog", outcome, as_json, f"orchestrate resume {outcome.ticket}")


def reopen(context: typer.Context, id: TicketId, as_json: AsJson = False) -> None:
    """Begin a new round of a family that is complete or archived."""
    outcome = _conductor(session(context), as_json).reopen(id)
    _done("reopened", outcome, as_json, f"orchestrate run {outcome.ticket}")


def undo(context: typer.Context, id: TicketId, as_json: AsJson = False) -> None:
    """Withdraw the last approval, until its effects start."""
    outcome = _conductor(session(context), as_json).undo(id)
    _done("approval withdrawn", outcome, as_json, f"orchestrate run {outcome.ticket}")
