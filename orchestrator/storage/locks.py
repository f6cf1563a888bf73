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
#: and where agents of a conductor that is gone are just ending
_LOOKS, _PAUSE = 40, 0.05


@dataclass(frozen=True)
class FamilyLock:
    """A held lock. A child that gets `fd` (`subprocess` `pass_fds`) holds it too, until it ends."""

    family: str
    path: Path
    fd: int


def is_locked(state: Path, family: str) -> bool:
    """Whether a process has the family in hand; nothing is created."""
    return is_held(_lock_file(state, family))


def is_held(path: Path) -> bool:
    """Whether a process has a lock on a file; one that is not there is not made."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
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


@dataclass(frozen=True)
class _Holders:
    """The process that took a lock last, whether it still has it, and all that have it."""

    first: str
    is_there: bool
    all: tuple[str, ...]

    @classmethod
    def of(cls, path: Path, fd: int) -> _Holders:
        """Who holds the lock of a file beside the descriptor `fd` of this process."""
        real, found = os.path.realpath(path), set[int]()
        for link in _open_files():
            with contextlib.suppress(OSError):
                if str(link.readlink()) == real and link.parts[2:] != (
                    str(os.getpid()),
                    "fd",
                    str(fd),
                ):
                    found.add(int(link.parts[2]))
        everyone = tuple(str(pid) for pid in sorted(found))
        first = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        is_there = first in everyone
        if first.isdecimal() and not is_there:
            try:
                os.kill(int(first), 0)
                is_there = not everyone
            except PermissionError:
                # another user's, whose files are not shown
                is_there = True
            except OSError:
                pass
        return cls(first, is_there, everyone)


def _open_files() -> Iterator[Path]:
    """Links to what all processes have open; none where the system has no `/proc`."""
    for folder in Path("/proc").glob("[0-9]*"):
        # a process may end in this moment
        with contextlib.suppress(OSError):
            yield from (folder / "fd").iterdir()


def _ends(path: Path, fd: int) -> bool:
    """Whether the lock could be had after all: agents end by themselves after their conductor."""
    for _ in range(_LOOKS):
        if _Holders.of(path, fd).is_there:
            return False
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(_PAUSE)
    return False


def _busy(family: str, path: Path, fd: int) -> BusyError:
    found = _Holders.of(path, fd)
    if found.is_there:
        hint = f"wait until it has ended, or end it (kill {found.first}) and its agents"
        return BusyError(f"{family} is locked by process {found.first}", path=path, hint=hint)
    agent, kill = "its agent", ""
    if found.all:
        agent, kill = f"its agent (process {found.all[0]})", f", or: kill {' '.join(found.all)}"
    return BusyError(
        f"{family} is locked: {agent} is still at work, its conductor is gone",
        path=path,
        hint=f"it ends by itself{kill}",
    )


@contextlib.contextmanager
def family_lock(state: Path, family: str, wait: bool = False) -> Iterator[FamilyLock]:
    """Lock a family for one process and the children that get its `fd`.

    The lock ends with its last holder, however that ends. Raises BusyError with the pid of one that
    is alive unless `wait`.
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
            if not _ends(path, fd):
                raise _busy(family, path, fd) from exc
        os.pwrite(fd, f"{os.getpid():<20}\n".encode("ascii"), 0)
        # closing, and not unlocking, leaves the lock to a child that still holds it
        yield FamilyLock(family, path, fd)
    finally:
        os.close(fd)
