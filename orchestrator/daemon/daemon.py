"""The daemon: advances every conducted family that can go on, whenever something changes.

Watchdog tells what was saved or moved; a slow poll sees to mounts that send no events. What the
conductor itself wrote or has read already wakes nothing: contents are compared, not times.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from orchestrator.conductor.conductor import Conductor, RunOutcome
from orchestrator.config import FILE, Settings, load_settings
from orchestrator.daemon.watcher import Watch
from orchestrator.doctor import runner
from orchestrator.domain.record import State, from_mapping
from orchestrator.errors import BusyError, OrchestrateError, StoppedError, TicketError
from orchestrator.family import stale_writes
from orchestrator.family.session import Progress
from orchestrator.family.workflow_discovery import referenced
from orchestrator.storage import atomic
from orchestrator.tickets.board import Board
from orchestrator.tickets.id_grammar import id_from_name
from orchestrator.tickets.ticket import Ticket

#: events within so many seconds of each other are one (s)
_BURST = 0.002
#: a family that another process has in hand is tried again after so long (s)
_BUSY = 0.5
#: what is under way when the daemon is stopped has so long to come to a good end (s)
_GRACE = 0.6
_RESTING = (State.COMPLETE, State.ARCHIVED)
#: seconds between two looks at the whole board's health
_HEALTH = 600.0
#: findings that somebody has to look at soon
_GRAVE = {
    "lost", "twin", "duplicate-id", "conflict-file", "merge-conflict", "record-broken",
    "member-missing", "workflow-missing", "stale",
}  # fmt: skip


@dataclass(frozen=True)
class Told:
    """One line of the daemon's log. `family` is "" for what concerns the board."""

    family: str
    #: as in `Progress`, or "outcome", "error", "board"
    kind: str
    text: str
    progress: Progress | None = None
    outcome: RunOutcome | None = None


class Notifier(Protocol):
    """Who is told when USER is awaited, a ticket is held, or the board is unhealthy."""

    def tell(self, kind: str, title: str, body: str) -> None: ...


@dataclass
class _Work:
    """Families that are to be advanced, by when; each is in one pair of hands at a time."""

    due: dict[str, float] = field(default_factory=dict)
    #: the saves for which a family is due; none where there is another reason
    saves: dict[str, set[Path]] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)

    def add(self, family: str, at: float, save: Path | None) -> None:
        """A family is due, for a save or for another reason."""
        known = self.due.get(family)
        self.due[family] = at if known is None else min(at, known)
        if save is None:
            self.saves[family] = set()
        elif known is None:
            self.saves[family] = {save}
        elif self.saves[family]:
            self.saves[family].add(save)

    def take(self, now: float) -> tuple[str, set[Path]] | None:
        """The family that has waited longest and is in nobody's hands, and its saves."""
        ready = [(at, f) for f, at in self.due.items() if at <= now and f not in self.busy]
        if not ready:
            return None
        _, family = min(ready)
        del self.due[family]
        self.busy.add(family)
        return family, self.saves.pop(family)

    def next_at(self) -> float:
        """When the next family is due; infinity if none is."""
        return min((at for f, at in self.due.items() if f not in self.busy), default=float("inf"))


class Daemon:
    """Watches one board. `tell` gets every line of the log, from several threads."""

    def __init__(
        self,
        board: Board,
        *,
        settings: Settings | None = None,
        make: Callable[..., Conductor] = Conductor,
        tell: Callable[[Told], None] = lambda _: None,
        notifier: Notifier | None = None,
        poll: float = 30.0,
        workers: int = 2,
    ) -> None:
        self.board = board
        self.settings = settings or load_settings(board.root)
        self.make = make
        self.tell = tell
        self.notifier = notifier
        self.poll = poll
        self.workers = workers
        #: what the conductor last read or wrote at a path, as a hash of the bytes
        self._seen: dict[Path, int] = {}
        self._work = _Work()
        self._changed = threading.Condition()
        self._stopping = False
        #: those that are at work
        self._conductors: set[Conductor] = set()
        #: families that wait for other tickets, a free place or files, and what they said of it
        self._waiting: dict[str, RunOutcome] = {}
        #: what USER was told last, by family
        self._noticed: dict[str, str] = {}
        #: what was wrong with the board at the last look
        self._ill: set[str] = set()
        self._next_health = 0.0

    # -- from outside ------------------------------------------------------------------------

    def stop(self) -> None:
        """End `run`; safe to call from a signal handler."""
        self._stopping = True

    def once(self) -> list[RunOutcome]:
        """Advance every conducted family that can go on, until none can; the outcomes."""
        outcomes: dict[str, RunOutcome] = {}
        with self._alone():
            pending = self._conducted()
            while pending:
                before = dict(outcomes)
                for family in pending:
                    outcome = self._advance(family)
                    if outcome is not None:
                        outcomes[family] = outcome
                done = {f for f, o in outcomes.items() if o != before.get(f)}
                # what one family finished another may have waited for
                pending = [f for f in pending if f in self._waiting] if done else []
        return list(outcomes.values())

    def run(self) -> None:
        """Watch until `stop`. Raises BusyError if another daemon watches the board."""
        with self._alone(), Watch(self._places()) as watch:
            self.tell(Told("", "board", f"watches {self.board.path}"))
            hands = [threading.Thread(target=self._hand, daemon=True) for _ in range(self.workers)]
            for hand in hands:
                hand.start()
            self._later(self._conducted())
            try:
                self._listen(watch)
            finally:
                self._end(hands)

    def _alone(self) -> AbstractContextManager[object]:
        state = self.board.root / ".orchestrate" / "state"
        return atomic.family_lock(state, "the board's daemon")

    def _places(self) -> list[Path]:
        folders = [self.board.root / name for name in self.settings.workflows]
        return [self.board.path, *folders, self.board.root / FILE]

    def _listen(self, watch: Watch) -> None:
        next_poll = time.monotonic() + self.poll
        while not self._stopping:
            paths = watch.changed(min(0.2, max(0.0, next_poll - time.monotonic())), _BURST)
            try:
                if paths:
                    self._take_changes(paths)
                if time.monotonic() >= next_poll:
                    self._take_changes(self._polled())
                    self._later(self._waiting)
                    self._look_after()
                    next_poll = time.monotonic() + self.poll
            except (OrchestrateError, OSError) as exc:
                self.tell(Told("", "error", _said(exc)))

    def _end(self, hands: list[threading.Thread]) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        deadline = time.monotonic() + _GRACE
        for hand in hands:
            hand.join(max(0.0, deadline - time.monotonic()))
        # an agent that went on alone would keep its family locked
        for conductor in tuple(self._conductors):
            conductor.stop()
        self.tell(Told("", "board", "stopped"))

    # -- what changed ------------------------------------------------------------------------

    def _polled(self) -> list[Path]:
        """Every ticket that is not as it was seen last; a thorough look at the board."""
        return [t.path for t in self.board.tickets() if t.conducted or t.path in self._seen]

    def _look_after(self) -> None:
        """Tell what has become wrong with the board since the last look, once."""
        if time.monotonic() < self._next_health:
            return
        self._next_health = time.monotonic() + _HEALTH
        found = runner.examine(self.board, self.settings).problems
        ill = {f"{f.path}: {f.message}".lstrip(": ") for f in found if f.code in _GRAVE}
        for text in sorted(ill - self._ill):
            self.tell(Told("", "error", text))
        if ill - self._ill and self.notifier is not None:
            body = "\n".join(sorted(ill - self._ill))
            self.notifier.tell("board", "the board needs a look (orchestrate doctor)", body)
        self._ill = ill

    def _reread_settings(self) -> None:
        """Take a changed configuration; one that cannot be read leaves the last good one."""
        try:
            self.settings = load_settings(self.board.root)
        except OrchestrateError as exc:
            self.tell(
                Told("", "error", f"{exc.in_a_line}; the settings as they were stay in force")
            )
            return
        self.tell(Told("", "board", f"{FILE} is read again"))
        self._later(self._conducted())

    def _take_changes(self, paths: Iterable[Path]) -> None:
        families: set[str] = set()
        moved = False
        for path in paths:
            if path == self.board.root / FILE:
                self._reread_settings()
            if path.suffix.lower() != ".md":
                continue
            if not path.is_relative_to(self.board.path):
                families |= self._of_workflow(path)
            elif self._is_news(path):
                family = self._family_of(path)
                if family:
                    self._later([family], save=path)
                moved = True
        if moved:
            families |= self._waiting.keys()
        self._later(families)

    def _is_news(self, path: Path) -> bool:
        """Whether the file holds something else than the conductor knows."""
        try:
            return hash(atomic.read_saved(path)) != self._seen.get(path)
        except FileNotFoundError:
            return path in self._seen
        except (OSError, OrchestrateError):
            return True

    def _family_of(self, path: Path) -> str:
        """The conducted family of the ticket at a path, "" if there is none."""
        try:
            ticket = Ticket.read(path, self.board.folders, self.board.root)
        except FileNotFoundError:
            return self._head(id_from_name(path.name))
        return self._head(ticket.id) if not ticket.note else ""

    def _head(self, id: str) -> str:
        try:
            head = self.board.family(id)[0]
        except TicketError as exc:
            found = stale_writes.head_of(self.board, id) if exc.code == "duplicate-id" else None
            if found is None and exc.code == "duplicate-id" and self._is_of_a_family(id):
                self.tell(Told(id, "error", exc.in_a_line))
            return found or ""
        return head.id if head.conducted else ""

    def _is_of_a_family(self, id: str) -> bool:
        """Whether one of the files with an id is of a conducted family."""
        held = self.board.holders(id)
        above = (parent for ticket in held for parent in self.board.holders(ticket.parent))
        return any(ticket.conducted for ticket in (*held, *above))

    def _of_workflow(self, path: Path) -> set[str]:
        """The families that follow a workflow file."""
        return {f for f in self._conducted() if self._workflow_of(f) == path.resolve()}

    def _workflow_of(self, family: str) -> Path | None:
        try:
            ticket = self.board.find(family)
            flow = from_mapping(ticket.flow or {}, path=ticket.source)
        except OrchestrateError:
            return None
        return referenced(self.board.root, flow.workflow).resolve()

    def _conducted(self) -> list[str]:
        """The conducted families that are not finished."""
        found = []
        for ticket in self.board.tickets():
            if not ticket.conducted:
                continue
            try:
                state = from_mapping(ticket.flow or {}, path=ticket.source).state
            except (OrchestrateError, OSError) as exc:
                self.tell(Told(ticket.id, "error", _said(exc)))
                continue
            if state not in _RESTING or self._status_is_wish(ticket):
                found.append(ticket.id)
        strayed = {self._head(id) for id in self.board.duplicate_ids()} - {""}
        return list(dict.fromkeys([*found, *sorted(strayed)]))

    def _status_is_wish(self, ticket: Ticket) -> bool:
        return self.board.folders.role_of_status(ticket.status) is not ticket.role

    # -- work --------------------------------------------------------------------------------

    def _later(self, families: Iterable[str], after: float = 0.0, save: Path | None = None) -> None:
        with self._changed:
            for family in families:
                self._work.add(family, time.monotonic() + after, save)
            self._changed.notify()

    def _hand(self) -> None:
        """One worker: takes the next family and advances it."""
        while True:
            with self._changed:
                taken = self._work.take(time.monotonic())
                while taken is None and not self._stopping:
                    wait = self._work.next_at() - time.monotonic()
                    self._changed.wait(min(max(wait, 0.0), 1.0))
                    taken = self._work.take(time.monotonic())
                if taken is None or self._stopping:
                    return
            family, saves = taken
            try:
                # a save may have been read by a run that began before it was told
                if not saves or any(map(self._is_news, saves)):
                    self._advance(family)
            finally:
                with self._changed:
                    self._work.busy.discard(family)
                    self._changed.notify_all()

    def _advance(self, family: str) -> RunOutcome | None:
        """Run one family; what goes wrong is told, and costs only this family."""
        moves: list[str] = []

        def listen(event: Progress) -> None:
            if event.kind == "move":
                moves.append(event.text)
            self.tell(Told(family, event.kind, event.text, progress=event))

        conductor = self.make(self.board, settings=self.settings, on_event=listen)
        conductor.opener.seen = self._seen
        self._conductors.add(conductor)
        try:
            outcome = conductor.run(family, create=False)
        except BusyError:
            self._later([family], _BUSY)
            return None
        except StoppedError as exc:
            self.tell(Told(family, "board", exc.in_a_line))
            return None
        except (OrchestrateError, OSError) as exc:
            self._tell_error(family, exc)
            return None
        except Exception as exc:  # noqa: BLE001 - one family must not end the daemon
            self._tell_error(family, exc)
            return None
        finally:
            self._conductors.discard(conductor)
        self._after(family, outcome)
        if moves:
            self._later(self._waiting.keys() - {family})
        return outcome

    def _tell_error(self, family: str, exc: Exception) -> None:
        text = _said(exc)
        self.tell(Told(family, "error", text))
        self._notify("board", family, text)

    def _after(self, family: str, outcome: RunOutcome) -> None:
        waits = any(reason.startswith("waits for ") for reason in outcome.reasons)
        known = self._waiting.pop(family, None)
        if waits:
            self._waiting[family] = outcome
        if not waits or outcome != known:
            self.tell(Told(family, "outcome", outcome.outcome, outcome=outcome))
        if outcome.outcome == "held":
            self._notify("held", family, "; ".join(outcome.reasons))
        elif outcome.outcome == "waiting" and not waits:
            self._notify("question", family, "; ".join(outcome.reasons))

    def _notify(self, kind: str, family: str, text: str) -> None:
        """Tell people once about each state."""
        if self.notifier is None or self._noticed.get(family) == f"{kind} {text}":
            return
        self._noticed[family] = f"{kind} {text}"
        titles = {"question": "waits for you", "held": "is on hold", "board": "needs a look"}
        self.notifier.tell(kind, f"{family} {titles[kind]}", text)


def _said(exc: Exception) -> str:
    """What went wrong, in a line."""
    if isinstance(exc, OrchestrateError):
        return exc.in_a_line
    return f"{type(exc).__name__}: {exc}"
