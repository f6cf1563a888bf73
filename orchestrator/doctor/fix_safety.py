"""Fixes are tried on a copy; one that would change what the ticket means is not kept.

A fix is kept only if the reader finds the same ticket afterwards (id, status, owner, title and
every key, except those that the fix is there to change) and the problem is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.doctor.fixes import Applicability, EditableText, FixContext
from orchestrator.doctor.rules import RULES, rule_for
from orchestrator.domain.folders import Folders
from orchestrator.errors import OrchestrateError
from orchestrator.markdown.frontmatter import Document
from orchestrator.tickets.reader import ticket_from_document
from orchestrator.tickets.ticket import Ticket, is_wide

if TYPE_CHECKING:
    from orchestrator.tickets.board import Board

#: larger files are left to a person (bytes), and no file needs more fixes than this
_LARGEST, _STEPS = 4 << 20, 60
_ORDER = {code: position for position, code in enumerate(RULES)}


@dataclass(frozen=True)
class FixedTicket:
    """A ticket after its fixes: what is to be written, and where it then belongs."""

    before: Ticket
    after: Ticket
    #: what was fixed, in order
    codes: tuple[str, ...]

    @property
    def data(self) -> bytes:
        return self.after.document.data

    @property
    def moved(self) -> bool:
        return self.after.path != self.before.path


@dataclass(frozen=True)
class Fixer:
    """Fixes tickets in memory, by the folders and limits of a board."""

    root: Path
    folders: Folders
    failure_limit: int = 2
    criteria_headings: tuple[str, ...] = ()
    keys: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, board: Board) -> Fixer:
        """The fixer for a board's tickets."""
        limit, headings = board.failure_limit, board.criteria_headings
        return cls(board.root, board.folders, limit, headings, board.keys)

    def fix(self, ticket: Ticket, allowed: Callable[[str, Ticket], bool]) -> FixedTicket:
        """Apply every fix that is allowed and keeps the meaning, until none is left.

        Raises OSError, OrchestrateError if the file cannot be read.
        """
        after, codes = ticket, list[str]()
        data = ticket.document.data
        if len(data) <= _LARGEST and not is_wide(data):
            while len(codes) < _STEPS and (step := self._fix_one(after, allowed)):
                after = step[1]
                codes.append(step[0])
        return FixedTicket(ticket, after, tuple(codes))

    def try_all(self, ticket: Ticket, conducted: bool) -> dict[str, Applicability]:
        """Code → who decides, of the fixes that can be applied to a ticket."""

        def is_open(code: str, at: Ticket) -> bool:
            return not (conducted and rule_for(code).decided_by_record)

        def is_safe(code: str, at: Ticket) -> bool:
            return is_open(code, at) and rule_for(code).applicability(at) is Applicability.SAFE

        try:
            safe = self.fix(ticket, is_safe)
            unsafe = self.fix(safe.after, is_open)
        except (OSError, OrchestrateError):
            return {}
        offered = dict.fromkeys(unsafe.codes, Applicability.UNSAFE)
        return offered | dict.fromkeys(safe.codes, Applicability.SAFE)

    def _fix_one(
        self, ticket: Ticket, allowed: Callable[[str, Ticket], bool]
    ) -> tuple[str, Ticket] | None:
        for found in sorted(ticket.diagnoses, key=lambda d: _ORDER.get(d.code, 0)):
            fix = rule_for(found.code).fix
            if fix is None or fix.edit is None or not allowed(found.code, ticket):
                continue
            text = EditableText(ticket.document.data)
            if not fix.edit(text, FixContext(ticket, found, self.folders, self.failure_limit)):
                continue
            after = self._read(ticket, text)
            counts = [sum(d.code == found.code for d in t.diagnoses) for t in (ticket, after)]
            if counts[1] < counts[0] and fix.keeps_meaning(ticket, after):
                return found.code, after
        return None

    def _read(self, ticket: Ticket, text: EditableText) -> Ticket:
        path, folder, source = ticket.path, ticket.folder, ticket.source
        if text.role is not None:
            folder = self.folders.place_for(folder, text.role)
            path = self.root / self.folders.board / folder / path.name
            source = path.relative_to(self.root).as_posix()
        place = {"path": path, "folder": folder, "source": source}
        return ticket_from_document(
            Document.parse(text.data),
            place,
            self.folders,
            self.failure_limit,
            self.criteria_headings,
            self.keys,
        )
