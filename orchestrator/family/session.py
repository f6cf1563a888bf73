"""One family in hand: everything that the parts of the conductor share while they advance it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.agent_process.dispatcher import Dispatcher, Engine
from orchestrator.domain.plan import Plan
from orchestrator.domain.record import Flow, State
from orchestrator.domain.states import Part
from orchestrator.domain.workflow import Stage, Statement, StatementKind, Workflow
from orchestrator.errors import TicketError
from orchestrator.family.additions import Additions
from orchestrator.family.attempt_files import PERSON, Worker, pack
from orchestrator.family.change_log import ChangeLog, change_log_of
from orchestrator.family.checkouts import checkout_of
from orchestrator.family.checks_at_work import watch_checks
from orchestrator.family.closed_questions import fold_question
from orchestrator.family.family import Family
from orchestrator.family.guarded import Watch
from orchestrator.family.kept_criteria import files_in_force
from orchestrator.family.untrusted_checks import untrusted_checks
from orchestrator.gates.checks import Context, Phase, Services, Verdict
from orchestrator.gates.loading import load_binder
from orchestrator.gates.receipts import Gate, Receipt, newest_receipts
from orchestrator.settings.board import FILE
from orchestrator.settings.config import Settings
from orchestrator.storage.atomic import inside, place_inside, sha256_file
from orchestrator.tickets.board import Board
from orchestrator.tickets.criteria import Criteria
from orchestrator.workspaces.checkout import Checkout

if TYPE_CHECKING:
    from orchestrator.family.at_rest import Rest
    from orchestrator.gates.binding import Binder

#: what rules a family's work, besides its workflow and whose signatures count
RULING = (FILE, "checks", "templates/prompts")


class ProgressKind(StrEnum):
    """What happened in a run."""

    STAGE = "stage"
    AGENT = "agent"
    REPORT = "report"
    STATEMENT = "statement"
    MOVE = "move"
    QUESTION = "question"
    EFFECT = "effect"
    NOTICE = "notice"


@dataclass(frozen=True)
class Progress:
    """One event of a run, as a listener gets it."""

    kind: ProgressKind
    text: str
    stage: int | None = None
    agent: str = ""
    verdict: str = ""
    seconds: float = 0.0


Listener = Callable[[Progress], None]


@dataclass
class Session:
    """A family under its lock, its plan and workflow, and the means to advance it."""

    board: Board
    settings: Settings
    family: Family
    workflow: Workflow
    plan: Plan
    load_binder: Callable[[], Binder]
    services: Services
    dispatcher: Engine = field(default_factory=Dispatcher)
    listener: Listener = lambda _: None
    lock_fd: int | None = None
    #: why the next question is asked again
    changed: tuple[str, ...] = ()
    #: the family's own session, where this is one for a stage with a checkout of its own
    main: Session | None = None
    #: how the run of a family ended that waits, and on what it rests
    rest: Rest | None = None
    #: statement → the revision at which its failure was reported
    _failed_at: dict[str, int] = field(default_factory=dict)
    #: statement → the attempt in which its newest receipt was made
    _attempts: dict[str, int] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """Where the family works: its checkout, else the workspace with the board."""
        return self.checkout.root if self.checkout is not None else self.board.root

    @cached_property
    def checkout(self) -> Checkout | None:
        """The family's checkout, made again if it is gone; None if it works in place."""
        return checkout_of(self.family)

    @property
    def flow(self) -> Flow:
        return self.family.flow

    @cached_property
    def binder(self) -> Binder:
        """What binds statements to checks."""
        return self.load_binder()

    @property
    def gate(self) -> Gate:
        return Gate(self.binder)

    def far_gate(self, stage: Stage, *, between_turns: bool = False) -> Gate:
        """A gate whose slow proofs workers may make, where `[workers] prove` lets them.

        Not for a question or before effects, and not with checks that nobody approved.
        """
        if self.checkout is None or untrusted_checks(self.family, self.changes):
            return self.gate
        tell = partial(self.report_progress, ProgressKind.NOTICE, stage=stage.number)
        return Gate(self.binder, elsewhere=self.dispatcher.prover(between_turns, tell))

    def report_progress(self, kind: ProgressKind, text: str, **fields: Any) -> None:
        self.listener(Progress(kind, text, **fields))

    def commit(
        self,
        flow: Flow,
        event: str,
        additions: Additions | None = None,
        stage: Stage | None = None,
    ) -> None:
        """Commit a transition of a stage (by default the one in hand), unless nothing changes.

        A question that it closes is folded.
        """
        if flow is self.flow:
            return
        additions, asked = additions or Additions(), self.flow.question
        if asked is not None and (flow.question is None or flow.question.number != asked.number):
            fold = fold_question(self.family.history, self.plan.parent, asked)
            if fold is not None:
                additions.fold(self.plan.parent, *fold)
        self.family.commit(flow, event, additions, stage.number if stage else None)
        if flow.state is State.HELD or flow.state.ended:
            self.dispatcher.withdraw(self.plan.parent, event)

    def require_committed(self) -> None:
        """Raise, once, why the last git commit was not made; what follows a move is done first."""
        if self.family.committer is not None:
            self.family.committer.raise_refused()

    @cached_property
    def changes(self) -> ChangeLog:
        """What the family's agents changed."""
        return change_log_of(self.family)

    def share(self) -> None:
        """Make what a session for one of the stages has to have in common with this one."""
        _ = self.watch, self._newest

    @cached_property
    def watch(self) -> Watch:
        """What only USER and the conductor write, while agents work that could write it too."""
        return Watch(self.family, self._ruling_files)

    def _ruling_files(self) -> list[str]:
        """Settings, keys, checks, prompts and the workflow in force, below the workspace."""
        root = self.board.root
        places = [*RULING, self.settings.approval.signers, self.flow.workflow]
        within = (p for p in places if not p.startswith(("/", "~")) and ".." not in p.split("/"))
        return [p for p in dict.fromkeys(within) if root.joinpath(p).parent.is_dir()]

    def worker_of(self, stage: Stage, attempt: int | None = None) -> Worker:
        """Whose attempt at a stage it is, and what it may change."""
        ticket = self.family.ticket(self.plan.members(stage, self.flow)[0])
        is_bound = self.plan.part(stage) is Part.MAKER
        return Worker(
            family=self.plan.parent,
            stage=stage.number,
            attempt=self.flow.attempt(stage.number) if attempt is None else attempt,
            agent=stage.agent,
            ticket=ticket.id,
            files=self.files_of(ticket.id) if is_bound else (),
            deliverables=tuple(d.path for d in stage.deliverables),
        )

    def files_of(self, member: str) -> tuple[str, ...]:
        """What a member's `files:` let its makers change."""
        return files_in_force(self.family.history, member, self.written_files(member))

    def written_files(self, member: str) -> Sequence[str]:
        return self.family.ticket(member).files

    def places_to_look_at(self) -> list[str]:
        """Files and folders whose changes matter even where git ignores them."""
        found = {d.path for _, d in self.workflow.deliverables}
        for member in self.flow.members:
            with contextlib.suppress(TicketError):
                found |= set(self.family.ticket(member).files)
        for pattern in self.settings.frozen:
            found |= {p.relative_to(self.root).as_posix() for p in self.root.glob(pattern)}
        return sorted(p for p in found if not p.startswith("/") and ".." not in p.split("/"))

    # -- statements --------------------------------------------------------------------------

    def statements(self, stage: Stage) -> tuple[Statement, ...]:
        """A stage's gate: its own statements; at an inspection the tickets' and metrics too.

        The inspection after which nothing more is made judges the criteria of every member.
        """
        own = list(stage.statements)
        if self.plan.part(stage) is Part.INSPECTOR:
            for member in self.plan.inspected(stage, self.flow):
                own += self.criteria(member).statements
            own += [s for s in self.workflow.statements if s.kind is StatementKind.METRIC]
        return tuple(dict.fromkeys(own))

    def criteria(self, member: str) -> Criteria:
        """What a member's ticket demands; not what agents appended to it (DESIGN 6.4)."""
        return self.family.criteria(member, self.settings.board.criteria_headings)

    def context(self, stage: Stage | None, target: Any = None) -> Context:
        """What checks may look at for this stage."""
        member = self.plan.members(stage, self.flow)[0] if stage else self.plan.parent
        return Context(
            root=self.root,
            home=self.board.root,
            ticket=member,
            parent=self.plan.parent,
            workflow=self.workflow,
            stage=stage,
            family=self.family.members(),
            artifacts={
                path: made
                for path, made in self.family.history.artifacts().items()
                if made["state"] != "deleted"
            },
            changed=self.changes.changed_paths,
            at_start=self.changes.tree.reader_at(self.changes.start),
            by_person=self._is_by_person,
            history=tuple(self.family.history.records),
            settings=self._settings,
            services=self.services,
            target=target,
        )

    def _is_by_person(self, path: str) -> bool:
        """Whether a person changed a path each time, while no agent worked."""
        attempts = (self.changes.touched() or {}).get(path, {})
        doers = [record["paths"][pack(path)][2] for record in attempts.values()]
        return bool(doers) and all(set(each) == {PERSON} for each in doers)

    @cached_property
    def _settings(self) -> dict[str, Any]:
        return self.settings.model_dump(mode="json")

    def prove(
        self, stage: Stage, phases: Iterable[Phase], *, target: Any = None, store: bool = True
    ) -> list[Receipt]:
        """Prove a stage's statements, store the receipts, and report what is found."""
        return self._prove(stage, self.statements(stage), phases, target, store, far=True)

    def judge(self, stage: Stage, phases: Iterable[Phase], *, target: Any = None) -> list[Receipt]:
        """The same for only those statements that have a claim of these phases."""
        wanted = frozenset(phases)
        statements = [s for s in self.statements(stage) if self.phases_of(s) & wanted]
        return self._prove(stage, statements, wanted, target, store=True)

    def phases_of(self, statement: Statement) -> frozenset[Phase]:
        """When a statement's claims are judged."""
        bound = self.binder.bind(statement.text)
        return frozenset(b.check.phase for b in bound if b.check is not None)

    def prove_all(
        self,
        stage: Stage,
        statements: Sequence[Statement],
        phases: Iterable[Phase],
        *,
        target: Any = None,
    ) -> list[Receipt]:
        """Prove any statements as part of a stage, and store the receipts."""
        return self._prove(stage, statements, phases, target, store=True)

    def _prove(
        self,
        stage: Stage,
        statements: Sequence[Statement],
        phases: Iterable[Phase],
        target: Any,
        store: bool,
        new_only: bool = False,
        far: bool = False,
    ) -> list[Receipt]:
        if not statements:
            return []
        # a proof may take long, and is made again after a crash; what was done before is not
        self.family.history.flush()
        if changed := untrusted_checks(self.family, self.changes):
            # also those that came while this session was open
            self.binder = load_binder(self.root, changed)
        newest = self._newest
        known = {key: receipt.id for key, receipt in newest.items()} if new_only else {}
        attempt = self.flow.attempt(stage.number)

        def report(receipt: Receipt) -> None:
            before = newest.get(receipt.key)
            verdict = "accepted" if self.is_accepted(receipt) else receipt.verdict.value
            # what fails again after the next try is news
            revision = self.flow.revision
            again = verdict == Verdict.FAILED and self._failed_at.get(receipt.key) != revision
            if before is not None and before.verdict is receipt.verdict and not again:
                return
            if verdict == Verdict.FAILED:
                self._failed_at[receipt.key] = revision
            text = f"{receipt.statement.shown} — {receipt.detail}"
            number = stage.number
            self.report_progress(ProgressKind.STATEMENT, text, stage=number, verdict=verdict)

        earlier = dict(newest)
        for key, receipt in newest.items():
            if self._attempts[key] != attempt:
                # tickets move again in each attempt: earlier positions do not count
                lasting = tuple(c for c in receipt.claims if c.phase is not Phase.POSITION)
                earlier[key] = replace(receipt, claims=lasting)
        context = self.context(stage, target)
        with watch_checks(self.changes, stage.number, self.places_to_look_at()):
            gate = self.far_gate(stage) if far else self.gate
            receipts = gate.prove(statements, context, phases, earlier=earlier, done=report)
        for receipt in receipts:
            newest[receipt.key] = receipt
            self._attempts[receipt.key] = attempt
            if store and known.get(receipt.key) != receipt.id:
                self.family.history.announce(
                    "receipt",
                    stage=stage.number,
                    attempt=attempt,
                    workflow=self.flow.sha256,
                    settings=self._settings_digest,
                    **receipt.to_dict(),
                )
        self.family.history.flush()
        return receipts

    def refresh(
        self, stages: Sequence[int], keys: Container[str] = (), *, again: bool = False
    ) -> None:
        """Prove again what has a receipt of these stages, or one of these keys of statements.

        Only that whose subject or check has changed, unless `again`: then all of it, as a verdict
        may depend on more than its subjects. A receipt that comes out the same is not stored again.
        """
        outdated: dict[int, list[Statement]] = {}
        known = newest_receipts(self.family.history, [s.number for s in self.plan.stages])
        editions = {c.name: c.edition for c in self.binder.checks} if known else {}
        for receipt in known.values():
            if receipt.stage not in stages and receipt.key not in keys:
                continue
            changed = any(self.sha(path) != sha for path, sha in receipt.subjects.items())
            about_content = any(c.phase is Phase.CONTENT for c in receipt.claims)
            changed = changed or (again and about_content)
            bound = self.binder.bind(receipt.statement.text)
            # what nothing proved may have a check now
            changed = changed or (
                [c.check for c in receipt.claims]
                != [b.check.name if b.check else "" for b in bound]
            )
            if changed or any(editions.get(c.check, "") != c.version for c in receipt.claims):
                outdated.setdefault(receipt.stage, []).append(receipt.statement)
        for number, statements in outdated.items():
            stage = self.plan.stage(number)
            self._prove(stage, statements, (Phase.CONTENT,), None, store=True, new_only=again)

    @cached_property
    def _newest(self) -> dict[str, Receipt]:
        """The newest receipt per statement, those of earlier runs included."""
        numbers = [s.number for s in self.plan.stages]
        receipts = newest_receipts(self.family.history, numbers)
        self._attempts |= {key: r.attempt for key, r in receipts.items()}
        return receipts

    @cached_property
    def _settings_digest(self) -> str:
        """Digest of the configuration under which receipts are made (DESIGN 6.4)."""
        return hashlib.sha256(self.settings.model_dump_json().encode()).hexdigest()[:16]

    # -- verdicts ----------------------------------------------------------------------------

    def is_accepted(self, receipt: Receipt) -> bool:
        """USER accepted this failed statement by name, and its subject has not changed since."""
        return receipt.is_accepted(self.flow.accepted)

    def failing(self, receipts: Iterable[Receipt]) -> list[Receipt]:
        """The failed receipts that USER has not accepted."""
        return [r for r in receipts if r.verdict is Verdict.FAILED and not self.is_accepted(r)]

    def inside(self, path: str) -> Path:
        """A path of the workspace. Raises UnsafePathError if it leaves it."""
        return inside(self._home_of(path), path)

    def _home_of(self, path: str) -> Path:
        on_board = path.startswith(f"{self.settings.board.folder}/")
        return self.board.root if on_board else self.root

    def sha(self, path: str) -> str:
        """sha256 of a workspace file, "absent", or "outside" behind a link that leads out."""
        if (file := place_inside(self._home_of(path), path)) is None:
            return "outside"
        return sha256_file(file) if file.is_file() else "absent"
