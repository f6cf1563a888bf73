"""A migration as data: tables, columns and keys as PostgreSQL's own parser reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrate_agents.sql.parse import SqlError, parse_migration, tables_of

LIBRARY = Path(__file__).parents[1] / "fixtures" / "sql" / "library_hours.sql"


@pytest.fixture
def library() -> str:
    return LIBRARY.read_text(encoding="utf-8")


def test_tables_have_their_columns_with_types_and_defaults(library: str) -> None:
    libraries, hours = tables_of(library)
    key = libraries.columns[0]
    assert (libraries.qualified, hours.qualified) == ("public.libraries", "public.library_hours")
    assert (key.name, key.type, key.default, key.primary_key) == (
        "id",
        "uuid",
        "gen_random_uuid()",
        True,
    )
    assert [c.name for c in hours.columns if c.not_null] == ["id", "isil", "weekday", "season"]
    assert hours.columns[0].generated


def test_keys_and_references_are_found_wherever_they_are_written() -> None:
    (table,) = tables_of(
        """CREATE TABLE t (
          a serial, b int, c text, PRIMARY KEY (a), FOREIGN KEY (b) REFERENCES u (x));
        ALTER TABLE t ADD CONSTRAINT k UNIQUE (b, c);
        ALTER TABLE t ADD COLUMN d text UNIQUE;
        CREATE UNIQUE INDEX ON t (c);
        CREATE UNIQUE INDEX ON t (c) WHERE b > 1;
        CREATE UNIQUE INDEX ON t (lower(c));"""
    )
    assert table.primary_key == ("a",)
    assert table.uniques == (("b", "c"), ("d",), ("c",))
    assert table.column("b").references == "public.u"
    assert table.column("a").generated


def test_a_statement_knows_its_line_and_its_own_text() -> None:
    text = "-- é — x\n\nSELECT 1;\n/* two\nlines */ CREATE TABLE t (a int) ;\n"
    migration = parse_migration(text)
    assert [(s.kind, s.line) for s in migration.statements] == [
        ("SelectStmt", 3),
        ("CreateStmt", 5),
    ]
    assert migration.source(migration.statements[1]) == "CREATE TABLE t (a int)"


@pytest.mark.parametrize(
    ("text", "line", "code"),
    [
        ("SELECT 1;\nCREATE TABLE t (;", 2, "sql-syntax"),
        ("SELECT 'never closed", 1, "sql-syntax"),
        ("SELECT \x00", None, "sql-syntax"),
        ("SELECT 1;\nSELECT " + "1+" * 20_000 + "1", 2, "sql-size"),
        ("SELECT " + "(" * 1_000 + "1" + ")" * 1_000, 1, "sql-size"),
        ("-" * 1_000_001, None, "sql-size"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(
    text: str, line: int | None, code: str
) -> None:
    with pytest.raises(SqlError) as caught:
        parse_migration(text)
    assert (caught.value.line, caught.value.code) == (line, code)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_no_text_raises_anything_but_a_sql_error(text: str) -> None:
    try:
        migration = parse_migration(text)
    except SqlError:
        return
    assert all(text[s.start : s.end].strip() for s in migration.statements)
