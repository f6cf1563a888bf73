"""A specification made re-runnable, statement by statement, with the author's text kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrate_agents.sql.destructive import destructive_changes
from orchestrate_agents.sql.header import Header, header_number
from orchestrate_agents.sql.parse import parse_migration
from orchestrate_agents.sql.rerunnable import Rerunnable, make_rerunnable

LIBRARY = Path(__file__).parents[1] / "fixtures" / "sql" / "library_hours.sql"
HEADER = Header("011", "GO-7a", "workflows/library.md:20")


def made(sql: str, *seeded: str) -> Rerunnable:
    return make_rerunnable(sql, header=HEADER, seeded=seeded)


def body(sql: str, *seeded: str) -> str:
    """The transformed text without its head."""
    return made(sql, *seeded).text.split("changes nothing.\n", 1)[1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("CREATE INDEX i ON t (a);", "CREATE INDEX IF NOT EXISTS i ON t (a);"),
        ("CREATE INDEX ON t (a, b);", "CREATE INDEX IF NOT EXISTS idx_t_a_b ON t (a, b);"),
        ("CREATE INDEX CONCURRENTLY i ON t (a);", "CREATE INDEX IF NOT EXISTS i ON t (a);"),
        ("CREATE SCHEMA s;", "CREATE SCHEMA IF NOT EXISTS s;"),
        ("CREATE EXTENSION vector;", "CREATE EXTENSION IF NOT EXISTS vector;"),
        ("CREATE SEQUENCE s;", "CREATE SEQUENCE IF NOT EXISTS s;"),
        ("CREATE VIEW v AS SELECT 1;", "CREATE OR REPLACE VIEW v AS SELECT 1;"),
        (
            "CREATE MATERIALIZED VIEW v AS SELECT 1;",
            "CREATE MATERIALIZED VIEW IF NOT EXISTS v AS SELECT 1;",
        ),
        ("ALTER TABLE t ADD COLUMN a int;", "ALTER TABLE t ADD COLUMN IF NOT EXISTS a int;"),
        ("ALTER TABLE t ADD a int;", "ALTER TABLE t ADD COLUMN IF NOT EXISTS a int;"),
        ("ALTER TYPE m ADD VALUE 'x';", "ALTER TYPE m ADD VALUE IF NOT EXISTS 'x';"),
        (
            "CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f();",
            "CREATE OR REPLACE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f();",
        ),
        ("GRANT SELECT ON t TO anon;", "GRANT SELECT ON t TO anon;"),
        ("CREATE TABLE IF NOT EXISTS t ();", "CREATE TABLE IF NOT EXISTS t ();"),
    ],
)
def test_a_statement_that_has_a_way_to_run_twice_gets_it(before: str, after: str) -> None:
    assert body(before) == after + "\n"


@pytest.mark.parametrize(
    ("before", "condition"),
    [
        ('CREATE POLICY "p\'s" ON t USING (true);', "polname = 'p''s'"),
        ("ALTER TABLE t ADD CONSTRAINT k UNIQUE (a);", "conname = 'k'"),
        ("ALTER TABLE t ADD UNIQUE (a);", "conname = 't_a_key'"),
        ("CREATE TYPE mood AS ENUM ('sad');", "EXCEPTION WHEN duplicate_object"),
        ("CREATE DOMAIN d AS text;", "EXCEPTION WHEN duplicate_object"),
    ],
)
def test_a_statement_that_has_none_is_guarded_without_a_drop(before: str, condition: str) -> None:
    text = body(before)
    assert condition in text
    assert [s.kind for s in parse_migration(text).statements] == ["DoStmt"]
    assert destructive_changes(text) == ()


def test_several_alterations_are_taken_apart() -> None:
    text = body("ALTER TABLE t ADD COLUMN a int, ADD CONSTRAINT k CHECK (a IN (1, 2));")
    kinds = [s.kind for s in parse_migration(text).statements]
    assert kinds == ["AlterTableStmt", "DoStmt"]
    assert "ADD COLUMN IF NOT EXISTS a int;" in text


def test_a_policy_for_everyone_that_demands_a_role_is_given_to_that_role() -> None:
    text = body("CREATE POLICY p ON t FOR SELECT USING (auth.role() = 'authenticated');")
    assert "TO authenticated\n      USING (auth.role() = 'authenticated')" in text


@pytest.mark.parametrize(
    "condition",
    ["auth.role() = 'authenticated' OR open", "auth.role() <> 'anon'", "owner = auth.uid()"],
)
def test_a_policy_that_lets_others_through_keeps_its_roles(condition: str) -> None:
    assert "TO authenticated" not in body(f"CREATE POLICY p ON t USING ({condition});")


def test_strings_over_several_lines_are_not_indented() -> None:
    policy = "CREATE POLICY p ON t USING (note = 'one\ntwo');"
    assert "'one\ntwo'" in body(policy)


def test_a_drop_before_a_guarded_create_is_left_out_and_named() -> None:
    result = made("DROP POLICY IF EXISTS p ON t;\n\nCREATE POLICY p ON t USING (true);\n")
    assert destructive_changes(result.text) == ()
    assert any("DROP" in c.what for c in result.changes)


def test_a_drop_that_means_it_is_not_hidden() -> None:
    assert destructive_changes(made("DROP TABLE t;").text)


def test_a_seeded_table_gets_a_natural_key_and_others_do_not() -> None:
    text = LIBRARY.read_text(encoding="utf-8")
    with_key = made(text, "library_hours", "libraries").text
    assert (
        "library_hours_natural_key\n  ON public.library_hours (isil, weekday, season)" in with_key
    )
    assert "libraries_natural_key" not in with_key
    assert "natural_key" not in made(text).text


def test_nullable_key_columns_count_nulls_as_equal() -> None:
    sql = """CREATE TABLE t (id serial PRIMARY KEY, region text NOT NULL, sex text, n int);"""
    assert "(region, sex)\n  NULLS NOT DISTINCT;" in made(sql, "t").text


def test_rows_of_a_keyed_table_are_inserted_once() -> None:
    sql = "CREATE TABLE t (code text PRIMARY KEY);\nINSERT INTO t VALUES ('a') RETURNING code;"
    assert "ON CONFLICT DO NOTHING\nRETURNING code;" in made(sql).text
    without = "CREATE TABLE t (id serial PRIMARY KEY, x jsonb);\nINSERT INTO t (x) VALUES ('{}');"
    assert "ON CONFLICT" not in made(without).text


def test_comments_layout_and_unchanged_statements_stay() -> None:
    text = LIBRARY.read_text(encoding="utf-8")
    result = made(text).text
    for line in text.splitlines():
        if line.startswith(("--", "  ", "ALTER")) and "Migration" not in line:
            assert line.strip() in result


def test_the_head_names_number_specification_and_base_schema() -> None:
    result = made("-- Migration 012: x\nALTER TABLE public.old ADD a int;\n")
    assert header_number(result.text) == "011"
    assert "-- Base schema: public.old" in result.text.splitlines()
    assert "workflows/library.md:20 (GO-7a)" in result.text
    assert result.changes[0].what == "the head said migration 012, the file is 011"


def test_doing_it_twice_adds_nothing_to_the_statements() -> None:
    once = made(LIBRARY.read_text(encoding="utf-8"), "library_hours").text
    again = made(once, "library_hours").text
    kinds = [s.kind for s in parse_migration(once).statements if s.kind != "DoStmt"]
    assert [s.kind for s in parse_migration(again).statements if s.kind != "DoStmt"] == kinds


def test_a_last_statement_without_semicolon_is_closed() -> None:
    text = made("CREATE TABLE t (a int)").text
    assert [s.kind for s in parse_migration(text).statements] == ["CreateStmt", "DoStmt"]
