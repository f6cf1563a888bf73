"""What a migration needs of the series before it is found, and put in place first."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrate_agents.effect_runner import TargetRunner
from orchestrate_agents.sql.prerequisites import Prerequisite, prerequisites
from orchestrate_backend.targets.base import table_missing
from orchestrator.approvals.effects import Effect

SERIES = {
    "01_city.sql": "CREATE TABLE city (id int PRIMARY KEY);",
    "02_staff.sql": "CREATE TABLE staff (id int PRIMARY KEY, city int REFERENCES city (id));",
    "03_other.sql": "CREATE TABLE other (id int);",
    "04_broken.sql": "CREATE TABLE (",
    "05_room.sql": "CREATE TABLE room (id int, by int REFERENCES public.staff (id));",
    "06_later.sql": "CREATE TABLE later (room int);",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "db").mkdir()
    for name, sql in SERIES.items():
        (tmp_path / "db" / name).write_text(sql, encoding="utf-8")
    return tmp_path


def test_what_is_needed_comes_in_order_with_what_that_needs(root: Path) -> None:
    assert prerequisites(root, "db/05_room.sql") == (
        Prerequisite("db/01_city.sql", ("public.city",)),
        Prerequisite("db/02_staff.sql", ("public.staff",)),
    )


def test_what_is_applied_anyway_and_what_stands_alone_need_nothing(root: Path) -> None:
    assert prerequisites(root, "db/05_room.sql", without=["db/02_staff.sql"]) == ()
    assert prerequisites(root, "db/03_other.sql") == ()
    assert prerequisites(root, "db/04_broken.sql") == ()
    assert prerequisites(root, "db/99_absent.sql") == ()


class FakeTarget:
    """Remembers what is applied to it; knows the tables that it is told."""

    def __init__(self, tables: Iterable[str]) -> None:
        self.tables = set(tables)
        self.applied: list[str] = []

    def describe(self) -> str:
        return "a fake"

    def columns(self, table: str) -> tuple[Any, ...]:
        if table not in self.tables:
            raise table_missing(table, "a fake")
        return (SimpleNamespace(name="id"),)

    def query_readonly(self, sql: str) -> list[dict[str, Any]]:
        # its catalog, which effects look at before and after
        return []

    def apply_sql(self, text: str, source: str = "") -> None:
        self.applied.append(source)


def put_in_place(root: Path, target: str, *there: str) -> tuple[bool, str, list[str]]:
    fake = FakeTarget(there)
    runner = TargetRunner(target, root, {}, fake)
    tables = {"tables": ["public.staff"]}
    result = runner.run(Effect("sql.base", "", ("db/02_staff.sql",), tables), root)
    return result.ok, result.detail, fake.applied


def test_the_embedded_server_gets_what_is_missing(root: Path) -> None:
    assert put_in_place(root, "embedded") == (True, "applied on a fake", ["db/02_staff.sql"])
    assert put_in_place(root, "embedded", "public.staff") == (True, "there on a fake", [])


@pytest.mark.parametrize("target", ["postgres", "supabase"])
def test_7_5_no_other_database_is_touched_for_it(root: Path, target: str) -> None:
    ok, detail, applied = put_in_place(root, target)
    assert (ok, applied) == (False, [])
    assert detail == "public.staff is missing: apply `db/02_staff.sql` first"
    assert put_in_place(root, target, "public.staff")[0]
