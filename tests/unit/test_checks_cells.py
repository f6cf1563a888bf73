"""What is said of one column's cells is judged by the cells."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrate_agents.checks.data.cells import read_bounds
from orchestrator.gates.binding import Binder
from orchestrator.gates.loading import load_checks
from tests.claims import judge, lay

BINDER = Binder(load_checks())
FILES = {
    "a.csv": "id,opened,state,rooms,share,note,word\n"
    "1,2024-01-31,open,3,60.5,,ant\n2,2024-02-01,closed,0,39.5,x,bee\n10,2025-01-01,open,12,0,y,cat\n",
    "b.csv": "id,hour,branch\n1,9,1\n2,10,2\n1,8,7\n",
    "c.csv": "id,hour,branch\n",
    "d.csv": "id,hour\n1,9,9\n",
    "f.csv": "item,items,n\n1,-5,9007199254740992\n",
    "g.csv": "branch,id,hour\n1,1,1\n",
    "e.csv": "id,name\n1,Zoë\n2,amy\n",
}


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("`state` in `a.csv` is `open` or `closed`", "proven"),
        ("`state` in `a.csv` is one of open, closed or done", "proven"),
        ("Values of `state` in `a.csv` must be `open` or `done`", "failed"),
        ("The column `state` of `a.csv` only contains `open`, `closed`", "proven"),
        ("`state` in `a.csv` must always be `Open` or `Closed`", "failed"),
        ("`note` in `a.csv` is `x` or `y`", "proven"),
        ("`rooms` in `a.csv` must be between 0 and 12", "proven"),
        ("`rooms` in `a.csv` must be between 1 and 12", "failed"),
        ("Every rooms in `a.csv` is positive", "failed"),
        ("`rooms` in `a.csv` must not be negative", "proven"),
        ("all rooms in `a.csv` are below 12", "failed"),
        ("all rooms in `a.csv` are at most 12", "proven"),
        ("`state` in `a.csv` is at least 3", "failed"),
        ("`nothing` in `a.csv` is at least 3", "unproven"),
        ("`rooms` in `c.csv` is at least 3", "unproven"),
        ("`hour` in `c.csv` is at least 3", "unproven"),
        ("`hour` in `d.csv` is at least 3", "failed"),
        ("`a.csv` is sorted by id", "proven"),
        ("`a.csv` must be sorted by opened", "proven"),
        ("`a.csv` is sorted by opened descending", "failed"),
        ("`a.csv` is sorted by word", "unproven"),
        ("`b.csv` is sorted by hour", "failed"),
        ("The rows of `b.csv` are ordered by hour in ascending order", "failed"),
        ("`e.csv` is sorted by name", "unproven"),
        ("Every id in `b.csv` exists in `a.csv`", "proven"),
        ("Every `branch` in `b.csv` is in the column `id` of `a.csv`", "failed"),
        ("Every `hour` in `b.csv` exists in `a.csv`", "unproven"),
        ("All id in `b.csv` are in `x.csv`", "failed"),
        ("The sum of `share` in `a.csv` must be 100", "proven"),
        ("`share` in `a.csv` adds up to 100", "proven"),
        ("The sum of `rooms` in `a.csv` is 14", "failed"),
        ("The sum of `state` in `a.csv` is 0", "failed"),
        ("`b.csv` and `c.csv` must have the same columns", "proven"),
        ("`b.csv` has the same columns as `a.csv`", "failed"),
        ("`a.csv` must not have empty values in `note`", "failed"),
        ("`word` in `a.csv` is never empty", "proven"),
        ("`items` in `f.csv` is positive", "failed"),
        ("The sum of `n` in `f.csv` is 9007199254740993", "failed"),
        ("The sum of `n` in `f.csv` is 9007199254740992", "proven"),
        ("`b.csv` and `g.csv` have the same columns", "proven"),
        ("No note in `a.csv` is missing", "failed"),
    ],
)
def test_the_cells_decide(tmp_path: Path, claim: str, verdict: str) -> None:
    result = judge(lay(tmp_path, FILES), claim)
    assert result.verdict == verdict, result.detail


@pytest.mark.parametrize(
    "statement",
    [
        "`age` in `a.csv` is between 0 and 120 or blank",
        "`state` in `a.csv` is not `open`",
        "Some `age` in `a.csv` is between 0 and 120",
        "`a.csv` is sorted by date and id",
        "`state` in `a.csv` is usually `open`",
        "`state` in `a.csv` is sorted",
        "`state` in `a.csv` is `NOT NULL`",
        "`rooms` in `a.csv` is positive or zero",
        "`rooms` in `a.csv` is in 0-100",
        "`state` in `a.csv` has the value `open`",
        "Every entry in `a.csv` exists in `b.csv`",
        "Every id in `b.csv` exists in `a.csv` or `c.csv`",
    ],
)
def test_words_that_say_more_do_not_bind(statement: str) -> None:
    assert any(bound.check is None for bound in BINDER.bind(statement))


def test_a_blank_cell_is_no_value_and_is_told(tmp_path: Path) -> None:
    result = judge(lay(tmp_path, FILES), "`note` in `a.csv` is `x` or `y`")
    assert result.detail.endswith("blank in 1 rows")


@given(st.integers(-99, 99), st.integers(-99, 99))
def test_bounds_are_what_they_say(low: int, value: int) -> None:
    for words, holds in {
        f"at least {low}": value >= low,
        f"≤ {low}": value <= low,
        f"more than {low}": value > low,
        f"below {low}": value < low,
        f"between {low} and 99": low <= value <= 99,
        "non-negative": value >= 0,
        "negative": value < 0,
    }.items():
        assert all(bound.holds(value) for bound in read_bounds(words)) is holds, words
