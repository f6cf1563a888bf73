"""A disposable index of the board in SQLite: what each file said when it was last read.

Nothing depends on it but speed: a missing, broken or stale index is rebuilt (DESIGN 2.7).
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from os import stat_result
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.domain.states import FolderRole
from orchestrator.markdown.problem import Diagnosis
from orchestrator.tickets.ticket import Ticket

_VERSION = 7
#: what changed so shortly before it was looked at may change again within one clock tick (ns)
_TICK = 20_000_000
#: the same where the file system keeps whole milliseconds or seconds only
_COARSE_TICK = 2_000_000_000
#: seconds to wait for another process that writes the index; without it work only gets slower
_LOCK_TIMEOUT = 0.5
#: known without the index, or kept in a column of its own
_FIRST = ("id", "place", "folder", "role", "parent", "own_id", "note")
_NOT_PACKED = {*_FIRST, "path", "diagnoses"}
#: field → what it is where a ticket says nothing of it
_PACKED: dict[str, Any] = {
    f.name: {} if f.default is MISSING else f.default
    for f in fields(Ticket)
    if f.compare and f.name not in _NOT_PACKED
}
_TUPLES = {"children", "depends_on", "files", "labels"}
_NAMES = {*_PACKED, "diagnoses"}
RoleAt = Callable[[str, str, str], FolderRole | None]
#: (text, 0) → the value at its beginning, and where it ends
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_TABLES = """
CREATE TABLE IF NOT EXISTS signature (text TEXT);
CREATE TABLE IF NOT EXISTS ticket (
  key TEXT PRIMARY KEY, mtime INTEGER, ctime INTEGER, size INTEGER, inode INTEGER,
  id TEXT, parent TEXT, own_id INTEGER, note INTEGER, data TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS folder (
  key TEXT PRIMARY KEY, mtime INTEGER, files TEXT, below TEXT
) WITHOUT ROWID;
"""


class Stamp(NamedTuple):
    """What distinguishes one content of a file from the next without reading it; times in ns."""

    mtime: int
    ctime: int
    size: int
    inode: int

    @classmethod
    def of(cls, stat: stat_result) -> Stamp:
        # SQLite's integers are signed
        return cls(stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino & (1 << 63) - 1)

    @property
    def settled(self) -> bool:
        """Whether a further change of the file would show in its times."""
        return is_settled(max(self.mtime, self.ctime))


def is_settled(changed: int) -> bool:
    """Whether something changed at that time (ns) cannot change again within the same tick."""
    tick = _TICK if changed % 1_000_000 else _COARSE_TICK
    return time.time_ns() - changed > tick


class IndexRow(NamedTuple):
    """A ticket in the index: its file's stamp, what families are found by, and the rest packed."""

    mtime: int
    ctime: int
    size: int
    inode: int
    id: str
    parent: str
    own_id: bool
    note: bool
    data: str

    @classmethod
    def of(cls, ticket: Ticket, stamp: Stamp) -> IndexRow:
        said = ((name, getattr(ticket, name)) for name in _PACKED)
        # most tickets say little: what is not packed, the class itself says
        packed = {name: value for name, value in said if value != _PACKED[name]}
        if ticket.diagnoses:
            packed["diagnoses"] = [[d.code, d.message, d.line, d.hint] for d in ticket.diagnoses]
        data = json.dumps(packed, separators=(",", ":"))
        return cls(*stamp, ticket.id, ticket.parent, ticket.own_id, ticket.note, data)

    @property
    def stamp(self) -> tuple[int, ...]:
        return self[:4]

    def ticket(self, path: str, folder: str, role_at: RoleAt) -> Ticket | None:
        """The ticket as it was read, or None if the row is broken. `role_at` as in `Folders`."""
        try:
            said, end = _scan(self.data, 0)
            for name in _TUPLES & said.keys():
                said[name] = tuple(said[name])
            if "diagnoses" in said:
                said["diagnoses"] = tuple(Diagnosis(*each) for each in said["diagnoses"])
            if end != len(self.data) or not said.keys() <= _NAMES:
                return None
            role = role_at(folder, said.get("status", ""), said.get("recorded", ""))
        except (AttributeError, TypeError, ValueError, RecursionError, StopIteration):
            return None
        # what its constructor does, at a third of the time: a board has many
        ticket = object.__new__(Ticket)
        first = (self.id, path, folder, role, self.parent, bool(self.own_id), bool(self.note))
        held = vars(ticket)
        held.update(zip(_FIRST, first, strict=True))
        held.update((("child_roles", {}), ("spelt", {}), *said.items()))
        return ticket


@dataclass
class Listing:
    """A folder's content when it had this mtime (ns)."""

    mtime: int
    #: markdown file → inode
    files: dict[str, int] = field(default_factory=dict)
    #: its subfolders, relative to the board
    below: list[str] = field(default_factory=list)
    #: whether a further change would show in the mtime
    settled: bool = True
    #: the files that were not there, or were others, when it was listed before
    new: list[str] = field(default_factory=list, compare=False)


class Index:
    """The rows of one board on disk. Every fault of the file ends in an empty index."""

    def __init__(self, path: Path, signature: str) -> None:
        self.path = path
        self.signature = f"{_VERSION} {signature} {tuple(_PACKED)}"

    def load(self) -> tuple[dict[str, IndexRow], dict[str, Listing]]:
        """All rows by the file's place on the board, and all listings by the folder's."""
        rows: list[Any] = []
        folders: dict[str, Listing] = {}
        with self._forgive(), self._open() as db:
            rows = db.execute("SELECT * FROM ticket").fetchall()
            for key, mtime, files, below in db.execute("SELECT * FROM folder"):
                folders[key] = Listing(mtime, json.loads(files), json.loads(below))
        return {row[0]: IndexRow._make(row[1:]) for row in rows}, folders

    def store(
        self,
        changed: Mapping[str, IndexRow],
        gone: Iterable[str],
        listings: Mapping[str, Listing | None],
    ) -> None:
        """Write what changed, in one transaction. Only settled listings are kept."""
        rows = [(key, *row) for key, row in changed.items()]
        folders = [
            (key, each.mtime, json.dumps(each.files), json.dumps(each.below))
            for key, each in listings.items()
            if each is not None and each.settled
        ]
        with self._forgive(), self._open() as db:
            db.executemany("DELETE FROM ticket WHERE key = ?", [(key,) for key in gone])
            db.executemany("DELETE FROM folder WHERE key = ?", [(key,) for key in listings])
            db.executemany(
                "INSERT OR REPLACE INTO ticket VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
            db.executemany("INSERT INTO folder VALUES (?, ?, ?, ?)", folders)

    @contextlib.contextmanager
    def _forgive(self) -> Iterator[None]:
        """Skip a busy, full or read-only index; remove a broken file."""
        try:
            yield
        except (sqlite3.OperationalError, OSError):
            return
        except (sqlite3.Error, ValueError):
            with contextlib.suppress(OSError):
                self.path.unlink()

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A transaction on the index, emptied if another version or configuration made it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(self.path, timeout=_LOCK_TIMEOUT)) as db:
            # it may be lost with the machine, not with the process
            db.execute("PRAGMA synchronous = OFF")
            db.executescript(_TABLES)
            if db.execute("SELECT text FROM signature").fetchall() != [(self.signature,)]:
                with db:
                    for table in ("ticket", "folder", "signature"):
                        db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
                    db.execute("INSERT INTO signature VALUES (?)", (self.signature,))
            with db:
                yield db
