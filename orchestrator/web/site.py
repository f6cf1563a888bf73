"""What the pages of the web board are made of, and what is done for who answers on them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from orchestrator.approvals.links import Links
from orchestrator.conductor.conductor import Conductor, RunOutcome
from orchestrator.conductor.going_on import GoingOn
from orchestrator.daemon.presence import DAEMON
from orchestrator.domain.states import Event, FolderRole, Who, legal
from orchestrator.errors import BusyError, OrchestrateError
from orchestrator.review.model import Review, build_review
from orchestrator.settings.board import FILE
from orchestrator.settings.config import Settings, load_settings
from orchestrator.settings.web import WebSettings
from orchestrator.storage.history import now
from orchestrator.storage.locks import is_locked
from orchestrator.tickets.board import Board
from orchestrator.views.cards import Card
from orchestrator.views.live import LiveBoard
from orchestrator.views.search import Hit, Search
from orchestrator.views.statistics import Figures, Statistics
from orchestrator.web.guard import Sessions
from orchestrator.workers.store import who_works

#: seconds for which what is slow to find out is shown again, and that a page waits for it
_KEPT, _PATIENCE = 15.0, 0.15


@dataclass
class Site:
    """One board, its live view, and the families that are being advanced from here."""

    board: Board
    settings: Settings
    live: LiveBoard
    links: Links
    #: whether a daemon of this process advances what can go on
    watching: bool = False
    sessions: Sessions = field(init=False)
    going_on: GoingOn = field(init=False)
    #: the health that was found last, when that was, and the thread that looks
    _found: Mapping[str, Any] = field(default_factory=dict)
    _found_at: float = -_KEPT
    _looking: threading.Thread = field(default_factory=threading.Thread)
    #: the time of the configuration file, and what it says
    _fresh: tuple[int, Settings | None] = (0, None)
    _reviews: dict[tuple[str, bool], tuple[object, Review]] = field(default_factory=dict)
    _search: Search = field(default_factory=Search)
    #: the revision at which the tickets were read for it
    _searched: int = 0
    _statistics: Statistics | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.going_on = GoingOn(lambda: self.conductor(), self._came_to_rest)

    def conductor(self) -> Conductor:
        """A conductor with the settings that are in the file now."""
        return Conductor(self.board, settings=load_settings(self.board.root))

    def current(self) -> Settings:
        """What the configuration file says now."""
        file = self.board.root / FILE
        try:
            stamp = file.stat().st_mtime_ns
        except OSError:
            stamp = 0
        if stamp != self._fresh[0]:
            # what cannot be read changes nothing
            with contextlib.suppress(OrchestrateError):
                self._fresh = stamp, load_settings(self.board.root) if stamp else self.settings
        return self._fresh[1] or self.settings

    def web(self) -> WebSettings:
        """Who may sign in now: whoever is taken out of the file is out."""
        return self.current().web

    def act(self, act: Callable[[Conductor], RunOutcome]) -> RunOutcome:
        """Do something to a family, and let everybody see it."""
        try:
            return act(self.conductor())
        except BusyError as exc:
            if f" {os.getpid()}" not in exc.message:
                raise
            # it is this very process, which nobody should end for it
            hint = "look again in a moment"
            raise BusyError("it is being worked on just now", hint=hint) from exc
        finally:
            self.live.refresh()

    # -- going on ----------------------------------------------------------------------------

    def go_on(self, family: str) -> None:
        """Advance a family in this process, unless a daemon of it does that."""
        if not self.watching:
            self.going_on.begin(family)

    def _came_to_rest(self, family: str) -> None:
        self.live.refresh()
        # a failure is in no ticket
        self.live.publish(frozenset({f"family:{family}"}))

    def stop(self) -> None:
        """End the agents that were started from here."""
        self.going_on.stop()

    # -- what is slow to find out ------------------------------------------------------------

    def review(self, family: str, *, panels: bool = True) -> Review:
        """The review of a family, made again when its record has changed.

        The panels may take seconds: some run SQL.
        """
        state = self.live.view.families.get(family)
        flow = state.flow if state else None
        known = self._reviews.get((family, panels))
        if known is None or known[0] != flow or not known[1].is_current:
            reviewers = None if panels else ()
            known = flow, build_review(self.board, self.settings, family, reviewers)
            if len(self._reviews) > 20:
                self._reviews.clear()
            self._reviews[family, panels] = known
        return known[1]

    def find(self, text: str, most: int = 100) -> list[Hit]:
        """The tickets that have every word of a text, the best first."""
        view = self.live.view
        tickets = [card.ticket for card in view.cards]
        with self._lock:
            revision = self.live.revision
            look, self._searched = self._searched != revision, revision
        return self._search.find(text, tickets, most, look=look)

    def figures(self, since: str) -> Figures:
        """The figures of the board; histories are read on from where they were read to."""
        with self._lock:
            if self._statistics is None:
                self._statistics = Statistics.of(self.board.root, self.board.path)
            return self._statistics.figures(since)

    def health(self) -> Mapping[str, Any]:
        """The doctor's problems, the agents, what was spent, and whether a daemon watches.

        What was found last, with `at` (ISO 8601) and whether more is `looking`; whatever is older
        than some seconds is found out again in a thread, and reported when that is known.
        `problems` is None while nothing was found yet.
        """
        with self._lock:
            old = time.monotonic() - self._found_at > _KEPT
            if old and not self._looking.is_alive():
                self._looking = threading.Thread(target=self._look, name="health", daemon=True)
                self._looking.start()
            looking = self._looking
        # on most boards it takes no time
        looking.join(_PATIENCE if looking.is_alive() else 0)
        found = {"problems": None, "failed": "", **self._found}
        return {**found, "looking": looking.is_alive()}

    def _look(self) -> None:
        try:
            self._found = dict(self._examine())
        except (OrchestrateError, OSError) as exc:
            reported = exc.in_a_line if isinstance(exc, OrchestrateError) else str(exc)
            self._found = {**self._found, "failed": reported}
        self._found_at = time.monotonic()
        self.live.publish(frozenset({"health"}))

    def _examine(self) -> Iterator[tuple[str, Any]]:
        from orchestrator.doctor.runner import examine
        from orchestrator.family.spending import sum_of, turns_of_board

        yield "at", now()
        yield "problems", examine(self.board, self.settings).problems
        turns = list(turns_of_board(self.board.path))
        agents = sorted({*self.settings.agents, *(t.agent for t in turns)})
        yield "agents", [(name, sum_of(t for t in turns if t.agent == name)) for name in agents]
        today = datetime.now().astimezone().date().isoformat()
        yield "today", sum_of(t for t in turns if t.day == today)
        yield "spent", sum_of(turns)
        limits = self.settings.budget.model_dump(exclude_none=True, exclude_defaults=True)
        yield (
            "budget",
            [(name.replace("_", " "), _in_words(given)) for name, given in limits.items()],
        )
        state = self.board.root / ".orchestrate" / "state"
        yield "daemon", self.watching or is_locked(state, DAEMON)
        try:
            found, waiting = who_works(self.settings.workers)
        except OrchestrateError as exc:
            yield "failed", exc.in_a_line
            found, waiting = [], {}
        yield "workers", None if self.settings.workers.engine == "local" else found
        yield "waiting", waiting


def _in_words(limits: Mapping[str, Any]) -> str:
    return ", ".join(f"{value:g} {name}" for name, value in limits.items())


def age_of(moment: str) -> str:
    """How long ago that was: `3 min ago`, `5 h ago`, `2 days ago`."""
    try:
        then = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    except ValueError:
        return moment
    seconds = max(0, int((datetime.now(UTC) - then).total_seconds()))
    for size, name in ((86400, "day"), (3600, "h"), (60, "min")):
        if seconds >= size:
            number = seconds // size
            return f"{number} {name}{'s' * (name == 'day' and number > 1)} ago"
    return "just now"


#: action → the event that it is, and where the ticket goes; None: to where it came from
_MOVES: Mapping[str, tuple[Event, FolderRole | None]] = {
    "hold": (Event.HOLD, FolderRole.HOLD),
    "resume": (Event.RESUME, None),
    "shelve": (Event.SHELVE, FolderRole.BACKLOG),
    "archive": (Event.ARCHIVE, FolderRole.ARCHIVE),
    "reopen": (Event.REOPEN, FolderRole.TRIAGE),
}


def moves_of(card: Card) -> dict[str, FolderRole | None]:
    """The moves that USER may make with a card: action → where it goes. None of them approves."""
    role, family = card.ticket.role, card.family
    if role is None or family is None or family.flow is None:
        return {}
    found = {}
    for action, (event, target) in _MOVES.items():
        resumes = action == "resume" and role in (FolderRole.HOLD, FolderRole.BACKLOG)
        moves = target not in (None, role) and legal(Who.USER, event, role, target or role)
        # the others are moves of the whole family
        if (resumes or moves) and (card.ticket.id == family.id or action == "hold"):
            found[action] = target
    return found


def moves_text(moves: Mapping[str, FolderRole | None]) -> str:
    """Moves as the script reads them: `hold:HOLD resume:*`."""
    return " ".join(f"{action}:{role.value if role else '*'}" for action, role in moves.items())
