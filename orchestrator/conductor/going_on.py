"""Families that go on in threads of the process in which USER has answered: a live board's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.conductor.conductor import Conductor
from orchestrator.errors import BusyError, OrchestrateError, StoppedError

#: tries to go on with a family that something else has in hand, and seconds between two
_TRIES, _RETRY = 20, 0.5


@dataclass
class GoingOn:
    """Advances families, each in a thread of its own."""

    #: makes one for each family
    conductor: Callable[[], Conductor]
    #: told of a family that has come to a rest
    ended: Callable[[str], None]
    #: family → why it did not go on, when it was last tried from here
    failures: dict[str, str] = field(default_factory=dict)
    _running: dict[str, Conductor] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, family: str) -> None:
        """Advance a family as `orchestrate run` does, unless that is done here already."""
        with self._lock:
            if family in self._running:
                return
            conductor = self._running[family] = self.conductor()
            self.failures.pop(family, None)
        name = f"run {family}"
        threading.Thread(target=self._run, args=(family, conductor), name=name, daemon=True).start()

    def _run(self, family: str, conductor: Conductor) -> None:
        try:
            for last in range(_TRIES, 0, -1):
                try:
                    conductor.run(family, create=False)
                    break
                except BusyError:
                    if last == 1:
                        raise
                    time.sleep(_RETRY)
        except StoppedError:
            pass
        except OrchestrateError as exc:
            self.failures[family] = exc.in_a_line
        finally:
            with self._lock:
                self._running.pop(family, None)
            self.ended(family)

    @property
    def families(self) -> tuple[str, ...]:
        """The families that are being advanced."""
        with self._lock:
            return tuple(self._running)

    def stop(self) -> None:
        """End the agents at work; the next run continues from there."""
        with self._lock:
            conductors = tuple(self._running.values())
        for conductor in conductors:
            conductor.stop()
