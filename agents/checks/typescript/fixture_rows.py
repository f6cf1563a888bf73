"""Rows that distinguish query modules: each column in an order of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Set
from typing import Any

from orchestrate_agents.specification.typescript import Signature
from orchestrate_agents.sql.access_matrix import plant
from orchestrate_agents.sql.catalog import Relation
from orchestrate_agents.sql.probe_rows import PLANTED, ProbeRow, make_row
from orchestrate_agents.sql.scratch import Database

#: a prime, so that every step through the serial numbers meets each of them once
_SERIALS = 23
#: what a number asks for that no column holds: fewer rows than there are
_FEW = 3
_NOWHERE = "no such value"


def plant_distinct_rows(
    database: Database,
    tables: Iterable[Relation],
    filtered: Mapping[str, Set[str]],
    ordered: Mapping[str, Set[str]],
) -> dict[str, Mapping[str, str]]:
    """Fill the tables of schema `public`; returns, for the `filtered` ones, what to filter by.

    `filtered` and `ordered` name the columns in use by table. Several rows have all values that are
    returned, others differ from them in one. Every table has another number of rows, and no two
    columns order them alike.
    """
    listed = [t for t in tables if t.is_table and t.schema == "public"]
    planted = plant(database, listed, force=True)
    asked: dict[str, Mapping[str, str]] = {}
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
            for row in rows:
                # without what it need not have, where the table refuses the whole row
                short = {name: value for name, value in row.items() if name in needed}
                _insert((api, owner), (ProbeRow(table, row), ProbeRow(table, short)))
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


def call_arguments(
    signature: Signature, filters: Mapping[int, str], values: Mapping[str, str]
) -> dict[str, list[Any]]:
    """What to call a function with: all that rows have, no more than it needs, and what none has.

    None means that an argument is not given.
    """
    full = [
        _argument(parameter.type.strip(), values.get(filters.get(index, "")))
        for index, parameter in enumerate(signature.parameters)
    ]
    optional = [p.optional for p in signature.parameters]
    found = {"with every argument": full}
    if any(optional):
        short = [None if free else v for v, free in zip(full, optional, strict=True)]
        found["without the optional arguments"] = short
    if any(isinstance(value, str) for value in full):
        nowhere = [_NOWHERE if isinstance(value, str) else value for value in full]
        found["with values that no row has"] = nowhere
    return found


def _argument(kind: str, text: str | None) -> Any:
    fallback = _FEW if kind == "number" else None
    if text is None or kind not in ("number", "boolean"):
        return fallback if text is None else text
    try:
        return json.loads(text)
    except ValueError:  # the column holds text
        return fallback
