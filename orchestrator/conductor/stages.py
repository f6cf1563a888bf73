"""Advancing stages: dispatch the agents, prove the gate, move the members, or send them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestrator.conductor.attempts import make_job, remember, reports_of
from orchestrator.conductor.target_gate import prove_gate
from orchestrator.domain import machine
from orchestrator.domain.agent import Finding, Notice, Outcome, Report
from orchestrator.domain.workflow import Stage, StatementKind
from orchestrator.errors import TicketError
from orchestrator.family.family import Additions
from orchestrator.family.session import Case
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


def work(case: Case, stages: Sequence[Stage]) -> Blocked | None:
    """Do and prove stages that stand side by side. Returns what stops the family, if anything."""
    case.commit(machine.begin(case.flow, case.plan, stages), f"begin {_names(stages)}")
    makers = [s for s in stages if case.plan.part(s) != "inspector"]
    reports = dict(zip(makers, reports_of(case, makers), strict=True))
    for stage in stages:
        blocked = _conclude(case, stage, reports.get(stage))
        if blocked is not None:
            return blocked
        if stage.number not in case.flow.finished:
            return None
    return None


def judge_interrupted(case: Case) -> Blocked | None:
    """Judge where the tickets of a stage lie that was finished just before a stop."""
    records = case.family.history.records
    # a transition beyond the ticket's own revision was only announced
    moves = [
        n
        for n, r in enumerate(records)
        if r["type"] == "transition" and r["revision"] <= case.flow.revision
    ]
    if len(moves) < 2:
        return None
    before, after = (set(records[n]["flow"]["finished"]) for n in moves[-2:])
    judged = {r["stage"] for r in records[moves[-1] :] if r["type"] == "receipt"}
    for number in sorted(after - before - judged):
        wrong = _positions(case, case.plan.stage(number))
        if wrong is not None:
            return wrong
    return None


def _positions(case: Case, stage: Stage) -> Blocked | None:
    wrong = case.failing(case.judge(stage, (Phase.POSITION,)))
    if wrong:
        return Blocked(stage, "the tickets do not lie as the stage says", True, tuple(wrong))
    return None


def _names(stages: Sequence[Stage]) -> str:
    return " + ".join(f"stage {s.number} ({s.agent})" for s in stages)


# -- the gate --------------------------------------------------------------------------------


def _conclude(case: Case, stage: Stage, report: Report | None) -> Blocked | None:
    if report is not None and report.outcome is Outcome.NEEDS_PERSON:
        return Blocked(stage, f"{stage.agent}: {report.reason}", ask=False)
    if report is not None and report.outcome is Outcome.CANNOT:
        receipts = tuple(case.prove(stage, (Phase.CONTENT,)))
        if not case.failing(receipts) and _taken_as_it_is(case, stage):
            return _passed(case, stage, report, receipts)
        return Blocked(stage, f"{stage.agent} cannot go on: {report.reason}", True, receipts)
    if report is not None and report.outcome is Outcome.FAILED:
        return _failed_report(case, stage, report)
    if report is not None:
        _birth(case, stage, report)
    else:
        case.tell("stage", stage.label, stage=stage.number, agent=stage.agent)
    receipts = prove_gate(case, stage)
    if report is None:
        report = _inspected(case, stage, receipts)
        if report.outcome is Outcome.NEEDS_PERSON:
            return Blocked(stage, f"{stage.agent}: {report.reason}", ask=False)
        if report.outcome is Outcome.FAILED and not case.failing(receipts):
            return _failed_report(case, stage, report)
    failing = case.failing(receipts)
    if failing:
        return _failed(case, stage, report, receipts, failing)
    return _passed(case, stage, report, receipts)


def _taken_as_it_is(case: Case, stage: Stage) -> bool:
    """USER has been asked about this attempt that cannot go on, and takes what there is."""
    attempt = case.flow.attempt(stage.number)
    answer = case.family.history.latest(
        "answer", answer="approved", kind="exception", stage=stage.number, attempt=attempt
    )
    return answer is not None


def _birth(case: Case, stage: Stage, report: Report) -> None:
    for path in case.family.create(report.tickets, stage):
        case.tell("move", f"{path.stem.split('_')[0]} created in {path.parent.name}")


def _inspected(case: Case, stage: Stage, receipts: Sequence[Receipt]) -> Report:
    """The inspector writes up what the engine proved; it proves nothing itself."""
    findings = [finding(case, stage, r) for r in receipts]
    job = make_job(case, stage, findings)
    case.family.history.append(
        "dispatch", stage=stage.number, attempt=job.attempt, agent=stage.agent
    )
    report = case.dispatcher.dispatch(job, case.settings.agent(stage.agent), case.lock_fd)
    remember(case, stage, job, report)
    return report


def finding(case: Case, stage: Stage, receipt: Receipt) -> Finding:
    """A receipt as agents see it."""
    blamed = _blame(case, stage, receipt)
    verdict = "accepted" if case.is_accepted(receipt) else receipt.verdict.value
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
    case: Case, stage: Stage, report: Report, receipts: Sequence[Receipt]
) -> Blocked | None:
    """The gate is open: members move, boxes are ticked, then positions are proven."""
    additions = Additions()
    member = case.plan.members(stage, case.flow)[0]
    additions.section(_section_home(case, stage, member), _section(report))
    births = {t.id: t.agent for t in report.tickets}
    births |= {c.id: c.agent for c in stage.children if _on_board(case, c.id)}
    _tick(additions, receipts)
    additions.paths += [case.inside(a.path) for a in report.artifacts]
    additions.paths += [case.family.ticket(m).path for m in births if m not in case.flow.members]
    done = machine.finish(case.flow, case.plan, stage, births)
    case.commit(done, f"stage {stage.number} ({stage.agent}) done", additions)
    return _positions(case, stage)


def _section_home(case: Case, stage: Stage, member: str) -> str:
    return case.plan.parent if case.plan.part(stage) != "maker" else member


def _on_board(case: Case, member: str) -> bool:
    try:
        case.board.find(member)
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


def _failed_report(case: Case, stage: Stage, report: Report) -> Blocked | None:
    members = case.plan.members(stage, case.flow)
    redo = (stage.number,)
    if case.plan.part(stage) == "inspector":
        blamed = {
            m: tuple(s.number for s in case.plan.makers_of(m, case.flow)) or redo for m in members
        }
    else:
        blamed = {members[0]: redo}
    problem = Finding(statement=stage.label, verdict="failed", detail=report.reason)
    _send_to_makers(case, stage, blamed, [problem], _section(report), ())
    return None


def _failed(
    case: Case,
    stage: Stage,
    report: Report,
    receipts: Sequence[Receipt],
    failing: Sequence[Receipt],
) -> Blocked | None:
    blamed: dict[str, tuple[int, ...]] = {}
    for receipt in failing:
        for member, stages in _blame(case, stage, receipt).items():
            blamed[member] = tuple(sorted({*blamed.get(member, ()), *stages}))
    if not blamed:
        return Blocked(stage, "no maker answers for the failed statement(s)", True, tuple(receipts))
    findings = [finding(case, stage, r) for r in failing]
    _send_to_makers(case, stage, blamed, findings, _section(report), receipts)
    return None


def _blame(case: Case, stage: Stage, receipt: Receipt) -> dict[str, tuple[int, ...]]:
    """Which member's makers answer for a statement, and the stages to do again."""
    part = case.plan.part(stage)
    if part in ("maker", "provider", "triager"):
        return {case.plan.members(stage, case.flow)[0]: (stage.number,)} if not stage.ready else {}
    found: dict[str, tuple[int, ...]] = {}
    artifacts = case.family.history.artifacts()
    # a check of many files names those at fault in its finding
    named = [p for p in receipt.subjects if PurePosixPath(p).name in receipt.detail]
    for path in named or receipt.subjects:
        origin = artifacts.get(path)
        number = origin["stage"] if origin else _deliverer(case, path)
        if number is not None:
            member = case.plan.members(case.plan.stage(number), case.flow)[0]
            found[member] = (*found.get(member, ()), number)
    owner = receipt.statement.ticket
    if not found and owner in case.flow.members:
        stages = tuple(s.number for s in case.plan.makers_of(owner, case.flow))
        found = {owner: stages} if stages else {}
    return {m: tuple(sorted(set(n))) for m, n in found.items()}


def _deliverer(case: Case, path: str) -> int | None:
    return next((s.number for s, d in case.workflow.deliverables if d.path == path), None)


def _send_to_makers(
    case: Case,
    stage: Stage,
    blamed: dict[str, tuple[int, ...]],
    findings: list[Finding],
    section: str,
    receipts: Sequence[Receipt],
) -> None:
    case.family.history.append(
        "failure",
        stage=stage.number,
        stages=sorted({n for stages in blamed.values() for n in stages}),
        blamed={m: list(s) for m, s in blamed.items()},
        findings=[f.model_dump() for f in findings],
    )
    after = machine.fail(case.flow, case.plan, stage, blamed)
    additions = Additions(hold_reason=after.reason)
    additions.section(case.plan.parent, section)
    for member in blamed:
        mine = [f for f in findings if f.member in ("", member)]
        count = after.members[member].failures
        additions.section(member, _failure_section(stage, mine or findings, count))
        case.tell(
            "notice",
            f"{member}: failure {count} of {case.plan.failure_limit} at {stage.label}",
            stage=stage.number,
        )
    _tick(additions, receipts)
    case.commit(after, f"stage {stage.number} ({stage.agent}) failed", additions)


def _failure_section(stage: Stage, findings: Sequence[Finding], count: int) -> str:
    lines = [f"## FAILED at {stage.label} — failure {count}", ""]
    for f in findings:
        where = f" ({f.source})" if f.source else ""
        receipt = f" · receipt {f.receipt}" if f.receipt else ""
        lines.append(one_line(f"- {f.statement}{where}: {f.detail}{receipt}"))
    return "\n".join(lines) + "\n"
