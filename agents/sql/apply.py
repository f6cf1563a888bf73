"""Run a migration once, statement by statement, as the owner that is not a superuser."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from orchestrate_agents.sql.branches import Marked, mark, that_ran
from orchestrate_agents.sql.catalog import Relation
from orchestrate_agents.sql.environment import gap
from orchestrate_agents.sql.parse import Migration, Statement, line_at, tokens
from orchestrate_agents.sql.scratch import Database

#: how every project's database is called
PROJECT_DATABASE = "postgres"
#: the longest that one run of a migration may take, whatever it sets itself
_WATCHDOG_SECONDS = 20.0
_NONE: Mapping[int, Collection[int]] = MappingProxyType({})


@dataclass(frozen=True)
class Failure:
    """Why a run stopped, and at which line of the migration."""

    line: int
    message: str
    #: SQLSTATE, "" for what the parser refused
    code: str = ""
    #: what the server lacks of a hosted project, if that is why
    gap: str = ""

    def __str__(self) -> str:
        code = f" ({self.code})" if self.code else ""
        return f"line {self.line}: {self.message}{code}"


@dataclass(frozen=True)
class Applied:
    """What one run of a migration came to."""

    failure: Failure | None = None
    #: (table, mode) of the locks that it took
    locks: tuple[tuple[str, str], ...] = ()
    #: extensions that it makes and that the server does not have
    left_out: tuple[str, ...] = ()
    #: its DO blocks, with the numbers of the branches that ran
    blocks: tuple[tuple[Marked, frozenset[int]], ...] = ()


def apply(
    database: Database,
    migration: Migration,
    existing: Sequence[Relation] = (),
    own: Collection[str] = (),
    forced: Mapping[int, Collection[int]] = _NONE,
) -> Applied:
    """Run every statement, in one transaction unless the file has its own.

    `existing` are the tables whose locks are reported, `own` the functions that may do anything. Of
    DO blocks the conditions of `forced` branches are met, by the blocks' numbers.
    """
    import psycopg

    left_out: dict[str, None] = {}
    blocks: list[Marked] = []
    with database.connect() as owner, _watchdog(owner):
        if not any(migration.of("TransactionStmt")):
            owner.execute("BEGIN")
        statement = None
        try:
            for statement in migration.statements:
                if statement.kind == "CopyStmt" and statement.node.filename is None:
                    # the server would wait for rows that no file has
                    words = "COPY … FROM stdin and TO stdout are for psql alone: write INSERT"
                    return Applied(Failure(statement.line, words), (), tuple(left_out))
                if statement.kind == "DoStmt":
                    met = forced.get(len(blocks), ())
                    blocks.append(mark(statement, migration.source(statement), own, met))
                    owner.execute(blocks[-1].text)
                elif statement.kind != "CreateExtensionStmt":
                    owner.execute(_of_database(database, migration, statement))
                elif not _extension(database, statement):
                    left_out[statement.node.extname] = None
            locks = _locks(owner, existing)
            ran = tuple((block, that_ran(owner, block)) for block in blocks)
            owner.execute("COMMIT")
        except psycopg.Error as error:
            failure = _failure(error, statement, migration, left_out)
            return Applied(failure, (), tuple(left_out))
    return Applied(None, locks, tuple(left_out), ran)


def _of_database(database: Database, migration: Migration, statement: Statement) -> str:
    """A statement's text, with the proof's own database where it names the project's."""
    source = migration.source(statement)
    found = tokens(source)
    for before, token in pairwise(t for t in found if "COMMENT" not in t.name):
        named = source[token.start : token.end + 1].strip('"') == PROJECT_DATABASE
        if before.name == "DATABASE" and named:
            return source[: token.start] + database.name + source[token.end + 1 :]
    return source


@contextlib.contextmanager
def _watchdog(connection: Any) -> Iterator[None]:
    timer = threading.Timer(_WATCHDOG_SECONDS, connection.close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _extension(database: Database, statement: Statement) -> bool:
    """Make an extension, which the hosted service lets its owner do; False if it is left out."""
    node = statement.node
    schema = next((o.arg.sval for o in node.options or () if o.defname == "schema"), "")
    return database.make_extension(node.extname, schema, if_not_exists=bool(node.if_not_exists))


def _failure(
    error: Any, statement: Statement | None, migration: Migration, left_out: Collection[str]
) -> Failure:
    position = getattr(error.diag, "statement_position", None)
    source = migration.source(statement) if statement else ""
    offset = line_at(source, int(position) - 1) - 1 if position else 0
    message = error.diag.message_primary or str(error) or type(error).__name__
    detail = error.diag.message_detail
    code = error.diag.sqlstate or ""
    if code == "57014":
        message = "took too long and was stopped"
    if code == "25001" and message.endswith("inside a transaction block"):
        message += ": a file is applied as a whole or not at all, here and on the target"
        if "CONCURRENTLY" in message:
            message += "; leave CONCURRENTLY out"
    return Failure(
        (statement.line if statement else 1) + offset,
        f"{message}. {detail}" if detail else message,
        code,
        gap(message, code, left_out),
    )


def _locks(owner: Any, existing: Sequence[Relation]) -> tuple[tuple[str, str], ...]:
    """Locks that the open transaction holds on tables that stood there before, weakest left out."""
    rows = owner.execute(
        """
        SELECT DISTINCT n.nspname || '.' || c.relname, l.mode
        FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE l.pid = pg_backend_pid() AND l.mode <> 'AccessShareLock' AND c.relkind IN ('r', 'p')
        ORDER BY 1, 2
        """
    ).fetchall()
    known = {r.qualified for r in existing} | {"auth.users"}
    return tuple((name, mode) for name, mode in rows if name in known)
