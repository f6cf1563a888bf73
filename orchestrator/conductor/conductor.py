"""The conductor: the loop that advances a family, and the commands by which USER steers it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.approvals import answers
from orchestrator.approvals.open_requests import list_open_requests
from orchestrator.approvals.request_builder import (
    build_checkpoint_request,
    build_exception_request,
    list_stopped_statements,
    open_request,
)
from orchestrator.approvals.signatures import message_of, sign
from orchestrator.approvals.status import family_status
from orchestrator.domain import machine
from orchestrator.domain.agent import Agent
from orchestrator.domain.answer import Answer, AnswerVerb, Door
from orchestrator.domain.plan import Plan
from orchestrator.domain.record import Flow, QuestionKind, State
from orchestrator.domain.states import Event
from orchestrator.domain.workflow import Statement, StatementKind, Workflow
from orchestrator.errors import OrchestrateError, UsageError
from orchestrator.family.additions import Additions
from orchestrator.family.at_rest import rest_of
from orchestrator.family.family import Family
from orchestrator.family.intact import find_damage
from orchestrator.family.open_session import Opener
from orchestrator.family.session import Listener, Progress, Session
from orchestrator.family.untrusted_checks import checks_left_by_agents
from orchestrator.gates.checks import Context, Phase, Services
from orchestrator.gates.loading import load_binder
from orchestrator.gates.receipts import Gate, Receipt, newest_receipts, newest_records
from orchestrator.settings.config import Settings, load_settings
from orchestrator.templating import one_line
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket
from orchestrator.workers import make_engine

if TYPE_CHECKING:
    from orchestrator.conductor.stages import Blocked
    from orchestrator.conductor.verify import Verified
    from orchestrator.gates.binding import Binding

__all__ = ["Conductor", "Progress", "RunOutcome"]

_CLI = Door("command line")
#: with a first record, a status that differs from the folder is drift, not a request (DESIGN 2.5)
ADOPTED = Additions(over_requests=True)


class RunState(StrEnum):
    """Where a run ended."""

    COMPLETE = "complete"
    ARCHIVED = "archived"
    #: for USER, a person, or another family's work
    WAITING = "waiting"
    HELD = "held"
    FAILED = "failed"

    @property
    def exit_code(self) -> int:
        """0 complete or archived, 10 waiting, 11 held, 1 failed."""
        return {"waiting": 10, "held": 11, "failed": 1}.get(self, 0)


@dataclass(frozen=True)
class RunOutcome:
    """Where a run of a family ended, and why."""

    ticket: str
    outcome: RunState
    stage: int | None
    reasons: tuple[str, ...] = ()
    #: it waits for another family's work, and not for USER
    waits_for_work: bool = False
    #: when it goes on by itself (seconds since the epoch): an agent's usage limit ends then
    resumes_at: float | None = None

    @property
    def exit_code(self) -> int:
        return self.outcome.exit_code

    def to_dict(self) -> dict[str, Any]:
        return {
            "ticket": self.ticket,
            "outcome": self.outcome.value,
            "stage": self.stage,
            "reasons": list(self.reasons),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunOutcome:
        reasons = tuple(map(str, data["reasons"]))
        return cls(data["ticket"], RunState(data["outcome"]), data["stage"], reasons)


class Conductor:
    """Runs families of a board. `agents` run in this process, in place of child processes."""

    def __init__(
        self,
        board: Board,
        *,
        settings: Settings | None = None,
        agents: Mapping[str, Agent] | None = None,
        on_event: Listener | None = None,
        seen: dict[Path, int] | None = None,
        accept_doubts: Iterable[str] = (),
    ) -> None:
        """`seen`: path → hash of the bytes that were last read or written there, to share.

        `accept_doubts`: codes of doubts about a workflow with which families may begin.
        """
        self.board = board
        self.settings = settings or load_settings(board.root)
        listener = on_event or (lambda _: None)
        doubts = frozenset(accept_doubts)
        dispatcher = make_engine(board.root, self.settings.workers, agents)
        self.opener = Opener(board, self.settings, dispatcher, listener, accept_doubts=doubts)
        if seen is not None:
            self.opener.seen = seen

    def stop(self) -> None:
        """Kill the agents that are at work, from another thread: `run` raises StoppedError."""
        self.opener.dispatcher.stop()

    def leave_to(self, attendant: Any) -> None:
        """Wait for no worker: `run` raises ElsewhereError, and the attendant waits."""
        self.opener.dispatcher.leave_to(attendant)

    # -- the loop ----------------------------------------------------------------------------

    def run(
        self,
        id: str,
        *,
        workflow: Path | None = None,
        until: int | None = None,
        dry_run: bool = False,
        create: bool = True,
        from_here: bool = False,
    ) -> RunOutcome:
        """Advance the family of a ticket until it is complete, waits, is held or fails.

        With `create=False` a family that is not conducted yet is left alone (TicketError);
        `from_here` goes on from a board that is older than what was done here. Raises
        GitAtWorkError while git is at work on the board, OrchestrateError (TicketError,
        WorkflowError, BusyError, …) when it cannot begin.
        """
        if dry_run:
            return self._preview(id, workflow, until)
        if not create and not from_here and workflow is None and until is None:
            # of those that a daemon has in hand, nearly all wait as they did when it looked last
            rested = self.opener.outcome_at_rest(id)
            if rested is not None:
                return RunOutcome.from_dict(rested)
        from orchestrator.conductor.telemetry import traced

        with self.opener.open_session(
            id, workflow, create=create, from_here=from_here, work=True
        ) as session:
            _require_stage(session.plan, until)
            with traced(session):
                outcome = self._advance(session, until)
            session.family.commit_history()
            if outcome.outcome is RunState.WAITING and outcome.resumes_at is None:
                session.rest = rest_of(session, outcome.to_dict())
            return outcome

    def _advance(self, session: Session, until: int | None) -> RunOutcome:
        from orchestrator.conductor import stages
        from orchestrator.conductor.apply_effects import apply_approval
        from orchestrator.family.blockers import find_blockers

        blocked = stages.judge_interrupted(session)
        if blocked is not None:
            self._handle_block(session, blocked)
        while True:
            session.require_committed()
            refused = answers.apply_requested_statuses(session)
            if refused:
                return _outcome_of(session, refused)
            if self._ask_about_changed_workflow(session):
                return _outcome_of(session)
            self._lapse_approvals(session)
            match machine.decide(session.flow, session.plan):
                case machine.Stop() | machine.Wait():
                    return _outcome_of(session)
                case machine.Work(stages=group):
                    if until is not None and group[0].number > until:
                        reason = f"stopped before {group[0].label} (--until {until})"
                        return _outcome_of(session, [reason])
                    find, limit = session.family.ticket, self.settings.wip_limit
                    reasons = find_blockers(
                        self.board, find, session.flow, session.plan, group, limit
                    )
                    if reasons:
                        return _outcome_of(session, reasons, waits_for_work=True)
                    blocked = stages.advance_stages(session, group)
                    if blocked is not None and self._handle_block(session, blocked):
                        return _outcome_of(session, [blocked.reason], resumes_at=blocked.until)
                case machine.Ask(stage=stage):
                    if until is not None and stage.number > until:
                        reason = f"stopped before {stage.label} (--until {until})"
                        return _outcome_of(session, [reason])
                    request = build_checkpoint_request(session, stage, session.changed)
                    open_request(session, stage, request)
                    session.changed = ()
                case machine.RunEffects(stage=stage):
                    apply_approval(session, stage)

    @staticmethod
    def _handle_block(session: Session, blocked: Blocked) -> bool:
        """Ask USER about a stage that did not pass; True if a person has to do something first."""
        if blocked.until is not None:
            after = machine.pause(session.flow, session.plan, blocked.reason)
            session.commit(after, "waits for a usage limit")
            return True
        if not blocked.ask:
            after = machine.need_person(session.flow, session.plan, blocked.reason)
            session.commit(after, "needs a person")
            return True
        shown = list_stopped_statements(session, blocked.stage)
        kind = QuestionKind.EXCEPTION
        request = build_exception_request(session, blocked.stage, kind, blocked.reason, shown)
        open_request(session, blocked.stage, request)
        return False

    @staticmethod
    def _ask_about_changed_workflow(session: Session) -> bool:
        """Ask USER if the pinned workflow has changed under way (DESIGN 4.4)."""
        flow = session.flow
        if flow.sha256 == session.workflow.sha256 or flow.state.ended:
            return False
        if flow.question is not None and flow.question.kind is QuestionKind.WORKFLOW:
            return False
        from orchestrator.workflow_reader.human_gates import unread_gates_in

        why = (
            f"The workflow `{flow.workflow}` has changed since this family was pinned to it; "
            f"`orchestrate review {session.plan.parent}` shows the difference. "
            "Approving takes the changed one; approvals given under the old one lapse."
        )
        for gate in unread_gates_in(session.workflow.text, flow.workflow):
            why += (
                f" Line {gate.line}, “{gate.words}”, reads like an approval: it is not asked for."
            )
        if flow.question is not None:
            after = machine.withdraw(flow, session.plan)
            session.commit(after, "question withdrawn: workflow changed")
        stage = session.plan.stage(session.flow.stage)
        request = build_exception_request(session, stage, QuestionKind.WORKFLOW, why, ())
        open_request(session, stage, request)
        return True

    @staticmethod
    def _lapse_approvals(session: Session) -> None:
        """Withdraw approvals of what has changed since; their checkpoints are asked again."""
        if session.flow.question is not None or session.flow.state in (State.COMPLETE, State.HELD):
            return
        from orchestrator.approvals.lapsing import lapse_approval, list_changes_since_approval

        for approval in session.flow.approvals:
            if approval.effects_done:
                continue
            changed = list_changes_since_approval(session, approval)
            if changed and approval.stage in {*session.flow.finished, session.flow.stage}:
                lapse_approval(session, approval, changed)

    # -- answers -----------------------------------------------------------------------------

    def approve(
        self,
        id: str,
        *,
        note: str = "",
        accept: Sequence[str] = (),
        accept_unproven: bool = False,
        target: str = "",
    ) -> RunOutcome:
        """Record USER's approval of the open question; `run` goes on from there.

        It is signed where it has to be. Raises AnswerRefusedError if it leaves something open, or
        covers what has changed, SignatureError if it cannot be signed.
        """
        accepted = tuple(accept)
        answer = Answer(AnswerVerb.APPROVED, note, accepted, accept_unproven, target, via=_CLI.via)
        question = self.status(id)["question"] if self.settings.approval.signed else None
        if question is not None:
            parent = self.board.family(id)[0].id
            message = message_of(parent, question["digest"], answer)
            answer = replace(answer, signature=sign(message, self.board.root))
        return self.answer(id, answer)

    def send_back(self, id: str, *, member: str = "", note: str = "") -> RunOutcome:
        """Record that USER wants changes, with the words, from a member or from the last makers."""
        members = (member,) if member else ()
        verb = AnswerVerb.CHANGES_REQUESTED
        return self.answer(id, Answer(verb, note, members=members, via=_CLI.via))

    def hold(self, id: str, *, reason: str, door: Door = _CLI) -> RunOutcome:
        """Put a family (or the named child) on HOLD. Raises UsageError without a reason."""
        if not reason.strip():
            raise UsageError("a hold needs a reason", hint='--reason "…"')
        with self.opener.open_session(id) as session:
            member = id if id in session.flow.members else session.plan.parent
            answers.hold_member(session, member, reason, via=door.via, by=door.by)
            return _outcome_of(session)

    def resume(self, id: str, *, door: Door = _CLI) -> RunOutcome:
        """Let a held family go on from where it was, its failure counts at 0."""
        with self.opener.open_session(id) as session:
            answers.resume_family(session, door)
            return _outcome_of(session)

    def archive(self, id: str, *, door: Door = _CLI) -> RunOutcome:
        """Put a family away for good; an open question closes unanswered."""
        return self._apply_event(id, Event.ARCHIVE, door)

    def shelve(self, id: str, *, door: Door = _CLI) -> RunOutcome:
        """Put a family from TRIAGE or HOLD into the backlog; `resume` takes it out."""
        return self._apply_event(id, Event.SHELVE, door)

    def reopen(self, id: str, *, door: Door = _CLI) -> RunOutcome:
        """Begin a new round of a family that has ended, or whose receipts were altered."""
        return self._apply_event(id, Event.REOPEN, door)

    def _apply_event(self, id: str, event: Event, door: Door) -> RunOutcome:
        with self.opener.open_session(id, anew=event is Event.REOPEN) as session:
            answers.apply_event(session, event, door=door)
            return _outcome_of(session)

    def undo(self, id: str) -> RunOutcome:
        """Withdraw the latest approval, until its effects start; the checkpoint is asked again."""
        with self.opener.open_session(id) as session:
            answers.require_active(session.flow, session.plan.parent)
            after = machine.undo(session.flow, session.plan)
            answers.record_answer(session, "undo")
            session.commit(after, "approval withdrawn by USER")
            stage = session.plan.stage(session.flow.stage)
            if stage.is_checkpoint:
                open_request(session, stage, build_checkpoint_request(session, stage))
            return _outcome_of(session)

    def adopt(
        self,
        id: str,
        *,
        workflow: Path | None = None,
        consent: Callable[[Sequence[Ticket], Workflow], None] | None = None,
    ) -> RunOutcome:
        """Start the record of a family where its tickets are, without doing anything yet.

        A status that differs from the folder is drift, not a request, and is set to the folder.
        `consent` gets the tickets and the workflow before anything is written, and may raise.
        """
        with self.opener.open_session(
            id, workflow, create=True, first=ADOPTED, consent=consent
        ) as session:
            label = session.plan.stage(session.flow.stage).label
            return _outcome_of(session, [f"adopted at {label}"])

    def foresee(
        self, tickets: Sequence[Ticket], *, workflow: Path | None = None
    ) -> tuple[Family, Workflow, Flow]:
        """The family, its workflow and the record that `adopt` would begin; nothing is written.

        Raises OrchestrateError where `adopt` would.
        """
        family, read, _, flow = self.opener.preview(tickets[0].id, workflow, tickets)
        return family, read, flow

    def answer(self, id: str, answer: Answer) -> RunOutcome:
        """Take an answer to the open request, through any door (`answer.via`).

        Raises AnswerRefusedError if it cannot be taken.
        """
        with self.opener.open_session(id) as session:
            answers.apply_answer(session, answer)
            return _outcome_of(session)

    # -- reading -----------------------------------------------------------------------------

    def verify(self, id: str, *, fresh: bool = False) -> list[Verified]:
        """Prove everything that has a receipt again, on today's tree (DESIGN 6.5).

        What ran on the very same bytes before is not run again, unless `fresh`.
        """
        from orchestrator.conductor.verify import verify

        with self.opener.open_session(id, settle=False, fresh=fresh) as session:
            return verify(session)

    def try_statement(self, text: str, id: str = "") -> tuple[Receipt, tuple[Binding, ...]]:
        """Which checks a statement binds to and what they say now, without storing anything."""
        statement = Statement(one_line(text), StatementKind.CHECKBOX, _CLI.via, 1)
        phases = (Phase.CONTENT, Phase.POSITION, Phase.ANSWER)
        if id:
            with self.opener.open_session(id, settle=False) as session:
                stage = session.plan.stage(session.flow.stage)
                context = session.context(None if stage.is_checkpoint else stage)
                (receipt,) = session.gate.prove([statement], context, phases)
                return receipt, session.binder.bind(statement.text)
        binder = load_binder(self.board.root, checks_left_by_agents(self.board))
        with Services() as services:
            settings = self.settings.model_dump(mode="json")
            context = Context(root=self.board.root, settings=settings, services=services)
            (receipt,) = Gate(binder).prove([statement], context, phases)
        return receipt, binder.bind(statement.text)

    def receipts(self, id: str) -> list[dict[str, Any]]:
        """A family's stored receipts, the newest of each statement, in the order of the stages."""
        history = Family(self.board, self.board.family(id)[0].id).history
        return sorted(newest_records(history).values(), key=lambda r: int(r["stage"]))

    def attestable(self, id: str) -> tuple[list[Receipt], str]:
        """A family's newest receipts, and the digest of the history that holds them.

        Raises TicketError for receipts that are not as they were written.
        """
        parent = self.board.family(id)[0]
        history = Family(self.board, parent.id).history
        if damage := find_damage(history, parent.flow, self.settings.trust.keys):
            raise damage.error()
        found = newest_receipts(history).values()
        return sorted(found, key=lambda receipt: receipt.stage), history.tip

    def status(self, id: str) -> dict[str, Any]:
        """Where a family is and what it waits for, JSON-able."""
        return family_status(self.board, id, self.settings, self.find_waits)

    def find_waits(self, id: str) -> list[str]:
        """Why the next stages of a family cannot begin yet; nothing is written."""
        from orchestrator.family.blockers import find_blockers

        try:
            family, _, plan, flow = self.opener.preview(id)
            action = machine.decide(flow, plan)
            stages = action.stages if isinstance(action, machine.Work) else ()
            limit = self.settings.wip_limit
            return find_blockers(self.board, family.ticket, flow, plan, stages, limit)
        except OrchestrateError as exc:
            return [exc.in_a_line]

    def inbox(self) -> list[dict[str, Any]]:
        """All open questions of the board, oldest first."""
        return list_open_requests(self.board, self.board.tickets())

    def log(self, id: str) -> list[dict[str, Any]]:
        """A family's history, oldest first."""
        return [dict(r) for r in Family(self.board, self.board.family(id)[0].id).history.records]

    def _preview(self, id: str, workflow: Path | None, until: int | None) -> RunOutcome:
        """What a run would do next, without writing anything."""
        family, read, plan, flow = self.opener.preview(id, workflow)
        _require_stage(plan, until)
        lines = [
            f"{'done' if s.number in flow.finished else 'to do'}: {s.label}"
            for s in plan.stages
            if until is None or s.number <= until
        ]
        return RunOutcome(
            family.parent, RunState.WAITING, flow.stage, (f"dry run of {read.path.name}", *lines)
        )


def _require_stage(plan: Plan, number: int | None) -> None:
    """Raise UsageError if the workflow has no stage of that number."""
    numbers = [stage.number for stage in plan.stages]
    if number is not None and number not in numbers:
        raise UsageError(
            f"there is no stage {number} in this workflow",
            hint=f"its stages: {', '.join(map(str, numbers))}",
            code="no-such-stage",
        )


def _outcome_of(
    session: Session,
    reasons: Sequence[str] = (),
    *,
    waits_for_work: bool = False,
    resumes_at: float | None = None,
) -> RunOutcome:
    flow = session.flow
    rests = flow.state.ended or flow.state is State.HELD
    state = RunState(flow.state.value) if rests else RunState.WAITING
    reasons = tuple(reasons) or ((flow.reason,) if flow.reason else ())
    return RunOutcome(session.plan.parent, state, flow.stage, reasons, waits_for_work, resumes_at)
