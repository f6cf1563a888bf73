"""What the board's files said when they were last read, kept up with the folders.

`refresh` looks at every file's times; `refresh_folders` only at the folders' own, which change with
every new, removed, moved or replaced file, but not when one is written in place.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from pathlib import Path

from orchestrator.domain.folders import Folders
from orchestrator.domain.id_grammar import folded_id, id_from_name, without_prefix
from orchestrator.markdown.problem import Diagnosis
from orchestrator.tickets.index import (
    BriefRow,
    Home,
    Index,
    IndexRow,
    Listing,
    Stamp,
    is_settled,
)
from orchestrator.tickets.ticket import Ticket

_CONFLICT = re.compile(r"\.conflict-\d{8}T\d{6}")
#: seconds between two writes of the index by a process that looks often
_SAVE_EVERY = 2.0
#: how often the folders are listed again while they change
_RETRIES = 5
_NO_STAMP = Stamp(0, 0, 0, 0)
#: files from which on several processes read them, and how many one gets at a time
_MANY, _CHUNK = 1000, 100
#: rows that are fetched one by one; who asks for more gets all
_FEW = 32
#: in such a process: what reads one
_reads: list[Callable[[str], IndexRow | None]] = []


def _read_apart(key: str) -> IndexRow | None:
    return _reads[-1](key)


#: what is known of a file; a brief row is fetched from the index when its ticket is asked for
_Row = IndexRow | BriefRow


class _Keys:
    """The keys of rows by what they say; gathered when somebody asks first."""

    def __init__(self, rows: Mapping[str, _Row], said: Callable[[_Row], str]) -> None:
        self._rows = rows
        self._said = said
        self._found: dict[str, list[str]] | None = None
        self._repeated: set[str] = set()

    @property
    def all(self) -> dict[str, list[str]]:
        """What is said → the keys of the rows that say it."""
        if self._found is None:
            self._found = {}
            for key, row in self._rows.items():
                self.add(key, row)
        return self._found

    @property
    def repeated(self) -> set[str]:
        """What more than one row says."""
        if self._found is None:
            # mostly there is nothing, which takes no table of all
            said = list(filter(None, map(self._said, self._rows.values())))
            if len(set(said)) == len(said):
                return set()
        return self._repeated if self.all else set()

    def get(self, name: str) -> Sequence[str]:
        return self.all.get(name, ())

    def forget(self) -> None:
        """Gather them anew: the rows are others now."""
        self._found, self._repeated = None, set()

    def add(self, key: str, row: _Row) -> None:
        if self._found is not None and (name := self._said(row)):
            keys = self._found.setdefault(name, [])
            keys.append(key)
            if len(keys) > 1:
                self._repeated.add(name)

    def drop(self, key: str, row: _Row) -> None:
        name = self._said(row)
        if self._found is not None and key in (keys := self._found.get(name, [])):
            keys.remove(key)
            if len(keys) < 2:
                self._repeated.discard(name)


class Catalog:
    """All files of a board that may be tickets. Keys are paths relative to the board."""

    def __init__(
        self,
        board: Path,
        source: str,
        folders: Folders,
        index: Index,
        read: Callable[[Path], Ticket],
    ) -> None:
        self._board = board
        self._place = os.fspath(board)
        self._home = Home(self._place, source, read)
        self._folders = folders
        self._role_at = lru_cache(maxsize=4096)(folders.role_at)
        self._index = index
        self._read = read
        self._listings: dict[str, Listing] = {}
        self._rows: dict[str, _Row] = {}
        #: the keys of those that are brief, and how many were asked for
        self._brief: set[str] = set()
        self._asked = 0
        self._tickets: dict[str, Ticket] = {}
        self._by_id = _Keys(self._rows, attrgetter("id"))
        #: by the folded id, as people do not spell alike what they refer to
        self._by_parent = _Keys(self._rows, lambda row: row.parent and folded_id(row.parent))
        self._by_spelling = _Keys(self._rows, lambda row: folded_id(row.id))
        self._loaded = False
        self._held = False
        #: what is not in the index yet: rows, None for those that are gone
        self._unsaved: dict[str, IndexRow | None] = {}
        self._unsaved_folders: set[str] = set()
        self._saved = 0.0
        self._lock = threading.RLock()

    # -- keeping up --------------------------------------------------------------------------

    def refresh(self) -> None:
        """Look at every file; read those that changed."""
        with self._lock:
            if self._loaded:
                self._complete(list(self._brief))
            else:
                self._loaded = True
                rows, self._listings = self._index.load()
                self._rows.update(rows)
            before, self._listings = self._listings, self._list_until_stable({})
            keys = self._keys()
            self._update(keys, self._rows.keys() - set(keys), before)
            self._save()

    def refresh_folders(self) -> None:
        """Look at the folders; read the files that are new.

        One that was replaced or moved counts as the ticket that it was, until `refresh`.
        """
        with self._lock:
            if not self._loaded:
                return self._trust_index()
            if self._held:
                return None
            before = self._listings
            self._listings = self._list_all(before)
            new, gone = list[str](), set[str]()
            for folder in {**before, **self._listings}:
                old, now = before.get(folder), self._listings.get(folder)
                if old is now:
                    continue
                had, has = old.files if old else {}, now.files if now else {}
                new += [_key(folder, name) for name in (now.new if now else ())]
                gone |= {_key(folder, name) for name in had.keys() - has.keys()}
            moved = {key.rpartition("/")[2]: key for key in gone}
            unknown = []
            for key in new:
                was = key if key in self._rows else moved.get(key.rpartition("/")[2], "")
                if was in self._rows:
                    self._put(key, self._rows[was]._replace(key=key, **_NO_STAMP._asdict()))
                    self._unsaved[key] = None
                else:
                    unknown.append(key)
            self._update(unknown, gone, before)
            if time.monotonic() - self._saved > _SAVE_EVERY:
                self._save()
            return None

    def forget(self) -> None:
        """Keep the rows only, and no tickets that were made of them."""
        with self._lock:
            self._tickets.clear()

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Let `refresh_folders` look no more: who has many families in hand has just looked."""
        self.refresh_folders()
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def _trust_index(self) -> None:
        """Look at the folders for the first time; read those that changed since the index."""
        self._loaded = True
        rows, before = self._index.load_brief()
        self._rows.update(rows)
        self._brief.update(rows)
        self._listings = self._list_until_stable(before)
        same = {f for f, listing in self._listings.items() if before.get(f) is listing}
        keys = self._keys()
        doubtful = [k for k in keys if k.rpartition("/")[0] not in same or k not in self._rows]
        self._update(doubtful, self._rows.keys() - set(keys), before)
        self._save()

    def _complete(self, keys: Iterable[str]) -> None:
        """Have the whole rows of these files: from the index, else from the files themselves."""
        brief = [key for key in keys if key in self._brief]
        if not brief:
            return
        self._asked += len(brief)
        if self._asked > _FEW:
            brief = list(self._brief)
            for each in (self._by_id, self._by_spelling, self._by_parent):
                each.forget()
        rows = self._index.rows_at(brief) if len(brief) <= _FEW else self._index.load()[0]
        lacking = [key for key in brief if key not in rows]
        for key, row in zip(lacking, self._read_rows(lacking), strict=True):
            self._take(key, row)
        for key in brief:
            if key in rows:
                self._put(key, rows[key])

    def _take(self, key: str, row: IndexRow | None) -> None:
        """Note what a file said when it was read just now; None: it is gone."""
        if row is None:
            self._drop(key)
        else:
            self._put(key, row)
        # one that is not settled is read again the next time
        self._unsaved[key] = row if row is not None and row.stamp != _NO_STAMP else None

    def _list_until_stable(self, known: dict[str, Listing]) -> dict[str, Listing]:
        """All listings, taken again while they change.

        A file that moves from a folder not yet listed to one already listed would be in neither.
        """
        listings = self._list_all(known)
        for _ in range(_RETRIES):
            before, listings = listings, self._list_all(listings)
            if before.keys() == listings.keys() and all(
                before[folder].files == listing.files for folder, listing in listings.items()
            ):
                break
        return listings

    def _list_all(self, known: dict[str, Listing]) -> dict[str, Listing]:
        listings: dict[str, Listing] = {}
        pending = [""]
        while pending:
            folder = pending.pop()
            listing = self._list(folder, known.get(folder))
            if listing is not None:
                listings[folder] = listing
                pending += sorted(listing.below, reverse=True)
        return listings

    def _list(self, folder: str, known: Listing | None) -> Listing | None:
        path = f"{self._place}/{folder}"
        try:
            mtime = os.stat(path).st_mtime_ns  # noqa: PTH116 - called often
            if known is not None and known.settled and known.mtime == mtime:
                return known
            listing = Listing(mtime, settled=is_settled(mtime))
            had = known.files if known is not None else {}
            with os.scandir(path) as scan:
                for entry in scan:
                    name, inode = entry.name, entry.inode()
                    if had.get(name) == inode:
                        listing.files[name] = inode
                    elif name[0] == ".":
                        continue
                    elif entry.is_dir(follow_symlinks=False):
                        if not folder and self._folders.is_ignored(name):
                            continue
                        listing.below.append(_key(folder, name))
                    elif name[-3:].lower() == ".md" and not _CONFLICT.search(name):
                        listing.files[name] = inode
                        listing.new.append(name)
        except OSError:
            return None
        return listing

    def _update(self, keys: Iterable[str], gone: set[str], before: dict[str, Listing]) -> None:
        """Read what changed of these files, and forget those that are gone."""
        changed: list[str] = []
        place, rows, look, stamp_of = self._place, self._rows, os.lstat, Stamp.of
        for key in keys:
            try:
                found = look(f"{place}/{key}")
            except FileNotFoundError:
                gone.add(key)
                continue
            row = rows.get(key)
            if row is None or row.mtime != found.st_mtime_ns or row.stamp != stamp_of(found):
                changed.append(key)
        for key, row in zip(changed, self._read_rows(changed), strict=True):
            self._take(key, row)
        for key in gone:
            self._take(key, None)
        now = self._listings
        self._unsaved_folders |= before.keys() - now.keys()
        self._unsaved_folders |= {f for f, each in now.items() if not each.is_same(before.get(f))}

    def _read_rows(self, keys: Sequence[str]) -> Iterable[IndexRow | None]:
        """What these files say, None for one that is gone; many are read by several processes."""
        # a forked child has none of its parent's threads, but the locks that they hold
        cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
        if len(keys) < _MANY or cores < 2 or threading.active_count() > 1:
            return map(self._row_of, keys)
        # what reading imports is shared by the children
        first = self._row_of(keys[0])
        from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
        from multiprocessing import get_context

        with (
            contextlib.suppress(OSError, BrokenExecutor),
            ProcessPoolExecutor(
                cores, get_context("fork"), initializer=_reads.append, initargs=(self._row_of,)
            ) as pool,
        ):
            return [first, *pool.map(_read_apart, keys[1:], chunksize=_CHUNK)]
        return map(self._row_of, keys)

    def _row_of(self, key: str) -> IndexRow | None:
        try:
            stamp = Stamp.of(os.lstat(f"{self._place}/{key}"))
            ticket = self._read(self._board / key)
        except FileNotFoundError:
            return None
        return IndexRow.of(ticket, stamp if stamp.settled else _NO_STAMP, key)

    def _save(self) -> None:
        """Write what has changed to the index. It may lag behind: files are checked against it."""
        if self._unsaved or self._unsaved_folders:
            changed = {key: row for key, row in self._unsaved.items() if row is not None}
            folders = {folder: self._listings.get(folder) for folder in self._unsaved_folders}
            self._index.store(changed, self._unsaved.keys() - changed.keys(), folders)
            self._unsaved, self._unsaved_folders = {}, set()
        self._saved = time.monotonic()

    def _put(self, key: str, row: _Row) -> None:
        self._drop(key)
        self._rows[key] = row
        if isinstance(row, BriefRow):
            self._brief.add(key)
        for each in (self._by_id, self._by_spelling, self._by_parent):
            each.add(key, row)

    def _drop(self, key: str) -> None:
        row = self._rows.pop(key, None)
        self._brief.discard(key)
        if row is not None:
            for each in (self._by_id, self._by_spelling, self._by_parent):
                each.drop(key, row)
        self._tickets.pop(key, None)

    # -- queries -----------------------------------------------------------------------------

    def all(self) -> list[Ticket]:
        """Every ticket and note, by folder and name."""
        with self._lock:
            found = filter(None, map(self._ticket, self._keys()))
            return [
                self._as_side_note(t) if self._is_side_note(t) else self.linked(t) for t in found
            ]

    def _keys(self) -> list[str]:
        return [_key(f, n) for f, listing in self._listings.items() for n in sorted(listing.files)]

    def duplicate_ids(self) -> set[str]:
        """The ids that more than one file has."""
        with self._lock:
            return set(self._by_id.repeated)

    def holders(self, id: str) -> list[Ticket]:
        """The tickets with an id."""
        # a row that was fetched later may say another
        return [t for t in self._tickets_at(self._by_id.get(id)) if t.id == id]

    def is_unchanged(self, ticket: Ticket) -> bool:
        """Whether a ticket's file has the times that it had when it was read."""
        row = self._rows.get(ticket.file.removeprefix(f"{self._place}/"))
        try:
            return row is not None and row.stamp == Stamp.of(os.lstat(ticket.file))
        except OSError:
            return False

    def children(self, parent: str) -> list[Ticket]:
        """The tickets that name a parent, by id."""
        found = self._tickets_at(self._by_parent.get(folded_id(parent)))
        return sorted((t for t in found if t.parent == parent), key=lambda t: t.id)

    def ids(self) -> set[str]:
        """The ids of all tickets."""
        with self._lock:
            return {row.id for row in self._rows.values() if not row.note}

    def names(self) -> set[str]:
        """The ids of all files, notes included, and the file names that do not begin with them."""
        with self._lock:
            ids = {row.id for row in self._rows.values()}
            named = ((key.rpartition("/")[2], row.id) for key, row in self._rows.items())
            return ids | {name for name, id in named if not id or not name.startswith(id)}

    def _tickets_at(self, keys: Iterable[str]) -> list[Ticket]:
        with self._lock:
            # a file may turn out to be gone
            self._complete(wanted := sorted(keys))
            found = map(self._ticket, wanted)
            tickets = [t for t in found if t and not t.note and not self._is_side_note(t)]
            return list(map(self.linked, tickets))

    def known_id(self, reference: str) -> str:
        """The id on the board that a reference means: `task-9`, `9` or a file's name for TASK-009.

        One that fits no ticket, or several, is returned as it is.
        """
        with self._lock:
            if self._by_id.get(reference) or not reference:
                return reference
            spelt = folded_id(reference)
            keys = self._by_spelling.get(spelt)
            if not keys and spelt.isdigit():
                # a bare number
                every = self._by_spelling.all.items()
                keys = [key for s, held in every if without_prefix(s) == spelt for key in held]
            named = self._by_spelling.get(folded_id(id_from_name(reference)))
            keys = keys or [key for key in named if folded_id(key.rpartition("/")[2][:-3]) == spelt]
            ids = {self._rows[key].id for key in keys if not self._rows[key].note}
            return ids.pop() if len(ids) == 1 else reference

    def linked(self, ticket: Ticket) -> Ticket:
        """The ticket with its references in the spelling of the tickets that they mean."""
        if not (ticket.parent or ticket.children or ticket.depends_on):
            return ticket
        refers = (ticket.parent, *ticket.children, *ticket.depends_on)
        ids = {reference: self.known_id(reference) for reference in refers}
        if all(reference == id for reference, id in ids.items()):
            return ticket
        return replace(
            ticket,
            parent=ids[ticket.parent],
            children=tuple(ids[child] for child in ticket.children),
            child_roles={ids[child]: role for child, role in ticket.child_roles.items()},
            depends_on=tuple(dict.fromkeys(ids[id] for id in ticket.depends_on)),
        )

    def _is_side_note(self, ticket: Ticket) -> bool:
        """Whether it has no id of its own and is only named like a ticket that has."""
        if ticket.own_id or ticket.note:
            return False
        return any(self._rows[key].own_id for key in self._by_id.get(ticket.id))

    def _as_side_note(self, ticket: Ticket) -> Ticket:
        """Such a file, saying why it is not a ticket if it has keys (DESIGN 4.7)."""
        if any(d.code == "no-frontmatter" for d in ticket.diagnoses):
            return replace(ticket, note=True, diagnoses=())
        held = next(key for key in self._by_id.get(ticket.id) if self._rows[key].own_id)
        message = f"not read as a ticket: it has no id, and that of its name, {ticket.id}, is"
        hint = "give it an `id:` of its own if it is a ticket"
        found = Diagnosis("id-taken", f"{message} the id of {held}", 1, hint)
        return replace(ticket, note=True, diagnoses=(found,))

    def _ticket(self, key: str) -> Ticket | None:
        known = self._tickets.get(key)
        if known is None and isinstance(row := self._rows.get(key), IndexRow):
            folder = key.rpartition("/")[0]
            role = self._role_at(folder, row.status, row.recorded)
            known = row.ticket(self._home, folder, role)
            if known is None:
                # the row in the index is broken
                try:
                    known = self._read(self._board / key).without_text()
                except FileNotFoundError:
                    return None
            self._tickets[key] = known
        return known


def _key(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
