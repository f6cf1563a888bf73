"""Checks of scripts that load files: each cell arrives as it is, and nothing else happens.

The script is run on a scratch server (`orchestrate_agents.sandbox.data_trial`); what it prints
proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from orchestrate_agents.checks.code_subjects import delivered, specs, ticket_texts
from orchestrate_agents.checks.data.subjects import known_tables
from orchestrate_agents.checks.python.scopes import find_libraries
from orchestrate_agents.checks.sql.specified_schema import schema_sql
from orchestrate_agents.sandbox.data_trial import DataTrial, Load, run_data_trial
from orchestrate_agents.sandbox.import_closure import closure_of
from orchestrate_agents.sandbox.runs import walk
from orchestrate_agents.seed_data.table_schema import table_for
from orchestrate_agents.sql.parse import SqlError, Table, tables_of
from orchestrate_agents.tools.lacks import raise_for_lack
from orchestrate_agents.tools.python import Python, python_of
from orchestrate_backend.csv_rows import CsvError, csv_records, read_bytes
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

_LISTED = 6
_NAMED_SCRIPT = re.compile(r"`([\w./@+-]+\.py)`")

parameter_type("pyfile", r"[`]?(?:[\w.@+-]+/)*[\w.@+-]+\.py[`]?", lambda t: t.strip("`"))

#: what failed and what is in doubt
Findings = tuple[list[str], list[str]]


# -- which script, which file, which table ---------------------------------------------------------


def loads_of(ctx: Context, script: str, file: str = "", table: str = "") -> tuple[Load, ...]:
    """The CSV files that a script names, with their tables; only `file`, into `table`, if given.

    Raises CsvError for a file that cannot be read.
    """
    named = (file,) if file else tuple(
        path for path in closure_of(ctx, script) if path.lower().endswith(".csv")
    )  # fmt: skip
    found = []
    for path in named:
        place = ctx.path(path)
        if not place.is_file():
            continue
        lines = [(line, tuple(cells)) for line, cells in csv_records(read_bytes(place), path)]
        header = lines[0][1] if lines else ()
        into = table or _table_of(ctx, path, [name.strip() for name in header])
        if into:
            found.append(Load(path, into, header, tuple(lines[1:])))
    return tuple(found)


def _table_of(ctx: Context, path: str, header: Sequence[str]) -> str:
    tables: dict[str, Table] = {t.qualified: t for t in known_tables(ctx)}
    for text in schema_sql(ctx):
        try:
            tables |= {t.qualified: t for t in tables_of(text)}
        except SqlError:
            continue
    found = table_for(path, tables.values(), header)
    return found.qualified if found is not None else ""


def _loader(ctx: Context) -> str | Result:
    """The script that “it” means: the only one that is named or delivered, or there at all."""
    named = [path for text in ticket_texts(ctx) for path in _NAMED_SCRIPT.findall(text)]
    statements = ctx.workflow.statements if ctx.workflow else ()
    named += [path for s in statements for path in _NAMED_SCRIPT.findall(s.text)]
    every = (f"{below}{e.name}" for below, files in walk(str(ctx.root)) for e in files)
    for paths in (named, delivered(ctx, (".py",)), [p for p in every if p.endswith(".py")]):
        known = dict.fromkeys(p for p in paths if ctx.path(p).is_file())
        loaders = [path for path in known if loads_of(ctx, path)]
        if len(loaders) == 1:
            return loaders[0]
        if loaders:
            return unproven(f"several scripts load files: name one of {', '.join(loaders)}")
    return unproven("no script is known that loads a file into a table: name it")


# -- the verdict -----------------------------------------------------------------------------------


def _judge(
    ctx: Context,
    script: str,
    find: Callable[[DataTrial], Findings],
    good: str,
    file: str = "",
    table: str = "",
) -> Result:
    """What a script's trial shows; the first run has to succeed."""
    if not script:
        found = _loader(ctx)
        if isinstance(found, Result):
            return found
        script = found
    for path in filter(None, (script, file)):
        if not ctx.path(path).is_file():
            return failed(f"{path} is missing", path)
    try:
        loads = loads_of(ctx, script, file, table)
    except CsvError as exc:
        return failed(str(exc), script)
    if not loads:
        return unproven(f"{script} names no CSV file whose table is known", script)
    python = python_of(ctx)
    subjects = tuple(dict.fromkeys((script, *closure_of(ctx, script), *(x.path for x in loads))))
    trial = _trial_of(ctx, script, loads, python)
    if not trial.first.ok:
        raise_for_lack(ctx, python, trial.first.err)
        said = f"{script} with {python.label}: {trial.first.ending}"
        return failed(said, *subjects, **trial.first.to_dict())
    wrong, doubtful = find(trial)
    for problems, verdict in ((wrong, failed), (doubtful, unproven)):
        if problems:
            more = f"; and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
            listed = "; ".join(problems[:_LISTED])
            return verdict(f"{script}: {listed}{more}", *subjects, problems=problems[:100])
    counted = ", ".join(f"{len(x.records):,} rows of {x.path} in {x.table}" for x in loads)
    said = f"{script} with {python.label} on a scratch server, {counted}: {good}"
    return proven(said, *subjects, records={x.path: len(x.records) for x in loads})


def _trial_of(ctx: Context, script: str, loads: Sequence[Load], python: Python) -> DataTrial:
    libraries = partial(find_libraries, ctx, script)
    schema = tuple(schema_sql(ctx))
    return run_data_trial(ctx.services, ctx.root, script, loads, schema, python, libraries)


def _counts(what: str, rows: Mapping[str, int]) -> list[str]:
    return [f"{what} {count:,} rows of {table}" for table, count in sorted(rows.items())]


def _harms(trial: DataTrial) -> Iterator[str]:
    """What no loader may do, whatever is said of it."""
    yield from (f"it changes the file {path}" for path in trial.rewritten)
    yield from (f"it changes the schema: {line}" for line in trial.catalog)
    yield from _counts("it also writes", trial.elsewhere)
    yield from _counts("it changes or deletes what it did not load:", trial.harmed)
    yield from trial.beyond


def find_misloads(ctx: Context, script: str) -> Findings:
    """What a script does to the files that it loads, and beside it; none for one without files.

    Cells that arrive otherwise count where a ticket or the workflow says that it loads its file.
    """
    try:
        loads = loads_of(ctx, script)
    except CsvError:
        return [], []
    if not loads:
        return [], []
    python = python_of(ctx)
    trial = _trial_of(ctx, script, loads, python)
    wrong, doubtful = list(_harms(trial)), list[str]()
    wrong += [run.ending for run in (trial.first, trial.second, trial.among_others) if run.tried]
    name = re.escape(script.rpartition("/")[2])
    said = re.compile(rf"{name}`?,?\s[^.\n]*\b(?:upserts?|loads?|imports?|copies)\b")
    texts = [*ticket_texts(ctx), *(spec.words for spec in specs(ctx) if spec.path == script)]
    if any(re.search(rf"{name}`?,?\s[^.\n]*\bupserts?\b", text) for text in texts):
        wrong += [f"a row that stood there otherwise stays so: {x}" for x in trial.uncorrected]
    if any(said.search(text) for text in texts):
        wrong += [f"{path}: {x}" for path, seen in trial.arrived.items() for x in seen.differing]
        wrong += other_files(ctx, script, loads)
        doubtful = [f"{path}: {x}" for path, seen in trial.arrived.items() for x in seen.doubtful]
    return wrong, doubtful


def other_files(ctx: Context, script: str, loads: Sequence[Load]) -> Iterator[str]:
    """Where a script loads another file into a table than the workflow's file for that."""
    stages = ctx.workflow.stages if ctx.workflow is not None else ()
    files = {d.path for stage in stages for d in stage.deliverables if d.path.endswith(".csv")}
    wanted = {load.table: load.path for path in files for load in loads_of(ctx, script, path)}
    for load in loads:
        if load.path not in files and load.table in wanted:
            yield f"{load.path} is loaded into {load.table}, specified is {wanted[load.table]}"


def _find_arrival(trial: DataTrial) -> Findings:
    wrong = [f"{path}: {x}" for path, found in trial.arrived.items() for x in found.differing]
    doubtful = [f"{path}: {x}" for path, found in trial.arrived.items() for x in found.doubtful]
    doubtful += [f"{path} has no rows" for path, x in trial.arrived.items() if not x.records]
    doubtful += _counts("a second run changes", trial.again)
    doubtful += [f"a blank cell puts null in place of a value of {name}" for name in trial.nulled]
    return [*wrong, *_harms(trial)], doubtful


@check(
    "{script:pyfile} (loads|imports|copies) [all] [the] [rows of] {file:csvfile} "
    "(into|to) [the] [table] {table:tablename} [table]",
    "{script:pyfile} (loads|imports|copies) (all|every|each) (row|rows) (of|in|from) "
    "{file:csvfile} [(into|to) [the] [table] {table:tablename} [table]]",
    "{file:csvfile} is loaded into [the] [table] {table:tablename} [table] [by {script:pyfile}]",
    "(every|each) row (of|in|from) {file:csvfile} (is loaded|is imported|arrives|is in|is loaded "
    "into|is imported into|arrives in) [the] [table] [{table:tablename}] [table]",
    "all [the] rows (of|in|from) {file:csvfile} (are loaded|are imported|arrive|are in|are loaded "
    "into|are imported into|arrive in) [the] [table] [{table:tablename}] [table]",
    "(all|all the|all of its) rows (are|get) (loaded|imported)",
    "(every|each) row (is|gets) (loaded|imported)",
    name="loads.file",
    slow=True,
    examples=("`tools/load.py` loads `data/hours.csv` into `branch_hours`", "All rows are loaded"),
)
def loads_file(ctx: Context, script: str = "", file: str = "", table: str = "") -> Result:
    """Run: every cell of the file is in the table, nothing else is written, changed or removed."""
    good = "each cell is there as the file has it, and nothing else was written"
    return _judge(ctx, script, _find_arrival, good, file, table)


@check(
    "running (it|the script|the loader|the load|the import) (twice|again|a second time) "
    "(changes nothing|changes no row|adds no rows|adds nothing)",
    "(a|the) second run (changes nothing|changes no row|adds no rows|adds nothing)",
    "re-running (it|the script|the loader|the load) (changes nothing|adds no rows)",
    name="loads.again",
    slow=True,
    examples=("Running it twice changes nothing",),
)
def second_run_is_nothing(ctx: Context, script: str = "") -> Result:
    """The only load script is run twice: no row of any table is new, gone or another one."""

    def find(trial: DataTrial) -> Findings:
        wrong = [] if trial.second.ok else [f"the second run: {trial.second.ending}"]
        return [*wrong, *_counts("the second run changes", trial.again), *_harms(trial)], []

    return _judge(ctx, script, find, "a second run changed no row")


@check(
    "no other (table|tables) (is|are) (touched|changed|modified|written|written to)",
    "{script:pyfile} (touches|changes|modifies|writes to|writes) no other (table|tables)",
    "{script:pyfile} (touches|changes|modifies|writes to|writes|loads) only [the] [table] "
    "{table:tablename} [table]",
    "{script:pyfile} (writes|loads) only (to|into) [the] [table] {table:tablename} [table]",
    "no (existing|other|foreign) rows are (touched|changed|deleted|removed)",
    "{script:pyfile} (deletes|removes|changes) no (existing|other|foreign) rows",
    name="loads.nothing-else",
    slow=True,
    examples=("No other table is touched", "`tools/load.py` writes to no other table"),
)
def nothing_else_is_touched(ctx: Context, script: str = "", table: str = "") -> Result:
    """Run on empty tables and among rows of others: it writes and removes nothing but its own."""

    def find(trial: DataTrial) -> Findings:
        return list(_harms(trial)), []

    return _judge(ctx, script, find, "no other row or table was touched", table=table)


@check(
    "{script:pyfile} (leaves|keeps) {file:csvfile} (unchanged|as it is|untouched)",
    "{script:pyfile} does not (change|modify|rewrite|touch) {file:csvfile}",
    "the (file|CSV|CSV file) (is|stays|remains) (unchanged|untouched|as it is)",
    name="loads.file-unchanged",
    slow=True,
    examples=("`tools/load.py` does not change `data/hours.csv`",),
)
def file_stays(ctx: Context, script: str = "", file: str = "") -> Result:
    """Run: the files of the workspace are afterwards what they were."""

    def find(trial: DataTrial) -> Findings:
        return [f"it changes the file {path}" for path in trial.rewritten], []

    return _judge(ctx, script, find, "no file of the workspace was changed", file)


@check(
    "(null|a blank|a blank cell|an empty cell|blanks) never (replaces|overwrites|replace|overwrite)"
    " (a value|values|an existing value|existing values)",
    "{script:pyfile} never (replaces|overwrites) (a value|values|existing values) "
    "(with|by) (null|blanks|a blank)",
    name="loads.keeps-values",
    slow=True,
    examples=("`tools/load.py` never replaces a value with null",),
)
def keeps_values(ctx: Context, script: str = "") -> Result:
    """Run where the table has values for the file's blank cells: they are still there."""

    def find(trial: DataTrial) -> Findings:
        wrong = [f"a blank cell puts null in place of a value of {name}" for name in trial.nulled]
        return wrong, [] if trial.blanks else ["no cell of the file is blank, so nothing shows it"]

    return _judge(ctx, script, find, "each value that stood there for a blank cell was kept")
