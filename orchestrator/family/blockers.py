"""What a family waits for before it builds: other tickets, a free place, files in other hands.

Waiting is not a failure and never times out as one (DESIGN 3.3, 3.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from orchestrator.domain.graph import cycle_through
from orchestrator.domain.plan import Plan
from orchestrator.domain.record import Flow
from orchestrator.domain.states import FolderRole, Part
from orchestrator.domain.workflow import Stage
from orchestrator.errors import TicketError
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket


def find_blockers(
    board: Board,
    find: Callable[[str], Ticket],
    flow: Flow,
    plan: Plan,
    stages: Sequence[Stage],
    wip_limit: int = 0,
) -> list[str]:
    """Why these stages cannot begin yet, one line per reason.

    `find` gives a member's ticket. `wip_limit`: so many tickets may be in BUILD; 0 is not a limit.
    Raises TicketError (code `cycle`) naming a cycle of dependencies.
    """
    makers = [s for s in stages if plan.part(s) is Part.MAKER]
    members = {m: find(m) for s in makers for m in plan.members(s, flow)}
    reasons = list(_open_dependencies(board, find(plan.parent), flow)) if makers else []
    wanted = sum(flow.members[m].at is not FolderRole.BUILD for m in members)
    wanted += sum(len(s.children) for s in stages if plan.part(s) is Part.TRIAGER)
    if not (wip_limit and wanted) and not any(t.files for t in members.values()):
        return reasons
    building = [
        t for t in board.tickets() if t.role is FolderRole.BUILD and t.id not in flow.members
    ]
    if wip_limit and wanted and len(building) >= wip_limit:
        taken = f"{len(building)} taken, the limit is {wip_limit}"
        reasons.append(f"waits for a free place in BUILD: {taken}")
    for ticket in members.values():
        is_built = flow.members[ticket.id].at is FolderRole.BUILD
        for other in building:
            pairs = ((m, t) for m in ticket.files for t in other.files)
            shared = sorted({m for m, t in pairs if covers(m, t) or covers(t, m)})
            # of two that are in BUILD already, the one with the smaller id goes first
            if shared and not (is_built and ticket.id < other.id):
                reasons.append(f"waits for {', '.join(shared)}, which {other.id} is working on")
    return reasons


def _open_dependencies(board: Board, ticket: Ticket, flow: Flow) -> Iterator[str]:
    """One line per open dependency of the ticket. Members of the family do not count."""
    if not ticket.depends_on:
        return
    cycle = cycle_through({t.id: t.depends_on for t in board.tickets()}, ticket.id)
    if cycle:
        raise TicketError(
            f"the dependencies form a cycle: {' → '.join(cycle)}",
            path=ticket.path,
            line=ticket.line_of("depends_on") or None,
            code="cycle",
            hint="remove one of them from `depends_on`",
        )
    for other in ticket.depends_on:
        if other in flow.members:
            continue
        try:
            found = board.find(other)
        except TicketError as exc:
            yield f"waits for {other}, which cannot be found on the board ({exc.code})"
            continue
        if found.role is None or not found.role.finished:
            yield f"waits for {other}, which is in {found.state}"


def covers(place: str, path: str) -> bool:
    """Whether a path is the place, or below it."""
    place = place.rstrip("/")
    return path == place or path.startswith(f"{place}/")
