"""Which calls of a Python module leave the process: to the network, or to a database."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

LIBRARIES = frozenset(
    (
        *("requests", "httpx", "aiohttp", "urllib3", "urllib", "http", "supabase", "postgrest"),
        *("psycopg", "psycopg2", "asyncpg", "sqlite3", "pymysql", "sqlalchemy"),
    )
)
#: functions and methods of those libraries that go out
_OUTSIDE = frozenset(
    (
        *("get", "post", "put", "patch", "delete", "head", "options", "request", "stream"),
        *("send", "urlopen", "urlretrieve", "connect"),
    )
)
#: what gives a client, a session, a connection or a cursor
_MAKERS = frozenset(
    (
        *("Session", "Client", "AsyncClient", "ClientSession", "PoolManager", "Connection"),
        *("HTTPConnection", "HTTPSConnection", "create_client", "create_engine"),
        *("connect", "cursor"),
    )
)
#: methods that mean a database whatever the receiver is called
DATABASE_METHODS = frozenset(
    (
        *("execute", "executemany", "execute_batch", "execute_values", "copy_expert"),
        *("copy_from", "fetchall", "fetchone"),
    )
)
#: receivers that are sessions or clients by name, and what they do over the wire
_CLIENTS = ("session", "client", "http", "conn", "connection", "cursor", "cur", "db")
_CLIENT_METHODS = _OUTSIDE | {"commit", "copy", "insert", "upsert", "rpc"}


def leaves_process(node: ast.Call, names: Mapping[str, str]) -> bool:
    """Whether the call goes to the network or a database; `names` from the functions below."""
    dotted = _dotted(node.func, names)
    head, _, method = dotted.rpartition(".")
    library = dotted.partition(".")[0] in LIBRARIES
    if not isinstance(node.func, ast.Attribute):
        return library and method in _OUTSIDE
    method = method or node.func.attr
    if method in DATABASE_METHODS:
        return True
    if method not in _CLIENT_METHODS:
        return False
    if library:
        return not head.endswith((".parse", ".environ"))
    receiver = last_name(node.func.value).lower().strip("_")
    return receiver in _CLIENTS or receiver.endswith(("_session", "_client", "_conn", "_cursor"))


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Local name → dotted origin, from every import of the module."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module or ''}.{alias.name}"
    return names


def clients_in(
    scope: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef, names: Mapping[str, str]
) -> dict[str, str]:
    """Names of a function, or of the module itself, that hold clients: `s = requests.Session()`.

    An attribute (`self.session`) counts for the whole module.
    """
    found: dict[str, str] = {}
    nodes = _own_nodes(scope)
    if isinstance(scope, ast.Module):
        nodes = (*nodes, *(n for n in ast.walk(scope) if _assigns_attribute(n)))
    for node in nodes:
        target, value = _assigned(node)
        if target and isinstance(value, ast.Call):
            dotted = _dotted(value.func, {**names, **found})
            if dotted.partition(".")[0] in LIBRARIES and dotted.rpartition(".")[2] in _MAKERS:
                found[target] = dotted
    return found


def _own_nodes(scope: ast.AST) -> tuple[ast.AST, ...]:
    """The nodes of a scope in order, without those of the functions and classes in it."""

    def walk(node: ast.AST) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield child
                yield from walk(child)

    return tuple(walk(scope))


def _assigns_attribute(node: ast.AST) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return any(isinstance(target, ast.Attribute) for target in targets)


def _assigned(node: ast.AST) -> tuple[str, ast.expr | None]:
    """(`x`, value) of `x = value` and of `with value as x`."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        return last_name(node.targets[0]), node.value
    if isinstance(node, ast.AnnAssign):
        return last_name(node.target), node.value
    if isinstance(node, ast.withitem) and node.optional_vars is not None:
        return last_name(node.optional_vars), node.context_expr
    return "", None


def last_name(node: ast.expr) -> str:
    """`c` of `a.b.c`, "" for anything that is no name."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _dotted(node: ast.expr, names: Mapping[str, str]) -> str:
    """`requests.get` for `r.get` after `import requests as r`; "" where it cannot be told."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value, names)
        if base in ("self", "cls"):
            return names.get(node.attr, f"{base}.{node.attr}")
        return f"{base}.{node.attr}" if base else ""
    return _dotted(node.func, names) if isinstance(node, ast.Call) else ""
