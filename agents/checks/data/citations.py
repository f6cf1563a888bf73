"""Checks of where seed data comes from: citations, DOIs, the source of every figure, licences."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrate_agents.checks.data.subjects import (
    Data,
    column_named,
    data_files,
    each,
    files_of_table,
    with_problems,
)
from orchestrate_agents.seed_data.csv_file import Fault, Row
from orchestrate_agents.seed_data.licenses import Standing, standing
from orchestrate_agents.seed_data.table_schema import (
    cell_faults,
    change_taken_for_endpoint,
    kinds,
    vocabulary,
    words,
)
from orchestrate_agents.seed_data.verified_facts import (
    dois,
    evidence_problem,
    malformed_doi,
    same_value,
)
from orchestrator.gates.checks import Context, Result, check, failed, proven, unproven

#: what people write into a cell that they have nothing for
_PLACEHOLDER = re.compile(
    r"(?:[\W_]+|n\.?/?a\.?|none|null|nil|nan|tbd|tbc|todo|unknown|unspecified|pending|x+|\?+|"
    r"missing|citation(?: needed)?|source|lorem ipsum.*)",
    re.IGNORECASE,
)
#: longer texts are sentences
_LONGEST_CATEGORY = 80
_CITING = vocabulary("citation citations reference references source sources doi")


# -- citations and sources -------------------------------------------------------------------------


@check(
    "{path:path} has [a|the] {column:name} [column] (populated|filled|set) (for|in) "
    "(every|each|all) (row|rows)",
    "[the] {column:name} column [of {path:path}] is (populated|filled|set) (for|in) "
    "(every|each|all) (row|rows)",
    "(every|each) row of {path:path} has [a|an] {column:name}",
    "all rows of {path:path} have [a|an] {column:name}",
    name="csv.column-filled",
    examples=("benchmark_cohorts_seed.csv has source_citation column populated for every row",),
)
def column_is_filled(ctx: Context, column: str, path: str = "") -> Result:
    """Every row has the cell filled, and not with white space or a placeholder."""
    return each(data_files(ctx, path), lambda data: _filled(data, column))


@check(
    "{table:name} — all [rows] have [a|an] {column:name} \\| 100%",
    "all {table:name} (rows|records) have [a|an] {column:name} [\\| 100%]",
    "{table:name} (rows|records) with [a|an] {column:name} \\| 100%",
    name="csv.table-column-filled",
    examples=("benchmark_cohorts — all have citation | 100%",),
)
def table_column_is_filled(ctx: Context, table: str, column: str) -> Result:
    """The same in every CSV file that seeds the table."""
    return each(files_of_table(ctx, table), lambda data: _filled(data, column))


def _filled(data: Data, name: str) -> Result:
    column = column_named(data, name)
    if column is None:
        return failed(f"{data.path} has no column {name}", data.path)
    faults = list(data.sheet.faults)
    for row in data.sheet.rows:
        problem = _not_filled(column, row.get(column))
        if problem:
            faults.append(Fault(row.line, column, problem))
    if faults or not data.sheet.rows:
        return with_problems(data, column, faults or [Fault(1, "", "there are no rows")])
    rows = len(data.sheet.rows)
    return proven(f"{data.path}: {column} is filled in {rows} of {rows} rows", data.path)


def _not_filled(column: str, text: str) -> str:
    if not text:
        return "blank"
    if _PLACEHOLDER.fullmatch(text):
        return f"{text!r} stands for nothing"
    if words(column) & _CITING:
        if bad := malformed_doi(text):
            return f"{bad!r} is no DOI"
        if not (dois(text) or re.search(r"https?://\S+\.\S+", text) or _names_work(text)):
            return f"{text[:40]!r} names no work"
    return ""


def _names_work(text: str) -> bool:
    """At least two words, one of them a name, and a year, or a title of some length."""
    terms = re.findall(r"[^\W\d_]{2,}", text)
    return len(terms) >= 2 and (bool(re.search(r"\b(?:19|20)\d\d\b", text)) or len(terms) >= 4)


@check(
    "(all|every|each) (DOI|DOIs) [in {path:path}] (is|are) (well-formed|valid)",
    name="csv.dois",
    examples=("all DOIs are well-formed",),
)
def dois_well_formed(ctx: Context, path: str = "") -> Result:
    """Everything that calls itself a DOI is one by form: 10.<registrant>/<suffix>."""

    def judge(data: Data) -> Result:
        faults = [*data.sheet.faults, *_doi_faults(data)]
        if faults:
            return with_problems(data, "DOIs", faults)
        count = sum(len(dois(text)) for row in data.sheet.rows for text in row.cells.values())
        if not count:
            return unproven(f"{data.path} holds no DOI", data.path)
        return proven(f"{data.path}: {count} DOIs, all well-formed", data.path)

    return each(data_files(ctx, path), judge)


def _doi_faults(data: Data) -> Iterator[Fault]:
    for row in data.sheet.rows:
        for column, text in row.cells.items():
            if bad := malformed_doi(text):
                yield Fault(row.line, column, f"{bad!r} is no DOI")


@check(
    "[all] (values|numbers|figures) [are] (verified|checked|validated) against [the] "
    "[source|published|original] (papers|sources|publications|literature)",
    "(every|each) (value|number|figure) [in {path:path}] is (verified|checked) against [its|the|a] "
    "[source|published] (paper|source|publication)",
    "(every|each) (value|number|figure) [in {path:path}] (must cite|cites|must have|has) a [real] "
    "[published] source",
    "all (values|numbers|figures) [in {path:path}] (cite|have) a [real] [published] source",
    "no (synthetic|invented|fabricated|made-up) [(or|and) (synthetic|invented|fabricated|made-up)] "
    "(data|values|numbers|figures)",
    name="csv.sourced",
    examples=(
        "all values verified against source papers",
        "No synthetic or invented data — every number must cite a real published source",
    ),
)
def every_figure_is_sourced(ctx: Context, path: str = "") -> Result:
    """Each figure has an entry beside the file: a published source, a place, what is printed there.

    Refuted also by a cell that is not what its entry or the verified facts hold, by a DOI that is
    not the sources', by a change score entered as an endpoint, and by any malformed cell.
    """

    def judge(data: Data) -> Result:
        faults = list(_source_faults(data))
        if faults:
            return with_problems(data, "not supported by a source", faults)
        return proven(_sourced_detail(data), *data.subjects)

    return each(data_files(ctx, path), judge)


def _sourced_detail(data: Data) -> str:
    typed = kinds(data.sheet, data.table)
    figures = sum(len(data.sheet.filled(c)) for c, kind in typed.items() if kind.numeric)
    beside = f", and agree with the {data.facts.origin}" if data.facts else ""
    return f"{data.path}: {figures} figures follow from what their sources print{beside}"


def _source_faults(data: Data) -> Iterator[Fault]:
    if data.sources_problem:
        yield Fault(1, "", f"{data.sources.path}: {data.sources_problem}")
    if not data.sheet.rows:
        yield Fault(1, "", "there are no rows")
    malformed = list(cell_faults(data.sheet, data.table))
    yield from malformed
    yield from _doi_faults(data)
    yield from change_taken_for_endpoint(data.sheet)
    broken = {(fault.line, fault.column) for fault in malformed}
    for row in data.sheet.rows:
        yield from (f for f in _row_faults(data, row) if (f.line, f.column) not in broken)


def _row_faults(data: Data, row: Row) -> Iterator[Fault]:
    entries = {entry.column: entry for entry in data.sources.of_row(row)}
    verified = data.facts.row_like(row) if data.facts else None
    typed = kinds(data.sheet, data.table)
    for column, text in row.cells.items():
        if not text:
            continue
        held = verified.get(column) if verified else ""
        if typed[column].numeric:
            problem = evidence_problem(entries.get(column), column, text)
        else:
            problem = _text_problem(entries[column].value, text) if column in entries else ""
        if not problem and held:
            if _is_vouched(column, typed[column].numeric):
                problem = _text_problem(held, text, "the verified facts hold")
            elif data.facts and text.lower() not in ("true", "false"):
                problem = _category_problem(data.facts.values(column), held, text)
        if problem:
            yield Fault(row.line, column, problem)
    yield from _foreign_dois(row, {d for e in entries.values() for d in dois(e.source)})


def _is_vouched(column: str, numeric: bool) -> bool:
    """Whether the verified facts decide about a column: figures, citations, licences."""
    return numeric or bool(words(column) & (_CITING | {"license", "licence"}))


def _category_problem(known: frozenset[str], held: str, text: str) -> str:
    """What is wrong with a word that others look rows up by.

    Another wording than the facts' is the writer's own; the word of another row is not.
    """
    if text == held or len(text) > _LONGEST_CATEGORY:
        return ""
    if text.casefold() == held.casefold():
        return f"{text}, but it is written {held}"
    if text.casefold() in {each.casefold() for each in known}:
        return f"{text} is true of another row; the verified facts hold {_short(held)} for this one"
    return ""


def _text_problem(held: str, text: str, who: str = "its source entry holds") -> str:
    return "" if same_value(held, text) else f"{_short(text)}, but {who} {_short(held)}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def _foreign_dois(row: Row, known: set[str]) -> Iterator[Fault]:
    for column, text in row.cells.items():
        if words(column) & _CITING and known:
            for doi in dois(text):
                if doi not in known:
                    yield Fault(row.line, column, f"{doi} is not among the row's sources")


# -- licences --------------------------------------------------------------------------------------


@check(
    "{column:name} [= TRUE] is (accurate|correct|right) for (each|every) (row's|row’s) "
    "{licence:name}",
    "{column:name} is TRUE only where [the] {licence:name} allows [it|free use|reuse]",
    name="csv.free-use",
    examples=("data_freely_usable = TRUE is accurate for each row's license",),
)
def free_use_is_licensed(ctx: Context, column: str, licence: str) -> Result:
    """A row says TRUE only where its licence is on the allow-list, with no word that takes it back.

    A blank cell counts as TRUE where the table's default is TRUE.
    """
    found = data_files(ctx)
    if isinstance(found, Result):
        return found
    having = tuple(d for d in found if column_named(d, column))
    if not having:
        return failed(f"no CSV file has a column {column}", *(d.path for d in found))
    return each(having, lambda data: _free_use(data, column, licence))


def _free_use(data: Data, column_text: str, licence_text: str) -> Result:
    column, licence = column_named(data, column_text), column_named(data, licence_text)
    if column is None or licence is None:
        return failed(f"{data.path} has no column {licence_text}", data.path)
    faults = list(data.sheet.faults)
    free = 0
    for row in data.sheet.rows:
        said = row.get(column).lower()
        if said not in ("true", "false", ""):
            faults.append(Fault(row.line, column, f"{row.get(column)!r} is no true or false"))
        elif said == "true" or (not said and _default_is_true(data, column)):
            free += 1
            faults.extend(_licence_faults(data, row, column, licence))
    if faults:
        return with_problems(data, f"{column} is not accurate", faults)
    rows = len(data.sheet.rows)
    detail = f"{data.path}: {free} of {rows} rows say TRUE, each under an open licence"
    return proven(detail, data.path)


def _default_is_true(data: Data, column: str) -> bool:
    declared = data.table.column(column) if data.table else None
    return declared is not None and (declared.default or "").lower() == "true"


def _licence_faults(data: Data, row: Row, column: str, licence: str) -> Iterator[Fault]:
    text = row.get(licence)
    found = standing(text)
    if found is not Standing.OPEN:
        said = "TRUE" if row.get(column) else "blank, and the table's default is TRUE"
        yield Fault(row.line, column, f"{said}, but the licence {_short(text)!r}: {found.value}")
    verified = data.facts.row_like(row) if data.facts else None
    if verified and (held := verified.get(column)) and held.lower() == "false":
        yield Fault(row.line, column, "TRUE, but the verified facts hold false")
