"""Taking USER's answers and wishes, from the file or from the command line (DESIGN 2.2, 7)."""

from __future__ import annotations

from orchestrator.approvals import request
from orchestrator.approvals.request import Answer, AnswerRefusedError, ApprovalRequest
from orchestrator.approvals.request_builder import (
    build_checkpoint_request,
    build_exception_request,
    list_stopped_statements,
    open_request,
    rebuild_request,
    stored_request,
)
from orchestrator.domain import machine
from orchestrator.domain.agent import Outcome, Report
from orchestrator.domain.record import Flow, Question, QuestionKind, State
from orchestrator.domain.states import Event, FolderRole, wish
from orchestrator.errors import IllegalMoveError
from orchestrator.family.family import Additions
from orchestrator.family.session import Case
from orchestrator.storage.history import now

#: keys beside the status that belong to an answer and go with it
_BESIDE = ("accept", "target")


def _taken() -> Additions:
    """The wish in the status line is being carried out."""
    return Additions(drop=_BESIDE, over_wishes=True)


def record_answer(case: Case, answer: str, **fields: object) -> None:
    """Write USER's act into the history."""
    base: dict[str, object] = {
        "question": None,
        "stage": case.flow.stage,
        "words": "",
        "attempts": {},
    }
    case.family.history.append("answer", **{**base, "answer": answer, "by": "USER", **fields})


# -- from the files --------------------------------------------------------------------------


def apply_requested_statuses(case: Case) -> list[str]:
    """Take what a person wrote into status lines; returns why something was not taken."""
    wishes = case.family.wishes()
    if not wishes:
        return []
    try:
        answer = _answer_in_files(case, wishes)
        if answer is not None:
            apply_answer(case, answer)
            return []
        return _other_wishes(case, wishes)
    except AnswerRefusedError as exc:
        case.tell("notice", exc.in_a_line, stage=case.flow.stage)
        return [exc.message, *([exc.hint] if exc.hint else [])]


def _answer_in_files(case: Case, wishes: dict[str, str]) -> Answer | None:
    if case.flow.question is None:
        return None
    parent = case.plan.parent
    sent_back = tuple(
        m
        for m, status in wishes.items()
        if m != parent and request.verb_of(status) == "changes_requested"
    )
    verb = _verb(case, wishes.get(parent, ""))
    if sent_back:
        verb = "changes_requested"
    if verb is None:
        return None
    ticket = case.family.ticket(parent)
    accept, unproven = request.accept_names(ticket.meta.get("accept"))
    words = request.words_under_user(ticket.body, case.flow.question.number)
    target = str(ticket.meta.get("target") or "")
    return Answer(verb, words, accept, unproven, target, sent_back)


def _verb(case: Case, status: str) -> str | None:
    verb = request.verb_of(status)
    final = case.flow.question is not None and case.flow.question.stage == case.plan.last.number
    if verb is None and final and case.board.folders.role_of_status(status) is FolderRole.COMPLETE:
        return "approved"
    return verb


def _other_wishes(case: Case, wishes: dict[str, str]) -> list[str]:
    """Wishes that answer no question; what cannot be carried out is explained."""
    return [
        _explain(case, member, status)
        for member, status in wishes.items()
        if not _carried_out(case, member, status)
    ]


def _carried_out(case: Case, member: str, status: str) -> bool:
    """Carry out one wish, if USER may wish it from where the member is."""
    role = case.board.folders.role_of_status(status)
    place = case.flow.members[member]
    event = wish(place.at, role) if role is not None else None
    if role is FolderRole.QA and case.flow.state is State.NEEDS_PERSON:
        _done_by_person(case, member)
    elif event is Event.HOLD:
        reason = str(case.family.ticket(member).meta.get("hold_reason") or "held by USER")
        hold_member(case, member, reason)
    elif event is Event.RESUME and role is place.held_from:
        resume_family(case)
    elif member != case.plan.parent or event is None or event is Event.RESUME:
        return False
    else:
        apply_event(case, event, role)
    return True


def resume_family(case: Case) -> None:
    """USER lets a held family go on. Raises IllegalMoveError if it is not held."""
    if case.flow.members[case.plan.parent].at is FolderRole.BACKLOG:
        return apply_event(case, Event.UNSHELVE, FolderRole.TRIAGE)
    after = _resting(machine.resume(case.flow, case.plan), case.plan.parent)
    record_answer(case, "resume")
    return case.commit(after, "resumed by USER", _taken())


#: where a parent lies → what its family is, whatever it was held from
_RESTING = {
    FolderRole.COMPLETE: State.COMPLETE,
    FolderRole.ARCHIVE: State.ARCHIVED,
    FolderRole.BACKLOG: State.HELD,
}


def _resting(after: Flow, parent: str) -> Flow:
    """What was held while it rested goes back to its rest, not to work."""
    state = _RESTING.get(after.members[parent].at)
    if state is None:
        return after
    return after.evolve(state=state, reason="shelved by USER" if state is State.HELD else "")


_BEGINS_AGAIN = {State.HELD: "resume", State.COMPLETE: "reopen", State.ARCHIVED: "reopen"}


def require_active(flow: Flow, parent: str) -> None:
    """Raise IllegalMoveError, naming the command that begins again, if the family rests."""
    command = _BEGINS_AGAIN.get(flow.state)
    if command is not None:
        raise IllegalMoveError(
            f"{parent} is {flow.state.value}", hint=f"orchestrate {command} {parent}"
        )


def apply_event(case: Case, event: Event, target: FolderRole | None = None) -> None:
    """Archive, shelve, unshelve or reopen the family. Raises IllegalMoveError."""
    flow, plan = case.flow, case.plan
    if event is Event.UNSHELVE:
        after = machine.unshelve(flow, plan, target or FolderRole.TRIAGE)
    else:
        act = {
            Event.ARCHIVE: machine.archive,
            Event.SHELVE: machine.shelve,
            Event.REOPEN: machine.reopen,
        }[event]
        after = act(flow, plan)
    record_answer(case, event.value)
    taken = Additions(drop=_BESIDE, over_wishes=True, hold_reason=after.reason)
    case.commit(after, f"{_DONE[event]} by USER", taken)


_DONE = {
    Event.ARCHIVE: "archived",
    Event.SHELVE: "shelved",
    Event.UNSHELVE: "taken from the backlog",
    Event.REOPEN: "reopened",
}


def _done_by_person(case: Case, member: str) -> None:
    """A person did what the agent could not, and hands over in the agent's place."""
    stage = case.plan.stage(case.flow.stage)
    report = Report(outcome=Outcome.DONE, log=("done by a person",))
    case.family.history.append(
        "report",
        stage=stage.number,
        attempt=case.flow.attempt(stage.number),
        agent="USER",
        ticket=member,
        outcome=report.outcome.value,
        artifacts=[],
        report=report.model_dump(mode="json"),
    )
    after = machine.person_did(case.flow, case.plan)
    case.commit(after, f"{member} done by a person", _taken())


def _explain(case: Case, member: str, status: str) -> str:
    place = case.flow.members[member]
    ticket = case.family.ticket(member)
    if request.verb_of(status) == "approved" and member != case.plan.parent:
        why = f"an approval belongs into {case.plan.parent}, not into a child"
    elif case.flow.question is not None and member == case.plan.parent:
        why = "the open question takes APPROVED, CHANGES_REQUESTED or HOLD"
    elif request.verb_of(status) == "approved":
        why = "no question is open, so there is nothing to approve"
    elif place.at is FolderRole.HOLD and place.held_from is not None:
        why = f"it is on HOLD; to resume it, set {case.board.folders.for_role(place.held_from)}"
    else:
        why = f"USER cannot take it there from {place.at}"
    where = ticket.path.relative_to(case.root)
    return f"{where}: status `{status}` of {member} is not taken: {why}"


# -- one answer ------------------------------------------------------------------------------


def apply_answer(case: Case, answer: Answer) -> None:
    """Take an answer to the open question.

    Raises AnswerRefusedError if it cannot be taken, IllegalMoveError if the family rests.
    """
    question = case.flow.question
    if question is None:
        require_active(case.flow, case.plan.parent)
        if answer.verb == "changes_requested":
            return _send_back(case, answer, None)
        raise AnswerRefusedError(
            "no question is open", hint=f"orchestrate status {case.plan.parent}"
        )
    if answer.verb == "hold":
        return hold_member(case, case.plan.parent, answer.words or "held by USER at a question")
    if answer.verb == "changes_requested":
        return _send_back(case, answer, question)
    _approve(case, answer, question)
    return None


def _approve(case: Case, answer: Answer, question: Question) -> None:
    sheet = stored_request(case, question.digest)
    if sheet is None:
        return _ask_again(case, question, ["the question's record is not whole"])
    changed = request.describe_differences(sheet, rebuild_request(case, sheet))
    if changed and question.kind is not QuestionKind.WORKFLOW:
        return _ask_again(case, question, changed)
    accepted = request.resolve_acceptances(sheet, answer)
    record_answer(
        case,
        "approved",
        question=question.number,
        stage=question.stage,
        digest=question.digest,
        words=answer.words,
        accepted=list(accepted),
        accept_unproven=answer.accept_unproven,
        target=sheet.target,
        via=answer.via,
        kind=question.kind.value,
        attempt=case.flow.attempt(question.stage),
    )
    after = machine.approve(case.flow, case.plan, now(), target=sheet.target, accepted=accepted)
    if question.kind is QuestionKind.WORKFLOW:
        after = machine.repin(after, case.plan, case.workflow.sha256)
    additions = Additions(drop=_BESIDE, over_wishes=True)
    if answer.words and answer.via != "file":
        additions.section(case.plan.parent, _words_section(question, "APPROVED", answer.words))
    case.commit(after, f"question {question.number} approved by USER", additions)
    return None


def _ask_again(case: Case, question: Question, changed: list[str]) -> None:
    """The answer would cover what was not shown: it is not taken; the question is asked anew."""
    case.family.history.append(
        "lapse", question=question.number, stage=question.stage, changed=changed
    )
    stage = case.plan.stage(question.stage)
    old = stored_request(case, question.digest)
    case.commit(
        machine.withdraw(case.flow, case.plan),
        f"question {question.number} withdrawn",
        Additions(drop=_BESIDE, over_wishes=True),
    )
    open_request(case, stage, _fresh(case, question, old, changed), drop=_BESIDE)
    raise AnswerRefusedError(
        "the answer is not taken, because what it would cover has changed: " + "; ".join(changed),
        hint="the question is asked again; read it and answer that one",
        code="answer-stale",
    )


def _fresh(
    case: Case, question: Question, old: ApprovalRequest | None, changed: list[str]
) -> ApprovalRequest:
    stage = case.plan.stage(question.stage)
    if question.kind is QuestionKind.CHECKPOINT:
        return build_checkpoint_request(case, stage, changed)
    statements = old.statements if old else ()
    if question.kind is QuestionKind.EXCEPTION:
        statements = list_stopped_statements(case, stage)
    why = old.why if old else ""
    return build_exception_request(case, stage, question.kind, why, statements, changed)


def _send_back(case: Case, answer: Answer, question: Question | None) -> None:
    stage = case.plan.stage(question.stage if question else case.flow.stage)
    # a stage that stopped is sent back alone, unless USER names somebody
    stopped = question is not None and question.kind is QuestionKind.EXCEPTION
    makes = case.plan.part(stage) in ("maker", "provider", "triager")
    only = stage if stopped and makes and not answer.members else None
    named = answer.members or (
        case.plan.members(stage, case.flow)
        if only
        else machine.sent_back_by_default(case.flow, case.plan, stage)
    )
    for member in named:
        if member not in case.flow.members:
            raise AnswerRefusedError(
                f"{member} is not of this family",
                hint=f"members: {', '.join(case.flow.members)}",
            )
    if not answer.words.strip():
        raise AnswerRefusedError(
            "a send-back needs USER's words: what has to change",
            hint='--note "…", or words under `### USER` in the question\'s section',
        )
    after = machine.send_back(case.flow, case.plan, named, only)
    record_answer(
        case,
        "changes_requested",
        question=question.number if question else None,
        stage=stage.number,
        words=answer.words,
        members=list(named),
        attempts={str(k): v for k, v in after.attempts.items()},
        via=answer.via,
    )
    additions = Additions(drop=_BESIDE, over_wishes=True)
    for member in named:
        additions.section(member, _back_section(stage.label, after.revision, answer.words))
    case.commit(after, f"sent back by USER: {', '.join(named)}", additions)


def _back_section(label: str, revision: int, words: str) -> str:
    quoted = "\n".join(f"> {line}" for line in words.splitlines())
    return f"## SENT BACK by USER at {label} (revision {revision})\n\n{quoted}\n"


def _words_section(question: Question, verdict: str, words: str) -> str:
    quoted = "\n".join(f"> {line}" for line in words.splitlines())
    return f"### USER {verdict} question {question.number}\n\n{quoted}\n"


def hold_member(case: Case, member: str, reason: str) -> None:
    """USER holds a member and with it the family. Raises IllegalMoveError if it is held already."""
    place = case.flow.members[member]
    if place.at is FolderRole.HOLD:
        raise IllegalMoveError(f"{member} is on HOLD already", hint=f"orchestrate resume {member}")
    record_answer(case, "hold", words=reason, members=[member])
    after = machine.hold(case.flow, case.plan, member, reason)
    case.commit(
        after,
        f"held by USER: {member}",
        Additions(drop=_BESIDE, over_wishes=True, hold_reason=reason),
    )
