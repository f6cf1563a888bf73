"""Advancing stages: dispatch the agents, prove the gate, move the members or send them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestrator import plugins
from orchestrator.approvals.judging import applied_target
from orchestrator.conductor.attempts import collect_reports, make_job, record_report
from orchestrator.conductor.observed import undo_attempt
from orchestrator.conductor.rejoining import conflict_findings, rejoin
from orchestrator.conductor.turns import to_finding, work_in_turns
from orchestrator.domain import machine
from orchestrator.domain.agent import Finding, Outcome, Report
from orchestrator.domain.record import State
from orchestrator.domain.states import Part
from orchestrator.domain.workflow import Stage
from orchestrator.errors import TicketError
from orchestrator.family.additions import Additions, tick_boxes
from orchestrator.family.beside import (
    begin_beside,
    begin_family_checkout,
    catch_up,
    session_at,
    take_in,
)
from orchestrator.family.checkouts import needs_checkout
from orchestrator.family.session import ProgressKind, Session
from orchestrator.gates.checks import Phase
from orchestrator.gates.receipts import Receipt
from orchestrator.markdown.body import closed
from orchestrator.templating import one_line

#: how much of a failure the reason of a hold says (characters)
_LAST_WORDS = 300


@dataclass(frozen=True)
class Blocked:
    """A stage that did not pass. `ask`: USER decides; else a person has to do something."""

    stage: Stage
    reason: str
    ask: bool
    receipts: tuple[Receipt, ...] = ()
    #: when a usage limit ends, after which it goes on by itself (seconds since the epoch)
    until: float | None = None


def advance_stages(session: Session, stages: Sequence[Stage]) -> Blocked | None:
    """Do and prove parallel stages. Returns what stops the family, if anything."""
    agents = {s.agent: session.settings.agent(s.agent) for s in stages if s.agent}
    session.dispatcher.prepare(agents)
    # their code too is read before an agent could change it (DESIGN 6.4)
    plugins.load("checks")
    if wants_checkout(session):
        begin_family_checkout(session)
        _tell_submodules(session)
    names = " + ".join(f"stage {s.number} ({s.agent})" for s in stages)
    session.commit(
        machine.begin(session.flow, session.plan, stages), f"begin {names}", stage=stages[0]
    )
    makers = [s for s in stages if session.plan.part(s) is not Part.INSPECTOR]
    rejoin(session, makers)
    begin_beside(session, makers)
    for stage in makers:
        if (own := session_at(session, stage)) is not session:
            rejoin(own, [stage])
    reports = dict(zip(makers, collect_reports(session, makers), strict=True))
    for stage in stages:
        blocked = _conclude(session, stage, reports.get(stage))
        if blocked is not None:
            return blocked
        if stage.number not in session.flow.finished:
            return None
    return None


def _tell_submodules(session: Session) -> None:
    if session.checkout is not None and (found := session.checkout.submodules):
        text = (
            f"submodules are empty in the family's checkout: {', '.join(found)}; what needs them "
            'has to work in place ([workspaces] use = "never")'
        )
        session.family.history.append("notice", to="USER", text=text, stage=session.flow.stage)
        session.report_progress(ProgressKind.NOTICE, text)


def wants_checkout(session: Session) -> bool:
    """Whether the family has to get a checkout of its own before its first agent works."""
    if session.checkout is not None or session.changes.start_record is not None:
        return False
    return needs_checkout(session.settings, session.plan)


def judge_interrupted(session: Session) -> Blocked | None:
    """Judge the positions of a stage that was finished just before the conductor stopped."""
    records = session.family.history.counted
    # a transition beyond the ticket's own revision was only announced
    moves = [
        n
        for n, r in enumerate(records)
        if r["type"] == "transition" and r["revision"] <= session.flow.revision
    ]
    if len(moves) < 2:
        return None
    before, after = (set(records[n]["flow"]["finished"]) for n in moves[-2:])
    judged = {r["stage"] for r in records[moves[-1] :] if r["type"] == "receipt"}
    for number in sorted(after - before - judged):
        blocked = _judge_positions(session, session.plan.stage(number))
        if blocked is not None:
            return blocked
    return None


def _judge_positions(session: Session, stage: Stage) -> Blocked | None:
    wrong = session.failing(session.judge(stage, (Phase.POSITION,)))
    if wrong:
        return Blocked(stage, "the tickets are not where the stage says", True, tuple(wrong))
    return None


# -- the gate --------------------------------------------------------------------------------


def _conclude(session: Session, stage: Stage, report: Report | None) -> Blocked | None:
    """Prove the gate of a stage, with its maker's report or, without one, by inspection."""
    session = session_at(session, stage)
    if session.checkout is not None:
        # what git does from here on follows from the report
        session.family.history.flush()
    if report is None:
        session.report_progress(
            ProgressKind.STAGE, stage.label, stage=stage.number, agent=stage.agent
        )
    elif report.outcome is Outcome.NEEDS_PERSON:
        return Blocked(stage, f"{stage.agent}: {report.reason}", ask=False)
    elif report.outcome is Outcome.LATER:
        return Blocked(stage, f"{stage.agent}: {report.reason}", False, until=report.resumes_at)
    elif report.outcome is Outcome.CANNOT:
        accepted = _is_accepted_as_is(session, stage)
        if accepted and (marked := catch_up(session, stage)):
            _send_to_makers(session, stage, _blame(session, stage), marked, report, ())
            return None
        receipts = tuple(session.prove(stage, (Phase.CONTENT,)))
        if accepted and not session.failing(receipts):
            return _pass(session, stage, report, receipts)
        return Blocked(stage, f"{stage.agent} cannot go on: {report.reason}", True, receipts)
    elif report.outcome is Outcome.FAILED:
        _fail_by_report(session, stage, report)
        return None
    else:
        for path in session.family.create(report.tickets, stage):
            text = f"{path.stem.split('_')[0]} created in {path.parent.name}"
            session.report_progress(ProgressKind.MOVE, text)
        member = session.plan.members(stage, session.flow)[0]
        marked = conflict_findings(session, member) or catch_up(session, stage)
        if marked:
            _send_to_makers(session, stage, _blame(session, stage), marked, report, ())
            return None
    receipts = _prove_gate(session, stage)
    failing = session.failing(receipts)
    if report is None:
        # the inspector writes up what the engine proved; it proves nothing itself
        findings = [_finding(session, stage, r) for r in receipts]
        job = make_job(session, stage, findings)
        report, seen = work_in_turns(session, stage, job)
        record_report(session, stage, job, report)
        if report.outcome is Outcome.FAILED and seen is not None:
            undo_attempt(session, seen)
        if report.outcome in (Outcome.NEEDS_PERSON, Outcome.LATER):
            why = f"{stage.agent}: {report.reason}"
            return Blocked(stage, why, ask=False, until=report.resumes_at)
        if report.outcome is Outcome.CANNOT and not _is_accepted_as_is(session, stage):
            return Blocked(stage, f"{stage.agent} cannot go on: {report.reason}", True, receipts)
        if report.outcome is Outcome.FAILED and not failing:
            _fail_by_report(session, stage, report)
            return None
    if failing:
        return _fail_by_receipts(session, stage, report, receipts, failing)
    return _pass(session, stage, report, receipts)


def _blame(session: Session, stage: Stage) -> dict[str, tuple[int, ...]]:
    """Who does a stage again that is a maker's."""
    return {session.plan.members(stage, session.flow)[0]: (stage.number,)}


def _is_accepted_as_is(session: Session, stage: Stage) -> bool:
    """Whether USER was asked about this attempt that cannot go on, and approved what there is."""
    attempt = session.flow.attempt(stage.number)
    answer = session.family.history.latest(
        "answer", answer="approved", kind="exception", stage=stage.number, attempt=attempt
    )
    return answer is not None


def _prove_gate(session: Session, stage: Stage) -> tuple[Receipt, ...]:
    """A stage's receipts; an inspection after effects is judged on their target too."""
    if session.plan.part(stage) is Part.INSPECTOR:
        with applied_target(session, stage) as target:
            if target is not None:
                phases = (Phase.CONTENT, Phase.EFFECT)
                return tuple(session.prove(stage, phases, target=target))
    return tuple(session.prove(stage, (Phase.CONTENT,)))


def _finding(session: Session, stage: Stage, receipt: Receipt) -> Finding:
    """A receipt as agents see it, with the member whose makers are responsible for it."""
    member = next(iter(_find_blamed(session, stage, receipt)), "")
    return to_finding(receipt, member, accepted=session.is_accepted(receipt))


def _pass(
    session: Session, stage: Stage, report: Report, receipts: Sequence[Receipt]
) -> Blocked | None:
    """The gate is open: members move, boxes are ticked, then positions are proven."""
    session = take_in(session, stage)
    plan, flow, additions = session.plan, session.flow, Additions()
    is_maker = plan.part(stage) is Part.MAKER
    home = plan.members(stage, flow)[0] if is_maker else plan.parent
    additions.section(home, _render_section(report))
    births = {t.id: t.agent for t in report.tickets}
    for child in stage.children:
        try:
            session.board.find(child.id)
        except TicketError as exc:
            if exc.code == "no-such-ticket":
                continue
        births[child.id] = child.agent
    tick_boxes(additions, receipts, session.flow.accepted)
    if session.checkout is not None:
        session.checkout.commit(f"{plan.parent}: {stage.label}")
    else:
        additions.paths += [
            session.root / a.path
            for a in report.artifacts
            if session.sha(a.path) != "outside"
            and not session.changes.tree.reader.is_behind_link(a.path)
        ]
    additions.paths += [session.family.ticket(m).path for m in births if m not in flow.members]
    done = machine.finish(flow, plan, stage, births)
    session.commit(done, f"stage {stage.number} ({stage.agent}) done", additions, stage)
    return _judge_positions(session, stage)


def _render_section(report: Report) -> str:
    """A report's section, with a `needs` line for each notice."""
    section = closed(report.section.rstrip("\n"))
    if section and report.notices:
        section += "\n"
    for notice in report.notices if section else ():
        named = not notice.path or notice.path in notice.text
        where = "" if named else f" (`{notice.path}`)"
        section += f"\n**Needs** {notice.to}: {one_line(notice.text)}{where}"
    return closed(section)


# -- failure ---------------------------------------------------------------------------------


def _fail_by_report(session: Session, stage: Stage, report: Report) -> None:
    """The agent itself reports that it failed."""
    members = session.plan.members(stage, session.flow)
    blamed: dict[str, tuple[int, ...]] = {members[0]: (stage.number,)}
    if session.plan.part(stage) is Part.INSPECTOR:
        blamed = {m: _maker_stages(session, m) or (stage.number,) for m in members}
    problem = Finding(statement=stage.label, verdict="failed", detail=report.reason)
    _send_to_makers(session, stage, blamed, [problem], report, ())


def _fail_by_receipts(
    session: Session,
    stage: Stage,
    report: Report,
    receipts: Sequence[Receipt],
    failing: Sequence[Receipt],
) -> Blocked | None:
    """Statements failed: back to the makers, or to USER where no maker is responsible."""
    blamed: dict[str, tuple[int, ...]] = {}
    for receipt in failing:
        for member, stages in _find_blamed(session, stage, receipt).items():
            blamed[member] = tuple(sorted({*blamed.get(member, ()), *stages}))
    if not blamed:
        reason = "no maker is responsible for the failed statement(s)"
        return Blocked(stage, reason, True, tuple(receipts))
    findings = [_finding(session, stage, r) for r in failing]
    _send_to_makers(session, stage, blamed, findings, report, receipts)
    return None


def _maker_stages(session: Session, member: str) -> tuple[int, ...]:
    return tuple(s.number for s in session.plan.makers_of(member, session.flow))


def _find_blamed(session: Session, stage: Stage, receipt: Receipt) -> dict[str, tuple[int, ...]]:
    """Which members' makers are responsible for a statement, and the stages to do again."""
    plan, flow = session.plan, session.flow
    if plan.part(stage) is not Part.INSPECTOR and not stage.is_checkpoint:
        return {} if stage.ready else {plan.members(stage, flow)[0]: (stage.number,)}
    found: dict[str, set[int]] = {}
    artifacts = session.family.history.artifacts()
    delivered = {d.path: s.number for s, d in reversed(session.workflow.deliverables)}
    # a check of many files names those at fault in its finding
    named = [p for p in receipt.subjects if PurePosixPath(p).name in receipt.detail]
    for path in named or receipt.subjects:
        number = artifacts[path]["stage"] if path in artifacts else delivered.get(path)
        if number is not None:
            member = plan.members(plan.stage(number), flow)[0]
            found.setdefault(member, set()).add(number)
    owner = receipt.statement.ticket
    if not found and owner in flow.members and (stages := _maker_stages(session, owner)):
        found[owner] = set(stages)
    # what was finished before the family was conducted is done again only if USER says so
    over = {m for m, place in flow.members.items() if place.at.finished}
    return {m: tuple(sorted(numbers)) for m, numbers in found.items() if m not in over}


def _last_words(findings: Sequence[Finding]) -> str:
    """Why the last attempt failed, on one line: its first failure, and how many more."""
    first = findings[0]
    # an agent's own words stand under the stage's label, which says nothing more
    named = first.receipt and first.statement
    text = one_line(f"{first.statement}: {first.detail}" if named else first.detail)
    text = text if len(text) <= _LAST_WORDS else f"{text[: _LAST_WORDS - 1]}…"
    more = len(findings) - 1
    return f"{text} (and {more} more)" if more else text


def _send_to_makers(
    session: Session,
    stage: Stage,
    blamed: dict[str, tuple[int, ...]],
    findings: list[Finding],
    report: Report,
    receipts: Sequence[Receipt],
) -> None:
    session.family.history.append(
        "failure",
        stage=stage.number,
        stages=sorted({n for stages in blamed.values() for n in stages}),
        blamed={m: list(s) for m, s in blamed.items()},
        findings=[f.model_dump() for f in findings],
    )
    after = machine.fail(session.flow, session.plan, stage, blamed)
    if after.state is State.HELD:
        # whoever is told that it is on hold wants to know why, not how often
        after = after.model_copy(update={"reason": f"{after.reason} — {_last_words(findings)}"})
    additions = Additions(hold_reason=after.reason)
    additions.section(session.plan.parent, _render_section(report))
    for member in blamed:
        count = after.members[member].failures
        lines = [f"## FAILED at {stage.label} — failure {count}", ""]
        for f in [f for f in findings if f.member in ("", member)] or findings:
            where = f" ({f.source})" if f.source else ""
            receipt = f" · receipt {f.receipt}" if f.receipt else ""
            lines.append(one_line(f"- {f.statement}{where}: {f.detail}{receipt}"))
        additions.section(member, "\n".join(lines) + "\n")
        session.report_progress(
            ProgressKind.NOTICE,
            f"{member}: failure {count} of {session.plan.failure_limit} at {stage.label}",
            stage=stage.number,
        )
    tick_boxes(additions, receipts, session.flow.accepted)
    session.commit(after, f"stage {stage.number} ({stage.agent}) failed", additions, stage)
