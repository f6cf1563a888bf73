"""Prove a migration on the disposable server: run it twice, compare, probe who may do what."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrate_agents.sql.access_matrix import Cell, Planted, plant, probe
from orchestrate_agents.sql.apply import Failure, apply
from orchestrate_agents.sql.catalog import (
    Borrowed,
    Relation,
    Snapshot,
    borrowed,
    difference,
    relations,
    snapshot,
)
from orchestrate_agents.sql.existing_schema import Standing, overwritten
from orchestrate_agents.sql.lint import Lint, lint
from orchestrate_agents.sql.parse import Migration, SqlError, Table, parse_migration
from orchestrate_agents.sql.probe_rows import quoted
from orchestrate_agents.sql.scratch import Database, scratch
from orchestrate_backend.targets.supabase_setup import API_ROLES
from orchestrator.gates.checks import Services


@dataclass(frozen=True)
class Proof:
    """What running a migration showed."""

    sha256: str
    #: the schema that it ran on: "bare schema", or which earlier migrations stood there
    base: str
    first: Failure | None = None
    second: Failure | None = None
    #: the catalogue after the second run against that after the first; `+` and `-` lines
    diff: tuple[str, ...] = ()
    #: tables whose rows the second run changed, with how
    rows_changed: tuple[str, ...] = ()
    #: (table that it made or changed, rows in it after the first run)
    filled: tuple[tuple[str, int], ...] = ()
    #: objects really dropped, and tables really rewritten, in either run
    taken: tuple[str, ...] = ()
    #: `schema.table` and `schema.table.column` that were there before
    standing: tuple[str, ...] = ()
    #: what running it took from those, though nothing was dropped: values, privileges, defaults
    lessened: tuple[str, ...] = ()
    #: (table, mode) of the locks on tables that existed before
    locks: tuple[tuple[str, str], ...] = ()
    #: tables and views that it made or changed
    relations: tuple[Relation, ...] = ()
    #: tables that are not as the file declares them
    misshapen: tuple[str, ...] = ()
    matrix: tuple[Cell, ...] = ()
    #: functions that do with their owner's rights what policies refuse
    borrowed: tuple[Borrowed, ...] = ()
    #: (table, index, column) that the planner really reaches by an index
    indexed: frozenset[tuple[str, str, str]] = frozenset()
    catalogue: Snapshot = ()
    lint: tuple[Lint, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)

    @property
    def applied(self) -> bool:
        return self.first is None

    @property
    def applied_twice(self) -> bool:
        return self.first is None and self.second is None

    @property
    def catalogue_equal(self) -> bool:
        return self.applied_twice and not self.diff

    @property
    def tables(self) -> tuple[Relation, ...]:
        """The tables that it made or changed, without views."""
        return tuple(r for r in self.relations if r.is_table)

    def relation(self, name: str) -> Relation | None:
        """The table or view of that name, with or without its schema."""
        return next((r for r in self.relations if name in (r.name, r.qualified)), None)

    def cell(self, role: str, table: str, verb: str) -> Cell | None:
        """One cell of the matrix."""
        wanted = (role, table, verb)
        return next((c for c in self.matrix if (c.role, c.table, c.verb) == wanted), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for receipts and review pages."""
        grid: dict[str, dict[str, dict[str, str]]] = {}
        for cell in self.matrix:
            grid.setdefault(cell.table, {}).setdefault(cell.role, {})[cell.verb] = cell.access.value
        return {
            "sha256": self.sha256,
            "base": self.base,
            "applied": self.applied,
            "applied_twice": self.applied_twice,
            "catalogue_equal": self.catalogue_equal,
            "errors": [str(f) for f in (self.first, self.second) if f is not None],
            "diff": list(self.diff),
            "rows_changed": list(self.rows_changed),
            "taken": list(self.taken),
            "lessened": list(self.lessened),
            "locks": [f"{table}: {mode}" for table, mode in self.locks],
            "misshapen": list(self.misshapen),
            "tables": {r.qualified: _described(r) for r in self.relations},
            "matrix": grid,
            "borrowed": [f"{b.role} {b.does} by {b.function}()" for b in self.borrowed],
            "indexed": sorted(f"{t}.{c} by {i}" for t, i, c in self.indexed),
            "warnings": [str(w) for w in self.lint],
            "notes": list(self.notes),
        }


def _described(relation: Relation) -> dict[str, Any]:
    return {
        "kind": "table" if relation.is_table else "view",
        "rls": relation.rls,
        "columns": {c.name: c.type for c in relation.columns},
        "policies": [asdict(p) for p in relation.policies],
        "indexes": {i.name: [c or "(expression)" for c in i.columns] for i in relation.indexes},
        "unique": [list(key) for key in relation.unique_keys],
    }


def prove(text: str, services: Services, *, base: Mapping[str, str] | None = None) -> Proof:
    """Run a migration twice in a fresh database and say what came of it.

    `base` holds the SQL of earlier migrations by name, in order; what of it does not apply is
    left out and noted. One proof is made per text and base, and shared through `services`.
    """
    earlier = dict(base or {})
    key = ("sql.proof", _sha(text), tuple((n, _sha(s)) for n, s in earlier.items()))
    return services.remember(key, Proof, lambda: _prove(text, services, earlier))


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _prove(text: str, services: Services, base: Mapping[str, str]) -> Proof:
    began = time.monotonic()
    try:
        migration = parse_migration(text)
    except SqlError as error:
        failure = Failure(error.line or 1, error.message)
        return Proof(_sha(text), "not run", first=failure, lint=lint(text))
    with scratch(services).database() as database:
        facts = _run(database, migration, base)
    seconds = time.monotonic() - began
    return Proof(sha256=_sha(text), lint=lint(text), seconds=seconds, **facts)


def _run(database: Database, migration: Migration, base: Mapping[str, str]) -> dict[str, Any]:
    described, notes = _apply_base(database, base)
    with database.connect() as owner:
        standing = Standing(relations(owner), snapshot(owner))
    first, locks, skipped = apply(database, migration, standing.relations)
    facts: dict[str, Any] = {"base": described, "locks": locks, "notes": (*notes, *skipped)}
    facts["standing"] = standing.names
    if first is not None:
        return facts | {"first": first}
    with database.connect() as owner:
        after, present = snapshot(owner), relations(owner)
        facts["misshapen"] = _misshapen(owner, migration.tables, present)
    touched = tuple(r for r in present if _is_touched(r, standing.catalogue, after))
    with database.connect() as owner:
        filled = tuple((table, count) for table, (count, _) in _rows(owner, touched).items())
    facts |= {"relations": touched, "catalogue": after, "filled": filled}
    again, changed = _run_again(database, migration, standing, present, touched, after)
    lessened = (*standing.lessened(present, after), *changed)
    return facts | again | {"lessened": lessened}


def _run_again(
    database: Database,
    migration: Migration,
    standing: Standing,
    present: Sequence[Relation],
    touched: Sequence[Relation],
    after: Snapshot,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the second run showed, and which rows of standing tables it overwrote."""
    planted = plant(database, present)
    with database.connect() as owner:
        rows, old = _rows(owner, present), standing.rows(owner, present)
    second, _, _ = apply(database, migration, present)
    with database.connect() as owner:
        left = relations(owner)
        again, now = snapshot(owner), _rows(owner, left)
        changed = tuple(overwritten(old, standing.rows(owner, left)))
        taken = owner.execute("SELECT DISTINCT harm, object FROM proof_watch.seen ORDER BY 1, 2")
        facts: dict[str, Any] = {
            "second": second,
            "diff": difference(after, again),
            "rows_changed": _changed(rows, now),
            "taken": tuple(f"{harm} {name}" for harm, name in taken.fetchall()),
            "borrowed": borrowed(owner, API_ROLES[:2], touched),
            "indexed": frozenset(_indexed(owner, touched)),
        }
    facts["matrix"] = _matrix(database, present, touched, planted, now)
    return facts, changed


def _matrix(
    database: Database,
    present: Sequence[Relation],
    touched: Sequence[Relation],
    planted: Planted,
    rows: Mapping[str, tuple[int, str]],
) -> tuple[Cell, ...]:
    standing = {t: r for t, r in planted.items() if rows.get(t, (0, ""))[0]}
    alive = [r for r in present if r.qualified in rows or not r.is_table]
    planted = plant(database, alive, standing=standing, force=True)
    return probe(database, [r for r in touched if r in alive], planted)


def _is_touched(relation: Relation, before: Snapshot, after: Snapshot) -> bool:
    own = (relation.qualified, relation.qualified + ".")

    def rows(of: Snapshot) -> set[tuple[str, str, str]]:
        return {r for r in of if r[1] == own[0] or r[1].startswith(own[1])}

    return rows(before) != rows(after)


def _apply_base(database: Database, base: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    notes, applied = [], 0
    for name, text in base.items():
        try:
            failure, _, _ = apply(database, parse_migration(text), ())
        except SqlError as error:
            failure = Failure(error.line or 1, error.message)
        applied += failure is None
        if failure is not None:
            notes.append(f"{name} does not apply here: {failure}")
    if not base:
        return "bare schema", ()
    return f"bare schema and {applied} of {len(base)} earlier migrations", tuple(notes)


_DIGEST = "SELECT count(*), md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), ''))"


def _rows(owner: Any, present: Sequence[Relation]) -> dict[str, tuple[int, str]]:
    """Row count and digest by table."""
    out = {}
    for table in present:
        if table.is_table:
            cursor = owner.execute(f"{_DIGEST} FROM {quoted(table)} AS t", [])
            out[table.qualified] = cursor.fetchone()
    return out


def _changed(
    before: Mapping[str, tuple[int, str]], after: Mapping[str, tuple[int, str]]
) -> tuple[str, ...]:
    out = []
    for name, rows in before.items():
        now = after.get(name)
        if now is None:
            out.append(f"{name}: gone")
        elif now != rows:
            how = "values changed" if now[0] == rows[0] else f"{rows[0]} rows became {now[0]}"
            out.append(f"{name}: {how}")
    return tuple(out)


def _misshapen(
    owner: Any, declared: Sequence[Table], present: Sequence[Relation]
) -> tuple[str, ...]:
    """Where a table is not as declared: `IF NOT EXISTS` passed over another one."""
    out = []
    by_name = {r.qualified: r for r in present}
    for table in declared:
        relation = by_name.get(table.qualified)
        if relation is None:
            continue
        for column in table.columns:
            real = relation.column(column.name)
            if real is None:
                out.append(f"{table.qualified} has no column {column.name}")
                continue
            wanted = _real_type(owner, column.type)
            if wanted and wanted != real.type:
                out.append(f"{table.qualified}.{column.name} is {real.type}, not {wanted}")
            if column.not_null and not real.not_null:
                out.append(f"{table.qualified}.{column.name} may be null")
    return tuple(out)


def _real_type(owner: Any, declared: str) -> str:
    query = "SELECT format_type(to_regtype(%s), to_regtypemod(%s))"
    (found,) = owner.execute(query, [declared, declared]).fetchone()
    return "" if found in (None, "-") else str(found)


def _indexed(owner: Any, tables: Sequence[Relation]) -> Iterator[tuple[str, str, str]]:
    """Which columns the planner really reaches by an index, if it may not read the whole table."""
    import psycopg

    owner.execute("SET enable_seqscan = off")
    for table in tables:
        for index in table.indexes:
            names = [c for c in index.columns if c is not None]
            if not index.valid or index.partial or len(names) != len(index.columns):
                continue
            operator = "=" if index.method in ("btree", "hash") else "@>"
            try:
                plan = _plan(owner, table, names, operator)
            except psycopg.Error:
                continue
            conditions = " ".join(_conditions(plan))
            for name in names:
                if _mentions(conditions, name):
                    yield table.qualified, index.name, name


def _plan(owner: Any, table: Relation, names: Sequence[str], operator: str) -> Any:
    tests = " AND ".join(
        '"' + name.replace('"', '""') + f'" {operator} ${n}' for n, name in enumerate(names, 1)
    )
    relation = quoted(table).replace("%%", "%")
    query = f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) SELECT FROM {relation} WHERE {tests}"
    return owner.execute(query).fetchone()[0]


def _conditions(plan: Any) -> Iterator[str]:
    if isinstance(plan, list):
        for item in plan:
            yield from _conditions(item)
    elif isinstance(plan, dict):
        for key, value in plan.items():
            if key == "Index Cond":
                yield str(value)
            yield from _conditions(value)


def _mentions(conditions: str, name: str) -> bool:
    return f"({name} " in conditions or f'("{name}" ' in conditions or f"({name})" in conditions
