"""What a migration makes itself, so that what it does to what was there before can be told."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from orchestrate_agents.sql.parse import relation_name, walk
from orchestrate_agents.sql.pieces import Piece


@dataclass(frozen=True)
class Made:
    """Objects by `schema.name`, schemas by name, added columns by `schema.table.column`."""

    objects: frozenset[str]
    columns: frozenset[str]
    #: functions that the migration calls, so that their bodies run with it
    called: frozenset[str]

    def relation(self, node: Any) -> bool:
        """Whether a table, view or sequence is its own."""
        name = ".".join(relation_name(node))
        # a serial column's sequence is called by its table and column
        return name in self.objects or any(
            name.startswith(f"{o}_") and name.endswith("_seq") for o in self.objects
        )

    def column(self, table: Any, column: str) -> bool:
        """Whether a column is its own, by its table or by ADD COLUMN."""
        return self.relation(table) or ".".join((*relation_name(table), column)) in self.columns

    def named(self, parts: Iterable[Any]) -> bool:
        """Whether a function, type or schema is its own, given as the parts of its name."""
        return _qualified(parts) in self.objects


def made_by(pieces: Iterable[Piece], standing: Collection[str] = ()) -> Made:
    """What the pieces of a migration make; `standing` was there before, though it is named anew."""
    objects: set[str] = set()
    columns: set[str] = set()
    called: set[str] = set()
    for node in (n for piece in pieces for n in walk(piece.node)):
        objects |= _created(node)
        columns |= _added(node)
        if type(node).__name__ == "FuncCall":
            called.add(node.funcname[-1].sval)
    known = frozenset(standing)
    return Made(frozenset(objects) - known, frozenset(columns) - known, frozenset(called))


def _created(node: Any) -> set[str]:
    match type(node).__name__:
        case "CreateStmt":
            return {".".join(relation_name(node.relation))}
        case "ViewStmt":
            return {".".join(relation_name(node.view))}
        case "CreateSeqStmt":
            return {".".join(relation_name(node.sequence))}
        case "IntoClause":
            return {".".join(relation_name(node.rel))}
        case "CompositeTypeStmt":
            return {".".join(relation_name(node.typevar))}
        case "CreateFunctionStmt":
            return {_qualified(node.funcname)}
        case "CreateEnumStmt":
            return {_qualified(node.typeName)}
        case "CreateDomainStmt":
            return {_qualified(node.domainname)}
        case "CreateSchemaStmt":
            return {node.schemaname or ""}
    return set()


def _qualified(parts: Iterable[Any]) -> str:
    *schema, name = (part.sval for part in parts)
    return f"{schema[-1] if schema else 'public'}.{name}"


def _added(node: Any) -> set[str]:
    if type(node).__name__ != "AlterTableStmt":
        return set()
    table = relation_name(node.relation)
    return {
        ".".join((*table, command.def_.colname))
        for command in node.cmds or ()
        if command.subtype.name == "AT_AddColumn"
    }
