"""What is drawn of data in a review, and how a matrix of access is coloured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from orchestrate_agents.review.access import show_access
from orchestrate_agents.review.drawing import draw_bars, draw_forest
from orchestrate_agents.review.shapes import build_bars, build_forest
from orchestrate_agents.sql.parse import Table, tables_of
from orchestrator.gates.checks import Context
from orchestrator.review.panels import Grid, Tone
from orchestrator.storage.atomic import sha256_file
from orchestrator.templating import TEMPLATES

STUDIES = """
CREATE TABLE studies (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), study text NOT NULL, arm text NOT NULL,
  n_patients integer NOT NULL, effect_size_hedges_g numeric, ci_low numeric, ci_high numeric
);
"""
TRIALS = """
CREATE TABLE trials (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), registry_id text NOT NULL UNIQUE,
  drug text NOT NULL, start_date date
);
"""


def table(sql: str) -> Table:
    (found,) = tables_of(sql)
    return found


def study(name: str, effect: Any, n: int = 50, **more: Any) -> dict[str, Any]:
    return {"study": name, "arm": "a", "n_patients": n, "effect_size_hedges_g": effect, **more}


def test_effect_sizes_make_a_forest_in_the_order_of_their_size() -> None:
    rows = [study("B", "-0.3"), study("A", -0.9, 200, ci_low=-1.2, ci_high=-0.6), study("C", "")]
    forest = build_forest(table(STUDIES), rows)
    assert forest is not None
    assert [(p.label, p.n) for p in forest.points] == [("A", 200), ("B", 50)]
    assert forest.points[0].figure == "-0.90 [-1.20, -0.60]"
    assert forest.points[1].figure == "-0.30", "no interval is made up"
    assert forest.without == ("C",)


def test_one_figure_makes_no_forest() -> None:
    assert build_forest(table(STUDIES), [study("A", 1), study("B", None)]) is None


def test_rows_are_counted_by_category_and_year() -> None:
    dates = ["2019-05-01", "2020-01-01", "2020-02-01", None, "2019-07-01", "2020-03-01"]
    rows = [
        {"registry_id": f"N{n}", "drug": "x" if n % 2 else "y", "start_date": date}
        for n, date in enumerate(dates)
    ]
    bars = build_bars(table(TRIALS), rows)
    assert bars is not None
    assert (bars.categories, bars.periods) == (("y", "x"), ("2019", "2020", "no start date"))
    assert bars.counts == ((2, 1, 0), (0, 2, 1))
    assert bars.undated == 1


def test_pictures_are_elements_whose_words_are_escaped() -> None:
    forest = build_forest(table(STUDIES), [study("<script>&", -1), study("B $x$ ✓ 日本", 2)])
    assert forest is not None
    drawn = draw_forest(forest)
    words = [node.text for node in ElementTree.fromstring(drawn).iter() if node.text]
    assert "<script>&" in words
    assert "<script" not in drawn
    bars = build_bars(table(TRIALS), [
        {"registry_id": str(n), "drug": f"<b>{n % 2}", "start_date": "2020-01-01"} for n in range(6)
    ])  # fmt: skip
    assert bars is not None
    assert "&lt;b&gt;0" in draw_bars(bars)
    assert wide_enough(draw_bars(bars), 360)
    assert "var(--ink)" in draw_bars(bars), "the page gives the colours"


def test_pictures_are_the_same_each_time() -> None:
    forest = build_forest(table(STUDIES), [study("A", -1), study("B", 2)])
    assert forest is not None
    assert draw_forest(forest) == draw_forest(forest)


MATRIX = {
    "public.hours": {
        "anon": {"SELECT": "yes", "INSERT": "no", "UPDATE": "?", "DELETE": "no privilege"},
        "service_role": {"SELECT": "yes", "INSERT": "yes", "UPDATE": "yes", "DELETE": "yes"},
    }
}


EVIDENCE = {"matrix": MATRIX, "base": "bare schema", "locks": ["public.rooms: ShareLock"]}


@pytest.fixture
def recorded(tmp_path: Path) -> Context:
    """A receipt with a matrix of a migration for which nothing is specified."""
    (tmp_path / "m.sql").write_text("CREATE TABLE hours (a int);\n", encoding="utf-8")
    receipt = {
        "type": "receipt",
        "id": "abc",
        "subjects": {"m.sql": sha256_file(tmp_path / "m.sql")},
        "statement": {"ticket": "", "text": "x"},
        "claims": [{"verdict": "proven", "evidence": EVIDENCE}],
    }
    return Context(root=tmp_path, history=(receipt,))


def test_a_matrix_is_shown_from_its_receipt_and_a_leak_is_named(recorded: Context) -> None:
    (panel,) = show_access(recorded, ["m.sql"])
    (grid,) = panel.blocks
    assert isinstance(grid, Grid)
    head, anon, service = grid.rows
    assert head[0].text == "hours"
    tones = [cell.tone for cell in anon[1:]]
    assert tones == [Tone.BAD, Tone.QUIET, Tone.DOUBT, Tone.QUIET]
    assert anon[1].text == "LEAK: yes"
    assert {cell.tone for cell in service[1:]} == {Tone.PLAIN}
    assert panel.warnings == ("anon can SELECT hours.",)
    assert any("receipt abc" in line for line in panel.words)
    assert any("before: public.rooms: ShareLock" in line for line in panel.words)


def test_a_matrix_of_another_text_is_not_shown(recorded: Context) -> None:
    (recorded.root / "m.sql").write_text("this is not SQL\n", encoding="utf-8")
    assert list(show_access(recorded, ["m.sql"])) == []


def wide_enough(drawn: str, most: float) -> bool:
    """Whether a picture is at most so many points wide: a telephone shows it whole."""
    found = re.search(r'viewBox="0 0 ([\d.]+) ', drawn)
    return found is not None and float(found[1]) <= most


def test_no_picture_is_wider_than_its_page() -> None:
    css = (Path(TEMPLATES) / "review.css").read_text(encoding="utf-8")
    assert "min-width" not in re.findall(r"figure svg \{[^}]*\}", css)[0]
