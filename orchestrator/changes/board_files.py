"""What lies on the board, looked at once more at every attempt, and what is left out of a look."""

from __future__ import annotations

import contextlib
import os
import stat

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
    walked = not reader.is_behind_link(f"{board}/")
    while folders:
        folder = folders.pop(0)
        known = reader.hashes.kept.get(folder, {})
        try:
            # below an open folder, the way to a file is short
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            for file in _names_in(fd):
                held = known.get(file)
                if held is None and not _is_looked_at(file):
                    continue
                try:
                    now = os.stat(file, dir_fd=fd, follow_symlinks=False)
                except OSError:
                    is_folder = False
                else:
                    if held is not None and held[0] == stamp_of(now):
                        found[held[1]] = held[2]
                        continue
                    is_folder = stat.S_ISDIR(now.st_mode)
                if is_folder:
                    folders.append(f"{folder}/{file}")
                else:
                    below = f"{folder}/{file}"[len(top) + 1 :]
                    name, sha256 = _read(reader, board, below, walked)
                    found[name] = sha256
        finally:
            os.close(fd)
    return found


def _names_in(fd: int) -> list[str]:
    try:
        return sorted(os.listdir(fd))
    except OSError:
        return []


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
    above, _, file = f"{reader.root}/{path}".rpartition("/")
    with contextlib.suppress(OSError):
        stamp = stamp_of(os.lstat(f"{above}/{file}"))
        # none is known of what changed a moment ago
        if reader.hashes.get(path, stamp) == sha256:
            reader.hashes.kept.setdefault(above, {})[file] = stamp, shown, sha256
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
