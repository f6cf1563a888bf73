"""The transport: an agent runs as a child process, JSON job in, JSON report out (DESIGN 5.2)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from orchestrator.config import AgentSettings
from orchestrator.domain.agent import Agent, Job, Outcome, Report
from orchestrator.errors import StoppedError

#: what every agent may see of the environment; keys and database addresses are not among it
NEUTRAL = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "TEMP",
    "TMP",
    "SYSTEMROOT",
    "VIRTUAL_ENV",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
    "ORCHESTRATE_SCRATCH",
    "NO_COLOR",
    "PYTHONWARNINGS",
    "PYTHONPATH",
]
_OUTPUT_LIMIT = 20_000_000
#: so much of what is no report is told
_QUOTED = 60


def environment(extra: Sequence[str] = ()) -> dict[str, str]:
    """The environment of a child: neutral variables and those that the configuration names."""
    names = (*NEUTRAL, *extra)
    return {name: os.environ[name] for name in names if name in os.environ}


class Dispatcher:
    """Starts agents, and can stop all that it has started.

    `inside` are agents that work in this process, by name, in place of a child process.
    """

    def __init__(self, inside: Mapping[str, Agent] | None = None) -> None:
        self.inside = dict(inside or {})
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        self._lock = threading.Lock()

    def dispatch(self, job: Job, settings: AgentSettings, lock_fd: int | None = None) -> Report:
        """Let an agent work on a job. What an agent does wrong is its report.

        Raises StoppedError if `stop` was called before it came to its end.
        """
        inside = self.inside.get(job.agent)
        if inside is not None:
            self._go_on()
            return _in_process(inside, job)
        argv = _command(settings, job.root)
        argv = argv or [sys.executable, "-m", "orchestrator.agent_process.worker", job.agent]
        with tempfile.TemporaryDirectory(prefix=f"orchestrate-{job.agent.lower()}-") as folder:
            return self._child(argv, job, settings, Path(folder), lock_fd)

    def stop(self) -> None:
        """Kill every agent that was started, and start none from now on."""
        with self._lock:
            self._stopped = True
            # whoever waits for one takes it out as soon as it is dead
            for process in tuple(self._running):
                _kill(process)
        # whoever waits for it may have no time left to
        for process in tuple(self._running):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)

    def _go_on(self) -> None:
        if self._stopped:
            raise StoppedError("the conductor is stopping; the stage is taken up again next time")

    def _child(
        self, argv: list[str], job: Job, settings: AgentSettings, folder: Path, lock_fd: int | None
    ) -> Report:
        with self._lock:
            self._go_on()
            try:
                process = _started(argv, settings, folder, lock_fd)
            except OSError as exc:
                reason = (
                    f"{argv[0]} cannot be started: {exc.strerror}; it is `command` of "
                    f"[agents.{job.agent}] in orchestrate.toml, and has to be executable"
                )
                return Report(outcome=Outcome.NEEDS_PERSON, reason=reason)
            self._running.add(process)
        try:
            out, err = process.communicate(job.model_dump_json().encode(), timeout=settings.timeout)
        except subprocess.TimeoutExpired:
            kill(process)
            return Report(
                outcome=Outcome.FAILED,
                reason=f"stopped after {settings.timeout:g} s without a report",
            )
        except BaseException:
            kill(process)
            raise
        finally:
            self._running.discard(process)
        # an agent that was killed here has not failed
        self._go_on()
        return _report(process.returncode, out, err.decode("utf-8", "replace"))


def _command(settings: AgentSettings, root: Path) -> list[str]:
    """The configured command; a path in it is the workspace's, for it runs in another folder."""
    if not settings.command:
        return []
    program, *arguments = settings.command
    return [str(root / program) if "/" in program else program, *arguments]


def _in_process(agent: Agent, job: Job) -> Report:
    from orchestrator.agent_process.worker import work

    try:
        return work(agent, job)
    except Exception as exc:  # noqa: BLE001 - an agent's fault is the agent's report
        return Report(outcome=Outcome.FAILED, reason=f"{type(exc).__name__}: {exc}")


def _started(
    argv: list[str], settings: AgentSettings, folder: Path, lock_fd: int | None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=environment(settings.env),
        pass_fds=() if lock_fd is None else (lock_fd,),
        start_new_session=True,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """Stop a child and everything that it started."""
    _kill(process)
    process.communicate()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _report(code: int, out: bytes, err: str) -> Report:
    tail = "\n".join(err.strip().splitlines()[-8:])
    if len(out) > _OUTPUT_LIMIT:
        return Report(outcome=Outcome.FAILED, reason="the report is larger than 20 MB")
    if code != 0:
        return Report(outcome=Outcome.FAILED, reason=f"the agent exited with {code}: {tail}")
    if not out.strip():
        reason = f"the agent wrote no report to its standard output. {tail}".strip()
        return Report(outcome=Outcome.FAILED, reason=reason)
    try:
        return Report.model_validate_json(out)
    except ValidationError as exc:
        reason = f"the agent's report cannot be read: {_problem(exc, out)}. {tail}".strip()
        return Report(outcome=Outcome.FAILED, reason=reason)


def _problem(error: ValidationError, out: bytes) -> str:
    """The first thing that is wrong with a report: its key, or how it begins if it is no JSON."""
    first = error.errors()[0]
    key = ".".join(str(p) for p in first["loc"])
    if key:
        return f"{key}: {first['msg']}"
    begin = " ".join(out[:200].decode("utf-8", "replace").split())[:_QUOTED]
    return f"{first['msg']}; it begins “{begin}”"
