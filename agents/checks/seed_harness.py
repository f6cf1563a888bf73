"""Runs a seed script against the laboratory: `python seed_harness.py SCRIPT [ARGUMENTS]`.

Stands alone (standard library only), since it runs in the child process. Requests to other hosts
go to `SEED_LAB_URL`; waiting moves the clock forward instead of taking time.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LAB = os.environ["SEED_LAB_URL"]
_LOCAL = {"127.0.0.1", "localhost", "::1"}


def redirected(url: object) -> str:
    """The URL with the laboratory in place of any other host."""
    parts = urlsplit(str(url))
    if not parts.hostname or parts.hostname in _LOCAL:
        return str(url)
    return f"{LAB}{parts.path}?{parts.query}" if parts.query else f"{LAB}{parts.path}"


def redirect_requests() -> None:
    """Requests, and all that is built on urllib3 through it."""
    try:
        import requests
    except ImportError:
        return
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
    if importlib.util.find_spec("httpx") is None:
        return
    import httpx

    for client in (httpx.Client, httpx.AsyncClient):
        build = client.build_request

        def built(
            self: Any, method: str, url: Any, *rest: Any, _build: Any = build, **options: Any
        ) -> Any:
            return _build(self, method, redirected(self._merge_url(url)), *rest, **options)

        setattr(client, "build_request", built)  # noqa: B010


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


def main() -> None:
    """Prepare the process and run the script as `__main__`."""
    script = sys.argv[1]
    sys.argv = sys.argv[1:]
    sys.path[0] = str(Path(script).resolve().parent)
    fast_clock()
    text = Path(script).read_text(encoding="utf-8-sig", errors="replace")
    redirect_requests()
    redirect_urllib()
    if "httpx" in text:  # an import of a tenth of a second
        redirect_httpx()
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
