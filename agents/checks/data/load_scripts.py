"""Checks of load scripts: every row arrives, twice is once, row level security stays on.

A disposable server tells what happened (`orchestrate_agents.sandbox.load_trial`); what the script
prints is only held against that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from orchestrate_agents.sandbox.import_closure import closure
from orchestrate_agents.sandbox.load_trial import LoadTrial, run_load_trial
from orchestrator.config import ChecksSettings
from orchestrator.gates.checks import (
    TYPES,
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

_LISTED = 6

# a migration is run twice by another check
parameter_type("loader", rf"(?![\w./`@+-]*\.sql\b){TYPES['path'][0]}", TYPES["path"][1])


def _trial(ctx: Context, script: str) -> LoadTrial | Result:
    """The trial of a script, or why there is none."""
    file = ctx.path(script)
    if not file.is_file():
        return failed(f"{script} is missing", script)
    if '"--target"' not in file.read_text(encoding="utf-8", errors="replace"):
        return unproven(f"{script} takes no --target, so it cannot be tried elsewhere", script)
    settings = ChecksSettings.model_validate(ctx.settings.get("checks", {}))
    return run_load_trial(ctx.services, ctx.root, script, settings.timeout)


def _judged(
    ctx: Context, script: str, problems: Callable[[LoadTrial], Iterator[str]], good: str
) -> Result:
    """Failed with the problems of the trial, else proven; the first run has to end well."""
    trial = _trial(ctx, script)
    if isinstance(trial, Result):
        return trial
    subjects = (script, *closure(ctx.root, script))
    code, ending = trial.first
    bad = [f"the first run: {ending}"] if code != 0 else list(problems(trial))
    if bad:
        listed = "; ".join(bad[:_LISTED])
        return failed(f"{script}: {listed}", *subjects, problems=bad)
    total = sum(trial.rows.values())
    said = f"{script} on a disposable server, {total:,} rows in {_tables_of(trial)} tables: {good}"
    return proven(said, *subjects, rows=trial.rows)


def _tables_of(trial: LoadTrial) -> int:
    return sum(1 for rows in trial.rows.values() if rows)


@check(
    "{script:path} loads (every row|all rows|each row|every row of every table)",
    "{script:path} loads (100 %|100%|100 percent) [of] [(its|the|all)] rows",
    "{script:path} (completes|ends|finishes) with [a|an] (100 %|100%) success rate",
    "every row (of|from) {script:path} (is loaded|arrives)",
    name="loads.every-row",
    slow=True,
    examples=("`tools/load.py` loads every row", "`tools/load.py` loads 100 % of its rows"),
)
def loads_every_row(ctx: Context, script: str) -> Result:
    """Run with its small size: exit code 0, no row fails, and the server holds what it says."""
    trial = _trial(ctx, script)
    if isinstance(trial, LoadTrial) and trial.first[0] == 0 and trial.figures is None:
        return unproven(f"{script} has no --json, so nothing says how many rows it means", script)
    return _judged(ctx, script, _lost, "every row that it generates is there, 100.0 %")


def _lost(trial: LoadTrial) -> Iterator[str]:
    figures = trial.figures or {}
    if not sum(row.get("rows", 0) for row in figures.values()):
        yield "it generates no row"
    for name, row in figures.items():
        wanted, there = row.get("rows", 0), trial.rows.get(name, 0)
        if row.get("failed", 0) or row.get("loaded", 0) != wanted or there != wanted:
            yield f"{name}: {wanted:,} rows generated, {there:,} there"


@check(
    "(a|the) second (run|load) (of|by|with) {script:loader} changes "
    "(nothing|0 rows|no row|no rows)",
    "{script:loader} changes (nothing|0 rows|no row|no rows) (when|if) [it is] run (again|twice)",
    "a reload (of|by|with) {script:loader} changes (nothing|0 rows|no row|no rows)",
    name="loads.twice",
    slow=True,
    examples=("A second run of `tools/load.py` changes 0 rows",),
)
def second_run_changes_nothing(ctx: Context, script: str) -> Result:
    """No row bears a later transaction after the second run than before it; nothing is read off."""

    def problems(trial: LoadTrial) -> Iterator[str]:
        if trial.second is None or trial.second[0] != 0:
            yield f"the second run: {trial.second[1] if trial.second else 'none'}"
        for name, count in trial.second_changed.items():
            yield f"the second run wrote {count:,} rows of {name}"
        if not _tables_of(trial):
            yield "the first run wrote no row"

    return _judged(ctx, script, problems, "the second run wrote 0 of them")


@check(
    "{script:path} (leaves|keeps) (RLS|row level security|row-level security) [switched|turned] on",
    "{script:path} never (switches|turns) [off] (RLS|row level security|row-level security) [off]",
    "(RLS|row level security|row-level security) stays on (while|as|when) {script:path} "
    "(runs|loads)",
    name="loads.rls",
    slow=True,
    examples=("`tools/load.py` leaves row level security on",),
)
def leaves_rls_on(ctx: Context, script: str) -> Result:
    """Every table with rows has it at the end, and no statement of the runs switched it off."""

    def problems(trial: LoadTrial) -> Iterator[str]:
        yield from (f"{name} has it off" for name in trial.open_tables)
        yield from (f"it was switched off for {name}" for name in trial.switched_off)
        if not _tables_of(trial):
            yield "the first run wrote no row"

    return _judged(ctx, script, problems, "row level security was on all the time")


@check(
    "a dry run of {script:path} (writes nothing|changes nothing|writes no row|changes 0 rows)",
    "{script:path} with `--dry-run` (writes nothing|changes nothing|writes no row)",
    "{script:path} `--dry-run` (writes nothing|changes nothing|writes no row)",
    name="loads.dry-run",
    slow=True,
    examples=("A dry run of `tools/load.py` writes nothing",),
)
def dry_run_writes_nothing(ctx: Context, script: str) -> Result:
    """Run with --dry-run on the loaded tables: exit code 0, no row is written."""

    def problems(trial: LoadTrial) -> Iterator[str]:
        if trial.dry is None:
            yield "it takes no --dry-run"
        elif trial.dry[0] != 0:
            yield f"the dry run: {trial.dry[1]}"
        for name, count in trial.dry_changed.items():
            yield f"the dry run wrote {count:,} rows of {name}"

    return _judged(ctx, script, problems, "a dry run wrote none")
