"""An agent's attempt at a stage: dispatch it, check its report against the tree, record it."""

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
from orchestrator.family.session import ProgressKind, Session
from orchestrator.gates.checks import Phase, Verdict
from orchestrator.markdown.frontmatter import Document
from orchestrator.storage.atomic import sha256_file
from orchestrator.tickets.id_grammar import id_from_name

#: seconds between wake-ups of a thread that waits for agents
_WAKE_UP = 0.5


def collect_reports(session: Session, makers: Sequence[Stage]) -> list[Report]:
    """The reports of these stages' agents, which work in parallel, in the order of the stages."""
    if len(makers) < 2:
        return [_report_of(session, stage) for stage in makers]
    with ThreadPoolExecutor(len(makers)) as pool:
        try:
            found = [pool.submit(_report_of, session, stage) for stage in makers]
            # a signal that arrives just as the wait begins is handled at the next wake-up
            while wait(found, timeout=_WAKE_UP).not_done:
                pass
            return [each.result() for each in found]
        except KeyboardInterrupt:
            # leaving the pool would wait for the others
            session.dispatcher.stop()
            raise


def _report_of(session: Session, stage: Stage) -> Report:
    """The stage's report: the stored one if the work was done before a stop, else a new one."""
    session.report_progress(ProgressKind.STAGE, stage.label, stage=stage.number, agent=stage.agent)
    if stage.ready:
        return Report(outcome=Outcome.DONE, log=("marked as done in the workflow; only proven",))
    history, attempt = session.family.history, session.flow.attempt(stage.number)
    stored = history.latest("report", stage=stage.number, attempt=attempt)
    if stored is not None and stored["outcome"] in (Outcome.DONE, Outcome.CANNOT):
        return Report.model_validate(stored["report"])
    interrupted = history.latest("dispatch", stage=stage.number, attempt=attempt) is not None
    if interrupted and _holds(session, stage):
        return _report_interrupted_work(session, stage)
    return _dispatch(session, stage)


def _holds(session: Session, stage: Stage) -> bool:
    """Whether the statements of the stage and its ticket hold as things are (DESIGN 5.5)."""
    receipts = session.prove(stage, (Phase.CONTENT,), store=False)
    if session.plan.part(stage) is Part.MAKER:
        member = session.plan.members(stage, session.flow)[0]
        own = session.family.ticket(member).acceptance()
        receipts += session.gate.prove(own, session.context(stage), (Phase.CONTENT,))
    judged = [r for r in receipts if r.verdict is not Verdict.PENDING]
    return bool(judged) and all(r.verdict is Verdict.PROVEN for r in judged)


def _report_interrupted_work(session: Session, stage: Stage) -> Report:
    """A report for work that was finished before its agent could report it."""
    paths = [d.path for d in stage.deliverables if session.inside(d.path).is_file()]
    named = ", ".join(f"`{path}`" for path in paths) or "no named file"
    report = Report(
        outcome=Outcome.DONE,
        artifacts=tuple(Artifact(path=p, sha256=session.sha(p), state="kept") for p in paths),
        section=f"## {stage.agent} was stopped at {stage.label}\n\nIts work is proven: {named}.\n",
        log=("done before the last stop; only proven",),
    )
    record_report(session, stage, make_job(session, stage), report)
    return report


def _dispatch(session: Session, stage: Stage) -> Report:
    job = make_job(session, stage)
    session.family.history.append(
        "dispatch", stage=stage.number, attempt=job.attempt, agent=stage.agent
    )
    session.report_progress(
        ProgressKind.AGENT, f"{stage.agent} works", stage=stage.number, agent=stage.agent
    )
    started = time.monotonic()
    before = _frozen_files(session)
    report = session.dispatcher.dispatch(job, session.settings.agent(stage.agent), session.lock_fd)
    after = _frozen_files(session)
    if changed := sorted(p for p in {**before, **after} if before.get(p) != after.get(p)):
        reason = f"{', '.join(changed)} changed while the agent worked, but is frozen; restore it"
        report = Report(outcome=Outcome.FAILED, reason=reason)
    elif problem := _problem_with(session, stage, report):
        # nothing of a false report is kept (DESIGN 5, 8.4)
        report = Report(outcome=Outcome.FAILED, reason=f"{stage.agent} reports {problem}")
    report = _require_change(session, job, report)
    record_report(session, stage, job, report)
    session.report_progress(
        ProgressKind.REPORT,
        report.reason or "; ".join(report.log) or report.outcome.value,
        stage=stage.number,
        agent=stage.agent,
        verdict=report.outcome.value,
        seconds=time.monotonic() - started,
    )
    return report


def make_job(session: Session, stage: Stage, findings: Sequence[Finding] = ()) -> Job:
    """The job of a stage's agent at this attempt."""
    history, settings = session.family.history, session.settings
    attempt = session.flow.attempt(stage.number)
    words = ""
    if attempt > 1:
        failure = history.latest("failure")
        if not findings and failure is not None and stage.number in failure["stages"]:
            findings = [Finding.model_validate(f) for f in failure["findings"]]
        answer = history.latest("answer", answer="changes_requested")
        if answer is not None and answer["attempts"].get(str(stage.number)) == attempt:
            words = str(answer["words"])
    return Job(
        ticket=session.plan.members(stage, session.flow)[0],
        parent=session.plan.parent,
        family=session.family.members(),
        stage=stage.number,
        agent=stage.agent,
        workspace=str(session.root),
        workflow=session.flow.workflow,
        workflow_text=session.workflow.text,
        settings={
            **settings.agent(stage.agent).options,
            "facts": settings.facts,
            "board": settings.board.folder,
            "failure_limit": settings.failure_limit,
        },
        attempt=attempt,
        findings=tuple(findings),
        words=words,
        written=history.written_by(stage.agent),
    )


def _problem_with(session: Session, stage: Stage, report: Report) -> str:
    """What a report claims that is false or forbidden, or ""."""
    for item in report.artifacts:
        try:
            file = session.inside(item.path)
        except UnsafePathError as exc:
            return exc.message
        there = file.is_file() and sha256_file(file) == item.sha256
        if report.outcome is Outcome.DONE and not there:
            return f"{item.path}, which is not there as reported"
    for new in report.tickets:
        document = Document.parse(new.text.encode("utf-8"))
        if id_from_name(new.filename) != new.id or Path(new.filename).name != new.filename:
            return f"a new ticket {new.id} under the file name {new.filename!r}"
        if document.text("id") != new.id or document.text("parent") != session.plan.parent:
            return f"a new ticket {new.id} whose text has another id or another parent"
    written = [a.path for a in report.artifacts if a.state == "written"]
    for path in written:
        if any(fnmatchcase(path, pattern) for pattern in session.settings.frozen):
            return f"{path}, which is frozen (orchestrate.toml)"
    ticket = session.family.ticket(session.plan.members(stage, session.flow)[0])
    if session.plan.part(stage) is Part.MAKER and ticket.files:
        for path in written:
            if not any(covers(place, path) for place in ticket.files):
                return f"{path}, which is outside of the `files:` of {ticket.id}"
    return ""


def _frozen_files(session: Session) -> dict[str, tuple[int, ...]]:
    """Frozen file → its time and size, which show a change."""
    found: dict[str, tuple[int, ...]] = {}
    for pattern in session.settings.frozen:
        for path in session.root.glob(pattern):
            if path.is_file():
                stat = path.stat()
                found[str(path.relative_to(session.root))] = (stat.st_mtime_ns, stat.st_size)
    return found


def _require_change(session: Session, job: Job, report: Report) -> Report:
    """A further attempt that leaves every file as it was cannot go on (DESIGN 5.5)."""
    if report.outcome is not Outcome.DONE or not report.artifacts:
        return report
    # what was reported last, and the subjects of the receipts since
    history = session.family.history
    known = {path: str(origin["sha256"]) for path, origin in history.artifacts().items()}
    for receipt in history.of("receipt"):
        known |= receipt["subjects"]
    same = all(known.get(a.path) == a.sha256 for a in report.artifacts)
    if not same or not (job.findings or job.words):
        return report
    asked = job.words or "; ".join(dict.fromkeys(f.statement for f in job.findings))
    paths = ", ".join(a.path for a in report.artifacts)
    reason = f"nothing of {paths} has changed since the last attempt; asked for: {asked}"
    return report.model_copy(update={"outcome": Outcome.CANNOT, "reason": reason})


def record_report(session: Session, stage: Stage, job: Job, report: Report) -> None:
    """Write a report and its notices into the history."""
    history = session.family.history
    history.append(
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
        history.append(
            "notice", stage=stage.number, to=notice.to, text=notice.text, path=notice.path
        )
        text = f"{notice.to}: {notice.text}"
        session.report_progress(ProgressKind.NOTICE, text, stage=stage.number, agent=stage.agent)
