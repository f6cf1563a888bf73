"""Checks of where seed data comes from: citations, DOIs, the source of every figure, licenses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrate_agents.checks.data.subjects import (
    SeedFile,
    column_named,
    files_of_table,
    judge_files,
    report_faults,
    seed_files,
    shorten,
)
from orchestrate_agents.seed_data.csv_file import Fault
from orchestrate_agents.seed_data.licenses import LicenseStatus, license_status
from orchestrate_agents.seed_data.table_schema import (
    vocabulary,
    words,
)
from orchestrate_agents.seed_data.verified_facts import (
    dois,
    malformed_doi,
)
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    unproven,
)

#: what people write into a cell that they have nothing for
_PLACEHOLDER = re.compile(
    r"(?:[\W_]+|n\.?/?a\.?|none|null|nil|nan|tbd|tbc|todo|unknown|unspecified|pending|x+|\?+|"
    r"missing|citation(?: needed)?|source|lorem ipsum.*)",
    re.IGNORECASE,
)
#: words in the names of columns that say where something was published
CITING = vocabulary("citation citations reference references source sources doi")


# -- citations and sources -------------------------------------------------------------------------


@check(
    "{path:csvfile} has [a|the] {column:name} [column] (populated|filled|set) (for|in) "
    "(every|each|all) (row|rows)",
    "[the] {column:name} column [of {path:csvfile}] is (populated|filled|set) (for|in) "
    "(every|each|all) (row|rows)",
    "(every|each) (row|record) (of|in) {path:csvfile} has [a|an] {column:name} [value]",
    "all (rows|records) (of|in) {path:csvfile} have [a|an] {column:name} [value]",
    "{path:csvfile} (has no|contains no|does not have [any]|does not contain [any]) "
    "(empty|blank|missing) (values|cells) in [the] [column] {column:csvcolumn} [column]",
    "[there are] no (empty|blank|missing) (values|cells) in [the] [column] {column:csvcolumn} "
    "[column] (of|in) {path:csvfile}",
    "no {column:csvcolumn} (of|in) {path:csvfile} is (empty|blank|missing)",
    "[the] [column] {column:csvcolumn} [column] (of|in) {path:csvfile} is "
    "(never empty|never blank|not empty|not blank|always filled|filled in every row)",
    name="csv.column-filled",
    examples=("branches_seed.csv has source_citation column populated for every row",),
)
def column_is_filled(ctx: Context, column: str, path: str = "") -> Result:
    """Every row has the cell filled, and not with white space or a placeholder."""
    return _judge_filled(seed_files(ctx, path), column)


@check(
    "{table:name} — all [rows] have [a|an] {column:name} \\| 100%",
    "all {table:name} (rows|records) have [a|an] {column:name} [\\| 100%]",
    "{table:name} (rows|records) with [a|an] {column:name} \\| 100%",
    name="csv.table-column-filled",
    examples=("branches — all have citation | 100%",),
)
def table_column_is_filled(ctx: Context, table: str, column: str) -> Result:
    """The same in every CSV file that seeds the table."""
    return _judge_filled(files_of_table(ctx, table), column)


def _judge_filled(found: tuple[SeedFile, ...] | Result, name: str) -> Result:
    def find_faults(file: SeedFile) -> Iterator[Fault]:
        column = column_named(file, name)
        if column is None:
            return
        yield from file.sheet.faults
        if not file.sheet.rows:
            yield Fault(1, "", "there are no rows")
        for row in file.sheet.rows:
            if problem := _find_blank(column, row.get(column)):
                yield Fault(row.line, column, problem)

    def conclude(file: SeedFile) -> str | Result:
        column = column_named(file, name)
        if column is None:
            return failed(f"{file.path} has no column {name}", file.path)
        rows = len(file.sheet.rows)
        return f"{file.path}: {column} is filled in {rows} of {rows} rows"

    return judge_files(found, name, find_faults, conclude)


def _find_blank(column: str, text: str) -> str:
    """Why the cell does not count as filled, "" if it does."""
    if not text:
        return "blank"
    if _PLACEHOLDER.fullmatch(text):
        return f"{text!r} is a placeholder"
    if words(column) & CITING:
        if bad := malformed_doi(text):
            return f"{bad!r} is not a DOI"
        terms = re.findall(r"[^\W\d_]{2,}", text)
        # two words and a year, or a title of some length
        names_work = len(terms) >= 4 or (len(terms) >= 2 and re.search(r"\b(?:19|20)\d\d\b", text))
        if not (dois(text) or re.search(r"https?://\S+\.\S+", text) or names_work):
            return f"{text[:40]!r} names no work"
    return ""


@check(
    "(all|every|each) (DOI|DOIs) [in {path:csvfile}] (is|are) (well-formed|valid)",
    name="csv.dois",
    examples=("all DOIs are well-formed",),
)
def dois_well_formed(ctx: Context, path: str = "") -> Result:
    """Everything that calls itself a DOI is one by form: 10.<registrant>/<suffix>."""

    def conclude(file: SeedFile) -> str | Result:
        count = sum(len(dois(text)) for row in file.sheet.rows for text in row.cells.values())
        if not count:
            return unproven(f"{file.path} holds no DOI", file.path)
        return f"{file.path}: {count} DOIs, all well-formed"

    return judge_files(
        seed_files(ctx, path),
        "DOIs",
        lambda file: [*file.sheet.faults, *find_malformed_dois(file)],
        conclude,
    )


def find_malformed_dois(file: SeedFile) -> Iterator[Fault]:
    """Everything in the file that calls itself a DOI and is none."""
    for row in file.sheet.rows:
        for column, text in row.cells.items():
            if bad := malformed_doi(text):
                yield Fault(row.line, column, f"{bad!r} is not a DOI")


# -- licenses --------------------------------------------------------------------------------------


@check(
    "{column:name} [= TRUE] is (accurate|correct|right) for (each|every) (row's|row’s) "
    "{license:name}",
    "{column:name} is TRUE only where [the] {license:name} allows [it|free use|reuse]",
    name="csv.free-use",
    examples=("data_freely_usable = TRUE is accurate for each row's license",),
)
def free_use_is_licensed(ctx: Context, column: str, license: str) -> Result:
    """A row says TRUE only where its license is on the allow-list, with no word that restricts it.

    A blank cell counts as TRUE where the table's default is TRUE.
    """
    found = seed_files(ctx)
    if isinstance(found, Result):
        return found
    having = tuple(file for file in found if column_named(file, column))
    if not having:
        return failed(f"no CSV file has a column {column}", *(file.path for file in found))

    def conclude(file: SeedFile) -> str | Result:
        free, of = column_named(file, column), column_named(file, license)
        if free is None or of is None:
            return failed(f"{file.path} has no column {license}", file.path)
        count, faults = _judge_free_use(file, free, of)
        if faults:
            return report_faults(file, f"{free} is not accurate", faults)
        rows = len(file.sheet.rows)
        return f"{file.path}: {count} of {rows} rows say TRUE, each under an open license"

    return judge_files(having, "", lambda _: (), conclude)


def _judge_free_use(file: SeedFile, column: str, license: str) -> tuple[int, list[Fault]]:
    """How many rows say TRUE, and what speaks against it."""
    declared = file.table.column(column) if file.table else None
    default = declared is not None and (declared.default or "").lower() == "true"
    faults = list(file.sheet.faults)
    count = 0
    for row in file.sheet.rows:
        cell, text = row.get(column), row.get(license)
        if cell.lower() not in ("true", "false", ""):
            faults.append(Fault(row.line, column, f"{cell!r} is neither true nor false"))
        elif cell.lower() == "true" or (not cell and default):
            count += 1
            found = license_status(text)
            if found is not LicenseStatus.OPEN:
                said = "TRUE" if cell else "blank, and the table's default is TRUE"
                problem = f"{said}, but the license {shorten(text)!r}: {found.value}"
                faults.append(Fault(row.line, column, problem))
            verified = file.facts.row_like(row) if file.facts else None
            if verified and verified.get(column).lower() == "false":
                faults.append(Fault(row.line, column, "TRUE, but the verified facts hold false"))
    return count, faults
