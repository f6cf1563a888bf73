"""The daemon at three sizes of a board; `adopt --all`, `watch --once` of a tenth as many families.

Each sample sets a ticket's status (hold, and back) in place, as an editor does, and waits until the
file lies in its new folder. Then the daemon's idle processor time and its memory are measured. The
peers: a bare loop on watchdog that moves a file when it is saved, and the file operations without
which a family cannot be adopted or looked at.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from _common import COMMAND, at_sizes, bare_environment, checked, make_board, orchestrate, report
from watchdog.events import FileClosedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

SIZES = (2500, 5000, 10_000)
#: seconds from when the board is read until the daemon has polled it once
_FIRST_POLL = 66.0
_WORKFLOW = """\
# A question

## STAGE 1: USER CHECKPOINT #1 — Look at it

## STAGE 2: USER CHECKPOINT #2 — And again
"""
_SAVED = 20
_TRIAGE, _REVIEW, _HOLD = "01_TRIAGE", "05_USER_REVIEW", "98_HOLD"


def conducted(root: Path, families: int) -> dict[str, float]:
    """Adopt families and let them wait for USER; the seconds of it."""
    (root / "workflows").mkdir(exist_ok=True)
    (root / "workflows" / "question.md").write_text(_WORKFLOW, encoding="utf-8")
    triage = root / "_WORK_ORDERS" / _TRIAGE
    triage.mkdir(parents=True, exist_ok=True)
    names = [f"W-{n}_Waits.md" for n in range(100, 100 + families)]
    for name in names:
        (triage / name).write_text(
            f"---\nid: {name[:-9]}\nstatus: 01_TRIAGE\nowner: LEAD\n"
            "pipeline_workflow: workflows/question.md\n---\n# Waits\n\n" + "A line.\n" * 60,
            encoding="utf-8",
        )
    took = {"adopt_bare_s": bare_adoption(triage, names)}
    for name, words in {
        "adopt_s": ("adopt", "--all", "--yes"),
        "first_watch_s": ("watch", "--once"),
        "watch_once_s": ("watch", "--once"),
    }.items():
        if name == "watch_once_s":
            # what was written a moment ago is read again
            time.sleep(0.5)
            orchestrate(root, "list")
        began = time.perf_counter()
        checked(orchestrate(root, *words), (0, 10))
        took[name] = round(time.perf_counter() - began, 3)
    return took


def bare_adoption(folder: Path, names: list[str]) -> float:
    """Seconds for one synced line of a log and one synced exchange of the file for each family."""
    began = time.perf_counter()
    aside = Path(tempfile.mkdtemp(dir=folder.parent))
    for name in names:
        data = (folder / name).read_bytes()
        for path in (aside / f"{name}.log", aside / name):
            with path.open("wb") as file:
                file.write(data)
                os.fsync(file.fileno())
        (aside / name).replace(aside / f"{name}.moved")
    took = time.perf_counter() - began
    shutil.rmtree(aside)
    return round(took, 3)


def save(path: Path, status: str) -> float:
    """Set the status in place; the moment at which the file was closed."""
    text = path.read_text(encoding="utf-8")
    path.write_text(
        re.sub(r"^status: .*$", f"status: {status}", text, count=1, flags=re.M), "utf-8"
    )
    return time.perf_counter()


def until_there(path: Path, saved: float) -> float:
    """Milliseconds until the file lies there."""
    while not path.exists():
        if time.perf_counter() - saved > 20:
            raise SystemExit(f"{path} did not come")
        time.sleep(0.0002)
    return (time.perf_counter() - saved) * 1000


def until_looked_at(board: Path, name: str) -> None:
    """Wait until the daemon has done what a ticket asked for before it began."""
    here, there = board / _REVIEW / name, board / _HOLD / name
    save(here, "HOLD")
    until_there(there, time.perf_counter() + 120)
    time.sleep(2)


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def samples(number: int, there_and_back: Callable[[int], Iterator[float]]) -> dict[str, float]:
    """The median, the 99th percentile and the worst of so many samples (ms)."""
    took = sorted(each for n in range(number // 2) for each in there_and_back(n))
    return {
        "median_ms": round(statistics.median(took), 2),
        "p99_ms": round(took[int(len(took) * 0.99) - 1], 1),
        "worst_ms": round(took[-1], 1),
    }


def held_and_back(board: Path, names: list[str], n: int) -> Iterator[float]:
    """Milliseconds from save to move, of hold and resume."""
    name = names[n % len(names)]
    here, there = board / _REVIEW / name, board / _HOLD / name
    yield until_there(there, save(here, "HOLD"))
    time.sleep(0.15)
    back = re.search(r"^held_from: (.*)$", there.read_text(encoding="utf-8"), re.M)
    yield until_there(here, save(there, back[1] if back else _TRIAGE))
    time.sleep(0.15)


def moved_and_back(root: Path, n: int) -> Iterator[float]:
    """The same of files that a bare loop moves."""
    here, there = root / "a" / f"{n}.md", root / "b" / f"{n}.md"
    here.write_text("status: a\n", encoding="utf-8")
    yield until_there(there, time.perf_counter())
    time.sleep(0.05)
    yield until_there(here, save(there, "a"))
    time.sleep(0.05)
    here.unlink()


class Mover(FileSystemEventHandler):
    """Moves each file that is saved to the other folder."""

    def on_any_event(self, event: FileSystemEvent) -> None:
        if isinstance(event, FileClosedEvent):
            path = Path(str(event.src_path))
            with contextlib.suppress(FileNotFoundError):
                path.rename(
                    path.parent.parent / ("b" if path.parent.name == "a" else "a") / path.name
                )


def bare_median(number: int) -> float:
    """Milliseconds from save to move of a bare loop on watchdog."""
    with tempfile.TemporaryDirectory() as folder:
        root, observer = Path(folder), Observer()
        for name in ("a", "b"):
            (root / name).mkdir()
            observer.schedule(Mover(), str(root / name))
        observer.start()
        time.sleep(0.2)
        try:
            return samples(number, lambda n: moved_and_back(root, n))["median_ms"]
        finally:
            observer.stop()
            observer.join()


def measured(size: int, number: int, idle_seconds: float) -> dict[str, float]:
    """The figures of a board with that many tickets, and of a tenth as many families alone."""
    with tempfile.TemporaryDirectory() as folder:
        alone = conducted(Path(folder), size // 10)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        conducted(root, _SAVED)
        make_board(root, size)
        *names, last = sorted(
            p.name for p in (root / "_WORK_ORDERS" / _REVIEW).glob("W-*_Waits.md")
        )
        command = [*COMMAND, "-C", folder, "watch"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=bare_environment())
        try:
            # until it has read the board
            until_looked_at(root / "_WORK_ORDERS", last)
            read = time.monotonic()
            took = samples(number, lambda n: held_and_back(root / "_WORK_ORDERS", names, n))
            # it examines the whole board once, with its first poll; from then on it is idle
            time.sleep(max(2.0, read + _FIRST_POLL - time.monotonic()))
            before = processor_seconds(process.pid)
            time.sleep(idle_seconds)
            idle = (processor_seconds(process.pid) - before) / idle_seconds * 100
            memory = memory_mb(process.pid)
        finally:
            process.terminate()
            process.wait()
    took["bare_ms"] = bare_median(number)
    took |= {"idle_cpu_percent": round(idle, 2), "memory_mb": round(memory, 1)}
    return {**took, **alone}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="TICKETS")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds to watch it do nothing")
    given = parser.parse_args()
    figures, grown = at_sizes(lambda n: measured(n, given.samples, given.idle), given.sizes)
    targets = {
        "median_ms": 15,
        "p99_ms": 60,
        "idle_cpu_percent": 0.3,
        "memory_mb": 120,
        "adopt_s": 8,
        "watch_once_s": 3,
    }
    to_peer = {
        "median": figures["median_ms"] / figures["bare_ms"],
        "adopt": figures["adopt_s"] / figures["adopt_bare_s"],
    }
    report("latency", {**figures, **grown}, targets, to_peer)


if __name__ == "__main__":
    sys.exit(main())
