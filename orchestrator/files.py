"""Changing files without losing anybody's work: atomic replace, merge by line, moves, locks."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import re
import secrets
import signal
import stat
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from orchestrator.errors import BusyError, OrchestrateError, UnsafePathError
from orchestrator.merge import merge_lines

#: how long a writer may keep the displaced file open before its bytes are taken as they are (s)
_SETTLE_LIMIT = 2.0
#: content must be unchanged for this long before it counts as saved (s, DESIGN 8.2)
_QUIET = 0.1
_TEMPORARY = ".orchestrate-"
_NOREPLACE, _EXCHANGE = 1, 2
_AT_FDCWD = -100


class DiskError(OrchestrateError):
    """The disk is full, read-only or failing; nothing was changed."""

    code = "disk"


# -- paths ---------------------------------------------------------------------------------------


def inside(root: Path, relative: str | Path) -> Path:
    """`root / relative` with links followed, below `root` as it was given.

    Raises UnsafePathError for an absolute path, a `..`, a NUL, or a link that leaves `root`.
    """
    text = os.fspath(relative)
    if "\0" in text or text.startswith("~") or Path(text).is_absolute() or ".." in Path(text).parts:
        raise _unsafe(text)
    try:
        home = root.resolve()
        return root / (home / text).resolve().relative_to(home)
    except (ValueError, OSError, RuntimeError) as exc:
        raise _unsafe(text) from exc


def _unsafe(text: str) -> UnsafePathError:
    return UnsafePathError(
        f"the path {text!r} leaves the workspace",
        hint="name a file below the workspace, without '..' and without links that lead out of it",
    )


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- replacing -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Replacement:
    """What lies on disk after `replace`."""

    data: bytes
    #: the file was edited meanwhile and both edits are in `data`
    merged: bool = False
    #: where the other edit was set aside whole, because both changed the same lines
    conflict: Path | None = None


def replace(path: Path, new: bytes, base: bytes | None = None) -> Replacement:
    """Replace a file's content atomically and durably, keeping its mode.

    `base` is what `new` was made from. If the file no longer holds it, or did not hold it at the
    moment of the rename, the other edit is merged in by line; where both changed the same lines
    `new` wins and the other version is set aside whole as `<id>.conflict-<time>.md`.
    Raises FileNotFoundError if `base` is given and the file is gone, DiskError, UnsafePathError.
    """
    with _disk_errors(path):
        if base is None:
            _put(path, new)
            return Replacement(new)
        return _replace_merging(path, new, base)


def _replace_merging(path: Path, new: bytes, base: bytes) -> Replacement:
    result, expected = Replacement(new), base
    while True:
        current = read(path)
        if current != expected:
            current = _quiet(path, current)
            result = _take_in(path, result, expected, current)
        if current == result.data:
            return result
        displaced = _swap(path, result.data)
        expected = result.data
        if displaced == current:
            return result
        # somebody saved between the look and the rename
        result = _take_in(path, result, current, displaced)


def _take_in(path: Path, ours: Replacement, base: bytes, theirs: bytes) -> Replacement:
    data, clean = merge_lines(base, ours.data, theirs)
    conflict = ours.conflict if clean else set_aside(path, theirs)
    return Replacement(data, merged=True, conflict=conflict)


def read(path: Path) -> bytes:
    """A regular file's bytes; a link is refused. Raises UnsafePathError, FileNotFoundError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise UnsafePathError("is a link", path=path, hint="put the file itself here") from exc
        raise
    with os.fdopen(fd, "rb") as file:
        return file.read()


def _quiet(path: Path, seen: bytes) -> bytes:
    """The content once it has not changed for `_QUIET` seconds (an editor may be half through)."""
    deadline = time.monotonic() + _SETTLE_LIMIT
    while time.monotonic() < deadline:
        time.sleep(_QUIET)
        now = read(path)
        if now == seen:
            break
        seen = now
    return seen


def _swap(path: Path, new: bytes) -> bytes:
    """Put `new` at `path` and return the bytes that were there, late writes included."""
    temporary = _write_temporary(path, new)
    try:
        if not _rename(temporary, path, _EXCHANGE):
            temporary = _replace_keeping_old(temporary, path)
        displaced = _settled(temporary)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return displaced


def _replace_keeping_old(temporary: Path, path: Path) -> Path:
    old = _temporary_name(path)
    os.link(path, old)
    temporary.replace(path)
    return old


def _settled(path: Path) -> bytes:
    """The bytes of a displaced file once no process has it open for writing any more."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _SETTLE_LIMIT
        while _has_writer(fd) and time.monotonic() < deadline:
            time.sleep(0.01)
        with os.fdopen(os.dup(fd), "rb") as file:
            return file.read()
    finally:
        os.close(fd)


def _has_writer(fd: int) -> bool:
    """Linux grants a read lease only on a file that nobody has open for writing."""
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


def _put(path: Path, new: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _write_temporary(path, new)
    try:
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _temporary_name(path: Path) -> Path:
    return path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}.tmp")


def _write_temporary(path: Path, data: bytes) -> Path:
    """A synced file with `data` beside `path`, with `path`'s mode and owner if it exists."""
    temporary = _temporary_name(path)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(fd, "wb") as file:
            _copy_mode(path, file.fileno())
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _copy_mode(path: Path, fd: int) -> None:
    try:
        like = path.stat()
    except FileNotFoundError:
        return
    os.fchmod(fd, stat.S_IMODE(like.st_mode))
    mine = os.fstat(fd)
    if (like.st_uid, like.st_gid) != (mine.st_uid, mine.st_gid):
        with contextlib.suppress(OSError):
            os.fchown(fd, like.st_uid, like.st_gid)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as exc:
        # some file systems cannot sync a folder, which is no loss of what was written
        if exc.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def set_aside(path: Path, data: bytes) -> Path:
    """Store `data` beside `path` as `<id>.conflict-<time>.md` and return where."""
    named = re.match(r"(?:[A-Za-z]+_)?[^_\s]+", path.stem)
    stem = named.group() if named else path.stem
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{stem}.conflict-{moment}{path.suffix}")
    create(aside, data)
    return aside


# -- creating, moving, appending -----------------------------------------------------------------


def create(path: Path, data: bytes) -> None:
    """Write a new file, whole or not at all, never over another one.

    Raises FileExistsError, DiskError.
    """
    with _disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _write_temporary(path.with_name(_TEMPORARY), data)
        try:
            _move_exclusively(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


def move(source: Path, target: Path) -> Path:
    """Rename durably, never over another file.

    Raises FileExistsError, FileNotFoundError, DiskError.
    """
    if source == target:
        return target
    with _disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _move_exclusively(source, target)
        _sync_folder(target.parent)
        if source.parent != target.parent:
            _sync_folder(source.parent)
    return target


def _move_exclusively(source: Path, target: Path) -> None:
    if _rename(source, target, _NOREPLACE):
        return
    os.link(source, target, follow_symlinks=False)
    source.unlink()


@lru_cache(maxsize=1)
def _renameat2() -> Any:
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


def _rename(source: Path, target: Path, flag: int) -> bool:
    """`renameat2(2)` with `flag`; False where system or file system does not know it."""
    function = _renameat2()
    if function is None:
        return False
    names = os.fsencode(source), os.fsencode(target)
    if function(_AT_FDCWD, names[0], _AT_FDCWD, names[1], flag) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(source), None, str(target))


def sweep(folder: Path, aside: Path, age: float = 3600.0) -> list[Path]:
    """Move temporary files that a killed process left in `folder` to `aside`; returns where to.

    They may hold what a person saved in that very moment, so they are kept. `age` in seconds spares
    those that are in use.
    """
    kept = []
    for left in sorted(folder.glob(f"{_TEMPORARY}*.tmp")):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime >= age:
                kept.append(move(left, aside / left.name.lstrip(".")))
    return kept


def append_line(path: Path, line: str) -> None:
    """Append one line durably; a torn last line of an earlier crash is closed first.

    Raises DiskError (the file is then as before), ValueError if `line` holds a line end.
    """
    if "\n" in line or "\r" in line:
        raise ValueError("append_line takes one line")
    with _disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(path, flags, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            _append(fd, line.encode("utf-8", "surrogateescape") + b"\n")
        finally:
            os.close(fd)


def _append(fd: int, data: bytes) -> None:
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        data = b"\n" + data
    try:
        while data:
            data = data[os.write(fd, data) :]
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, size)
        raise


# -- locks ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FamilyLock:
    """A held lock. A child that gets `fd` (`subprocess` `pass_fds`) holds it too, until it ends."""

    family: str
    path: Path
    fd: int


@contextlib.contextmanager
def family_lock(state: Path, family: str, wait: bool = False) -> Iterator[FamilyLock]:
    """Hold a family for one process and the children that get its `fd`.

    The lock ends with its last holder, however that ends. Raises BusyError with the holder's pid
    unless `wait`.
    """
    path = state / "locks" / f"{_file_name(family)}.lock"
    with _disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        _lock(fd, family, path, wait)
        # closing, and not unlocking, leaves the lock to a child that still holds it
        yield FamilyLock(family, path, fd)
    finally:
        os.close(fd)


def _lock(fd: int, family: str, path: Path, wait: bool) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as exc:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise BusyError(
            f"{family} is in the hands of process {holder}",
            path=path,
            hint=f"wait until it has ended, or end it (kill {holder}) and the agents it started",
        ) from exc
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)


def _file_name(family: str) -> str:
    """A file name for any id: two ids that differ in any way, case included, never share one."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", family).lstrip(".")[:80]
    exact = unicodedata.normalize("NFC", family)
    return f"{plain}-{sha256_bytes(exact.encode('utf-8', 'surrogatepass'))[:12]}"


# -- faults --------------------------------------------------------------------------------------

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """OSError as DiskError that says what to do; missing and existing files keep their own type."""
    try:
        yield
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError as exc:
        if exc.errno in _FULL:
            raise DiskError("the disk is full", path=path, hint="free some space") from exc
        if exc.errno in _FORBIDDEN:
            raise DiskError(
                "may not be written", path=path, code="read-only", hint="check the folder's rights"
            ) from exc
        raise DiskError(str(exc.strerror or exc), path=path, hint="check the disk") from exc
