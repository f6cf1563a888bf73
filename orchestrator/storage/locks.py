"""One family, one process: locks that end with their last holder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import BusyError
from orchestrator.storage.atomic import disk_errors, sha256_bytes

#: how often a lock is tried again, and after how long (s)
_GLANCES, _GLANCE = 5, 0.005


@dataclass(frozen=True)
class FamilyLock:
    """A held lock. A child that gets `fd` (`subprocess` `pass_fds`) holds it too, until it ends."""

    family: str
    path: Path
    fd: int


def is_locked(state: Path, family: str) -> bool:
    """Whether a process has the family in hand; nothing is created."""
    try:
        fd = os.open(_lock_file(state, family), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _lock(fd: int, wait: bool) -> None:
    # `is_locked` may hold it for a moment
    for _ in range(0 if wait else _GLANCES):
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(_GLANCE)
    return fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def _lock_file(state: Path, family: str) -> Path:
    # ids that differ in any way, case included, never share a file
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", family).lstrip(".")[:80]
    exact = unicodedata.normalize("NFC", family).encode("utf-8", "surrogatepass")
    return state / "locks" / f"{plain}-{sha256_bytes(exact)[:12]}.lock"


@contextlib.contextmanager
def family_lock(state: Path, family: str, wait: bool = False) -> Iterator[FamilyLock]:
    """Lock a family for one process and the children that get its `fd`.

    The lock ends with its last holder, however that ends. Raises BusyError with the holder's pid
    unless `wait`.
    """
    path = _lock_file(state, family)
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    with disk_errors(path):
        try:
            fd = os.open(path, flags)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, flags | os.O_CREAT, 0o666)
    try:
        try:
            _lock(fd, wait)
        except BlockingIOError as exc:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise BusyError(
                f"{family} is locked by process {holder}",
                path=path,
                hint=f"wait until it has ended, or end it (kill {holder}) and its agents",
            ) from exc
        os.pwrite(fd, f"{os.getpid():<20}\n".encode("ascii"), 0)
        # closing, and not unlocking, leaves the lock to a child that still holds it
        yield FamilyLock(family, path, fd)
    finally:
        os.close(fd)
