"""The commands that read: status, inbox, show, log."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.failures import error_to_dict
from orchestrator.cli.family_text import say_status
from orchestrator.cli.text import callable_commands, one_line, paint, say, say_json, table
from orchestrator.cli.workspace import AnyTicketId, AsJson, TicketId, workspace
from orchestrator.errors import OrchestrateError

if TYPE_CHECKING:
    from orchestrator.tickets.ticket import Ticket

#: records that only the conductor needs
_BOOKKEEPING = ("committed", "synced")
#: the most telling fields of a history record, in reading order
_TELLING = (
    *("event", "state", "agent", "answer", "via", "words"),
    *("to", "title", "text", "reason", "detail"),
)


def status(
    context: typer.Context,
    id: AnyTicketId = None,
    as_json: AsJson = False,
) -> None:
    """Show a family's state and what it waits for.

    Without ID, the whole board on one screen: how many tickets are in each state, what waits for
    USER, what is at work, stopped, held or failed. With --json, all conducted families.
    """
    here = workspace(context)
    if id is not None:
        from orchestrator.approvals.status import family_status

        found = family_status(
            here.board, id, here.settings, lambda parent: here.conductor().find_waits(parent)
        )
        say_json(found) if as_json else say_status(found)
        return
    if not as_json:
        from orchestrator.cli.overview_text import say_overview

        say_overview(here)
        return
    families = []
    conducted = [ticket for ticket in here.board.tickets() if ticket.conducted]
    if conducted:
        conductor = here.conductor()
        for ticket in conducted:
            # one whose record is broken must not hide the others
            try:
                families.append(conductor.status(ticket.id))
            except OrchestrateError as exc:
                families.append({"id": ticket.id, "error": error_to_dict(exc)})
    say_json(families)


def inbox(context: typer.Context, as_json: AsJson = False) -> None:
    """List all open questions of the board, oldest first."""
    board = workspace(context).board
    conducted = [ticket for ticket in board.tickets() if ticket.conducted]
    found: list[dict[str, Any]] = []
    if conducted:
        from orchestrator.approvals.open_requests import list_open_requests

        found = list_open_requests(board, conducted)
    if as_json:
        say_json(found)
        return
    for item in found:
        say(f"{paint(item['id'], 'bold')}  {item['title']}")
        say(f"  {item['label']} · question {item['question']} · asked {item['asked']}")
        say(f"  {item['file']}")
        for command in item["how"]:
            say(f"  {callable_commands(command)}")
    if not found:
        say("no question is open")


def show(context: typer.Context, id: TicketId, as_json: AsJson = False) -> None:
    """Show a ticket: what is read from it, and its text."""
    here = workspace(context)
    ticket = here.board.look_up(id)
    # of a file that cannot be read there is no text; its diagnosis says why
    unreadable = {"link", "unreadable"}.intersection(d.code for d in ticket.diagnoses)
    body = None if unreadable else ticket.body
    if as_json:
        family = [t.id for t in here.board.family(id)]
        further = {
            "priority": ticket.priority,
            "depends_on": list(ticket.depends_on),
            "files": list(ticket.files),
            "workflow": ticket.workflow,
        }
        say_json({**ticket.to_dict(), **further, "family": family, "body": body})
        return
    say(f"{paint(ticket.id, 'bold')}  {ticket.title or ''}")
    say(f"  {ticket.state} · {ticket.owner or 'no owner'} · {ticket.source}")
    for name, value in () if unreadable else _list_fields(ticket):
        say(f"  {name}: {one_line(value)}")
    for problem in ticket.diagnoses:
        place = f"line {problem.line}: " if problem.line else ""
        say(f"  {paint('!', 'yellow')} {place}{problem.message} [{problem.code}]")
        if problem.hint:
            say(f"    hint: {callable_commands(problem.hint)}")
    if body is not None:
        say()
        say(body.rstrip("\n"))


def _list_fields(ticket: Ticket) -> list[tuple[str, str]]:
    """What else is read from a ticket, without what it does not say."""
    fields = {
        "priority": ticket.priority,
        "parent": ticket.parent or "",
        "depends on": ", ".join(ticket.depends_on),
        "files": ", ".join(ticket.files),
        "workflow": ticket.workflow,
        "failures": str(ticket.failure_count or ""),
    }
    return [(name, value) for name, value in fields.items() if value]


def log(
    context: typer.Context,
    id: TicketId,
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="WHEN", help="Only what came later: 2026-11-29, or 30m, 4h, 2d."
        ),
    ] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Show the conductor's bookkeeping too.")
    ] = False,
    events: Annotated[
        bool, typer.Option("--events", help="Show what its coding agents did, event by event.")
    ] = False,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            "-f",
            help="The same, and what comes, until the family waits for you or has ended.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a family's history, oldest first, or its agents' events."""
    here = workspace(context)
    if events or follow:
        from orchestrator.cli.agent_log import rest_of, show_events

        family = here.board.family(id)[0].id
        folder = here.root / ".orchestrate" / "logs" / family
        ends = partial(rest_of, here.board, family) if follow else None
        if not show_events(folder, follow=ends, as_json=as_json):
            say(f"no coding agent has worked on {family} yet")
        return
    records = here.conductor().log(id)
    conducted = bool(records)
    if since:
        from orchestrator.views.filters import moment

        begin = moment(since)
        records = [r for r in records if r["at"] >= begin]
    if as_json:
        say_json(records)
        return
    rows = [(r["at"], _member(r), r["type"], _summarize(r)) for r in records]
    if not everything:
        rows = [row for row in rows if row[2] not in _BOOKKEEPING and row[3]]
    if rows:
        say("\n".join(table(rows)))
    elif not conducted:
        say(never_conducted(id))
    else:
        say(f"nothing since {since}" if since else "nothing but bookkeeping (--all shows it)")


def never_conducted(id: str) -> str:
    """What to say where a family has no history."""
    return callable_commands(f"{id} was never conducted: orchestrate run {id}")


def _member(record: Mapping[str, Any]) -> str:
    """The ticket that a record is about, where it is about one."""
    statement = record.get("statement")
    found = record.get("ticket") or (statement or {}).get("ticket")
    return str(found or "")


def _summarize(record: Mapping[str, Any]) -> str:
    """A history record in a line."""
    match record["type"]:
        case "receipt":
            return f"{record['verdict']}: {record['statement']['text']} — {record['detail']}"
        case "report":
            text = f"{record['agent']} {record['outcome']}: {record['report']['reason']}"
            return text.rstrip(": ")
        case "question":
            return f"{record['sheet']['label']} — question {record['sheet']['number']}"
        case "changes" | "taken-back":
            names = ", ".join(name for name in sorted(record["paths"]) if name.isprintable())
            return f"{record.get('agent', '')} {names or 'nothing'}".strip()
        case _:
            return " · ".join(str(record[key]) for key in _TELLING if record.get(key))
