"""A trial of a load script: run on a scratch server, watched from the server's side.

A load script takes `--target postgres` with `DATABASE_URL`, and `--json` for its figures: a last
line `{"tables": {name: {"rows": n, "loaded": n, "failed": n}}}`. Where its text knows them it gets
`--init` (create missing tables), `--small` and `--dry-run` too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrate_agents.sandbox.import_closure import closure
from orchestrate_agents.sandbox.row_changes import RowWatch
from orchestrate_agents.sandbox.runs import Run, python_path, run, tree_copy
from orchestrate_agents.sql.scratch import Database, scratch
from orchestrate_agents.tools.python import Python
from orchestrate_backend.targets.postgres import PostgresTarget
from orchestrate_backend.targets.supabase_setup import OWNER, as_user
from orchestrator.gates.checks import Services
from orchestrator.storage.atomic import sha256_file

#: records every change of a table's definition with whether row level security is on after it
_WATCH = """
CREATE SCHEMA load_watch;
CREATE TABLE load_watch.seen (place serial, name text, rls boolean);
CREATE FUNCTION load_watch.note() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  INSERT INTO load_watch.seen (name, rls)
  SELECT c.oid::regclass::text, c.relrowsecurity
    FROM pg_event_trigger_ddl_commands() d JOIN pg_class c ON c.oid = d.objid
   WHERE d.object_type = 'table';
END
$$;
CREATE EVENT TRIGGER load_watch ON ddl_command_end WHEN TAG IN ('ALTER TABLE')
  EXECUTE FUNCTION load_watch.note();
"""
_SWITCHED_OFF = """
SELECT DISTINCT s.name FROM load_watch.seen s
 WHERE NOT s.rls AND EXISTS
       (SELECT FROM load_watch.seen e WHERE e.name = s.name AND e.rls AND e.place < s.place)
 ORDER BY 1
"""
_TABLES = """
SELECT c.oid::regclass::text, c.relrowsecurity FROM pg_class c
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1
"""

_TAIL = 2000


@dataclass(frozen=True)
class LoadTrial:
    """What was seen of a first run, of a dry run, and of a second run."""

    #: how each run ended: exit code (None: stopped) and last words
    first: tuple[int | None, str]
    dry: tuple[int | None, str] | None = None
    second: tuple[int | None, str] | None = None
    #: the first run's own figures by table; None where it prints none
    figures: dict[str, dict[str, int]] | None = None
    #: rows that the database holds after the first run, by table
    rows: dict[str, int] = field(default_factory=dict)
    #: rows that the dry run and the second run wrote, by table
    dry_changed: dict[str, int] = field(default_factory=dict)
    second_changed: dict[str, int] = field(default_factory=dict)
    #: tables with rows and without row level security at the end, and those that lost it meanwhile
    open_tables: tuple[str, ...] = ()
    switched_off: tuple[str, ...] = ()
    #: the end of what a failed first run printed
    said: str = ""


def run_load_trial(
    services: Services, root: Path, script: str, python: Python, limit: float
) -> LoadTrial:
    """The trial of a script, run once for the bytes that it depends on; `limit` seconds per run."""
    files = (script, *closure(root, script))
    key = ("load-trial", *((path, sha256_file(root / path)) for path in files), python.identity)
    return services.remember(
        key, LoadTrial, lambda: _run_watched_trial(services, root, script, python, limit)
    )


def _run_watched_trial(
    services: Services, root: Path, script: str, python: Python, limit: float
) -> LoadTrial:
    with tree_copy(root) as copy, scratch(services).database() as database:
        _query_as_superuser(database, _WATCH)
        uri = as_user(database.uri, OWNER)
        target = PostgresTarget(uri)
        source = (copy / script).read_text(encoding="utf-8")

        def supported(*options: str) -> list[str]:
            return [option for option in options if f'"{option}"' in source]

        def run_loader(*options: str) -> Run:
            words = [*python.command, script, "--target", "postgres", *options]
            env = {**python.variables, "PYTHONPATH": python_path(copy), "DATABASE_URL": uri}
            return run(words, cwd=copy, env=env, limit=limit, apart_from=root)

        def run_and_count(*options: str) -> tuple[tuple[int | None, str], dict[str, int]]:
            """How it ended, and the rows that it wrote."""
            watch = RowWatch(target, [name for name, _ in _query_as_superuser(database, _TABLES)])
            ended = run_loader(*options)
            changed = {name: n for name, n in watch.changed().items() if n}
            return (ended.code, ended.ending), changed

        first = run_loader(*supported("--init", "--small", "--json"))
        if not first.ok:
            return LoadTrial((first.code, first.ending), said=first.text[-_TAIL:])
        rows = {name: target.count(name) for name, _ in _query_as_superuser(database, _TABLES)}
        dry: tuple[int | None, str] | None = None
        dry_changed: dict[str, int] = {}
        if supported("--dry-run"):
            dry, dry_changed = run_and_count(*supported("--dry-run", "--small"))
        second, second_changed = run_and_count(*supported("--small", "--json"))
        tables = dict(_query_as_superuser(database, _TABLES))
        target.close()
        return LoadTrial(
            first=(first.code, first.ending),
            dry=dry,
            second=second,
            figures=_read_figures(first.out),
            rows=rows,
            dry_changed=dry_changed,
            second_changed=second_changed,
            open_tables=tuple(n for n, rls in tables.items() if rows.get(n) and not rls),
            switched_off=tuple(n for (n,) in _query_as_superuser(database, _SWITCHED_OFF)),
        )


def _query_as_superuser(database: Database, sql: str) -> list[Any]:
    import psycopg

    with psycopg.connect(database.uri, autocommit=True) as admin:
        cursor = admin.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def _read_figures(out: str) -> dict[str, dict[str, int]] | None:
    """The last line that is a JSON object with tables."""
    for line in reversed(out.splitlines()):
        try:
            figures = json.loads(line)
        except ValueError:
            continue
        if isinstance(figures, Mapping) and isinstance(figures.get("tables"), Mapping):
            return {
                str(name): {k: int(v) for k, v in row.items()}
                for name, row in figures["tables"].items()
            }
    return None
