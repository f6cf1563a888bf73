"""A CSV file read strictly: columns, rows with their lines, and everything wrong with it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: seed data larger than this is not written by hand from papers
MAX_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Fault:
    """Something wrong at one place of a file. `column` is "" where the whole row is meant."""

    line: int
    column: str
    message: str

    def __str__(self) -> str:
        place = f"line {self.line}" + (f", {self.column}" if self.column else "")
        return f"{place}: {self.message}"


@dataclass(frozen=True)
class Row:
    """One row: its cells by column, without surrounding white space."""

    #: 1-based line on which the row begins
    line: int
    cells: Mapping[str, str]

    def get(self, column: str) -> str:
        """The cell's text, "" where it is blank or the column is missing."""
        return self.cells.get(column, "")


@dataclass(frozen=True)
class Sheet:
    """A CSV file. A row of the wrong width is a fault and no row."""

    path: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    faults: tuple[Fault, ...] = ()

    def filled(self, column: str) -> tuple[Row, ...]:
        """The rows in which the column is not blank."""
        return tuple(row for row in self.rows if row.get(column))


def read_sheet(path: Path, name: str = "") -> Sheet:
    """Read a CSV file; what cannot be read becomes a fault. Raises FileNotFoundError."""
    return parse_sheet(_bytes(path), name or str(path))


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def parse_sheet(data: bytes, name: str) -> Sheet:
    """`read_sheet` on bytes."""
    if len(data) > MAX_BYTES:
        return _unreadable(name, 1, f"the file is larger than {MAX_BYTES:,} bytes")
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        return _unreadable(name, line, "a NUL byte stands in the file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        return _unreadable(name, data[: exc.start].count(b"\n") + 1, "the text is not UTF-8")
    return _sheet(text, name)


def _unreadable(name: str, line: int, message: str) -> Sheet:
    return Sheet(name, (), (), (Fault(line, "", message),))


def _sheet(text: str, name: str) -> Sheet:
    faults: list[Fault] = []
    records = list(_records(text, faults))
    if not records:
        return Sheet(name, (), (), tuple(faults) or (Fault(1, "", "the file has no header"),))
    line, header = records[0]
    faults.extend(_header_faults(line, header))
    rows = []
    for line, cells in records[1:]:
        if len(cells) == len(header):
            rows.append(Row(line, dict(zip(header, cells, strict=True))))
        else:
            faults.append(Fault(line, "", f"{len(cells)} cells, {len(header)} columns"))
    return Sheet(name, tuple(header), tuple(rows), tuple(faults))


def _records(text: str, faults: list[Fault]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begins = 1
    try:
        for record in reader:
            cells = [_trim(cell) for cell in record]
            if any(cells):
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as exc:
        faults.append(Fault(begins, "", f"cannot be read as CSV: {exc}"))


def _trim(cell: str) -> str:
    # zero-width characters make a cell look filled that shows nothing
    return cell.strip(" \t\r\n\u00a0\u200b\u200c\u200d\u2060\ufeff")


def _header_faults(line: int, header: list[str]) -> Iterator[Fault]:
    for number, column in enumerate(header, 1):
        if not column:
            yield Fault(line, "", f"column {number} has no name")
        elif column in header[: number - 1]:
            yield Fault(line, column, "the column stands twice")
