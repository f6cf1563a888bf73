"""What stood in the database before a migration, and what running it did to that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrate_agents.sql.catalog import RealColumn, Relation, Snapshot
from orchestrate_agents.sql.probe_rows import quote, quoted

#: digests of a table's rows, over the columns that stood there before
Rows = Mapping[str, Counter[str]]

_PRIVILEGES = {
    "r": "SELECT",
    "a": "INSERT",
    "w": "UPDATE",
    "d": "DELETE",
    "D": "TRUNCATE",
    "x": "REFERENCES",
    "t": "TRIGGER",
    "U": "USAGE",
}


@dataclass(frozen=True)
class Standing:
    """The tables and views before the migration, and who had which privilege on them."""

    relations: tuple[Relation, ...]
    catalogue: Snapshot

    @property
    def names(self) -> tuple[str, ...]:
        """`schema.table` and `schema.table.column` of all."""
        tables = [r.qualified for r in self.relations]
        return (*tables, *(f"{r.qualified}.{c.name}" for r in self.relations for c in r.columns))

    def lessened(self, present: Sequence[Relation], catalogue: Snapshot) -> Iterator[str]:
        """Where somebody may do less, or a column takes other values, than before."""
        now = {r.qualified: r for r in present}
        rights = _rights(catalogue)
        for relation in self.relations:
            after = now.get(relation.qualified)
            if after is None:
                continue
            for column in relation.columns:
                yield from _narrowed(relation, column, after.column(column.name))
        for (table, role), privileges in _rights(self.catalogue).items():
            gone = privileges - rights.get((table, role), set())
            if gone and table in now:
                words = ", ".join(_PRIVILEGES[p] for p in sorted(gone))
                yield f"REVOKE {words} ON {table} FROM {role or 'PUBLIC'}"

    def rows(self, owner: Any, present: Sequence[Relation]) -> Rows:
        """The rows that stand in these tables now."""
        now = {r.qualified: r for r in present if r.is_table}
        return {
            r.qualified: _digests(owner, r, now[r.qualified])
            for r in self.relations
            if r.qualified in now
        }


def overwritten(before: Rows, after: Rows) -> Iterator[str]:
    """Tables whose rows are as many as before or more, and some of them other ones."""
    for table, rows in before.items():
        now = after.get(table)
        if now is not None and now.total() >= rows.total() and rows - now:
            yield f"UPDATE of {(rows - now).total()} of {rows.total()} rows of {table}"


def _narrowed(relation: Relation, before: RealColumn, after: RealColumn | None) -> Iterator[str]:
    if after is None:
        return
    name = f"{relation.qualified}.{before.name}"
    if after.not_null and not before.not_null:
        yield f"SET NOT NULL on {name}"
    if after.default != before.default:
        yield f"default of {name}: {after.default or 'none'} in place of {before.default or 'none'}"


def _rights(catalogue: Snapshot) -> dict[tuple[str, str], set[str]]:
    """Privileges by table and role, from access lists such as `anon=ar/owner`."""
    found: dict[tuple[str, str], set[str]] = {}
    for kind, name, text in catalogue:
        for entry in text.split() if kind == "grant" else ():
            role, _, letters = entry.rpartition("/")[0].rpartition("=")
            found[name, role.strip('"')] = set(letters) & _PRIVILEGES.keys()
    return found


def _digests(owner: Any, before: Relation, now: Relation) -> Counter[str]:
    columns = [quote(c.name) for c in before.columns if now.column(c.name) is not None]
    query = f"SELECT md5(ROW({', '.join(columns)})::text) FROM {quoted(now)}"  # noqa: S608
    return Counter(digest for (digest,) in owner.execute(query, []).fetchall())
