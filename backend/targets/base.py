"""What every database target offers, in the words of the data scripts (DESIGN 10)."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from orchestrate_backend.errors import TargetError

#: one row to write: column name → value; None means "not known", never "make it empty"
Row = Mapping[str, Any]


class Rejected(NamedTuple):
    """A row that the database did not take."""

    key: tuple[Any, ...]
    reason: str


@dataclass(frozen=True)
class Written:
    """What an upsert did, in rows."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: tuple[Rejected, ...] = ()

    @property
    def stored(self) -> int:
        """Rows of the input that the table now holds."""
        return self.inserted + self.updated + self.unchanged

    def __add__(self, other: Written) -> Written:
        return Written(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.rejected + other.rejected,
        )


@dataclass(frozen=True)
class TableColumn:
    """A column as the database's catalogue describes it."""

    name: str
    #: SQL type as PostgreSQL prints it ("text[]", "numeric")
    type: str
    nullable: bool
    #: default expression, or None
    default: str | None = None


class Target(Protocol):
    """A database that rows are written to. Connects on first use; `close()` lets go of it."""

    @property
    def name(self) -> str:
        """ "embedded", "postgres" or "supabase"."""
        ...

    @property
    def fingerprint(self) -> str:
        """Tells this database from every other one; holds no secret and needs no connection."""
        ...

    def identity(self) -> str:
        """As `fingerprint`, and where the server can be asked, its own identifier: another server
        behind the same name is another database.
        """
        ...

    def describe(self) -> str:
        """Host and database for people, without user, password or key."""
        ...

    def upsert(
        self, table: str, rows: Sequence[Row], key: tuple[str, ...], batch: int = 50
    ) -> Written:
        """Insert or update by natural key; None never replaces a value.

        A row that the database refuses costs that row alone. Raises TargetError where the table,
        a column or the unique key is missing, or the database cannot be reached.
        """
        ...

    def count(self, table: str) -> int:
        """Rows in the table. Raises TargetError if it is missing."""
        ...

    def columns(self, table: str) -> tuple[TableColumn, ...]:
        """The table's columns in order. Raises TargetError if it is missing."""
        ...

    def natural_key(self, table: str) -> tuple[str, ...] | None:
        """The columns of the unique key that is not a surrogate; None if none can be seen."""
        ...

    def apply_sql(self, text: str, source: str = "") -> None:
        """Run DDL as the owner, all or nothing. Raises TargetError with the line in `source`."""
        ...

    def query_readonly(self, sql: str) -> list[dict[str, Any]]:
        """The rows of one statement, run in a READ ONLY transaction."""
        ...

    def close(self) -> None:
        """Close the connection; the target may be used again."""
        ...


def split_table(table: str) -> tuple[str, str]:
    """Schema and name of `table` or `schema.table`; the schema is `public` unless given."""
    schema, dot, name = table.rpartition(".")
    if not name or "." in schema or (dot and not schema) or "\0" in table:
        raise TargetError(f"not a table name: {table!r}", code="table-name")
    return schema or "public", name


def table_missing(table: str, target: str) -> TargetError:
    """The error of a table that nobody has created yet."""
    return TargetError(
        f"table {table} does not exist on {target}",
        hint=f"apply the migration that creates {table} first",
        code="table-missing",
    )


def key_missing(table: str) -> TargetError:
    """The error of a table that an upsert cannot find its rows again in."""
    return TargetError(
        f"table {table} has no unique key on the columns that tell its rows apart",
        hint="apply the migration that gives it one; without it every run doubles the rows",
        code="key-missing",
    )


def column_missing(table: str, columns: Sequence[str], target: str) -> TargetError:
    """The error of a table that lacks columns that the rows give."""
    return TargetError(
        f"table {table} on {target} has no column {', '.join(columns)}",
        hint="the table is of another version: apply its migration",
        code="column-missing",
    )


def is_row_state(sqlstate: str) -> bool:
    """Whether an SQLSTATE is about the values of a row, not about the table or the server."""
    # 21000: two rows of one upsert are the same row to the database
    single = {"21000", "42804", "42846", "54000", "P0001"}
    return sqlstate[:2] in {"22", "23", "44"} or sqlstate in single


def target_fingerprint(name: str, *parts: object) -> str:
    """`name:` and a short digest of what tells the database apart."""
    digest = hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()
    return f"{name}:{digest[:16]}"


def hashable(value: Any) -> Hashable:
    """`value` in a form that can be compared and hashed (lists and mappings included)."""
    if isinstance(value, Mapping):
        return tuple(sorted((k, hashable(v)) for k, v in value.items()))
    if isinstance(value, list | tuple):
        return tuple(hashable(item) for item in value)
    return value  # type: ignore[no-any-return]


def row_key(row: Row, key: Sequence[str]) -> tuple[Any, ...]:
    """The row's values of the key columns; None for one that is not given."""
    return tuple(row.get(column) for column in key)


def without_repeats(rows: Sequence[Row], key: Sequence[str]) -> tuple[list[Row], Written]:
    """The rows with each key once, and the repeats that are rejected.

    A repeat that says the same is dropped. One that differs is rejected: were both written, each
    run would change the row to and fro.
    """
    first: dict[Hashable, Row] = {}
    rejected: list[Rejected] = []
    for row in rows:
        values = row_key(row, key)
        known = first.setdefault(hashable(values), row)
        if known is not row and hashable(dict(known)) != hashable(dict(row)):
            rejected.append(Rejected(values, "an earlier row has the same key and other values"))
    return list(first.values()), Written(rejected=tuple(rejected))


def batches(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    """`rows` in runs of at most `size`."""
    if size < 1:
        raise ValueError(f"a batch holds at least one row, not {size}")
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def given_columns(rows: Sequence[Row], key: Sequence[str]) -> tuple[str, ...]:
    """Every column that some row gives, key columns first."""
    seen = dict.fromkeys(key)
    for row in rows:
        seen.update(dict.fromkeys(row))
    return tuple(seen)
