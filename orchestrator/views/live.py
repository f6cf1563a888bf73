"""What happens on the board, as it happens: one reader for all browsers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

from orchestrator.errors import OrchestrateError
from orchestrator.settings.config import FILE
from orchestrator.storage.locks import is_locked
from orchestrator.storage.watcher import FolderWatch
from orchestrator.tickets.board import Board
from orchestrator.views.cards import BoardReader, BoardView

#: seconds without an event after which a burst is over
_BURST = 0.02
#: seconds between two looks at who is at work, and at all files where no event comes
_LOOK_EVERY, _READ_EVERY = 0.5, 10.0


class LiveBoard:
    """The board's newest view, kept up by a thread; browsers wait for the next change."""

    def __init__(self, board: Board, logs: Path) -> None:
        self.board = board
        self._logs = logs
        self._reader = BoardReader(board)
        self._view = self._reader.read()
        #: counts what browsers have to hear of: views, and lines of logs
        self.revision = 1
        self._log_sizes: dict[Path, int] = {}
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="live", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and all event streams."""
        self._stopping.set()
        self._wake()

    @property
    def view(self) -> BoardView:
        """The newest view."""
        return self._view

    def refresh(self) -> BoardView:
        """Read the board now, after something was done to it here."""
        view = self._reader.read()
        if view is not self._view:
            self._view = view
            self._wake()
        return view

    async def changes(self) -> AsyncIterator[int]:
        """The revision, each time that there is a new one; one that is missed is left out."""
        entry = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._waiting.add(entry)
        try:
            told = 0
            while not self._stopping.is_set():
                if self.revision != told:
                    told = self.revision
                    yield told
                entry[1].clear()
                if self.revision == told and not self._stopping.is_set():
                    await entry[1].wait()
        finally:
            with self._lock:
                self._waiting.discard(entry)

    @property
    def listeners(self) -> int:
        """How many browsers wait for changes."""
        return len(self._waiting)

    def _wake(self) -> None:
        with self._lock:
            self.revision += 1
            for loop, event in self._waiting:
                # a loop that has ended waits for nothing
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(event.set)

    # -- in the thread -----------------------------------------------------------------------

    def _watch(self) -> None:
        places = [self.board.path, self.board.root / FILE]
        while not self._stopping.is_set():
            with contextlib.suppress(OSError), FolderWatch(places) as watch:
                # what came before it was watched (again) sent no event
                read_at = 0.0
                while not self._stopping.is_set() and self.board.path.is_dir():
                    paths = watch.changed(_LOOK_EVERY, _BURST)
                    due = time.monotonic() - read_at > _READ_EVERY
                    # a board that is between two states is read at the next event
                    with contextlib.suppress(OrchestrateError, OSError):
                        if paths or due or self._work_changed():
                            read_at = time.monotonic()
                            self.refresh()
                        if self.listeners and self._logs_grew():
                            self._wake()
            self._stopping.wait(_LOOK_EVERY)

    def _work_changed(self) -> bool:
        """Whether work on a family has begun or ended, which no ticket says."""
        state = self.board.root / ".orchestrate" / "state"
        return self.listeners > 0 and any(
            family.at_work != is_locked(state, family.id)
            for family in self._view.families.values()
            if family.flow is not None and not family.flow.state.ended
        )

    def _logs_grew(self) -> bool:
        """Whether an agent at work has written something into its log."""
        sizes: dict[Path, int] = {}
        for family in self._view.families.values():
            for file in (self._logs / family.id).glob("*.jsonl") if family.at_work else ():
                sizes[file] = file.stat().st_size
        grew = any(size != self._log_sizes.get(file) for file, size in sizes.items())
        self._log_sizes = sizes
        return grew
