"""The state machine, clause by clause, and a stateful test over families, answers and failures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.domain import machine
from orchestrator.domain.machine import Ask, RunEffects, Wait, Work
from orchestrator.domain.plan import Plan, make_plan
from orchestrator.domain.record import (
    Flow,
    Place,
    QuestionKind,
    State,
    from_mapping,
    to_lines,
    to_mapping,
)
from orchestrator.domain.states import (
    TABLE,
    Event,
    FolderRole,
    Part,
    Who,
    legal,
    requested_event,
    require,
)
from orchestrator.domain.workflow import ChildSpec, Move, Stage
from orchestrator.errors import IllegalMoveError

R = FolderRole
PARTS = {
    "LEAD": Part.TRIAGER,
    "SOOP": Part.MAKER,
    "BUILDER": Part.MAKER,
    "ANALYST": Part.PROVIDER,
    "INSPECTOR": Part.INSPECTOR,
}


def stages() -> tuple[Stage, ...]:
    children = (ChildSpec("W-1a", "SOOP", "", 1), ChildSpec("W-1b", "BUILDER", "", 2))
    return (
        Stage(0, "ANALYST", "research", 1, ready=True),
        Stage(1, "LEAD", "split", 2, children=children),
        Stage(2, "SOOP", "schema", 3, members=("W-1a",)),
        Stage(3, "USER", "look", 4, checkpoint=1),
        Stage(4, "BUILDER", "code", 5, members=("W-1b",)),
        Stage(5, "ANALYST", "data", 6, parallel_with=4),
        Stage(6, "INSPECTOR", "qa", 7, members=("W-1a", "W-1b")),
        Stage(7, "USER", "end", 8, checkpoint=2),
    )


def plan(limit: int = 2) -> Plan:
    return Plan("W-1", stages(), PARTS, "INSPECTOR", failure_limit=limit)


def fresh(p: Plan) -> Flow:
    return machine.start("w.md", "sha", {"W-1": Place(at=R.INBOX, owner="LEAD")}, p)


def until(p: Plan, number: int) -> Flow:
    """The flow with every stage below `number` finished."""
    flow = fresh(p)
    while flow.stage < number:
        stage = p.stage(flow.stage)
        if stage.is_checkpoint:
            flow = machine.ask(flow, p, stage, QuestionKind.CHECKPOINT, "d", "now")
            flow = machine.finish(machine.approve(flow, p, "now"), p, stage)
        else:
            births = {c.id: c.agent for c in stage.children}
            flow = machine.finish(machine.begin(flow, p, [stage]), p, stage, births)
    return flow


def test_3_2_triage_moves_the_parent_and_bears_children_in_build() -> None:
    flow = until(plan(), 2)
    assert flow.members["W-1"].at is R.TRIAGE
    assert (flow.members["W-1a"].at, flow.members["W-1a"].owner) == (R.BUILD, "SOOP")
    assert (flow.members["W-1b"].at, flow.members["W-1b"].owner) == (R.BUILD, "BUILDER")


def test_3_2_in_a_new_round_a_member_that_waits_has_its_maker_again() -> None:
    split = replace(stages()[1], moves=(Move(("W-1b",), "01_TRIAGE", "BUILDER", 2),))
    p = replace(plan(), stages=(stages()[0], split, *stages()[2:]))
    archived = machine.archive(until(p, 4), p)
    flow = machine.reopen(archived, p)
    assert flow.members["W-1b"].owner == "LEAD"
    for stage in p.stages[:2]:
        births = {c.id: c.agent for c in stage.children}
        flow = machine.finish(flow, p, stage, births)
    assert (flow.members["W-1b"].at, flow.members["W-1b"].owner) == (R.TRIAGE, "BUILDER")


@pytest.mark.parametrize(
    ("folder", "role"),
    [
        ("01_TRIAGE", R.TRIAGE),
        ("02_DESIGN", R.DESIGN),
        ("03_BUILD", R.BUILD),
        ("04_QA", R.BUILD),
        ("nowhere", R.BUILD),
    ],
)
def test_a_child_waits_where_its_move_line_says(folder: str, role: R) -> None:
    stage = Stage(1, "LEAD", "split", 1, moves=(Move(("W-1a",), folder, "SOOP", 1),))
    assert machine.initial_role(stage, "W-1a") is role
    assert machine.initial_role(stage, "W-1b") is R.BUILD


@pytest.mark.parametrize(
    ("at", "owner", "expected"),
    [
        (R.TRIAGE, "LEAD", "BUILDER"),
        (R.TRIAGE, "", "BUILDER"),
        (R.BUILD, "LEAD", "BUILDER"),
        (R.QA, "INSPECTOR", "INSPECTOR"),
    ],
)
def test_3_2_triage_gives_a_ticket_that_lay_in_triage_already_to_its_maker(
    at: R, owner: str, expected: str
) -> None:
    move = Move(("W-1",), "01_TRIAGE", "BUILDER", 1)
    plan_stages = (Stage(1, "LEAD", "triage", 1, moves=(move,)), *stages()[2:])
    p = Plan("W-1", plan_stages, PARTS, "INSPECTOR")
    flow = machine.start("w.md", "sha", {"W-1": Place(at=at, owner=owner)}, p)
    place = machine.finish(flow, p, p.stage(1)).members["W-1"]
    assert (place.at, place.owner) == (at, expected)


def test_4_1_stages_side_by_side_are_one_piece_of_work_and_never_cross_a_checkpoint() -> None:
    p = plan()
    action = machine.decide(until(p, 4), p)
    assert isinstance(action, Work)
    assert [s.number for s in action.stages] == [4, 5]
    assert isinstance(machine.decide(until(p, 3), p), Ask)


def test_7_1_the_question_takes_the_parent_to_user_review_and_back() -> None:
    p = plan()
    before = until(p, 3)
    asked = machine.ask(before, p, p.stage(3), QuestionKind.CHECKPOINT, "d", "now")
    assert (asked.members["W-1"].at, asked.members["W-1"].owner) == (R.USER_REVIEW, "USER")
    assert isinstance(machine.decide(asked, p), Wait)
    back = machine.approve(asked, p, "now")
    assert (back.members["W-1"].at, back.members["W-1"].owner) == (R.TRIAGE, "LEAD")
    assert isinstance(machine.decide(back, p), RunEffects)


def test_3_2_a_failure_returns_the_member_counts_once_and_strikes_out_at_the_limit() -> None:
    p = plan()
    flow = until(p, 6)
    once = machine.fail(flow, p, p.stage(6), {"W-1b": (4,)})
    assert (once.members["W-1b"].at, once.members["W-1b"].failures) == (R.BUILD, 1)
    assert once.members["W-1a"].at is R.QA
    assert (once.stage, once.attempt(4), once.attempt(5)) == (4, 2, 1)
    again = machine.finish(once, p, p.stage(4))
    twice = machine.fail(again, p, p.stage(6), {"W-1b": (4,)})
    assert twice.state is State.HELD
    assert (twice.members["W-1b"].at, twice.members["W-1b"].held_from) == (R.HOLD, R.QA)
    resumed = machine.resume(twice, p)
    assert (resumed.members["W-1b"].at, resumed.members["W-1b"].failures) == (R.QA, 0)


def test_3_2_send_back_is_a_new_attempt_and_no_failure() -> None:
    p = plan()
    flow = until(p, 7)
    asked = machine.ask(flow, p, p.stage(7), QuestionKind.CHECKPOINT, "d", "now")
    assert {m.at for m in asked.members.values()} == {R.USER_REVIEW}
    back = machine.send_back(asked, p, ["W-1a"])
    assert (back.members["W-1a"].at, back.members["W-1a"].failures) == (R.BUILD, 0)
    assert back.members["W-1"].at is R.TRIAGE
    assert (back.attempt(2), back.attempt(4), back.stage) == (2, 1, 2)
    assert 6 not in back.finished
    assert 4 in back.finished


def test_7_3_a_lapsed_approval_leads_back_to_its_checkpoint() -> None:
    p = plan()
    flow = until(p, 6)
    lapsed = machine.lapse(flow, p, 3)
    action = machine.decide(lapsed, p)
    assert isinstance(action, Ask)
    assert action.stage.number == 3


def test_7_5_undo_works_until_effects_start() -> None:
    p = plan()
    flow = machine.approve(
        machine.ask(until(p, 3), p, p.stage(3), QuestionKind.CHECKPOINT, "d", "now"), p, "now"
    )
    assert machine.decide(machine.undo(flow, p), p) == Ask(p.stage(3))
    with pytest.raises(IllegalMoveError, match="effects"):
        machine.undo(flow.evolve(state=State.EFFECTS), p)


def test_only_user_completes_a_workflow_without_a_last_checkpoint() -> None:
    from pathlib import Path

    from orchestrator.domain.workflow import Workflow

    workflow = Workflow(Path("w.md"), "s", "t", "", stages()[:3])
    made = make_plan(workflow, "W-1", PARTS, "INSPECTOR", 2)
    assert made.last.is_checkpoint
    assert made.last.number == 3


def test_3_2_a_ticket_alone_goes_through_build_and_qa_itself() -> None:
    p = Plan(
        "W-1",
        (
            Stage(1, "LEAD", "triage", 1),
            Stage(2, "BUILDER", "build", 2),
            Stage(3, "INSPECTOR", "qa", 3),
            Stage(4, "USER", "end", 4, checkpoint=1),
        ),
        PARTS,
        "INSPECTOR",
    )
    flow = fresh(p)
    seen = [flow.members["W-1"].at]
    for number in (1, 2, 3):
        stage = p.stage(number)
        flow = machine.begin(flow, p, [stage])
        seen.append(flow.members["W-1"].at)
        flow = machine.finish(flow, p, stage)
        seen.append(flow.members["W-1"].at)
    assert list(dict.fromkeys(seen)) == [R.INBOX, R.TRIAGE, R.BUILD, R.QA, R.USER_REVIEW]


@pytest.mark.parametrize(
    ("source", "target", "event"),
    [
        (R.BUILD, R.HOLD, Event.HOLD),
        (R.TRIAGE, R.BACKLOG, Event.SHELVE),
        (R.COMPLETE, R.TRIAGE, Event.REOPEN),
        (R.QA, R.ARCHIVE, Event.ARCHIVE),
        (R.BUILD, R.COMPLETE, None),
        (R.INBOX, R.BUILD, None),
    ],
)
def test_2_2_what_user_may_wish(source: R, target: R, event: Event | None) -> None:
    assert requested_event(source, target) is event


def test_an_illegal_move_names_what_would_be_legal() -> None:
    with pytest.raises(IllegalMoveError, match="from INBOX") as caught:
        require(Who.TRIAGER, Event.TRIAGE, R.INBOX, R.QA)
    assert "triage" in caught.value.hint
    assert not legal(Who.MAKER, Event.COMPLETE, R.USER_REVIEW, R.COMPLETE)
    assert all(row.sources and row.targets for row in TABLE)


class Families(RuleBasedStateMachine):
    """Any order of work, failures, answers and crashes keeps the invariants of DESIGN 2 and 3."""

    @initialize(limit=st.integers(1, 3))
    def begin(self, limit: int) -> None:
        self.plan = plan(limit)
        self.flow = fresh(self.plan)
        self.revision = self.flow.revision
        self.approved: set[int] = set()

    def step(self, flow: Flow) -> None:
        before = self.flow
        for member, place in flow.members.items():
            old = before.members.get(member)
            if old is not None and old.at is not place.at:
                assert any(old.at in row.sources and place.at in row.targets for row in TABLE)
        assert flow is before or flow.revision > before.revision
        self.flow = flow

    def action(self) -> machine.Action:
        return machine.decide(self.flow, self.plan)

    @precondition(lambda self: isinstance(self.action(), Work))
    @rule(choice=st.integers(0, 5), blamed=st.sampled_from(["W-1a", "W-1b", "W-1"]))
    def work(self, choice: int, blamed: str) -> None:
        action = self.action()
        assert isinstance(action, Work)
        self.step(machine.begin(self.flow, self.plan, action.stages))
        for stage in action.stages:
            part = self.plan.part(stage)
            if choice == 0 and not stage.ready:
                members = self.plan.members(stage, self.flow)
                stages_ = (stage.number,)
                if part is Part.INSPECTOR:
                    members = (blamed,)
                    stages_ = tuple(
                        s.number for s in self.plan.makers_of(blamed, self.flow) if not s.ready
                    )
                self.step(machine.fail(self.flow, self.plan, stage, {members[0]: stages_}))
                return
            if choice == 1:
                self.step(
                    machine.ask(self.flow, self.plan, stage, QuestionKind.EXCEPTION, "d", "now")
                )
                return
            births = {c.id: c.agent for c in stage.children}
            self.step(machine.finish(self.flow, self.plan, stage, births))

    @precondition(lambda self: isinstance(self.action(), Ask))
    @rule()
    def ask(self) -> None:
        action = self.action()
        assert isinstance(action, Ask)
        self.step(
            machine.ask(self.flow, self.plan, action.stage, QuestionKind.CHECKPOINT, "d", "now")
        )

    @precondition(lambda self: isinstance(self.action(), Wait))
    @rule(
        verb=st.sampled_from(["approve", "send", "hold", "withdraw"]),
        member=st.sampled_from([None, "W-1", "W-1a", "W-1b"]),
    )
    def answer(self, verb: str, member: str | None) -> None:
        question = self.flow.question
        assert question is not None
        if verb == "approve":
            self.step(machine.approve(self.flow, self.plan, "now"))
        elif verb == "withdraw":
            self.step(machine.withdraw(self.flow, self.plan))
        elif verb == "hold":
            self.step(machine.hold(self.flow, self.plan, "W-1", "why"))
        else:
            stage = self.plan.stage(question.stage)
            default = self.plan.sent_back_by_default(stage, self.flow)
            named = (member,) if member in self.flow.members else default
            before = {m: p.failures for m, p in self.flow.members.items()}
            self.step(machine.send_back(self.flow, self.plan, named))
            assert {m: p.failures for m, p in self.flow.members.items()} == before

    @precondition(lambda self: isinstance(self.action(), RunEffects))
    @rule()
    def effects(self) -> None:
        action = self.action()
        assert isinstance(action, RunEffects)
        assert self.flow.approval(action.stage.number) is not None
        self.approved.add(action.stage.number)
        if action.stage.number == self.plan.last.number:
            self.step(machine.complete(self.flow, self.plan, action.stage, ()))
        else:
            self.step(machine.finish(self.flow, self.plan, action.stage))

    @precondition(lambda self: self.flow.state is State.HELD)
    @rule()
    def resume(self) -> None:
        self.step(machine.resume(self.flow, self.plan))
        assert all(p.at is not R.HOLD for p in self.flow.members.values())

    @precondition(lambda self: bool(self.flow.approvals) and self.flow.question is None)
    @rule()
    def lapse(self) -> None:
        if self.flow.state in (State.HELD, State.COMPLETE):
            return
        self.step(machine.lapse(self.flow, self.plan, self.flow.approvals[-1].stage))

    @rule()
    def crash_and_read_again(self) -> None:
        import yaml

        text = "\n".join(["flow:", *to_lines(to_mapping(self.flow))])
        assert from_mapping(yaml.safe_load(text)["flow"]) == self.flow

    @invariant()
    def one_question_and_it_lies_in_user_review(self) -> None:
        if getattr(self, "flow", None) is not None and self.flow.question is not None:
            assert self.flow.members["W-1"].at is R.USER_REVIEW
            assert self.flow.members["W-1"].owner == "USER"

    @invariant()
    def complete_means_all_and_only_by_user(self) -> None:
        if getattr(self, "flow", None) is not None and self.flow.state is State.COMPLETE:
            assert {p.at for p in self.flow.members.values()} == {R.COMPLETE}
            assert self.plan.last.number in self.approved
            assert set(self.flow.finished) == {s.number for s in self.plan.stages}

    @invariant()
    def held_means_somebody_lies_in_hold(self) -> None:
        if getattr(self, "flow", None) is not None:
            on_hold = any(p.at is R.HOLD for p in self.flow.members.values())
            assert on_hold == (self.flow.state is State.HELD)

    @invariant()
    def failures_never_pass_the_limit(self) -> None:
        if getattr(self, "flow", None) is not None:
            assert all(p.failures <= self.plan.failure_limit for p in self.flow.members.values())


Families.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestFamilies = Families.TestCase
