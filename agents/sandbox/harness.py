"""Runs scripts in forked children: a line of JSON in on stdin, a line of JSON out on stdout.

Standard library only, so that a script finds nothing of this product imported. Libraries that are
slow to import are imported once, before the fork. In the child, requests to other hosts go to the
sandbox's services, and waiting moves the clock forward instead of taking time.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import importlib.util
import json
import os
import resource
import runpy
import signal
import ssl
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

# the folder of this file, where Python puts it: a script's imports must not find its modules
if sys.path and Path(sys.path[0]) == Path(__file__).parent:
    del sys.path[0]

_LOCAL = {"127.0.0.1", "localhost", "::1"}
#: seconds in which what a script started may end by itself
_GRACE = 1.0
#: bytes of the largest file that a script may write, what it prints among them
_LARGEST_FILE = 1024**3
#: nothing listens there: hosts without a simulator cannot be reached
_NOWHERE = "http://127.0.0.1:9"


# -- in the child: the world as the sandbox has it -------------------------------------------------


def redirect(url: object) -> str:
    """The URL with a service of the sandbox in place of any other host."""
    parts = urlsplit(str(url))
    if not parts.hostname or parts.hostname in _LOCAL:
        return str(url)
    routes = json.loads(os.environ["SANDBOX_ROUTES"])
    base = routes.get(parts.hostname) or routes.get("")
    if not base and os.environ.get("SANDBOX_SEEN"):
        # the network sees whom it asks for, and has no way out
        return str(url)
    base = base or _NOWHERE
    return f"{base}{parts.path}?{parts.query}" if parts.query else f"{base}{parts.path}"


def patch_urllib() -> None:
    """Redirect urllib's `urlopen`."""
    import urllib.request

    original = urllib.request.OpenerDirector.open

    def open_redirected(director: Any, url: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(url, urllib.request.Request):
            url.full_url = redirect(url.full_url)
        else:
            url = redirect(url)
        return original(director, url, *arguments, **options)

    setattr(urllib.request.OpenerDirector, "open", open_redirected)  # noqa: B010 - a patch


def patch_requests() -> None:
    """Redirect requests, which the libraries built on it share."""
    import requests

    original = requests.Session.send

    def send(session: Any, request: Any, **options: Any) -> Any:
        request.url = redirect(request.url)
        return original(session, request, **{**options, "proxies": {}})

    setattr(requests.Session, "send", send)  # noqa: B010


def patch_httpx() -> None:
    """Redirect httpx, which the supabase client uses."""
    import httpx

    for client in (httpx.Client, httpx.AsyncClient):

        def build(
            self: Any,
            method: str,
            url: Any,
            *rest: Any,
            _original: Any = client.build_request,
            **options: Any,
        ) -> Any:
            return _original(self, method, redirect(self._merge_url(url)), *rest, **options)

        setattr(client, "build_request", build)  # noqa: B010


def patch_clock() -> None:
    """`sleep` moves `monotonic`, `time` and `perf_counter` forward and returns at once."""
    passed = 0.0
    clocks = {name: getattr(time, name) for name in ("monotonic", "time", "perf_counter")}

    def sleep(seconds: float) -> None:
        nonlocal passed
        passed += max(0.0, seconds)

    setattr(time, "sleep", sleep)  # noqa: B010
    for name, clock in clocks.items():
        setattr(time, name, lambda clock=clock: clock() + passed)


def run_script(script: str, arguments: list[str]) -> int:
    """Run the script as `__main__`; the code that Python would exit with, any traceback printed."""
    sys.argv = [script, *arguments]
    # as for an effect: the tree's own packages come before installed ones of the same name
    sys.path[:0] = [str(Path(script).resolve().parent), str(Path.cwd())]
    patch_clock()
    patch_urllib()
    if "requests" in sys.modules:
        patch_requests()
    if "httpx" in sys.modules:
        patch_httpx()
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as exc:
        if exc.code is None or isinstance(exc.code, int):
            return (exc.code or 0) & 0xFF
        print(exc.code, file=sys.stderr)
        return 1
    except BaseException:  # noqa: BLE001 - the end of a program, whatever it was
        traceback.print_exc()
        return 1
    return 0


def exit_process(code: int) -> NoReturn:
    """Exit as Python does, without the tenth of a second that module teardown takes: wait for
    threads, run exit handlers, flush."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


# -- in the parent: one fork for each run ----------------------------------------------------------


def preload(libraries: list[str], folders: list[Path]) -> None:
    """Import libraries once for all children, except those that the workspace has files for."""
    for name in libraries:
        own = any(
            (folder / f"{name}.py").exists() or (folder / name).exists() for folder in folders
        )
        with contextlib.suppress(Exception):
            if not own and importlib.util.find_spec(name) is not None:
                importlib.import_module(name)


def enter_child(request: dict[str, Any], out: int, err: int, give_up: Callable[[], None]) -> None:
    """Give this forked process the script's session, streams, folder and environment."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.closerange(3, 4096)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    os.environ["TMPDIR"] = tempfile.tempdir = request["temporary"]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    give_up()
    # new text streams: the old ones belong to the conversation with the sandbox
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        mode = "r" if number == 0 else "w"
        setattr(sys, name, open(number, mode, encoding="utf-8", errors="replace", closefd=False))  # noqa: SIM115


def build_walls(request: dict[str, Any]) -> tuple[Callable[[], list[str]], Callable[[], None]]:
    """Give this process a file system of its own; how its writes are reported, and how the
    script's process gives up what it must not have.

    Where that cannot be had, it writes into its folders alone, and neither traces nor signals.
    """
    before = set(sys.modules)
    spec = importlib.util.spec_from_file_location("_confine", request["confine"])
    assert spec is not None
    assert spec.loader is not None
    confine = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(confine)
    for name in set(sys.modules) - before:
        del sys.modules[name]
    libc, walls = confine.Libc(), request["walls"]
    try:
        tree = confine.behind_walls(libc, walls)
    except OSError:
        version, own = confine.landlock.landlock_version(libc), [*walls["write"], "/dev"]
        keep = (own, walls["hide"], walls["keep"], libc)
        return list, lambda: confine.landlock.landlock(*keep) if version >= 2 else None
    return tree.written, lambda: confine.give_up(libc, walls, tree)


def wait_for(pid: int, limit: float) -> int | None:
    """The exit code; None if the process had to be killed at the limit (seconds)."""
    timed_out = threading.Event()

    def stop() -> None:
        timed_out.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    timer = threading.Timer(limit, stop)
    timer.start()
    _, status = os.waitpid(pid, 0)
    timer.cancel()
    timer.join()  # the next fork needs a process without threads
    return None if timed_out.is_set() else os.waitstatus_to_exitcode(status)


def running() -> dict[int, str]:
    """The processes of this namespace, by number, with their command lines."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").strip()
            # a dead process has no command line, and neither has one that is being started
            state = (folder / "stat").read_bytes().rpartition(b")")[2].split()[0]
            if words or state != b"Z":
                words = words or (folder / "comm").read_bytes().strip()
                found[int(folder.name)] = words.decode("utf-8", "replace")[:200]
    return found


def end_what_is_left(before: dict[int, str]) -> list[str]:
    """Kill what was started since and does not end by itself; their command lines."""
    end = time.monotonic() + _GRACE
    while True:
        left = {pid: words for pid, words in running().items() if pid not in before}
        if not left or time.monotonic() > end:
            break
        time.sleep(0.02)
    for pid in left:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return list(left.values())


def fork_script(request: dict[str, Any]) -> dict[str, Any]:
    """Run one request in a forked child, which does not return from here."""
    cwd = Path(request["cwd"])
    preload(request["preload"], [cwd, (cwd / request["script"]).parent])
    # in a namespace of its own, all that begins meanwhile is the script's
    apart = "SANDBOX_SEEN" in request["env"]
    before = running() if apart else {}
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        tempfile.TemporaryFile() as said,
    ):
        pid = os.fork()
        if pid == 0:
            watch_script(request, out.fileno(), err.fileno(), said.fileno())
        os.waitpid(pid, 0)
        texts = []
        for stream in (out, err, said):
            stream.seek(0)
            texts.append(stream.read(4_000_000).decode("utf-8", "replace"))
    left = end_what_is_left(before) if apart else []
    ended: dict[str, Any] = json.loads(
        texts[2] or '{"code": null, "ended": ["whoever watched it"]}'
    )
    return {"out": texts[0], "err": texts[1], "left": left, **ended}


def watch_script(request: dict[str, Any], out: int, err: int, said: int) -> NoReturn:
    """In a forked process: build the walls, run the script in another one, say what it wrote."""
    written, give_up = build_walls(request)
    pid = os.fork()
    if pid == 0:
        enter_child(request, out, err, give_up)
        exit_process(run_script(request["script"], request["arguments"]))
    code = wait_for(pid, request["limit"])
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    os.write(said, json.dumps({"code": code, "wrote": written()}).encode())
    os._exit(0)


def main() -> None:
    """Answer requests until the end of the input."""
    # reading all certificates takes longer than a request, and no request leaves this machine
    context = ssl.create_default_context()
    setattr(ssl, "create_default_context", lambda *_, **__: context)  # noqa: B010
    for line in sys.stdin:
        print(json.dumps(fork_script(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
