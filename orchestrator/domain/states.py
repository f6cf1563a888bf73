"""The states and the one table of legal transitions (DESIGN 3); pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.errors import IllegalMoveError


class FolderRole(StrEnum):
    """What a board folder is for, whatever its number."""

    INBOX = "INBOX"
    TRIAGE = "TRIAGE"
    DESIGN = "DESIGN"
    REVIEW = "REVIEW"
    BUILD = "BUILD"
    QA = "QA"
    USER_REVIEW = "USER_REVIEW"
    COMPLETE = "COMPLETE"
    ARCHIVE = "ARCHIVE"
    BACKLOG = "BACKLOG"
    HOLD = "HOLD"

    @property
    def finished(self) -> bool:
        """The work is over."""
        return self in (FolderRole.COMPLETE, FolderRole.ARCHIVE)

    @property
    def paused(self) -> bool:
        """Put aside by a person or at the failure limit; `held_from` says from where."""
        return self in (FolderRole.HOLD, FolderRole.BACKLOG)

    @property
    def at_rest(self) -> bool:
        """Nobody works on it: no family starts here, and sub-folders keep the role."""
        return self.finished or self.paused

    @property
    def working(self) -> bool:
        """Where an approval or a resumed hold may return a ticket to."""
        return not self.finished and self is not FolderRole.HOLD

    @property
    def awaits_build(self) -> bool:
        """Triaged, and routed to BUILD when its stage begins."""
        return self in (FolderRole.TRIAGE, FolderRole.DESIGN, FolderRole.REVIEW)

    @property
    def started(self) -> bool:
        """Building has begun or is over, so nothing that it depends on may be open."""
        return self in (
            FolderRole.BUILD,
            FolderRole.QA,
            FolderRole.USER_REVIEW,
            FolderRole.COMPLETE,
        )

    @property
    def optional(self) -> bool:
        """The folder is created on first use, not with the board."""
        return self in (FolderRole.REVIEW, FolderRole.HOLD)


class Part(StrEnum):
    """What an agent does for a family. Which agent plays which part is configuration."""

    TRIAGER = "triager"
    MAKER = "maker"
    #: makes what no ticket of its own asks for (seed data)
    PROVIDER = "provider"
    INSPECTOR = "inspector"


class Who(StrEnum):
    """Who moves a ticket."""

    TRIAGER = "triager"
    MAKER = "maker"
    INSPECTOR = "inspector"
    GATE = "gate"
    CONDUCTOR = "conductor"
    USER = "USER"


class Event(StrEnum):
    TRIAGE = "triage"
    BIRTH = "split"
    ROUTE = "route"
    HAND_OVER = "hand over"
    PASS = "pass"
    FAIL = "fail"
    STRIKE_OUT = "strike out"
    ASK = "ask"
    RETURN = "approve"
    COMPLETE = "approve (end)"
    SEND_BACK = "send back"
    HOLD = "hold"
    RESUME = "resume"
    ARCHIVE = "archive"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    REOPEN = "reopen"


ANY = frozenset(FolderRole)
_R = FolderRole


@dataclass(frozen=True)
class Transition:
    """One row: `who` may take a ticket from one of `sources` to one of `targets` by `event`."""

    who: frozenset[Who]
    event: Event
    sources: frozenset[FolderRole]
    #: more than one where the record says which (where it came from)
    targets: frozenset[FolderRole]
    also: str = ""


def _row(who: str, event: Event, sources: str, targets: str, also: str = "") -> Transition:
    def roles(text: str) -> frozenset[FolderRole]:
        return ANY if text == "any" else frozenset(_R(word) for word in text.split())

    return Transition(
        frozenset(Who(word) for word in who.split()), event, roles(sources), roles(targets), also
    )


_WORKING = " ".join(role for role in FolderRole if role.working)

#: DESIGN 3.2: the engine, the diagram in the docs and the tests are made from this table
TABLE: tuple[Transition, ...] = (
    _row("triager", Event.TRIAGE, "INBOX", "TRIAGE"),
    _row("triager", Event.BIRTH, "INBOX TRIAGE", "BUILD", "children are born in BUILD, or wait"),
    _row("triager", Event.ROUTE, "INBOX TRIAGE DESIGN REVIEW", "BUILD DESIGN REVIEW"),
    _row("maker", Event.HAND_OVER, "BUILD DESIGN", "QA", "owner: the inspector"),
    _row("inspector", Event.PASS, "QA", "USER_REVIEW", "owner USER"),
    _row("inspector gate", Event.FAIL, "QA BUILD USER_REVIEW", "BUILD", "failure_count counts"),
    _row("conductor", Event.STRIKE_OUT, _WORKING, "HOLD", "at failure_limit; owner USER"),
    _row("conductor", Event.ASK, "any", "USER_REVIEW", "the parent; where it came from is kept"),
    _row("USER", Event.RETURN, "USER_REVIEW", _WORKING, "where it came from"),
    _row("USER", Event.COMPLETE, "USER_REVIEW", "COMPLETE", "the whole family, at the end"),
    _row("USER", Event.SEND_BACK, "QA BUILD USER_REVIEW DESIGN COMPLETE", "BUILD", "a new attempt"),
    _row("USER", Event.SEND_BACK, "USER_REVIEW", "TRIAGE", "the parent of children"),
    _row("USER", Event.HOLD, "any", "HOLD", "hold_reason, held_at, held_from"),
    _row(
        "USER",
        Event.RESUME,
        "HOLD",
        f"{_WORKING} COMPLETE ARCHIVE",
        "held_from; the count is set to 0",
    ),
    _row("USER", Event.ARCHIVE, "any", "ARCHIVE"),
    _row("USER", Event.SHELVE, "TRIAGE HOLD", "BACKLOG"),
    _row("USER", Event.UNSHELVE, "BACKLOG", "TRIAGE HOLD"),
    _row("USER", Event.REOPEN, "COMPLETE ARCHIVE", "TRIAGE", "a new round, count 0"),
)


#: what USER types for an event
_COMMANDS = {
    Event.RETURN: "approve",
    Event.COMPLETE: "approve",
    Event.SEND_BACK: "send-back",
    Event.UNSHELVE: "resume",
}


def legal(who: Who, event: Event, source: FolderRole, target: FolderRole) -> bool:
    """Whether the table has this move."""
    return any(
        who in row.who and row.event is event and source in row.sources and target in row.targets
        for row in TABLE
    )


def require(who: Who, event: Event, source: FolderRole, target: FolderRole) -> None:
    """Raise IllegalMoveError, saying what would be legal, unless the table has the move."""
    if legal(who, event, source, target):
        return
    raise IllegalMoveError(
        f"{who.value} cannot '{event.value}' a ticket from {source} to {target}",
        hint=f"from {source}, {who.value} can: {_options(who, source)}",
    )


def _options(who: Who, source: FolderRole) -> str:
    """What `who` can do with a ticket in `source`: USER's commands, or events of the others."""
    rows = [r for r in TABLE if who in r.who and source in r.sources and r.targets != {source}]
    if who is Who.USER:
        commands = sorted({_COMMANDS.get(row.event, row.event.value) for row in rows})
        return ", ".join(f"orchestrate {command}" for command in commands)
    events = sorted(f"{row.event.value} → {'/'.join(sorted(row.targets))}" for row in rows)
    return ", ".join(events) or "nothing"


def requested_event(source: FolderRole, target: FolderRole) -> Event | None:
    """The event by which USER may take a ticket from `source` to `target`, if any (DESIGN 2.2)."""
    requestable = (
        Event.HOLD,
        Event.ARCHIVE,
        Event.SHELVE,
        Event.UNSHELVE,
        Event.REOPEN,
        Event.RESUME,
    )
    events = (event for event in requestable if legal(Who.USER, event, source, target))
    return None if source == target else next(events, None)
