"""What a family must not begin with: finished or drifted tickets, unread approvals (DESIGN 4.7)."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable

from orchestrator.domain.answer import AnswerVerb, verb_of
from orchestrator.domain.plan import Plan
from orchestrator.domain.record import Flow, Place
from orchestrator.domain.states import FolderRole
from orchestrator.domain.workflow import Workflow
from orchestrator.errors import TicketError, WorkflowError
from orchestrator.family.family import Family
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket

#: the code of what calls a ticket finished beside its status
_FINISHED = "says-finished"


def find_places(board: Board, tickets: Iterable[Ticket]) -> dict[str, Place]:
    """Where tickets are before they are conducted. Raises TicketError for an unknown folder."""
    found = {}
    for ticket in tickets:
        if ticket.role is None:
            require_known_status(board, ticket)
            raise TicketError(
                f"{ticket.id} is in {ticket.folder or 'no folder of the board'}, which is not a "
                "state of the board",
                path=ticket.path,
                code="unknown-folder",
                hint="move it to a known folder, or name this one under [board.folders]",
            )
        found[ticket.id] = Place(
            at=ticket.role, owner=ticket.owner or "", failures=ticket.failure_count
        )
    return found


def require_known_status(board: Board, ticket: Ticket) -> None:
    """Raise TicketError where the status has to say the state, and does not."""
    if ticket.status and board.folders.role_of_status(ticket.status) is None:
        said = json.dumps(ticket.status, ensure_ascii=False)
        raise TicketError(
            f"{ticket.id} has the status `{ticket.status}`, which names no state of the board",
            path=ticket.path,
            line=ticket.line_of("status") or None,
            code="unknown-status",
            hint=f'say what it means: `{said} = "INBOX"` '
            "(or another state) under [board.aliases] in orchestrate.toml, or change the line",
        )
    if board.folders.by_status and not ticket.status:
        raise TicketError(
            f"{ticket.id} has no status, and on this board only the status says the state",
            path=ticket.path,
            code="no-status",
            hint="add `status:` to its keys",
        )


def require_startable_status(board: Board, ticket: Ticket, accepted: Container[str] = ()) -> None:
    """Refuse to begin what a person calls finished or paused, or calls by an unknown word.

    Also what says two things of its id, its state or its parent: either may be the true one.
    """
    owners = [ticket.document.line_of(key) for key in ticket.spelt.get("owner", ())]
    for found in ticket.diagnoses:
        if found.code == "key-contradiction" and found.line not in owners:
            raise TicketError(
                found.message,
                path=ticket.path,
                line=found.line,
                code=found.code,
                hint=found.hint,
            )
        if found.code == _FINISHED and _FINISHED not in accepted:
            raise TicketError(
                f"{ticket.id} may be finished: {found.message}",
                path=ticket.path,
                line=found.line,
                code="not-startable",
                hint=f"{found.hint}; or begin it all the same: --accept-doubts {_FINISHED}",
            )
    is_twice = any(found.code == "duplicate-key" for found in ticket.diagnoses)
    for name in ("id", "status", "parent") if is_twice else ():
        for line, said, last in ticket.contradictions(name):
            raise TicketError(
                f"`{said}` and `{last}` contradict each other",
                path=ticket.path,
                line=line,
                code="key-contradiction",
                hint="remove the line that is wrong",
            )
    status = ticket.status or ""
    role = board.folders.role_of_status(status)
    if not status or (role is not None and not role.at_rest) or verb_of(status):
        return
    if role is FolderRole.COMPLETE and ticket.role is role and ticket.parent:
        return  # a finished child: a member for which nothing is done again
    require_known_status(board, ticket)
    if role is None:
        return
    message = f"{ticket.id} is in {ticket.folder}, but its status is `{status}` ({role})"
    hint = f"move it to {board.folders.for_role(role)}, or change its status"
    if role is ticket.role:
        message = f"{ticket.id} is {role}, as its status `{status}` says"
        hint = "change its status"
        if ticket.parent:
            hint = f"take its `{ticket.key_of('parent')}:` out to begin {ticket.parent} without it"
    raise TicketError(
        message,
        path=ticket.path,
        code="not-startable",
        line=ticket.line_of("status") or None,
        hint=hint,
    )


def require_settled_statuses(family: Family, flow: Flow) -> None:
    """Refuse statuses that say another place: nobody is asked yet whom they could answer."""
    for member, place in flow.members.items():
        ticket = family.ticket(member)
        status = ticket.status or ""
        hold = verb_of(status) is AnswerVerb.HOLD
        if status and not family.board.folders.says(status, place.at) and not hold:
            raise TicketError(
                f"{member} is in {ticket.state}, but its status is `{status}`",
                path=ticket.path,
                code="status-drift",
                hint=f"set `status: {ticket.folder}`, move the file, or let `orchestrate adopt "
                f"{family.parent}` show what it would change",
            )


def require_clear_beginning(board: Board, plan: Plan, flow: Flow, ticket: Ticket) -> None:
    """Refuse a ticket that is built already where nothing says with which stage to go on."""
    if not plan.is_built(flow) or plan.inspection_to_begin_with(flow):
        return
    raise TicketError(
        f"{ticket.id} is in {ticket.state}, and its workflow has no single inspection, after all "
        "that is made and before all that is approved, to begin with",
        path=ticket.path,
        line=ticket.line_of("status") or None,
        code="not-startable",
        hint=f"move it to {board.folders.for_role(FolderRole.TRIAGE)} to begin with stage "
        f"{plan.stages[0].number}, or name another workflow with --workflow",
    )


def require_read_gates(workflow: Workflow, accepted: Container[str]) -> None:
    """Refuse a workflow that asks for an approval which no checkpoint stands for."""
    from orchestrator.workflow_reader.human_gates import UNREAD_GATE, unread_gates_in

    if UNREAD_GATE in accepted:
        return
    gates = unread_gates_in(workflow.text, str(workflow.path))
    if gates:
        others = f" (and {len(gates) - 1} more)" if len(gates) > 1 else ""
        raise WorkflowError(
            f"“{gates[0].words}” reads like a person's approval, and no checkpoint asks for it"
            + others,
            path=workflow.path,
            line=gates[0].line,
            code=UNREAD_GATE,
            hint="make it a stage (`## STAGE n: USER CHECKPOINT #k — …`), or begin without it: "
            f"--accept-doubts {UNREAD_GATE}",
        )
