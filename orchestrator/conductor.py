"""The conductor: the loop that advances a family, and the doors through which USER answers it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from orchestrator import answering, applying, asking, machine, stages, strays
from orchestrator.agent import Agent
from orchestrator.binding import Binder, Binding
from orchestrator.board import Board
from orchestrator.case import Case, Listener, Progress
from orchestrator.checks import Check, Context, Phase, Services, load_checks
from orchestrator.commits import Committer
from orchestrator.config import Settings, load_settings
from orchestrator.dispatch import Dispatcher
from orchestrator.errors import TicketError, UsageError, WorkflowError
from orchestrator.family import Additions, Family, places
from orchestrator.files import family_lock
from orchestrator.files import replace as replace_file
from orchestrator.flow import Flow, QuestionKind, State
from orchestrator.gate import Gate, Receipt
from orchestrator.locate import find_workflow
from orchestrator.memo import user_memo
from orchestrator.plan import Plan, make_plan
from orchestrator.questions import Answer
from orchestrator.report import family_status, inbox_entry
from orchestrator.states import Event, FolderRole
from orchestrator.templating import one_line
from orchestrator.ticket import Ticket
from orchestrator.verify import Verified, verify
from orchestrator.waits import waits
from orchestrator.workflow import Stage, Statement, StatementKind, Workflow

__all__ = ["Conductor", "Progress", "RunOutcome"]

_EXIT = {"complete": 0, "waiting": 10, "held": 11, "failed": 1}
#: with a first record, what a status says besides the folder is drift and no wish (DESIGN 2.5)
ADOPTED = Additions(over_wishes=True)
_NOT_STARTED = (FolderRole.COMPLETE, FolderRole.ARCHIVE, FolderRole.HOLD, FolderRole.BACKLOG)


@dataclass(frozen=True)
class RunOutcome:
    """Where a run ended: "complete", "waiting" (for USER or a person), "held" or "failed"."""

    ticket: str
    outcome: str
    stage: int | None
    reasons: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 complete, 10 waiting, 11 held, 1 failed."""
        return _EXIT[self.outcome]

    def to_dict(self) -> dict[str, Any]:
        return {
            "ticket": self.ticket,
            "outcome": self.outcome,
            "stage": self.stage,
            "reasons": list(self.reasons),
        }


class Conductor:
    """Runs families of a board. `agents` run in this process, in place of child processes."""

    def __init__(
        self,
        board: Board,
        *,
        settings: Settings | None = None,
        agents: Mapping[str, Agent] | None = None,
        on_event: Listener | None = None,
    ) -> None:
        self.board = board
        self.settings = settings or load_settings(board.root)
        self.dispatcher = Dispatcher(agents)
        self.listener: Listener = on_event or (lambda _: None)
        #: what was last read or written at a path, as a hash of the bytes; for a watcher
        self.seen: dict[Path, int] = {}

    # -- the loop ----------------------------------------------------------------------------

    def run(
        self,
        id: str,
        *,
        workflow: Path | None = None,
        until: int | None = None,
        dry_run: bool = False,
        create: bool = True,
    ) -> RunOutcome:
        """Advance the family of a ticket until it is complete, waits, is held or fails.

        With `create=False` a family that is not conducted yet is left alone (TicketError).
        Raises OrchestrateError (TicketError, WorkflowError, BusyError, …) when it cannot begin.
        """
        if dry_run:
            return self._preview(id, workflow, until)
        with self.case(id, workflow, create=create) as case:
            outcome = self._advance(case, until)
            if case.family.committer is not None:
                # receipts of what was proven after the last move
                case.family.sync()
                case.family.committer.commit([case.family.history.path], f"{id}: receipts")
            return outcome

    def _advance(self, case: Case, until: int | None) -> RunOutcome:
        blocked = stages.judge_interrupted(case)
        if blocked is not None:
            self._blocked(case, blocked)
        while True:
            refused = answering.take_wishes(case)
            if refused:
                return self._outcome(case, refused)
            if self._pinned_anew(case):
                return self._outcome(case)
            self._lapse(case)
            action = machine.decide(case.flow, case.plan)
            match action:
                case machine.Stop() | machine.Wait():
                    return self._outcome(case)
                case machine.Work(stages=group):
                    if until is not None and group[0].number > until:
                        return self._outcome(
                            case, [f"stopped before {group[0].label} (--until {until})"]
                        )
                    stop = self._work(case, group)
                    if stop:
                        return self._outcome(case, stop)
                case machine.Ask(stage=stage):
                    if until is not None and stage.number > until:
                        return self._outcome(
                            case, [f"stopped before {stage.label} (--until {until})"]
                        )
                    asking.pose(case, stage, asking.checkpoint_sheet(case, stage, case.changed))
                    case.changed = ()
                case machine.RunEffects(stage=stage):
                    applying.apply(case, stage)

    def _work(self, case: Case, group: Sequence[Stage]) -> list[str]:
        reasons = waits(
            self.board, case.family.ticket, case.flow, case.plan, group, self.settings.wip_limit
        )
        if reasons:
            return reasons
        blocked = stages.work(case, group)
        return self._blocked(case, blocked) if blocked is not None else []

    @staticmethod
    def _blocked(case: Case, blocked: stages.Blocked) -> list[str]:
        """Ask USER about a stage that did not come through, or say what a person has to do."""
        if not blocked.ask:
            case.commit(machine.need_person(case.flow, case.plan, blocked.reason), "needs a person")
            return [blocked.reason]
        shown = asking.stopped_statements(case, blocked.stage)
        sheet = asking.exception_sheet(
            case, blocked.stage, QuestionKind.EXCEPTION, blocked.reason, shown
        )
        asking.pose(case, blocked.stage, sheet)
        return []

    def _pinned_anew(self, case: Case) -> bool:
        """Ask USER when the pinned workflow has changed under way (DESIGN 4.4)."""
        flow = case.flow
        if flow.sha256 == case.workflow.sha256 or flow.state in (State.COMPLETE, State.ARCHIVED):
            return False
        if flow.question is not None and flow.question.kind is QuestionKind.WORKFLOW:
            return False
        why = (
            f"The workflow `{flow.workflow}` has changed since this family was pinned to it "
            f"(sha256 {flow.sha256[:12]} is now {case.workflow.sha256[:12]}). "
            "Approving takes the changed one; approvals given under the old one lapse."
        )
        if flow.question is not None:
            case.commit(machine.withdraw(flow, case.plan), "question withdrawn: workflow changed")
        stage = case.plan.stage(case.flow.stage)
        sheet = asking.exception_sheet(case, stage, QuestionKind.WORKFLOW, why, ())
        asking.pose(case, stage, sheet, drop=("accept", "target"))
        return True

    def _lapse(self, case: Case) -> None:
        if case.flow.question is not None or case.flow.state in (State.COMPLETE, State.HELD):
            return
        for approval in case.flow.approvals:
            if approval.effects_done:
                continue
            changed = asking.stale(case, approval)
            if changed and approval.stage in {*case.flow.finished, case.flow.stage}:
                label = case.plan.stage(approval.stage).label
                case.changed = tuple(changed)
                case.tell("notice", f"the approval of {label} lapses: {'; '.join(changed)}")
                case.family.history.append("lapse", stage=approval.stage, changed=changed)
                case.commit(
                    machine.lapse(case.flow, case.plan, approval.stage),
                    f"approval of stage {approval.stage} lapsed",
                )

    def _outcome(self, case: Case, reasons: Sequence[str] = ()) -> RunOutcome:
        flow = case.flow
        found = {
            State.COMPLETE: "complete",
            State.ARCHIVED: "complete",
            State.HELD: "held",
        }.get(flow.state, "waiting")
        said = tuple(reasons) or ((flow.reason,) if flow.reason else ())
        return RunOutcome(case.plan.parent, found, flow.stage, said)

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

        Raises AnswerRefusedError if it leaves something open, or covers what has changed.
        """
        answer = Answer(
            "approved", note, tuple(accept), accept_unproven, target, via="command line"
        )
        return self._answer(id, answer)

    def send_back(self, id: str, *, member: str = "", note: str = "") -> RunOutcome:
        """Record that USER wants changes, with the words, from a member or from the last makers."""
        members = (member,) if member else ()
        return self._answer(
            id, Answer("changes_requested", note, members=members, via="command line")
        )

    def hold(self, id: str, *, reason: str) -> RunOutcome:
        """Put a family (or the named child) on HOLD. Raises UsageError without a reason."""
        if not reason.strip():
            raise UsageError("a hold needs a reason", hint='--reason "…"')
        with self.case(id) as case:
            answering.hold(case, self._member(case, id), reason)
            return self._outcome(case)

    def resume(self, id: str) -> RunOutcome:
        """Let a held family go on from where it was, its failure counts at 0."""
        with self.case(id) as case:
            answering.resume(case)
            return self._outcome(case)

    def archive(self, id: str) -> RunOutcome:
        """Put a family away for good; an open question closes unanswered."""
        return self._steer(id, Event.ARCHIVE)

    def shelve(self, id: str) -> RunOutcome:
        """Put a family that lies in TRIAGE or HOLD into the backlog; `resume` takes it out."""
        return self._steer(id, Event.SHELVE)

    def reopen(self, id: str) -> RunOutcome:
        """Begin a new round of a family that is complete or archived, its counts at 0."""
        return self._steer(id, Event.REOPEN)

    def _steer(self, id: str, event: Event) -> RunOutcome:
        with self.case(id) as case:
            answering.steer(case, event)
            return self._outcome(case)

    def undo(self, id: str) -> RunOutcome:
        """Withdraw the latest approval, until its effects start; the checkpoint is asked again."""
        with self.case(id) as case:
            after = machine.undo(case.flow, case.plan)
            answering.record(case, "undo")
            case.commit(after, "approval withdrawn by USER")
            stage = case.plan.stage(case.flow.stage)
            if stage.is_checkpoint:
                asking.pose(case, stage, asking.checkpoint_sheet(case, stage))
            return self._outcome(case)

    def adopt(self, id: str, *, workflow: Path | None = None) -> RunOutcome:
        """Take a family into the record where its tickets lie, without doing anything yet.

        A status that says otherwise than the folder is no wish yet, and is set to the folder.
        """
        with self.case(id, workflow, create=True, first=ADOPTED) as case:
            return self._outcome(case, [f"adopted at {case.plan.stage(case.flow.stage).label}"])

    def foresee(self, id: str, *, workflow: Path | None = None) -> tuple[Family, Workflow, Flow]:
        """The family, its workflow and the record that `adopt` would begin; nothing is written.

        Raises OrchestrateError where `adopt` would.
        """
        family = Family(self.board, self._parent_of(id))
        read = self._workflow(family, workflow)
        return family, read, self._first(family, read, self._plan(read, family.parent))

    def _answer(self, id: str, answer: Answer) -> RunOutcome:
        with self.case(id) as case:
            answering.take(case, answer)
            return self._outcome(case)

    # -- reading -----------------------------------------------------------------------------

    def verify(self, id: str, *, fresh: bool = False) -> list[Verified]:
        """Prove everything that has a receipt again, on today's tree (DESIGN 6.5).

        What ran on the very same bytes before is not run again, unless `fresh`.
        """
        with self.case(id, settle=False, fresh=fresh) as case:
            return verify(case)

    def try_statement(self, text: str, id: str = "") -> tuple[Receipt, tuple[Binding, ...]]:
        """Which checks a statement binds to and what they say now, without storing anything."""
        statement = Statement(one_line(text), StatementKind.CHECKBOX, "command line", 1)
        phases = (Phase.CONTENT, Phase.POSITION, Phase.ANSWER)
        if id:
            with self.case(id, settle=False) as case:
                stage = case.plan.stage(case.flow.stage)
                context = case.context(None if stage.is_checkpoint else stage)
                (receipt,) = case.gate.prove([statement], context, phases)
                return receipt, case.binder.bind(statement.text)
        binder = Binder(load_checks(self.board.root))
        with Services() as services:
            settings = self.settings.model_dump(mode="json")
            context = Context(root=self.board.root, settings=settings, services=services)
            (receipt,) = Gate(binder).prove([statement], context, phases)
        return receipt, binder.bind(statement.text)

    def receipts(self, id: str) -> list[dict[str, Any]]:
        """A family's stored receipts, the newest of each statement, in the order of the stages."""
        newest: dict[tuple[str, str], dict[str, Any]] = {}
        for record in self.log(id):
            if record["type"] == "receipt":
                told = record["statement"]
                newest[(told["ticket"] or told["source"], told["text"])] = record
        return sorted(newest.values(), key=lambda r: int(r["stage"]))

    def status(self, id: str) -> dict[str, Any]:
        """Where a family stands, JSON-able."""
        return family_status(self.board, self._parent_of(id))

    def inbox(self) -> list[dict[str, Any]]:
        """All open questions of the board, oldest first."""
        found = [inbox_entry(self.board, t) for t in self.board.tickets() if t.flow]
        return sorted((e for e in found if e), key=lambda e: e["asked"])

    def log(self, id: str) -> list[dict[str, Any]]:
        """A family's history, oldest first."""
        return [dict(r) for r in Family(self.board, self._parent_of(id)).history.records]

    # -- opening a family --------------------------------------------------------------------

    def _parent_of(self, id: str) -> str:
        return self.board.family(id)[0].id

    @contextmanager
    def case(
        self,
        id: str,
        workflow: Path | None = None,
        *,
        create: bool = False,
        settle: bool = True,
        fresh: bool = False,
        first: Additions | None = None,
    ) -> Iterator[Case]:
        """The family under its lock, settled, with its workflow read and its checks loaded.

        `fresh`: nothing is taken from earlier runs. `first`: what a new record writes besides.
        """
        parent, tickets = self._head(id)
        committer = Committer(self.board.root) if self.settings.git.commit else None
        if committer is not None:
            committer.require_quiet()
        state = self.board.root / ".orchestrate" / "state"
        memo = None if fresh else user_memo()
        with family_lock(state, parent) as lock, Services(memo) as services:
            taken = strays.take_in(self.board, parent)
            if taken or not tickets:
                tickets = self.board.family(parent)
            # where they lay before the lock was taken: each is looked at again
            paths = {t.id: t.path for t in tickets}
            family = Family(self.board, parent, committer, paths, self.seen)
            family.locked = True
            family.on_move = lambda m, a, b: self.listener(Progress("move", f"{m}: {a} → {b}"))
            family.on_notice = lambda text: self.listener(Progress("notice", text))
            self._tell_strays(family, taken)
            read = self._workflow(family, workflow)
            plan = self._plan(read, parent)
            if not family.conducted:
                self._start(family, read, plan, create, first)
            elif settle:
                for notice in [*family.mend_record(), *family.settle()]:
                    family.history.append("notice", to="USER", text=notice, stage=family.flow.stage)
                    self.listener(Progress("notice", notice))
            binder = _binder(load_checks(self.board.root))
            try:
                yield Case(
                    self.board,
                    self.settings,
                    family,
                    read,
                    plan,
                    binder,
                    services,
                    self.dispatcher,
                    self.listener,
                    lock.fd,
                )
            finally:
                family.sync()

    def _head(self, id: str) -> tuple[str, tuple[Ticket, ...]]:
        """The parent of a ticket's family, and all of it.

        Where a save at an old path has made a twin, nothing but the parent can be told yet.
        """
        try:
            tickets = self.board.family(id)
        except TicketError as exc:
            head = strays.head_of(self.board, id) if exc.code == "duplicate-id" else None
            if head is None:
                raise
            return head, ()
        return tickets[0].id, tickets

    def _tell_strays(self, family: Family, taken: Sequence[strays.TakenIn]) -> None:
        for kept in self.board.sweep():
            where = kept.relative_to(self.board.root)
            text = f"a process was killed while it wrote a ticket; what it had in hand is {where}"
            self.listener(Progress("notice", text))
        for each in taken:
            family.history.append("notice", to="USER", text=each.notice, stage=None)
            self.listener(Progress("notice", each.notice))
        if taken and family.committer is not None:
            family.history.flush()
            paths = {family.history.path, *(p for each in taken for p in each.paths)}
            family.committer.commit(paths, f"{family.parent}: a save at an old path is taken in")

    def _workflow(self, family: Family, given: Path | None) -> Workflow:
        ticket = family.ticket(family.parent)
        if family.conducted and given is None:
            given = self.board.root / family.flow.workflow
        elif family.conducted and given is not None:
            self._require_same(family.flow, given)
        if not family.conducted:
            return find_workflow(self.board.root, self.settings, ticket, given)
        # a template names its maker by the owner, and the owner changes under way
        ticket = replace(ticket, owner=_first_owner(family) or ticket.owner)
        return self._pinned(family, ticket, given)

    def _pinned(self, family: Family, ticket: Ticket, given: Path | None) -> Workflow:
        """A conducted family's workflow; the last good one while the file does not parse."""
        kept = self.board.root / ".orchestrate" / "state" / "workflows" / family.flow.sha256
        try:
            read = find_workflow(self.board.root, self.settings, ticket, given)
        except WorkflowError as exc:
            if exc.code == "no-such-workflow" or not kept.is_file():
                raise
            self.listener(Progress("notice", f"{exc}; the workflow as it was stays in force"))
            good = find_workflow(self.board.root, self.settings, ticket, kept)
            return replace(good, path=given or good.path)
        if read.sha256 == family.flow.sha256 and not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            replace_file(kept, read.path.read_bytes())
        return read

    def _require_same(self, flow: Flow, given: Path) -> None:
        pinned = (self.board.root / flow.workflow).resolve()
        if given.resolve() != pinned:
            raise UsageError(
                f"the family is pinned to {flow.workflow}",
                path=given,
                hint="leave --workflow out, or edit the pinned file (USER is then asked)",
            )

    def _plan(self, workflow: Workflow, parent: str) -> Plan:
        agents = {s.agent for s in workflow.stages if not s.is_checkpoint}
        parts = {name: self.settings.agent(name).part for name in agents}
        inspector = self.settings.agent_playing("inspector") or "INSPECTOR"
        self._require_agents(workflow)
        return make_plan(workflow, parent, parts, inspector, self.settings.failure_limit)

    def _require_agents(self, workflow: Workflow) -> None:
        from orchestrator.worker import agent_names

        known = {
            *agent_names(),
            *self.dispatcher.inside,
            *(n for n, a in self.settings.agents.items() if a.command),
        }
        for stage in workflow.stages:
            if not stage.is_checkpoint and stage.agent not in known:
                raise WorkflowError(
                    f"there is no agent {stage.agent}",
                    path=workflow.path,
                    line=stage.line,
                    code="no-such-agent",
                    hint=f"known: {', '.join(sorted(known))}; or name a command under "
                    f"[agents.{stage.agent}] in orchestrate.toml",
                )

    def _start(
        self,
        family: Family,
        workflow: Workflow,
        plan: Plan,
        create: bool,
        first: Additions | None,
    ) -> None:
        if not create:
            parent = family.ticket(family.parent)
            raise TicketError(
                f"{parent.id} is not conducted yet",
                path=parent.path,
                code="not-conducted",
                hint=f"orchestrate run {parent.id}",
            )
        family.commit(self._first(family, workflow, plan), "conducted", first)

    def _first(self, family: Family, workflow: Workflow, plan: Plan) -> Flow:
        """The record with which a family begins, where its tickets lie."""
        tickets = self.board.family(family.parent)
        parent = tickets[0]
        found = places(self.board, tickets)
        if found[parent.id].at in _NOT_STARTED:
            raise TicketError(
                f"{parent.id} lies in {parent.folder}; a family starts from a working folder",
                path=parent.path,
                code="not-startable",
                hint="move it to INBOX or TRIAGE first",
            )
        self._require_own(workflow, plan, tickets)
        reference = _reference(self.board.root, workflow.path)
        return machine.start(reference, workflow.sha256, found, plan)

    def _require_own(self, workflow: Workflow, plan: Plan, tickets: Sequence[Ticket]) -> None:
        """Refuse a stage that names a ticket outside the family (DESIGN 4.7)."""
        own = {t.id for t in tickets} | {c.id for s in workflow.stages for c in s.children}
        for stage in workflow.stages:
            for member in (*stage.members, *(m for move in stage.moves for m in move.members)):
                if member not in own:
                    raise WorkflowError(
                        f"{stage.label} works on {member}, which is not of {plan.parent}'s family",
                        path=workflow.path,
                        line=stage.line,
                        code="foreign-ticket",
                        hint=f"the family: {', '.join(sorted(own))}",
                    )

    @staticmethod
    def _member(case: Case, id: str) -> str:
        return id if id in case.flow.members else case.plan.parent

    def _preview(self, id: str, workflow: Path | None, until: int | None) -> RunOutcome:
        """What a run would do next, without writing anything."""
        parent = self._parent_of(id)
        family = Family(self.board, parent)
        read = self._workflow(family, workflow)
        plan = self._plan(read, parent)
        if family.conducted:
            flow = family.flow
        else:
            found = places(self.board, self.board.family(parent))
            flow = machine.start(_reference(self.board.root, read.path), read.sha256, found, plan)
        lines = [
            f"{'done' if s.number in flow.finished else 'to do'}: {s.label}"
            for s in plan.stages
            if until is None or s.number <= until
        ]
        return RunOutcome(parent, "waiting", flow.stage, (f"dry run of {read.path.name}", *lines))


@lru_cache(maxsize=4)
def _binder(checks: tuple[Check, ...]) -> Binder:
    return Binder(checks)


def _first_owner(family: Family) -> str:
    """Who owned the parent when the family came under the conductor; "" if nothing says so."""
    first: dict[str, Any] = next(iter(family.history.of("transition")), {"members": {}})
    return str(first["members"].get(family.parent, {}).get("owner", ""))


def _reference(root: Path, path: Path) -> str:
    """How the record names the workflow: relative to the workspace where it lies inside."""
    try:
        return str(path.resolve().relative_to(root.resolve()))
    except ValueError:
        return str(path.resolve())
