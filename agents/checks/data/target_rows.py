"""Checks of what lies on the named target after the effects, besides how many rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrate_agents.checks.data.counts import resolve_table
from orchestrate_agents.checks.data.subjects import known_tables
from orchestrate_backend.errors import BackendError
from orchestrator.gates.checks import (
    Context,
    Phase,
    Result,
    Verdict,
    check,
    failed,
    proven,
    unproven,
)

_LISTED = 8
_BLIND = "the target is reached by its REST interface alone, which cannot tell"


def _target(ctx: Context) -> Any | Result:
    """The target, if it can be asked by SQL."""
    if ctx.target is None:
        return Result(Verdict.PENDING, "judged on the target, after the effects")
    return unproven(_BLIND) if ctx.target.name == "supabase" else ctx.target


def _asked(target: Any, sql: str) -> list[dict[str, Any]] | Result:
    try:
        rows: list[dict[str, Any]] = target.query_readonly(sql)
    except BackendError as exc:
        return failed(str(exc))
    return rows


def _quoted(name: str) -> str:
    return ".".join(f'"{part}"' for part in name.split("."))


# -- children --------------------------------------------------------------------------------------


@check(
    "(every|each) row of {parent:name} has (rows|a row|values) in {child:name}",
    "all {wanted:int} [rows] [of] {parent:name} have (rows|values) in {child:name}",
    "{n:int} of {wanted:int} {parent:name} have (rows|values) in {child:name}",
    name="counts.covered",
    phase=Phase.EFFECT,
    examples=(
        "Every row of `features` has rows in `feature_values`",
        "All 15 `features` have rows in `feature_values`",
        "15 of 15 `features` have values in `feature_values`",
    ),
)
def every_parent_has_children(
    ctx: Context, parent: str, child: str, wanted: int | None = None, n: int | None = None
) -> Result:
    """By the foreign key between the two tables: no row of the one is without rows of the other."""
    if n is not None and n != wanted:
        return unproven(f"{n} of {wanted} leaves open which ones: say “all” or “every row”")
    target = _target(ctx)
    if isinstance(target, Result):
        return target
    tables = [resolve_table(ctx, name) for name in (parent, child)]
    named = [t for t in tables if isinstance(t, str)]
    if len(named) < 2:
        return next(t for t in tables if isinstance(t, Result))
    return _covered(target, named[0], named[1], wanted)


_KEY = """
SELECT a.attname AS own, b.attname AS other
  FROM pg_constraint
  JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = conkey[1]
  JOIN pg_attribute b ON b.attrelid = confrelid AND b.attnum = confkey[1]
 WHERE contype = 'f' AND cardinality(conkey) = 1
   AND conrelid = to_regclass('{child}') AND confrelid = to_regclass('{parent}')
"""


def _covered(target: Any, parent: str, child: str, wanted: int | None) -> Result:
    keys = _asked(target, _KEY.format(child=_quoted(child), parent=_quoted(parent)))
    if isinstance(keys, Result):
        return keys
    if len(keys) != 1:
        return unproven(f"{len(keys)} foreign keys lead from {child} to {parent}, not one")
    own, other = _quoted(keys[0]["own"]), _quoted(keys[0]["other"])
    found = _asked(
        target,
        f"SELECT p.{other}::text AS key, count(c.{own}) AS rows FROM {_quoted(parent)} p "  # noqa: S608 - names of the catalogue, quoted
        f"LEFT JOIN {_quoted(child)} c ON c.{own} = p.{other} GROUP BY 1 ORDER BY 2, 1",
    )
    if isinstance(found, Result):
        return found
    empty = [row["key"] for row in found if not row["rows"]]
    said = f"{len(found) - len(empty)} of {len(found)} rows of {parent} have rows in {child}"
    if empty:
        return failed(f"{said}; none: {', '.join(empty[:_LISTED])}", without=empty[:100])
    if not found or (wanted is not None and wanted != len(found)):
        return failed(f"{said}, wanted {wanted or 'at least one'}")
    least = min(row["rows"] for row in found)
    return proven(f"{said}, at least {least:,} each, on {target.name}", least=least)


# -- columns ---------------------------------------------------------------------------------------


@check(
    "{table:name} holds (values|figures) (in|of|for) {columns:names}",
    "{columns:names} (hold|holds|have|has) values in {table:name}",
    name="counts.filled",
    phase=Phase.EFFECT,
    examples=(
        "`engagement_score` and `treatment_initiated` have values in `patient_journeys`",
        "patient_journeys holds values in hcp_id, brand and academic_hcp",
    ),
)
def columns_hold_values(ctx: Context, table: str, columns: tuple[str, ...]) -> Result:
    """Each of the columns has a value in some row of the table on the target."""
    target = _target(ctx)
    if isinstance(target, Result):
        return target
    place = resolve_table(ctx, table)
    if isinstance(place, Result):
        return place
    if any('"' in column for column in columns):
        return unproven("a column's name holds a quotation mark")
    counted = ", ".join(f'count("{column}") AS "{column}"' for column in columns)
    rows = _asked(target, f"SELECT {counted} FROM {_quoted(place)}")  # noqa: S608 - quoted
    if isinstance(rows, Result):
        return rows
    figures = {str(name): int(count) for name, count in rows[0].items()}
    empty = [name for name, count in figures.items() if not count]
    said = ", ".join(f"{name} {count:,}" for name, count in figures.items())
    if empty:
        return failed(f"no row of {place} has a value in {', '.join(empty)}", **figures)
    return proven(f"rows of {place} on {target.name} with a value: {said}", **figures)


# -- access ----------------------------------------------------------------------------------------

_RLS = """
SELECT c.relname::text AS name, c.relrowsecurity AS rls FROM pg_class c
 WHERE c.relkind IN ('r', 'p') AND c.oid IN (SELECT to_regclass(t) FROM unnest(ARRAY[{names}]) t)
"""


@check(
    "(RLS|row level security|row-level security) is (on|enabled|active) (for|on) "
    "(every table|all tables) on the target",
    "(every table|all tables) on the target (has|have) (RLS|row level security|row-level security) "
    "(on|enabled|active)",
    name="counts.rls",
    phase=Phase.EFFECT,
    examples=("Row level security is on for every table on the target",),
)
def rls_on_target(ctx: Context) -> Result:
    """The target's catalogue says so of every table that the delivered SQL makes."""
    target = _target(ctx)
    if isinstance(target, Result):
        return target
    wanted = [table.qualified for table in known_tables(ctx)]
    if not wanted:
        return unproven("no delivered SQL makes a table")
    names = ", ".join("'" + _quoted(name).replace("'", "''") + "'" for name in wanted)
    rows = _asked(target, _RLS.format(names=names))
    if isinstance(rows, Result):
        return rows
    bad = [row["name"] for row in rows if not row["rls"]]
    if bad or len(rows) != len(wanted):
        said = f"{len(rows)} of {len(wanted)} tables are there; off in: {', '.join(bad) or 'none'}"
        return failed(said)
    return proven(f"row level security is on in all {len(rows)} tables on {target.name}")


# -- a second run ----------------------------------------------------------------------------------


@check(
    "the second (run|load) (of|by|with) {script:path} changed (nothing|0 rows|no row|no rows) "
    "[on the target]",
    "running {script:path} again changed (nothing|0 rows|no row|no rows) on the target",
    name="counts.second-run",
    phase=Phase.EFFECT,
    examples=("The second run of `tools/load.py` changed 0 rows on the target",),
)
def second_run_on_target(ctx: Context, script: str) -> Result:
    """The effects ran the script twice, and the database was looked at before the second time."""
    if ctx.target is None:
        return Result(Verdict.PENDING, "judged on the target, after the effects")
    runs = [r for r in ctx.history if r.get("type") == "effect" and script in r.get("inputs", ())]
    seen = [r["figures"]["changed"] for r in runs if r["ok"] and "changed" in r["figures"]]
    if not seen:
        return unproven(f"no effect ran {script} a second time where rows can be looked at", script)
    changed = list(_changes(seen[-1]))
    if changed:
        return failed(f"the second run of {script} changed {'; '.join(changed)}", script)
    looked = f"looked at in {len(seen[-1])} tables on {ctx.target.name}"
    return proven(f"the second run of {script} changed 0 rows, {looked}", script)


def _changes(figures: Mapping[str, int]) -> Iterator[str]:
    return (f"{count:,} rows of {name}" for name, count in figures.items() if count)
