"""Rows that a probe can insert: values by type, keeping to checks and references where they can."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from orchestrate_agents.sql.catalog import RealColumn, Relation
from orchestrate_agents.sql.parse import expression, walk

_SPACE = uuid.UUID("6f1d1f5e-4d0a-4f0e-9d57-2b8f1c3a7e10")
#: rows that stand in each table while roles are probed
PLANTED = 3
#: every user that a probe row may point to exists in `auth.users`
USERS = 40


def user_id(serial: int) -> str:
    """The id of the n-th probe user."""
    return str(uuid.uuid5(_SPACE, f"user {serial}"))


#: the signed-in user whom probe rows belong to, and one whom no row belongs to
SUBJECT = user_id(0)
STRANGER = user_id(USERS - 1)


@dataclass(frozen=True)
class ProbeRow:
    """One row as text values; the server casts each to its column's type."""

    relation: Relation
    values: Mapping[str, str]

    @property
    def insert(self) -> str:
        """An INSERT with one `%s` per value."""
        if not self.values:
            return f"INSERT INTO {quoted(self.relation)} DEFAULT VALUES"
        names = ", ".join(quote(n) for n in self.values)
        types = {c.name: c.type.replace("%", "%%") for c in self.relation.columns}
        casts = ", ".join(f"%s::{types[n]}" for n in self.values)
        return f"INSERT INTO {quoted(self.relation)} ({names}) VALUES ({casts})"  # noqa: S608

    @property
    def parameters(self) -> list[str]:
        return list(self.values.values())


def quoted(relation: Relation) -> str:
    """`"schema"."name"`, with `%` doubled for the driver."""
    return f"{quote(relation.schema)}.{quote(relation.name)}"


def quote(name: str) -> str:
    """`"name"`, with `%` doubled for the driver."""
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


def make_row(
    relation: Relation,
    serial: int,
    planted: Mapping[str, list[dict[str, str]]],
    owned: Mapping[str, str] | None = None,
    user: str = SUBJECT,
) -> ProbeRow:
    """The `serial`-th row of a relation.

    Serial numbers take turns: only what must be filled, all filled with true, all filled with
    false, so that a policy over a column's value shows on one of them. `planted` holds the rows
    that foreign keys may point to, by table. `owned` columns hold the id or email of `user`, or a
    path below the id: in every row, or in the first of each turn where a value may occur once only.
    """
    hints = _hints(relation)
    values: dict[str, str] = {}
    own = _own_values(relation, serial, owned or {}, user)
    for column in relation.columns:
        # a value of ours would be in the way of the next one of a sequence
        numbered = (column.default or "").startswith("nextval(")
        if column.made or column.identity or numbered:
            continue
        if column.name in own:
            values[column.name] = own[column.name]
            continue
        # whose a row is may be left open, but not where that is what is probed
        theirs = user != SUBJECT and column.base == "uuid" and _holds_user(column, relation)
        required = column.not_null or column.name in hints or theirs
        if serial % PLANTED == 0 and not (required and (column.default is None or theirs)):
            continue
        value = _value(column, serial, hints.get(column.name, ()), relation, user)
        if value is not None:
            values[column.name] = value
    values.update(_references(relation, serial, planted, values, own, user))
    return ProbeRow(relation, values)


def _holds_user(column: RealColumn, relation: Relation) -> bool:
    """Whether a column of ids may say whom a row belongs to: nothing else fills it in."""
    filled = column.default is not None and "auth.uid()" not in column.default
    return not filled and not _is_unique(relation, column.name)


def _own_values(
    relation: Relation, serial: int, owned: Mapping[str, str], user: str
) -> dict[str, str]:
    """The values of the columns that say whom the row belongs to."""
    found = {}
    for column in relation.columns:
        what = owned.get(column.name)
        if what is None or (serial % PLANTED and _is_unique(relation, column.name)):
            continue
        path = f"{user}/{user}/{column.name} {serial}"
        value = {"id": user, "path": path}.get(what, f"{user}@example.org")
        base = column.base.removesuffix("[]")
        if base == "uuid" and what != "id":
            continue
        if base in ("uuid", "text", "citext") or base.startswith(("character", "varchar")):
            found[column.name] = f"{{{value}}}" if column.base.endswith("[]") else value
    return found


def _references(
    relation: Relation,
    serial: int,
    planted: Mapping[str, list[dict[str, str]]],
    values: Mapping[str, str],
    own: Mapping[str, str],
    user: str,
) -> Iterator[tuple[str, str]]:
    for constraint in (c for c in relation.constraints if c.type == "f"):
        if constraint.target == "auth.users":
            unique = _is_unique(relation, constraint.columns[0])
            first = user != SUBJECT and serial % PLANTED == 0
            yield constraint.columns[0], user_id(serial) if unique and not first else user
            continue
        if constraint.target == "storage.buckets" and bucket_names([relation]):
            # the bucket that a policy names, not just any
            continue
        parents = planted.get(constraint.target) or planted.get(f"public.{constraint.target}") or []
        if parents and any(c in values for c in constraint.columns):
            pairs = list(zip(constraint.columns, constraint.target_columns, strict=True))
            wanted = [(target, own[column]) for column, target in pairs if column in own]
            fitting = [p for p in parents if all(p.get(t) == value for t, value in wanted)]
            parent = (fitting or parents)[serial % len(fitting or parents)]
            for column, target in pairs:
                if parent.get(target) is not None:
                    yield column, parent[target]


def bucket_names(tables: Iterable[Relation]) -> tuple[str, ...]:
    """The buckets that policies on stored files name."""
    files = (t for t in tables if t.qualified == "storage.objects")
    return tuple(name for table in files for name in _hints(table).get("bucket_id", ()))


def _is_unique(relation: Relation, column: str) -> bool:
    return any(i.unique and i.columns == (column,) for i in relation.indexes)


_FIXED = {
    "json": "{}",
    "jsonb": "{}",
    "bytea": "\\x00",
    "xml": "<a/>",
    "tsvector": "a",
    "point": "(0,0)",
    "hstore": "",
}


def _value(
    column: RealColumn, serial: int, hints: tuple[str, ...], relation: Relation, user: str
) -> str | None:
    """A value of the column's type, as text; None if there is none."""
    known = hints or column.labels
    if known:
        return known[serial % len(known)]
    base, day = column.base, serial % 27 + 1
    if base == "uuid":
        return (
            user
            if _holds_user(column, relation)
            else str(uuid.uuid5(_SPACE, f"{column.name} {serial}"))
        )
    if base.endswith("[]"):
        return "{}"
    if base == "vector":
        size = re.search(r"\((\d+)\)", column.type)
        return "[" + ",".join(["0"] * int(size[1] if size else 3)) + "]"
    match column.category:
        case "N":
            return str(serial % 100)
        case "B":
            return "false" if serial % PLANTED == 2 else "true"
        case "S":
            return str(serial) if re.search(r"\([1-7]\)", column.type) else f"probe {serial}"
        case "R":
            return "empty"
        case "D":
            return f"08:{serial % 60:02}" if base.startswith("time ") else f"2020-01-{day:02}"
        case "T":
            return f"{day} days"
        case "I":
            return f"10.0.0.{day}"
    return _FIXED.get(base)


def _hints(relation: Relation) -> dict[str, tuple[str, ...]]:
    """Constants that checks and policies compare a column with."""
    sources = [c.expression for c in relation.constraints if c.type == "c"]
    for policy in relation.policies:
        sources += [policy.using, policy.check]
    found: dict[str, dict[str, None]] = {}
    for source in sources:
        for name, constant in _comparisons(source or "true"):
            column = relation.column(name)
            if column is not None and column.category != "B":
                found.setdefault(name, {})[constant] = None
    return {name: tuple(constants) for name, constants in found.items()}


@lru_cache(maxsize=512)
def _comparisons(source: str) -> tuple[tuple[str, str], ...]:
    from pglast.ast import A_Expr, FuncCall
    from pglast.parser import ParseError

    try:
        root = expression(source)
    except (ParseError, IndexError):
        return ()
    out: list[tuple[str, str]] = []
    for node in walk(root):
        if isinstance(node, A_Expr):
            out += _compared(node)
        elif isinstance(node, FuncCall) and node.args and _called(node) in _OF_LISTS:
            # whatever the length is compared with, an empty object has none
            out += [(name, '["probe"]') for name in _column_names(node.args[0])]
    return tuple(out)


def _called(node: Any) -> str:
    return str(node.funcname[-1].sval)


_OF_LISTS = ("jsonb_array_length", "json_array_length")
#: SQL's words for the time, by their names in the parse tree
_CLOCK = ("SVFOP_CURRENT_DATE", "SVFOP_CURRENT_TIME", "SVFOP_LOCALTIME")
#: past and future enough for whatever is added to the clock
_EARLY, _LATE = "1900-01-01", "2900-01-01"
_SHIFT = {"=": 0, "<=": 0, ">=": 0, "<": -1, ">": 1, "~~": 0}


def _compared(node: Any) -> Iterator[tuple[str, str]]:
    operator = node.name[-1].sval
    names = list(_column_names(node.lexpr)) + list(_column_names(node.rexpr))
    if operator not in _SHIFT or len(names) != 1:
        return
    flipped = bool(list(_column_names(node.rexpr)))
    shift = -_SHIFT[operator] if flipped else _SHIFT[operator]
    other = node.lexpr if flipped else node.rexpr
    if any(map(asks_the_clock, walk(other))):
        yield names[0], _EARLY if ("<" in operator) != flipped else _LATE
        return
    if any(type(child).__name__ == "FuncCall" for child in walk(other)):
        # a constant in there is an argument, such as a setting's name
        return
    for constant in _constants(other):
        text = _shifted(str(constant), shift)
        yield names[0], text.replace("%", "") if operator == "~~" else text


def _shifted(constant: str, shift: int) -> str:
    """The next number or day before or after; other text stays."""
    if not shift:
        return constant
    with suppress(InvalidOperation):
        return str(Decimal(constant) + shift)
    with suppress(ValueError, OverflowError):
        day = date.fromisoformat(constant[:10]) + timedelta(days=shift)
        return day.isoformat() + constant[10:]
    return constant


def asks_the_clock(node: Any) -> bool:
    """Whether a node of a tree is the time."""
    if type(node).__name__ == "SQLValueFunction":
        return str(node.op.name).startswith(_CLOCK)
    return type(node).__name__ == "FuncCall" and _called(node) == "now"


def _column_names(node: Any) -> Iterator[str]:
    """The column that a side of a comparison is, under casts only."""
    while type(node).__name__ == "TypeCast":
        node = node.arg
    if type(node).__name__ == "ColumnRef":
        yield node.fields[-1].sval if hasattr(node.fields[-1], "sval") else ""


def _constants(node: Any) -> Iterator[str | int]:
    from pglast.ast import A_Const

    for child in walk(node):
        if isinstance(child, A_Const) and child.val is not None:
            value = child.val
            for attribute in ("sval", "ival", "fval"):
                if hasattr(value, attribute):
                    yield getattr(value, attribute)
