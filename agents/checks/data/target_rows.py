"""Checks of what the named target holds after the effects: rows, columns, row level security."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from orchestrate_agents.checks.data.subjects import Amount, known_tables, parse_amount
from orchestrate_agents.seed_data.table_schema import singulars
from orchestrate_backend.errors import BackendError
from orchestrator.gates.checks import (
    TYPES,
    Context,
    Phase,
    Result,
    Verdict,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

_LISTED = 8


@dataclass(frozen=True)
class ExpectedRows:
    """`300+ trials`: what is counted, in the statement's word, and how many there should be."""

    noun: str
    wanted: Amount


_ITEM = rf"{TYPES['amount'][0]}\s+`?[A-Za-z_]\w*`?(?:\s+(?:rows|records))?"
_JOINT = r"\s*(?:,\s*and\s+|,|;|\+(?=\s)|&|\s+and\s+)\s*"


def _parse_expected(text: str) -> tuple[ExpectedRows, ...]:
    found = re.finditer(rf"({TYPES['amount'][0]})\s+`?([A-Za-z_]\w*)`?", text, re.IGNORECASE)
    return tuple(ExpectedRows(m[2], parse_amount(m[1])) for m in found)


parameter_type("expected", rf"{_ITEM}(?:{_JOINT}{_ITEM})*", _parse_expected)


# -- row counts ------------------------------------------------------------------------------------


@check(
    "[the] {table:name} (count|row count|record count) \\| {wanted:amount} [rows|records]",
    "[number of] {table:name} (rows|records) \\| {wanted:amount} [rows|records]",
    "{table:name} \\| {wanted:amount} (rows|records)",
    "{table:tablename} (holds|has|contains) {wanted:amount} (rows|records)",
    "[table] {table:tablename} (holds|has|contains) {wanted:amount} (rows|records) [after seeding]",
    "[the] {table:name} (count|row count|record count) is {wanted:amount}",
    name="counts.table",
    phase=Phase.EFFECT,
    examples=("branch_hours count | ≥ 300 records", "library_hours holds at least 40 rows"),
)
def table_count(ctx: Context, table: str, wanted: Amount) -> Result:
    """Counts the table's rows on the target."""
    return counts_match(ctx, (ExpectedRows(table, wanted),))


@check(
    "[confirm|verify|check] [that] [the] [record|row] counts match [the] (expectations|expected "
    "counts|expected figures) \\({expected:expected}\\)",
    "[confirm|verify|check] [that] [there are] {expected:expected} (are loaded|are seeded|are live|"
    "are in the database|in the database|came in|were loaded|were seeded|have been loaded)",
    "[confirm|verify|check] [the] [record|row] counts: {expected:expected}",
    "expect {expected:expected}",
    name="counts.expectations",
    phase=Phase.EFFECT,
    examples=("Confirm counts match expectations (300+ trials, 8+ cohorts)",),
)
def counts_match(ctx: Context, expected: tuple[ExpectedRows, ...]) -> Result:
    """Counts every named table on the target."""
    if ctx.target is None:
        return Result(Verdict.PENDING, "counted on the target, after the effects")
    where = str(getattr(ctx.target, "name", "the target"))
    figures: dict[str, int] = {}
    parts: list[str] = []
    verdict = proven
    for item in expected:
        table = resolve_table(ctx, item.noun)
        if isinstance(table, Result):
            return table
        try:
            figures[table] = count = int(ctx.target.count(table))
        except BackendError as exc:
            return failed(str(exc))
        if not item.wanted.holds(count):
            verdict = failed
        parts.append(f"{table} holds {count:,} rows (wanted {item.wanted})")
    return verdict(f"{'; '.join(parts)} on {where}", **figures)


def resolve_table(ctx: Context, noun: str) -> str | Result:
    """The table that a word means: its name, or the only table whose name has the word in it."""
    tables = [t.name for t in known_tables(ctx)]
    folded = noun.lower()
    exact = next((t for t in tables if t.lower() == folded), None)
    if exact is not None:
        return exact
    meant = singulars(noun)
    alike = [t for t in tables if meant <= singulars(t)]
    alike = alike or [t for t in tables if folded in t.lower()]
    # the last word of a name says what a row is: `library_branch`, not `branch_hours`
    rows = [t for t in alike if meant <= singulars(t.rpartition("_")[2])]
    if len(rows) == 1 or len(alike) == 1:
        return (rows if len(rows) == 1 else alike)[0]
    if alike:
        return unproven(f"“{noun}” may mean {' or '.join(alike)}: name the table")
    return unproven(f"no table of this workflow is called “{noun}” ({', '.join(tables) or 'none'})")


# -- queries ---------------------------------------------------------------------------------------


def _find_obstacle(ctx: Context) -> Result | None:
    """Why the target cannot be queried, None if it can."""
    if ctx.target is None:
        return Result(Verdict.PENDING, "judged on the target, after the effects")
    if ctx.target.name == "supabase":
        return unproven(
            "the target is reached by its REST interface alone, which does not show this"
        )
    return None


def _query(ctx: Context, sql: str) -> list[dict[str, Any]] | Result:
    try:
        rows: list[dict[str, Any]] = ctx.target.query_readonly(sql)
    except BackendError as exc:
        return failed(str(exc))
    return rows


def _quote(name: str) -> str:
    return ".".join(f'"{part}"' for part in name.split("."))


_KEY = """
SELECT a.attname AS own, b.attname AS other
  FROM pg_constraint
  JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = conkey[1]
  JOIN pg_attribute b ON b.attrelid = confrelid AND b.attnum = confkey[1]
 WHERE contype = 'f' AND cardinality(conkey) = 1
   AND conrelid = to_regclass('{child}') AND confrelid = to_regclass('{parent}')
"""


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
    if obstacle := _find_obstacle(ctx):
        return obstacle
    one, many = resolve_table(ctx, parent), resolve_table(ctx, child)
    if isinstance(one, Result):
        return one
    if isinstance(many, Result):
        return many
    keys = _query(ctx, _KEY.format(child=_quote(many), parent=_quote(one)))
    if isinstance(keys, Result):
        return keys
    if len(keys) != 1:
        return unproven(f"{len(keys)} foreign keys lead from {many} to {one}, not one")
    own, other = _quote(keys[0]["own"]), _quote(keys[0]["other"])
    found = _query(
        ctx,
        f"SELECT p.{other}::text AS key, count(c.{own}) AS rows FROM {_quote(one)} p "  # noqa: S608 - names of the catalog, quoted
        f"LEFT JOIN {_quote(many)} c ON c.{own} = p.{other} GROUP BY 1 ORDER BY 2, 1",
    )
    if isinstance(found, Result):
        return found
    empty = [row["key"] for row in found if not row["rows"]]
    said = f"{len(found) - len(empty)} of {len(found)} rows of {one} have rows in {many}"
    if empty:
        return failed(f"{said}; none: {', '.join(empty[:_LISTED])}", without=empty[:100])
    if not found or (wanted is not None and wanted != len(found)):
        return failed(f"{said}, wanted {wanted or 'at least one'}")
    least = min(row["rows"] for row in found)
    return proven(f"{said}, at least {least:,} each, on {ctx.target.name}", least=least)


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
    if obstacle := _find_obstacle(ctx):
        return obstacle
    place = resolve_table(ctx, table)
    if isinstance(place, Result):
        return place
    if any('"' in column for column in columns):
        return unproven("a column's name holds a quotation mark")
    counted = ", ".join(f'count("{column}") AS "{column}"' for column in columns)
    rows = _query(ctx, f"SELECT {counted} FROM {_quote(place)}")  # noqa: S608 - quoted
    if isinstance(rows, Result):
        return rows
    figures = {str(name): int(count) for name, count in rows[0].items()}
    empty = [name for name, count in figures.items() if not count]
    if empty:
        return failed(f"no row of {place} has a value in {', '.join(empty)}", **figures)
    said = ", ".join(f"{name} {count:,}" for name, count in figures.items())
    return proven(f"rows of {place} on {ctx.target.name} with a value: {said}", **figures)


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
    """The target's catalog says so of every table that the delivered SQL creates."""
    if obstacle := _find_obstacle(ctx):
        return obstacle
    wanted = [table.qualified for table in known_tables(ctx)]
    if not wanted:
        return unproven("no delivered SQL creates a table")
    names = ", ".join("'" + _quote(name).replace("'", "''") + "'" for name in wanted)
    rows = _query(ctx, _RLS.format(names=names))
    if isinstance(rows, Result):
        return rows
    bad = [row["name"] for row in rows if not row["rls"]]
    if bad or len(rows) != len(wanted):
        there = f"{len(rows)} of {len(wanted)} tables are there"
        return failed(f"{there}; off in: {', '.join(bad) or 'none'}")
    return proven(f"row level security is on in all {len(rows)} tables on {ctx.target.name}")


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
    """The effects ran the script twice, and rows were compared around the second run."""
    if ctx.target is None:
        return Result(Verdict.PENDING, "judged on the target, after the effects")
    runs = [r for r in ctx.history if r.get("type") == "effect" and script in r.get("inputs", ())]
    seen = [r["figures"]["changed"] for r in runs if r["ok"] and "changed" in r["figures"]]
    if not seen:
        said = f"no effect ran {script} a second time where rows can be compared"
        return unproven(said, script)
    changed = [f"{count:,} rows of {name}" for name, count in seen[-1].items() if count]
    if changed:
        return failed(f"the second run of {script} changed {'; '.join(changed)}", script)
    where = f"compared in {len(seen[-1])} tables on {ctx.target.name}"
    return proven(f"the second run of {script} changed 0 rows, {where}", script)
