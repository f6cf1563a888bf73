"""What the doctor's rules look at: a board read once, with the records of its families."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator.domain.record import Flow, from_mapping
from orchestrator.errors import OrchestrateError
from orchestrator.tickets.ticket import Ticket

if TYPE_CHECKING:
    from orchestrator.settings.config import Settings
    from orchestrator.tickets.board import Board


@dataclass(frozen=True)
class ConductedFamily:
    """A conducted parent with its record, None if that cannot be read."""

    parent: Ticket
    flow: Flow | None
    #: why the record cannot be read
    problem: str = ""

    @classmethod
    def of(cls, parent: Ticket) -> ConductedFamily:
        """The family of a ticket that carries a record."""
        try:
            return cls(parent, from_mapping(parent.flow or {}, path=parent.source))
        except (OSError, OrchestrateError) as exc:
            return cls(parent, None, getattr(exc, "message", str(exc)))


class BoardView:
    """A board as it was when it was read. Unchanged tickets come from the board's index."""

    def __init__(self, board: Board, settings: Settings, now: datetime) -> None:
        self.board = board
        self.settings = settings
        self.now = now
        self.tickets = board.tickets()
        self.notes = board.notes()
        self.by_id = tickets_by_id(self.tickets)
        self.families = [ConductedFamily.of(t) for t in self.tickets if t.conducted]
        #: member → parent, of the conducted families
        self.parents: dict[str, str] = {}
        for family in self.families:
            members = family.flow.members if family.flow else ()
            self.parents.update(dict.fromkeys((*members, family.parent.id), family.parent.id))

    def readable_families(self) -> Iterator[tuple[Ticket, Flow]]:
        """(parent, record) of the conducted families whose record can be read."""
        return ((f.parent, f.flow) for f in self.families if f.flow is not None)


def tickets_by_id(tickets: Iterable[Ticket]) -> dict[str, list[Ticket]]:
    """Every ticket under its id; more than one where copies or namesakes exist."""
    found: dict[str, list[Ticket]] = defaultdict(list)
    for ticket in tickets:
        found[ticket.id].append(ticket)
    return found
