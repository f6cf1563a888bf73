"""A disposable index of the board in SQLite: what each file said when it was last read.

Nothing depends on it but speed: a missing, broken or stale index is rebuilt (DESIGN 2.7).
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import stat_result
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.domain.states import FolderRole
from orchestrator.markdown.problem import Diagnosis
from orchestrator.tickets.ticket import Ticket, is_utf8, printable

_VERSION = 8
#: what changed so shortly before it was looked at may change again within one clock tick (ns)
_TICK = 20_000_000
#: the same where the file system keeps whole milliseconds or seconds only
_COARSE_TICK = 2_000_000_000
#: seconds to wait for another process that writes the index; without it work only gets slower
_LOCK_TIMEOUT = 0.5
#: what is packed: field → what it is where a ticket says nothing of it
_LINKS: dict[str, Any] = {"children": (), "child_roles": {}, "depends_on": ()}
_REST: dict[str, Any] = {
    "depends_note": "",
    "files": (),
    "created": "",
    "labels": (),
    "workflow": "",
    "spelt": {},
    "scope": "",
}
_NUMBERS = {"mtime", "ctime", "size", "inode", "own_id", "note", "failure_count", "conducted"}


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


@dataclass(frozen=True)
class Home:
    """Where the tickets of a board are, and what reads one."""

    #: the board's folder
    place: str
    #: the same relative to the workspace
    source: str
    read: Callable[[Path], Ticket]


class BriefRow(NamedTuple):
    """By what a ticket is found, without what it says: who asks for one needs few of the others."""

    mtime: int
    ctime: int
    size: int
    inode: int
    id: str
    parent: str
    own_id: bool
    note: bool
    #: the file's place on the board
    key: str

    @property
    def stamp(self) -> tuple[int, ...]:
        return self[:4]


class IndexRow(NamedTuple):
    """A ticket in the index: its file's stamp, what lists and families are made of, and the rest.

    What lists show is not packed, so that a board is listed without parsing anything.
    """

    mtime: int
    ctime: int
    size: int
    inode: int
    id: str
    parent: str
    own_id: bool
    note: bool
    title: str
    status: str
    owner: str
    priority: str
    failure_count: int
    conducted: bool
    recorded: str
    #: packed as JSON, "" for nothing: `_LINKS`, the diagnoses, `_REST`
    links: str
    problems: str
    rest: str
    #: the file's place on the board
    key: str

    @classmethod
    def of(cls, ticket: Ticket, stamp: Stamp, key: str) -> IndexRow:
        said = (getattr(ticket, name) for name in cls._fields[len(stamp) : -4])
        problems = [[d.code, d.message, d.line, d.hint] for d in ticket.diagnoses]
        packed = _pack(ticket, _LINKS), _encode(problems), _pack(ticket, _REST)
        return cls._make((*stamp, *said, *packed, key))

    @property
    def stamp(self) -> tuple[int, ...]:
        return self[:4]

    def ticket(self, home: Home, folder: str, role: FolderRole | None) -> Ticket | None:
        """The ticket as it was read, or None if the row is broken."""
        # what its constructor does, at a fifth of the time: a board has many
        ticket = object.__new__(Ticket)
        held = vars(ticket)
        held["id"], held["folder"], held["role"] = self.id, folder, role
        held["title"], held["status"], held["owner"] = self.title, self.status, self.owner
        held["parent"], held["priority"] = self.parent, self.priority
        held["own_id"], held["note"] = bool(self.own_id), bool(self.note)
        # what most do not say the class itself has
        if self.conducted:
            held["conducted"] = True
        if self.recorded:
            held["recorded"] = self.recorded
        try:
            if self.failure_count:
                held["failure_count"] = int(self.failure_count)
            if self.links:
                held.update(_unpack(self.links, _LINKS))
            if self.problems:
                held["diagnoses"] = tuple(Diagnosis(*each) for each in json.loads(self.problems))
        except _BROKEN:
            return None
        held["row"], held["home"] = self, home
        return ticket

    def say_late(self, home: Home, name: str) -> Mapping[str, Any]:
        """What a ticket says in a field that it was made without, and in others perhaps."""
        if name == "path":
            return {name: Path(f"{home.place}/{self.key}")}
        if name == "source":
            return {name: printable(f"{home.source}/{self.key}")}
        if name in _LINKS:
            return {name: {}}
        try:
            return _unpack(self.rest, _REST)
        except _BROKEN:
            with contextlib.suppress(FileNotFoundError):
                found = home.read(Path(f"{home.place}/{self.key}"))
                return {name: getattr(found, name) for name in _REST}
            return _REST


_BROKEN = (AttributeError, TypeError, ValueError, RecursionError)
_FIELDS = IndexRow._fields


def _select(names: Sequence[str]) -> str:
    """The rows that hold texts where this program writes some; any other is read again."""
    texts = " AND ".join(f"typeof({name}) = 'text'" for name in names if name not in _NUMBERS)
    return f"SELECT {', '.join(names)} FROM ticket WHERE {texts}"  # noqa: S608


_TABLES = {
    "signature": "(text TEXT)",
    "ticket": f"({', '.join(_FIELDS)}, PRIMARY KEY (key)) WITHOUT ROWID",
    "folder": "(key TEXT PRIMARY KEY, mtime INTEGER, files TEXT, below TEXT) WITHOUT ROWID",
}


def _pack(ticket: Ticket, nothing: Mapping[str, Any]) -> str:
    said = ((name, getattr(ticket, name)) for name in nothing)
    return _encode({name: value for name, value in said if value != nothing[name]})


def _encode(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) if value else ""


def _unpack(text: str, nothing: Mapping[str, Any]) -> dict[str, Any]:
    """What was packed. Raises one of `_BROKEN` for anything else."""
    said: dict[str, Any] = {**nothing, **(json.loads(text) if text else {})}
    if len(said) != len(nothing):
        raise ValueError(text)
    # JSON has no tuples; and nobody shares a mapping with another ticket
    return {
        name: tuple(said[name]) if value == () else {**said[name]} if value == {} else said[name]
        for name, value in nothing.items()
    }


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

    #: files and subfolders as the index has them, where it was loaded without
    packed: str = field(default="", compare=False)

    @property
    def texts(self) -> tuple[str, str]:
        """Files and subfolders as the index keeps them."""
        return json.dumps(self.files), json.dumps(self.below)

    def is_same(self, other: Listing | None) -> bool:
        """Whether the index has nothing else to say."""
        if other is None or other.packed == "":
            return self == other
        return self.mtime == other.mtime and self.settled and "".join(self.texts) == other.packed


class Index:
    """The rows of one board on disk. Every fault of the file ends in an empty index."""

    def __init__(self, path: Path, signature: str) -> None:
        self.path = path
        self.signature = f"{_VERSION} {signature} {_FIELDS} {(*_LINKS, *_REST)}"

    def load(self) -> tuple[dict[str, IndexRow], dict[str, Listing]]:
        """All rows by the file's place on the board, and all listings by the folder's.

        These without their files, as who needs all rows lists the folders anew: a board has many.
        """
        rows: dict[str, IndexRow] = {}
        folders: dict[str, Listing] = {}
        with self._forgive(), self._open() as db:
            rows = {row.key: row for row in map(IndexRow._make, db.execute(_select(_FIELDS)))}
            for key, mtime, files, below in db.execute("SELECT * FROM folder"):
                folders[key] = Listing(mtime, packed=f"{files}{below}")
        return rows, folders

    def load_brief(self) -> tuple[dict[str, BriefRow], dict[str, Listing]]:
        """As `load`, with what finds a ticket and no more, and the listings with their files."""
        rows: dict[str, BriefRow] = {}
        folders: dict[str, Listing] = {}
        with self._forgive(), self._open() as db:
            found = db.execute(_select(BriefRow._fields))
            rows = {row.key: row for row in map(BriefRow._make, found)}
            for key, mtime, files, below in db.execute("SELECT * FROM folder"):
                folders[key] = Listing(mtime, json.loads(files), json.loads(below))
        return rows, folders

    def rows_at(self, keys: Iterable[str]) -> dict[str, IndexRow]:
        """The rows of a few files, as far as the index has them now."""
        rows: dict[str, IndexRow] = {}
        with self._forgive(), self._open() as db:
            for key in filter(is_utf8, keys):
                found = db.execute(f"{_select(_FIELDS)} AND key = ?", (key,)).fetchone()
                if found:
                    rows[key] = IndexRow._make(found)
        return rows

    def store(
        self,
        changed: Mapping[str, IndexRow],
        gone: Iterable[str],
        listings: Mapping[str, Listing | None],
    ) -> None:
        """Write what changed, in one transaction. Only settled listings are kept."""
        rows = [row for row in changed.values() if _is_storable(row)]
        folders = [
            (key, each.mtime, *each.texts)
            for key, each in listings.items()
            if each is not None and each.settled and is_utf8(key)
        ]
        with self._forgive(), self._open() as db:
            for table, keys in (("ticket", gone), ("folder", listings)):
                old = [(key,) for key in keys if is_utf8(key)]
                db.executemany(f"DELETE FROM {table} WHERE key = ?", old)  # noqa: S608
            marks = ", ".join("?" * len(_FIELDS))
            db.executemany(f"INSERT OR REPLACE INTO ticket VALUES ({marks})", rows)  # noqa: S608
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
        """A transaction on the index, made anew if another version or configuration made it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(self.path, timeout=_LOCK_TIMEOUT)) as db:
            # it may be lost with the machine, not with the process
            db.execute("PRAGMA synchronous = OFF")
            if not self._is_ours(db):
                with db:
                    db.execute("BEGIN IMMEDIATE")
                    for table, columns in _TABLES.items():
                        db.execute(f"DROP TABLE IF EXISTS {table}")
                        db.execute(f"CREATE TABLE {table} {columns}")
                    db.execute("INSERT INTO signature VALUES (?)", (self.signature,))
            with db:
                yield db

    def _is_ours(self, db: sqlite3.Connection) -> bool:
        try:
            found = db.execute("SELECT text FROM signature").fetchall()
        except sqlite3.OperationalError as exc:
            if "no such table" in str(exc):
                return False
            raise
        return found == [(self.signature,)]


def _is_storable(row: IndexRow) -> bool:
    """Whether SQLite takes its texts: a file's name may be none, and a text hold half of a sign."""
    return all(is_utf8(value) for value in row if isinstance(value, str))
