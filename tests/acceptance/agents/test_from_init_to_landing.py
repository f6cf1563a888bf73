"""A fresh repository, from `init --agents` to the landed change, by each real coding agent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.acceptance.agents.real import Bench, agents, bench
from tests.model_server import ModelServer, Request, Run, Say, Step, Write

__all__ = ["bench"]

TICKET = """\
---
id: WO-002
title: "A greeting"
status: 00_INBOX
owner: BUILDER
---
Make a greeting.

## Acceptance Criteria

- [ ] `greeting.txt` exists
- [ ] `greeting.txt` contains "hello"
- [ ] `shade.txt` exists
"""


class Repository:
    """A repository of somebody, and the command line in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        (root / "pyproject.toml").write_text('[project]\nname = "shop"\nversion = "1"\n')
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.email", "ana@example.org")
        self.git("config", "user.name", "Ana")
        self.commit("Begin")

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.root, capture_output=True, text=True, check=True
        )
        return done.stdout

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def orchestrate(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", *words],
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=400,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def begin(self, use: str, settings: dict[str, Any]) -> None:
        """A board whose BUILDER is a coding agent, and a ticket."""
        self.orchestrate("init", "--commit")
        with (self.root / "orchestrate.toml").open("a", encoding="utf-8") as file:
            file.write(f'\n[agents.BUILDER]\nuse = "{use}"\n')
            # JSON's strings, numbers and lists of them are TOML's too
            file.writelines(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
        place = self.root / "_WORK_ORDERS" / "00_INBOX" / "WO-002_A_greeting.md"
        place.write_text(TICKET, encoding="utf-8")
        self.commit("Add a board")


@agents()
def test_a_ticket_becomes_a_proven_change_that_lands(bench: Bench, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    told: list[str] = []

    def second(request: Request) -> Step:
        told.append(request.text)
        return Run("echo blue > shade.txt")

    steps = [
        Write("greeting.txt", "hello\n", text="I write the greeting."),
        Say("Made `greeting.txt`."),
        second,
        Say("Made `shade.txt` too."),
    ]
    with ModelServer(steps) as model:
        repository.begin(bench.real.use, bench.settings(model))
        repository.orchestrate("run", "WO-002", code=10)
        question = json.loads(repository.orchestrate("status", "WO-002", "--json"))["question"]
        assert question
        # what was not proven after the first turn, in the words of the receipt
        assert "shade.txt" in told[0]
        assert "This did not hold when the conductor looked last" in told[0]
        repository.orchestrate("approve", "WO-002")
        repository.orchestrate("run", "WO-002")
        assert len(model.requests) == 4
    assert (repository.root / "greeting.txt").read_text() == "hello\n"
    assert (repository.root / "shade.txt").read_text() == "blue\n"
    (ticket,) = (repository.root / "_WORK_ORDERS").glob("06_COMPLETE/WO-002*")
    assert "BUILDER — turn 2" in ticket.read_text(encoding="utf-8")
    (log,) = (repository.root / ".orchestrate" / "logs" / "WO-002").glob("*.jsonl")
    kinds = {json.loads(line)["kind"] for line in log.read_text("utf-8").splitlines()}
    assert {"start", "text", "tool", "end"} <= kinds
    assert "sk-ant-scripted-0001" not in log.read_text("utf-8")
