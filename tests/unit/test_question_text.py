"""The question at a terminal: what matters comes first, and nothing is reported twice."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.approvals import status
from orchestrator.approvals.answers import resolve_acceptances
from orchestrator.approvals.changed_file import ChangedFile
from orchestrator.approvals.changed_files import FileDiff, shorten
from orchestrator.approvals.request import (
    ApprovalRequest,
    answer_commands,
    group_statements,
    render_request,
)
from orchestrator.cli import text
from orchestrator.cli.family_text import say_question, say_status
from orchestrator.cli.running import ProgressPrinter
from orchestrator.domain.answer import Answer, AnswerVerb
from orchestrator.domain.record import Question, QuestionKind
from orchestrator.domain.states import FolderRole
from orchestrator.family.session import Progress
from orchestrator.gates.receipts import ReceiptSummary


def shown(statement: str, verdict: str = "proven", **more: Any) -> ReceiptSummary:
    fields = {"detail": f"found of {statement}", "receipt": "1a2b3c4d", "checks": {}, **more}
    return ReceiptSummary(statement, verdict, key=statement, subject_digest="9", **fields)


REQUEST = ApprovalRequest(
    number=2,
    stage=3,
    kind="checkpoint",
    label="USER CHECKPOINT #1: The end",
    workflow="aa",
    attempts={},
    statements=(
        shown("tea is hot"),
        shown("WO-1 in `04_QA`", bookkeeping=True),
        shown("WO-1 in `05_USER_REVIEW`", "pending", bookkeeping=True),
        shown("cups rows | at least 8", "pending", kind="metric"),
        shown("pots rows | at least 3", "pending", kind="metric", forecast="2 rows to load"),
        shown("milk is fresh", "unproven"),
        shown("WO-1 is owned by MAKER", "failed", bookkeeping=True),
    ),
    artifacts={"tea.txt": "11"},
)


@pytest.fixture(autouse=True)
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """These questions are about no family on a disk."""
    nothing = {"changed_files": [], "diff": [], "notes": []}
    monkeypatch.setattr(status, "_describe_changes", lambda *_: nothing)


def status_of(request: ApprovalRequest) -> dict[str, Any]:
    question = Question(
        number=request.number,
        stage=request.stage,
        kind=QuestionKind.CHECKPOINT,
        digest=request.digest,
        came_from=FolderRole.QA,
        asked="2026-01-01T00:00:00Z",
    )
    family: Any = SimpleNamespace(parent="WO-1")
    member = {"id": "WO-1", "path": "b/WO-1.md", "folder": "05", "owner": "USER"}
    return {
        "id": "WO-1",
        "title": "Tea",
        "state": "waiting for USER",
        "stopped": False,
        "stage": 3,
        "workflow": "",
        "members": [{**member, "failure_count": 0}],
        "reasons": ["question 2 at STAGE 3"],
        "notices": [],
        "question": status.describe_request(question, request, family),
    }


def test_7_1_the_question_begins_with_what_approving_does_and_ends_with_how_to_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say_question(status_of(REQUEST))
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    order = [
        "Approving runs nothing on any database; the work then continues.",
        "Failed (1):",
        "✗ WO-1 is owned by MAKER — found of WO-1 is owned by MAKER",
        "Unproven (1):",
        "Judged later (2), 1 already known to fail:",
        "✗ pots rows: at least 3 — already known to fail: 2 rows to load",
        "· cups rows: at least 8 — found of cups rows | at least 8",
        "1 proven, 2 bookkeeping (`orchestrate review WO-1` lists them)",
        "To read:",
        "To answer, set `status:` in b/WO-1.md",
    ]
    places = [lines.index(line) for line in order]
    assert places == sorted(places)
    assert not any("tea is hot" in line for line in lines)
    filled = [line for line in lines if line]
    assert len(filled) == len(set(filled))


def test_counts_of_a_proven_statement_are_shown_beside_it() -> None:
    counted = shown("2 complete rows", counted="2 of 3 rows are full; 0 of 3 have all")
    text = render_request(replace(REQUEST, statements=(counted, shown("tea is hot"))), "WO-1")
    assert "- 2 complete rows — 2 of 3 rows are full; 0 of 3 have all · receipt" in text
    assert "- tea is hot · receipt" in text


def test_a_question_that_is_asked_again_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    say_question(status_of(replace(REQUEST, changed=("`tea.txt`: sha256 11 is now 12",))))
    said = capsys.readouterr().out
    assert "Asked again" in said
    assert said.index("Asked again") < said.index("sha256 11 is now 12") < said.index("Approving")


def test_status_is_shorter_than_the_question(capsys: pytest.CaptureFixture[str]) -> None:
    say_status(status_of(REQUEST))
    out = capsys.readouterr().out
    assert len(out.splitlines()) <= 10
    assert "1 failed, 1 unproven, 2 judged later, of which 1 already known to fail, 1 proven" in out
    assert "answer: orchestrate approve WO-1 --accept 'WO-1 is owned by MAKER'" in out


def test_only_bookkeeping_that_is_in_order_is_folded() -> None:
    groups = {head: [s.text for s in found] for head, found in group_statements(REQUEST.statements)}
    assert groups["Bookkeeping"] == ["WO-1 in `04_QA`", "WO-1 in `05_USER_REVIEW`"]
    assert groups["Failed"] == ["WO-1 is owned by MAKER"]
    assert sum(map(len, groups.values())) == len(REQUEST.statements)


def test_a_metric_is_read_without_its_bar_and_accepted_either_way() -> None:
    failed = shown("cups rows | at least 8", "failed", kind="metric")
    request = replace(REQUEST, statements=(failed, shown("a | b", "failed")))
    assert (
        "--accept 'cups rows: at least 8' --accept 'a | b'" in answer_commands(request, "WO-1")[0]
    )
    assert "- cups rows: at least 8 —" in render_request(request, "WO-1")
    for name in ("cups rows | at least 8", "cups rows: at least 8"):
        answer = Answer(AnswerVerb.APPROVED, accept=(name, "a | b"))
        assert resolve_acceptances(request, answer) == ("cups rows | at least 8 @9", "a | b @9")


@pytest.mark.parametrize("after", ["question", "notice"])
def test_what_failed_is_told_by_the_run_or_by_the_question_never_by_both(
    after: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tell = ProgressPrinter()
    tell(Progress("stage", "STAGE 1", stage=1))
    tell(Progress("statement", "it holds — no", stage=1, verdict="failed"))
    tell(Progress("statement", "who knows", stage=1, verdict="unproven"))
    tell(Progress("move", "WO-1: a → b"))
    tell(Progress(after, "what follows"))
    tell.close()
    out = capsys.readouterr().out
    assert ("✗ it holds — no" in out) is (after == "notice")
    assert "who knows" not in out


def test_commands_are_named_as_they_can_be_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bin_ = tmp_path / "my tools" / "bin"
    bin_.mkdir(parents=True)
    program = bin_ / "orchestrate"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    hint = "use `orchestrate run WO-1`, not orchestrate; orchestrate.toml and .x/orchestrate stay"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")

    def named(called: str) -> str:
        text._program.cache_clear()
        monkeypatch.setattr(sys, "argv", [called])
        return text.callable_commands(hint)

    assert named(".venv/bin/orchestrate") == hint.replace("`orch", "`.venv/bin/orch")
    assert named(str(program)) == hint.replace("`orchestrate", "`'my tools/bin/orchestrate'")
    assert named("/usr/bin/pytest") == hint
    monkeypatch.setenv("PATH", str(bin_))
    assert named(str(program)) == hint


def test_the_beginning_of_a_long_new_file_takes_no_room_from_what_was_edited() -> None:
    def diff(path: str, kind: str, lines: int) -> FileDiff:
        file = ChangedFile(path, kind, ("file", "a"), ("file", "b"))
        return FileDiff(file, tuple(f"+line {n}" for n in range(lines)))

    told = list(shorten([diff("new.csv", "added", 900), diff("old.py", "edited", 900)]))
    assert told[0] == "--- old.py"
    assert "--- new.csv" not in told
    assert next(iter(shorten([diff("new.py", "added", 3)]))) == "--- new.py"
