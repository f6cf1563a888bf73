"""Checks of seed data as data: rows, columns, types, ranges, by the cells themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrate_agents.checks.data.subjects import Amount, Data, data_files, each, with_problems
from orchestrate_agents.seed_data.csv_file import Fault
from orchestrate_agents.seed_data.table_schema import (
    cell_faults,
    change_taken_for_endpoint,
    completeness,
    is_percent,
    required_blanks,
    seed_columns,
)
from orchestrate_agents.specification.files import csv_columns
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

parameter_type("csvfile", r"`?[\w.@+-]+(?:/[\w.@+-]+)*\.csv`?", lambda text: text.strip(" `"))
# "every row is unique" names none
parameter_type(
    "csvcolumn",
    rf"(?!(?:the|column|rows?|lines?|records?|cells?|values?)\b){TYPES['name'][0]}",
    TYPES["name"][1],
)

# -- rows ------------------------------------------------------------------------------------------


@check(
    "{path:path} (exists with|exists and has|has|contains|holds) {wanted:amount} complete rows",
    "[the] [seed] CSV [file] (exists with|exists and has|has|contains|holds|with) {wanted:amount} "
    "complete rows",
    "{wanted:amount} complete rows",
    name="csv.complete-rows",
    version=2,
    examples=(
        "CSV file exists with ≥ 8 complete rows",
        "`data/branches.csv` has at least 5 complete rows",
    ),
)
def has_complete_rows(ctx: Context, wanted: Amount, path: str = "") -> Result:
    """Counts rows with every required column and an outcome figure, all cells well typed."""

    def judge(data: Data) -> Result:
        faults = [*cell_faults(data.sheet, data.table), *_repeated(data)]
        if faults:
            return with_problems(data, "rows that cannot be counted on", faults)
        rule = completeness(data.table, data.sheet.columns)
        lacking = {f"line {r.line}": why for r in data.sheet.rows if (why := rule.lacking(r))}
        complete = len(data.sheet.rows) - len(lacking)
        verdict = proven if wanted.holds(complete) else failed
        detail = (
            f"{data.path}: {complete} of {len(data.sheet.rows)} rows are complete, "
            f"wanted {wanted}; {rule.definition}"
        )
        return verdict(detail, data.path, complete=complete, lacking=lacking)

    return each(data_files(ctx, path), judge)


@check(
    "{path:path} (exists with|exists and has|has|contains|holds) {wanted:amount} [data] "
    "(rows|records)",
    "[the] [seed] CSV [file] (exists with|exists and has|has|contains|holds|with) {wanted:amount} "
    "[data] (rows|records)",
    name="csv.rows",
    version=2,
    examples=("`data/branches.csv` has 10+ rows", "CSV file has exactly 12 rows"),
)
def has_rows(ctx: Context, wanted: Amount, path: str = "") -> Result:
    """Counts the rows of the right width."""

    def judge(data: Data) -> Result:
        faults = [*data.sheet.faults, *_repeated(data)]
        if faults:
            return with_problems(data, "rows that cannot be counted on", faults)
        rows = len(data.sheet.rows)
        verdict = proven if wanted.holds(rows) else failed
        return verdict(f"{data.path}: {rows} rows, wanted {wanted}", data.path, rows=rows)

    return each(data_files(ctx, path), judge)


def _repeated(data: Data) -> Iterator[Fault]:
    """Rows that say in every cell what another one says: they count once."""
    first: dict[tuple[str, ...], int] = {}
    for row in data.sheet.rows:
        cells = tuple(row.cells.values())
        if cells in first:
            yield Fault(row.line, "", f"the same row as line {first[cells]}")
        first.setdefault(cells, row.line)


@check(
    "{path:path} has no duplicate rows",
    "no duplicate rows [in {path:path}]",
    "every row [of {path:path}] is unique",
    name="csv.unique-rows",
    examples=("`data/branches.csv` has no duplicate rows",),
)
def has_unique_rows(ctx: Context, path: str = "") -> Result:
    """No two rows have the same natural key (all cells, where the table gives no key)."""
    from orchestrate_agents.sql.natural_key import natural_key

    def judge(data: Data) -> Result:
        key = (natural_key(data.table) if data.table else ()) or data.sheet.columns
        first: dict[tuple[str, ...], int] = {}
        faults = list(data.sheet.faults)
        for row in data.sheet.rows:
            values = tuple(row.get(c) for c in key)
            if values in first:
                faults.append(Fault(row.line, "", f"the same row as line {first[values]}"))
            first.setdefault(values, row.line)
        if faults:
            return with_problems(data, "rows that are not unique", faults)
        named = ", ".join(key) if data.table else "all columns"
        return proven(f"{data.path}: {len(first)} rows, each once by {named}", data.path)

    return each(data_files(ctx, path), judge)


@check(
    "[the] [(values|cells) (of|in)] [the] [column] {column:csvcolumn} [column] (of|in) "
    "{path:csvfile} (is|are) unique",
    "[the] [column] {column:csvcolumn} [column] (is|are) unique in {path:csvfile}",
    "(every|each) {column:csvcolumn} [value] (of|in) {path:csvfile} is unique",
    name="csv.unique-column",
    examples=("the column `code` of `data/branches.csv` is unique",),
)
def has_unique_column(ctx: Context, path: str, column: str) -> Result:
    """No two rows have the same cell there; an empty one counts as a cell."""

    def judge(data: Data) -> Result:
        if column not in data.sheet.columns:
            return with_problems(data, "columns", [Fault(1, column, "missing")])
        first: dict[str, int] = {}
        faults = list(data.sheet.faults)
        for row in data.sheet.rows:
            cell = row.get(column)
            if cell in first:
                faults.append(Fault(row.line, column, f"the same as in line {first[cell]}"))
            first.setdefault(cell, row.line)
        if faults:
            return with_problems(data, "cells that are not unique", faults)
        return proven(f"{data.path}: {len(first)} rows, each with its own {column}", data.path)

    return each(data_files(ctx, path), judge)


# -- shape -----------------------------------------------------------------------------------------


@check(
    "{path:path} has exactly the columns {columns:names}",
    "{path:path} (columns|header) (match|matches|equal|equals) the (schema|table|specification) "
    "[exactly]",
    "[the] [seed] CSV [file] [has] [the] (columns|header) (match|matches) the "
    "(schema|table|specification) [exactly]",
    "[the] [seed] CSV [file] has exactly the columns of the (schema|table|specification)",
    name="csv.columns",
    examples=(
        "`data/branches.csv` has exactly the columns name, city",
        "CSV columns match the schema exactly",
    ),
)
def has_columns(ctx: Context, path: str = "", columns: tuple[str, ...] = ()) -> Result:
    """The header is the specified columns, all of them, no other, in order."""

    def judge(data: Data) -> Result:
        wanted = columns or _specified_columns(ctx, data)
        if not wanted:
            return unproven(f"{data.path}: nothing says which columns it has to have", data.path)
        if data.sheet.columns == wanted and not data.sheet.faults:
            return proven(f"{data.path}: the {len(wanted)} columns as specified", data.path)
        missing = [c for c in wanted if c not in data.sheet.columns]
        extra = [c for c in data.sheet.columns if c not in wanted]
        faults = [Fault(1, c, "missing") for c in missing] + [Fault(1, c, "extra") for c in extra]
        faults += data.sheet.faults
        return with_problems(data, "columns", faults or [Fault(1, "", "in another order")])

    return each(data_files(ctx, path), judge)


@check(
    "{path:csvfile} (has|contains|includes) [(the|a|all)] (column|columns) {columns:names}",
    "[the] [(column|columns)] {columns:names} (is|are) [present] in {path:csvfile}",
    name="csv.has-columns",
    examples=("`data/branches.csv` has columns name and city",),
)
def includes_columns(ctx: Context, path: str, columns: tuple[str, ...]) -> Result:
    """The header has the columns, each once, in any order and beside others."""

    def judge(data: Data) -> Result:
        lacking = [Fault(1, c, "missing") for c in columns if c not in data.sheet.columns]
        if faults := [*lacking, *data.sheet.faults]:
            return with_problems(data, "columns", faults)
        return proven(f"{data.path} has {', '.join(columns)}", data.path)

    return each(data_files(ctx, path), judge)


def _specified_columns(ctx: Context, data: Data) -> tuple[str, ...]:
    delivered = ctx.workflow.deliverables if ctx.workflow else ()
    listed = next((csv_columns(d, stage) for stage, d in delivered if d.path == data.path), ())
    return listed or (seed_columns(data.table) if data.table else ())


@check(
    "{path:path} is (valid|well-formed|a valid CSV [file])",
    "{path:path} has no malformed rows",
    "[the] [seed] CSV [file] (is valid|is well-formed|has no malformed rows)",
    "(every|each) row [of {path:path}] has {width:int} (cells|columns|fields)",
    "all cells [of {path:path}] (have|are of) the right type",
    name="csv.well-formed",
    examples=("`data/branches.csv` is well-formed", "every row has 20 cells"),
)
def is_well_formed(ctx: Context, path: str = "", width: int = 0) -> Result:
    """Every row has as many cells as the header, every cell the type of its column."""

    def judge(data: Data) -> Result:
        faults = list(cell_faults(data.sheet, data.table))
        if width and len(data.sheet.columns) != width:
            faults.insert(0, Fault(1, "", f"{len(data.sheet.columns)} columns, not {width}"))
        if len(data.sheet.columns) == 1 and re.search(r"[;\t|]", data.sheet.columns[0]):
            faults.insert(0, Fault(1, "", "one column: cells have to be parted by commas"))
        if faults:
            return with_problems(data, "malformed", faults)
        size = f"{len(data.sheet.rows)} rows of {len(data.sheet.columns)} cells"
        typed = "all well typed" if data.table else "no SQL defines their types"
        return proven(f"{data.path}: {size}, {typed}", data.path)

    return each(data_files(ctx, path), judge)


@check(
    "[all] percentages [in {path:path}] are (in range|within range|between 0 and 100|"
    "from 0 to 100)",
    "(every|each) percentage [in {path:path}] is (in range|within range|between 0 and 100)",
    name="csv.percentages",
    examples=("all percentages are in range", "every percentage is between 0 and 100"),
)
def percentages_in_range(ctx: Context, path: str = "") -> Result:
    """Every cell of a percent column is a number from 0 to 100."""

    def judge(data: Data) -> Result:
        columns = [c for c in data.sheet.columns if is_percent(c)]
        faults = [f for f in cell_faults(data.sheet, data.table) if f.column in (*columns, "")]
        if faults:
            return with_problems(data, "percentages", faults)
        if not columns:
            return unproven(f"{data.path} has no percent column (…_pct, …_percent)", data.path)
        cells = sum(len(data.sheet.filled(c)) for c in columns)
        return proven(f"{data.path}: {cells} percentages from 0 to 100", data.path)

    return each(data_files(ctx, path), judge)


@check(
    "no (empty|blank|missing) required (cell|cells|value|values) [in {path:path}]",
    "no required (cell|column|value) [of {path:path}] is (empty|blank|missing)",
    "all required (cells|columns|values) [of {path:path}] are (filled|populated|set)",
    name="csv.required",
    examples=("no empty required cell", "all required columns are filled"),
)
def required_cells_filled(ctx: Context, path: str = "") -> Result:
    """Every column that is NOT NULL without a default is filled in every row."""

    def judge(data: Data) -> Result:
        if data.table is None:
            return unproven(
                f"{data.path}: no SQL defines its table, so none is required", data.path
            )
        faults = [*data.sheet.faults, *required_blanks(data.sheet, data.table)]
        if faults:
            return with_problems(data, "required cells", faults)
        return proven(f"{data.path}: required cells are filled in every row", data.path)

    return each(data_files(ctx, path), judge)


@check(
    "no change (score|scores) [is|are] (taken for|entered as|mistaken for) [an|the] "
    "(endpoint|endpoints)",
    "[all] (endpoint|endpoints) are [endpoint] (scores|means), not changes",
    name="csv.endpoints",
    examples=("no change score is taken for an endpoint",),
)
def endpoints_are_no_changes(ctx: Context) -> Result:
    """No endpoint cell equals the change that its row gives, unless both truly agree."""

    def judge(data: Data) -> Result:
        faults = [*data.sheet.faults, *change_taken_for_endpoint(data.sheet)]
        if faults:
            return with_problems(data, "endpoints", faults)
        return proven(f"{data.path}: no endpoint is the change that its row gives", data.path)

    return each(data_files(ctx), judge)
