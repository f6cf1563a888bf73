"""What a table demands of seed data: typed cells, required columns, and when a row is complete.

A row is *complete* if every column that the table requires (NOT NULL, without a default) is filled
and at least one outcome figure is. An outcome figure is a nullable numeric column that is not a
sample size, a spread, a starting value, a point in time, an age or a key, by the words of its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import PurePosixPath

from orchestrate_agents.seed_data.csv_file import Fault, Sheet, SheetRow
from orchestrate_agents.sql.parse import Column, SqlError, Table, tables_of
from orchestrator.domain.workflow import Workflow


class Kind(StrEnum):
    """What a cell holds."""

    TEXT = "text"
    INTEGER = "whole number"
    NUMBER = "number"
    BOOLEAN = "true or false"
    DATE = "date"

    @property
    def numeric(self) -> bool:
        return self in (Kind.INTEGER, Kind.NUMBER)


_INTEGERS = frozenset({"integer", "int", "bigint", "smallint", "int2", "int4", "int8"})
_NUMBERS = ("numeric", "decimal", "real", "double precision", "float")


def vocabulary(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


#: words in the names of nullable numeric columns that are not outcomes
_SAMPLE = vocabulary("n count enrollment enrolment sample participants episodes total")
_SPREAD = vocabulary("sd se sem ci var variance stderr lower upper iqr")
_START = vocabulary("baseline pre initial before prior")
_TIME = vocabulary("followup follow week weeks month months year years duration visit")
_OTHER = vocabulary("age id code rank order version lat lon latitude longitude")
_NO_OUTCOME = _SAMPLE | _SPREAD | _START | _TIME | _OTHER
_PERCENT = vocabulary("pct percent percentage")


def words(column: str) -> frozenset[str]:
    """The words of a column's name: `response_rate_pct` → response, rate, pct."""
    return frozenset(re.split(r"[^a-z0-9]+", column.lower())) - {""}


def kind_of(sql_type: str) -> Kind:
    """The kind of cell that a PostgreSQL type takes from a CSV file."""
    name = re.sub(r"\s*\(.*\)", "", sql_type.lower()).strip()
    if name in _INTEGERS:
        return Kind.INTEGER
    if name.startswith(_NUMBERS):
        return Kind.NUMBER
    return {"boolean": Kind.BOOLEAN, "bool": Kind.BOOLEAN, "date": Kind.DATE}.get(name, Kind.TEXT)


def is_percent(column: str) -> bool:
    """Whether a column holds a percentage, by its name."""
    return bool(words(column) & _PERCENT)


def is_sample_size(column: str) -> bool:
    """Whether a column counts people, by its name (`n`, `n_participants`, `sample_size`)."""
    found = words(column)
    return "n" in found or {"sample", "size"} <= found or bool(found & {"enrollment", "enrolment"})


def made_by_server(column: Column) -> bool:
    """Surrogate keys and time stamps, which no seed file holds."""
    stamp = column.type.startswith("timestamp")
    return column.generated or (column.default is not None and (column.primary_key or stamp))


def seed_columns(table: Table) -> tuple[str, ...]:
    """The columns that a seed file of the table has, in the table's order."""
    return tuple(c.name for c in table.columns if not made_by_server(c))


def required_columns(table: Table) -> tuple[str, ...]:
    """NOT NULL, without a default and not made by the server."""
    return tuple(
        c.name for c in table.columns if c.not_null and c.default is None and not made_by_server(c)
    )


def outcome_columns(table: Table) -> tuple[str, ...]:
    """Nullable numeric columns that hold a result (see the module's rule)."""
    return tuple(
        c.name
        for c in table.columns
        if kind_of(c.type).numeric and not c.not_null and not words(c.name) & _NO_OUTCOME
    )


def workflow_tables(workflow: Workflow) -> tuple[Table, ...]:
    """Every table that the workflow's SQL blocks create, of the blocks that can be parsed."""
    found: dict[str, Table] = {}
    for stage in workflow.stages:
        for block in (*stage.blocks, *(d.block for d in stage.deliverables if d.block)):
            if block.language.lower() in ("sql", "postgres", "postgresql", "pgsql"):
                with suppress(SqlError):
                    for table in tables_of(block.text):
                        found.setdefault(table.qualified, table)
    return tuple(found.values())


def table_for(csv_path: str, tables: Iterable[Table], columns: Sequence[str] = ()) -> Table | None:
    """The table that a CSV file seeds: the one with the longest name that is in the file's.

    Failing that, the only table that has all of the file's columns, or else the only one whose name
    has all of the file's words, in singular or plural. None if several fit.
    """
    known = tuple(tables)
    stem = PurePosixPath(csv_path).name.removesuffix(".csv").lower()
    named = [
        t for t in known if re.search(rf"(?:^|[-_.]){re.escape(t.name.lower())}(?:$|[-_.])", stem)
    ]
    if named:
        return max(named, key=lambda t: len(t.name))
    subject = singulars(stem) - _ABOUT_FILES
    alike = [t for t in known if subject and subject <= singulars(t.name)]
    holding = [t for t in known if len(columns) > 1 and all(t.column(c) for c in columns)]
    both = [t for t in holding if t in alike]
    return next((only[0] for only in (both, holding, alike) if len(only) == 1), None)


#: words of a file's name that say nothing about its subject
_ABOUT_FILES = frozenset({"csv", "data", "seed", "initial", "import", "list"})


def singulars(name: str) -> frozenset[str]:
    """The words of a name, each without its plural ending."""
    found = (re.sub(r"(?<=ch|sh|ss)es$|(?<=[xz])es$|s$", "", w) for w in words(name))
    return frozenset(re.sub(r"ie$", "y", w) for w in found)


@dataclass(frozen=True)
class Completeness:
    """When a row counts as complete."""

    #: table name, "" if no SQL defines one
    table: str
    required: tuple[str, ...]
    outcomes: tuple[str, ...]

    @property
    def definition(self) -> str:
        """The rule in one sentence, for receipts and reports."""
        whose = f"table {self.table} requires" if self.table else "the file has, as no SQL defines"
        rule = f"complete row = every column that {whose} ({', '.join(self.required) or 'none'})"
        if not self.table:
            rule = f"complete row = every column filled ({', '.join(self.required)})"
        if self.outcomes:
            rule += f" and at least one outcome figure ({', '.join(self.outcomes)})"
        return rule

    @property
    def wanted(self) -> str:
        """What a complete row has, in few words."""
        one = " and at least one outcome figure" if self.outcomes else ""
        return f"all {'required ' if self.table else ''}columns{one}"

    def lacking(self, row: SheetRow) -> str:
        """Why the row is not complete, "" if it is."""
        blank = [c for c in self.required if not row.get(c)]
        if blank:
            return "blank: " + ", ".join(blank)
        if self.outcomes and not any(row.get(c) for c in self.outcomes):
            return "no outcome figure"
        return ""


#: columns that may stay empty where no table says what is required
_REMARKS = vocabulary("notes note comment comments remarks remark")


def completeness(table: Table | None, columns: Sequence[str]) -> Completeness:
    """The rule for a file with these columns; without a table every column but remarks counts."""
    if table is None:
        return Completeness("", tuple(c for c in columns if not words(c) & _REMARKS), ())
    return Completeness(table.name, required_columns(table), outcome_columns(table))


def kinds(sheet: Sheet, table: Table | None) -> Mapping[str, Kind]:
    """The kind of every column: the table's, else what most of its cells look like."""
    known = {c.name: kind_of(c.type) for c in table.columns} if table else {}
    found = {}
    for column in sheet.columns:
        cells = [row.get(column) for row in sheet.filled(column)]
        numeric = sum(1 for cell in cells if not cell_problem(Kind.NUMBER, cell))
        seen = Kind.NUMBER if cells and numeric * 4 > len(cells) * 3 else Kind.TEXT
        found[column] = known.get(column) or seen
    return found


_FORMS = {
    Kind.INTEGER: re.compile(r"[+-]?\d{1,18}", re.ASCII),
    Kind.NUMBER: re.compile(
        r"[+-]?(?:\d{1,30}(?:\.\d{1,30})?|\.\d{1,30})(?:[eE][+-]?\d\d?)?", re.A
    ),
    Kind.BOOLEAN: re.compile(r"true|false", re.IGNORECASE | re.ASCII),
    Kind.DATE: re.compile(r"\d{4}-\d\d-\d\d"),
}
_NOT_A = {
    Kind.INTEGER: "not a whole number",
    Kind.NUMBER: "not a number",
    Kind.BOOLEAN: "not true or false",
    Kind.DATE: "not a date (YYYY-MM-DD)",
}


def cell_problem(kind: Kind, text: str) -> str:
    """What is wrong with a filled cell of that kind, "" if nothing is."""
    form = _FORMS.get(kind)
    if form is None:
        return ""
    try:
        if form.fullmatch(text) and (kind is not Kind.DATE or date.fromisoformat(text)):
            return ""
    except ValueError:
        pass
    return f"{text if len(text) <= 40 else text[:39] + '…'!r} is {_NOT_A[kind]}"


def cell_faults(sheet: Sheet, table: Table | None) -> Iterator[Fault]:
    """The file's own faults, then cells of the wrong type or out of range."""
    yield from sheet.faults
    of = kinds(sheet, table)
    for row in sheet.rows:
        for column, kind in of.items():
            text = row.get(column)
            if not text:
                continue
            problem = cell_problem(kind, text)
            if not problem and kind.numeric:
                value = float(text)
                if is_percent(column) and not 0 <= value <= 100:
                    problem = f"{text} is not a percentage (0 to 100)"
                elif value < 0 and (is_sample_size(column) or words(column) & _SPREAD):
                    problem = f"{text} is negative"
            if problem:
                yield Fault(row.line, column, problem)


def required_blanks(sheet: Sheet, table: Table | None) -> Iterator[Fault]:
    """Required cells that are empty, and required columns that are missing."""
    for column in required_columns(table) if table else ():
        if column not in sheet.columns:
            yield Fault(1, column, "the required column is missing")
            continue
        for row in sheet.rows:
            if not row.get(column):
                yield Fault(row.line, column, "required and blank")


_ENDPOINT = re.compile(
    r"^(?:endpoint|end|post|final|followup|follow_up|outcome)_(?P<rest>.*(?:mean|score).*)$"
)
_CHANGE = re.compile(r"\bchanges?\b[^.;\d]{0,40}?(?P<figure>[-−–]?\d+(?:\.\d+)?)", re.IGNORECASE)
_ROUNDING = 0.25


def change_taken_for_endpoint(sheet: Sheet) -> Iterator[Fault]:
    """Endpoints whose figure is the change that the same row gives (in a column or in its words).

    Not where baseline and change add up to the endpoint: then it equals the change by chance.
    """
    for column in sheet.columns:
        named = _ENDPOINT.match(column.lower())
        if named is None or words(column) & _SPREAD:
            continue
        for row in sheet.rows:
            endpoint = _number(row.get(column))
            if endpoint is None:
                continue
            rest = named["rest"]
            baseline = _number(row.get(f"baseline_{rest}") or row.get(f"pre_{rest}"))
            equal = [c for c in _changes(row) if abs(abs(c) - abs(endpoint)) < 0.005]
            if any(
                baseline is None or abs(baseline - abs(c) - endpoint) > _ROUNDING for c in equal
            ):
                yield Fault(row.line, column, f"{row.get(column)} is the change, not the endpoint")


def _changes(row: SheetRow) -> Iterator[float]:
    for column, text in row.cells.items():
        figure = _number(text)
        if figure is None:
            for found in _CHANGE.finditer(text):
                yield float(found["figure"].replace("−", "-").replace("–", "-"))
        elif "change" in words(column):
            yield figure


def _number(text: str) -> float | None:
    return float(text) if text and not cell_problem(Kind.NUMBER, text) else None
