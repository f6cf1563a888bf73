"""Numbers of migrations: clashes, gaps, what comes earlier; and which tables are seeded."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrate_agents.sql.migration_series import clashes, earlier, next_free, number_of, series
from orchestrate_agents.sql.natural_key import seeded_tables
from orchestrate_agents.sql.parse import tables_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("003_c.sql", "001_a.sql", "01_twin.sql", "notes.sql", "010_j.txt"):
        (tmp_path / name).write_text(f"SELECT '{name}';", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "number"),
    [("059_x.sql", "059"), ("V12__x.sql", "12"), ("20260220-x.sql", "20260220"), ("x.sql", "")],
)
def test_the_number_is_read_as_it_is_spelled(name: str, number: str) -> None:
    assert number_of(name) == number


def test_one_number_in_two_spellings_is_a_clash(folder: Path) -> None:
    assert [f.name for f in clashes(folder / "001_a.sql")] == ["01_twin.sql"]
    assert clashes(folder / "002_new.sql") == ()


def test_gaps_are_allowed_and_order_is_by_number(folder: Path) -> None:
    assert [f.name for f in series(folder)] == ["001_a.sql", "01_twin.sql", "003_c.sql"]
    assert next_free(folder) == 4
    assert list(earlier(folder / "003_c.sql")) == ["001_a.sql", "01_twin.sql"]


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "002_link.sql").symlink_to(folder / "notes.sql")
    assert "002_link.sql" not in [f.name for f in series(folder)]


TABLES = tables_of("CREATE TABLE visits (id int); CREATE TABLE rooms (id int);")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Create `scripts/seed_visits.py`", ("visits",)),
        ("ANALYST provides `data/rooms_2024.csv`", ("rooms",)),
        ("Upserts into the `rooms` table", ("rooms",)),
        ("SELECT COUNT(*) FROM visits;", ("visits",)),
        ("| visits count | ≥ 3 |", ("visits",)),
        ("The page shows rooms and visits.", ()),
        ("Seed the classrooms table", ()),
    ],
)
def test_a_table_is_seeded_if_the_text_loads_or_counts_it(
    text: str, expected: tuple[str, ...]
) -> None:
    assert seeded_tables(TABLES, [text]) == expected
