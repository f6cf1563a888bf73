"""Rows that distinguish query modules: like those asked for but in one respect, odd, and many."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import count, groupby
from typing import Any

from orchestrate_agents.specification.typescript import Signature
from orchestrate_agents.sql.access_matrix import plant
from orchestrate_agents.sql.catalog import RealColumn, Relation
from orchestrate_agents.sql.probe_rows import PLANTED, ProbeRow, make_row
from orchestrate_agents.sql.scratch import Database

#: a prime, so that every step through the serial numbers meets each of them once
_SERIALS = 23
#: what a number asks for that no column holds: fewer rows than there are
_FEW = 3
_NOWHERE = "no such value"
#: one row more than an answer of a Supabase project has unless it is set otherwise
MOST_ROWS = 1000
_MANY = "asked of many"
#: what is asked for: words that a filter has to take as they stand
_ASKED = (
    "Mixed_Case 20%",
    "*tar* and_more",
    " with spaces ",
    'a,b(c)."d"\\e&f=g+h#i?',
    "caf\u00e9 \ufb01ne \u00c5",
    "null",
    "10",
    "0",
)
#: cells that code takes for nothing, rounds, trims, or orders as text
_ODD: Mapping[str, tuple[str, ...]] = {
    "N": ("0", "9", "10", "2", "100", "0.5", "-1", "12.25", "1", "33"),
    "S": ("", " ", "0", "false", "null", " padded ", "twin", "twin", "\u00e9", "e\u0301", "x,y"),
    "B": ("false", "true"),
    "D": (
        *("2024-02-29T23:59:59.5+00", "1969-12-31T00:00:00+00", "2000-01-01T00:00:00+00"),
        *("2038-01-20T00:00:00+00", "2199-12-31T23:30:00+00", "2025-12-31T23:59:59+00"),
    ),
}
_PER_CASE = 4
#: of so many cases there are rows that only a key distinguishes
_TWINS = 2
#: share of the cells that may be blank and are
_BLANK = 0.25
#: rows that are inserted at once
_BATCH = 200


def plant_distinct_rows(
    database: Database,
    tables: Iterable[Relation],
    filtered: Mapping[str, Set[str]],
    ordered: Mapping[str, Set[str]],
    literals: Sequence[str] = (),
) -> dict[str, list[Mapping[str, str]]]:
    """Fill the tables of schema `public`; returns, for the `filtered` ones, what to filter by.

    `filtered` and `ordered` name the columns in use by table; `literals` are words of the module,
    which are asked for too. Rows have all values that are asked for, or differ from them in one
    column: in capitals, wildcards, spaces, the form of a letter. Their other cells are drawn from
    odd ones, always the same. Every table has another number of rows, no two columns order them
    alike, and more rows fit the last filter than one answer has.
    """
    listed = [t for t in tables if t.is_table and t.schema == "public"]
    planted = plant(database, listed, force=True)
    asked: dict[str, list[Mapping[str, str]]] = {}
    with database.connect() as owner, database.connect_api() as api:
        api.execute("SET ROLE service_role")
        for index, table in enumerate(t for t in listed if t.name in filtered):
            filters = filtered[table.name]
            wanted = {n: v for n, v in _mixed(table, 0, planted).items() if n in filters}
            rows = [_mixed(table, i, planted) | wanted for i in range(1, 6 + 3 * (index % 5))]
            for serial, column in enumerate(sorted(wanted), start=_SERIALS - len(wanted)):
                others = {n: v for n, v in wanted.items() if n != column}
                rows.append(_mixed(table, serial, planted) | others)
            needed = {*make_row(table, 0, {}).values, *filters, *ordered[table.name]}
            cases = _cases(table, wanted, literals)
            rows += _drawn(table, cases, needed, planted, literals)
            for batch in _alike(table, rows):
                if _insert_many(api, batch):
                    continue
                for row in batch:
                    # without what it need not have, where the table refuses the whole row
                    short = {n: value for n, value in row.values.items() if n in needed}
                    _insert((api, owner), (row, ProbeRow(table, short)))
            many = {c: f"{_MANY} {index}" for c in wanted if _is_text(table.column(c))}
            crowd: list[Mapping[str, str]] = [
                {**make_row(table, PLANTED * n, planted).values, **wanted, **many}
                for n in range(50_000, 50_001 + MOST_ROWS)
            ]
            if many and all(_insert_many(api, batch) for batch in _alike(table, crowd)):
                cases.append({**wanted, **many})
            elif many:
                # each value once, where the table wants that: many rows for who does not filter
                apart = [
                    {**row, **{name: f"{value} {n}" for name, value in many.items()}}
                    for n, row in enumerate(crowd)
                ]
                for batch in _alike(table, apart):
                    _insert_many(api, batch)
            asked[table.name] = [wanted, *cases]
    return asked


def _is_text(column: RealColumn | None) -> bool:
    return column is not None and column.category == "S" and not column.labels


def _mixed(table: Relation, serial: int, planted: Mapping[str, Any]) -> dict[str, str]:
    """A row with all columns filled, where each takes another path through the serial numbers."""
    values = {}
    for index, column in enumerate(table.columns):
        place = (serial * (index % 19 + 2) + 3 * index) % _SERIALS
        row = make_row(table, PLANTED * (place + 1) + 1, planted)
        if column.name in row.values:
            values[column.name] = row.values[column.name]
    return values


def _cases(
    table: Relation, wanted: Mapping[str, str], literals: Sequence[str]
) -> list[Mapping[str, str]]:
    """What else to filter by: odd words in every column of text."""
    text = [name for name in wanted if _is_text(table.column(name))]
    words = (*_ASKED, *(w for w in literals if not _is_number(w))) if text else ()
    return [{**wanted, **dict.fromkeys(text, word)} for word in words]


def _is_number(word: str) -> bool:
    return re.fullmatch(r"[\d.]+", word) is not None


def _drawn(
    table: Relation,
    cases: Sequence[Mapping[str, str]],
    needed: Set[str],
    planted: Mapping[str, Any],
    literals: Sequence[str],
) -> Iterator[dict[str, str]]:
    """Rows of each case, some with odd cells, and rows that miss one of its values by little."""
    draw = random.Random(0)  # noqa: S311 - the same rows each time
    serials = count(1_000)
    unique = [index.columns for index in table.indexes if index.unique]
    keys = {c for columns in unique for c in columns}
    shared = sorted(c for c in keys if c is not None and (c,) not in unique)
    numbers = tuple(filter(_is_number, literals))
    odd = {**_ODD, "N": (*_ODD["N"], *numbers), "S": (*_ODD["S"], *set(literals) - set(numbers))}

    def made() -> dict[str, str]:
        return dict(make_row(table, PLANTED * next(serials) + 1, planted).values)

    for number, case in enumerate(cases):
        row: dict[str, str] = {}
        for place in range(number % _PER_CASE + 1):
            row = made()
            for column in table.columns:
                own = column.name not in row or column.name in keys or column.labels
                if own or column.base.endswith("[]") or column.name.endswith("_id"):
                    continue
                if column.name not in needed and draw.random() < _BLANK:
                    del row[column.name]
                elif choice := odd.get(column.category):
                    # the first row of a case has the least that an order can be made by
                    row[column.name] = choice[0] if place == 0 else draw.choice(choice)
            yield {**row, **case}
        # alike in all but a key, of which one column is the same too
        for same in (*shared, "") if number < _TWINS else ():
            fresh = {n: v for n, v in made().items() if n in keys and n != same}
            yield {**row, **fresh, **case}
        for name, value in case.items() if number < len(_ASKED) else ():
            for near in _near(value) if _is_text(table.column(name)) else ():
                named = {n: v for n, v in made().items() if n in keys}
                yield {**row, **named, **case, name: near}


def _near(value: str) -> list[str]:
    """Texts that only a careless comparison takes for this one."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", value) if not unicodedata.combining(c))
    alike = (
        *(value.upper(), value.lower(), value.swapcase(), value.casefold()),
        *(
            value.strip(),
            f" {value}",
            f"{value} ",
            f"{value}x",
            f"x{value}",
            f"x{value}x",
            value[:-1],
        ),
        *(re.sub(r"[%*]", "xyz", value), value.replace("_", "x"), plain, value.replace(",", ";")),
        *(unicodedata.normalize(form, value) for form in ("NFC", "NFD", "NFKC")),
        *(value.split(",") if "," in value else ()),
        *(("01", "1e1", "10.0") if value == "10" else ()),
    )
    return [near for near in dict.fromkeys(alike) if near != value]


def _insert(connections: Iterable[Any], rows: Iterable[ProbeRow]) -> None:
    """Insert the first of the rows that a connection may insert."""
    import psycopg

    for row in rows:
        for connection in connections:
            try:
                connection.execute(row.insert, row.parameters)
                return
            except psycopg.Error:
                continue


def _alike(table: Relation, rows: Sequence[Mapping[str, str]]) -> Iterator[list[ProbeRow]]:
    """The rows in batches of the same columns."""
    for _, group in groupby(sorted(rows, key=lambda row: [*row]), key=lambda row: [*row]):
        found = [ProbeRow(table, row) for row in group]
        yield from (found[i : i + _BATCH] for i in range(0, len(found), _BATCH))


def _insert_many(connection: Any, rows: Sequence[ProbeRow]) -> bool:
    """Insert rows of the same columns in one go; whether the table took them all."""
    import psycopg

    head, _, values = rows[0].insert.partition(" VALUES ")
    try:
        connection.execute(
            f"{head} VALUES {', '.join([values] * len(rows))}",
            [value for row in rows for value in row.parameters],
        )
    except psycopg.Error:
        return False
    return True


def call_arguments(
    signature: Signature, filters: Mapping[int, str], asked: Sequence[Mapping[str, str]]
) -> dict[str, list[Any]]:
    """What to call a function with: all that rows have, no more than it needs, and what none has.

    None means that an argument is not given.
    """
    values = asked[0] if asked else {}
    full = _arguments(signature, filters, values)
    optional = [p.optional for p in signature.parameters]
    found = {"with every argument": full}
    if any(optional):
        short = [None if free else v for v, free in zip(full, optional, strict=True)]
        found["without the optional arguments"] = short
    if any(isinstance(value, str) for value in full):
        nowhere = [_NOWHERE if isinstance(value, str) else value for value in full]
        found["with values that no row has"] = nowhere
    for case in asked[1:]:
        given = _arguments(signature, filters, case)
        if given not in found.values():
            found[f"for {json.dumps(given, ensure_ascii=False)}"] = given
    return found


def _arguments(
    signature: Signature, filters: Mapping[int, str], values: Mapping[str, str]
) -> list[Any]:
    return [
        _argument(parameter.type.strip(), values.get(filters.get(index, "")))
        for index, parameter in enumerate(signature.parameters)
    ]


def _argument(kind: str, text: str | None) -> Any:
    fallback = _FEW if kind == "number" else None
    if text is None or kind not in ("number", "boolean"):
        return fallback if text is None else text
    try:
        return json.loads(text)
    except ValueError:  # the column holds text
        return fallback
