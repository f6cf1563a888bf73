"""Waits for the jobs of many families in one thread, while nobody holds them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from orchestrator.errors import OrchestrateError
from orchestrator.workers.store import Store
from orchestrator.workers.work import Work

#: seconds between two looks when nobody calls, and at least between two
_LOOK, _PAUSE = 1.0, 0.1


class Attendant:
    """Hands families back, by `again`, when what workers did for them can be taken."""

    def __init__(self, again: Callable[[str], None]) -> None:
        self._again = again
        self._works: dict[str, Work] = {}
        #: those whose families were handed back
        self._ended: dict[str, Work] = {}
        self._reaped = 0.0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def take_over(self, work: Work) -> None:
        """Wait for a job from now on."""
        with self._lock:
            self._works[work.id] = work
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, args=(work.store,), daemon=True)
                self._thread.start()

    def hand_back(self, id: str) -> Work | None:
        """The job, if it was waited for, with what is known of it."""
        with self._lock:
            return self._works.pop(id, None) or self._ended.pop(id, None)

    def close(self) -> None:
        """End what is waited for: its conductor is stopping."""
        self._closed.set()
        with self._lock:
            works = tuple(self._works.values())
            self._works.clear()
        for work in works:
            with contextlib.suppress(OrchestrateError):
                work.store.stop(work.id, "the conductor is stopping")

    def _run(self, store: Store) -> None:
        with store.listener.subscribe("") as called:
            while not self._closed.wait(_PAUSE):
                called.wait(_LOOK)
                called.clear()
                # a database that is away is looked for again
                with contextlib.suppress(OrchestrateError):
                    self._look(store)

    def _look(self, store: Store) -> None:
        with self._lock:
            works = dict(self._works)
            if not works:
                return
            seen = {id: work.seen for id, work in works.items()}
            at_work, lines = store.watch(seen)
            for line in lines:
                works[line.job].take_lines([line], works[line.job].notes.append)
            ended = {id: self._works.pop(id) for id in works if id not in at_work}
            self._ended |= ended
        for family in {work.job.parent for work in ended.values()}:
            self._again(family)
        if time.monotonic() - self._reaped > _LOOK:
            self._reaped = time.monotonic()
            store.reap()
