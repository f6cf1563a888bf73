"""Find what a migration takes away: drops, truncations, type changes, also inside functions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from agents.sql.parse import SqlError, Statement, expression, line_at, parse_migration, tokens, walk


class Harm(StrEnum):
    """A kind of statement that is not additive."""

    DROP = "DROP"
    TRUNCATE = "TRUNCATE"
    DELETE = "DELETE"
    TYPE_CHANGE = "ALTER COLUMN TYPE"
    RENAME = "RENAME"
    LESS_SECURITY = "DISABLE ROW LEVEL SECURITY"


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
    "AT_DropNotNull": Harm.DROP,
    "AT_DropExpression": Harm.DROP,
    "AT_DropIdentity": Harm.DROP,
    "AT_DropInherit": Harm.DROP,
    "AT_DetachPartition": Harm.DROP,
    "AT_AlterColumnType": Harm.TYPE_CHANGE,
    "AT_DisableRowSecurity": Harm.LESS_SECURITY,
    "AT_NoForceRowSecurity": Harm.LESS_SECURITY,
}

_MAX_DEPTH = 6
_EXECUTES = ("PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors", "dynquery")


def destructive(text: str) -> tuple[Destructive, ...]:
    """Everything in the migration that is not additive, in order. Raises SqlError."""
    found: dict[tuple[Harm, int, str], Destructive] = {}
    for item in _in_text(text, 0):
        # a string and what is built from it are one place
        found.setdefault((item.harm, item.line, "" if item.dynamic else item.text), item)
    return tuple(found.values())


def _in_text(text: str, depth: int) -> Iterator[Destructive]:
    if depth > _MAX_DEPTH:
        return
    migration = parse_migration(text)
    for statement in migration.statements:
        source = migration.source(statement)
        for harm in _in_tree(statement.node):
            yield Destructive(harm, statement.line, _short(source))
        yield from _in_body(statement, source, depth)


def _in_tree(root: Any) -> Iterator[Harm]:
    for node in walk(root):
        kind = type(node).__name__
        if kind in _BY_NODE:
            yield _BY_NODE[kind]
        elif kind == "AlterTableCmd":
            yield from _in_command(node)
        elif kind == "MergeWhenClause" and node.commandType.name == "CMD_DELETE":
            yield Harm.DELETE


def _in_command(command: Any) -> Iterator[Harm]:
    name = command.subtype.name
    if name in _BY_COMMAND:
        yield _BY_COMMAND[name]
    elif name == "AT_ColumnDefault" and command.def_ is None:
        yield Harm.DROP


def _in_body(statement: Statement, source: str, depth: int) -> Iterator[Destructive]:
    if statement.kind not in ("DoStmt", "CreateFunctionStmt"):
        return
    options = {o.defname: o.arg for o in _options(statement.node)}
    language = getattr(options.get("language"), "sval", "plpgsql").lower()
    first = statement.line + _body_line(source)
    if language == "plpgsql":
        yield from _in_plpgsql(source, first, depth)
    elif language == "sql":
        for body in options.get("as") or ():
            yield from _moved(_judged(body.sval, depth), first, dynamic=False)


def _options(node: Any) -> tuple[Any, ...]:
    return tuple((node.args if type(node).__name__ == "DoStmt" else node.options) or ())


def _body_line(source: str) -> int:
    """Lines between the statement's start and its body's."""
    bodies = [t for t in tokens(source) if t.name == "SCONST" and "\n" in source[t.start : t.end]]
    return line_at(source, bodies[-1].start) - 1 if bodies else 0


def _moved(found: Iterator[Destructive], first: int, *, dynamic: bool) -> Iterator[Destructive]:
    for item in found:
        yield replace(item, line=first + item.line - 1, dynamic=dynamic or item.dynamic)


def _in_plpgsql(source: str, first: int, depth: int) -> Iterator[Destructive]:
    from pglast import parse_plpgsql
    from pglast.parser import ParseError

    try:
        tree = parse_plpgsql(source)
    except (ParseError, json.JSONDecodeError):
        # the server will refuse it too; until then its words are all there is to judge
        yield from _moved(_by_tokens(source), first, dynamic=False)
        return
    executes = any(key in _EXECUTES for key in _keys(tree))
    for query, mode, line in _queries(tree, 1):
        if mode == 0:
            yield from _moved(_judged(query, depth), first + line - 1, dynamic=False)
        if executes:
            for text in _strings(query, mode):
                yield from _moved(_judged(text, depth), first + line - 1, dynamic=True)


def _keys(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield key
            yield from _keys(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _keys(value)


def _queries(tree: Any, line: int) -> Iterator[tuple[str, int, int]]:
    """(text, parse mode, line) of every SQL text in a PL/pgSQL tree."""
    if isinstance(tree, list):
        for value in tree:
            yield from _queries(value, line)
    elif isinstance(tree, dict):
        line = tree.get("lineno", line)
        if "query" in tree and isinstance(tree["query"], str):
            yield tree["query"], tree.get("parseMode", 0), line
        for value in tree.values():
            yield from _queries(value, line)


def _judged(text: str, depth: int) -> Iterator[Destructive]:
    try:
        yield from tuple(_in_text(text, depth + 1))
    except SqlError:
        yield from _by_tokens(text)


def _by_tokens(text: str) -> Iterator[Destructive]:
    """The verdict on a piece of SQL that does not parse by itself."""
    try:
        names = [t.name for t in tokens(text)]
    except SqlError:
        names = [word.upper() for word in re.findall(r"\w+", text)]
    for name, harm in (("DROP", Harm.DROP), ("TRUNCATE", Harm.TRUNCATE), ("DELETE_P", Harm.DELETE)):
        if name in names:
            yield Destructive(harm, 1, _short(text))
    if "ALTER" in names and "TYPE_P" in names and "TABLE" in names:
        yield Destructive(Harm.TYPE_CHANGE, 1, _short(text))


def _strings(query: str, mode: int) -> Iterator[str]:
    """The texts that an expression may build: its constants, and what joining them gives."""
    from pglast.ast import A_Const, String
    from pglast.parser import ParseError

    source = query.split(":=", 1)[1] if mode == 3 and ":=" in query else query
    try:
        root = expression(source) if mode != 0 else None
        nodes = [root] if root is not None else [parse_migration(source).statements[0].node]
    except (ParseError, SqlError, IndexError):
        return
    if root is not None:
        yield _folded(root)
    for node in walk(nodes):
        if isinstance(node, A_Const) and isinstance(node.val, String):
            yield node.val.sval or ""


def _folded(node: Any) -> str:
    """The text that an expression builds; `x` stands for every part that is not constant."""
    kind = type(node).__name__
    if kind == "A_Const":
        return str(getattr(node.val, "sval", getattr(node.val, "ival", "x")))
    if kind == "TypeCast":
        return _folded(node.arg)
    if kind == "A_Expr" and node.name[-1].sval == "||":
        return _folded(node.lexpr) + _folded(node.rexpr)
    if kind == "FuncCall":
        return _folded_call(node.funcname[-1].sval, [_folded(a) for a in node.args or ()])
    return "x"


def _folded_call(name: str, arguments: list[str]) -> str:
    match name:
        case "format" if arguments:
            rest = iter(arguments[1:])
            return re.sub(r"%(?:\d+\$)?[-\d]*([sIL%])", lambda m: _filled(m[1], rest), arguments[0])
        case "concat":
            return "".join(arguments)
        case "concat_ws" if arguments:
            return arguments[0].join(arguments[1:])
        case "chr" if arguments and arguments[0].isdigit() and 0 < int(arguments[0]) < 0x110000:
            return chr(int(arguments[0]))
        case "upper" | "lower" | "btrim" | "trim" if arguments:
            return arguments[0]
    return "x"


def _filled(conversion: str, arguments: Iterator[str]) -> str:
    if conversion == "%":
        return "%"
    value = next(arguments, "x")
    return f"'{value}'" if conversion == "L" else value


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else line[:97] + "…"
