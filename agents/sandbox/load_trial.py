"""A trial of a load script: run on a disposable server, watched from the server's side.

A load script takes `--target postgres` with `DATABASE_URL`, and `--json` for its figures: a last
line `{"tables": {name: {"rows": n, "loaded": n, "failed": n}}}`. Where its text knows them it gets
`--init` (make missing tables), `--small` and `--dry-run` too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrate_agents.sandbox.import_closure import closure
from orchestrate_agents.sandbox.row_changes import RowWatch
from orchestrate_agents.sandbox.runs import Run, run, tree_copy
from orchestrate_agents.sql.scratch import Database, scratch
from orchestrate_backend.targets.postgres import PostgresTarget
from orchestrate_backend.targets.supabase_setup import OWNER, as_user
from orchestrator.gates.checks import Services
from orchestrator.storage.atomic import sha256_file

#: notes every change of a table's definition with whether row level security is on after it
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


@dataclass(frozen=True)
class LoadTrial:
    """What was seen of a first run, of a dry run, and of a second run."""

    #: how each run ended: exit code (None: stopped) and last words
    first: tuple[int | None, str]
    dry: tuple[int | None, str] | None = None
    second: tuple[int | None, str] | None = None
    #: the first run's own figures by table; None where it has none
    figures: dict[str, dict[str, int]] | None = None
    #: rows that the database holds after the first run, by table
    rows: dict[str, int] = field(default_factory=dict)
    #: rows that the dry run and the second run wrote, by table
    dry_changed: dict[str, int] = field(default_factory=dict)
    second_changed: dict[str, int] = field(default_factory=dict)
    #: tables with rows and without row level security at the end, and those that lost it between
    open_tables: tuple[str, ...] = ()
    switched_off: tuple[str, ...] = ()


def load_trial(services: Services, root: Path, script: str, limit: float) -> LoadTrial:
    """The trial of a script, made once for the bytes that it takes in."""
    files = (script, *closure(root, script))
    key = ("load-trial", *((path, sha256_file(root / path)) for path in files), sys.version)
    return services.remember(key, LoadTrial, lambda: _tried(services, root, script, limit))


def _tried(services: Services, root: Path, script: str, limit: float) -> LoadTrial:
    with tree_copy(root) as copy, scratch(services).database() as database:
        _as_superuser(database, _WATCH)
        trial = _Runner(copy, script, database, limit)
        first = trial.run(*trial.known("--init", "--small", "--json"))
        if not first.ok:
            return LoadTrial(_ending(first))
        rows = {name: trial.target.count(name) for name, _ in _tables(database)}
        dry: Run | None = None
        dry_changed: dict[str, int] = {}
        if trial.known("--dry-run"):
            dry, dry_changed = trial.watched(*trial.known("--dry-run", "--small"))
        second, changed = trial.watched(*trial.known("--small", "--json"))
        tables = dict(_tables(database))
        open_tables = tuple(n for n, rls in tables.items() if rows.get(n) and not rls)
        off = tuple(name for (name,) in _as_superuser(database, _SWITCHED_OFF))
        trial.target.close()
    return LoadTrial(
        _ending(first),
        None if dry is None else _ending(dry),
        _ending(second),
        _figures(first.out),
        rows,
        dry_changed,
        changed,
        open_tables,
        off,
    )


class _Runner:
    """Runs one script on one database."""

    def __init__(self, tree: Path, script: str, database: Database, limit: float) -> None:
        self.tree, self.script, self.limit = tree, script, limit
        self.uri = as_user(database.uri, OWNER)
        self.target = PostgresTarget(self.uri)
        self.database = database
        self.source = (tree / script).read_text(encoding="utf-8")

    def known(self, *options: str) -> list[str]:
        """Those of the options that the script's text knows."""
        return [option for option in options if f'"{option}"' in self.source]

    def run(self, *options: str) -> Run:
        words = [sys.executable, self.script, "--target", "postgres", *options]
        env = {"PYTHONPATH": str(self.tree), "DATABASE_URL": self.uri}
        return run(words, cwd=self.tree, env=env, limit=self.limit)

    def watched(self, *options: str) -> tuple[Run, dict[str, int]]:
        """A run, and the rows that it wrote."""
        watch = RowWatch(self.target, [name for name, _ in _tables(self.database)])
        ended = self.run(*options)
        return ended, {name: n for name, n in watch.changed().items() if n}


def _ending(ended: Run) -> tuple[int | None, str]:
    return ended.code, ended.ending


def _tables(database: Database) -> Sequence[tuple[str, bool]]:
    return _as_superuser(database, _TABLES)


def _as_superuser(database: Database, sql: str) -> list[Any]:
    import psycopg

    with psycopg.connect(database.uri, autocommit=True) as admin:
        cursor = admin.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def _figures(out: str) -> dict[str, dict[str, int]] | None:
    """The last line that is a JSON object with tables."""
    for line in reversed(out.splitlines()):
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, Mapping) and isinstance(told.get("tables"), Mapping):
            return {
                str(name): {k: int(v) for k, v in row.items()}
                for name, row in told["tables"].items()
            }
    return None
