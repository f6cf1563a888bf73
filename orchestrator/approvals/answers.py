"""Judging USER's answers, and carrying out the statuses that USER requests (DESIGN 2.2, 7)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.approvals.judging import stored_request
from orchestrator.approvals.proposed import take_proposals
from orchestrator.approvals.request import ApprovalRequest, describe_differences
from orchestrator.approvals.request_builder import (
    ANSWER_KEYS,
    build_checkpoint_request,
    build_exception_request,
    list_stopped_statements,
    open_request,
    rebuild_request,
)
from orchestrator.approvals.signatures import SignatureError, require_signature
from orchestrator.approvals.sources import SOURCES
from orchestrator.domain import machine
from orchestrator.domain.agent import Outcome, Report
from orchestrator.domain.answer import VIA_FILE, Answer, AnswerVerb, Door, verb_of
from orchestrator.domain.record import Flow, Question, QuestionKind, State
from orchestrator.domain.states import Event, FolderRole, Part, requested_event
from orchestrator.errors import IllegalMoveError, OrchestrateError
from orchestrator.family.additions import Additions
from orchestrator.family.beside import session_at
from orchestrator.family.guarded import may_be_an_agents
from orchestrator.family.session import ProgressKind, Session
from orchestrator.family.untrusted_checks import untrusted_checks
from orchestrator.gates.loading import load_binder
from orchestrator.gates.receipts import ReceiptSummary
from orchestrator.markdown.near_misses import meant
from orchestrator.storage.history import now

#: what a status may say to a question, for whom misspells it
_ANSWERS = tuple(verb.value.upper() for verb in AnswerVerb)
#: where a parent is → the state of its family, whatever it was held from
_RESTING = {
    FolderRole.COMPLETE: State.COMPLETE,
    FolderRole.ARCHIVE: State.ARCHIVED,
    FolderRole.BACKLOG: State.HELD,
}
#: state → the command by which work begins again
_BEGINS_AGAIN = {State.HELD: "resume", State.COMPLETE: "reopen", State.ARCHIVED: "reopen"}
_FILE = Door(VIA_FILE)
_DONE = {
    Event.ARCHIVE: "archived",
    Event.SHELVE: "shelved",
    Event.UNSHELVE: "taken from the backlog",
    Event.REOPEN: "reopened",
}


class AnswerRefusedError(OrchestrateError):
    """An answer that cannot be taken as it is; the request stays open."""

    code = "answer-refused"


def record_answer(session: Session, answer: str, **fields: object) -> None:
    """Put what USER did into the history, together with the transition that comes of it."""
    record: dict[str, object] = {
        "question": None,
        "stage": session.flow.stage,
        "words": "",
        "attempts": {},
        "answer": answer,
        "by": "USER",
    }
    session.family.history.announce("answer", **{**record, **fields})


def _carried_out(hold_reason: str = "") -> Additions:
    """With a transition: the requested status and its keys have been carried out."""
    return Additions(drop=ANSWER_KEYS, over_requests=True, hold_reason=hold_reason)


# -- requested statuses ----------------------------------------------------------------------

#: what is said of a status in a file, which anybody could have written
_NOT_NOW = (
    "a status is not taken while an agent that is not confined works on this board, as it could "
    "have written it; answer by command, or when that has ended"
)


def apply_requested_statuses(session: Session) -> list[str]:
    """Take an answer that has arrived, else the statuses that a person wrote into the tickets.

    Returns why something was not taken.
    """
    try:
        if doubled := [*_statuses_twice(session)]:
            return doubled
        for source in SOURCES:
            answer = source.read_answer(session)
            if answer is not None:
                if answer.via == VIA_FILE and may_be_an_agents(session.board.root):
                    return [_NOT_NOW]
                apply_answer(session, answer)
                return []
        requested = session.family.requested_statuses()
        if requested and may_be_an_agents(session.board.root):
            return [_NOT_NOW]
        return [
            _explain_refusal(session, member, status)
            for member, status in requested.items()
            if not _carry_out_status(session, member, status)
        ]
    except (AnswerRefusedError, SignatureError) as exc:
        session.report_progress(ProgressKind.NOTICE, exc.in_a_line, stage=session.flow.stage)
        return [exc.message, *([exc.hint] if exc.hint else [])]


def _statuses_twice(session: Session) -> Iterator[str]:
    """Why nothing is taken of a ticket that gives two statuses: either may be what is meant."""
    for member in session.family.requested_statuses():
        ticket = session.family.ticket(member)
        where = ticket.path.relative_to(session.board.root)
        for line, said, last in ticket.contradictions("status"):
            yield (
                f"{where}:{line}: `{said}` and `{last}` of {member} contradict each other, "
                "and neither is taken: remove one"
            )


def _carry_out_status(session: Session, member: str, status: str) -> bool:
    """Carry out one requested status, if USER may request it from where the member is."""
    folders, place = session.board.folders, session.flow.members[member]
    role = folders.role_of_status(status)
    if place.held_from is not None and folders.says(status, place.held_from):
        # it may share its word with another state
        role = place.held_from
    event = requested_event(place.at, role) if role is not None else None
    if role is FolderRole.QA and session.flow.state is State.NEEDS_PERSON:
        _hand_over_for_agent(session, member)
    elif event is Event.HOLD:
        reason = str(session.family.ticket(member).meta.get("hold_reason") or "held by USER")
        hold_member(session, member, reason, via=VIA_FILE)
    elif event is Event.RESUME and role is place.held_from:
        resume_family(session)
    elif member != session.plan.parent or event is None or event is Event.RESUME:
        return False
    else:
        apply_event(session, event, role)
    return True


def _hand_over_for_agent(session: Session, member: str) -> None:
    """A person did what the agent could not, and hands over in its place."""
    number = session.flow.stage
    worked = session_at(session, session.plan.stage(number))
    worker = worked.worker_of(session.plan.stage(number))
    worked.changes.settle(worker, worked.places_to_look_at())
    report = Report(outcome=Outcome.DONE, log=("done by a person",))
    session.family.history.append(
        "report",
        stage=number,
        attempt=session.flow.attempt(number),
        agent="USER",
        ticket=member,
        outcome=report.outcome.value,
        artifacts=[],
        report=report.model_dump(mode="json"),
    )
    after = machine.person_did(session.flow, session.plan)
    session.commit(after, f"{member} done by a person", _carried_out())


def _explain_refusal(session: Session, member: str, status: str) -> str:
    place = session.flow.members[member]
    approves = verb_of(status) is AnswerVerb.APPROVED
    if approves and member != session.plan.parent:
        why = f"an approval belongs in {session.plan.parent}, not in a child"
    elif session.flow.question is not None and member == session.plan.parent:
        why = "the open question takes APPROVED, CHANGES_REQUESTED or HOLD"
    elif approves:
        why = "no question is open, so there is nothing to approve"
    elif place.at is FolderRole.HOLD and place.held_from is not None:
        why = f"it is on HOLD; to resume it, set {session.board.folders.wish_for(place.held_from)}"
    else:
        why = f"USER cannot move it there from {place.at}"
    where = session.family.ticket(member).path.relative_to(session.board.root)
    near = meant(status, _ANSWERS if session.flow.question is not None else ())
    guess = f"; did you mean `{near}`?" if near else ""
    return f"{where}: status `{status}` of {member} is not taken: {why}{guess}"


# -- what USER can do without a request --------------------------------------------------------


def require_active(flow: Flow, parent: str) -> None:
    """Raise IllegalMoveError, naming the command that begins again, if the family rests."""
    command = _BEGINS_AGAIN.get(flow.state)
    if command is not None:
        raise IllegalMoveError(
            f"{parent} is {flow.state.value}", hint=f"orchestrate {command} {parent}"
        )


def hold_member(session: Session, member: str, reason: str, **fields: object) -> None:
    """Hold a member and with it the family. Raises IllegalMoveError if it is held already."""
    if session.flow.members[member].at is FolderRole.HOLD:
        raise IllegalMoveError(f"{member} is on HOLD already", hint=f"orchestrate resume {member}")
    record_answer(session, AnswerVerb.HOLD, words=reason, members=[member], **fields)
    after = machine.hold(session.flow, session.plan, member, reason)
    session.commit(after, f"held by USER: {member}", _carried_out(reason))


def resume_family(session: Session, door: Door = _FILE) -> None:
    """Let a held family continue. Raises IllegalMoveError if it is not held."""
    if session.flow.members[session.plan.parent].at is FolderRole.BACKLOG:
        return apply_event(session, Event.UNSHELVE, FolderRole.TRIAGE, door)
    after = machine.resume(session.flow, session.plan)
    # what was held while it rested goes back to its rest, not to work
    state = _RESTING.get(after.members[session.plan.parent].at)
    if state is not None:
        reason = "shelved by USER" if state is State.HELD else ""
        after = after.evolve(state=state, reason=reason)
    record_answer(session, "resume", via=door.via, by=door.by)
    return session.commit(after, "resumed by USER", _carried_out())


def apply_event(
    session: Session, event: Event, target: FolderRole | None = None, door: Door = _FILE
) -> None:
    """Archive, shelve, unshelve or reopen the family. Raises IllegalMoveError."""
    flow, plan = session.flow, session.plan
    match event:
        case Event.UNSHELVE:
            after = machine.unshelve(flow, plan, target or FolderRole.TRIAGE)
        case Event.ARCHIVE:
            after = machine.archive(flow, plan)
        case Event.SHELVE:
            after = machine.shelve(flow, plan)
        case _:
            begun_anew = session.family.history.is_begun_anew
            after = machine.reopen(machine.archive(flow, plan) if begun_anew else flow, plan)
    record_answer(session, event.value, via=door.via, by=door.by)
    session.commit(after, f"{_DONE[event]} by USER", _carried_out(after.reason))


# -- one answer ------------------------------------------------------------------------------


def apply_answer(session: Session, answer: Answer) -> None:
    """Judge an answer, whichever door it came through, and carry it out.

    Raises AnswerRefusedError if it cannot be taken, IllegalMoveError if the family rests.
    """
    question = session.flow.question
    if answer.digest and (question is None or question.digest != answer.digest):
        raise AnswerRefusedError(
            "the question that was shown is no longer open",
            hint="read what is asked now, and answer that",
            code="answer-stale",
        )
    if question is None:
        require_active(session.flow, session.plan.parent)
        if answer.verb is not AnswerVerb.CHANGES_REQUESTED:
            raise AnswerRefusedError(
                "no question is open", hint=f"orchestrate status {session.plan.parent}"
            )
        return _send_back(session, answer, None)
    match answer.verb:
        case AnswerVerb.HOLD:
            reason = answer.words or "held by USER at a question"
            return hold_member(session, session.plan.parent, reason, by=answer.by, via=answer.via)
        case AnswerVerb.CHANGES_REQUESTED:
            return _send_back(session, answer, question)
        case _:
            return _approve(session, answer, question)


def _approve(session: Session, answer: Answer, question: Question) -> None:
    request = stored_request(session, question.digest)
    if request is None:
        return _ask_again(session, question, ["the question's record is damaged"])
    changed = describe_differences(request, rebuild_request(session, request))
    if changed:
        return _ask_again(session, question, changed)
    signer = require_signature(session, answer, question.digest)
    accepted = resolve_acceptances(request, answer)
    if request.proposed:
        take_proposals(session.board.root, session.family.history, request.proposed)
        session.binder = load_binder(session.board.root, untrusted_checks(session.family))
    record_answer(
        session,
        answer.verb,
        question=question.number,
        stage=question.stage,
        digest=question.digest,
        words=answer.words,
        accepted=list(accepted),
        accept_unproven=answer.accept_unproven,
        target=request.target,
        via=answer.via,
        by=signer or answer.by,
        **({"signature": answer.signature} if signer else {}),
        kind=question.kind.value,
        attempt=session.flow.attempt(question.stage),
    )
    after = machine.approve(
        session.flow, session.plan, now(), target=request.target, accepted=accepted
    )
    if question.kind is QuestionKind.WORKFLOW:
        after = machine.repin(after, session.plan, session.workflow.sha256)
    stage = session.plan.stage(question.stage)
    event = f"question {question.number} approved by USER"
    return session.commit(after, event, _carried_out(), stage)


def resolve_acceptances(request: ApprovalRequest, answer: Answer) -> tuple[str, ...]:
    """The failed statements that an approval accepts, by the names that the record keeps.

    Raises AnswerRefusedError if it leaves a failed or an unproven statement open, names one that
    is missing or ambiguous, or does not name the target.
    """
    accepted = {_find_failed(request, name).name: None for name in answer.accept}
    still_failed = [s for s in request.failed if s.name not in accepted]
    if still_failed:
        raise AnswerRefusedError(
            f"{len(still_failed)} failed statement(s) are not accepted: "
            + "; ".join(f"“{s.shown}” ({s.detail})" for s in still_failed),
            hint='accept each by name (--accept "…", or `accept: ["…"]` next to the status), '
            "or send back, or hold",
        )
    if request.unproven and not answer.accept_unproven:
        raise AnswerRefusedError(
            f"{len(request.unproven)} statement(s) are unproven: "
            + "; ".join(f"“{s.shown}”" for s in request.unproven),
            hint="accept them with --accept-unproven, or `accept: unproven` next to the status",
        )
    if request.on_target and request.target != "embedded" and answer.target != request.target:
        raise AnswerRefusedError(
            f"approving writes to {request.target_words}; the answer has to name it",
            hint=f"--target {request.target}, or `target: {request.target}` next to the status",
        )
    return tuple(accepted)


def _find_failed(request: ApprovalRequest, name: str) -> ReceiptSummary:
    """The failed statement with this whole text (case, quotes and spaces aside) or receipt id."""

    def plain(text: str) -> str:
        return re.sub(r"[\s`*“”\"']+", " ", text).strip().casefold()

    for statement in request.failed:
        if plain(name) in (plain(statement.text), plain(statement.shown), statement.receipt):
            return statement
    raise AnswerRefusedError(
        f"“{name}” is not among the failed statements",
        hint="accept takes the whole text: "
        + ("; ".join(f"“{s.shown}”" for s in request.failed) or "none failed"),
    )


def _ask_again(session: Session, question: Question, changed: list[str]) -> None:
    """The answer would cover what was not shown: it is not taken; the question is asked again."""
    ask_again(session, question, changed)
    raise AnswerRefusedError(
        "the answer is not taken, because what it would cover has changed: " + "; ".join(changed),
        hint="the question is asked again; read it and answer that one",
        code="answer-stale",
    )


def ask_again(session: Session, question: Question, changed: list[str]) -> None:
    """Put a new question in the place of one that covers what has changed."""
    session.family.history.append(
        "lapse", question=question.number, stage=question.stage, changed=changed
    )
    stage = session.plan.stage(question.stage)
    old = stored_request(session, question.digest)
    withdrawn = machine.withdraw(session.flow, session.plan)
    session.commit(withdrawn, f"question {question.number} withdrawn", _carried_out())
    if question.kind is QuestionKind.CHECKPOINT:
        fresh = build_checkpoint_request(session, stage, changed)
    else:
        statements = old.statements if old else ()
        if question.kind is QuestionKind.EXCEPTION:
            statements = list_stopped_statements(session, stage)
        why = old.why if old else ""
        fresh = build_exception_request(session, stage, question.kind, why, statements, changed)
    open_request(session, stage, fresh)


def _send_back(session: Session, answer: Answer, question: Question | None) -> None:
    stage = session.plan.stage(question.stage if question else session.flow.stage)
    # a stage that stopped is sent back alone, unless USER names somebody
    stopped = question is not None and question.kind is QuestionKind.EXCEPTION
    makes = session.plan.part(stage) in (Part.MAKER, Part.PROVIDER, Part.TRIAGER)
    only = stage if stopped and makes and not answer.members else None
    members = answer.members or (
        session.plan.members(stage, session.flow)
        if only
        else session.plan.sent_back_by_default(stage, session.flow)
    )
    for member in members:
        if member not in session.flow.members:
            raise AnswerRefusedError(
                f"{member} does not belong to this family",
                hint=f"members: {', '.join(session.flow.members)}",
            )
    if not answer.words.strip():
        raise AnswerRefusedError(
            "a send-back needs USER's words: what has to change",
            hint='--note "…", or words under `### USER` in the question\'s section',
        )
    after = machine.send_back(session.flow, session.plan, members, only)
    record_answer(
        session,
        answer.verb,
        question=question.number if question else None,
        stage=stage.number,
        words=answer.words,
        members=list(members),
        attempts={str(k): v for k, v in after.attempts.items()},
        via=answer.via,
        by=answer.by,
    )
    additions = _carried_out()
    heading = f"## SENT BACK by USER at {stage.label} (revision {after.revision})"
    for member in members:
        additions.section(member, f"{heading}\n\n{_quote(answer.words)}\n")
    session.commit(after, f"sent back by USER: {', '.join(members)}", additions)


def _quote(words: str) -> str:
    return "\n".join(f"> {line}" for line in words.splitlines())
