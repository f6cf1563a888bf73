"""A small workspace with a board, a workflow and agents that tests control."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.conductor.conductor import Conductor
from orchestrator.domain.agent import Agent, Artifact, Job, Outcome, Report
from orchestrator.family.session import Progress
from orchestrator.settings.config import Settings
from orchestrator.storage.atomic import sha256_file
from orchestrator.tickets.board import Board

TICKET = """\
---
id: WO-512
title: "Two files"   # a person's comment
status: 00_INBOX
owner: LEAD
zebra: last
pipeline_workflow: workflows/two-files.md
---
# Two files

A person wrote this.   \n"""

WORKFLOW = """\
# Two files

## STAGE 1: LEAD — Split
1. Split into two parallel tickets:
   - **WO-512a** → SOOP (the first file)
   - **WO-512b** → BUILDER (the second file)
2. Move WO-512 to `01_TRIAGE`, create WO-512a in `03_BUILD` for SOOP, WO-512b in `03_BUILD` for
   BUILDER

**Done when:** WO-512a in `03_BUILD` with `owner: SOOP`, WO-512b in `03_BUILD` with `owner: BUILDER`

## STAGE 2: SOOP — First file
1. Read WO-512a
2. Write `out/first.txt`
3. Move WO-512a to `04_QA` with `owner: INSPECTOR`

**Done when:** `out/first.txt` exists

## STAGE 3: USER CHECKPOINT #1 — First look

**Done when:** USER says "approved".

## STAGE 4: BUILDER — Second file
1. Read WO-512b
2. Write `out/second.txt`
3. Move WO-512b to `04_QA` with `owner: INSPECTOR`

**Done when:** `out/second.txt` exists

## STAGE 5: ANALYST — Third file (Parallel with STAGE 4)
ANALYST creates `out/third.txt`.

**Done when:** `out/third.txt` exists

## STAGE 6: INSPECTOR — QA of both WO-512a and WO-512b
- [ ] `out/first.txt` exists
- [ ] `out/second.txt` exists
- [ ] `out/third.txt` exists

**If PASS:** Move both tickets to `05_USER_REVIEW`, `owner: USER`

## STAGE 7: USER CHECKPOINT #2 — The end

**Done when:** WO-512 moves to `06_COMPLETE`.
"""


class Writer:
    """Writes one file per job; `act` may stand in for it, and sees every job."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        self.jobs: list[Job] = []
        self.act: Callable[[Job], Report] | None = None

    def work(self, job: Job) -> Report:
        self.jobs.append(job)
        if self.act is not None:
            return self.act(job)
        return self.write(job, f"{self.name} attempt {job.attempt} {job.words}\n")

    def write(self, job: Job, text: str) -> Report:
        file = job.root / self.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return Report(
            outcome=Outcome.DONE,
            artifacts=(Artifact(path=self.path, sha256=sha256_file(file)),),
            section=f"## {self.name} DONE (attempt {job.attempt})\n\nWrote `{self.path}`.\n",
        )


class Workspace:
    """A board in a temporary folder, with three writers in this process."""

    def __init__(self, root: Path, workflow: str = WORKFLOW, ticket: str = TICKET) -> None:
        self.root = root
        inbox = root / "_WORK_ORDERS" / "00_INBOX"
        inbox.mkdir(parents=True)
        (inbox / "WO-512_Two_Files.md").write_text(ticket, encoding="utf-8")
        (root / "workflows").mkdir()
        (root / "workflows" / "two-files.md").write_text(workflow, encoding="utf-8")
        self.soop = Writer("SOOP", "out/first.txt")
        self.builder = Writer("BUILDER", "out/second.txt")
        self.analyst = Writer("ANALYST", "out/third.txt")
        self.events: list[Progress] = []

    def conductor(
        self, agents: Mapping[str, Agent] | None = None, settings: Settings | None = None
    ) -> Conductor:
        own: dict[str, Agent] = {w.name: w for w in (self.soop, self.builder, self.analyst)}
        return Conductor(
            Board(self.root),
            agents={**own, **(agents or {})},
            settings=settings,
            on_event=self.events.append,
        )

    def file(self, id: str) -> Path:
        (found,) = (p for p in (self.root / "_WORK_ORDERS").rglob(f"{id}_*.md"))
        return found

    def places(self) -> dict[str, str]:
        """id → folder, by the files themselves."""
        files = (self.root / "_WORK_ORDERS").glob("*/WO-512*.md")
        return {p.name.split("_")[0]: p.parent.name for p in files}

    def edit(self, id: str, old: str, new: str) -> None:
        """What a person's editor does."""
        path = self.file(id)
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def to_the_end(self) -> None:
        """Run and approve up to the last checkpoint."""
        conductor = self.conductor()
        conductor.run("WO-512")
        conductor.approve("WO-512")
        conductor.run("WO-512")


def copy_of(asked: Path, root: Path) -> Workspace:
    """A copy of a workspace with an open question, which goes on as its own."""
    found = Workspace(root)
    shutil.rmtree(root)
    shutil.copytree(asked, root, symlinks=True)
    found.conductor().run("WO-512", from_here=True)
    return found
