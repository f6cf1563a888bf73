"""Approvals that no longer hold: what they covered has changed (DESIGN 7.3, 7.5)."""

from __future__ import annotations

from orchestrator.approvals.changed_files import list_changed_files
from orchestrator.approvals.judging import HOLDS, opened_runner, stored_request
from orchestrator.approvals.landings import bring_up_to_date, changes_of_landing
from orchestrator.approvals.request import (
    ApprovalRequest,
    describe_changed_files,
    describe_settings,
)
from orchestrator.domain import machine
from orchestrator.domain.record import Approval
from orchestrator.family.session import ProgressKind, Session
from orchestrator.gates.receipts import newest_receipts


def list_changes_since_approval(session: Session, approval: Approval) -> list[str]:
    """What an approval covered and has changed since, in words; empty while it holds."""
    asked = stored_request(session, approval.digest)
    if asked is None:
        return ["the question that it answered is no longer in the history"]
    changed = []
    if asked.workflow != session.workflow.sha256:
        changed.append("the workflow file has changed")
    for path, sha in {**asked.inputs, **asked.artifacts}.items():
        if (today := session.sha(path)) != sha:
            changed.append(f"`{path}`: sha256 {sha[:12]} is now {today[:12]}")
    now = {f.path: f for f in list_changed_files(session.changes, session.settings)}
    shown_now = [now[f.path] for f in asked.files if f.path in now]
    changed += describe_changed_files(asked.files, shown_now, {*asked.inputs, *asked.artifacts})
    changed += changes_of_landing(session, asked)
    target = session.settings.database.target
    if asked.on_target and asked.target != target:
        changed.append(f"the target: {asked.target} is now {target}")
    return changed


def list_changes_before_effects(session: Session, asked: ApprovalRequest) -> list[str]:
    """What is not as it was approved, in words, right before the first effect runs.

    Everything that was shown as proven is proven again: a verdict may depend on more than the
    files that its receipt names. Once an effect has begun there is nothing to withdraw. Raises
    LandingError if what is to land conflicts with what its target has become.
    """
    history = session.family.history
    if any(r["digest"] == asked.digest for r in history.of("effect", "effect-begins")):
        return []
    changed = bring_up_to_date(session, asked)
    if asked.on_target:
        with opened_runner(session, asked.target) as runner:
            today = runner.identity(), runner.configuration(asked.on_target)
        changed += describe_settings(asked, *today)
    session.refresh([s.number for s in session.plan.stages], again=True)
    receipts = newest_receipts(session.family.history)
    for shown in asked.statements:
        receipt = receipts.get(shown.key)
        if shown.verdict in HOLDS and (receipt is None or receipt.verdict not in HOLDS):
            now = receipt.verdict.value if receipt else "not judged"
            changed.append(f"“{shown.shown}” was {shown.verdict}, is {now}")
    return changed


def lapse_approval(session: Session, approval: Approval, changed: list[str]) -> None:
    """Withdraw an approval; its checkpoint is asked again, saying what changed."""
    label = session.plan.stage(approval.stage).label
    session.changed = tuple(changed)
    text = f"the approval of {label} lapses: {'; '.join(changed)}"
    session.report_progress(ProgressKind.NOTICE, text)
    session.family.history.append("lapse", stage=approval.stage, changed=changed)
    after = machine.lapse(session.flow, session.plan, approval.stage)
    session.commit(after, f"approval of stage {approval.stage} lapsed")
