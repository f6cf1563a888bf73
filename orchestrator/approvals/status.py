"""Where a family stands, as data for people and scripts: `status` and `inbox`."""

from __future__ import annotations

from typing import Any

from orchestrator.approvals.request import ApprovalRequest
from orchestrator.domain.record import Flow, Question, from_mapping
from orchestrator.errors import OrchestrateError
from orchestrator.family.family import Family
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket


def describe_family(board: Board, parent: str) -> dict[str, Any]:
    """id, title, state, stage, workflow, members, the open question and notices, JSON-able."""
    family = Family(board, parent)
    ticket = family.ticket(parent)
    flow = family.flow if family.conducted else None
    sheet = _sheet(family, flow.question) if flow and flow.question else None
    return {
        "id": parent,
        "title": ticket.title,
        "state": flow.state.value if flow else "not conducted",
        "stage": flow.stage if flow else None,
        "label": sheet.label if sheet else (flow.reason if flow else ""),
        "workflow": flow.workflow if flow else ticket.workflow,
        "members": [_member(board, t) for t in board.family(parent)],
        "question": _question(flow, sheet, parent) if flow and flow.question and sheet else None,
        "reasons": [flow.reason] if flow and flow.reason else [],
        "accepted": list(flow.accepted) if flow else [],
        "notices": [r["text"] for r in list(family.history.of("notice"))[-5:]],
    }


def _member(board: Board, ticket: Ticket) -> dict[str, Any]:
    return {
        "id": ticket.id,
        "title": ticket.title,
        "status": ticket.status,
        "folder": ticket.folder,
        "owner": ticket.owner,
        "failure_count": ticket.failure_count,
        "path": str(ticket.path.relative_to(board.root)),
    }


def _sheet(family: Family, question: Question) -> ApprovalRequest | None:
    record = family.history.latest("question", digest=question.digest)
    return ApprovalRequest.from_dict(record["sheet"]) if record else None


def _question(flow: Flow, sheet: ApprovalRequest, parent: str) -> dict[str, Any]:
    assert flow.question is not None
    return {
        "number": flow.question.number,
        "stage": flow.question.stage,
        "kind": flow.question.kind.value,
        "title": sheet.label,
        "why": sheet.why,
        "asked": flow.question.asked,
        "digest": flow.question.digest,
        "failed": [
            {"text": s.text, "detail": s.detail, "receipt": s.receipt} for s in sheet.failed
        ],
        "unproven": [
            {"text": s.text, "detail": s.detail, "receipt": s.receipt} for s in sheet.unproven
        ],
        "proven": [
            {"text": s.text, "detail": s.detail, "receipt": s.receipt}
            for s in sheet.statements
            if s.verdict == "proven"
        ],
        "read": sorted(sheet.artifacts),
        "effects": [e.title for e in sheet.effects],
        "target": sheet.target_words,
        "target_name": sheet.target,
        "remarks": list(sheet.remarks),
        "by_user": list(sheet.by_user),
        "how": answers(sheet, parent),
    }


def answers(sheet: ApprovalRequest, parent: str) -> list[str]:
    """The commands that answer a question."""
    from orchestrator.approvals.request import flags_for

    return [
        f"orchestrate approve {parent}{flags_for(sheet)}",
        f'orchestrate send-back {parent} --note "…"',
        f'orchestrate hold {parent} --reason "…"',
    ]


def describe_open_request(board: Board, ticket: Ticket) -> dict[str, Any] | None:
    """A ticket's open question for the inbox, or None."""
    try:
        flow = from_mapping(ticket.flow or {}, path=str(ticket.path))
    except OrchestrateError:
        return None
    if flow.question is None:
        return None
    family = Family(board, ticket.id)
    sheet = _sheet(family, flow.question)
    return {
        "id": ticket.id,
        "title": ticket.title,
        "question": flow.question.number,
        "stage": flow.question.stage,
        "label": sheet.label if sheet else flow.reason,
        "asked": flow.question.asked,
        "file": str(ticket.path.relative_to(board.root)),
        "how": answers(sheet, ticket.id) if sheet else [],
    }
