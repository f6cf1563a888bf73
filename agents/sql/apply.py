"""Run a migration once, statement by statement, as the owner that is no superuser."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrate_agents.sql.catalog import Relation
from orchestrate_agents.sql.parse import Migration, Statement, line_at
from orchestrate_agents.sql.scratch import Database

#: the longest that one run of a migration may take, whatever it sets itself
_WATCHDOG_SECONDS = 20.0


@dataclass(frozen=True)
class Failure:
    """Why a run stopped, and at which line of the migration."""

    line: int
    message: str
    #: SQLSTATE, "" for what the parser refused
    code: str = ""

    def __str__(self) -> str:
        code = f" ({self.code})" if self.code else ""
        return f"line {self.line}: {self.message}{code}"


#: the failure if there was one, (table, mode) of the locks it took, notes
Applied = tuple[Failure | None, tuple[tuple[str, str], ...], tuple[str, ...]]


def apply(database: Database, migration: Migration, existing: Sequence[Relation] = ()) -> Applied:
    """Run every statement, in one transaction unless the file has its own.

    `existing` are the tables whose locks are told.
    """
    import psycopg

    notes: list[str] = []
    with database.connect() as owner, _watchdog(owner):
        if not any(migration.of("TransactionStmt")):
            owner.execute("BEGIN")
        statement = None
        try:
            for statement in migration.statements:
                if statement.kind == "CreateExtensionStmt":
                    notes += _extension(database, statement)
                else:
                    owner.execute(migration.source(statement))
            locks = _locks(owner, existing)
            owner.execute("COMMIT")
        except psycopg.Error as error:
            return _failure(error, statement, migration), (), tuple(notes)
    return None, locks, tuple(notes)


@contextlib.contextmanager
def _watchdog(connection: Any) -> Iterator[None]:
    timer = threading.Timer(_WATCHDOG_SECONDS, connection.close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _extension(database: Database, statement: Statement) -> list[str]:
    """Make an extension, which the hosted service lets its owner do."""
    name = statement.node.extname
    if database.make_extension(name, if_not_exists=bool(statement.node.if_not_exists)):
        return []
    return [f"extension {name} is not at hand and was left out"]


def _failure(error: Any, statement: Statement | None, migration: Migration) -> Failure:
    position = getattr(error.diag, "statement_position", None)
    source = migration.source(statement) if statement else ""
    offset = line_at(source, int(position) - 1) - 1 if position else 0
    message = error.diag.message_primary or str(error) or type(error).__name__
    detail = error.diag.message_detail
    if error.diag.sqlstate == "57014":
        message = "took too long and was stopped"
    return Failure(
        (statement.line if statement else 1) + offset,
        f"{message}. {detail}" if detail else message,
        error.diag.sqlstate or "",
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
