"""Both engines for tests: agents in this process, and a worker in a thread of it with a database.

The worker is a real one, and so is its database; its agents are the test's own objects.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from orchestrator import Board, Conductor
from orchestrator.domain.agent import Agent
from orchestrator.settings.agents import AgentSettings, WorkersSettings
from orchestrator.settings.config import Settings
from orchestrator.settings.tables import GitSettings
from orchestrator.workers.serve import Slots, Worker
from orchestrator.workers.store import Store
from tests.repositories import Repository

VARIABLE = "ORCHESTRATE_WORKERS_URL"
LEASE = 1.5


def workers_settings(**more: Any) -> WorkersSettings:
    return WorkersSettings(**{"engine": "dbos", "lease": LEASE, "poll": 0.05, **more})


class Machine:
    """A worker with a folder of its own. Its agents are set by each test."""

    def __init__(
        self, folder: Path, agents: tuple[str, ...] = ("BUILDER", "TESTER"), **more: Any
    ) -> None:
        folder.mkdir(parents=True)
        self.inside: dict[str, Agent] = {}
        self.said: list[str] = []
        self.worker = Worker(
            folder,
            Settings(workers=workers_settings(**more)),
            agents,
            Slots(2),
            log=self.said.append,
            inside=self.inside,
            folder=folder / "work",
        )
        self._thread = threading.Thread(target=self.worker.run, daemon=True)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[Machine]:
        self._thread.start()
        wait_until(lambda: bool(self.said))
        try:
            yield self
        finally:
            self.worker.stop()
            self._thread.join(30)


def wait_until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


class Team(Repository):
    """A repository whose makers work by one of the engines."""

    def __init__(self, root: Path, machine: Machine | None, **settings: Any) -> None:
        super().__init__(root, **settings)
        # two that begin within a second would be one repository
        self.git("commit", "-q", "--amend", "-m", f"begin {root}")
        self.machine = machine
        self.agents: dict[str, Agent] = {}
        #: of [workers]
        self.more: dict[str, Any] = {}

    @property
    def conductor(self) -> Conductor:
        fake = AgentSettings().model_copy(update={"use": "fake"})
        settings = Settings(
            agents={"BUILDER": fake, "TESTER": fake},
            git=GitSettings(commit=True),
            workers=workers_settings(**self.more) if self.machine else WorkersSettings(),
            **self.settings,
        )
        if self.machine is None:
            return Conductor(Board(self.root), agents=self.agents, settings=settings)
        self.machine.inside.clear()
        self.machine.inside.update(self.agents)
        return Conductor(Board(self.root), settings=settings)

    @property
    def store(self) -> Store:
        assert self.machine is not None
        return self.machine.worker.store
