"""The parent of an agent's process: what the agent leaves running ends when the agent does.

On Linux whatever loses its parent below this process becomes its child, however it was started and
whatever it has closed or forgotten. When the process that started it is gone, however it ended, it
ends all of it too. Run by path, with Python's standard library alone:
python -I -S keeper.py PID-OF-THE-CONDUCTOR COMMAND…
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

#: prctl(2)
_SET_CHILD_SUBREAPER = 36
#: exit code, and the beginning of stderr, where the command could not be started
NOT_STARTED, SAID = 125, "\0cannot be started\0"
#: looks, as what is found may be starting something; seconds between them
_LOOKS, _PAUSE = 400, 0.005
#: bytes of the largest file that the command may write
_LARGEST_FILE = 4 * 1024**3
#: seconds between looks whether the conductor is there
_WATCH = 0.1


def main(conductor: int, command: list[str]) -> int:
    """Run a command to its end, then end all that it has left; the command's exit code.

    Nothing of it outlives the process `conductor`, the parent of this one.
    """
    limit()
    try:
        # what was passed on to this process is the command's
        process = subprocess.Popen(command, close_fds=False)
    except OSError as exc:
        sys.stderr.write(f"{SAID}{exc.strerror}")
        return NOT_STARTED
    return keep(conductor, process.wait)


def limit() -> None:
    """Take in whatever loses its parent below this process, and limit what is written."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))


def keep(parent: int, wait: Callable[[], int], *, all_left: bool = True) -> int:
    """`wait` for a child's exit code, then end `all_left` by it; never outlive `parent`."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    code = wait()
    if all_left:
        end_descendants(os.getpid())
    return code if code >= 0 else 128 - code


def _end_with(conductor: int) -> None:
    # a death signal would come at the end of the thread that started this, and a pipe's end may be
    # held by others: a parent is one process
    while os.getppid() == conductor:
        time.sleep(_WATCH)
    end_descendants(os.getpid())
    if os.getpgrp() == os.getpid():
        # what is seen where there is no `/proc`, and this process
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def end_descendants(root: int) -> None:
    """Kill whatever a process has started, directly or not, and still runs."""
    for _ in range(_LOOKS):
        found = list(_descendants(root))
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if root == os.getpid():
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
        if not found:
            return
        time.sleep(_PAUSE)


def _descendants(root: int) -> Iterator[int]:
    """Those that are not zombies; none where the system has no `/proc`."""
    children: dict[int, list[tuple[int, bool]]] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):  # noqa: PTH208 - called often, and paths are slow
            if not name.isdecimal():
                continue
            with contextlib.suppress(OSError, ValueError):
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
                is_dead = state in (b"Z", b"X")
                children.setdefault(int(parent), []).append((int(name), is_dead))
    left = [root]
    while left:
        for pid, is_dead in children.get(left.pop(), ()):
            left.append(pid)
            if not is_dead:
                yield pid


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
