"""`verify` tells what holds, what held then, and what no longer holds (DESIGN 6.5)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.conductor.verify import Standing, Verified, count_standings
from orchestrator.gates.checks import Verdict
from tests.boards import Workspace
from tests.claims import judge

PROVEN, FAILED = Verdict.PROVEN.value, Verdict.FAILED.value


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    found = Workspace(tmp_path)
    found.to_the_end()
    found.conductor().approve("WO-512")
    assert found.conductor().run("WO-512").outcome == "complete"
    return found


def verify(work: Workspace, *more: str) -> tuple[int, str]:
    ran = CliRunner().invoke(app, ["-C", str(work.root), "verify", "WO-512", *more])
    return ran.exit_code, ran.output


def test_positions_and_answers_held_then_and_files_hold(work: Workspace) -> None:
    code, out = verify(work, "--json")
    found = json.loads(out)
    standing = {(v["statement"], v["standing"]) for v in found["statements"]}
    assert ("`out/first.txt` exists", "holds") in standing
    assert ('USER says "approved".', "held then") in standing
    assert all(then == "held then" for text, then in standing if "in `0" in text)
    assert found["counts"]["no longer holds"] == found["counts"]["failed"] == 0
    assert sum(found["counts"].values()) == len(found["statements"])
    assert code == 0


def test_what_no_longer_holds_is_told_last_and_alone_fails(work: Workspace) -> None:
    (work.root / "out/first.txt").unlink()
    code, out = verify(work)
    assert code == 1
    assert out.index("Holds (") < out.index("Held then (") < out.index("No longer holds (")
    tail = out[out.index("No longer holds (") :]
    assert "✗ `out/first.txt` exists" in tail
    assert "was proven, is failed" in tail
    assert "out/second.txt" not in tail
    assert out.strip().splitlines()[-1].startswith(f"{out.count('  ✓ ') + out.count('  - ') + 2} ")


@pytest.mark.parametrize(
    ("then", "now", "more", "standing", "holds"),
    [
        (PROVEN, PROVEN, {}, Standing.HOLDS, True),
        (PROVEN, PROVEN, {"kept": True}, Standing.THEN, True),
        (PROVEN, PROVEN, {"past": True}, Standing.THEN, True),
        (PROVEN, FAILED, {}, Standing.BROKEN, False),
        (PROVEN, "unproven", {}, Standing.BROKEN, False),
        (PROVEN, PROVEN, {"damaged": True}, Standing.BROKEN, False),
        (FAILED, FAILED, {}, Standing.FAILED, False),
        ("unproven", FAILED, {}, Standing.FAILED, False),
        (FAILED, FAILED, {"accepted": True}, Standing.ACCEPTED, True),
        (FAILED, PROVEN, {}, Standing.HOLDS, True),
        ("unproven", "unproven", {}, Standing.UNPROVEN, True),
        ("pending", "pending", {"kept": True}, Standing.PENDING, True),
        ("not applicable", "not applicable", {}, Standing.HOLDS, True),
    ],
)
def test_every_statement_stands_somehow(
    then: str, now: str, more: dict[str, Any], standing: Standing, holds: bool
) -> None:
    one = Verified("s", "f:1", "id", then, now, "", **more)
    assert (one.standing, one.holds) == (standing, holds)
    assert count_standings([one]) == {s: int(s is standing) for s in Standing}


def test_do_not_execute_held_until_user_approved_the_execution(tmp_path: Path) -> None:
    approved = {"type": "answer", "stage": 3, "answer": "approved"}
    ran = {"type": "effect", "kind": "sql.apply", "inputs": ["m/1.sql"], "title": "apply"}
    statement = "Do NOT execute the migration"
    before, after = judge(tmp_path, statement), judge(tmp_path, statement, history=[approved, ran])
    assert (before.verdict, before.past) == (Verdict.PROVEN, False)
    assert (after.verdict, after.past) == (Verdict.PROVEN, True)
    assert judge(tmp_path, statement, history=[ran]).verdict is Verdict.FAILED
