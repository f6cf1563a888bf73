"""What every hosted project has stands in for the real thing; what is lacking is no one's fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from orchestrate_agents.sql.access_matrix import Access
from orchestrate_agents.sql.prove import Proof, prove
from orchestrate_backend.targets.embedded import running
from orchestrate_backend.targets.supabase_setup import as_user, rename_logins, set_up
from orchestrator.domain.workflow import Deliverable, Stage, Workflow
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Result, Services, Verdict
from orchestrator.gates.loading import load_checks

BINDER = Binder([c for c in load_checks() if c.name.startswith("sql.")])
JARS = (
    "CREATE TABLE IF NOT EXISTS public.jars "
    "(id uuid PRIMARY KEY DEFAULT gen_random_uuid(), label text, size int, during tstzrange);\n"
    "ALTER TABLE public.jars ENABLE ROW LEVEL SECURITY;\n"
    "DROP POLICY IF EXISTS jars_read ON public.jars;\n"
    "CREATE POLICY jars_read ON public.jars FOR SELECT TO authenticated USING (true);\n"
)


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services() as made:
        yield made


def judge(root: Path, files: dict[str, str], statement: str, services: Services) -> Result:
    """The result of a statement about the last of some numbered migrations."""
    folder = root / "db"
    folder.mkdir(exist_ok=True)
    for name, sql in files.items():
        (folder / name).write_text(sql, encoding="utf-8")
    path = f"db/{max(files)}"
    stage = Stage(1, "SOOP", "Tables", 1, deliverables=(Deliverable(path, "write", 1),))
    workflow = Workflow(root / "w.md", "", "", "", (stage,))
    context = Context(root=root, workflow=workflow, stage=stage, services=services)
    (binding,) = BINDER.bind(statement)
    assert binding.check is not None, binding.problem
    return binding.check.function(context, **binding.arguments)


def run(sql: str, services: Services) -> Proof:
    return prove(JARS + sql, services)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO storage.buckets (id, name, public) VALUES ('a', 'a', false)"
        " ON CONFLICT (id) DO NOTHING;",
        "DROP POLICY IF EXISTS p ON storage.objects; CREATE POLICY p ON storage.objects FOR ALL TO"
        " authenticated USING (storage.extension(name) = 'png' AND"
        " (storage.foldername(name))[1] = (SELECT auth.uid())::text);",
        "CREATE OR REPLACE FUNCTION public.greet() RETURNS trigger LANGUAGE plpgsql SECURITY"
        " DEFINER AS $$ BEGIN INSERT INTO public.jars (id) VALUES (new.id); RETURN new; END $$;"
        "DROP TRIGGER IF EXISTS greet ON auth.users;"
        " CREATE TRIGGER greet AFTER INSERT ON auth.users"
        " FOR EACH ROW EXECUTE FUNCTION public.greet();",
        "BEGIN; DROP PUBLICATION IF EXISTS supabase_realtime; CREATE PUBLICATION supabase_realtime;"
        " ALTER PUBLICATION supabase_realtime ADD TABLE public.jars; COMMIT;",
        "ALTER TABLE public.jars OWNER TO postgres; GRANT ALL ON public.jars TO postgres;"
        " ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON TABLES TO anon;",
        "CREATE OR REPLACE FUNCTION public.hook(event jsonb) RETURNS jsonb LANGUAGE sql AS"
        " $$ SELECT event $$; GRANT EXECUTE ON FUNCTION public.hook TO supabase_auth_admin;",
        "CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA extensions;"
        " ALTER TABLE public.jars ADD COLUMN IF NOT EXISTS v extensions.vector(3);",
        'CREATE EXTENSION IF NOT EXISTS "uuid-ossp"; CREATE EXTENSION IF NOT EXISTS pgcrypto;'
        " ALTER TABLE public.jars ALTER COLUMN id SET DEFAULT extensions.uuid_generate_v4();",
        "CREATE EXTENSION IF NOT EXISTS moddatetime SCHEMA extensions;"
        " ALTER TABLE public.jars ADD COLUMN IF NOT EXISTS at timestamptz;"
        " DROP TRIGGER IF EXISTS m ON public.jars; CREATE TRIGGER m BEFORE UPDATE ON public.jars"
        " FOR EACH ROW EXECUTE PROCEDURE extensions.moddatetime(at);",
        "CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;"
        " ALTER TABLE public.jars ADD COLUMN IF NOT EXISTS v public.vector(3);",
        "SELECT vault.create_secret('s', 'n')"
        " WHERE NOT EXISTS (SELECT FROM vault.secrets WHERE name = 'n');",
        "DROP POLICY IF EXISTS r ON realtime.messages; CREATE POLICY r ON realtime.messages FOR"
        " SELECT TO authenticated USING (realtime.topic() = 'jars');",
        "CREATE OR REPLACE VIEW public.mails WITH (security_invoker = on) AS"
        " SELECT u.email, u.phone, u.is_anonymous FROM auth.users u;",
        "SET session_replication_role = replica; SET session_replication_role = origin;",
        "CREATE SCHEMA IF NOT EXISTS private; CREATE TABLE IF NOT EXISTS private.lids (id int);",
    ],
)
def test_what_every_project_has_is_there(sql: str, services: Services) -> None:
    proof = run(sql, services)
    assert proof.first is None, proof.first
    assert proof.second is None, proof.second
    assert not proof.lacks
    assert not proof.blocked


@pytest.mark.parametrize(
    ("sql", "lacking"),
    [
        ("CREATE INDEX ON public.jars USING gin (label gin_trgm_ops);", "pg_trgm"),
        ("SELECT * FROM public.jars WHERE label % 'x';", "pg_trgm"),
        ("ALTER TABLE public.jars ADD COLUMN g geography(point);", "postgis"),
        ("ALTER TABLE public.jars ADD COLUMN m citext;", "citext"),
        ("CREATE INDEX ON public.jars USING gin (size);", "btree_gin"),
        ("ALTER TABLE public.jars ADD EXCLUDE USING gist (size WITH =, during WITH &&);", "btree_"),
        (
            "CREATE COLLATION public.loose (provider = icu, locale = 'und-u-ks-level2',"
            " deterministic = false);",
            "ICU",
        ),
        ('ALTER TABLE public.jars ADD COLUMN n text COLLATE "de-x-icu";', "collation de-x-icu"),
        ("CREATE TABLE public.lids (id int) TABLESPACE fast;", "tablespace fast"),
        ("ALTER TABLE public.jars ADD COLUMN z text COMPRESSION lz4;", "compression by lz4"),
        ("SELECT cron.schedule('0 3 * * *', 'SELECT 1');", "pg_cron"),
        ("SELECT net.http_post('http://example.org');", "pg_net"),
        ("SELECT pgsodium.create_key();", "pgsodium"),
        ("SELECT crypt('a', gen_salt('bf'));", "pgcrypto"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE plv8 AS 'x';", "plv8"),
        ("SELECT * FROM auth.oauth_clients;", "auth.oauth_clients"),
        ("CREATE EXTENSION ownwares; SELECT brew(1);", "ownwares"),
        (
            "CREATE SCHEMA gis; CREATE EXTENSION postgis SCHEMA gis;"
            " ALTER TABLE public.jars ADD COLUMN g gis.geography(point);",
            "postgis",
        ),
        ("CREATE EXTENSION pg_trgm; COMMENT ON EXTENSION pg_trgm IS 'x';", "pg_trgm"),
        ("CREATE EXTENSION pg_cron; SELECT cron.unschedule('gone');", "pg_cron"),
        ("CREATE ROLE reporter;", "no roles"),
        ("ALTER ROLE authenticated SET statement_timeout = '8s';", "no roles"),
        ("ALTER DATABASE postgres SET app.x = '1';", "no settings of the database"),
        ("ALTER TABLE storage.objects ENABLE ROW LEVEL SECURITY;", "Supabase's own tables"),
        ("ALTER TABLE auth.users ADD COLUMN x int;", "Supabase's own tables"),
        ("CREATE FUNCTION auth.f() RETURNS int LANGUAGE sql AS 'SELECT 1';", "Supabase's own"),
    ],
)
def test_what_the_server_lacks_is_named_and_is_no_failure(
    sql: str, lacking: str, tmp_path: Path, services: Services
) -> None:
    files = {"001_jars.sql": JARS + sql}
    for statement in ("The migration applies cleanly", "RLS is enabled on `jars`"):
        result = judge(tmp_path, files, statement, services)
        assert result.verdict is Verdict.UNPROVEN, result.detail
        assert lacking in result.detail


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT nope('a');",
        "SELECT * FROM plan;",
        "DROP POLICY sign ON public.jars;",
        "GRANT SELECT ON public.jars TO idx;",
        "DROP INDEX idx;",
        "DROP EXTENSION nosuchware;",
        "ALTER TABLE public.jars ADD COLUMN x nosuchtype;",
        "CREATE EXTENSION pg_trgm; ALTER TABLE missing ADD COLUMN x int;",
        "CREATE EXTENSION pg_trgm; SELECT nope('a');",
        "ALTER TABLE public.jars ADD COLUMN n text COLLATE public.loose;",
    ],
)
def test_a_fault_of_the_migration_stays_one(sql: str, tmp_path: Path, services: Services) -> None:
    files = {"001_jars.sql": JARS + sql}
    result = judge(tmp_path, files, "The migration applies cleanly", services)
    assert result.verdict is Verdict.FAILED
    assert "cannot be applied" in result.detail


def test_behind_a_stand_in_the_rest_is_judged(tmp_path: Path, services: Services) -> None:
    files = {
        "001_jars.sql": "CREATE EXTENSION IF NOT EXISTS pg_cron;"
        + JARS
        + "SELECT cron.schedule('sweep', '0 3 * * *', 'SELECT 1');"
    }
    valid = judge(tmp_path, files, "The migration applies cleanly", services)
    assert valid.verdict is Verdict.UNPROVEN
    assert "the proving server has no pg_cron" in valid.detail
    read = judge(tmp_path, files, "`jars` can be read by authenticated users", services)
    assert read.verdict is Verdict.PROVEN, read.detail


def test_a_table_published_again_is_valid_and_not_repeatable(
    tmp_path: Path, services: Services
) -> None:
    files = {"001_jars.sql": JARS + "ALTER PUBLICATION supabase_realtime ADD TABLE public.jars;"}
    valid = judge(tmp_path, files, "The migration applies cleanly", services)
    assert valid.verdict is Verdict.PROVEN
    assert "a second run stops at line 5" in valid.detail
    again = judge(tmp_path, files, "The migration is idempotent", services)
    assert again.verdict is Verdict.FAILED


def test_a_policy_on_stored_files_is_probed(services: Services) -> None:
    sql = (
        "CREATE POLICY p ON storage.objects FOR SELECT TO authenticated"
        " USING ((storage.foldername(name))[1] = 'open');"
    )
    proof = run(sql, services)
    assert [r.qualified for r in proof.tables] == ["public.jars"]
    cell = proof.cell("anon", "storage.objects", "INSERT")
    assert cell is not None
    assert cell.access is Access.DENIED


LACKING = JARS + "CREATE INDEX label ON public.jars USING gin (label gin_trgm_ops);"
BROKEN = JARS + "ALTER TABLE public.nowhere ADD COLUMN x int;"
LATER = "ALTER TABLE public.jars ADD COLUMN IF NOT EXISTS note text;"
APART = "CREATE TABLE IF NOT EXISTS public.cups (id int);"


@pytest.mark.parametrize(("base", "why"), [(LACKING, "pg_trgm"), (BROKEN, "nowhere")])
def test_an_earlier_file_that_does_not_apply_is_named_and_blamed(
    base: str, why: str, tmp_path: Path, services: Services
) -> None:
    files = {"001_jars.sql": base, "002_note.sql": LATER, "003_more.sql": LATER}
    result = judge(tmp_path, files, "The migration applies cleanly", services)
    assert result.verdict is Verdict.UNPROVEN
    assert "001_jars.sql does not apply here" in result.detail
    assert why in result.detail
    files["003_more.sql"] = APART
    result = judge(tmp_path, files, "The migration applies cleanly", services)
    assert result.verdict is Verdict.PROVEN, result.detail
    assert "0 of 2 earlier migrations" in result.detail


def test_a_cluster_of_an_older_version_gets_todays_logins(tmp_path: Path) -> None:
    with running(tmp_path / "data", scratch=True) as server:
        uri = server.uri()
        with psycopg.connect(uri, autocommit=True) as admin:
            set_up(admin)
            admin.execute("CREATE ROLE other SUPERUSER LOGIN")
        with psycopg.connect(as_user(uri, "other"), autocommit=True) as other:
            other.execute("ALTER ROLE postgres RENAME TO supabase_owner")
            other.execute("ALTER ROLE supabase_admin RENAME TO postgres")
        with psycopg.connect(as_user(uri, "supabase_owner")) as owner:
            owner.execute("CREATE TABLE kept (a int)")
        for _ in range(2):
            rename_logins(uri)
            with psycopg.connect(uri) as admin:
                set_up(admin)
                query = "SELECT tableowner FROM pg_tables WHERE tablename = 'kept'"
                assert admin.execute(query).fetchone() == ("postgres",)
                query = "SELECT rolname FROM pg_roles WHERE rolsuper AND rolname <> 'other'"
                assert admin.execute(query).fetchall() == [("supabase_admin",)]
