"""A disposable index of the board: what each file said when it was last read (DESIGN 2.7).

Nothing depends on it but speed: a missing, broken or stale index is made anew.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import dataclass, fields
from os import stat_result
from pathlib import Path
from typing import Any

from orchestrator import files
from orchestrator.block import Diagnosis
from orchestrator.errors import OrchestrateError
from orchestrator.states import FolderRole
from orchestrator.ticket import Ticket

_VERSION = 1
#: a file changed so shortly before it was read may have changed again within one clock tick (ns)
_TICK = 50_000_000
_PLACE = {"path", "folder", "role", "diagnoses"}
_KEPT = tuple(f.name for f in fields(Ticket) if f.name not in _PLACE)
_TUPLES = {"children", "depends_on"}


@dataclass(frozen=True)
class Stamp:
    """What tells one content of a file from the next without reading it."""

    values: tuple[int, int, int, int]

    @classmethod
    def of(cls, stat: stat_result) -> Stamp:
        return cls((stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino))

    @property
    def settled(self) -> bool:
        """Whether the file is old enough for its times to tell a further change."""
        return time.time_ns() - max(self.values[:2]) > _TICK


class Index:
    """Use it in a with-block: read on entry, written at its end if anything changed."""

    def __init__(self, path: Path, signature: str) -> None:
        self.path = path
        self.signature = f"{_VERSION} {signature} {_KEPT}"
        self._rows: dict[str, Any] = {}
        self._used: dict[str, Any] = {}
        self._tickets: dict[str, Ticket] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Index:
        self._lock.acquire()
        self._used = {}
        if not self._rows:
            self._rows = self._load()
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            changed = self._used != self._rows
            self._rows = self._used
            if changed:
                with contextlib.suppress(OrchestrateError, FileNotFoundError, FileExistsError):
                    self._store()
        finally:
            self._lock.release()

    def _load(self) -> dict[str, Any]:
        try:
            held = json.loads(self.path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(held, dict) or held.get("signature") != self.signature:
            return {}
        rows = held.get("rows")
        return rows if isinstance(rows, dict) else {}

    def _store(self) -> None:
        held = {"signature": self.signature, "rows": self._rows}
        files.replace(self.path, json.dumps(held, separators=(",", ":")).encode("ascii"))

    def get(
        self, key: str, stamp: Stamp, path: Path, folder: str, role: FolderRole | None
    ) -> Ticket | None:
        """The ticket as it was read when the file had this stamp."""
        row = self._rows.get(key)
        try:
            if row is None or tuple(row[0]) != stamp.values:
                return None
            known = self._tickets.get(key)
            if known is not None and known.role is role:
                self._used[key] = row
                return known
            values = dict(zip(_KEPT, row[1], strict=True))
            values |= {name: tuple(values[name]) for name in _TUPLES}
            odd = tuple(Diagnosis(*found) for found in row[2])
            ticket = Ticket(path=path, folder=folder, role=role, diagnoses=odd, **values)
        except (TypeError, ValueError, KeyError, IndexError):
            return None
        self._used[key] = row
        self._tickets[key] = ticket
        return ticket

    def put(self, key: str, stamp: Stamp, ticket: Ticket) -> None:
        """Remember a ticket, unless its file has changed just now."""
        self._tickets.pop(key, None)
        if stamp.settled:
            odd = [[d.code, d.message, d.line, d.hint] for d in ticket.diagnoses]
            self._used[key] = [list(stamp.values), [getattr(ticket, n) for n in _KEPT], odd]
