"""A repository with a ticket whose maker is a coding agent that tests control."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from orchestrator import Board, Conductor
from orchestrator.domain.agent import Job, Outcome, Report
from orchestrator.domain.states import Part
from orchestrator.settings.agents import AgentSettings
from orchestrator.settings.config import Settings
from orchestrator.settings.tables import GitSettings, WorkspacesSettings
from orchestrator.storage.history import History

WORKFLOW = """# Colours

## STAGE 1: BUILDER — Build

Paint it.

## STAGE 2: USER CHECKPOINT #1 — Look
"""
#: two makers side by side
BESIDE = """# Colours

## STAGE 1: BUILDER — Paint

Paint it.

**Done when:** `colour.txt` exists

## STAGE 2: TESTER — Test (Parallel with STAGE 1)

Test it.

**Done when:** `test.txt` exists

## STAGE 3: USER CHECKPOINT #1 — Look
"""
TICKET = """---
id: WO-1
title: Colours
status: 00_INBOX
pipeline_workflow: workflows/w.md
---

# Colours

## Acceptance Criteria

- [ ] `colour.txt` exists
"""


class Painter:
    """A coding agent that writes files, and maybe does something in git."""

    name = "BUILDER"

    def __init__(self, **files: str) -> None:
        self.files = files or {"colour": "green\n"}
        self.jobs: list[Job] = []
        self.commands: list[list[str]] = []

    def work(self, job: Job) -> Report:
        self.jobs.append(job)
        for name, text in self.files.items():
            (job.root / f"{name}.txt").write_text(text, encoding="utf-8")
        for command in self.commands:
            subprocess.run(command, cwd=job.root, check=True, capture_output=True)
        return Report(outcome=Outcome.DONE, section="## BUILDER\n\nPainted.\n", session="s")


class Repository:
    def __init__(self, root: Path, **settings: Any) -> None:
        self.root, self.painter = root, Painter()
        self.settings, self.others = settings, dict[str, Any]()
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "Ana")
        self.git("config", "user.email", "ana@example.com")
        self.write("_WORK_ORDERS/00_INBOX/WO-1_Colours.md", TICKET)
        self.write("workflows/w.md", WORKFLOW)
        self.write("README.md", "# Shop\n\none\n")
        self.write(".gitignore", ".orchestrate/\n")
        self.commit("begin")

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.root, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    @property
    def conductor(self) -> Conductor:
        agent = AgentSettings().model_copy(update={"use": "fake"})
        workspaces = WorkspacesSettings(**self.settings)
        agents = {"BUILDER": self.painter, **self.others}
        own = {name: agent.model_copy(update={"part": Part.MAKER}) for name in self.others}
        settings = Settings(
            agents={"BUILDER": agent, **own}, workspaces=workspaces, git=GitSettings(commit=True)
        )
        return Conductor(Board(self.root), agents=agents, settings=settings)

    @property
    def checkout(self) -> Path:
        return self.root / ".orchestrate" / "workspaces" / "WO-1"

    def question(self) -> dict[str, Any]:
        found = self.conductor.status("WO-1")["question"]
        assert found is not None
        return dict(found)

    def approve(self) -> None:
        self.conductor.approve("WO-1")

    def records(self, kind: str) -> list[dict[str, Any]]:
        return list(History(self.root / "_WORK_ORDERS", "WO-1").of(kind))

    def file_at(self, revision: str, path: str) -> str:
        return self.git("show", f"{revision}:{path}")
