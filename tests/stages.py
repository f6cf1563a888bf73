"""Small workflows for tests, written where they are used."""

from __future__ import annotations

from pathlib import Path

from orchestrator.domain.workflow import Deliverable, Stage
from orchestrator.workflow_reader.parser import read_workflow_text


def text_of(*stages: str, head: str = "") -> str:
    return head + "\n\n".join(stages) + "\n"


def one_stage(body: str, heading: str = "## STAGE 1: BUILDER — Build") -> Stage:
    return read_workflow_text(f"{heading}\n\n{body}\n", Path("w.md")).stages[0]


def paths(stage: Stage) -> list[str]:
    return [d.path for d in stage.deliverables]


def by_path(stage: Stage) -> dict[str, Deliverable]:
    return {d.path: d for d in stage.deliverables}
