"""The process in which a workspace's checks run: python -m orchestrator.gates.judge_process FD

It holds no key, writes nothing, reaches nobody (`orchestrator.agent_process.confinement`), and
forks a process for each file of checks, so that none finds what another one has patched. What is
asked comes over a socket; what a check answers is plain data, which the engine judges.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import pickle
import signal
import socket
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from orchestrator.errors import MissingToolError, OrchestrateError, UsageError
from orchestrator.gates import checks, expressions

#: bytes of a message that says which file is meant
NOTE = 1024
_SIZE = 4
#: where a check may write
_OWN = ("/dev/", "/tmp/", "/var/tmp/", "/dev/shm/", "/proc/self/")  # noqa: S108
_WRITING = {"os.remove": 0, "os.rename": 1, "os.mkdir": 0, "os.rmdir": 0, "os.truncate": 0}
_WRITING |= {"os.link": 1, "os.symlink": 1, "os.chmod": 0, "os.chown": 0, "shutil.rmtree": 0}
_WORKSPACE, _HOME = f"{Path.cwd()}/", f"{os.environ.get('TMPDIR', '/tmp')}/"  # noqa: S108
_LOCAL = ("127.", "::1", "localhost", "0.0.0.0")  # noqa: S104 - named, not served
_REMEMBERED = 20


# -- messages --------------------------------------------------------------------------------------


def send(link: socket.socket, data: bytes) -> None:
    """One message with its length before it."""
    link.sendall(len(data).to_bytes(4, "big") + data)


def receive(link: socket.socket, most: int = 64 * 1024**2) -> bytes:
    """The next message. Raises EOFError if there is none, ValueError if it is too long."""
    size = int.from_bytes(_exactly(link, _SIZE), "big")
    if size > most:
        raise ValueError("the message is too long")
    return _exactly(link, size)


def _exactly(link: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = link.recv(min(size - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


# -- what a check is given -------------------------------------------------------------------------


class Asked:
    """One question of the engine, which answers questions back."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._lock = threading.Lock()

    def ask(self, what: str, *arguments: Any) -> Any:
        """What the engine says to this. Raises OrchestrateError for what it refuses."""
        with self._lock:
            send(self._link, json.dumps({"ask": what, "with": arguments}).encode())
            ok, value = pickle.loads(receive(self._link))  # noqa: S301 - from the engine
        if not ok:
            raise OrchestrateError(value)
        return value

    def answer(self, said: dict[str, Any]) -> None:
        with self._lock, contextlib.suppress(OSError):
            send(self._link, json.dumps(said).encode())


class _Records(Sequence[Any]):
    """The history, fetched when it is looked at."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._records: Sequence[Any] | None = None

    def _all(self) -> Sequence[Any]:
        if self._records is None:
            self._records = self._asked.ask("history")
        return self._records

    def __getitem__(self, index: Any) -> Any:
        return self._all()[index]

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._all())


class _Target:
    """The database target: what reads it is asked for, nothing else is there."""

    def __init__(self, asked: Asked, known: dict[str, Any]) -> None:
        self._asked = asked
        self.__dict__.update(known)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *arguments: self._asked.ask("target", name, *arguments)


class _Cache:
    """Results that the engine keeps for this file of checks."""

    def get(self, key: str) -> bytes | None:
        found: bytes | None = _CURRENT.asked.ask("cached", key)
        return found

    def put(self, key: str, data: bytes) -> None:
        _CURRENT.asked.ask("cache", key, base64.b64encode(data).decode())


_CURRENT = threading.local()
_SERVICES = checks.Services(_Cache())  # type: ignore[arg-type]


def _context(asked: Asked, given: dict[str, Any]) -> checks.Context:
    """The context with what the engine answers for."""
    known = given.pop("known")
    target, epoch = given.pop("target"), given.pop("epoch")
    _SERVICES.epoch = epoch
    asking: dict[str, Any] = {
        "changed": lambda: asked.ask("changed"),
        "at_start": lambda path: asked.ask("at_start", str(path)),
        "by_person": lambda path: asked.ask("by_person", str(path)),
    }
    return checks.Context(
        **given,
        **{name: asking[name] for name in known},
        history=_Records(asked),
        services=_SERVICES,
        target=None if target is None else _Target(asked, target),
    )


# -- one file of checks ----------------------------------------------------------------------------

_TRIED: list[str] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what a check does that only looks: it is refused anyway, this is to tell it."""
    with contextlib.suppress(Exception):
        said = ""
        if event == "open":
            path, mode, flags = arguments
            writes = (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            writes = writes or set(mode or "") & set("wax+")
            if writes and isinstance(path, str | bytes | os.PathLike):
                said = _elsewhere(path)
        elif event in _WRITING:
            path, folder = arguments[_WRITING[event]], arguments[-1]
            if isinstance(folder, int) and folder >= 0 and len(arguments) > 1:
                # relative to an open folder
                path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(path))  # noqa: PTH115, PTH118
            said = _elsewhere(path)
        elif event in ("socket.connect", "socket.sendto"):
            address = arguments[1]
            if isinstance(address, tuple) and not str(address[0]).startswith(_LOCAL):
                said = f"tried to reach {address[0]}:{address[1]}"
        elif event == "socket.getaddrinfo" and arguments[0]:
            host = os.fsdecode(arguments[0])
            if not host.startswith(_LOCAL) and host != socket.gethostname():
                said = f"tried to reach {host}"
        if said and said not in _TRIED and len(_TRIED) < _REMEMBERED:
            _TRIED.append(said)


def _elsewhere(path: Any) -> str:
    place = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
    own = place.startswith((*_OWN, _HOME)) and not place.startswith(_WORKSPACE)
    return "" if own else f"tried to write {place}"


def _import_file(file: Path, digest: str = "") -> dict[str, checks.Check]:
    """What the file has; it is refused if it is no longer what the engine has seen."""
    name = f"{expressions.WORKSPACE_CHECKS}.{file.stem}"
    text = file.read_bytes()
    if digest and hashlib.sha256(text).hexdigest() != digest:
        raise UsageError("the check file was changed while it was read", path=file)
    module = types.ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module
    own: dict[str, checks.Check] = {}
    with checks.collect(own):
        exec(compile(text, str(file), "exec"), module.__dict__)  # noqa: S102 - that is its purpose
    return own


def _listing(own: dict[str, checks.Check], new: dict[str, Any]) -> dict[str, Any]:
    return {
        "checks": [
            {
                "name": c.name,
                "patterns": list(c.patterns),
                "phase": c.phase.value,
                "version": c.version,
                "summary": c.summary,
                "examples": list(c.examples),
                "slow": c.slow,
                "evidence": c.evidence,
                "line": c.function.__code__.co_firstlineno,
            }
            for c in own.values()
        ],
        "types": [
            {"name": name, "pattern": expressions.TYPES[name][0], "line": line}
            for name, (_, line) in new.items()
        ],
        "tried": _TRIED,
    }


def _told(exc: BaseException, file: Path) -> dict[str, Any]:
    """An error as plain data, with its place."""
    if isinstance(exc, OrchestrateError):
        return {
            "message": exc.message,
            "path": exc.path or str(file),
            "line": exc.line,
            "hint": exc.hint,
        }
    said = f"the check file raises {type(exc).__name__}: {exc}"
    return {"message": said, "path": str(file), "line": None, "hint": "fix or remove it"}


def serve(file: Path, digest: str, before: Sequence[Path], control: socket.socket) -> NoReturn:
    """Import the file, say what it has, then run its checks as they are asked for."""
    sys.addaudithook(_hear)
    own: dict[str, checks.Check] = {}
    try:
        for other in before:
            with contextlib.suppress(BaseException):
                _import_file(other)
        known = dict(expressions._OWNERS)
        own = _import_file(file, digest)
        new = {n: o for n, o in expressions._OWNERS.items() if n not in known}
        said = _listing(own, new)
    except BaseException as exc:  # noqa: BLE001 - also SystemExit: it is the engine's to judge
        said = {"error": _told(exc, file), "tried": _TRIED}
    send(control, json.dumps(said).encode())
    while True:
        data, fds, _, _ = socket.recv_fds(control, 1, 1)
        if not data or not fds:
            os._exit(0)
        asked = socket.socket(fileno=fds[0])
        threading.Thread(target=_judge, args=(own, asked), daemon=True).start()


def _judge(own: dict[str, checks.Check], link: socket.socket) -> None:
    """Run one check and say what it found."""
    asked = _CURRENT.asked = Asked(link)
    with link:
        name, arguments, given = pickle.loads(receive(link))  # noqa: S301 - from the engine
        check = own[name]
        said: dict[str, Any]
        try:
            context = _context(asked, given)
            result: Any = check.function(context, **_convert(check, arguments))
            said = {**_plain(result), "reserved": list(map(str, context.reservations))}
        except MissingToolError as exc:
            said = {"raised": "tool", "message": exc.message, "command": exc.command}
        except OrchestrateError as exc:
            said = {"raised": "error", **_told(exc, Path())}
            said["path"] = exc.path
        except BaseException as exc:  # noqa: BLE001
            said = {"raised": "other", "message": f"{type(exc).__name__}: {exc}"}
        asked.answer({**said, "tried": _TRIED})


def _convert(check: checks.Check, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, those of the workspace's own types converted by them."""
    kinds: dict[str, str] = {}
    for pattern in check.patterns:
        parameters = dict(expressions.compile_pattern(pattern).params)
        if arguments.keys() <= parameters.keys():
            kinds = {**parameters, **kinds}
    return {
        name: expressions.TYPES[kind][1](value)
        if (kind := kinds.get(name, "")) in expressions._OWNERS and isinstance(value, str)
        else value
        for name, value in arguments.items()
    }


def _plain(result: Any) -> dict[str, Any]:
    if not isinstance(result, checks.Result) or not isinstance(result.verdict, checks.Verdict):
        said = f"it returned {result!r:.80}, not a Result such as proven(…)"
        return {"raised": "other", "message": said}
    try:
        evidence = json.loads(json.dumps(dict(result.evidence)))
    except (TypeError, ValueError) as exc:
        return {"raised": "other", "message": f"its evidence cannot be stored: {exc}"}
    return {
        "verdict": result.verdict.value,
        "detail": str(result.detail),
        "subjects": [str(path) for path in result.subjects],
        "evidence": evidence,
        "past": bool(result.past),
    }


def main(fd: int) -> NoReturn:
    """Fork a process for each file that is asked for, until nobody asks."""
    control = socket.socket(fileno=fd)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        data, fds, _, _ = socket.recv_fds(control, NOTE, 1)
        if not data or not fds:
            os._exit(0)
        while len(data) < NOTE:
            data += control.recv(NOTE - len(data))
        if os.fork() == 0:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            digest, name, *before = json.loads(data)
            serve(Path(name), digest, list(map(Path, before)), socket.socket(fileno=fds[0]))
        os.close(fds[0])


if __name__ == "__main__":
    main(int(sys.argv[1]))
