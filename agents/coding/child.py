"""A coding agent's program as a child process: its output line by line, and its end."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

from orchestrate_agents.coding.events import Event, plain

#: bytes of one line; what is longer is dropped
_LINE_LIMIT = 64_000_000
#: lines kept of what it wrote to its standard error
_TAIL = 40
#: events that may wait to be looked at
_WAITING = 1_000
#: seconds for the rest of its output once it has ended
_REST = 2.0

Reader = Callable[[bytes], Iterable[Event]]


class Child:
    """A program at work, in a process group of its own.

    Its lines become events by `read`, those of its standard error by `complain`, each called in a
    thread of its own. `next` takes them in order.
    Raises OSError where it cannot be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        prompt: str,
        read: Reader,
        complain: Reader = lambda line: (),
        fds: Sequence[int] = (),
    ) -> None:
        self._events: queue.Queue[Event | None] = queue.Queue(_WAITING)
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._stopped = threading.Event()
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=dict(environment),
            start_new_session=True,
            pass_fds=tuple(fds),
        )
        stdin, stdout, stderr = (self._process.stdin, self._process.stdout, self._process.stderr)
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        #: lines that were not events, the newest last
        self.noise: deque[str] = deque(maxlen=_TAIL)
        self._threads = [
            threading.Thread(target=each, args=words, daemon=True)
            for each, words in (
                (self._feed, (stdin, prompt.encode())),
                (self._read, (stdout, read)),
                (self._keep, (stderr, complain)),
            )
        ]
        for thread in self._threads:
            thread.start()
        threading.Thread(target=self._wait, daemon=True).start()

    def next(self, seconds: float) -> Event | None:
        """The next event; None when it has ended. Raises TimeoutError if there is none in time."""
        try:
            return self._events.get(timeout=max(seconds, 0.0))
        except queue.Empty as exc:
            raise TimeoutError from exc

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll()

    @property
    def tail(self) -> str:
        """The last of what it wrote to its standard error, or else of what was not an event."""
        return "\n".join(self._tail or self.noise)

    def stop(self) -> None:
        """Kill it with all of its process group."""
        self._stopped.set()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for thread in self._threads:
            thread.join(_REST)

    # -- threads -----------------------------------------------------------------------------

    def _feed(self, stdin: IO[bytes], data: bytes) -> None:
        with contextlib.suppress(OSError):
            stdin.write(data)
        with contextlib.suppress(OSError):
            stdin.close()

    def _read(self, stdout: IO[bytes], read: Reader) -> None:
        with stdout:
            for line in lines_of(stdout):
                found = tuple(read(line))
                if not found and line.strip():
                    self.noise.append(plain(line[:2_000].decode("utf-8", "replace")).strip())
                for event in found:
                    self._put(event)

    def _keep(self, stderr: IO[bytes], complain: Reader) -> None:
        with stderr:
            for line in lines_of(stderr):
                if text := plain(line[:2_000].decode("utf-8", "replace")).strip():
                    self._tail.append(text)
                for event in complain(line):
                    self._put(event)

    def _wait(self) -> None:
        self._process.wait()
        # whatever it left running may hold its pipes
        for thread in self._threads[1:]:
            thread.join(_REST)
        self._put(None)

    def _put(self, event: Event | None) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._events.put(event, timeout=1.0)
                return


def lines_of(stream: IO[bytes]) -> Iterable[bytes]:
    """The lines of a stream as they come, the last one also if it is not ended.

    Of a line beyond the limit nothing is yielded.
    """
    parts: list[bytes] = []
    size = 0
    with contextlib.suppress(OSError, ValueError):
        while data := os.read(stream.fileno(), 65_536):
            *ended, rest = data.split(b"\n")
            for piece in ended:
                size += len(piece)
                if size <= _LINE_LIMIT:
                    yield b"".join([*parts, piece])
                parts.clear()
                size = 0
            size += len(rest)
            # what is too long is counted, not kept
            if size <= _LINE_LIMIT:
                parts.append(rest)
            else:
                parts.clear()
    if parts and size <= _LINE_LIMIT:
        yield b"".join(parts)
