"""An agent's attempt at a stage: dispatched, its report checked against the tree, remembered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from fnmatch import fnmatchcase
from pathlib import Path

from orchestrator.domain.agent import Artifact, Finding, Job, Outcome, Report
from orchestrator.domain.states import Part
from orchestrator.domain.workflow import Stage
from orchestrator.errors import UnsafePathError
from orchestrator.family.blockers import covers
from orchestrator.family.session import Session
from orchestrator.gates.checks import Phase, Verdict
from orchestrator.markdown.frontmatter import Document
from orchestrator.storage.atomic import sha256_file
from orchestrator.tickets.id_grammar import id_from_name

#: a thread that waits for agents wakes so often (s)
_AWAKE = 0.5


def reports_of(session: Session, makers: Sequence[Stage]) -> list[Report]:
    """What the agents of these stages report, who work side by side, in their order."""
    if len(makers) < 2:
        return [_dispatched(session, stage) for stage in makers]
    with ThreadPoolExecutor(len(makers)) as pool:
        try:
            found = [pool.submit(_dispatched, session, stage) for stage in makers]
            # a signal in the moment in which it begins to wait is heard when it wakes
            while wait(found, timeout=_AWAKE).not_done:
                pass
            return [each.result() for each in found]
        except KeyboardInterrupt:
            # it would wait for the others
            session.dispatcher.stop()
            raise


def _dispatched(session: Session, stage: Stage) -> Report:
    """The stage's report: a stored one if the work was done before a stop, else a fresh one."""
    session.tell("stage", stage.label, stage=stage.number, agent=stage.agent)
    if stage.ready:
        return Report(outcome=Outcome.DONE, log=("marked as done in the workflow; only proven",))
    stored = _stored_report(session, stage)
    if stored is not None:
        return stored
    if _interrupted(session, stage) and _holds(session, stage):
        return _found_done(session, stage)
    return _fresh_report(session, stage)


def _found_done(session: Session, stage: Stage) -> Report:
    """The report of work that was done before its agent could tell: what the stage delivers."""
    paths = [d.path for d in stage.deliverables if session.inside(d.path).is_file()]
    artifacts = tuple(Artifact(path=p, sha256=session.sha(p), state="kept") for p in paths)
    named = ", ".join(f"`{path}`" for path in paths) or "nothing that can be named"
    section = f"## {stage.agent} was stopped at {stage.label}\n\nIts work is proven: {named}.\n"
    job = make_job(session, stage)
    log = ("done before the last stop; only proven",)
    report = Report(outcome=Outcome.DONE, artifacts=artifacts, section=section, log=log)
    remember(session, stage, job, report)
    return report


def _stored_report(session: Session, stage: Stage) -> Report | None:
    record = session.family.history.latest(
        "report", stage=stage.number, attempt=session.flow.attempt(stage.number)
    )
    if record is None or record["outcome"] not in (Outcome.DONE.value, Outcome.CANNOT.value):
        return None
    return Report.model_validate(record["report"])


def _interrupted(session: Session, stage: Stage) -> bool:
    """Whether this attempt was dispatched before, without coming to a `done`."""
    attempt = session.flow.attempt(stage.number)
    return (
        session.family.history.latest("dispatch", stage=stage.number, attempt=attempt) is not None
    )


def _holds(session: Session, stage: Stage) -> bool:
    """Whether the stage's statements and its ticket's hold as the tree lies (DESIGN 5.5)."""
    receipts = session.prove(stage, (Phase.CONTENT,), store=False)
    member = session.plan.members(stage, session.flow)[0]
    if session.plan.part(stage) is Part.MAKER:
        own = session.family.ticket(member).acceptance()
        receipts += session.gate.prove(own, session.context(stage), (Phase.CONTENT,))
    judged = [r for r in receipts if r.verdict is not Verdict.PENDING]
    return bool(judged) and all(r.verdict is Verdict.PROVEN for r in judged)


def _fresh_report(session: Session, stage: Stage) -> Report:
    job = make_job(session, stage)
    session.family.history.append(
        "dispatch", stage=stage.number, attempt=job.attempt, agent=stage.agent
    )
    session.tell("agent", f"{stage.agent} works", stage=stage.number, agent=stage.agent)
    started = time.monotonic()
    before = _frozen(session)
    report = session.dispatcher.dispatch(job, session.settings.agent(stage.agent), session.lock_fd)
    report = _kept_frozen(_checked(session, stage, report), before, session)
    report = _something_new(session, job, report)
    remember(session, stage, job, report)
    session.tell(
        "report",
        report.reason or "; ".join(report.log) or report.outcome.value,
        stage=stage.number,
        agent=stage.agent,
        verdict=report.outcome.value,
        seconds=time.monotonic() - started,
    )
    return report


def make_job(session: Session, stage: Stage, findings: Sequence[Finding] = ()) -> Job:
    """The job of a stage's agent at this attempt."""
    ticket = session.plan.members(stage, session.flow)[0]
    attempt = session.flow.attempt(stage.number)
    options = session.settings.agent(stage.agent).options
    return Job(
        ticket=ticket,
        parent=session.plan.parent,
        family=session.family.members(),
        stage=stage.number,
        agent=stage.agent,
        workspace=str(session.root),
        workflow=session.flow.workflow,
        workflow_text=session.workflow.text,
        settings={
            **options,
            "facts": session.settings.facts,
            "board": session.settings.board.folder,
            "failure_limit": session.settings.failure_limit,
        },
        attempt=attempt,
        findings=tuple(findings) or _last_findings(session, stage, attempt),
        words=_last_words(session, stage, attempt),
        written=session.family.history.written_by(stage.agent),
    )


def _last_findings(session: Session, stage: Stage, attempt: int) -> tuple[Finding, ...]:
    if attempt == 1:
        return ()
    record = session.family.history.latest("failure")
    if record is None or stage.number not in record["stages"]:
        return ()
    return tuple(Finding.model_validate(f) for f in record["findings"])


def _last_words(session: Session, stage: Stage, attempt: int) -> str:
    if attempt == 1:
        return ""
    record = session.family.history.latest("answer", answer="changes_requested")
    if record is None or record["attempts"].get(str(stage.number)) != attempt:
        return ""
    return str(record["words"])


def _checked(session: Session, stage: Stage, report: Report) -> Report:
    """A report that says what is not so has failed, and nothing of it is kept (DESIGN 5, 8.4)."""
    problem = (
        _false_artifact(session, report)
        or _bad_ticket(session, report)
        or _outside(session, stage, report)
    )
    if not problem:
        return report
    return Report(outcome=Outcome.FAILED, reason=f"{stage.agent} reports {problem}")


def _false_artifact(session: Session, report: Report) -> str:
    for item in report.artifacts:
        try:
            file = session.inside(item.path)
        except UnsafePathError as exc:
            return exc.message
        there = file.is_file() and sha256_file(file) == item.sha256
        if report.outcome is Outcome.DONE and not there:
            return f"{item.path}, which is not there as reported"
    return ""


def _outside(session: Session, stage: Stage, report: Report) -> str:
    """What was written that is frozen, or lies outside of the ticket's `files:`."""
    written = [a.path for a in report.artifacts if a.state == "written"]
    for path in written:
        if any(fnmatchcase(path, pattern) for pattern in session.settings.frozen):
            return f"{path}, which is frozen (orchestrate.toml)"
    ticket = session.family.ticket(session.plan.members(stage, session.flow)[0])
    if session.plan.part(stage) is not Part.MAKER or not ticket.files:
        return ""
    stray = next((p for p in written if not any(covers(f, p) for f in ticket.files)), "")
    return f"{stray}, which is outside of the `files:` of {ticket.id}" if stray else ""


def _frozen(session: Session) -> dict[str, tuple[int, ...]]:
    """The frozen files with what tells a change."""
    found: dict[str, tuple[int, ...]] = {}
    for pattern in session.settings.frozen:
        for path in session.root.glob(pattern):
            if path.is_file():
                stat = path.stat()
                found[str(path.relative_to(session.root))] = (stat.st_mtime_ns, stat.st_size)
    return found


def _kept_frozen(report: Report, before: dict[str, tuple[int, ...]], session: Session) -> Report:
    """Failed if a frozen file is another than before, whatever the report says."""
    after = _frozen(session)
    changed = sorted(p for p in {**before, **after} if before.get(p) != after.get(p))
    if not changed:
        return report
    reason = f"{', '.join(changed)} changed while the agent worked, though frozen; put it back"
    return Report(outcome=Outcome.FAILED, reason=reason)


def _bad_ticket(session: Session, report: Report) -> str:
    """What is wrong with a new ticket: it has to be a child of this family, in one folder."""
    for new in report.tickets:
        document = Document.parse(new.text.encode("utf-8"))
        if id_from_name(new.filename) != new.id or Path(new.filename).name != new.filename:
            return f"a new ticket {new.id} under the file name {new.filename!r}"
        if document.text("id") != new.id or document.text("parent") != session.plan.parent:
            return f"a new ticket {new.id} whose text is of another id or another parent"
    return ""


def _something_new(session: Session, job: Job, report: Report) -> Report:
    """A further attempt that leaves every file as it was cannot go on (DESIGN 5.5)."""
    if report.outcome is not Outcome.DONE or not report.artifacts:
        return report
    known = _as_judged(session)
    same = all(known.get(a.path) == a.sha256 for a in report.artifacts)
    if not same or not (job.findings or job.words):
        return report
    asked = job.words or "; ".join(dict.fromkeys(f.statement for f in job.findings))
    paths = ", ".join(a.path for a in report.artifacts)
    reason = f"nothing of {paths} has changed since the last attempt; asked for: {asked}"
    return report.model_copy(update={"outcome": Outcome.CANNOT, "reason": reason})


def _as_judged(session: Session) -> dict[str, str]:
    """sha256 by path of what was reported last, and of what the receipts since are about."""
    history = session.family.history
    known = {path: str(origin["sha256"]) for path, origin in history.artifacts().items()}
    for receipt in history.of("receipt"):
        known |= receipt["subjects"]
    return known


def remember(session: Session, stage: Stage, job: Job, report: Report) -> None:
    session.family.history.append(
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
        session.family.history.append(
            "notice", stage=stage.number, to=notice.to, text=notice.text, path=notice.path
        )
        session.tell("notice", f"{notice.to}: {notice.text}", stage=stage.number, agent=stage.agent)
