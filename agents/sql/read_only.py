"""SQL that only counts: which tables a query reads, or why it is left to a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrate_agents.sql.parse import walk

_AGGREGATES = frozenset({"count", "sum", "avg", "min", "max"})
#: functions without a side effect, a secret or a long life
_PURE = _AGGREGATES | {"abs", "ceil", "date_part", "date_trunc", "floor", "lower", "round", "upper"}
_SCHEMAS = frozenset({None, "public", "information_schema"})


@dataclass(frozen=True)
class QueryReads:
    """What a query reads; or `refused`, why it is left to a person."""

    tables: tuple[str, ...] = ()
    refused: str = ""


def tables_read(sql: str) -> QueryReads:
    """Read a block of SQL by PostgreSQL's own parser.

    Accepted are SELECTs of counts and other aggregates over the public schema's tables, and any
    SELECT from `information_schema`: rows of people never come into a ticket that way, and no
    function is called that could do or reveal more.
    """
    import pglast

    try:
        statements = [raw.stmt for raw in pglast.parse_sql(sql)]
    except pglast.parser.ParseError as exc:
        return QueryReads(refused=f"it cannot be read: {exc.args[0]}")
    if not statements:
        return QueryReads(refused="it asks for nothing")
    tables: dict[str, None] = {}
    named: set[str] = set()
    for node in walk(statements):
        refused = _refusal(node)
        if refused:
            return QueryReads(refused=refused)
        if type(node).__name__ == "CommonTableExpr":
            named.add(node.ctename)
        elif type(node).__name__ == "RangeVar":
            schema = f"{node.schemaname}." if node.schemaname == "information_schema" else ""
            tables[f"{schema}{node.relname}"] = None
    plain = all(t.startswith("information_schema.") for t in tables)
    if not plain and not all(map(_counts, statements)):
        return QueryReads(refused="it shows rows, not counts")
    return QueryReads(tuple(t for t in tables if t not in named))


def _refusal(node: Any) -> str:
    kind = type(node).__name__
    if kind == "SelectStmt":
        return "it writes or locks" if node.intoClause or node.lockingClause else ""
    if kind.endswith("Stmt"):
        return "it does more than read"
    if kind == "RangeVar":
        system = node.relname.startswith("pg_") or node.schemaname not in _SCHEMAS
        if system or node.catalogname:
            return f"it reads {node.schemaname or 'the catalog'}’s {node.relname}"
    elif kind == "FuncCall":
        name = [part.sval for part in node.funcname]
        if name[-1] not in _PURE or name[:-1] not in ([], ["pg_catalog"]):
            return f"it calls {'.'.join(name)}()"
    elif kind in ("ParamRef", "SQLValueFunction") or (
        kind == "TypeName" and str(node.names[-1].sval).startswith("reg")
    ):
        return "it asks the server about more than its tables"
    return ""


def _counts(select: Any) -> bool:
    """Whether the result holds an aggregate, not rows as they are: those are for a person."""
    if select.larg is not None:
        return _counts(select.larg) and _counts(select.rarg)
    calls = (n for n in walk(select.targetList or ()) if type(n).__name__ == "FuncCall")
    return any(call.funcname[-1].sval in _AGGREGATES for call in calls)
