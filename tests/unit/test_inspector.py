"""INSPECTOR writes up what the engine found, and judges nothing itself."""

from __future__ import annotations

import pytest

from orchestrate_agents.inspector import Inspector
from orchestrator.domain.agent import Finding, Job, Outcome, Report


def inspect(*findings: Finding) -> Report:
    job = Job(
        ticket="WO-7",
        parent="WO-7",
        family=(),
        stage=6,
        agent="INSPECTOR",
        workspace="/nowhere",
        workflow="workflows/beds.md",
        workflow_text="",
        findings=findings,
    )
    return Inspector().work(job)


def finding(statement: str, verdict: str = "proven", **fields: str) -> Finding:
    given = {"source": "workflows/beds.md:9", "receipt": "aa", **fields}
    return Finding(statement=statement, verdict=verdict, detail=f"{verdict} it is", **given)


def test_without_a_failure_it_is_done_and_shows_what_is_unproven() -> None:
    report = inspect(finding("A"), finding("B", "unproven"))
    assert report.outcome is Outcome.DONE
    head = "[STATUS: UNPROVEN (1 of 2 criteria proven)]** 2 statements: 1 proven, 1 unproven"
    assert head in report.section
    assert report.log[0] == "UNPROVEN (1 of 2 criteria proven)"
    assert "| B | unproven | unproven it is | aa |" in report.section


def test_a_failure_is_a_fail_with_the_list_of_what_to_mend() -> None:
    report = inspect(finding("A"), finding("B", "failed", member="WO-7a"))
    assert report.outcome is Outcome.FAILED
    assert report.reason == "1 of 2 statements failed"
    assert "[STATUS: FAIL]" in report.section
    assert "- WO-7a: B (workflows/beds.md:9) — failed it is" in report.section


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        ("proven proven pending", "PASS"),
        ("proven unproven unproven unproven unproven pending", "UNPROVEN (1 of 5 criteria proven)"),
        ("unproven", "UNPROVEN (0 of 1 criterion proven)"),
        ("accepted proven", "ACCEPTED BY USER (1 of 2 criteria proven)"),
        ("accepted unproven", "UNPROVEN (0 of 2 criteria proven)"),
        ("pending", "NOTHING JUDGED YET"),
        ("failed unproven proven", "FAIL"),
    ],
)
def test_it_passes_only_what_is_proven(verdicts: str, status: str) -> None:
    found = [finding(f"claim {n}", verdict) for n, verdict in enumerate(verdicts.split())]
    assert f"[STATUS: {status}]" in inspect(*found).section


def test_nothing_to_inspect_is_for_a_person() -> None:
    report = inspect()
    assert report.outcome is Outcome.NEEDS_PERSON
    assert "workflows/beds.md" in report.reason


def test_what_workflow_and_ticket_both_say_stands_once_with_both_receipts() -> None:
    ticket = {"source": "_WORK_ORDERS/04_QA/WO-7a_Beds.md:20", "group": "Acceptance Criteria"}
    report = inspect(finding("A"), finding("A.", receipt="bb", **ticket), finding("C", **ticket))
    assert "2 statements: 2 proven" in report.section
    assert report.section.count("| A") == 1
    assert "| aa, bb |" in report.section
    assert "**WO-7a — Acceptance Criteria**" in report.section


def test_the_same_words_with_another_verdict_stay_apart() -> None:
    report = inspect(finding("A"), finding("A", "failed"))
    assert report.outcome is Outcome.FAILED
    assert "2 statements: 1 proven, 1 failed" in report.section


def test_a_statement_cannot_break_the_table() -> None:
    report = inspect(finding("a | b", "failed"))
    assert "| a \\| b | failed |" in report.section
