"""The conductor's side: jobs go to workers by a queue, what came of them comes back."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.agent_process.dispatcher import Dispatcher, Tell
from orchestrator.domain.agent import Job, Report
from orchestrator.errors import ElsewhereError, OrchestrateError, StoppedError, UsageError
from orchestrator.gates.checks import Elsewhere
from orchestrator.git.command import GitError
from orchestrator.git.folder import find_git_folder
from orchestrator.settings.agents import PROVE, AgentSettings, WorkersSettings
from orchestrator.workers.attending import Attendant
from orchestrator.workers.parcel import digest, git
from orchestrator.workers.store import (
    GREET,
    Store,
    database_url,
    open_store,
    patiently,
)
from orchestrator.workers.work import Work

_Value = TypeVar("_Value")

#: seconds between two looks at a job: at first, and when it takes long
_FIRST_LOOK, _LOOK = 0.02, 0.5
#: seconds between two signs of this home's life; after which missing workers are reported
_HOME_BEAT, _REPORT_AFTER = 5.0, 3.0


class QueuedDispatcher:
    """Gives jobs to workers. What is not theirs is done here."""

    def __init__(self, home: Path, settings: WorkersSettings, local: Dispatcher) -> None:
        self.inside = local.inside
        self._home, self._settings, self._local = home, settings, local
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._beaten = 0.0
        self._attendant: Attendant | None = None

    def dispatch(
        self,
        job: Job,
        settings: AgentSettings,
        lock_fd: int | None = None,
        tell: Tell = lambda _: None,
    ) -> Report:
        """Let an agent work on a job; see `Engine`."""
        if not self._is_for_workers(job):
            return self._local.dispatch(job, settings, lock_fd)
        if not _is_apart(job):
            tell(
                f"{job.agent} works here: the family began in the workspace itself, before "
                "[workers] was set; from its next round on the work goes to workers"
            )
            return self._local.dispatch(job, settings, lock_fd)
        return self._send_out(job, settings, tell)

    def prover(self, between_turns: bool, tell: Tell) -> Elsewhere | None:
        """Asks workers for slow proofs, where `[workers] prove` lets it."""
        if not self._settings.prove:
            return None
        from orchestrator.workers.proofs import AT_GATES, BETWEEN_TURNS, elsewhere

        return elsewhere(self.prove, BETWEEN_TURNS if between_turns else AT_GATES, tell)

    def prove(self, job: Job, tell: Tell) -> Report:
        """Let a worker prove something. Raises StoppedError, OrchestrateError if none does."""
        return self._send_out(job, AgentSettings(), tell)

    def _send_out(self, job: Job, settings: AgentSettings, tell: Tell) -> Report:
        self._require_running()
        work = Work(job, settings, self._home, self._settings, self.store, self._name(job))
        before = self._attendant.hand_back(work.id) if self._attendant is not None else None
        row = self._patiently(work.find, tell)
        if row is not None and work.fits(row):
            if before is not None:
                work.go_on_from(before, tell)
        else:
            if work.is_proof and (missing := self._missing(work)):
                raise OrchestrateError(missing)
            if row is not None and row.state != "stopped":
                tell(
                    f"what a worker made of delivery {row.delivery} is dropped: it was asked again"
                )
            self._patiently(lambda: work.submit(self._token), tell)
        return self._wait(work, tell)

    def has(self, job: Job) -> bool:
        """Whether the job is on its queue, with a worker, or done."""
        if not (self._is_for_workers(job) and _is_apart(job)):
            return False
        row = self._patiently(lambda: self.store.find(self._name(job)), lambda _: None)
        return row is not None and row.state != "stopped"

    def prepare(self, agents: Mapping[str, AgentSettings]) -> None:
        """Nothing: most of the work is the workers'."""

    def leave_to(self, attendant: Any) -> None:
        """Wait for no worker, but for proofs; see `Engine`."""
        self._attendant = attendant

    def withdraw(self, family: str, why: str) -> None:
        """End what workers do for a family, if the database can be reached."""
        with contextlib.suppress(OrchestrateError):
            self.store.stop_family(self._token, family, why)

    def stop(self) -> None:
        """End what workers do for this conductor."""
        self._stopped.set()
        self._local.stop()
        if "store" in self.__dict__:
            self.store.listener.wake()

    @cached_property
    def store(self) -> Store:
        """The database. Raises AwayError, UsageError, MissingExtraError."""
        return open_store(database_url(self._settings), self._settings)

    def _is_for_workers(self, job: Job) -> bool:
        return job.agent not in self.inside and self._settings.goes_out(job.agent)

    def _require_running(self) -> None:
        if self._stopped.is_set():
            raise StoppedError("the conductor is stopping; the stage is taken up again next time")

    def _patiently(self, ask: Callable[[], _Value], tell: Tell) -> _Value:
        with self._lock:
            # a database that is away at the start is reported at once
            _ = self.store
        return patiently(ask, self._stopped.is_set, tell)

    @cached_property
    def _token(self) -> str:
        """What tells this home from every other one that uses the database."""
        file = self._home / ".orchestrate" / "workers-home"
        with contextlib.suppress(OSError):
            if len(known := file.read_text(encoding="ascii").strip()) == 32:
                return known
        file.parent.mkdir(parents=True, exist_ok=True)
        token = secrets.token_hex(16)
        file.write_text(f"{token}\n", encoding="ascii")
        return token

    def _name(self, job: Job) -> str:
        """The same for the same question: the next conductor finds the job by it."""
        place = f"{job.parent}/{job.ticket}/{job.stage}/{job.attempt}/{job.turn}"
        return f"{self._token}/{place}/{job.agent}{job.words if job.agent == PROVE else ''}"

    def _require_home(self) -> None:
        """Refuse where another home conducts the same board."""
        now = time.monotonic()
        with self._lock:
            if self._beaten and now - self._beaten < _HOME_BEAT:
                return
            place = place_of(self._home)
            here = f"{socket.gethostname()}:{self._home}"
            other = self.store.claim_home(place, self._token, here, self._settings.lease)
            self._beaten = now
        if other:
            raise UsageError(
                f"{other} conducts this board by the same database",
                code="two-conductors",
                hint="a board has one home: stop the conductor there, and wait for "
                f"{self._settings.lease:g} s",
            )

    def _wait(self, work: Work, tell: Tell) -> Report:
        with self.store.listener.subscribe(work.id) as called:
            return self._attend(work, tell, called)

    def _attend(self, work: Work, tell: Tell, called: threading.Event) -> Report:
        pause, reported, ask_at = _FIRST_LOOK, "", time.monotonic() + _REPORT_AFTER
        while True:
            row, lines = self._patiently(work.look, tell)
            work.take_lines(lines, tell)
            if row is None:
                raise StoppedError("the job was taken out of the database; it is given out again")
            if lines:
                continue
            if row.state == "done":
                return work.take(row)
            if row.state == "stopped":
                return work.refused(row)
            if self._stopped.is_set():
                with contextlib.suppress(OrchestrateError):
                    self.store.stop(work.id, "the conductor is stopping")
                self._require_running()
            self._patiently(self._require_home, tell)
            if self._attendant is not None and not work.is_proof:
                self._attendant.take_over(work)
                missing = self._missing(work) if row.state == "queued" else ""
                raise ElsewhereError(missing or f"{work.job.agent} works elsewhere")
            if row.state == "queued" and time.monotonic() > ask_at:
                missing, ask_at = self._missing(work), time.monotonic() + self._settings.lease
                if missing and work.is_proof:
                    self.store.stop(work.id, "it is proven at home")
                    raise OrchestrateError(missing)
                if missing and not reported:
                    tell(missing)
                reported = reported or missing
            if called.wait(pause):
                called.clear()
            else:
                pause = min(pause * 1.5, _LOOK)
                if pause == _LOOK:
                    self._patiently(self.store.reap, tell)

    def _missing(self, work: Work) -> str:
        label = self._settings.labels.get(work.job.agent, "")
        for worker in self._patiently(self.store.workers, lambda _: None):
            fits = work.job.agent in worker.agents and (not label or label in worker.labels)
            if fits and worker.age < max(self._settings.lease, 3 * GREET):
                return ""
        asked = f" --labels {label}" if label else ""
        waits = "" if work.is_proof else "; it waits"
        return (
            f"no worker is there for {work.job.agent}{waits}. "
            f"Start one: orchestrate worker --agents {work.job.agent}{asked}"
        )


def _is_apart(job: Job) -> bool:
    """Whether the work is done in a checkout: what is sent out goes by git."""
    return job.root != job.board_root and bool(job.home)


def place_of(home: Path) -> str:
    """What a board's homes in clones of one repository have in common."""
    found = find_git_folder(home)
    with contextlib.suppress(GitError):
        if found is not None:
            first = git(found[1], "rev-list", "--max-parents=0", "HEAD").splitlines()[-1]
            return digest(first, home.resolve().relative_to(found[0]).as_posix())
    return digest(str(home))
