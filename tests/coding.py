"""Jobs for coding agents, and where their programs are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from orchestrator.domain.agent import Demand, Job, MemberInfo
from orchestrator.settings.agents import AgentSettings

WORKFLOW = """\
# Work order WO-001

## STAGE 1: BUILDER — Build

1. Read WO-001 and do what it asks for.

**Done when:** `a.txt` exists

## STAGE 2: USER CHECKPOINT #1 — Review

**Done when:** USER approves.
"""
TICKET = """\
---
id: WO-001
title: "A file"
status: 03_BUILD
owner: BUILDER
---
Make `a.txt`.
"""
BOARD = "_WORK_ORDERS"


def workspace(root: Path, ticket: str = TICKET) -> Path:
    """A repository with one ticket."""
    file = root / BOARD / "03_BUILD" / "WO-001_A_file.md"
    file.parent.mkdir(parents=True)
    file.write_text(ticket, encoding="utf-8")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return root


def job(root: Path, use: str, *, agent: dict[str, Any] | None = None, **fields: Any) -> Job:
    """The job of WO-001's builder; `agent` are its settings."""
    settings = AgentSettings.model_validate({"use": use, **(agent or {})})
    known: dict[str, Any] = {
        "ticket": "WO-001",
        "parent": "WO-001",
        "family": (
            MemberInfo(
                id="WO-001",
                path=f"{BOARD}/03_BUILD/WO-001_A_file.md",
                status="03_BUILD",
                owner="BUILDER",
            ),
        ),
        "stage": 1,
        "agent": "BUILDER",
        "workspace": str(root),
        "home": str(root),
        "workflow": "workflows/work-order.md",
        "workflow_text": WORKFLOW,
        "settings": {"agent": settings.model_dump(mode="json"), "board": BOARD},
        "demands": (Demand(text="`a.txt` exists", checks=("file-exists",), source="w.md:7"),),
        "log": str(root / ".orchestrate" / "logs" / "WO-001" / "stage-1-attempt-1.jsonl"),
    }
    return Job.model_validate({**known, **fields})


def events(of: Job) -> list[dict[str, Any]]:
    """What the log of a job holds."""
    return [json.loads(line) for line in Path(of.log).read_text(encoding="utf-8").splitlines()]


def program(name: str) -> str | None:
    """The real program of that name: where `make agents` put it, else on the path."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = os.environ.get("ORCHESTRATE_TEST_CLIS") or cache / "orchestrate" / "agents"
    places = [f"{folder}/node_modules/.bin", os.environ["PATH"]]
    return shutil.which(name, path=os.pathsep.join(places))
