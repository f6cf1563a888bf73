"""The operations that change the disk, one function each, so that a test can stop at any of them.

Everything that the conductor keeps goes through here; what may be lost (the index) does not.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_NOREPLACE, _EXCHANGE = 1, 2
_AT_FDCWD = -100

#: called with an operation's name and path before it is done; it may raise, or end the process
Watcher = Callable[[str, Path], None]
_watchers: list[Watcher] = []


@contextlib.contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Call `watcher` before every operation of this process."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def _notify(operation: str, path: Path) -> None:
    for watcher in _watchers:
        watcher(operation, path)


# -- files ---------------------------------------------------------------------------------------


def read_whole(path: Path | str) -> bytes:
    """A file's bytes, by no more calls of the system than that takes; links are followed."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return read_from(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)


def read_from(fd: int, size: int) -> bytes:
    """All bytes from a descriptor's place on; `size`: about how many."""
    data = os.read(fd, size + 1)
    if len(data) == size:
        return data
    parts = [data]
    while data:
        parts.append(data := os.read(fd, 1 << 20))
    return b"".join(parts)


def write_new(path: Path, data: bytes, like: Path) -> None:
    """Write a new file and sync it, with the mode and owner of `like` if that exists."""
    _notify("create", path)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with contextlib.suppress(FileNotFoundError):
            wanted, own = like.stat(), os.fstat(fd)
            if stat.S_IMODE(wanted.st_mode) != stat.S_IMODE(own.st_mode):
                os.fchmod(fd, stat.S_IMODE(wanted.st_mode))
            if (wanted.st_uid, wanted.st_gid) != (own.st_uid, own.st_gid):
                with contextlib.suppress(OSError):
                    os.fchown(fd, wanted.st_uid, wanted.st_gid)
        _notify("write", path)
        _write_all(fd, data)
        _notify("sync", path)
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


class Append:
    """Bytes at the end of a file, not synced yet: call `sync`, then `wait`, at last `close`.

    A sync that fails takes the bytes away again, if nothing came after them, and raises OSError.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        """Append, all or nothing; a torn last line of an earlier crash is closed first."""
        _notify("append", path)
        self.path = path
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._fd = os.open(path, flags)
        except FileNotFoundError:
            make_folder(path.parent)
            self._fd = os.open(path, flags | os.O_CREAT, 0o666)
        self._running: Future[None] | None = None
        try:
            with self._locked():
                self._size = os.fstat(self._fd).st_size
                if self._size and os.pread(self._fd, 1, self._size - 1) != b"\n":
                    data = b"\n" + data
                try:
                    _write_all(self._fd, data)
                except OSError:
                    os.ftruncate(self._fd, self._size)
                    raise
        except BaseException:
            os.close(self._fd)
            raise
        self._end = self._size + len(data)

    def sync(self, background: bool = False) -> None:
        """Sync now, or `background`: while this goes on, until `wait`."""
        with self._undo_if_failed():
            _notify("sync", self.path)
            if background:
                self._running = _threads().submit(os.fsync, self._fd)
            else:
                os.fsync(self._fd)

    def wait(self) -> None:
        """Wait for the sync in the background."""
        with self._undo_if_failed():
            if self._running is not None:
                self._running.result()

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def _undo_if_failed(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            with self._locked():
                if os.fstat(self._fd).st_size == self._end:
                    os.ftruncate(self._fd, self._size)
            raise


def append(path: Path, data: bytes, durable: bool) -> None:
    """Append bytes, all or none; a torn last line of an earlier crash is closed first."""
    with contextlib.closing(Append(path, data)) as appended:
        if durable:
            appended.sync()


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    """Threads that wait for the disk. A forked child has none of its parent's threads."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(4, thread_name_prefix="disk")


os.register_at_fork(after_in_child=_threads.cache_clear)


def remove(path: Path) -> None:
    """Remove a file of our own; it may be gone."""
    _notify("remove", path)
    path.unlink(missing_ok=True)


# -- names ---------------------------------------------------------------------------------------


def rename_over(source: Path, target: Path) -> None:
    """Rename, replacing what is there."""
    _notify("rename", target)
    os.rename(source, target)  # noqa: PTH104 - called often


def exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step; False where the system cannot."""
    _notify("exchange", other)
    return _renameat2(one, other, _EXCHANGE)


def rename_new(source: Path, target: Path) -> None:
    """Rename, never over another file. Raises FileExistsError."""
    _notify("rename", target)
    if _renameat2(source, target, _NOREPLACE):
        return
    os.link(source, target, follow_symlinks=False)
    _notify("remove", source)
    source.unlink()


def link(source: Path, target: Path) -> None:
    """Give a file a second name."""
    _notify("link", target)
    os.link(source, target)


def make_folder(path: Path) -> None:
    """Make a folder and its parents, unless they exist."""
    if not path.is_dir():
        _notify("folder", path)
        path.mkdir(parents=True, exist_ok=True)


def open_in_folder(path: str, flags: int) -> int:
    """A descriptor of a file that may be lost, whose folder is made if it is not there."""
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o666)


def sync_folder(path: Path) -> None:
    """Make a folder's names durable."""
    _notify("sync folder", path)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as exc:
        # some file systems cannot sync a folder, which loses nothing that was written
        if exc.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


@lru_cache(maxsize=1)
def _libc_renameat2() -> Any:
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    number, text = ctypes.c_int, ctypes.c_char_p
    function.argtypes = (number, text, number, text, ctypes.c_uint)
    return function


def _renameat2(source: Path, target: Path, flag: int) -> bool:
    """`renameat2(2)` with `flag`; False if the system or the file system does not support it."""
    function = _libc_renameat2()
    if function is None:
        return False
    if function(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flag) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(source), None, str(target))


# -- other processes -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Writers:
    """Who writes a file that a lease keeps writers out of."""

    fd: int
    #: whether nobody had it open for writing as the lease was asked for
    none: bool
    #: whether the system granted one
    leased: bool

    def came(self) -> bool:
        """Whether somebody has it open for writing, or waits to open it so."""
        if not self.leased:
            return not self.none
        return bool(fcntl.fcntl(self.fd, fcntl.F_GETLEASE) != fcntl.F_RDLCK)


@contextlib.contextmanager
def keep_writers_out(fd: int) -> Iterator[Writers]:
    """Whether anybody has the file open for writing; nobody can open it so within the block.

    None where a system cannot say. Linux grants a read lease only on a file that nobody has open
    for writing, and whoever opens it for writing waits until the lease is given back.
    """
    leased, none = False, True
    if hasattr(fcntl, "F_SETLEASE"):
        try:
            # a broken lease would raise SIGIO, which kills; SIGURG is ignored by default
            fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            leased = True
        except OSError as exc:
            none = exc.errno != errno.EAGAIN
    try:
        yield Writers(fd, none, leased)
    finally:
        if leased:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
