"""The board: every ticket of a workspace, found by id and family, moved without overwriting."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from orchestrator import files
from orchestrator.errors import TicketError
from orchestrator.folders import DEFAULT_BOARD, Folders, normal_status, subfolders
from orchestrator.index import Index, Stamp
from orchestrator.states import FolderRole
from orchestrator.ticket import Ticket, id_from_name

__all__ = ["Board", "FolderRole", "Folders", "normal_status"]

_CONFLICT = re.compile(r"\.conflict-\d{8}T\d{6}")
_HIGHEST = re.compile(r"[A-Z][A-Z0-9]*[-_](\d{1,9})(?:-(\d{3,9}))?")


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
        self.path = files.inside(root, place)
        self.folders = folders or Folders(subfolders(self.path), board=place)
        self.failure_limit = failure_limit or 2
        self._index = Index(
            root / ".orchestrate" / "state" / "index.json",
            f"{self.folders.signature} {self.failure_limit}",
        )

    # -- reading -----------------------------------------------------------------------------

    def tickets(self) -> list[Ticket]:
        """Every ticket, by folder and name. One bad file never hides the others."""
        return [ticket for ticket in self._all() if not ticket.note]

    def notes(self) -> list[Ticket]:
        """The markdown files that are no tickets: templates, read-mes, notes."""
        return [ticket for ticket in self._all() if ticket.note]

    def _all(self) -> list[Ticket]:
        with self._index as index:
            found = [
                ticket
                for folder, entry in _markdown_files(self.path)
                if (ticket := self._ticket(index, folder, entry)) is not None
            ]
        return _without_beside(found)

    def _ticket(self, index: Index, folder: str, entry: os.DirEntry[str]) -> Ticket | None:
        key = f"{folder}/{entry.name}"
        try:
            stamp = Stamp.of(entry.stat(follow_symlinks=False))
        except FileNotFoundError:
            return None
        known = index.get(key, stamp, Path(entry.path), folder, self.folders.role_of(folder))
        if known is not None:
            return known
        try:
            ticket = self._read(Path(entry.path))
        except FileNotFoundError:
            return None
        index.put(key, stamp, ticket)
        return ticket

    def _read(self, path: Path) -> Ticket:
        return Ticket.read(path, self.folders, self.root, limit=self.failure_limit)

    def find(self, id: str) -> Ticket:
        """The ticket with that id, read afresh.

        Raises TicketError: `no-such-ticket` with near misses, `duplicate-id` with both paths.
        """
        wanted = unicodedata.normalize("NFC", id.strip())
        tickets = self.tickets()
        found = [ticket for ticket in tickets if ticket.id == wanted]
        if len(found) > 1:
            raise _duplicate(wanted, found)
        if not found:
            raise _unknown(wanted, tickets)
        try:
            return self._read(found[0].path)
        except FileNotFoundError:
            # it was moved between the look and the read
            return self.find(id)

    def still_at(self, id: str, path: Path) -> Ticket | None:
        """The ticket at `path`, read afresh, if it is still the one with that id."""
        try:
            ticket = self._read(path)
        except FileNotFoundError:
            return None
        return ticket if ticket.id == id else None

    def family(self, id: str) -> tuple[Ticket, ...]:
        """A ticket's whole family, parent first, children as the parent lists them, then by id.

        Raises TicketError as `find`.
        """
        tickets = self.tickets()
        head = _head(self.find(id), tickets)
        members = _with_descendants(head.id, tickets)
        return tuple(self.find(member) for member in members)

    def paths(self) -> list[Path]:
        """The files of all tickets."""
        return [ticket.path for ticket in self.tickets()]

    def inside(self, relative: str | Path) -> Path:
        """A path of the workspace. Raises UnsafePathError if it leaves it."""
        return files.inside(self.root, relative)

    # -- writing -----------------------------------------------------------------------------

    def move(self, path: Path, role: FolderRole) -> Path:
        """Move a ticket's file to the folder of a role, made on first use; returns its new path.

        Raises TicketError (`occupied`) if another file has that name there.
        """
        target = self.path / self.folders.for_role(role) / path.name
        files.inside(self.root, target.relative_to(self.root))
        try:
            return files.move(path, target)
        except FileExistsError as exc:
            raise TicketError(
                f"{path.name} lies there already",
                path=target,
                code="occupied",
                hint="compare the two files and keep one",
            ) from exc

    def sweep(self) -> list[Path]:
        """Put away what killed processes left between the tickets; returns where it lies now."""
        aside = self.root / ".orchestrate" / "state" / "displaced"
        folders = [self.path, *(self.path / name for name in subfolders(self.path))]
        return [path for folder in folders for path in files.sweep(folder, aside)]

    def next_number(self) -> int:
        """One more than the highest number ever used: ids, ranges, file names, histories."""
        history = self.path / ".receipts"
        names = [ticket.id for ticket in self._all()] + [p.name for p in self.paths()]
        names += [p.name for p in history.glob("*")] if history.is_dir() else []
        return max((number for name in names for number in _numbers(name)), default=0) + 1


def _markdown_files(board: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Folder (relative to the board) and entry of every file that may be a ticket, in order."""
    pending = [("", board)]
    while pending:
        folder, path = pending.pop()
        try:
            with os.scandir(path) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError:
            continue
        below = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                below.append((f"{folder}/{entry.name}".lstrip("/"), Path(entry.path)))
            elif entry.name.lower().endswith(".md") and not _CONFLICT.search(entry.name):
                yield folder, entry
        pending += reversed(below)


def _without_beside(tickets: list[Ticket]) -> list[Ticket]:
    """A file without an id of its own that is named like a ticket is a note beside it."""
    owned = {ticket.id for ticket in tickets if ticket.own_id}
    return [t for t in tickets if t.own_id or t.note or t.id not in owned]


def _head(ticket: Ticket, tickets: list[Ticket]) -> Ticket:
    """The topmost parent that is on the board."""
    seen = {ticket.id}
    while (parent := _parent(ticket, tickets)) is not None and parent.id not in seen:
        seen.add(parent.id)
        ticket = parent
    return ticket


def _parent(ticket: Ticket, tickets: list[Ticket]) -> Ticket | None:
    if ticket.parent:
        return next((t for t in tickets if t.id == ticket.parent), None)
    stem = re.sub(r"(?<=\d)(?:-?[A-Za-z]|\.\d+)\Z", "", ticket.id)
    listed = (t for t in tickets if t.id == stem != ticket.id and ticket.id in t.children)
    return next(listed, None)


def _with_descendants(id: str, tickets: list[Ticket]) -> list[str]:
    members, pending = [id], [id]
    while pending:
        new = [child for child in _children(pending.pop(0), tickets) if child not in members]
        members += new
        pending += new
    return members


def _children(member: str, tickets: list[Ticket]) -> list[str]:
    listed = next(t.children for t in tickets if t.id == member)
    known = {t.id: t for t in tickets}
    mine = [id for id in listed if id in known and known[id].parent in ("", member)]
    return mine + sorted(t.id for t in tickets if t.parent == member and t.id not in mine)


def _duplicate(id: str, found: list[Ticket]) -> TicketError:
    places = " and ".join(ticket.source for ticket in found)
    return TicketError(
        f"{id} is held by {len(found)} files: {places}",
        path=found[0].path,
        code="duplicate-id",
        hint="give all but one another id, or remove the copy",
    )


def _unknown(id: str, tickets: list[Ticket]) -> TicketError:
    ids = sorted({ticket.id for ticket in tickets})
    folded = {known.casefold().replace("_", "-"): known for known in ids}
    near = difflib.get_close_matches(id.casefold().replace("_", "-"), folded, n=3, cutoff=0.6)
    hint = f"did you mean {', '.join(folded[n] for n in near)}?" if near else "orchestrate list"
    return TicketError(f"there is no ticket {id}", code="no-such-ticket", hint=hint)


def _numbers(name: str) -> Iterator[int]:
    found = _HIGHEST.match(id_from_name(name) or name)
    for number in found.groups() if found else ():
        if number:
            yield int(number)
