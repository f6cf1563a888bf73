"""What the board's files said when they were last read, kept up with the folders.

`refresh` looks at every file's times; `look` only at the folders' own, which change with every new,
removed, moved or replaced file, but not when one is written in place.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from orchestrator.domain.folders import Folders
from orchestrator.tickets.index import Index, Listing, Row, Stamp, is_settled, pack, unpack
from orchestrator.tickets.ticket import Ticket

_CONFLICT = re.compile(r"\.conflict-\d{8}T\d{6}")
#: seconds between two writes of the index by a process that looks often
_SAVE_EVERY = 2.0
#: times that the folders are listed again while they change
_LISTED_AGAIN = 5
_NOWHERE = Row(Stamp(0, 0, 0, 0), "", "", False, True, "")


class Catalogue:
    """All files of a board that may be tickets. Keys are places below the board."""

    def __init__(
        self, board: Path, folders: Folders, index: Index, read: Callable[[Path], Ticket]
    ) -> None:
        self._board = board
        self._place = os.fspath(board)
        self._folders = folders
        self._index = index
        self._read = read
        self._listings: dict[str, Listing] = {}
        self._rows: dict[str, Row] = {}
        self._tickets: dict[str, Ticket] = {}
        self._by_id: dict[str, set[str]] = defaultdict(set)
        self._twins: set[str] = set()
        self._by_parent: dict[str, set[str]] = defaultdict(set)
        self._loaded = False
        #: what the index is still to be told: rows, None for those that are gone
        self._unsaved: dict[str, Row | None] = {}
        self._unsaved_folders: set[str] = set()
        self._saved = 0.0
        self._lock = threading.RLock()

    # -- keeping up --------------------------------------------------------------------------

    def refresh(self) -> None:
        """Look at every file; read those that changed."""
        with self._lock:
            self._load()
            before, self._listings = self._listings, self._settled_listings({})
            keys = self._keys()
            self._take(keys, self._rows.keys() - set(keys), before)
            self._save()

    def look(self) -> None:
        """Look at the folders; read the files that are new.

        One that was replaced or moved is taken for the ticket that it was, till `refresh`.
        """
        with self._lock:
            if not self._loaded:
                return self._first_look()
            before = self._listings
            self._listings = dict(self._listed(known=before))
            fresh, gone = list[str](), set[str]()
            for folder in {**before, **self._listings}:
                old, new = before.get(folder), self._listings.get(folder)
                if old is new or (old and new and old.files == new.files):
                    continue
                had, has = old.files if old else {}, new.files if new else {}
                fresh += [_key(folder, n) for n, inode in has.items() if had.get(n) != inode]
                gone |= {_key(folder, name) for name in had.keys() - has.keys()}
            self._take(self._unknown(fresh, gone), gone, before)
            if time.monotonic() - self._saved > _SAVE_EVERY:
                self._save()
            return None

    def _first_look(self) -> None:
        """Believe the index for folders that have not changed since it was written."""
        self._load()
        before = self._listings
        self._listings = self._settled_listings(before)
        same = {f for f, listing in self._listings.items() if before.get(f) is listing}
        keys = self._keys()
        doubtful = [k for k in keys if k.rpartition("/")[0] not in same or k not in self._rows]
        self._take(doubtful, self._rows.keys() - set(keys), before)
        self._save()

    def _unknown(self, fresh: list[str], gone: set[str]) -> list[str]:
        """The files among `fresh` that are no known ticket under its old name."""
        moved = {key.rpartition("/")[2]: key for key in gone}
        unknown = []
        for key in fresh:
            was = key if key in self._rows else moved.get(key.rpartition("/")[2], "")
            if was in self._rows:
                self._put(key, self._rows[was]._replace(stamp=_NOWHERE.stamp))
                self._unsaved[key] = None
            else:
                unknown.append(key)
        return unknown

    def _load(self) -> None:
        if not self._loaded:
            self._loaded = True
            rows, self._listings = self._index.load()
            for key, row in rows.items():
                self._put(key, row)

    def _settled_listings(self, known: dict[str, Listing]) -> dict[str, Listing]:
        """All listings, taken again while they change.

        A file that moves from a folder not yet listed to one already listed would be in neither.
        """
        listings = dict(self._listed(known))
        for _ in range(_LISTED_AGAIN):
            before, listings = listings, dict(self._listed(listings))
            if _files(before) == _files(listings):
                break
        return listings

    def _listed(self, known: dict[str, Listing] | None = None) -> Iterator[tuple[str, Listing]]:
        pending = [""]
        while pending:
            folder = pending.pop()
            listing = self._listing(folder, (known or {}).get(folder))
            if listing is not None:
                yield folder, listing
                pending += sorted(listing.below, reverse=True)

    def _listing(self, folder: str, known: Listing | None) -> Listing | None:
        path = f"{self._place}/{folder}"
        try:
            mtime = os.stat(path).st_mtime_ns  # noqa: PTH116 - looked at often
            if known is not None and known.settled and known.mtime == mtime:
                return known
            listing = Listing(mtime, settled=is_settled(mtime))
            had = known.files if known is not None else {}
            with os.scandir(path) as scan:
                for entry in scan:
                    name, inode = entry.name, entry.inode()
                    if had.get(name) == inode:
                        listing.files[name] = inode
                    else:
                        _list(listing, folder, entry)
        except OSError:
            return None
        return listing

    def _take(self, keys: Iterable[str], gone: set[str], before: dict[str, Listing]) -> None:
        """Read what changed of these files, and forget those that are gone."""
        for key in keys:
            try:
                stamp = Stamp.of(os.lstat(f"{self._place}/{key}"))
                known = self._rows.get(key)
                if known is not None and known.stamp == stamp:
                    continue
                ticket = self._read(self._board / key)
            except FileNotFoundError:
                gone = gone | {key}
                continue
            if stamp.settled:
                self._remember(key, ticket, stamp)
            else:
                # it is read again the next time
                self._remember(key, ticket, _NOWHERE.stamp)
                self._unsaved[key] = None
        for key in gone:
            self._drop(key)
            self._unsaved[key] = None
        now = self._listings
        self._unsaved_folders |= {f for f in {**before, **now} if before.get(f) != now.get(f)}

    def _save(self) -> None:
        """Tell the index what has changed; it may lag behind, for it is never believed blindly."""
        if self._unsaved or self._unsaved_folders:
            changed = {key: row for key, row in self._unsaved.items() if row is not None}
            folders = {folder: self._listings.get(folder) for folder in self._unsaved_folders}
            self._index.store(changed, self._unsaved.keys() - changed.keys(), folders)
            self._unsaved, self._unsaved_folders = {}, set()
        self._saved = time.monotonic()

    def _remember(self, key: str, ticket: Ticket, stamp: Stamp) -> None:
        row = pack(ticket, stamp)
        self._put(key, row)
        self._unsaved[key] = row
        # the text of thousands of files is not kept
        ticket.__dict__.pop("document", None)
        self._tickets[key] = ticket

    def _put(self, key: str, row: Row) -> None:
        self._drop(key)
        self._rows[key] = row
        holders = self._by_id[row.id]
        holders.add(key)
        if row.id and len(holders) > 1:
            self._twins.add(row.id)
        if row.parent:
            self._by_parent[row.parent].add(key)

    def _drop(self, key: str) -> None:
        row = self._rows.pop(key, _NOWHERE)
        holders = self._by_id[row.id]
        holders.discard(key)
        if len(holders) < 2:
            self._twins.discard(row.id)
        self._by_parent[row.parent].discard(key)
        self._tickets.pop(key, None)

    # -- asking ------------------------------------------------------------------------------

    def all(self) -> list[Ticket]:
        """Every ticket and note, by folder and name."""
        with self._lock:
            found = map(self._ticket, self._keys())
            return [ticket for ticket in found if ticket and not self._is_beside(ticket)]

    def _keys(self) -> list[str]:
        return [_key(f, n) for f, listing in self._listings.items() for n in sorted(listing.files)]

    def twins(self) -> set[str]:
        """The ids that more than one file holds."""
        with self._lock:
            return set(self._twins)

    def holders(self, id: str) -> list[Ticket]:
        """The tickets with an id."""
        return self._those(self._by_id.get(id, ()))

    def children(self, parent: str) -> list[Ticket]:
        """The tickets that name a parent, by id."""
        return sorted(self._those(self._by_parent.get(parent, ())), key=lambda t: t.id)

    def ids(self) -> set[str]:
        """The ids of all tickets."""
        with self._lock:
            return {row.id for row in self._rows.values() if not row.note}

    def names(self) -> set[str]:
        """The ids of all files, notes included, and the names that begin otherwise."""
        with self._lock:
            ids = {row.id for row in self._rows.values()}
            named = ((key.rpartition("/")[2], row.id) for key, row in self._rows.items())
            return ids | {name for name, id in named if not id or not name.startswith(id)}

    def _those(self, keys: set[str] | tuple[()]) -> list[Ticket]:
        with self._lock:
            found = map(self._ticket, sorted(keys))
            return [t for t in found if t and not t.note and not self._is_beside(t)]

    def _is_beside(self, ticket: Ticket) -> bool:
        """A file without an id of its own that is named like a ticket is a note beside it."""
        if ticket.own_id or ticket.note:
            return False
        return any(self._rows[key].own_id for key in self._by_id.get(ticket.id, ()))

    def _ticket(self, key: str) -> Ticket | None:
        known = self._tickets.get(key)
        if known is None and key in self._rows:
            folder = key.rpartition("/")[0]
            path, role = self._board / key, self._folders.role_of(folder)
            known = unpack(self._rows[key], path, folder, role) or self._again(path)
            if known is not None:
                self._tickets[key] = known
        return known

    def _again(self, path: Path) -> Ticket | None:
        """A ticket whose row in the index is broken."""
        try:
            ticket = self._read(path)
        except FileNotFoundError:
            return None
        ticket.__dict__.pop("document", None)
        return ticket


def _key(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _files(listings: dict[str, Listing]) -> dict[str, dict[str, int]]:
    return {folder: listing.files for folder, listing in listings.items()}


def _list(listing: Listing, folder: str, entry: os.DirEntry[str]) -> None:
    name = entry.name
    if name[0] == ".":
        return
    if entry.is_dir(follow_symlinks=False):
        listing.below.append(_key(folder, name))
    elif name[-3:].lower() == ".md" and not (".conflict-" in name and _CONFLICT.search(name)):
        listing.files[name] = entry.inode()
