"""Trials of seed scripts for checks: run twice on a database, with what was sent and stored."""

from __future__ import annotations

import json
import os
import queue
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from orchestrate_agents.sandbox.runs import (
    COPIED,
    TRIED,
    Run,
    SharedTreeCopy,
    bare_environment,
    kill_group,
    python_path,
)
from orchestrate_agents.sandbox.scratch_tables import (
    TableContents,
    empty_tables,
    read_contents,
    refuse_all,
    refuse_one,
    untold,
)
from orchestrate_agents.sandbox.served import Specified, compare_served, differs, try_sources
from orchestrate_agents.sandbox.statement_watch import Said, StatementWatch, beyond_loading
from orchestrate_agents.sandbox.traces import left_behind, listing, self_signed
from orchestrate_agents.sql.scratch import Database, scratch
from orchestrate_agents.tools.python import Python
from orchestrate_backend.targets.embedded import scratch_folder
from orchestrator.agent_process.confinement import (
    Confinement,
    installations,
    program_places,
)
from orchestrator.agent_process.dispatcher import environment
from orchestrator.errors import OrchestrateError
from orchestrator.errors.masking import mask
from orchestrator.gates.checks import Services
from orchestrator.storage.temporary import Temporary

#: slow to import → with what they import when they are used; imported once where the script's
#: program names them
_SLOW = {
    "requests": ("requests", "encodings.idna"),
    "httpx": ("httpx", "httpcore"),
    "supabase": ("supabase", "httpcore"),
    "psycopg": ("psycopg",),
    "tenacity": ("tenacity",),
    "pandas": ("pandas",),
    "numpy": ("numpy",),
}


#: a project's host name as the hosted ones have it
_PROJECT = "kqzvbnmlwoiuytrehgas.supabase.co"


class SandboxError(OrchestrateError):
    """The sandbox cannot be used."""

    code = "sandbox"


@dataclass(frozen=True)
class ScriptRun:
    """One run of a script: how it ended, and what it wrote through the REST interface."""

    run: Run
    #: (table, rows) of every write, in order
    writes: tuple[tuple[str, list[dict[str, Any]]], ...]
    #: records that simulated sources served, and whether their number was asked for
    served: tuple[dict[str, Any], ...] = ()
    counted: bool = False
    #: the words of each request to simulated sources, and those that were not asked anything
    asked: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


@dataclass(frozen=True)
class IdempotencyTrial:
    """A script's two runs on one database."""

    first: ScriptRun
    second: ScriptRun
    #: on emptied tables that refuse each row, or (if it told that) all; None if nothing was added
    refused: ScriptRun | None
    #: before the first run, after it, and after the second
    before: TableContents
    after_first: TableContents
    after_second: TableContents
    #: where the tables differ from what a simulated source served
    differing: tuple[str, ...] = ()

    @property
    def added(self) -> dict[str, int]:
        """Rows that the first run added, by table."""
        return {
            table: rows - self.before.rows.get(table, 0)
            for table, rows in self.after_first.rows.items()
            if rows != self.before.rows.get(table, 0)
        }


class Sandbox:
    """The process in which scripts run, kept for all trials of a session."""

    def __init__(self, python: Python | None = None) -> None:
        self._walls: Confinement | None = None
        #: how the scripts' interpreter is started, and with which variables
        self._command = python.command if python else (sys.executable,)
        self._variables = python.variables if python else {}
        self._lock = threading.Lock()
        self._server: subprocess.Popen[str] | None = None
        self._errors: IO[bytes] | None = None
        self._forged: IO[bytes] | None = None

    def run(
        self,
        script: str,
        *,
        cwd: Path,
        database: Database | None = None,
        arguments: Sequence[str] = (),
        libraries: Iterable[str] = (),
        limit: float = 60.0,
        source: str = "",
        project: str = "",
    ) -> ScriptRun:
        """Run `script` (relative to `cwd`) as USER would, but inside the sandbox.

        `project`: the host name that the hosted project seems to have; "": an address of this
        machine.
        `source`: how simulated sources behave (`orchestrate_agents.sandbox.simulators`).
        Raises SandboxError if the sandbox itself breaks.
        """
        from orchestrate_backend.targets.supabase_setup import OWNER, as_user

        password, named = secrets.token_hex(16), set(libraries)
        slow = (m for name, modules in _SLOW.items() if name in named for m in modules)
        request = {
            "script": script,
            "cwd": str(cwd),
            "arguments": list(arguments),
            "preload": list(dict.fromkeys(slow)),
            "limit": limit,
            "source": source,
            "certificate": "",
            "project": project,
            "password": password,
            "database": None,
        }
        if database is not None:
            # the server trusts its socket: the password is there to be kept
            request["database"] = as_user(database.uri, OWNER, password)
        if source == "forged":
            request |= {"certificate": self._certificate(), "source": ""}
        with (
            Temporary("script") as folder,
            Confinement(
                [cwd, Path(folder)], self._read(), workspace=COPIED.get(cwd), tidy=True
            ) as walls,
        ):
            temporary, home = Path(folder).resolve() / "temporary", Path(folder).resolve() / "home"
            temporary.mkdir()
            home.mkdir()
            request["temporary"] = str(temporary)
            request["walls"] = {**walls.said, "cwd": str(cwd)}
            # the copy is thrown away: its second run may use what the first compiled
            request["env"] = {
                **bare_environment(cwd),
                **self._variables,
                "HOME": str(home),
                "PYTHONDONTWRITEBYTECODE": "",
                "PYTHONPATH": python_path(cwd),
            }
            before = listing(cwd)
            response = self._ask(request)
            remains = left_behind(before, cwd, home, temporary, response["keys"])
            tried = tuple(dict.fromkeys((*response["tried"], *remains)))
        command = (*self._command, script, *arguments)
        code = TRIED if tried else response["code"]
        ended = Run(command, code, response["out"], response["err"], tried)
        writes = tuple((table, rows) for table, rows in response["writes"])
        seen = {name: tuple(response[name]) for name in ("served", "asked", "silent")}
        return ScriptRun(ended, writes, counted=response["counted"], **seen)

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            server = self._server or self.start()
            assert server.stdin is not None
            assert server.stdout is not None
            try:
                print(json.dumps(request), file=server.stdin, flush=True)
                response: dict[str, Any] = json.loads(server.stdout.readline())
            except (OSError, ValueError) as exc:
                reason = self._last_error()
                raise SandboxError(f"the sandbox for scripts stopped: {reason}") from exc
        return {**response, "out": mask(response["out"]), "err": mask(response["err"])}

    def _certificate(self) -> str:
        """The file of a certificate that nobody signed, with its key."""
        if self._forged is None:
            self._forged = tempfile.NamedTemporaryFile(suffix=".pem")  # noqa: SIM115
            self._forged.write(self_signed())
            self._forged.flush()
        return self._forged.name

    def _read(self) -> list[str]:
        """What scripts need to read although it lies among hidden or temporary files."""
        # the proving server may begin there after this process does
        servers = scratch_folder().parent
        servers.mkdir(parents=True, exist_ok=True)
        return [*program_places(), *sys.path, *installations(self._command), str(servers)]

    def start(self) -> subprocess.Popen[str]:
        """Start the process, without waiting until it is ready."""
        # -P: a package of the current workspace must not take the place of ours
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        words = [sys.executable, "-P", "-W", "ignore", "-m", "orchestrate_agents.sandbox.server"]
        self._walls = Confinement(
            (), self._read(), leaves=True, layered=False, tap=True, apart=False, trusted=True
        )
        self._server = subprocess.Popen(
            self._walls.words([*words, *self._command]),
            env=environment(),
            pass_fds=self._walls.fds,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
            start_new_session=True,
        )
        return self._server

    def _last_error(self) -> str:
        """The last line that the process wrote before it stopped."""
        assert self._errors is not None
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").split("\n")
        self.close()
        return next((line for line in reversed(lines) if line.strip()), "no output")

    def close(self) -> None:
        """Stop the process and everything that it started."""
        if self._server is None or self._errors is None:
            return
        if self._forged is not None:
            self._forged.close()
            self._forged = None
        kill_group(self._server.pid)
        with self._server, self._errors:
            self._server = None
        if self._walls is not None:
            self._walls.close()
            self._walls = None


class SandboxPool:
    """As many sandboxes as there are processors to use, and a copy of the workspace for them."""

    def __init__(self, python: Python | None) -> None:
        self._all = [Sandbox(python) for _ in range(max(1, min(4, os.cpu_count() or 1)))]
        self._free: queue.LifoQueue[Sandbox] = queue.LifoQueue()
        self.tree = SharedTreeCopy()
        for sandbox in self._all:
            # their processes get ready while the workspace is copied
            sandbox.start()
            self._free.put(sandbox)

    @contextmanager
    def acquire(self) -> Iterator[Sandbox]:
        """A free sandbox."""
        sandbox = self._free.get()
        try:
            yield sandbox
        finally:
            self._free.put(sandbox)

    def close(self) -> None:
        """Stop the processes, remove the copy."""
        for sandbox in self._all:
            sandbox.close()
        self.tree.close()


def shared_sandboxes(services: Services, python: Python | None = None) -> SandboxPool:
    """The sandboxes that all checks of one session share; scripts run with that interpreter, by
    default with the one that this product runs on."""
    key = ("sandboxes", python.identity if python else "")
    shared: SandboxPool = services.share(key, lambda: SandboxPool(python), SandboxPool.close)
    return shared


def run_idempotency_trial(
    services: Services,
    root: Path,
    script: str,
    *,
    schema: Sequence[str],
    libraries: Collection[str],
    python: Python | None = None,
    specified: Specified | None = None,
) -> IdempotencyTrial:
    """Run the script on a scratch database with this schema: twice, where the source or the
    database fails, and once where it may not write.

    Raises SandboxError if the schema cannot be created.
    """
    import psycopg

    pool = shared_sandboxes(services, python)
    specified = specified or Specified()
    with (
        pool.tree.copy_of(root) as copy,
        scratch(services).database() as database,
        pool.acquire() as sandbox,
        psycopg.connect(database.uri, autocommit=True) as admin,
    ):
        attempt = partial(sandbox.run, script, cwd=copy, database=database, libraries=libraries)

        def run_once(source: str = "", project: str = "") -> ScriptRun:
            watch.clear()
            ended = attempt(source=source, project=project)
            said.extend(watch.heard())
            return ended

        empty = partial(empty_tables, database)
        create_schema(database, schema)
        watch, said = StatementWatch(admin), list[Said]()
        before = read_contents(database)
        # its client is known to find the way there
        first = run_once(project=_PROJECT if "supabase" in libraries else "")
        after_first = read_contents(database)
        differing = compare_served(database, first.served, first.run.text, specified)
        second = run_once()
        after_second = read_contents(database)
        refused = None
        if after_first != before:
            own = [name for name, count in after_first.rows.items() if count]
            differing = (*differing, *differs(first, specified))
            if first.run.ok and not differing:
                sources = try_sources(database, first.served, run_once, empty, specified)
                differing = tuple(sources) if first.served else ()
                if len(first.writes) != 1:
                    empty()
                    ended = refuse_one(database, own, lambda: run_once().run)
                    lost = after_first.total - read_contents(database).total
                    differing = (*differing, *untold(ended, lost))
            differing = (*differing, *beyond_loading(said, own))
            for _ in refuse_all(database, own, empty):
                refused = attempt(source="few")
                if refused.run.ok:
                    break
        runs = [r and replace(r, served=(), asked=()) for r in (first, second, refused)]
        assert runs[0] is not None
        assert runs[1] is not None
        contents = before, after_first, after_second
        return IdempotencyTrial(runs[0], runs[1], runs[2], *contents, differing)


def create_schema(database: Database, schema: Sequence[str]) -> None:
    """Run the SQL texts as the database's owner. Raises SandboxError naming what is refused."""
    import psycopg

    with database.connect() as owner:
        for text in schema:
            try:
                owner.execute(text.encode())
            except psycopg.Error as exc:
                reason = " ".join(str(exc).split())
                raise SandboxError(
                    f"the tables that scripts fill cannot be created: {reason}"
                ) from exc
