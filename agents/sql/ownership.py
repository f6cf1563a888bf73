"""Which columns say whom a row belongs to: those that policies compare with the user who asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from orchestrate_agents.sql.catalog import Relation
from orchestrate_agents.sql.parse import expression, walk
from orchestrate_agents.sql.policy_conditions import OF_VALUES, conditions

#: table → column → what of the asking user it holds: "id" or "email"
Owned = Mapping[str, Mapping[str, str]]


def owned_columns(relations: Sequence[Relation]) -> Owned:
    """The columns that hold the asking user, by the policies of these tables.

    A column that a foreign key leads from passes this on to the column that it leads to: an order
    of the asking user needs a customer who is that user.
    """
    found: dict[str, dict[str, str]] = {}
    for relation in relations:
        for policy in relation.policies:
            for source in filter(None, (policy.using, policy.check)):
                for table, column, what in _comparisons(source):
                    owner = _named(relations, table) if table else relation
                    # an unqualified name in a sub-select may be of either table
                    for place in filter(None, (owner, relation)):
                        if place.column(column):
                            found.setdefault(place.qualified, {}).setdefault(column, what)
                            break
    waiting = [(table, column) for table, columns in found.items() for column in columns]
    while waiting:
        table, column = waiting.pop()
        source_of = _named(relations, table)
        for constraint in source_of.constraints if source_of else ():
            target = _named(relations, constraint.target) if constraint.type == "f" else None
            if target is None or column not in constraint.columns:
                continue
            leads_to = constraint.target_columns[constraint.columns.index(column)]
            columns = found.setdefault(target.qualified, {})
            if leads_to not in columns:
                columns[leads_to] = found[table][column]
                waiting.append((target.qualified, leads_to))
    return found


def unplanted(
    relation: Relation,
    role: str,
    verb: str,
    rows: Mapping[str, Sequence[Mapping[str, str]]],
    subject: str,
) -> str:
    """Why a refusal shows nothing: a policy opens rows of the asking user, and there are none.

    `rows` are the probe's rows by table, `subject` is the user's id. "" where such a row was there,
    or where no policy looks at who asks.
    """
    for policy, alternatives in conditions(relation, role, verb):
        for alternative in alternatives:
            for table, column, _ in _found_in(alternative):
                if table.startswith("auth."):
                    continue
                names = (table, f"public.{table}") if table else (relation.qualified,)
                there = [row for name in names for row in rows.get(name, ())]
                if not any(subject in row.get(column, "") for row in there):
                    return f"no row of the asking user could be planted for policy {policy}"
            for name in _foreign_functions(alternative):
                return f"policy {policy} asks {name}(), for which no row could be planted"
    return ""


def _named(relations: Iterable[Relation], name: str) -> Relation | None:
    wanted = (name, f"public.{name}")
    return next((r for r in relations if r.qualified in wanted), None)


@lru_cache(maxsize=512)
def _comparisons(source: str) -> tuple[tuple[str, str, str], ...]:
    from pglast.parser import ParseError

    try:
        return tuple(_found_in(expression(source)))
    except (ParseError, IndexError):
        return ()


def _found_in(root: Any) -> Iterator[tuple[str, str, str]]:
    """(table, column, "id" or "email") of every comparison with the asking user.

    The table is "" where it is the policy's own.
    """
    aliases: dict[str, str] = {}
    for node in walk(root):
        if type(node).__name__ == "RangeVar":
            table = ".".join(filter(None, (node.schemaname, node.relname)))
            aliases[node.alias.aliasname if node.alias else node.relname] = table
    for node in walk(root):
        if type(node).__name__ == "A_Expr" and node.name and node.name[-1].sval in ("=", "~~*"):
            sides = (node.lexpr, node.rexpr)
        elif type(node).__name__ == "SubLink" and node.testexpr is not None:
            sides = (node.testexpr, getattr(node.subselect, "targetList", None))
        else:
            continue
        for one, other in (sides, sides[::-1]):
            if what := _identity(one):
                for names in _columns(other):
                    yield (
                        aliases.get(names[-2], names[-2]) if len(names) > 1 else "",
                        names[-1],
                        what,
                    )


def _identity(side: Any) -> str:
    """ "id" or "email" if a side of a comparison is the asking user, else ""."""
    nodes = list(_outside_of_selects(side))
    called = {".".join(p.sval for p in n.funcname) for n in nodes if type(n).__name__ == "FuncCall"}
    texts = {getattr(n.val, "sval", "") for n in nodes if type(n).__name__ == "A_Const" and n.val}
    if "auth.uid" in called:
        return "id"
    if "auth.email" in called:
        return "email"
    if called & {"auth.jwt", "current_setting", "pg_catalog.current_setting"}:
        if texts & {"sub", "request.jwt.claim.sub"}:
            return "id"
        if texts & {"email", "request.jwt.claim.email"}:
            return "email"
    return ""


def _outside_of_selects(side: Any) -> Iterator[Any]:
    """The nodes of a side; of a sub-select only what it returns."""
    pending = [side]
    while pending:
        node = pending.pop()
        if isinstance(node, tuple | list):
            pending.extend(node)
        elif type(node).__name__ == "SubLink":
            pending.append(getattr(node.subselect, "targetList", None))
        elif node is not None:
            yield node
            pending.extend(_children(node))


def _columns(side: Any) -> Iterator[list[str]]:
    """The names of the columns on a side, without those inside of a sub-select."""
    pending = [side]
    while pending:
        node = pending.pop()
        if isinstance(node, tuple | list):
            pending.extend(node)
        elif type(node).__name__ == "ColumnRef":
            if all(hasattr(part, "sval") for part in node.fields):
                yield [part.sval for part in node.fields]
        elif node is not None and type(node).__name__ not in ("SubLink", "FuncCall"):
            pending.extend(_children(node))


def _children(node: Any) -> list[Any]:
    from pglast.ast import Node

    return [getattr(node, slot) for slot in node] if isinstance(node, Node) else []


def _foreign_functions(alternative: Any) -> Iterator[str]:
    """Functions of the workspace's own that are asked about a column."""
    for node in walk(alternative):
        if type(node).__name__ != "FuncCall" or not node.args:
            continue
        *schema, name = (part.sval for part in node.funcname)
        own = schema not in (["auth"], ["pg_catalog"]) and name not in OF_VALUES
        if own and name not in _BUILT_IN and any(map(list, map(_columns, node.args))):
            yield name


_BUILT_IN = frozenset(("coalesce", "current_setting", "set_config", "unnest", "count", "to_jsonb"))
