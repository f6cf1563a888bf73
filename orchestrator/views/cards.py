"""The board as cards and open questions, as its live faces show it (DESIGN 13).

Reading only. A `BoardReader` keeps what it has read, and reads again what has changed.
"""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.domain.record import Flow, State, from_mapping
from orchestrator.domain.states import FolderRole
from orchestrator.errors import OrchestrateError
from orchestrator.storage.history import Damage, History
from orchestrator.storage.locks import is_locked
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket
from orchestrator.views.filters import natural_key
from orchestrator.views.sections import Section

if TYPE_CHECKING:
    from orchestrator.approvals.request import ApprovalRequest

#: the columns from left to right
COLUMNS = tuple(role for role in FolderRole)
NO_STATE = "NO STATE"
#: where USER puts tickets
_MOVED_TO = frozenset({FolderRole.HOLD, FolderRole.BACKLOG, FolderRole.ARCHIVE})
_Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class OpenQuestion:
    """An open question, with what USER needs to rank and to answer it."""

    family: str
    title: str
    number: int
    digest: str
    #: ISO 8601, UTC
    asked: str
    #: the ticket's file, relative to the workspace
    file: str
    #: None if the history does not have it
    request: ApprovalRequest | None
    #: what is wrong with the family's receipts: no answer to it is taken
    damage: Damage | None = None
    #: tickets that cannot go on before this family has
    behind: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return self.request.label if self.request else "a question that the receipts do not have"

    @property
    def is_damaged(self) -> bool:
        """Whether no answer to it can be taken before its receipts are put in order."""
        return self.request is None or self.damage is not None

    @property
    def is_plain(self) -> bool:
        """Whether approving it accepts nothing and runs nothing on a database or a branch."""
        request = self.request
        if request is None or self.damage or request.failed or request.unproven:
            return False
        return not (request.effects or request.not_read or request.proposed or request.by_user)

    @property
    def rank(self) -> tuple[Any, ...]:
        """What needs USER most comes first: damaged, failed, unproven, effects, who waits, age."""
        request = self.request
        failed, unproven = (len(request.failed), len(request.unproven)) if request else (0, 0)
        effects = len(request.effects) if request else 0
        elsewhere = bool(request and request.target not in ("", "embedded"))
        weights = (
            self.is_damaged,
            bool(failed),
            bool(unproven),
            elsewhere,
            bool(effects),
            len(self.behind),
        )
        return (*(-weight for weight in weights), self.asked, natural_key(self.family))


@dataclass(frozen=True)
class FamilyState:
    """What the record of a conducted family says."""

    id: str
    flow: Flow | None
    #: why the record cannot be read
    error: str = ""
    at_work: bool = False
    #: which agent is at it, in words: agent, turn, since when
    work: str = ""

    @classmethod
    def of(cls, board: Board, id: str, flow: Flow) -> FamilyState:
        """The state of a family whose record was just read."""
        at_work = is_locked(board.root / ".orchestrate" / "state", id)
        return cls(id, flow, at_work=at_work)

    @property
    def section(self) -> Section | None:
        """Where the record has it; None for work that nobody has in hand."""
        if self.flow is None:
            return Section.BROKEN
        if self.flow.question is not None:
            return Section.ASKS
        match self.flow.state:
            case State.HELD:
                return Section.HELD
            case State.NEEDS_PERSON:
                return Section.NEEDS
            case State.PAUSED | State.COMPLETE | State.ARCHIVED:
                return Section.WAITS
        return Section.WORKS if self.at_work else None

    @property
    def state(self) -> str:
        """In words for people."""
        if self.flow is None:
            return "not readable"
        if self.flow.state is State.RUNNING:
            return "at work" if self.at_work else "ready to go on"
        return self.flow.state.value


@dataclass(frozen=True)
class Card:
    """A ticket on the board."""

    ticket: Ticket
    #: the conducted family that it belongs to, if it does
    family: FamilyState | None = None

    @property
    def attempt(self) -> int:
        """The attempt at the stage in hand; 0 if there is none."""
        flow = self.family.flow if self.family else None
        return flow.attempt(flow.stage) if flow else 0

    @property
    def failures(self) -> int:
        return self.ticket.failure_count

    @property
    def at_work(self) -> bool:
        """Whether its family is being worked on just now."""
        return bool(self.family and self.family.at_work and not self.at_rest)

    @property
    def at_rest(self) -> bool:
        role = self.ticket.role
        return role is None or role.at_rest


@dataclass(frozen=True)
class Column:
    """The tickets of one state, in their natural order."""

    role: FolderRole | None
    cards: tuple[Card, ...]

    @property
    def name(self) -> str:
        return self.role.value if self.role else NO_STATE


@dataclass(frozen=True)
class BoardView:
    """The board at one moment."""

    cards: tuple[Card, ...]
    families: Mapping[str, FamilyState]
    questions: tuple[OpenQuestion, ...]
    #: files with keys that are not read as tickets
    unread: int = 0
    #: from 1 on, one more for each view that differs from the one before
    revision: int = 0

    def columns(self, cards: Iterable[Card] | None = None) -> list[Column]:
        """`cards` (all, if not given) by state.

        A state that the board does not use is left out, unless USER moves tickets there.
        """
        used = {card.ticket.role for card in self.cards} | _MOVED_TO
        found: dict[FolderRole | None, list[Card]] = defaultdict(list)
        for card in self.cards if cards is None else cards:
            found[card.ticket.role].append(card)
        roles = [role for role in COLUMNS if role in used] + [None] * (None in used)
        return [Column(role, tuple(found[role])) for role in roles]

    @cached_property
    def by_id(self) -> Mapping[str, Card]:
        return {card.ticket.id: card for card in self.cards}

    def question(self, family: str) -> OpenQuestion | None:
        """The open question of a family."""
        return next((q for q in self.questions if q.family == family), None)

    def members(self, family: str) -> list[Card]:
        """The cards of a conducted family, its head first."""
        own = [c for c in self.cards if c.family is not None and c.family.id == family]
        return sorted(own, key=lambda c: c.ticket.id != family)


@dataclass
class BoardReader:
    """Reads one board again and again; may be used by several threads."""

    board: Board
    _flows: dict[Path, tuple[_Stamp, FamilyState]] = field(default_factory=dict)
    #: (family, digest) → the question as it was last, and the stamp of the receipts that it is in
    _questions: dict[tuple[str, str], tuple[_Stamp, OpenQuestion]] = field(default_factory=dict)
    #: public keys whose signatures count besides the user's own (`[trust] keys`)
    keys: Collection[str] = ()
    _last: BoardView | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self) -> BoardView:
        """The board as it is now; the view of before if nothing differs."""
        with self._lock:
            tickets, unread = self.board.tickets_and_unread()
            tickets.sort(key=lambda t: natural_key(t.id))
            families = {t.id: self._family_state(t) for t in tickets if t.conducted}
            member_of = {
                member: state
                for state in families.values()
                if state.flow is not None
                for member in state.flow.members
            }
            cards = tuple(Card(t, families.get(t.id) or member_of.get(t.id)) for t in tickets)
            questions = self._open_questions(tickets, families)
            last = self._last
            number = last.revision if last else 0
            view = BoardView(cards, families, questions, len(unread), number)
            if last is None or last != view:
                last = self._last = replace(view, revision=number + 1)
            return last

    def _family_state(self, ticket: Ticket) -> FamilyState:
        """What a parent's record says; the file is parsed again only if it has changed."""
        try:
            stamp = _stamp(ticket.path)
            known = self._flows.get(ticket.path)
            if known is None or known[0] != stamp:
                flow = from_mapping(self.board.read(ticket.path).flow or {}, path=ticket.source)
                known = stamp, FamilyState(ticket.id, flow)
                self._flows[ticket.path] = known
            state = known[1]
        except (OrchestrateError, OSError) as exc:
            error = exc.in_a_line if isinstance(exc, OrchestrateError) else str(exc)
            return FamilyState(ticket.id, None, error)
        assert state.flow is not None
        found = FamilyState.of(self.board, ticket.id, state.flow)
        return replace(found, work=self._describe_work(ticket.id)) if found.at_work else found

    def _describe_work(self, family: str) -> str:
        """The turn that a coding agent is at, and what the family has cost so far."""
        from orchestrator.family.family import Family
        from orchestrator.family.spending import BEGUN, TURN, describe, sum_of, turns_in

        history = Family(self.board, family).history
        begun, ended = history.latest(BEGUN), history.latest(TURN)
        if begun is None or (ended and ended["at"] > begun["at"]):
            return ""
        said = f"{begun['agent']}, turn {begun['turn']} since {begun['at'][11:16]} UTC"
        spent = sum_of(turns_in(history.records, family))
        return f"{said}, {describe(spent)} so far" if spent.turns else said

    def _open_questions(
        self, tickets: Sequence[Ticket], families: Mapping[str, FamilyState]
    ) -> tuple[OpenQuestion, ...]:
        from orchestrator.family.family import Family
        from orchestrator.family.intact import find_damage

        behind = _who_waits(tickets)
        found = {}
        for ticket in tickets:
            state = families.get(ticket.id)
            asked = state.flow.question if state and state.flow else None
            if asked is None or state is None or state.flow is None:
                continue
            key = ticket.id, asked.digest
            history = Family(self.board, ticket.id).history
            stamp = _stamp(history.path)
            known = self._questions.get(key)
            if known is not None and known[0] == stamp:
                request, damage = known[1].request, known[1].damage
            else:
                damage = find_damage(history, self.board.read(ticket.path).flow, self.keys)
                request = _stored(history, asked.digest)
            waiting = dict.fromkeys(w for m in state.flow.members for w in behind.get(m, ()))
            question = OpenQuestion(
                family=ticket.id,
                title=ticket.title,
                number=asked.number,
                digest=asked.digest,
                asked=asked.asked,
                file=ticket.source,
                request=request,
                damage=damage,
                behind=tuple(waiting),
            )
            found[key] = stamp, question
        self._questions = found
        return tuple(sorted((q for _, q in found.values()), key=lambda q: q.rank))


def _stored(history: History, digest: str) -> ApprovalRequest | None:
    """The request that was asked; None where the receipts do not have it as it was."""
    from orchestrator.approvals.request import ApprovalRequest

    with contextlib.suppress(OrchestrateError, KeyError, TypeError, ValueError):
        request = ApprovalRequest.find(history, digest)
        return request if request is not None and request.digest == digest else None
    return None


def _stamp(path: Path) -> _Stamp:
    """What shows whether a file is still the one that was read; zeros where there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return (0, 0, 0)
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _who_waits(tickets: Sequence[Ticket]) -> Mapping[str, tuple[str, ...]]:
    """ticket → the unfinished tickets that depend on it, directly or through others."""
    waiting: dict[str, list[str]] = defaultdict(list)
    for ticket in tickets:
        if ticket.role is None or not ticket.role.finished:
            for other in ticket.depends_on:
                waiting[other].append(ticket.id)
    found = {}
    for id in waiting:
        reached = dict.fromkeys(waiting[id])
        queue = deque(reached)
        while queue:
            for further in waiting.get(queue.popleft(), ()):
                if further not in reached and further != id:
                    reached[further] = None
                    queue.append(further)
        found[id] = tuple(reached)
    return found
