"""Workers that begin at once: forked, for each turn, from a process that has loaded all it needs.

To load it takes longer than all else that a turn adds to its agent's program. The process has no
keys and does nothing but fork; what a worker is told (environment, folder) it reads itself, from a
pipe. It ends with its conductor, and when nobody has needed it for a while.
python -P -m orchestrator.agent_process.forking SOCKET GROUP/NAME…
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from orchestrator.agent_process import keeper, worker
from orchestrator.errors import OrchestrateError

#: seconds until a worker has to have begun; until the process ends that nobody needs
_BEGIN, _IDLE = 60, 300
#: descriptors that a worker is passed at the most
_MOST_FDS = 16
#: bytes of a process's number or exit code
_NUMBER = 4


class Forked:
    """A worker, as its conductor sees it: what `subprocess.Popen` has of a process."""

    def __init__(self, streams: Sequence[int], status: int) -> None:
        self.stdin: IO[bytes] = os.fdopen(streams[0], "wb")
        self.stdout: IO[bytes] = os.fdopen(streams[1], "rb")
        self.stderr: IO[bytes] = os.fdopen(streams[2], "rb")
        self.returncode: int | None = None
        self._status: IO[bytes] = os.fdopen(status, "rb", buffering=0)
        self._waiting = threading.Lock()
        #: of whoever keeps the worker, and leads its session
        self.pid = self._next(_BEGIN) or 0
        if self.pid <= 0:
            self.close()
            raise OSError("no worker began")

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired."""
        with self._waiting:
            if self.returncode is None:
                said = self._next(timeout)
                if said is None:
                    raise subprocess.TimeoutExpired("worker", timeout or 0.0)
                self.returncode = said
                self._status.close()
        return self.returncode

    def close(self) -> None:
        for each in (self.stdin, self.stdout, self.stderr, self._status):
            with contextlib.suppress(OSError):
                each.close()

    def _next(self, timeout: float | None) -> int | None:
        """The next number that is said of it; None: not in time."""
        asked = select.poll()
        asked.register(self._status, select.POLLIN)
        if not asked.poll(None if timeout is None else max(timeout, 0.0) * 1000):
            return None
        said = self._status.read(_NUMBER)
        # whoever keeps it says nothing more if it was killed
        return int.from_bytes(said, "big", signed=True) if said else -signal.SIGKILL


class Forking:
    """The process that is forked, from its conductor's side. `agents` are what it loads: the words
    of their workers (`orchestrator.agent_process.worker`)."""

    def __init__(self, environment: Mapping[str, str], agents: Iterable[Sequence[str]]) -> None:
        here, there = socket.socketpair()
        named = [f"{group}/{name}" for name, group in sorted(map(_pair, agents))]
        words = [sys.executable, "-P", "-m", __name__, str(there.fileno()), *named]
        with there:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=dict(environment),
                pass_fds=(there.fileno(),),
                start_new_session=True,
            )
        self._link = here
        self.close = weakref.finalize(self, _end, here, self._process)

    def start(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        cwd: Path,
        fds: Sequence[int],
        *,
        kept: bool = True,
    ) -> Forked:
        """A worker with these arguments. Raises OSError where there can be none.

        `kept`: below a keeper, which ends all that it leaves running.
        """
        pipes = [os.pipe() for _ in range(5)]
        request, stdin, stdout, stderr, status = pipes
        theirs = [request[0], stdin[0], stdout[1], stderr[1], status[1]]
        ours = [stdin[1], stdout[0], stderr[0], status[0]]
        try:
            socket.send_fds(self._link, [b"1"], [*theirs, *fds])
        except OSError:
            for fd in (*ours, request[1]):
                os.close(fd)
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        variables = dict(environment)
        order = {"words": list(words), "environment": variables, "cwd": str(cwd), "kept": kept}
        with contextlib.suppress(OSError), os.fdopen(request[1], "wb") as file:
            file.write(json.dumps(order).encode())
        try:
            return Forked(ours[:3], ours[3])
        except OSError:
            self.close()
            raise


def _pair(words: Sequence[str]) -> tuple[str, str]:
    name, *group = words
    return name, group[0] if group else worker.GROUP


def _end(link: socket.socket, process: subprocess.Popen[bytes]) -> None:
    """End it, and its workers with it."""
    link.close()
    process.kill()
    process.wait()


# -- the process itself ----------------------------------------------------------------------------


def serve(link: socket.socket, agents: Iterable[str]) -> None:
    """Fork a worker for each message, until there is no conductor any more."""
    for group, _, name in (each.partition("/") for each in agents):
        with contextlib.suppress(OrchestrateError):
            prepare: Any = getattr(worker.load_agent(name, group), "prepare", None)
            if prepare is not None:
                prepare()
    # what is here now is shared with the workers
    gc.collect()
    gc.freeze()
    running: set[int] = set()
    asked = select.poll()
    asked.register(link, select.POLLIN)
    while True:
        comes = asked.poll(_IDLE * 1000)
        for pid in tuple(running):
            if os.waitpid(pid, os.WNOHANG)[0]:
                running.discard(pid)
        if not comes and not running:
            return
        if not comes:
            continue
        data, fds, _, _ = socket.recv_fds(link, 1, _MOST_FDS)
        if not data:
            return
        own = os.getpid()
        pid = os.fork()
        if pid == 0:
            link.close()
            _become(own, fds)
        running.add(pid)
        for fd in fds:
            os.close(fd)


def _become(server: int, fds: Sequence[int]) -> NoReturn:
    """Be whoever waits for a worker, which is forked once more."""
    code = 1
    try:
        request, *streams = fds[:4]
        status = fds[4]
        os.setsid()
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
            os.close(fd)
        os.write(status, os.getpid().to_bytes(_NUMBER, "big"))
        with os.fdopen(request, "rb") as file:
            order = json.loads(file.read())
        os.environ.clear()
        os.environ.update(order["environment"])
        os.chdir(order["cwd"])
        if order["kept"]:
            keeper.limit()
        pid = os.fork()
        if pid == 0:
            os.close(status)
            _work(order["words"])

        def wait() -> int:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        code = keeper.keep(server, wait, all_left=order["kept"])
        os.write(status, code.to_bytes(_NUMBER, "big", signed=True))
    finally:
        os._exit(code)


def _work(words: list[str]) -> NoReturn:
    code = 1
    try:
        code = worker.main(words)
    except BaseException:  # noqa: BLE001 - as at the end of a program
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
