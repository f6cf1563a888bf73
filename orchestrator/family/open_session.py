"""Opening a family: its lock, its record, its workflow, and everything that advances it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from orchestrator.agent_process.dispatcher import Dispatcher
from orchestrator.config import Settings
from orchestrator.domain import machine
from orchestrator.domain.plan import Plan, make_plan
from orchestrator.domain.record import Flow
from orchestrator.domain.states import Part
from orchestrator.domain.workflow import Workflow
from orchestrator.errors import TicketError, UsageError, WorkflowError
from orchestrator.family import stale_writes
from orchestrator.family.family import Additions, Family, places
from orchestrator.family.session import Listener, Progress, ProgressKind, Session
from orchestrator.family.workflow_discovery import find_workflow, reference_to, referenced
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Check, Services, load_checks
from orchestrator.gates.proof_cache import user_proof_cache
from orchestrator.git.commits import Committer
from orchestrator.git.repository import main_worktree_path
from orchestrator.storage.atomic import replace as replace_file
from orchestrator.storage.history import History
from orchestrator.storage.locks import family_lock
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket


@dataclass
class Opener:
    """Opens families of a board."""

    board: Board
    settings: Settings
    dispatcher: Dispatcher
    listener: Listener
    #: what was last read or written at a path, as a hash of the bytes; for a watcher
    seen: dict[Path, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def open_session(
        self,
        id: str,
        workflow: Path | None = None,
        *,
        create: bool = False,
        settle: bool = True,
        fresh: bool = False,
        first: Additions | None = None,
    ) -> Iterator[Session]:
        """The family under its lock, settled, with its workflow read and its checks loaded.

        `fresh`: nothing is taken from earlier runs. `first`: what a new record writes besides.
        """
        parent, tickets = self._head(id)
        committer = Committer(self.board.root) if self.settings.git.commit else None
        if committer is not None:
            committer.require_quiet()
        if settle:
            self._require_home(parent)
        state = self.board.root / ".orchestrate" / "state"
        cache = None if fresh else user_proof_cache()
        with family_lock(state, parent) as lock, Services(cache) as services:
            taken = stale_writes.take_in(self.board, parent)
            if taken or not tickets:
                tickets = self.board.family(parent)
            # where they lay before the lock was taken: each is looked at again
            paths = {t.id: t.path for t in tickets}
            family = Family(self.board, parent, committer, paths, self.seen)
            family.locked = True
            family.on_move = lambda m, a, b: self.listener(
                Progress(ProgressKind.MOVE, f"{m}: {a} → {b}")
            )
            family.on_notice = lambda text: self.listener(Progress(ProgressKind.NOTICE, text))
            self._tell_strays(family, taken)
            read = self._workflow(family, workflow)
            plan = self._plan(read, parent)
            if not family.conducted:
                self._start(family, read, plan, create, first)
            elif settle:
                for notice in [*family.mend_record(), *family.settle()]:
                    family.history.append("notice", to="USER", text=notice, stage=family.flow.stage)
                    self.listener(Progress(ProgressKind.NOTICE, notice))
            binder = _binder(load_checks(self.board.root))
            try:
                yield Session(
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

    def preview(self, id: str, workflow: Path | None = None) -> tuple[Family, Workflow, Plan, Flow]:
        """A family without its lock, to look at: nothing is written.

        One that is not conducted yet has the record with which it would begin. Raises
        OrchestrateError where `session` would.
        """
        family = Family(self.board, self.board.family(id)[0].id)
        read = self._workflow(family, workflow)
        plan = self._plan(read, family.parent)
        flow = family.flow if family.conducted else self._first(family, read, plan)
        return family, read, plan, flow

    def _head(self, id: str) -> tuple[str, tuple[Ticket, ...]]:
        """The parent of a ticket's family, and all of it.

        Where a save at an old path has made a twin, nothing but the parent can be told yet.
        """
        try:
            tickets = self.board.family(id)
        except TicketError as exc:
            head = stale_writes.head_of(self.board, id) if exc.code == "duplicate-id" else None
            if head is None:
                raise
            return head, ()
        return tickets[0].id, tickets

    def _require_home(self, parent: str) -> None:
        """Refuse a family that the main worktree conducts, and has brought further than here."""
        home = main_worktree_path(self.board.root)
        if home is None:
            return
        there = home / self.board.path.relative_to(self.board.root)
        with contextlib.suppress(FileNotFoundError):
            told = History(there, parent).path.read_bytes()
            here = History(self.board.path, parent).path
            if not here.is_file() or not here.read_bytes().startswith(told):
                raise TicketError(
                    f"{parent} is conducted in the main worktree",
                    path=there,
                    code="elsewhere",
                    hint=f"run the command in {home}",
                )

    def _tell_strays(self, family: Family, taken: Sequence[stale_writes.TakenIn]) -> None:
        for kept in self.board.sweep():
            where = kept.relative_to(self.board.root)
            text = f"a process was killed while it wrote a ticket; what it had in hand is {where}"
            self.listener(Progress(ProgressKind.NOTICE, text))
        for each in taken:
            family.history.append("notice", to="USER", text=each.notice, stage=None)
            self.listener(Progress(ProgressKind.NOTICE, each.notice))
        if taken and family.committer is not None:
            family.history.flush()
            paths = {family.history.path, *(p for each in taken for p in each.paths)}
            family.committer.commit(paths, f"{family.parent}: a save at an old path is taken in")

    def _workflow(self, family: Family, given: Path | None) -> Workflow:
        ticket = family.ticket(family.parent)
        if family.conducted and given is None:
            given = referenced(self.board.root, family.flow.workflow)
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
            self.listener(
                Progress(ProgressKind.NOTICE, f"{exc}; the workflow as it was stays in force")
            )
            good = find_workflow(self.board.root, self.settings, ticket, kept)
            return replace(good, path=given or good.path)
        if read.sha256 == family.flow.sha256 and not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            replace_file(kept, read.path.read_bytes())
        return read

    def _require_same(self, flow: Flow, given: Path) -> None:
        pinned = referenced(self.board.root, flow.workflow).resolve()
        if given.resolve() != pinned:
            raise UsageError(
                f"the family is pinned to {flow.workflow}",
                path=given,
                hint="leave --workflow out, or edit the pinned file (USER is then asked)",
            )

    def _plan(self, workflow: Workflow, parent: str) -> Plan:
        agents = {s.agent for s in workflow.stages if not s.is_checkpoint}
        parts = {name: self.settings.agent(name).part for name in agents}
        inspector = self.settings.agent_playing(Part.INSPECTOR) or "USER"
        self._require_agents(workflow)
        return make_plan(workflow, parent, parts, inspector, self.settings.failure_limit)

    def _require_agents(self, workflow: Workflow) -> None:
        from orchestrator.agent_process.worker import agent_names

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
        if found[parent.id].at.at_rest:
            raise TicketError(
                f"{parent.id} lies in {parent.folder}; a family starts from a working folder",
                path=parent.path,
                code="not-startable",
                hint="move it to INBOX or TRIAGE first",
            )
        for ticket in tickets:
            ticket.require_utf8()
        self._require_own(workflow, plan, tickets)
        reference = reference_to(self.board.root, workflow.path)
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


@lru_cache(maxsize=4)
def _binder(checks: tuple[Check, ...]) -> Binder:
    return Binder(checks)


def _first_owner(family: Family) -> str:
    """Who owned the parent when the family came under the conductor; "" if nothing says so."""
    first: dict[str, Any] = next(iter(family.history.of("transition")), {"members": {}})
    return str(first["members"].get(family.parent, {}).get("owner", ""))
