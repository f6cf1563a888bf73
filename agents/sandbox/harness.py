"""Runs scripts in forked children: a line of JSON in on stdin, a line of JSON out on stdout.

Stands alone (standard library only), so that a script finds nothing of this product imported.
Libraries that take long to import are imported once, before the fork. In the child, requests to
other hosts go to the laboratory, and waiting moves the clock forward instead of taking time.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import importlib.util
import json
import os
import runpy
import select
import signal
import ssl
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

_LOCAL = {"127.0.0.1", "localhost", "::1"}


# -- in the child: the world as the laboratory has it --------------------------------------------


def redirected(url: object) -> str:
    """The URL with the laboratory in place of any other host."""
    parts = urlsplit(str(url))
    if not parts.hostname or parts.hostname in _LOCAL:
        return str(url)
    lab = os.environ["LAB_STORE_URL" if parts.path.startswith("/rest/v1") else "LAB_REGISTRY_URL"]
    return f"{lab}{parts.path}?{parts.query}" if parts.query else f"{lab}{parts.path}"


def redirect_requests() -> None:
    """Requests, and all that is built on urllib3 through it."""
    import requests

    send = requests.Session.send

    def redirected_send(session: Any, request: Any, **options: Any) -> Any:
        request.url = redirected(request.url)
        return send(session, request, **{**options, "proxies": {}})

    setattr(requests.Session, "send", redirected_send)  # noqa: B010 - a patch, not an attribute


def redirect_urllib() -> None:
    """urllib's `urlopen`."""
    import urllib.request

    opening = urllib.request.OpenerDirector.open

    def redirected_open(director: Any, url: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(url, urllib.request.Request):
            url.full_url = redirected(url.full_url)
        else:
            url = redirected(url)
        return opening(director, url, *arguments, **options)

    setattr(urllib.request.OpenerDirector, "open", redirected_open)  # noqa: B010


def redirect_httpx() -> None:
    """httpx, on which the supabase client stands."""
    import httpx

    for client in (httpx.Client, httpx.AsyncClient):
        build = client.build_request

        def built(
            self: Any, method: str, url: Any, *rest: Any, _build: Any = build, **options: Any
        ) -> Any:
            return _build(self, method, redirected(self._merge_url(url)), *rest, **options)

        setattr(client, "build_request", built)  # noqa: B010


def reuse_tls_settings() -> None:
    """Reading all certificates takes longer than a request, and no request leaves this machine."""
    made = ssl.create_default_context()
    setattr(ssl, "create_default_context", lambda *_, **__: made)  # noqa: B010


_REDIRECTS = {"requests": redirect_requests, "httpx": redirect_httpx}


def fast_clock() -> None:
    """`sleep` moves `monotonic`, `time` and `perf_counter` forward and returns at once."""
    passed = 0.0
    clocks = {name: getattr(time, name) for name in ("monotonic", "time", "perf_counter")}

    def sleep(seconds: float) -> None:
        nonlocal passed
        passed += max(0.0, seconds)

    setattr(time, "sleep", sleep)  # noqa: B010
    for name, clock in clocks.items():
        setattr(time, name, lambda clock=clock: clock() + passed)


def run_script(script: str, arguments: list[str]) -> None:
    """Prepare the process and run the script as `__main__`."""
    sys.argv = [script, *arguments]
    # as an effect has it: the tree's own packages come before installed ones of the same name
    sys.path[:0] = [str(Path(script).resolve().parent), str(Path.cwd())]
    fast_clock()
    redirect_urllib()
    for library, redirect in _REDIRECTS.items():
        if library in sys.modules:
            redirect()
    runpy.run_path(script, run_name="__main__")


# -- in the parent: one fork for each run --------------------------------------------------------


def preload(libraries: list[str], folders: list[Path]) -> None:
    """Import libraries once for all children; not those that the workspace has files for."""
    for name in libraries:
        own = any(
            (folder / f"{name}.py").exists() or (folder / name).exists() for folder in folders
        )
        if not own and importlib.util.find_spec(name) is not None:
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def _become(order: dict[str, Any], out: int, err: int) -> None:
    """Make this forked process the script's own."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    low, high = sorted((out, err))  # these two are closed by their owners
    for start, end in ((3, low), (low + 1, high), (high + 1, 4096)):
        os.closerange(start, end)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    # text streams made anew: the old ones belong to the conversation with the laboratory
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        mode = "r" if number == 0 else "w"
        setattr(sys, name, open(number, mode, encoding="utf-8", errors="replace", closefd=False))  # noqa: SIM115


def _wait(pid: int, limit: float) -> int | None:
    """The exit code; None if the process had to be killed at the limit."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        _sleep_until_it_ends(pid, end - time.monotonic())
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _sleep_until_it_ends(pid: int, limit: float) -> None:
    if not hasattr(os, "pidfd_open"):
        time.sleep(min(limit, 0.02))
        return
    handle = os.pidfd_open(pid)
    try:
        select.select([handle], [], [], limit)
    finally:
        os.close(handle)


def serve(order: dict[str, Any]) -> dict[str, Any] | None:
    """Run one order. Returns in the parent only; the child gets None, and runs the script."""
    cwd = Path(order["cwd"])
    preload(order["preload"], [cwd, (cwd / order["script"]).parent])
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            _become(order, out.fileno(), err.fileno())
            return None
        code = _wait(pid, order["limit"])
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read(4_000_000).decode("utf-8", "replace"))
    return {"code": code, "out": texts[0], "err": texts[1]}


def _exit_code(order: dict[str, Any]) -> int:
    """Run the script; the code that Python would end with, its message or traceback printed."""
    try:
        run_script(order["script"], order["arguments"])
    except SystemExit as exc:
        if exc.code is None or isinstance(exc.code, int):
            return (exc.code or 0) & 0xFF
        print(exc.code, file=sys.stderr)
        return 1
    except BaseException:  # noqa: BLE001 - the end of a program, whatever it was
        traceback.print_exc()
        return 1
    return 0


def _leave(code: int) -> NoReturn:
    """End as Python does, without taking every module apart first, which takes a tenth of a second:
    wait for threads, run what was registered for the exit, write out what is buffered.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


def main() -> None:
    """Orders until the end of the input."""
    reuse_tls_settings()
    for line in sys.stdin:
        order = json.loads(line)
        answer = serve(order)
        if answer is None:
            _leave(_exit_code(order))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
