"""The gate of a stage that may look at the target: an inspection after effects."""

from __future__ import annotations

from orchestrator.approvals.effects import open_runner
from orchestrator.approvals.request_builder import stored_request
from orchestrator.domain.states import Part
from orchestrator.domain.workflow import Stage
from orchestrator.family.session import Session
from orchestrator.gates.checks import Phase
from orchestrator.gates.receipts import Receipt


def prove_gate(session: Session, stage: Stage) -> tuple[Receipt, ...]:
    """A stage's receipts; what is judged on the target too where effects ran there before."""
    name = _target_before(session, stage) if session.plan.part(stage) is Part.INSPECTOR else ""
    if not name:
        return tuple(session.prove(stage, (Phase.CONTENT,)))
    runner = open_runner(name, session.root, session.settings.model_dump(mode="json"))
    try:
        return tuple(session.prove(stage, (Phase.CONTENT, Phase.EFFECT), target=runner.target))
    finally:
        runner.close()


def _target_before(session: Session, stage: Stage) -> str:
    """The target of the latest effects before a stage, "" if none ran."""
    done = [a for a in session.flow.approvals if a.effects_done and a.stage < stage.number]
    for approval in sorted(done, key=lambda a: a.stage, reverse=True):
        sheet = stored_request(session, approval.digest)
        if sheet is not None and sheet.target:
            return sheet.target
    return ""
