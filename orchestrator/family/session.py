"""One family in hand: everything that the parts of the conductor share while they advance it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestrator.agent_process.dispatcher import Dispatcher
from orchestrator.config import Settings
from orchestrator.domain.plan import Plan
from orchestrator.domain.record import Flow
from orchestrator.domain.states import Part
from orchestrator.domain.workflow import Stage, Statement, StatementKind, Workflow
from orchestrator.family.family import Additions, Family
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Phase, Services, Verdict
from orchestrator.gates.receipts import Gate, Receipt, newest_receipts
from orchestrator.storage.atomic import inside, sha256_file
from orchestrator.tickets.board import Board


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
    """A family, its plan and workflow, and the means to advance it."""

    board: Board
    settings: Settings
    family: Family
    workflow: Workflow
    plan: Plan
    binder: Binder
    services: Services
    dispatcher: Dispatcher = field(default_factory=Dispatcher)
    listener: Listener = lambda _: None
    lock_fd: int | None = None
    #: why the next question is asked again, in words
    changed: tuple[str, ...] = ()
    _receipts: dict[str, Receipt] | None = None
    #: the attempt in which each of them was made
    _attempts: dict[str, int] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.board.root

    @property
    def flow(self) -> Flow:
        return self.family.flow

    @property
    def gate(self) -> Gate:
        return Gate(self.binder)

    def report_progress(self, kind: ProgressKind, text: str, **fields: Any) -> None:
        self.listener(Progress(kind, text, **fields))

    def commit(self, flow: Flow, event: str, additions: Additions | None = None) -> None:
        if flow is not self.flow:
            self.family.commit(flow, event, additions)

    # -- statements --------------------------------------------------------------------------

    def statements(self, stage: Stage) -> tuple[Statement, ...]:
        """A stage's gate: its own statements; at an inspection the tickets' and the metrics too."""
        own = list(stage.statements)
        if self.plan.part(stage) is Part.INSPECTOR:
            for member in self.plan.members(stage, self.flow):
                own += self.family.ticket(member).acceptance()
            own += [s for s in self.workflow.statements if s.kind is StatementKind.METRIC]
        return tuple(dict.fromkeys(own))

    def context(self, stage: Stage | None, target: Any = None) -> Context:
        """What checks may look at for this stage."""
        member = self.plan.members(stage, self.flow)[0] if stage else self.plan.parent
        return Context(
            root=self.root,
            ticket=member,
            parent=self.plan.parent,
            workflow=self.workflow,
            stage=stage,
            family=self.family.members(),
            artifacts=self.family.history.artifacts(),
            history=tuple(self.family.history.records),
            settings=self._settings,
            services=self.services,
            target=target,
        )

    @cached_property
    def _settings(self) -> dict[str, Any]:
        return self.settings.model_dump(mode="json")

    def prove(
        self, stage: Stage, phases: Iterable[Phase], *, target: Any = None, store: bool = True
    ) -> list[Receipt]:
        """Prove a stage's statements, store the receipts, and tell what is found."""
        return self._proven(stage, self.statements(stage), phases, target, store)

    def judge(self, stage: Stage, phases: Iterable[Phase], *, target: Any = None) -> list[Receipt]:
        """The same for those statements only that have a claim of these phases."""
        wanted = frozenset(phases)
        statements = [s for s in self.statements(stage) if self.phases_of(s) & wanted]
        return self._proven(stage, statements, wanted, target, store=True)

    def phases_of(self, statement: Statement) -> frozenset[Phase]:
        """When a statement's claims are judged."""
        bound = self.binder.bind(statement.text)
        return frozenset(b.check.phase for b in bound if b.check is not None)

    def _proven(
        self,
        stage: Stage,
        statements: Sequence[Statement],
        phases: Iterable[Phase],
        target: Any,
        store: bool,
    ) -> list[Receipt]:
        if not statements:
            return []
        earlier = self._earlier()
        context = self.context(stage, target)

        def tell(receipt: Receipt) -> None:
            known = earlier.get(receipt.key)
            if known is None or known.verdict is not receipt.verdict:
                self._tell_receipt(stage, receipt)

        attempt = self.flow.attempt(stage.number)
        kept = {key: self._as_of(attempt, receipt) for key, receipt in earlier.items()}
        receipts = self.gate.prove(statements, context, phases, earlier=kept, done=tell)
        for receipt in receipts:
            earlier[receipt.key] = receipt
            self._attempts[receipt.key] = attempt
            if store:
                self._store(stage, receipt)
        return receipts

    def refresh(self, stages: Sequence[int]) -> None:
        """Prove again what has a receipt of these stages and whose subject or check has changed."""
        outdated: dict[int, list[Statement]] = {}
        for receipt in newest_receipts(self.family.history, stages).values():
            if self._is_outdated(receipt):
                outdated.setdefault(receipt.stage, []).append(receipt.statement)
        for number, statements in outdated.items():
            stage = self.plan.stage(number)
            self._proven(stage, statements, (Phase.CONTENT,), None, store=True)

    def _is_outdated(self, receipt: Receipt) -> bool:
        if any(self.sha(path) != sha for path, sha in receipt.subjects.items()):
            return True
        editions = {c.name: c.edition for c in self.binder.checks}
        return any(editions.get(c.check, "") != c.version for c in receipt.claims)

    def _earlier(self) -> dict[str, Receipt]:
        """The newest receipt per statement, those of earlier runs included."""
        if self._receipts is None:
            numbers = [s.number for s in self.plan.stages]
            self._receipts = newest_receipts(self.family.history, numbers)
            self._attempts |= {key: r.attempt for key, r in self._receipts.items()}
        return self._receipts

    def _as_of(self, attempt: int, receipt: Receipt) -> Receipt:
        """A receipt without where the tickets lay in another attempt: they move anew."""
        if self._attempts[receipt.key] == attempt:
            return receipt
        lasting = tuple(c for c in receipt.claims if c.phase is not Phase.POSITION)
        return replace(receipt, claims=lasting)

    def _store(self, stage: Stage, receipt: Receipt) -> None:
        self.family.history.append(
            "receipt",
            stage=stage.number,
            attempt=self.flow.attempt(stage.number),
            workflow=self.flow.sha256,
            settings=self.criteria,
            **receipt.to_dict(),
        )

    @property
    def criteria(self) -> str:
        """Digest of the configuration under which receipts are made (DESIGN 6.4)."""
        return hashlib.sha256(self.settings.model_dump_json().encode()).hexdigest()[:16]

    def _tell_receipt(self, stage: Stage, receipt: Receipt) -> None:
        verdict = receipt.verdict.value
        if self.is_accepted(receipt):
            verdict = "accepted"
        self.report_progress(
            ProgressKind.STATEMENT,
            f"{receipt.statement.text} — {receipt.detail}",
            stage=stage.number,
            verdict=verdict,
        )

    # -- verdicts ----------------------------------------------------------------------------

    def is_accepted(self, receipt: Receipt) -> bool:
        """USER accepted this failed statement by name, and its subject has not changed since."""
        return receipt.is_accepted(self.flow.accepted)

    def failing(self, receipts: Iterable[Receipt]) -> list[Receipt]:
        return [r for r in receipts if r.verdict is Verdict.FAILED and not self.is_accepted(r)]

    def inside(self, path: str) -> Path:
        """A path of the workspace. Raises UnsafePathError if it leaves it."""
        return inside(self.root, path)

    def sha(self, path: str) -> str:
        """sha256 of a workspace file, or "absent"."""
        file = self.inside(path)
        return sha256_file(file) if file.is_file() else "absent"
