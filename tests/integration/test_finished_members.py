"""Families with a child that was finished before: its work is not done again, but judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli.app import app

WORKFLOW = """# Greetings

## STAGE 1: LEAD — Triage

Split into:
- **WO-7a** → BUILDER: greet
- **WO-7b** → BUILDER: part

**Done when:** WO-7a in `03_BUILD` with `owner: BUILDER`. WO-7b in `03_BUILD` with `owner: BUILDER`.

## STAGE 2: BUILDER — Greet

Create `docs/hello.txt` with:

```
Hello from the workflow
```

Move WO-7a to `04_QA` with `owner: INSPECTOR`.

**Done when:** `docs/hello.txt` exists. WO-7a in `04_QA` with `owner: INSPECTOR`

## STAGE 3: BUILDER — Part

Create `docs/bye.txt` with:

```
Goodbye
```

Move WO-7b to `04_QA` with `owner: INSPECTOR`.

**Done when:** `docs/bye.txt` exists. WO-7b in `04_QA` with `owner: INSPECTOR`

## STAGE 4: INSPECTOR — Quality gate

INSPECTOR reviews both tickets.

**Done when:** WO-7a in `05_USER_REVIEW`. WO-7b in `05_USER_REVIEW`.

## STAGE 5: USER CHECKPOINT #1 — Review

**Done when:** USER approves. WO-7a moves to `06_COMPLETE`.
"""


def orchestrate(root: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["-C", str(root), *args])


def records(root: Path, kind: str) -> list[dict]:
    log = orchestrate(root, "log", "WO-7", "--json").stdout
    found = json.loads(log) if log.startswith("[") else list(map(json.loads, log.splitlines()))
    return [record for record in found if record["type"] == kind]


def put(root: Path, id: str, folder: str, text: str, status: str = "") -> Path:
    place = root / "_WORK_ORDERS" / folder
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{id}_Greet.md"
    above = "parent: WO-7\n" if id != "WO-7" else "pipeline_workflow: workflows/greet.md\n"
    head = f"id: {id}\ntitle: {id}\nstatus: {status or folder}\nowner: LEAD\n{above}"
    path.write_text(f"---\n{head}---\n# {id}\n\n{text}")
    return path


@pytest.fixture
def board(tmp_path: Path) -> Path:
    orchestrate(tmp_path, "init")
    (tmp_path / "workflows/greet.md").write_text(WORKFLOW)
    put(tmp_path, "WO-7", "01_TRIAGE", "Greets.\n")
    put(tmp_path, "WO-7b", "01_TRIAGE", "## Acceptance Criteria\n\n- [ ] `docs/bye.txt` exists\n")
    (tmp_path / "docs").mkdir(exist_ok=True)
    return tmp_path


def finished(root: Path, status: str = "") -> Path:
    criteria = "## Acceptance Criteria\n\n- [ ] `docs/hello.txt` contains “Hi”\n"
    return put(root, "WO-7a", "06_COMPLETE", criteria, status)


def test_a_finished_child_is_a_member_whose_work_is_not_done_again(board: Path) -> None:
    (board / "docs/hello.txt").write_text("Hi, made by hand\n")
    child = finished(board, "done")
    shown = json.loads(orchestrate(board, "adopt", "WO-7", "--dry-run", "--json").stdout)
    assert [m["id"] for m in shown["families"][0]["members"]] == ["WO-7", "WO-7a", "WO-7b"]
    first = orchestrate(board, "run", "WO-7")
    assert first.exit_code == 10, first.output
    stages = [r["stage"] for r in records(board, "dispatch")]
    assert 2 not in stages
    assert 3 in stages
    assert child.is_file(), "it moved"
    question = json.loads(orchestrate(board, "status", "WO-7", "--json").stdout)["question"]
    assert (question["failed"], question["unproven"]) == ([], []), first.output
    assert question["kind"] == "checkpoint"
    judged = {r["statement"]["text"]: r["verdict"] for r in records(board, "receipt")}
    assert judged["`docs/hello.txt` contains “Hi”"] == "proven"
    orchestrate(board, "approve", "WO-7")
    last = orchestrate(board, "run", "WO-7")
    assert last.exit_code == 0, last.output
    assert child.is_file()
    assert (board / "docs/hello.txt").read_text() == "Hi, made by hand\n"
    assert len(list((board / "_WORK_ORDERS/06_COMPLETE").glob("WO-7*"))) == 3


def test_what_a_finished_child_demands_and_does_not_hold_is_put_to_user(board: Path) -> None:
    finished(board)
    first = orchestrate(board, "run", "WO-7")
    assert first.exit_code == 10, first.output
    assert 2 not in [r["stage"] for r in records(board, "dispatch")]
    question = json.loads(orchestrate(board, "status", "WO-7", "--json").stdout)["question"]
    assert any(
        "`docs/hello.txt` contains" in json.dumps(f, ensure_ascii=False) for f in question["failed"]
    )
    back = orchestrate(board, "send-back", "WO-7", "--member", "WO-7a", "--note", "make it")
    assert back.exit_code == 0, back.output
    orchestrate(board, "run", "WO-7")
    assert 2 in [r["stage"] for r in records(board, "dispatch")]
    assert (board / "docs/hello.txt").is_file()


def test_an_archived_child_is_refused(board: Path) -> None:
    put(board, "WO-7a", "07_ARCHIVED", "Text.\n")
    assert "error[not-startable]" in orchestrate(board, "run", "WO-7").output
