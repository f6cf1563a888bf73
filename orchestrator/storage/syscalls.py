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
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

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


def _begin(operation: str, path: Path) -> None:
    for watcher in _watchers:
        watcher(operation, path)


# -- files ---------------------------------------------------------------------------------------


def write_new(path: Path, data: bytes, like: Path) -> None:
    """A new, synced file with the mode and owner of `like`, if that exists."""
    _begin("create", path)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        _copy_mode(like, fd)
        _begin("write", path)
        _write(fd, data)
        _begin("sync", path)
        os.fsync(fd)
    finally:
        os.close(fd)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _copy_mode(like: Path, fd: int) -> None:
    try:
        wanted = like.stat()
    except FileNotFoundError:
        return
    mine = os.fstat(fd)
    if stat.S_IMODE(wanted.st_mode) != stat.S_IMODE(mine.st_mode):
        os.fchmod(fd, stat.S_IMODE(wanted.st_mode))
    if (wanted.st_uid, wanted.st_gid) != (mine.st_uid, mine.st_gid):
        with contextlib.suppress(OSError):
            os.fchown(fd, wanted.st_uid, wanted.st_gid)


class Append:
    """Bytes at the end of a file, not synced yet.

    Either `sync` or `begin_sync` with `wait`, and at last `close`. A sync that fails takes the
    bytes away again, if nothing came after them, and raises OSError.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        """Append, all or nothing; a torn last line of an earlier crash is closed first."""
        _begin("append", path)
        self.path = path
        self._fd = _opened_to_append(path)
        self._under_way: Future[None] | None = None
        try:
            with _locked(self._fd):
                self._size, self._end = _appended(self._fd, data)
        except BaseException:
            os.close(self._fd)
            raise

    def begin_sync(self) -> None:
        """Sync, while this goes on."""
        with self._undone_if_failed():
            _begin("sync", self.path)
            self._under_way = _threads().submit(os.fsync, self._fd)

    def wait(self) -> None:
        """Wait for the sync that was begun."""
        with self._undone_if_failed():
            if self._under_way is not None:
                self._under_way.result()

    def sync(self) -> None:
        """Sync now."""
        with self._undone_if_failed():
            _begin("sync", self.path)
            os.fsync(self._fd)

    def close(self) -> None:
        os.close(self._fd)

    @contextlib.contextmanager
    def _undone_if_failed(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            with _locked(self._fd):
                if os.fstat(self._fd).st_size == self._end:
                    os.ftruncate(self._fd, self._size)
            raise


def append(path: Path, data: bytes, durable: bool) -> None:
    """Append bytes, all or none; a torn last line of an earlier crash is closed first."""
    with contextlib.closing(Append(path, data)) as appended:
        if durable:
            appended.sync()


def _opened_to_append(path: Path) -> int:
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        make_folder(path.parent)
        return os.open(path, flags | os.O_CREAT, 0o666)


@contextlib.contextmanager
def _locked(fd: int) -> Iterator[None]:
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)


def _appended(fd: int, data: bytes) -> tuple[int, int]:
    """Append the bytes; the file's size before and after."""
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        data = b"\n" + data
    try:
        _write(fd, data)
    except OSError:
        os.ftruncate(fd, size)
        raise
    return size, size + len(data)


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    """For what waits for the disk. A child that was forked has none of its parent's threads."""
    return ThreadPoolExecutor(4, thread_name_prefix="disk")


os.register_at_fork(after_in_child=_threads.cache_clear)


def remove(path: Path) -> None:
    """Remove a file of our own; it may be gone."""
    _begin("remove", path)
    path.unlink(missing_ok=True)


# -- names ---------------------------------------------------------------------------------------


def rename_over(source: Path, target: Path) -> None:
    """Rename, replacing what is there."""
    _begin("rename", target)
    source.rename(target)


def exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step; False where the system cannot."""
    _begin("exchange", other)
    return _renameat2(one, other, _EXCHANGE)


def rename_new(source: Path, target: Path) -> None:
    """Rename, never over another file. Raises FileExistsError."""
    _begin("rename", target)
    if _renameat2(source, target, _NOREPLACE):
        return
    os.link(source, target, follow_symlinks=False)
    _begin("remove", source)
    source.unlink()


def link(source: Path, target: Path) -> None:
    """A second name for a file."""
    _begin("link", target)
    os.link(source, target)


def make_folder(path: Path) -> None:
    """A folder with those above it, where they are missing."""
    if not path.is_dir():
        _begin("folder", path)
        path.mkdir(parents=True, exist_ok=True)


def sync_folder(path: Path) -> None:
    """Make a folder's names durable."""
    _begin("sync folder", path)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as exc:
        # some file systems cannot sync a folder, which is no loss of what was written
        if exc.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


@lru_cache(maxsize=1)
def _function() -> Any:
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = (
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    )
    return function


def _renameat2(source: Path, target: Path, flag: int) -> bool:
    """`renameat2(2)` with `flag`; False where system or file system does not know it."""
    function = _function()
    if function is None:
        return False
    names = os.fsencode(source), os.fsencode(target)
    if function(_AT_FDCWD, names[0], _AT_FDCWD, names[1], flag) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(source), None, str(target))


# -- others at work ------------------------------------------------------------------------------


def has_writer(fd: int) -> bool:
    """Whether another process has the file open for writing (Linux; elsewhere nobody knows).

    Linux grants a read lease only on a file that nobody has open for writing.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        # a broken lease would raise SIGIO, which kills; SIGURG is ignored by default
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as exc:
        return exc.errno == errno.EAGAIN
    return False
