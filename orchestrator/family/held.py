"""What an attempt is compared with, held in memory while its agent works.

An agent may remove or edit whatever lies in the workspace, and thereby also the files that say what
was there before it began.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.changes.entries import LARGEST_KEPT, RACY, Contents, Stamp
from orchestrator.changes.snapshot import Snapshot
from orchestrator.family.attempt_files import Segment, write
from orchestrator.storage import syscalls

#: bytes of files that are held at most, besides those that git has
_MOST_HELD = 64 * 1024 * 1024
#: in a stamp
_CHANGED, _SIZE = 1, 2
#: folder of contents → what was held of it last: most of it is held again
_lately: dict[Path, dict[str, tuple[Stamp, bytes]]] = {}


@dataclass
class Held:
    """The record of an attempt as it was when its agent began."""

    segments: list[Segment]
    contents: Contents
    #: file → its bytes
    files: dict[Path, bytes]
    #: sha256 → bytes, and what their file was like when they were read
    _bytes: dict[str, tuple[Stamp, bytes]] = field(default_factory=dict)

    def keep(self, snapshots: Iterable[Snapshot], board: bool = True) -> None:
        """Hold the bytes to which snapshots refer, as far as there is room.

        `board`: those of the board too.
        """
        room = _MOST_HELD
        wanted = set[str]()
        for snapshot in snapshots:
            wanted |= {e.sha256 for e in snapshot.entries.values() if e.sha256}
            wanted |= set(snapshot.board.values() if board else ())
        lately = _lately.get(self.contents.folder, {})
        for sha256 in sorted(wanted):
            stamp = self.contents.stamp(sha256)
            if stamp is None or (size := stamp[_SIZE]) >= min(room, LARGEST_KEPT):
                continue
            known = lately.get(sha256)
            data = known[1] if known and known[0] == stamp else self.contents.read(sha256)
            if data is not None:
                # what was written a moment ago could change again without its times showing it
                is_racy = time.time_ns() - stamp[_CHANGED] < RACY
                self._bytes[sha256] = ([] if is_racy else stamp, data)
                room -= size
        _lately.clear()
        _lately[self.contents.folder] = self._bytes

    def put_back(self) -> bool:
        """Write what is gone or altered as it was; whether anything was. Raises OSError."""
        altered = False
        for file, data in self.files.items():
            if not file.is_file() or syscalls.read_whole(file) != data:
                altered = True
                write(file, data)
        for sha256, (stamp, data) in self._bytes.items():
            if self.contents.stamp(sha256) != stamp and self.contents.read(sha256) is None:
                altered = True
                self.contents.place(sha256).unlink(missing_ok=True)
                self.contents.put(data)
        return altered
