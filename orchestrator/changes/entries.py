"""What lies at a path, and the bytes that lay there: entries and the store of kept contents."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.storage.syscalls import read_from

#: bytes; of a larger file only the digest is kept
LARGEST_KEPT = 32 * 1024 * 1024
#: bytes that one reader keeps at most
MOST_KEPT = 2 * 1024**3
#: a file that changed so lately (ns) may change again without its times showing it
RACY = 50_000_000
#: bytes that are hashed at once
_SMALL = 1 << 16
#: hashes are written at most so often (s)
_PAUSE = 2.0


@dataclass(frozen=True)
class Entry:
    """A file, an executable file, a link, something special (a socket, a pipe), or nothing."""

    kind: str = "absent"
    #: sha256 of a file's bytes or of a link's target
    sha256: str = ""

    @property
    def there(self) -> bool:
        return self.kind != "absent"

    @property
    def is_file(self) -> bool:
        return self.kind in ("file", "executable")

    def to_list(self) -> list[str]:
        return [self.kind, self.sha256]

    @classmethod
    def from_list(cls, data: Any) -> Entry:
        return cls(*map(str, data)) if data else ABSENT


ABSENT = Entry()

#: times, size and inode
Stamp = list[int]


def stamp_of(found: os.stat_result) -> Stamp:
    return [found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino]


class Contents:
    """The bytes that files had, by their sha256."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._at = os.fspath(folder)

    def place(self, sha256: str) -> Path:
        return Path(self._path(sha256))

    def _path(self, sha256: str) -> str:
        return f"{self._at}/{sha256[:2]}/{sha256[2:]}"

    def has(self, sha256: str) -> bool:
        return self.stamp(sha256) is not None

    def stamp(self, sha256: str) -> Stamp | None:
        """What changes whenever the file does that keeps the bytes; None without one."""
        try:
            found = os.lstat(self._path(sha256))
        except OSError:
            return None
        return stamp_of(found) if stat.S_ISREG(found.st_mode) else None

    def read(self, sha256: str) -> bytes | None:
        """The bytes, None if they are not kept (any more) or damaged."""
        with contextlib.suppress(OSError):
            data = self.place(sha256).read_bytes()
            if hashlib.sha256(data).hexdigest() == sha256:
                return data
        return None

    def put(self, data: bytes) -> str:
        """Keep bytes; returns their sha256."""
        sha256 = hashlib.sha256(data).hexdigest()
        try:
            # its age says that it is needed
            os.utime(self._path(sha256))
        except OSError:
            self._write(sha256, data)
        return sha256

    def _write(self, sha256: str, data: bytes) -> None:
        place = self.place(sha256)
        temporary = f"{self._at}/{sha256[:2]}/.{secrets.token_hex(8)}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            fd = os.open(temporary, flags, 0o666)
        except FileNotFoundError:
            # what is kept may be secret
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.parent.mkdir(exist_ok=True)
            fd = os.open(temporary, flags, 0o666)
        try:
            with open(fd, "wb") as opened:  # noqa: PTH123 - an open descriptor
                opened.write(data)
            os.replace(temporary, place)  # noqa: PTH105 - called often
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def remove_all_but(self, wanted: Callable[[], set[str]], age: float = 3600.0) -> bool:
        """Remove what nobody refers to, unless it was kept within `age` seconds.

        At most once in that time, as it looks at everything; whether it did.
        """
        looked, before = self.folder / "looked", time.time() - age
        with contextlib.suppress(OSError):
            if looked.stat().st_mtime > before:
                return False
        refers = wanted()
        for file in self.folder.glob("??/*"):
            with contextlib.suppress(OSError):
                known = f"{file.parent.name}{file.name}" in refers
                if not known and file.stat().st_mtime < before:
                    file.unlink()
        with contextlib.suppress(OSError):
            looked.touch()
        return True


class Hashes:
    """What files were hashed to, kept for later runs: a file is hashed again only when its times
    or size changed. Several readers of one folder share them.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._cache: dict[str, list[Any]] | None = None
        self._is_changed = False
        #: folder of the board → file → stamp, name and sha256, once its bytes were kept in this
        #: process
        self.kept: dict[str, dict[str, tuple[Stamp, str, str]]] = {}
        #: when the file was written last, and as what
        self._saved, self._written = -_PAUSE, Stamp()
        self._lock = threading.Lock()

    def get(self, path: str, stamp: Stamp) -> str | None:
        """The sha256 of a file that still has this stamp, if it is known."""
        known = (self._loaded if self._cache is None else self._cache).get(path)
        return str(known[-1]) if known is not None and known[:-1] == stamp else None

    def put(self, path: str, stamp: Stamp, sha256: str) -> None:
        with self._lock:
            self._loaded[path] = [*stamp, sha256]
            self._is_changed = True

    @property
    def _loaded(self) -> dict[str, list[Any]]:
        if self._cache is None:
            try:
                loaded = json.loads(self._file.read_bytes())
            except (OSError, ValueError):
                loaded = {}
            self._cache = loaded if isinstance(loaded, dict) else {}
        return self._cache

    def distrust(self) -> None:
        """Write them again with the next `save` if an agent has edited their file."""
        with self._lock:
            if self._written != _stamp_at(self._file):
                self._is_changed, self._saved = True, -_PAUSE

    def save(self, known: Mapping[str, Entry] | None = None) -> None:
        """Keep them for later runs; of `known` alone, if it is given.

        They can be lost, so that a file that changes all the time is not written each time.
        """
        with self._lock, contextlib.suppress(OSError):
            if not self._is_changed or time.monotonic() - self._saved < _PAUSE:
                return
            kept = {p: v for p, v in self._loaded.items() if known is None or p in known}
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._file.with_name(f"{self._file.name}.{os.getpid()}.tmp")
            temporary.write_text(json.dumps(kept), encoding="ascii")
            temporary.replace(self._file)
            self._written = _stamp_at(self._file)
            self._is_changed, self._saved = False, time.monotonic()


def _stamp_at(file: Path) -> Stamp:
    try:
        return stamp_of(file.stat())
    except OSError:
        return []


class Reader:
    """Reads entries below a folder, without following links."""

    def __init__(self, root: Path, contents: Contents, hashes: Hashes) -> None:
        self.root = root
        self._at = os.fspath(root)
        self.contents = contents
        self.hashes = hashes
        self._kept = 0

    def entry(
        self, path: str, *, keep: bool = False, place: Path | None = None, walked: bool = False
    ) -> Entry:
        """What lies at a path; with `keep` its bytes go into the store.

        `walked`: whoever found the path followed no link on the way.
        """
        file = os.fspath(place) if place is not None else f"{self._at}/{path}"
        try:
            if place is None and not walked and self.is_behind_link(path):
                return ABSENT
            found = os.lstat(file)
            if stat.S_ISLNK(found.st_mode):
                target = os.fsencode(os.readlink(file))  # noqa: PTH115 - a bytes-safe target
                sha256 = self.contents.put(target) if keep else hashlib.sha256(target).hexdigest()
                return Entry("link", sha256)
            if stat.S_ISDIR(found.st_mode):
                return ABSENT
            if not stat.S_ISREG(found.st_mode):
                return Entry("special")
            kind = "executable" if found.st_mode & stat.S_IXUSR else "file"
            return Entry(kind, self._hash(path, file, found, keep))
        except (FileNotFoundError, NotADirectoryError):
            return ABSENT
        except PermissionError:
            return Entry("special", "unreadable")

    def is_behind_link(self, path: str) -> bool:
        """Whether a folder on the way to a path is a link."""
        parts = path.split("/")[:-1]
        places = ("/".join((self._at, *parts[: n + 1])) for n in range(len(parts)))
        return any(os.path.islink(place) for place in places)  # noqa: PTH114 - called often

    def _hash(self, path: str, file: str, found: os.stat_result, keep: bool) -> str:
        stamp = stamp_of(found)
        known = self.hashes.get(path, stamp)
        if known is not None and (
            not keep or found.st_size > LARGEST_KEPT or self.contents.has(known)
        ):
            return known
        started = time.time_ns()
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if keep and found.st_size <= LARGEST_KEPT and self._kept < MOST_KEPT:
                sha256 = self.contents.put(read_from(fd, found.st_size))
                self._kept += found.st_size
            elif found.st_size <= _SMALL:
                sha256 = hashlib.sha256(read_from(fd, found.st_size)).hexdigest()
            else:
                with open(fd, "rb", closefd=False) as opened:
                    sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        finally:
            os.close(fd)
        if started - max(found.st_ctime_ns, found.st_mtime_ns) > RACY:
            self.hashes.put(path, stamp, sha256)
        return sha256
