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
    found, pending, seen = list[Any](), [node], set[str]()
    while pending:
        for one in walk(pending.pop()):
            first = getattr(one.fields[0], "sval", "") if type(one).__name__ == "ColumnRef" else ""
            if first in sources and first not in seen:
                seen.add(first)
                for tree in sources[first]:
                    found += [None] if tree is None else walk(tree)
                    pending.append(tree)
    return found


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
