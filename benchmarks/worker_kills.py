"""Kill workers, conductors and connections while families are worked on; is anything lost?

Families run with two workers of two slots each on the embedded PostgreSQL. At random moments a
worker or a conductor is killed (SIGKILL) and started again, or every connection to the database is
cut. In the end each family has to wait for USER with its work there once: proven, one report, no
failure counted, nothing of a lost delivery. `--kills` is how many there are in all. One line of
JSON at the end; exit 1 if a family was lost, doubled or stuck.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import dbos  # noqa: E402, F401 - loaded before it is forked
import psycopg  # noqa: E402
import sqlalchemy  # noqa: E402, F401

from benchmarks._common import keep_run  # noqa: E402
from orchestrate_backend.targets.postgres import start_embedded  # noqa: E402
from orchestrator import Board, Conductor  # noqa: E402
from orchestrator.domain.agent import Job, Outcome, Report  # noqa: E402
from orchestrator.settings.agents import AgentSettings, WorkersSettings  # noqa: E402
from orchestrator.settings.config import Settings  # noqa: E402
from orchestrator.workers.serve import Slots, Worker  # noqa: E402
from tests.repositories import Repository  # noqa: E402

#: families at a time, and seconds in which a group of them has to come to its end
_GROUP, _PATIENCE = 4, 180.0
_CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE pid <> pg_backend_pid() AND application_name = 'orchestrate'"
)
_WORKERS = WorkersSettings(engine="dbos", lease=2, poll=0.05)


class Slow:
    """Writes its file in two steps, so that it can be killed between them."""

    name = "BUILDER"

    def work(self, job: Job) -> Report:
        file = job.root / "colour.txt"
        file.write_text("gre", encoding="utf-8")
        time.sleep(random.uniform(0.05, 0.6))
        file.write_text("green\n", encoding="utf-8")
        return Report(outcome=Outcome.DONE, section="## BUILDER\n\nPainted.\n", session="s")


def forked(act: Callable[[], object]) -> int:
    """Do something in a process of its own, with what is loaded already."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        with contextlib.suppress(KeyboardInterrupt):
            os.setsid()
            code = int(act() or 0)  # type: ignore[call-overload]
    except BaseException as exc:  # noqa: BLE001 - told by its exit code
        print(f"{type(exc).__name__}: {exc}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def conduct(root: Path) -> int:
    fake = AgentSettings().model_copy(update={"use": "fake"})
    settings = Settings(agents={"BUILDER": fake}, workers=_WORKERS)
    return 0 if Conductor(Board(root), settings=settings).run("WO-1").outcome == "waiting" else 3


def work(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    inside = {"BUILDER": Slow()}
    settings = Settings(workers=_WORKERS)
    Worker(folder, settings, ("BUILDER",), Slots(2), inside=inside, folder=folder / "work").run()


class Group:
    """Some families with their conductors, and the workers, which outlive the group."""

    def __init__(self, base: Path, dice: random.Random, url: str) -> None:
        self.base, self.dice, self.url = base, dice, url
        self.done = Counter[str]()
        self.workers = {n: self._worker(n) for n in range(2)}

    def _worker(self, number: int) -> int:
        return forked(lambda: work(self.base / f"machine-{number}"))

    def run(self, number: int, kills: int) -> list[str]:
        """Conduct some families to their question; what is wrong with them."""
        roots = [self.base / f"{number}-{n}" for n in range(_GROUP)]
        for root in roots:
            root.mkdir()
            # two that begin within a second would be one repository
            Repository(root).git("commit", "-q", "--amend", "-m", f"begin {root}")
        running = {root: forked(lambda at=root: conduct(at)) for root in roots}  # type: ignore[misc]
        deadline, left = time.monotonic() + _PATIENCE, kills
        while running and time.monotonic() < deadline:
            time.sleep(self.dice.uniform(0.05, 0.4))
            for root, pid in tuple(running.items()):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    del running[root]
                    if os.waitstatus_to_exitcode(status) not in (0, 3):
                        running[root] = forked(lambda at=root: conduct(at))  # type: ignore[misc]
            self._keep_workers()
            if left and running:
                left -= 1
                self._strike(running)
        for pid in running.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        wrong = [f"{root.name}: stuck" for root in running]
        return wrong + [f"{root.name}: {why}" for root in roots if (why := judge(root))]

    def _keep_workers(self) -> None:
        """Start those again that ended as their database was cut off at the start."""
        for number, pid in self.workers.items():
            if os.waitpid(pid, os.WNOHANG)[0]:
                self.workers[number] = self._worker(number)

    def _strike(self, running: dict[Path, int]) -> None:
        what = self.dice.choice(["worker", "conductor", "connections"])
        self.done[what] += 1
        if what == "worker":
            number = self.dice.choice(list(self.workers))
            os.kill(self.workers[number], signal.SIGKILL)
            os.waitpid(self.workers[number], 0)
            self.workers[number] = self._worker(number)
        elif what == "conductor":
            # it is seen as ended, and started again, by the loop
            os.kill(self.dice.choice(list(running.values())), signal.SIGKILL)
        else:
            with psycopg.connect(self.url) as connection:
                connection.execute(_CUT)

    def close(self) -> None:
        for pid in self.workers.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def judge(root: Path) -> str:
    """What is wrong with a family that came to its question, or ""."""
    lines = (root / "_WORK_ORDERS/.receipts/WO-1.jsonl").read_text("utf-8").splitlines()
    records = Counter(json.loads(line)["type"] for line in lines)
    reports = [r for line in lines if (r := json.loads(line))["type"] == "report"]
    colour = root / ".orchestrate/workspaces/WO-1/colour.txt"
    if not colour.is_file() or colour.read_text("utf-8") != "green\n":
        return "its work is not there"
    if [r["outcome"] for r in reports] != ["done"]:
        return f"its reports are {[r['outcome'] for r in reports]}"
    if records["failure"]:
        return "a failure was counted"
    tickets = list((root / "_WORK_ORDERS").glob("*/WO-1_*.md"))
    if [t.parent.name for t in tickets] != ["05_USER_REVIEW"]:
        return f"its ticket is in {[t.parent.name for t in tickets]}"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=17)
    asked = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="orchestrate-worker-kills-"))
    server = start_embedded(base / ".orchestrate" / "postgres")
    os.environ[_WORKERS.database_url_env] = server.uri()
    group, wrong, number, started = None, list[str](), 0, time.monotonic()
    try:
        group = Group(base, random.Random(asked.seed), server.uri())
        while (left := asked.kills - group.done.total()) > 0:
            wrong += group.run(number, min(left, 3 * _GROUP))
            number += 1
            print(f"{group.done.total()} kills, {wrong}", file=sys.stderr, flush=True)
    finally:
        if group is not None:
            group.close()
        server.stop()
        shutil.rmtree(base, ignore_errors=True)
    result = {
        "name": "worker_kills",
        "goal": {"wrong_ends": 0},
        "families": number * _GROUP,
        "kills": group.done.total(),
        "killed": dict(group.done),
        "wrong": wrong,
        "wrong_ends": len(wrong),
        "seconds": round(time.monotonic() - started, 1),
    }
    keep_run("worker_kills", result)
    print(json.dumps(result))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
