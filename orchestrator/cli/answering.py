"""The commands by which USER answers and steers: approve, send-back, hold, resume, …"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.running import ProgressPrinter, run
from orchestrator.cli.text import callable_commands, one_line, paint, say, say_json
from orchestrator.cli.workspace import AsJson, TicketId, workspace

if TYPE_CHECKING:
    from orchestrator.conductor.conductor import Conductor, RunOutcome

Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Words for the record.")]


def _act(
    context: typer.Context,
    as_json: bool,
    act: Callable[[Conductor], RunOutcome],
    done: str,
    command: str = "run",
) -> None:
    """Do it, then say what was recorded and which command comes next."""
    printer = ProgressPrinter()
    conductor = workspace(context).conductor(None if as_json else printer)
    try:
        outcome = act(conductor)
    finally:
        printer.close()
    if as_json:
        say_json(outcome.to_dict(), indent=None)
        return
    say(paint(f"{outcome.ticket}: {done}", "green"))
    for reason in outcome.reasons:
        say(f"  {one_line(reason)}")
    if command:
        say(callable_commands(f"  next: orchestrate {command} {outcome.ticket}"))


def approve(
    context: typer.Context,
    id: TicketId,
    note: Note = "",
    accept: Annotated[
        list[str] | None,
        typer.Option(
            "--accept", metavar="STATEMENT", help="Accept this failed statement (repeatable)."
        ),
    ] = None,
    accept_unproven: Annotated[
        bool, typer.Option("--accept-unproven", help="Accept the statements that are unproven.")
    ] = False,
    target: Annotated[
        str,
        typer.Option(
            "--target", metavar="NAME", help="Name the database that the effects write to."
        ),
    ] = "",
    then_run: Annotated[
        bool, typer.Option("--run", help="Go on at once, as `orchestrate run` does.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Answer the open question: approved. `run` then continues, or --run, or `watch`."""

    def act(conductor: Conductor) -> RunOutcome:
        return conductor.approve(
            id, note=note, accept=accept or (), accept_unproven=accept_unproven, target=target
        )

    _act(context, as_json, act, "approved", "" if then_run else "run")
    if then_run:
        run(context, id, as_json=as_json)


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
    child = workspace(context).id(member) if member else ""
    _act(context, as_json, lambda c: c.send_back(id, member=child, note=note), "sent back")


def hold(
    context: typer.Context,
    id: TicketId,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it has to wait.")],
    as_json: AsJson = False,
) -> None:
    """Put a ticket on hold; its family waits until `resume`."""
    _act(context, as_json, lambda c: c.hold(id, reason=reason), "on hold", "resume")


def resume(context: typer.Context, id: TicketId, as_json: AsJson = False) -> None:
    """Return a held family to where it was.

    Its failure counts are reset to 0.
    """
    _act(context, as_json, lambda c: c.resume(id), "resumed")


def archive(context: typer.Context, id: TicketId, as_json: AsJson = False) -> None:
    """Archive a family. An open question closes unanswered."""
    _act(context, as_json, lambda c: c.archive(id), "archived", "reopen")


def shelve(context: typer.Context, id: TicketId, as_json: AsJson = False) -> None:
    """Move a family from triage or hold to the backlog.

    It stays there until `resume`.
    """
    _act(context, as_json, lambda c: c.shelve(id), "in the backlog", "resume")


def reopen(context: typer.Context, id: TicketId, as_json: AsJson = False) -> None:
    """Start a new round of a family that is complete or archived."""
    _act(context, as_json, lambda c: c.reopen(id), "reopened")


def undo(context: typer.Context, id: TicketId, as_json: AsJson = False) -> None:
    """Withdraw the last approval, unless its effects have started."""
    _act(context, as_json, lambda c: c.undo(id), "approval withdrawn")
