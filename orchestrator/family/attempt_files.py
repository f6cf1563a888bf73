"""Attempts on disk: who is at work, what the workspace was like, and whose a change may be."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

from orchestrator.changes.compare import Change, paths_of
from orchestrator.changes.snapshot import Snapshot, WorkTree
from orchestrator.family.blockers import covers
from orchestrator.storage import syscalls

#: the name of what is kept of an attempt: its stage and number
_ATTEMPT = re.compile(r"attempt\.(\d+)\.(\d+)\.json", re.ASCII)
AGENT, PERSON, CHECK, UNKNOWN = "agent", "person", "check", "unknown"
#: beside one of them: it came with a commit, a checkout or a pull, by whomever
COMMITTED = "committed"


@dataclass(frozen=True)
class Worker:
    """Whose attempt it is, and what it may change."""

    family: str
    stage: int
    attempt: int
    agent: str
    ticket: str
    #: `files:` of the ticket
    files: tuple[str, ...] = ()
    #: paths that the stage is to deliver
    deliverables: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.agent} ({self.ticket}, stage {self.stage})"

    @property
    def name(self) -> str:
        return f"{self.family}.{self.stage}.{self.attempt}"

    def claims(self, path: str) -> bool:
        """Whether a path is named as this worker's."""
        return any(covers(place, path) for place in (*self.files, *self.deliverables))

    def may_change(self, path: str) -> bool:
        return not self.files or any(covers(place, path) for place in self.files)


@dataclass
class Segment:
    """A stretch of an attempt."""

    by: str
    before: Snapshot
    after: Snapshot | None = None

    def to_dict(self, start: Snapshot | None) -> dict[str, Any]:
        after = self.after.to_dict(start) if self.after else None
        return {"by": self.by, "before": self.before.to_dict(start), "after": after}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], start: Snapshot | None) -> Segment:
        after = Snapshot.from_dict(data["after"], start) if data["after"] else None
        return cls(data["by"], Snapshot.from_dict(data["before"], start), after)


@dataclass(frozen=True)
class Seen:
    """What changed in an attempt."""

    worker: Worker
    changes: tuple[Change, ...] = ()
    #: path → who changed it: the agent, a person, or unknown
    by: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: path → the others at work at that time who may have changed it
    shared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: what else the agent did: commits, another branch, staged files
    notes: tuple[str, ...] = ()
    before: Snapshot | None = None
    after: Snapshot | None = None
    #: whether the record of what was there before was removed or altered meanwhile
    is_record_altered: bool = False

    @property
    def paths(self) -> set[str]:
        return paths_of(self.changes)

    def by_agent(self, path: str) -> bool:
        """Whether the agent, and nobody else, changed a path."""
        return self.by.get(path) == frozenset({AGENT}) and path not in self.shared


class AttemptFiles:
    """The attempts of one family, and all that are at work on the board."""

    def __init__(self, tree: WorkTree, family: str) -> None:
        self.tree = tree
        self.folder = Path(f"{tree.state}/changes/{family}")
        self._at_work = Path(f"{tree.state}/changes/at-work")
        #: what said that a worker of the family is at work, while none is
        self._parked = self.folder / ".at-work"

    def load(
        self, worker: Worker, digests: Collection[str] = (), start: Snapshot | None = None
    ) -> list[Segment]:
        """The segments of an attempt, none if nothing is known of it.

        `digests`: the sha256 that its file may have, if that is known; `start`: of its family,
        without which of the board only what had changed since is known.
        """
        try:
            data = syscalls.read_whole(self.file(worker))
            if digests and hashlib.sha256(data).hexdigest() not in digests:
                return []
            return [Segment.from_dict(s, start) for s in json.loads(data)]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def forget(self) -> None:
        """Remove what is kept of the family's attempts."""
        for file in (*self.folder.glob("attempt.*.json"), self._parked):
            file.unlink(missing_ok=True)

    def kept(self) -> dict[tuple[int, int], Path]:
        """(stage, attempt) → the file that is kept of it."""
        found = {}
        with contextlib.suppress(OSError):
            for name in os.listdir(self.folder):  # noqa: PTH208 - called often
                if named := _ATTEMPT.fullmatch(name):
                    found[int(named[1]), int(named[2])] = self.folder / name
        return found

    def digests(self) -> set[str]:
        """The sha256 of everything that a start or an attempt on this board refers to."""
        found = set[str]()
        for file in self.folder.parent.glob("*/*.json"):
            with contextlib.suppress(OSError):
                found |= set(re.findall(r'"([0-9a-f]{64})"', file.read_text(encoding="ascii")))
        return found

    def file(self, worker: Worker) -> Path:
        name = f"attempt.{worker.stage}.{worker.attempt}.json"
        return Path(f"{self.tree.state}/changes/{worker.family}/{name}")

    # -- who is at work ----------------------------------------------------------------------

    def enter(self, worker: Worker, ended: int | None = None) -> None:
        """Say that a worker is at work, or until when it was (ns)."""
        about = {"worker": vars(worker), "pid": os.getpid(), "ended": ended}
        about["root"] = str(self.tree.root)
        write(self._at_work / f"{worker.name}.json", encode(about), self._parked)

    def leave(self, worker: Worker) -> None:
        """No longer at work. Those who still are must know until when it was."""
        files = self._files_at_work()
        if self._has_others(worker, files):
            self.enter(worker, time.time_ns())
            return
        for file in files:
            with contextlib.suppress(OSError):
                if file.stem == worker.name:
                    file.replace(self._parked)
                else:
                    file.unlink()

    def is_beside(self, worker: Worker) -> bool:
        """Whether others are at work too."""
        return self._has_others(worker, self._files_at_work())

    def _has_others(self, worker: Worker, files: Sequence[Path]) -> bool:
        own = f"{worker.name}.json"
        return any(file.name != own and self._is_present(file) for file in files)

    def others(self, worker: Worker, since: int) -> list[Other]:
        """Who else was at work in the same files after a moment (ns)."""
        found = []
        for file in self._files_at_work():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                data = json.loads(syscalls.read_whole(file))
                them = Worker(**{n: _tupled(v) for n, v in data["worker"].items()})
                ended = data["ended"]
                gone = ended is None and not _is_alive(data["pid"])
                apart = data["root"] != str(self.tree.root)
                if them.name == worker.name or gone or apart or (ended and ended < since):
                    continue
                segments = self.load(them)
                found.append(Other(self.tree, them, segments[-1] if segments else None))
        return found

    def _files_at_work(self) -> list[Path]:
        with contextlib.suppress(FileNotFoundError):
            names = sorted(os.listdir(self._at_work))  # noqa: PTH208 - called often
            return [self._at_work / name for name in names if name.endswith(".json")]
        return []

    @staticmethod
    def _is_present(file: Path) -> bool:
        with contextlib.suppress(OSError, ValueError, KeyError):
            data = json.loads(syscalls.read_whole(file))
            return data["ended"] is None and _is_alive(data["pid"])
        return False


@dataclass(frozen=True)
class Other:
    """Somebody else at work, and what is known of its changes."""

    tree: WorkTree
    worker: Worker
    segment: Segment | None

    def left_alone(self, path: str) -> bool:
        """Whether it certainly did not change a path: it has ended, and the path was the same."""
        if self.segment is None or self.segment.after is None:
            return False
        was = self.tree.entries_at(self.segment.before, [path])
        return self.tree.entries_at(self.segment.after, [path]) == was


def whose(path: str, worker: Worker, others: Sequence[Other]) -> tuple[bool, tuple[str, ...]]:
    """Whether a change is the worker's, and with whom it may share it."""
    shared = []
    for other in others:
        them = other.worker
        if other.left_alone(path) or (worker.claims(path) and not them.claims(path)):
            continue
        if them.claims(path) and not worker.claims(path):
            return False, ()
        if not worker.may_change(path) and not them.files:
            return False, ()
        shared.append(them.label)
    return True, tuple(shared)


def pack(path: str) -> str:
    """A path as JSON lines can hold it: one that is not UTF-8 as NUL and its bytes in hex."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return "\0" + os.fsencode(path).hex()
    return path


def unpack(name: str) -> str:
    return os.fsdecode(bytes.fromhex(name[1:])) if name.startswith("\0") else name


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def encode(data: Any) -> bytes:
    """JSON, in which names that are not UTF-8 are kept as they are."""
    return json.dumps(data).encode("ascii")


def write(file: Path, data: bytes, spare: Path | None = None) -> None:
    """Write a file whole or not at all.

    `spare`: one that nobody needs, if it is there, is written over and renamed: to create a file
    costs a file system many times as much.
    """
    temporary = f"{file.parent}/.{file.name}.{os.getpid()}.{threading.get_ident()}.tmp"
    fd = _reopened(spare, temporary) if spare is not None else None
    if fd is None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        temporary = f"{temporary}.new"
        fd = syscalls.open_in_folder(temporary, flags)
    with FileIO(fd, "wb") as opened:
        opened.write(data)
        opened.truncate()
    os.replace(temporary, file)  # noqa: PTH105 - called often


def _reopened(spare: Path, name: str) -> int | None:
    """A file under another name, open to be written over; None for one that is not ours alone."""
    try:
        os.replace(spare, name)  # noqa: PTH105 - called often
        fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        return fd
    os.close(fd)
    return None
