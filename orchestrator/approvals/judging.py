"""Every statement of a family is judged before the family completes (DESIGN 6.0).

`judge_all` proves at the last question whatever no gate has proven; `find_unsettled` is what
completing depends on: a statement that USER was not shown, that failed or is unproven without being
taken, or that is still to be judged keeps the family from COMPLETE.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from orchestrator.approvals.effects import Runner, open_runner
from orchestrator.approvals.request import ApprovalRequest
from orchestrator.domain.answer import AnswerVerb
from orchestrator.domain.record import Flow, QuestionKind, done_before
from orchestrator.domain.states import Event
from orchestrator.domain.workflow import Stage, Statement
from orchestrator.family.session import Session
from orchestrator.gates.checks import Phase, Verdict, unproven
from orchestrator.gates.receipts import (
    Receipt,
    ReceiptSummary,
    newest_receipts,
    summarize_by_text,
)

#: verdicts that leave nothing open
HOLDS = (Verdict.PROVEN, Verdict.NOT_APPLICABLE)


def stored_request(session: Session, digest: str) -> ApprovalRequest | None:
    """The stored request with a digest; None if it is missing or damaged."""
    request = ApprovalRequest.find(session.family.history, digest)
    return request if request is not None and request.digest == digest else None


@contextmanager
def opened_runner(session: Session, target: str) -> Iterator[Runner]:
    """The runner of a target, closed afterwards. Raises UsageError as `open_runner` does.

    A server that it has started stays for whoever opens the target next in this session.
    """
    settings = session.settings.model_dump(mode="json")
    with closing(open_runner(target, session.board.root, settings)) as runner:
        try:
            yield runner
        finally:
            # only some start a server
            hold: Callable[[], Any] = getattr(runner, "hold", lambda: None)
            if (release := hold()) is not None:
                session.services.share(release, lambda: release, lambda end: end())


@contextmanager
def applied_target(session: Session, before: Stage) -> Iterator[Any]:
    """The target on which the latest effects ran before a stage; None if none ran."""
    done = [a for a in session.flow.approvals if a.effects_done and a.stage < before.number]
    for approval in sorted(done, key=lambda a: a.stage, reverse=True):
        request = stored_request(session, approval.digest)
        if request is not None and request.target:
            with opened_runner(session, request.target) as runner:
                yield runner.target
            return
    yield None


# -- all statements --------------------------------------------------------------------------


def _by_stage(session: Session, last: Stage) -> dict[str, tuple[Stage, Statement]]:
    """Every statement of the family by its key, with the stage that judges it if no gate has."""
    found = {s.key: (stage, s) for stage in session.plan.stages for s in stage.statements}
    others = list(session.workflow.statements)
    for member in session.flow.members:
        others += session.criteria(member).statements
    return {**found, **{s.key: (last, s) for s in others}}


def all_statements(session: Session) -> tuple[Statement, ...]:
    """The statements of the workflow and of every member, each once."""
    return tuple(s for _, s in _by_stage(session, session.plan.last).values())


def current_receipts(session: Session) -> dict[str, Receipt]:
    """The receipts of this round: those of the attempt in hand of each stage."""
    receipts = newest_receipts(session.family.history, [s.number for s in session.plan.stages])
    return {k: r for k, r in receipts.items() if r.attempt == session.flow.attempt(r.stage)}


def judge_all(
    session: Session, last: Stage, *, effects_ahead: bool, again: bool = False
) -> list[Receipt]:
    """Prove what no gate has proven, at the last question; the receipts of all statements.

    With `effects_ahead` what is to be judged on their target stays pending. What the last stage
    says of the answer itself, and of the moves that follow from it, is left out.
    """
    phases = {Phase.CONTENT} if effects_ahead else {Phase.CONTENT, Phase.EFFECT}
    statements = {
        key: (stage, s)
        for key, (stage, s) in _by_stage(session, last).items()
        if s not in last.statements or _is_due(session, s, phases)
    }
    # what tickets demand is about the result: it is proven again where its subject has changed
    session.refresh((), {s.key for _, s in statements.values() if s.ticket}, again=again)
    _prove_missing(session, last, statements, phases)
    known = current_receipts(session)
    receipts = [known[key] for key in statements]
    return receipts if effects_ahead else [_judge_without_target(r) for r in receipts]


def _judge_without_target(receipt: Receipt) -> Receipt:
    """What is to be judged on the target of effects is unproven where none have run or will."""
    claims = tuple(
        replace(c, result=unproven("no effect has run, so there is no target to judge it on"))
        if c.phase is Phase.EFFECT and c.result.verdict is Verdict.PENDING
        else c
        for c in receipt.claims
    )
    return replace(receipt, claims=claims)


def _is_due(session: Session, statement: Statement, phases: set[Phase]) -> bool:
    bound = session.binder.bind(statement.text)
    return any(b.check is None or b.check.phase in phases for b in bound)


def _prove_missing(
    session: Session,
    last: Stage,
    statements: Mapping[str, tuple[Stage, Statement]],
    phases: set[Phase],
) -> None:
    known = current_receipts(session)
    missing: dict[int, list[Statement]] = {}
    for key, (stage, statement) in statements.items():
        receipt = known.get(key)
        if receipt is None or _is_pending(receipt, phases):
            missing.setdefault(stage.number, []).append(statement)
    if missing:
        before, _ = done_before(session.family.history.records)
        with applied_target(session, last) as target:
            for number, found in missing.items():
                due = phases | {Phase.POSITION} if number in before else phases
                session.prove_all(session.plan.stage(number), found, due, target=target)


def judge_positions(session: Session, last: Stage) -> None:
    """Judge what is still pending about where the tickets are, now that they are there."""
    known = current_receipts(session)
    pending = [s for s in all_statements(session) if s.key in known and _waits(known[s.key])]
    session.prove_all(last, pending, (Phase.POSITION,))


def _waits(receipt: Receipt) -> bool:
    return _is_pending(receipt, {Phase.POSITION})


def _is_pending(receipt: Receipt, phases: set[Phase]) -> bool:
    return any(c.result.verdict is Verdict.PENDING and c.phase in phases for c in receipt.claims)


def list_unread(session: Session) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Lines that look like criteria and are not read, and the members that have no criterion."""
    found = {member: session.criteria(member) for member in session.flow.members}
    unread = tuple(u.describe(member) for member, c in found.items() for u in c.unread)
    return unread, tuple(member for member, c in found.items() if not c.demanded)


# -- what USER has answered ------------------------------------------------------------------


@dataclass(frozen=True)
class Answered:
    """What the approvals of this round cover."""

    #: the texts of all statements that were shown
    shown: frozenset[str]
    #: those that USER took though they were unproven or never judged
    taken: frozenset[str]
    #: (text, verdict) as shown
    verdicts: frozenset[tuple[str, str]]


def what_is_answered(session: Session) -> Answered:
    """What USER was shown and approved since the family was begun or reopened.

    An approval that lapsed or was withdrawn covers nothing.
    """
    approved: list[tuple[ApprovalRequest, bool]] = []
    for record in session.family.history.of("answer"):
        if record["answer"] == Event.REOPEN.value:
            approved.clear()
        elif record["answer"] == AnswerVerb.APPROVED and record.get("digest"):
            request = stored_request(session, record["digest"])
            if request is not None:
                approved.append((request, bool(record.get("accept_unproven"))))
    standing = {a.digest for a in session.flow.approvals}
    checkpoint = QuestionKind.CHECKPOINT.value
    approved = [(r, t) for r, t in approved if r.kind != checkpoint or r.digest in standing]
    statements = [s for request, _ in approved for s in request.statements]
    return Answered(
        frozenset(s.text for s in statements),
        frozenset(s.text for request, taken in approved if taken for s in request.unproven),
        frozenset((s.text, s.verdict) for s in statements),
    )


def summaries_to_show(
    session: Session, receipts: Sequence[Receipt], since: int
) -> tuple[ReceiptSummary, ...]:
    """All statements for the last question, but those answered unchanged at an earlier one.

    `since` is the number of the checkpoint before.
    """
    answered = what_is_answered(session).verdicts
    shown = [
        r
        for r in receipts
        if r.stage > since
        or r.statement.ticket
        or (r.statement.text, r.verdict.value) not in answered
    ]
    return summarize_by_text(shown, session.flow.accepted)


# -- the gate before COMPLETE ----------------------------------------------------------------


def find_unsettled(
    session: Session, last: Stage, after: Flow, *, target: Any = None
) -> list[ReceiptSummary]:
    """The statements that keep a family from COMPLETE, as USER has to be shown them.

    What was pending is judged now: by USER's answer, on the `target`, and for positions by where
    the tickets will be in the record `after`.
    """
    judge_all(session, last, effects_ahead=True)
    statements = _by_stage(session, last)
    _prove_missing(session, last, statements, set())
    known, phases = current_receipts(session), {Phase.ANSWER, Phase.EFFECT}
    receipts = [known[key] for key in statements]
    pending = [r.statement for r in receipts if _is_pending(r, phases)]
    session.prove_all(last, pending, phases, target=target)
    known = current_receipts(session)
    receipts = [known[r.key] for r in receipts]
    moving = [r for r in receipts if _waits(r)]
    foreseen = {r.key: r for r in _foresee(session, last, moving, after)}
    receipts = [foreseen.get(r.key, r) for r in receipts]
    answered = what_is_answered(session)
    # the workflow is pinned: none of its statements can be new to USER
    planned = {r.statement.text for r in receipts if not r.statement.ticket}
    return [
        replace(s, verdict=Verdict.UNPROVEN.value) if s.verdict == Verdict.PENDING else s
        for s in summarize_by_text(receipts, session.flow.accepted)
        if not _is_settled(s, answered, planned)
    ]


def _is_settled(summary: ReceiptSummary, answered: Answered, planned: Container[str]) -> bool:
    if summary.accepted or summary.verdict in HOLDS:
        return summary.text in answered.shown or summary.text in planned
    return summary.verdict != Verdict.FAILED and summary.text in answered.taken


def _foresee(
    session: Session, stage: Stage, receipts: Sequence[Receipt], after: Flow
) -> list[Receipt]:
    """The receipts as they will be when the tickets are where `after` has them.

    The tickets' files are written into a folder of their own; nothing is stored.
    """
    if not receipts:
        return []
    with TemporaryDirectory(prefix="orchestrate-") as folder:
        members = []
        for info in session.family.members():
            path, data = session.family.foresee(info.id, after)
            file = Path(folder) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            place = after.members[info.id]
            at = place.at.value
            changed = {"path": path.as_posix(), "status": at, "owner": place.owner, "place": at}
            members.append(info.model_copy(update=changed))
        context = replace(
            session.context(stage), root=Path(folder), home=None, family=tuple(members)
        )
        earlier = {r.key: r for r in receipts}
        statements = [r.statement for r in receipts]
        found = session.gate.prove(statements, context, (Phase.POSITION,), earlier)
        # the other claims' subjects lie in the workspace
        return [replace(new, subjects=earlier[new.key].subjects) for new in found]
