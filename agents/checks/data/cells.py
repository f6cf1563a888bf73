"""Checks of one column's cells: among values, within bounds, in order, known elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from itertools import pairwise

from orchestrate_agents.checks.data.subjects import (
    SeedFile,
    column_of,
    judge_files,
    seed_files,
    shorten,
)
from orchestrate_agents.seed_data.csv_file import Fault, SheetRow
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

_QUOTED = r"(?:`[^`\n]+`|\"[^\"\n]+\"|'[^'\n]+')"
_WORD = r"(?!(?:not|only|unique|never|always)\b)[A-Za-z0-9][\w.-]*"
_VALUE = re.compile(rf"{_QUOTED}|(?<![\w.-])(?!(?:or|and)\b)[\w.-]+", re.IGNORECASE)
_COMMA, _OR = r"\s*,\s*", r"(?:\s*[,/]\s*(?:(?:or|and)\s+)?|\s+(?:or|and)\s+)"


def read_values(text: str) -> tuple[str, ...]:
    """`` `open` or `closed` ``, `open, closed or done`."""
    return tuple(word.strip("`\"'") for word in _VALUE.findall(text))


# one quoted word, or several that are not quoted, may say what the values are like: `NOT NULL`
parameter_type("cellvalues", rf"{_QUOTED}(?:{_OR}{_QUOTED})+", read_values)
parameter_type(
    "listedvalues",
    rf"(?:{_QUOTED}(?:{_OR}{_QUOTED})*|{_WORD}(?:{_COMMA}{_WORD})*(?:\s*,)?\s+(?:or|and)\s+{_WORD})",
    read_values,
)

_NUMBER = r"-?\d+(?:\.\d+)?"
_BOUNDS = {
    r"(?:at least|not less than|no less than|>=|≥)": ">=",
    r"(?:at most|not more than|no more than|<=|≤)": "<=",
    r"(?:greater than|more than|larger than|above|over|>)": ">",
    r"(?:less than|smaller than|below|under|<)": "<",
}
_SIGNS = {"positive": (">", "0"), "negative": ("<", "0")}
_NOT_NEGATIVE = r"(?:non-?negative|not negative|never negative|zero or more)"
_COMPARES: dict[str, Callable[[Decimal, Decimal], bool]] = {
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
}


@dataclass(frozen=True)
class Bound:
    """What a number has to be: `>= 0`."""

    sign: str
    number: Decimal

    def holds(self, value: Decimal) -> bool:
        return _COMPARES[self.sign](value, self.number)

    def __str__(self) -> str:
        return f"{self.sign} {self.number}"


def read_bounds(text: str) -> tuple[Bound, ...]:
    """`between 0 and 120`, `at least 3`, `positive`."""
    numbers = [Decimal(n) for n in re.findall(_NUMBER, text)]
    if len(numbers) == 2:
        return (Bound(">=", numbers[0]), Bound("<=", numbers[1]))
    if not numbers:
        said = re.fullmatch(r"(?:positive|negative)", text.strip(), re.IGNORECASE)
        sign, number = _SIGNS[said[0].lower()] if said else (">=", "0")
        return (Bound(sign, Decimal(number)),)
    sign = next(s for words, s in _BOUNDS.items() if re.match(words, text.strip(), re.IGNORECASE))
    return (Bound(sign, numbers[0]),)


parameter_type(
    "bounds",
    rf"(?:(?:between\s+{_NUMBER}\s+and|from\s+{_NUMBER}\s+to)\s*{_NUMBER}"
    rf"|(?:{'|'.join(_BOUNDS)})\s*{_NUMBER}|positive|negative|{_NOT_NEGATIVE})",
    read_bounds,
)
parameter_type(
    "descending",
    r"(?:\(?(?:in\s+)?(?:ascending|descending|asc|desc)(?:\s+order)?\)?|newest first|oldest first"
    r"|largest first|smallest first|highest first|lowest first)",
    lambda text: re.search(r"desc|newest|largest|highest", text, re.IGNORECASE) is not None,
)

_OF = "[the] [(values|cells|value|cell) (of|in)] [the] [column] {column:csvcolumn} [column] (of|in)"


def _judge_column(
    ctx: Context,
    path: str,
    column: str,
    what: str,
    find_faults: Callable[[SeedFile, str], Iterator[Fault]],
    good: Callable[[SeedFile, str], str | Result],
) -> Result:
    """`judge_files` of one column, which has to be there."""

    def faults(file: SeedFile) -> Iterator[Fault]:
        found = column_of(file, column)
        yield from file.sheet.faults
        if found is not None:
            yield from find_faults(file, found)

    def conclude(file: SeedFile) -> str | Result:
        found = column_of(file, column)
        if found is None:
            # the word may be no column's: “every entry”
            return unproven(f"{file.path} has no column {column}", file.path)
        if not file.sheet.rows:
            return unproven(f"{file.path} has no rows", file.path)
        return good(file, found)

    return judge_files(seed_files(ctx, path), what, faults, conclude)


def _counted(file: SeedFile, name: str, good: str) -> str | Result:
    """What is said of a column's values, with how many there are; none prove nothing."""
    filled, rows = len(file.sheet.filled(name)), len(file.sheet.rows)
    if not filled:
        return unproven(f"{file.path}: {name} has no value", file.path)
    blank = f"; blank in {rows - filled} rows" if filled < rows else ""
    return f"{file.path}: {filled} values of {name} {good}{blank}"


@check(
    f"{_OF} {{path:csvfile}} (is|are) [(all|always)] {{values:cellvalues}}",
    f"{_OF} {{path:csvfile}} (is|are) [(all|always)] (one of|either) {{values:listedvalues}}",
    f"{_OF} {{path:csvfile}} (only has|has only|only contains|contains only) [the] "
    "(value|values) {values:listedvalues}",
    f"{_OF} {{path:csvfile}} (only contains|contains only) {{values:cellvalues}}",
    name="csv.values",
    examples=("`state` in `data/branches.csv` is one of `open`, `closed`",),
)
def is_among(ctx: Context, path: str, column: str, values: tuple[str, ...]) -> Result:
    """Every filled cell of the column has one of the values, letter by letter."""

    def others(file: SeedFile, name: str) -> Iterator[Fault]:
        for row in file.sheet.filled(name):
            if row.get(name) not in values:
                yield Fault(row.line, name, f"is {shorten(row.get(name))!r}")

    def good(file: SeedFile, name: str) -> str | Result:
        return _counted(file, name, f"are each one of {', '.join(values)}")

    return _judge_column(ctx, path, column, "other values", others, good)


def number_of(text: str) -> Decimal | None:
    """A cell as a number; None for other text, and for what is not finite."""
    if not re.fullmatch(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?", text):
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


@check(
    f"{_OF} {{path:csvfile}} (is|are|lies|lie) [(all|always)] {{bounds:bounds}}",
    "(every|each) {column:csvcolumn} (of|in) {path:csvfile} (is|lies) {bounds:bounds}",
    "all {column:csvcolumn} [values] (of|in) {path:csvfile} (are|lie) {bounds:bounds}",
    name="csv.bounds",
    examples=("`rooms` in `data/branches.csv` is between 1 and 40",),
)
def is_within(ctx: Context, path: str, column: str, bounds: tuple[Bound, ...]) -> Result:
    """Every filled cell of the column is a number within the bounds."""

    def outside(file: SeedFile, name: str) -> Iterator[Fault]:
        for row in file.sheet.filled(name):
            value = number_of(row.get(name))
            if value is None:
                yield Fault(row.line, name, f"is no number: {shorten(row.get(name))!r}")
            elif not all(bound.holds(value) for bound in bounds):
                yield Fault(row.line, name, f"is {value}")

    def good(file: SeedFile, name: str) -> str | Result:
        return _counted(file, name, f"are numbers {' and '.join(map(str, bounds))}")

    return _judge_column(ctx, path, column, "values outside", outside, good)


def _comparable(rows: tuple[SheetRow, ...], name: str) -> tuple[list[Decimal], str]:
    """The cells as numbers, days as theirs; none of texts, whose order is a language's."""
    cells = [row.get(name) for row in rows]
    numbers = [number for cell in cells if (number := number_of(cell)) is not None]
    if len(numbers) == len(cells):
        return numbers, "as numbers"
    try:
        return [Decimal(date.fromisoformat(cell).toordinal()) for cell in cells], "as days"
    except ValueError:
        return [], ""


@check(
    "{path:csvfile} is (sorted|ordered) by [the] [column] {column:csvcolumn} "
    "[{descending:descending}]",
    "[the] (rows|records) (of|in) {path:csvfile} are (sorted|ordered) by [the] [column] "
    "{column:csvcolumn} [{descending:descending}]",
    name="csv.sorted",
    examples=("`data/branches.csv` is sorted by opened",),
)
def is_sorted(ctx: Context, path: str, column: str, descending: bool = False) -> Result:
    """Each cell of the column is at least the one above it, as numbers or as days."""

    def out_of_order(file: SeedFile, name: str) -> Iterator[Fault]:
        values, _ = _comparable(file.sheet.rows, name)
        steps = zip(pairwise(values), pairwise(file.sheet.rows), strict=False)
        for (first, second), (above, below) in steps:
            if second > first if descending else second < first:
                said = f"{below.get(name)} stands below {above.get(name)}"
                yield Fault(below.line, name, said)

    def good(file: SeedFile, name: str) -> str | Result:
        values, how = _comparable(file.sheet.rows, name)
        if not values:
            said = f"{file.path}: how {name} sorts depends on the language"
            return unproven(f"{said}; numbers and days (2026-01-31) do not", file.path)
        return f"{file.path}: {len(values)} rows in order of {name}, {how}"

    return _judge_column(ctx, path, column, "out of order", out_of_order, good)


@check(
    "(every|each) {column:csvcolumn} (of|in) {path:csvfile} (exists|occurs|appears|is present|"
    "is found|is listed|is) in [the] [[column] {key:csvcolumn} [column] (of|in)] {other:csvfile}",
    "all {column:csvcolumn} [values] (of|in) {path:csvfile} (exist|occur|appear|are present|"
    "are found|are listed|are) in [the] [[column] {key:csvcolumn} [column] (of|in)] "
    "{other:csvfile}",
    f"{_OF} {{path:csvfile}} (references|refers to) [the] [[column] {{key:csvcolumn}} [column] "
    "(of|in)] {other:csvfile}",
    name="csv.known-elsewhere",
    examples=("Every `branch_id` in `data/hours.csv` exists in `data/branches.csv`",),
)
def is_known(ctx: Context, path: str, column: str, other: str, key: str = "") -> Result:
    """Every filled cell of the column is also a cell of the other file's column."""
    found = seed_files(ctx, other)
    if isinstance(found, Result):
        return found
    if len(found) != 1:
        return unproven(f"{other} could mean {len(found)} files", *(f.path for f in found))
    (there,) = found
    name = column_of(there, key or column)
    if name is None:
        return unproven(f"{there.path} has no column {key or column}: name it", there.path)
    if there.sheet.faults:
        return failed(f"{there.path}: {there.sheet.faults[0]}", there.path)
    known = {row.get(name) for row in there.sheet.rows}

    def unknown(file: SeedFile, own: str) -> Iterator[Fault]:
        for row in file.sheet.filled(own):
            if row.get(own) not in known:
                yield Fault(row.line, own, f"{shorten(row.get(own))!r} is not in {there.path}")

    def good(file: SeedFile, own: str) -> str | Result:
        said = _counted(file, own, f"are all in {name} of {there.path}")
        return said if isinstance(said, Result) else proven(said, file.path, there.path)

    return _judge_column(ctx, path, column, "unknown values", unknown, good)


parameter_type("decimal", _NUMBER, Fraction)


def _plain(number: Fraction) -> str:
    return str(number) if number.denominator == 1 else str(float(number))


@check(
    "[the] (sum|total) of [the] [column] {column:csvcolumn} [column] (of|in) {path:csvfile} "
    "(is|equals) [exactly] {total:decimal}",
    "[the] {column:csvcolumn} [(values|column)] (of|in) {path:csvfile} (sum|sums|add|adds) [up] to "
    "[exactly] {total:decimal}",
    name="csv.sum",
    examples=("The sum of `share` in `data/branches.csv` is 100",),
)
def has_sum(ctx: Context, path: str, column: str, total: Fraction) -> Result:
    """The numbers of the column add up to exactly this, counted in decimals."""

    def faults(file: SeedFile, name: str) -> Iterator[Fault]:
        cells = [(row, number_of(row.get(name))) for row in file.sheet.filled(name)]
        wrong = [row for row, value in cells if value is None]
        yield from (Fault(r.line, name, f"is no number: {shorten(r.get(name))!r}") for r in wrong)
        there = sum((Fraction(value) for _, value in cells if value is not None), Fraction(0))
        if not wrong and there != total:
            yield Fault(1, name, f"adds up to {_plain(there)}, not {_plain(total)}")

    def good(file: SeedFile, name: str) -> str | Result:
        return _counted(file, name, f"add up to {_plain(total)}")

    return _judge_column(ctx, path, column, "another sum", faults, good)


@check(
    "{path:csvfile} and {other:csvfile} have the same columns",
    "{path:csvfile} has the same columns as {other:csvfile}",
    name="csv.same-columns",
    examples=("`data/branches.csv` and `data/old.csv` have the same columns",),
)
def has_same_columns(ctx: Context, path: str, other: str) -> Result:
    """Both headers name the same columns, in whatever order."""
    files: list[SeedFile] = []
    for each in (path, other):
        found = seed_files(ctx, each)
        if isinstance(found, Result):
            return found
        files += found
    faulty = next((f for f in files if f.sheet.faults), None)
    if faulty is not None:
        return failed(f"{faulty.path}: {faulty.sheet.faults[0]}", faulty.path)
    first, *others = files
    for file in others:
        if sorted(file.sheet.columns) != sorted(first.sheet.columns):
            ours, theirs = ", ".join(first.sheet.columns), ", ".join(file.sheet.columns)
            return failed(f"{first.path} has {ours}; {file.path} has {theirs}", path, other)
    return proven(f"both have {', '.join(first.sheet.columns)}", *(f.path for f in files))
