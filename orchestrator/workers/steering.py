"""What of DBOS a worker steers: how much it takes, and when it looks at its queues.

DBOS's own limits are for each queue and the same for every worker, and it knows of a job only once
it has looked again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from orchestrator.workers.listener import Listener

#: seconds for which the settings of a queue are known
_KNOWN = 5.0


class Room(Protocol):
    """How many jobs there is room for."""

    lock: threading.Lock

    @property
    def free(self) -> int: ...

    def take(self, ids: list[str]) -> None: ...


class _Woken:
    """The event that ends a queue's thread, which meanwhile wakes up when its queue is called."""

    def __init__(self, stopped: threading.Event, called: threading.Event) -> None:
        self._stopped, self._called = stopped, called

    def is_set(self) -> bool:
        return self._stopped.is_set()

    def wait(self, timeout: float) -> bool:
        self._called.wait(timeout)
        self._called.clear()
        return self._stopped.is_set()


def wake_by(listener: Listener, queues: frozenset[str]) -> None:
    """Let DBOS look at these queues when they are called. Before it is launched."""
    from dbos import _queue

    watch: Callable[..., None] = _queue.queue_worker_thread

    def woken(stopped: Any, dbos: Any, queue: Any) -> None:
        if queue.name not in queues:
            watch(stopped, dbos, queue)
            return
        with listener.subscribe(queue.name) as called:
            watch(_Woken(stopped, called), dbos, queue)

    _queue.queue_worker_thread = woken  # type: ignore[assignment]


def take_by(room: Room, queues: frozenset[str]) -> None:
    """Let DBOS take as many jobs as there is room for, whichever queues they come from."""
    from dbos._dbos import _get_dbos_instance

    database: Any = _get_dbos_instance()._sys_db
    start, look_up = database.start_queued_workflows, database.get_queue
    known: dict[str, tuple[float, Any]] = {}

    def gated(queue: Any, *args: Any, **named: Any) -> Any:
        if queue.name not in queues:
            return start(queue, *args, **named)
        with room.lock:
            if (free := room.free) <= 0:
                return [], "worker_concurrency"
            # the fourth is how many of this queue run here
            running = int(args[3]) if len(args) > 3 else 0
            queue._worker_concurrency = running + free
            found = start(queue, *args, **named)
            room.take(found[0])
            return found

    def kept(name: str, **named: Any) -> Any:
        at, found = known.get(name, (0.0, None))
        if found is None or time.monotonic() - at > _KNOWN:
            found = look_up(name, **named)
            known[name] = time.monotonic(), found
        if found is not None:
            # what the last look set it to
            found._worker_concurrency = None
        return found

    database.start_queued_workflows, database.get_queue = gated, kept
