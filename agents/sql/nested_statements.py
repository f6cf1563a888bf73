"""Every statement of a migration, also in DO blocks, function bodies and executed strings."""

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

#: replaces what only the run knows in a string that is executed
UNKNOWN = "only_the_run_knows"

_MAX_DEPTH = 6
#: PL/pgSQL's own numbers of how a text is parsed; from the last one on it assigns, to a name of
#: one part, two or three
_STATEMENT, _ASSIGNMENT = 0, 3
_EXECUTES = ('"PLpgSQL_stmt_dynexecute":', '"PLpgSQL_stmt_dynfors":', '"dynquery":')


@dataclass(frozen=True)
class NestedStatement:
    """One statement, or an expression of PL/pgSQL, wherever it is written."""

    #: its tree, None if it does not parse by itself
    node: Any
    line: int
    text: str
    #: built as a string and executed
    dynamic: bool = False
    #: the function whose body it is in, or ""
    function: str = ""
    #: a loop does something for each of its rows
    loops: bool = False


def nested_statements(text: str) -> Iterator[NestedStatement]:
    """All statements, in order. Raises SqlError."""
    return _statements(text, 0)


def _statements(text: str, depth: int) -> Iterator[NestedStatement]:
    if depth > _MAX_DEPTH:
        return
    migration = parse_migration(text)
    for statement in migration.statements:
        source, function = migration.source(statement), ""
        if statement.kind == "CreateFunctionStmt":
            function = str(statement.node.funcname[-1].sval)
        yield NestedStatement(statement.node, statement.line, source, function=function)
        if function or statement.kind == "DoStmt":
            for nested in _body_statements(statement, source, depth):
                yield replace(nested, function=nested.function or function)


def _body_statements(statement: Statement, source: str, depth: int) -> Iterator[NestedStatement]:
    node = statement.node
    defined = (node.args if statement.kind == "DoStmt" else node.options) or ()
    options = {option.defname: option.arg for option in defined}
    language = getattr(options.get("language"), "sval", "plpgsql").lower()
    bodies = [t for t in tokens(source) if t.name == "SCONST" and "\n" in source[t.start : t.end]]
    first = statement.line + (line_at(source, bodies[-1].start) - 1 if bodies else 0)
    if language == "plpgsql":
        yield from _plpgsql_statements(source, first, depth)
    elif language == "sql":
        for body in options.get("as") or ():
            yield from _parse_nested(body.sval, first, depth)


def _parse_nested(
    text: str, line: int, depth: int, *, dynamic: bool = False
) -> Iterator[NestedStatement]:
    try:
        found = list(_statements(text, depth + 1))
    except SqlError:
        found = [NestedStatement(None, 1, text)]
    for one in found:
        yield replace(one, line=line + one.line - 1, dynamic=dynamic or one.dynamic)


def _plpgsql_statements(source: str, first: int, depth: int) -> Iterator[NestedStatement]:
    from pglast import parse_plpgsql
    from pglast.ast import A_Const, String
    from pglast.parser import ParseError

    try:
        tree = parse_plpgsql(source)
    except (ParseError, json.JSONDecodeError):
        # the server will refuse it too; until then only its words can be judged
        yield NestedStatement(None, first, source)
        return
    dumped = json.dumps(tree)
    executes = any(key in dumped for key in _EXECUTES)
    for query, mode, line, loops in _queries(tree, 1):
        at, built = first + line - 1, []
        if mode == _STATEMENT:
            found = list(_parse_nested(query, at, depth))
            yield from (replace(one, loops=loops) for one in found)
            root = found[0].node if found else None
        else:
            # an expression calls functions, and may build a string that is executed
            root = _expression(query, mode)
            if root is not None:
                yield NestedStatement(root, at, query)
                built.append(_fold(root))
        if executes and root is not None:
            constants = (n.val for n in walk(root) if isinstance(n, A_Const))
            built += [value.sval or "" for value in constants if isinstance(value, String)]
            for text in built:
                yield from _parse_nested(text, at, depth, dynamic=True)


def _queries(tree: Any, line: int, loops: bool = False) -> Iterator[tuple[str, int, int, bool]]:
    """(text, parse mode, line, whether it is looped over) of every SQL text in a PL/pgSQL tree."""
    if isinstance(tree, list):
        for value in tree:
            yield from _queries(value, line)
    elif isinstance(tree, dict):
        line = tree.get("lineno", line)
        if isinstance(tree.get("query"), str):
            yield tree["query"], tree.get("parseMode", 0), line, loops
        for key, value in tree.items():
            inner = loops if key == "PLpgSQL_expr" else key == "query" and "var" in tree
            yield from _queries(value, line, inner)


def sources_of(source: str) -> dict[str, list[Any]]:
    """What is put into each variable of a DO block or function: trees, None for what is not known.

    Variables that nothing is put into, such as arguments, are not there.
    """
    from pglast import parse_plpgsql
    from pglast.parser import ParseError

    try:
        tree = parse_plpgsql(source)
    except (ParseError, json.JSONDecodeError):
        return {}
    found: dict[str, list[Any]] = {}
    for function in tree:
        content = function["PLpgSQL_function"]
        datums = [next(iter(datum.values())) for datum in content.get("datums", ())]
        for part in _parts(content):
            texts = [q for key in _GIVEN if key in part for q in _queries(part[key], 1)]
            for name in _targets(part, datums):
                found.setdefault(name, []).extend(
                    [_expression(q if mode else f"({q})", mode) for q, mode, *_ in texts] or [None]
                )
    return found


#: where a PL/pgSQL statement says what a variable gets
_GIVEN = ("default_val", "expr", "query", "sqlstmt")


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, list):
        for value in tree:
            yield from _parts(value)
    elif isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _parts(value)


def _targets(part: dict[str, Any], datums: list[dict[str, Any]]) -> list[str]:
    """The variables that a statement of a PL/pgSQL tree puts something into."""
    if "default_val" in part:
        return [part["refname"]]
    given = [datums[part["varno"]]] if "varno" in part and "name" not in part else []
    for key in ("var", "target"):
        given += part[key].values() if isinstance(part.get(key), dict) else []
    while rows := [d for d in given if "fields" in d or "recparentno" in d]:
        given = [d for d in given if d not in rows] + [
            datums[n]
            for row in rows
            for n in [*(f["varno"] for f in row.get("fields", ())), row.get("recparentno")]
            if n is not None
        ]
    return [d["refname"] for d in given]


def _expression(query: str, mode: int) -> Any:
    from pglast.parser import ParseError

    source = query.split(":=", 1)[1] if mode >= _ASSIGNMENT and ":=" in query else query
    try:
        return expression(source)
    except (ParseError, IndexError):
        return None


def _fold(node: Any) -> str:
    """The text that an expression builds, with `UNKNOWN` for what is not constant."""
    match type(node).__name__:
        case "A_Const":
            return str(getattr(node.val, "sval", getattr(node.val, "ival", UNKNOWN)))
        case "TypeCast":
            return _fold(node.arg)
        case "A_Expr" if node.name[-1].sval == "||":
            return _fold(node.lexpr) + _fold(node.rexpr)
        case "FuncCall":
            return _fold_call(node.funcname[-1].sval, [_fold(a) for a in node.args or ()])
    return UNKNOWN


def _fold_call(name: str, arguments: list[str]) -> str:
    match name:
        case "format" if arguments:
            rest = iter(arguments[1:])

            def fill(found: re.Match[str]) -> str:
                if found[1] == "%":
                    return "%"
                value = next(rest, UNKNOWN)
                return f"'{value}'" if found[1] == "L" else value

            return re.sub(r"%(?:\d+\$)?[-\d]*([sIL%])", fill, arguments[0])
        case "concat":
            return "".join(arguments)
        case "concat_ws" if arguments:
            return arguments[0].join(arguments[1:])
        case "chr" if arguments and arguments[0].isdigit() and 0 < int(arguments[0]) < 0x110000:
            return chr(int(arguments[0]))
        case "upper" | "lower" | "btrim" | "trim" if arguments:
            return arguments[0]
    return UNKNOWN
