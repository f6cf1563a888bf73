"""What a database contains: a snapshot to compare, and its tables as data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

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
    """An index; a column is None if it is an expression."""

    name: str
    unique: bool
    primary: bool
    valid: bool
    partial: bool
    #: it has all rows, or leaves out only those without a value of its first column
    whole: bool
    nulls_not_distinct: bool
    #: checked row by row; ON CONFLICT takes no other
    immediate: bool
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

    def concerns(self, role: str, verb: str) -> bool:
        """Whether it is asked when the role does this."""
        return self.verb in ("ALL", verb) and bool({role, "public"} & set(self.roles))

    def conditions(self, verb: str) -> tuple[str, ...]:
        """What has to hold for a row before, and for a row after; all has to hold."""
        after = self.check or self.using
        parts = {"INSERT": (after,), "UPDATE": (self.using, after)}.get(verb, (self.using,))
        return tuple(part for part in parts if part is not None)


@dataclass(frozen=True)
class Relation:
    """A table (kind r, p) or view (v, m) as the server has it."""

    schema: str
    name: str
    kind: str
    #: its rows do not outlive a crash, or the session
    unlogged: bool
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

    def takes_upserts(self, key: tuple[str, ...]) -> bool:
        """Whether ON CONFLICT can name the key: it is not deferrable."""
        return any(i.immediate for i in self.indexes if i.unique and i.columns == key)

    def tells_apart(self, key: tuple[str, ...]) -> bool:
        """Whether no two rows can have the same values there, NULL included."""
        columns = [self.column(name) for name in key]
        if all(column is not None and column.not_null for column in columns):
            return True
        return any(i.nulls_not_distinct for i in self.indexes if i.unique and i.columns == key)


@cache
def query_text(name: str) -> str:
    """A query beside this module."""
    return (_HERE / name).read_text(encoding="utf-8")


def catalog_query() -> str:
    """The statement whose rows are a snapshot."""
    return query_text("catalog.sql")


def snapshot(connection: Any) -> Snapshot:
    """Everything in the schemas of users, in order."""
    rows = connection.execute(query_text("catalog.sql")).fetchall()
    return tuple((str(kind), str(name), str(definition)) for kind, name, definition in rows)


def difference(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """What two snapshots differ in, as `+ kind name definition` and `- …` lines."""
    gone, new = set(before) - set(after), set(after) - set(before)
    marked = [(*row, "-") for row in gone] + [(*row, "+") for row in new]
    lines = (f"{sign} {kind} {name} {text}" for kind, name, text, sign in sorted(marked))
    return tuple(line.rstrip() for line in lines)


def relations(connection: Any) -> tuple[Relation, ...]:
    """The tables and views of users."""
    (rows,) = connection.execute(query_text("relations.sql")).fetchone()
    return tuple(
        Relation(
            columns=tuple(RealColumn(**_freeze(c)) for c in row.pop("columns")),
            constraints=tuple(RealConstraint(**_freeze(c)) for c in row.pop("constraints")),
            indexes=tuple(RealIndex(**_freeze(i)) for i in row.pop("indexes")),
            policies=tuple(RealPolicy(**_freeze(p)) for p in row.pop("policies")),
            **row,
        )
        for row in rows
    )


def _freeze(item: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in item.items()}
