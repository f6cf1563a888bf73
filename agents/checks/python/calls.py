"""Which calls of a Python module leave the process: to the network, or to a database."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

LIBRARIES = frozenset(
    (
        *("requests", "httpx", "aiohttp", "urllib3", "urllib", "http", "supabase", "postgrest"),
        *("psycopg", "psycopg2", "asyncpg", "sqlite3", "pymysql", "sqlalchemy"),
    )
)
#: functions and methods of those libraries that make a request
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


def imported_names(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """Local name → dotted origin, from every import among the nodes of a module."""
    names: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module or ''}.{alias.name}"
    return names


def clients_in(
    scope: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef,
    names: Mapping[str, str],
    every: Iterable[ast.AST] = (),
) -> dict[str, str]:
    """Names of a function, or of the module itself, that hold clients: `s = requests.Session()`.

    An attribute (`self.session`) counts for the whole module, of which `every` has all nodes.
    """
    nodes: list[ast.AST] = []
    waiting = list(ast.iter_child_nodes(scope))[::-1]
    while waiting:  # in order, without the functions and classes inside
        node = waiting.pop()
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            nodes.append(node)
            waiting += list(ast.iter_child_nodes(node))[::-1]
    for node in every:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", 0)]
        if any(isinstance(target, ast.Attribute) for target in targets):
            nodes.append(node)
    found: dict[str, str] = {}
    for node in nodes:
        match node:
            case (
                ast.Assign(targets=[target], value=ast.Call() as call)
                | ast.AnnAssign(target=target, value=ast.Call() as call)
                | ast.withitem(optional_vars=ast.expr() as target, context_expr=ast.Call() as call)
            ):
                dotted = _dotted(call.func, {**names, **found})
                library, _, maker = dotted.rpartition(".")
                if library.partition(".")[0] in LIBRARIES and maker in _MAKERS:
                    found[last_name(target)] = dotted
    found.pop("", None)
    return found


def last_name(node: ast.expr) -> str:
    """`c` of `a.b.c`, "" for anything that is not a name."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _dotted(node: ast.expr, names: Mapping[str, str]) -> str:
    """`requests.get` for `r.get` after `import requests as r`; "" where it is unknown."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value, names)
        if base in ("self", "cls"):
            return names.get(node.attr, f"{base}.{node.attr}")
        return f"{base}.{node.attr}" if base else ""
    return _dotted(node.func, names) if isinstance(node, ast.Call) else ""
