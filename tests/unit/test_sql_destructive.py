"""What a migration takes away is found by statement kind, wherever it hides (DESIGN 6.6)."""

from __future__ import annotations

import pytest

from orchestrate_agents.sql.destructive import DestructiveKind, destructive_changes


@pytest.mark.parametrize(
    ("sql", "harm", "line"),
    [
        ("SELECT 1;\nDROP TABLE a;", DestructiveKind.DROP, 2),
        ("DROP POLICY IF EXISTS p ON a;", DestructiveKind.DROP, 1),
        ("ALTER TABLE a DROP COLUMN b;", DestructiveKind.DROP, 1),
        ("ALTER TABLE a ADD c int, DROP CONSTRAINT b;", DestructiveKind.DROP, 1),
        ("ALTER TABLE a ALTER b DROP DEFAULT;", DestructiveKind.DROP, 1),
        ("truncate a;", DestructiveKind.TRUNCATE, 1),
        ("ALTER TABLE a ALTER COLUMN b TYPE text;", DestructiveKind.TYPE_CHANGE, 1),
        ("ALTER TABLE a ALTER b SET DATA TYPE text;", DestructiveKind.TYPE_CHANGE, 1),
        ("ALTER TABLE a RENAME b TO c;", DestructiveKind.RENAME, 1),
        ("ALTER TABLE a DISABLE ROW LEVEL SECURITY;", DestructiveKind.LESS_SECURITY, 1),
        ("WITH x AS (DELETE FROM a RETURNING *) SELECT * FROM x;", DestructiveKind.DELETE, 1),
        ("DO $$ BEGIN\n IF true THEN\n  DROP TABLE a;\n END IF;\nEND $$;", DestructiveKind.DROP, 3),
        ("DO $$ BEGIN\n EXECUTE 'DROP TABLE a';\nEND $$;", DestructiveKind.DROP, 2),
        ("DO $$ BEGIN EXECUTE format('DROP TABLE %I', 'a'); END $$;", DestructiveKind.DROP, 1),
        (
            "DO $$ BEGIN EXECUTE 'TRUN' || 'CATE ' || quote_ident('a'); END $$;",
            DestructiveKind.TRUNCATE,
            1,
        ),
        (
            "DO $$ DECLARE s text; BEGIN s := 'drop table a';\n EXECUTE s; END $$;",
            DestructiveKind.DROP,
            1,
        ),
        (
            "DO $$ DECLARE s text; BEGIN FOREACH s IN ARRAY ARRAY['DROP TABLE a'] LOOP "
            "EXECUTE s; END LOOP; END $$;",
            DestructiveKind.DROP,
            1,
        ),
        (
            "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$\n DROP TABLE a; $$;",
            DestructiveKind.DROP,
            2,
        ),
        (
            "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN\n"
            " ALTER TABLE a ALTER b TYPE text; END $$;",
            DestructiveKind.TYPE_CHANGE,
            2,
        ),
        (
            "DO $x$ BEGIN EXECUTE $y$DO $$ BEGIN DROP TABLE a; END $$$y$; END $x$;",
            DestructiveKind.DROP,
            1,
        ),
        ("SELECT 1;\nUPDATE a SET b = 1;", DestructiveKind.UPDATE, 2),
        ("CREATE TABLE a (b int); UPDATE other.a SET b = 1;", DestructiveKind.UPDATE, 1),
        ("ALTER TABLE a ADD c int; UPDATE a SET c = 1, b = 2;", DestructiveKind.UPDATE, 1),
        (
            "ALTER TABLE a ADD c int; UPDATE a SET (c, b) = (SELECT 1, 2);",
            DestructiveKind.UPDATE,
            1,
        ),
        ("WITH x AS (UPDATE a SET b = 1 RETURNING *) SELECT * FROM x;", DestructiveKind.UPDATE, 1),
        (
            "INSERT INTO a VALUES (1) ON CONFLICT (b) DO UPDATE SET c = 1;",
            DestructiveKind.UPDATE,
            1,
        ),
        (
            "MERGE INTO a USING s ON a.i = s.i WHEN MATCHED THEN UPDATE SET b = 1;",
            DestructiveKind.UPDATE,
            1,
        ),
        ("DO $$ BEGIN\n UPDATE a SET b = 1; END $$;", DestructiveKind.UPDATE, 2),
        ("ALTER TYPE m RENAME VALUE 'a' TO 'b';", DestructiveKind.RENAME, 1),
        ("SELECT cron.schedule('a', '0 3 * * *', 'DELETE FROM a');", DestructiveKind.DELETE, 1),
        (
            "DO $$ BEGIN EXECUTE $x$SELECT cron.schedule('a', '@daily', 'TRUNCATE a')$x$; END $$;",
            DestructiveKind.TRUNCATE,
            1,
        ),
        ("ALTER PUBLICATION p DROP TABLE a;", DestructiveKind.DROP, 1),
        ("ALTER PUBLICATION p SET TABLE a;", DestructiveKind.DROP, 1),
        ("DO $$ BEGIN ALTER TABLE a DISABLE TRIGGER ALL; END $$;", DestructiveKind.DISABLED, 1),
        ("DO $$ BEGIN EXECUTE 'UPDATE ' || 'a SET b = 1'; END $$;", DestructiveKind.UPDATE, 1),
        (
            "DO $$ DECLARE t text; BEGIN SELECT relname INTO t FROM pg_class;\n"
            "EXECUTE format('UPDATE %I SET b = 1', t); END $$;",
            DestructiveKind.UPDATE,
            2,
        ),
        (
            "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ UPDATE a SET b = 1 $$;\n"
            "DO $$ BEGIN PERFORM f(); END $$;",
            DestructiveKind.UPDATE,
            1,
        ),
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN\n UPDATE a SET b = 1;\n"
            "RETURN 1; END $$; DO $$ DECLARE n int := f(); BEGIN NULL; END $$;",
            DestructiveKind.UPDATE,
            2,
        ),
        ("REVOKE SELECT ON a FROM authenticated;", DestructiveKind.REVOKE, 1),
        ("CREATE TABLE a (b int); REVOKE ALL ON a, c FROM anon;", DestructiveKind.REVOKE, 1),
        ("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM anon;", DestructiveKind.REVOKE, 1),
        ("REVOKE EXECUTE ON FUNCTION f(int) FROM PUBLIC;", DestructiveKind.REVOKE, 1),
        ("REVOKE USAGE ON SCHEMA public FROM anon;", DestructiveKind.REVOKE, 1),
        ("REVOKE readers FROM someone;", DestructiveKind.REVOKE, 1),
        ("DO $$ BEGIN EXECUTE 'REVOKE ALL ON a FROM anon'; END $$;", DestructiveKind.REVOKE, 1),
        ("ALTER TABLE a ALTER b SET NOT NULL;", DestructiveKind.NOT_NULL, 1),
        ("ALTER TABLE a ALTER b SET DEFAULT 1;", DestructiveKind.DEFAULT, 1),
        ("ALTER TABLE a ADD c int, ALTER b SET DEFAULT 1;", DestructiveKind.DEFAULT, 1),
    ],
)
def test_it_is_found(sql: str, harm: DestructiveKind, line: int) -> None:
    found = destructive_changes(sql)
    assert [(d.kind, d.line) for d in found] == [(harm, line)]


@pytest.mark.parametrize(
    "sql",
    [
        "-- DROP TABLE a;\nCREATE TABLE a (b int);",
        "COMMENT ON TABLE a IS 'DROP it, TRUNCATE it';",
        "INSERT INTO a VALUES ('DROP TABLE a');",
        'CREATE TABLE a ("drop" int, truncate text);',
        "DO $$ BEGIN RAISE NOTICE 'DROP TABLE a'; END $$;",
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_policy) THEN\n"
        "CREATE POLICY p ON a USING (true); END IF; END $$;",
        "CREATE TABLE a (b int REFERENCES c ON DELETE CASCADE);",
        "DO $$ BEGIN EXECUTE 'CREATE TABLE IF NOT EXISTS a (b int)'; END $$;",
        "ALTER TABLE a ALTER b DROP NOT NULL;",
        "SELECT * FROM a FOR UPDATE;",
        "INSERT INTO a VALUES (1) ON CONFLICT DO NOTHING;",
        "DO $$ BEGIN EXECUTE 'SELECT 1'; RAISE NOTICE 'UPDATE a SET b = 1;'; END $$;",
    ],
)
def test_words_alone_are_no_harm(sql: str) -> None:
    assert destructive_changes(sql) == ()


def test_a_string_that_is_executed_says_so() -> None:
    (found,) = destructive_changes("DO $$ BEGIN EXECUTE 'DROP TABLE a'; END $$;")
    assert found.dynamic
    assert str(found) == "line 1: DROP TABLE a (in a string that is executed)"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE a (b int); UPDATE a SET b = 1;",
        "UPDATE public.a SET b = 1; CREATE TABLE IF NOT EXISTS a (b int);",
        "CREATE TEMP TABLE a (b int); UPDATE a SET b = 1;",
        "CREATE TABLE a AS SELECT 1 AS b; UPDATE a SET b = 2;",
        "DO $$ BEGIN EXECUTE format('CREATE TABLE %I (b int)', 'a'); UPDATE a SET b = 1; END $$;",
        "ALTER TABLE a ADD COLUMN IF NOT EXISTS c int; UPDATE a SET c = b WHERE c IS NULL; "
        "ALTER TABLE a ALTER c SET DEFAULT 0, ALTER c SET NOT NULL, ALTER c DROP DEFAULT;",
        "ALTER TABLE a ADD c int, ADD d int; UPDATE a SET (c, d) = (1, 2);",
        "CREATE TABLE a (b int PRIMARY KEY, c int); "
        "INSERT INTO a VALUES (1) ON CONFLICT (b) DO UPDATE SET c = 1;",
        "CREATE TABLE a (b serial); REVOKE ALL ON a FROM anon; REVOKE ALL ON a_b_seq FROM anon;",
        "CREATE VIEW v AS SELECT 1; REVOKE ALL ON v FROM anon;",
        "CREATE SCHEMA s; REVOKE ALL ON SCHEMA s FROM PUBLIC;",
        "CREATE FUNCTION s.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; "
        "REVOKE EXECUTE ON FUNCTION s.f(int) FROM PUBLIC;",
        "CREATE TYPE k AS ENUM ('x'); REVOKE ALL ON TYPE k FROM PUBLIC;",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM anon;",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ UPDATE a SET b = 1 $$;",
        "DO $$ BEGIN EXECUTE format('REVOKE ALL ON %s FROM anon', t); END $$;",
    ],
)
def test_what_it_makes_itself_it_may_change(sql: str) -> None:
    assert destructive_changes(sql) == ()


@pytest.mark.parametrize(
    ("sql", "harm"),
    [
        ("CREATE TABLE IF NOT EXISTS a (b int); UPDATE a SET b = 1;", DestructiveKind.UPDATE),
        (
            "ALTER TABLE a ADD COLUMN IF NOT EXISTS b int; UPDATE a SET b = 1;",
            DestructiveKind.UPDATE,
        ),
        (
            "CREATE TABLE IF NOT EXISTS a (b int); REVOKE ALL ON a FROM anon;",
            DestructiveKind.REVOKE,
        ),
    ],
)
def test_what_stood_there_is_not_its_own_by_being_named_again(
    sql: str, harm: DestructiveKind
) -> None:
    (found,) = destructive_changes(sql, ["public.a", "public.a.b"])
    assert found.kind is harm
