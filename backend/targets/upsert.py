"""Upserting rows in PostgreSQL: one statement a batch, and one row lost for one bad row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orchestrate_backend.targets.base import (
    Rejected,
    Row,
    Written,
    is_row_state,
    row_key,
    split_table,
)

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composed, Identifier


def table_identifier(table: str) -> Identifier:
    """The quoted, schema-qualified name."""
    from psycopg.sql import Identifier

    return Identifier(*split_table(table))


def upsert_batch(
    connection: Connection[Any],
    table: str,
    rows: Sequence[Row],
    key: tuple[str, ...],
    types: dict[str, str],
) -> Written:
    """One batch in one statement; if a row spoils it, row by row."""
    try:
        with connection.transaction():
            return _upsert_rows(connection, table, rows, key, types)
    except Exception as exc:
        if not is_row_fault(exc):
            raise
    done = Written()
    with connection.transaction():
        for row in rows:
            done += _upsert_one(connection, table, row, key, types)
    return done


def _upsert_one(
    connection: Connection[Any],
    table: str,
    row: Row,
    key: tuple[str, ...],
    types: dict[str, str],
) -> Written:
    """One row in a savepoint of its own."""
    try:
        with connection.transaction():
            return _upsert_rows(connection, table, [row], key, types)
    except Exception as exc:
        if not is_row_fault(exc):
            raise
        return Written(rejected=(Rejected(row_key(row, key), fault_text(exc)),))


def _upsert_rows(
    connection: Connection[Any],
    table: str,
    rows: Sequence[Row],
    key: tuple[str, ...],
    types: dict[str, str],
) -> Written:
    statement = upsert_statement(table, tuple(types), key, len(rows))
    values = [_adapt(row.get(name), kind) for row in rows for name, kind in types.items()]
    fresh = [row[0] for row in connection.execute(statement, values).fetchall()]
    inserted = sum(fresh)
    return Written(inserted, len(fresh) - inserted, len(rows) - len(fresh))


def upsert_statement(
    table: str, columns: tuple[str, ...], key: tuple[str, ...], rows: int
) -> Composed:
    """The INSERT of `rows` rows that returns, per row inserted (true) or updated (false), a value.

    A row that is there and says the same is neither written nor returned.
    """
    from psycopg.sql import SQL, Identifier

    row = SQL("({})").format(SQL(", ").join([SQL("%s")] * len(columns)))
    measures = [Identifier(c) for c in columns if c not in key]
    merged = [SQL("COALESCE(excluded.{0}, t.{0})").format(c) for c in measures]
    statement = SQL("INSERT INTO {} AS t ({}) VALUES {} ON CONFLICT ({}) ").format(
        table_identifier(table),
        SQL(", ").join(map(Identifier, columns)),
        SQL(", ").join([row] * rows),
        SQL(", ").join(map(Identifier, key)),
    )
    if not measures:
        return statement + SQL("DO NOTHING RETURNING true")
    change = SQL("DO UPDATE SET {} WHERE ({}) IS DISTINCT FROM ({}) RETURNING t.xmax = 0").format(
        SQL(", ").join(SQL("{} = {}").format(c, m) for c, m in zip(measures, merged, strict=True)),
        SQL(", ").join(SQL("t.{}").format(c) for c in measures),
        SQL(", ").join(merged),
    )
    return statement + change


def _adapt(value: Any, kind: str) -> Any:
    if value is not None and kind in {"json", "jsonb"}:
        from psycopg.types.json import Jsonb

        return Jsonb(value)
    return value


def is_transient(error: BaseException) -> bool:
    """Whether trying again can help: a lost connection, a deadlock, a server that starts up."""
    from psycopg import OperationalError, errors

    passing = (
        errors.SerializationFailure,
        errors.DeadlockDetected,
        errors.AdminShutdown,
        errors.CrashShutdown,
        errors.CannotConnectNow,
        errors.TooManyConnections,
    )
    lost = isinstance(error, OperationalError) and error.sqlstate is None
    return lost or isinstance(error, passing)


def is_row_fault(error: BaseException) -> bool:
    """Whether an error is about the values of a row, not about the table or the server."""
    from psycopg import Error

    if isinstance(error, UnicodeEncodeError):
        return True
    if not isinstance(error, Error) or is_transient(error):
        return False
    if error.sqlstate is None:  # refused by the client: a NUL character, a value of no type
        return True
    return is_row_state(error.sqlstate)


def fault_text(error: BaseException) -> str:
    """What the server said, in one line of bearable length."""
    diag = getattr(error, "diag", None)
    parts = [diag.message_primary, diag.message_detail] if diag and diag.message_primary else []
    text = "; ".join(part for part in parts if part) or str(error)
    return " ".join(text.split())[:300]
