"""The daemon: advances every conducted family that can continue, whenever something changes.

Watchdog reports what was saved or moved; a slow poll covers file systems that send no events. What
the conductor wrote or has read already wakes nothing: contents are compared, not times.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from orchestrator.conductor.conductor import Conductor, RunOutcome, RunState
from orchestrator.daemon.notified import AlreadyNotified, describe_for_people
from orchestrator.daemon.presence import DAEMON, Presence, absence, identities
from orchestrator.daemon.stamps import differing, stamps_below
from orchestrator.daemon.work_queue import WorkQueue
from orchestrator.doctor import runner
from orchestrator.domain.id_grammar import id_from_name, without_child_suffix
from orchestrator.domain.record import from_mapping
from orchestrator.domain.states import FolderRole
from orchestrator.errors import (
    BusyError,
    GitAtWorkError,
    OrchestrateError,
    StoppedError,
    TicketError,
)
from orchestrator.family import stale_writes
from orchestrator.family.session import Progress, ProgressKind
from orchestrator.family.workflow_discovery import referenced
from orchestrator.settings.board import FILE
from orchestrator.settings.config import Settings, load_settings
from orchestrator.storage import atomic
from orchestrator.storage.locks import family_lock
from orchestrator.storage.watcher import FolderWatch
from orchestrator.tickets.board import Board
from orchestrator.tickets.index import Stamp

if TYPE_CHECKING:
    from orchestrator.workers.attending import Attendant

#: events within so many seconds of each other are one (s)
_BURST = 0.001
#: without an event, what git does is looked at, and whether to stop, after so long (s)
_IDLE = 0.4
#: so long after what changed the board its folders are looked at, before somebody waits for it (s)
_LOOK_BEHIND = 0.05
#: a family that another process has in hand is tried again after so long (s)
_BUSY_RETRY = 0.5
#: what an editor's late save brings about, and for how long it may (s)
_PASSING = ("duplicate-id", "occupied")
_PASSES_WITHIN = 16.0
#: a family that git has taken away is looked for again after so long (s)
_LOOK_AGAIN = 1.0
#: when the daemon is stopped, running work has so long to end well (s)
_GRACE = 0.6
#: between two examinations of the whole board (s)
_EXAMINE_EVERY = 600.0
#: findings of the doctor that somebody has to look at soon
_SERIOUS = {
    "lost", "twin", "duplicate-id", "conflict-file", "merge-conflict", "bad-history",
    "record-broken", "member-missing", "workflow-missing", "stale",
}  # fmt: skip


@dataclass(frozen=True)
class LogLine:
    """One line of the daemon's log. `family` is "" for what concerns the board."""

    family: str
    #: as in `Progress`, or "outcome", "error", "board"
    kind: str
    text: str
    progress: Progress | None = None
    outcome: RunOutcome | None = None


class NotificationSink(Protocol):
    """Who is notified when USER is needed, a ticket is held, or the board is unhealthy."""

    def notify(self, kind: str, title: str, body: str) -> None: ...


class Daemon:
    """Watches one board. `log` gets every line, from several threads."""

    def __init__(
        self,
        board: Board,
        *,
        settings: Settings | None = None,
        make: Callable[..., Conductor] = Conductor,
        log: Callable[[LogLine], None] = lambda _: None,
        notifier: NotificationSink | None = None,
        poll: float = 60.0,
        workers: int = 2,
    ) -> None:
        self.board = board
        self.settings = settings or load_settings(board.root)
        self.make = make
        self.log = log
        self.notifier = notifier
        self.poll = poll
        self.workers = workers
        #: path → hash of the bytes that a conductor last read or wrote there
        self._seen: dict[Path, int] = {}
        self._queue = WorkQueue()
        self._changed = threading.Condition()
        self._stopping = False
        self._is_once = False
        #: those that are running
        self._conductors: set[Conductor] = set()
        #: waits for the workers of families that nobody holds meanwhile
        self._attendant: Attendant | None = None
        #: why nothing may be done on the board now, "" if it may
        self._paused = ""
        self._had_settings = (board.root / FILE).exists()
        #: families that are complete, with what was told about it
        self._ended: dict[str, RunOutcome] = {}
        #: what may pass by itself → since when it is so
        self._passing: dict[str, float] = {}
        #: families that git has taken away, or is at work on, with what was told about it
        self._away: dict[str, str] = {}
        #: families that wait for other families' work, with their last outcome
        self._waiting: dict[str, RunOutcome] = {}
        #: family → the last notification about it
        self._notified = AlreadyNotified(board.root)
        #: why changes are found by looking, "" where events come
        self._looks = ""
        #: what was wrong with the board when it was last examined
        self._problems: set[str] = set()
        self._examine_at = 0.0
        #: the files of the board when all were looked at
        self._stamps: dict[str, Stamp | None] = {}

    # -- from outside ------------------------------------------------------------------------

    def stop(self) -> None:
        """End `run`; safe to call from a signal handler."""
        self._stopping = True

    def once(self) -> list[RunOutcome]:
        """Advance every conducted family that can continue, until none can; the outcomes."""
        outcomes: dict[str, RunOutcome] = {}
        self._is_once = True
        with self._lock_board():
            pending = self._unfinished_families()
            while pending:
                before = dict(outcomes)
                for family in pending:
                    outcome = self._advance(family)
                    if outcome is not None:
                        outcomes[family] = outcome
                # another family may have waited for what one has finished
                progressed = any(o != before.get(f) for f, o in outcomes.items())
                pending = [f for f in pending if f in self._waiting] if progressed else []
        return list(outcomes.values())

    def run(self) -> None:
        """Watch until `stop`. Raises BusyError if another daemon watches the board."""
        with self._lock_board():
            if self.settings.workers.engine != "local":
                from orchestrator.workers.attending import Attendant

                self._attendant = Attendant(lambda family: self._schedule([family]))
            self.log(LogLine("", "board", f"watching {self.board.path}"))
            self._stamps = stamps_below(self.board.path)
            # as long as there is one thread, several processes read a large board
            self._schedule(self._unfinished_families())
            self.board.forget()
            workers = [
                threading.Thread(target=self._work, daemon=True) for _ in range(self.workers)
            ]
            for worker in workers:
                worker.start()
            try:
                while not self._stopping:
                    self._watch()
            finally:
                self._shut_down(workers)

    def _lock_board(self) -> AbstractContextManager[object]:
        state = self.board.root / ".orchestrate" / "state"
        return family_lock(state, DAEMON)

    def _watch(self) -> None:
        """Watch the folders that are there now, until they are others or the board is away."""
        folders = [self.board.root / name for name in self.settings.workflows]
        places = [self.board.path, *folders, self.board.root / FILE]
        known, presence = identities(places), Presence(self.board.root, self.board.path)
        with FolderWatch(places) as watch:
            if watch.looks not in ("", self._looks):
                self._looks = watch.looks
                self.log(LogLine("", "board", f"looking at all files each second: {watch.looks}"))
            paths: set[Path] = set()
            next_poll = time.monotonic() + self.poll
            next_look, unseen = 0.0, True
            while not self._stopping:
                wait = min(
                    _LOOK_BEHIND if unseen else _IDLE, max(0.0, next_poll - time.monotonic())
                )
                paths |= watch.changed(wait, _BURST)
                reason = presence.look()
                if reason is None:
                    # a checkout comes with hundreds of files; what they say is seen when it is over
                    time.sleep(_BURST)
                    continue
                self._paused = reason
                if self._paused or identities(places) != known:
                    break
                now = time.monotonic()
                try:
                    if paths:
                        self._take_changes(paths)
                        paths, unseen = set(), True
                    elif unseen:
                        self.board.look()
                        unseen = False
                    if now >= next_look:
                        self._schedule(self._away)
                        next_look = now + _LOOK_AGAIN
                    if now >= next_poll:
                        self._take_all()
                        self._schedule(self._waiting)
                        self._examine_board()
                        next_poll = time.monotonic() + self.poll
                except (OrchestrateError, OSError) as exc:
                    if not absence(self.board.root, self.board.path):
                        self.log(LogLine("", "error", _describe(exc)))
        self._outlast_absence()

    def _outlast_absence(self) -> None:
        """Wait until the board is there and at rest, then look at all of it."""
        reported, presence = "", Presence(self.board.root, self.board.path)
        while not self._stopping:
            if self._paused and self._paused != reported:
                reported = self._paused
                self.log(LogLine("", "board", f"waiting: {reported}"))
            reason = presence.look()
            if reason == "":
                break
            time.sleep(_BURST if reason is None else _BUSY_RETRY)
            self._paused = reason or self._paused
        self._paused = ""
        if self._stopping:
            return
        if reported:
            self.log(LogLine("", "board", "the board is back; going on"))
        self._reload_settings()
        try:
            self._take_all()
            self._schedule(self._unfinished_families())
        except (OrchestrateError, OSError) as exc:
            self.log(LogLine("", "error", _describe(exc)))

    def _take_all(self) -> None:
        """Take what has changed in any ticket, whether or not the file system told."""
        before, now = self._stamps, stamps_below(self.board.path)
        self._take_changes(differing(before, now))
        self._stamps = now

    def _shut_down(self, workers: list[threading.Thread]) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        deadline = time.monotonic() + _GRACE
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        if self._attendant is not None:
            self._attendant.close()
        # an agent that outlived the daemon would keep its family locked
        for conductor in tuple(self._conductors):
            conductor.stop()
        self.log(LogLine("", "board", "stopped"))

    # -- what changed ------------------------------------------------------------------------

    def _examine_board(self) -> None:
        """Report once what has gone wrong with the board since it was last examined."""
        if time.monotonic() < self._examine_at:
            return
        self._examine_at = time.monotonic() + _EXAMINE_EVERY
        found = runner.examine(self.board, self.settings, codes=_SERIOUS).problems
        problems = {f"{f.path}: {f.message}".lstrip(": ") for f in found}
        new = sorted(problems - self._problems)
        self._problems = problems
        for text in new:
            self.log(LogLine("", "error", text))
        is_news = bool(new) and self._notified.is_news("", "\n".join(sorted(problems)))
        if is_news and self.notifier is not None:
            title = "the board needs attention (orchestrate doctor)"
            self.notifier.notify("board", title, "\n".join(new))

    def _take_changes(self, paths: Iterable[Path]) -> None:
        families: set[str] = set()
        for path in paths:
            if path == self.board.root / FILE:
                self._reload_settings()
            if path.suffix.lower() != ".md":
                continue
            if not path.is_relative_to(self.board.path):
                followers = (f for f in self._unfinished_families() if self._follows(f, path))
                families.update(followers)
            elif self._is_news(path):
                family = self._family_at(path)
                if family:
                    self._schedule([family], save=path)
                families |= self._waiting.keys()
        self._schedule(families)

    def _reload_settings(self) -> None:
        """Take the changed configuration; if it cannot be read, keep the last good one."""
        file = self.board.root / FILE
        try:
            settings = load_settings(self.board.root)
        except OrchestrateError as exc:
            text = f"{exc.in_a_line}; the previous settings stay in force"
            self.log(LogLine("", "error", text))
            return
        if not file.exists() and self._had_settings:
            self._had_settings = False
            text = f"{FILE} is gone; the previous settings stay in force"
            self.log(LogLine("", "error", text))
        if not file.exists() or settings == self.settings:
            return
        self.settings, self._had_settings = settings, True
        self.log(LogLine("", "board", f"reloaded {FILE}"))
        self._schedule(self._unfinished_families())

    def _is_news(self, path: Path) -> bool:
        """Whether the file holds something that the conductor does not know."""
        try:
            return hash(atomic.read_saved(path)) != self._seen.get(path)
        except FileNotFoundError:
            held = self._seen.get(path)
            # what a conductor moves is known at its new place before it leaves the old one
            return held is not None and not any(
                known == held and other.name == path.name and other != path
                for other, known in tuple(self._seen.items())
            )
        except (OSError, OrchestrateError):
            return True

    def _family_at(self, path: Path) -> str:
        """The conducted family of the ticket at a path, "" if there is none."""
        try:
            ticket = self.board.read(path)
        except FileNotFoundError:
            return self._family_of(id_from_name(path.name))
        if ticket.note:
            return ""
        self.board.remember(ticket)
        heads = ticket.conducted and not ticket.parent
        if heads and without_child_suffix(ticket.id) == ticket.id:
            # others with its id are found when it is opened
            return ticket.id
        return self._family_of(ticket.id)

    def _family_of(self, id: str) -> str:
        """The conducted family of a ticket, "" if there is none."""
        try:
            head = self.board.family(id)[0]
        except TicketError as exc:
            if exc.code != "duplicate-id":
                return ""
            found = stale_writes.head_of(self.board, id)
            if found is None:
                held = self.board.holders(id)
                above = (parent for t in held for parent in self.board.holders(t.parent))
                conducted = any(ticket.conducted for ticket in (*held, *above))
                if conducted and self._lasts(id, exc):
                    self.log(LogLine(id, "error", exc.in_a_line))
            return found or ""
        return head.id if head.conducted else ""

    def _lasts(self, family: str, exc: Exception) -> bool:
        """Whether something is still so that a late save brings about, and is merged by itself.

        Until then it is looked at again, and nobody is told.
        """
        copies = map(self.board.holders, self.board.duplicate_ids())
        if self._is_once or any(len({t.path.name for t in each}) > 1 for each in copies):
            # an editor saves late under the ticket's own name
            return True
        now = time.monotonic()
        since = self._passing.setdefault(f"{family} {exc}", now)
        if now - since >= _PASSES_WITHIN:
            return True
        self._schedule([family], _PASSES_WITHIN / 4)
        return False

    def _follows(self, family: str, workflow: Path) -> bool:
        try:
            ticket = self.board.find(family)
            flow = from_mapping(ticket.flow or {}, path=ticket.source)
        except OrchestrateError:
            return False
        return referenced(self.board.root, flow.workflow).resolve() == workflow.resolve()

    def _unfinished_families(self) -> list[str]:
        """The conducted families that are not finished, or whose status requests something."""
        found = []
        for ticket in self.board.tickets():
            if not ticket.conducted:
                continue
            role = FolderRole.__members__.get(ticket.recorded)
            if role is not None and not role.finished:
                # so much is known without its file
                found.append(ticket.id)
                continue
            try:
                flow = from_mapping(ticket.flow or {}, path=ticket.source)
            except (OrchestrateError, OSError) as exc:
                self.log(LogLine(ticket.id, "error", _describe(exc)))
                continue
            place, agrees = flow.members.get(ticket.id), self.board.folders.agrees
            settled = place and agrees(ticket.folder, ticket.status, place.at)
            if not (settled and flow.state.ended):
                found.append(ticket.id)
        with_stale_writes = {self._family_of(id) for id in self.board.duplicate_ids()} - {""}
        return list(dict.fromkeys([*found, *sorted(with_stale_writes)]))

    # -- work --------------------------------------------------------------------------------

    def _schedule(
        self, families: Iterable[str], after: float = 0.0, save: Path | None = None
    ) -> None:
        with self._changed:
            for family in families:
                self._queue.add(family, time.monotonic() + after, save)
            self._changed.notify()

    def _work(self) -> None:
        """One worker: takes the next family and advances it."""
        while True:
            with self._changed:
                taken = None if self._paused else self._queue.take(time.monotonic())
                while taken is None and not self._stopping:
                    wait = 0.2 if self._paused else self._queue.next_at() - time.monotonic()
                    self._changed.wait(min(max(wait, 0.0), 60.0))
                    taken = None if self._paused else self._queue.take(time.monotonic())
                if taken is None or self._stopping:
                    return
            family, saves = taken
            try:
                # a run that began before the event arrived may have read the save
                if not saves or any(map(self._is_news, saves)):
                    self._advance(family)
            finally:
                with self._changed:
                    self._queue.busy.discard(family)
                    self._changed.notify_all()

    def _advance(self, family: str) -> RunOutcome | None:
        """Run one family; an error is reported, and affects only this family."""
        moved = False

        def listen(event: Progress) -> None:
            nonlocal moved
            moved = moved or event.kind is ProgressKind.MOVE
            self.log(LogLine(family, event.kind, event.text, progress=event))

        conductor = self.make(self.board, settings=self.settings, on_event=listen, seen=self._seen)
        self._conductors.add(conductor)
        if self._attendant is not None:
            conductor.leave_to(self._attendant)
        try:
            outcome = conductor.run(family, create=False)
        except GitAtWorkError as exc:
            if self._away.get(family) != exc.message:
                self._away[family] = exc.message
                # where the whole board is away, it is told once for all
                if not absence(self.board.root, self.board.path):
                    self.log(LogLine(family, "board", f"waiting: {exc.message}; {exc.hint}"))
            return None
        except BusyError:
            self._schedule([family], _BUSY_RETRY)
            return None
        except StoppedError as exc:
            self.log(LogLine(family, "board", exc.in_a_line))
            return None
        except Exception as exc:  # noqa: BLE001 - one family must not end the daemon
            if self._stopping:
                # what breaks when its agent is killed is not an error
                return None
            if absence(self.board.root, self.board.path):
                # what fails while the board is taken away is not a fault of the family
                self._away[family] = ""
                return None
            text = _describe(exc)
            if getattr(exc, "code", "") not in _PASSING or self._lasts(family, exc):
                self.log(LogLine(family, "error", text))
                self._notify("board", family, text)
            return None
        finally:
            self._conductors.discard(conductor)
        self._away.pop(family, None)
        self._passing = {k: v for k, v in self._passing.items() if not k.startswith(f"{family} ")}
        self._conclude(family, outcome)
        if outcome.resumes_at is not None:
            self._schedule([family], max(outcome.resumes_at - time.time(), _BUSY_RETRY))
        if moved:
            self._schedule(self._waiting.keys() - {family})
        return outcome

    def _conclude(self, family: str, outcome: RunOutcome) -> None:
        known = self._waiting.pop(family, None)
        if outcome.waits_for_work:
            self._waiting[family] = outcome
        ended = outcome.outcome in (RunState.COMPLETE, RunState.ARCHIVED)
        if outcome != known and not (ended and self._ended.get(family) == outcome):
            self.log(LogLine(family, "outcome", outcome.outcome, outcome=outcome))
        self._ended = {**self._ended, family: outcome} if ended else self._ended
        if not ended:
            self._ended.pop(family, None)
        if outcome.outcome is RunState.HELD:
            self._notify("held", family, "; ".join(outcome.reasons))
        elif (
            outcome.outcome is RunState.WAITING
            and not outcome.waits_for_work
            and outcome.resumes_at is None
        ):
            self._notify("question", family, "; ".join(outcome.reasons))

    def _notify(self, kind: str, family: str, text: str) -> None:
        """Notify people once about each state."""
        if self.notifier is None or not self._notified.is_news(family, f"{kind} {text}"):
            return
        title, body = describe_for_people(self.board, kind, family, text, self.settings.web)
        self.notifier.notify(kind, title, body)


def _describe(exc: Exception) -> str:
    """What went wrong, on one line."""
    if isinstance(exc, OrchestrateError):
        return exc.in_a_line
    return f"{type(exc).__name__}: {exc}"
