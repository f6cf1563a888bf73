"""Find what a migration takes away or overwrites, also inside functions and executed strings."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orchestrate_agents.sql.created_objects import Made, made_by
from orchestrate_agents.sql.parse import SqlError, tokens, walk
from orchestrate_agents.sql.pieces import UNKNOWN, Piece, pieces


class Harm(StrEnum):
    """A kind of statement that is not additive."""

    DROP = "DROP"
    TRUNCATE = "TRUNCATE"
    DELETE = "DELETE"
    TYPE_CHANGE = "ALTER COLUMN TYPE"
    RENAME = "RENAME"
    LESS_SECURITY = "DISABLE ROW LEVEL SECURITY"
    # the others are none on what the migration makes itself
    UPDATE = "UPDATE of rows that were there"
    REVOKE = "REVOKE on what was there"
    NOT_NULL = "SET NOT NULL on a column that was there"
    DEFAULT = "SET DEFAULT on a column that was there"


@dataclass(frozen=True)
class Destructive:
    """One place that takes something away."""

    harm: Harm
    line: int
    #: what it stands in, as written, shortened
    text: str
    #: built as a string and executed
    dynamic: bool = False

    def __str__(self) -> str:
        how = " (in a string that is executed)" if self.dynamic else ""
        return f"line {self.line}: {self.text}{how}"


_BY_NODE = {
    "DropStmt": Harm.DROP,
    "DropRoleStmt": Harm.DROP,
    "DropOwnedStmt": Harm.DROP,
    "DropdbStmt": Harm.DROP,
    "DropTableSpaceStmt": Harm.DROP,
    "DropUserMappingStmt": Harm.DROP,
    "DropSubscriptionStmt": Harm.DROP,
    "TruncateStmt": Harm.TRUNCATE,
    "DeleteStmt": Harm.DELETE,
    "RenameStmt": Harm.RENAME,
    "AlterObjectSchemaStmt": Harm.RENAME,
}

_BY_COMMAND = {
    "AT_DropColumn": Harm.DROP,
    "AT_DropConstraint": Harm.DROP,
    "AT_DropExpression": Harm.DROP,
    "AT_DropIdentity": Harm.DROP,
    "AT_DropInherit": Harm.DROP,
    "AT_DetachPartition": Harm.DROP,
    "AT_AlterColumnType": Harm.TYPE_CHANGE,
    "AT_DisableRowSecurity": Harm.LESS_SECURITY,
    "AT_NoForceRowSecurity": Harm.LESS_SECURITY,
}


def destructive(text: str, standing: Collection[str] = ()) -> tuple[Destructive, ...]:
    """Everything in the migration that is not additive, in order. Raises SqlError.

    `standing` names tables and columns (`schema.table.column`) that were there before, though the
    migration makes them IF NOT EXISTS.
    """
    every = tuple(pieces(text))
    made = made_by(every, standing)
    found: dict[tuple[Harm, int, str], Destructive] = {}
    for piece in every:
        for harm in _in_piece(piece, made):
            item = Destructive(harm, piece.line, _short(piece.text), piece.dynamic)
            # a string and what is built from it are one place
            found.setdefault((harm, item.line, "" if item.dynamic else item.text), item)
    return tuple(found.values())


def _in_piece(piece: Piece, made: Made) -> Iterator[Harm]:
    if piece.node is None:
        yield from _by_tokens(piece.text)
        return
    # a function that nobody calls yet changes no row and no privilege
    runs = not piece.function or piece.function in made.called
    for node in walk(piece.node):
        yield from _taken(node)
        if runs:
            yield from _overwritten(node, made)


def _taken(node: Any) -> Iterator[Harm]:
    kind = type(node).__name__
    if kind in _BY_NODE:
        yield _BY_NODE[kind]
    elif kind == "AlterTableCmd" and node.subtype.name in _BY_COMMAND:
        yield _BY_COMMAND[node.subtype.name]
    elif kind == "MergeWhenClause" and node.commandType.name == "CMD_DELETE":
        yield Harm.DELETE


def _overwritten(node: Any, made: Made) -> Iterator[Harm]:
    match type(node).__name__:
        case "UpdateStmt":
            yield from _update(node.relation, node.targetList, made)
        case "InsertStmt":
            clause = node.onConflictClause
            if clause is not None and clause.action.name == "ONCONFLICT_UPDATE":
                yield from _update(node.relation, clause.targetList, made)
        case "MergeStmt":
            for clause in node.mergeWhenClauses:
                if clause.commandType.name == "CMD_UPDATE":
                    yield from _update(node.relation, clause.targetList, made)
        case "GrantStmt" if not node.is_grant and not _is_own_grant(node, made):
            yield Harm.REVOKE
        case "GrantRoleStmt" if not node.is_grant:
            yield Harm.REVOKE
        case "AlterTableStmt":
            for command in node.cmds or ():
                yield from _altered(node.relation, command, made)


def _update(table: Any, targets: Any, made: Made) -> Iterator[Harm]:
    """Filling a column that the migration adds overwrites nothing."""
    if not all(made.column(table, target.name) for target in targets):
        yield Harm.UPDATE


def _is_own_grant(node: Any, made: Made) -> bool:
    """Whether all objects are the migration's own, or only the run knows what they are."""
    if node.targtype.name == "ACL_TARGET_DEFAULTS":
        return True
    return node.targtype.name == "ACL_TARGET_OBJECT" and all(
        _is_own_object(item, made) for item in node.objects
    )


def _is_own_object(item: Any, made: Made) -> bool:
    match type(item).__name__:
        case "RangeVar":
            return made.relation(item) or _is_unknown(item)
        case "ObjectWithArgs":
            return made.named(item.objname) or item.objname[-1].sval == UNKNOWN
        case "String":
            return item.sval in made.objects or item.sval == UNKNOWN
        case "tuple" | "list":
            return made.named(item)
    return False


def _is_unknown(relation: Any) -> bool:
    """The proof compares privileges and columns before and after, so these need no guess."""
    return bool(relation.relname == UNKNOWN)


def _altered(table: Any, command: Any, made: Made) -> Iterator[Harm]:
    name = command.subtype.name
    if name not in ("AT_SetNotNull", "AT_ColumnDefault") or made.column(table, command.name):
        return
    if name == "AT_ColumnDefault" and command.def_ is None:
        yield Harm.DROP
    elif not _is_unknown(table):
        yield Harm.NOT_NULL if name == "AT_SetNotNull" else Harm.DEFAULT


def _by_tokens(text: str) -> Iterator[Harm]:
    """The verdict on a piece of SQL that does not parse by itself."""
    try:
        names = [t.name for t in tokens(text)]
    except SqlError:
        names = [word.upper() for word in re.findall(r"\w+", text)]
    for name, harm in (("DROP", Harm.DROP), ("TRUNCATE", Harm.TRUNCATE), ("DELETE_P", Harm.DELETE)):
        if name in names:
            yield harm
    if "ALTER" in names and "TYPE_P" in names and "TABLE" in names:
        yield Harm.TYPE_CHANGE


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else line[:97] + "…"
