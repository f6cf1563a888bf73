"""Which tickets of a board to show, in which order: the same for `list`, a URL and the boards."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from orchestrator.domain.id_grammar import folded_id
from orchestrator.domain.states import FolderRole
from orchestrator.errors import UsageError
from orchestrator.tickets.ticket import UNRANKED, Ticket, priority_rank

if TYPE_CHECKING:
    from orchestrator.settings.agents import AgentSettings
    from orchestrator.tickets.board import Board

#: where a ticket waits for USER
WAITING = frozenset({FolderRole.USER_REVIEW, FolderRole.HOLD})
#: the owner that stands for whoever decides
_USER = "user"
_ORDER = {role: number for number, role in enumerate(FolderRole)}
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_NUMBER = re.compile(r"\d+")
#: an id with one number
_USUAL = re.compile(r"([^\W\d]*-)(\d+)(\D*)\Z")
_NO = frozenset({"0", "false", "no", "off"})


def natural_key(id: str) -> str:
    """A key that sorts ids as people count: WO-1000 is before WO-10000, WO-231 before WO-231a."""
    plain = folded_id(id)
    if usual := _USUAL.match(plain):
        before, number, after = usual.groups()
        return f"{before}\0{chr(len(number))}{number}{after}\0\0{id}"
    # a number counts by its length first: it may have more digits than `int` reads
    return _NUMBER.sub(lambda found: f"\0{chr(len(found[0]))}{found[0]}", plain) + f"\0\0{id}"


def moment(text: str) -> str:
    """A time as histories write it, from a date, a time or an age (`30m`, `4h`, `2d`, `1w`).

    Raises UsageError for what is none.
    """
    try:
        if ago := re.fullmatch(r"(\d{1,6})\s*([mhdw])", text.strip()):
            found = datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            found = datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        hint = "a date (2026-11-29), a time (2026-11-29T12:00) or an age (30m, 4h, 2d)"
        raise UsageError(f"{text!r} is not a time", hint=hint) from exc
    return found.strftime("%Y-%m-%dT%H:%M:%SZ")


def changed_at(ticket: Ticket) -> str:
    """When the ticket's file was last written, as histories write times; "" if it is gone."""
    try:
        seconds = os.lstat(ticket.file).st_mtime
    except OSError:
        return ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


#: what can be sorted by; `-` before it turns the order
SORTS: Mapping[str, Callable[[Ticket], Any]] = {
    "state": lambda t: (_ORDER.get(t.role, UNRANKED) if t.role else UNRANKED, t.folder),
    "id": lambda t: natural_key(t.id),
    "owner": lambda t: t.owner.casefold(),
    "priority": lambda t: (priority_rank(t.priority), t.priority.casefold()),
    "title": lambda t: t.title.casefold(),
    "created": lambda t: t.created,
    "changed": changed_at,
    "failures": lambda t: t.failure_count,
}
#: names of what a query may say; all but these take several values
_SINGLE = frozenset({"family", "mine", "waiting", "since", "q", "sort", "limit"})
NAMES = ("state", "owner", "agent", "label", "priority", *sorted(_SINGLE))


@dataclass(frozen=True)
class Filter:
    """Which tickets to show and in which order. What is empty lets every ticket pass.

    Names (`owners`, `agents`, `labels`, `priorities`, `me`) are folded for comparison.
    """

    states: frozenset[FolderRole] = frozenset()
    owners: frozenset[str] = frozenset()
    agents: frozenset[str] = frozenset()
    #: tickets that their parents give to one of `agents`
    given: frozenset[str] = frozenset()
    #: a family's parent, and the ids of all its members
    family: str = ""
    members: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    priorities: frozenset[str] = frozenset()
    mine: bool = False
    #: the names of who looks, besides USER
    me: frozenset[str] = frozenset()
    waiting: bool = False
    #: as histories write times
    since: str = ""
    #: each of its words is in the id, the title or a label
    text: str = ""
    #: a key of `SORTS`, after `-` if the order is turned
    sort: str = ""
    #: how many to show at most, 0: all
    limit: int = 0
    #: what it was parsed from, without what is empty
    said: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(
        cls,
        pairs: Iterable[tuple[str, str]],
        board: Board,
        agents: Mapping[str, AgentSettings] | None = None,
        me: Iterable[str] = (),
    ) -> Filter:
        """The filter that names (`NAMES`) and their values say, from options or from a URL's query.

        Several values may be given one by one or with commas. `agents`: those that are configured,
        so that `claude` finds whose work it does; `me`: the names of who looks. Raises UsageError
        for what is not a state, time, number or name, TicketError for a family that is not there.
        """
        said = tuple((name, value.strip()) for name, value in pairs if value.strip())
        given: dict[str, list[str]] = {name: [] for name in NAMES}
        for name, value in said:
            if name not in given:
                raise UsageError(f"{name} is not a filter", hint=", ".join(NAMES))
            single = name in _SINGLE
            given[name] += [value] if single else filter(None, map(str.strip, value.split(",")))
        last = {name: (given[name] or [""])[-1] for name in _SINGLE}
        names = _folded(given["agent"])
        if names and agents:
            played = {n for n, each in agents.items() if each.use and each.use.casefold() in names}
            names |= _folded(played)
        family = board.resolve(last["family"]) if last["family"] else ""
        members = board.family(family) if family else ()
        return cls(
            states=frozenset(_state(board, text) for text in given["state"]),
            owners=_folded(given["owner"]),
            agents=names,
            given=frozenset(
                child
                for ticket in (board.tickets() if names else ())
                for child, role in ticket.child_roles.items()
                if role.casefold() in names
            ),
            family=members[0].id if members else "",
            members=frozenset(ticket.id for ticket in members),
            labels=_folded(given["label"]),
            priorities=_folded(given["priority"]),
            mine=_is_on(last["mine"]),
            me=_folded(me),
            waiting=_is_on(last["waiting"]),
            since=moment(last["since"]) if last["since"] else "",
            text=last["q"],
            sort=_sort(last["sort"]),
            limit=_limit(last["limit"]),
            said=said,
        )

    @property
    def narrows(self) -> bool:
        """Whether it may leave out a ticket."""
        return any(name not in ("sort",) for name, _ in self.said)

    @property
    def query(self) -> str:
        """The filter as a URL's query, without `?`."""
        return urlencode(self.said)

    def matches(self, ticket: Ticket) -> bool:
        """Whether a ticket passes."""
        owner = ticket.owner.casefold().removeprefix("@")
        return (
            (not self.states or ticket.role in self.states)
            and (not self.owners or owner in self.owners)
            and (not self.agents or owner in self.agents or ticket.id in self.given)
            and (not self.family or ticket.id in self.members)
            and (not self.labels or not self.labels.isdisjoint(_folded(ticket.labels)))
            and (not self.priorities or ticket.priority.casefold() in self.priorities)
            and (not self.mine or owner == _USER or owner in self.me)
            and (not self.waiting or ticket.role in WAITING)
            and (not self.text or _has_words(ticket, self.text))
            and (not self.since or changed_at(ticket) >= self.since)
        )

    def sorted(self, tickets: Iterable[Ticket]) -> list[Ticket]:
        """Tickets in the filter's order, by default that of the states; then by id."""
        found = sorted(tickets, key=lambda t: natural_key(t.id))
        found.sort(key=SORTS[self.sort.removeprefix("-") or "state"], reverse=self.sort[:1] == "-")
        return found

    def select(self, tickets: Iterable[Ticket]) -> list[Ticket]:
        """The tickets that pass, in order, no more than the limit."""
        found = self.sorted(ticket for ticket in tickets if self.matches(ticket))
        return found[: self.limit] if self.limit else found


def _folded(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.strip().casefold().removeprefix("@") for name in names if name.strip())


def _has_words(ticket: Ticket, text: str) -> bool:
    held = " ".join((ticket.id, ticket.title, *ticket.labels)).casefold()
    return all(word in held for word in text.casefold().split())


def _state(board: Board, text: str) -> FolderRole:
    role = board.folders.role_of_status(text) or board.folders.role_of(text)
    if role is None:
        raise UsageError(f"{text} is not a place of the board", hint=", ".join(FolderRole))
    return role


def _is_on(text: str) -> bool:
    return bool(text) and text.casefold() not in _NO


def _sort(text: str) -> str:
    if text and text.removeprefix("-") not in SORTS:
        hint = f"{', '.join(SORTS)}; with - before it the other way round"
        raise UsageError(f"tickets cannot be sorted by {text}", hint=hint)
    return text


def _limit(text: str) -> int:
    if text and not re.fullmatch(r"[0-9]{1,9}", text):
        raise UsageError(f"{text!r} is not a number of tickets", hint="--limit 20")
    return int(text or 0)
