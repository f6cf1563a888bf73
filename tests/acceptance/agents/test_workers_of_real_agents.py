"""A real coding agent at two workers in clones of their own; one is killed while it works."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrate_backend.targets.postgres import start_embedded
from tests.acceptance.agents.real import Bench, agents, bench
from tests.acceptance.agents.test_from_init_to_landing import Repository
from tests.model_server import ModelServer, Request, Say, Step, Write
from tests.workers import VARIABLE, wait_until

__all__ = ["bench"]


@contextlib.contextmanager
def workers(repository: Repository, base: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two workers, each in a clone, with a cache of its own."""
    found = []
    try:
        for number in range(2):
            clone = base / f"clone-{number}"
            subprocess.run(["git", "clone", "-q", str(repository.root), str(clone)], check=True)
            log = base / f"worker-{number}.log"
            with log.open("wb") as file:
                words = ("-m", "orchestrator", "worker", "--agents", "BUILDER")
                found.append(
                    subprocess.Popen(
                        [sys.executable, *words],
                        cwd=clone,
                        env={**os.environ, "XDG_CACHE_HOME": str(base / f"cache-{number}")},
                        stdout=file,
                        stderr=file,
                    )
                )
        logs = [base / f"worker-{number}.log" for number in range(2)]
        try:
            wait_until(lambda: all("takes jobs" in log.read_text() for log in logs), 60)
        except AssertionError:
            raise AssertionError([log.read_text() for log in logs]) from None
        yield found
    finally:
        for process in found:
            process.kill()
            process.wait()


@agents("claude")
def test_a_killed_workers_turn_is_done_by_the_other(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_embedded(tmp_path / ".orchestrate" / "postgres")
    monkeypatch.setenv(VARIABLE, server.uri())
    repository = Repository(tmp_path / "repository")
    running: list[subprocess.Popen[bytes]] = []

    def kills(request: Request) -> Step:
        # whoever takes the job now is killed before it can write
        busy = json.loads(repository.orchestrate("workers", "--json"))["workers"]
        (pid,) = (int(w["id"].split("/")[1].split("-")[0]) for w in busy if w["jobs"])
        next(p for p in running if p.pid == pid).send_signal(signal.SIGKILL)
        return Say("I begin.")

    steps = [
        kills,
        Write("greeting.txt", "hello\n", text="I write the greeting."),
        Write("shade.txt", "blue\n"),
        Say("Made both."),
    ]
    with ModelServer(steps) as model:
        repository.begin(bench.real.use, bench.settings(model))
        with (repository.root / "orchestrate.toml").open("a", encoding="utf-8") as file:
            file.write('\n[workers]\nengine = "dbos"\nagents = ["BUILDER"]\nlease = 3\n')
        repository.commit("Use workers")
        with workers(repository, tmp_path) as running:
            repository.orchestrate("run", "WO-002", code=10)
        repository.orchestrate("approve", "WO-002")
        repository.orchestrate("run", "WO-002")
    server.stop()
    assert (repository.root / "greeting.txt").read_text() == "hello\n"
    assert (repository.root / "shade.txt").read_text() == "blue\n"
    history = repository.root / "_WORK_ORDERS/.receipts/WO-002.jsonl"
    records = [json.loads(line) for line in history.read_text("utf-8").splitlines()]
    assert any("no sign of life" in r["text"] for r in records if r["type"] == "worker")
    assert not any(r["type"] == "failure" for r in records)
    (log,) = (repository.root / ".orchestrate" / "logs" / "WO-002").glob("*.jsonl")
    kinds = {json.loads(line)["kind"] for line in log.read_text("utf-8").splitlines()}
    assert {"start", "text", "tool", "end"} <= kinds
    assert "sk-ant-scripted-0001" not in log.read_text("utf-8")
