"""What an attempt is compared with, held in memory while its agent works.

An agent may remove or edit whatever lies in the workspace, and thereby also the files that say what
was there before it began.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.changes.entries import LARGEST_KEPT, Contents
from orchestrator.changes.snapshot import Snapshot
from orchestrator.family.attempt_files import Segment, write

#: bytes of files that are held at most, besides those that git has
_MOST_HELD = 64 * 1024 * 1024


@dataclass
class Held:
    """The record of an attempt as it was when its agent began."""

    segments: list[Segment]
    contents: Contents
    #: file → its bytes
    files: dict[Path, bytes]
    _bytes: dict[str, bytes] = field(default_factory=dict)

    def keep(self, snapshots: Iterable[Snapshot]) -> None:
        """Hold the bytes to which snapshots refer, as far as there is room."""
        room = _MOST_HELD
        wanted = set[str]()
        for snapshot in snapshots:
            wanted |= {e.sha256 for e in snapshot.entries.values() if e.sha256}
            wanted |= set(snapshot.board.values())
        for sha256 in sorted(wanted):
            place = self.contents.place(sha256)
            size = place.stat().st_size if place.is_file() else LARGEST_KEPT
            if size < min(room, LARGEST_KEPT) and (data := self.contents.read(sha256)) is not None:
                self._bytes[sha256] = data
                room -= size

    def put_back(self) -> bool:
        """Write what is gone or altered as it was; whether anything was. Raises OSError."""
        altered = False
        for file, data in self.files.items():
            if not file.is_file() or file.read_bytes() != data:
                altered = True
                write(file, data)
        for sha256, data in self._bytes.items():
            if self.contents.read(sha256) is None:
                altered = True
                self.contents.place(sha256).unlink(missing_ok=True)
                self.contents.put(data)
        return altered
