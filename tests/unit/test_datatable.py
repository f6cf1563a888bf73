"""Which table a CSV file seeds: by its name, its columns, or the words of both."""

from __future__ import annotations

import pytest

from orchestrate_agents.seed_data.table_schema import table_for
from orchestrate_agents.sql.parse import tables_of

TABLES = tables_of("""
CREATE TABLE library_branch (code text PRIMARY KEY, name text, source text);
CREATE TABLE branch_hours (branch_code text, weekday int, source text);
CREATE TABLE city (code text PRIMARY KEY, name text);
CREATE TABLE city_district (code text, city text);
""")


@pytest.mark.parametrize(
    ("path", "columns", "table"),
    [
        ("seed/library_branch.csv", (), "library_branch"),
        ("seed/2024-branch_hours_seed.csv", (), "branch_hours"),
        ("seed/city_district.csv", (), "city_district"),
        ("seed/branches.csv", ("code", "name", "source"), "library_branch"),
        ("seed/x.csv", ("branch_code", "weekday"), "branch_hours"),
        ("seed/library_branches.csv", (), "library_branch"),
        ("seed/hours.csv", (), "branch_hours"),
        ("seed/cities_seed.csv", ("code", "name"), "city"),
        # as likely one as the other
        ("seed/branches.csv", (), None),
        ("seed/x.csv", ("code", "name"), None),
        ("seed/x.csv", ("code",), None),
        ("seed/planets.csv", ("code", "moons"), None),
        ("seed/seed.csv", (), None),
    ],
)
def test_the_table_of_a_file(path: str, columns: tuple[str, ...], table: str | None) -> None:
    found = table_for(path, TABLES, columns)
    assert (found.name if found else None) == table
