"""What a newcomer does first: `init` in a repository, then its first ticket to the end."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from orchestrator.cli.app import app


def orchestrate(root: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["-C", str(root), *args])


def test_the_first_ticket_of_init_runs_to_complete(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("An existing project.\n", encoding="utf-8")
    assert orchestrate(tmp_path, "init").exit_code == 0

    first = orchestrate(tmp_path, "run", "WO-001")
    assert first.exit_code == 10, first.output
    question = json.loads(orchestrate(tmp_path, "status", "WO-001", "--json").stdout)["question"]
    assert question["failed"] == question["unproven"] == []
    assert "docs/hello.md" in question["read"]

    assert orchestrate(tmp_path, "approve", "WO-001").exit_code == 0
    last = orchestrate(tmp_path, "run", "WO-001")
    assert last.exit_code == 0, last.output
    assert (tmp_path / "docs/hello.md").read_text(encoding="utf-8").startswith("# Hello\n")
    assert [p.name for p in (tmp_path / "_WORK_ORDERS/06_COMPLETE").glob("*.md")] == [
        "WO-001_Say_hello.md"
    ]


def test_a_ticket_for_a_person_waits_and_costs_no_strike(tmp_path: Path) -> None:
    orchestrate(tmp_path, "init")
    orchestrate(tmp_path, "new", "Fix the button colour", "--owner", "BUILDER")
    result = orchestrate(tmp_path, "run", "WO-002", "--json")
    outcome = json.loads(result.stdout.splitlines()[-1])
    assert (result.exit_code, outcome["outcome"]) == (10, "waiting")
    (ticket,) = [
        t for t in json.loads(orchestrate(tmp_path, "list", "--json").stdout) if t["id"] == "WO-002"
    ]
    assert (ticket["folder"], ticket["failure_count"]) == ("03_BUILD", 0)


def test_3_2_a_first_ticket_that_is_reopened_runs_to_its_review_again(tmp_path: Path) -> None:
    orchestrate(tmp_path, "init")
    for verb in ("run", "approve", "run", "reopen"):
        orchestrate(tmp_path, verb, "WO-001")
    again = orchestrate(tmp_path, "run", "WO-001")
    assert again.exit_code == 10, again.output
    question = json.loads(orchestrate(tmp_path, "status", "WO-001", "--json").stdout)["question"]
    assert (question["failed"], "checkpoint" in question["title"].lower()) == ([], True)


def test_6_5_where_a_ticket_lay_in_an_earlier_attempt_fails_no_new_one(tmp_path: Path) -> None:
    orchestrate(tmp_path, "init")
    workflow = tmp_path / "workflows/work-order.md"
    text = workflow.read_text(encoding="utf-8")
    wrong = text.replace("is owned by {{ owner | upper }}.", "is owned by PRODDY.")
    workflow.write_text(wrong, encoding="utf-8")
    orchestrate(tmp_path, "run", "WO-001")
    accept = ("approve", "WO-001", "--accept", "WO-001 is owned by PRODDY.")
    for words in (
        accept,
        ("run", "WO-001"),
        ("approve", "WO-001"),
        ("run", "WO-001"),
        ("reopen", "WO-001"),
    ):
        done = orchestrate(tmp_path, *words)
        assert done.exit_code in (0, 10), done.output
    outcome = json.loads(orchestrate(tmp_path, "run", "WO-001", "--json").stdout.splitlines()[-1])
    (ticket,) = json.loads(orchestrate(tmp_path, "list", "--json").stdout)
    assert (outcome["outcome"], ticket["failure_count"]) == ("waiting", 0), outcome


def test_3_2_a_board_ticket_that_lies_in_triage_is_handed_to_its_maker(tmp_path: Path) -> None:
    orchestrate(tmp_path, "init")
    lies = tmp_path / "_WORK_ORDERS/01_TRIAGE/WO-007_hello.md"
    first = next((tmp_path / "_WORK_ORDERS/00_INBOX").glob("*.md"))
    told = first.read_text(encoding="utf-8").replace("WO-001", "WO-007")
    told = told.replace("00_INBOX", "01_TRIAGE").replace("owner: BUILDER", "owner: LEAD")
    lies.write_text(told, encoding="utf-8")
    assert orchestrate(tmp_path, "adopt", "WO-007", "--yes").exit_code == 0
    assert orchestrate(tmp_path, "run", "WO-007").exit_code == 10
    question = json.loads(orchestrate(tmp_path, "status", "WO-007", "--json").stdout)["question"]
    assert (question["failed"], "docs/hello.md" in question["read"]) == ([], True)


def test_3_2_a_ticket_without_triage_is_in_build_while_it_is_made(tmp_path: Path) -> None:
    orchestrate(tmp_path, "init")
    (tmp_path / "workflows/quick.md").write_text(
        "# Quick\n\n## STAGE 1: BUILDER — Work\n\nDo it.\n", encoding="utf-8"
    )
    orchestrate(tmp_path, "new", "Fix the button colour", "--owner", "BUILDER")
    assert (
        orchestrate(tmp_path, "run", "WO-002", "--workflow", "workflows/quick.md").exit_code == 10
    )
    (ticket,) = (tmp_path / "_WORK_ORDERS").glob("*/WO-002_*.md")
    assert ticket.parent.name == "03_BUILD"


def test_the_record_names_a_shipped_workflow_and_not_the_place_of_the_installation(
    tmp_path: Path,
) -> None:
    orchestrate(tmp_path, "init")
    (tmp_path / "workflows/work-order.md").unlink()
    for verb in ("run", "approve", "run", "show", "review"):
        done = orchestrate(tmp_path, verb, "WO-001")
        assert done.exit_code in (0, 10), done.output
    (ticket,) = (tmp_path / "_WORK_ORDERS").glob("*/WO-001_*.md")
    text = ticket.read_text(encoding="utf-8")
    assert 'workflow: "shipped:work-order.md"' in text
    found = json.loads(orchestrate(tmp_path, "doctor", "--json").stdout)
    assert "workflow-missing" not in {f["code"] for f in found["findings"]}
