"""Jobs per second by the queue of workers, beside the bare queue of DBOS in the same run.

Agents that do nothing, at 1, 2, 4 and 8 workers of four slots each, on the embedded PostgreSQL:
`jobs` with this program's records (parcel, lease, result), `bare` with a workflow of DBOS that
does nothing. `share` is the median of their ratios (goal: 0.7); `overhead_ms` the median time from
handing in a job to its beginning at an idle worker (goal: 100), `queued_mb` what the memory of the
process that queues 10,000 jobs grows by (goal: 20). `--jobs` is how many are measured each time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import dbos  # noqa: E402
import psutil  # noqa: E402

from benchmarks.worker_kills import forked  # noqa: E402
from orchestrate_backend.targets.postgres import start_embedded  # noqa: E402
from orchestrator.domain.agent import Job, Outcome, Report  # noqa: E402
from orchestrator.settings.agents import WorkersSettings  # noqa: E402
from orchestrator.settings.config import Settings  # noqa: E402
from orchestrator.workers import delivery  # noqa: E402
from orchestrator.workers.parcel import Parcel, Result  # noqa: E402
from orchestrator.workers.serve import Slots, Worker  # noqa: E402
from orchestrator.workers.store import QUEUES, Store, database_url  # noqa: E402

_SLOTS, _HOME = 4, "0" * 32
_WORKERS = WorkersSettings(engine="dbos", poll=0.05)
_BARE, _BARE_VERSION = "bare", "bare-1"
_DONE = "SELECT count(*) AS n FROM @jobs WHERE state = 'done'"


def parcel() -> str:
    job = Job(
        ticket="WO-1", parent="WO-1", family=(), stage=1, agent="BUILDER", workspace="/x",
        workflow="w.md", workflow_text="# Work\n" * 500,
    )  # fmt: skip
    return Parcel(
        job=job, use="builtin", repository="file:///srv/shop.git", reference="refs/heads/work/WO-1",
        branch="work/WO-1", head="0" * 40, commit="0" * 40, below="", board="_WORK_ORDERS",
    ).model_dump_json()  # fmt: skip


def work(folder: Path) -> None:
    """A worker whose agents do nothing, without a checkout."""
    report = Report(outcome=Outcome.DONE)

    def nothing(self: delivery.Delivery) -> tuple[Result, None]:
        return Result(report=report, head="0" * 40, commit="0" * 40), None

    delivery.Delivery.do = nothing  # type: ignore[method-assign]
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(workers=_WORKERS)
    Worker(folder, settings, ("BUILDER",), Slots(_SLOTS), folder=folder / "work").run()


def work_bare(url: str) -> None:
    """A process of DBOS's own queue, with a workflow that does nothing."""
    config: Any = {
        "name": _BARE, "system_database_url": url, "dbos_system_schema": QUEUES,
        "application_version": _BARE_VERSION, "use_listen_notify": False, "log_level": "ERROR",
        "run_migrations": False, "executor_id": str(os.getpid()),
    }  # fmt: skip
    dbos.DBOS(config=config)

    @dbos.DBOS.workflow(name="nothing")
    def nothing(text: str) -> str:
        return ""

    dbos.DBOS.listen_queues([_BARE])
    dbos.DBOS.launch()
    time.sleep(10_000)


def timed(start: Callable[[int], int], workers: int, hand_in: Callable[[], Callable[[], int]],
          jobs: int) -> float:  # fmt: skip
    """Jobs per second, all handed in before workers begin."""
    left = hand_in()
    running = [start(n) for n in range(workers)]
    try:
        while left() == jobs:
            time.sleep(0.005)
        before, first = left(), time.perf_counter()
        while left():
            time.sleep(0.01)
        return before / (time.perf_counter() - first)
    finally:
        for pid in running:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


class Bench:
    def __init__(self, base: Path, url: str, jobs: int) -> None:
        self.base, self.url, self.jobs, self.round = base, url, jobs, 0
        self.store, self.text = Store(url, _WORKERS), parcel()
        self.client = dbos.DBOSClient(
            system_database_url=url, dbos_system_schema=QUEUES, application_name=_BARE
        )
        self.client.register_queue(
            _BARE, worker_concurrency=_SLOTS, polling_interval_sec=_WORKERS.poll
        )

    def submit(self, number: int) -> str:
        id = f"{_HOME}/WO-1/WO-1/1/1/{number}/{self.round}"
        self.store.submit(id, _HOME, "WO-1", "BUILDER", self.text, "tree")
        return id

    def own(self) -> Callable[[], int]:
        self.round += 1
        for number in range(self.jobs):
            self.submit(number)
        goal = self.store._all(_DONE)[0]["n"] + self.jobs
        return lambda: int(goal - self.store._all(_DONE)[0]["n"])

    def bare(self) -> Callable[[], int]:
        options: Any = {
            "workflow_name": "nothing", "queue_name": _BARE, "app_version": _BARE_VERSION,
        }  # fmt: skip
        for _ in range(self.jobs):
            self.client.enqueue(options, self.text)
        sql = (
            f"SELECT count(*) AS n FROM {QUEUES}.workflow_status WHERE queue_name = '{_BARE}' "
            "AND status IN ('ENQUEUED', 'PENDING')"
        )
        return lambda: int(self.store._all(sql)[0]["n"])

    def begun(self, tries: int) -> list[float]:
        """Milliseconds from handing in to the beginning, one job at a time."""
        found = []
        pid = forked(lambda: work(self.base / "idle"))
        self.round += 1
        for number in range(tries):
            id = self.submit(number)
            while (row := self.store.find(id)) is None or row.state != "done":
                time.sleep(0.01)
            if number:
                taken = "extract(epoch FROM begun - queued) * 1000 AS ms"
                sql = f"SELECT {taken} FROM @jobs WHERE id = :id"
                found.append(float(self.store._all(sql, id=id)[0]["ms"]))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return found

    def queued(self, number: int) -> float:
        """Megabytes by which queueing many jobs grows this process."""
        self.round += 1
        self.submit(number)
        before = psutil.Process().memory_info().rss
        for each in range(number):
            self.submit(each)
        return (psutil.Process().memory_info().rss - before) / 1024**2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--queued", type=int, default=10_000)
    asked = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="orchestrate-workers-"))
    server = start_embedded(base / ".orchestrate" / "postgres")
    os.environ[_WORKERS.database_url_env] = url = server.uri()
    try:
        bench = Bench(base, database_url(_WORKERS), asked.jobs)
        rates: dict[int, tuple[float, float]] = {}
        for number in (1, 2, 4, 8):
            bare = timed(lambda _: forked(lambda: work_bare(url)), number, bench.bare, asked.jobs)
            own = timed(
                lambda n: forked(lambda: work(base / f"w{n}")), number, bench.own, asked.jobs
            )
            rates[number] = own, bare
        overhead = bench.begun(30)
        grown = bench.queued(asked.queued)
    finally:
        server.stop()
        shutil.rmtree(base, ignore_errors=True)
    share = statistics.median(own / bare for own, bare in rates.values())
    line = {
        "benchmark": "workers",
        "jobs_per_s": {n: round(own, 1) for n, (own, _) in rates.items()},
        "bare_per_s": {n: round(bare, 1) for n, (_, bare) in rates.items()},
        "share": round(share, 2),
        "overhead_ms": round(statistics.median(overhead), 1),
        "queued_mb": round(grown, 1),
        "goal": {"share": 0.7, "overhead_ms": 100, "queued_mb": 20},
        "met": share >= 0.7 and statistics.median(overhead) <= 100 and grown <= 20,
    }
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
