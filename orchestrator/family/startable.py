"""What a family must not begin with: finished or drifted tickets, unread approvals (DESIGN 4.7)."""

from __future__ import annotations

import json
from collections.abc import Container

from orchestrator.domain.answer import AnswerVerb, verb_of
from orchestrator.domain.folders import Folders
from orchestrator.domain.record import Flow
from orchestrator.domain.workflow import Workflow
from orchestrator.errors import TicketError, WorkflowError
from orchestrator.family.family import Family
from orchestrator.tickets.ticket import Ticket
from orchestrator.workflow_reader.human_gates import UNREAD_GATE, unread_gates_in


def require_startable_status(folders: Folders, ticket: Ticket) -> None:
    """Refuse to begin what a person calls finished or paused, or calls by an unknown word."""
    status = ticket.status or ""
    role = folders.role_of_status(status)
    if not status or (role is not None and not role.at_rest) or verb_of(status):
        return
    if role is None:
        raise TicketError(
            f"{ticket.id} has the status `{status}`, which names no state of the board",
            path=ticket.path,
            code="unknown-status",
            hint=f'say what it means: `{json.dumps(status)} = "INBOX"` under [board.aliases] '
            "in orchestrate.toml, or change the line",
        )
    raise TicketError(
        f"{ticket.id} is in {ticket.folder}, but its status is `{status}` ({role})",
        path=ticket.path,
        code="not-startable",
        hint=f"move it to {folders.for_role(role)}, or change its status",
    )


def require_settled_statuses(family: Family, flow: Flow) -> None:
    """Refuse statuses that say another place: nobody is asked yet whom they could answer."""
    for member, place in flow.members.items():
        ticket = family.ticket(member)
        status = ticket.status or ""
        role = family.board.folders.role_of_status(status)
        hold = verb_of(status) is AnswerVerb.HOLD
        if status and role is not place.at and not hold:
            raise TicketError(
                f"{member} is in {ticket.folder}, but its status is `{status}`",
                path=ticket.path,
                code="status-drift",
                hint=f"set `status: {ticket.folder}`, move the file, or let `orchestrate adopt "
                f"{family.parent}` show what it would change",
            )


def require_read_gates(workflow: Workflow, accepted: Container[str]) -> None:
    """Refuse a workflow that asks for an approval which no checkpoint stands for."""
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
