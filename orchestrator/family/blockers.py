"""What a family waits for before it builds: other tickets, a free place, files in other hands.

Waiting is no failure and never times out as one (DESIGN 3.3, 3.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from orchestrator.domain.graph import cycle_through
from orchestrator.domain.plan import Plan
from orchestrator.domain.record import Flow
from orchestrator.domain.states import FolderRole, Part
from orchestrator.domain.workflow import Stage
from orchestrator.errors import TicketError
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import DEPENDENCY_KEYS, Ticket


def find_blockers(
    board: Board,
    find: Callable[[str], Ticket],
    flow: Flow,
    plan: Plan,
    stages: Sequence[Stage],
    wip_limit: int = 0,
) -> list[str]:
    """Why these stages cannot begin yet, one line per reason.

    `find` gives a member's ticket. `wip_limit`: so many tickets may lie in BUILD; 0 is no limit.
    Raises TicketError (code `cycle`) naming a cycle of dependencies.
    """
    makers = [s for s in stages if plan.part(s) is Part.MAKER]
    members = {m: find(m) for s in makers for m in plan.members(s, flow)}
    reasons = blockers(board, find(plan.parent), flow) if makers else []
    wanted = sum(flow.members[m].at is not FolderRole.BUILD for m in members)
    wanted += sum(len(s.children) for s in stages if plan.part(s) is Part.TRIAGER)
    if wip_limit and wanted:
        reasons += _free_place(board, flow, wip_limit)
    return reasons + [r for t in members.values() for r in _files_in_hand(board, flow, t)]


# -- other tickets -------------------------------------------------------------------------------


def blockers(board: Board, ticket: Ticket, flow: Flow) -> list[str]:
    """One line per open dependency of the ticket. Members of the family do not count."""
    if not ticket.depends_on:
        return []
    cycle = cycle_through({t.id: t.depends_on for t in board.tickets()}, ticket.id)
    if cycle:
        raise TicketError(
            f"the dependencies go round in a circle: {' → '.join(cycle)}",
            path=ticket.path,
            line=ticket.line_of(*DEPENDENCY_KEYS) or None,
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
    role = board.folders.role_of(ticket.folder)
    if role is not None and role.finished:
        return ""
    return f"waits for {other}, which lies in {ticket.folder}"


# -- a free place, and files ---------------------------------------------------------------------


def _building(board: Board, flow: Flow) -> Iterator[Ticket]:
    """The tickets of others that lie in BUILD."""
    tickets = board.tickets()
    return (t for t in tickets if t.role is FolderRole.BUILD and t.id not in flow.members)


def _free_place(board: Board, flow: Flow, limit: int) -> list[str]:
    there = sum(1 for _ in _building(board, flow))
    if there < limit:
        return []
    return [f"waits for a free place in BUILD: {there} taken, the limit is {limit}"]


def _files_in_hand(board: Board, flow: Flow, ticket: Ticket) -> Iterator[str]:
    """Which of the ticket's `files:` another ticket in BUILD has."""
    if not ticket.files:
        return
    built = flow.members[ticket.id].at is FolderRole.BUILD
    for other in _building(board, flow):
        both = sorted(_shared(ticket.files, other.files))
        # of two that lie in BUILD already, the one with the smaller id goes first
        if both and not (built and ticket.id < other.id):
            yield f"waits for {', '.join(both)}, which {other.id} has in hand"


def _shared(mine: Iterable[str], theirs: Iterable[str]) -> set[str]:
    return {m for m in mine for t in theirs if covers(m, t) or covers(t, m)}


def covers(place: str, path: str) -> bool:
    """Whether a path is the place, or lies below it."""
    place = place.rstrip("/")
    return path == place or path.startswith(f"{place}/")
