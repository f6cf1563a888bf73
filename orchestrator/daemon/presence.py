"""Whether the board is there and at rest, as a daemon has to know before it does anything."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.git.activity import (
    branch_in_hand,
    operation_in_progress,
    own_commits,
    writes_files,
)

#: the lock that a daemon holds as long as it watches a board
DAEMON = "the board's daemon"
#: seconds after which it is told that git writes files
_PATIENCE = 3.0
#: seconds for which a reason has to last until it is one: a checkout changes its branch last
_CALM = 0.3


@dataclass
class Presence:
    """Looks at a board again and again."""

    root: Path
    board: Path
    _written_since: float = 0.0
    _reason: str = ""
    _reason_since: float = 0.0

    def look(self) -> str | None:
        """As `absence`; None while git writes files, and nothing can be said yet."""
        if not is_being_written(self.root):
            self._written_since = 0.0
            return self._calm(absence(self.root, self.board))
        now = time.monotonic()
        self._written_since = self._written_since or now
        if now - self._written_since < _PATIENCE:
            return None
        return "a git command is at work (index.lock exists; remove it if no git runs here)"

    def _calm(self, reason: str) -> str | None:
        now = time.monotonic()
        if reason != self._reason:
            self._reason, self._reason_since = reason, now
        return reason if not reason or now - self._reason_since >= _CALM else None


def absence(root: Path, board: Path) -> str:
    """Why nothing may be done on the board now, "" if it may (DESIGN 8.3)."""
    if operation := operation_in_progress(root):
        return operation
    # whether a board has any file: git leaves the folders that it empties, if it made none
    if not _has_file(board):
        branch = branch_in_hand(root)
        why = f" (the branch {branch} has none)" if branch else ""
        return f"the board {board.name} is not there{why}; it is not created again"
    return ""


def _has_file(folder: Path | str) -> bool:
    """Whether there is a file at any depth; it ends at the first, as this is asked all the time."""
    folders: list[str] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                return True
            folders.append(entry.path)
    return any(map(_has_file, folders))


def is_being_written(root: Path) -> bool:
    """Whether a git command other than the conductor's own writes files at this moment."""
    return writes_files(root) and not own_commits.locked()


def identities(places: Sequence[Path]) -> tuple[tuple[int, int] | None, ...]:
    """Which folders and files these places are: one that was removed and made again is another."""
    found: list[tuple[int, int] | None] = []
    for place in places:
        try:
            stat = place.stat()
        except OSError:
            found.append(None)
        else:
            found.append((stat.st_dev, stat.st_ino if place.is_dir() else 0))
    return tuple(found)
