"""A strict reader of CSV files: exact header and width, typed cells; a bad row costs one row."""

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

#: a seed file is read at once
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
    #: columns whose numbers lie between 0 and 100
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


def read_csv(path: Path, table: CsvTable) -> tuple[list[CsvRow], list[BadRow]]:
    """The rows of a file, and those left out.

    Blank cells are None. Raises CsvError with file and line where the file as a whole is wrong: no
    UTF-8, another header, quotes that do not close. Raises FileNotFoundError.
    """
    records = _records(path, _text(path))
    header = _header(path, next(records, None), table)
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
    return _CONVERTERS.get(_base_type(kind), str)(text)


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_CSV_BYTES:
        raise CsvError(f"larger than {MAX_CSV_BYTES // 1024**2} MB", path=path)
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise CsvError(
            f"not UTF-8: byte 0x{data[exc.start]:02x}",
            path=path,
            line=data.count(b"\n", 0, exc.start) + 1,
            hint="save the file as CSV UTF-8",
        ) from exc


def _records(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line where it begins; empty lines are no records."""
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


def _header(path: Path, record: tuple[int, list[str]] | None, table: CsvTable) -> list[str]:
    if record is None:
        raise CsvError("the file is empty", path=path, line=1, hint=_columns_hint(table))
    line, cells = record
    names = [cell.strip() for cell in cells]
    faults = [
        ("missing columns", [name for name in table.columns if name not in names]),
        ("unknown columns", [name or "(blank)" for name in names if name not in table.columns]),
        ("columns given twice", sorted({name for name in names if names.count(name) > 1})),
    ]
    said = [f"{what}: {', '.join(which)}" for what, which in faults if which]
    if said:
        raise CsvError("; ".join(said), path=path, line=line, hint=_columns_hint(table))
    return names


def _columns_hint(table: CsvTable) -> str:
    return f"the header must be {','.join(table.columns)}"


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
            raise ValueError(f"{name} is no percentage: {values[name]}")
    blank = [name for name in table.required if values[name] is None]
    if blank:
        raise ValueError(f"{', '.join(blank)} {'is' if len(blank) == 1 else 'are'} blank")
    return values


def _base_type(kind: str) -> str:
    """`varchar(20)` → `varchar`, `timestamp with time zone` → `timestamp`."""
    return re.split(r"[\s(]", kind.strip().lower(), maxsplit=1)[0]


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ValueError(f"is no whole number: {_shown(text)}")
    return int(text)


def _decimal(text: str) -> Decimal:
    if not re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", text):
        raise ValueError(f"is no number: {_shown(text)}")
    return Decimal(text)


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(f"is neither true nor false: {_shown(text)}")
    return text.lower() == "true"


def _parsed(parse: Callable[[str], Any], what: str) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return parse(text)
        except (ValueError, RecursionError):
            raise ValueError(f"is no {what}: {_shown(text)}") from None

    return convert


def _day(text: str) -> date:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError(text)
    return date.fromisoformat(text)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


_CONVERTERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("integer", "int", "int4", "bigint", "int8", "smallint", "int2"), _whole),
    **dict.fromkeys(
        ("numeric", "decimal", "real", "double", "float", "float4", "float8"), _decimal
    ),
    **dict.fromkeys(("boolean", "bool"), _boolean),
    "date": _parsed(_day, "date like 2021-03-01"),
    **dict.fromkeys(("timestamp", "timestamptz"), _parsed(datetime.fromisoformat, "point in time")),
    **dict.fromkeys(("json", "jsonb"), _parsed(json.loads, "JSON")),
    "uuid": _parsed(lambda text: str(UUID(text)), "UUID"),
}
