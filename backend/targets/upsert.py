"""Upserting in PostgreSQL: COPY into a staging table, then one statement for all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrate_backend.targets.attempts import RowFaultError, isolate
from orchestrate_backend.targets.base import is_row_state, split_table

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composed, Identifier

_STAGING = "upsert_staging"


@dataclass(frozen=True)
class Upsert:
    """Which rows go where; a row is a tuple of the columns' values."""

    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    #: the column, besides the key, that a stored row keeps
    surrogate: str | None = None
    #: whether a null replaces a value
    nulls_replace: bool = False


class Upserted(NamedTuple):
    """What an upsert did, in rows."""

    inserted: int
    updated: int
    unchanged: int
    #: position of each row that was refused, and the reason
    refused: dict[int, str]


def table_identifier(table: str) -> Identifier:
    """The quoted, schema-qualified name."""
    from psycopg.sql import Identifier

    return Identifier(*split_table(table))


def stored_texts(
    connection: Connection[Any], table: str, columns: Sequence[str], most: int
) -> set[tuple[str | None, ...]]:
    """At most `most` rows, as the server writes them in UTC and ISO."""
    from psycopg.sql import SQL, Identifier

    texts = SQL(", ").join(SQL("{}::text").format(Identifier(name)) for name in columns)
    with connection.transaction():
        connection.execute("SET LOCAL TIME ZONE 'UTC'; SET LOCAL DateStyle = 'ISO'")
        query = SQL("SELECT {} FROM {} LIMIT {}").format(texts, table_identifier(table), most)
        return set(connection.execute(query).fetchall())


def upsert_rows(
    connection: Connection[Any],
    upsert: Upsert,
    rows: Sequence[tuple[Any, ...]],
    *,
    fresh: bool = False,
) -> Upserted:
    """Write all rows that the database takes, in one transaction; no key may come twice.

    `fresh` rows are copied into the table itself; if one is refused, all are staged after all.
    """
    from psycopg.sql import SQL, Identifier

    statement = upsert_statement(upsert)
    staging = SQL(
        "DROP TABLE IF EXISTS pg_temp.{0}; "
        "CREATE TEMP TABLE {0} ON COMMIT DROP AS SELECT {1} FROM {2} WITH NO DATA"
    ).format(Identifier(_STAGING), _name_list(upsert.columns), table_identifier(upsert.table))

    def attempt(low: int, high: int) -> tuple[int, int, int]:
        try:
            with connection.transaction():
                inserted, updated = _merge(connection, statement, upsert.columns, rows[low:high])
        except Exception as exc:
            if _is_row_fault(exc):
                raise RowFaultError(fault_text(exc)) from exc
            raise
        return inserted, updated, high - low - inserted - updated

    with connection.transaction():
        if fresh and _takes_copy(connection, upsert.table):
            try:
                with connection.transaction():
                    _copy(connection, table_identifier(upsert.table), upsert.columns, rows)
                return Upserted(len(rows), 0, 0, {})
            except Exception as exc:
                if not _is_row_fault(exc):
                    raise
        connection.execute(staging)
        isolated = isolate(0, len(rows), attempt)
    inserted, updated, unchanged = (sum(n) for n in zip((0, 0, 0), *isolated.taken, strict=True))
    return Upserted(inserted, updated, unchanged, isolated.refused)


def _merge(
    connection: Connection[Any],
    statement: Composed,
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> tuple[int, int]:
    """Rows inserted and rows updated."""
    from psycopg.sql import SQL, Identifier

    staging = Identifier("pg_temp", _STAGING)
    _copy(connection, staging, columns, rows)
    counts = connection.execute(statement).fetchone()
    connection.execute(SQL("TRUNCATE {}").format(staging))
    inserted, updated = counts or (0, 0)
    return inserted, updated


def _copy(
    connection: Connection[Any],
    place: Identifier,
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    from psycopg.sql import SQL

    query = SQL("COPY {} ({}) FROM STDIN").format(place, _name_list(columns))
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for row in rows:
            copy.write_row(row)


def upsert_statement(upsert: Upsert) -> Composed:
    """The INSERT of all staged rows that counts the rows inserted and the rows updated.

    A row that is there and says the same is not written.
    """
    from psycopg.sql import SQL, Identifier

    kept = {*upsert.key, upsert.surrogate}
    measures = [Identifier(name) for name in upsert.columns if name not in kept]
    value = SQL("excluded.{0}" if upsert.nulls_replace else "COALESCE(excluded.{0}, t.{0})")
    action = (
        SQL("DO NOTHING")
        if not measures
        else SQL("DO UPDATE SET {} WHERE ({}) IS DISTINCT FROM ({})").format(
            SQL(", ").join(SQL("{} = {}").format(m, value.format(m)) for m in measures),
            SQL(", ").join(SQL("t.{}").format(m) for m in measures),
            SQL(", ").join(value.format(m) for m in measures),
        )
    )
    return SQL(
        "WITH written AS (INSERT INTO {} AS t ({}) SELECT {} FROM {} ON CONFLICT ({}) {} "
        "RETURNING t.xmax = 0 AS fresh) "
        "SELECT count(*) FILTER (WHERE fresh), count(*) FILTER (WHERE NOT fresh) FROM written"
    ).format(
        table_identifier(upsert.table),
        _name_list(upsert.columns),
        _name_list(upsert.columns),
        Identifier("pg_temp", _STAGING),
        _name_list(upsert.key),
        action,
    )


def _takes_copy(connection: Connection[Any], table: str) -> bool:
    """Whether COPY may write into the table: not where row level security looks at each row."""
    name = table_identifier(table).as_string(connection)
    row = connection.execute("SELECT row_security_active(%s)", (name,)).fetchone()
    return row == (False,)


def _name_list(names: Sequence[str]) -> Composed:
    from psycopg.sql import SQL, Identifier

    return SQL(", ").join(map(Identifier, names))


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


def _is_row_fault(error: BaseException) -> bool:
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
