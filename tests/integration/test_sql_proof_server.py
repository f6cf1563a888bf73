"""A migration cannot behave on the proving server and otherwise on a target without being told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrate_agents.sql.access_matrix import Access
from orchestrate_agents.sql.prove import Proof, prove
from orchestrator.domain.workflow import Deliverable, Stage, Statement, StatementKind, Workflow
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Services, Verdict
from orchestrator.gates.loading import load_checks
from orchestrator.gates.receipts import Gate

JARS = """
CREATE TABLE IF NOT EXISTS public.jars (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), label text);
ALTER TABLE public.jars ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS own ON public.jars;
CREATE POLICY own ON public.jars FOR SELECT TO authenticated USING (true);
"""
OPEN = "CREATE POLICY open ON public.jars TO anon USING (true)"
SHUT = "ALTER TABLE public.jars ENABLE ROW LEVEL SECURITY"
BARE = "CREATE TABLE IF NOT EXISTS public.jars (id int, label text); "


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services() as made:
        yield made


def block(body: str, declare: str = "") -> str:
    return f"DO $$ {declare} BEGIN {body} END $$;"


def is_open(proof: Proof) -> bool:
    cell = proof.cell("anon", "public.jars", "SELECT")
    return cell is not None and cell.access not in (Access.DENIED, Access.NO_PRIVILEGE)


def under(condition: str) -> str:
    return JARS + block(f"IF {condition} THEN {OPEN}; END IF;")


@pytest.mark.parametrize(
    "sql",
    [
        under("current_database() = 'postgres'"),
        under("inet_server_addr() IS NOT NULL"),
        under("pg_postmaster_start_time() < now() - interval '1 day'"),
        under("(SELECT count(*) FROM auth.users) > 0"),
        under("(SELECT count(*) FROM pg_database) > 9"),
        under("EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'realtime')"),
        under("EXISTS (SELECT FROM pg_roles WHERE rolname = 'cli_login_postgres')"),
        under("current_setting('app.settings.jwt_secret', true) IS NOT NULL"),
        under("current_setting('data_directory') LIKE '/var/lib%'"),
        under("to_regnamespace('proof_watch') IS NULL"),
        under("NOT EXISTS (SELECT FROM pg_namespace WHERE nspname LIKE 'proof%')"),
        under("to_regclass('auth.refresh_tokens') IS NOT NULL"),
        under("random() > 1 - 1e-9"),
        under("extract(year FROM now()) > 2100"),
        under("(SELECT count(*) FROM public.jars) > 1000"),
        under("(SELECT count(*) FROM pg_class) > 100000"),
        under("NOT EXISTS (SELECT FROM pg_event_trigger)"),
        under("version() NOT LIKE '%18%'"),
        # what ran here may not run there
        BARE + block(f"IF current_database() <> 'postgres' THEN {SHUT}; END IF;"),
        BARE + block(f"IF (SELECT count(*) FROM auth.users) = 0 THEN {SHUT}; END IF;"),
        BARE + block(f"IF (SELECT count(*) FROM public.jars) < 1000 THEN {SHUT}; END IF;"),
        BARE + block(f"IF (SELECT count(*) FROM auth.users) > 0 THEN RETURN; END IF; {SHUT};"),
        # asked by a variable, or by kind
        BARE + block(f"IF (SELECT count(*) FROM pg_class WHERE relnamespace ="
                     f" 'public'::regnamespace) < 99 THEN {SHUT}; END IF;"),
        BARE + block("FOREACH t IN ARRAY ARRAY['jars', 'oauth_clients'] LOOP IF to_regclass(t) IS"
                     f" NULL THEN {SHUT}; END IF; END LOOP;", "DECLARE t text;"),
        BARE + block("FOREACH p SLICE 1 IN ARRAY ARRAY[['jars', 'oauth_x'], ['jars', 'oauth_y']]"
                     f" LOOP IF to_regclass(p[2]) IS NULL THEN {SHUT}; END IF; END LOOP;",
                     "DECLARE p text[];"),
        BARE + block("EXECUTE 'SELECT current_' || 'catalog' INTO t; IF to_regtype(t) IS NULL THEN"
                     f" {SHUT}; END IF;", "DECLARE t text := 'jars';"),
        BARE + block(f"IF NOT EXISTS (SELECT FROM pg_class WHERE relname ~ '^(jars|oauth)')"
                     f" THEN NULL; ELSE {SHUT}; END IF;"),
        JARS + block("FOR t IN SELECT relname FROM pg_class WHERE relname LIKE 'oauth%' LOOP"
                     " EXECUTE format('GRANT ALL ON %I TO anon', t); END LOOP;", "DECLARE t text;"),
        # without an IF
        JARS + block(f"CASE WHEN current_catalog = 'postgres' THEN {OPEN}; ELSE NULL; END CASE;"),
        JARS + block(f"FOR i IN SELECT 1 FROM auth.users LOOP {OPEN}; END LOOP;", "DECLARE i int;"),
        JARS + block(f"WHILE pg_is_in_recovery() LOOP {OPEN}; END LOOP;"),
        JARS
        + block(
            "EXECUTE CASE WHEN current_database() LIKE 'proof%' THEN 'SELECT 1'"
            f" ELSE '{OPEN}' END;"
        ),
        JARS
        + block(
            f"w := '{OPEN}'; SELECT 'SELECT 1' INTO w FROM pg_database WHERE datname LIKE 'p%_%';"
            " EXECUTE w;",
            "DECLARE w text;",
        ),
        JARS + block(f"PERFORM 1 / (SELECT count(*) FROM auth.users); {OPEN};"
                     " EXCEPTION WHEN others THEN NULL;"),
        JARS + block(f"PERFORM 1 / 0; EXCEPTION WHEN undefined_table THEN {OPEN};"
                     " WHEN others THEN NULL;"),
        JARS + "CREATE OR REPLACE FUNCTION public.go() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN"
        f" IF inet_client_addr() IS NOT NULL THEN {OPEN}; END IF; RETURN 1; END $f$;"
        " SELECT public.go();",
        JARS + "CREATE OR REPLACE FUNCTION public.go() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN"
        f" {OPEN}; RETURN 1; END $f$; SELECT public.go() FROM auth.users;",
        JARS + "CREATE OR REPLACE FUNCTION public.go() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN"
        f" {OPEN}; RETURN 1; END $f$; SELECT public.go() WHERE current_database() = 'postgres';",
        # neither a branch nor an error
        JARS + block("EXECUTE convert_from(decode('53454c4543542031', 'hex'), 'utf8');"),
        # what fails here need not fail there
        JARS
        + block(f"ALTER TABLE auth.users DISABLE TRIGGER ALL; {OPEN};"
                " EXCEPTION WHEN insufficient_privilege THEN NULL;"),
        JARS
        + block("ALTER TABLE public.of_others ADD seen int; EXCEPTION WHEN undefined_table"
                " OR duplicate_column THEN NULL;"),
        JARS
        + block(f"EXECUTE 'DO $x$ BEGIN IF inet_server_port() > 0 THEN {OPEN}; END IF; END $x$';"),
    ],
)  # fmt: skip
def test_what_depends_on_the_server_is_unproven_or_seen(sql: str, services: Services) -> None:
    proof = prove(sql, services)
    assert proof.open or is_open(proof), "proven though it does something else on a target"
    assert "line " in proof.open or is_open(proof)


@pytest.mark.parametrize(
    "sql",
    [
        block(
            "IF NOT EXISTS (SELECT 1 FROM pg_type WHERE typname = 'mood') THEN"
            " CREATE TYPE mood AS ENUM ('sad', 'ok'); END IF;"
        ),
        block("CREATE TYPE mood AS ENUM ('sad'); EXCEPTION WHEN duplicate_object THEN NULL;"),
        block(
            "IF NOT EXISTS (SELECT 1 FROM pg_policies WHERE schemaname = 'public' AND tablename ="
            " 'jars' AND policyname = 'Jars are read') THEN CREATE POLICY \"Jars are read\" ON"
            " public.jars FOR SELECT TO authenticated USING (true); END IF;"
        ),
        block(
            "IF NOT EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = 'public'"
            " AND table_name = 'jars' AND column_name = 'lid') THEN"
            " ALTER TABLE public.jars ADD COLUMN lid text; END IF;"
        ),
        block(
            "IF NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = 'label_long') THEN"
            " ALTER TABLE public.jars ADD CONSTRAINT label_long CHECK (length(label) < 99); END IF;"
        ),
        block(
            "IF NOT EXISTS (SELECT 1 FROM pg_publication_tables WHERE pubname ="
            " 'supabase_realtime' AND schemaname = 'public' AND tablename = 'jars') THEN"
            " ALTER PUBLICATION supabase_realtime ADD TABLE public.jars; END IF;"
        ),
        block(
            "FOREACH t IN ARRAY ARRAY['jars'] LOOP EXECUTE format('ALTER TABLE public.%I ENABLE ROW"
            " LEVEL SECURITY', t); END LOOP;",
            "DECLARE t text;",
        ),
        block(
            "FOR r IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP EXECUTE"
            " format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', r.tablename); END LOOP;",
            "DECLARE r record;",
        ),
        block(
            "FOREACH pair SLICE 1 IN ARRAY wanted LOOP IF NOT EXISTS (SELECT FROM pg_constraint"
            " WHERE conname = pair[1]) THEN EXECUTE format('ALTER TABLE public.jars ADD CONSTRAINT"
            " %I %s', pair[1], pair[2]); END IF; END LOOP;",
            "DECLARE pair text[]; wanted CONSTANT text[] := ARRAY[['label_short', 'CHECK"
            " (length(label) < 99)'], ['label_there', 'CHECK (length(label) > 0)']];",
        ),
        block(
            "FOREACH w IN ARRAY ARRAY['anon', 'authenticated'] LOOP IF NOT EXISTS (SELECT FROM"
            " pg_roles WHERE rolname = w) THEN EXECUTE format('CREATE ROLE %I NOLOGIN', w); END IF;"
            ' END LOOP; FOR k IN SELECT key FROM jsonb_each(\'{"mood": ["sad"]}\') LOOP'
            " IF to_regtype('public.' || k) IS NULL THEN EXECUTE format('CREATE TYPE public.%I AS"
            " ENUM (%L)', k, 'sad'); END IF; END LOOP;",
            "DECLARE w text; k text;",
        ),
        block(
            "FOR place, plain IN SELECT c.oid::regclass, c.relkind = 'r' FROM pg_class c WHERE"
            " c.relnamespace = 'public'::regnamespace AND (c.relname = ANY (ARRAY['jars']) OR"
            " c.relname ~ '^(jars|lids)$') LOOP CONTINUE WHEN NOT plain; IF NOT EXISTS (SELECT FROM"
            " pg_policy WHERE polrelid = place AND polname = 'shown') THEN EXECUTE format('CREATE"
            " POLICY shown ON %s FOR SELECT TO authenticated USING (true)', place); END IF;"
            " END LOOP;",
            "DECLARE place regclass; plain boolean;",
        ),
        block(
            "IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'anon') THEN"
            " REVOKE INSERT ON public.jars FROM anon; END IF;"
        ),
        "CREATE OR REPLACE FUNCTION public.greet() RETURNS trigger LANGUAGE plpgsql SECURITY"
        " DEFINER SET search_path = '' AS $$ BEGIN IF new.email IS NOT NULL THEN INSERT INTO"
        " public.jars (id, label) VALUES (new.id, new.email); END IF; RETURN new; END $$;"
        " DROP TRIGGER IF EXISTS on_auth_user_created ON auth.users; CREATE TRIGGER"
        " on_auth_user_created AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION"
        " public.greet();",
        "INSERT INTO public.jars (id, label) SELECT id, email FROM auth.users"
        " ON CONFLICT (id) DO NOTHING;",
        "INSERT INTO public.jars (id, label) VALUES ('11111111-1111-1111-1111-111111111111',"
        " to_char(timestamptz '2024-01-01', 'YYYY')) ON CONFLICT DO NOTHING;",
        "ALTER DATABASE postgres SET timezone TO 'UTC';"
        " GRANT CONNECT ON DATABASE postgres TO authenticated;",
    ],
)
def test_what_honest_migrations_guard_is_proven(sql: str, services: Services) -> None:
    proof = prove(JARS + sql, services)
    assert proof.first is None, proof.first
    assert not proof.open
    assert not proof.blocked
    assert not is_open(proof)


@pytest.mark.parametrize(
    ("sql", "lack"),
    [
        (
            block(
                "IF EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'pg_cron') THEN"
                " PERFORM cron.schedule('a', '0 3 * * *', 'SELECT 1'); END IF;"
            ),
            "pg_cron",
        ),
        (
            block(
                "IF EXISTS (SELECT 1 FROM information_schema.columns WHERE table_name = 'jars'"
                " AND column_name = 'tag') THEN ALTER TABLE public.jars RENAME tag TO tags; END IF;"
            ),
            "tag",
        ),
    ],
)
def test_a_branch_that_never_ran_is_named(sql: str, lack: str, services: Services) -> None:
    proof = prove(JARS + sql, services)
    assert "line 6" in proof.open
    assert lack in proof.open


def test_a_block_that_only_compares_and_refuses_may_ask_anything(services: Services) -> None:
    sql = block(
        "IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'public.jars'::regclass"
        " AND attname = 'lids' AND atttypid = 'int'::regtype) OR version() LIKE '%9.6%' THEN"
        " RAISE EXCEPTION 'not here'; END IF;"
    )
    assert not prove(JARS + sql, services).open


def test_what_is_open_keeps_a_statement_from_being_proven_and_not_from_failing(
    tmp_path: Path, services: Services
) -> None:
    (tmp_path / "m.sql").write_text(under("inet_server_addr() IS NOT NULL"), encoding="utf-8")
    stage = Stage(1, "SOOP", "Tables", 1, deliverables=(Deliverable("m.sql", "write", 1),))
    workflow = Workflow(tmp_path / "w.md", "", "", "", (stage,))
    context = Context(root=tmp_path, workflow=workflow, stage=stage, services=services)
    texts = ("`jars` cannot be read by anon", "`jars` can be read by anon")
    gate = Gate(Binder([c for c in load_checks() if c.name.startswith("sql.")]))
    shut, opened = gate.prove(
        [Statement(t, StatementKind.DONE_WHEN, "w.md", n) for n, t in enumerate(texts)], context
    )
    assert shut.verdict is Verdict.UNPROVEN
    assert "line 6: `CREATE POLICY open" in shut.detail
    assert opened.verdict is Verdict.FAILED
