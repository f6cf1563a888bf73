"""A PostgreSQL server of a checkout's own: who works there signs in, and administers nothing."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from orchestrate_backend.errors import TargetError
from orchestrate_backend.targets.embedded import EmbeddedServer

#: the login and its database; nobody else is let in, whoever asks
_NAME = "work"
_LET_IN = f"local {_NAME} {_NAME} scram-sha-256\n"
#: seconds until the server has to refuse everybody else
_REFUSED_WITHIN = 5.0


@contextlib.contextmanager
def serve_apart(data: Path) -> Iterator[str]:
    """Serve from `data`, which is made where it is missing; the address for who works there.

    Raises TargetError if it would let in somebody else.
    """
    note = data.with_name(f"{data.name}.password")
    if not note.exists():
        # without it nobody can sign in any more
        shutil.rmtree(data, ignore_errors=True)
    server = EmbeddedServer(data)
    try:
        if not note.exists():
            _set_up(server.uri(), note)
        (folder,) = parse_qs(urlsplit(server.uri()).query)["host"]
        password = note.read_text(encoding="utf-8")
        yield f"postgresql://{_NAME}:{password}@/{_NAME}?host={quote(folder, safe='/')}"
    finally:
        server.stop()


def _set_up(uri: str, note: Path) -> None:
    import psycopg
    from psycopg import sql

    password, name = secrets.token_urlsafe(24), sql.Identifier(_NAME)
    with psycopg.connect(uri, autocommit=True) as admin:
        statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
        admin.execute(statement.format(name, sql.Literal(password)))
        admin.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(name))
        row = admin.execute("SHOW hba_file").fetchone()
        assert row is not None
        Path(row[0]).write_text(_LET_IN, encoding="utf-8")
        admin.execute("SELECT pg_reload_conf()")
    end = time.monotonic() + _REFUSED_WITHIN
    with contextlib.suppress(psycopg.OperationalError):
        while time.monotonic() < end:
            psycopg.connect(uri).close()
            time.sleep(0.05)
        raise TargetError("the server of a checkout lets in its administrator", code="database")
    note.touch(mode=0o600)
    note.write_text(password, encoding="utf-8")
