"""The transport: an agent runs as a child process, JSON job in, JSON report out (DESIGN 5.2)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from orchestrator.agent import Agent, Job, Outcome, Report
from orchestrator.config import AgentSettings

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
#: agents at work, of all threads
_RUNNING: set[subprocess.Popen[bytes]] = set()


def environment(extra: Sequence[str] = ()) -> dict[str, str]:
    """The environment of a child: neutral variables and those that the configuration names."""
    names = (*NEUTRAL, *extra)
    return {name: os.environ[name] for name in names if name in os.environ}


def dispatch(
    job: Job,
    settings: AgentSettings,
    agents: Mapping[str, Agent] | None = None,
    lock_fd: int | None = None,
) -> Report:
    """Let an agent work on a job. Never raises for what an agent does wrong: that is its report."""
    inside = (agents or {}).get(job.agent)
    if inside is not None:
        return _in_process(inside, job)
    argv = list(settings.command) or [sys.executable, "-m", "orchestrator.worker", job.agent]
    with tempfile.TemporaryDirectory(prefix=f"orchestrate-{job.agent.lower()}-") as folder:
        return _child(argv, job, settings, Path(folder), lock_fd)


def _in_process(agent: Agent, job: Job) -> Report:
    from orchestrator.worker import work

    try:
        return work(agent, job)
    except Exception as exc:  # noqa: BLE001 - an agent's fault is the agent's report
        return Report(outcome=Outcome.FAILED, reason=f"{type(exc).__name__}: {exc}")


def _child(
    argv: list[str], job: Job, settings: AgentSettings, folder: Path, lock_fd: int | None
) -> Report:
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment(settings.env),
            pass_fds=() if lock_fd is None else (lock_fd,),
            start_new_session=True,
        )
    except OSError as exc:
        return Report(
            outcome=Outcome.NEEDS_PERSON, reason=f"{argv[0]} cannot be started: {exc.strerror}"
        )
    _RUNNING.add(process)
    try:
        out, err = process.communicate(job.model_dump_json().encode(), timeout=settings.timeout)
    except subprocess.TimeoutExpired:
        kill(process)
        return Report(
            outcome=Outcome.FAILED, reason=f"stopped after {settings.timeout:g} s without a report"
        )
    except BaseException:
        kill(process)
        raise
    finally:
        _RUNNING.discard(process)
    return _report(process.returncode, out, err.decode("utf-8", "replace"))


def kill(process: subprocess.Popen[bytes]) -> None:
    """Stop a child and everything that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def kill_all() -> None:
    """Stop every agent that this process has started."""
    stopped = list(_RUNNING)
    for process in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    for process in stopped:
        # whoever waits for it may have no time left to
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)


def _report(code: int, out: bytes, err: str) -> Report:
    tail = "\n".join(err.strip().splitlines()[-8:])
    if len(out) > _OUTPUT_LIMIT:
        return Report(outcome=Outcome.FAILED, reason="the report is larger than 20 MB")
    if code != 0:
        return Report(outcome=Outcome.FAILED, reason=f"the agent exited with {code}: {tail}")
    try:
        return Report.model_validate_json(out)
    except ValidationError as exc:
        first = exc.errors()[0]
        key = ".".join(str(p) for p in first["loc"])
        return Report(
            outcome=Outcome.FAILED,
            reason=f"the agent's report cannot be read: {key}: {first['msg']}. {tail}".strip(),
        )
