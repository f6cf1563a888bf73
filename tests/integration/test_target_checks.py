"""Checks on the named target after the effects: rows, access, a second run, HTTP answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrate_agents.sandbox.row_changes import RowWatch
from orchestrate_backend.targets.choose import EmbeddedTarget
from orchestrator.gates.checks import Result
from tests.claims import check_of, judge, lay

TABLES = """\
CREATE TABLE shop (id int PRIMARY KEY, name text, city text);
CREATE TABLE price (id int PRIMARY KEY, shop_id int REFERENCES shop, amount int);
ALTER TABLE shop ENABLE ROW LEVEL SECURITY;
ALTER TABLE price ENABLE ROW LEVEL SECURITY;
INSERT INTO shop VALUES (1, 'One', NULL), (2, 'Two', NULL);
INSERT INTO price VALUES (1, 1, 5), (2, 1, 6), (3, 2, 7);
"""
WORKFLOW = """\
# Prices

## STAGE 1: SOOP — Tables

Write `db/tables.sql`.

```bash
curl -X POST http://localhost:8000/api/prices \\
  -H "Content-Type: application/json" \\
  -d '{"shop": 2}'
```

**Done when:** `db/tables.sql` exists.
"""
API = """\
import os
from fastapi import FastAPI
from orchestrate_backend.targets.choose import choose_target
from pathlib import Path
app = FastAPI()

@app.get("/api/shops")
def shops(limit: int = 9):
    root = Path(os.environ["ORCHESTRATE_ROOT"])
    target = choose_target(os.environ["ORCHESTRATE_TARGET"], os.environ, root)
    rows = target.query_readonly("SELECT name FROM shop ORDER BY id")[:limit]
    target.close()
    return {"status": "completed", "shops": rows, "none": [], "count": len(rows)}

@app.post("/api/prices")
def prices(body: dict):
    return {"status": "completed", "shop": body["shop"]}

@app.get("/api/text")
def text():
    return "words"
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTarget]:
    root = tmp_path_factory.mktemp("shops")
    lay(root, {"db/tables.sql": TABLES, "shop/api.py": API})
    made = EmbeddedTarget(root)
    made.apply_sql(TABLES)
    yield made
    made.close()


def on(target: EmbeddedTarget, statement: str, **more: Any) -> Result:
    return judge(target.data.parents[1], statement, workflow=WORKFLOW, target=target, **more)


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("Every row of `shop` has rows in `price`", "counts.covered"),
        ("All 15 `features` have values in `feature_values`", "counts.covered"),
        ("15 of 15 features have rows in feature_values", "counts.covered"),
        ("`name` and `city` have values in `shop`", "counts.filled"),
        ("shop holds values in name, city", "counts.filled"),
        ("RLS is on for all tables on the target", "counts.rls"),
        ("Every table on the target has row level security enabled", "counts.rls"),
        ("The second run of `load.py` changed 0 rows on the target", "counts.second-run"),
        ("running `load.py` again changed nothing on the target", "counts.second-run"),
        ("`GET /api/shops` of `shop/api.py` answers with shops", "http.answers"),
        ('`POST /a {"b": null}` of `c.py` answers "completed" with d', "http.answers"),
        ("`GET /api/shops` from `c.py` answers 200 with at least 3 `shops`", "http.answers"),
    ],
)
def test_these_wordings_are_taken(statement: str, name: str) -> None:
    assert check_of(statement) == name


@pytest.mark.parametrize(
    "statement",
    [
        "Every row of `shop` has rows in `price`",
        "`name` has values in `shop`",
        "RLS is on for all tables on the target",
        "The second run of `load.py` changed 0 rows on the target",
        "`GET /api/shops` of `shop/api.py` answers with shops",
    ],
)
def test_without_a_target_it_waits_for_the_effects(tmp_path: Path, statement: str) -> None:
    assert judge(tmp_path, statement).verdict == "pending"


@pytest.mark.parametrize(
    ("statement", "verdict", "said"),
    [
        ("Every row of `shop` has rows in `price`", "proven", "2 of 2 rows of shop"),
        ("All 2 `shop` have rows in `price`", "proven", "at least 1 each"),
        ("All 3 `shop` have rows in `price`", "failed", "wanted 3"),
        ("1 of 2 shop have rows in price", "unproven", "leaves open which"),
        ("Every row of `price` has rows in `shop`", "unproven", "0 foreign keys"),
        ("`name` has values in `shop`", "proven", "name 2"),
        ("`name` and `city` have values in `shop`", "failed", "in city"),
        ("`colour` has values in `shop`", "failed", "colour"),
        ("`name` has values in `harbour`", "unproven", "harbour"),
        ("RLS is on for all tables on the target", "proven", "all 2 tables"),
    ],
)
def test_rows_columns_and_access(
    target: EmbeddedTarget, statement: str, verdict: str, said: str
) -> None:
    result = on(target, statement)
    assert (result.verdict, said in result.detail) == (verdict, True), result.detail


def test_a_row_without_children_and_a_table_without_rls_refute_it(target: EmbeddedTarget) -> None:
    target.apply_sql("INSERT INTO shop VALUES (3, 'Three', NULL)")
    target.apply_sql("ALTER TABLE price DISABLE ROW LEVEL SECURITY")
    try:
        lonely = on(target, "Every row of `shop` has rows in `price`")
        assert (lonely.verdict, "none: 3" in lonely.detail) == ("failed", True)
        bare = on(target, "RLS is on for all tables on the target")
        assert (bare.verdict, "off in: price" in bare.detail) == ("failed", True)
    finally:
        target.apply_sql("DELETE FROM shop WHERE id = 3")
        target.apply_sql("ALTER TABLE price ENABLE ROW LEVEL SECURITY")


# -- a second run


@pytest.mark.parametrize(
    ("sql", "changed"),
    [
        ("SELECT 1", 0),
        ("UPDATE shop SET name = name WHERE id = 1", 1),
        ("INSERT INTO price SELECT n, 1, 1 FROM generate_series(10, 14) n", 5),
        ("DELETE FROM price WHERE id BETWEEN 10 AND 13", 4),
        ("DELETE FROM price WHERE id = 14; INSERT INTO price VALUES (14, 1, 1)", 1),
        ("DELETE FROM price WHERE id = 14", 1),
    ],
)
def test_every_way_to_write_a_row_is_seen(target: EmbeddedTarget, sql: str, changed: int) -> None:
    watch = RowWatch(target, ["public.shop", "public.price"])
    target.apply_sql(sql)
    assert sum(watch.changed().values()) == changed


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [({"changed": {"shop": 0}}, "proven"), ({"changed": {"shop": 2}}, "failed"), ({}, "unproven")],
)
def test_the_second_run_is_judged_by_what_was_seen(
    target: EmbeddedTarget, figures: dict[str, Any], verdict: str
) -> None:
    record = {"type": "effect", "inputs": {"load.py": ""}, "ok": True, "figures": figures}
    statement = "The second run of `load.py` changed 0 rows on the target"
    assert on(target, statement, history=[record]).verdict == verdict
    assert on(target, statement, history=[{**record, "inputs": {}}]).verdict == "unproven"


# -- HTTP


@pytest.mark.parametrize(
    ("request_", "answers", "verdict", "said"),
    [
        ("GET /api/shops", "with shops", "proven", "shops 2"),
        ("GET /api/shops", '"completed" with shops', "proven", "“completed”"),
        ("GET /api/shops", "with exactly 2 `shops`", "proven", "shops 2"),
        ("GET /api/shops", "with at least 2 `count`", "proven", "count 2"),
        ("GET /api/shops?limit=0", "with shops", "failed", "shops is empty"),
        ("GET /api/shops", '"no_data" with shops', "failed", "not “no_data”"),
        ("GET /api/shops", "with at least 3 `shops`", "failed", "counts 2"),
        ("GET /api/shops", "with at least 3 `status`", "failed", "neither"),
        ("GET /api/shops", "with prices", "failed", "prices is missing"),
        ("GET /api/none", "with shops", "failed", "answers 404"),
        ("GET /api/text", "with shops", "failed", "not with a JSON object"),
        # the body stands in a curl line of the workflow, or in the statement
        ("POST /api/prices", "with exactly 2 `shop`", "proven", "shop 2"),
        ('POST /api/prices {"shop": 5}', "with 5 `shop`", "proven", "shop 5"),
        ('POST /api/prices {"x": 5}', "with shop", "failed", "answers 500"),
        ("POST /api/other", "with shop", "unproven", "gives the body"),
    ],
)
def test_an_answer_has_to_have_content(
    target: EmbeddedTarget, request_: str, answers: str, verdict: str, said: str
) -> None:
    result = on(target, f"`{request_}` of `shop/api.py` answers {answers}")
    assert (result.verdict, said in result.detail) == (verdict, True), result.detail


def test_a_module_that_is_not_there_answers_nothing(target: EmbeddedTarget) -> None:
    result = on(target, "`GET /api/shops` of `shop/none.py` answers with shops")
    assert (result.verdict, result.detail) == ("failed", "shop/none.py is missing")
