"""A family's status and open request as data for people and scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.approvals.request import ApprovalRequest, answer_commands, group_statements
from orchestrator.domain.record import Flow, Question, State
from orchestrator.domain.states import FolderRole
from orchestrator.family.family import Family
from orchestrator.family.intact import find_damage
from orchestrator.gates.checks import Verdict
from orchestrator.gates.receipts import ReceiptSummary
from orchestrator.storage.locks import is_locked
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket

if TYPE_CHECKING:
    from orchestrator.settings.config import Settings


def family_status(
    board: Board, id: str, settings: Settings, find_waits: Callable[[str], list[str]]
) -> dict[str, Any]:
    """Where a family is and what it waits for, JSON-able.

    `find_waits` says, by its parent's id, why the next stages of a family cannot begin yet.
    """
    tickets = board.family(id)
    parent = tickets[0].id
    found = describe_family(board, parent)
    # a wait is not a state of the record: it ends by itself
    may_wait = settings.wip_limit or any(t.depends_on or t.files for t in tickets)
    if found["state"] == State.RUNNING and may_wait:
        found["reasons"] += find_waits(parent)
    # a running family that nobody works on was stopped, or has not been run yet
    found["at_work"] = is_locked(board.root / ".orchestrate" / "state", parent)
    could_go_on = found["state"] == State.RUNNING and not found["reasons"]
    found["stopped"] = could_go_on and not found["at_work"]
    return found


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
    from orchestrator.approvals.changed_files import describe_file, diff_files, shorten
    from orchestrator.family.change_log import change_log_of

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
