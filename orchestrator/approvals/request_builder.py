"""Asking USER: what a question shows today, and whether an answer still covers it (DESIGN 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from orchestrator.approvals import request
from orchestrator.approvals.effects import Bound, bind_effects, open_runner
from orchestrator.approvals.request import ApprovalRequest, Shown
from orchestrator.domain import machine
from orchestrator.domain.record import Approval, QuestionKind
from orchestrator.domain.workflow import Stage
from orchestrator.family.family import Additions
from orchestrator.family.session import Case
from orchestrator.gates.checks import SEVERITY, Verdict
from orchestrator.gates.receipts import Receipt
from orchestrator.storage.history import now


def since_last_checkpoint(case: Case, stage: Stage) -> list[int]:
    """The stages whose statements a checkpoint shows: those after the checkpoint before it."""
    earlier = [s.number for s in case.plan.stages if s.is_checkpoint and s.number < stage.number]
    return [
        s.number for s in case.plan.stages if max(earlier, default=-1) < s.number <= stage.number
    ]


def shown(case: Case, stages: Sequence[int]) -> tuple[Shown, ...]:
    """The newest stored receipts of these stages, as a question shows them.

    A statement that stands in the workflow and in a ticket is shown once, with its worst verdict.
    """
    found: dict[str, Shown] = {}
    for record in case.stored_receipts(stages):
        statement = record["statement"]
        key = f"{statement['ticket'] or statement['source']}:{statement['text']}"
        digest = _subject_digest(record)
        accepted = (
            record["verdict"] == Verdict.FAILED.value
            and request.accepted_name(statement["text"], digest) in case.flow.accepted
        )
        one = Shown(
            statement["text"],
            record["verdict"],
            record["detail"],
            record["id"],
            {c["check"]: c["version"] for c in record["claims"] if c["check"]},
            key,
            digest,
            accepted,
        )
        other = found.get(one.text)
        if other is None or _severity(one) < _severity(other):
            found[one.text] = one
    return tuple(found.values())


def _severity(shown: Shown) -> int:
    return SEVERITY.index(Verdict(shown.verdict)) + (0 if not shown.accepted else len(SEVERITY))


def _subject_digest(record: dict[str, Any]) -> str:
    from orchestrator.storage.atomic import sha256_bytes
    from orchestrator.storage.history import canonical

    return sha256_bytes(canonical(record["subjects"]))[:8]


def build_checkpoint_request(
    case: Case, stage: Stage, changed: Sequence[str] = ()
) -> ApprovalRequest:
    """The sheet of a checkpoint as things are now."""
    stages = since_last_checkpoint(case, stage)
    case.refresh(stages)
    bound = bind_effects(stage, case.workflow, case.root)
    target, words, remarks = _target(case, bound)
    artifacts = {
        path: case.sha(path)
        for path, origin in case.family.history.artifacts().items()
        if origin["stage"] in stages
    }
    return ApprovalRequest(
        number=case.flow.asked + 1,
        stage=stage.number,
        kind=QuestionKind.CHECKPOINT.value,
        label=f"USER CHECKPOINT #{stage.checkpoint}: {stage.title}",
        workflow=case.workflow.sha256,
        attempts={str(n): case.flow.attempt(n) for n in stages},
        statements=shown(case, stages),
        artifacts=artifacts,
        effects=bound.effects,
        inputs={path: case.sha(path) for e in bound.effects for path in e.inputs},
        target=target,
        target_words=words,
        by_user=tuple(text for text, _ in bound.by_user),
        remarks=remarks,
        changed=tuple(changed),
        final=stage.number == case.plan.last.number,
    )


def _target(case: Case, bound: Bound) -> tuple[str, str, tuple[str, ...]]:
    if not bound.effects:
        return "", "", ()
    name = case.settings.database.target
    runner = open_runner(name, case.root, case.settings.model_dump(mode="json"))
    try:
        return name, runner.describe(), runner.remarks(bound.effects)
    finally:
        runner.close()


def build_exception_request(
    case: Case,
    stage: Stage,
    kind: QuestionKind,
    why: str,
    statements: Sequence[Shown],
    changed: Sequence[str] = (),
) -> ApprovalRequest:
    """The sheet of a question that no checkpoint planned."""
    paths = [
        p
        for p, origin in case.family.history.artifacts().items()
        if origin["stage"] == stage.number
    ]
    return ApprovalRequest(
        number=case.flow.asked + 1,
        stage=stage.number,
        kind=kind.value,
        label=f"USER QUESTION at {stage.label}",
        workflow=case.workflow.sha256,
        attempts={str(stage.number): case.flow.attempt(stage.number)},
        statements=tuple(statements),
        artifacts={p: case.sha(p) for p in sorted(paths)},
        why=why,
        changed=tuple(changed),
    )


def list_stopped_statements(case: Case, stage: Stage) -> tuple[Shown, ...]:
    """As they are today: a stopped stage's statements, and those for which it was sent back."""
    record = case.family.history.latest("failure")
    sent_back = record is not None and stage.number in record["stages"]
    stages = {stage.number, record["stage"]} if record and sent_back else {stage.number}
    case.refresh(sorted(stages))
    found = {s.text: s for s in shown(case, [stage.number])}
    if record and sent_back:
        named = {f["statement"] for f in record["findings"]}
        found |= {s.text: s for s in shown(case, [record["stage"]]) if s.text in named}
    return tuple(found.values())


def as_shown(case: Case, receipts: Sequence[Receipt]) -> tuple[Shown, ...]:
    return tuple(Shown.of(r, case.is_accepted(r)) for r in receipts)


def open_request(
    case: Case, stage: Stage, sheet: ApprovalRequest, drop: tuple[str, ...] = ()
) -> None:
    """Open the question: the sheet into the history, the section into the parent's file."""
    case.family.history.append("question", digest=sheet.digest, sheet=sheet.to_dict())
    additions = Additions(drop=drop, over_wishes=True)
    _tell_overwritten(case)
    additions.section(case.plan.parent, request.render_request(sheet, case.plan.parent))
    asked = machine.ask(
        case.flow,
        case.plan,
        stage,
        QuestionKind(sheet.kind),
        sheet.digest,
        now(),
        tuple(s.text for s in sheet.failed),
    )
    case.commit(asked, f"question {sheet.number} at stage {stage.number}", additions)
    case.tell("question", f"{sheet.label} — question {sheet.number}", stage=stage.number)


def _tell_overwritten(case: Case) -> None:
    """A status written while agents ran is no answer to a question that was not asked yet (7.6)."""
    for member, status in case.family.wishes().items():
        text = f"status `{status}` of {member} was written before the question; answer it anew"
        case.family.history.append("notice", to="USER", text=text, stage=case.flow.stage)
        case.tell("notice", text, stage=case.flow.stage)


def stored_request(case: Case, digest: str) -> ApprovalRequest | None:
    """The stored sheet of a digest, if it is stored and whole."""
    record = case.family.history.latest("question", digest=digest)
    if record is None:
        return None
    sheet = ApprovalRequest.from_dict(record["sheet"])
    return sheet if sheet.digest == digest else None


def rebuild_request(case: Case, asked: ApprovalRequest) -> ApprovalRequest:
    """The same question as things are now, for comparing."""
    stage = case.plan.stage(asked.stage)
    if asked.kind == QuestionKind.CHECKPOINT.value:
        fresh = build_checkpoint_request(case, stage)
        current = {s.key: s for s in fresh.statements}
        statements = tuple(current.get(s.key, s) for s in asked.statements)
        return replace(fresh, statements=statements, number=asked.number)
    return replace(
        asked,
        workflow=case.workflow.sha256,
        artifacts={p: case.sha(p) for p in asked.artifacts},
        inputs={p: case.sha(p) for p in asked.inputs},
    )


def list_changes_since_approval(case: Case, approval: Approval) -> list[str]:
    """What an approval covered and has changed since, in words; empty while it holds."""
    asked = stored_request(case, approval.digest)
    if asked is None:
        return ["the question that it answered is no longer in the history"]
    changed = []
    if asked.workflow != case.workflow.sha256:
        changed.append("the workflow file has changed")
    for path, sha in {**asked.inputs, **asked.artifacts}.items():
        if (today := case.sha(path)) != sha:
            changed.append(f"`{path}`: sha256 {sha[:12]} is now {today[:12]}")
    if asked.effects and asked.target != case.settings.database.target:
        changed.append(f"the target: {asked.target} is now {case.settings.database.target}")
    return changed
