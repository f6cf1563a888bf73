"""SQL that needs a newer PostgreSQL than the target runs is named, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrate_agents.sql.server_versions import TargetServer, newer_than, target_server

TABLE = "CREATE TABLE t (id int, x int{});"
IN_TRIGGER = (
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n  {} RETURN new;\nEND $$;"
)


@pytest.mark.parametrize(
    ("sql", "what", "since"),
    [
        ("CREATE TABLE t (id uuid PRIMARY KEY DEFAULT uuidv7());", "uuidv7()", 18),
        ("CREATE TABLE t (id uuid DEFAULT pg_catalog.uuidv4());", "uuidv4()", 18),
        (TABLE.format(", y int GENERATED ALWAYS AS (x + 1) VIRTUAL"), "virtual", 18),
        (TABLE.format(", y int GENERATED ALWAYS AS (x + 1)"), "virtual", 18),
        (TABLE.format(", CHECK (x > 0) NOT ENFORCED"), "NOT ENFORCED", 18),
        (TABLE.format(" CHECK (x > 0) NOT ENFORCED"), "NOT ENFORCED", 18),
        (TABLE.format(", CONSTRAINT n NOT NULL x"), "NOT NULL as", 18),
        ("CREATE TABLE t (d daterange, PRIMARY KEY (d WITHOUT OVERLAPS));", "WITHOUT", 18),
        ("UPDATE t SET x = 1 RETURNING old.x;", "OLD", 18),
        ("ALTER TABLE t ALTER y SET EXPRESSION AS (x);", "SET EXPRESSION", 17),
        ("GRANT MAINTAIN ON t TO anon;", "MAINTAIN", 17),
        ("SELECT * FROM json_table('[]', '$' COLUMNS (a int));", "JSON_TABLE", 17),
        ("SELECT json_value(x, '$.a') FROM t;", "SQL/JSON", 17),
        ("MERGE INTO t USING u ON true WHEN NOT MATCHED BY SOURCE THEN DELETE;", "SOURCE", 17),
        ("SELECT random(1, 6);", "random()", 17),
        ("SELECT now() AT LOCAL;", "AT LOCAL", 17),
        ("SELECT json_object('a': 1);", "SQL/JSON", 16),
        ("SELECT x FROM (SELECT 1 AS x);", "alias", 16),
        ("SELECT 0x1F;", "0x1F", 16),
        ("INSERT INTO t VALUES (1_000_000);", "1_000_000", 16),
        ("DO $$ BEGIN PERFORM 0b101; END $$;", "0b101", 16),
        (
            "CREATE TABLE t (d int4range, EXCLUDE USING gist (d WITH =)) PARTITION BY RANGE (d);",
            "EXCLUDE",
            17,
        ),
        (
            "CREATE TABLE t (d int GENERATED ALWAYS AS IDENTITY) PARTITION BY RANGE (d);",
            "identity column",
            17,
        ),
        ("SELECT any_value(x) FROM t;", "any_value()", 16),
        ("CREATE UNIQUE INDEX i ON t (x) NULLS NOT DISTINCT;", "NULLS NOT", 15),
        ("CREATE VIEW v WITH (security_invoker) AS SELECT 1;", "security_invoker", 15),
        ("ALTER VIEW v SET (security_invoker = on);", "security_invoker", 15),
        (IN_TRIGGER.format("new.id := uuidv7();"), "uuidv7()", 18),
        (IN_TRIGGER.format("PERFORM casefold(new.name);"), "casefold()", 18),
        ("CREATE FUNCTION f() RETURNS uuid LANGUAGE sql AS 'SELECT uuidv7()';", "uuidv7()", 18),
        ("DO $$ BEGIN EXECUTE 'SELECT uuidv7()'; END $$;", "uuidv7()", 18),
    ],
)
def test_what_newer_servers_brought_is_named_with_its_line(sql: str, what: str, since: int) -> None:
    found = [n for n in newer_than(f"SELECT 1;\n{sql}", {}) if what in n.what]
    assert [n.since for n in found] == [since]
    assert found[0].line >= 2
    assert found[0].guarded is sql.startswith("CREATE FUNCTION")


@pytest.mark.parametrize(
    "sql",
    [
        TABLE.format(", y int GENERATED ALWAYS AS (x + 1) STORED NOT NULL CHECK (x > 0)"),
        TABLE.format(", FOREIGN KEY (x) REFERENCES u ON DELETE SET NULL"),
        "INSERT INTO t VALUES (1) RETURNING id;",
        "UPDATE t AS old SET x = 1 RETURNING old.x;",
        IN_TRIGGER.format("INSERT INTO log VALUES (1) RETURNING new.id INTO new.x;"),
        "SELECT q.x, random() FROM (SELECT 1 AS x) q;",
        "SELECT a AT TIME ZONE 'UTC' FROM t;",
        "SELECT json_build_object('a', 1), jsonb_strip_nulls('{}');",
        "CREATE FUNCTION uuidv7() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()';\n"
        "CREATE TABLE t (id uuid DEFAULT uuidv7());",
        "SELECT extensions.uuidv7();",
        "CREATE TABLE old (x int); INSERT INTO old VALUES (1) RETURNING old.x;",
        "SELECT 'uuidv7()' -- uuidv7()",
        "SELECT '0x1F', a_1_2, 10.5e3 FROM t_1_2 -- 0x1F",
        "CREATE TABLE t (d int PRIMARY KEY) PARTITION BY RANGE (d);",
        "CREATE TABLE t (d int4range, EXCLUDE USING gist (d WITH =));",
        "this is no SQL",
    ],
)
def test_what_every_server_has_is_not(sql: str) -> None:
    assert list(newer_than(sql, {})) == []


def test_a_function_of_an_earlier_migration_is_not_the_servers() -> None:
    base = {"001.sql": "CREATE FUNCTION uuidv7() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'"}
    assert list(newer_than("SELECT uuidv7();", base)) == []
    (found,) = newer_than("SELECT uuidv7();", {"001.sql": "no SQL"})
    assert str(found) == "line 1: uuidv7() needs PostgreSQL 18"


def test_sql_that_asks_which_server_it_is_on_may_do_without() -> None:
    sql = (
        "DO $$ BEGIN IF current_setting('server_version_num')::int >= 180000 THEN"
        " EXECUTE 'CREATE TABLE t (id uuid DEFAULT uuidv7())'; END IF; END $$;"
    )
    (found,) = newer_than(sql, {})
    assert found.guarded


def test_a_comment_about_versions_is_no_question() -> None:
    (found,) = newer_than("-- needs server_version 18\nSELECT uuidv7();", {})
    assert not found.guarded


def test_a_function_of_another_schema_is_not_the_one_that_is_called() -> None:
    made = "CREATE FUNCTION app.uuidv7() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid';\n"
    assert [n.what for n in newer_than(f"{made}SELECT uuidv7();", {})] == ["uuidv7()"]


PROJECT = "[db]\nport = 54322\nmajor_version = {}\n"


@pytest.mark.parametrize(
    ("settings", "project", "expected"),
    [
        ({}, "", TargetServer(0)),
        ({"target": "postgres"}, "", TargetServer(None)),
        ({"target": "supabase"}, PROJECT.format(15), TargetServer(15, "supabase/config.toml")),
        ({}, PROJECT.format(17), TargetServer(17, "supabase/config.toml")),
        ({"major_version": 16}, PROJECT.format(17), TargetServer(16, "orchestrate.toml")),
        ({"target": "postgres"}, PROJECT.format('"15"'), TargetServer(None)),
        ({"target": "postgres"}, "[db\nmajor_version", TargetServer(None)),
        ({"target": "postgres"}, "db = 17", TargetServer(None)),
    ],
)
def test_the_settings_or_the_project_say_what_the_target_runs(
    tmp_path: Path, settings: dict[str, Any], project: str, expected: TargetServer
) -> None:
    if project:
        (tmp_path / "supabase").mkdir()
        (tmp_path / "supabase/config.toml").write_text(project)
    assert target_server(tmp_path, {"database": settings}) == expected


def test_a_project_file_that_leads_out_of_the_workspace_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.toml").write_text(PROJECT.format(15))
    root = tmp_path / "work"
    (root / "supabase").mkdir(parents=True)
    (root / "supabase/config.toml").symlink_to(tmp_path / "elsewhere.toml")
    assert target_server(root, {}) == TargetServer(0)
