"""The commands that read: status, inbox, list, show, log, verify."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.failures import as_dict
from orchestrator.cli.family_text import say_status, say_unreadable
from orchestrator.cli.session import AsJson, TicketId, session
from orchestrator.cli.text import is_terminal, mark, one_line, paint, say, say_json, table
from orchestrator.errors import OrchestrateError

if TYPE_CHECKING:
    from orchestrator.conductor.conductor import Conductor
    from orchestrator.conductor.verify import Verified
    from orchestrator.tickets.ticket import Ticket

_TITLE = 70


def status(
    context: typer.Context,
    id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A ticket; without it, all families.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show where a family stands and what it waits for.

    Without ID, all families that are conducted.
    """
    here = session(context)
    conductor = here.conductor()
    if id is not None:
        found = conductor.status(id)
        say_json(found) if as_json else say_status(found)
        return
    families = [_standing(conductor, t.id) for t in here.board.tickets() if t.conducted]
    if as_json:
        say_json(families)
        return
    for each in families:
        say_unreadable(each) if "error" in each else say_status(each)
        say()
    if not families:
        say("no family is conducted yet: orchestrate run ID")


def _standing(conductor: Conductor, id: str) -> dict[str, Any]:
    """A family's status; one whose record is broken does not hide the others."""
    try:
        return conductor.status(id)
    except OrchestrateError as exc:
        return {"id": id, "error": as_dict(exc)}


def inbox(context: typer.Context, as_json: AsJson = False) -> None:
    """List all open questions of the board, oldest first."""
    found = session(context).conductor().inbox()
    if as_json:
        say_json(found)
        return
    for item in found:
        say(f"{paint(item['id'], 'bold')}  {item['title']}")
        say(f"  {item['label']} · question {item['question']} · asked {item['asked']}")
        say(f"  {item['file']}")
        for way in item["how"]:
            say(f"  {way}")
    if not found:
        say("no question is open")


def list_tickets(context: typer.Context, as_json: AsJson = False) -> None:
    """List all tickets, with what is wrong in their files."""
    tickets = session(context).board.tickets()
    if as_json:
        say_json([summary(ticket) for ticket in tickets])
        return
    rows = [
        (t.id, t.folder, t.owner or "-", one_line(t.title or "", _TITLE) + _problems(t))
        for t in tickets
    ]
    if rows:
        say("\n".join(table(rows)))


def summary(ticket: Ticket) -> dict[str, Any]:
    """A ticket as `list --json` gives it."""
    return {
        "id": ticket.id,
        "title": ticket.title,
        "status": ticket.status,
        "folder": ticket.folder,
        "owner": ticket.owner,
        "parent": ticket.parent or None,
        "failure_count": ticket.failure_count,
        "path": ticket.source,
        "diagnosis": [
            {"code": d.code, "line": d.line, "message": d.message, "hint": d.hint}
            for d in ticket.diagnoses
        ],
    }


def _problems(ticket: Ticket) -> str:
    return "".join(f"  [{d.code}]" for d in ticket.diagnoses)


def show(context: typer.Context, id: TicketId, as_json: AsJson = False) -> None:
    """Show a ticket: what is read from it, and its text."""
    here = session(context)
    ticket = here.board.find(id)
    if as_json:
        family = [t.id for t in here.board.family(id)]
        say_json({**summary(ticket), "family": family, "body": _body(ticket)})
        return
    say(f"{paint(ticket.id, 'bold')}  {ticket.title or ''}")
    say(f"  {ticket.folder} · {ticket.owner or 'no owner'} · {ticket.source}")
    for problem in ticket.diagnoses:
        place = f"line {problem.line}: " if problem.line else ""
        say(f"  {paint('!', 'yellow')} {place}{problem.message} [{problem.code}]")
        if problem.hint:
            say(f"    hint: {problem.hint}")
    body = _body(ticket)
    if body is not None:
        say()
        _say_markdown(body)


def _body(ticket: Ticket) -> str | None:
    """The text, None where the file cannot be read; its diagnosis says why."""
    unread = {"link", "unreadable"}.intersection(d.code for d in ticket.diagnoses)
    return None if unread else ticket.body


def _say_markdown(text: str) -> None:
    if not is_terminal():
        say(text.rstrip("\n"))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    from orchestrator.cli.text import clean

    Console().print(Markdown(clean(text)))


def log(context: typer.Context, id: TicketId, as_json: AsJson = False) -> None:
    """Show a family's history, oldest first."""
    records = session(context).conductor().log(id)
    if as_json:
        say_json(records)
        return
    if records:
        say("\n".join(table((r["at"], r["type"], _record(r)) for r in records)))


def _record(record: Mapping[str, Any]) -> str:
    """What a history record tells, in a line."""
    kind = record["type"]
    if kind == "receipt":
        return f"{record['verdict']}: {record['statement']['text']} — {record['detail']}"
    if kind == "report":
        return f"{record['agent']} {record['outcome']}: {record['report']['reason']}".rstrip(": ")
    if kind == "question":
        return f"{record['sheet']['label']} — question {record['sheet']['number']}"
    words = [str(record[k]) for k in _TELLING if record.get(k)]
    return " · ".join(words)


#: the fields that tell most about a record, in reading order
_TELLING = (
    "event",
    "state",
    "agent",
    "answer",
    "via",
    "words",
    "to",
    "title",
    "text",
    "reason",
    "detail",
)


def verify(
    context: typer.Context,
    id: TicketId,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run all of it, also what ran on the same bytes before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Prove again, on today's tree, what was proven.

    Exit code 1 if something no longer holds.
    """
    found = session(context).conductor().verify(id, fresh=fresh)
    if as_json:
        say_json([v.to_dict() for v in found])
    else:
        _say_verified(found)
    raise typer.Exit(0 if all(v.holds for v in found) else 1)


def _say_verified(found: list[Verified]) -> None:
    for v in found:
        say(f"{mark(v.now if v.holds else 'failed')} {one_line(v.statement)}")
        if not v.holds:
            say(f"    was {v.then or 'unreadable'}, is {v.now}: {one_line(v.detail)}")
        if v.damaged:
            say(f"    {v.source}")
        if v.checks and not v.holds:
            say(f"    other checks: {'; '.join(v.checks)}")
        if v.changed and not v.holds:
            told = [f"{p} ({s})" if s else p for p, s in zip(v.changed, v.since, strict=True)]
            say(f"    changed since: {'; '.join(told)}")
    broken = sum(not v.holds for v in found)
    say(f"{len(found)} statements, {broken} no longer hold{'s' if broken == 1 else ''}")
