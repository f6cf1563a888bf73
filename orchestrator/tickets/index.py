"""A disposable index of the board in SQLite: what each file said when it was last read.

Nothing depends on it but speed: a missing, broken or stale index is made anew (DESIGN 2.7).
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from os import stat_result
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.domain.states import FolderRole
from orchestrator.markdown.frontmatter_parser import Diagnosis
from orchestrator.tickets.ticket import Ticket

_VERSION = 4
#: what changed so shortly before it was looked at may change again within one clock tick (ns)
_TICK = 20_000_000
#: the same where the file system keeps whole milliseconds or seconds only
_COARSE_TICK = 2_000_000_000
#: seconds to wait for another process that writes the index; without it work only gets slower
_PATIENCE = 0.5
_PLACE = {"path", "folder", "role", "diagnoses"}
_KEPT = tuple(f.name for f in fields(Ticket) if f.name not in _PLACE)
_TUPLES = {"children", "depends_on", "files"}
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
    """What tells one content of a file from the next without reading it; times in ns."""

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
        """Whether the file is old enough for its times to tell a further change."""
        return is_settled(max(self.mtime, self.ctime))


def is_settled(changed: int) -> bool:
    """Whether something changed at that time (ns) cannot change again within the same tick."""
    tick = _TICK if changed % 1_000_000 else _COARSE_TICK
    return time.time_ns() - changed > tick


class Row(NamedTuple):
    """A ticket as the index holds it: what families are made of, and the rest packed."""

    stamp: Stamp
    id: str
    parent: str
    own_id: bool
    note: bool
    data: str


@dataclass
class Listing:
    """A folder as it was listed when it had this mtime (ns)."""

    mtime: int
    #: markdown file → inode
    files: dict[str, int] = field(default_factory=dict)
    #: folders below it, as places below the board
    below: list[str] = field(default_factory=list)
    #: whether a further change would show in the mtime
    settled: bool = True


class Index:
    """The rows of one board on disk. Every fault of the file ends in an empty index."""

    def __init__(self, path: Path, signature: str) -> None:
        self.path = path
        self.signature = f"{_VERSION} {signature} {_KEPT}"

    def load(self) -> tuple[dict[str, Row], dict[str, Listing]]:
        """All rows by the file's place on the board, and all listings by the folder's."""
        rows: list[Any] = []
        folders: dict[str, Listing] = {}
        with self._forgiving(), self._open() as db:
            rows = db.execute("SELECT * FROM ticket").fetchall()
            for key, mtime, files, below in db.execute("SELECT * FROM folder"):
                folders[key] = Listing(mtime, json.loads(files), json.loads(below))
        packed = {r[0]: Row(Stamp(*r[1:5]), r[5], r[6], bool(r[7]), bool(r[8]), r[9]) for r in rows}
        return packed, folders

    def store(
        self,
        changed: Mapping[str, Row],
        gone: Iterable[str],
        listings: Mapping[str, Listing | None],
    ) -> None:
        """Write what changed, in one transaction. Only settled listings are kept."""
        rows = [
            (key, *row.stamp, row.id, row.parent, row.own_id, row.note, row.data)
            for key, row in changed.items()
        ]
        folders = [
            (key, each.mtime, json.dumps(each.files), json.dumps(each.below))
            for key, each in listings.items()
            if each is not None and each.settled
        ]
        with self._forgiving(), self._open() as db:
            db.executemany("DELETE FROM ticket WHERE key = ?", [(key,) for key in gone])
            db.executemany("DELETE FROM folder WHERE key = ?", [(key,) for key in listings])
            marks = ", ".join("?" * 10)
            db.executemany(f"INSERT OR REPLACE INTO ticket VALUES ({marks})", rows)  # noqa: S608
            db.executemany("INSERT INTO folder VALUES (?, ?, ?, ?)", folders)

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        """A busy, full or read-only index is left for the next one; a broken file is removed."""
        try:
            yield
        except (sqlite3.OperationalError, OSError):
            return
        except (sqlite3.Error, ValueError):
            with contextlib.suppress(OSError):
                self.path.unlink()

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self.path, timeout=_PATIENCE)
        try:
            # it may be lost with the machine, not with the process
            db.execute("PRAGMA synchronous = OFF")
            self._require_own(db)
            with db:
                yield db
        finally:
            db.close()

    def _require_own(self, db: sqlite3.Connection) -> None:
        """Empty an index that another version or another configuration made."""
        db.executescript(_TABLES)
        if db.execute("SELECT text FROM signature").fetchall() != [(self.signature,)]:
            with db:
                db.execute("DELETE FROM ticket")
                db.execute("DELETE FROM folder")
                db.execute("DELETE FROM signature")
                db.execute("INSERT INTO signature VALUES (?)", (self.signature,))


def pack(ticket: Ticket, stamp: Stamp) -> Row:
    """A ticket for the index."""
    odd = [[d.code, d.message, d.line, d.hint] for d in ticket.diagnoses]
    data = json.dumps([[getattr(ticket, n) for n in _KEPT], odd], separators=(",", ":"))
    return Row(stamp, ticket.id, ticket.parent, ticket.own_id, ticket.note, data)


def unpack(row: Row, path: Path, folder: str, role: FolderRole | None) -> Ticket | None:
    """The ticket as it was read, or None if the row is broken."""
    try:
        kept, odd = json.loads(row.data)
        values = dict(zip(_KEPT, kept, strict=True))
        values |= {name: tuple(values[name]) for name in _TUPLES}
        found = tuple(Diagnosis(*each) for each in odd)
        return Ticket(path=path, folder=folder, role=role, diagnoses=found, **values)
    except (TypeError, ValueError, KeyError, RecursionError):
        return None
