"""Changing files without losing anybody's work: atomic replace, merge by line, moves, locks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.errors import BusyError, OrchestrateError, UnsafePathError
from orchestrator.storage import syscalls
from orchestrator.storage.merge import merge_lines

#: how long a writer may keep the displaced file open before its bytes are taken as they are (s)
_SETTLE_LIMIT = 2.0
#: content must be unchanged for this long before it counts as saved (s, DESIGN 8.2)
_QUIET = 0.1
_TEMPORARY = ".orchestrate-"
#: bytes read at once; a ticket has fewer
_PART = 1 << 16


class DiskError(OrchestrateError):
    """The disk is full, read-only or failing; nothing was changed."""

    code = "disk"


# -- paths ---------------------------------------------------------------------------------------


def inside(root: Path, relative: str | Path) -> Path:
    """`root / relative` with links followed, below `root` as it was given.

    Raises UnsafePathError for an absolute path, a `..`, a NUL, or a link that leaves `root`.
    """
    text = os.fspath(relative)
    if "\0" in text or text[:1] in ("~", "/") or ".." in text.split("/"):
        raise _unsafe(text)
    home = os.path.realpath(root)
    place = os.path.realpath(f"{home}/{text}")
    below = home.rstrip("/") + "/"
    if (place != home and not place.startswith(below)) or _is_endless(place):
        raise _unsafe(text)
    return root / place[len(below) :]


def _is_endless(place: str) -> bool:
    """Whether links are left in it, which then go in a circle."""
    try:
        return stat.S_ISLNK(os.lstat(place).st_mode)
    except OSError as exc:
        return exc.errno == errno.ELOOP


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


@dataclass(frozen=True)
class Manner:
    """How a file is replaced beside the plain way."""

    #: the folder is added here and not synced yet (`sync_folders`): till then a failing machine
    #: may bring the old content back, whole
    later: set[Path] | None = None
    #: where both sides changed a line that begins so, it is the others'
    yielding: bytes = b""
    #: called before the new content takes its place
    before: Callable[[], None] = lambda: None
    #: gives the place where the next displaced content is kept
    keep: Callable[[], Path] | None = None
    #: (what lay there lately, the newest first, and what somebody saved over it) → the version that
    #: the save was made from, and the save as it may be taken
    rebase: Callable[[Sequence[bytes], bytes], tuple[bytes, bytes]] | None = None


_PLAINLY = Manner()


def replace(
    path: Path, new: bytes, base: bytes | None = None, manner: Manner = _PLAINLY
) -> Replacement:
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
        return _replace_merging(path, new, base, manner)


def _replace_merging(path: Path, new: bytes, base: bytes, manner: Manner) -> Replacement:
    result, expected = Replacement(new), base
    left: list[Path] = []
    passed = [base]
    while True:
        current = read(path)
        if current != expected:
            current = _quiet(path, current)
            result = _take_in(path, result, [expected, *passed], current, manner)
            passed.insert(0, current)
        if current == result.data:
            break
        displaced = _swap(path, result.data, left, manner.before)
        _sync_folder(path.parent, manner.later)
        expected = result.data
        if displaced == current:
            break
        # somebody saved between the look and the rename
        result = _take_in(path, result, [current, *passed], displaced, manner)
        passed[:0] = [displaced, expected]
    # what a person saved is put away when it stands in the ticket, and not before
    for each in left:
        _put_away(each, manner.keep() if manner.keep is not None else None)
    return result


def _take_in(
    path: Path, ours: Replacement, lately: Sequence[bytes], theirs: bytes, manner: Manner
) -> Replacement:
    base, saved = lately[0], theirs
    if manner.rebase is not None:
        base, saved = manner.rebase(lately, theirs)
    data, clean = merge_lines(base, ours.data, saved, manner.yielding)
    conflict = ours.conflict if clean else set_aside(path, theirs)
    return Replacement(data, merged=True, conflict=conflict)


def read(path: Path) -> bytes:
    """A regular file's bytes; a link is refused. Raises UnsafePathError, FileNotFoundError."""
    fd = _open(path)
    try:
        return _content(fd)
    finally:
        os.close(fd)


def holds(path: Path, data: bytes) -> bool:
    """Whether a regular file's bytes are these now, whoever has it open. Raises as `read`.

    Where a system gives less than the whole at once, this may be False for the same bytes.
    """
    fd = _open(path)
    try:
        return os.read(fd, len(data) + 1) == data
    finally:
        os.close(fd)


def _content(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, _PART):
        parts.append(part)
    return b"".join(parts)


def read_saved(path: Path) -> bytes:
    """The same once nobody has the file open for writing: a save may be half through.

    After `_SETTLE_LIMIT` seconds the bytes are taken as they are.
    """
    deadline = time.monotonic() + _SETTLE_LIMIT
    while True:
        fd = _open(path)
        try:
            if not syscalls.has_writer(fd):
                return _content(fd)
        finally:
            os.close(fd)
        if time.monotonic() > deadline:
            return read(path)
        time.sleep(0.005)


def _open(path: Path) -> int:
    try:
        # a pipe would not be opened before somebody writes into it
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise UnsafePathError(
                "is a link", path=path, hint="put the file itself here", code="link"
            ) from exc
        raise
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise UnsafePathError(
        "is no regular file", path=path, hint="put the text itself here", code="unreadable"
    )


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


def _swap(path: Path, new: bytes, left: list[Path], before: Callable[[], None]) -> bytes:
    """Put `new` at `path`; the bytes that were there, late writes included, and their file's name.

    The name is added to `left`.
    """
    temporary = _write_temporary(path, new)
    try:
        before()
        if not syscalls.exchange(temporary, path):
            temporary = _replace_keeping_old(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    left.append(temporary)
    return read_saved(temporary)


def _put_away(displaced: Path, keep: Path | None) -> None:
    if keep is not None:
        with contextlib.suppress(OSError):
            syscalls.make_folder(keep.parent)
            return syscalls.rename_over(displaced, keep)
    return syscalls.remove(displaced)


def _replace_keeping_old(temporary: Path, path: Path) -> Path:
    old = _temporary_name(path)
    syscalls.link(path, old)
    syscalls.rename_over(temporary, path)
    return old


def _put(path: Path, new: bytes) -> None:
    syscalls.make_folder(path.parent)
    temporary = _write_temporary(path, new)
    try:
        syscalls.rename_over(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    syscalls.sync_folder(path.parent)


def _temporary_name(path: Path) -> Path:
    return path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}.tmp")


def _write_temporary(path: Path, data: bytes) -> Path:
    """A synced file with `data` beside `path`, with `path`'s mode and owner if it exists."""
    temporary = _temporary_name(path)
    try:
        syscalls.write_new(temporary, data, like=path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def sync_folders(folders: set[Path]) -> None:
    """Make the names in these folders durable, and empty the set. A folder may be gone."""
    for folder in sorted(folders):
        with contextlib.suppress(FileNotFoundError), _disk_errors(folder):
            syscalls.sync_folder(folder)
    folders.clear()


def _sync_folder(folder: Path, later: set[Path] | None) -> None:
    if later is None:
        syscalls.sync_folder(folder)
    else:
        later.add(folder)


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
        syscalls.make_folder(path.parent)
        temporary = _write_temporary(path.with_name(_TEMPORARY), data)
        try:
            syscalls.rename_new(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        syscalls.sync_folder(path.parent)


def move(source: Path, target: Path, later: set[Path] | None = None) -> Path:
    """Rename durably, never over another file; `later` as in `replace`.

    Raises FileExistsError, FileNotFoundError, DiskError.
    """
    if source == target:
        return target
    with _disk_errors(target):
        syscalls.make_folder(target.parent)
        syscalls.rename_new(source, target)
        _sync_folder(target.parent, later)
        if source.parent != target.parent:
            _sync_folder(source.parent, later)
    return target


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


def append_lines(path: Path, lines: Sequence[str], durable: bool = True) -> None:
    """Append lines; a torn last line of an earlier crash is closed first.

    `durable`: they and all before them outlive the machine when this returns; else only the
    process. Raises DiskError (the file is then as before), ValueError if one holds a line end.
    """
    data = _as_bytes(lines)
    with _disk_errors(path):
        syscalls.append(path, data, durable)


def begin_lines(path: Path, lines: Sequence[str]) -> Callable[[], None]:
    """Append lines that are durable when the function that this returns has returned.

    It has to be called, once. Both raise as `append_lines`.
    """
    data = _as_bytes(lines)
    with _disk_errors(path):
        appended = syscalls.Append(path, data)
        try:
            appended.begin_sync()
        except BaseException:
            appended.close()
            raise

    def wait() -> None:
        with _disk_errors(path), contextlib.closing(appended):
            appended.wait()

    return wait


def _as_bytes(lines: Sequence[str]) -> bytes:
    if any("\n" in line or "\r" in line for line in lines):
        raise ValueError("a line holds no line end")
    return b"".join(line.encode("utf-8", "surrogateescape") + b"\n" for line in lines)


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
        fd = _lock_file(path)
    try:
        _lock(fd, family, path, wait)
        # closing, and not unlocking, leaves the lock to a child that still holds it
        yield FamilyLock(family, path, fd)
    finally:
        os.close(fd)


def _lock_file(path: Path) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags | os.O_CREAT, 0o666)


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
    os.pwrite(fd, f"{os.getpid():<20}\n".encode("ascii"), 0)


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
