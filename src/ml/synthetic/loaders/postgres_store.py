"""Loading into PostgreSQL: COPY into a staging table, then one upsert, as service_role."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from orchestrate_backend.errors import TargetError
from orchestrate_backend.targets.postgres import connect, parse_url, target_fault
from orchestrate_backend.targets.upsert import (
    fault_text,
    is_row_fault,
    is_transient,
    table_identifier,
)
from src.ml.synthetic.loaders.coerce import canonical_json
from src.ml.synthetic.loaders.isolate import RowFaultError, isolate
from src.ml.synthetic.loaders.retry import Retry
from src.ml.synthetic.loaders.stores import Outcome, Progress
from src.ml.synthetic.loaders.tables import Kind, Table

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composed

#: the role that the policies let write; row level security stays on for it
LOADER_ROLE = "service_role"
#: rows of one COPY
_COPY_ROWS = 20_000
_STAGING = "loader_staging"

_Rows = Sequence[tuple[Any, ...]]


class PostgresStore:
    """A database reached by a login that may act as service_role.

    A dry run does all of its work in one transaction and rolls it back.
    """

    def __init__(
        self, dsn: str, retry: Retry | None = None, *, batch: int = 1000, dry_run: bool = False
    ) -> None:
        parse_url(dsn)
        self._dsn = dsn
        self._retry = retry or Retry()
        self._rows = max(batch, _COPY_ROWS)
        self._dry_run = dry_run
        self._connection: Connection[Any] | None = None

    def write(self, table: Table, frame: pd.DataFrame, progress: Progress) -> Outcome:
        done = Outcome()
        names = tuple(frame.columns)
        rows = _rows(table, frame)
        for start in range(0, len(rows), self._rows):
            part = rows[start : start + self._rows]
            _add(
                done, self._run(partial(_upsert, table=table, names=names, rows=part), table), start
            )
            progress(len(part))
        return done

    def ids(self, table: Table, frame: pd.DataFrame) -> Sequence[Any]:
        return self._run(partial(_stored_ids, table=table, frame=frame), table)  # type: ignore[no-any-return]

    def close(self) -> None:
        if self._connection is not None:
            if self._dry_run and not self._connection.closed:
                self._connection.rollback()
            self._connection.close()
            self._connection = None

    def _run(self, work: Any, table: Table) -> Any:
        """`work` in a transaction; passing faults are retried on a new connection.

        A dry run is not: with its connection it loses what it wrote before.
        """
        from psycopg import Error

        try:
            if self._dry_run:
                return work(self._open())
            return self._retry(lambda: self._in_transaction(work), is_transient, self.close)
        except Error as exc:
            raise target_fault(exc, table.name, _place(self._dsn)) from exc

    def _in_transaction(self, work: Any) -> Any:
        connection = self._open()
        with connection.transaction():
            return work(connection)

    def _open(self) -> Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = acting_as(self._dsn, LOADER_ROLE)
            if self._dry_run:
                self._connection.autocommit = False
        return self._connection


def acting_as(dsn: str, role: str) -> Connection[Any]:
    """A connection in autocommit mode under a role of the API.

    Raises TargetError if the login may not take the role, psycopg.Error if nobody answers.
    """
    from psycopg import errors
    from psycopg.sql import SQL, Identifier

    connection = connect(dsn)
    try:
        connection.execute(SQL("SET ROLE {}").format(Identifier(role)))
    except (
        errors.InsufficientPrivilege,
        errors.UndefinedObject,
        errors.InvalidParameterValue,
    ) as e:
        connection.close()
        raise TargetError(
            f"{_place(dsn)}: this login may not act as {role}: {fault_text(e)}",
            hint=f"create the tables first, and GRANT {role} to the login",
            code="forbidden",
        ) from e
    claims = json.dumps({"role": role})
    connection.execute("SELECT set_config('request.jwt.claims', %s, false)", (claims,))
    return connection


def _place(dsn: str) -> str:
    """Host and database, without user or password."""
    parts = parse_url(dsn)
    return f"{parts.get('host') or 'localhost'}/{parts.get('dbname') or '(default)'}"


def _rows(table: Table, frame: pd.DataFrame) -> _Rows:
    """The frame's rows as COPY takes them."""
    columns = [
        frame[name].map(canonical_json) if table.column(name).kind is Kind.JSON else frame[name]
        for name in frame.columns
    ]
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _add(done: Outcome, part: Outcome, start: int) -> None:
    done.inserted += part.inserted
    done.updated += part.updated
    done.unchanged += part.unchanged
    done.refused |= {start + position: reason for position, reason in part.refused.items()}


def _upsert(
    connection: Connection[Any], *, table: Table, names: tuple[str, ...], rows: _Rows
) -> Outcome:
    """All rows that the database takes, in the open transaction."""
    connection.execute(_staging_statement(table, names))
    statement = upsert_statement(table, names)

    def attempt(low: int, high: int) -> tuple[int, int, int]:
        try:
            with connection.transaction():
                inserted, updated = _merge(connection, statement, names, rows[low:high])
        except Exception as exc:
            if _is_row_fault(exc):
                raise RowFaultError(fault_text(exc)) from exc
            raise
        return inserted, updated, high - low - inserted - updated

    isolated = isolate(0, len(rows), attempt)
    inserted, updated, unchanged = (sum(n) for n in zip((0, 0, 0), *isolated.taken, strict=True))
    return Outcome(inserted, updated, unchanged, isolated.refused)


def _is_row_fault(error: BaseException) -> bool:
    """Also of two rows that are one to the database (21000), though not to us."""
    return is_row_fault(error) or getattr(error, "sqlstate", None) == "21000"


def _staging_statement(table: Table, names: tuple[str, ...]) -> Composed:
    from psycopg.sql import SQL, Identifier

    return SQL(
        "DROP TABLE IF EXISTS pg_temp.{0}; "
        "CREATE TEMP TABLE {0} ON COMMIT DROP AS SELECT {1} FROM {2} WITH NO DATA"
    ).format(
        Identifier(_STAGING), SQL(", ").join(map(Identifier, names)), table_identifier(table.name)
    )


def _merge(
    connection: Connection[Any], statement: Composed, names: tuple[str, ...], rows: _Rows
) -> tuple[int, int]:
    """Rows inserted and rows updated."""
    from psycopg.sql import SQL, Identifier

    staging = Identifier("pg_temp", _STAGING)
    columns = SQL(", ").join(map(Identifier, names))
    with connection.cursor() as cursor:
        with cursor.copy(SQL("COPY {} ({}) FROM STDIN").format(staging, columns)) as copy:
            for row in rows:
                copy.write_row(row)
        counts = cursor.execute(statement).fetchone()
        cursor.execute(SQL("TRUNCATE {}").format(staging))
    inserted, updated = counts or (0, 0)
    return inserted, updated


def upsert_statement(table: Table, names: tuple[str, ...]) -> Composed:
    """The INSERT of all staged rows that counts the rows inserted and the rows updated.

    A row that is there and says the same is not written; a stored surrogate stays.
    """
    from psycopg.sql import SQL, Identifier

    measures = [Identifier(n) for n in names if n not in table.key and n != table.surrogate]
    columns = SQL(", ").join(map(Identifier, names))
    action = (
        SQL("DO NOTHING")
        if not measures
        else SQL("DO UPDATE SET {} WHERE ({}) IS DISTINCT FROM ({})").format(
            SQL(", ").join(SQL("{0} = excluded.{0}").format(m) for m in measures),
            SQL(", ").join(SQL("t.{}").format(m) for m in measures),
            SQL(", ").join(SQL("excluded.{}").format(m) for m in measures),
        )
    )
    return SQL(
        "WITH written AS (INSERT INTO {} AS t ({}) SELECT {} FROM {} ON CONFLICT ({}) {} "
        "RETURNING t.xmax = 0 AS fresh) "
        "SELECT count(*) FILTER (WHERE fresh), count(*) FILTER (WHERE NOT fresh) FROM written"
    ).format(
        table_identifier(table.name),
        columns,
        columns,
        Identifier("pg_temp", _STAGING),
        SQL(", ").join(map(Identifier, table.key)),
        action,
    )


def _stored_ids(connection: Connection[Any], *, table: Table, frame: pd.DataFrame) -> list[Any]:
    from psycopg.sql import SQL, Identifier

    names = [table.surrogate or "", *table.key]
    query = SQL("SELECT {} FROM {}").format(
        SQL(", ").join(SQL("{}::text").format(Identifier(name)) for name in names),
        table_identifier(table.name),
    )
    stored = {tuple(key): found for found, *key in connection.execute(query)}
    return [stored.get(key) for key in frame[list(table.key)].itertuples(index=False, name=None)]
