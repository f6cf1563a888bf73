"""What a database holds after a migration: a snapshot to compare, and its tables as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from agents.sql.parse import SqlError, tokens

_HERE = Path(__file__).parent

#: (kind, name, definition) of every object, in order
Snapshot = tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class RealColumn:
    """A column as the server has it."""

    name: str
    type: str
    #: the type under a domain, without its modifier
    base: str
    category: str
    not_null: bool
    default: str | None
    #: its value is always made by the server
    made: bool
    identity: bool
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class RealConstraint:
    """A constraint; `type` is pg_constraint's letter (p, u, f, c, n, x)."""

    name: str
    type: str
    definition: str
    expression: str | None
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]


@dataclass(frozen=True)
class RealIndex:
    """An index; a column is None where an expression stands."""

    name: str
    unique: bool
    primary: bool
    valid: bool
    partial: bool
    nulls_not_distinct: bool
    method: str
    columns: tuple[str | None, ...]


@dataclass(frozen=True)
class RealPolicy:
    """A row level security policy."""

    name: str
    permissive: bool
    #: ALL, SELECT, INSERT, UPDATE, DELETE
    verb: str
    roles: tuple[str, ...]
    using: str | None
    check: str | None


@dataclass(frozen=True)
class Relation:
    """A table (kind r, p) or view (v, m) as the server has it."""

    schema: str
    name: str
    kind: str
    rls: bool
    forced: bool
    columns: tuple[RealColumn, ...]
    constraints: tuple[RealConstraint, ...]
    indexes: tuple[RealIndex, ...]
    policies: tuple[RealPolicy, ...]

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def is_table(self) -> bool:
        return self.kind in "rp"

    def column(self, name: str) -> RealColumn | None:
        """The column of that name, or None."""
        return next((c for c in self.columns if c.name == name), None)

    @property
    def primary_key(self) -> tuple[str, ...]:
        return next((c.columns for c in self.constraints if c.type == "p"), ())

    @property
    def unique_keys(self) -> tuple[tuple[str, ...], ...]:
        """The columns of every usable unique index but the primary key's."""
        return tuple(
            tuple(c for c in i.columns if c is not None)
            for i in self.indexes
            if i.unique and i.valid and not i.primary and not i.partial and None not in i.columns
        )


@cache
def _query(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def snapshot(connection: Any) -> Snapshot:
    """Everything in the schemas of users, in order."""
    rows = connection.execute(_query("catalogue.sql")).fetchall()
    return tuple((str(kind), str(name), str(definition)) for kind, name, definition in rows)


def difference(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """What two snapshots differ in, as `+ kind name definition` and `- …` lines."""
    gone, new = set(before) - set(after), set(after) - set(before)
    marked = [(*row, "-") for row in gone] + [(*row, "+") for row in new]
    lines = (f"{sign} {kind} {name} {text}" for kind, name, text, sign in sorted(marked))
    return tuple(line.rstrip() for line in lines)


def relations(connection: Any) -> tuple[Relation, ...]:
    """The tables and views of users."""
    (rows,) = connection.execute(_query("relations.sql")).fetchone()
    return tuple(_relation(row) for row in rows)


_WRITING = {"INSERT", "UPDATE", "DELETE_P", "TRUNCATE", "MERGE", "EXECUTE"}


def borrowed_writes(connection: Any, roles: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(role, function) where calling a function lets a role write with the owner's rights."""
    rows = connection.execute(_query("functions.sql"), [list(roles)]).fetchall()
    return tuple((role, name) for role, name, body in rows if _writes(body))


def _writes(body: str) -> bool:
    try:
        return not _WRITING.isdisjoint(t.name for t in tokens(body))
    except SqlError:
        return True


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}


def _relation(row: Mapping[str, Any]) -> Relation:
    plain = {k: row[k] for k in ("schema", "name", "kind", "rls", "forced")}
    return Relation(
        **plain,
        columns=tuple(RealColumn(**_column(c)) for c in row["columns"]),
        constraints=tuple(RealConstraint(**_constraint(c)) for c in row["constraints"]),
        indexes=tuple(RealIndex(**_tuples(i)) for i in row["indexes"]),
        policies=tuple(RealPolicy(**_tuples(p)) for p in row["policies"]),
    )


def _column(row: Mapping[str, Any]) -> dict[str, Any]:
    return _tuples(row) | {"labels": tuple(row["labels"] or ())}


def _constraint(row: Mapping[str, Any]) -> dict[str, Any]:
    sides = {k: tuple(row[k] or ()) for k in ("columns", "target_columns")}
    return _tuples(row) | sides
