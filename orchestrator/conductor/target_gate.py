"""The gate of a stage that may look at the target: an inspection after effects."""

from __future__ import annotations

from orchestrator.approvals.effects import open_runner
from orchestrator.approvals.request_builder import stored_request
from orchestrator.domain.workflow import Stage
from orchestrator.family.session import Case
from orchestrator.gates.checks import Phase
from orchestrator.gates.receipts import Receipt


def prove_gate(case: Case, stage: Stage) -> tuple[Receipt, ...]:
    """A stage's receipts; what is judged on the target too where effects ran there before."""
    name = _target_before(case, stage) if case.plan.part(stage) == "inspector" else ""
    if not name:
        return tuple(case.prove(stage, (Phase.CONTENT,)))
    runner = open_runner(name, case.root, case.settings.model_dump(mode="json"))
    try:
        return tuple(case.prove(stage, (Phase.CONTENT, Phase.EFFECT), target=runner.target))
    finally:
        runner.close()


def _target_before(case: Case, stage: Stage) -> str:
    """The target of the latest effects before a stage, "" if none ran."""
    done = [a for a in case.flow.approvals if a.effects_done and a.stage < stage.number]
    for approval in sorted(done, key=lambda a: a.stage, reverse=True):
        sheet = stored_request(case, approval.digest)
        if sheet is not None and sheet.target:
            return sheet.target
    return ""
