"""A worker: takes jobs from the queues of its agents and lets them work, as the conductor would."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator import plugins
from orchestrator.agent_process.dispatcher import Dispatcher
from orchestrator.agent_process.worker import agent_names
from orchestrator.domain.agent import Agent
from orchestrator.errors import OrchestrateError, StoppedError, UsageError
from orchestrator.errors.masking import mask
from orchestrator.gates.proof_cache import user_cache
from orchestrator.settings.agents import PROVE, queue_name
from orchestrator.settings.config import Settings
from orchestrator.telemetry import continued, flush
from orchestrator.workers.delivery import Bench, Delivery
from orchestrator.workers.parcel import Parcel, digest
from orchestrator.workers.steering import take_by, wake_by
from orchestrator.workers.store import (
    APPLICATION,
    GREET,
    QUEUE_VERSION,
    QUEUES,
    WORKFLOW,
    AwayError,
    Store,
    WorkerRow,
    database_url,
    patiently,
)

#: seconds in which a job that was taken has to begin
_BEGIN = 30.0
#: seconds that a worker rests which cannot do a job, so that others take it
_REST = 5.0
#: seconds between two looks for what may be deleted
_PRUNE = 3600.0
#: days that a family's folder is kept for its next turn
_KEPT = 3


def known_agents(settings: Settings, names: Sequence[str]) -> tuple[str, ...]:
    """The agents of a list. Raises UsageError for one that this workspace does not know."""
    own = {n for n, a in settings.agents.items() if a.command or a.adapter}
    known = {*agent_names(), *own, PROVE}
    for name in names:
        if name not in known:
            raise UsageError(
                f"there is no agent {name} here",
                code="no-such-agent",
                hint=f"known: {', '.join(sorted(known))}; or name it under [agents.{name}] in "
                "the worker's orchestrate.toml",
            )
    return tuple(dict.fromkeys(names))


class Slots:
    """How many jobs a worker has room for, over all of its queues."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lock = threading.Lock()
        #: closed: no further job is taken
        self.closed = False
        self._rests_until = 0.0
        self._taken: dict[str, float] = {}
        self._begun = set[str]()

    @property
    def free(self) -> int:
        now = time.monotonic()
        for id, at in tuple(self._taken.items()):
            # one that DBOS could not begin
            if id not in self._begun and now - at > _BEGIN:
                self._taken.pop(id, None)
        if self.closed or now < self._rests_until:
            return 0
        return self.number - len(self._taken)

    def take(self, ids: Sequence[str]) -> None:
        self._taken.update(dict.fromkeys(ids, time.monotonic()))

    @contextlib.contextmanager
    def busy(self, id: str) -> Iterator[None]:
        self._taken.setdefault(id, time.monotonic())
        self._begun.add(id)
        try:
            yield
        finally:
            self._begun.discard(id)
            self._taken.pop(id, None)

    def rest(self) -> None:
        self._rests_until = time.monotonic() + _REST


@dataclass
class Worker:
    """One worker process. `inside` are agents that work in this process, by name."""

    root: Path
    settings: Settings
    agents: tuple[str, ...]
    slots: Slots
    labels: tuple[str, ...] = ()
    log: Callable[[str], object] = lambda _: None
    inside: Mapping[str, Agent] = field(default_factory=dict)
    folder: Path | None = None

    def __post_init__(self) -> None:
        self.machine = socket.gethostname()
        self.id = f"{self.machine}/{os.getpid()}-{secrets.token_hex(3)}"
        place = digest(str(self.root.resolve()))
        self.folder = self.folder or user_cache() / "worker" / place
        self._ending = threading.Event()
        self._running: dict[str, Dispatcher] = {}
        self._queues = frozenset[str]()
        self._prunes_at = time.monotonic()
        self.store = Store(database_url(self.settings.workers), self.settings.workers)
        self._bench = Bench(
            self.id, self.root, self.settings, self.store, self.folder, self.inside, self.log
        )

    # -- its life ----------------------------------------------------------------------------

    def run(self) -> None:
        """Take jobs until `stop`. Raises AwayError if the database is away at the start."""
        assert self.folder is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        dbos = self._launch()
        self._sweep()
        self.log(f"{self.id} takes jobs of {', '.join(self.agents)}, {self.slots.number} at a time")
        try:
            while not self._ending.wait(GREET):
                self._live()
        finally:
            for dispatcher in tuple(self._running.values()):
                dispatcher.stop()
            with contextlib.suppress(OrchestrateError):
                self.store.leave(self.id)
            deadline = time.monotonic() + GREET
            while self._running and time.monotonic() < deadline:
                time.sleep(0.05)
            dbos.destroy(workflow_completion_timeout_sec=0)
            if trouble := flush(self.settings.telemetry.otlp):
                self.log(trouble)
            self.store.close()

    def drain(self) -> None:
        """Take no further job, and end when the present ones are done."""
        self.slots.closed = True

    def stop(self) -> None:
        """End at once; what it had is given out again."""
        self.slots.closed = True
        self._ending.set()

    def _live(self) -> None:
        if self.slots.closed and not self._running:
            self._ending.set()
            return
        try:
            self.store.greet(self._row())
            self.store.reap()
            if time.monotonic() >= self._prunes_at:
                self._prunes_at = time.monotonic() + _PRUNE
                self.store.prune()
        except AwayError as exc:
            self.log(f"{exc.message}; trying again")

    def _row(self) -> WorkerRow:
        note = "draining" if self.slots.closed else ""
        return WorkerRow(
            id=self.id, machine=self.machine, agents=self.agents, labels=self.labels,
            slots=self.slots.number, program=version("orchestrate-tickets"), note=note, age=0,
        )  # fmt: skip

    def _launch(self) -> Any:
        dbos = plugins.require_extra("dbos", "workers", "a worker").DBOS
        logging.getLogger("dbos").setLevel(logging.ERROR)
        dbos(
            config={
                "name": APPLICATION,
                "system_database_engine": self.store.engine,
                "system_database_url": self.store.engine.url.render_as_string(hide_password=False),
                "dbos_system_schema": QUEUES,
                "application_version": QUEUE_VERSION,
                # nobody takes up what another process had: that is what leases are for
                "executor_id": self.id,
                "use_listen_notify": False,
                "run_migrations": False,
                "log_level": "ERROR",
                "console_log_level": "ERROR",
            }
        )

        # DBOS takes functions, not methods
        def take(id: str, delivery: int) -> str:
            return self._workflow(id, delivery)

        dbos.workflow(name=WORKFLOW)(take)
        queues = [queue_name(a, label) for a in self.agents for label in ("", *self.labels)]
        for queue in queues:
            self.store.register(queue)
        dbos.listen_queues(queues)
        self._queues = frozenset(queues)
        wake_by(self.store.listener, self._queues)
        with self.store.explaining():
            dbos.launch()
        take_by(self.slots, self._queues)
        self.store.greet(self._row())
        return dbos

    # -- jobs --------------------------------------------------------------------------------

    def _workflow(self, id: str, delivery: int) -> str:
        try:
            with self.slots.busy(f"{id}/{delivery}"):
                return self._do(str(id), int(delivery))
        except Exception as exc:  # noqa: BLE001 - DBOS would keep it as the job's outcome
            self.log(f"error {mask(f'{type(exc).__name__}: {exc}')}")
            return "error"
        finally:
            # there is room again
            self.store.listener.wake(*self._queues)

    def _do(self, id: str, delivery: int) -> str:
        # a worker that is ending leaves it to the next one
        if self._ending.is_set():
            return "ending"
        text = patiently(
            lambda: self.store.claim(id, delivery, self.id), self._ending.is_set, self.log
        )
        if text is None:
            return "late"
        try:
            parcel = Parcel.model_validate_json(text)
            work = Delivery(self._bench, id, delivery, parcel)
        except (ValidationError, OrchestrateError) as exc:
            why = exc.errors()[0]["msg"] if isinstance(exc, ValidationError) else exc.message
            return self._give_back(id, delivery, f"the job cannot be read: {why}")
        self.log(f"takes {parcel.job.agent} {parcel.job.ticket} (delivery {delivery})")
        self._running[f"{id}/{delivery}"] = work.dispatcher
        about = {"agent": parcel.job.agent, "ticket": parcel.job.ticket, "delivery": delivery}
        address = self.settings.telemetry.otlp
        try:
            with continued(address, parcel.trace, "job", machine=self.id, **about) as span:
                span["outcome"] = self._attend(work)
            return str(span["outcome"])
        finally:
            self._running.pop(f"{id}/{delivery}", None)

    def _attend(self, work: Delivery) -> str:
        job = work.parcel.job
        try:
            with work.beating():
                result, bundle = work.do()
        except StoppedError:
            if work.lost:
                self.log(f"lost {job.agent} {job.ticket}: it was given to another")
                return "lost"
            if work.stopped:
                self._finish(work, "", None, "stopped")
                self.log(f"stopped {job.agent} {job.ticket}: {mask(work.stopped)}")
                return "stopped"
            return self._give_back(work.id, work.delivery, "the worker is ending", rest=False)
        except (OSError, OrchestrateError, ValidationError) as exc:
            said = exc.message if isinstance(exc, OrchestrateError) else str(exc)
            return self._give_back(work.id, work.delivery, mask(" ".join(said.split())))
        taken = self._finish(work, result.model_dump_json(), bundle, "done")
        said = result.report.outcome.value if taken else "came late, and was dropped"
        self.log(f"{job.agent} {job.ticket}: {said}")
        return "done" if taken else "late"

    def _finish(self, work: Delivery, result: str, bundle: bytes | None, state: str) -> bool:
        # what an agent made in an hour is not thrown away because the database is away
        return patiently(
            lambda: self.store.finish(work.id, work.delivery, self.id, result, bundle, state),
            self._ending.is_set,
            self.log,
        )

    def _give_back(self, id: str, delivery: int, why: str, rest: bool = True) -> str:
        self.log(f"gives back {id.partition('/')[2]}: {why}")
        if rest:
            self.slots.rest()
        with contextlib.suppress(AwayError):
            self.store.hand_back(id, delivery, self.id, why)
        return "given back"

    def _sweep(self) -> None:
        """Remove the folders of families that have not been here for days."""
        assert self.folder is not None
        for folder in (self.folder / "jobs").glob("*"):
            if time.time() - folder.stat().st_mtime > _KEPT * 86_400:
                shutil.rmtree(folder, ignore_errors=True)
