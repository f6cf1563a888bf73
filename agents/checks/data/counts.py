"""Checks of row counts on the named target, after the effects."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrate_agents.checks.data.subjects import Amount, amount, known_tables
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


@dataclass(frozen=True)
class Expected:
    """`300+ trials`: what is counted, in the statement's word, and how many there should be."""

    noun: str
    wanted: Amount


_ITEM = rf"{TYPES['amount'][0]}\s+`?[A-Za-z_]\w*`?(?:\s+(?:rows|records))?"
_JOINT = r"\s*(?:,\s*and\s+|,|;|\+(?=\s)|&|\s+and\s+)\s*"


def _expected(text: str) -> tuple[Expected, ...]:
    found = re.finditer(rf"({TYPES['amount'][0]})\s+`?([A-Za-z_]\w*)`?", text, re.IGNORECASE)
    return tuple(Expected(m[2], amount(m[1])) for m in found)


parameter_type("expected", rf"{_ITEM}(?:{_JOINT}{_ITEM})*", _expected)


@check(
    "[the] {table:name} (count|row count|record count) \\| {wanted:amount} [rows|records]",
    "[number of] {table:name} (rows|records) \\| {wanted:amount} [rows|records]",
    "{table:name} \\| {wanted:amount} (rows|records)",
    "{table:tablename} (holds|has|contains) {wanted:amount} (rows|records)",
    "[table] {table:tablename} (holds|has|contains) {wanted:amount} (rows|records) [after seeding]",
    "[the] {table:name} (count|row count|record count) is {wanted:amount}",
    name="counts.table",
    phase=Phase.EFFECT,
    examples=("benchmark_trials count | ≥ 300 records", "library_hours holds at least 40 rows"),
)
def table_count(ctx: Context, table: str, wanted: Amount) -> Result:
    """Counts the table's rows on the target."""
    return _counted(ctx, (Expected(table, wanted),))


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
def counts_match(ctx: Context, expected: tuple[Expected, ...]) -> Result:
    """Counts every named table on the target."""
    return _counted(ctx, expected)


def _counted(ctx: Context, expected: tuple[Expected, ...]) -> Result:
    if ctx.target is None:
        return Result(Verdict.PENDING, "counted on the target, after the effects")
    where = str(getattr(ctx.target, "name", "the target"))
    figures: dict[str, int] = {}
    parts: list[str] = []
    short = False
    for item in expected:
        table = resolve_table(ctx, item.noun)
        if isinstance(table, Result):
            return table
        try:
            figures[table] = count = int(ctx.target.count(table))
        except BackendError as exc:
            return failed(str(exc))
        short = short or not item.wanted.holds(count)
        parts.append(f"{table} holds {count:,} rows (wanted {item.wanted})")
    return (failed if short else proven)(f"{'; '.join(parts)} on {where}", **figures)


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
