"""SQL that only counts: which tables a query reads, or why it is not run for anybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_AGGREGATES = frozenset({"count", "sum", "avg", "min", "max"})
#: functions without a side effect, a secret or a long life
_PURE = _AGGREGATES | {"abs", "ceil", "date_part", "date_trunc", "floor", "lower", "round", "upper"}
_SCHEMAS = frozenset({None, "public", "information_schema"})


@dataclass(frozen=True)
class Reading:
    """What a query reads; or `refused`, why it is left to a person."""

    tables: tuple[str, ...] = ()
    refused: str = ""


def reading(sql: str) -> Reading:
    """Read a block of SQL by PostgreSQL's own parser.

    Taken are SELECTs of counts and other aggregates over the public schema's tables, and any SELECT
    from `information_schema`: rows of people never come into a ticket that way, and no function is
    called that could do or tell more.
    """
    import pglast

    try:
        statements = [raw.stmt for raw in pglast.parse_sql(sql)]
    except pglast.parser.ParseError as exc:
        return Reading(refused=f"it cannot be read: {exc.args[0]}")
    if not statements:
        return Reading(refused="it asks for nothing")
    others = [s for s in statements if _kind(s) != "SelectStmt"]
    if others:
        return Reading(refused="it does more than read")
    return _walk(statements)


def _kind(node: Any) -> str:
    return type(node).__name__


def _walk(statements: list[Any]) -> Reading:
    from pglast.visitors import Visitor

    found = _Findings()

    class Walk(Visitor):
        def visit(self, _: Any, node: Any) -> None:
            found.see(node)

    Walk()(tuple(statements))
    for statement in statements:
        found.see_rows(statement)
    return Reading(tuple(t for t in found.tables if t not in found.named), found.refused)


class _Findings:
    """Collects the tables of a parsed query and the first reason to refuse it."""

    def __init__(self) -> None:
        self.tables: dict[str, None] = {}
        self.named: set[str] = set()
        self.refused = ""

    def see(self, node: Any) -> None:
        kind = _kind(node)
        if kind == "SelectStmt":
            if node.intoClause or node.lockingClause:
                self._refuse("it writes or locks")
        elif kind.endswith("Stmt") and kind != "RawStmt":
            self._refuse("it does more than read")
        elif kind == "CommonTableExpr":
            self.named.add(node.ctename)
        elif kind == "RangeVar":
            self._table(node)
        elif kind == "FuncCall":
            self._function([part.sval for part in node.funcname])
        elif kind in ("ParamRef", "SQLValueFunction") or (
            kind == "TypeName" and str(node.names[-1].sval).startswith("reg")
        ):
            self._refuse("it asks the server about more than its tables")

    def _table(self, node: Any) -> None:
        system = node.relname.startswith("pg_") or node.schemaname not in _SCHEMAS
        if system or node.catalogname:
            self._refuse(f"it reads {node.schemaname or 'the catalogue'}’s {node.relname}")
        schema = f"{node.schemaname}." if node.schemaname == "information_schema" else ""
        self.tables[f"{schema}{node.relname}"] = None

    def _function(self, name: list[str]) -> None:
        if name[-1] not in _PURE or name[:-1] not in ([], ["pg_catalog"]):
            self._refuse(f"it calls {'.'.join(name)}()")

    def see_rows(self, select: Any) -> None:
        """A result that holds rows as they are, and not their number, is for a person's eyes."""
        if select.larg is not None:
            self.see_rows(select.larg)
            self.see_rows(select.rarg)
            return
        plain = all(t.startswith("information_schema.") for t in self.tables)
        if not plain and not _counts(select.targetList or ()):
            self._refuse("it shows rows, not counts")

    def _refuse(self, why: str) -> None:
        self.refused = self.refused or why


def _counts(targets: Any) -> bool:
    """Whether an aggregate stands among the result's columns."""
    from pglast.visitors import Visitor

    hits: list[str] = []

    class Calls(Visitor):
        def visit_FuncCall(self, _: Any, node: Any) -> None:  # noqa: N802 - pglast's naming
            hits.extend(n for n in [node.funcname[-1].sval] if n in _AGGREGATES)

    Calls()(targets)
    return bool(hits)
