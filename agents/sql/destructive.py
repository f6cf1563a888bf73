"""What a migration removes or overwrites, also inside functions and executed strings."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from orchestrate_agents.sql.nested_statements import UNKNOWN, NestedStatement, nested_statements
from orchestrate_agents.sql.openings import scheduled
from orchestrate_agents.sql.parse import SqlError, parse_migration, relation_name, tokens, walk


class DestructiveKind(StrEnum):
    """A kind of change that is not additive."""

    DROP = "DROP"
    TRUNCATE = "TRUNCATE"
    DELETE = "DELETE"
    TYPE_CHANGE = "ALTER COLUMN TYPE"
    RENAME = "RENAME"
    LESS_SECURITY = "DISABLE ROW LEVEL SECURITY"
    # the others do not count for what the migration creates itself
    UPDATE = "UPDATE of rows that were there"
    REVOKE = "REVOKE on what was there"
    NOT_NULL = "SET NOT NULL on a column that was there"
    DEFAULT = "SET DEFAULT on a column that was there"
    DISABLED = "DISABLE TRIGGER or RULE on a table that was there"


@dataclass(frozen=True)
class DestructiveChange:
    """One place that removes or overwrites something."""

    kind: DestructiveKind
    line: int
    #: the statement that it is part of, as written, shortened
    text: str
    #: built as a string and executed
    dynamic: bool = False

    def __str__(self) -> str:
        how = " (in a string that is executed)" if self.dynamic else ""
        return f"line {self.line}: {self.text}{how}"


_KIND_BY_NODE = {
    **dict.fromkeys(
        ("DropStmt", "DropRoleStmt", "DropOwnedStmt", "DropdbStmt", "DropTableSpaceStmt"),
        DestructiveKind.DROP,
    ),
    "DropUserMappingStmt": DestructiveKind.DROP,
    "DropSubscriptionStmt": DestructiveKind.DROP,
    "TruncateStmt": DestructiveKind.TRUNCATE,
    "DeleteStmt": DestructiveKind.DELETE,
    "RenameStmt": DestructiveKind.RENAME,
    "AlterObjectSchemaStmt": DestructiveKind.RENAME,
}
_KIND_BY_COMMAND = {
    **dict.fromkeys(
        ("AT_DropColumn", "AT_DropConstraint", "AT_DropExpression", "AT_DropIdentity"),
        DestructiveKind.DROP,
    ),
    "AT_DropInherit": DestructiveKind.DROP,
    "AT_DetachPartition": DestructiveKind.DROP,
    "AT_AlterColumnType": DestructiveKind.TYPE_CHANGE,
    "AT_DisableRowSecurity": DestructiveKind.LESS_SECURITY,
    "AT_NoForceRowSecurity": DestructiveKind.LESS_SECURITY,
}


def destructive_changes(text: str, existing: Collection[str] = ()) -> tuple[DestructiveChange, ...]:
    """Everything in the migration that is not additive, in order. Raises SqlError.

    `existing` names tables (`schema.table`) and columns (`schema.table.column`) that were there
    before, though the migration creates them IF NOT EXISTS.
    """
    statements = tuple(nested_statements(text))
    own = _own_objects(statements, existing)
    found: dict[tuple[DestructiveKind, int, str], DestructiveChange] = {}
    for statement in statements:
        line = " ".join(statement.text.split())
        shown = line if len(line) <= 100 else line[:97] + "…"
        if re.search(r"(?i)\bCASCADE\b", line) and not re.search(r"(?i)\bCASCADE\b", shown):
            shown += " CASCADE"
        for kind in _kinds(statement, own):
            change = DestructiveChange(kind, statement.line, shown, statement.dynamic)
            # a string and what is built from it are one place
            key = (kind, statement.line, "" if statement.dynamic else shown)
            found.setdefault(key, change)
    return tuple(found.values())


@dataclass(frozen=True)
class _OwnObjects:
    """What the migration creates itself."""

    #: objects as `schema.name`, schemas by name
    names: frozenset[str]
    #: added columns as `schema.table.column`
    columns: frozenset[str]
    #: functions that the migration calls, so that their bodies run with it
    called: frozenset[str]

    def has_relation(self, node: Any) -> bool:
        """Whether a table, view or sequence is its own."""
        name = ".".join(relation_name(node))
        # a serial column's sequence is called by its table and column
        return name in self.names or any(
            name.startswith(f"{own}_") and name.endswith("_seq") for own in self.names
        )

    def has_column(self, table: Any, column: str) -> bool:
        """Whether a column is its own, by its table or by ADD COLUMN."""
        return self.has_relation(table) or ".".join((*relation_name(table), column)) in self.columns

    def has(self, item: Any) -> bool:
        """Whether an object of a GRANT is its own, or only the run knows which it is."""
        match type(item).__name__:
            case "RangeVar":
                return self.has_relation(item) or item.relname == UNKNOWN
            case "ObjectWithArgs":
                return qualify(item.objname) in self.names or item.objname[-1].sval == UNKNOWN
            case "String":
                return item.sval in self.names or item.sval == UNKNOWN
            case "tuple" | "list":
                return qualify(item) in self.names
        return False


def _own_objects(statements: Iterable[NestedStatement], existing: Collection[str]) -> _OwnObjects:
    names: set[str] = set()
    columns: set[str] = set()
    called: set[str] = set()
    for node in (n for statement in statements for n in walk(statement.node)):
        match type(node).__name__:
            case "CreateStmt":
                names.add(".".join(relation_name(node.relation)))
            case "ViewStmt":
                names.add(".".join(relation_name(node.view)))
            case "CreateSeqStmt":
                names.add(".".join(relation_name(node.sequence)))
            case "IntoClause":
                names.add(".".join(relation_name(node.rel)))
            case "CompositeTypeStmt":
                names.add(".".join(relation_name(node.typevar)))
            case "CreateFunctionStmt":
                names.add(qualify(node.funcname))
            case "CreateEnumStmt":
                names.add(qualify(node.typeName))
            case "CreateDomainStmt":
                names.add(qualify(node.domainname))
            case "CreateSchemaStmt":
                names.add(node.schemaname or "")
            case "AlterTableStmt":
                table = relation_name(node.relation)
                added = [c for c in node.cmds or () if c.subtype.name == "AT_AddColumn"]
                columns |= {".".join((*table, command.def_.colname)) for command in added}
            case "FuncCall":
                called.add(node.funcname[-1].sval)
    known = frozenset(existing)
    return _OwnObjects(frozenset(names) - known, frozenset(columns) - known, frozenset(called))


def qualify(parts: Iterable[Any]) -> str:
    """`schema.name` of a name in parts, as the tree has it."""
    *schema, name = (part.sval for part in parts)
    return f"{schema[-1] if schema else 'public'}.{name}"


def _kinds(statement: NestedStatement, own: _OwnObjects) -> Iterator[DestructiveKind]:
    if statement.node is None:
        yield from _kinds_by_tokens(statement.text)
        return
    # a function that nobody calls yet changes no row and no privilege
    runs = not statement.function or statement.function in own.called
    for node in walk(statement.node):
        kind = type(node).__name__
        if kind in _KIND_BY_NODE:
            yield _KIND_BY_NODE[kind]
        elif kind == "AlterTableCmd" and node.subtype.name in _KIND_BY_COMMAND:
            yield _KIND_BY_COMMAND[node.subtype.name]
        elif kind == "AlterEnumStmt" and node.oldVal:
            yield DestructiveKind.RENAME
        elif kind == "AlterPublicationStmt" and node.action.name != "AP_AddObjects":
            yield DestructiveKind.DROP
        elif kind == "MergeWhenClause" and node.commandType.name == "CMD_DELETE":
            yield DestructiveKind.DELETE
        if runs:
            yield from _overwrites(node, own)
    for job in scheduled(statement.node) if runs else ():
        with contextlib.suppress(SqlError):
            for later in nested_statements(job):
                yield from _kinds(later, own)


def _overwrites(node: Any, own: _OwnObjects) -> Iterator[DestructiveKind]:
    """How a node changes rows, privileges or columns that are not the migration's own."""
    targets: list[Any] = []
    match type(node).__name__:
        case "UpdateStmt":
            targets = [node.targetList]
        case "InsertStmt":
            clause = node.onConflictClause
            if clause is not None and clause.action.name == "ONCONFLICT_UPDATE":
                targets = [clause.targetList]
        case "MergeStmt":
            clauses = [c for c in node.mergeWhenClauses if c.commandType.name == "CMD_UPDATE"]
            targets = [clause.targetList for clause in clauses]
        case "GrantStmt" if not node.is_grant and node.targtype.name != "ACL_TARGET_DEFAULTS":
            named = node.targtype.name == "ACL_TARGET_OBJECT"
            if not named or not all(own.has(item) for item in node.objects):
                yield DestructiveKind.REVOKE
        case "GrantRoleStmt" if not node.is_grant:
            yield DestructiveKind.REVOKE
        case "AlterTableStmt":
            for command in node.cmds or ():
                yield from _column_changes(node.relation, command, own)
    for columns in targets:
        # filling a column that the migration adds overwrites nothing
        if not all(own.has_column(node.relation, column.name) for column in columns):
            yield DestructiveKind.UPDATE


def _column_changes(table: Any, command: Any, own: _OwnObjects) -> Iterator[DestructiveKind]:
    name = command.subtype.name
    if name.startswith(("AT_DisableTrig", "AT_DisableRule")) and not own.has_relation(table):
        yield DestructiveKind.DISABLED
    if name not in ("AT_SetNotNull", "AT_ColumnDefault") or own.has_column(table, command.name):
        return
    if name == "AT_ColumnDefault" and command.def_ is None:
        yield DestructiveKind.DROP
    elif table.relname != UNKNOWN:
        # of a table that only the run knows, the proof compares columns before and after
        yield DestructiveKind.NOT_NULL if name == "AT_SetNotNull" else DestructiveKind.DEFAULT


def _kinds_by_tokens(text: str) -> Iterator[DestructiveKind]:
    """The kinds in SQL that does not parse by itself."""
    try:
        names = [t.name for t in tokens(text)]
    except SqlError:
        names = [word.upper() for word in re.findall(r"\w+", text)]
    if "DROP" in names:
        yield DestructiveKind.DROP
    if "TRUNCATE" in names:
        yield DestructiveKind.TRUNCATE
    if "DELETE_P" in names:
        yield DestructiveKind.DELETE
    if {"ALTER", "TYPE_P", "TABLE"} <= set(names):
        yield DestructiveKind.TYPE_CHANGE


class Policy(NamedTuple):
    """A policy of a table, as the server names it when it is dropped."""

    name: str
    table: str


def replaced_policies(text: str) -> dict[Policy, int]:
    """Policies of the migration's own tables that it drops and creates again, with the drop's line.

    PostgreSQL has no CREATE POLICY IF NOT EXISTS, so this removes nothing. Of a table that existed
    before, another policy may be dropped, so those are not among them.
    """
    migration = parse_migration(text)
    own = {table.qualified for table in migration.tables}
    created: dict[Policy, int] = {}
    dropped: list[tuple[Policy, int, int]] = []
    for number, statement in enumerate(migration.statements):
        node = statement.node
        if statement.kind == "CreatePolicyStmt":
            created[Policy(node.policy_name, ".".join(relation_name(node.table)))] = number
        elif statement.kind == "DropStmt" and node.removeType.name == "OBJECT_POLICY":
            for item in node.objects:
                *table, name = item
                dropped.append((Policy(name.sval, qualify(table)), number, statement.line))
    return {
        policy: line
        for policy, number, line in dropped
        if policy.table in own and created.get(policy, -1) > number
    }
