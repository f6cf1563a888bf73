"""What happens on the board, as it happens: one reader for all browsers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import OrchestrateError
from orchestrator.settings.board import FILE
from orchestrator.storage.locks import is_locked
from orchestrator.storage.watcher import FolderWatch
from orchestrator.tickets.board import Board
from orchestrator.views.cards import NO_STATE, BoardReader, BoardView, Card

#: seconds without an event after which a burst is over
_BURST = 0.02
#: seconds between two looks at who is at work, and at all files where no event comes
_LOOK_EVERY, _READ_EVERY = 0.5, 10.0
#: news that are kept for who comes back, and topics of one; who missed more reads everything
_KEPT, _TOPICS = 256, 200
EVERYTHING = frozenset({"*"})


@dataclass(frozen=True)
class News:
    """What has changed up to a revision.

    Topics: `ticket:ID`, `family:ID`, `question:ID`, `log:ID`; `state:NAME` where a ticket came or
    went, `in:NAME` where one changed; `questions`, `tickets`; `*` is everything.
    """

    revision: int
    topics: frozenset[str]


class LiveBoard:
    """The board's newest view, kept up by a thread; browsers wait for the next change."""

    def __init__(self, board: Board, keys: Collection[str] = ()) -> None:
        self.board = board
        self._logs = board.root / ".orchestrate" / "logs"
        self._reader = BoardReader(board, keys=keys)
        self._view = self._reader.read()
        #: counts what browsers have to hear of: views, and lines of logs. It begins with the time,
        #: so that it is higher than that of any earlier start
        self.revision = int(time.time())
        self._news: deque[News] = deque(maxlen=_KEPT)
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
        self.publish(frozenset())

    @property
    def view(self) -> BoardView:
        """The newest view."""
        return self._view

    def refresh(self, saved: Collection[Path] = ()) -> BoardView:
        """Read the board now, after something was done to it here, or to the files `saved`."""
        view = self._reader.read()
        before, self._view = self._view, view
        topics = frozenset(_differences(before, view)) if view is not before else frozenset()
        # a ticket is equal to what it was if only its text differs
        if topics := topics.union(*(_topics_of(c) for c in view.cards if c.ticket.path in saved)):
            self.publish(topics)
        return view

    async def changes(self, since: int = 0) -> AsyncIterator[News]:
        """What is new since a revision (0: at once, and everything), and then each time."""
        entry = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._waiting.add(entry)
        try:
            seen = since
            while not self._stopping.is_set():
                if self.revision != seen:
                    news = self._since(seen)
                    seen = news.revision
                    yield news
                entry[1].clear()
                if self.revision == seen and not self._stopping.is_set():
                    await entry[1].wait()
        finally:
            with self._lock:
                self._waiting.discard(entry)

    def _since(self, seen: int) -> News:
        with self._lock:
            newer = [news for news in self._news if news.revision > seen]
            if len(newer) != self.revision - seen:
                return News(self.revision, EVERYTHING)
            topics = frozenset[str]().union(*(news.topics for news in newer))
            return News(self.revision, topics if len(topics) <= _TOPICS else EVERYTHING)

    @property
    def listeners(self) -> int:
        """How many browsers wait for changes."""
        return len(self._waiting)

    def publish(self, topics: frozenset[str]) -> None:
        """Let all browsers know that something has changed."""
        with self._lock:
            self.revision += 1
            self._news.append(News(self.revision, topics))
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
                            self.refresh(paths)
                        if self.listeners and (grown := self._grown_logs()):
                            self.publish(grown)
            self._stopping.wait(_LOOK_EVERY)

    def _work_changed(self) -> bool:
        """Whether work on a family has begun or ended, which no ticket says."""
        state = self.board.root / ".orchestrate" / "state"
        return self.listeners > 0 and any(
            family.at_work != is_locked(state, family.id)
            for family in self._view.families.values()
            if family.flow is not None and not family.flow.state.ended
        )

    def _grown_logs(self) -> frozenset[str]:
        """The families at work whose agents have written something into their logs."""
        sizes: dict[Path, int] = {}
        for family in self._view.families.values():
            for file in (self._logs / family.id).glob("*.jsonl") if family.at_work else ():
                sizes[file] = file.stat().st_size
        grown = {file for file, size in sizes.items() if size != self._log_sizes.get(file)}
        self._log_sizes = sizes
        return frozenset(f"log:{file.parent.name}" for file in grown)


def _differences(before: BoardView, after: BoardView) -> Iterator[str]:
    """The topics in which two views differ."""
    old, new = ({card.ticket.source: card for card in view.cards} for view in (before, after))
    for source in old.keys() | new.keys():
        was, now = old.get(source), new.get(source)
        if was == now:
            continue
        cards = [card for card in (was, now) if card is not None]
        for card in cards:
            yield from _topics_of(card)
        if len(cards) == 1 or cards[0].ticket.role is not cards[1].ticket.role:
            yield from (f"state:{_state_of(card)}" for card in cards)
    for id in before.families.keys() | after.families.keys():
        if before.families.get(id) != after.families.get(id):
            yield f"family:{id}"
    asked, asks = ({q.family: q for q in view.questions} for view in (before, after))
    if list(asked) != list(asks):
        yield "questions"
    for id in asked.keys() | asks.keys():
        if asked.get(id) != asks.get(id):
            yield f"question:{id}"
    if before.unread != after.unread:
        yield "tickets"


def _topics_of(card: Card) -> frozenset[str]:
    """What a change to a ticket is reported under, wherever it is."""
    return frozenset({"tickets", f"ticket:{card.ticket.id}", f"in:{_state_of(card)}"})


def _state_of(card: Card) -> str:
    return card.ticket.role.value if card.ticket.role else NO_STATE
