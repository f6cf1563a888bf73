"""The transport: an agent runs as a child process, JSON job in, JSON report out (DESIGN 5.2)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from orchestrator import plugins
from orchestrator.agent_process.bounded import (
    Ended,
    Process,
    attend,
    end_group,
    kept_words,
    start_failure,
)
from orchestrator.agent_process.forking import Forking
from orchestrator.agent_process.leftovers import Marks
from orchestrator.agent_process.worker import own_agents, work_on
from orchestrator.domain.agent import Agent, Job, Outcome, Report
from orchestrator.errors import StoppedError
from orchestrator.errors.masking import hand_out, sanitize
from orchestrator.settings.agents import AgentSettings
from orchestrator.storage.temporary import Temporary
from orchestrator.storage.written import AGENT_OF

#: takes what happens to a job on its way
Tell = Callable[[str], object]
#: the program of a built-in or coding agent
_WORKER = (sys.executable, "-m", "orchestrator.agent_process.worker")
#: what every agent may see of the environment; no keys and no database addresses
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
    "ORCHESTRATE_SERVER_MINUTES",
    "NO_COLOR",
    "PYTHONWARNINGS",
    "PYTHONPATH",
]
_OUTPUT_LIMIT = 20 * 1024**2
#: characters of a text in a report, which a person has to read
_LONGEST_TEXT = 1_000_000
#: bytes that an agent may print at all
_MOST_PRINTED = 64 * 1024**2
#: the database server, which built-in agents leave running for the next one
_SERVER = "postgres"
#: characters quoted of what is not a report
_QUOTED = 60


def environment(extra: Sequence[str] = ()) -> dict[str, str]:
    """The environment of a child: neutral variables and those that the configuration names."""
    return {name: os.environ[name] for name in (*NEUTRAL, *extra) if name in os.environ}


class Engine(Protocol):
    """Who lets agents work: this machine (`Dispatcher`), or workers on others."""

    #: agents that work in this process, by name
    inside: dict[str, Agent]

    def dispatch(
        self, job: Job, settings: AgentSettings, lock_fd: int | None = None, tell: Tell = ...
    ) -> Report:
        """Let an agent work on a job; its report. `tell` hears what happens on the way.

        Raises StoppedError if `stop` was called before it ended.
        """
        ...

    def has(self, job: Job) -> bool:
        """Whether a job goes on, or has ended, without the conductor that dispatched it."""
        ...

    def prover(self, between_turns: bool, tell: Tell) -> Any:
        """Who makes slow proofs elsewhere (`gates.checks.Elsewhere`); None: nobody does."""
        ...

    def prepare(self, agents: Mapping[str, AgentSettings]) -> None:
        """Begin to load what the work of these agents needs, by their names."""
        ...

    def leave_to(self, attendant: Any) -> None:
        """Wait for no worker: `dispatch` raises ElsewhereError, and the attendant waits."""
        ...

    def withdraw(self, family: str, why: str) -> None:
        """End what is done for a family elsewhere, without its conductor."""
        ...

    def stop(self) -> None:
        """End the work of every agent, and start none from now on."""
        ...


class Dispatcher:
    """Starts agents, and can stop all that it has started.

    `inside` are agents that work in this process, by name, in place of a child process.
    """

    def __init__(self, inside: Mapping[str, Agent] | None = None) -> None:
        self.inside = dict(inside or {})
        self._running: set[Process] = set()
        self._forking: Forking | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def dispatch(
        self,
        job: Job,
        settings: AgentSettings,
        lock_fd: int | None = None,
        tell: Tell = lambda _: None,
    ) -> Report:
        """Let an agent work on a job. A fault of the agent becomes its report.

        Raises StoppedError if `stop` was called before it ended.
        """
        inside = self.inside.get(job.agent)
        if inside is not None:
            self._require_running()
            try:
                return work_on(inside, job)
            except Exception as exc:  # noqa: BLE001 - an agent's fault is the agent's report
                return Report(outcome=Outcome.FAILED, reason=f"{type(exc).__name__}: {exc}")
        argv = [*_WORKER, *_words(job.agent, settings)]
        if settings.command and not settings.adapter:
            # a path is relative to the workspace: the command runs in another folder
            program, *arguments = settings.command
            argv = [str(job.board_root / program) if "/" in program else program, *arguments]
        with Temporary(job.agent.lower()) as folder:
            marks = Marks()
            try:
                return self._run_child(argv, job, settings, Path(folder), lock_fd, marks)
            finally:
                # whoever has reported, or was stopped, is done: nothing of it works on
                marks.kill_all("" if settings.command or settings.adapter else _SERVER)
                marks.close()

    def has(self, job: Job) -> bool:
        """Whether a job goes on without its conductor: here it never does."""
        return False

    def prover(self, between_turns: bool, tell: Tell) -> None:
        """Nobody: proofs are made here."""

    def leave_to(self, attendant: Any) -> None:
        """Nothing: what is done here has to be waited for."""

    def withdraw(self, family: str, why: str) -> None:
        """Nothing: without a conductor nothing is done here."""

    def stop(self) -> None:
        """Kill every agent that was started, and start none from now on."""
        with self._lock:
            self._stopped = True
            # a thread that waits for one removes it as soon as it is dead
            for process in tuple(self._running):
                end_group(process)
        # such a thread may have no time left to reap it
        for process in tuple(self._running):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)

    def prepare(self, agents: Mapping[str, AgentSettings]) -> None:
        """Begin to load what the work of these agents needs, while other things are done."""
        forked = [
            _words(name, settings)
            for name, settings in agents.items()
            if name not in self.inside and _is_forked(name, settings)
        ]
        with self._lock, contextlib.suppress(OSError):
            if forked and self._forking is None:
                self._forking = Forking(environment(), forked)

    def _start(
        self,
        argv: list[str],
        agent: str,
        settings: AgentSettings,
        variables: Mapping[str, str],
        folder: Path,
        fds: tuple[int, ...],
    ) -> Process:
        kept = bool(settings.adapter)
        if _is_forked(agent, settings):
            words = argv[len(_WORKER) - 1 :]
            # one that has ended for want of work is started once more
            for forking in (self._forking, None):
                with contextlib.suppress(OSError):
                    self._forking = forking or Forking(environment(), [words[1:]])
                    return self._forking.start(words, variables, folder, fds, kept=kept)
            self._forking = None
        if kept:
            argv = kept_words(argv)
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=dict(variables),
            pass_fds=fds,
            start_new_session=True,
        )

    def _require_running(self) -> None:
        if self._stopped:
            raise StoppedError("the conductor is stopping; the stage is taken up again next time")

    def _run_child(
        self,
        argv: list[str],
        job: Job,
        settings: AgentSettings,
        folder: Path,
        lock_fd: int | None,
        marks: Marks,
    ) -> Report:
        program = argv[0]
        if settings.command and not settings.adapter:
            argv = kept_words(argv)
        own = {AGENT_OF: str(job.board_root), **marks.environment}
        with self._lock:
            self._require_running()
            process = self._start(
                argv,
                job.agent,
                settings,
                {**environment(_variables(settings)), **own},
                folder,
                (marks.fd,) if lock_fd is None else (lock_fd, marks.fd),
            )
            self._running.add(process)
            marks.started()
        hand_out(*(os.environ.get(name, "") for name in settings.env))
        try:
            ended = attend(
                process,
                lambda: end_group(process),
                limit=settings.timeout,
                given=job.model_dump_json().encode(),
                kept=_OUTPUT_LIMIT,
                most=_MOST_PRINTED,
            )
        finally:
            self._running.discard(process)
        end_group(process)
        # an agent that was killed here has not failed
        self._require_running()
        if why := start_failure(ended):
            reason = (
                f"{program} cannot be started: {why}; it is "
                f"`command` of [agents.{job.agent}] in orchestrate.toml, and has to be executable"
            )
            return Report(outcome=Outcome.NEEDS_PERSON, reason=reason)
        return _read_report(ended)


def _words(agent: str, settings: AgentSettings) -> list[str]:
    """What the worker of an agent that is no other program is told."""
    return [settings.adapter, "coding"] if settings.adapter else [agent]


def _is_forked(agent: str, settings: AgentSettings) -> bool:
    """Whether its worker begins in the process that is forked: a coding agent's, or our own's."""
    return bool(settings.adapter) or (not settings.command and agent in own_agents())


def _variables(settings: AgentSettings) -> tuple[str, ...]:
    """What an agent may see besides the neutral variables: what is named, and a program's own."""
    entry = plugins.named("coding", settings.adapter)
    return settings.env if entry is None else (*settings.env, *entry.load().variables())


def _read_report(ended: Ended) -> Report:
    """The report that a child wrote; one that failed, with the end of its log, if it cannot be."""
    out, tail = (
        ended.out,
        "\n".join(sanitize(ended.err.decode("utf-8", "replace")).strip().splitlines()[-8:]),
    )
    if ended.stopped:
        reason = f"{ended.stopped} without a report"
    elif len(out) > _OUTPUT_LIMIT:
        reason = "the report is larger than 20 MB"
    elif ended.code != 0:
        reason = f"the agent exited with {ended.code}: {tail}"
    elif not out.strip():
        reason = f"the agent wrote no report to its standard output. {tail}".strip()
    else:
        try:
            return _as_shown(Report.model_validate_json(out))
        except ValidationError as exc:
            first = exc.errors()[0]
            key = ".".join(str(p) for p in first["loc"])
            problem = f"{key}: {first['msg']}"
            if not key:
                begin = " ".join(sanitize(out[: _QUOTED * 10].decode("utf-8", "replace")).split())[
                    :_QUOTED
                ]
                problem = f"{first['msg']}; it begins “{begin}”"
            reason = f"the agent's report cannot be read: {problem}. {tail}".strip()
    return Report(outcome=Outcome.FAILED, reason=reason)


def _as_shown(report: Report) -> Report:
    """A report whose texts hold no keys and nothing that steers or hides."""
    texts = [report.section, report.reason, *(t.text for t in report.tickets)]
    if max(map(len, texts)) > _LONGEST_TEXT:
        reason = "a text of the report is larger than 1 MB; the work itself belongs into files"
        return Report(outcome=Outcome.FAILED, reason=reason)
    return report.model_copy(
        update={
            "section": sanitize(report.section),
            "reason": sanitize(report.reason),
            "log": tuple(map(sanitize, report.log)),
            "notices": tuple(
                n.model_copy(update={"text": sanitize(n.text)}) for n in report.notices
            ),
            "tickets": tuple(
                t.model_copy(update={"text": sanitize(t.text)}) for t in report.tickets
            ),
        }
    )
