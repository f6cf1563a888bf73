"""Conditions of policies that hold for some requests: by a claim, a header, a setting, the clock.

A condition is relaxed: each part that asks about the request or the time is taken to hold, unless
it holds for no request of the role. What the relaxed policy lets through, some request gets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from orchestrate_agents.sql.function_bodies import Functions
from orchestrate_agents.sql.parse import (
    children,
    expression,
    printed,
    walk,
)

#: how far functions are followed into functions
_MAX_DEPTH = 4
#: the claims that the key of an anonymous request has
_OF_ANON = ("role", "iss", "ref", "aud", "exp", "iat")
#: the functions of the service that say who asks
WHO = ("auth.uid", "auth.role", "auth.email", "auth.jwt")
_STRICT = frozenset(
    (
        "=",
        "<>",
        "!=",
        "<",
        ">",
        "<=",
        ">=",
        "~~",
        "!~~",
        "~~*",
        "!~~*",
        "~",
        "~*",
        "@>",
        "<@",
        "->",
        "->>",
        "#>",
        "#>>",
        "?",
        "?|",
        "?&",
        "||",
        "&&",
        "+",
        "-",
        "<<=",
        ">>=",
    )
)


@dataclass(frozen=True)
class Relaxed:
    """A condition in which what some request fulfils is taken to hold."""

    #: as SQL
    text: str
    #: the parts that were taken to hold, as they are written
    asks: tuple[str, ...] = ()
    #: of these, those that ask a function of the workspace, whose answer may be no for all
    own: tuple[str, ...] = ()

    def and_(self, other: Relaxed, text: str) -> Relaxed:
        return Relaxed(text, self.asks + other.asks, self.own + other.own)


def relaxed(source: str, role: str, functions: Functions) -> Relaxed:
    """A policy's condition for the requests of a role. Raises pglast's ParseError."""
    return _relax(expression(source), role, functions)


def holds_never(source: str, role: str) -> bool:
    """Whether a condition is seen to hold for no request of the role; own functions may say yes."""
    from pglast.parser import ParseError

    try:
        return never(expression(source), role, {})
    except (ParseError, IndexError):
        return False


def holds_always(source: str) -> bool:
    """Whether a condition is the constant `true`."""
    from pglast.parser import ParseError

    try:
        return _is_true(expression(source))
    except (ParseError, IndexError):
        return False


def never(node: Any, role: str, functions: Functions, depth: int = 0) -> bool:
    """Whether an expression is true for no request of the role, whatever the rows are."""
    again = (role, functions, depth)
    kind = type(node).__name__
    if kind == "BoolExpr":
        parts = [never(part, *again) for part in node.args]
        return {"AND_EXPR": any(parts), "OR_EXPR": all(parts)}.get(node.boolop.name, False) or (
            node.boolop.name == "NOT_EXPR" and _is_true(node.args[0])
        )
    if kind == "SubLink":
        return _never_selected(node, *again)
    if kind == "BooleanTest":
        return node.booltesttype.name == "IS_TRUE" and never(node.arg, *again)
    if kind == "NullTest":
        absent = node.nulltesttype.name == "IS_NOT_NULL"
        return absent and _is_null(node.arg, *again)
    if kind == "CoalesceExpr":
        return all(never(part, *again) for part in node.args)
    if kind == "TypeCast":
        return _is_false(node) or never(node.arg, *again)
    if kind == "FuncCall" and (body := _body(node, functions, depth)) is not None:
        return never(body, role, functions, depth + 1)
    if kind == "A_Expr" and node.name[-1].sval == "=" and _differ(node, role):
        return True
    return _is_false(node) or _is_null(node, *again)


def _never_selected(node: Any, role: str, functions: Functions, depth: int) -> bool:
    select = node.subselect
    plain = type(select).__name__ == "SelectStmt" and select.valuesLists is None and not select.op
    if not plain:
        return False
    if node.testexpr is not None and _is_null(node.testexpr, role, functions, depth):
        return True
    grouped = select.groupClause or any(_aggregates(t) for t in select.targetList or ())
    if select.whereClause is not None and not grouped:
        return never(select.whereClause, role, functions, depth)
    if node.subLinkType.name == "EXPR_SUBLINK" and not select.fromClause:
        return never(select.targetList[0].val, role, functions, depth)
    return False


def _aggregates(node: Any) -> bool:
    names = {"count", "bool_or", "bool_and", "max", "min", "sum", "any_value", "every", "array_agg"}
    return any(type(n).__name__ == "FuncCall" and n.funcname[-1].sval in names for n in walk(node))


def _is_null(node: Any, role: str, functions: Functions, depth: int) -> bool:
    """Whether a value is NULL in every request of the role."""
    again = (role, functions, depth)
    kind = type(node).__name__
    if kind == "A_Const":
        return bool(node.isnull)
    if kind == "TypeCast":
        return _is_null(node.arg, *again)
    if kind == "SubLink" and node.subLinkType.name == "EXPR_SUBLINK":
        target = node.subselect.targetList
        alone = not node.subselect.fromClause and bool(target)
        return (alone and _is_null(target[0].val, *again)) or _never_selected(node, *again)
    if kind == "A_Expr":
        if claim := _claim(node):
            return role == "anon" and claim[0] not in _OF_ANON
        simple = node.name[-1].sval in _STRICT and "DISTINCT" not in node.kind.name
        sides = [side for side in (node.lexpr, node.rexpr) if not isinstance(side, tuple)]
        return simple and any(_is_null(side, *again) for side in sides if side is not None)
    if kind == "FuncCall":
        name = _called(node)
        if name in ("auth.uid", "auth.email"):
            return role == "anon"
        if name in ("nullif", "lower", "upper", "trim", "btrim") and node.args:
            return _is_null(node.args[0], *again)
        body = _body(node, functions, depth)
        return body is not None and _is_null(body, role, functions, depth + 1)
    if kind == "CoalesceExpr":
        return all(_is_null(part, *again) for part in node.args)
    return False


def _claim(node: Any) -> tuple[str, ...]:
    """The way into the claims, such as ("app_metadata", "level"), or ()."""
    while type(node).__name__ == "TypeCast":
        node = node.arg
    if type(node).__name__ == "SubLink" and not node.subselect.fromClause:
        return _claim(node.subselect.targetList[0].val)
    if type(node).__name__ != "A_Expr" or node.name[-1].sval not in ("->", "->>"):
        return ()
    key = getattr(getattr(node.rexpr, "val", None), "sval", "")
    return (*_claim(node.lexpr), key) if _claim(node.lexpr) or _is_jwt(node.lexpr) else ()


def _is_jwt(node: Any) -> bool:
    while type(node).__name__ == "TypeCast":
        node = node.arg
    if type(node).__name__ == "SubLink" and not node.subselect.fromClause:
        return _is_jwt(node.subselect.targetList[0].val)
    if type(node).__name__ != "FuncCall":
        return False
    if _called(node) == "nullif":
        return _is_jwt(node.args[0])
    return _called(node) == "auth.jwt" or _setting(node) == "request.jwt.claims"


def _setting(node: Any) -> str:
    if not _called(node).endswith("current_setting") or not node.args:
        return ""
    argument = node.args[0]
    while type(argument).__name__ == "TypeCast":
        argument = argument.arg
    return str(getattr(getattr(argument, "val", None), "sval", "?"))


def _known(node: Any, role: str) -> str | None:
    """What a side of a comparison is in every request of the role."""
    while type(node).__name__ in ("TypeCast", "SubLink"):
        if type(node).__name__ == "SubLink":
            if node.subselect.fromClause or not node.subselect.targetList:
                return None
            node = node.subselect.targetList[0].val
        else:
            node = node.arg
    if type(node).__name__ == "A_Const":
        return getattr(node.val, "sval", None)
    if type(node).__name__ == "SQLValueFunction":
        return role if node.op.name in ("SVFOP_CURRENT_USER", "SVFOP_CURRENT_ROLE") else None
    if _claim(node) == ("role",):
        return role
    called = type(node).__name__ == "FuncCall"
    return role if called and _called(node) in ("auth.role", "current_role") else None


def _differ(node: Any, role: str) -> bool:
    left, right = _known(node.lexpr, role), _known(node.rexpr, role)
    if isinstance(node.rexpr, tuple) or "IN" in node.kind.name or "ANY" in node.kind.name:
        many = node.rexpr if isinstance(node.rexpr, tuple) else getattr(node.rexpr, "elements", ())
        values = [_known(part, role) for part in many or ()]
        return left is not None and bool(values) and None not in values and left not in values
    return left is not None and right is not None and left != right


def _constant(node: Any) -> str:
    while type(node).__name__ == "TypeCast":
        node = node.arg
    value = getattr(node, "val", None) if type(node).__name__ == "A_Const" else None
    return str(getattr(value, "boolval", getattr(value, "sval", ""))).lower()


def _is_true(node: Any) -> bool:
    return _constant(node) in ("true", "t")


def _is_false(node: Any) -> bool:
    constant = type(node).__name__ in ("A_Const", "TypeCast")
    value = _constant(node)
    return constant and (value in ("f", "false") or bool(getattr(node, "isnull", False)))


def _relax(node: Any, role: str, functions: Functions, depth: int = 0) -> Relaxed:
    if never(node, role, functions):
        return Relaxed("false")
    if type(node).__name__ == "BoolExpr" and node.boolop.name != "NOT_EXPR":
        parts = [_relax(part, role, functions, depth) for part in node.args]
        word = " AND " if node.boolop.name == "AND_EXPR" else " OR "
        whole = Relaxed(word.join(f"({part.text})" for part in parts))
        for part in parts:
            whole = whole.and_(part, whole.text)
        return whole
    text = printed(node)
    called = list(_own_calls(node, functions))
    bodies = [_body(n, functions, depth) for n in called]
    if type(node).__name__ == "FuncCall" and bodies and bodies[0] is not None and not node.args:
        # what an own function asks is what the policy asks
        inner = _relax(bodies[0], role, functions, depth + 1)
        return replace(inner, asks=tuple(f"{text} asks {ask}" for ask in inner.asks))
    if called and not _asks_of_a_row(node, functions):
        return Relaxed("true", (_plain(text),), tuple(_called(n) for n in called))
    return Relaxed("true", (_plain(text),)) if _asks_the_request(node) else Relaxed(text)


def _plain(text: str) -> str:
    """A condition without the casts that the server writes into it."""
    return re.sub(r"CAST\(('(?:[^']|'')*') AS [^()]+\)", r"\1", text)


def _own_calls(node: Any, functions: Functions) -> Iterator[Any]:
    for child in walk(node):
        if type(child).__name__ == "FuncCall":
            schema, _, name = _called(child).rpartition(".")
            if name in functions and schema not in _HOSTED:
                yield child


def _asks_of_a_row(node: Any, functions: Functions) -> bool:
    """Whether an own function is handed a column: rows are planted for what it then asks."""
    return any(
        type(inner).__name__ == "ColumnRef"
        for call in _own_calls(node, functions)
        for inner in walk(call.args or ())
    ) and all(_says_who(call, functions) for call in _own_calls(node, functions))


def _says_who(call: Any, functions: Functions) -> bool:
    body = functions.get(_called(call).rpartition(".")[2], ())
    return body is None or any(_is_who(n) for n in walk(body))


def _is_who(node: Any) -> bool:
    if type(node).__name__ == "FuncCall":
        return _called(node) in WHO or _setting(node).startswith("request.jwt")
    return False


def _asks_the_request(node: Any) -> bool:
    """Whether a part of a condition is about the request or the time, and not about the row."""
    nodes = list(walk(node))
    bound = _is_bound(node, frozenset())
    # a setting of the application's own that a column is compared with says whose row it is
    varying = [n for n in nodes if _varies(n) and not (bound and _is_own_setting(n))]
    if varying or bound:
        return bool(varying)
    selects = any(type(n).__name__ == "RangeVar" for n in nodes)
    # what rows another table has, a certain user, or a claim
    return selects or any(map(_certain, nodes))


def _is_bound(node: Any, inner: frozenset[str]) -> bool:
    """Whether an expression looks at the policy's own row; `inner` are the names in sub-selects."""
    if isinstance(node, tuple | list):
        return any(_is_bound(part, inner) for part in node)
    if type(node).__name__ == "ColumnRef":
        names = [getattr(part, "sval", "*") for part in node.fields]
        return names[-2] not in inner if len(names) > 1 else not inner
    if type(node).__name__ == "SelectStmt" and node.fromClause:
        tables = [n for n in walk(node.fromClause) if type(n).__name__ in ("RangeVar", "Alias")]
        inner |= {getattr(n, "relname", None) or n.aliasname for n in tables}
    return any(_is_bound(part, inner) for part in children(node))


def _is_own_setting(node: Any) -> bool:
    name = _setting(node) if type(node).__name__ == "FuncCall" else ""
    return "." in name and not name.startswith(("request.", "pgrst."))


def _certain(node: Any) -> bool:
    """Whether a node asks for more than that somebody is signed in."""
    if type(node).__name__ == "FuncCall":
        return _called(node) in ("auth.uid", "auth.email", "auth.jwt") or _is_jwt(node)
    return False


def _varies(node: Any) -> bool:
    """Whether a node is different from request to request or from time to time."""
    kind = type(node).__name__
    if kind == "SQLValueFunction":
        return node.op.name not in ("SVFOP_CURRENT_USER", "SVFOP_CURRENT_ROLE", "SVFOP_USER")
    if kind != "FuncCall":
        return False
    if setting := _setting(node):
        return not setting.startswith(("request.jwt.claim", "role"))
    name = _called(node).rpartition(".")[2]
    return name in _VARYING


_VARYING = frozenset(
    re.findall(
        r"\w+",
        """
        now clock_timestamp statement_timestamp transaction_timestamp timeofday random random_normal
        gen_random_uuid inet_client_addr inet_client_port inet_server_addr inet_server_port
        pg_backend_pid txid_current pg_current_xact_id age pg_postmaster_start_time
        pg_is_in_recovery pg_conf_load_time pg_database_size pg_total_relation_size
        nextval lastval currval
        """,
    )
)
_HOSTED = ("pg_catalog", "storage", "realtime", "extensions", "auth")


def _called(node: Any) -> str:
    return ".".join(part.sval for part in node.funcname)


def _body(node: Any, functions: Functions, depth: int) -> Any:
    name = _called(node).rpartition(".")[2]
    return (
        functions.get(name) if depth < 4 and node in list(_own_calls(node, functions))[:1] else None
    )
