"""What the functions of a database return, as expressions, where they are plain enough to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrate_agents.sql.parse import SqlError, expression, parse_migration, printed

#: own functions by name with what they return as one expression, None where that is not to be had
Functions = Mapping[str, Any]


def own_functions(connection: Any) -> Functions:
    """The functions of users with what they return as one expression, where they are so plain."""
    rows = connection.execute(
        "SELECT p.proname, l.lanname, p.prosrc, pg_get_functiondef(p.oid) "
        "FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
        "JOIN pg_language l ON l.oid = p.prolang "
        "WHERE p.prokind = 'f' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN "
        "('information_schema', 'auth', 'extensions', 'proof_watch', 'storage', 'realtime')"
    ).fetchall()
    found: dict[str, Any] = {}
    for name, language, body, definition in rows:
        # of two with one name, nothing is said
        found[name] = None if name in found else _returned(language, body, definition)
    return found


def _returned(language: str, body: str, definition: str) -> Any:
    from pglast import parse_plpgsql
    from pglast.parser import ParseError

    try:
        if language == "sql" and body:
            (statement,) = parse_migration(body).statements
            return _selected(statement.node)
        if language == "plpgsql":
            (tree,) = parse_plpgsql(definition)
            block = tree["PLpgSQL_function"]["action"]["PLpgSQL_stmt_block"]
            (only,) = [s for s in block["body"] if s != {"PLpgSQL_stmt_return": {}}]
            query = only["PLpgSQL_stmt_return"]["expr"]["PLpgSQL_expr"]["query"]
            return expression(query)
    except (ParseError, SqlError, ValueError, KeyError, IndexError, TypeError):
        return None
    return None


def _selected(select: Any) -> Any:
    """A query that gives one value, as an expression."""
    if type(select).__name__ != "SelectStmt" or len(select.targetList or ()) != 1:
        return None
    if not select.fromClause and select.whereClause is None:
        return select.targetList[0].val
    return expression(f"({printed(select)})")
