"""What policies allow by the content of rows or the time, whatever the probed rows were."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from orchestrate_agents.sql.catalog import Relation
from orchestrate_agents.sql.parse import expression, walk
from orchestrate_agents.sql.probe_rows import asks_the_clock

#: functions whose result follows from their arguments or the clock, never from who asks
OF_VALUES = frozenset(
    re.findall(
        r"\w+",
        """
        abs array_length btrim cardinality ceil char_length concat date date_part date_trunc
        extract floor json_array_length jsonb_array_length left length lower ltrim md5 mod now
        octet_length position replace reverse right round rtrim split_part starts_with strpos
        substr substring timezone trim trunc upper
        """,
    )
)


def policy_by_content(relation: Relation, role: str, verb: str) -> str:
    """The policy by which a role may do this to every row of some content; "" if there is none.

    A restrictive policy can take back what a permissive one gives: then there is no answer.
    """
    if all(p.permissive for p in relation.policies if p.concerns(role, verb)):
        for name, alternatives in conditions(relation, role, verb):
            if any(map(_depends_on_content_alone, alternatives)):
                return name
    return ""


def policy_by_clock(relation: Relation, role: str, verb: str) -> str:
    """The one policy that lets a role do this, if it does so only at some times; else ""."""
    found = list(conditions(relation, role, verb))
    if len(found) == 1:
        ((name, alternatives),) = found
        if alternatives and all(any(map(asks_the_clock, walk(way))) for way in alternatives):
            return name
    return ""


def conditions(relation: Relation, role: str, verb: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The permissive policies with the alternatives (between OR) of their conditions."""
    for policy in relation.policies if relation.rls else ():
        if policy.permissive and policy.concerns(role, verb):
            source = (policy.check if verb == "INSERT" else None) or policy.using
            yield policy.name, _alternatives(source) if source else ()


@lru_cache(maxsize=512)
def _alternatives(source: str) -> tuple[Any, ...]:
    """What is between the outermost ORs; nothing if it cannot be read."""
    from pglast.parser import ParseError

    def split(node: Any) -> Iterator[Any]:
        if type(node).__name__ == "BoolExpr" and node.boolop.name == "OR_EXPR":
            for part in node.args:
                yield from split(part)
        else:
            yield node

    try:
        return tuple(split(expression(source)))
    except (ParseError, IndexError):
        return ()


def _depends_on_content_alone(alternative: Any) -> bool:
    """Whether it looks at columns or the clock, and at nothing that tells who asks."""
    varies = False
    for node in walk(alternative):
        match type(node).__name__:
            case "SubLink":
                return False
            case "ColumnRef":
                varies = True
            case "SQLValueFunction" if not asks_the_clock(node):
                return False
            case "FuncCall":
                *schema, name = (part.sval for part in node.funcname)
                if name not in OF_VALUES or schema not in ([], ["pg_catalog"]):
                    return False
        varies = varies or asks_the_clock(node)
    return varies
