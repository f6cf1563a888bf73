"""Which columns say whom a row belongs to: those that policies compare with the user who asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from orchestrate_agents.sql.catalog import Relation
from orchestrate_agents.sql.parse import children, expression, walk
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
        if type(node).__name__ == "A_Expr" and node.name and node.name[-1].sval in _ALIKE:
            sides = (node.lexpr, node.rexpr)
        elif type(node).__name__ == "SubLink" and node.testexpr is not None:
            sides = (node.testexpr, getattr(node.subselect, "targetList", None))
        else:
            continue
        for one, other in (sides, sides[::-1]):
            if what := _identity(one):
                whole = list(_columns(_nodes(other, _outside_of_calls)))
                if not whole or (type(node).__name__ == "A_Expr" and node.name[-1].sval == "~~"):
                    whole, what = list(_columns(walk(other))), "path"
                for names in whole:
                    yield (
                        aliases.get(names[-2], names[-2]) if len(names) > 1 else "",
                        names[-1],
                        what,
                    )


def _identity(side: Any) -> str:
    """ "id" or "email" if a side of a comparison is the asking user, else ""."""
    nodes = list(_nodes(side, _returned))
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
        # a claim such as a tenant's id: a probe's user has a tenant of his own
        if texts - _NOT_OF_USERS:
            return "id"
    return ""


_ALIKE = ("=", "~~", "~~*")
_NOT_OF_USERS = {"", "role", "aal", "aud", "iss", "exp", "request.jwt.claims", "true"}
_NOT_OF_USERS |= {"request.jwt.claim.role", "app_metadata", "user_metadata"}


def claim_names(connection: Any) -> tuple[str, ...]:
    """The claims of a request that policies and functions of the database look at."""
    rows = connection.execute(
        r"""
        SELECT DISTINCT (regexp_matches(s, $r$->>?\s*'(\w+)'$r$, 'g'))[1] FROM (
          SELECT prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
          WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'auth')
          UNION ALL SELECT qual FROM pg_policies UNION ALL SELECT with_check FROM pg_policies
        ) AS t (s) WHERE s ~ 'jwt' ORDER BY 1
        """
    ).fetchall()
    return tuple(name for (name,) in rows if name not in _NOT_OF_USERS)


def claims_of(role: str, user: str, names: Iterable[str] = ()) -> dict[str, Any]:
    """The claims of a request of a user; each of `names` holds the user's id."""
    if role != "authenticated":
        return {"role": role}
    more = dict.fromkeys(names, user)
    whole = {"app_metadata": dict(more), "user_metadata": dict(more), **more}
    return whole | {"role": role, "sub": user, "email": f"{user}@example.org"}


def _nodes(side: Any, below: Callable[[Any], Any]) -> Iterator[Any]:
    """The nodes of a side: those on it, and what `below` gives of each."""
    pending = [side]
    while pending:
        node = pending.pop()
        if isinstance(node, tuple | list):
            pending.extend(node)
        elif node is not None:
            yield node
            pending.append(below(node))


def _returned(node: Any) -> Any:
    """What is below a node; of a sub-select only what it returns."""
    if type(node).__name__ == "SubLink":
        return getattr(node.subselect, "targetList", None)
    return children(node)


def _outside_of_calls(node: Any) -> Any:
    """What is below a node that is neither a sub-select nor a call of a function."""
    return () if type(node).__name__ in ("SubLink", "FuncCall") else children(node)


def _columns(nodes: Iterable[Any]) -> Iterator[list[str]]:
    """The names of the columns among nodes, each in its parts."""
    for node in nodes:
        if type(node).__name__ == "ColumnRef" and all(hasattr(p, "sval") for p in node.fields):
            yield [part.sval for part in node.fields]


def _foreign_functions(alternative: Any) -> Iterator[str]:
    """Functions of the workspace's own that are asked about a column."""
    for node in walk(alternative):
        if type(node).__name__ != "FuncCall" or not node.args:
            continue
        *schema, name = (part.sval for part in node.funcname)
        own = schema not in (["auth"], ["pg_catalog"]) and name not in OF_VALUES
        columns = _columns(_nodes(node.args, _outside_of_calls))
        if own and name not in _BUILT_IN and any(columns):
            yield name


_BUILT_IN = frozenset(("coalesce", "current_setting", "set_config", "unnest", "count", "to_jsonb"))
