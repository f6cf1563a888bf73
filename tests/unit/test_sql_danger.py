"""What a migration takes away is found by statement kind, wherever it hides (DESIGN 6.6)."""

from __future__ import annotations

import pytest

from agents.sql.danger import Harm, destructive


@pytest.mark.parametrize(
    ("sql", "harm", "line"),
    [
        ("SELECT 1;\nDROP TABLE a;", Harm.DROP, 2),
        ("DROP POLICY IF EXISTS p ON a;", Harm.DROP, 1),
        ("ALTER TABLE a DROP COLUMN b;", Harm.DROP, 1),
        ("ALTER TABLE a ADD c int, DROP CONSTRAINT b;", Harm.DROP, 1),
        ("ALTER TABLE a ALTER b DROP NOT NULL;", Harm.DROP, 1),
        ("ALTER TABLE a ALTER b DROP DEFAULT;", Harm.DROP, 1),
        ("truncate a;", Harm.TRUNCATE, 1),
        ("ALTER TABLE a ALTER COLUMN b TYPE text;", Harm.TYPE_CHANGE, 1),
        ("ALTER TABLE a ALTER b SET DATA TYPE text;", Harm.TYPE_CHANGE, 1),
        ("ALTER TABLE a RENAME b TO c;", Harm.RENAME, 1),
        ("ALTER TABLE a DISABLE ROW LEVEL SECURITY;", Harm.LESS_SECURITY, 1),
        ("WITH x AS (DELETE FROM a RETURNING *) SELECT * FROM x;", Harm.DELETE, 1),
        ("DO $$ BEGIN\n IF true THEN\n  DROP TABLE a;\n END IF;\nEND $$;", Harm.DROP, 3),
        ("DO $$ BEGIN\n EXECUTE 'DROP TABLE a';\nEND $$;", Harm.DROP, 2),
        ("DO $$ BEGIN EXECUTE format('DROP TABLE %I', 'a'); END $$;", Harm.DROP, 1),
        ("DO $$ BEGIN EXECUTE 'TRUN' || 'CATE ' || quote_ident('a'); END $$;", Harm.TRUNCATE, 1),
        (
            "DO $$ DECLARE s text; BEGIN s := 'drop table a';\n EXECUTE s; END $$;",
            Harm.DROP,
            1,
        ),
        (
            "DO $$ DECLARE s text; BEGIN FOREACH s IN ARRAY ARRAY['DROP TABLE a'] LOOP "
            "EXECUTE s; END LOOP; END $$;",
            Harm.DROP,
            1,
        ),
        (
            "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$\n DROP TABLE a; $$;",
            Harm.DROP,
            2,
        ),
        (
            "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN\n"
            " ALTER TABLE a ALTER b TYPE text; END $$;",
            Harm.TYPE_CHANGE,
            2,
        ),
        ("DO $x$ BEGIN EXECUTE $y$DO $$ BEGIN DROP TABLE a; END $$$y$; END $x$;", Harm.DROP, 1),
    ],
)
def test_it_is_found(sql: str, harm: Harm, line: int) -> None:
    found = destructive(sql)
    assert [(d.harm, d.line) for d in found] == [(harm, line)]


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
    ],
)
def test_words_alone_are_no_harm(sql: str) -> None:
    assert destructive(sql) == ()


def test_a_string_that_is_executed_says_so() -> None:
    (found,) = destructive("DO $$ BEGIN EXECUTE 'DROP TABLE a'; END $$;")
    assert found.dynamic
    assert str(found) == "line 1: DROP TABLE a (in a string that is executed)"
