"""What the board's files said when they were last read, kept up with the folders.

`refresh` looks at every file's times; `look` only at the folders' own, which change with every new,
removed, moved or replaced file, but not when one is written in place.
"""

from __future__ import annotations

import os
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from orchestrator.folders import Folders
from orchestrator.index import Index, Listing, Row, Stamp, is_settled, pack, unpack
from orchestrator.ticket import Ticket

_CONFLICT = re.compile(r"\.conflict-\d{8}T\d{6}")
_NOWHERE = Row(Stamp(0, 0, 0, 0), "", "", False, True, "")


class Catalogue:
    """All files of a board that may be tickets. Keys are places below the board."""

    def __init__(
        self, board: Path, folders: Folders, index: Index, read: Callable[[Path], Ticket]
    ) -> None:
        self._board = board
        self._folders = folders
        self._index = index
        self._read = read
        self._listings: dict[str, Listing] = {}
        self._rows: dict[str, Row] = {}
        self._tickets: dict[str, Ticket] = {}
        self._by_id: dict[str, set[str]] = defaultdict(set)
        self._by_parent: dict[str, set[str]] = defaultdict(set)
        self._loaded = False
        self._lock = threading.RLock()

    # -- keeping up --------------------------------------------------------------------------

    def refresh(self) -> None:
        """Look at every file; read those that changed."""
        with self._lock:
            self._load()
            before, self._listings = self._listings, dict(self._listed())
            keys = self._keys()
            self._take(keys, self._rows.keys() - set(keys), before)

    def look(self) -> None:
        """Look at the folders; read the files that are new, replaced or moved."""
        with self._lock:
            # a file that was changed just now has no row in the index
            restless = self._load()
            before = self._listings
            self._listings = dict(self._listed(known=before))
            changed, gone = restless, set[str]()
            for folder in {**before, **self._listings}:
                old, new = before.get(folder), self._listings.get(folder)
                if old is new:
                    continue
                had, has = old.files if old else {}, new.files if new else {}
                changed += [_key(folder, n) for n, inode in has.items() if had.get(n) != inode]
                gone |= {_key(folder, name) for name in had.keys() - has.keys()}
            self._take(changed, gone, before)

    def _load(self) -> list[str]:
        """Begin with what the index holds; returns the files of its folders that it lacks."""
        if self._loaded:
            return []
        self._loaded = True
        rows, self._listings = self._index.load()
        for key, row in rows.items():
            self._put(key, row)
        return [key for key in self._keys() if key not in rows]

    def _listed(self, known: dict[str, Listing] | None = None) -> Iterator[tuple[str, Listing]]:
        pending = [""]
        while pending:
            folder = pending.pop()
            listing = self._listing(folder, (known or {}).get(folder))
            if listing is not None:
                yield folder, listing
                pending += reversed(listing.below)

    def _listing(self, folder: str, known: Listing | None) -> Listing | None:
        path = self._board / folder
        try:
            mtime = path.stat().st_mtime_ns
            if known is not None and known.settled and known.mtime == mtime:
                return known
            listing = Listing(mtime, settled=is_settled(mtime))
            with os.scandir(path) as scan:
                for entry in sorted(scan, key=lambda entry: entry.name):
                    _list(listing, folder, entry)
        except OSError:
            return None
        return listing

    def _take(self, keys: Iterable[str], gone: set[str], before: dict[str, Listing]) -> None:
        """Read what changed of these files, forget those that are gone, and tell the index."""
        changed: dict[str, Row] = {}
        restless = set[str]()
        board = os.fspath(self._board)
        for key in keys:
            try:
                stamp = Stamp.of(os.lstat(f"{board}/{key}"))
                known = self._rows.get(key)
                if known is not None and known.stamp == stamp:
                    continue
                ticket = self._read(self._board / key)
            except FileNotFoundError:
                gone = gone | {key}
                continue
            if stamp.settled:
                changed[key] = self._remember(key, ticket, stamp)
            else:
                # it is read again the next time
                self._remember(key, ticket, _NOWHERE.stamp)
                restless.add(key)
        for key in gone:
            self._drop(key)
        folders = self._changed_folders(before)
        if changed or gone or folders:
            self._index.store(changed, gone | restless, folders)

    def _changed_folders(self, before: dict[str, Listing]) -> dict[str, Listing | None]:
        now = self._listings
        return {
            folder: now.get(folder)
            for folder in {**before, **now}
            if before.get(folder) != now.get(folder)
        }

    def _remember(self, key: str, ticket: Ticket, stamp: Stamp) -> Row:
        row = pack(ticket, stamp)
        self._put(key, row)
        # the text of thousands of files is not kept
        ticket.__dict__.pop("document", None)
        self._tickets[key] = ticket
        return row

    def _put(self, key: str, row: Row) -> None:
        self._drop(key)
        self._rows[key] = row
        self._by_id[row.id].add(key)
        if row.parent:
            self._by_parent[row.parent].add(key)

    def _drop(self, key: str) -> None:
        row = self._rows.pop(key, _NOWHERE)
        self._by_id[row.id].discard(key)
        self._by_parent[row.parent].discard(key)
        self._tickets.pop(key, None)

    # -- asking ------------------------------------------------------------------------------

    def all(self) -> list[Ticket]:
        """Every ticket and note, by folder and name."""
        with self._lock:
            found = map(self._ticket, self._keys())
            return [ticket for ticket in found if ticket and not self._is_beside(ticket)]

    def _keys(self) -> list[str]:
        return [_key(f, name) for f, listing in self._listings.items() for name in listing.files]

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


def _list(listing: Listing, folder: str, entry: os.DirEntry[str]) -> None:
    if entry.name.startswith("."):
        return
    if entry.is_dir(follow_symlinks=False):
        listing.below.append(f"{folder}/{entry.name}".lstrip("/"))
    elif entry.name.lower().endswith(".md") and not _CONFLICT.search(entry.name):
        listing.files[entry.name] = entry.inode()
