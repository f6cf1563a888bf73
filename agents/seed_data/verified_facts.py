"""Verified facts: CSV files whose every figure has a source, and the proof that a source yields it.

Next to `name.csv` is `name.sources.jsonl`, one JSON object a line::

    {"row": {"cohort_name": "…"}, "column": "baseline_mean", "value": "44.0",
     "source": "doi:10.…" or a URL, "locator": "table 2", "printed": "44.0 (6.01)", "note": ""}

`row` names the row by some of its cells. Column `*` is the source of the row's words; a figure
always has an entry of its own. A figure that was worked out has a `derivation` as well, a formula
over printed figures: `31.9 - 12.0`, `2.1 * sqrt(42)`.
"""

from __future__ import annotations

import ast
import json
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, InvalidOperation
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from orchestrate_agents.seed_data.csv_file import Sheet, SheetRow, read_sheet
from orchestrate_agents.seed_data.source_kinds import DOI, SourceKind, is_staging, source_kind
from orchestrate_agents.seed_data.table_schema import is_percent, vocabulary, words
from orchestrator import plugins
from orchestrator.errors import OrchestrateError
from orchestrator.gates.once import once
from orchestrator.storage.atomic import inside

WHOLE_ROW = "*"
#: words that name no place in a source
_NOWHERE = vocabulary(
    "a an the of in on at see as per cf and or its it this that is are was whole entire main full"
    " all any everywhere somewhere anywhere throughout passim various several there here above"
    " below ibid elsewhere online web website page pages site link url text paper papers article"
    " articles publication document report source sources study original reference cited citation"
    " published unknown none na tbd todo"
)
_FIELDS = ("row", "column", "value", "source", "locator", "printed")


class FactsError(OrchestrateError):
    """A file of facts or of sources cannot be read."""

    code = "facts"


@dataclass(frozen=True)
class Evidence:
    """Where one value was published."""

    #: the cells that name the row
    row: Mapping[str, str]
    column: str
    #: the value as entered
    value: str
    #: DOI, registry number or URL
    source: str
    #: where in the source: table, page, row of a data set
    locator: str
    #: the figure as the source prints it
    printed: str
    note: str = ""
    #: the formula over printed figures that gives the value, "" where it is printed itself
    derivation: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Sources:
    """The evidence for one CSV file."""

    path: str
    entries: tuple[Evidence, ...] = ()

    @cached_property
    def _by_row(self) -> dict[tuple[str, ...], dict[tuple[str, ...], list[Evidence]]]:
        """The entries by the names and the values of the cells that name their rows."""
        index: dict[tuple[str, ...], dict[tuple[str, ...], list[Evidence]]] = {}
        for entry in self.entries:
            names = tuple(sorted(entry.row))
            values = tuple(entry.row[n] for n in names)
            index.setdefault(names, {}).setdefault(values, []).append(entry)
        return index

    def of_row(self, row: SheetRow) -> tuple[Evidence, ...]:
        """Every entry about the row."""
        return tuple(
            entry
            for names, by_value in self._by_row.items()
            for entry in by_value.get(tuple(row.get(n) for n in names), ())
        )

    def of(self, row: SheetRow, column: str) -> Evidence | None:
        """The entry about one cell, not the row's own."""
        return next((e for e in self.of_row(row) if e.column == column), None)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns that name rows, from the first entry."""
        return tuple(self.entries[0].row) if self.entries else ()


@dataclass(frozen=True)
class Facts:
    """A verified file with its sources. `origin` says where it was found."""

    origin: str
    sheet: Sheet
    sources: Sources

    def values(self, column: str) -> frozenset[str]:
        """What the verified rows hold in a column."""
        return frozenset(text for row in self.sheet.rows if (text := row.get(column)))

    def row_like(self, row: SheetRow) -> SheetRow | None:
        """The verified row with the same name, or None."""
        key = self.sources.key_columns
        return self._by_name.get(tuple(row.get(k) for k in key)) if key else None

    @cached_property
    def _by_name(self) -> dict[tuple[str, ...], SheetRow]:
        """The rows by the cells that name them, the first of each name."""
        key = self.sources.key_columns
        return {tuple(row.get(k) for k in key): row for row in reversed(self.sheet.rows)}


def sources_path(csv_path: str) -> str:
    """The file with the sources of a CSV file: `a/b.csv` → `a/b.sources.jsonl`."""
    return csv_path.removesuffix(".csv") + ".sources.jsonl"


def read_sources(path: Path, name: str = "") -> Sources:
    """The evidence file; empty if there is none. Raises FactsError with file and line."""
    if not path.is_file():
        return Sources(name or str(path))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as exc:
        raise FactsError(f"cannot be read: {exc}", path=path, hint="save it as UTF-8") from exc
    return _read_lines(text, path, name or str(path))


@once(64)
def _read_lines(text: str, path: Path, name: str) -> Sources:
    entries = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entries.append(_evidence(json.loads(line)))
        except (ValueError, RecursionError) as exc:
            broken = isinstance(exc, json.JSONDecodeError | RecursionError)
            raise FactsError(
                "not a JSON object" if broken else str(exc),
                path=path,
                line=number,
                hint='write {"row": {…}, "column": …, "value": …, "source": …, "locator": …, '
                '"printed": …}',
            ) from exc
    return Sources(name, tuple(entries))


def _evidence(data: Any) -> Evidence:
    if not isinstance(data, dict) or not set(_FIELDS) <= data.keys():
        raise ValueError(f"lacks one of {', '.join(_FIELDS)}")
    row = data["row"]
    if not isinstance(row, dict) or not row:
        raise ValueError("names no row")
    texts = {k: str(data.get(k) or "").strip() for k in (*_FIELDS[1:], "note", "derivation")}
    return Evidence({str(k): str(v).strip() for k, v in row.items()}, **texts)


def packaged_folders() -> tuple[Path, ...]:
    """The folders of facts that are installed (entry points `orchestrate.facts`: packages)."""
    return tuple(
        Path(place) for entry in plugins.registered("facts") for place in entry.load().__path__
    )


def find_facts(
    root: Path,
    csv_path: str,
    table: str = "",
    folder: str = "facts",
    counts: Callable[[str], bool] = lambda path: True,
) -> Facts | None:
    """Verified facts for a CSV file, the workspace's own before the packaged ones, or None.

    `counts` says of a path of the workspace whether facts there count; others are passed over.
    Raises FactsError, UnsafePathError.
    """
    named = (PurePosixPath(csv_path).stem, table)
    names = [n for n in dict.fromkeys(named) if re.fullmatch(r"[\w.-]+", n)]
    own = [(inside(root, f"{folder}/{n}.csv"), f"{folder}/{n}.csv") for n in names]
    places = [(file, origin) for file, origin in own if file != inside(root, csv_path)]
    places += [
        (packaged / f"{n}.csv", f"packaged facts {n}.csv")
        for n in names
        for packaged in packaged_folders()
    ]
    for file, origin in places:
        if file.is_file() and all(counts(path) for path in _paths_of(root, file)):
            sheet = read_sheet(file, origin)
            if sheet.faults:
                first = sheet.faults[0]
                hint = "fix the facts file"
                raise FactsError(first.message, path=file, line=first.line, hint=hint)
            return Facts(origin, sheet, read_sources(Path(sources_path(str(file)))))
    return None


def _paths_of(root: Path, file: Path) -> Iterator[str]:
    """The paths of facts and their sources, if they are in the workspace."""
    for place in (file, Path(sources_path(str(file)))):
        if place.resolve().is_relative_to(root.resolve()):
            yield place.resolve().relative_to(root.resolve()).as_posix()


# -- what counts as a source -----------------------------------------------------------------------


def dois(text: str) -> tuple[str, ...]:
    """The well-formed DOIs in a text, lower case."""
    return tuple(found.lower() for found in DOI.findall(text))


def malformed_doi(text: str) -> str:
    """What a text calls a DOI although it is not one, or ""."""
    for found in re.finditer(r"(?:\bdoi\s*:\s*|doi\.org/)(\S*)", text, re.IGNORECASE):
        if not DOI.match(found[1]):
            return found[1] or "doi: without a number"
    return ""


def is_published(source: str) -> bool:
    """Whether a source can be looked up by others: DOI, registry number or web page."""
    return source_kind(source) is not SourceKind.NONE


# -- whether a printed figure yields a value -------------------------------------------------------

_FIGURE = re.compile(r"(?<![\w.])([-−–]?)(\d{1,3}(?:,\d{3})+(?!\d)|\d+)(\.\d+)?", re.ASCII)
_FRACTION = re.compile(
    r"(?<![\d.])(\d+)\s*(?:/|\b(?:out\s+)?of\b)\s*(\d+)(?![\d.]*\d)", re.ASCII | re.IGNORECASE
)
#: the decimal point of some journals: `19·6`
_RAISED_POINT = re.compile(r"(?<=\d)[·‧⋅](?=\d)")
_SUM = re.compile(r"(?<![\d.+])\d+(?:\.\d+)?(?:\s*\+\s*\d+(?:\.\d+)?)+", re.ASCII)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(h|hours?|d|days?|w|wk|weeks?)\b", re.IGNORECASE | re.ASCII)
_HOURS = {"h": 1, "d": 24, "w": 168}
_NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    *("nineteen", "twenty"),
)


def yields(printed: str, value: str, column: str = "") -> bool:
    """Whether a figure as printed gives the value as entered.

    Allowed is what loses or adds nothing: rounding to the places entered, `a/b` and “a of b” as a
    percentage in a percent column, a written sum, a number word, and hours or days as whole weeks
    (or days).
    """
    try:
        wanted = Decimal(value)
    except InvalidOperation:
        return False
    if not wanted.is_finite():
        return False
    return any(_rounds_to(figure, wanted) for figure in _figures(printed, column))


def _rounds_to(figure: Decimal, wanted: Decimal) -> bool:
    if figure == wanted:
        return True
    exponent = wanted.as_tuple().exponent
    if not isinstance(exponent, int) or not -12 <= exponent <= 0:
        return False
    step = Decimal(1).scaleb(exponent)
    try:
        return any(figure.quantize(step, r) == wanted for r in (ROUND_HALF_UP, ROUND_HALF_EVEN))
    except InvalidOperation:
        return False


def _figures(printed: str, column: str) -> Iterator[Decimal]:
    printed = _RAISED_POINT.sub(".", printed)
    for sign, whole, part in _FIGURE.findall(printed):
        yield Decimal(f"{'-' if sign else ''}{whole.replace(',', '')}{part}")
    for found in _SUM.findall(printed):
        yield sum((Decimal(p) for p in re.findall(r"\d+(?:\.\d+)?", found)), Decimal(0))
    for word in re.findall(r"[a-z]+", printed.lower()):
        if word in _NUMBER_WORDS:
            yield Decimal(_NUMBER_WORDS.index(word))
    if is_percent(column):
        for part, whole in _FRACTION.findall(printed):
            if int(whole):
                yield Decimal(part) * 100 / Decimal(whole)
    unit = next((u for u in ("weeks", "days", "hours") if u in words(column)), "")
    if unit:
        for figure, named in _SPAN.findall(printed):
            yield Decimal(figure) * _HOURS[named[0].lower()] // _HOURS[unit[0]]


_OPERATIONS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def derived(formula: str) -> Decimal:
    """The value of a formula of numbers, `+ - * /`, brackets and `sqrt`. Raises ValueError."""
    try:
        return Decimal(repr(round(_worked_out(ast.parse(formula, mode="eval").body), 9)))
    except (SyntaxError, ArithmeticError, RecursionError) as exc:
        raise ValueError(f"{formula!r} cannot be worked out") from exc


def _worked_out(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_worked_out(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return _OPERATIONS[type(op)](_worked_out(left), _worked_out(right))
        case ast.Call(func=ast.Name(id="sqrt"), args=[operand], keywords=[]):
            if (radicand := _worked_out(operand)) < 0:
                raise ArithmeticError
            return math.sqrt(radicand)
    raise ValueError(f"{ast.unparse(node)!r} is not part of a formula of printed figures")


def _derivation_problem(evidence: Evidence, value: str, column: str) -> str:
    """Why a derivation does not give the value, or uses what is not printed."""
    try:
        result = derived(evidence.derivation)
    except ValueError as exc:
        return str(exc)
    if not any(_rounds_to(result, wanted) for wanted in _figures(value, "")):
        return f"{value} is not what {evidence.derivation} comes to"
    parts = {Decimal(part) for part in re.findall(r"\d+(?:\.\d+)?", evidence.derivation)}
    printed = {abs(figure) for figure in _figures(evidence.printed, "")}
    # of a rate, 100 is no figure of the source
    free = {Decimal(1), Decimal(100)} if is_percent(column) else {Decimal(1)}
    if yields(evidence.printed, value, column) or parts - free <= printed:
        return ""
    return f"{value} is derived from figures that {evidence.printed!r} does not print"


def same_value(left: str, right: str) -> bool:
    """Equal as numbers where both are, else as text, whatever its white space and case of true."""
    try:
        return Decimal(left) == Decimal(right)
    except InvalidOperation:
        if left.lower() in ("true", "false"):
            return left.lower() == right.lower()
        return left.split() == right.split()


def evidence_problem(evidence: Evidence | None, column: str, value: str) -> str:
    """Why an entry does not support a figure, "" if it does."""
    if evidence is None:
        return f"{value} has no source"
    if not is_published(evidence.source):
        return f"{evidence.source!r} is not a published source"
    if not words(evidence.locator) - _NOWHERE:
        said = f": {evidence.locator!r} is none" if evidence.locator else ""
        return f"{value} has no place in its source{said}"
    if not same_value(evidence.value, value):
        return f"{value} is not the {evidence.value} that its source entry holds"
    if is_staging(evidence.source) and "staging" not in evidence.note.lower():
        return (
            f"{evidence.source} is on a staging host: name the public page, or note it as staging"
        )
    if evidence.derivation:
        return _derivation_problem(evidence, value, column)
    if not yields(evidence.printed, value, column):
        return f"{value} does not follow from the printed {evidence.printed!r}"
    return ""
