"""Checks that two ways to a schema end in the same one: a migration and a fresh install."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrate_agents.checks.sql.phrases import Tables
from orchestrate_agents.sql.apply import apply
from orchestrate_agents.sql.catalog import Snapshot, difference, snapshot
from orchestrate_agents.sql.migration_series import read_sql
from orchestrate_agents.sql.parse import SqlError, parse_migration
from orchestrate_agents.sql.prerequisites import prerequisite_sql
from orchestrate_agents.sql.scratch import scratch
from orchestrator.gates.checks import Context, Result, check, failed, parameter_type, proven
from orchestrator.storage.atomic import sha256_bytes

_LISTED = 6

parameter_type("sqlfile", r"`?[\w.@+-]+(?:/[\w.@+-]+)*\.sql`?", lambda text: text.strip(" `"))

_SAME = "(identical|the same|equal)"
_PARTS = (
    "[(schema|schemas|catalogue|tables|columns|column definitions|columns and checks|"
    "columns, checks and indexes|definitions)]"
)


@check(
    "{one:sqlfile} and {other:sqlfile} (give|make|have|define|lead to|end in) "
    f"{_SAME} {_PARTS} [(of|for|in) {{tables:tables}}]",
    "{one:sqlfile} ends in the schema of {other:sqlfile}",
    name="sql.same-schema",
    examples=(
        "`migrations/007_x.sql` and `db/schema.sql` give identical columns, checks and indexes",
        "`migrations/007_x.sql` and `db/schema.sql` give the same schema of `branch`",
    ),
)
def same_schema(ctx: Context, one: str, other: str, tables: Tables | None = None) -> Result:
    """Each is run on what it stands on, on a database of its own; the catalogues are compared."""
    missing = [path for path in (one, other) if not ctx.path(path).is_file()]
    if missing:
        return failed(f"{', '.join(missing)} is missing", one, other)
    first, second = _made(ctx, one), _made(ctx, other)
    if first.fault or second.fault:
        return failed(first.fault or second.fault, one, other)
    names = tables.names if tables is not None else ()
    mine, theirs = _of_tables(first.catalogue, names), _of_tables(second.catalogue, names)
    lines = difference(theirs, mine)
    if lines:
        listed = "; ".join(lines[:_LISTED])
        said = f"{one} (+) and {other} (-) differ in {len(lines)} entries: {listed}"
        return failed(said, one, other, difference=list(lines))
    counts = Counter(kind for kind, _, _ in mine)
    if not counts["column"]:
        nothing = f"neither {one} nor {other} makes {', '.join(names) or 'a table'}"
        return failed(nothing, one, other)
    counted = ", ".join(f"{count} × {kind}" for kind, count in counts.items())
    return proven(f"{one} and {other} end in the same catalog: {counted}", one, other, **counts)


@dataclass(frozen=True)
class _Made:
    """The catalogue after a file ran on its foundation, or why it cannot be seen."""

    catalogue: Snapshot = ()
    fault: str = ""


def _made(ctx: Context, path: str) -> _Made:
    base = prerequisite_sql(ctx.root, path, ctx.workflow)
    texts = {**base, path: read_sql(ctx.path(path))}
    key = ("sql.made", *((n, sha256_bytes(t.encode("utf-8", "replace"))) for n, t in texts.items()))
    return ctx.services.remember(key, _Made, lambda: _run(ctx, texts))


def _run(ctx: Context, texts: Mapping[str, str]) -> _Made:
    with scratch(ctx.services).database() as database:
        for name, text in texts.items():
            try:
                failure = apply(database, parse_migration(text)).failure
            except SqlError as error:
                return _Made(fault=f"{name} cannot be read: {error.message}")
            if failure is not None:
                return _Made(fault=f"{name} cannot be applied: {failure}")
        with database.connect() as owner:
            return _Made(snapshot(owner))


def _of_tables(made: Snapshot, names: tuple[str, ...]) -> Snapshot:
    """What belongs to the named tables; all of it where none is named."""
    if not names:
        return made
    words = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in names))
    return tuple(row for row in made if words.search(row[1]) or words.search(row[2]))
