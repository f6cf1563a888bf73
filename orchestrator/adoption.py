"""Taking an existing board under the conductor: what is understood, what would change, then yes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.conductor.conductor import ADOPTED, Conductor
from orchestrator.domain.record import Flow, from_mapping
from orchestrator.domain.workflow import Workflow
from orchestrator.errors import OrchestrateError, TicketError
from orchestrator.family.family import Family
from orchestrator.family.workflow_discovery import SHIPPED
from orchestrator.markdown.frontmatter import Document
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket

#: with these the block is not understood in full, and nothing is written into it
_UNREADABLE = {
    "yaml", "yaml-colon", "yaml-after-quote", "yaml-refused",
    "merge-conflict", "unreadable", "link", "empty",
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """A ticket of a family, as it was understood."""

    id: str
    title: str
    folder: str
    owner: str
    path: str


@dataclass(frozen=True)
class Note:
    """Something odd about a member, which does not keep it from being adopted."""

    ticket: str
    code: str
    message: str
    line: int


@dataclass(frozen=True)
class Change:
    """What would change in one file, as a unified diff without line ends."""

    path: str
    diff: tuple[str, ...]


@dataclass(frozen=True)
class Proposal:
    """A family that can be adopted, parent first."""

    parent: str
    members: tuple[Member, ...]
    workflow: str
    #: how the workflow was found, in words
    found: str
    #: labels of the stages by number
    stages: tuple[tuple[int, str], ...]
    #: the number of the stage at which it would stand
    stage: int
    notes: tuple[Note, ...]
    changes: tuple[Change, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "parent": self.parent,
            "members": [vars(m) for m in self.members],
            "workflow": self.workflow,
            "found": self.found,
            "stages": [{"number": n, "label": label} for n, label in self.stages],
            "stage": self.stage,
            "diagnoses": [vars(n) for n in self.notes],
            "changes": [{"path": c.path, "diff": list(c.diff)} for c in self.changes],
        }


@dataclass(frozen=True)
class Refusal:
    """A ticket whose family cannot be adopted, and why."""

    id: str
    code: str
    message: str
    path: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Survey:
    """What of a board, or of some tickets, can be adopted."""

    proposals: tuple[Proposal, ...]
    refusals: tuple[Refusal, ...]
    #: parents of families that are conducted already
    conducted: tuple[str, ...]


def survey(conductor: Conductor, ids: Sequence[str] = (), workflow: Path | None = None) -> Survey:
    """Look at the families of these tickets, without `ids` at all of the board's.

    Writes nothing. One that cannot be adopted does not stop the others.
    """
    board = conductor.board
    rings = _Rings.of(board)
    proposals: list[Proposal] = []
    refusals: list[Refusal] = []
    conducted: list[str] = []
    seen: set[str] = set()
    for id in ids or [ticket.id for ticket in board.tickets()]:
        if id in seen:
            continue
        try:
            family = _family(board, id, seen)
            if family[0].conducted:
                _ = Family(board, family[0].id).flow
                conducted.append(family[0].id)
            else:
                proposals.append(propose(conductor, family, rings, workflow))
        except OrchestrateError as exc:
            refusals.append(_refusal(board, id, exc))
    return Survey(tuple(proposals), tuple(refusals), tuple(conducted))


def _family(board: Board, id: str, seen: set[str]) -> tuple[Ticket, ...]:
    seen.add(id)
    family = board.family(id)
    if family[0].id != id and family[0].id in seen:
        # a member that the parent's own family does not have
        raise _cycle([id, family[0].id, id], family[0])
    seen.update(ticket.id for ticket in family)
    return family


def _refusal(board: Board, id: str, error: OrchestrateError) -> Refusal:
    path = error.path or ""
    if path and Path(path).is_absolute() and Path(path).is_relative_to(board.root):
        path = Path(path).relative_to(board.root).as_posix()
    return Refusal(id, error.code, error.message, path, error.hint)


def adopt(
    conductor: Conductor, proposals: Iterable[Proposal], workflow: Path | None = None
) -> tuple[list[str], list[Refusal]]:
    """Adopt what was proposed; returns the parents adopted, and what was refused after all.

    A family that no longer is what the proposal shows is refused (code `changed`).
    """
    rings = _Rings.of(conductor.board)
    adopted: list[str] = []
    refused: list[Refusal] = []
    for proposal in proposals:
        id = proposal.parent
        try:
            _require_same(conductor, proposal, rings, workflow)
            conductor.adopt(id, workflow=workflow)
            adopted.append(id)
        except OrchestrateError as exc:
            refused.append(_refusal(conductor.board, id, exc))
    return adopted, refused


def _require_same(
    conductor: Conductor, proposal: Proposal, rings: _Rings, workflow: Path | None
) -> None:
    family = conductor.board.family(proposal.parent)
    if propose(conductor, family, rings, workflow) != proposal:
        raise TicketError(
            "it has changed since it was shown; nothing was done",
            path=family[0].path,
            code="changed",
            hint="look at it again",
        )


# -- one family ----------------------------------------------------------------------------------


def propose(
    conductor: Conductor, tickets: Sequence[Ticket], rings: _Rings, workflow: Path | None = None
) -> Proposal:
    """What `adopt` would make of a family, parent first. Raises OrchestrateError if nothing."""
    _require_sound(tickets, rings)
    family, read, flow = conductor.foresee(tickets[0].id, workflow=workflow)
    changes = (_change(family, ticket, flow) for ticket in tickets)
    return Proposal(
        tickets[0].id,
        tuple(Member(t.id, t.title, t.folder, t.owner, t.source) for t in tickets),
        flow.workflow,
        _how_found(tickets[0], read, workflow),
        tuple((stage.number, stage.label) for stage in read.stages),
        flow.stage,
        tuple(Note(t.id, d.code, d.message, d.line) for t in tickets for d in t.diagnoses),
        tuple(change for change in changes if change.diff),
    )


def _require_sound(tickets: Sequence[Ticket], rings: _Rings) -> None:
    parent = tickets[0]
    if parent.role is not None and parent.role.at_rest:
        raise TicketError(
            f"it lies in {parent.folder}",
            path=parent.path,
            code="not-startable",
            hint="move it to a working folder first",
        )
    for ticket in tickets:
        for odd in ticket.diagnoses:
            if odd.code in _UNREADABLE:
                raise TicketError(
                    odd.message, path=ticket.path, line=odd.line, code=odd.code, hint=odd.hint
                )
        if ticket.conducted:
            raise TicketError(
                f"{ticket.id} has a record of its own",
                path=ticket.path,
                code="conducted-member",
                hint=f"finish it alone, or take `parent: {ticket.parent}` out",
            )
    members = [ticket.id for ticket in tickets]
    if parent.parent in members:
        raise _cycle([parent.id, parent.parent, parent.id], parent)
    if ring := rings.through(members):
        raise _cycle(ring, parent)


def _cycle(ring: Sequence[str], ticket: Ticket) -> TicketError:
    return TicketError(
        f"tickets wait for each other or are each other's parents: {' → '.join(ring)}",
        path=ticket.path,
        code="cycle",
        hint="take one of the references out",
    )


def _how_found(parent: Ticket, read: Workflow, given: Path | None) -> str:
    if given is not None:
        return "named by --workflow"
    if parent.workflow:
        return "named by the ticket"
    if Path(read.path).is_relative_to(SHIPPED):
        return "the one for tickets that name none, as it is shipped"
    return "the workspace's own for tickets that name none"


def _change(family: Family, ticket: Ticket, flow: Flow) -> Change:
    after = family.preview(ticket.id, flow, ADOPTED)
    _require_readable(ticket, after, flow if ticket.id == family.parent else None)
    old, new = (data.decode("utf-8", "replace").split("\n") for data in (ticket.data, after))
    lines = difflib.unified_diff(old, new, ticket.source, ticket.source, n=1, lineterm="")
    return Change(ticket.source, tuple(lines))


def _require_readable(ticket: Ticket, after: bytes, flow: Flow | None) -> None:
    """Refuse a file whose new fields would not be read back as they were meant."""
    document = Document.parse(after)
    held = document.meta.get("flow")
    kept = flow is None or (isinstance(held, dict) and from_mapping(held) == flow)
    if not kept or document.text("status") != ticket.folder:
        raise TicketError(
            "its block cannot be edited safely",
            path=ticket.path,
            code="not-editable",
            hint="mend what `orchestrate show` says about the file",
        )


# -- cycles --------------------------------------------------------------------------------------


class _Rings:
    """Tickets that wait for each other in a circle."""

    def __init__(self, edges: Mapping[str, Sequence[str]]) -> None:
        left = {id: {other for other in others if other in edges} for id, others in edges.items()}
        # what waits for nothing that is left is on no ring
        while free := {id for id, others in left.items() if not others}:
            left = {id: others - free for id, others in left.items() if id not in free}
        self._left = left

    @classmethod
    def of(cls, board: Board) -> _Rings:
        return cls({ticket.id: ticket.depends_on for ticket in board.tickets()})

    def through(self, members: Sequence[str]) -> list[str]:
        """A ring through one of these tickets and others, or an empty list."""
        for start in members:
            came: dict[str, str] = {o: start for o in self._left.get(start, ()) if o not in members}
            pending = list(came)
            while pending:
                at = pending.pop(0)
                if at in members:
                    return [start, *reversed(list(_back(came, at, start)))]
                new = [other for other in sorted(self._left.get(at, ())) if other not in came]
                came.update(dict.fromkeys(new, at))
                pending += new
        return []


def _back(came: Mapping[str, str], at: str, start: str) -> Iterator[str]:
    yield at
    while (at := came[at]) != start:
        yield at
