"""How fast the web board is at three sizes: pages, search, an event to the browser, idle cost.

The rival, if npx has it: Backlog.md's browser on a board of as many tasks in its own format.

    python benchmarks/web.py [--rival PATH/TO/backlog]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
from _common import COMMAND, at_sizes, make_board, plain_read, report, seconds

SIZES, BROWSERS, EVENTS = (1000, 2500, 5000), 50, 15
_PORT = 8699


@contextlib.contextmanager
def served(root: Path) -> Iterator[tuple[str, str, psutil.Process]]:
    """A running `orchestrate serve`: its address, a session's cookie and its process."""
    command = [*COMMAND, "-C", str(root), "serve", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = re.search(r"http\S+", process.stdout.readline())
        assert address is not None
        first = _when_ready(address[0])
        yield (
            address[0],
            first.headers["set-cookie"].split(";")[0],
            psutil.Process(process.pid),
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def _when_ready(address: str) -> httpx.Response:
    for _ in range(400):
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(address)
        time.sleep(0.05)
    raise SystemExit(f"{address} does not answer")


def on_screen(address: str, root: Path, process: psutil.Process) -> dict[str, float]:
    """Seconds from a ticket's save to the card on the screen of a browser that shows the board."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), "")
    with contextlib.suppress(ModuleNotFoundError):
        from playwright.sync_api import sync_playwright

        if chromium:
            with sync_playwright() as playwright:
                arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
                browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
                page = browser.new_page()
                page.goto(address)
                page.goto(address.split("/?")[0] + "/board")
                page.evaluate(_WATCH)
                found = _save_and_wait(page, root, process)
                browser.close()
                return found
    return {}


#: keeps when each title came, in seconds since the epoch
_WATCH = """() => {
  window.came = {};
  new MutationObserver(() => {
    const title = /Saved \\d+/.exec(document.querySelector("[data-role=INBOX] .card").textContent);
    if (title) window.came[title[0]] ??= Date.now() / 1000;
  }).observe(document.body, { childList: true, subtree: true, characterData: true });
}"""


def _save_and_wait(page: Any, root: Path, process: psutil.Process) -> dict[str, float]:
    file = root / "_WORK_ORDERS/00_INBOX/WO-1000_Benchmark_Ticket.md"
    found, before = [], process.cpu_times()
    for number in range(EVENTS):
        time.sleep(0.3)
        text = file.read_text(encoding="utf-8")
        start = time.time()
        file.write_text(re.sub(r"title: .*", f'title: "Saved {number}"', text, count=1), "utf-8")
        while (came := page.evaluate(f"window.came['Saved {number}']")) is None:
            if time.time() - start > 10:
                raise SystemExit("a save is not seen")
            time.sleep(0.02)
        found.append(came - start)
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return {
        "event_s": round(statistics.median(found), 3),
        "event_worst_s": round(max(found), 3),
        "event_cpu_s": round(spent / EVENTS, 3),
    }


def timed(process: psutil.Process, action: Callable[[], Any], repeat: int = 9) -> list[float]:
    """The median time of a request, and the server's processor time for one."""
    before = process.cpu_times()
    took = seconds(action, repeat)
    after = process.cpu_times()
    return [took, round((after.user + after.system - before.user - before.system) / repeat, 3)]


def idle(base: str, cookie: str, process: psutil.Process) -> float:
    """The share of one core with 50 open browsers on which nothing happens."""
    open_streams = []
    for _ in range(BROWSERS):
        client = httpx.Client(base_url=base, headers={"cookie": cookie}, timeout=None)
        stream = client.send(client.build_request("GET", "/events"), stream=True)
        open_streams.append((client, stream))
    before, start = process.cpu_times(), time.perf_counter()
    time.sleep(10)
    after, took = process.cpu_times(), time.perf_counter() - start
    for client, stream in open_streams:
        stream.close()
        client.close()
    return (after.user + after.system - before.user - before.system) / took


def rival(program: str, root: Path) -> dict[str, float]:
    """Backlog.md's browser on as many tasks: its first page, and all its tasks as it loads them."""
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    answers = ["init", "Bench", "--defaults"]
    subprocess.run([program, *answers], cwd=root, check=True, capture_output=True)
    for number in range(SIZES[-1]):
        file = root / "backlog/tasks" / f"task-{number} - Ticket-{number}.md"
        file.write_text(
            f"---\nid: task-{number}\ntitle: Ticket {number}\nstatus: To Do\nassignee: []\n"
            f"created_date: '2026-02-20'\nlabels: []\ndependencies: []\n---\n\n## Description\n\n"
            + "A line of an ordinary description, neither long nor short.\n"
            * 30,
            encoding="utf-8",
        )
    command = [program, "browser", "--no-open", "--port", str(_PORT)]
    process = subprocess.Popen(
        command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        base = f"http://127.0.0.1:{_PORT}"
        _when_ready(base)
        with httpx.Client(base_url=base, timeout=120) as client:
            tasks = client.get("/api/tasks")
            if len(tasks.json()) != SIZES[-1]:
                raise SystemExit(f"backlog lists {len(tasks.json())} tasks")
            return {
                "backlog_tasks_s": seconds(lambda: client.get("/api/tasks"), 5),
                "backlog_search_s": seconds(lambda: client.get("/api/search?query=ordinary"), 5),
            }
    finally:
        process.terminate()
        process.wait(10)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rival", metavar="PROGRAM", help="Backlog.md's `backlog`")
    options = parser.parse_args()
    figures, grown = at_sizes(measured, SIZES)
    ratios = {n: figures[f"{n}_s"] / figures["plain_read_s"] for n in ("decide", "board", "search")}
    if options.rival:
        with tempfile.TemporaryDirectory() as folder:
            figures |= rival(os.path.abspath(options.rival), Path(folder))  # noqa: PTH100
    goals = {"decide_s": 0.15, "board_s": 0.15, "search_s": 0.05, "event_s": 0.2, "idle_core": 0.1}
    met = {name: goal for name, goal in goals.items() if name in figures}
    report("web", {"browsers": BROWSERS, **figures, **grown}, met, ratios)


def measured(size: int) -> dict[str, float]:
    """The figures of a board with that many tickets."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = make_board(Path(folder), size)
        figures["plain_read_s"] = plain_read(root)
        with served(root) as (address, cookie, process):
            base = address.split("/?")[0]
            with httpx.Client(base_url=base, headers={"cookie": cookie}, timeout=60) as client:

                def pages(*asked: tuple[str, str]) -> None:
                    for name, path in asked:
                        get = partial(lambda path: client.get(path).raise_for_status(), path)
                        figures[f"{name}_first_s"] = seconds(get)
                        figures[f"{name}_s"], figures[f"{name}_cpu_s"] = timed(process, get)

                pages(
                    ("decide", "/"),
                    ("board", "/board"),
                    ("filter", "/board?q=4711&state=BUILD"),
                    ("search", "/search?q=ordinary+4711"),
                )
                figures |= on_screen(address, root, process)
                figures["idle_core"] = round(idle(base, cookie, process), 3)
                # after it, a thread looks at all tickets
                pages(("health", "/health"))
            figures["memory_mb"] = round(process.memory_info().rss / 1e6)
    return figures


if __name__ == "__main__":
    sys.exit(main())
