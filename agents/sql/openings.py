"""What a policy opens by the content of rows alone, whether or not a probe had such a row."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from orchestrate_agents.sql.catalog import RealPolicy, Relation
from orchestrate_agents.sql.parse import expression, walk
from orchestrate_agents.sql.probe_rows import asks_the_clock

# fmt: off
#: functions whose result follows from their arguments or the clock, never from who asks
_OF_VALUES = frozenset(
    {
    "abs", "array_length", "btrim", "cardinality", "ceil", "char_length", "concat", "date",
    "date_part", "date_trunc", "extract", "floor", "jsonb_array_length", "json_array_length",
    "left", "length", "lower", "ltrim", "md5", "mod", "now", "octet_length", "position",
    "replace", "reverse", "right", "round", "rtrim", "split_part", "starts_with", "strpos",
    "substr", "substring", "timezone", "trim", "trunc", "upper",
    }
)
# fmt: on


def opened_by_content(relation: Relation, role: str, verb: str) -> str:
    """The policy by which a role may do this to every row of some content; "" if there is none.

    A restrictive policy can take back what a permissive one gives: then nothing is said.
    """
    applying = [p for p in relation.policies if _applies(p, role, verb)]
    if not relation.rls or any(not p.permissive for p in applying):
        return ""
    for policy in applying:
        source = (policy.check if verb == "INSERT" else None) or policy.using
        if source and any(map(_is_of_content, _alternatives(source))):
            return policy.name
    return ""


def opened_by_the_clock(relation: Relation, role: str, verb: str) -> str:
    """The one policy that lets a role do this, if it does so at some times alone; else ""."""
    applying = [p for p in relation.policies if p.permissive and _applies(p, role, verb)]
    for policy in applying if relation.rls and len(applying) == 1 else ():
        source = (policy.check if verb == "INSERT" else None) or policy.using
        ways = _alternatives(source) if source else ()
        if ways and all(any(map(asks_the_clock, walk(way))) for way in ways):
            return policy.name
    return ""


def _applies(policy: RealPolicy, role: str, verb: str) -> bool:
    return policy.verb in ("ALL", verb) and bool({role, "public"} & set(policy.roles))


@lru_cache(maxsize=512)
def _alternatives(source: str) -> tuple[Any, ...]:
    """What stands between the outermost ORs; nothing where it cannot be read."""
    from pglast.parser import ParseError

    try:
        return tuple(_split(expression(source)))
    except (ParseError, IndexError):
        return ()


def _split(node: Any) -> Iterator[Any]:
    if type(node).__name__ == "BoolExpr" and node.boolop.name == "OR_EXPR":
        for part in node.args:
            yield from _split(part)
    else:
        yield node


def _is_of_content(alternative: Any) -> bool:
    """Whether it looks at columns or the clock, and at nothing that tells who asks."""
    nodes = list(walk(alternative))
    return any(map(_varies, nodes)) and not any(map(_tells_who_asks, nodes))


def _varies(node: Any) -> bool:
    return type(node).__name__ == "ColumnRef" or asks_the_clock(node)


def _tells_who_asks(node: Any) -> bool:
    match type(node).__name__:
        case "SubLink":
            return True
        case "SQLValueFunction":
            return not asks_the_clock(node)
        case "FuncCall":
            *schema, name = (part.sval for part in node.funcname)
            return name not in _OF_VALUES or schema not in ([], ["pg_catalog"])
    return False
