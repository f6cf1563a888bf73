"""The open requests of a board, for its inbox."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.approvals.request import ApprovalRequest, answer_commands
from orchestrator.domain.record import from_mapping
from orchestrator.errors import OrchestrateError
from orchestrator.storage.history import History
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket


def list_open_requests(board: Board, tickets: Iterable[Ticket]) -> list[dict[str, Any]]:
    """The open requests of these tickets, oldest first."""
    found = (_describe_open_request(board, ticket) for ticket in tickets)
    return sorted((each for each in found if each), key=lambda each: each["asked"])


def _describe_open_request(board: Board, ticket: Ticket) -> dict[str, Any] | None:
    """A ticket's open request for the inbox, or None."""
    if not (said := ticket.flow):
        return None
    try:
        flow = from_mapping(said, path=str(ticket.path))
    except OrchestrateError:
        return None
    question = flow.question
    if question is None:
        return None
    request = ApprovalRequest.find(History(board.path, ticket.id), question.digest)
    return {
        "id": ticket.id,
        "title": ticket.title,
        "question": question.number,
        "stage": question.stage,
        "label": request.label if request else flow.reason,
        "asked": question.asked,
        "file": str(ticket.path.relative_to(board.root)),
        "how": answer_commands(request, ticket.id) if request else [],
    }
