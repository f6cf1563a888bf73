"""Line edits that mend a ticket, one per code; each is tried and must leave the meaning as it was.

An edit is taken only if the tolerant reader finds the same ticket afterwards (id, status, owner,
title and every key, but for those that the edit is there to change) and the trouble is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.doctor.fixes import EDITS, TO_FOLDER, Case, Edit, Text
from orchestrator.doctor.rules import Surety, malady
from orchestrator.domain.folders import Folders
from orchestrator.markdown.frontmatter import Document
from orchestrator.markdown.frontmatter_parser import Diagnosis
from orchestrator.tickets.diagnosis import FINISHED
from orchestrator.tickets.ticket import Ticket, is_wide

#: larger files are left to a person (bytes), and no file needs more edits than this
_LARGEST, _STEPS = 4 << 20, 60
#: what the record of a conducted family rules
RULED = frozenset(
    {
        *("status-unfinished", "status-drift", "status-unknown", "status-renumbered"),
        *("strike-limit", "failure-undercount", "owner-multiple"),
    }
)
_MEANING = (
    *("id", "title", "status", "owner", "parent", "children", "depends_on", "failure_count"),
    *("created", "priority", "workflow", "conducted", "note"),
)
REPAIRABLE = frozenset(EDITS)
#: edits that are possible without a trial, in a file whose form is sound
_PLAINLY = {code for code, edit in EDITS.items() if edit is TO_FOLDER}
_SOUND = _PLAINLY | {"hold-reason", "boxes-open", "failure-undercount", "strike-limit", "key-alias"}


def surety(code: str, ticket: Ticket) -> Surety:
    """How sure the repair of this code is for this ticket."""
    if code == "status-drift" and ticket.role in FINISHED:
        return Surety.CERTAIN
    return malady(code).surety


@dataclass(frozen=True)
class Mended:
    """A ticket after its repairs: what is to be written, and where it then belongs."""

    before: Ticket
    after: Ticket
    #: the repairs that were made, in order
    codes: tuple[str, ...]

    @property
    def data(self) -> bytes:
        return self.after.document.data

    @property
    def moved(self) -> bool:
        return self.after.path != self.before.path


@dataclass(frozen=True)
class Bench:
    """What repairs need to know of the board."""

    root: Path
    folders: Folders
    limit: int = 2

    def mend(self, ticket: Ticket, allowed: Callable[[str, Ticket], bool]) -> Mended:
        """Make every repair that is allowed and possible, till none is left.

        Raises OSError, OrchestrateError if the file cannot be read.
        """
        after, codes = ticket, list[str]()
        data = ticket.document.data
        if len(data) > _LARGEST or is_wide(data):
            return Mended(ticket, ticket, ())
        while len(codes) < _STEPS and (step := self._step(after, allowed)):
            after = step[1]
            codes.append(step[0])
        return Mended(ticket, after, tuple(codes))

    def _step(
        self, ticket: Ticket, allowed: Callable[[str, Ticket], bool]
    ) -> tuple[str, Ticket] | None:
        order = {code: n for n, code in enumerate(EDITS)}
        for found in sorted(ticket.diagnoses, key=lambda d: order.get(d.code, 0)):
            if found.code in EDITS and allowed(found.code, ticket):
                after = self.mended(ticket, found)
                if after is not None:
                    return found.code, after
        return None

    def mended(self, ticket: Ticket, found: Diagnosis) -> Ticket | None:
        """The ticket after one repair, or None if it cannot be made without harm."""
        edit, text = EDITS[found.code], Text(ticket.document.data)
        if not edit.make(text, Case(ticket, found, self.folders, self.limit)):
            return None
        after = self._read(ticket, text)
        gone = _count(after, found) < _count(ticket, found)
        return after if gone and _same(ticket, after, edit) else None

    def _read(self, ticket: Ticket, text: Text) -> Ticket:
        path, folder = ticket.path, ticket.folder
        if text.role is not None:
            folder = self.folders.for_role(text.role)
            path = self.root / self.folders.board / folder / path.name
        place = {
            "path": path,
            "folder": folder,
            "role": self.folders.role_of(folder),
            "source": path.relative_to(self.root).as_posix() if text.role else ticket.source,
        }
        return Ticket.of(Document.parse(text.data), place, self.folders, self.limit)


def _same(one: Ticket, other: Ticket, edit: Edit) -> bool:
    """Whether two readings mean the same, but for what the edit may change."""
    if any(getattr(one, n) != getattr(other, n) for n in _MEANING if n not in edit.fields):
        return False
    if _record(one) != _record(other):
        return False
    keys = ({*one.meta} | {*other.meta}) - edit.keys
    return "*" in edit.keys or all(_value(one, k) == _value(other, k) for k in keys)


def _value(ticket: Ticket, key: str) -> str:
    return repr(ticket.meta[key]) if key in ticket.meta else ""


def _record(ticket: Ticket) -> list[str]:
    """The lines of the `flow:` block, which no repair touches."""
    text = Text(ticket.document.data)
    found = text.entry("flow") if b"flow:" in ticket.document.data else None
    return text.lines[found.start : found.end] if found else []


def _count(ticket: Ticket, found: Diagnosis) -> int:
    return sum(d.code == found.code for d in ticket.diagnoses)


def is_sure(code: str, ticket: Ticket) -> bool:
    """Whether the edit is possible without a trial."""
    fits = code in _PLAINLY and ticket.role is not None
    return fits and all(d.code in _SOUND for d in ticket.diagnoses)
