"""Building approval requests from a family as it is today, and opening them (DESIGN 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from orchestrator.approvals.changed_file import ChangedFile
from orchestrator.approvals.changed_files import (
    changed_files_block,
    diff_files,
    list_changed_files,
    list_notes,
)
from orchestrator.approvals.effects import bind_effects
from orchestrator.approvals.judging import (
    current_receipts,
    judge_all,
    list_unread,
    opened_runner,
    summaries_to_show,
)
from orchestrator.approvals.landings import landing_effects
from orchestrator.approvals.proposed import open_proposals
from orchestrator.approvals.request import (
    ApprovalRequest,
    render_request,
)
from orchestrator.domain import machine
from orchestrator.domain.record import QuestionKind
from orchestrator.domain.workflow import Stage
from orchestrator.family.additions import Additions, tick_boxes
from orchestrator.family.beside import session_at
from orchestrator.family.session import ProgressKind, Session
from orchestrator.gates.checks import Phase, Verdict
from orchestrator.gates.receipts import ReceiptSummary, newest_receipts, summarize_by_text
from orchestrator.storage.history import now

#: keys next to the status that belong to an answer, and are removed with it
ANSWER_KEYS = ("accept", "target")


def _summarize(session: Session, stages: Sequence[int]) -> tuple[ReceiptSummary, ...]:
    receipts = newest_receipts(session.family.history, stages)
    return summarize_by_text(receipts.values(), session.flow.accepted)


def build_checkpoint_request(
    session: Session, stage: Stage, changed: Sequence[str] = (), *, again: bool = False
) -> ApprovalRequest:
    """The request of a checkpoint: what happened since the checkpoint before it.

    `again`: everything is proven again, not only what certainly changed.
    """
    checkpoints = [s.number for s in session.plan.stages if s.is_checkpoint]
    earlier = max((n for n in checkpoints if n < stage.number), default=-1)
    stages = [s.number for s in session.plan.stages if earlier < s.number <= stage.number]
    session.refresh(stages, again=again)
    bound = bind_effects(stage, session.workflow, session.root)
    final = stage.number == session.plan.last.number
    effects = (*bound.effects, *(landing_effects(session) if final else ()))
    if final:
        receipts = judge_all(session, stage, effects_ahead=bool(bound.effects), again=again)
        statements = summaries_to_show(session, receipts, earlier)
    else:
        statements = _summarize(session, stages)
    not_read, without_criteria = list_unread(session) if final else ((), ())
    name, words, identity, configuration = "", "", "", ""
    remarks: tuple[str, ...] = ()
    if bound.effects:
        name = session.settings.database.target
        with opened_runner(session, name) as runner:
            words, remarks = runner.describe(), runner.remarks(bound.effects)
            identity, configuration = runner.identity(), runner.configuration(bound.effects)
            statements = _foresee_failures(session, statements, runner.foresee(bound.effects))
    artifacts = session.family.history.artifacts()
    return ApprovalRequest(
        number=session.flow.asked + 1,
        stage=stage.number,
        kind=QuestionKind.CHECKPOINT.value,
        label=f"USER CHECKPOINT #{stage.checkpoint}: {stage.title}",
        workflow=session.workflow.sha256,
        attempts={str(n): session.flow.attempt(n) for n in stages},
        statements=statements,
        artifacts={
            p: session.sha(p)
            for p, origin in artifacts.items()
            if origin["stage"] in stages and origin["state"] != "deleted"
        },
        effects=effects,
        inputs={path: session.sha(path) for e in bound.effects for path in e.inputs},
        target=name,
        target_words=words,
        identity=identity,
        configuration=configuration,
        by_user=tuple(text for text, _ in bound.by_user),
        remarks=remarks,
        changed=tuple(changed),
        final=final,
        not_read=not_read,
        without_criteria=without_criteria,
        files=list_changed_files(session.changes, session.settings),
        notes=list_notes(session.changes),
        proposed=open_proposals(session.family.history),
    )


def _foresee_failures(
    session: Session,
    statements: tuple[ReceiptSummary, ...],
    foreseen: tuple[Any, Any] | None,
) -> tuple[ReceiptSummary, ...]:
    """The statements, with why those that the effects cannot fulfil are known to fail."""
    if foreseen is None:
        return statements
    waiting = {s.key for s in statements if s.verdict == Verdict.PENDING}
    numbers = [s.number for s in session.plan.stages]
    reported: dict[str, str] = {}
    for key, receipt in newest_receipts(session.family.history, numbers).items():
        if key not in waiting:
            continue
        lacking, enough = (
            [c.result for c in proof.claims if c.result.verdict is Verdict.FAILED]
            for target in foreseen
            for proof in session.gate.prove(
                [receipt.statement],
                session.context(session.plan.stage(receipt.stage), target),
                (Phase.EFFECT,),
            )
        )
        if lacking and not enough:
            reported[key] = "; ".join(dict.fromkeys(result.detail for result in lacking))
    return tuple(replace(s, forecast=reported.get(s.key, "")) for s in statements)


def build_exception_request(
    session: Session,
    stage: Stage,
    kind: QuestionKind,
    why: str,
    statements: Sequence[ReceiptSummary],
    changed: Sequence[str] = (),
) -> ApprovalRequest:
    """A request that no checkpoint planned."""
    session = session_at(session, stage)
    artifacts = session.family.history.artifacts()
    paths = sorted(
        p
        for p, origin in artifacts.items()
        if origin["stage"] == stage.number and origin["state"] != "deleted"
    )
    return ApprovalRequest(
        number=session.flow.asked + 1,
        stage=stage.number,
        kind=kind.value,
        label=f"USER QUESTION at {stage.label}",
        workflow=session.workflow.sha256,
        attempts={str(stage.number): session.flow.attempt(stage.number)},
        statements=tuple(statements),
        artifacts={p: session.sha(p) for p in paths},
        why=why,
        changed=tuple(changed),
        files=_changed_files(session, kind),
        notes=list_notes(session.changes),
        proposed=open_proposals(session.family.history),
    )


def _changed_files(session: Session, kind: QuestionKind) -> tuple[ChangedFile, ...]:
    """The family's changes; before them the workflow, where that is what USER is asked about."""
    files = list_changed_files(session.changes, session.settings)
    if kind is not QuestionKind.WORKFLOW:
        return files
    pinned, today = session.flow.sha256, session.workflow.sha256
    workflow = ChangedFile(
        session.flow.workflow,
        "edited",
        ("file", pinned),
        ("file", today),
        warning="the workflow of this family",
    )
    return (workflow, *(f for f in files if f.path != workflow.path))


def list_stopped_statements(session: Session, stage: Stage) -> tuple[ReceiptSummary, ...]:
    """As they are today: a stopped stage's statements, and those for which it was sent back."""
    session = session_at(session, stage)
    record = session.family.history.latest("failure")
    sent_back = record if record is not None and stage.number in record["stages"] else None
    session.refresh(sorted({stage.number, sent_back["stage"]} if sent_back else {stage.number}))
    found = {s.text: s for s in _summarize(session, [stage.number])}
    if sent_back:
        named = {f["statement"] for f in sent_back["findings"]}
        found |= {s.text: s for s in _summarize(session, [sent_back["stage"]]) if s.text in named}
    return tuple(found.values())


def open_request(session: Session, stage: Stage, request: ApprovalRequest) -> None:
    """Ask USER: the request goes into the history, its section into the parent's file."""
    history = session.family.history
    # "sheet": the history of 0.1.0 calls it so
    history.announce("question", digest=request.digest, sheet=request.to_dict())
    for member, status in session.family.requested_statuses().items():
        # a status written while agents ran does not answer what was not asked yet (7.6)
        text = f"status `{status}` of {member} was written before the question; answer it again"
        history.append("notice", to="USER", text=text, stage=session.flow.stage)
        session.report_progress(ProgressKind.NOTICE, text, stage=session.flow.stage)
    # nor do keys that somebody, maybe an agent, wrote for an answer before
    additions = Additions(drop=ANSWER_KEYS, over_requests=True)
    if request.final:
        tick_boxes(additions, current_receipts(session).values(), session.flow.accepted)
    parent = session.family.ticket(session.plan.parent)
    changes = session_at(session, stage).changes
    block = changed_files_block(diff_files(changes, request.files), request.notes)
    additions.section(parent.id, render_request(request, parent.id, parent.body, block))
    asked = machine.ask(
        session.flow,
        session.plan,
        stage,
        QuestionKind(request.kind),
        request.digest,
        now(),
        tuple(s.text for s in request.failed),
    )
    session.commit(asked, f"question {request.number} at stage {stage.number}", additions, stage)
    session.report_progress(ProgressKind.QUESTION, request.heading, stage=stage.number)


def rebuild_request(session: Session, asked: ApprovalRequest) -> ApprovalRequest:
    """The same request as things are now, to compare it with the one that was shown."""
    if asked.kind == QuestionKind.CHECKPOINT.value:
        fresh = build_checkpoint_request(session, session.plan.stage(asked.stage), again=True)
        if asked.final:
            # it covers every statement there is: one more, or one less, is another question
            return replace(fresh, number=asked.number)
        current = {s.key: s for s in fresh.statements}
        statements = tuple(current.get(s.key, s) for s in asked.statements)
        return replace(fresh, statements=statements, number=asked.number)
    session = session_at(session, session.plan.stage(asked.stage))
    return replace(
        asked,
        workflow=session.workflow.sha256,
        files=_changed_files(session, QuestionKind(asked.kind)),
        artifacts={p: session.sha(p) for p in asked.artifacts},
        inputs={p: session.sha(p) for p in asked.inputs},
        proposed=open_proposals(session.family.history),
    )
