"""What a migration opens beyond its specification fails the claims about access; no more does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.domain.workflow import Block, Deliverable, Stage, Workflow
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Result, Services, Verdict
from orchestrator.gates.loading import load_checks

PATH = "db/001_kitchen.sql"
BINDER = Binder(load_checks())
ENABLED = "RLS is enabled on all tables"
READ_ONLY = "Policies allow only SELECT to authenticated users"
ANON = "Anonymous users cannot read or write"
OWN = "Users can only see their own rows"
KEY = "id uuid PRIMARY KEY DEFAULT gen_random_uuid()"
POTS = (
    f"CREATE TABLE IF NOT EXISTS public.pots ({KEY}, title text, owner uuid);\n"
    "ALTER TABLE public.pots ENABLE ROW LEVEL SECURITY;\n"
    "DROP POLICY IF EXISTS pots_read ON public.pots;\n"
    "CREATE POLICY pots_read ON public.pots FOR SELECT TO authenticated USING (true);\n"
)
DEFINER = (
    "CREATE FUNCTION public.{} LANGUAGE {} SECURITY DEFINER SET search_path = '' AS $f$ {} $f$;\n"
)
FLAGS = (
    "CREATE TABLE public.flags (name text PRIMARY KEY, who uuid);\n"
    "ALTER TABLE public.flags ENABLE ROW LEVEL SECURITY;\n"
)


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services() as made:
        yield made


def judge(
    root: Path, sql: str, statement: str, services: Services, specified: str | None = None
) -> Result:
    (root / "db").mkdir(exist_ok=True)
    (root / PATH).write_text(sql, encoding="utf-8")
    block = Block("sql", specified, 1) if specified is not None else None
    stage = Stage(1, "SOOP", "Tables", 1, deliverables=(Deliverable(PATH, "write", 1, block),))
    workflow = Workflow(root / "w.md", "", "", "", (stage,))
    context = Context(root=root, workflow=workflow, stage=stage, services=services)
    (binding,) = BINDER.bind(statement)
    assert binding.check is not None, binding.problem
    return binding.check.function(context, **binding.arguments)


def policy(condition: str, role: str = "anon", verb: str = "SELECT") -> str:
    return f"CREATE POLICY more ON public.pots FOR {verb} TO {role} USING ({condition});\n"


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (policy("(auth.jwt() ->> 'email') LIKE '%@x.example'", "authenticated", "UPDATE"), "email"),
        (policy("auth.uid() = gen_random_uuid()", "authenticated", "DELETE"), "auth.uid()"),
        (policy("current_setting('request.method', true) = 'HEAD'"), "request.method"),
        (
            policy("(current_setting('request.headers', true)::json ->> 'x') = 'y'"),
            "request.headers",
        ),
        (policy("current_setting('app.debug', true) = 'on'"), "app.debug"),
        (policy("now() > '2031-01-01'"), "now()"),
        (policy("random() < 0.001"), "random()"),
        (policy("(auth.jwt() ->> 'is_anonymous')::boolean"), "policy more of pots"),
        (policy("title = 'by ' || auth.uid()", "authenticated", "DELETE"), "authenticated DELETE"),
        (FLAGS + policy("EXISTS (SELECT FROM public.flags WHERE name = 'open')"), "flags"),
        (
            FLAGS
            + DEFINER.format(
                "is_open() RETURNS boolean",
                "sql",
                "SELECT EXISTS (SELECT FROM public.flags WHERE name = 'open')",
            )
            + policy("public.is_open()"),
            "is_open()",
        ),
        ("GRANT SELECT ON auth.users TO authenticated;", "auth.users: SELECT to authenticated"),
        ("GRANT SELECT (email) ON auth.users TO anon;", "auth.users.email"),
        ("GRANT CREATE ON SCHEMA public TO anon;", "schema public: CREATE to anon"),
        ("ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO anon;", "default privilege on schemas"),
        ("GRANT service_role TO anon;", "GRANT service_role TO anon"),
        ("ALTER ROLE anon SET role = 'service_role';", "ALTER ROLE anon"),
        ("CREATE ROLE nightly LOGIN BYPASSRLS;", "BYPASSRLS"),
        ("CREATE PUBLICATION out FOR TABLE public.pots;", "publication out"),
        (
            "CREATE RULE also AS ON UPDATE TO public.pots DO ALSO DELETE FROM public.pots;",
            "rule public.pots",
        ),
        (
            "CREATE SCHEMA hidden;\nCREATE FUNCTION hidden.inner_one() RETURNS bigint LANGUAGE sql "
            "AS $$ SELECT count(*) FROM public.pots $$;\n"
            + DEFINER.format("peek() RETURNS bigint", "sql", "SELECT hidden.inner_one()"),
            "peek()",
        ),
        (
            DEFINER.format(
                "dump() RETURNS xml",
                "sql",
                "SELECT query_to_xml('select * from public.po' || 'ts', true, true, '')",
            ),
            "dump()",
        ),
        (
            DEFINER.format(
                "step(s text, x text) RETURNS text", "sql", "SELECT max(title) FROM public.pots"
            )
            + "REVOKE EXECUTE ON FUNCTION public.step FROM PUBLIC, anon, authenticated;\n"
            "CREATE AGGREGATE public.titles(text) (SFUNC = public.step, STYPE = text);",
            "titles()",
        ),
        (
            DEFINER.format(
                "who(mail text) RETURNS json",
                "sql",
                "SELECT to_json(u) FROM auth.users u WHERE u.email = mail",
            ),
            "who()",
        ),
        (
            DEFINER.format(
                "ask(q text) RETURNS void",
                "plpgsql",
                "BEGIN IF EXISTS (SELECT FROM public.pots WHERE title LIKE q) THEN"
                " RAISE EXCEPTION 'taken'; END IF; END",
            ),
            "ask()",
        ),
        (
            DEFINER.format(
                "later() RETURNS trigger",
                "plpgsql",
                "BEGIN EXECUTE 'ALTER TABLE public.pots DISABLE ROW LEVEL SECURITY';"
                " RETURN NULL; END",
            )
            + "CREATE TRIGGER later AFTER INSERT ON public.pots"
            " FOR EACH STATEMENT EXECUTE FUNCTION public.later();",
            "later()",
        ),
        (
            "CREATE SCHEMA reports;\nCREATE VIEW reports.pots AS SELECT * FROM public.pots;\n"
            "GRANT USAGE ON SCHEMA reports TO anon;\nGRANT SELECT ON reports.pots TO anon;",
            "reports.pots",
        ),
    ],
)
def test_what_is_opened_beyond_the_specification_is_named(
    sql: str, words: str, tmp_path: Path, services: Services
) -> None:
    for statement in (ENABLED, READ_ONLY):
        result = judge(tmp_path, POTS + sql, statement, services, POTS)
        assert result.verdict is Verdict.FAILED, result.detail
    told = judge(tmp_path, POTS + sql, ENABLED, services, POTS)
    assert words in told.detail
    # what is specified is not harm, as far as the migration can be judged here
    asked = judge(tmp_path, POTS + sql, ENABLED, services, POTS + sql)
    assert "not specified" not in asked.detail
    assert "publication" not in asked.detail


def test_what_takes_rows_away_beyond_the_specification_is_a_departure(
    tmp_path: Path, services: Services
) -> None:
    less = (
        "DROP POLICY IF EXISTS less ON public.pots;\n"
        "CREATE POLICY less ON public.pots AS RESTRICTIVE FOR SELECT USING ({});\n"
    )
    statement = f"`{PATH}` matches the specification"
    for condition, verdict in (("length(title) < 9", F), ("true", P)):
        result = judge(tmp_path, POTS + less.format(condition), statement, services, POTS)
        assert result.verdict is verdict, result.detail


def test_code_that_runs_with_each_row_or_user_is_a_departure(
    tmp_path: Path, services: Services
) -> None:
    own = (
        "CREATE OR REPLACE FUNCTION public.slug(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE"
        " AS $$ BEGIN RETURN lower(t); END $$;\n"
        "CREATE INDEX IF NOT EXISTS pots_slug ON public.pots (public.slug(title));\n"
    )
    promoted = (
        "CREATE OR REPLACE FUNCTION public.welcome() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.role := 'service_role'; RETURN NEW; END $$;\n"
        "CREATE OR REPLACE TRIGGER welcome BEFORE INSERT ON auth.users"
        " FOR EACH ROW EXECUTE FUNCTION public.welcome();\n"
    )
    plain = "CREATE INDEX IF NOT EXISTS pots_lower ON public.pots (lower(title));\n"
    statement = f"`{PATH}` matches the specification"
    for sql, told in ((own, "calls slug()"), (promoted, "trigger auth.users.welcome"), (plain, "")):
        result = judge(tmp_path, POTS + sql, statement, services, POTS)
        assert result.verdict is (F if told else P), result.detail
        assert told in result.detail


def test_what_a_branch_would_do_that_did_not_run_is_compared_with_the_specification(
    tmp_path: Path, services: Services
) -> None:
    block = "DO $$ BEGIN IF now() > '2099-01-01' THEN {}; END IF; END $$;"
    opens = "CREATE POLICY late ON public.pots TO anon USING (true)"
    for does, verdict in ((opens, F), ("ALTER TABLE public.pots ADD n int", P)):
        result = judge(tmp_path, POTS + block.format(does), ENABLED, services, POTS)
        assert result.verdict is verdict, result.detail
        assert ("policy public.pots.late" in result.detail) is (verdict is F)


@pytest.mark.parametrize(
    "sql",
    [
        policy("false", "anon, authenticated", "DELETE"),
        policy("true", "authenticated"),
        policy("auth.role() = 'authenticated'", "public"),
        policy("owner = auth.uid()", "public"),
        policy("true", "service_role", "ALL"),
        policy("auth.role() = 'service_role'", "public", "ALL"),
        "CREATE POLICY no ON public.pots AS RESTRICTIVE FOR SELECT TO anon USING (false);",
        "ALTER TABLE public.pots FORCE ROW LEVEL SECURITY;",
        "GRANT SELECT ON public.pots TO authenticated;\nGRANT ALL ON public.pots TO service_role;",
        "CREATE VIEW public.titles WITH (security_invoker = true) AS"
        " SELECT title FROM public.pots;",
        "ALTER PUBLICATION supabase_realtime ADD TABLE public.pots;",
        "CREATE FUNCTION public.n() RETURNS bigint LANGUAGE sql AS"
        " $$ SELECT count(*) FROM public.pots $$;",
        DEFINER.format("peek() RETURNS bigint", "sql", "SELECT count(*) FROM public.pots")
        + "REVOKE ALL ON FUNCTION public.peek() FROM PUBLIC, anon, authenticated;",
        "ALTER TABLE public.pots ADD COLUMN size int GENERATED ALWAYS AS (length(title)) STORED;\n"
        "CREATE INDEX ON public.pots (title);\nCOMMENT ON POLICY pots_read ON public.pots IS 'x';",
        "ALTER POLICY pots_read ON public.pots RENAME TO signed_in_users_read;",
        "CREATE SCHEMA private;",
    ],
)
def test_what_lets_nobody_do_more_is_no_alarm(sql: str, tmp_path: Path, services: Services) -> None:
    for statement in (ENABLED, READ_ONLY, ANON):
        result = judge(tmp_path, POTS + sql, statement, services, POTS)
        assert result.verdict is Verdict.PROVEN, result.detail


MINE = "owner = auth.uid()"
ADMINS = "EXISTS (SELECT FROM public.flags f WHERE f.who = auth.uid())"
P, F = Verdict.PROVEN, Verdict.FAILED


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        (MINE, P),
        (f"auth.uid() IS NOT NULL AND {MINE}", P),
        ("owner = (SELECT auth.uid())", P),
        (f"{MINE} OR (auth.jwt() ->> 'email') = 'root@x.example'", F),
        (f"{MINE} OR (auth.jwt() -> 'user_metadata' ->> 'is_admin')::boolean", F),
        (f"{MINE} OR current_setting('app.all', true) = 'yes'", F),
        (f"{MINE} OR clock_timestamp() > '2031-01-01'", F),
        (f"{MINE} OR {ADMINS}", F),
    ],
)
def test_own_rows_are_tried_with_requests_that_fulfil_the_condition(
    condition: str, verdict: Verdict, tmp_path: Path, services: Services
) -> None:
    pots = POTS.replace("USING (true)", f"USING ({condition})")
    result = judge(tmp_path, FLAGS + pots, OWN.replace("rows", "pots"), services)
    assert result.verdict is verdict, result.detail
    closed = judge(tmp_path, FLAGS + pots, ANON, services)
    assert closed.verdict is Verdict.PROVEN, closed.detail


def test_without_a_specification_settings_and_roles_of_honest_work_are_no_failure(
    tmp_path: Path, services: Services
) -> None:
    for sql in (
        "ALTER ROLE authenticator SET statement_timeout = '8s';",
        "ALTER DATABASE postgres SET app.settings.key = 'x';",
    ):
        result = judge(tmp_path, POTS + sql, ANON, services)
        assert result.verdict is not Verdict.FAILED, result.detail


@pytest.mark.parametrize(
    ("sql", "verdict"),
    [
        ("CREATE INDEX IF NOT EXISTS pots_title ON public.pots (title);", P),
        ("CREATE FUNCTION public.one() RETURNS int LANGUAGE sql AS 'SELECT 1';", P),
        ("CREATE VIEW public.v WITH (security_invoker = true) AS SELECT * FROM public.pots;", P),
        ("CREATE VIEW public.v WITH (security_invoker = ON) AS SELECT * FROM public.pots;", P),
        ("CREATE VIEW public.v WITH (security_invoker = off) AS SELECT * FROM public.pots;", F),
        ("CREATE VIEW public.v AS SELECT * FROM public.pots;", F),
        ("CREATE MATERIALIZED VIEW public.v AS SELECT * FROM public.pots;", F),
        (policy("true"), F),
        ("GRANT SELECT ON auth.users TO anon;", F),
        (DEFINER.format("n() RETURNS bigint", "sql", "SELECT count(*) FROM public.pots"), F),
    ],
)
def test_a_migration_that_makes_no_table_is_judged_on_those_that_stand_there(
    sql: str, verdict: Verdict, tmp_path: Path, services: Services
) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "000_pots.sql").write_text(POTS, encoding="utf-8")
    result = judge(tmp_path, sql, ANON, services)
    assert result.verdict is verdict, result.detail
