"""Checks of seed data as data: rows, columns, types, ranges, by the cells themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from orchestrate_agents.checks.data.subjects import (
    Amount,
    SeedFile,
    column_of,
    judge_files,
    seed_files,
)
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

# "every row is unique" names none
parameter_type(
    "csvcolumn",
    r"(?!(?:the|columns?|rows?|lines?|records?|cells?|values?|entry|entries|items?|fields?|keys?|"
    rf"headers?|headings?|identifiers?|duplicates?)\b){TYPES['name'][0]}",
    TYPES["name"][1],
)

# -- rows ------------------------------------------------------------------------------------------


@check(
    "{path:csvfile} (exists with|exists and has|has|contains|holds) {wanted:amount} complete rows",
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

    def find_faults(file: SeedFile) -> list[Fault]:
        return [*cell_faults(file.sheet, file.table), *_repeated_rows(file, file.sheet.columns)]

    def conclude(file: SeedFile) -> Result:
        rows = file.sheet.rows
        rule = completeness(file.table, file.sheet.columns)
        lacking = {f"line {r.line}": why for r in rows if (why := rule.lacking(r))}
        complete = len(rows) - len(lacking)
        counted = f"{complete} of {len(rows)} rows have {rule.wanted}"
        if rule.outcomes:
            whole = [r for r in rows if f"line {r.line}" not in lacking]
            full = sum(all(map(r.get, rule.outcomes)) for r in whole)
            counted += f"; {full} of {len(rows)} have every outcome figure"
        verdict = proven if wanted.holds(complete) else failed
        detail = (
            f"{file.path}: {complete} of {len(rows)} rows are complete, "
            f"wanted {wanted}; {rule.definition}; {counted}"
        )
        return verdict(detail, file.path, complete=complete, lacking=lacking, counted=counted)

    return judge_files(seed_files(ctx, path), "rows that do not count", find_faults, conclude)


@check(
    "{path:csvfile} (exists with|exists and has|has|contains|holds) {wanted:amount} [data] "
    "(rows|records)",
    "[the] [seed] CSV [file] (exists with|exists and has|has|contains|holds|with) {wanted:amount} "
    "[data] (rows|records)",
    name="csv.rows",
    version=2,
    examples=("`data/branches.csv` has 10+ rows", "CSV file has exactly 12 rows"),
)
def has_rows(ctx: Context, wanted: Amount, path: str = "") -> Result:
    """Counts the rows of the right width."""

    def find_faults(file: SeedFile) -> list[Fault]:
        return [*file.sheet.faults, *_repeated_rows(file, file.sheet.columns)]

    def conclude(file: SeedFile) -> Result:
        rows = len(file.sheet.rows)
        verdict = proven if wanted.holds(rows) else failed
        return verdict(f"{file.path}: {rows} rows, wanted {wanted}", file.path, rows=rows)

    return judge_files(seed_files(ctx, path), "rows that do not count", find_faults, conclude)


def _repeated_rows(file: SeedFile, key: Sequence[str]) -> Iterator[Fault]:
    """Rows with the same cells in the key's columns as an earlier one."""
    first: dict[tuple[str, ...], int] = {}
    for row in file.sheet.rows:
        line = first.setdefault(tuple(row.get(c) for c in key), row.line)
        if line != row.line:
            yield Fault(row.line, "", f"the same row as line {line}")


@check(
    "{path:csvfile} (has|contains) no (duplicate|duplicated|repeated) (rows|records|lines)",
    "{path:csvfile} (has|contains) no duplicates",
    "[there are] no (duplicate|duplicated|repeated) (rows|records) [in {path:csvfile}]",
    "[there are] no duplicates in {path:csvfile}",
    "{path:csvfile} is free of (duplicates|duplicate rows)",
    "every row [of {path:csvfile}] is unique",
    name="csv.unique-rows",
    examples=("`data/branches.csv` has no duplicate rows",),
)
def has_unique_rows(ctx: Context, path: str = "") -> Result:
    """No two rows have the same natural key (all cells, if the table has none)."""
    from orchestrate_agents.sql.natural_key import natural_key

    def key_of(file: SeedFile) -> tuple[str, ...]:
        return (natural_key(file.table) if file.table else ()) or file.sheet.columns

    def conclude(file: SeedFile) -> str:
        named = ", ".join(key_of(file)) if file.table else "all columns"
        return f"{file.path}: {len(file.sheet.rows)} rows, each once by {named}"

    return judge_files(
        seed_files(ctx, path),
        "rows that are not unique",
        lambda file: [*file.sheet.faults, *_repeated_rows(file, key_of(file))],
        conclude,
    )


@check(
    "[the] [(values|cells) (of|in)] [the] [column] {column:csvcolumn} [column] (of|in) "
    "{path:csvfile} (is|are) unique",
    "[the] [column] {column:csvcolumn} [column] (is|are) unique in {path:csvfile}",
    "(every|each) {column:csvcolumn} [value] (of|in) {path:csvfile} is unique",
    "(every|each) (row|record) (of|in) {path:csvfile} has [(a|an|its own)] "
    "(unique|different|distinct) {column:csvcolumn}",
    "no two (rows|records) (of|in) {path:csvfile} (have|share) the same {column:csvcolumn}",
    "{path:csvfile} (has|contains) no (duplicate|duplicated|repeated) {column:csvcolumn} [values]",
    "[there are] no (duplicate|duplicated|repeated) {column:csvcolumn} [values] in {path:csvfile}",
    name="csv.unique-column",
    examples=("the column `code` of `data/branches.csv` is unique",),
)
def has_unique_column(ctx: Context, path: str, column: str) -> Result:
    """No two rows have the same cell there; an empty one counts as a cell."""

    def find_faults(file: SeedFile) -> Iterator[Fault]:
        found = column_of(file, column)
        if found is None:
            yield Fault(1, column, "missing")
            return
        yield from file.sheet.faults
        first: dict[str, int] = {}
        for row in file.sheet.rows:
            line = first.setdefault(row.get(found), row.line)
            if line != row.line:
                yield Fault(row.line, found, f"the same as in line {line}")

    return judge_files(
        seed_files(ctx, path),
        f"{column} is not unique",
        find_faults,
        lambda file: f"{file.path}: {len(file.sheet.rows)} rows, each with its own {column}",
    )


# -- shape -----------------------------------------------------------------------------------------


@check(
    "{path:csvfile} has exactly the columns {columns:names}",
    "{path:csvfile} (columns|header) (match|matches|equal|equals) the (schema|table|specification) "
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
    delivered = ctx.workflow.deliverables if ctx.workflow else ()

    def wanted_in(file: SeedFile) -> tuple[str, ...]:
        listed = (csv_columns(d, stage) for stage, d in delivered if d.path == file.path)
        return columns or next(listed, ()) or (seed_columns(file.table) if file.table else ())

    def find_faults(file: SeedFile) -> list[Fault]:
        wanted, there = wanted_in(file), file.sheet.columns
        if not wanted or (there == wanted and not file.sheet.faults):
            return []
        faults = [Fault(1, c, "missing") for c in wanted if c not in there]
        faults += [Fault(1, c, "extra") for c in there if c not in wanted]
        return [*faults, *file.sheet.faults] or [Fault(1, "", "in another order")]

    def conclude(file: SeedFile) -> str | Result:
        if not wanted_in(file):
            return unproven(f"{file.path}: nothing says which columns it must have", file.path)
        return f"{file.path}: the {len(wanted_in(file))} columns as specified"

    return judge_files(seed_files(ctx, path), "columns", find_faults, conclude)


@check(
    "{path:csvfile} (has|contains) {wanted:amount} (column|columns|fields)",
    "the header of {path:csvfile} (has|names) {wanted:amount} (column|columns|fields)",
    name="csv.column-count",
    examples=("`data/branches.csv` has exactly 3 columns",),
)
def has_column_count(ctx: Context, path: str, wanted: Amount) -> Result:
    """Counts the columns that the header names; every row has to have as many cells."""

    def conclude(file: SeedFile) -> Result:
        there = file.sheet.columns
        verdict = proven if wanted.holds(len(there)) else failed
        said = f"{file.path} has {len(there)} columns ({', '.join(there)}), wanted {wanted}"
        return verdict(said, file.path, columns=len(there))

    return judge_files(
        seed_files(ctx, path), "malformed rows", lambda file: file.sheet.faults, conclude
    )


@check(
    "{path:csvfile} (has|contains|includes) [(the|a|all)] (column|columns) {columns:names}",
    "[the] [(column|columns)] {columns:names} (is|are) [present] in {path:csvfile}",
    name="csv.has-columns",
    examples=("`data/branches.csv` has columns name and city",),
)
def includes_columns(ctx: Context, path: str, columns: tuple[str, ...]) -> Result:
    """The header has the columns, each once, in any order and among others."""

    def find_faults(file: SeedFile) -> list[Fault]:
        lacking = [Fault(1, c, "missing") for c in columns if c not in file.sheet.columns]
        return [*lacking, *file.sheet.faults]

    return judge_files(
        seed_files(ctx, path),
        "columns",
        find_faults,
        lambda file: f"{file.path} has {', '.join(columns)}",
    )


@check(
    "{path:csvfile} is (valid|well-formed)",
    "{path:csvfile} has no malformed rows",
    "[the] [seed] CSV [file] (is valid|is well-formed|has no malformed rows)",
    "(every|each) row [of {path:csvfile}] has {width:int} (cells|columns|fields)",
    "all cells [of {path:csvfile}] (have|are of) the right type",
    name="csv.well-formed",
    examples=("`data/branches.csv` is well-formed", "every row has 20 cells"),
)
def is_well_formed(ctx: Context, path: str = "", width: int = 0) -> Result:
    """Every row has as many cells as the header, every cell the type of its column."""

    def find_faults(file: SeedFile) -> Iterator[Fault]:
        columns = file.sheet.columns
        if len(columns) == 1 and re.search(r"[;\t|]", columns[0]):
            yield Fault(1, "", "one column: cells have to be separated by commas")
        if width and len(columns) != width:
            yield Fault(1, "", f"{len(columns)} columns, not {width}")
        yield from cell_faults(file.sheet, file.table)

    def conclude(file: SeedFile) -> str:
        typed = "all well typed" if file.table else "no SQL defines their types"
        size = f"{len(file.sheet.rows)} rows of {len(file.sheet.columns)} cells"
        return f"{file.path}: {size}, {typed}"

    return judge_files(seed_files(ctx, path), "malformed", find_faults, conclude)


@check(
    "[all] percentages [in {path:csvfile}] are (in range|within range|between 0 and 100|"
    "from 0 to 100)",
    "(every|each) percentage [in {path:csvfile}] is (in range|within range|between 0 and 100)",
    name="csv.percentages",
    examples=("all percentages are in range", "every percentage is between 0 and 100"),
)
def percentages_in_range(ctx: Context, path: str = "") -> Result:
    """Every cell of a percent column is a number from 0 to 100."""

    def percent_columns(file: SeedFile) -> list[str]:
        return [c for c in file.sheet.columns if is_percent(c)]

    def find_faults(file: SeedFile) -> list[Fault]:
        columns = (*percent_columns(file), "")
        return [f for f in cell_faults(file.sheet, file.table) if f.column in columns]

    def conclude(file: SeedFile) -> str | Result:
        columns = percent_columns(file)
        if not columns:
            return unproven(f"{file.path} has no percent column (…_pct, …_percent)", file.path)
        cells = sum(len(file.sheet.filled(c)) for c in columns)
        return f"{file.path}: {cells} percentages from 0 to 100"

    return judge_files(seed_files(ctx, path), "percentages", find_faults, conclude)


@check(
    "no (empty|blank|missing) required (cell|cells|value|values) [in {path:csvfile}]",
    "no required (cell|column|value) [of {path:csvfile}] is (empty|blank|missing)",
    "all required (cells|columns|values) [of {path:csvfile}] are (filled|populated|set)",
    name="csv.required",
    examples=("no empty required cell", "all required columns are filled"),
)
def required_cells_filled(ctx: Context, path: str = "") -> Result:
    """Every column that is NOT NULL without a default is filled in every row."""

    def find_faults(file: SeedFile) -> list[Fault]:
        if file.table is None:
            return []
        return [*file.sheet.faults, *required_blanks(file.sheet, file.table)]

    def conclude(file: SeedFile) -> str | Result:
        if file.table is None:
            said = f"{file.path}: no SQL defines its table, so no cell is required"
            return unproven(said, file.path)
        return f"{file.path}: required cells are filled in every row"

    return judge_files(seed_files(ctx, path), "required cells", find_faults, conclude)


@check(
    "no change (score|scores) [is|are] (taken for|entered as|mistaken for) [an|the] "
    "(endpoint|endpoints)",
    "[all] (endpoint|endpoints) are [endpoint] (scores|means), not changes",
    name="csv.endpoints",
    examples=("no change score is taken for an endpoint",),
)
def endpoints_are_no_changes(ctx: Context) -> Result:
    """No endpoint cell equals the change that its row gives, unless both truly agree."""
    return judge_files(
        seed_files(ctx),
        "endpoints",
        lambda file: [*file.sheet.faults, *change_taken_for_endpoint(file.sheet)],
        lambda file: f"{file.path}: no endpoint is the change that its row gives",
    )
