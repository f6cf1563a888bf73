"""The part of PostgREST's URL grammar that the Supabase clients use here, as SQL.

Grammar: https://docs.postgrest.org/en/stable/references/api/tables_views.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

_OPERATORS = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "like": "LIKE",
    "ilike": "ILIKE",
}
_IS = {"null": "NULL", "not_null": "NOT NULL", "true": "TRUE", "false": "FALSE"}
_RESERVED = {"select", "order", "limit", "offset", "on_conflict", "columns"}
_ORDER = re.compile(r"(?P<column>.+?)(?:\.(?P<way>asc|desc))?(?:\.nulls(?P<nulls>first|last))?")
_ITEM = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^,]*)\s*(?:,|$)')


class RestError(Exception):
    """An answer that is an error, in PostgREST's shape."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "details": details, "hint": hint, "message": message}


@dataclass(frozen=True)
class RestQuery:
    """A request's URL parameters, parsed."""

    table: str
    #: columns to return; empty = all
    select: tuple[str, ...] = ()
    filters: tuple[tuple[str, str], ...] = ()
    order: tuple[str, ...] = ()
    limit: int | None = None
    offset: int = 0
    on_conflict: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    #: whether a write gives the rows back; if not, the role needs no right to read them
    returning: bool = False


def parse_query(table: str, parameters: Sequence[tuple[str, str]]) -> RestQuery:
    """The parameters of a URL. Raises RestError (400) for what is not understood."""
    given = dict(parameters)
    return RestQuery(
        table=table,
        select=_columns(given.get("select", "*")),
        filters=tuple((name, value) for name, value in parameters if name not in _RESERVED),
        order=tuple(split_list(given.get("order", ""))),
        limit=_number(given.get("limit")),
        offset=_number(given.get("offset")) or 0,
        on_conflict=tuple(split_list(given.get("on_conflict", ""))),
        columns=tuple(split_list(given.get("columns", ""))),
    )


def split_list(text: str) -> list[str]:
    """A comma-separated list whose items may stand in double quotes with backslash escapes."""
    items: list[str] = []
    position = 0
    while position < len(text):
        found = _ITEM.match(text, position)
        if found is None:
            raise bad_request(f"cannot parse the list {text!r}")
        items.append(_unquoted(found.group(1)))
        position = found.end()
    return items


def bad_request(message: str) -> RestError:
    return RestError(400, "PGRST100", message)


def select_statement(query: RestQuery) -> Composed:
    """One row: the page as JSON text, and how many rows it holds."""
    page = SQL("SELECT {} FROM {}{}{}{} OFFSET {}").format(
        _selection(query),
        _table(query),
        _where(query),
        _order_clause(query),
        SQL(" LIMIT {}").format(Literal(query.limit)) if query.limit is not None else SQL(""),
        Literal(query.offset),
    )
    return _as_json(page)


def count_statement(query: RestQuery) -> Composed:
    """The number of rows that the filters let through."""
    return SQL("SELECT count(*) FROM {}{}").format(_table(query), _where(query))


def insert_statement(
    query: RestQuery, rows: Sequence[Mapping[str, Any]], resolution: str, key: Sequence[str]
) -> Composed:
    """INSERT from JSON; `resolution` is "", "merge-duplicates" or "ignore-duplicates" on `key`."""
    columns = query.columns or tuple(rows[0])
    names, table = _names(columns), _table(query)
    statement = SQL(
        "INSERT INTO {} ({}) SELECT {} FROM json_populate_recordset(NULL::{}, {}::json){}"
    ).format(
        table,
        names,
        names,
        table,
        Literal(json.dumps(list(rows))),
        _conflict(resolution, key, columns),
    )
    return _returning(statement, query)


def update_statement(query: RestQuery, row: Mapping[str, Any]) -> Composed:
    """UPDATE of the rows that the filters let through, with the values of one JSON object."""
    changes = SQL(", ").join(SQL("{0} = _body.{0}").format(Identifier(column)) for column in row)
    statement = SQL(
        "UPDATE {0} SET {1} FROM json_populate_record(NULL::{0}, {2}::json) _body{3}"
    ).format(_table(query), changes, Literal(json.dumps(dict(row))), _where(query))
    return _returning(statement, query)


def delete_statement(query: RestQuery) -> Composed:
    """DELETE of the rows that the filters let through."""
    return _returning(SQL("DELETE FROM {}{}").format(_table(query), _where(query)), query)


def _where(query: RestQuery) -> Composable:
    """The filters, joined by AND; empty without filters."""
    parts = [_filter(query, column, condition) for column, condition in query.filters]
    return SQL(" WHERE ") + SQL(" AND ").join(parts) if parts else SQL("")


def _table(query: RestQuery) -> Composable:
    return Identifier("public", query.table)


def _filter(query: RestQuery, column: str, condition: str) -> Composable:
    operator, dot, value = condition.partition(".")
    if operator == "not" and dot:
        return SQL("NOT ({})").format(_filter(query, column, value))
    name = Identifier("public", query.table, column)
    if operator in _OPERATORS and dot:
        text = value.replace("*", "%") if operator.endswith("like") else value
        return SQL("{} {} {}").format(name, SQL(_OPERATORS[operator]), Literal(text))
    if operator == "is" and value in _IS:
        return SQL("{} IS {}").format(name, SQL(_IS[value]))
    if operator == "in" and value.startswith("(") and value.endswith(")"):
        items = split_list(value[1:-1])
        if not items:
            return SQL("FALSE")
        return SQL("{} IN ({})").format(name, SQL(", ").join(map(Literal, items)))
    raise bad_request(f'"failed to parse filter ({condition})"')


def _conflict(resolution: str, key: Sequence[str], columns: Sequence[str]) -> Composable:
    if not resolution or not key:
        return SQL("")
    target = SQL(" ON CONFLICT ({}) ").format(_names(key))
    if resolution == "ignore-duplicates":
        return target + SQL("DO NOTHING")
    changes = (SQL("{0} = EXCLUDED.{0}").format(Identifier(column)) for column in columns)
    return target + SQL("DO UPDATE SET {}").format(SQL(", ").join(changes))


def _order_clause(query: RestQuery) -> Composable:
    terms: list[Composable] = []
    for item in query.order:
        found = _ORDER.fullmatch(item)
        if found is None:
            raise bad_request(f"cannot parse order ({item})")
        way = SQL(" DESC" if found["way"] == "desc" else " ASC")
        nulls = SQL(f" NULLS {found['nulls'].upper()}" if found["nulls"] else "")
        terms.append(Identifier(found["column"]) + way + nulls)
    return SQL(" ORDER BY {}").format(SQL(", ").join(terms)) if terms else SQL("")


def _selection(query: RestQuery) -> Composable:
    if not query.select:
        return _table(query) + SQL(".*")
    return SQL(", ").join(Identifier("public", query.table, name) for name in query.select)


def _returning(statement: Composed, query: RestQuery) -> Composed:
    given = _selection(query) if query.returning else SQL("1")
    return _as_json(SQL("{} RETURNING {}").format(statement, given))


def _as_json(statement: Composable) -> Composed:
    return SQL(
        "WITH _page AS ({}) SELECT coalesce(json_agg(_page), '[]')::text, count(*) FROM _page"
    ).format(statement)


def _names(columns: Sequence[str]) -> Composable:
    return SQL(", ").join(map(Identifier, columns))


def _columns(text: str) -> tuple[str, ...]:
    names = split_list(text)
    if "*" in names:
        return ()
    for name in names:
        if re.search(r"[():!]|->", name):
            raise bad_request(f"aliases, casts and embedded tables are not served ({name})")
    return tuple(names)


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise bad_request(f"not a number of rows: {text!r}")
    return int(text)


def _unquoted(item: str) -> str:
    if len(item) >= 2 and item[0] == item[-1] == '"':
        return re.sub(r"\\(.)", r"\1", item[1:-1])
    return item.strip()
