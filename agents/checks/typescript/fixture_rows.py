"""Rows on which two query modules can be told apart: each column in an order of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrate_agents.specification.typescript import Signature
from orchestrate_agents.sql.access_matrix import plant
from orchestrate_agents.sql.catalog import Relation
from orchestrate_agents.sql.probe_rows import PLANTED, Row, make_row
from orchestrate_agents.sql.scratch import Database

#: a prime, so that every step through the serial numbers meets each of them once
_SERIALS = 23
#: what a number asks for that no column bears: fewer rows than there are
_FEW = 3
_NOWHERE = "no such value"


@dataclass(frozen=True)
class Use:
    """What the functions do with a table."""

    filters: frozenset[str] = frozenset()
    orders: frozenset[str] = frozenset()


def spread(
    database: Database, tables: Iterable[Relation], uses: Mapping[str, Use]
) -> dict[str, Mapping[str, str]]:
    """Fill the tables of schema `public`, and for each that is used give what filters can ask for.

    Several rows have all of those values, others differ from them in one. Every table has another
    number of rows, and no two columns order them alike.
    """
    listed = [t for t in tables if t.is_table and t.schema == "public"]
    planted = plant(database, listed, force=True)
    asked: dict[str, Mapping[str, str]] = {}
    with database.connect() as owner, database.connect_api() as api:
        api.execute("SET ROLE service_role")
        used = [t for t in listed if t.name in uses]
        for index, table in enumerate(used):
            use = uses[table.name]
            wanted = {n: v for n, v in _mixed(table, 0, planted).items() if n in use.filters}
            for serial in range(1, 6 + 3 * (index % 5)):
                _insert((api, owner), table, _mixed(table, serial, planted) | wanted, use)
            for serial, column in enumerate(sorted(wanted), start=_SERIALS - len(wanted)):
                others = {n: v for n, v in wanted.items() if n != column}
                _insert((api, owner), table, _mixed(table, serial, planted) | others, use)
            asked[table.name] = wanted
    return asked


def _mixed(table: Relation, serial: int, planted: Mapping[str, Any]) -> dict[str, str]:
    """A row with all columns filled, where each takes another path through the serial numbers."""
    values = {}
    for index, column in enumerate(table.columns):
        place = (serial * (index % 19 + 2) + 3 * index) % _SERIALS
        row = make_row(table, PLANTED * (place + 1) + 1, planted)
        if column.name in row.values:
            values[column.name] = row.values[column.name]
    return values


def _insert(
    connections: Iterable[Any], table: Relation, values: Mapping[str, str], use: Use
) -> None:
    """Insert the row; without what it need not have where the table refuses it."""
    import psycopg

    needed = {*make_row(table, 0, {}).values, *use.filters, *use.orders}
    short = {n: v for n, v in values.items() if n in needed}
    for row in (Row(table, values), Row(table, short)):
        for connection in connections:
            try:
                connection.execute(row.insert, row.parameters)
                return
            except psycopg.Error:
                continue


def arguments(
    signature: Signature, filters: Mapping[int, str], values: Mapping[str, str]
) -> dict[str, list[Any]]:
    """What to call a function with: all that rows have, no more than it needs, and what none has.

    None stands for an argument that is not given.
    """
    full = [
        _value(parameter.type.strip(), values.get(filters.get(index, "")))
        for index, parameter in enumerate(signature.parameters)
    ]
    optional = [p.optional for p in signature.parameters]
    found = {"with every argument": full}
    if any(optional):
        short = [None if free else v for v, free in zip(full, optional, strict=True)]
        found["without the optional arguments"] = short
    if any(isinstance(value, str) for value in full):
        found["with values that no row has"] = [
            _NOWHERE if isinstance(value, str) else value for value in full
        ]
    return found


def _value(kind: str, text: str | None) -> Any:
    if text is None:
        return _FEW if kind == "number" else None
    try:
        return json.loads(text) if kind in ("number", "boolean") else text
    except ValueError:  # the column holds text
        return _FEW if kind == "number" else None
