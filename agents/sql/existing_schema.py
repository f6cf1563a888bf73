"""The database before a migration, and what running the migration did to that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrate_agents.sql.catalog import Relation, Snapshot
from orchestrate_agents.sql.probe_rows import quote, quoted

#: digests of a table's rows, over the columns that existed before
Rows = Mapping[str, Counter[str]]

#: by the letters of access lists
PRIVILEGES = {
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
class ExistingSchema:
    """The tables and views before the migration, and who had which privilege on them."""

    relations: tuple[Relation, ...]
    catalog: Snapshot

    @property
    def names(self) -> tuple[str, ...]:
        """`schema.table` and `schema.table.column` of all."""
        tables = [r.qualified for r in self.relations]
        return (*tables, *(f"{r.qualified}.{c.name}" for r in self.relations for c in r.columns))

    def restrictions(self, present: Sequence[Relation], catalog: Snapshot) -> Iterator[str]:
        """Where somebody may do less, or a column takes other values, than before."""
        now = {r.qualified: r for r in present}
        for relation in (r for r in self.relations if r.qualified in now):
            for before in relation.columns:
                after = now[relation.qualified].column(before.name)
                name = f"{relation.qualified}.{before.name}"
                if after is None:
                    continue
                if after.not_null and not before.not_null:
                    yield f"SET NOT NULL on {name}"
                if after.default != before.default:
                    old, new = before.default or "none", after.default or "none"
                    yield f"default of {name}: {new} in place of {old}"
        granted = _privileges(catalog)
        for (table, role), privileges in _privileges(self.catalog).items():
            gone = privileges - granted.get((table, role), set())
            if gone and table in now:
                words = ", ".join(PRIVILEGES[p] for p in sorted(gone))
                yield f"REVOKE {words} ON {table} FROM {role or 'PUBLIC'}"

    def rows(self, owner: Any, present: Sequence[Relation]) -> Rows:
        """The rows of these tables now."""
        now = {r.qualified: r for r in present if r.is_table}
        found = {}
        for before in self.relations:
            relation = now.get(before.qualified)
            if relation is None:
                continue
            names = [quote(c.name) for c in before.columns if relation.column(c.name) is not None]
            query = f"SELECT md5(ROW({', '.join(names)})::text) FROM {quoted(relation)}"  # noqa: S608
            found[before.qualified] = Counter(d for (d,) in owner.execute(query, []).fetchall())
        return found


def overwritten_rows(before: Rows, after: Rows) -> Iterator[str]:
    """Tables with as many rows as before or more, of which some are other ones."""
    for table, rows in before.items():
        now = after.get(table)
        if now is not None and now.total() >= rows.total() and rows - now:
            yield f"UPDATE of {(rows - now).total()} of {rows.total()} rows of {table}"


_DIGEST = "SELECT count(*), md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), ''))"


def rows_of(owner: Any, present: Sequence[Relation]) -> dict[str, tuple[int, str]]:
    """Row count and digest by table."""
    return {
        table.qualified: owner.execute(f"{_DIGEST} FROM {quoted(table)} AS t", []).fetchone()
        for table in present
        if table.is_table
    }


def row_changes(
    before: Mapping[str, tuple[int, str]], after: Mapping[str, tuple[int, str]]
) -> Iterator[str]:
    """How the rows of tables differ, table by table."""
    for name, rows in before.items():
        now = after.get(name)
        if now is None:
            yield f"{name}: gone"
        elif now != rows:
            how = "values changed" if now[0] == rows[0] else f"{rows[0]} rows became {now[0]}"
            yield f"{name}: {how}"


def _privileges(catalog: Snapshot) -> dict[tuple[str, str], set[str]]:
    """Privileges by table and role, from access lists such as `anon=ar/owner`."""
    found: dict[tuple[str, str], set[str]] = {}
    for kind, name, text in catalog:
        for entry in text.split() if kind == "grant" else ():
            role, _, letters = entry.rpartition("/")[0].rpartition("=")
            found[name, role.strip('"')] = set(letters) & PRIVILEGES.keys()
    return found
