"""The board: every ticket of a workspace, found by id and family, moved without overwriting."""

from __future__ import annotations

import difflib
import os
import re
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from orchestrator.domain.folders import DEFAULT_BOARD, Folders, normal_status, subfolders
from orchestrator.domain.states import FolderRole
from orchestrator.errors import OrchestrateError, TicketError
from orchestrator.storage import atomic
from orchestrator.tickets.catalog import Catalogue
from orchestrator.tickets.index import Index
from orchestrator.tickets.ticket import Ticket

__all__ = ["Board", "FolderRole", "Folders", "normal_status"]

#: tickets whose text is kept; a family has a handful
_FRESH = 64
#: seconds between two looks for what killed processes left
_SWEEP_EVERY = 600.0


class Board:
    """The tickets of one workspace.

    `folder` is where they lie, relative to `root`. What is not given is taken from the workspace's
    `orchestrate.toml`, if there is one.
    """

    def __init__(
        self,
        root: Path,
        folder: str | None = None,
        folders: Folders | None = None,
        failure_limit: int | None = None,
    ) -> None:
        self.root = root = Path(os.path.abspath(root))  # noqa: PTH100 - links stay
        if folders is None and folder is None and (root / "orchestrate.toml").exists():
            from orchestrator.config import load_settings

            settings = load_settings(root)
            folders = Folders.of(root, settings)
            failure_limit = failure_limit or settings.failure_limit
        place = folder or (folders.board if folders else DEFAULT_BOARD)
        #: the board's own folder
        self.path = atomic.inside(root, place)
        self.folders = folders or Folders(subfolders(self.path), board=place)
        self.failure_limit = failure_limit or 2
        index = Index(
            root / ".orchestrate" / "state" / "index.sqlite",
            f"{self.folders.signature} {self.failure_limit}",
        )
        self._next_sweep = 0.0
        #: tickets as they were last read, with their texts
        self._fresh: OrderedDict[Path, Ticket] = OrderedDict()
        self._catalogue = Catalogue(self.path, self.folders, index, self._read)

    # -- reading -----------------------------------------------------------------------------

    def tickets(self) -> list[Ticket]:
        """Every ticket, by folder and name. One bad file never hides the others."""
        return [ticket for ticket in self._all() if not ticket.note]

    def notes(self) -> list[Ticket]:
        """The markdown files that are no tickets: templates, read-mes, notes."""
        return [ticket for ticket in self._all() if ticket.note]

    def _all(self) -> list[Ticket]:
        self._catalogue.refresh()
        return self._catalogue.all()

    def _read(self, path: Path) -> Ticket:
        return Ticket.read(path, self.folders, self.root, limit=self.failure_limit)

    def remember(self, ticket: Ticket) -> None:
        """A ticket that was written just now need not be parsed again."""
        self._fresh[ticket.path] = ticket

    def _read_again(self, path: Path) -> Ticket:
        """The ticket; not parsed again if its bytes are the same as before."""
        known = self._fresh.pop(path, None)
        if known is None or not _is_same(known, path):
            known = self._read(path)
        self._fresh[path] = known
        if len(self._fresh) > _FRESH:
            self._fresh.popitem(last=False)
        return known

    def find(self, id: str) -> Ticket:
        """The ticket with that id, read afresh.

        Raises TicketError: `no-such-ticket` with near misses, `duplicate-id` with both paths.
        """
        wanted = unicodedata.normalize("NFC", id.strip())
        self._catalogue.look()
        ticket = self._only(wanted)
        if ticket is None:
            # an id that was written into a file in place shows in no folder
            self._catalogue.refresh()
            ticket = self._only(wanted)
        if ticket is None:
            raise _unknown(wanted, self._catalogue.ids())
        return ticket

    def _only(self, id: str) -> Ticket | None:
        found = self._catalogue.holders(id)
        if len(found) > 1:
            raise _duplicate(id, found)
        return self.still_at(id, found[0].path) if found else None

    def holders(self, id: str) -> list[Ticket]:
        """All tickets with that id, as they were when the board was last read."""
        return self._catalogue.holders(id)

    def twins(self) -> set[str]:
        """The ids that more than one file held when the board was last looked at."""
        return self._catalogue.twins()

    def still_at(self, id: str, path: Path) -> Ticket | None:
        """The ticket at `path`, read afresh, if it is still the one with that id."""
        try:
            ticket = self._read_again(path)
        except FileNotFoundError:
            return None
        return ticket if ticket.id == id else None

    def family(self, id: str) -> tuple[Ticket, ...]:
        """A ticket's whole family, parent first, children as the parent lists them, then by id.

        Raises TicketError as `find`.
        """
        found = self.find(id)
        members = {found.id: found}
        pending = [self._head(found).id]
        order = list(pending)
        while pending:
            member = pending.pop(0)
            # one that was moved in this moment is looked for once more
            ticket = members.get(member) or self._only(member) or self.find(member)
            members[member] = ticket
            new = [child for child in self._children(ticket) if child not in order]
            order += new
            pending += new
        return tuple(members[member] for member in order)

    def _head(self, ticket: Ticket) -> Ticket:
        """The topmost parent that is on the board."""
        seen = {ticket.id}
        while (parent := self._parent(ticket)) is not None and parent.id not in seen:
            seen.add(parent.id)
            ticket = parent
        return ticket

    def _parent(self, ticket: Ticket) -> Ticket | None:
        if ticket.parent:
            return next(iter(self.holders(ticket.parent)), None)
        stem = re.sub(r"(?<=\d)(?:-?[A-Za-z]|\.\d+)\Z", "", ticket.id)
        listed = (t for t in self.holders(stem) if stem != ticket.id and ticket.id in t.children)
        return next(listed, None)

    def _children(self, ticket: Ticket) -> list[str]:
        mine = [
            id
            for id in ticket.children
            if any(t.parent in ("", ticket.id) for t in self.holders(id)[:1])
        ]
        return mine + [t.id for t in self._catalogue.children(ticket.id) if t.id not in mine]

    def paths(self) -> list[Path]:
        """The files of all tickets."""
        return [ticket.path for ticket in self.tickets()]

    def inside(self, relative: str | Path) -> Path:
        """A path of the workspace. Raises UnsafePathError if it leaves it."""
        return atomic.inside(self.root, relative)

    # -- writing -----------------------------------------------------------------------------

    def move(self, path: Path, role: FolderRole, later: set[Path] | None = None) -> Path:
        """Move a ticket's file to the folder of a role, made on first use; returns its new path.

        `later` as in `files.replace`.

        Raises TicketError (`occupied`) if another file has that name there.
        """
        target = self.place_for(path, role)
        atomic.inside(self.root, target.relative_to(self.root))
        try:
            return atomic.move(path, target, later)
        except FileExistsError as exc:
            raise TicketError(
                f"{path.name} lies there already",
                path=target,
                code="occupied",
                hint="compare the two files and keep one",
            ) from exc

    def place_for(self, path: Path, role: FolderRole) -> Path:
        """Where a ticket's file lies once it is in the folder of a role."""
        return self.path / self.folders.for_role(role) / path.name

    def sweep(self) -> list[Path]:
        """Put away what killed processes left between the tickets; returns where it lies now.

        It may be what a person saved in the moment of the kill, so it is kept.

        Once in a while is enough: the folders are read whole.
        """
        if time.monotonic() < self._next_sweep:
            return []
        self._next_sweep = time.monotonic() + _SWEEP_EVERY
        aside = self.root / ".orchestrate" / "state" / "displaced"
        folders = [self.path, *(self.path / name for name in subfolders(self.path))]
        return [path for folder in folders for path in atomic.sweep(folder, aside)]

    def names(self) -> set[str]:
        """All ids, and what files and histories are named besides: each may take a number."""
        history = self.path / ".receipts"
        told = {path.name for path in history.glob("*")} if history.is_dir() else set()
        self._catalogue.refresh()
        return told | self._catalogue.names()


def _is_same(ticket: Ticket, path: Path) -> bool:
    """Whether the file still holds what the ticket was read from."""
    try:
        known = ticket.known_data
        return known is not None and atomic.holds(path, known)
    except OrchestrateError:
        return False


def _duplicate(id: str, found: list[Ticket]) -> TicketError:
    places = " and ".join(ticket.source for ticket in found)
    return TicketError(
        f"{id} is held by {len(found)} files: {places}",
        path=found[0].path,
        code="duplicate-id",
        hint="give all but one another id, or remove the copy",
    )


def _unknown(id: str, ids: Iterable[str]) -> TicketError:
    ids = sorted(ids)
    folded = {known.casefold().replace("_", "-"): known for known in ids}
    near = difflib.get_close_matches(id.casefold().replace("_", "-"), folded, n=3, cutoff=0.6)
    hint = f"did you mean {', '.join(folded[n] for n in near)}?" if near else "orchestrate list"
    return TicketError(f"there is no ticket {id}", code="no-such-ticket", hint=hint)
