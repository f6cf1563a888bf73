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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: bytes; of a larger file only the digest is kept
LARGEST_KEPT = 32 * 1024 * 1024
#: bytes that one process keeps at most
MOST_KEPT = 2 * 1024**3
#: a file that changed so lately (ns) may change again without its times showing it
_RACY = 50_000_000


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


class Contents:
    """The bytes that files had, by their sha256."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256[2:]

    def has(self, sha256: str) -> bool:
        return self.place(sha256).is_file()

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
            os.utime(self.place(sha256))
        except OSError:
            self._write(sha256, data)
        return sha256

    def _write(self, sha256: str, data: bytes) -> None:
        place = self.place(sha256)
        # what is kept may be secret
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.parent.mkdir(exist_ok=True)
        temporary = place.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            temporary.write_bytes(data)
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)

    def remove_all_but(self, wanted: set[str], age: float = 3600.0) -> None:
        """Remove what nobody refers to, unless it was kept within `age` seconds."""
        for file in self.folder.glob("??/*"):
            with contextlib.suppress(OSError):
                known = f"{file.parent.name}{file.name}" in wanted
                if not known and time.time() - file.stat().st_mtime > age:
                    file.unlink()


class Reader:
    """Reads entries below a folder, without following links; a file is hashed again only when
    its times or size changed.
    """

    def __init__(self, root: Path, contents: Contents, cache: Path) -> None:
        self.root = root
        self.contents = contents
        self._cache_file = cache
        self._cache: dict[str, list[Any]] | None = None
        self._is_changed = False
        self._kept = 0
        self._lock = threading.Lock()

    def entry(self, path: str, *, keep: bool = False, place: Path | None = None) -> Entry:
        """What lies at a path; with `keep` its bytes go into the store."""
        file = place or self.root / path
        try:
            if place is None and self.is_behind_link(path):
                return ABSENT
            found = file.lstat()
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
        places = (self.root.joinpath(*parts[: n + 1]) for n in range(len(parts)))
        return any(place.is_symlink() for place in places)

    def _hash(self, path: str, file: Path, found: os.stat_result, keep: bool) -> str:
        stamp = [found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino]
        with self._lock:
            known = self._loaded.get(path)
        if known is not None and known[:-1] == stamp:
            sha256 = str(known[-1])
            if not keep or found.st_size > LARGEST_KEPT or self.contents.has(sha256):
                return sha256
        started = time.time_ns()
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as opened:  # noqa: PTH123 - an open descriptor
            if keep and found.st_size <= LARGEST_KEPT and self._kept < MOST_KEPT:
                sha256 = self.contents.put(opened.read())
                self._kept += found.st_size
            else:
                sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        if started - max(found.st_ctime_ns, found.st_mtime_ns) > _RACY:
            with self._lock:
                self._loaded[path] = [*stamp, sha256]
                self._is_changed = True
        return sha256

    @property
    def _loaded(self) -> dict[str, list[Any]]:
        if self._cache is None:
            try:
                loaded = json.loads(self._cache_file.read_bytes())
            except (OSError, ValueError):
                loaded = {}
            self._cache = loaded if isinstance(loaded, dict) else {}
        return self._cache

    def distrust(self) -> None:
        """Write the hashes again with the next `save`: an agent may have edited their file."""
        with self._lock:
            self._is_changed = True

    def save(self, known: Mapping[str, Entry] | None = None) -> None:
        """Remember the hashes for later runs; of `known` alone, if it is given."""
        with self._lock, contextlib.suppress(OSError):
            if not self._is_changed:
                return
            kept = {p: v for p, v in self._loaded.items() if known is None or p in known}
            self._cache_file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._cache_file.with_name(f"{self._cache_file.name}.{os.getpid()}.tmp")
            temporary.write_text(json.dumps(kept), encoding="ascii")
            temporary.replace(self._cache_file)
            self._is_changed = False
