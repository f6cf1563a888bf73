"""What this program has lately written on a board, to distinguish its own writes from others'.

Each is sealed with the key of the user, which confined programs cannot read. Kept by the name of
the file, as tickets move between folders.
"""

from __future__ import annotations

import contextlib
import os
import time
from functools import lru_cache
from pathlib import Path

from orchestrator.storage import syscalls

#: set by whoever starts an agent: the board's workspace, for whatever runs in the agent's place
AGENT_OF = "ORCHESTRATE_AGENT_OF"
#: time (ns) and seal of one write; how many are kept of each name
_ENTRY, _KEPT = 8 + 32, 8


def is_agents(root: Path) -> bool:
    """Whether this process was started by an agent that works for the board in `root`."""
    named = os.environ.get(AGENT_OF, "")
    return named != "" and Path(named).resolve() == root.resolve()


def remember(path: Path, data: bytes) -> None:
    """Write down that this program is about to write `data` there; what cannot be is left out."""
    file = os.fspath(path)
    above, name = os.path.split(file)
    folder = _folder_for(above)
    if folder is None or "/.orchestrate/" in file:
        return
    if AGENT_OF in os.environ and is_agents(Path(folder).parents[2]):
        return
    stamp = time.time_ns().to_bytes(8, "big")
    seal = _seal(stamp, name, data)
    if not seal:
        return
    with contextlib.suppress(OSError):
        # written over in place: emptying a file first makes some file systems write it out at once
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = syscalls.open_in_folder(_place(folder, name), flags)
        try:
            held = os.pread(fd, _ENTRY * _KEPT, 0)
            os.pwrite(fd, (held + stamp + seal)[-_ENTRY * _KEPT :], 0)
        finally:
            os.close(fd)


def was_written(path: Path, data: bytes, since: int) -> bool:
    """Whether this program, in any process, wrote `data` under that name after a moment (ns)."""
    return any(
        int.from_bytes(stamp, "big") >= since
        and bool(seal)
        and seal == _seal(stamp, path.name, data)
        for stamp, seal in _entries(path)
    )


def was_latest(path: Path, data: bytes) -> bool:
    """Whether `data` is what this program wrote, or was about to write, last under that name."""
    entries = _entries(path)
    return bool(entries) and was_written(path, data, int.from_bytes(entries[-1][0], "big"))


def _entries(path: Path) -> list[tuple[bytes, bytes]]:
    """(time, seal) of the last writes under a name, the latest at the end."""
    folder = _folder_for(os.fspath(path.parent))
    if folder is None:
        return []
    try:
        held = Path(_place(folder, path.name)).read_bytes()
    except OSError:
        return []
    starts = range(0, len(held), _ENTRY)
    return [(held[start : start + 8], held[start + 8 : start + _ENTRY]) for start in starts]


def _seal(stamp: bytes, name: str, data: bytes) -> bytes:
    from orchestrator.storage import signing

    return signing.seal(b"written\0" + stamp + os.fsencode(name) + b"\0" + data)


def _place(folder: str, name: str) -> str:
    return f"{folder}/{os.fsencode(name)[:120].hex()}"


def _folder_for(folder: str) -> str | None:
    try:
        return _written_above(folder)
    except LookupError:
        # what is not there yet is looked for again
        return None


@lru_cache(maxsize=256)
def _written_above(folder: str) -> str:
    """In the nearest `.orchestrate` at or above a folder. Raises LookupError if there is none."""
    for above in (Path(folder), *Path(folder).parents):
        if (above / ".orchestrate").is_dir():
            return f"{above}/.orchestrate/state/written"
    raise LookupError(folder)
