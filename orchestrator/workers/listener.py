"""Wakes who waits for a queue or a job as soon as the database says so (LISTEN and NOTIFY).

Who waits looks from time to time nevertheless: a pooler may not pass on what it is told.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

CHANNEL = "orchestrate_workers"
#: seconds in which a connection has to end, and between two tries to make one
_TICK, _AGAIN = 1.0, 2.0


class Listener:
    """A connection that listens, from the first time that somebody waits."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url, self._options = url, options
        self._waiting: dict[str, list[threading.Event]] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def subscribe(self, name: str) -> Iterator[threading.Event]:
        """An event that is set whenever a queue or a job of that name is notified ("": any)."""
        event = threading.Event()
        with self._lock:
            self._waiting.setdefault(name, []).append(event)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, daemon=True)
                self._thread.start()
        try:
            yield event
        finally:
            with self._lock:
                self._waiting[name].remove(event)
                if not self._waiting[name]:
                    del self._waiting[name]

    def wake(self, *names: str) -> None:
        """Wake who waits for these names; without one, everybody."""
        with self._lock:
            for name in (*names, "") if names else tuple(self._waiting):
                for event in self._waiting.get(name, ()):
                    event.set()

    def close(self) -> None:
        self._closed.set()
        if self._thread is not None:
            self._thread.join(2 * _TICK)

    def _listen(self) -> None:
        import psycopg

        while not self._closed.is_set():
            with (
                contextlib.suppress(psycopg.Error, OSError),
                psycopg.connect(self._url, autocommit=True, **self._options) as connection,
            ):
                connection.execute(f"LISTEN {CHANNEL}")
                # something may have happened meanwhile
                self.wake()
                while not self._closed.is_set():
                    for note in connection.notifies(timeout=_TICK):
                        self.wake(note.payload)
            self._closed.wait(_AGAIN)
