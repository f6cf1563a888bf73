"""What a count says in the ticket."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrate_agents.effect_runner import TargetRunner
from orchestrator.approvals.effects import Effect, EffectResult


def count(rows: list[dict[str, Any]]) -> EffectResult:
    target: Any = SimpleNamespace(query_readonly=lambda _: rows)
    runner = TargetRunner("embedded", Path(), {}, target)
    return runner.run(Effect("sql.count", "", arguments={"sql": "", "tables": []}), Path())


@pytest.mark.parametrize(
    ("rows", "detail"),
    [
        ([], "no rows"),
        ([{"count": 2}], "count: 2"),
        ([{"t": "room", "n": 2}, {"t": "bed", "n": 0}], "room: 2, bed: 0"),
        ([{"rooms": 2, "beds": 9}], "rooms: 2, beds: 9"),
        ([{"mean": Decimal("1.50"), "newest": date(2024, 5, 6)}], "mean: 1.50, newest: 2024-05-06"),
    ],
)
def test_figures_are_said_by_name(rows: list[dict[str, Any]], detail: str) -> None:
    result = count(rows)
    assert (result.ok, result.detail) == (True, detail)
    json.dumps(dict(result.figures))


def test_many_rows_are_numbered_and_cut() -> None:
    result = count([{"a": n, "b": "x", "c": n} for n in range(30)])
    assert list(result.figures) == [str(n) for n in range(1, 21)]
