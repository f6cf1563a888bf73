"""Advancing stages: dispatch the agents, prove the gate, move the members, or send them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestrator.conductor.attempts import make_job, remember, reports_of
from orchestrator.conductor.target_gate import prove_gate
from orchestrator.domain import machine
from orchestrator.domain.agent import Finding, Notice, Outcome, Report
from orchestrator.domain.states import Part
from orchestrator.domain.workflow import Stage, StatementKind
from orchestrator.errors import TicketError
from orchestrator.family.family import Additions
from orchestrator.family.session import Session
from orchestrator.gates.checks import Phase, Verdict
from orchestrator.gates.receipts import Receipt
from orchestrator.markdown.body import closed
from orchestrator.templating import one_line


@dataclass(frozen=True)
class Blocked:
    """A stage that did not come through. `ask`: USER decides; else a person has to do something."""

    stage: Stage
    reason: str
    ask: bool
    receipts: tuple[Receipt, ...] = ()


def work(session: Session, stages: Sequence[Stage]) -> Blocked | None:
    """Do and prove stages that stand side by side. Returns what stops the family, if anything."""
    session.commit(machine.begin(session.flow, session.plan, stages), f"begin {_names(stages)}")
    makers = [s for s in stages if session.plan.part(s) is not Part.INSPECTOR]
    reports = dict(zip(makers, reports_of(session, makers), strict=True))
    for stage in stages:
        blocked = _conclude(session, stage, reports.get(stage))
        if blocked is not None:
            return blocked
        if stage.number not in session.flow.finished:
            return None
    return None


def judge_interrupted(session: Session) -> Blocked | None:
    """Judge where the tickets of a stage lie that was finished just before a stop."""
    records = session.family.history.records
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
        wrong = _positions(session, session.plan.stage(number))
        if wrong is not None:
            return wrong
    return None


def _positions(session: Session, stage: Stage) -> Blocked | None:
    wrong = session.failing(session.judge(stage, (Phase.POSITION,)))
    if wrong:
        return Blocked(stage, "the tickets do not lie as the stage says", True, tuple(wrong))
    return None


def _names(stages: Sequence[Stage]) -> str:
    return " + ".join(f"stage {s.number} ({s.agent})" for s in stages)


# -- the gate --------------------------------------------------------------------------------


def _conclude(session: Session, stage: Stage, report: Report | None) -> Blocked | None:
    if report is not None and report.outcome is Outcome.NEEDS_PERSON:
        return Blocked(stage, f"{stage.agent}: {report.reason}", ask=False)
    if report is not None and report.outcome is Outcome.CANNOT:
        receipts = tuple(session.prove(stage, (Phase.CONTENT,)))
        if not session.failing(receipts) and _taken_as_it_is(session, stage):
            return _passed(session, stage, report, receipts)
        return Blocked(stage, f"{stage.agent} cannot go on: {report.reason}", True, receipts)
    if report is not None and report.outcome is Outcome.FAILED:
        return _failed_report(session, stage, report)
    if report is not None:
        _birth(session, stage, report)
    else:
        session.tell("stage", stage.label, stage=stage.number, agent=stage.agent)
    receipts = prove_gate(session, stage)
    if report is None:
        report = _inspected(session, stage, receipts)
        if report.outcome is Outcome.NEEDS_PERSON:
            return Blocked(stage, f"{stage.agent}: {report.reason}", ask=False)
        if report.outcome is Outcome.FAILED and not session.failing(receipts):
            return _failed_report(session, stage, report)
    failing = session.failing(receipts)
    if failing:
        return _failed(session, stage, report, receipts, failing)
    return _passed(session, stage, report, receipts)


def _taken_as_it_is(session: Session, stage: Stage) -> bool:
    """USER has been asked about this attempt that cannot go on, and takes what there is."""
    attempt = session.flow.attempt(stage.number)
    answer = session.family.history.latest(
        "answer", answer="approved", kind="exception", stage=stage.number, attempt=attempt
    )
    return answer is not None


def _birth(session: Session, stage: Stage, report: Report) -> None:
    for path in session.family.create(report.tickets, stage):
        session.tell("move", f"{path.stem.split('_')[0]} created in {path.parent.name}")


def _inspected(session: Session, stage: Stage, receipts: Sequence[Receipt]) -> Report:
    """The inspector writes up what the engine proved; it proves nothing itself."""
    findings = [finding(session, stage, r) for r in receipts]
    job = make_job(session, stage, findings)
    session.family.history.append(
        "dispatch", stage=stage.number, attempt=job.attempt, agent=stage.agent
    )
    report = session.dispatcher.dispatch(job, session.settings.agent(stage.agent), session.lock_fd)
    remember(session, stage, job, report)
    return report


def finding(session: Session, stage: Stage, receipt: Receipt) -> Finding:
    """A receipt as agents see it."""
    blamed = _blame(session, stage, receipt)
    verdict = "accepted" if session.is_accepted(receipt) else receipt.verdict.value
    return Finding(
        statement=receipt.statement.text,
        verdict=verdict,
        detail=receipt.detail,
        receipt=receipt.id,
        source=f"{receipt.statement.source}:{receipt.statement.line}",
        group=receipt.statement.group,
        member=next(iter(blamed), ""),
    )


def _passed(
    session: Session, stage: Stage, report: Report, receipts: Sequence[Receipt]
) -> Blocked | None:
    """The gate is open: members move, boxes are ticked, then positions are proven."""
    additions = Additions()
    member = session.plan.members(stage, session.flow)[0]
    additions.section(_section_home(session, stage, member), _section(report))
    births = {t.id: t.agent for t in report.tickets}
    births |= {c.id: c.agent for c in stage.children if _on_board(session, c.id)}
    _tick(additions, receipts)
    additions.paths += [session.inside(a.path) for a in report.artifacts]
    additions.paths += [
        session.family.ticket(m).path for m in births if m not in session.flow.members
    ]
    done = machine.finish(session.flow, session.plan, stage, births)
    session.commit(done, f"stage {stage.number} ({stage.agent}) done", additions)
    return _positions(session, stage)


def _section_home(session: Session, stage: Stage, member: str) -> str:
    return session.plan.parent if session.plan.part(stage) is not Part.MAKER else member


def _on_board(session: Session, member: str) -> bool:
    try:
        session.board.find(member)
    except TicketError as exc:
        return exc.code != "no-such-ticket"
    return True


def _section(report: Report) -> str:
    needs = [_need_line(n) for n in report.notices]
    section = closed(report.section.rstrip("\n"))
    if needs and section:
        section += "\n\n" + "\n".join(needs)
    return section


def _need_line(notice: Notice) -> str:
    where = f" (`{notice.path}`)" if notice.path and notice.path not in notice.text else ""
    return f"**Needs** {notice.to}: {notice.text}{where}"


def _tick(additions: Additions, receipts: Sequence[Receipt]) -> None:
    """A box is ticked only with a receipt, and loses its tick with it."""
    for r in receipts:
        if r.statement.kind is StatementKind.ACCEPTANCE and r.statement.ticket:
            proven = r.verdict in (Verdict.PROVEN, Verdict.NOT_APPLICABLE)
            boxes = additions.boxes.setdefault(r.statement.ticket, {})
            boxes[r.statement.text] = r.id if proven else ""


# -- failure ---------------------------------------------------------------------------------


def _failed_report(session: Session, stage: Stage, report: Report) -> Blocked | None:
    members = session.plan.members(stage, session.flow)
    redo = (stage.number,)
    if session.plan.part(stage) is Part.INSPECTOR:
        blamed = {
            m: tuple(s.number for s in session.plan.makers_of(m, session.flow)) or redo
            for m in members
        }
    else:
        blamed = {members[0]: redo}
    problem = Finding(statement=stage.label, verdict="failed", detail=report.reason)
    _send_to_makers(session, stage, blamed, [problem], _section(report), ())
    return None


def _failed(
    session: Session,
    stage: Stage,
    report: Report,
    receipts: Sequence[Receipt],
    failing: Sequence[Receipt],
) -> Blocked | None:
    blamed: dict[str, tuple[int, ...]] = {}
    for receipt in failing:
        for member, stages in _blame(session, stage, receipt).items():
            blamed[member] = tuple(sorted({*blamed.get(member, ()), *stages}))
    if not blamed:
        return Blocked(stage, "no maker answers for the failed statement(s)", True, tuple(receipts))
    findings = [finding(session, stage, r) for r in failing]
    _send_to_makers(session, stage, blamed, findings, _section(report), receipts)
    return None


def _blame(session: Session, stage: Stage, receipt: Receipt) -> dict[str, tuple[int, ...]]:
    """Which member's makers answer for a statement, and the stages to do again."""
    part = session.plan.part(stage)
    if part in (Part.MAKER, Part.PROVIDER, Part.TRIAGER):
        return (
            {session.plan.members(stage, session.flow)[0]: (stage.number,)}
            if not stage.ready
            else {}
        )
    found: dict[str, tuple[int, ...]] = {}
    artifacts = session.family.history.artifacts()
    # a check of many files names those at fault in its finding
    named = [p for p in receipt.subjects if PurePosixPath(p).name in receipt.detail]
    for path in named or receipt.subjects:
        origin = artifacts.get(path)
        number = origin["stage"] if origin else _deliverer(session, path)
        if number is not None:
            member = session.plan.members(session.plan.stage(number), session.flow)[0]
            found[member] = (*found.get(member, ()), number)
    owner = receipt.statement.ticket
    if not found and owner in session.flow.members:
        stages = tuple(s.number for s in session.plan.makers_of(owner, session.flow))
        found = {owner: stages} if stages else {}
    return {m: tuple(sorted(set(n))) for m, n in found.items()}


def _deliverer(session: Session, path: str) -> int | None:
    return next((s.number for s, d in session.workflow.deliverables if d.path == path), None)


def _send_to_makers(
    session: Session,
    stage: Stage,
    blamed: dict[str, tuple[int, ...]],
    findings: list[Finding],
    section: str,
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
    additions = Additions(hold_reason=after.reason)
    additions.section(session.plan.parent, section)
    for member in blamed:
        mine = [f for f in findings if f.member in ("", member)]
        count = after.members[member].failures
        additions.section(member, _failure_section(stage, mine or findings, count))
        session.tell(
            "notice",
            f"{member}: failure {count} of {session.plan.failure_limit} at {stage.label}",
            stage=stage.number,
        )
    _tick(additions, receipts)
    session.commit(after, f"stage {stage.number} ({stage.agent}) failed", additions)


def _failure_section(stage: Stage, findings: Sequence[Finding], count: int) -> str:
    lines = [f"## FAILED at {stage.label} — failure {count}", ""]
    for f in findings:
        where = f" ({f.source})" if f.source else ""
        receipt = f" · receipt {f.receipt}" if f.receipt else ""
        lines.append(one_line(f"- {f.statement}{where}: {f.detail}{receipt}"))
    return "\n".join(lines) + "\n"
