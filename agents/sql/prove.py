"""Prove a migration on the disposable server: run it twice, compare, probe who may do what."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from orchestrate_agents.sql.access_matrix import Access, Cell, plant
from orchestrate_agents.sql.access_probe import access_of
from orchestrate_agents.sql.apply import Failure, apply
from orchestrate_agents.sql.catalog import (
    Relation,
    Snapshot,
    difference,
    relations,
    snapshot,
)
from orchestrate_agents.sql.environment import HOSTED, STANDING
from orchestrate_agents.sql.existing_schema import (
    ExistingSchema,
    overwritten_rows,
    row_changes,
    rows_of,
)
from orchestrate_agents.sql.lint import Lint, lint
from orchestrate_agents.sql.openings import Opening, opened_by, openings, written_openings
from orchestrate_agents.sql.parse import Migration, SqlError, Table, parse_migration
from orchestrate_agents.sql.prerequisites import needs_of
from orchestrate_agents.sql.probe_rows import quoted
from orchestrate_agents.sql.reach import RlsBypass, rls_bypasses
from orchestrate_agents.sql.request_probes import ByRequest
from orchestrate_agents.sql.scratch import Database, scratch
from orchestrate_agents.sql.steady import Questions
from orchestrate_agents.sql.unmet import left_open, not_run, would_do
from orchestrate_backend.targets.supabase_setup import API_ROLES
from orchestrator.gates.checks import Services

#: an option is kept as it was written
_INVOKED = re.compile(r"\bsecurity_invoker=(?:t(?:r(?:ue?)?)?|on|y(?:es?)?|1)(?!\w)", re.IGNORECASE)


@dataclass(frozen=True)
class Proof:
    """What running a migration showed."""

    sha256: str
    #: the schema that it ran on: "bare schema", or with how many earlier migrations
    base: str
    first: Failure | None = None
    second: Failure | None = None
    #: the catalog after the second run against that after the first; `+` and `-` lines
    diff: tuple[str, ...] = ()
    #: tables whose rows the second run changed, with how
    rows_changed: tuple[str, ...] = ()
    #: (table that it made or changed, rows in it after the first run)
    filled: tuple[tuple[str, int], ...] = ()
    #: objects really dropped, and tables really rewritten, in either run
    taken: tuple[str, ...] = ()
    #: `schema.table` and `schema.table.column` that existed before
    existing: tuple[str, ...] = ()
    #: what it did to those without a drop: values overwritten, privileges or defaults lost
    lessened: tuple[str, ...] = ()
    #: (table, mode) of the locks on tables that existed before
    locks: tuple[tuple[str, str], ...] = ()
    #: tables and views that it made or changed
    relations: tuple[Relation, ...] = ()
    #: where it touches no table: those that stand there, probed in their place
    standing: tuple[Relation, ...] = ()
    #: tables that are not as the file declares them
    misshapen: tuple[str, ...] = ()
    matrix: tuple[Cell, ...] = ()
    #: what policies let through besides, for requests that fulfil what they ask
    by_request: tuple[ByRequest, ...] = ()
    #: functions that do with their owner's rights what policies refuse
    rls_bypasses: tuple[RlsBypass, ...] = ()
    #: what gives somebody access beside that
    opened: tuple[Opening, ...] = ()
    #: (table, index, column) that the planner really reaches by an index
    indexed: frozenset[tuple[str, str, str]] = frozenset()
    catalog: Snapshot = ()
    lint: tuple[Lint, ...] = ()
    notes: tuple[str, ...] = ()
    #: extensions that it makes, and that the server it ran on does not have
    lacks: tuple[str, ...] = ()
    #: why nothing that was seen says anything of the migration: what the server lacks, or an
    #: earlier migration that it builds on and that could not be applied
    blocked: str = ""
    #: why it may do something else on a target, so that nothing good that was seen counts
    open: str = ""
    #: how the catalog would differ if the conditions of branches were met that did not run here
    unmet: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)

    @property
    def applied(self) -> bool:
        return self.first is None

    @property
    def applied_twice(self) -> bool:
        return self.first is None and self.second is None

    @property
    def catalog_equal(self) -> bool:
        return self.applied_twice and not self.diff

    @property
    def tables(self) -> tuple[Relation, ...]:
        """The tables that it made or changed, without views and Supabase's own."""
        return tuple(r for r in self.relations if r.is_table and r.schema not in HOSTED)

    @property
    def only_published_again(self) -> bool:
        """Whether a second run stops only for want of IF NOT EXISTS in ALTER PUBLICATION."""
        again = self.second is not None and self.second.code == "42710"
        return again and "member of publication" in str(self.second) and not self.misshapen

    @property
    def invoked(self) -> frozenset[str]:
        """The views that run with the rights of who asks them, by qualified name."""
        views = (entry for entry in self.catalog if entry[0] == "view")
        return frozenset(name for _, name, text in views if _INVOKED.search(text))

    def relation(self, name: str) -> Relation | None:
        """The table or view of that name, with or without its schema."""
        return next((r for r in self.relations if name in (r.name, r.qualified)), None)

    @property
    def errors(self) -> tuple[str, ...]:
        """What the server raises, whatever the rows are, when a role of the API asks a table."""
        found: dict[tuple[str, str], list[str]] = {}
        for cell in self.matrix:
            # a function may refuse by raising an error of its own
            if cell.access is Access.ERROR and "(P0001)" not in cell.detail:
                found.setdefault((cell.table, cell.detail), []).append(f"{cell.role} {cell.verb}")
        return tuple(f"{t}: {words}, for {', '.join(who)}" for (t, words), who in found.items())

    def cell(self, role: str, table: str, verb: str) -> Cell | None:
        """One cell of the matrix."""
        wanted = (role, table, verb)
        return next((c for c in self.matrix if (c.role, c.table, c.verb) == wanted), None)

    def rerun_problem(self) -> str:
        """Why the migration cannot be run again without a change, or ""."""
        if self.misshapen:
            return "it passes over a table of another shape: " + _first_few(self.misshapen)
        if self.second is not None:
            return f"the second run stops at {self.second}"
        if self.diff:
            return "the second run changes the catalog: " + _first_few(self.diff)
        if self.rows_changed:
            return "the second run changes rows: " + _first_few(self.rows_changed)
        return ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for receipts and review pages."""
        grid: dict[str, dict[str, dict[str, str]]] = {}
        for cell in self.matrix:
            grid.setdefault(cell.table, {}).setdefault(cell.role, {})[cell.verb] = cell.summary
        described = {
            r.qualified: {
                "kind": "table" if r.is_table else "view",
                "rls": r.rls,
                "columns": {c.name: c.type for c in r.columns},
                "policies": [asdict(p) for p in r.policies],
                "indexes": {i.name: [c or "(expression)" for c in i.columns] for i in r.indexes},
                "unique": [list(key) for key in r.unique_keys],
            }
            for r in self.relations
        }
        return {
            "sha256": self.sha256,
            "base": self.base,
            "applied": self.applied,
            "applied_twice": self.applied_twice,
            "catalogue_equal": self.catalog_equal,
            "errors": [str(f) for f in (self.first, self.second) if f is not None],
            "diff": list(self.diff),
            "rows_changed": list(self.rows_changed),
            "taken": list(self.taken),
            "lessened": list(self.lessened),
            "locks": [f"{table}: {mode}" for table, mode in self.locks],
            "misshapen": list(self.misshapen),
            "tables": described,
            "matrix": grid,
            "borrowed": [f"{b.role} {b.does} by {b.function}()" for b in self.rls_bypasses],
            "opened": [str(o) for o in self.opened],
            "indexed": sorted(f"{t}.{c} by {i}" for t, i, c in self.indexed),
            "warnings": [str(w) for w in self.lint],
            "notes": list(self.notes),
        }


def _first_few(items: Sequence[str], limit: int = 5) -> str:
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return "; ".join(items[:limit]) + more


def prove(text: str, services: Services, *, base: Mapping[str, str] | None = None) -> Proof:
    """Run a migration twice in a fresh database and say what it did.

    `base` holds the SQL of earlier migrations by name, in order; one that does not apply is left
    out and noted. One proof is made per text and base, and shared through `services`.
    """
    before = dict(base or {})
    key = ("sql.proof", _sha(text), tuple((name, _sha(sql)) for name, sql in before.items()))

    def run() -> Proof:
        began = time.monotonic()
        try:
            migration = parse_migration(text)
        except SqlError as error:
            failure = Failure(error.line or 1, error.message)
            return Proof(_sha(text), "not run", first=failure, lint=lint(text))
        with scratch(services).database() as database:
            facts = _run(database, migration, before)
        if branches := facts.pop("not_run", None):
            with scratch(services).database() as database:
                apply_base(database, before)
                own = Questions(migration, before).acting
                done = would_do(database, migration, facts["catalog"], branches, own)
            facts["unmet"] = done
        seconds = time.monotonic() - began
        return Proof(sha256=_sha(text), lint=lint(text), seconds=seconds, **facts)

    return services.remember(key, Proof, run)


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _run(database: Database, migration: Migration, base: Mapping[str, str]) -> dict[str, Any]:
    before = apply_base(database, base)
    with database.connect() as owner:
        existing = ExistingSchema(relations(owner), snapshot(owner))
        mutable = owner.execute(_MUTABLE).fetchone()[0]
        opened = openings(owner)
        lent = set(rls_bypasses(owner, API_ROLES[:2], existing.relations))
    asked = Questions(migration, base, existing.names, frozenset(mutable))
    first = apply(database, migration, existing.relations, asked.acting)
    skipped = (f"extension {name} is not at hand and was left out" for name in first.left_out)
    facts: dict[str, Any] = {
        "base": before.described,
        "locks": first.locks,
        "notes": (*before.notes, *skipped),
        "lacks": tuple(name for name in first.left_out if name not in STANDING),
        "existing": existing.names,
        "blocked": before.blocks(migration, first.failure),
    }
    if first.failure is not None:
        return facts | {"first": first.failure, "opened": tuple(written_openings(migration.text))}
    with database.connect() as owner:
        after, present = snapshot(owner), relations(owner)
        opened_now = opened_by(migration.text, opened, openings(owner), existing.catalog)
        touched = tuple(r for r in present if _is_touched(r, existing.catalog, after))
        facts |= {
            "relations": touched,
            "catalog": after,
            "opened": opened_now,
            "filled": tuple((name, count) for name, (count, _) in rows_of(owner, touched).items()),
            "misshapen": tuple(_wrong_shapes(owner, migration.tables, present)),
        }
    planted = plant(database, present)
    with database.connect() as owner:
        rows, old = rows_of(owner, present), existing.rows(owner, present)
    again = apply(database, migration, present, asked.acting)
    second = again.failure
    with database.connect() as owner:
        left = relations(owner)
        now = rows_of(owner, left)
        seen = owner.execute("SELECT DISTINCT harm, object FROM proof_watch.seen ORDER BY 1, 2")
        overwritten = overwritten_rows(old, existing.rows(owner, left))
        facts |= {
            "second": second,
            "blocked": facts["blocked"] or _gap(second),
            "open": _first_few(
                [*left_open(replace(asked, made=_made(existing.catalog, after)), first, again)], 2
            ),
            "not_run": not_run(first, again),
            "diff": difference(after, snapshot(owner)),
            "rows_changed": tuple(row_changes(rows, now)),
            "taken": tuple(f"{harm} {name}" for harm, name in seen.fetchall()),
            "lessened": (*existing.restrictions(present, after), *overwritten),
            "indexed": frozenset(_reached_by_index(owner, touched)),
        }
    kept = {table: rows for table, rows in planted.items() if now.get(table, (0, ""))[0]}
    alive = [r for r in present if r.qualified in now or not r.is_table]
    return facts | access_of(database, [r for r in touched if r in alive], alive, kept, lent)


#: functions that may say something else on another server
_MUTABLE = (
    "SELECT array_agg(DISTINCT proname::text) FROM pg_proc"
    " WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile <> 'i'"
)


def _made(before: Snapshot, after: Snapshot) -> frozenset[str]:
    """The names of what was not there before."""
    return frozenset(name for _, name, _ in after) - {name for _, name, _ in before}


def _gap(failure: Failure | None) -> str:
    return f"{failure.gap} ({failure})" if failure is not None and failure.gap else ""


@dataclass(frozen=True)
class _Base:
    """The earlier migrations as far as they could be applied."""

    described: str = "bare schema"
    #: by name, in order: why a file could not be applied, and what it makes or changes
    broken: tuple[tuple[str, Failure, frozenset[str]], ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(f"{name} does not apply here: {why}" for name, why, _ in self.broken)

    def blocks(self, migration: Migration, failure: Failure | None) -> str:
        """Why the run of a migration on top of this says nothing of it, or ""."""
        if lacking := _gap(failure):
            return lacking
        needs = set(needs_of(migration).tables)
        for (name, why, tables), note in zip(self.broken, self.notes, strict=True):
            if failure is not None or needs & tables:
                reason = f" ({why.gap})" if why.gap else ""
                return f"{note}{reason}, so what builds on {name} cannot be judged"
        return ""


def apply_base(database: Database, base: Mapping[str, str]) -> _Base:
    """Run the earlier migrations, each as a whole or not at all."""
    if not base:
        return _Base()
    broken = []
    for name, text in base.items():
        try:
            migration = parse_migration(text)
        except SqlError as error:
            broken.append((name, Failure(error.line or 1, error.message), frozenset[str]()))
            continue
        failure = apply(database, migration).failure
        if failure is not None:
            tables = {t.qualified for t in migration.tables} | set(needs_of(migration).tables)
            broken.append((name, failure, frozenset(tables)))
    applied = len(base) - len(broken)
    return _Base(f"bare schema and {applied} of {len(base)} earlier migrations", tuple(broken))


def _is_touched(relation: Relation, before: Snapshot, after: Snapshot) -> bool:
    name = relation.qualified

    def entries(of: Snapshot) -> set[tuple[str, str, str]]:
        return {row for row in of if row[1] == name or row[1].startswith(f"{name}.")}

    return entries(before) != entries(after)


def _wrong_shapes(
    owner: Any, declared: Sequence[Table], present: Sequence[Relation]
) -> Iterator[str]:
    """Where a table is not as declared: `IF NOT EXISTS` passed over another one."""
    by_name = {r.qualified: r for r in present}
    for table in declared:
        relation = by_name.get(table.qualified)
        if relation is None:
            continue
        for column in table.columns:
            name, real = f"{table.qualified}.{column.name}", relation.column(column.name)
            if real is None:
                yield f"{table.qualified} has no column {column.name}"
                continue
            query = "SELECT format_type(to_regtype(%s), to_regtypemod(%s))"
            (wanted,) = owner.execute(query, [column.type, column.type]).fetchone()
            if wanted not in (None, "-", real.type):
                yield f"{name} is {real.type}, not {wanted}"
            if column.not_null and not real.not_null:
                yield f"{name} may be null"


def _reached_by_index(owner: Any, tables: Sequence[Relation]) -> Iterator[tuple[str, str, str]]:
    """Which columns the planner really reaches by an index, if it may not read the whole table."""
    import psycopg

    owner.execute("SET enable_seqscan = off")
    for table in tables:
        for index in table.indexes:
            names = [c for c in index.columns if c is not None]
            if not index.valid or not index.whole or len(names) != len(index.columns):
                continue
            operator = "=" if index.method in ("btree", "hash") else "@>"
            columns = ['"' + name.replace('"', '""') + '"' for name in names]
            tests = " AND ".join(f"{c} {operator} ${n}" for n, c in enumerate(columns, 1))
            query = f"SELECT FROM {quoted(table).replace('%%', '%')} WHERE {tests}"
            try:
                plan = owner.execute(f"EXPLAIN (GENERIC_PLAN) {query}").fetchall()
            except psycopg.Error:
                continue
            conditions = " ".join(line for (line,) in plan if "Index Cond:" in line)
            for name in names:
                spellings = (f"({name} ", f'("{name}" ', f"({name})")
                if any(spelling in conditions for spelling in spellings):
                    yield table.qualified, index.name, name
