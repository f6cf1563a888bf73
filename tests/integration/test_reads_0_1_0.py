"""A board that version 0.1.0 wrote goes on: its history, receipts, requests and `flow:` blocks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orchestrator import Board, Conductor
from orchestrator.approvals.request import ApprovalRequest
from orchestrator.gates.checks import Verdict
from orchestrator.gates.receipts import Receipt, newest_receipts
from orchestrator.storage.history import History

FIXTURE = Path(__file__).parents[1] / "fixtures" / "v0_1_0"


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(Path(shutil.copytree(FIXTURE, tmp_path / "work")))


@pytest.mark.parametrize("family", ["WO-002", "WO-004"])
def test_receipts_and_requests_keep_their_digests(board: Board, family: str) -> None:
    history = History(board.path, family)
    receipts = list(history.of("receipt"))
    assert receipts
    for record in receipts:
        receipt = Receipt.from_dict(record)
        assert receipt.id == record["id"]
        assert receipt.to_dict().items() <= record.items()
    for record in history.of("question"):
        assert ApprovalRequest.from_dict(record["sheet"]).digest == record["digest"]


def test_the_record_is_read_as_it_was(board: Board) -> None:
    conductor = Conductor(board)
    waiting, approved = conductor.status("WO-002"), conductor.status("WO-004")
    assert [s["text"] for s in waiting["question"]["unproven"]] == ["The tea is hot"]
    assert waiting["question"]["how"][0] == "orchestrate approve WO-002 --accept-unproven"
    assert approved["accepted"] == ["`tmp/dump.sql` does not exist @2aebdd0d"]
    (failed,) = (
        r
        for r in newest_receipts(History(board.path, "WO-004")).values()
        if r.verdict is Verdict.FAILED
    )
    assert failed.is_accepted(approved["accepted"])
    assert (failed.stage, failed.attempt) == (3, 1)


def test_its_answers_still_count_and_its_question_can_be_answered(board: Board) -> None:
    conductor = Conductor(board)
    assert conductor.run("WO-004").outcome == "complete"
    conductor.approve("WO-002", accept_unproven=True)
    assert conductor.run("WO-002").outcome == "complete"
