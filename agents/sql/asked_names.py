"""The names for which a question to the catalog asks, also by variables of a body."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from orchestrate_agents.sql.parse import walk

#: variable of a body → what is put into it, as `nested_statements.sources_of` reads it
Sources = Mapping[str, Collection[Any]]


def asked_for(
    node: Any, sources: Sources, made: Collection[str], *, loops: bool
) -> tuple[list[str], bool]:
    """The constants in a question and in what its variables hold, and whether those are all.

    A pattern in a query that is looped over does not count if it fits a name in `made`: what is
    done for each was done for that one here.
    """
    own, given = list(walk(node)), _given_to(node, sources)
    fitting = {
        id(constant)
        for constant, like in map(_pattern, (*(own if loops else ()), *given))
        if constant is not None and _fits_any(constant, like, made)
    }
    constants = [
        text
        for n in (*own, *given)
        if type(n).__name__ == "A_Const" and id(n) not in fitting
        for text in _texts(getattr(n.val, "sval", None))
    ]
    return constants, all(n is not None for n in given)


def _given_to(node: Any, sources: Sources) -> list[Any]:
    """The nodes of what the variables in a tree were given, None for what is not known."""
    found, pending, seen = list[Any](), [node], set[tuple[str, int]]()
    while pending:
        tree = pending.pop()
        places = _subscripts(tree)
        for one in walk(tree):
            first = getattr(one.fields[0], "sval", "") if type(one).__name__ == "ColumnRef" else ""
            asked = first, places.get(id(one), 0)
            if first in sources and asked not in seen:
                seen.add(asked)
                for value in sources[first]:
                    parts = [value] if value is None else _part(value, asked[1], sources)
                    for part in parts:
                        found += [None] if part is None else walk(part)
                    pending += parts
    return found


def _subscripts(tree: Any) -> dict[int, int]:
    """Node of a variable → the constant subscript that it has: 2 of `pair[2]`."""
    found = {}
    for node in walk(tree):
        if type(node).__name__ == "A_Indirection" and len(node.indirection) == 1:
            index = getattr(node.indirection[0], "uidx", None)
            place = getattr(getattr(index, "val", None), "ival", None)
            if place and not node.indirection[0].is_slice:
                found[id(node.arg)] = place
    return found


def _part(value: Any, place: int, sources: Sources) -> list[Any]:
    """What `value` has at a place, also where it is an array of such arrays; all if not known."""
    nodes = list(walk(value)) if place else []
    arrays = [n for n in nodes if type(n).__name__ == "A_ArrayExpr"]
    if arrays:
        inner = [n for n in arrays[0].elements if type(n).__name__ == "A_ArrayExpr"]
        rows = inner if inner and len(inner) == len(arrays[0].elements) else arrays[:1]
        if len(arrays) == 1 + len(inner) and all(len(row.elements) >= place for row in rows):
            return [row.elements[place - 1] for row in rows]
    named = [n for n in nodes if type(n).__name__ == "ColumnRef"]
    if len(named) == 1 and not arrays:
        further = getattr(named[0].fields[0], "sval", "")
        if further in sources and further != "":
            values = sources[further]
            if all(v is not None for v in values):
                return [part for v in values for part in _part(v, place, {})]
    return [value]


def _texts(value: str | None) -> list[str]:
    """What a constant says: itself, or the keys or items of a JSON document."""
    if value is None:
        return []
    try:
        document = json.loads(value)
    except ValueError:
        return [value]
    return [str(item) for item in document] if isinstance(document, dict | list) else [value]


def _pattern(node: Any) -> tuple[Any, bool]:
    """The constant that something is compared with as a pattern, and whether it is one of LIKE."""
    if type(node).__name__ != "A_Expr" or type(node.rexpr).__name__ != "A_Const":
        return None, False
    word = node.name[-1].sval
    like = word in ("~~", "~~*") and node.kind.name in ("AEXPR_LIKE", "AEXPR_ILIKE")
    return (node.rexpr if like or word in ("~", "~*") else None), like


def _fits_any(constant: Any, like: bool, names: Collection[str]) -> bool:
    """Whether a pattern fits one of the names, or the last part of one."""
    text = getattr(constant.val, "sval", "")
    if like:
        text = "".join(
            {"%": ".*", "_": "."}.get(part, re.escape(part[-1:]))
            for part in re.findall(r"\\.|.", text, re.DOTALL)
        )
        text = f"^(?:{text})$"
    try:
        pattern = re.compile(text, re.IGNORECASE)
    except re.error:
        return False
    return any(pattern.search(name.rpartition(".")[2]) for name in names)
