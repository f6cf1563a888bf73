"""Folders for temporary files, which go also if the process that made them is killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from functools import cache
from pathlib import Path

PREFIX, _SUFFIX = "orchestrate-", ".locked"
#: where they are made, beside the system's own choice
_PLACES = ("/tmp", "/dev/shm")  # noqa: S108 - each is its owner's alone
#: seconds in which one that was made has been locked
_YOUNG = 60.0


class Temporary(tempfile.TemporaryDirectory[str]):
    """A folder that is locked while this process lives; `kind` is a word for its name."""

    def __init__(self, kind: str, place: str | Path | None = None) -> None:
        where = None if place is None else str(place)
        super().__init__(_SUFFIX, f"{PREFIX}{kind}-", where, ignore_cleanup_errors=True)
        self._lock = _locked(self.name)

    def cleanup(self) -> None:
        """Remove it."""
        super().cleanup()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _locked(folder: str) -> int:
    """The descriptor that locks a folder, -1 if somebody else has it."""
    fd = -1
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if fd >= 0:
            os.close(fd)
        return -1
    return fd


@cache
def sweep() -> None:
    """Remove those whose process is gone, once in each process."""
    for place in {tempfile.gettempdir(), *_PLACES}:
        for folder in Path(place).glob(f"{PREFIX}*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                found = folder.lstat()
                if found.st_uid != os.getuid() or time.time() - found.st_mtime < _YOUNG:
                    continue
                lock = _locked(str(folder))
                if lock >= 0:
                    shutil.rmtree(folder, ignore_errors=True)
                    os.close(lock)
