"""From a save in an editor to the moved ticket: `orchestrate watch` on a board of 5,000 tickets.

Each sample sets a ticket's status (hold, and back) in place, as an editor does, and waits until the
file lies in its new folder. Then the daemon's idle processor time and its memory are measured.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _common import COMMAND, make_board, report

from orchestrator.conductor.conductor import Conductor
from orchestrator.tickets.board import Board

_WORKFLOW = """\
# A question

## STAGE 1: USER CHECKPOINT #1 — Look at it

## STAGE 2: USER CHECKPOINT #2 — And again
"""
_FAMILIES = 20
_REVIEW, _HOLD = "05_USER_REVIEW", "98_HOLD"


def conducted(root: Path) -> list[str]:
    """Families that wait for USER; their file names."""
    (root / "workflows").mkdir(exist_ok=True)
    (root / "workflows" / "question.md").write_text(_WORKFLOW, encoding="utf-8")
    triage = root / "_WORK_ORDERS" / "01_TRIAGE"
    names = [f"WO-{n}_Waits.md" for n in range(100, 100 + _FAMILIES)]
    for name in names:
        (triage / name).write_text(
            f"---\nid: {name[:6]}\nstatus: 01_TRIAGE\nowner: LEAD\n"
            "pipeline_workflow: workflows/question.md\n---\n# Waits\n\n" + "A line.\n" * 60,
            encoding="utf-8",
        )
        Conductor(Board(root)).run(name[:6])
    return names


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


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tickets", type=int, default=5000)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds to watch it do nothing")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = make_board(Path(folder), given.tickets)
        names = conducted(root)
        process = subprocess.Popen([*COMMAND, "-C", folder, "watch"], stdout=subprocess.DEVNULL)
        try:
            time.sleep(8)
            took = samples(root / "_WORK_ORDERS", names, given.samples)
            time.sleep(2)
            before = processor_seconds(process.pid)
            time.sleep(given.idle)
            idle = (processor_seconds(process.pid) - before) / given.idle * 100
            memory = memory_mb(process.pid)
        finally:
            process.terminate()
            process.wait()
    took.sort()
    figures = {
        "tickets": given.tickets,
        "samples": len(took),
        "median_ms": round(statistics.median(took), 1),
        "p99_ms": round(took[int(len(took) * 0.99) - 1], 1),
        "worst_ms": round(took[-1], 1),
        "idle_cpu_percent": round(idle, 2),
        "memory_mb": round(memory, 1),
    }
    goals = {"median_ms": 20, "p99_ms": 100, "idle_cpu_percent": 1, "memory_mb": 150}
    report("latency", figures, goals)


def samples(board: Path, names: list[str], number: int) -> list[float]:
    """Milliseconds from save to move, of hold and resume in turn."""
    took = []
    for n in range(number // 2):
        name = names[n % len(names)]
        here, there = board / _REVIEW / name, board / _HOLD / name
        took.append(until_there(there, save(here, "HOLD")))
        time.sleep(0.15)
        back = re.search(r"^held_from: (.*)$", there.read_text(encoding="utf-8"), re.M)
        saved = save(there, back[1] if back else "01_TRIAGE")
        took.append(until_there(here, saved))
        time.sleep(0.15)
    return took


if __name__ == "__main__":
    sys.exit(main())
