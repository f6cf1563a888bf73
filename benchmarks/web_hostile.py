"""Attacks on the web board that take long: slow connections, huge bodies, event streams left open.

    python benchmarks/web_hostile.py

Prints what the server was meanwhile: how fast it answered others, and how its memory grew.
"""

from __future__ import annotations

import contextlib
import re
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
from _common import make_board, report
from web import served

SLOW, HUGE, STREAMS, EVENTS = 500, 100_000_000, 40, 1800


def slow_connections(base: str, client: httpx.Client) -> dict[str, Any]:
    """Connections of which each sends a byte now and then, half of them in a body."""
    host, port = base.removeprefix("http://").split(":")
    head = f"Host: {host}:{port}\r\n"
    form = f"Origin: {base}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    cookie = f"Cookie: {client.headers['cookie']}\r\n"
    half = [
        f"GET / HTTP/1.1\r\n{head}X-A: ",
        f"POST /answer HTTP/1.1\r\n{head}{form}{cookie}Content-Length: 9999\r\n\r\n",
    ]
    opened = []
    for number in range(SLOW):
        made = socket.create_connection((host, int(port)), timeout=5)
        made.sendall(half[number % 2].encode())
        opened.append(made)
    took, start = [], time.monotonic()
    while time.monotonic() - start < 14:
        begun = time.perf_counter()
        client.get("/").raise_for_status()
        took.append(time.perf_counter() - begun)
        for made in opened:
            with contextlib.suppress(OSError):
                made.send(b"a")
        time.sleep(0.5)
    left = sum(_is_open(made) for made in opened)
    for made in opened:
        made.close()
    return {
        "slow_answer_s": round(statistics.median(took), 3),
        "slow_worst_s": round(max(took), 3),
        "slow_left": left,
    }


def _is_open(made: socket.socket) -> bool:
    made.settimeout(0.01)
    try:
        # what came before the end, then the end
        while data := made.recv(65536):
            if not data:
                return False
    except TimeoutError:
        return True
    except OSError:
        return False
    return False


def huge_bodies(client: httpx.Client, process: psutil.Process) -> dict[str, Any]:
    """Bodies of 100 MB, with and without their length."""

    def chunks() -> Iterator[bytes]:
        for _ in range(HUGE // 1_000_000):
            yield b"a" * 1_000_000

    form = {"origin": str(client.base_url), "content-type": "application/x-www-form-urlencoded"}
    before = process.memory_info().rss
    statuses = []
    for content in (b"a" * HUGE, chunks()):
        # it hangs up in the middle, or answers first
        with contextlib.suppress(httpx.TransportError):
            statuses.append(client.post("/answer", content=content, headers=form).status_code)
    grown = (process.memory_info().rss - before) / 1e6
    return {"huge_statuses": statuses, "huge_memory_mb": round(grown, 1)}


def open_streams(
    base: str, root: Path, client: httpx.Client, process: psutil.Process
) -> dict[str, Any]:
    """As many events as come in an hour, told to streams of which half are never read."""
    host, port = base.removeprefix("http://").split(":")
    request = (
        f"GET /events HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: {client.headers['cookie']}\r\n"
    )
    opened, heard = [], [0]
    for number in range(STREAMS):
        made = socket.create_connection((host, int(port)), timeout=5)
        made.sendall(f"{request}\r\n".encode())
        opened.append(made)
        if number % 2:
            threading.Thread(target=_read, args=(made, heard), daemon=True).start()
    time.sleep(1)
    file = next((root / "_WORK_ORDERS").rglob("WO-1000_*.md"))
    text = file.read_text(encoding="utf-8")
    sizes = []
    for number in range(EVENTS):
        file.write_text(re.sub("title: .*", f'title: "Saved {number}"', text, count=1), "utf-8")
        time.sleep(0.03)
        if number % (EVENTS // 6) == 0:
            sizes.append(process.memory_info().rss / 1e6)
    begun = time.perf_counter()
    client.get("/board").raise_for_status()
    took = time.perf_counter() - begun
    for made in opened:
        made.close()
    sizes.append(process.memory_info().rss / 1e6)
    return {
        "stream_events_heard": heard[0],
        "stream_memory_mb": [round(size) for size in sizes],
        "stream_grown_mb": round(sizes[-1] - sizes[1], 1),
        "stream_answer_s": round(took, 3),
    }


def _read(made: socket.socket, heard: list[int]) -> None:
    made.settimeout(None)
    with contextlib.suppress(OSError):
        while data := made.recv(65536):
            heard[0] += data.count(b"data:")


def main() -> None:
    """Attack and print."""
    with tempfile.TemporaryDirectory() as folder:
        root = make_board(Path(folder), 100)
        with served(root) as (address, cookie, process):
            base = address.split("/?")[0]
            with httpx.Client(base_url=base, headers={"cookie": cookie}, timeout=30) as client:
                found = slow_connections(base, client)
                found |= huge_bodies(client, process)
                found |= open_streams(base, root, client, process)
    goals = {"slow_worst_s": 2.0, "slow_left": 1, "huge_memory_mb": 20.0, "stream_grown_mb": 20.0}
    report("web_hostile", found, goals)


if __name__ == "__main__":
    sys.exit(main())
