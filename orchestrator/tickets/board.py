"""The board: every ticket of a workspace, found by id and family, moved without overwriting."""

from __future__ import annotations

import contextlib
import difflib
import os
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.domain.folders import DEFAULT_BOARD, HISTORIES, Folders, normal_status, subfolders
from orchestrator.domain.id_grammar import (
    folded_id,
    ids_in_field,
    without_child_suffix,
    without_prefix,
)
from orchestrator.domain.keys import key_table
from orchestrator.domain.states import FolderRole
from orchestrator.errors import OrchestrateError, TicketError, UnsafePathError
from orchestrator.git.ignoring import ignore_in_clone
from orchestrator.settings.board import read_board_part
from orchestrator.storage import atomic
from orchestrator.tickets.catalog import Catalog
from orchestrator.tickets.index import Index
from orchestrator.tickets.ticket import Ticket

if TYPE_CHECKING:
    from orchestrator.tickets.criteria import Unread

__all__ = ["Board", "FolderRole", "Folders", "normal_status"]

#: why a file with keys is not read as a ticket
UNREAD = ("not-a-ticket", "id-taken", "template")
#: tickets whose text is kept; a family has a handful
_FRESH = 64
#: seconds between two searches for what killed processes left
_SWEEP_EVERY = 600.0


def _refuse_links(root: Path, board: Path) -> None:
    """Raise UnsafePathError where what this program alone writes would be written elsewhere."""
    state = root / ".orchestrate"
    with contextlib.suppress(OSError):
        for place in (board / HISTORIES, state, *(state.iterdir() if state.is_dir() else ())):
            if place.is_symlink() or (place in (board / HISTORIES, state) and place.is_file()):
                raise UnsafePathError(
                    "is a link" if place.is_symlink() else "is not a folder",
                    path=place,
                    code="link",
                    hint="put the folder itself here: what the conductor keeps lies in it",
                )


class Board:
    """The tickets of one workspace.

    `folder` holds them, relative to `root`. What is not given is taken from the workspace's
    `orchestrate.toml`, if there is one.
    """

    def __init__(
        self,
        root: Path,
        folder: str | None = None,
        folders: Folders | None = None,
        failure_limit: int | None = None,
        criteria_headings: tuple[str, ...] = (),
        keys: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.root = root = Path(os.path.abspath(root))  # noqa: PTH100 - links stay
        if folders is None and folder is None and (root / "orchestrate.toml").exists():
            part = read_board_part(root)
            folders = part.folders_in(root)
            failure_limit = failure_limit or part.failure_limit
            criteria_headings = criteria_headings or part.criteria_headings
            keys = keys or part.keys
        place = folder or (folders.board if folders else DEFAULT_BOARD)
        #: the board's own folder
        self.path = atomic.inside(root, place)
        _refuse_links(root, self.path)
        self.folders = folders or Folders(subfolders(self.path), board=place)
        self.failure_limit = failure_limit or 2
        ignore_in_clone(root)
        self.criteria_headings = criteria_headings
        #: the workspace's own keys, and what they say
        self.keys = keys
        index = Index(
            root / ".orchestrate" / "state" / "index.sqlite",
            f"{self.folders.signature} {self.failure_limit} {self.criteria_headings} {keys}",
        )
        self._next_sweep = 0.0
        #: tickets as they were last read, with their texts
        self._fresh: OrderedDict[Path, Ticket] = OrderedDict()
        source = self.path.relative_to(root).as_posix()
        self._catalog = Catalog(self.path, source, self.folders, index, self.read)

    # -- reading -----------------------------------------------------------------------------

    def tickets(self) -> list[Ticket]:
        """Every ticket, by folder and name. One bad file never hides the others."""
        return [ticket for ticket in self._all() if not ticket.note]

    def tickets_and_unread(self) -> tuple[list[Ticket], list[Ticket]]:
        """As `tickets`, and the files with keys that are not tickets; their diagnoses say why."""
        found = self._all()
        return [t for t in found if not t.note], [t for t in found if _is_unread(t)]

    def notes(self) -> list[Ticket]:
        """The markdown files that are not tickets: templates, read-mes, notes."""
        return [ticket for ticket in self._all() if ticket.note]

    def _all(self) -> list[Ticket]:
        self._catalog.refresh()
        return self._catalog.all()

    def read(self, path: Path) -> Ticket:
        """The ticket in a file of the board. Raises FileNotFoundError."""
        from orchestrator.tickets.reader import read_ticket

        return read_ticket(
            path,
            self.folders,
            self.root,
            limit=self.failure_limit,
            headings=self.criteria_headings,
            keys=self.keys,
        )

    def look(self) -> None:
        """Look at the folders now, so that who asks for a ticket next need not wait for that."""
        self._catalog.refresh_folders()

    def forget(self) -> None:
        """Free what was made for a list of the whole board; it is made again for who asks."""
        self._catalog.forget()

    def hold(self) -> AbstractContextManager[None]:
        """For the families that are looked up within it the folders are looked at once, now.

        Each ticket is still read afresh; one that has left its place is searched.
        """
        return self._catalog.hold()

    def remember(self, ticket: Ticket) -> None:
        """Spare a ticket that was just read or written from being parsed again."""
        self._fresh[ticket.path] = ticket
        self._fresh.move_to_end(ticket.path)
        if len(self._fresh) > _FRESH:
            self._fresh.popitem(last=False)

    def find(self, id: str) -> Ticket:
        """The ticket with that id, read afresh.

        Raises TicketError: `no-such-ticket` with near misses, `duplicate-id` with both paths.
        """
        wanted = unicodedata.normalize("NFC", id.strip())
        self._catalog.refresh_folders()
        ticket = self._find_known(wanted)
        if ticket is None:
            # an id that was written into a file in place changes no folder
            self._catalog.refresh()
            ticket = self._find_known(wanted)
        if ticket is not None:
            return ticket
        folded = {known.casefold().replace("_", "-"): known for known in self._catalog.ids()}
        close = difflib.get_close_matches(
            wanted.casefold().replace("_", "-"), sorted(folded), n=3, cutoff=0.6
        )
        hint = f"did you mean {', '.join(folded[n] for n in close)}?" if close else ""
        raise TicketError(
            f"there is no ticket {wanted}", code="no-such-ticket", hint=hint or "orchestrate list"
        )

    def look_up(self, id: str) -> Ticket:
        """As `find`, to be shown: a file that is as the index knows it is not read again."""
        self._catalog.refresh_folders()
        found = self.holders(unicodedata.normalize("NFC", id.strip()))
        if len(found) == 1 and self._catalog.is_unchanged(found[0]):
            return found[0]
        return self.find(id)

    def resolve(self, text: str) -> str:
        """The id of the one ticket that a person means: `wo-008`, `WO_8` and `8` are WO-008.

        What fits no ticket is returned as it is. Raises TicketError (code `ambiguous-id`) where
        several fit.
        """
        wanted = unicodedata.normalize("NFC", text.strip())
        self._catalog.refresh_folders()
        if self.holders(wanted):
            return wanted
        self._catalog.refresh()
        known = sorted(self._catalog.ids())
        if wanted in known:
            return wanted
        folded = folded_id(wanted)
        fits = [id for id in known if folded_id(id) == folded]
        if not fits and folded[:1].isdigit():
            fits = [id for id in known if without_prefix(folded_id(id)) == folded]
        if not fits and self.folders.scoped:
            fits = [id for id in known if folded_id(id).endswith(f"-{folded}")]
        if len(fits) > 1:
            raise TicketError(
                f"{wanted} may be {' or '.join(fits)}",
                code="ambiguous-id",
                hint="name one of them as it is written",
            )
        return fits[0] if fits else wanted

    def _find_known(self, id: str) -> Ticket | None:
        found = self._catalog.holders(id)
        if len(found) > 1:
            places = " and ".join(ticket.source for ticket in found)
            raise TicketError(
                f"{len(found)} files have the id {id}: {places}",
                path=found[0].path,
                code="duplicate-id",
                hint="give all but one another id, or remove the copy",
            )
        return self.still_at(id, found[0].path) if found else None

    def holders(self, id: str) -> list[Ticket]:
        """All tickets with that id, as they were when the board was last read."""
        return self._catalog.holders(id)

    def children_of(self, members: Iterable[str], listed: Iterable[str]) -> tuple[str, ...]:
        """The ids that name one of these as their parent, or are `listed` and there."""
        named = {child.id for member in members for child in self._catalog.children(member)}
        return tuple(sorted(named.union(id for id in listed if self.holders(id))))

    def duplicate_ids(self) -> set[str]:
        """The ids that more than one file had when the board was last read."""
        return self._catalog.duplicate_ids()

    def still_at(self, id: str, path: Path) -> Ticket | None:
        """The ticket at `path`, read afresh, if it still has that id."""
        known = self._fresh.pop(path, None)
        try:
            if known is None or known.content is None or not _holds(path, known.content):
                known = self.read(path)
        except FileNotFoundError:
            return None
        self.remember(known)
        return self._catalog.linked(known) if known.id == id else None

    def family(self, id: str) -> tuple[Ticket, ...]:
        """A ticket's whole family, parent first, children as the parent lists them, then by id.

        Raises TicketError as `find`.
        """
        found = self.find(id)
        members = {found.id: found}
        top, seen = found, {found.id}
        while (parent := self._parent(top)) is not None and parent.id not in seen:
            seen.add(parent.id)
            top = parent
        order = [top.id]
        for member in order:
            # one that was moved just now is looked for once more
            ticket = members.get(member) or self._find_known(member) or self.find(member)
            members[member] = ticket
            listed = [
                child
                for child in ticket.children
                if any(t.parent in ("", ticket.id) for t in self.holders(child)[:1])
            ]
            named = (t.id for t in self._catalog.children(ticket.id))
            order += [child for child in dict.fromkeys((*listed, *named)) if child not in order]
        return tuple(members[member] for member in order)

    def _parent(self, ticket: Ticket) -> Ticket | None:
        if ticket.parent:
            return next(iter(self.holders(ticket.parent)), None)
        stem = without_child_suffix(ticket.id)
        listed = (t for t in self.holders(stem) if stem != ticket.id and ticket.id in t.children)
        return next(listed, None)

    def unread_dependencies(self, ticket: Ticket) -> list[Unread]:
        """Lines of the text that name tickets of the board which no key says it waits for."""
        from orchestrator.tickets.criteria import Unread
        from orchestrator.tickets.criteria_headings import headings_of
        from orchestrator.tickets.text_says import said_in_text

        keys, headings = key_table(self.keys), headings_of(self.criteria_headings)
        found: list[Unread] = []
        try:
            document = ticket.document
        except (OSError, OrchestrateError):
            return found
        told = said_in_text(document, keys, headings, ticket.local_id)
        read = {ticket.id, ticket.parent, *ticket.children, *ticket.depends_on} if told else set()
        for said in told:
            ids = ids_in_field(said.value, ticket.local_id) if said.name == "depends_on" else ()
            known = dict.fromkeys(map(self._catalog.known_id, ids))
            if missing := [id for id in known if id not in read and self.holders(id)]:
                why = f"not read, and no key says that it waits for {', '.join(missing)}"
                found.append(Unread((said.line,), (said.text,), "line", "", why))
        return found

    def paths(self) -> list[Path]:
        """The files of all tickets."""
        return [ticket.path for ticket in self.tickets()]

    def inside(self, relative: str | Path) -> Path:
        """A path of the workspace. Raises UnsafePathError if it leaves it."""
        return atomic.inside(self.root, relative)

    def names(self) -> set[str]:
        """All ids, and other names of files and histories: each may take a number."""
        history = self.path / HISTORIES
        recorded = {path.name for path in history.glob("*")} if history.is_dir() else set()
        self._catalog.refresh()
        return recorded | self._catalog.names()

    # -- writing -----------------------------------------------------------------------------

    def move(self, path: Path, role: FolderRole, later: set[Path] | None = None) -> Path:
        """Move a ticket's file to the folder of a role, made on first use; returns its new path.

        `later` as in `atomic.move`. Raises TicketError (`occupied`) if a file of that name is
        there.
        """
        target = self.place_for(path, role)
        atomic.require_inside(self.root, self.source_of(target))
        try:
            return atomic.move(path, target, later)
        except FileExistsError as exc:
            raise TicketError(
                f"there is already a file {path.name}",
                path=target,
                code="occupied",
                hint="compare the two files and keep one",
            ) from exc

    def place_for(self, path: Path, role: FolderRole) -> Path:
        """The path of a ticket's file in the folder of a role."""
        folder = self.folders.place_for(self.folders.folder_of(path, self.root), role)
        return Path(f"{self.path}/{folder}/{path.name}")

    def source_of(self, path: Path) -> str:
        """A file of the workspace as messages name it."""
        return os.fspath(path).removeprefix(f"{self.root}/")

    @property
    def is_to_be_swept(self) -> bool:
        """Whether `sweep` would look at the folders now."""
        return time.monotonic() >= self._next_sweep

    def sweep(self) -> list[Path]:
        """Set aside what killed processes left among the tickets; returns the new paths.

        It may be what a person saved at that moment, so it is kept. Because the folders are read
        whole, this is done only once in a while.
        """
        if not self.is_to_be_swept:
            return []
        self._next_sweep = time.monotonic() + _SWEEP_EVERY
        aside = self.root / ".orchestrate" / "state" / "displaced"
        folders = [self.path, *(self.path / name for name in subfolders(self.path))]
        return [path for folder in folders for path in atomic.sweep(folder, aside)]


def _holds(path: Path, content: bytes) -> bool:
    try:
        return atomic.holds(path, content)
    except OrchestrateError:
        return False


def _is_unread(ticket: Ticket) -> bool:
    return ticket.note and any(d.code in UNREAD for d in ticket.diagnoses)
