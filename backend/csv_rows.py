"""The strict reader of CSV files: records with their lines, and rows of typed cells.

A file that is wrong as a whole is refused with the line; a bad row costs that row alone.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from orchestrate_backend.errors import BackendError

#: a file is read at once
MAX_CSV_BYTES = 64 * 1024 * 1024


class CsvError(BackendError):
    """A CSV file cannot be read as a whole."""

    code = "csv"


@dataclass(frozen=True)
class CsvTable:
    """What a CSV file must look like."""

    #: column → SQL type; the header has exactly these, in any order
    columns: Mapping[str, str]
    #: columns that must not be blank; a row with a blank one is skipped
    required: tuple[str, ...] = ()
    #: columns whose numbers are between 0 and 100
    percent: tuple[str, ...] = ()


@dataclass(frozen=True)
class CsvRow:
    """A row that may be written, with the line where it begins."""

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class BadRow:
    """A row that is left out, and why."""

    line: int
    reason: str


def read_bytes(path: Path) -> bytes:
    """The file, or one byte more than may be read. Raises FileNotFoundError."""
    with path.open("rb") as file:
        return file.read(MAX_CSV_BYTES + 1)


def csv_records(data: bytes, path: Path | str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line where it begins; empty lines are not records.

    Raises CsvError with file and line: too large, not UTF-8, quotes that do not close.
    """
    if len(data) > MAX_CSV_BYTES:
        raise CsvError(f"larger than {MAX_CSV_BYTES // 1024**2} MB", path=path, line=1)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise CsvError(
            f"not UTF-8: byte 0x{data[exc.start]:02x}",
            path=path,
            line=data.count(b"\n", 0, exc.start) + 1,
            hint="save the file as CSV UTF-8",
        ) from exc
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as exc:
            raise CsvError(f"not well-formed CSV: {exc}", path=path, line=line) from exc
        if cells is None:
            return
        if cells:
            yield line, cells


def read_csv(path: Path, table: CsvTable) -> tuple[list[CsvRow], list[BadRow]]:
    """The rows of a file, and those left out. Blank cells are None.

    Raises CsvError where `csv_records` does or where the header is another. Raises
    FileNotFoundError.
    """
    records = csv_records(read_bytes(path), path)
    hint = f"the header must be {','.join(table.columns)}"
    first, cells = next(records, (1, []))
    header = [cell.strip() for cell in cells]
    faults = {
        "missing columns": [name for name in table.columns if name not in header],
        "unknown columns": [name or "(blank)" for name in header if name not in table.columns],
        "columns given twice": sorted({name for name in header if header.count(name) > 1}),
    }
    found = "; ".join(f"{what}: {', '.join(which)}" for what, which in faults.items() if which)
    if found or not header:
        raise CsvError(found if header else "the file is empty", path=path, line=first, hint=hint)
    good: list[CsvRow] = []
    bad: list[BadRow] = []
    for line, cells in records:
        try:
            good.append(CsvRow(line, _values(header, cells, table)))
        except ValueError as exc:
            bad.append(BadRow(line, str(exc)))
    return good, bad


def convert_cell(text: str, kind: str) -> Any:
    """A cell as a value of an SQL type; a blank cell is None. Raises ValueError saying why not."""
    text = text.strip()
    if not text:
        return None
    if "\0" in text:
        raise ValueError("holds a NUL character")
    if kind.endswith("[]"):
        return [convert_cell(item, kind[:-2]) for item in text.split(";") if item.strip()]
    # `varchar(20)` → `varchar`, `timestamp with time zone` → `timestamp`
    name = re.split(r"[\s(]", kind.strip().lower(), maxsplit=1)[0]
    return _CONVERTERS.get(name, str)(text)


def _values(header: Sequence[str], cells: Sequence[str], table: CsvTable) -> dict[str, Any]:
    if len(cells) != len(header):
        raise ValueError(f"{len(cells)} cells where the header has {len(header)}")
    values: dict[str, Any] = {}
    for name, cell in zip(header, cells, strict=True):
        try:
            values[name] = convert_cell(cell, table.columns[name])
        except ValueError as exc:
            raise ValueError(f"{name} {exc}") from exc
        if name in table.percent and values[name] is not None and not 0 <= values[name] <= 100:
            raise ValueError(f"{name} is not a percentage: {values[name]}")
    blank = [name for name in table.required if values[name] is None]
    if blank:
        raise ValueError(f"{', '.join(blank)} {'is' if len(blank) == 1 else 'are'} blank")
    return values


def _converter(parse: Callable[[str], Any], what: str, form: str = "") -> Callable[[str], Any]:
    """A function that converts text of this form. It raises ValueError saying what it is not."""

    def convert(text: str) -> Any:
        try:
            if form and not re.fullmatch(form, text):
                raise ValueError
            return parse(text)
        except (ValueError, RecursionError):
            shown = repr(text if len(text) <= 40 else text[:37] + "...")
            raise ValueError(f"is not {what}: {shown}") from None

    return convert


_CONVERTERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(
        ("integer", "int", "int4", "bigint", "int8", "smallint", "int2"),
        _converter(int, "a whole number", r"[+-]?[0-9]{1,18}"),
    ),
    **dict.fromkeys(
        ("numeric", "decimal", "real", "double", "float", "float4", "float8"),
        _converter(Decimal, "a number", r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?"),
    ),
    **dict.fromkeys(
        ("boolean", "bool"),
        _converter(lambda text: text.lower() == "true", "true or false", "(?i:true|false)"),
    ),
    "date": _converter(date.fromisoformat, "a date like 2021-03-01", "[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    **dict.fromkeys(
        ("timestamp", "timestamptz"), _converter(datetime.fromisoformat, "a point in time")
    ),
    **dict.fromkeys(("json", "jsonb"), _converter(json.loads, "JSON")),
    "uuid": _converter(lambda text: str(UUID(text)), "a UUID"),
}
