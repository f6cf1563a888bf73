"""Bring an existing board under the conductor: survey, show what would change, then adopt."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
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

#: frontmatter with one of these is not fully understood, and nothing is written into it
_UNREADABLE = {
    "yaml", "yaml-tab", "no-colon", "keys-unread", "yaml-colon", "yaml-after-quote", "yaml-refused",
    "merge-conflict", "unreadable", "link", "empty",
}  # fmt: skip

#: lines around a change that is shown
_CONTEXT = 1
#: bytes of tickets that are kept until they are adopted, so as not to be parsed again
_KEPT = 8_000_000


@dataclass(frozen=True)
class Member:
    """A ticket of a family, as it was read."""

    id: str
    title: str
    folder: str
    owner: str
    path: str


@dataclass(frozen=True)
class Note:
    """A diagnosis of a member that does not prevent its adoption."""

    ticket: str
    code: str
    message: str
    line: int


@dataclass(frozen=True)
class Change:
    """What would change in one file, as the lines of a unified diff."""

    path: str
    diff: tuple[str, ...]
    #: `file:line: status: todo → 00_INBOX` where a status is overwritten, else ""
    status: str = ""


@dataclass(frozen=True)
class Proposal:
    """A family that can be adopted, parent first."""

    parent: str
    members: tuple[Member, ...]
    workflow: str
    #: how the workflow was found
    found: str
    #: labels of the stages by number
    stages: tuple[tuple[int, str], ...]
    #: the stage at which it would begin
    stage: int
    notes: tuple[Note, ...]
    changes: tuple[Change, ...]
    #: digest of the files that it was made from
    basis: str = field(default="", compare=False)
    #: the tickets as they were read, if they are kept
    tickets: tuple[Ticket, ...] = field(default=(), compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        return {
            "parent": self.parent,
            "members": [vars(m) for m in self.members],
            "workflow": self.workflow,
            "found": self.found,
            "stages": [{"number": n, "label": label} for n, label in self.stages],
            "stage": self.stage,
            "diagnoses": [vars(n) for n in self.notes],
            "changes": [
                {"path": c.path, "diff": list(c.diff), "status": c.status} for c in self.changes
            ],
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
    """Which families of a board, or of some tickets, can be adopted."""

    proposals: tuple[Proposal, ...]
    refusals: tuple[Refusal, ...]
    #: parents of families that are conducted already
    conducted: tuple[str, ...]


def survey(conductor: Conductor, ids: Sequence[str] = (), workflow: Path | None = None) -> Survey:
    """Survey the families of these tickets, or without `ids` all of the board; writes nothing.

    A family that cannot be adopted becomes a refusal, and does not stop the others.
    """
    board = conductor.board
    proposals: list[Proposal] = []
    refusals: list[Refusal] = []
    conducted: list[str] = []
    seen: set[str] = set()
    room = _KEPT
    for id in ids or [ticket.id for ticket in board.tickets()]:
        if id in seen:
            continue
        try:
            seen.add(id)
            family = board.family(id)
            if family[0].id != id and family[0].id in seen:
                # a member that the parent's own family does not have
                raise _cycle([id, family[0].id, id], family[0])
            seen.update(ticket.id for ticket in family)
            if family[0].conducted:
                _ = Family(board, family[0].id).flow
                conducted.append(family[0].id)
            else:
                proposal = propose(conductor, family, workflow)
                room -= sum(len(ticket.data) for ticket in family)
                proposals.append(replace(proposal, tickets=family) if room >= 0 else proposal)
        except OrchestrateError as exc:
            refusals.append(_refusal(board, id, exc))
    return Survey(tuple(proposals), tuple(refusals), tuple(conducted))


def _refusal(board: Board, id: str, error: OrchestrateError) -> Refusal:
    path = error.path or ""
    if path and Path(path).is_absolute() and Path(path).is_relative_to(board.root):
        path = Path(path).relative_to(board.root).as_posix()
    return Refusal(id, error.code, error.message, path, error.hint)


def adopt(
    conductor: Conductor, proposals: Iterable[Proposal], workflow: Path | None = None
) -> tuple[list[str], list[Refusal]]:
    """Adopt what was proposed; returns the adopted parents, and what was refused after all.

    A family that has changed since its proposal is refused (code `changed`).
    """
    adopted: list[str] = []
    refused: list[Refusal] = []
    with conductor.board.hold():
        for proposal in proposals:
            try:
                _adopt(conductor, proposal, workflow)
                adopted.append(proposal.parent)
            except OrchestrateError as exc:
                refused.append(_refusal(conductor.board, proposal.parent, exc))
    return adopted, refused


def _adopt(conductor: Conductor, shown: Proposal, workflow: Path | None) -> None:
    def require_as_shown(family: Sequence[Ticket], read: Workflow) -> None:
        # what it says is worked out again only where a file is another one
        same = _basis_of(family, read) == shown.basis
        if not same and propose(conductor, family, workflow) != shown:
            raise TicketError(
                "it has changed since it was shown; nothing was done",
                path=family[0].path,
                code="changed",
                hint="survey it again",
            )

    for ticket in shown.tickets:
        conductor.board.remember(ticket)
    conductor.adopt(shown.parent, workflow=workflow, consent=require_as_shown)


# -- one family ----------------------------------------------------------------------------------


def propose(
    conductor: Conductor, tickets: Sequence[Ticket], workflow: Path | None = None
) -> Proposal:
    """What `adopt` would do with a family, parent first. Raises OrchestrateError if it cannot."""
    _require_sound(tickets)
    family, read, flow = conductor.foresee(tickets, workflow=workflow)
    changes = (_preview_change(family, ticket, flow) for ticket in tickets)
    return Proposal(
        tickets[0].id,
        tuple(Member(t.id, t.title, t.folder, t.owner, t.source) for t in tickets),
        flow.workflow,
        _how_found(tickets[0], read, workflow),
        tuple((stage.number, stage.label) for stage in read.stages),
        flow.stage,
        tuple(Note(t.id, d.code, d.message, d.line) for t in tickets for d in t.diagnoses),
        tuple(change for change in changes if change.diff),
        _basis_of(tickets, read),
    )


def _basis_of(tickets: Sequence[Ticket], read: Workflow) -> str:
    digest = hashlib.sha256(f"{read.path}\n{read.sha256}\n".encode("utf-8", "surrogateescape"))
    for ticket in tickets:
        digest.update(f"{ticket.source}\n{len(ticket.data)}\n".encode() + ticket.data)
    return digest.hexdigest()


def _require_sound(tickets: Sequence[Ticket]) -> None:
    parent = tickets[0]
    if parent.role is not None and parent.role.at_rest:
        raise TicketError(
            f"it is in {parent.state}",
            path=parent.path,
            code="not-startable",
            hint="move it to a working state first",
        )
    for ticket in tickets:
        for d in ticket.diagnoses:
            if d.code in _UNREADABLE:
                raise TicketError(
                    d.message, path=ticket.path, line=d.line, code=d.code, hint=d.hint
                )
        if ticket.conducted:
            raise TicketError(
                f"{ticket.id} has a record of its own",
                path=ticket.path,
                code="conducted-member",
                hint=f"finish it alone, or remove `parent: {ticket.parent}`",
            )
    if parent.parent in [ticket.id for ticket in tickets]:
        raise _cycle([parent.id, parent.parent, parent.id], parent)


def _cycle(ring: Sequence[str], ticket: Ticket) -> TicketError:
    return TicketError(
        f"tickets are each other's parents: {' → '.join(ring)}",
        path=ticket.path,
        code="cycle",
        hint="remove one of the references",
    )


def _how_found(parent: Ticket, read: Workflow, given: Path | None) -> str:
    if given is not None:
        return "named by --workflow"
    if parent.workflow:
        return "named by the ticket"
    if Path(read.path).is_relative_to(SHIPPED):
        return "the shipped default for tickets that name none"
    return "the workspace's default for tickets that name none"


def _preview_change(family: Family, ticket: Ticket, flow: Flow) -> Change:
    after = family.preview(ticket.id, flow, ADOPTED)
    document = Document.parse(after)
    held = document.meta.get("flow")
    is_parent = ticket.id == family.parent
    kept = not is_parent or (isinstance(held, dict) and from_mapping(held) == flow)
    place = flow.members[ticket.id].at
    wanted = family.board.folders.status_for(place, ticket.folder, ticket.status)
    if not kept or document.text(ticket.key_of("status")) != wanted:
        raise TicketError(
            "its frontmatter cannot be edited safely",
            path=ticket.path,
            code="not-editable",
            hint="fix what `orchestrate show` reports about the file",
        )
    old, new = (data.decode("utf-8", "replace") for data in (ticket.data, after))
    lines = _diff(old, new, ticket.source)
    status = ""
    if ticket.status and ticket.status != wanted:
        line, key = ticket.line_of("status"), ticket.key_of("status")
        status = f"{ticket.source}:{line}: {key}: {ticket.status} → {wanted}"
    return Change(ticket.source, lines, status)


def _diff(before: str, after: str, source: str) -> tuple[str, ...]:
    """The lines of a unified diff; what stands below the last change is not compared."""
    old, new = before.split("\n"), after.split("\n")
    below = zip(reversed(old), reversed(new), strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], below))
    old, new = (lines[: len(lines) - max(same - _CONTEXT, 0)] for lines in (old, new))
    return tuple(difflib.unified_diff(old, new, source, source, n=_CONTEXT, lineterm=""))
