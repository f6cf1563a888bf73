"""Changing files without losing anybody's work: atomic replace, merge by line, moves."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.errors import OrchestrateError, UnsafePathError
from orchestrator.storage import syscalls, written
from orchestrator.storage.real_paths import below_folder, real_folder

#: how long a writer may keep the displaced file open before its bytes are taken as they are (s)
_SETTLE_LIMIT = 2.0
#: content must be unchanged for this long before it counts as saved (s, DESIGN 8.2)
_QUIET = 0.1
_TEMPORARY = ".orchestrate-"


class DiskError(OrchestrateError):
    """The disk is full, read-only or failing; nothing was changed."""

    code = "disk"


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """OSError as DiskError with a hint; missing and existing files keep their own type."""
    try:
        yield
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskError("the disk is full", path=path, hint="free some space") from exc
        if exc.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            hint = "check the folder's permissions"
            raise DiskError("cannot be written", path=path, code="read-only", hint=hint) from exc
        raise DiskError(str(exc.strerror or exc), path=path, hint="check the disk") from exc


# -- paths ---------------------------------------------------------------------------------------


def inside(root: Path, relative: str | Path) -> Path:
    """`root / relative` with links followed, below `root` as it was given.

    Raises UnsafePathError for an absolute path, a `..`, a NUL, or a link that leaves `root`.
    """
    text = os.fspath(relative)
    if (place := place_inside(root, text)) is None:
        raise UnsafePathError(
            f"the path {text!r} leaves the workspace",
            hint="name a file in the workspace, without '..' and without links that lead out of it",
        )
    return place


def require_inside(root: Path, relative: str) -> None:
    """Raise as `inside`."""
    if _real_place(root, relative) is None:
        inside(root, relative)


def place_inside(root: Path, text: str) -> Path | None:
    """As `inside`; None where that raises."""
    place = _real_place(root, text)
    return root / place if place is not None else None


def _real_place(root: Path, text: str) -> str | None:
    """Where it is below `root`, with links followed; None where `inside` raises."""
    if "\0" in text or text[:1] in ("~", "/") or ".." in text.split("/"):
        return None
    home = real_folder(root)
    place = below_folder(home, text)
    below = home.rstrip("/") + "/"
    if place != home and not place.startswith(below):
        return None
    try:
        # links that are left in it go in a circle
        circular = stat.S_ISLNK(os.lstat(place).st_mode)
    except OSError as exc:
        circular = exc.errno == errno.ELOOP
    return None if circular else place[len(below) :]


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    import hashlib

    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- reading -------------------------------------------------------------------------------------


def read(path: Path | str) -> bytes:
    """A regular file's bytes; a link is refused. Raises UnsafePathError, FileNotFoundError."""
    fd, size = _open(path)
    try:
        return syscalls.read_from(fd, size)
    finally:
        os.close(fd)


def holds(path: Path, data: bytes) -> bool:
    """Whether a regular file's bytes are these now, whoever has it open. Raises as `read`.

    Where a system gives less than the whole at once, this may be False for the same bytes.
    """
    # called often
    fd, size = _open(path)
    try:
        return size == len(data) and os.read(fd, size + 1) == data
    finally:
        os.close(fd)


@dataclass(frozen=True)
class Watched:
    """A file that nobody begins to write."""

    fd: int
    size: int
    writers: syscalls.Writers

    def holds(self, data: bytes) -> bool:
        """As the function, of what had its path as the watch began."""
        return self.size == len(data) and os.read(self.fd, self.size + 1) == data

    def writers_came(self) -> bool:
        """Whether somebody writes it, or waits to since the watch began."""
        return self.writers.came()


@contextlib.contextmanager
def watch(path: Path) -> Iterator[Watched]:
    """Keep writers out of a regular file within the block. Raises as `read`."""
    fd, size = _open(path)
    try:
        with syscalls.keep_writers_out(fd) as writers:
            yield Watched(fd, size, writers)
    finally:
        os.close(fd)


def read_saved(path: Path) -> bytes:
    """As `read`, once nobody has the file open for writing: a save may be half done.

    After `_SETTLE_LIMIT` seconds the bytes are taken as they are.
    """
    return _read_saved(path)[0]


def _read_saved(path: Path) -> tuple[bytes, os.stat_result]:
    deadline = time.monotonic() + _SETTLE_LIMIT
    while True:
        fd, _ = _open(path)
        try:
            with syscalls.keep_writers_out(fd) as writers:
                if writers.none or time.monotonic() > deadline:
                    found = os.fstat(fd)
                    return syscalls.read_from(fd, found.st_size), found
        finally:
            os.close(fd)
        time.sleep(0.005)


def _open(path: Path | str) -> tuple[int, int]:
    try:
        # without O_NONBLOCK a pipe would not open before somebody writes into it
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            hint = "put the file itself here"
            raise UnsafePathError("is a link", path=Path(path), hint=hint, code="link") from exc
        raise
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode):
        return fd, found.st_size
    os.close(fd)
    hint = "put the text itself here"
    raise UnsafePathError("not a regular file", path=Path(path), hint=hint, code="unreadable")


# -- replacing -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Replacement:
    """What is on disk after `replace`."""

    data: bytes
    #: the file was edited meanwhile and both edits are in `data`
    merged: bool = False
    #: where the other edit was set aside whole, because both changed the same lines
    conflict: Path | None = None


@dataclass(frozen=True)
class Rebased:
    """A save that somebody made meanwhile, and what it was made from."""

    base: bytes
    #: the save as it may be taken
    theirs: bytes
    #: what is changed on both sides is taken from the save: nothing but other saves is lost by it
    newest: bool = False


@dataclass(frozen=True)
class ReplaceOptions:
    """How `replace` treats the folder, the old content and edits of others."""

    #: the folder is added here instead of being synced (`sync_folders`): until then a failing
    #: machine may bring the old content back, whole
    later: set[Path] | None = None
    #: where both sides changed a line that begins so, the other side's line is taken
    yielding: bytes = b""
    #: the caller holds a lock that all who replace this file with a base take
    locked: bool = False
    #: called before the new content takes its place
    before: Callable[[], None] = lambda: None
    #: returns where the next displaced content is kept
    keep: Callable[[], Path] | None = None
    #: (the file's latest contents, the newest first, what somebody saved over them, and what is
    #: being written) → how to merge the save
    rebase: Callable[[Sequence[bytes], bytes, bytes], Rebased] | None = None
    #: what becomes of a merged text, so that it is told from the one before
    mark: Callable[[bytes], bytes] = lambda merged: merged


_DEFAULTS = ReplaceOptions()


def replace(
    path: Path, new: bytes, base: bytes | None = None, options: ReplaceOptions = _DEFAULTS
) -> Replacement:
    """Replace a file's content atomically and durably, keeping its mode.

    `base` is what `new` was made from. If the file no longer holds it, or did not hold it at the
    moment of the rename, the other edit is merged in by line; where both changed the same lines
    `new` wins and the other version is set aside whole as `<id>.conflict-<time>.md`.
    Raises FileNotFoundError if `base` is given and the file is gone, DiskError, UnsafePathError.
    """
    with disk_errors(path):
        if base is not None:
            with contextlib.nullcontext() if options.locked else _folder_lock(path.parent):
                return _replace_merging(path, new, base, options)
        syscalls.make_folder(path.parent)
        with _temporary(path, new) as temporary:
            syscalls.rename_over(temporary, path)
        syscalls.sync_folder(path.parent)
        return Replacement(new)


@contextlib.contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    """Let one at a time merge: what another one is about to merge would look deleted."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # some network file systems have no such locks
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _replace_merging(path: Path, new: bytes, base: bytes, options: ReplaceOptions) -> Replacement:
    from orchestrator.storage.merge import merge_lines

    result, expected = Replacement(new), base
    displaced_files: list[Path] = []
    earlier = [base]

    def merge_in(saved: bytes, last: bytes) -> Replacement:
        how = Rebased(last, saved)
        if options.rebase is not None:
            how = options.rebase([last, *earlier], saved, result.data)
        data, clean = merge_lines(how.base, result.data, how.theirs, options.yielding, how.newest)
        if displaced_files and data != result.data:
            # what is on disk may have been opened by now
            data = options.mark(data)
        if clean:
            return Replacement(data, merged=True, conflict=result.conflict)
        other = result.data if how.newest else saved
        return Replacement(data, merged=True, conflict=set_aside(path, other))

    while True:
        current, read_from = _read_saved(path)
        last, before = expected, result
        if current != expected:
            current, read_from = _wait_until_quiet(path, current)
            result = merge_in(current, expected)
            earlier.insert(0, current)
        if current == result.data:
            break
        displaced_file = _swap(path, result.data, options.before)
        displaced_files.append(displaced_file)
        displaced, displaced_from = _read_saved(displaced_file)
        _sync_folder(path.parent, options.later)
        expected = result.data
        if displaced == current:
            break
        # somebody saved between the read and the rename
        if current != last and os.path.samestat(read_from, displaced_from):
            # what was read was a save half done: nothing of it may be taken for a deletion
            if result.conflict is not None and result.conflict != before.conflict:
                syscalls.remove(result.conflict)
            result, current = before, last
            earlier.pop(0)
        result = merge_in(displaced, current)
        earlier[:0] = [displaced, expected]
    # what a person saved is put away once it is merged into the ticket, and not before
    for file in displaced_files:
        if options.keep is not None:
            place = options.keep()
            with contextlib.suppress(OSError):
                syscalls.make_folder(place.parent)
                syscalls.rename_over(file, place)
                continue
        syscalls.remove(file)
    return result


def _wait_until_quiet(path: Path, seen: bytes) -> tuple[bytes, os.stat_result]:
    """The content once it has not changed for `_QUIET` seconds (an editor may be half done)."""
    deadline = time.monotonic() + _SETTLE_LIMIT
    while True:
        time.sleep(_QUIET)
        now, read_from = _read_saved(path)
        if now == seen or time.monotonic() >= deadline:
            return now, read_from
        seen = now


def _swap(path: Path, new: bytes, before: Callable[[], None]) -> Path:
    """Put `new` at `path`; returns the file that now has the old content, late writes included."""
    temporary = _write_temporary(path, new)
    try:
        before()
        if syscalls.exchange(temporary, path):
            return temporary
        old = _temporary_name(path)
        syscalls.link(path, old)
        syscalls.rename_over(temporary, path)
        return old
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _temporary_name(path: Path) -> Path:
    return path.with_name(f"{_TEMPORARY}{os.getpid()}-{os.urandom(8).hex()}.tmp")


def _write_temporary(path: Path, data: bytes) -> Path:
    """A synced file with `data` in the same folder, with `path`'s mode and owner if it exists."""
    temporary = _temporary_name(path)
    written.remember(path, data)
    try:
        syscalls.write_new(temporary, data, like=path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


@contextlib.contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[Path]:
    temporary = _write_temporary(path, data)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def sync_folders(folders: set[Path]) -> None:
    """Make the names in these folders durable, and empty the set. A folder may be gone."""
    for folder in sorted(folders):
        with contextlib.suppress(FileNotFoundError), disk_errors(folder):
            syscalls.sync_folder(folder)
    folders.clear()


def _sync_folder(folder: Path, later: set[Path] | None) -> None:
    if later is None:
        syscalls.sync_folder(folder)
    else:
        later.add(folder)


def set_aside(path: Path, data: bytes) -> Path:
    """Store `data` in the folder of `path` as `<id>.conflict-<time>.md`; returns the path."""
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
    with disk_errors(path):
        syscalls.make_folder(path.parent)
        written.remember(path, data)
        with _temporary(path.with_name(_TEMPORARY), data) as temporary:
            syscalls.rename_new(temporary, path)
        syscalls.sync_folder(path.parent)


def move(source: Path, target: Path, later: set[Path] | None = None) -> Path:
    """Rename durably, never over another file; `later` as in `ReplaceOptions`.

    Raises FileExistsError, FileNotFoundError, DiskError.
    """
    if source == target:
        return target
    with disk_errors(target):
        syscalls.make_folder(target.parent)
        syscalls.rename_new(source, target)
        _sync_folder(target.parent, later)
        if source.parent != target.parent:
            _sync_folder(source.parent, later)
    return target


def sweep(folder: Path, aside: Path, age: float = 3600.0) -> list[Path]:
    """Move temporary files of killed processes in `folder` to `aside`; returns the new paths.

    They may be what a person saved at that very moment, so they are kept. Files younger than `age`
    seconds are skipped unless the process that they name is gone: they may be in use.
    """
    kept = []
    for left in sorted(folder.glob(f"{_TEMPORARY}*.tmp")):
        with contextlib.suppress(FileNotFoundError):
            named = re.match(rf"{re.escape(_TEMPORARY)}(\d+)-", left.name)
            dead = named is not None and not _is_alive(int(named[1]))
            if dead or time.time() - left.stat().st_mtime >= age:
                kept.append(move(left, aside / left.name.lstrip(".")))
    return kept


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OverflowError:
        return False
    except OSError as exc:
        return exc.errno != errno.ESRCH
    return True


def append_lines(path: Path, lines: Sequence[str], durable: bool = True) -> None:
    """Append lines; a torn last line of an earlier crash is closed first.

    `durable`: they and all before them survive a crash of the machine when this returns; else only
    of the process. Raises DiskError (the file is then as before), ValueError for a line end in one.
    """
    data = _join(lines)
    with disk_errors(path):
        syscalls.append(path, data, durable)


def begin_lines(path: Path, lines: Sequence[str]) -> Callable[[], None]:
    """Append lines that are durable once the returned function has returned.

    It has to be called, once. Both raise as `append_lines`.
    """
    data = _join(lines)
    with disk_errors(path):
        appended = syscalls.Append(path, data)
        try:
            appended.sync(background=True)
        except BaseException:
            appended.close()
            raise

    def wait() -> None:
        with disk_errors(path), contextlib.closing(appended):
            appended.wait()

    return wait


def _join(lines: Sequence[str]) -> bytes:
    if any("\n" in line or "\r" in line for line in lines):
        raise ValueError("a line must not contain a line end")
    return b"".join(line.encode("utf-8", "surrogateescape") + b"\n" for line in lines)
