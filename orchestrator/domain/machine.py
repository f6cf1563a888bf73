"""The state machine: `decide(flow, plan) -> action` and the transitions of a family; pure.

No clock, file or network here: times and digests come in as arguments, and every move of a ticket
goes through the table of `states`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile

from orchestrator.domain.folders import normal_status
from orchestrator.domain.plan import Plan
from orchestrator.domain.record import Approval, Flow, Place, Question, QuestionKind, State
from orchestrator.domain.states import Event, FolderRole, Part, Who, require
from orchestrator.domain.workflow import Stage
from orchestrator.errors import IllegalMoveError

_R = FolderRole


# -- actions ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """Prove these stages, dispatching their agents where the proof does not hold yet."""

    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Ask:
    """Ask USER at this checkpoint."""

    stage: Stage


@dataclass(frozen=True)
class RunEffects:
    """Run the approved effects of this checkpoint and prove its expectations."""

    stage: Stage


@dataclass(frozen=True)
class Wait:
    """A question is open."""


@dataclass(frozen=True)
class Stop:
    """Held, archived or complete: nothing to do."""


Action = Work | Ask | RunEffects | Wait | Stop


def decide(flow: Flow, plan: Plan) -> Action:
    """What to do next with a family."""
    if flow.state.ended or flow.state is State.HELD:
        return Stop()
    if flow.question is not None:
        return Wait()
    open_stages = [s for s in plan.stages if s.number not in flow.finished]
    if not open_stages:
        return Stop()
    head = open_stages[0]
    if head.is_checkpoint:
        return Ask(head) if flow.approval(head.number) is None else RunEffects(head)
    group: dict[int, Stage] = {}
    for stage in takewhile(lambda stage: not stage.is_checkpoint, open_stages):
        if stage is head or stage.parallel_with in group or head.parallel_with == stage.number:
            group[stage.number] = stage
    return Work(tuple(group.values()))


# -- transitions -----------------------------------------------------------------------------


def _move(place: Place, who: Who, event: Event, target: FolderRole, owner: str = "") -> Place:
    require(who, event, place.at, target)
    return place.evolve(target, owner or place.owner)


def _next(flow: Flow, plan: Plan, **changes: object) -> Flow:
    """The flow one revision later, its `stage` set to the first unfinished one."""
    new = flow.evolve(revision=flow.revision + 1, **changes)
    open_stages = (s.number for s in plan.stages if s.number not in new.finished)
    return new.evolve(stage=next(open_stages, plan.last.number))


def _continue(flow: Flow, plan: Plan, **changes: object) -> Flow:
    """The same for a family that goes on running."""
    return _next(flow, plan, **changes, state=State.RUNNING, reason="")


def start(workflow: str, sha256: str, members: Mapping[str, Place], plan: Plan) -> Flow:
    """A new record; tickets stay where they are, and what was done before is not done again."""
    flow = Flow(workflow=workflow, sha256=sha256, members=dict(members))
    return _next(flow, plan, state=State.RUNNING, finished=plan.done_before(flow))


def begin(flow: Flow, plan: Plan, stages: Iterable[Stage]) -> Flow:
    """Set the members of maker stages going: who still waits is routed to BUILD."""
    members = dict(flow.members)
    for stage in stages:
        for member in plan.members(stage, flow):
            place = members[member]
            lone = member != plan.parent or not plan.children(flow)
            waits = place.at.awaits_build or place.at is _R.INBOX
            if plan.part(stage) is Part.MAKER and waits and lone:
                members[member] = _move(place, Who.TRIAGER, Event.ROUTE, _R.BUILD, stage.agent)
    if members == flow.members and flow.state is State.RUNNING and not flow.reason:
        return flow
    return _continue(flow, plan, members=members)


def finish(flow: Flow, plan: Plan, stage: Stage, births: Mapping[str, str] | None = None) -> Flow:
    """A stage is proven: its members move on. `births`: new child → its agent."""
    members = dict(flow.members)
    part = plan.part(stage)
    if part is Part.TRIAGER:
        members = _triage(flow, plan, stage, births or {})
    elif part in (Part.MAKER, Part.INSPECTOR):
        for member in plan.members(stage, flow):
            place = members[member]
            if any(
                s.number > stage.number and plan.part(s) is part and member in plan.members(s, flow)
                for s in plan.stages
            ):
                continue  # the same part has more to do for it
            if part is Part.MAKER and place.at in (_R.BUILD, _R.DESIGN):
                owner = _declared_owner(stage, member, plan.inspector)
                members[member] = _move(place, Who.MAKER, Event.HAND_OVER, _R.QA, owner)
            elif part is Part.INSPECTOR and place.at is _R.QA:
                members[member] = _move(place, Who.INSPECTOR, Event.PASS, _R.USER_REVIEW, "USER")
            elif part is Part.INSPECTOR and place.at is _R.USER_REVIEW:
                members[member] = place.model_copy(update={"owner": "USER"})
    finished = tuple(sorted({*flow.finished, stage.number}))
    return _continue(flow, plan, members=members, finished=finished)


def _triage(flow: Flow, plan: Plan, stage: Stage, births: Mapping[str, str]) -> dict[str, Place]:
    """The members after triage: the parent is triaged, children are born or released."""
    members = dict(flow.members)
    parent = members[plan.parent]
    if parent.at is _R.INBOX:
        owner = _declared_owner(stage, plan.parent, stage.agent)
        members[plan.parent] = _move(parent, Who.TRIAGER, Event.TRIAGE, _R.TRIAGE, owner)
    elif parent.at.awaits_build or parent.at is _R.BUILD:
        # triaged before it was conducted, or reopened
        owner = _declared_owner(stage, plan.parent, parent.owner)
        members[plan.parent] = parent.model_copy(update={"owner": owner})
    for child, agent in births.items():
        place, birth = members.get(child), initial_role(stage, child)
        if place is None:
            members[child] = Place(at=birth, owner=agent)
        elif place.at is _R.INBOX or (place.at is _R.TRIAGE and birth is _R.BUILD):
            members[child] = _move(place, Who.TRIAGER, Event.BIRTH, _R.BUILD, agent)
        elif place.at.awaits_build:
            # one that was there, or is in a new round
            members[child] = place.model_copy(update={"owner": agent})
    return members


def initial_role(stage: Stage, child: str) -> FolderRole:
    """BUILD, or where the stage says that the child waits (for a checkpoint) first."""
    for move in stage.moves:
        role = normal_status(move.folder) if child in move.members else None
        if role is not None and role.awaits_build:
            return role
    return _R.BUILD


def _declared_owner(stage: Stage, member: str, default: str) -> str:
    """The owner that the stage's own move line gives a member."""
    owners = (move.owner for move in stage.moves if member in move.members and move.owner)
    return next(owners, default)


def fail(flow: Flow, plan: Plan, stage: Stage, blamed: Mapping[str, tuple[int, ...]]) -> Flow:
    """A gate failed. `blamed`: member → the stages that have to be done again.

    Each blamed member returns to its maker with one failure more; at the limit it goes to HOLD.
    """
    members = dict(flow.members)
    struck: list[str] = []
    for member, stages in blamed.items():
        place = members[member].counted()
        owner = plan.stage(stages[0]).agent if stages else place.owner
        if place.failures >= plan.failure_limit:
            held = _move(place, Who.CONDUCTOR, Event.STRIKE_OUT, _R.HOLD, "USER")
            place = held.model_copy(update={"held_from": place.at})
            struck.append(member)
        elif member == plan.parent and plan.children(flow):
            pass  # the parent of children stays where it is
        elif place.at is _R.BUILD:
            place = place.model_copy(update={"owner": owner})
        elif place.at in (_R.QA, _R.USER_REVIEW):
            place = _move(place, Who.GATE, Event.FAIL, _R.BUILD, owner)
        members[member] = place
    reopened = {number for stages in blamed.values() for number in stages}
    state, reason = State.RUNNING, ""
    if struck:
        state, reason = State.HELD, f"failure limit reached: {', '.join(struck)}"
    return _next(
        flow,
        plan,
        members=members,
        attempts=_next_attempts(flow, reopened),
        finished=tuple(n for n in flow.finished if n not in reopened),
        state=state,
        reason=reason,
    )


def _next_attempts(flow: Flow, stages: Iterable[int]) -> dict[int, int]:
    return {**flow.attempts, **{n: flow.attempt(n) + 1 for n in stages}}


def need_person(flow: Flow, plan: Plan, reason: str) -> Flow:
    """An agent cannot do it: a person does. The family stays, and it costs no strike."""
    if flow.state is State.NEEDS_PERSON and flow.reason == reason:
        return flow
    return _next(flow, plan, state=State.NEEDS_PERSON, reason=reason)


def pause(flow: Flow, plan: Plan, reason: str) -> Flow:
    """An agent has to wait for its usage limit to end. The family stays, without a strike."""
    if flow.state is State.PAUSED and flow.reason == reason:
        return flow
    return _next(flow, plan, state=State.PAUSED, reason=reason)


def person_did(flow: Flow, plan: Plan) -> Flow:
    """The person has done what the agent could not; the gate is still to prove it."""
    return _continue(flow, plan)


def ask(
    flow: Flow,
    plan: Plan,
    stage: Stage,
    kind: QuestionKind,
    digest: str,
    at: str,
    failed: tuple[str, ...] = (),
) -> Flow:
    """Open a question: the parent goes to USER_REVIEW; at the last checkpoint the children too."""
    members = dict(flow.members)
    parent = members[plan.parent]
    final = stage.number == plan.last.number
    for member in plan.children(flow) if final and kind is QuestionKind.CHECKPOINT else ():
        if members[member].at not in (_R.USER_REVIEW, _R.HOLD, _R.COMPLETE):
            place = members[member]
            members[member] = _move(place, Who.CONDUCTOR, Event.ASK, _R.USER_REVIEW, "USER")
    if parent.at is _R.USER_REVIEW:
        members[plan.parent] = parent.model_copy(update={"owner": "USER"})
    else:
        members[plan.parent] = _move(parent, Who.CONDUCTOR, Event.ASK, _R.USER_REVIEW, "USER")
    question = Question(
        number=flow.asked + 1,
        stage=stage.number,
        kind=kind,
        digest=digest,
        came_from=parent.at,
        owner_before=parent.owner,
        asked=at,
        failed=failed,
    )
    return _next(
        flow,
        plan,
        members=members,
        question=question,
        asked=flow.asked + 1,
        state=State.WAITING,
        reason=f"question {question.number} at {stage.label}",
    )


def join(flow: Flow, plan: Plan, places: Mapping[str, Place]) -> Flow:
    """Children that came while the family is at its end become members, and wait for USER.

    An approval that did not cover them lapses, unless its effects have run.
    """
    joined = {
        member: place
        if place.at is _R.USER_REVIEW
        else _move(place, Who.CONDUCTOR, Event.ASK, _R.USER_REVIEW, "USER")
        for member, place in places.items()
    }
    last = plan.last.number
    kept = tuple(a for a in flow.approvals if a.stage != last or a.effects_done)
    return _next(flow, plan, members={**flow.members, **joined}, approvals=kept)


def _open_question(flow: Flow) -> Question:
    if flow.question is None:
        raise IllegalMoveError("no question is open", hint="see `orchestrate status`")
    return flow.question


def approve(
    flow: Flow, plan: Plan, at: str, *, target: str = "", accepted: Iterable[str] = ()
) -> Flow:
    """USER approves the open question. A checkpoint's effects and proof are still to come."""
    question = _open_question(flow)
    approvals = flow.approvals
    if question.kind is QuestionKind.CHECKPOINT:
        approval = Approval(
            question=question.number,
            stage=question.stage,
            digest=question.digest,
            at=at,
            target=target,
        )
        approvals = (*(a for a in approvals if a.stage != question.stage), approval)
    names = tuple(dict.fromkeys((*flow.accepted, *accepted)))
    members = _return_parent(flow, plan, question)
    return _continue(
        flow, plan, members=members, question=None, approvals=approvals, accepted=names
    )


def _return_parent(flow: Flow, plan: Plan, question: Question) -> dict[str, Place]:
    """The parent back where it came from; it waits in USER_REVIEW for the effects of the end."""
    members = dict(flow.members)
    parent = members[plan.parent]
    if parent.at is question.came_from or question.stage == plan.last.number:
        return members
    members[plan.parent] = _move(
        parent, Who.USER, Event.RETURN, question.came_from, question.owner_before
    )
    return members


def withdraw(flow: Flow, plan: Plan) -> Flow:
    """Close the open question without an answer (it is about to be asked again)."""
    members = _return_parent(flow, plan, _open_question(flow))
    return _continue(flow, plan, members=members, question=None)


def lapse(flow: Flow, plan: Plan, stage: int) -> Flow:
    """Something that an approval covered has changed: back to that checkpoint (DESIGN 7.3)."""
    return _continue(
        flow,
        plan,
        approvals=tuple(a for a in flow.approvals if a.stage != stage),
        finished=tuple(n for n in flow.finished if n != stage),
    )


def effects_done(flow: Flow, plan: Plan, stage: int) -> Flow:
    """The approved effects of a checkpoint have run."""
    approvals = tuple(
        a.model_copy(update={"effects_done": True}) if a.stage == stage else a
        for a in flow.approvals
    )
    return _next(flow, plan, approvals=approvals)


def foresee_complete(flow: Flow, plan: Plan, stage: Stage) -> Flow:
    """The record as `complete` would make it, to judge what will hold then."""
    members = {
        m: p if p.at is _R.COMPLETE else _move(p, Who.USER, Event.COMPLETE, _R.COMPLETE)
        for m, p in flow.members.items()
    }
    finished = tuple(sorted({*flow.finished, stage.number}))
    return _next(flow, plan, members=members, finished=finished, state=State.COMPLETE, reason="")


def complete(flow: Flow, plan: Plan, stage: Stage, unsettled: Collection[str]) -> Flow:
    """The end: the whole family to COMPLETE, by USER's answer.

    `unsettled` are the statements that are not judged, or not as USER has taken them. Raises
    IllegalMoveError if there is one (DESIGN 6.0).
    """
    if unsettled:
        raise IllegalMoveError(
            f"{len(unsettled)} statement(s) are not settled: {'; '.join(sorted(unsettled))}",
            hint="the last question is asked again",
        )
    return foresee_complete(flow, plan, stage)


def send_back(
    flow: Flow, plan: Plan, members_named: Iterable[str], only: Stage | None = None
) -> Flow:
    """USER sends members back: a new attempt of their makers (or of `only`), not a failure."""
    members, named = dict(flow.members), tuple(members_named)
    has_children = bool(plan.children(flow))
    reopened: set[int] = set()
    for member in named:
        stages = (only,) if only is not None else _stages_to_redo(flow, plan, member)
        reopened |= {s.number for s in stages}
        place = members[member]
        owner = stages[0].agent if stages else place.owner
        triaged = bool(stages) and plan.part(stages[0]) is Part.TRIAGER
        if member == plan.parent and (has_children or triaged):
            if place.at is _R.USER_REVIEW:
                members[member] = _move(place, Who.USER, Event.SEND_BACK, _R.TRIAGE, owner)
        elif place.at is _R.BUILD:
            members[member] = place.model_copy(update={"owner": owner})
        else:
            members[member] = _move(place, Who.USER, Event.SEND_BACK, _R.BUILD, owner)
    parent, question = members[plan.parent], flow.question
    waits = parent.at is _R.USER_REVIEW and has_children
    if question is not None and plan.parent not in named and waits:
        before = question.owner_before
        members[plan.parent] = _move(parent, Who.USER, Event.SEND_BACK, _R.TRIAGE, before)
    first = min(reopened, default=0)
    reopened |= {
        s.number for s in plan.stages if plan.part(s) is Part.INSPECTOR and s.number > first
    }
    return _continue(
        flow,
        plan,
        members=members,
        # stages that were not finished keep their attempt, unless no other is done again
        attempts=_next_attempts(flow, reopened & set(flow.finished) or reopened),
        finished=tuple(n for n in flow.finished if n not in reopened),
        # what is made again is put to USER again at the end, even if that was approved already
        approvals=tuple(a for a in flow.approvals if a.stage != plan.last.number),
        question=None,
    )


def _stages_to_redo(flow: Flow, plan: Plan, member: str) -> tuple[Stage, ...]:
    """The stages that make a member; the triage for a parent that has children."""
    makers = plan.makers_of(member, flow)
    if member == plan.parent and plan.children(flow):
        return tuple(s for s in plan.stages if plan.part(s) is Part.TRIAGER) or makers
    return makers


def hold(flow: Flow, plan: Plan, member: str, reason: str) -> Flow:
    """USER holds a member (and with it the family)."""
    place = flow.members[member]
    source = place.at
    if member == plan.parent and flow.question is not None:
        source = flow.question.came_from
    held = _move(place, Who.USER, Event.HOLD, _R.HOLD, "USER")
    members = {**flow.members, member: held.model_copy(update={"held_from": source})}
    return _next(flow, plan, members=members, question=None, state=State.HELD, reason=reason)


def resume(flow: Flow, plan: Plan) -> Flow:
    """USER lets a held family go on: members back to `held_from`, their counts to 0."""
    if flow.state is not State.HELD:
        raise IllegalMoveError("the family is not held", hint="see `orchestrate status`")
    members = dict(flow.members)
    for member, place in flow.members.items():
        if place.at is not _R.HOLD:
            continue
        back = place.held_from or _R.TRIAGE
        if back is _R.QA:
            owner = plan.inspector
        elif back is _R.USER_REVIEW:
            owner = "USER"
        else:
            stages = _stages_to_redo(flow, plan, member)
            owner = stages[0].agent if stages else place.owner
        moved = _move(place, Who.USER, Event.RESUME, back, owner)
        members[member] = moved.model_copy(update={"failures": 0, "held_from": None})
    return _continue(flow, plan, members=members)


def undo(flow: Flow, plan: Plan) -> Flow:
    """Withdraw the latest approval, unless its effects have started. Raises IllegalMoveError."""
    latest = max(flow.approvals, key=lambda a: a.question, default=None)
    if latest is None or flow.state is State.COMPLETE:
        raise IllegalMoveError("there is no approval to withdraw", hint="see `orchestrate status`")
    if latest.effects_done or flow.state is State.EFFECTS:
        raise IllegalMoveError(
            "the approval's effects have started; it can no longer be withdrawn",
            hint="use `orchestrate hold` or `send-back`",
        )
    return lapse(flow.evolve(question=None), plan, latest.stage)


def repin(flow: Flow, plan: Plan, sha256: str) -> Flow:
    """USER took a changed workflow: it is pinned again, and approvals of the old one lapse."""
    stages = {a.stage for a in flow.approvals if not a.effects_done}
    return _next(
        flow,
        plan,
        sha256=sha256,
        approvals=tuple(a for a in flow.approvals if a.effects_done),
        finished=tuple(n for n in flow.finished if n not in stages),
    )


def archive(flow: Flow, plan: Plan) -> Flow:
    """USER archives the family."""
    members = {m: _move(p, Who.USER, Event.ARCHIVE, _R.ARCHIVE) for m, p in flow.members.items()}
    return _next(flow, plan, members=members, question=None, state=State.ARCHIVED, reason="")


def shelve(flow: Flow, plan: Plan) -> Flow:
    """USER puts the family into the backlog; it waits there like one that is held."""
    place = _move(flow.members[plan.parent], Who.USER, Event.SHELVE, _R.BACKLOG)
    members = {**flow.members, plan.parent: place.model_copy(update={"held_from": place.was})}
    return _next(flow, plan, members=members, state=State.HELD, reason="shelved by USER")


def unshelve(flow: Flow, plan: Plan, target: FolderRole) -> Flow:
    """USER takes the family out of the backlog: to TRIAGE, where it goes on, or to HOLD."""
    place = _move(flow.members[plan.parent], Who.USER, Event.UNSHELVE, target)
    held = target is _R.HOLD
    place = place.model_copy(update={"held_from": _R.TRIAGE if held else None})
    members = {**flow.members, plan.parent: place}
    still = held or any(p.at is _R.HOLD for p in members.values())
    reason = "held by USER" if still else ""
    return _next(
        flow, plan, members=members, state=State.HELD if still else State.RUNNING, reason=reason
    )


def reopen(flow: Flow, plan: Plan) -> Flow:
    """USER opens a finished family again: a new round of every stage, all counts at 0."""
    triager = next((s.agent for s in plan.stages if plan.part(s) is Part.TRIAGER), "")
    members = {
        member: _move(place, Who.USER, Event.REOPEN, _R.TRIAGE, triager).model_copy(
            update={"failures": 0, "held_from": None}
        )
        for member, place in flow.members.items()
    }
    return _continue(
        flow,
        plan,
        members=members,
        attempts={s.number: flow.attempt(s.number) + 1 for s in plan.stages},
        finished=(),
        approvals=(),
        accepted=(),
        question=None,
    )
