"""Keeps the proving server running between commands, and ends it when nobody has used it a while.

Run as a program of its own, with nothing but the standard library, so that it costs little:
`python keeper.py DATA LOCK MINUTES`. Of several for one folder all but the first end at once. It
may be killed at any time; the next command starts another.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

#: the library's list of processes that hold a server
HOLDERS = ".handle_pids.json"
_OWN_LOCK = ".keeper"
_LOOK_SECONDS = 10.0


def start_keeper(data: Path, lock: Path, minutes: float) -> None:
    """Start a keeper for the server of a data folder, detached from this process, if it has none.

    `lock`: the file that commands lock to begin or end using the server. `minutes`: how long it may
    be unused.
    """
    with (data / _OWN_LOCK).open("w") as own:
        try:
            fcntl.lockf(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
    subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(data), str(lock), str(minutes)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={},
        start_new_session=True,
    )


def keep(data: Path, lock: Path, minutes: float) -> None:
    """Watch until the server has ended, or end it."""
    with (data / _OWN_LOCK).open("w") as own:
        try:
            fcntl.lockf(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        while _find_server(data) is not None:
            time.sleep(min(_LOOK_SECONDS, minutes * 60))
            with lock.open("a") as held:
                fcntl.lockf(held, fcntl.LOCK_EX)
                server = _find_server(data)
                if server is not None and _idle_seconds(data) > minutes * 60:
                    os.kill(server, signal.SIGINT)
                    return


def _find_server(data: Path) -> int | None:
    """The number of the server's process; None where it does not run."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        number = int((data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
        os.kill(number, 0)
        return number
    return None


def _idle_seconds(data: Path) -> float:
    """Seconds since a process began or ended using the server; 0 while a living one does."""
    try:
        holders = json.loads((data / HOLDERS).read_text(encoding="utf-8") or "[]")
        age = time.time() - (data / HOLDERS).stat().st_mtime
    except (OSError, ValueError):
        return time.time()
    return 0.0 if any(map(_is_alive, holders)) else age


def _is_alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


if __name__ == "__main__":
    keep(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
