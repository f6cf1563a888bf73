"""Every piece of SQL in a migration: statements, bodies of blocks and functions, built strings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from orchestrate_agents.sql.parse import (
    SqlError,
    Statement,
    expression,
    line_at,
    parse_migration,
    tokens,
    walk,
)

#: stands in a string that is executed for what only the run knows
UNKNOWN = "only_the_run_knows"

_MAX_DEPTH = 6
#: PL/pgSQL's own numbers of how a text is to be read
_STATEMENT, _ASSIGNMENT = 0, 3
_EXECUTES = ("PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors", "dynquery")


@dataclass(frozen=True)
class Piece:
    """One statement, wherever it stands."""

    #: its tree, None where it does not parse by itself
    node: Any
    line: int
    text: str
    #: built as a string and executed
    dynamic: bool = False
    #: the function whose body it is in, or ""
    function: str = ""


def pieces(text: str) -> Iterator[Piece]:
    """All pieces, in order. Raises SqlError."""
    yield from _in_text(text, 0)


def _in_text(text: str, depth: int) -> Iterator[Piece]:
    if depth > _MAX_DEPTH:
        return
    migration = parse_migration(text)
    for statement in migration.statements:
        source = migration.source(statement)
        function = _function(statement)
        yield Piece(statement.node, statement.line, source, function=function)
        for piece in _in_body(statement, source, depth):
            yield replace(piece, function=piece.function or function)


def _function(statement: Statement) -> str:
    if statement.kind != "CreateFunctionStmt":
        return ""
    return str(statement.node.funcname[-1].sval)


def _in_body(statement: Statement, source: str, depth: int) -> Iterator[Piece]:
    if statement.kind not in ("DoStmt", "CreateFunctionStmt"):
        return
    options = {o.defname: o.arg for o in _options(statement.node)}
    language = getattr(options.get("language"), "sval", "plpgsql").lower()
    first = statement.line + _body_line(source)
    if language == "plpgsql":
        yield from _in_plpgsql(source, first, depth)
    elif language == "sql":
        for body in options.get("as") or ():
            yield from _moved(_parsed(body.sval, depth), first, dynamic=False)


def _options(node: Any) -> tuple[Any, ...]:
    return tuple((node.args if type(node).__name__ == "DoStmt" else node.options) or ())


def _body_line(source: str) -> int:
    """Lines between the statement's start and its body's."""
    bodies = [t for t in tokens(source) if t.name == "SCONST" and "\n" in source[t.start : t.end]]
    return line_at(source, bodies[-1].start) - 1 if bodies else 0


def _moved(found: Iterator[Piece], first: int, *, dynamic: bool) -> Iterator[Piece]:
    for item in found:
        yield replace(item, line=first + item.line - 1, dynamic=dynamic or item.dynamic)


def _in_plpgsql(source: str, first: int, depth: int) -> Iterator[Piece]:
    from pglast import parse_plpgsql
    from pglast.parser import ParseError

    try:
        tree = parse_plpgsql(source)
    except (ParseError, json.JSONDecodeError):
        # the server will refuse it too; until then its words are all there is to judge
        yield Piece(None, first, source)
        return
    executes = any(key in _EXECUTES for key in _keys(tree))
    for query, mode, line in _queries(tree, 1):
        at = first + line - 1
        if mode == _STATEMENT:
            yield from _moved(_parsed(query, depth), at, dynamic=False)
        else:
            yield from _calls(query, mode, at)
        if executes:
            for text in _strings(query, mode):
                yield from _moved(_parsed(text, depth), at, dynamic=True)


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


def _parsed(text: str, depth: int) -> Iterator[Piece]:
    try:
        yield from tuple(_in_text(text, depth + 1))
    except SqlError:
        yield Piece(None, 1, text)


def _calls(query: str, mode: int, line: int) -> Iterator[Piece]:
    """An expression of PL/pgSQL, for the functions that it calls."""
    from pglast.parser import ParseError

    try:
        yield Piece(expression(_value(query, mode)), line, query)
    except (ParseError, IndexError):
        return


def _value(query: str, mode: int) -> str:
    return query.split(":=", 1)[1] if mode == _ASSIGNMENT and ":=" in query else query


def _strings(query: str, mode: int) -> Iterator[str]:
    """The texts that an expression may build: its constants, and what joining them gives."""
    from pglast.ast import A_Const, String
    from pglast.parser import ParseError

    source = _value(query, mode)
    try:
        root = expression(source) if mode != _STATEMENT else None
        nodes = [root] if root is not None else [parse_migration(source).statements[0].node]
    except (ParseError, SqlError, IndexError):
        return
    if root is not None:
        yield _folded(root)
    for node in walk(nodes):
        if isinstance(node, A_Const) and isinstance(node.val, String):
            yield node.val.sval or ""


def _folded(node: Any) -> str:
    """The text that an expression builds; `UNKNOWN` stands for what is not constant."""
    kind = type(node).__name__
    if kind == "A_Const":
        return str(getattr(node.val, "sval", getattr(node.val, "ival", UNKNOWN)))
    if kind == "TypeCast":
        return _folded(node.arg)
    if kind == "A_Expr" and node.name[-1].sval == "||":
        return _folded(node.lexpr) + _folded(node.rexpr)
    if kind == "FuncCall":
        return _folded_call(node.funcname[-1].sval, [_folded(a) for a in node.args or ()])
    return UNKNOWN


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
    return UNKNOWN


def _filled(conversion: str, arguments: Iterator[str]) -> str:
    if conversion == "%":
        return "%"
    value = next(arguments, UNKNOWN)
    return f"'{value}'" if conversion == "L" else value
