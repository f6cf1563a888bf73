"""A stand-in for a Supabase project's REST interface, over a real PostgreSQL server.

It speaks as much of PostgREST's dialect as the Supabase clients use here. As PostgREST does, it
runs each request in a transaction under the role that the request's JWT names, so that row level
security decides. It listens on the loopback interface only and is for proving and for tests.
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import jwt
import psycopg
from psycopg.sql import SQL, Composed, Identifier

from orchestrate_backend.errors import BackendError
from orchestrate_backend.fake_postgrest.query import (
    RestError,
    RestQuery,
    count_statement,
    delete_statement,
    insert_statement,
    parse_query,
    select_statement,
    update_statement,
)
from orchestrate_backend.targets.supabase_setup import API_ROLES

_PREFIX = "/rest/v1/"
_MAX_BODY = 16 * 1024 * 1024
_OBJECT = "application/vnd.pgrst.object+json"

_PRIMARY_KEY = """
SELECT a.attname FROM pg_index i
  CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(number, place)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
 WHERE i.indisprimary AND i.indrelid = to_regclass(format('public.%%I', %s::text))
 ORDER BY k.place
"""

#: for the transaction that is open: role, claims, whether it only reads
_BEGIN = """
SELECT set_config('role', %s, true), set_config('request.jwt.claims', %s, true),
       set_config('transaction_read_only',
                  coalesce(%s, current_setting('transaction_read_only')), true),
       set_config('search_path', 'public, extensions', true),
       set_config('statement_timeout', '10s', true)
"""

_DESCRIPTION = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       pg_get_expr(d.adbin, d.adrelid)
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
   AND has_table_privilege(c.oid, 'SELECT')
 ORDER BY c.relname, a.attnum
"""


def verify_token(secret: str, token: str) -> dict[str, Any]:
    """The claims of a JWT signed by HS256. Raises RestError (401) if it is not valid."""
    options: Any = {"verify_signature": True, "enforce_minimum_key_length": True}
    options |= {f"verify_{c}": False for c in ("aud", "exp", "iat", "iss", "jti", "nbf", "sub")}
    try:
        claims: dict[str, Any] = jwt.decode(token, secret, ["HS256"], options)
    except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError, jwt.InvalidKeyError):
        raise RestError(401, "PGRST301", "no suitable key or wrong key type") from None
    except jwt.InvalidTokenError:
        raise RestError(401, "PGRST301", "the JWT cannot be decoded") from None
    expiry = claims.get("exp", math.inf)
    if not isinstance(expiry, int | float) or expiry < time.time():
        raise RestError(401, "PGRST303", "JWT expired")
    return claims


#: is told the table and the rows of each insert and update that is asked for
Heard = Callable[[str, list[dict[str, Any]]], None]


class RestStandIn:
    """The server. `dsn` is a login that may `SET ROLE` to the API's roles (the authenticator)."""

    def __init__(
        self,
        dsn: str,
        jwt_secret: str,
        port: int = 0,
        heard: Heard | None = None,
        max_rows: int | None = None,
    ) -> None:
        self._dsn = dsn
        #: rows that one answer has at most (PostgREST's `db-max-rows`)
        self._max_rows = max_rows
        self._heard = heard
        self._secret = jwt_secret
        self._port = port
        self._server: ThreadingHTTPServer | None = None
        #: as many as requests were served at once
        self._idle: deque[psycopg.Connection[Any]] = deque()

    def start(self) -> str:
        """Start to serve; the URL that a Supabase client takes."""
        handler = type("Handler", (_Handler,), {"api": self})
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        except OSError as exc:
            raise BackendError(
                f"port {self._port} of the loopback interface cannot be used: {exc.strerror}",
                hint="choose another port, or 0 for any free one",
                code="port-in-use",
            ) from exc
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def token(self, role: str, seconds: float = 3600, **claims: Any) -> str:
        """An API key: a JWT for `anon`, `authenticated` or `service_role`."""
        return jwt.encode({"role": role, "exp": time.time() + seconds, **claims}, self._secret)

    def stop(self) -> None:
        """Stop serving; again does nothing."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        while self._idle:
            self._idle.pop().close()

    def answer(self, request: _Request) -> _Answer:
        """The answer; errors too are answers."""
        role = "anon"
        try:
            if not request.headers.get("apikey"):
                raise RestError(401, "401", "No API key found in request")
            verify_token(self._secret, request.headers["apikey"])
            claims = {"role": "anon", **verify_token(self._secret, request.token)}
            if claims["role"] not in API_ROLES:
                raise RestError(401, "22023", f'role "{claims["role"]}" does not exist')
            role = claims["role"]
            if self._heard is not None and request.method in {"POST", "PATCH"}:
                self._heard(request.table, request.rows())
            return self._in_transaction(request, claims)
        except RestError as exc:
            return _Answer(exc.status, json.dumps(exc.body))
        except psycopg.Error as exc:
            return _database_error(exc, role)

    def _in_transaction(self, request: _Request, claims: Mapping[str, Any]) -> _Answer:
        connection = self._begin(request, claims)
        try:
            answer = _route(connection, request, self._max_rows)
            connection.commit()
            return answer
        finally:
            if not connection.closed:
                # what is committed stays
                connection.rollback()
                self._idle.append(connection)

    def _begin(self, request: _Request, claims: Mapping[str, Any]) -> psycopg.Connection[Any]:
        """A connection, kept or new, in a transaction as the request wants it."""
        only_reads = "on" if request.method in {"GET", "HEAD"} else None
        values = (claims["role"], json.dumps(claims), only_reads)
        with contextlib.suppress(IndexError):
            while True:
                connection = self._idle.pop()
                with contextlib.suppress(psycopg.OperationalError):
                    connection.execute(_BEGIN, values)
                    return connection
                connection.close()
        connection = psycopg.connect(self._dsn, prepare_threshold=None)
        connection.execute(_BEGIN, values)
        return connection

    def __enter__(self) -> RestStandIn:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


class _Request:
    """What the handler read, in the words that answering needs."""

    def __init__(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> None:
        parts = urlsplit(url)
        self.method = method
        self.path = unquote(parts.path)
        self.parameters = parse_qsl(parts.query, keep_blank_values=True)
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def table(self) -> str:
        return self.path.removeprefix(_PREFIX)

    @property
    def token(self) -> str:
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" else self.headers.get("apikey", "")

    def prefers(self, name: str) -> str:
        """The value of one preference of the `Prefer` header, or ""."""
        for item in self.headers.get("prefer", "").split(","):
            key, _, value = item.strip().partition("=")
            if key == name:
                return value
        return ""

    def rows(self) -> list[dict[str, Any]]:
        """The objects of the body. Raises RestError (400) for anything else."""
        try:
            parsed = json.loads(self.body)
        except (ValueError, RecursionError):
            raise RestError(400, "PGRST102", "Empty or invalid json") from None
        rows = parsed if isinstance(parsed, list) else [parsed]
        if not all(isinstance(row, dict) for row in rows):
            raise RestError(400, "PGRST102", "the body is neither an object nor a list of them")
        return rows


class _Answer(NamedTuple):
    """Status, body and `Content-Range` of an answer."""

    status: int
    body: str = ""
    content_range: str = ""


def _route(connection: Any, request: _Request, max_rows: int | None) -> _Answer:
    if not request.path.startswith(_PREFIX):
        raise RestError(404, "PGRST125", "Invalid path specified in request URL")
    schema = request.headers.get("accept-profile") or request.headers.get("content-profile")
    if schema not in {None, "public"}:
        raise RestError(406, "PGRST106", f"Invalid schema: {schema}")
    if not request.table:
        return _describe(connection)
    _require_table(connection, request.table)
    query = parse_query(request.table, request.parameters)
    query = replace(query, returning=request.prefers("return") == "representation")
    if max_rows is not None and request.method in {"GET", "HEAD"}:
        query = replace(
            query, limit=min(max_rows, max_rows if query.limit is None else query.limit)
        )
    serve = {"POST": _insert, "PATCH": _update, "DELETE": _delete}.get(request.method, _select)
    return serve(connection, request, query)


def _require_table(connection: Any, table: str) -> None:
    found = connection.execute("SELECT to_regclass(format('public.%%I', %s::text))", (table,))
    if found.fetchone()[0] is None:
        raise RestError(
            404, "PGRST205", f"Could not find the table 'public.{table}' in the schema cache"
        )


def _select(connection: Any, request: _Request, query: RestQuery) -> _Answer:
    body, size = _fetch(connection, select_statement(query))
    if request.headers.get("accept", "").startswith(_OBJECT):
        return _Answer(200, _single(body, size))
    total = None
    if request.prefers("count") == "exact":
        (total,) = _fetch(connection, count_statement(query))
    if total is not None and query.offset > total:
        raise RestError(416, "PGRST103", "Requested range not satisfiable")
    shown = f"{query.offset}-{query.offset + size - 1}" if size else "*"
    status = 206 if total is not None and size < total else 200
    return _Answer(status, body, f"{shown}/{'*' if total is None else total}")


def _insert(connection: Any, request: _Request, query: RestQuery) -> _Answer:
    rows = request.rows()
    if not rows:
        return _Answer(201, "[]")
    if not query.columns and any(row.keys() != rows[0].keys() for row in rows):
        raise RestError(400, "PGRST102", "All object keys must match")
    _require_columns(connection, query.table, query.columns or tuple(rows[0]))
    resolution = request.prefers("resolution")
    key: Sequence[str] = query.on_conflict
    if resolution and not key:
        key = [row[0] for row in connection.execute(_PRIMARY_KEY, (query.table,))]
    return _written(connection, request, insert_statement(query, rows, resolution, key), 201)


def _update(connection: Any, request: _Request, query: RestQuery) -> _Answer:
    rows = request.rows()
    if len(rows) != 1 or not rows[0]:
        raise RestError(400, "PGRST102", "an update takes one object with at least one column")
    _require_columns(connection, query.table, tuple(rows[0]))
    return _written(connection, request, update_statement(query, rows[0]), 204)


def _delete(connection: Any, request: _Request, query: RestQuery) -> _Answer:
    return _written(connection, request, delete_statement(query), 204)


def _written(connection: Any, request: _Request, statement: Composed, status: int) -> _Answer:
    body, size = _fetch(connection, statement)
    if request.prefers("return") != "representation":
        return _Answer(status, "", f"*/{size}")
    if request.headers.get("accept", "").startswith(_OBJECT):
        body = _single(body, size)
    return _Answer(200 if status == 204 else status, body, f"*/{size}")


def _require_columns(connection: Any, table: str, columns: Sequence[str]) -> None:
    probe = SQL("SELECT * FROM {} LIMIT 0").format(Identifier("public", table))
    known = {column.name for column in connection.execute(probe).description}
    for column in columns:
        if column not in known:
            message = f"Could not find the '{column}' column of '{table}' in the schema cache"
            raise RestError(400, "PGRST204", message)


def _fetch(connection: Any, statement: Composed) -> tuple[Any, ...]:
    row: tuple[Any, ...] = connection.execute(statement).fetchone()
    return row


def _single(body: str, size: int) -> str:
    if size != 1:
        message = "Cannot coerce the result to a single JSON object"
        raise RestError(406, "PGRST116", message, f"The result contains {size} rows")
    return json.dumps(json.loads(body)[0])


def _describe(connection: Any) -> _Answer:
    """What the tables look like, as OpenAPI 2 (the part of it that says columns)."""
    definitions: dict[str, Any] = {}
    for table, column, kind, required, default in connection.execute(_DESCRIPTION):
        entry = definitions.setdefault(table, {"properties": {}, "required": []})
        entry["properties"][column] = {"format": kind} | ({"default": default} if default else {})
        if required:
            entry["required"].append(column)
    return _Answer(200, json.dumps({"swagger": "2.0", "definitions": definitions}))


def _database_error(error: Any, role: str) -> _Answer:
    """An error of the server with the status that PostgREST gives it."""
    # the client itself refuses text with a NUL character
    state = error.sqlstate or ("22021" if isinstance(error, psycopg.DataError) else "PGRST000")
    exact = {"42501": 401 if role == "anon" else 403, "23503": 409, "23505": 409, "42P01": 404}
    by_class = {"22": 400, "23": 400, "42": 400, "P0": 400, "53": 503, "57": 503, "PG": 503}
    status = exact.get(state) or by_class.get(state[:2], 500)
    diag = error.diag
    body = {
        "code": state,
        "details": diag.message_detail,
        "hint": diag.message_hint,
        "message": diag.message_primary or "no connection to the database",
    }
    return _Answer(status, json.dumps(body))


class _Handler(BaseHTTPRequestHandler):
    """HTTP around the stand-in."""

    api: RestStandIn
    protocol_version = "HTTP/1.1"
    #: headers and body leave in one packet
    wbufsize = 65536
    timeout = 30

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > _MAX_BODY:
            self.close_connection = True
            return self._send(_Answer(413, json.dumps({"message": "the body is too large"})))
        body = self.rfile.read(int(length))
        request = _Request(self.command, self.path, dict(self.headers.items()), body)
        return self._send(self.api.answer(request))

    do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _send(self, answer: _Answer) -> None:
        body = answer.body.encode()
        self.send_response(answer.status)
        if answer.content_range:
            self.send_header("Content-Range", answer.content_range)
        if body:
            self.send_header("Content-Type", "application/json; charset=utf-8")
        if answer.status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a request's URL holds what people look for."""
