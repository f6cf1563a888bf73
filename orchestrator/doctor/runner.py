"""`doctor`: all that is odd on a board, and what can be done about it (DESIGN 2.5, 2.6)."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.doctor import board_rules, family_rules, git_rules
from orchestrator.doctor.fix_safety import REPAIRABLE, RULED, Bench, is_sure, surety
from orchestrator.doctor.rules import CODES, Surety, malady
from orchestrator.errors import OrchestrateError
from orchestrator.markdown.frontmatter_parser import Diagnosis
from orchestrator.tickets.ticket import Ticket

if TYPE_CHECKING:
    from orchestrator.config import Settings
    from orchestrator.tickets.board import Board

#: notes are no tickets; only what may hide a ticket is said of them
_OF_NOTES = {"leading-rule", "link", "unreadable", "merge-conflict"}


@dataclass(frozen=True)
class Finding:
    """One thing that is odd, and its repair."""

    code: str
    message: str
    #: relative to the workspace
    path: str = ""
    line: int = 0
    hint: str = ""
    #: how sure the repair is; NONE where a person decides
    repair: Surety = Surety.NONE
    applied: bool = False

    @property
    def note(self) -> bool:
        """Whether it is harmless."""
        return malady(self.code).note

    def to_dict(self) -> dict[str, Any]:
        """The finding for scripts."""
        return {
            "code": self.code,
            "path": self.path,
            "line": self.line,
            "message": self.message,
            "hint": self.hint,
            "note": self.note,
            "repair": self.repair.value or None,
            "applied": self.applied,
        }


@dataclass(frozen=True)
class Examined:
    """A board as the doctor found it."""

    findings: tuple[Finding, ...]
    tickets: tuple[Ticket, ...] = ()
    #: member → parent, of the families that are conducted
    parents: dict[str, str] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether nothing but harmless notes is left."""
        return all(finding.note or finding.applied for finding in self.findings)

    def of(self, id: str) -> Examined:
        """What concerns the tickets with one id."""
        wanted = unicodedata.normalize("NFC", id.strip())
        mine = tuple(t for t in self.tickets if t.id == wanted)
        paths = {t.source for t in mine}
        found = tuple(f for f in self.findings if f.path in paths)
        return replace(self, findings=found, tickets=mine)


def bench_of(board: Board) -> Bench:
    """What repairs need to know of a board."""
    return Bench(board.root, board.folders, board.failure_limit)


def examine(board: Board, settings: Settings, now: datetime | None = None) -> Examined:
    """Everything that is odd on the board, the gravest first. Nothing is changed, nothing raises.

    Tickets that did not change since the board was last read are not read again.
    """
    now = now or datetime.now(UTC)
    tickets, notes = board.tickets(), board.notes()
    records = family_rules.records(tickets)
    parents = family_rules.parents(records)
    days = settings.stale_days
    found = [*_each(tickets, parents), *board_rules.of_tickets(tickets, settings.wip_limit)]
    found += family_rules.of_families(board, tickets, records, days, now)
    found += board_rules.stale([t for t in tickets if t.id not in parents], days, now)
    found += [*board_rules.of_folders(board), *_notes(notes)]
    found += git_rules.of_history(board, [*tickets, *notes], git_rules.seen_on(board).load())
    offers = Offers(board, tickets, parents)
    findings = [_finding(each, offers) for each in found]
    return Examined(tuple(sorted(findings, key=_grave)), tuple(tickets), parents)


def remember(board: Board, examined: Examined) -> None:
    """Keep which tickets were seen, so that the next look can tell which are gone."""
    git_rules.seen_on(board).store(examined.tickets)


_ORDER = {code: n for n, code in enumerate(CODES)}


def _grave(finding: Finding) -> tuple[int, str, int]:
    return _ORDER.get(finding.code, len(_ORDER)), finding.path, finding.line


def _each(tickets: Sequence[Ticket], parents: dict[str, str]) -> Iterable[Diagnosis]:
    """What is odd about each ticket; the record rules what it rules."""
    for ticket in tickets:
        for each in ticket.diagnoses:
            if each.code not in RULED or ticket.id not in parents:
                yield replace(each, path=ticket.source)


def _notes(notes: Sequence[Ticket]) -> Iterable[Diagnosis]:
    for note in notes:
        for each in note.diagnoses:
            if each.code in _OF_NOTES:
                yield replace(each, path=note.source)


def _finding(found: Diagnosis, offers: Offers) -> Finding:
    repair = offers.of(found)
    return Finding(found.code, found.message, found.path, found.line, found.hint, repair)


class Offers:
    """Which repairs can be made, tried on the tickets where that is not plain."""

    def __init__(self, board: Board, tickets: Sequence[Ticket], parents: dict[str, str]) -> None:
        self._bench = bench_of(board)
        self._parents = parents
        self._by_source = {t.source: t for t in tickets}
        self._by_id: dict[str, list[Ticket]] = defaultdict(list)
        for ticket in tickets:
            self._by_id[ticket.id].append(ticket)
        self._tried: dict[str, dict[str, Surety]] = {}

    def of(self, found: Diagnosis) -> Surety:
        """How sure the repair of a finding is, NONE if there is none."""
        ticket = self._by_source.get(found.path)
        if ticket is None:
            return Surety.NONE
        if found.code == "twin":
            return Surety.OFFERED if self._is_plain_twin(ticket) else Surety.NONE
        if found.code not in REPAIRABLE:
            return Surety.NONE
        if is_sure(found.code, ticket):
            return surety(found.code, ticket)
        if ticket.source not in self._tried:
            self._tried[ticket.source] = self._try(ticket)
        return self._tried[ticket.source].get(found.code, Surety.NONE)

    def _is_plain_twin(self, ticket: Ticket) -> bool:
        copies = [t for t in self._by_id[ticket.id] if t.path.name == ticket.path.name]
        return ticket.id not in self._parents and board_rules.same_bytes(copies)

    def _try(self, ticket: Ticket) -> dict[str, Surety]:
        ruled = ticket.id in self._parents

        def certain(code: str, at: Ticket) -> bool:
            return surety(code, at) is Surety.CERTAIN and not (ruled and code in RULED)

        def any_(code: str, at: Ticket) -> bool:
            return not (ruled and code in RULED)

        try:
            first = self._bench.mend(ticket, certain)
            then = self._bench.mend(first.after, any_)
        except (OSError, OrchestrateError):
            return {}
        offered = dict.fromkeys(then.codes, Surety.OFFERED)
        return offered | dict.fromkeys(first.codes, Surety.CERTAIN)
