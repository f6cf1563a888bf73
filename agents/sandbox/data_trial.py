"""A trial of a script that loads files: what arrives, what else it does, what a second run does.

The script runs three times on one scratch database: on the tables as the migrations leave them,
once more, and then among rows of others and with values where the file has none.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from orchestrate_agents.sandbox.client import create_schema, shared_sandboxes
from orchestrate_agents.sandbox.import_closure import closure
from orchestrate_agents.sandbox.runs import Run, tree_copy, tree_digest, walk
from orchestrate_agents.sandbox.statement_watch import Said, StatementWatch, beyond_loading
from orchestrate_agents.sql.access_matrix import plant
from orchestrate_agents.sql.arrivals import (
    Arrival,
    Column,
    columns_of,
    compare_arrival,
    keys_of,
    literal,
    place,
    rows_there,
)
from orchestrate_agents.sql.catalog import difference, relations, snapshot
from orchestrate_agents.sql.environment import HOSTED
from orchestrate_agents.sql.scratch import Database, scratch
from orchestrate_agents.tools.python import Python
from orchestrator.gates.checks import Services
from orchestrator.storage.atomic import sha256_bytes, sha256_file

#: rows of a table, each as text
Rows = Counter[str]
#: columns whose value the server takes from the clock
_CLOCK = re.compile(r"\b(?:now|current_\w+|clock_timestamp|localtime\w*|\w+_timestamp)\b", re.I)


@dataclass(frozen=True)
class Load:
    """A file and the table that it is loaded into."""

    path: str
    table: str
    header: tuple[str, ...]
    records: tuple[tuple[int, tuple[str, ...]], ...]


@dataclass(frozen=True)
class DataTrial:
    """What was seen of a script's three runs."""

    first: Run
    second: Run
    among_others: Run
    #: by file
    arrived: dict[str, Arrival]
    #: rows of other tables that the first run wrote or removed, by table
    elsewhere: dict[str, int]
    #: what the runs changed in the catalog
    catalog: tuple[str, ...]
    #: rows that the second run changed, by table
    again: dict[str, int]
    #: rows of others that the third run changed or removed, by table
    harmed: dict[str, int]
    #: columns that have a blank cell, and those in which it put null in the place of a value
    blanks: tuple[str, ...]
    nulled: tuple[str, ...]
    #: files of the workspace that it changed or removed
    rewritten: tuple[str, ...]
    #: rows that stood there with another value, and do so after the third run
    uncorrected: tuple[str, ...] = ()
    #: statements that do something else than to fill its tables
    beyond: tuple[str, ...] = ()


def run_data_trial(
    services: Services,
    root: Path,
    script: str,
    loads: Sequence[Load],
    schema: Sequence[str],
    python: Python,
    libraries: Callable[[], Collection[str]] = frozenset,
) -> DataTrial:
    """The trial of a script, once for the bytes of the workspace. Raises SandboxError.

    `libraries`: those that its program imports; its runs share the loading of slow ones.
    """
    key = (
        *("load-trial-of-files", script, tuple((load.path, load.table) for load in loads)),
        *(tree_digest(services, root), sha256_bytes("\0".join(schema).encode()), python.identity),
    )
    return services.remember(
        key,
        DataTrial,
        lambda: _run_trial(services, root, script, loads, schema, python, libraries()),
    )


def _run_trial(
    services: Services,
    root: Path,
    script: str,
    loads: Sequence[Load],
    schema: Sequence[str],
    python: Python,
    libraries: Collection[str],
) -> DataTrial:
    source = (root / script).read_text(encoding="utf-8", errors="replace")
    named = re.compile(r"[\"']--target[\"']")
    options = ["--target", "postgres"] if named.search(source) else []
    # what only the library that it imports has an option for is tried once, among rows of others
    further = [root / p for p in closure(root, script) if p.endswith(".py")]
    texts = (file.read_text(encoding="utf-8", errors="replace") for file in further)
    direct = ["--target", "postgres"] if any(map(named.search, texts)) else options
    with (
        tree_copy(root, board=True) as copy,
        scratch(services).database() as database,
        shared_sandboxes(services, python).acquire() as sandbox,
        _Observer(database) as seen,
    ):
        attempt = partial(sandbox.run, script, cwd=copy, database=database, libraries=libraries)

        def run(arguments: Sequence[str] = options) -> Run:
            watch.clear()
            ended = attempt(arguments=arguments).run
            said.extend(watch.heard())
            return ended

        create_schema(database, schema)
        watch, said = StatementWatch(seen.admin), list[Said]()
        files, catalog = _digests(copy), snapshot(seen.admin)
        standing = {load.table: seen.rows(load) for load in loads}
        before = seen.contents()
        first = run()
        after = seen.contents()
        arrived = {
            load.path: compare_arrival(
                seen.query, seen.query, load.table, load.header, load.records,
                standing=standing[load.table],
            )
            for load in loads
        }  # fmt: skip
        changed = difference(catalog, snapshot(seen.admin))
        second = run()
        again = seen.contents()
        blanks = [pair for load in loads for pair in seen.fill_blanks(load)]
        spoilt = [load for load in loads if seen.spoil(load)]
        others = seen.plant_others()
        nulls = {pair: seen.nulls(*pair) for pair in blanks}
        third = run(direct)
        left = seen.contents()
        return DataTrial(
            first,
            second,
            third,
            arrived,
            seen.not_by_trigger(_changes(before, after), [load.table for load in loads]),
            changed,
            _changes(after, again),
            {t: n for t, rows in others.items() if (n := (rows - left.get(t, Rows())).total())},
            tuple(f"{table}.{column}" for table, column in nulls),
            tuple(f"{t}.{c}" for (t, c), n in nulls.items() if seen.nulls(t, c) > n),
            tuple(_rewritten(files, _digests(copy))),
            tuple(
                f"{load.path}: {line}"
                for load in spoilt
                for line in compare_arrival(
                    seen.query, seen.query, load.table, load.header, load.records
                ).differing
            ),
            tuple(beyond_loading(said, [load.table for load in loads])),
        )


class _Observer:
    """Looks at a scratch database as its superuser."""

    def __init__(self, database: Database) -> None:
        import psycopg

        self._database = database
        self.admin = psycopg.connect(database.uri, autocommit=True)

    def __enter__(self) -> _Observer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.admin.close()

    def query(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a statement."""
        from psycopg.rows import dict_row

        with self.admin.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(sql.encode()).fetchall()

    def _columns(self, load: Load) -> tuple[Column, ...]:
        named = {name.strip().lower() for name in load.header}
        return tuple(c for c in columns_of(self.query, load.table) if c.name.lower() in named)

    def rows(self, load: Load) -> Counter[tuple[str | None, ...]]:
        """The rows of a table in the columns, and their order, of the file."""
        by_name = {c.name.lower(): c for c in self._columns(load)}
        names = [name.strip().lower() for name in load.header]
        if not all(name in by_name for name in names):
            return Counter()
        return rows_there(self.query, load.table, [by_name[name] for name in names])

    def contents(self) -> dict[str, Rows]:
        """All rows by table, without what the server takes from the clock."""
        found = {}
        for table in relations(self.admin):
            columns = [c for c in table.columns if not _CLOCK.search(c.default or "")]
            if table.is_table:
                listed = ", ".join(place(c.name) for c in columns)
                sql = f"SELECT ROW({listed})::text AS r FROM {place(table.qualified)}"  # noqa: S608
                found[table.qualified] = Counter(row["r"] for row in self.query(sql))
        return found

    def fill_blanks(self, load: Load) -> Iterator[tuple[str, str]]:
        """Put values where the loaded rows have none; (table, column) of each."""
        import psycopg

        for column in self._columns(load):
            table, name = place(load.table), place(column.name)
            if column.required or not self.nulls(load.table, column.name):
                continue
            other = "'kept'" if column.textual else "NULL"
            with contextlib.suppress(psycopg.Error):
                self.admin.execute(
                    f"UPDATE {table} SET {name} = coalesce((SELECT {name} FROM {table}"  # noqa: S608
                    f" WHERE {name} IS NOT NULL LIMIT 1), {other}) WHERE {name} IS NULL".encode()
                )
                yield load.table, column.name

    def spoil(self, load: Load) -> bool:
        """Give a loaded row another row's value in a column of no key; False if none can be."""
        import psycopg

        keys = {name for key in keys_of(self.query, load.table) for name in key}
        table = place(load.table)
        for name in (place(c.name) for c in self._columns(load) if keys and c.name not in keys):
            with contextlib.suppress(psycopg.Error):
                if self.admin.execute(
                    f"UPDATE {table} t SET {name} = o.{name} FROM {table} o"  # noqa: S608 - quoted
                    f" WHERE o.{name} <> t.{name} AND t.ctid = (SELECT a.ctid FROM {table} a"
                    f" JOIN {table} b ON a.{name} <> b.{name} LIMIT 1)".encode()
                ).rowcount:
                    return True
        return False

    def nulls(self, table: str, column: str) -> int:
        """Rows without a value in a column."""
        sql = f"SELECT FROM {place(table)} WHERE {place(column)} IS NULL"
        return len(self.query(sql))

    def plant_others(self) -> dict[str, Rows]:
        """Put rows of somebody else into every table; these rows by table."""
        before = self.contents()
        plant(self._database, [r for r in relations(self.admin) if r.schema not in HOSTED])
        return {
            table: new
            for table, rows in self.contents().items()
            if (new := rows - before.get(table, Rows()))
        }

    def not_by_trigger(self, changes: Mapping[str, int], loaded: Sequence[str]) -> dict[str, int]:
        """Changes in other tables than the loaded ones, but for what their triggers write."""
        named = ", ".join(f"to_regclass({literal(place(table))})" for table in loaded)
        bodies = self.query(
            "SELECT p.prosrc AS body FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"  # noqa: S608
            f" WHERE NOT t.tgisinternal AND t.tgrelid IN ({named})"
            " AND p.pronamespace <> 'proof_watch'::regnamespace"
        )
        written = {word for row in bodies for word in re.findall(r"\w+", row["body"])}
        own = {table if "." in table else f"public.{table}" for table in loaded}
        return {
            table: count
            for table, count in changes.items()
            if table not in own and table.rpartition(".")[2] not in written
        }


def _changes(before: Mapping[str, Rows], after: Mapping[str, Rows]) -> dict[str, int]:
    """Rows that are new or gone, by table."""
    found = {}
    for table in {*before, *after}:
        then, now = before.get(table, Rows()), after.get(table, Rows())
        if count := max((then - now).total(), (now - then).total()):
            found[table] = count
    return found


def _digests(tree: Path) -> dict[str, str]:
    left_out = frozenset({"__pycache__"})
    return {
        f"{below}{entry.name}": sha256_file(Path(entry.path))
        for below, files in walk(str(tree), left_out=left_out)
        for entry in files
    }


def _rewritten(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for path, sha in before.items():
        if after.get(path) != sha:
            yield path
