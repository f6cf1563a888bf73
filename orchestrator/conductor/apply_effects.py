"""After an approval: the effects from frozen bytes on the named target, then the expectations."""

from __future__ import annotations

import shutil
from pathlib import Path

from orchestrator.approvals.effects import Effect, EffectResult, open_runner
from orchestrator.approvals.request import ApprovalRequest
from orchestrator.approvals.request_builder import (
    build_exception_request,
    open_request,
    stored_request,
)
from orchestrator.domain import machine
from orchestrator.domain.record import Approval, QuestionKind, State
from orchestrator.domain.states import Part
from orchestrator.domain.workflow import Stage
from orchestrator.errors import OrchestrateError
from orchestrator.family.family import Additions
from orchestrator.family.session import Session
from orchestrator.gates.checks import Phase, Verdict
from orchestrator.gates.receipts import Receipt
from orchestrator.storage.atomic import sha256_file
from orchestrator.storage.history import now


def apply(session: Session, stage: Stage) -> None:
    """Run what the approval of a checkpoint lists, prove its expectations, and close the stage."""
    approval = session.flow.approval(stage.number)
    assert approval is not None
    sheet = stored_request(session, approval.digest)
    if sheet is None:
        session.commit(machine.lapse(session.flow, session.plan, stage.number), "approval lapsed")
        return
    if (
        sheet.effects
        and not approval.effects_done
        and not _run_effects(session, stage, sheet, approval)
    ):
        return
    _close(session, stage, sheet)


# -- effects ---------------------------------------------------------------------------------


def frozen_folder(session: Session, digest: str) -> Path:
    return session.root / ".orchestrate" / "state" / "frozen" / digest[:32]


def freeze(session: Session, sheet: ApprovalRequest) -> Path:
    """A copy of the approved bytes, and nothing else. Raises OrchestrateError if they are gone."""
    folder = frozen_folder(session, sheet.digest)
    if folder.exists():
        shutil.rmtree(folder)
    for path, sha in sheet.inputs.items():
        source = session.inside(path)
        if sha == "absent":
            continue
        copy = folder / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
        if sha256_file(copy) != sha:
            raise OrchestrateError(
                "is not what was approved", path=source, code="not-approved", hint="run again"
            )
    return folder


def _run_effects(
    session: Session, stage: Stage, sheet: ApprovalRequest, approval: Approval
) -> bool:
    folder = freeze(session, sheet)
    session.commit(
        session.flow.evolve(revision=session.flow.revision + 1, state=State.EFFECTS),
        f"effects of stage {stage.number} begin",
    )
    runner = open_runner(sheet.target, session.root, session.settings.model_dump(mode="json"))
    try:
        session.tell("notice", f"effects run on {runner.describe()}", stage=stage.number)
        for number, effect in enumerate(sheet.effects, 1):
            if _ran_before(session, sheet.digest, number):
                continue
            result = _run_one(session, stage, sheet, number, effect, runner.run(effect, folder))
            if not result.ok:
                _ask_about(session, stage, sheet, number, effect, result)
                return False
    finally:
        runner.close()
    session.commit(
        machine.effects_done(session.flow, session.plan, stage.number),
        f"effects of stage {stage.number} done",
    )
    return True


def _ran_before(session: Session, digest: str, number: int) -> bool:
    record = session.family.history.latest("effect", digest=digest, number=number)
    return record is not None and bool(record["ok"])


def _run_one(
    session: Session,
    stage: Stage,
    sheet: ApprovalRequest,
    number: int,
    effect: Effect,
    result: EffectResult,
) -> EffectResult:
    session.family.history.append(
        "effect",
        stage=stage.number,
        digest=sheet.digest,
        number=number,
        kind=effect.kind,
        title=effect.title,
        target=sheet.target,
        on=sheet.target_words,
        inputs={p: sheet.inputs.get(p, "") for p in effect.inputs},
        ok=result.ok,
        detail=result.detail,
        figures=dict(result.figures),
        output=result.output[-4000:],
    )
    verdict = "proven" if result.ok else "failed"
    session.tell("effect", f"{effect.title} — {result.detail}", stage=stage.number, verdict=verdict)
    return result


def _ask_about(
    session: Session,
    stage: Stage,
    sheet: ApprovalRequest,
    number: int,
    effect: Effect,
    result: EffectResult,
) -> None:
    ran = [e.title for e in sheet.effects[: number - 1]]
    why = (
        f"The effect “{effect.title}” failed on {sheet.target_words}: {result.detail}\n\n"
        f"Run before it: {'; '.join(ran) or 'nothing'}. Not run: "
        f"{'; '.join(e.title for e in sheet.effects[number:]) or 'nothing'}.\n\n"
        "Approving tries it again, from the same approved bytes."
    )
    open_request(
        session, stage, build_exception_request(session, stage, QuestionKind.EFFECT, why, ())
    )


# -- expectations and the end ----------------------------------------------------------------


def _close(session: Session, stage: Stage, sheet: ApprovalRequest) -> None:
    final = stage.number == session.plan.last.number
    failing = _expectations(session, stage, sheet)
    if failing is not None:
        open_request(session, stage, failing)
        return
    additions = Additions()
    additions.section(session.plan.parent, _closing_section(session, stage, sheet, final))
    if final:
        session.commit(machine.complete(session.flow, session.plan, stage), "complete", additions)
    else:
        done = machine.finish(session.flow, session.plan, stage)
        session.commit(done, f"checkpoint {stage.checkpoint} passed", additions)
    session.judge(stage, (Phase.POSITION,))


def _expectations(session: Session, stage: Stage, sheet: ApprovalRequest) -> ApprovalRequest | None:
    """Prove what was to be judged on the target or by the answer; the question to ask, if any."""
    receipts = _judge(session, stage, sheet)
    failing = session.failing(receipts)
    unproven = [r for r in receipts if r.verdict is Verdict.UNPROVEN and r.key not in _seen(sheet)]
    if not failing and not unproven:
        return None
    why = "After the effects, these expectations are not met."
    return build_exception_request(
        session,
        stage,
        QuestionKind.COUNTS,
        why,
        [r.summarize(session.flow.accepted) for r in (*failing, *unproven)],
    )


def _seen(sheet: ApprovalRequest) -> set[str]:
    """Statements that USER has taken unproven at the checkpoint itself."""
    return {s.key for s in sheet.unproven}


def _judge(session: Session, stage: Stage, sheet: ApprovalRequest) -> list[Receipt]:
    """What waits for the answer or the target: this stage's, and the inspections' before it."""
    phases = (Phase.ANSWER, Phase.EFFECT)
    if not sheet.effects:
        return session.judge(stage, phases)
    runner = open_runner(sheet.target, session.root, session.settings.model_dump(mode="json"))
    try:
        earlier = [s for s in session.plan.stages if s.number < stage.number]
        inspections = [s for s in earlier if session.plan.part(s) is Part.INSPECTOR]
        return [
            receipt
            for judged in (stage, *inspections)
            for receipt in session.judge(judged, phases, target=runner.target)
        ]
    finally:
        runner.close()


def _closing_section(session: Session, stage: Stage, sheet: ApprovalRequest, final: bool) -> str:
    """What the ticket says at the end of a checkpoint: the effects with their figures."""
    records = [r for r in session.family.history.of("effect") if r["digest"] == sheet.digest]
    if not records and not final:
        return ""
    lines = [f"## {'COMPLETE' if final else 'DONE'}: {stage.title}", ""]
    lines += [f"- {r['title']} — {r['detail']}" for r in records if r["ok"]]
    accepted = [name.rsplit(" @", 1)[0] for name in session.flow.accepted]
    lines += [f"- accepted by USER though not met: {name}" for name in accepted]
    lines += [
        "",
        f"Closed {now()} by USER's answer; every receipt is in "
        f"`{session.family.history.path.relative_to(session.root)}`.",
    ]
    return "\n".join(lines) + "\n"
