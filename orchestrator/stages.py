"""Advancing stages: dispatch the agents, prove the gate, move the members, or send them back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from orchestrator import machine
from orchestrator.agent import Artifact, Finding, Job, Notice, Outcome, Report
from orchestrator.case import Case
from orchestrator.checks import Phase, Verdict
from orchestrator.errors import TicketError, UnsafePathError
from orchestrator.family import Additions
from orchestrator.files import sha256_file
from orchestrator.frontmatter import Document
from orchestrator.gate import Receipt
from orchestrator.markdown import closed
from orchestrator.on_target import prove_gate
from orchestrator.templating import one_line
from orchestrator.ticket import id_from_name
from orchestrator.waits import covers
from orchestrator.workflow import Stage, StatementKind


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
    reports = dict(zip(makers, _dispatched_all(case, makers), strict=True))
    for stage in stages:
        blocked = _conclude(case, stage, reports.get(stage))
        if blocked is not None:
            return blocked
        if stage.number not in case.flow.finished:
            return None
    return None


def _dispatched_all(case: Case, makers: Sequence[Stage]) -> list[Report]:
    if len(makers) < 2:
        return [_dispatched(case, stage) for stage in makers]
    with ThreadPoolExecutor(len(makers)) as pool:
        try:
            return list(pool.map(lambda stage: _dispatched(case, stage), makers))
        except KeyboardInterrupt:
            # it would wait for the others
            case.dispatcher.stop()
            raise


def _names(stages: Sequence[Stage]) -> str:
    return " + ".join(f"stage {s.number} ({s.agent})" for s in stages)


# -- dispatch --------------------------------------------------------------------------------


def _dispatched(case: Case, stage: Stage) -> Report:
    """The stage's report: a stored one if the work was done before a stop, else a fresh one."""
    case.tell("stage", stage.label, stage=stage.number, agent=stage.agent)
    if stage.ready:
        return Report(outcome=Outcome.DONE, log=("marked as done in the workflow; only proven",))
    stored = _stored_report(case, stage)
    if stored is not None:
        return stored
    if _interrupted(case, stage) and _holds(case, stage):
        return _found_done(case, stage)
    return _fresh_report(case, stage)


def _found_done(case: Case, stage: Stage) -> Report:
    """The report of work that was done before its agent could tell: what the stage delivers."""
    paths = [d.path for d in stage.deliverables if case.inside(d.path).is_file()]
    artifacts = tuple(Artifact(path=p, sha256=case.sha(p), state="kept") for p in paths)
    named = ", ".join(f"`{path}`" for path in paths) or "nothing that can be named"
    section = f"## {stage.agent} was stopped at {stage.label}\n\nIts work is proven: {named}.\n"
    job = make_job(case, stage)
    log = ("done before the last stop; only proven",)
    report = Report(outcome=Outcome.DONE, artifacts=artifacts, section=section, log=log)
    _remember(case, stage, job, report)
    return report


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


def _stored_report(case: Case, stage: Stage) -> Report | None:
    record = case.family.history.latest(
        "report", stage=stage.number, attempt=case.flow.attempt(stage.number)
    )
    if record is None or record["outcome"] not in (Outcome.DONE.value, Outcome.CANNOT.value):
        return None
    return Report.model_validate(record["report"])


def _interrupted(case: Case, stage: Stage) -> bool:
    """Whether this attempt was dispatched before, without coming to a `done`."""
    attempt = case.flow.attempt(stage.number)
    return case.family.history.latest("dispatch", stage=stage.number, attempt=attempt) is not None


def _holds(case: Case, stage: Stage) -> bool:
    """Whether the stage's statements and its ticket's hold as the tree lies (DESIGN 5.5)."""
    receipts = case.prove(stage, (Phase.CONTENT,), store=False)
    member = case.plan.members(stage, case.flow)[0]
    if case.plan.part(stage) == "maker":
        own = case.family.ticket(member).acceptance()
        receipts += case.gate.prove(own, case.context(stage), (Phase.CONTENT,))
    judged = [r for r in receipts if r.verdict is not Verdict.PENDING]
    return bool(judged) and all(r.verdict is Verdict.PROVEN for r in judged)


def _fresh_report(case: Case, stage: Stage) -> Report:
    job = make_job(case, stage)
    case.family.history.append(
        "dispatch", stage=stage.number, attempt=job.attempt, agent=stage.agent
    )
    case.tell("agent", f"{stage.agent} works", stage=stage.number, agent=stage.agent)
    started = time.monotonic()
    before = _frozen(case)
    report = case.dispatcher.dispatch(job, case.settings.agent(stage.agent), case.lock_fd)
    report = _kept_frozen(_checked(case, stage, report), before, case)
    report = _something_new(case, job, report)
    _remember(case, stage, job, report)
    case.tell(
        "report",
        report.reason or "; ".join(report.log) or report.outcome.value,
        stage=stage.number,
        agent=stage.agent,
        verdict=report.outcome.value,
        seconds=time.monotonic() - started,
    )
    return report


def make_job(case: Case, stage: Stage, findings: Sequence[Finding] = ()) -> Job:
    """The job of a stage's agent at this attempt."""
    ticket = case.plan.members(stage, case.flow)[0]
    attempt = case.flow.attempt(stage.number)
    options = case.settings.agent(stage.agent).options
    return Job(
        ticket=ticket,
        parent=case.plan.parent,
        family=case.family.members(),
        stage=stage.number,
        agent=stage.agent,
        workspace=str(case.root),
        workflow=case.flow.workflow,
        workflow_text=case.workflow.text,
        settings={
            **options,
            "facts": case.settings.facts,
            "board": case.settings.board.folder,
            "failure_limit": case.settings.failure_limit,
        },
        attempt=attempt,
        findings=tuple(findings) or _last_findings(case, stage, attempt),
        words=_last_words(case, stage, attempt),
        written=case.family.history.written_by(stage.agent),
    )


def _last_findings(case: Case, stage: Stage, attempt: int) -> tuple[Finding, ...]:
    if attempt == 1:
        return ()
    record = case.family.history.latest("failure")
    if record is None or stage.number not in record["stages"]:
        return ()
    return tuple(Finding.model_validate(f) for f in record["findings"])


def _last_words(case: Case, stage: Stage, attempt: int) -> str:
    if attempt == 1:
        return ""
    record = case.family.history.latest("answer", answer="changes_requested")
    if record is None or record["attempts"].get(str(stage.number)) != attempt:
        return ""
    return str(record["words"])


def _checked(case: Case, stage: Stage, report: Report) -> Report:
    """A report that says what is not so has failed, and nothing of it is kept (DESIGN 5, 8.4)."""
    problem = (
        _false_artifact(case, report) or _bad_ticket(case, report) or _outside(case, stage, report)
    )
    if not problem:
        return report
    return Report(outcome=Outcome.FAILED, reason=f"{stage.agent} reports {problem}")


def _false_artifact(case: Case, report: Report) -> str:
    for item in report.artifacts:
        try:
            file = case.inside(item.path)
        except UnsafePathError as exc:
            return exc.message
        there = file.is_file() and sha256_file(file) == item.sha256
        if report.outcome is Outcome.DONE and not there:
            return f"{item.path}, which is not there as reported"
    return ""


def _outside(case: Case, stage: Stage, report: Report) -> str:
    """What was written that is frozen, or lies outside of the ticket's `files:`."""
    written = [a.path for a in report.artifacts if a.state == "written"]
    for path in written:
        if any(fnmatchcase(path, pattern) for pattern in case.settings.frozen):
            return f"{path}, which is frozen (orchestrate.toml)"
    ticket = case.family.ticket(case.plan.members(stage, case.flow)[0])
    if case.plan.part(stage) != "maker" or not ticket.files:
        return ""
    stray = next((p for p in written if not any(covers(f, p) for f in ticket.files)), "")
    return f"{stray}, which is outside of the `files:` of {ticket.id}" if stray else ""


def _frozen(case: Case) -> dict[str, tuple[int, ...]]:
    """The frozen files with what tells a change."""
    found: dict[str, tuple[int, ...]] = {}
    for pattern in case.settings.frozen:
        for path in case.root.glob(pattern):
            if path.is_file():
                stat = path.stat()
                found[str(path.relative_to(case.root))] = (stat.st_mtime_ns, stat.st_size)
    return found


def _kept_frozen(report: Report, before: dict[str, tuple[int, ...]], case: Case) -> Report:
    """Failed if a frozen file is another than before, whatever the report says."""
    after = _frozen(case)
    changed = sorted(p for p in {**before, **after} if before.get(p) != after.get(p))
    if not changed:
        return report
    reason = f"{', '.join(changed)} changed while the agent worked, though frozen; put it back"
    return Report(outcome=Outcome.FAILED, reason=reason)


def _bad_ticket(case: Case, report: Report) -> str:
    """What is wrong with a new ticket: it has to be a child of this family, in one folder."""
    for new in report.tickets:
        document = Document.parse(new.text.encode("utf-8"))
        if id_from_name(new.filename) != new.id or Path(new.filename).name != new.filename:
            return f"a new ticket {new.id} under the file name {new.filename!r}"
        if document.text("id") != new.id or document.text("parent") != case.plan.parent:
            return f"a new ticket {new.id} whose text is of another id or another parent"
    return ""


def _something_new(case: Case, job: Job, report: Report) -> Report:
    """A further attempt that leaves every file as it was cannot go on (DESIGN 5.5)."""
    if report.outcome is not Outcome.DONE or not report.artifacts:
        return report
    known = _as_judged(case)
    same = all(known.get(a.path) == a.sha256 for a in report.artifacts)
    if not same or not (job.findings or job.words):
        return report
    asked = job.words or "; ".join(dict.fromkeys(f.statement for f in job.findings))
    paths = ", ".join(a.path for a in report.artifacts)
    reason = f"nothing of {paths} has changed since the last attempt; asked for: {asked}"
    return report.model_copy(update={"outcome": Outcome.CANNOT, "reason": reason})


def _as_judged(case: Case) -> dict[str, str]:
    """sha256 by path of what was reported last, and of what the receipts since are about."""
    history = case.family.history
    known = {path: str(origin["sha256"]) for path, origin in history.artifacts().items()}
    for receipt in history.of("receipt"):
        known |= receipt["subjects"]
    return known


def _remember(case: Case, stage: Stage, job: Job, report: Report) -> None:
    case.family.history.append(
        "report",
        stage=stage.number,
        attempt=job.attempt,
        agent=stage.agent,
        ticket=job.ticket,
        outcome=report.outcome.value,
        artifacts=[a.model_dump() for a in report.artifacts],
        report=report.model_dump(mode="json"),
    )
    for notice in report.notices:
        case.family.history.append(
            "notice", stage=stage.number, to=notice.to, text=notice.text, path=notice.path
        )
        case.tell("notice", f"{notice.to}: {notice.text}", stage=stage.number, agent=stage.agent)


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
    _remember(case, stage, job, report)
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
