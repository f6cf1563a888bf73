"""What lies on the board, looked at once more at every attempt, and what is left out of a look."""

from __future__ import annotations

import contextlib
import os
from operator import attrgetter

from orchestrator.changes.entries import Reader, stamp_of
from orchestrator.storage.atomic import sha256_bytes
from orchestrator.storage.history import FOLDER as HISTORIES
from orchestrator.storage.versions import Versions

#: folders that tools fill by themselves; files in them are not changes unless git tracks them
CACHES = frozenset(
    {"node_modules", ".venv", "venv", "__pycache__", ".pytest_cache", ".mypy_cache"}
    | {".ruff_cache", ".npm", ".cache", ".tox", ".nox", ".hypothesis", ".gradle", ".DS_Store"}
)
#: names of ignored files that tools write by themselves
MADE_BY_TOOLS: tuple[str, ...] = (
    ".log",
    ".pyc",
    ".pyo",
    ".coverage",
    ".tsbuildinfo",
    ".eslintcache",
    ".tmp",
)
MADE_BY_TOOLS += (".swp", ".o", ".so", ".class", ".lock", ".pid", "~", "coverage.xml")


def look_at_board(board: str, reader: Reader) -> dict[str, str]:
    """Ticket → sha256, by names, as they move; other files by their path below the board.

    Nearly all of it is as it was at the last look, which one look at each file's times says. The
    bytes of what is not are kept.
    """
    found: dict[str, str] = {}
    top = f"{reader.root}/{board}"
    folders = [top]
    known, walked = reader.hashes.kept, not reader.is_behind_link(f"{board}/")
    while folders:
        folder = folders.pop(0)
        try:
            # below an open folder, the way to a file is short
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            entries = []
            with contextlib.suppress(OSError), os.scandir(fd) as listed:
                entries = sorted(listed, key=attrgetter("name"))
            for file in entries:
                place = f"{folder}/{file.name}"
                try:
                    stamp, name, sha256 = known[place]
                    if stamp == stamp_of(file.stat(follow_symlinks=False)):
                        found[name] = sha256
                        continue
                except (KeyError, OSError):
                    pass
                if not _is_looked_at(file.name):
                    continue
                if file.is_dir(follow_symlinks=False):
                    folders.append(place)
                else:
                    name, sha256 = _read(reader, board, place[len(top) + 1 :], walked)
                    found[name] = sha256
        finally:
            os.close(fd)
    return found


def _read(reader: Reader, board: str, below: str, walked: bool) -> tuple[str, str]:
    """The name of a file of the board, and its sha256; its bytes are kept.

    Those of a ticket as the conductor wrote it are among its versions.
    """
    folder, _, name = below.partition("/")
    is_ticket = name.endswith(".md") and "/" not in name and folder[:1] != "."
    shown, path = name if is_ticket else below, f"{board}/{below}"
    sha256 = reader.entry(path, walked=walked).sha256 if is_ticket else ""
    if not sha256 or not _is_version(reader, name, sha256):
        sha256 = reader.entry(path, keep=True, walked=walked).sha256
    place = f"{reader.root}/{path}"
    with contextlib.suppress(OSError):
        stamp = stamp_of(os.lstat(place))
        # none is known of what changed a moment ago
        if reader.hashes.get(path, stamp) == sha256:
            reader.hashes.kept[place] = stamp, shown, sha256
    return shown, sha256


def _is_version(reader: Reader, name: str, sha256: str) -> bool:
    last = Versions(reader.root, name).last()
    return last is not None and sha256_bytes(last) == sha256


def _is_looked_at(name: str) -> bool:
    """Whether a file or folder of the board is: the conductor guards the histories itself."""
    return not (name in CACHES or name in (".git", HISTORIES) or name.endswith(MADE_BY_TOOLS))


def is_cache(path: str) -> bool:
    """Whether a path lies in a folder that tools fill by themselves."""
    return not CACHES.isdisjoint(path.split("/"))
