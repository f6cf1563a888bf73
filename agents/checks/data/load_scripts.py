"""Checks of load scripts: every row arrives, twice is once, row level security stays on.

A scratch server shows what happened (`orchestrate_agents.sandbox.load_trial`); what the script
prints is only compared with that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from orchestrate_agents.checks.data.arrivals import loads_file, loads_of, second_run_is_nothing
from orchestrate_agents.sandbox.import_closure import closure_of
from orchestrate_agents.sandbox.load_trial import LoadTrial, run_load_trial
from orchestrate_agents.tools.lacks import raise_for_lack
from orchestrate_agents.tools.python import python_of
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
from orchestrator.settings.tables import ChecksSettings

_LISTED = 6

# a migration is run twice by another check
parameter_type("loader", rf"(?![\w./`@+-]*\.sql\b){TYPES['path'][0]}", TYPES["path"][1])


def _judge_trial(
    ctx: Context,
    script: str,
    problems: Callable[[LoadTrial], Iterable[str] | Result],
    good: str,
    otherwise: Callable[[Context, str], Result] | None = None,
) -> Result:
    """Failed with the problems of the script's trial, else proven; the first run has to succeed.

    `otherwise` judges a script that has not the options for it, but loads files.
    """
    file = ctx.path(script)
    if not file.is_file():
        return failed(f"{script} is missing", script)
    source = file.read_text(encoding="utf-8", errors="replace")
    options = '"--target"' in source and '"--json"' in source
    if not options and otherwise is not None and loads_of(ctx, script):
        return otherwise(ctx, script)
    if '"--target"' not in source:
        return unproven(f"{script} has no --target option, so it cannot be tried", script)
    settings = ChecksSettings.model_validate(ctx.settings.get("checks", {}))
    python = python_of(ctx)
    trial = run_load_trial(ctx.services, ctx.root, script, python, settings.timeout)
    code, ending = trial.first
    raise_for_lack(ctx, python, trial.said)
    found = [f"the first run: {ending}"] if code != 0 else problems(trial)
    if isinstance(found, Result):
        return found
    subjects = (script, *closure_of(ctx, script))
    if bad := list(found):
        return failed(
            f"{script} with {python.label}: {'; '.join(bad[:_LISTED])}", *subjects, problems=bad
        )
    total, tables = sum(trial.rows.values()), sum(1 for rows in trial.rows.values() if rows)
    where = f"{script} with {python.label} on a scratch server"
    said = f"{where}, {total:,} rows in {tables} tables: {good}"
    return proven(said, *subjects, rows=trial.rows)


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
    """Run with its small size: exit code 0, no row fails, the server holds what it reports."""

    def problems(trial: LoadTrial) -> list[str] | Result:
        figures = trial.figures
        if figures is None:
            said = f"{script} has no --json, so nothing says how many rows it generates"
            return unproven(said, script)
        found = []
        if not sum(row.get("rows", 0) for row in figures.values()):
            found.append("it generates no row")
        for name, row in figures.items():
            wanted, there = row.get("rows", 0), trial.rows.get(name, 0)
            if row.get("failed", 0) or row.get("loaded", 0) != wanted or there != wanted:
                found.append(f"{name}: {wanted:,} rows generated, {there:,} there")
        return found

    good = "every row that it generates is there, 100.0 %"
    return _judge_trial(ctx, script, problems, good, loads_file)


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
    """No row has a later transaction after the second run than before it, whatever it prints."""

    def problems(trial: LoadTrial) -> Iterator[str]:
        if trial.second is None or trial.second[0] != 0:
            yield f"the second run: {trial.second[1] if trial.second else 'none'}"
        for name, count in trial.second_changed.items():
            yield f"the second run wrote {count:,} rows of {name}"
        if not any(trial.rows.values()):
            yield "the first run wrote no row"

    good = "the second run wrote 0 of them"
    return _judge_trial(ctx, script, problems, good, second_run_is_nothing)


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
        if not any(trial.rows.values()):
            yield "the first run wrote no row"

    return _judge_trial(ctx, script, problems, "row level security was on all the time")


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

    return _judge_trial(ctx, script, problems, "a dry run wrote none")
