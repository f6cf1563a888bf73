"""Answers from any door are judged in one place, and the record says which door (DESIGN 13.1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.approvals import answers
from orchestrator.approvals.answers import AnswerRefusedError
from orchestrator.domain.answer import Answer, AnswerVerb
from orchestrator.family.session import Session
from orchestrator.storage.history import History
from tests.boards import Workspace


class Chat:
    """A door that holds one answer."""

    def __init__(self, answer: Answer) -> None:
        self.waiting: list[Answer] = [answer]

    def read_answer(self, session: Session) -> Answer | None:
        return self.waiting.pop() if session.flow.question and self.waiting else None


def recorded(work: Workspace) -> dict[str, object]:
    record = History(work.root / "_WORK_ORDERS", "WO-512").latest("answer")
    assert record is not None
    return record


def test_an_answer_from_a_chat_is_taken_and_recorded_with_its_sender(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Workspace(tmp_path)
    before = work.conductor().run("WO-512")
    assert before.outcome == "waiting"
    chat = Chat(Answer(AnswerVerb.APPROVED, "looks good", via="chat", by="anna"))
    monkeypatch.setattr(answers, "SOURCES", (chat,))
    after = work.conductor().run("WO-512")
    assert (after.stage or 0) > (before.stage or 0)
    record = recorded(work)
    assert [record[k] for k in ("answer", "via", "by", "words")] == [
        "approved",
        "chat",
        "anna",
        "looks good",
    ]


def test_a_door_that_pushes_is_judged_alike(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    work.conductor().run("WO-512")
    wrong = Answer(AnswerVerb.APPROVED, accept=("no such statement",), via="page", by="anna")
    with pytest.raises(AnswerRefusedError, match="not among the failed"):
        work.conductor().answer("WO-512", wrong)
    work.conductor().answer("WO-512", Answer(AnswerVerb.APPROVED, via="page", by="anna"))
    assert (recorded(work)["via"], recorded(work)["by"]) == ("page", "anna")
