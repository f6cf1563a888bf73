"""PostgreSQL targets: any server by DATABASE_URL, and the embedded one of the workspace."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrate_backend.errors import TargetError
from orchestrate_backend.targets.attempts import DEFAULT_RETRY, Retry
from orchestrate_backend.targets.base import (
    Rejected,
    Row,
    TableColumn,
    Written,
    batches,
    column_missing,
    given_columns,
    key_missing,
    row_key,
    split_table,
    table_missing,
    target_fingerprint,
    without_repeats,
)
from orchestrate_backend.targets.clusters import is_missing
from orchestrate_backend.targets.embedded import EmbeddedServer
from orchestrate_backend.targets.supabase_setup import (
    AUTHENTICATOR,
    OWNER,
    as_user,
    rename_logins,
    set_up,
)
from orchestrate_backend.targets.upsert import (
    Upsert,
    Upserted,
    fault_text,
    is_transient,
    stored_texts,
    table_identifier,
    upsert_rows,
)

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")

#: serializes the set-up of one cluster by several processes
_SETUP_LOCK = 0x6F726368
#: fewest rows of one COPY
COPY_ROWS = 20_000

_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
       pg_get_expr(d.adbin, d.adrelid)
  FROM pg_attribute a
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = to_regclass(format('%%I.%%I', %s::text, %s::text))
   AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
"""

# A primary key whose columns the server fills in by itself is a surrogate, and says nothing about
# which rows are the same.
_NATURAL_KEYS = """
SELECT array_agg(a.attname::text ORDER BY k.place)
  FROM pg_index i
  CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(number, place)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
 WHERE i.indrelid = to_regclass(format('%%I.%%I', %s::text, %s::text))
   AND i.indisunique AND i.indisvalid AND i.indimmediate
   AND i.indpred IS NULL AND i.indexprs IS NULL AND k.place <= i.indnkeyatts
 GROUP BY i.indexrelid, i.indisprimary
HAVING bool_or(NOT a.atthasdef AND a.attidentity = '')
 ORDER BY i.indisprimary, bool_or(a.atthasdef), i.indexrelid
 LIMIT 1
"""


def target_fault(error: BaseException, table: str, target: str) -> TargetError:
    """A psycopg error in the words of this package."""
    state = getattr(error, "sqlstate", None)
    if state == "42P01" and table:
        return table_missing(table, target)
    if state == "42P10":
        return key_missing(table)
    if state == "42703":
        return TargetError(f"{target}: {fault_text(error)}", code="column-missing")
    if state == "42501":
        return TargetError(f"{target}: {fault_text(error)}", code="forbidden")
    code = "unreachable" if is_transient(error) else "target"
    return TargetError(f"{target}: {fault_text(error)}", code=code)


def parse_url(url: str) -> Mapping[str, Any]:
    """The parts of a libpq connection URL. Raises TargetError, which repeats nothing of it."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(url)
    except ProgrammingError:
        parts = {}
    # an unescaped "@" or "/" in a password makes its rest look like a host or a database
    if not parts or "@" in f"{parts.get('host')}{parts.get('dbname')}":
        raise TargetError(
            "DATABASE_URL is not a connection URL",
            hint="write it as postgresql://user:password@host:5432/database, specials as %XX",
            code="database-url",
        )
    return parts


class PostgresTarget:
    """A server reached by a libpq connection URL."""

    name = "postgres"

    def __init__(self, url: str, role: str = "", retry: Retry = DEFAULT_RETRY) -> None:
        """Rows are written as `role`, which the login may take."""
        self._parameters = parse_url(url)
        self._url = url
        self._role = role
        self._retry = retry
        self._connection: Connection[Any] | None = None
        self._guard = threading.RLock()

    @property
    def fingerprint(self) -> str:
        return target_fingerprint(self.name, self._place())

    def identity(self) -> str:
        query = (
            "SELECT system_identifier::text AS cluster, current_database() AS name "
            "FROM pg_control_system()"
        )
        try:
            (row,) = self.query_readonly(query)
        except TargetError:
            return f"{self.fingerprint} (not reached)"
        return f"{self.fingerprint} {row['cluster']}/{row['name']}"

    def session(self) -> dict[str, str]:
        """What decides how statements run: login, options, libpq's variables; no secrets."""
        named = ("password", "passfile", "host", "hostaddr", "port", "dbname")
        given = {n: str(v) for n, v in self._parameters.items() if n not in named}
        return given | {n: v for n, v in os.environ.items() if n[:2] == "PG" and "PASS" not in n}

    def describe(self) -> str:
        return f"{self.name}: {self._place()}"

    def _place(self) -> str:
        given = self._parameters
        host = given.get("host") or given.get("hostaddr") or "localhost"
        database = given.get("dbname") or given.get("user") or "(the user's)"
        return f"{host}:{given.get('port') or 5432}/{database}"

    def upsert(
        self, table: str, rows: Sequence[Row], key: tuple[str, ...], batch: int = 50
    ) -> Written:
        unique, done = without_repeats(rows, key)
        if not unique:
            self.columns(table)
            return done
        known = {column.name: column.type for column in self.columns(table)}
        columns = given_columns(unique, key)
        if unknown := [column for column in columns if column not in known]:
            raise column_missing(table, unknown, self.describe())
        types = {column: known[column] for column in columns}
        work = Upsert(table, tuple(types), key)
        for part in batches(unique, max(batch, COPY_ROWS)):
            values = [tuple(_adapt(row.get(c), kind) for c, kind in types.items()) for row in part]
            new, changed, same, refused = self.upsert_tuples(work, values)
            rejected = [Rejected(row_key(part[at], key), refused[at]) for at in sorted(refused)]
            done += Written(new, changed, same, tuple(rejected))
        return done

    def upsert_tuples(
        self, upsert: Upsert, rows: Sequence[tuple[Any, ...]], *, fresh: bool = False
    ) -> Upserted:
        """Write rows whose keys are all different. Raises TargetError as `upsert` does.

        `fresh` says that the table seems to hold none of them, which is faster if it is true.
        """
        return self._run(lambda c: upsert_rows(c, upsert, rows, fresh=fresh), upsert.table)

    def stored_texts(
        self, upsert: Upsert, columns: Sequence[str], most: int
    ) -> set[tuple[str | None, ...]]:
        """At most so many stored rows, as text. Raises TargetError."""
        return self._run(lambda c: stored_texts(c, upsert.table, columns, most), upsert.table)

    def count(self, table: str) -> int:
        from psycopg.sql import SQL

        query = SQL("SELECT count(*) FROM {}").format(table_identifier(table))
        row = self._run(lambda c: c.execute(query).fetchone(), table)
        return int(row[0]) if row else 0

    def columns(self, table: str) -> tuple[TableColumn, ...]:
        place = split_table(table)
        rows = self._run(lambda c: c.execute(_COLUMNS, place).fetchall(), table)
        if not rows:
            raise table_missing(table, self.describe())
        return tuple(TableColumn(*row) for row in rows)

    def natural_key(self, table: str) -> tuple[str, ...] | None:
        self.columns(table)
        row = self._run(lambda c: c.execute(_NATURAL_KEYS, split_table(table)).fetchone(), table)
        return tuple(row[0]) if row else None

    def apply_sql(self, text: str, source: str = "") -> None:
        from psycopg import Error

        if "\0" in text:
            raise TargetError("the SQL holds a NUL character", path=source or None, code="sql")
        self._run(lambda c: None)
        with self._owner_connection() as connection:
            try:
                connection.execute("SET lock_timeout = '15s'")
                connection.execute(text.encode())
            except Error as exc:
                position = exc.diag.statement_position
                raise TargetError(
                    f"the SQL was not applied: {fault_text(exc)}",
                    path=source or None,
                    line=text.count("\n", 0, int(position) - 1) + 1 if position else None,
                    hint="nothing of it was kept; correct the file and apply it again",
                    code="sql",
                ) from exc
            if connection.info.transaction_status:
                raise TargetError("the SQL leaves a transaction open", path=source or None)

    def query_readonly(self, sql: str) -> list[dict[str, Any]]:
        from psycopg.rows import dict_row

        def read(connection: Connection[Any]) -> list[dict[str, Any]]:
            transaction = connection.transaction(force_rollback=True)
            with transaction, connection.cursor(row_factory=dict_row) as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")
                cursor.execute("SET LOCAL statement_timeout = '15s'")
                # preparing it makes the server refuse a second statement behind it
                cursor.execute(sql.encode(), prepare=True)
                return cursor.fetchall() if cursor.description else []

        return self._run(read)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self, work: Callable[[Connection[Any]], T], table: str = "") -> T:
        """`work` on the connection, one thread at a time; passing faults are retried on a new one.

        Transactions of several threads on one connection would end each other.
        """
        from psycopg import Error

        try:
            with self._guard:
                return self._retry(lambda: work(self._open()), is_transient, self.close)
        except Error as exc:
            raise target_fault(exc, table, self.describe()) from exc

    def _open(self) -> Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = self._writer_connection()
        return self._connection

    def _writer_connection(self) -> Connection[Any]:
        connection = connect(self.uri())
        if self._role:
            _act_as(connection, self._role, self.describe())
        return connection

    def _owner_connection(self) -> Connection[Any]:
        return connect(self._url)

    def uri(self) -> str:
        """Connection URI of the login that writes."""
        return self._url


class EmbeddedTarget(PostgresTarget):
    """The workspace's own server in `.orchestrate/postgres`, set up as Supabase sets one up.

    Rows are written as `service_role`, DDL runs as the owner, who is not a superuser.
    """

    name = "embedded"

    def __init__(self, root: Path) -> None:
        self.data = root.resolve() / ".orchestrate" / "postgres"
        self._role = "service_role"
        self._parameters = {}
        self._retry = DEFAULT_RETRY
        self._connection = None
        self._guard = threading.RLock()
        self._server: EmbeddedServer | None = None

    @property
    def fingerprint(self) -> str:
        return target_fingerprint(self.name, self.data)

    def identity(self) -> str:
        # its place says it: it is made there, if need be
        return self.fingerprint

    def _place(self) -> str:
        return "the workspace's own server in .orchestrate/postgres"

    def uri(self, user: str = AUTHENTICATOR) -> str:
        """Connection URI for one of the set-up's logins; starts the server if need be."""
        return as_user(self._running().uri(), user)

    def hold(self) -> Callable[[], None] | None:
        """Let the server run on, if it was started, until what is returned is called."""
        return None if self._server is None else self._server.hold().stop

    def close(self) -> None:
        super().close()
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _running(self) -> EmbeddedServer:
        if self._server is None:
            self._server = start_embedded(self.data)
            rename_logins(self._server.uri())
            with connect(self._server.uri()) as connection:
                connection.execute("SELECT pg_advisory_lock(%s)", (_SETUP_LOCK,))
                set_up(connection)
        return self._server

    def _owner_connection(self) -> Connection[Any]:
        return connect(self.uri(OWNER))


def start_embedded(data: Path) -> EmbeddedServer:
    """The server of a workspace's data folder. Raises TargetError saying why it does not start."""
    root = data.parent.parent
    if not root.is_dir():
        raise TargetError("no such folder", path=root, code="embedded-start")
    if not is_missing(data) and not (data / "PG_VERSION").exists():
        raise TargetError("holds files that are not a database", path=data, code="embedded-start")
    try:
        if not data.parent.exists():
            # a script that is run by hand may be the first to need the folder, which git ignores
            data.parent.mkdir()
            (data.parent / ".gitignore").write_text("*\n", encoding="utf-8")
        return EmbeddedServer(data)
    except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as exc:
        raise TargetError(
            f"the embedded PostgreSQL server does not start: {_start_reason(exc, data)}",
            path=data,
            hint="the folder is in use, unreadable, of another version or damaged, and stays as it "
            "is: put a copy of it there, or move it away, and the next start makes an empty one",
            code="embedded-start",
        ) from exc


def _start_reason(error: Exception, data: Path) -> str:
    """The server's own last words, else the error's."""
    log = data / "log"
    if isinstance(error, subprocess.SubprocessError) and log.is_file():
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        fatal = [line for line in lines[-20:] if "FATAL" in line or "PANIC" in line]
        if fatal:
            return fatal[-1][-300:]
    if isinstance(error, subprocess.CalledProcessError):
        return f"{Path(error.cmd[0]).name} ended with exit code {error.returncode}"
    return " ".join(str(error).split())[:300]


def connect(url: str) -> Connection[Any]:
    """A connection in autocommit mode, so that a transaction is always explicit."""
    import psycopg

    return psycopg.connect(url, autocommit=True, connect_timeout=10, application_name="orchestrate")


def _act_as(connection: Connection[Any], role: str, target: str) -> None:
    """Take a role of the API. Raises TargetError, and closes, if the login may not take it."""
    from psycopg import errors
    from psycopg.sql import SQL, Identifier

    missing = (errors.UndefinedObject, errors.InvalidParameterValue)
    try:
        connection.execute(SQL("SET ROLE {}").format(Identifier(role)))
    except (errors.InsufficientPrivilege, *missing) as exc:
        connection.close()
        raise TargetError(
            f"{target}: this login may not act as {role}: {fault_text(exc)}",
            hint=f"create the tables first, and GRANT {role} to the login",
            code="forbidden",
        ) from exc
    claims = json.dumps({"role": role})
    connection.execute("SELECT set_config('request.jwt.claims', %s, false)", (claims,))


def _adapt(value: Any, kind: str) -> Any:
    if value is not None and kind in {"json", "jsonb"}:
        from psycopg.types.json import Jsonb

        return Jsonb(value)
    return value
