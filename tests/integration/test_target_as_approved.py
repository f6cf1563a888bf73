"""DESIGN 6.7: after the effects the target itself is compared with what was approved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestrate_agents.effect_runner import EffectKind, TargetRunner
from orchestrate_backend.targets.choose import EmbeddedTarget, PostgresTarget
from orchestrate_backend.targets.supabase_setup import OWNER, as_user, set_up
from orchestrator.approvals.effects import Effect
from orchestrator.conductor.conductor import Conductor
from orchestrator.domain.agent import Artifact, Job, Outcome, Report
from orchestrator.gates.checks import Result, Services
from orchestrator.settings.config import Settings
from orchestrator.settings.tables import DatabaseSettings
from orchestrator.storage.atomic import sha256_file
from orchestrator.tickets.board import Board
from tests.claims import check_of, judge, lay

STATEMENT = "The target is what was approved"
SQL = """\
CREATE TABLE IF NOT EXISTS public.shelf (
    id int PRIMARY KEY, label text NOT NULL, width numeric(6,2) DEFAULT 80, note text
);
ALTER TABLE public.shelf ENABLE ROW LEVEL SECURITY;
CREATE INDEX IF NOT EXISTS shelf_label ON public.shelf (label);
DROP POLICY IF EXISTS "read" ON public.shelf;
CREATE POLICY "read" ON public.shelf FOR SELECT TO authenticated USING (true);
"""
ROWS = "INSERT INTO public.shelf (id, label) VALUES (900, 'kept') ON CONFLICT DO NOTHING;\n"
CSV = "id,label,width,note\n1,one,80.50,\n2,two,,twice\n"
LOADER = """\
import csv, os
import psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    for row in csv.DictReader(open("data/shelf.csv", newline="")):
        connection.execute(
            "INSERT INTO shelf VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [value or None for value in row.values()])
"""
PLAIN = "CREATE TABLE public.shelf (id int PRIMARY KEY, label text NOT NULL, "
WHOLE = PLAIN + "width numeric(6,2) DEFAULT 80, note text);"
AT_TABLES = """
CREATE FUNCTION public.at_tables() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE it record;
BEGIN
  FOR it IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
    IF it.object_identity = 'public.shelf' AND it.command_tag = 'CREATE TABLE' THEN
      {does};
    END IF;
  END LOOP;
END $$;
CREATE EVENT TRIGGER at_tables ON ddl_command_end EXECUTE FUNCTION public.at_tables();
"""
TRIGGER = """
CREATE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN {does}; RETURN NEW; END $$;
CREATE TRIGGER meddle BEFORE INSERT ON public.shelf FOR EACH ROW EXECUTE FUNCTION public.meddle();
"""

#: what was on the target before → words of the difference
BEFORE = {
    PLAIN + "width numeric(6,2) DEFAULT 80);": "note",
    PLAIN + "width numeric(6,2) DEFAULT 80, note text, secret text);": "secret",
    PLAIN + "width integer DEFAULT 80, note text);": "integer",
    PLAIN + "width numeric(6,2) DEFAULT 9, note text);": "DEFAULT 9",
    WHOLE.replace(" PRIMARY KEY", ""): "PRIMARY KEY",
    WHOLE.replace(" NOT NULL", ""): "label",
    WHOLE.replace("note text", "note text CHECK (note <> '')"): "CHECK",
    WHOLE.replace("note text", "note text UNIQUE"): "UNIQUE",
    WHOLE.replace("CREATE TABLE", "CREATE UNLOGGED TABLE"): "persistence u",
    WHOLE + "CREATE POLICY old ON public.shelf USING (true);": "policy public.shelf.old",
    WHOLE + "CREATE INDEX shelf_label ON public.shelf (note);": "shelf_label",
    WHOLE + "CREATE UNIQUE INDEX one ON public.shelf ((1));": "index public.one",
    WHOLE + "ALTER TABLE public.shelf FORCE ROW LEVEL SECURITY;": "forced",
    WHOLE + "GRANT SELECT ON public.shelf TO PUBLIC;": "PUBLIC has SELECT",
    WHOLE + "GRANT UPDATE (note) ON public.shelf TO watcher;": "column grant",
    WHOLE + "CREATE RULE none AS ON INSERT TO public.shelf DO INSTEAD NOTHING;": "rule",
    WHOLE + TRIGGER.format(does="NEW.label := upper(NEW.label)"): "trigger public.shelf.meddle",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO watcher;": "watcher has",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC;": "PUBLIC has",
    AT_TABLES.format(
        does="CREATE POLICY all_of_it ON public.shelf USING (true)"): "all_of_it",
    AT_TABLES.format(does="CREATE TABLE public.copy (id int)"): "made table public.copy",
    AT_TABLES.format(does="GRANT ALL ON public.shelf TO watcher"): "watcher has",
    AT_TABLES.format(does="ALTER TABLE public.shelf ADD COLUMN spy text"): "spy",
}  # fmt: skip
#: what somebody did between the effects and the comparison → words of the difference
AFTER = {
    "ALTER TABLE public.shelf DISABLE ROW LEVEL SECURITY": "row level security",
    'DROP POLICY "read" ON public.shelf': "is missing",
    'ALTER POLICY "read" ON public.shelf TO anon': "anon",
    "DROP TABLE public.shelf": "is missing",
    "DROP INDEX public.shelf_label": "shelf_label",
    "ALTER TABLE public.shelf DROP CONSTRAINT shelf_pkey": "shelf_pkey",
    "UPDATE public.shelf SET label = 'two ' || label WHERE id = 2": "line 3, label",
    "DELETE FROM public.shelf WHERE id = 1": "line 2 is not in public.shelf",
    "UPDATE public.shelf SET width = 80.5001 + 1 WHERE id = 1": "line 2, width",
}
#: what may be on a target all the same
HARMLESS = (
    "",
    WHOLE,
    WHOLE + "ALTER TABLE public.shelf ENABLE ROW LEVEL SECURITY;",
    SQL,
    SQL + "INSERT INTO public.shelf VALUES (77, 'mine', 1, NULL);",
    SQL + "INSERT INTO public.shelf VALUES (1, 'one', 80.5, 'already told');",
    "CREATE TABLE public.other (id int); CREATE POLICY open ON public.other USING (true);",
    "CREATE SCHEMA more; CREATE VIEW more.seen AS SELECT 1 AS one;",
    AT_TABLES.format(does="RAISE NOTICE 'seen'"),
)


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services() as made:
        yield made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTarget]:
    target = EmbeddedTarget(tmp_path_factory.mktemp("server"))
    yield target
    target.close()


@pytest.fixture
def database(server: EmbeddedTarget, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database as a hosted project has one; the superuser's URI."""
    admin = server._running().uri()
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS mine WITH (FORCE)")
        connection.execute("CREATE DATABASE mine")
        connection.execute("DROP ROLE IF EXISTS watcher")
        connection.execute("CREATE ROLE watcher")
    parts = psycopg.conninfo.conninfo_to_dict(admin)
    uri = psycopg.conninfo.make_conninfo(**{**parts, "dbname": "mine"})
    with psycopg.connect(uri, autocommit=True) as connection:
        set_up(connection)
    monkeypatch.setenv("DATABASE_URL", as_user(uri, OWNER))
    yield uri
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS mine WITH (FORCE)")
        connection.execute("DROP ROLE IF EXISTS watcher")


def as_owner(uri: str, sql: str) -> None:
    """Run SQL as the owner of the tables, event triggers as the superuser."""
    login = uri if "EVENT TRIGGER" in sql else as_user(uri, OWNER)
    with psycopg.connect(login, autocommit=True) as connection:
        connection.execute(sql.encode())


def compared(
    root: Path, uri: str, services: Services, *, sql: str = SQL, load: bool = True, after: str = ""
) -> Result:
    """The verdict after a migration, and a load, on a target where something happens."""
    files = {"migrations/001_shelf.sql": sql, "data/shelf.csv": CSV, "scripts/load.py": LOADER}
    lay(root, files)
    effects = [Effect(EffectKind.APPLY, "apply", ("migrations/001_shelf.sql",))]
    if load:
        inputs = ("scripts/load.py", "data/shelf.csv")
        effects.append(Effect(EffectKind.SCRIPT, "run `scripts/load.py`", inputs, {"options": []}))
    target = PostgresTarget(as_user(uri, OWNER))
    runner = TargetRunner("postgres", root, {}, target)
    history: list[dict[str, Any]] = []
    for effect in effects:
        done = runner.run(effect, root)
        assert done.ok, done
        shas = {path: sha256_file(root / path) for path in effect.inputs}
        history.append(
            {
                "type": "effect", "kind": effect.kind, "title": effect.title, "ok": True,
                "digest": "0" * 64, "inputs": shas, "figures": dict(done.figures),
            }
        )  # fmt: skip
    if after:
        as_owner(uri, after)
    try:
        return judge(root, STATEMENT, target=target, history=history, services=services)
    finally:
        target.close()


def test_the_statement_is_taken() -> None:
    assert check_of(STATEMENT) == "target.as-approved"


@pytest.mark.parametrize("before", BEFORE)
def test_what_was_there_before_is_told(
    tmp_path: Path, database: str, services: Services, before: str
) -> None:
    as_owner(database, before)
    result = compared(tmp_path, database, services, load=False)
    assert result.verdict == "failed", result.detail
    assert BEFORE[before] in result.detail


@pytest.mark.parametrize("after", AFTER)
def test_what_happened_since_is_told(
    tmp_path: Path, database: str, services: Services, after: str
) -> None:
    result = compared(tmp_path, database, services, after=after)
    assert result.verdict == "failed", result.detail
    assert AFTER[after] in result.detail


@pytest.mark.parametrize("before", HARMLESS)
def test_what_is_harmless_is_proven(
    tmp_path: Path, database: str, services: Services, before: str
) -> None:
    if before:
        as_owner(database, before)
    result = compared(tmp_path, database, services)
    assert result.verdict == "proven", result.detail
    assert "the target itself" in result.detail


def test_rows_that_a_migration_inserts_are_looked_at(
    tmp_path: Path, database: str, services: Services
) -> None:
    assert compared(tmp_path, database, services, sql=SQL + ROWS, load=False).verdict == "proven"
    change = "UPDATE public.shelf SET label = 'other'"
    result = compared(tmp_path, database, services, sql=SQL + ROWS, load=False, after=change)
    assert (result.verdict, "(900,kept" in result.detail) == ("failed", True)


def test_a_role_that_passes_by_policies_is_told(
    tmp_path: Path, database: str, services: Services
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER ROLE anon BYPASSRLS")
        try:
            result = compared(tmp_path, database, services, load=False)
        finally:
            connection.execute("ALTER ROLE anon NOBYPASSRLS")
    assert (result.verdict, "anon passes by row" in result.detail) == ("failed", True)


def test_a_plain_database_without_the_defaults_of_a_project_is_no_less(
    tmp_path: Path, database: str, services: Services
) -> None:
    revoke = "ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM "
    as_owner(database, revoke + "anon, authenticated, service_role")
    assert compared(tmp_path, database, services).verdict == "proven"
    result = compared(
        tmp_path, database, services, sql=SQL + "GRANT SELECT ON public.shelf TO anon;", load=False,
        after="REVOKE SELECT ON public.shelf FROM anon",
    )  # fmt: skip
    assert (result.verdict, "anon lacks" in result.detail) == ("failed", True)


# -- in a family -----------------------------------------------------------------------------------

TICKET = """\
---
id: WO-1
title: A shelf
status: 00_INBOX
owner: SOOP
pipeline_workflow: workflows/shelf.md
---
# A shelf

## Acceptance Criteria

- [ ] `migrations/001_shelf.sql` exists
- [ ] The shelf is pleasant
"""
WORKFLOW = """\
# A shelf

## STAGE 1: SOOP — Schema
Write `migrations/001_shelf.sql`.

**Done when:** `migrations/001_shelf.sql` exists

## STAGE 2: USER CHECKPOINT #1 — Apply

- Apply `migrations/001_shelf.sql`
"""


class Soop:
    """Writes the migration."""

    def work(self, job: Job) -> Report:
        path = "migrations/001_shelf.sql"
        lay(job.root, {path: SQL})
        made = Artifact(path=path, sha256=sha256_file(job.root / path))
        return Report(outcome=Outcome.DONE, artifacts=(made,), section="## SOOP DONE\n\nDone.")


def test_a_difference_is_put_to_user_before_the_end(tmp_path: Path, database: str) -> None:
    lay(tmp_path, {"_WORK_ORDERS/00_INBOX/WO-1_Shelf.md": TICKET, "workflows/shelf.md": WORKFLOW})

    def conductor() -> Conductor:
        return Conductor(
            Board(tmp_path),
            agents={"SOOP": Soop()},
            settings=Settings(database=DatabaseSettings(target="postgres")),
        )

    as_owner(database, WHOLE + "CREATE POLICY old ON public.shelf USING (true);")
    assert conductor().run("WO-1").stage == 2
    conductor().approve("WO-1", target="postgres", accept_unproven=True)
    outcome = conductor().run("WO-1")
    assert outcome.outcome.value == "waiting"
    question = conductor().status("WO-1")["question"]
    (different,) = question["failed"]
    assert different["text"] == STATEMENT
    assert "policy public.shelf.old" in different["detail"]
    # somebody takes it away, and the comparison is made again
    as_owner(database, "DROP POLICY old ON public.shelf")
    conductor().approve("WO-1", accept=[STATEMENT])
    assert conductor().run("WO-1").outcome.value == "complete"
    # what USER took without proof is not a tick
    (ticket,) = tmp_path.glob("_WORK_ORDERS/06_COMPLETE/WO-1*.md")
    text = ticket.read_text(encoding="utf-8")
    assert re.search(r"^- \[x\] `migrations/001_shelf.sql` exists · receipt \w+$", text, re.M)
    pleasant = r"^- \[~\] The shelf is pleasant · accepted by USER, receipt \w+$"
    assert re.search(pleasant, text, re.M)
    (box,) = [b for b in Board(tmp_path).find("WO-1").boxes() if b.text == "The shelf is pleasant"]
    assert not box.ticked


# -- before it is approved -------------------------------------------------------------------------

PROHIBITED = "Do NOT run `migrations/001_shelf.sql`"
NAMED = {"database": {"target": "postgres"}}


@pytest.mark.parametrize(
    ("before", "verdict"),
    [
        ("", "proven"),
        ("CREATE TABLE public.other (id int);", "proven"),
        (SQL, "failed"),
        (SQL.replace("public.shelf", "public.SHELF"), "failed"),
        (WHOLE, "unproven"),
    ],
)
def test_a_prohibition_asks_the_target(
    tmp_path: Path, database: str, services: Services, before: str, verdict: str
) -> None:
    lay(tmp_path, {"migrations/001_shelf.sql": SQL})
    if before:
        as_owner(database, before)
    result = judge(tmp_path, PROHIBITED, settings=NAMED, services=services)
    assert result.verdict == verdict, result.detail


def test_what_cannot_be_asked_is_unproven(
    tmp_path: Path, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(tmp_path, {"migrations/001_shelf.sql": SQL})
    assert judge(tmp_path, PROHIBITED, services=services).verdict == "proven"
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/shelf")
    result = judge(tmp_path, PROHIBITED, settings=NAMED, services=services)
    assert (result.verdict, "cannot be asked" in result.detail) == ("unproven", True)
    monkeypatch.delenv("DATABASE_URL")
    result = judge(tmp_path, PROHIBITED, settings=NAMED, services=services)
    assert (result.verdict, "DATABASE_URL" in result.detail) == ("unproven", True)


def test_the_workspace_s_own_server_is_asked(tmp_path: Path, services: Services) -> None:
    lay(tmp_path, {"migrations/001_shelf.sql": SQL})
    target = EmbeddedTarget(tmp_path)
    try:
        target.columns("pg_catalog.pg_class")
        assert judge(tmp_path, PROHIBITED, services=services).verdict == "proven"
        target.apply_sql(SQL)
        assert judge(tmp_path, PROHIBITED, services=services).verdict == "failed"
    finally:
        target.close()
