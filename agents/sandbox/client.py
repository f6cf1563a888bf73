"""Trials of seed scripts for checks: run twice on a database, what was sent and what it held."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from orchestrate_agents.sandbox.runs import Run, SparedCopy, bare_environment, kill_group
from orchestrate_agents.sql.scratch import Database, scratch
from orchestrator.errors import OrchestrateError
from orchestrator.gates.checks import Services

#: take long to import; imported once where the script's program names them
_SLOW = ("requests", "httpx", "supabase", "psycopg", "pandas", "numpy")
_LIMIT = 60.0

_TABLES = """
SELECT c.oid::regclass::text,
       array_agg(quote_ident(a.attname) ORDER BY a.attname)
         FILTER (WHERE d.adbin IS NULL OR t.typcategory <> 'D'
                    OR pg_get_expr(d.adbin, d.adrelid) !~ '\\(')
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
 GROUP BY c.oid ORDER BY 1
"""


class LabError(OrchestrateError):
    """The laboratory cannot be used."""

    code = "laboratory"


@dataclass(frozen=True)
class Visit:
    """One run of a script: how it ended, and what it wrote through the REST interface."""

    run: Run
    #: (table, rows) of every write, in order
    writes: tuple[tuple[str, list[dict[str, Any]]], ...]


@dataclass(frozen=True)
class Content:
    """What the tables hold: rows by table, and a digest of all but the server's clock."""

    rows: Mapping[str, int]
    digest: str


@dataclass(frozen=True)
class Trial:
    """A script's two runs on one database."""

    first: Visit
    second: Visit
    #: a third run, on emptied tables that refuse every write; None if the first added nothing
    refused: Visit | None
    #: before the first run, after it, and after the second
    before: Content
    after_first: Content
    after_second: Content

    @property
    def added(self) -> dict[str, int]:
        """Rows that the first run added, by table."""
        return {
            table: rows - self.before.rows.get(table, 0)
            for table, rows in self.after_first.rows.items()
            if rows != self.before.rows.get(table, 0)
        }


class Laboratory:
    """The process in which scripts run, kept for all trials of a session."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: subprocess.Popen[str] | None = None
        self._errors: IO[bytes] | None = None

    def run(
        self,
        script: str,
        *,
        cwd: Path,
        database: Database | None = None,
        arguments: Sequence[str] = (),
        libraries: Iterable[str] = (),
        limit: float = _LIMIT,
    ) -> Visit:
        """Run `script` (relative to `cwd`) as USER would, but against the laboratory.

        Raises LabError if the laboratory itself breaks.
        """
        from orchestrate_backend.targets.supabase_setup import OWNER, as_user

        order = {
            "script": script,
            "cwd": str(cwd),
            "arguments": list(arguments),
            "preload": [name for name in _SLOW if name in set(libraries)],
            "limit": limit,
            # the copy is thrown away: its second run may use what the first compiled
            "env": {
                **bare_environment(cwd),
                "PYTHONDONTWRITEBYTECODE": "",
                "PYTHONPATH": str(cwd),
            },
            "database": None if database is None else as_user(database.uri, OWNER),
        }
        with self._lock:
            answer = self._ask(order)
        command = (sys.executable, script, *arguments)
        ended = Run(command, answer["code"], answer["out"], answer["err"])
        return Visit(ended, tuple((table, rows) for table, rows in answer["writes"]))

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        server = self._server or self.start()
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            print(json.dumps(order), file=server.stdin, flush=True)
            answer: dict[str, Any] = json.loads(server.stdout.readline())
        except (OSError, ValueError) as exc:
            raise LabError(f"the laboratory for scripts stopped: {self._complaint()}") from exc
        return answer

    def start(self) -> subprocess.Popen[str]:
        """Start the process; it gets ready by itself."""
        # -P: a package `agents` of the workspace that we stand in is not ours
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._server = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", "orchestrate_agents.sandbox.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
            start_new_session=True,
        )
        return self._server

    def _complaint(self) -> str:
        """The last line that the process wrote before it stopped."""
        assert self._errors is not None
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").split("\n")
        self.close()
        return next((line for line in reversed(lines) if line.strip()), "it said nothing")

    def close(self) -> None:
        """Stop the process and all that it started."""
        if self._server is None or self._errors is None:
            return
        kill_group(self._server.pid)
        with self._server, self._errors:
            self._server = None


class Laboratories:
    """As many laboratories as there are processors to use, and a copy of the workspace for them."""

    def __init__(self, most: int | None = None) -> None:
        most = most or max(1, min(4, os.cpu_count() or 1))
        self._all = [Laboratory() for _ in range(most)]
        self._free: queue.LifoQueue[Laboratory] = queue.LifoQueue()
        self.spared = SparedCopy()
        for lab in self._all:
            # their processes get ready while the workspace is copied
            lab.start()
            self._free.put(lab)

    @contextmanager
    def one(self) -> Iterator[Laboratory]:
        """A free laboratory."""
        lab = self._free.get()
        try:
            yield lab
        finally:
            self._free.put(lab)

    def close(self) -> None:
        """Stop the processes, remove the copy."""
        for lab in self._all:
            lab.close()
        self.spared.close()


def laboratories(services: Services) -> Laboratories:
    """The laboratories that all checks of one session share."""
    shared: Laboratories = services.share("laboratories", Laboratories, Laboratories.close)
    return shared


def trial(
    services: Services, root: Path, script: str, *, schema: Sequence[str], libraries: Iterable[str]
) -> Trial:
    """Run the script on a disposable database with this schema: twice, and once where it may not
    write.

    Raises LabError if the schema cannot be made.
    """
    wanted, labs = tuple(libraries), laboratories(services)
    with (
        labs.spared.of(root) as copy,
        scratch(services).database() as database,
        labs.one() as lab,
    ):

        def visit() -> Visit:
            return lab.run(script, cwd=copy, database=database, libraries=wanted)

        make_schema(database, schema)
        before = content(database)
        first = visit()
        after_first = content(database)
        second = visit()
        after_second = content(database)
        refused = None
        if after_first != before:
            _refuse_writes(database)
            refused = visit()
        return Trial(first, second, refused, before, after_first, after_second)


def _refuse_writes(database: Database) -> None:
    """Empty the tables, and let nobody write from now on."""
    with database.connect() as owner:
        for table, _ in owner.execute(_TABLES).fetchall():
            owner.execute(f"TRUNCATE {table} CASCADE")
        owner.execute(f'ALTER DATABASE "{database.name}" SET default_transaction_read_only = on')


def make_schema(database: Database, schema: Sequence[str]) -> None:
    """Run the SQL texts in the database as its owner. Raises LabError naming what is refused."""
    import psycopg

    with database.connect() as owner:
        for text in schema:
            try:
                owner.execute(text.encode())
            except psycopg.Error as exc:
                reason = " ".join(str(exc).split())
                raise LabError(f"the tables that scripts fill cannot be made: {reason}") from exc


def content(database: Database) -> Content:
    """What the tables of schema `public` hold, generated ids included: a row that was deleted and
    inserted again is another one. Times that the server gives are left out."""
    from psycopg import sql

    rows: dict[str, int] = {}
    digest = hashlib.sha256()
    with database.connect() as owner:
        for table, columns in owner.execute(_TABLES).fetchall():
            listed = sql.SQL("ROW({})").format(sql.SQL(", ".join(columns or ["NULL"])))
            query = sql.SQL(
                "SELECT count(*), md5(string_agg(r, '|' ORDER BY r))"
                " FROM (SELECT {}::text AS r FROM {}) AS all_rows"
            )
            count, found = owner.execute(query.format(listed, sql.SQL(table))).fetchone()
            rows[table] = count
            digest.update(f"{table}:{count}:{found}\n".encode())
    return Content({table: n for table, n in rows.items() if n}, digest.hexdigest())
