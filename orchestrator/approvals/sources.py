"""The doors through which USER answers (DESIGN 7.2, 13.1): each makes an `Answer` of what it gets.

`answers.apply_answer` alone judges an answer. A door that pushes (the command line, a web page)
calls `Conductor.answer`; one that has to be asked is an `AnswerSource` in `SOURCES`.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

from orchestrator.approvals.request import ApprovalRequest
from orchestrator.domain.answer import VIA_FILE, Answer, AnswerVerb, verb_of
from orchestrator.domain.states import FolderRole
from orchestrator.family.session import Session


class AnswerSource(Protocol):
    """A door that is asked, before each step of a family, whether an answer has arrived."""

    def read_answer(self, session: Session) -> Answer | None:
        """The answer to the family's open request, if one has arrived here."""
        ...


class TicketFiles:
    """Answers in the tickets: `status:`, the keys next to it, and words under `### USER`."""

    def read_answer(self, session: Session) -> Answer | None:
        """An answer in the parent's file; a child's CHANGES_REQUESTED beats it."""
        question, parent = session.flow.question, session.plan.parent
        requested = session.family.requested_statuses()
        if question is None or not requested:
            return None
        status = requested.get(parent, "")
        verb = verb_of(status)
        final = question.stage == session.plan.last.number
        role = session.board.folders.role_of_status(status)
        if verb is None and final and role is FolderRole.COMPLETE:
            request = ApprovalRequest.find(session.family.history, question.digest)
            # where a ticket is dragged to its end nobody has thought of what would run
            if request is None or not request.on_target:
                verb = AnswerVerb.APPROVED
        sent_back = tuple(
            member
            for member, status in requested.items()
            if member != parent and verb_of(status) is AnswerVerb.CHANGES_REQUESTED
        )
        if sent_back:
            verb = AnswerVerb.CHANGES_REQUESTED
        if verb is None:
            return None
        ticket = session.family.ticket(parent)
        accept, unproven = parse_accept(ticket.meta.get("accept"))
        words = words_under_user(ticket.body, question.number)
        target = str(ticket.meta.get("target") or "")
        return Answer(verb, words, accept, unproven, target, sent_back, VIA_FILE)


SOURCES: tuple[AnswerSource, ...] = (TicketFiles(),)


def words_under_user(body: str, number: int) -> str:
    """USER's words under `### USER` in the section of a question, the last one with its number."""
    body = body.replace("\r\n", "\n").replace("\r", "\n")
    pattern = rf"^## [^\n]*question {number}\s*$(.*?)(?=^## |\Z)"
    sections = re.findall(pattern, body, re.MULTILINE | re.DOTALL)
    if not sections:
        return ""
    words = re.search(r"^### USER[ \t]*$(.*)", sections[-1], re.MULTILINE | re.DOTALL)
    return words.group(1).strip() if words else ""


def parse_accept(value: Any) -> tuple[tuple[str, ...], bool]:
    """The `accept:` key: the failed statements that it names, and whether it has `unproven`."""
    items = value if isinstance(value, list) else [value] if value else []
    names = [name for item in items if (name := str(item).strip())]
    accepted = tuple(name for name in names if name.lower() != "unproven")
    return accepted, len(accepted) < len(names)
