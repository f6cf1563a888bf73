"""`depends_on`: what must be COMPLETE before a ticket's BUILD starts (DESIGN 3.4)."""

from __future__ import annotations

from orchestrator.board import Board
from orchestrator.errors import TicketError
from orchestrator.flow import Flow
from orchestrator.states import FolderRole
from orchestrator.ticket import Ticket


def blockers(board: Board, ticket: Ticket, flow: Flow) -> list[str]:
    """Why the ticket has to wait, one line per open dependency. Members of the family do not count.

    Raises TicketError (code `cycle`) naming a cycle.
    """
    if not ticket.depends_on:
        return []
    cycle = find_cycle(board, ticket)
    if cycle:
        raise TicketError(
            f"the dependencies go round in a circle: {' → '.join(cycle)}",
            path=ticket.path,
            code="cycle",
            hint="take one of them out of `depends_on`",
        )
    return [
        reason
        for other in ticket.depends_on
        if other not in flow.members and (reason := _open(board, other))
    ]


def _open(board: Board, other: str) -> str:
    try:
        ticket = board.find(other)
    except TicketError as exc:
        return f"waits for {other}, which cannot be found on the board ({exc.code})"
    if board.folders.role_of(ticket.folder) in (FolderRole.COMPLETE, FolderRole.ARCHIVE):
        return ""
    return f"waits for {other}, which lies in {ticket.folder}"


def find_cycle(board: Board, ticket: Ticket) -> list[str]:
    """The ids of a cycle of `depends_on` that goes through the ticket, or an empty list."""
    graph = {t.id: t.depends_on for t in board.tickets()}
    path = [ticket.id]

    def walk(node: str, seen: frozenset[str]) -> list[str]:
        for other in graph.get(node, ()):
            if other == ticket.id:
                return [*path, other]
            if other not in seen:
                path.append(other)
                found = walk(other, seen | {other})
                if found:
                    return found
                path.pop()
        return []

    return walk(ticket.id, frozenset({ticket.id}))
