"""Disposable databases that look like a Supabase project's, one per proof, in milliseconds."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrate_agents.sql.environment import SAME, stand_ins
from orchestrate_backend.targets.embedded import EmbeddedServer, scratch_folder
from orchestrate_backend.targets.supabase_setup import (
    AUTHENTICATOR,
    OWNER,
    as_user,
    set_up,
    setup_sql,
)
from orchestrator.gates.checks import Services

_WATCH = Path(__file__).with_name("watch.sql")
_LIMITS = "-c statement_timeout=10s -c lock_timeout=5s -c idle_in_transaction_session_timeout=60s"
#: a proof takes seconds; what is older was left by a process that died
_STALE_SECONDS = 3600
_LOCK = 5_901_231


@dataclass(frozen=True)
class Database:
    """One disposable database. What a migration says is never run by a superuser."""

    name: str
    uri: str

    def connect(self, user: str = OWNER, *, autocommit: bool = True) -> Any:
        """A connection as the owner, or as the login behind the roles of the API."""
        import psycopg

        return psycopg.connect(as_user(self.uri, user), autocommit=autocommit, options=_LIMITS)

    def make_extension(self, name: str, schema: str = "", *, if_not_exists: bool = True) -> bool:
        """Make an extension, which takes a superuser here; False if the server does not have it.

        Where it does not, the stand-in is made, if there is one.
        """
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.uri, autocommit=True) as admin:
            # one that the open transaction has just made is not there for this one
            there = admin.execute("SELECT FROM pg_namespace WHERE nspname = %s", [schema])
            place = sql.Identifier("extensions" if there.fetchone() is None else schema)
            query = "SELECT FROM pg_available_extensions WHERE name = %s"
            if admin.execute(query, [name]).fetchone() is None:
                script = stand_ins().get(name, "").replace(":schema", place.as_string(admin))
                admin.execute(script.encode())
                return name in SAME
            guard = sql.SQL("IF NOT EXISTS " if if_not_exists else "")
            make = sql.SQL("CREATE EXTENSION {}{} SCHEMA {}")
            admin.execute(make.format(guard, sql.Identifier(name), place))
        return True

    def connect_api(self) -> Any:
        """A connection from which `SET ROLE` reaches anon, authenticated and service_role."""
        return self.connect(AUTHENTICATOR)


class Scratch:
    """The disposable cluster, with a template database from which proofs are copied."""

    def __init__(self) -> None:
        import psycopg

        self.server = EmbeddedServer(scratch_folder(), scratch=True)
        self.admin = psycopg.connect(self.server.uri(), autocommit=True)
        self._sweep()
        self.template = self._template()

    def close(self) -> None:
        """Let go of the cluster."""
        self.admin.close()
        self.server.stop()

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        """A fresh database, dropped at the end."""
        name = _fresh_name()
        self.admin.execute(
            f"CREATE DATABASE {name} TEMPLATE {self.template} OWNER {OWNER} STRATEGY file_copy"
        )
        try:
            yield Database(name, self.server.uri(name))
        finally:
            self.admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _template(self) -> str:
        watch = _WATCH.read_text(encoding="utf-8") + stand_ins()["supabase_vault"]
        name = "supabase_" + hashlib.sha256((setup_sql() + watch).encode()).hexdigest()[:16]
        self.admin.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        try:
            if not self._exists(name):
                self._make_template(name, watch)
        finally:
            self.admin.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
        return name

    def _exists(self, name: str) -> bool:
        query = "SELECT FROM pg_database WHERE datname = %s"
        return self.admin.execute(query, [name]).fetchone() is not None

    def _make_template(self, name: str, watch: str) -> None:
        import psycopg

        draft = _fresh_name()
        self.admin.execute(f"CREATE DATABASE {draft} TEMPLATE template0")
        with psycopg.connect(self.server.uri(draft)) as connection:
            set_up(connection)
            connection.execute(watch)
        # renamed last, so that no one copies a template that is half made
        self.admin.execute(f"ALTER DATABASE {draft} RENAME TO {name}")

    def _sweep(self) -> None:
        names = self.admin.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE 'proof\\_%'"
        ).fetchall()
        for (name,) in names:
            made = name.split("_")[1]
            if made.isdigit() and int(made) < time.time() - _STALE_SECONDS:
                self.admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _fresh_name() -> str:
    return f"proof_{int(time.time())}_{secrets.token_hex(6)}"


def scratch(services: Services) -> Scratch:
    """The cluster that all checks of one run share."""
    shared: Scratch = services.share("sql.scratch", Scratch, Scratch.close)
    return shared
