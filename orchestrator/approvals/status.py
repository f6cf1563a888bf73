"""A family's status and open request as data for people and scripts: `status` and `inbox`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.approvals.changed_files import describe_file, diff_files, shorten
from orchestrator.approvals.request import ApprovalRequest, answer_commands, group_statements
from orchestrator.domain.record import Flow, Question, State, from_mapping
from orchestrator.domain.states import FolderRole
from orchestrator.errors import OrchestrateError
from orchestrator.family.change_log import change_log_of
from orchestrator.family.family import Family
from orchestrator.family.intact import find_damage
from orchestrator.gates.checks import Verdict
from orchestrator.gates.receipts import ReceiptSummary
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket


def describe_family(board: Board, parent: str) -> dict[str, Any]:
    """id, title, state, stage, workflow, members, the open question and notices, JSON-able."""
    family = Family(board, parent)
    ticket = family.ticket(parent)
    flow = family.flow if family.conducted else None
    question = flow.question if flow else None
    family_on_board = board.family(parent)
    missing = sorted(set(flow.members) - {t.id for t in family_on_board}) if flow else []
    gone = [f"{member} is not on the board: its file is gone" for member in missing]
    request = ApprovalRequest.find(family.history, question.digest) if question else None
    damage = find_damage(family.history, ticket.flow)
    altered = [f"{damage.message}; {damage.hint}"] if damage else []
    return {
        "id": parent,
        "title": ticket.title,
        "state": flow.state.value if flow else "not conducted",
        "stage": flow.stage if flow else None,
        "label": request.label if request else (flow.reason if flow else ""),
        "workflow": flow.workflow if flow else ticket.workflow,
        "members": [
            {
                "id": member.id,
                "title": member.title,
                "status": member.status,
                "folder": member.folder,
                "owner": member.owner,
                "failure_count": member.failure_count,
                "path": str(member.path.relative_to(board.root)),
            }
            for member in family_on_board
        ],
        "question": describe_request(question, request, family) if question and request else None,
        "hand_over": _hand_over(board, family_on_board, flow),
        "reasons": [flow.reason] if flow and flow.reason else [],
        "accepted": list(flow.accepted) if flow else [],
        "notices": [*altered, *gone] + [r["text"] for r in list(family.history.of("notice"))[-5:]],
    }


def _hand_over(board: Board, members: Sequence[Ticket], flow: Flow | None) -> dict[str, str] | None:
    """With which status, in which file, a person says that an agent's work is done."""
    if flow is None or flow.state is not State.NEEDS_PERSON:
        return None
    waiting = [m for m in members if m.role in (FolderRole.BUILD, FolderRole.DESIGN)]
    at = str(waiting[0].path.relative_to(board.root)) if waiting else ""
    return {"path": at, "status": board.folders.wish_for(FolderRole.QA)} if at else None


def describe_request(
    question: Question, request: ApprovalRequest, family: Family
) -> dict[str, Any]:
    """An open request with all that USER needs to answer it, JSON-able."""

    def brief(statements: tuple[ReceiptSummary, ...]) -> list[dict[str, str]]:
        return [
            {
                "text": s.shown,
                "detail": s.detail,
                "receipt": s.receipt,
                "verdict": s.label,
                "forecast": s.forecast,
            }
            for s in statements
        ]

    return {
        "number": question.number,
        "stage": question.stage,
        "kind": question.kind.value,
        "title": request.label,
        "why": request.why,
        "changed": list(request.changed),
        "asked": question.asked,
        "digest": question.digest,
        "failed": brief(request.failed),
        "unproven": brief(request.unproven),
        "proven": brief(request.with_label(Verdict.PROVEN)),
        "not_read": _number_lines(request, family),
        "proposed": [proposed.describe(family.parent) for proposed in request.proposed],
        "without_criteria": list(request.without_criteria),
        "groups": [
            {"heading": head, "statements": brief(found)}
            for head, found in group_statements(request.statements)
        ],
        "read": sorted(request.artifacts),
        **_describe_changes(family, request),
        "effects": [e.title for e in request.effects],
        "consequence": request.consequence,
        "target": request.target_words,
        "target_name": request.target,
        "remarks": list(request.remarks),
        "by_user": list(request.by_user),
        "how": answer_commands(request, family.parent),
    }


def _describe_changes(family: Family, request: ApprovalRequest) -> dict[str, Any]:
    """The changed files, each in a line, and the beginning of their diffs."""
    diffs = diff_files(change_log_of(family, request.stage), request.files)
    return {
        "changed_files": [
            {"path": d.file.path, "kind": d.file.kind, "text": describe_file(d)} for d in diffs
        ],
        "diff": list(shorten(diffs)),
        "notes": list(request.notes),
    }


def _number_lines(request: ApprovalRequest, family: Family) -> list[str]:
    """The lines that were not read, with the numbers that they have in the files now."""
    numbered: dict[str, str] = {}
    for member in family.flow.members if request.not_read else ():
        for unread in family.criteria(member).unread:
            numbered[unread.describe(member)] = unread.describe(member, numbered=True)
    return [numbered.get(line, line) for line in request.not_read]


def list_open_requests(board: Board, tickets: Iterable[Ticket]) -> list[dict[str, Any]]:
    """The open requests of these tickets, oldest first."""
    found = [_describe_open_request(board, ticket) for ticket in tickets if ticket.flow]
    return sorted((each for each in found if each), key=lambda each: each["asked"])


def _describe_open_request(board: Board, ticket: Ticket) -> dict[str, Any] | None:
    """A ticket's open request for the inbox, or None."""
    try:
        question = from_mapping(ticket.flow or {}, path=str(ticket.path)).question
    except OrchestrateError:
        return None
    if question is None:
        return None
    family = Family(board, ticket.id)
    request = ApprovalRequest.find(family.history, question.digest)
    return {
        "id": ticket.id,
        "title": ticket.title,
        "question": question.number,
        "stage": question.stage,
        "label": request.label if request else family.flow.reason,
        "asked": question.asked,
        "file": str(ticket.path.relative_to(board.root)),
        "how": answer_commands(request, ticket.id) if request else [],
    }
