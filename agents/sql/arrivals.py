"""What of a file's records is in a table, cell by cell, as the server itself reads the cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

#: the rows of one reading statement
Query = Callable[[str], list[dict[str, Any]]]
#: (line, cells) of a file
Record = tuple[int, Sequence[str]]

_COLUMNS = """
SELECT a.attname::text AS name,
       format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL) AS type,
       t.typcategory::text AS category, a.attnotnull AS required, d.adbin IS NOT NULL AS filled
  FROM pg_attribute a
  JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = to_regclass({table}) AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
"""
_KEYS = """
SELECT array_agg(a.attname::text) AS names FROM pg_index i
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
 WHERE i.indrelid = to_regclass({table}) AND i.indisunique AND i.indpred IS NULL
   AND i.indexprs IS NULL
 GROUP BY i.indexrelid, i.indisprimary ORDER BY i.indisprimary DESC
"""
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[T ].*)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
#: records of which it is told what became of them
_EXPLAINED = 100


@dataclass(frozen=True)
class Column:
    """A column that the file fills."""

    name: str
    #: without length and precision, which may have cost some of the value
    type: str
    category: str
    required: bool
    #: the server has a value for it where none is given
    filled: bool

    @property
    def textual(self) -> bool:
        return self.category == "S"

    def read(self, value: str) -> str:
        """SQL for a value's one spelling, whatever the session's settings are."""
        if self.category == "N" and self.type not in ("real", "double precision", "money", "oid"):
            return f"trim_scale(({value})::numeric)::text"
        if "with time zone" in self.type and self.type.startswith("timestamp"):
            return f"to_jsonb(({value})::timestamptz AT TIME ZONE 'UTC') #>> '{{}}'"
        if self.type == "date" or self.type.startswith("timestamp"):
            return f"to_jsonb(({value})::{self.type}) #>> '{{}}'"
        if self.type == "json":
            return f"(({value})::jsonb)::text"
        return f"(({value})::{self.type})::text"


@dataclass(frozen=True)
class Arrival:
    """How a table's rows compare with a file's records."""

    #: records of the file
    records: int
    #: what differs, and what cannot be determined
    differing: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()


def literal(value: str) -> str:
    """A string as a literal of SQL, whatever is in it."""
    return "'" + value.replace("'", "''") + "'"


def place(table: str) -> str:
    """`schema.table` or `table`, quoted."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))


def columns_of(query: Query, table: str) -> tuple[Column, ...]:
    """The table's columns, none where it is missing."""
    return tuple(Column(**row) for row in query(_COLUMNS.format(table=literal(place(table)))))


def keys_of(query: Query, table: str) -> list[Sequence[str]]:
    """The columns of each unique key, the primary one first."""
    return [row["names"] for row in query(_KEYS.format(table=literal(place(table))))]


@dataclass(frozen=True)
class _Cell:
    """What a cell of the file may be in the table: as it says, and in doubt."""

    said: str
    equal: frozenset[str | None]
    #: None: anything may be meant
    perhaps: frozenset[str | None] | None = frozenset()


def compare_arrival(
    here: Query,
    there: Query,
    table: str,
    header: Sequence[str],
    records: Sequence[Record],
    *,
    standing: Counter[tuple[str | None, ...]] | None = None,
) -> Arrival:
    """Compare a table with the records of a file.

    `here` asks a server that may read the cells (of any database), `there` the one with the table.
    `standing` are the rows that were there before (`rows_there`); None: others write there too, so
    rows and values that the file does not have are nobody's business.
    """
    known = {c.name.lower(): c for c in columns_of(there, table)}
    if not known:
        return Arrival(len(records), (f"there is no table {table}",))
    names = [cell.strip() for cell in header]
    strange = [name for name in names if name.lower() not in known]
    if strange:
        why = f"{', '.join(strange)} of the file is not a column of {table}, so it is not known"
        return Arrival(len(records), (), (f"{why} where it goes",))
    columns = [known[name.lower()] for name in names]
    short = [
        f"line {line} has {len(cells)} cells"
        for line, cells in records
        if len(cells) != len(columns)
    ]
    if short:
        return Arrival(len(records), (), tuple(short))
    cells = _read_cells(here, columns, records)
    rows = rows_there(there, table, columns)
    rows.subtract(standing or Counter())
    left = Counter({row: n for row, n in rows.items() if n > 0})
    gone = sum(-n for n in rows.values() if n < 0)
    keys = keys_of(there, table)
    found = _Comparison(table, columns, _usable_key(columns, keys), alone=standing is not None)
    found.compare(cells, left)
    if gone and standing:
        found.differing.append(f"{gone} rows that stood in {table} before are gone or changed")
    if standing is not None and (extra := sum(found.left.values())):
        found.differing.append(f"{table} has {extra} rows that the file does not have")
    return Arrival(len(records), tuple(found.differing), tuple(found.doubtful))


def rows_there(
    query: Query, table: str, columns: Sequence[Column]
) -> Counter[tuple[str | None, ...]]:
    """The rows of a table, each value in its one spelling."""
    listed = ", ".join(f"{c.read(place(c.name))} AS c{n}" for n, c in enumerate(columns))
    found = query(f"SELECT {listed} FROM {place(table)}")  # noqa: S608 - quoted
    return Counter(tuple(row.values()) for row in found)


def _usable_key(columns: Sequence[Column], keys: Sequence[Sequence[str]]) -> tuple[int, ...]:
    names = [c.name for c in columns]
    for key in keys:
        if all(name in names for name in key):
            return tuple(names.index(name) for name in key)
    return ()


def _read_cells(
    here: Query, columns: Sequence[Column], records: Sequence[Record]
) -> list[tuple[int, list[_Cell]]]:
    """Each cell with what it may be in the table."""
    readers = []
    for number, column in enumerate(columns):
        wanted = {cells[number].strip() for _, cells in records}
        spelled = {} if column.textual else _spell(here, column, wanted)
        readers.append((column, spelled))
    return [
        (line, [_read_cell(*reader, cell) for reader, cell in zip(readers, cells, strict=True)])
        for line, cells in records
    ]


def _spell(here: Query, column: Column, values: set[str]) -> dict[str, str]:
    """The server's spelling of each value that it can read as the column's type."""
    kind = "numeric" if column.read("x").startswith("trim_scale") else column.type
    tried = sorted(
        {form for value in values for form in (value, *_other_forms(column, value)) if form}
    )
    if not tried:
        return {}
    listed = ", ".join(map(literal, tried))
    rows = here(
        f"SELECT v, {column.read('v')} AS spelled FROM unnest(ARRAY[{listed}]::text[]) v"  # noqa: S608 - literals
        f" WHERE pg_input_is_valid(v, {literal(kind)})"
    )
    return {row["v"]: row["spelled"] for row in rows}


def _other_forms(column: Column, value: str) -> Iterator[str]:
    """How people write a value that PostgreSQL reads otherwise or not at all."""
    if column.category == "N" and _GROUPED.fullmatch(value):
        yield value.replace(",", "")
    if column.category == "A" and not value.startswith("{"):
        for separator in (";", "|", ","):
            quoted = (
                part.strip().replace("\\", "\\\\").replace('"', '\\"')
                for part in value.split(separator)
                if part.strip()
            )
            yield "{" + ",".join(f'"{part}"' for part in quoted) + "}"


def _read_cell(column: Column, spelled: Mapping[str, str], cell: str) -> _Cell:
    bare = cell.strip()
    if not bare:
        # an empty string is the only blank that a required text can have
        empty: frozenset[str | None] = frozenset({"", cell}) if column.textual else frozenset()
        if column.required and not column.filled:
            return _Cell(cell, empty)
        return _Cell(cell, frozenset({None}), None if column.filled else empty)
    if column.textual:
        unix = cell.replace("\r\n", "\n")
        return _Cell(cell, frozenset({cell, bare, unix, unix.strip()}))
    forms = frozenset(spelled[f] for f in (bare, *_other_forms(column, bare)) if f in spelled)
    written = column.type == "date" or column.type.startswith("timestamp")
    if not forms or (written and not _MOMENT.fullmatch(bare)):
        return _Cell(cell, frozenset(), None)
    return _Cell(cell, forms)


class _Comparison:
    """Takes rows of a table away for the records of a file.

    Not `alone`: a value may have stood there before, and is kept where the file has none.
    """

    def __init__(
        self, table: str, columns: Sequence[Column], key: Sequence[int], *, alone: bool
    ) -> None:
        self.table, self.columns, self.key, self.alone = table, columns, key, alone
        self.left: Counter[tuple[str | None, ...]] = Counter()
        self.differing: list[str] = []
        self.doubtful: list[str] = []
        self._by_key: dict[tuple[str | None, ...], tuple[str | None, ...]] = {}

    def compare(
        self, records: Sequence[tuple[int, list[_Cell]]], rows: Counter[tuple[str | None, ...]]
    ) -> None:
        self.left = rows
        if self.key:
            self._by_key = {tuple(row[n] for n in self.key): row for row in rows}
        unmatched: list[tuple[int, list[_Cell]]] = []
        seen: dict[tuple[str, ...], tuple[int, tuple[str, ...]]] = {}
        for line, cells in records:
            said = tuple(cell.said.strip() for cell in cells)
            key = tuple(said[n] for n in self.key)
            first, same = seen.setdefault(key, (line, said)) if key else (line, said)
            if first != line:
                # the key lets in only one of them
                if same != said:
                    what = f"lines {first} and {line} have the same key and other values"
                    self.doubtful.append(what)
            elif self.key:
                self._explain(line, cells, self._find_by_key(cells))
            elif not self._take_equal(cells):
                unmatched.append((line, cells))
        for line, cells in unmatched[:_EXPLAINED]:
            self._explain(line, cells, self._find_alike(cells))
        if more := unmatched[_EXPLAINED:]:
            self.differing.append(f"{len(more)} more lines are not so in {self.table}")

    def _take_equal(self, cells: Sequence[_Cell]) -> bool:
        """Take away a row that is the record in all cells."""
        options = islice(product(*(cell.equal for cell in cells)), 256)
        row = next((row for row in options if self.left[row] > 0), None)
        if row is None:
            return False
        self._take(row)
        return True

    def _take(self, row: tuple[str | None, ...]) -> None:
        self.left[row] -= 1
        if not self.left[row]:
            del self.left[row]

    def _find_by_key(self, cells: Sequence[_Cell]) -> tuple[str | None, ...] | None:
        keys = product(*(cells[n].equal for n in self.key))
        return next((self._by_key[key] for key in keys if key in self._by_key), None)

    def _find_alike(self, cells: Sequence[_Cell]) -> tuple[str | None, ...] | None:
        """The row that is most like the record."""
        near = [
            (sum(value in c.equal for c, value in zip(cells, row, strict=True)), row)
            for row in self.left
        ]
        best = max(near, key=lambda pair: pair[0], default=(0, None))
        return best[1] if best[0] * 2 >= len(cells) else None

    def _explain(
        self, line: int, cells: Sequence[_Cell], row: tuple[str | None, ...] | None
    ) -> None:
        if row is None:
            self.differing.append(f"line {line} is not in {self.table}")
            return
        self._take(row)
        for column, cell, value in zip(self.columns, cells, row, strict=True):
            if value in cell.equal or not (self.alone or cell.said.strip()):
                continue
            shown = "null" if value is None else repr(value)
            what = f"line {line}, {column.name}: {cell.said or 'blank'!r} is {shown} in the table"
            certain = cell.perhaps is not None and value not in cell.perhaps
            (self.differing if certain else self.doubtful).append(what)
