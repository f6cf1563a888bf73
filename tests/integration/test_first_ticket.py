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
