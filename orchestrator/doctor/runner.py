"""`doctor`: every problem on a board, and who decides that it is fixed (DESIGN 2.5, 2.6)."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.doctor.board_rules import doubtful_ids, same_bytes
from orchestrator.doctor.board_view import BoardView
from orchestrator.doctor.fix_safety import Fixer
from orchestrator.doctor.fixes import Applicability
from orchestrator.doctor.git_rules import LastSeen
from orchestrator.doctor.rules import RULES, rule_for
from orchestrator.tickets.ticket import Ticket

if TYPE_CHECKING:
    from orchestrator.settings.config import Settings
    from orchestrator.tickets.board import Board

_SEVERITY = {code: position for position, code in enumerate(RULES)}


@dataclass(frozen=True)
class Problem:
    """One problem on the board, and its fix."""

    code: str
    message: str
    #: relative to the workspace
    path: str = ""
    #: 1-based, 0 if no line is meant
    line: int = 0
    hint: str = ""
    fix: Applicability = Applicability.DISPLAY_ONLY
    fixed: bool = False

    @property
    def note(self) -> bool:
        """Whether it is harmless."""
        return rule_for(self.code).note

    def to_dict(self) -> dict[str, Any]:
        """The problem for scripts."""
        return {
            "code": self.code,
            "path": self.path,
            "line": self.line,
            "message": self.message,
            "hint": self.hint,
            "note": self.note,
            "repair": self.fix.value or None,
            "applied": self.fixed,
        }


@dataclass(frozen=True)
class Checkup:
    """A board's problems, most severe first."""

    problems: tuple[Problem, ...]
    tickets: tuple[Ticket, ...] = ()
    #: member → parent, of the conducted families
    parents: dict[str, str] = field(default_factory=dict)
    #: sources of tickets without `id:` for which something speaks for another id
    doubted: frozenset[str] = frozenset()

    @property
    def healthy(self) -> bool:
        """Whether nothing but harmless notes is left."""
        return all(problem.note or problem.fixed for problem in self.problems)

    def of(self, id: str) -> Checkup:
        """What concerns the tickets with one id."""
        wanted = unicodedata.normalize("NFC", id.strip())
        tickets = tuple(t for t in self.tickets if t.id == wanted)
        paths = {t.source for t in tickets}
        problems = tuple(p for p in self.problems if p.path in paths)
        return replace(self, problems=problems, tickets=tickets)


def examine(
    board: Board,
    settings: Settings,
    now: datetime | None = None,
    codes: Collection[str] = tuple(RULES),
) -> Checkup:
    """Find every problem on the board, or those of some codes. Nothing is changed or raised.

    Tickets that did not change since the board was last read are not read again.
    """
    view = BoardView(board, settings, now or datetime.now(UTC))
    fixer = Fixer.of(board)
    by_source = {ticket.source: ticket for ticket in view.tickets}
    #: source → code → who decides, of the tickets on which fixes were tried
    tried: dict[str, dict[str, Applicability]] = {}
    doubted = frozenset(doubtful_ids(view))
    problems = []
    for find in dict.fromkeys(RULES[code].find for code in RULES if code in codes):
        for found in find(view):
            if found.code not in codes:
                continue
            fix = Applicability.DISPLAY_ONLY
            ticket, rule = by_source.get(found.path), rule_for(found.code)
            if ticket is None or rule.fix is None:
                pass
            elif rule.fix.edit is None:
                copies = [t for t in view.by_id[ticket.id] if t.path.name == ticket.path.name]
                if ticket.id not in view.parents and same_bytes(copies):
                    fix = rule.applicability()
            elif rule.always_works(ticket, board.folders):
                fix = rule.applicability(ticket)
            else:
                if ticket.source not in tried:
                    tried[ticket.source] = fixer.try_all(ticket, ticket.id in view.parents)
                fix = tried[ticket.source].get(found.code, fix)
            if found.code == "no-id" and found.path in doubted and fix is Applicability.SAFE:
                fix = Applicability.UNSAFE
            problems.append(
                Problem(found.code, found.message, found.path, found.line, found.hint, fix)
            )
    problems.sort(key=lambda p: (_SEVERITY.get(p.code, len(_SEVERITY)), p.path, p.line))
    return Checkup(tuple(problems), tuple(view.tickets), view.parents, doubted)


def remember(board: Board, checkup: Checkup) -> None:
    """Keep which tickets were seen, so that the next run can report which are gone."""
    LastSeen.of(board).store(checkup.tickets)
