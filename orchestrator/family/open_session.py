"""Opening a family: its lock, its record, its workflow, and everything that advances it."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.agent_process.dispatcher import Engine
from orchestrator.agent_process.worker import agent_names
from orchestrator.domain import machine
from orchestrator.domain.plan import Plan, make_plan
from orchestrator.domain.record import Flow
from orchestrator.domain.states import Part
from orchestrator.domain.workflow import Workflow
from orchestrator.errors import GitAtWorkError, TicketError, UsageError, WorkflowError
from orchestrator.family import at_rest, stale_writes
from orchestrator.family.additions import Additions
from orchestrator.family.checkouts import mend_checkout, needs_checkout
from orchestrator.family.family import Family
from orchestrator.family.intact import ALTERED, find_damage
from orchestrator.family.known_history import AWAY, KnownHistory, require_home
from orchestrator.family.late_children import join_late_children
from orchestrator.family.membership import (
    require_listed_children,
    require_no_cycle,
    require_whole,
)
from orchestrator.family.session import Listener, Progress, ProgressKind, Session
from orchestrator.family.startable import (
    find_places,
    require_clear_beginning,
    require_read_gates,
    require_settled_statuses,
    require_startable_status,
)
from orchestrator.family.untrusted_checks import untrusted_checks
from orchestrator.family.workflow_discovery import find_workflow, reference_to, referenced
from orchestrator.gates.checks import Check, Services
from orchestrator.gates.loading import has_own_checks, load_checks
from orchestrator.gates.proof_cache import user_proof_cache
from orchestrator.git.activity import require_quiet
from orchestrator.git.commits import Committer
from orchestrator.settings.config import Settings
from orchestrator.storage.atomic import replace as replace_file
from orchestrator.storage.history import History, Record, has_signature
from orchestrator.storage.locks import family_lock
from orchestrator.storage.temporary import sweep
from orchestrator.storage.written import is_agents
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket
from orchestrator.workspaces.checkout import begin_checkout

if TYPE_CHECKING:
    from orchestrator.gates.binding import Binder

#: what is wrong with keys so that one of them is not read at all
_UNREAD_KEYS = ("yaml-tab", "no-colon", "keys-unread")
#: what is wrong with a workflow so that its last good version must not stand in for it
_REFUSED = ("no-such-workflow", "merge-conflict")
_binders: deque[tuple[tuple[Check, ...], bool, Binder]] = deque(maxlen=4)


@dataclass
class Opener:
    """Opens families of a board."""

    board: Board
    settings: Settings
    dispatcher: Engine
    listener: Listener
    #: path → hash of the bytes last read or written there; for a watcher
    seen: dict[Path, int] = field(default_factory=dict)
    #: codes of doubts about a workflow with which USER lets a family begin
    accept_doubts: frozenset[str] = frozenset()

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
        from_here: bool = False,
        anew: bool = False,
        consent: Callable[[Sequence[Ticket], Workflow], None] | None = None,
        work: bool = False,
    ) -> Iterator[Session]:
        """The family under its lock, settled, with its workflow read and its checks loaded.

        `work`: its agents begin to be loaded beside that, where it is for them to go on.
        `fresh`: nothing is taken from earlier runs. `first`: what a new record writes besides.
        `consent` gets the tickets and the workflow before any of it is written, and may raise.
        `from_here`: the board counts even if a newer one was seen here. `anew`: so do receipts
        that were altered; those before prove nothing any more. Raises GitAtWorkError while git is
        at work, or has put an older board in the place of this one.
        """
        parent, tickets = self._find_family(id)
        committer = Committer.of(self.board.root, self.settings.git)
        if settle:
            if is_agents(self.board.root):
                raise UsageError(
                    "an agent neither conducts nor answers on the board that it works for",
                    code="agent",
                    hint="run this from a session of your own",
                )
            sweep()
            require_quiet(self.board.root)
            require_home(self.board, parent, from_here)
        state = self.board.root / ".orchestrate" / "state"
        cache = None if fresh else user_proof_cache()
        known = KnownHistory(self.board.root, parent)
        with family_lock(state, parent) as lock, Services(cache) as services:
            history = History(self.board.path, parent)
            self._require_openable(known, history, tickets, settle, from_here, anew)
            family, tickets = self._lock_family(history, tickets, committer)
            if settle:
                mend_checkout(family)
                family.make_up_commits()
            if not create and not family.conducted:
                _ = family.flow  # raises TicketError (code `not-conducted`)
            read = self._read_workflow(family, workflow)
            plan = self._make_plan(read, parent)
            if consent is not None or not family.conducted:
                tickets = self._look_again(family, tickets)
            if consent is not None:
                consent(tickets, read)
            if work:
                self._load_agents(family, plan)
            if not family.conducted:
                if first is None and needs_checkout(self.settings, plan):
                    # before the board moves, and this program makes a repository's first commit
                    begin_checkout(self.board.root, parent)
                self._begin(family, tickets, read, plan, first)
            elif settle:
                self._settle(family, plan)
            if settle and not known.read():
                known.remember(family.history)
            session = Session(
                self.board,
                self.settings,
                family,
                read,
                plan,
                partial(self._load_binder, family, fresh),
                services,
                self.dispatcher,
                self.listener,
                lock.fd,
            )
            try:
                if has_own_checks(self.board.root):
                    # before an agent of this session could change them
                    _ = session.binder
                yield session
                if committer is not None:
                    committer.raise_refused()
            except GitAtWorkError as exc:
                if exc.code == AWAY:
                    known.expect(family.history)
                raise
            finally:
                family.sync()
                if settle:
                    known.remember(family.history)
            if settle and session.rest is not None:
                at_rest.keep(session.rest, known, self.board, self.settings)

    def outcome_at_rest(self, family: str) -> Mapping[str, Any] | None:
        """How the last run of a family ended, where opening it would come to nothing new.

        Raises GitAtWorkError.
        """
        return at_rest.outcome_at_rest(self.board, self.settings, family, self.seen)

    def _load_binder(self, family: Family, fresh: bool) -> Binder:
        return _binder(load_checks(self.board.root, untrusted_checks(family)), fresh)

    def _lock_family(
        self, history: History, tickets: tuple[Ticket, ...], committer: Committer | None
    ) -> tuple[Family, tuple[Ticket, ...]]:
        """The family, now that its lock is held, and its tickets as they were found.

        Saves at old paths are merged first.
        """
        parent = history.family
        left = stale_writes.take_up_saves(self.board)
        merged = stale_writes.merge_stale_files(self.board, parent)
        if merged or not tickets:
            tickets = self.board.family(parent)
        # where they were before the lock was taken: each is looked at again
        paths = {t.id: t.path for t in tickets}
        family = Family(self.board, parent, committer, paths, self.seen, history)
        family.locked = True
        family.on_move = lambda m, a, b: self.listener(
            Progress(ProgressKind.MOVE, f"{m}: {a} → {b}")
        )
        family.on_notice = self._report_notice
        self._report_recovered(family, merged, left)
        return family, tickets

    def _look_again(self, family: Family, tickets: Sequence[Ticket]) -> tuple[Ticket, ...]:
        """The tickets of a family as they are now that its lock is held, parent first.

        Whose ticket names another family is looked for on the board only where one has changed.
        """
        now = tuple(family.ticket(ticket.id) for ticket in tickets)
        same = all(a.data == b.data for a, b in zip(now, tickets, strict=True))
        return now if same else self.board.family(family.parent)

    def preview(
        self, id: str, workflow: Path | None = None, read_now: Sequence[Ticket] = ()
    ) -> tuple[Family, Workflow, Plan, Flow]:
        """A family without its lock, for reading: nothing is written.

        One that is not conducted yet has the record with which it would begin. `read_now`: its
        tickets, if they were just read. Raises OrchestrateError where `open_session` would.
        """
        tickets = read_now or self.board.family(id)
        for ticket in tickets:
            self._require_readable(ticket)
        if not tickets[0].conducted:
            require_whole(self.board, tickets)
        family = Family(self.board, tickets[0].id, paths={t.id: t.path for t in tickets})
        read = self._read_workflow(family, workflow)
        plan = self._make_plan(read, family.parent)
        flow = family.flow if family.conducted else self._first_record(tickets, read, plan)
        return family, read, plan, flow

    def _require_openable(
        self,
        known: KnownHistory,
        history: History,
        tickets: Sequence[Ticket],
        settle: bool,
        from_here: bool,
        anew: bool,
    ) -> None:
        """Refuse a damaged history, an older board, and tickets that cannot be read as they are."""
        if self._is_altered(known, history, tickets, settle, anew):
            from_here = True
        if from_here and settle:
            known.forget()
            # the older texts are not stale saves of the newer ones
            stale_writes.give_up_versions(self.board.root, known.family)
        if not from_here:
            known.require(history, tickets[0].flow if tickets else None)
        if settle and tickets:
            require_whole(self.board, tickets)
        for ticket in tickets:
            ticket.require_merged()
            if settle:
                self._require_readable(ticket)

    def _is_altered(
        self,
        known: KnownHistory,
        history: History,
        tickets: Sequence[Ticket],
        settle: bool,
        anew: bool,
    ) -> bool:
        """Whether receipts were altered and one may go on: to say so, or to begin again.

        Raises TicketError for damaged ones.
        """
        flow = tickets[0].flow if tickets else None

        def is_signed(record: Record) -> bool:
            return known.has_seen_signed(record) or has_signature(record)

        found = find_damage(history, flow, self.settings.trust.keys, is_signed)
        if found is None or not settle:
            # `verify` names them itself
            return found is not None
        if not anew or found.code != ALTERED:
            raise found.error()
        history.begin_anew(found)
        return True

    def _load_agents(self, family: Family, plan: Plan) -> None:
        """Begin to load what those need that are about to work, up to the next checkpoint."""
        left = plan.stages
        if family.conducted:
            if not isinstance(machine.decide(family.flow, plan), machine.Work):
                return
            left = tuple(s for s in left if s.number not in family.flow.finished)
        stages = takewhile(lambda stage: not stage.is_checkpoint, left)
        agents = {stage.agent for stage in stages if stage.agent and not stage.ready}
        self.dispatcher.prepare({name: self.settings.agent(name) for name in agents})

    def _begin(
        self,
        family: Family,
        tickets: Sequence[Ticket],
        workflow: Workflow,
        plan: Plan,
        first: Additions | None,
    ) -> None:
        """Write a family's first record."""
        flow = self._first_record(tickets, workflow, plan)
        if first is None or not first.over_requests:
            require_settled_statuses(family, flow)
        family.commit(flow, "conducted", first)
        if flow.finished:
            left = ", ".join(plan.stage(number).label for number in flow.finished)
            self._report_notice(f"done before {plan.parent} was conducted, only proven: {left}")

    def _settle(self, family: Family, plan: Plan) -> None:
        """Make tickets and record agree, and take in children that came late."""
        notices = [*family.restore_record(), *family.settle()]
        for notice in [*notices, *join_late_children(family, plan)]:
            family.history.append("notice", to="USER", text=notice, stage=family.flow.stage)
            self._report_notice(notice)

    def _report_notice(self, text: str) -> None:
        self.listener(Progress(ProgressKind.NOTICE, text))

    def _find_family(self, id: str) -> tuple[str, tuple[Ticket, ...]]:
        """The parent of a ticket's family, and all of it.

        Where a save at an old path has made a duplicate, only the parent is known yet.
        """
        try:
            tickets = self.board.family(id)
        except TicketError as exc:
            head = stale_writes.head_of(self.board, id) if exc.code == "duplicate-id" else None
            if head is None:
                KnownHistory(self.board.root, id).require_board(self.board.path)
                raise
            return head, ()
        return tickets[0].id, tickets

    def _require_readable(self, ticket: Ticket) -> None:
        """Raise TicketError where keys cannot be read; tell of those that are misspelt."""
        for problem in ticket.diagnoses:
            if problem.code in _UNREAD_KEYS:
                raise TicketError(
                    problem.message,
                    path=ticket.path,
                    line=problem.line,
                    code=problem.code,
                    hint=problem.hint,
                )
            if problem.code in ("key-misspelt", "key-reversed"):
                place = f"{ticket.source}:{problem.line}"
                self._report_notice(f"{place}: {problem.message}; {problem.hint}")

    def _report_recovered(
        self, family: Family, merged: Sequence[stale_writes.MergedSave], left: Sequence[Path]
    ) -> None:
        """Report what a killed process left behind, and which saves at old paths were merged."""
        for kept in left:
            where = kept.relative_to(self.board.root)
            self._report_notice(
                f"a process was killed while it wrote a ticket; its text is {where}"
            )
        for save in merged:
            family.history.append("notice", to="USER", text=save.notice, stage=None)
            self._report_notice(save.notice)
        if merged and family.committer is not None:
            family.history.flush()
            paths = {family.history.path, *(p for save in merged for p in save.paths)}
            subject = f"{family.parent}: merge a save at an old path"
            family.committer.commit(paths, subject, ticket=family.parent)

    def _read_workflow(self, family: Family, given: Path | None) -> Workflow:
        """A family's workflow; the last good version while a pinned file does not parse."""
        root, ticket = self.board.root, family.ticket(family.parent)
        if not family.conducted:
            return find_workflow(root, self.settings, ticket, given)
        flow = family.flow
        pinned = referenced(root, flow.workflow)
        if given is not None and given.resolve() != pinned.resolve():
            raise UsageError(
                f"the family is pinned to {flow.workflow}",
                path=given,
                hint="leave --workflow out, or edit the pinned file (USER is then asked)",
            )
        given = given or pinned
        # a template names its maker by the owner, and the owner changes under way
        ticket = replace(ticket, owner=_first_owner(family) or ticket.owner)
        kept = root / ".orchestrate" / "state" / "workflows" / flow.sha256
        try:
            read = find_workflow(root, self.settings, ticket, given)
        except WorkflowError as exc:
            if exc.code in _REFUSED or not kept.is_file():
                raise
            self._report_notice(f"{exc}; the workflow as it was stays in force")
            return replace(find_workflow(root, self.settings, ticket, kept), path=given)
        if read.sha256 == flow.sha256 and not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            replace_file(kept, read.path.read_bytes())
        return read

    def _make_plan(self, workflow: Workflow, parent: str) -> Plan:
        """The plan of a family. Raises WorkflowError for an agent that does not exist."""
        own = self.settings.agents.items()
        commands = {name for name, agent in own if agent.command or agent.adapter}
        known = {*agent_names(), *self.dispatcher.inside, *commands}
        working = [stage for stage in workflow.stages if not stage.is_checkpoint]
        missing = {s.agent: s.line for s in reversed(working) if s.agent not in known}
        if missing:
            (agent, line), *others = sorted(missing.items(), key=lambda each: each[1])
            more = "".join(f", nor {name} (line {at})" for name, at in others)
            raise WorkflowError(
                f"there is no agent {agent}{more}",
                path=workflow.path,
                line=line,
                code="no-such-agent",
                hint=f"known: {', '.join(sorted(known))}; or name a command under "
                f"[agents.{agent}] in orchestrate.toml",
            )
        parts = {stage.agent: self.settings.agent(stage.agent).part for stage in working}
        inspector = self.settings.agent_playing(Part.INSPECTOR) or "USER"
        return make_plan(workflow, parent, parts, inspector, self.settings.failure_limit)

    def _first_record(self, tickets: Sequence[Ticket], workflow: Workflow, plan: Plan) -> Flow:
        """The record with which a family begins, where its tickets are."""
        parent = tickets[0]
        places = find_places(self.board, tickets)
        if places[parent.id].at.at_rest:
            raise TicketError(
                f"{parent.id} is in {parent.state}; a family starts from a working state",
                path=parent.path,
                code="not-startable",
                hint="move it to INBOX or TRIAGE first",
            )
        for ticket in tickets:
            ticket.require_utf8()
            require_startable_status(self.board, ticket, self.accept_doubts)
            for problem in ticket.diagnoses:
                if problem.code == "key-contradiction":
                    place = f"{ticket.source}:{problem.line}"
                    self._report_notice(f"{place}: {problem.message}; {problem.hint}")
            for unread in self.board.unread_dependencies(ticket):
                place = f"{ticket.source}:{unread.lines[0]}"
                self._report_notice(f"{place}: “{unread.texts[0]}” is {unread.why}")
        made = {c.id for s in workflow.stages for c in s.children}
        require_listed_children(self.board, tickets, made)
        require_no_cycle(self.board, tickets)
        # a stage that names a ticket outside the family is refused (DESIGN 4.7)
        require_read_gates(workflow, self.accept_doubts)
        own = {t.id for t in tickets} | made
        for stage in workflow.stages:
            for member in (*stage.members, *(m for move in stage.moves for m in move.members)):
                if member not in own:
                    raise WorkflowError(
                        f"{stage.label} works on {member}, which is not in {plan.parent}'s family",
                        path=workflow.path,
                        line=stage.line,
                        code="foreign-ticket",
                        hint=f"the family: {', '.join(sorted(own))}",
                    )
        reference = reference_to(self.board.root, workflow.path)
        flow = machine.start(reference, workflow.sha256, places, plan)
        require_clear_beginning(self.board, plan, flow, parent)
        return flow


def _binder(checks: tuple[Check, ...], fresh: bool) -> Binder:
    """That of the last session with the very same checks, of which there are many."""
    for known, was_fresh, binder in _binders:
        if was_fresh is fresh and known == checks:
            return binder
    from orchestrator.gates.binding import Binder

    binder = Binder(checks, None if fresh else user_proof_cache())
    _binders.appendleft((checks, fresh, binder))
    return binder


def _first_owner(family: Family) -> str:
    """Who owned the parent when the family was first conducted; "" if nothing says so."""
    first: dict[str, Any] = next(iter(family.history.of("transition")), {"members": {}})
    return str(first["members"].get(family.parent, {}).get("owner", ""))
