"""Processes that an agent leaves behind, also outside of its process group.

Each agent gets a mark in its environment and an open pipe, which all that it starts inherit. Where
`/proc` shows these (Linux), whatever carries one of them is found, however it was started.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path

_PROCESSES = Path("/proc")
_NAME = "ORCHESTRATE_AGENT_RUN"
#: looks, as what is found may be starting something; seconds between them
_LOOKS, _PAUSE = 20, 0.01


class Marks:
    """What the processes of one agent carry."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(16)
        self._read_end, self.fd = os.pipe()
        self._pipe = ""
        with contextlib.suppress(OSError):
            self._pipe = str(Path(f"/proc/self/fd/{self.fd}").readlink())

    @property
    def environment(self) -> dict[str, str]:
        return {_NAME: self._token}

    def started(self) -> None:
        """The agent has its end of the pipe: this process needs none."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def kill_all(self, spare: str = "") -> None:
        """Kill whatever carries a mark, but for programs of one name."""
        for _ in range(_LOOKS):
            found = [pid for pid in self._find() if not spare or _program(pid) != spare]
            for pid in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if not found:
                return
            time.sleep(_PAUSE)

    def close(self) -> None:
        self.started()
        os.close(self._read_end)

    def _find(self) -> Iterator[int]:
        mark = f"{_NAME}={self._token}".encode()
        for folder in _PROCESSES.glob("[0-9]*") if self._pipe else ():
            pid = int(folder.name)
            if pid == os.getpid():
                continue
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0") or self._holds(folder):
                    yield pid

    def _holds(self, folder: Path) -> bool:
        for fd in (folder / "fd").iterdir():
            with contextlib.suppress(OSError):
                if str(fd.readlink()) == self._pipe:
                    return True
        return False


def _program(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (_PROCESSES / str(pid) / "comm").read_text("utf-8", "replace").strip()
    return ""
