"""A CSV file as a sheet: columns, rows with their lines, and everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrate_backend.csv_rows import CsvError, csv_records, read_bytes
from orchestrator.gates.once import once

#: zero-width characters make a cell look filled that shows nothing
_BLANKS = " \t\r\n\u00a0\u200b\u200c\u200d\u2060\ufeff"


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
class SheetRow:
    """One row: its cells by column, without surrounding white space."""

    #: 1-based line on which the row begins
    line: int
    cells: Mapping[str, str]

    def get(self, column: str) -> str:
        """The cell's text, "" where it is blank or the column is missing."""
        return self.cells.get(column, "")

    @property
    def name(self) -> str:
        """The first filled cell, ""."""
        return next((text for text in self.cells.values() if text), "")


@dataclass(frozen=True)
class Sheet:
    """A CSV file. A row of the wrong width is a fault and not among the rows."""

    path: str
    columns: tuple[str, ...]
    rows: tuple[SheetRow, ...]
    faults: tuple[Fault, ...] = ()

    def filled(self, column: str) -> tuple[SheetRow, ...]:
        """The rows in which the column is not blank."""
        return tuple(row for row in self.rows if row.get(column))


def read_sheet(path: Path, name: str = "") -> Sheet:
    """Read a CSV file; what cannot be read becomes a fault. Raises FileNotFoundError."""
    return parse_sheet(read_bytes(path), name or str(path))


@once(64)
def parse_sheet(data: bytes, name: str) -> Sheet:
    """`read_sheet` on bytes."""
    faults: list[Fault] = []
    records: list[tuple[int, list[str]]] = []
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        return Sheet(name, (), (), (Fault(line, "", "the file has a NUL byte"),))
    try:
        for line, record in csv_records(data, name):
            cells = [cell.strip(_BLANKS) for cell in record]
            if any(cells):
                records.append((line, cells))
    except CsvError as exc:
        faults.append(Fault(exc.line or 1, "", exc.message))
    if not records:
        return Sheet(name, (), (), tuple(faults) or (Fault(1, "", "the file has no header"),))
    line, header = records[0]
    for number, column in enumerate(header, 1):
        if not column:
            faults.append(Fault(line, "", f"column {number} has no name"))
        elif column in header[: number - 1]:
            faults.append(Fault(line, column, "the column appears twice"))
    rows = []
    for line, cells in records[1:]:
        if len(cells) == len(header):
            rows.append(SheetRow(line, dict(zip(header, cells, strict=True))))
        else:
            faults.append(Fault(line, "", f"{len(cells)} cells, {len(header)} columns"))
    return Sheet(name, tuple(header), tuple(rows), tuple(faults))
