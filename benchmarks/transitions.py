"""Durable transitions a second, beside the bare file operations and beside other engines.

Each family is one ticket with a workflow of eight stages: six of agents, which do nothing and run
in this process, and two checkpoints, approved through the API. Every transition is on the disk
(fsync) before the next begins; git is off.

In the same run, on the same disk, the bare file operations that a transition cannot do without:
a record appended and synced, a file written and synced, exchanged with the old one and moved, and
its folders synced as often as here. And, where they are installed, LangGraph with its SQLite saver
and DBOS on SQLite:

    python -m venv rivals && rivals/bin/pip install -r benchmarks/rivals.txt
    python benchmarks/transitions.py --rivals rivals/bin/python

The machine is noisy: all parts are run in turns, and the ratios count. So that growth shows, ours
is run on boards of three sizes, the last one with all families. One line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from _common import exponent, tell

from orchestrator import Board, Conductor
from orchestrator.domain.agent import Job, Outcome, Report
from orchestrator.settings.config import Settings
from orchestrator.storage import syscalls

HERE = Path(__file__).resolve().parent
_WORKFLOW = """\
# Eight stages

## STAGE 0: LEAD — Triage
Look at the ticket.

## STAGE 1: SOOP — Design
Work.

## STAGE 2: BUILDER — First half
Work.

## STAGE 3: USER CHECKPOINT #1 — Half way

## STAGE 4: BUILDER — Second half
Work.

## STAGE 5: ANALYST — Figures
Work.

## STAGE 6: INSPECTOR — QA
Look.

## STAGE 7: USER CHECKPOINT #2 — The end
"""
_AGENTS = ("LEAD", "SOOP", "BUILDER", "ANALYST", "INSPECTOR")
_TURNS = 5


class Noop:
    """Does nothing."""

    def __init__(self, name: str) -> None:
        self.name = name

    def work(self, job: Job) -> Report:
        return Report(outcome=Outcome.DONE)


# -- ours ------------------------------------------------------------------------------------------


class Ours:
    """A board of its own, whose families are taken from the inbox to the end one by one."""

    def __init__(self, root: Path, families: int) -> None:
        (root / "workflows").mkdir(parents=True)
        (root / "workflows" / "eight.md").write_text(_WORKFLOW, encoding="utf-8")
        inbox = root / "_WORK_ORDERS" / "00_INBOX"
        inbox.mkdir(parents=True)
        self.ids = [f"WO-{1000 + n}" for n in range(families)]
        for id in self.ids:
            (inbox / f"{id}_Benchmark.md").write_text(
                f"---\nid: {id}\ntitle: One of many\nstatus: 00_INBOX\nowner: LEAD\n"
                f"failure_count: 0\npipeline_workflow: workflows/eight.md\n---\n"
                f"# One of many\n\nText of it.\n",
                encoding="utf-8",
            )
        self.receipts = root / "_WORK_ORDERS" / ".receipts"
        agents = {name: Noop(name) for name in _AGENTS}
        self.conductor = Conductor(Board(root), settings=Settings(), agents=agents)

    def run(self, ids: list[str]) -> None:
        for id in ids:
            outcome = self.conductor.run(id)
            while outcome.outcome == "waiting":
                self.conductor.approve(id)
                outcome = self.conductor.run(id)
            if outcome.outcome != "complete":
                raise SystemExit(f"{id} did not come to its end: {outcome}")

    def transitions(self) -> int:
        texts = (path.read_text(encoding="utf-8") for path in self.receipts.glob("*.jsonl"))
        lines = (json.loads(line) for text in texts for line in text.splitlines())
        return sum(record["type"] == "transition" for record in lines)


# -- the bare operations ---------------------------------------------------------------------------


class Bare:
    """What the disk takes for the same: the operations of one family, with the same bytes."""

    def __init__(self, root: Path, transitions: int, syncs: int) -> None:
        self.folders = [root / name for name in ("one", "other")]
        for folder in self.folders:
            folder.mkdir(parents=True)
        self.root = root
        self.transitions = transitions
        #: folders synced in one family
        self.syncs = syncs
        self.made = 0

    def family(self) -> None:
        """One file that is written and moved as often as a family's ticket is."""
        self.made += 1
        name, log = f"{self.made}.md", self.root / f"{self.made}.jsonl"
        (self.folders[0] / name).write_bytes(b"x" * 1500)
        synced = 0
        for n in range(self.transitions):
            here, there = self.folders[n % 2], self.folders[1 - n % 2]
            _append(log, b"y" * 1800 + b"\n")
            beside = here / f".{name}"
            _append(beside, b"x" * 1500)
            if syscalls.exchange(beside, here / name):
                beside.unlink()
            else:
                beside.replace(here / name)
            (here / name).rename(there / name)
            while synced < self.syncs * (n + 1) // self.transitions:
                syscalls.sync_folder((here, there)[synced % 2])
                synced += 1


def _append(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


# -- both, in turns --------------------------------------------------------------------------------


def measured(root: Path, families: int) -> dict[str, Any]:
    """Ours and the bare operations, a part of each in turn."""
    ours = Ours(root / "board", families)
    operations: Counter[str] = Counter()
    with syscalls.watched(lambda operation, _: operations.update([operation])):
        ours.run(ours.ids[:1])
    each = ours.transitions()
    bare = Bare(root / "bare", each, operations["sync folder"])
    rest = ours.ids[1:]
    took = Counter[str]()
    for turn in range(_TURNS):
        ids = rest[turn::_TURNS]
        started = time.perf_counter()
        ours.run(ids)
        between = time.perf_counter()
        for _ in ids:
            bare.family()
        took["bare"] += int((time.perf_counter() - between) * 1e9)
        took["ours"] += int((between - started) * 1e9)
    made = ours.transitions() - each
    seconds, plain = took["ours"] / 1e9, took["bare"] / 1e9
    return {
        "families": families,
        "transitions_per_family": each,
        "transitions_per_second": round(made / seconds, 1),
        "families_per_second": round(len(rest) / seconds, 1),
        "bare_transitions_per_second": round(made / plain, 1),
        "ratio_to_bare": round(plain / seconds, 2),
        "operations_per_family": dict(operations),
    }


def rivals(python: str, families: int) -> dict[str, Any]:
    """The figures of other engines, as that interpreter has them."""
    command = [python, str(HERE / "_rivals.py"), "--families", str(families)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compared(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """A rival's figures with ours as multiples of them, in families and in durable writes."""
    families = ours["families_per_second"] / theirs["families_per_second"]
    writes = ours["transitions_per_second"] / theirs["durable_writes_per_second"]
    return {**theirs, "ours_in_families": round(families, 2), "ours_in_writes": round(writes, 2)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", type=int, default=500)
    parser.add_argument("--rivals", default=sys.executable, metavar="PYTHON")
    given = parser.parse_args()
    # how long one transition takes should not depend on how many families the board has
    whole = max(8, given.families)
    sizes = [whole // 4, whole // 2, whole]
    runs = [measured_apart(size) for size in sizes]
    ours, each = runs[-1], [round(1000 / run["transitions_per_second"], 3) for run in runs]
    others = {
        name: compared(ours, found) if isinstance(found, dict) else found
        for name, found in rivals(given.rivals, given.families).items()
    }
    goal = {"ratio_to_bare": 0.5}
    line = {
        "benchmark": "transitions",
        **ours,
        "sizes": sizes,
        "growth": {"transition_ms": {"values": each, "exponent": exponent(sizes, each)}},
        "rivals": others,
        "goal": goal,
        "met": ours["ratio_to_bare"] >= goal["ratio_to_bare"],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    to_peer = {"bare": ours["bare_transitions_per_second"] / ours["transitions_per_second"]}
    to_peer |= {
        name: 1 / found["ours_in_writes"]
        for name, found in others.items()
        if isinstance(found, dict)
    }
    tell(line, to_peer)
    return 0


def measured_apart(families: int) -> dict[str, Any]:
    """The figures of a board of its own."""
    root = Path(tempfile.mkdtemp(prefix="orchestrate-transitions-"))
    try:
        return measured(root, families)
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    sys.exit(main())
