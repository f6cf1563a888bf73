"""Jobs for BUILDER in workspaces of their own, from the workflow in `fixtures/builder`."""

from __future__ import annotations

import shutil
from pathlib import Path

from orchestrate_agents.specification.stage import StageSpec
from orchestrator.domain.agent import Job, MemberInfo
from orchestrator.domain.workflow import Workflow
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Result, Services
from orchestrator.gates.loading import load_checks
from orchestrator.workflow_reader.parser import read_workflow_text

FIXTURES = Path(__file__).parent / "fixtures" / "builder"
WORKFLOW = FIXTURES / "heart-registry.md"
TICKET = "board/WO-640b.md"
FAMILY = (MemberInfo(id="WO-640b", path=TICKET, status="03_BUILD", owner="BUILDER"),)


def lay_out(root: Path, text: str = "") -> Job:
    """A workspace with the ticket alone, and BUILDER's job in it."""
    (root / "board").mkdir(parents=True)
    shutil.copy(FIXTURES / "WO-640b.md", root / TICKET)
    return Job(
        ticket="WO-640b",
        parent="WO-640",
        family=FAMILY,
        stage=2,
        agent="BUILDER",
        workspace=str(root),
        workflow="heart-registry.md",
        workflow_text=text or WORKFLOW.read_text(encoding="utf-8"),
    )


def workflow() -> Workflow:
    return read_workflow_text(WORKFLOW.read_text(encoding="utf-8"), WORKFLOW)


def site(root: Path) -> StageSpec:
    ticket = (FIXTURES / "WO-640b.md").read_text(encoding="utf-8")
    return StageSpec(root, workflow(), workflow().stage(2), ticket)


def judge(root: Path, statement: str, services: Services | None = None) -> list[Result]:
    """The results of a statement's claims, as the gate would have them. Every claim must bind."""
    flow = workflow()
    with services or Services() as shared:
        context = Context(
            root=root,
            ticket="WO-640b",
            workflow=flow,
            stage=flow.stage(2),
            family=FAMILY,
            services=shared,
        )
        results = []
        for binding in Binder(load_checks(None)).bind(statement):
            assert binding.check is not None, binding.problem
            results.append(binding.check.function(context, **binding.arguments))
        return results
