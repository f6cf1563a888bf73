"""What a newcomer does first: `init` in a repository, then its first ticket to the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
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


QA_TICKET = """---
id: WO-900
title: Greet
status: {status}
owner: INSPECTOR
---
# Greet

## Acceptance Criteria

- [ ] `docs/greet.md` exists
"""


def put_built(root: Path, folder: str) -> None:
    orchestrate(root, "init")
    place = root / "_WORK_ORDERS" / folder
    place.mkdir(parents=True, exist_ok=True)
    (place / "WO-900_Greet.md").write_text(QA_TICKET.format(status=folder))


def dispatched(root: Path, id: str = "WO-900") -> list[str]:
    log = orchestrate(root, "log", id, "--json").stdout
    records = json.loads(log) if log.startswith("[") else list(map(json.loads, log.splitlines()))
    return [r["agent"] for r in records if r["type"] == "dispatch"]


@pytest.mark.parametrize("folder", ["04_QA", "05_USER_REVIEW"])
def test_a_ticket_that_is_built_when_it_is_begun_is_inspected_and_not_built(
    tmp_path: Path, folder: str
) -> None:
    put_built(tmp_path, folder)
    (tmp_path / "docs").mkdir(exist_ok=True)
    (tmp_path / "docs/greet.md").write_text("Hello\n")
    shown = orchestrate(tmp_path, "adopt", "WO-900", "--dry-run", "--json").stdout
    assert json.loads(shown)["families"][0]["stage"] == 3
    first = orchestrate(tmp_path, "run", "WO-900")
    assert first.exit_code == 10, first.output
    assert dispatched(tmp_path) == ["INSPECTOR"]
    assert "only proven: STAGE 1: LEAD — Triage" in first.output
    question = json.loads(orchestrate(tmp_path, "status", "WO-900", "--json").stdout)["question"]
    assert (question["failed"], question["unproven"]) == ([], [])
    orchestrate(tmp_path, "approve", "WO-900")
    last = orchestrate(tmp_path, "run", "WO-900")
    assert last.exit_code == 0, last.output
    assert list((tmp_path / "_WORK_ORDERS/06_COMPLETE").glob("WO-900*"))


def test_what_does_not_hold_of_a_built_ticket_is_built_after_all(tmp_path: Path) -> None:
    put_built(tmp_path, "04_QA")
    orchestrate(tmp_path, "run", "WO-900")
    assert dispatched(tmp_path)[:2] == ["INSPECTOR", "BUILDER"]


def test_a_built_ticket_is_refused_where_an_approval_comes_before_the_inspection(
    tmp_path: Path,
) -> None:
    put_built(tmp_path, "04_QA")
    workflow = tmp_path / "workflows/work-order.md"
    gate = "## STAGE 3: USER CHECKPOINT #1 — Plan\n\n## STAGE 4: INSPECTOR"
    text = workflow.read_text().replace(
        "## STAGE 4: USER CHECKPOINT #1", "## STAGE 5: USER CHECKPOINT #2"
    )
    workflow.write_text(text.replace("## STAGE 3: INSPECTOR", gate))
    for verb in ("run", "adopt"):
        said = orchestrate(tmp_path, verb, "WO-900")
        assert said.exit_code != 0
        assert "not-startable" in said.output, said.output
        assert "01_TRIAGE" in said.output
    assert dispatched(tmp_path) == []
