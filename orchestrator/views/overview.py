"""A board at a glance: how many tickets are where, and what each conducted family waits for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.states import FolderRole
from orchestrator.errors import OrchestrateError
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket
from orchestrator.views.filters import natural_key
from orchestrator.views.sections import Section

#: the command by which a family goes on
_NEXT = {
    Section.ASKS: "orchestrate review {}",
    Section.HELD: "orchestrate resume {}",
    Section.NEEDS: "orchestrate run {}",
    Section.STOPPED: "orchestrate run {}",
}


@dataclass(frozen=True)
class Line:
    """One family, or one ticket that has failed."""

    section: Section
    id: str
    title: str
    #: its state, stage and reason, in words
    text: str = ""
    #: since when, ISO 8601; "" if that is not known
    since: str = ""
    #: the command by which it goes on, "" if none
    next: str = ""
    error: OrchestrateError | None = None


@dataclass(frozen=True)
class Overview:
    """The whole board."""

    #: how many tickets are in each state, in the order of work; "" for no state
    counts: dict[str, int]
    lines: tuple[Line, ...]
    #: families that are conducted, those that have ended included
    conducted: int

    def of(self, section: Section) -> list[Line]:
        """The lines of a section, what has waited longest first."""
        return [line for line in self.lines if line.section is section]


def look_over(board: Board, status: Callable[[str], Mapping[str, Any]]) -> Overview:
    """The overview of a board. Of families that have ended only the tickets count.

    `status` is asked about families whose record does not say what they wait for, by their id.
    """
    tickets = board.tickets()
    roles = Counter(ticket.role for ticket in tickets)
    counts = {role.value: roles[role] for role in FolderRole if roles[role]}
    if roles[None]:
        counts[""] = roles[None]
    conducted = [ticket for ticket in tickets if ticket.conducted]
    lines = [_line(board, t, status) for t in conducted if not (t.role and t.role.finished)]
    lines += _failed(tickets)
    lines.sort(key=lambda line: (line.since or "~", natural_key(line.id)))
    return Overview(counts, tuple(lines), len(conducted))


def _line(board: Board, ticket: Ticket, status: Callable[[str], Mapping[str, Any]]) -> Line:
    """Where a family is. One whose record is broken does not hide the others."""
    from orchestrator.domain.record import from_mapping
    from orchestrator.views.cards import FamilyState

    try:
        flow = from_mapping(ticket.flow or {}, path=ticket.source)
        state = FamilyState.of(board, ticket.id, flow)
        section, reason = state.section, flow.reason
        if section is None:
            # nobody has it in hand: it waits for something, or was stopped
            found = status(ticket.id)
            section = Section.STOPPED if found["stopped"] else Section.WAITS
            reason = flow.reason if found["stopped"] else "; ".join(found["reasons"])
    except OrchestrateError as exc:
        return Line(Section.BROKEN, ticket.id, ticket.title, exc.message, error=exc)
    stage = f"stage {flow.stage}" if flow.stage else ""
    words = "stopped" if section is Section.STOPPED else state.state
    since = flow.question.asked if flow.question else ""
    text = " · ".join(filter(None, (words, stage, reason)))
    then = _NEXT.get(section, "").format(ticket.id)
    return Line(section, ticket.id, ticket.title, text, since, then)


def _failed(tickets: Sequence[Ticket]) -> Iterator[Line]:
    """The tickets with failed attempts whose work is not over."""
    for ticket in tickets:
        if ticket.failure_count and not (ticket.role and ticket.role.finished):
            times = f"{ticket.failure_count} time{'s' if ticket.failure_count != 1 else ''}"
            text = f"{times} · {ticket.state} · {ticket.owner or 'no owner'}"
            yield Line(Section.FAILED, ticket.id, ticket.title, text)
