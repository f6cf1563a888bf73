"""Programs that nobody vouches for: what they print is kept up to a limit, and when they have
ended, or were ended, nobody waits for a pipe that something they left still holds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from orchestrator.agent_process.keeper import NOT_STARTED, SAID, end_descendants

_KEEPER = Path(__file__).with_name("keeper.py")
#: bytes that are kept of what a program prints, and at which it is stopped
KEPT_OUTPUT, MOST_OUTPUT = 8 * 1024**2, 512 * 1024**2
#: seconds for the rest of the output once a program has ended
_REST = 2.0


class Process(Protocol):
    """A process that was started, with pipes for its standard streams."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    @property
    def stdin(self) -> IO[bytes] | None: ...
    @property
    def stdout(self) -> IO[bytes] | None: ...
    @property
    def stderr(self) -> IO[bytes] | None: ...

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired."""
        ...


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    #: exit code; None: it was stopped
    code: int | None
    out: bytes
    err: bytes
    #: why it was stopped, ""
    stopped: str = ""


class Tail:
    """The end of what a process writes to a pipe; one that writes without end is stopped.

    `kill` is called once there is more than `most`; `kept` bytes are held.
    """

    def __init__(
        self,
        pipe: IO[bytes] | None,
        kill: Callable[[], object],
        *,
        kept: int = KEPT_OUTPUT,
        most: int = MOST_OUTPUT,
    ) -> None:
        assert pipe is not None
        #: whether it was stopped because of what it wrote
        self.stopped = False
        self.most = most
        self._kept, self._kill = kept, kill
        self._chunks: deque[bytes] = deque()
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe: IO[bytes]) -> None:
        kept = total = 0
        # a descriptor of its own: whoever waits no longer may close the pipe
        with (
            contextlib.suppress(OSError, ValueError),
            os.fdopen(os.dup(pipe.fileno()), "rb") as own,
        ):
            while chunk := os.read(own.fileno(), 1 << 16):
                self._chunks.append(chunk)
                total, kept = total + len(chunk), kept + len(chunk)
                while kept > self._kept and len(self._chunks) > 1:
                    kept -= len(self._chunks.popleft())
                if total > self.most and not self.stopped:
                    self.stopped = True
                    self._kill()
                    return

    def data(self) -> bytes:
        """What was kept, once the process has ended."""
        # a process that got away may hold the pipe open
        self._thread.join(_REST)
        return b"".join(tuple(self._chunks))

    def text(self) -> str:
        said = self.data().decode("utf-8", "replace")
        return said.replace("\r\n", "\n").replace("\r", "\n")


def attend(
    process: Process,
    kill: Callable[[], object],
    *,
    limit: float | None,
    given: bytes = b"",
    kept: int = KEPT_OUTPUT,
    most: int = MOST_OUTPUT,
) -> Ended:
    """Feed a process, keep the end of what it prints, end it at `limit` seconds or `most` bytes.

    Its standard streams are pipes. Whatever is raised meanwhile, `kill` is called first.
    """
    out = Tail(process.stdout, kill, kept=kept, most=most)
    err = Tail(process.stderr, kill)
    feeder = threading.Thread(target=_feed, args=(process.stdin, given), daemon=True)
    feeder.start()
    stopped = ""
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        stopped = f"stopped after {limit:g} s"
        kill()
    except BaseException:
        kill()
        raise
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_REST)
    texts = out.data(), err.data()
    for tail in (out, err):
        if tail.stopped:
            stopped = f"stopped: it printed more than {tail.most >> 20} MB"
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    return Ended(None if stopped else process.returncode, *texts, stopped)


def ask(
    command: Sequence[str],
    *,
    limit: float,
    env: Mapping[str, str],
    cwd: Path | None = None,
    given: bytes = b"",
) -> Ended:
    """What a short command prints, in a session of its own. Raises OSError if it cannot start."""
    process = subprocess.Popen(
        command,
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    try:
        return attend(process, kill, limit=limit, given=given)
    finally:
        kill()


def kept_words(command: Sequence[str]) -> list[str]:
    """The command that runs another one below a keeper (`keeper`), in a session of its own."""
    return [sys.executable, "-I", "-S", str(_KEEPER), str(os.getpid()), *command]


def start_failure(ended: Ended) -> str:
    """Why a command below a keeper was not started, "" if it was."""
    said = ended.err.decode("utf-8", "replace")
    is_one = ended.code == NOT_STARTED and said.startswith(SAID)
    return said.removeprefix(SAID) if is_one else ""


def end_group(process: Process) -> None:
    """Kill a child that leads a session, and everything that it started."""
    if process.returncode is None:
        # while their keeper lives, also those are found that have left its group
        end_descendants(process.pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _feed(stdin: IO[bytes] | None, data: bytes) -> None:
    if stdin is not None:
        with contextlib.suppress(OSError, ValueError):
            stdin.write(data)
        with contextlib.suppress(OSError, ValueError):
            stdin.close()
