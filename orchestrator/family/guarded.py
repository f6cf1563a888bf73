"""What only USER and the conductor write, put back where it changed while an agent worked.

The board, receipts, settings, checks and the workflow in force are held in memory from an agent's
start until the last of its processes has ended (DESIGN 12.2). What this program itself wrote in
that time, in any process, is sealed and stays; so does what the ticket's `files:` name in so many
words. All else is exchanged for what was there before, and kept.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.changes.board_files import CACHES
from orchestrator.changes.entries import RACY
from orchestrator.family.attempt_files import Worker
from orchestrator.family.family import Family
from orchestrator.git.command import GitError, run_git
from orchestrator.storage import syscalls
from orchestrator.storage.history import FOLDER, History
from orchestrator.storage.locks import is_held
from orchestrator.storage.versions import Versions
from orchestrator.storage.written import was_written

#: how the names of files end that editors keep beside those they have open
_EDITORS = ("~", ".swp", ".swo", ".swx", ".lock", ".tmp")
#: files that this program writes and renames in the same moment
_OWN_TEMPORARY = ".orchestrate-"
#: bytes of a file that are held in memory at most
_LARGEST = 16_000_000
#: what was sealed so long before (ns) may have reached the disk only after the first look
_UNDER_WAY = 5_000_000_000
#: looks at what another conductor may be writing in this moment; seconds between them
_LOOKS, _PAUSE = 5, 0.02


@dataclass(frozen=True)
class _Item:
    """What lies at a path."""

    kind: str
    #: of a file, or where a link leads; None: too large to hold
    data: bytes | None
    #: inode, size and times, which tell whether it has to be read again
    stamp: tuple[int, ...] = field(compare=False, default=())
    #: when it was read (ns)
    read: int = field(compare=False, default=0)


#: the board at hand as it was looked at last: what has not changed is not read again
_lately: dict[Path, dict[str, _Item]] = {}


@dataclass(frozen=True)
class PutBack:
    """A change that was undone: the path, how it was changed, and where that version is."""

    path: str
    how: str
    kept: str
    #: why it is not undone after all
    left: str = ""


class Guard:
    """The files that rule a family's work, as they were when an agent began."""

    def __init__(self, family: Family, places: Iterable[str], known: dict[str, _Item]) -> None:
        """`places`: files and folders below the workspace, besides the board."""
        self._family = family
        self._root = family.board.root
        self._board = family.board.path.relative_to(self._root).as_posix()
        self._names = {family.ticket(member).path.name for member in family.flow.members}
        own = [Versions(self._root, name).folder for name in sorted(self._names)]
        self._places = (self._board, *places, *(p.relative_to(self._root).as_posix() for p in own))
        self._kept = ""
        family.history.flush()
        self._count = len(family.history.records)
        self._since = time.time_ns() - _UNDER_WAY
        self.before = self._look(known)

    # -- what there is -----------------------------------------------------------------------

    def _look(self, known: dict[str, _Item]) -> dict[str, _Item]:
        found: dict[str, _Item] = {}
        root = f"{self._root}/"
        for place in self._places:
            top = self._root / place
            is_folder = top.is_dir() and not top.is_symlink()
            for file in _walk(f"{root}{place}") if is_folder else (f"{root}{place}",):
                path = file.removeprefix(root)
                item = _item(file, known.get(path))
                if item is not None:
                    found[path] = item
        return found

    # -- what changed ------------------------------------------------------------------------

    def restore(self, workers: Sequence[Worker], kept: str) -> list[PutBack]:
        """Undo what changed since, and was not the very work of these; what it was goes to `kept`.

        Raises GitAtWorkError where git has put another board in the place of this one.
        """
        self._kept = kept
        history = self._family.history
        own = history.path.relative_to(self._root).as_posix()
        done = list[PutBack]()
        if self._is_exchanged():
            history.require_same()
        before = self.before.get(own)
        held = (before.data if before is not None else b"") or b""

        def exchange(data: bytes) -> None:
            done.append(self._put_back(own, _Item("file", data), _item(history.path, None)))

        history.put_back(held, self._count, exchange)
        now = self._look(self.before)
        changed = {p for p in {*self.before, *now} if self.before.get(p) != now.get(p)} - {own}
        vouched = {p for p in changed if p in now and self._is_vouched(p, now[p])}
        names = {Path(p).name for p in vouched}
        for path in sorted(changed - vouched, key=lambda p: (p in self.before, p)):
            # a ticket that the conductor of another family has moved
            if path not in now and Path(path).name in names:
                continue
            if any(_is_named(worker, path) for worker in workers):
                continue
            done.append(self._put_back(path, self.before.get(path), now.get(path)))
        return done

    def _is_exchanged(self) -> bool:
        """Whether git has put another board here: all of it is as in the commit at hand."""
        history = self._family.history
        before = self.before.get(history.path.relative_to(self._root).as_posix())
        if before is None or (
            history.path.is_file() and history.path.stat().st_size >= len(before.data or b"")
        ):
            return False
        with contextlib.suppress(GitError):
            words = ("status", "--porcelain", "--untracked-files=all", "--", self._board)
            return not run_git(self._root, *words).strip()
        return False

    def _is_vouched(self, path: str, item: _Item) -> bool:
        """Whether this program wrote it meanwhile: for another family, or by a command of USER."""
        if item.kind != "file" or item.data is None or self._is_own(path):
            return False
        file = self._root / path
        for _ in range(_LOOKS):
            if file.parent.name == FOLDER and file.suffix == ".jsonl":
                other = History(self._family.board.path, file.stem)
                if other.damage() is None and was_written(file, other.tip.encode(), self._since):
                    return self._extends(path, file)
            elif was_written(file, item.data or b"", self._since):
                return True
            # it may be writing in this moment
            time.sleep(_PAUSE)
            item = _item(file, None) or item
        return False

    def _extends(self, path: str, file: Path) -> bool:
        before = self.before.get(path)
        with contextlib.suppress(OSError):
            return file.read_bytes().startswith((before.data or b"") if before else b"")
        return False

    def _is_own(self, path: str) -> bool:
        """Whether it is a ticket of the family itself, whose lock this process holds."""
        return path.startswith(f"{self._board}/") and Path(path).name in self._names

    # -- putting back ------------------------------------------------------------------------

    def _put_back(self, path: str, before: _Item | None, now: _Item | None) -> PutBack:
        place, kept = self._root / path, self._root / self._kept / path
        how = "edited" if before and now else "removed" if before else "added"
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            while os.path.lexists(kept):
                kept = kept.with_name(f"{kept.name}.{secrets.token_hex(4)}")
            if before is None:
                syscalls.rename_new(place, kept)
            elif before.data is None:
                return PutBack(path, how, "", "what was there before is too large to be held")
            else:
                self._exchange(place, kept, before)
        except OSError as exc:
            return PutBack(path, how, "", exc.strerror or str(exc))
        there = os.path.lexists(kept)
        return PutBack(path, how, kept.relative_to(self._root).as_posix() if there else "")

    def _exchange(self, place: Path, kept: Path, before: _Item) -> None:
        """What was there before takes its place again; what is there goes to `kept`."""
        assert before.data is not None
        for above in reversed(place.relative_to(self._root).parents[:-1]):
            folder = self._root / above
            if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
                folder.rename(kept.with_name(f"{folder.name}.{secrets.token_hex(4)}"))
        place.parent.mkdir(parents=True, exist_ok=True)
        new = place.with_name(f"{_OWN_TEMPORARY}{secrets.token_hex(8)}.tmp")
        if before.kind == "link":
            os.symlink(os.fsdecode(before.data), new)  # noqa: PTH211 - a bytes-safe target
        else:
            syscalls.write_new(new, before.data, like=new)
            new.chmod(before.stamp[0] if before.stamp else 0o644)
        if not os.path.lexists(place):
            syscalls.rename_new(new, place)
        elif syscalls.exchange(new, place):
            new.rename(kept)
        else:
            place.rename(kept)
            syscalls.rename_new(new, place)


class Watch:
    """The guard of a family, for all its agents that could write to the board at the same time."""

    def __init__(self, family: Family, places: Callable[[], Iterable[str]]) -> None:
        self._family = family
        self._places = places
        self._root = family.board.root
        self._guard: Guard | None = None
        self._held = -1
        self._at_work: dict[str, tuple[Worker, list[PutBack]]] = {}
        self._lock = threading.Lock()

    def enter(self, worker: Worker) -> None:
        """An agent is about to begin."""
        with self._lock:
            if not self._at_work:
                known = _lately.get(self._root, {})
                self._guard = Guard(self._family, self._places(), known)
                _lately.clear()
                _lately[self._root] = self._guard.before
                self._held = os.open(_lock_file(self._root), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
                fcntl.flock(self._held, fcntl.LOCK_SH)
            self._at_work[worker.name] = (worker, [])

    def leave(self, worker: Worker, kept: str) -> list[PutBack]:
        """All its processes have ended: what was undone while it worked, by whomever it was.

        Raises as `Guard.restore`.
        """
        with self._lock:
            assert self._guard is not None
            try:
                done = self._guard.restore([each for each, _ in self._at_work.values()], kept)
            finally:
                _, mine = self._at_work.pop(worker.name)
                if not self._at_work:
                    os.close(self._held)
            # who of several it was cannot be determined
            for _, theirs in self._at_work.values():
                theirs += done
            return [*mine, *done]


def may_be_an_agents(root: Path) -> bool:
    """Whether an agent that is not confined is at work on this board, for any family."""
    return is_held(_lock_file(root))


def _lock_file(root: Path) -> Path:
    return root / ".orchestrate" / "state" / "locks" / "free-agents"


def _is_named(worker: Worker, path: str) -> bool:
    """Whether a check, template or workflow is the very work that the ticket is about."""
    top = path.partition("/")[0]
    named = (*worker.files, *worker.deliverables)
    return "/" in path and worker.claims(path) and any(p.partition("/")[0] == top for p in named)


def _walk(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name in CACHES or entry.name.startswith(_OWN_TEMPORARY):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif not entry.name.endswith(_EDITORS):
            yield entry.path


def _item(file: str | Path, known: _Item | None) -> _Item | None:
    """What lies there, None if nothing does."""
    try:
        found = os.lstat(file)
        stamp = (
            stat.S_IMODE(found.st_mode),
            found.st_ino,
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
        )
        # what was written just before it was read could be written again in the same moment
        if known is not None and known.stamp == stamp and known.read - found.st_ctime_ns > RACY:
            return known
        started = time.time_ns()
        if stat.S_ISLNK(found.st_mode):
            return _Item("link", os.fsencode(os.readlink(file)), stamp)  # noqa: PTH115
        if not stat.S_ISREG(found.st_mode):
            return _Item("folder" if stat.S_ISDIR(found.st_mode) else "special", None, stamp)
        if found.st_size > _LARGEST:
            return _Item(f"large file of {found.st_size} at {found.st_mtime_ns}", None, stamp)
        return _Item("file", Path(file).read_bytes(), stamp, started)
    except OSError:
        return None
