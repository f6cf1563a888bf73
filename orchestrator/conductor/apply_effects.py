"""After an approval: the effects from frozen bytes on the named target, then the expectations."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from orchestrator.approvals.effects import Effect, EffectResult, Runner, effect_forms
from orchestrator.approvals.judging import (
    applied_target,
    current_receipts,
    find_unsettled,
    judge_positions,
    opened_runner,
    stored_request,
    what_is_answered,
)
from orchestrator.approvals.landings import run_landing
from orchestrator.approvals.lapsing import lapse_approval, list_changes_before_effects
from orchestrator.approvals.request import ApprovalRequest
from orchestrator.approvals.request_builder import (
    build_exception_request,
    open_request,
)
from orchestrator.domain import machine
from orchestrator.domain.record import QuestionKind, State
from orchestrator.domain.states import Part
from orchestrator.domain.workflow import Stage, Statement, StatementKind
from orchestrator.errors import OrchestrateError
from orchestrator.family.additions import Additions, tick_boxes
from orchestrator.family.session import ProgressKind, Session
from orchestrator.gates.checks import Phase, Verdict
from orchestrator.gates.receipts import Receipt
from orchestrator.git.command import GitError
from orchestrator.storage.atomic import sha256_file
from orchestrator.storage.history import now
from orchestrator.workspaces.landing import LAND, LandingError

#: what is looked at on every target that effects have changed, whatever the workflow says of it
_AS_APPROVED = "The target is what was approved"


def apply_approval(session: Session, stage: Stage) -> None:
    """Run what the approval of a checkpoint lists, prove its expectations, close the stage."""
    approval = session.flow.approval(stage.number)
    assert approval is not None
    request = stored_request(session, approval.digest)
    if request is None:
        after = machine.lapse(session.flow, session.plan, stage.number)
        session.commit(after, "approval lapsed")
        return
    if request.effects and not approval.effects_done:
        try:
            changed = list_changes_before_effects(session, request)
        except LandingError as exc:
            _ask_about_failure(session, stage, exc.message)
            return
        if changed:
            lapse_approval(session, approval, changed)
            return
        if not _run_effects(session, stage, request):
            return
    failing, unproven = _judge_expectations(session, stage, request)
    if failing or unproven:
        why = "After the effects, these expectations are not met."
        shown = [r.summarize(session.flow.accepted) for r in (*failing, *unproven)]
        question = build_exception_request(session, stage, QuestionKind.COUNTS, why, shown)
        open_request(session, stage, question)
        return
    final = stage.number == session.plan.last.number
    additions = Additions()
    additions.section(session.plan.parent, _render_closing(session, stage, request, final))
    if final:
        if not _complete(session, stage, request, additions):
            return
    else:
        after = machine.finish(session.flow, session.plan, stage)
        session.commit(after, f"checkpoint {stage.checkpoint} passed", additions, stage)
        session.judge(stage, (Phase.POSITION,))


def _complete(
    session: Session, stage: Stage, request: ApprovalRequest, additions: Additions
) -> bool:
    """Complete the family, unless a statement is open: that is put to USER (DESIGN 6.0)."""
    with contextlib.ExitStack() as stack:
        if request.on_target:
            target = stack.enter_context(opened_runner(session, request.target)).target
        else:
            target = stack.enter_context(applied_target(session, stage))
        after = machine.foresee_complete(session.flow, session.plan, stage)
        unsettled = find_unsettled(session, stage, after, target=target)
    if unsettled:
        why = "Before the family can be complete: your answer does not cover these statements."
        question = build_exception_request(session, stage, QuestionKind.COUNTS, why, unsettled)
        open_request(session, stage, question)
        return False
    taken = what_is_answered(session).taken
    tick_boxes(additions, current_receipts(session).values(), session.flow.accepted, taken)
    done = machine.complete(session.flow, session.plan, stage, [s.text for s in unsettled])
    checkout = session.checkout
    session.commit(done, "complete", additions, stage)
    session.changes.forget()
    if checkout is not None:
        with contextlib.suppress(GitError):
            checkout.remove()
    judge_positions(session, stage)
    return True


# -- effects ---------------------------------------------------------------------------------


def _freeze_inputs(session: Session, request: ApprovalRequest) -> Path:
    """A copy of the approved bytes, and nothing else. Raises OrchestrateError if they differ."""
    folder = session.board.root / ".orchestrate" / "state" / "frozen" / request.digest[:32]
    if folder.exists():
        shutil.rmtree(folder)
    for path, sha in request.inputs.items():
        source = session.inside(path)
        if sha == "absent":
            continue
        copy = folder / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
        if sha256_file(copy) != sha:
            raise OrchestrateError(
                "not what was approved", path=source, code="not-approved", hint="run again"
            )
    return folder


def _require_frozen(folder: Path, request: ApprovalRequest) -> None:
    """Raise OrchestrateError unless the copy still holds the approved bytes, and nothing else."""
    wanted = {path: sha for path, sha in request.inputs.items() if sha != "absent"}
    found = {
        file.relative_to(folder).as_posix(): "link" if file.is_symlink() else sha256_file(file)
        for file in folder.rglob("*")
        if file.is_symlink() or not file.is_dir()
    }
    for path in sorted({*wanted, *found}):
        if wanted.get(path) != found.get(path):
            raise OrchestrateError(
                "the frozen copy of what was approved was changed",
                path=folder / path,
                code="not-approved",
                hint="run again: it is copied afresh",
            )


def _run_effects(session: Session, stage: Stage, request: ApprovalRequest) -> bool:
    """Run the effects that have not run yet; one that fails is put to USER."""
    folder = _freeze_inputs(session, request)
    flow, history = session.flow, session.family.history
    begun = flow.evolve(revision=flow.revision + 1, state=State.EFFECTS)
    session.commit(begun, f"effects of stage {stage.number} begin", stage=stage)
    with contextlib.ExitStack() as stack:
        runner: Runner | None = None
        if request.on_target:
            runner = stack.enter_context(opened_runner(session, request.target))
            text = f"effects run on {runner.describe()}"
            session.report_progress(ProgressKind.NOTICE, text, stage=stage.number)
        for number, effect in enumerate(request.effects, 1):
            before = history.latest("effect", digest=request.digest, number=number)
            if before is not None and before["ok"]:
                continue
            open_end = _find_open_end(session, request, number, effect)
            if open_end is not None:
                _ask_about_effect(session, stage, request, number, open_end)
                return False
            _require_frozen(folder, request)
            history.append("effect-begins", digest=request.digest, number=number)
            if effect.kind == LAND:
                title = session.family.ticket(session.plan.parent).title
                result = run_landing(session, request, title)
            else:
                assert runner is not None
                result = runner.run(effect, folder)
            _record_effect(session, stage, request, number, result)
            if not result.ok:
                _ask_about_effect(session, stage, request, number, f"failed: {result.detail}")
                return False
    after = machine.effects_done(session.flow, session.plan, stage.number)
    session.commit(after, f"effects of stage {stage.number} done", stage=stage)
    return True


def _find_open_end(
    session: Session, request: ApprovalRequest, number: int, effect: Effect
) -> str | None:
    """How an earlier run of an effect ended, if it may not be run again before USER was told.

    A process was killed while it ran, or before it could ask. None if it has not begun, USER has
    been asked since, or twice is known to come to the same as once.
    """
    begun, ended, asked = 0, None, 0
    for at, record in enumerate(
        session.family.history.of("effect-begins", "effect", "question"), 1
    ):
        if record["type"] == "question":
            asked = at if record["sheet"]["kind"] == QuestionKind.EFFECT.value else asked
        elif record["digest"] == request.digest and record["number"] == number:
            begun, ended = (at, None) if record["type"] == "effect-begins" else (begun, record)
    if begun <= asked or _may_repeat(session, request, effect):
        return None
    if ended is not None:
        return f"failed: {ended['detail']}"
    return (
        "was interrupted: it began, and nothing says that it ended. It may have done all, some or "
        "nothing of its work, and nothing proves that a second run is harmless. Look at what is "
        "there first"
    )


def _may_repeat(session: Session, request: ApprovalRequest, effect: Effect) -> bool:
    """Whether a second run is known to come to the same: by its kind, or proven of its input."""
    # a landing goes on where it was interrupted
    if effect.read_only or effect.kind == LAND:
        return True
    form = next((form for form in effect_forms() if form.kind == effect.kind), None)
    if form is None or form.repeatable:
        return form is not None
    path = effect.inputs[0] if effect.inputs else ""
    return any(
        claim.check in form.repeatable_by
        and claim.result.verdict is Verdict.PROVEN
        and receipt.subjects.get(path, "") == request.inputs.get(path)
        for receipt in current_receipts(session).values()
        for claim in receipt.claims
    )


def _ask_about_effect(
    session: Session, stage: Stage, request: ApprovalRequest, number: int, ended: str
) -> None:
    """Tell USER how an effect ended, and what is known to have run."""
    effect, titles = request.effects[number - 1], [e.title for e in request.effects]
    where = f" on {request.target_words}" if effect.kind != LAND else ""
    why = (
        f"The effect “{effect.title}”{where} {ended.rstrip('.')}.\n\n"
        f"Run before it: {'; '.join(titles[: number - 1]) or 'nothing'}. "
        f"Not run: {'; '.join(titles[number:]) or 'nothing'}.\n\n"
        "Approving runs it again, from the same approved bytes."
    )
    _ask_about_failure(session, stage, why)


def _ask_about_failure(session: Session, stage: Stage, why: str) -> None:
    question = build_exception_request(session, stage, QuestionKind.EFFECT, why, ())
    open_request(session, stage, question)


def _record_effect(
    session: Session, stage: Stage, request: ApprovalRequest, number: int, result: EffectResult
) -> None:
    effect = request.effects[number - 1]
    session.family.history.append(
        "effect",
        stage=stage.number,
        digest=request.digest,
        number=number,
        kind=effect.kind,
        title=effect.title,
        target=request.target,
        on=request.target_words,
        inputs={p: request.inputs.get(p, "") for p in effect.inputs},
        ok=result.ok,
        detail=result.detail,
        figures=dict(result.figures),
        output=result.output[-4000:],
    )
    session.report_progress(
        ProgressKind.EFFECT,
        f"{effect.title} — {result.detail}",
        stage=stage.number,
        verdict=(Verdict.PROVEN if result.ok else Verdict.FAILED).value,
    )


# -- expectations and the end ----------------------------------------------------------------


def _judge_expectations(
    session: Session, stage: Stage, request: ApprovalRequest
) -> tuple[list[Receipt], list[Receipt]]:
    """Prove what was to be judged on the target or by the answer: failed, and newly unproven.

    These are the statements of this stage and, after effects, those of the inspections before it.
    """
    phases = (Phase.ANSWER, Phase.EFFECT)
    if request.on_target:
        earlier = [s for s in session.plan.stages if s.number < stage.number]
        inspections = [s for s in earlier if session.plan.part(s) is Part.INSPECTOR]
        comparison = Statement(
            _AS_APPROVED, StatementKind.EXPECTATION, session.flow.workflow, stage.line
        )
        compared = [comparison] if session.phases_of(comparison) else []
        with opened_runner(session, request.target) as runner:
            receipts = session.prove_all(stage, compared, phases, target=runner.target)
            receipts += [
                receipt
                for judged in (stage, *inspections)
                for receipt in session.judge(judged, phases, target=runner.target)
            ]
    else:
        receipts = session.judge(stage, phases)
    taken = what_is_answered(session).taken
    unproven = [
        r for r in receipts if r.verdict is Verdict.UNPROVEN and r.statement.text not in taken
    ]
    return session.failing(receipts), unproven


def _render_closing(session: Session, stage: Stage, request: ApprovalRequest, final: bool) -> str:
    """What the ticket says at the end of a checkpoint: the effects with their figures."""
    history = session.family.history
    records = [r for r in history.of("effect") if r["digest"] == request.digest]
    if not records and not final:
        return ""
    lines = [f"## {'COMPLETE' if final else 'DONE'}: {stage.title}", ""]
    lines += [f"- {r['title']} — {r['detail']}" for r in records if r["ok"]]
    accepted = [name.rsplit(" @", 1)[0] for name in session.flow.accepted]
    lines += [f"- accepted by USER though not met: {name}" for name in accepted]
    lines += [
        "",
        f"Closed {now()} by USER's answer; every receipt is in "
        f"`{history.path.relative_to(session.board.root)}`.",
    ]
    return "\n".join(lines) + "\n"
