"""An agent's attempt at a stage: its job, its report, and whether it may go on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from orchestrator.conductor.observed import (
    judge_report,
    undo_again,
    undo_attempt,
)
from orchestrator.conductor.rejoining import conflict_findings
from orchestrator.conductor.trying import record_agent_checks
from orchestrator.conductor.turns import count_killed_turns, goes_on, work_in_turns
from orchestrator.domain.agent import Artifact, Finding, Job, Outcome, Report
from orchestrator.domain.states import Part
from orchestrator.domain.workflow import Stage
from orchestrator.family.attempt_files import Seen
from orchestrator.family.beside import session_at
from orchestrator.family.session import ProgressKind, Session
from orchestrator.gates.checks import Phase, Verdict

#: seconds between wake-ups of a thread that waits for agents
_WAKE_UP = 0.5


def collect_reports(session: Session, makers: Sequence[Stage]) -> list[Report]:
    """The reports of these stages' agents, which work in parallel, in the order of the stages."""
    if len(makers) < 2:
        return [_report_of(session_at(session, stage), stage) for stage in makers]
    own = [session_at(session, stage) for stage in makers]
    with ThreadPoolExecutor(len(makers)) as pool:
        try:
            found = [
                pool.submit(_report_beside_others, *each) for each in zip(own, makers, strict=True)
            ]
            # a signal that arrives just as the wait begins is handled at the next wake-up
            while wait(found, timeout=_WAKE_UP).not_done:
                pass
            return [each.result() for each in found]
        except KeyboardInterrupt:
            # leaving the pool would wait for the others
            session.dispatcher.stop()
            raise


def _report_beside_others(session: Session, stage: Stage) -> Report:
    report = _report_of(session, stage)
    # the others may be at work for hours
    session.family.history.flush()
    return report


def _report_of(session: Session, stage: Stage) -> Report:
    """The stage's report: the stored one if the work was done before a stop, else a new one."""
    session.report_progress(ProgressKind.STAGE, stage.label, stage=stage.number, agent=stage.agent)
    if stage.ready:
        return Report(outcome=Outcome.DONE, log=("marked as done in the workflow; only proven",))
    history, attempt = session.family.history, session.flow.attempt(stage.number)
    stored = history.latest("report", stage=stage.number, attempt=attempt)
    if stored is not None and stored["outcome"] == Outcome.FAILED:
        undo_again(session, stage, attempt)
    if stored is not None and stored["outcome"] not in (Outcome.NEEDS_PERSON, Outcome.LATER):
        return Report.model_validate(stored["report"])
    began = history.latest("dispatch", stage=stage.number, attempt=attempt) is not None
    if began and not goes_on(session, stage, make_job(session, stage)):
        seen = session.changes.settle(session.worker_of(stage), session.places_to_look_at())
        if _holds(session, stage):
            return _report_interrupted_work(session, stage, seen)
    return _dispatch(session, stage)


def _holds(session: Session, stage: Stage) -> bool:
    """Whether the statements of the stage and its ticket hold as things are (DESIGN 5.5)."""
    receipts = session.prove(stage, (Phase.CONTENT,), store=False)
    if session.plan.part(stage) is Part.MAKER:
        member = session.plan.members(stage, session.flow)[0]
        own = session.criteria(member).statements
        receipts += session.gate.prove(own, session.context(stage), (Phase.CONTENT,))
    judged = [r for r in receipts if r.verdict is not Verdict.PENDING]
    return bool(judged) and all(r.verdict is Verdict.PROVEN for r in judged)


def _report_interrupted_work(session: Session, stage: Stage, seen: Seen) -> Report:
    """A report for work that was finished before its agent could report it."""
    paths = [d.path for d in stage.deliverables if session.inside(d.path).is_file()]
    named = ", ".join(f"`{path}`" for path in paths) or "no named file"
    report = Report(
        outcome=Outcome.DONE,
        artifacts=tuple(Artifact(path=p, state="kept") for p in paths),
        section=f"## {stage.agent} was stopped at {stage.label}\n\nIts work is proven: {named}.\n",
        log=("done before the last stop; only proven",),
    )
    report = judge_report(session, stage, report, seen)
    job = make_job(session, stage)
    count_killed_turns(session, stage, job)
    record_report(session, stage, job, report)
    if report.outcome is Outcome.FAILED:
        undo_attempt(session, seen)
    return report


def _dispatch(session: Session, stage: Stage) -> Report:
    job = make_job(session, stage)
    session.report_progress(
        ProgressKind.AGENT, f"{stage.agent} works", stage=stage.number, agent=stage.agent
    )
    started = time.monotonic()
    report, seen = work_in_turns(session, stage, job)
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
    if report.outcome is Outcome.FAILED and seen is not None:
        undo_attempt(session, seen)
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
        if session.plan.part(stage) is not Part.INSPECTOR:
            member = session.plan.members(stage, session.flow)[0]
            now = conflict_findings(session, member, stage)
            reported = {f.statement for f in now}
            findings = [*(f for f in findings if f.statement not in reported), *now]
    return Job(
        ticket=session.plan.members(stage, session.flow)[0],
        parent=session.plan.parent,
        family=session.family.members(),
        stage=stage.number,
        agent=stage.agent,
        workspace=str(session.root),
        home=str(session.board.root),
        workflow=session.flow.workflow,
        workflow_text=session.workflow.text,
        settings={
            **settings.agent(stage.agent).options,
            "facts": settings.facts.folder,
            "board": settings.board.folder,
            "failure_limit": settings.failure_limit,
        },
        attempt=attempt,
        findings=tuple(findings),
        words=words,
        written=history.written_by(stage.agent),
    )


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
    """Write a report, its notices and the checks that it proposes into the history.

    That of work that is done is written with what follows: a transition, or before a proof. What a
    coding agent has done is not risked for that.
    """
    history = session.family.history
    follows = report.outcome is Outcome.DONE and not session.settings.agent(stage.agent).adapter
    note = history.announce if follows else history.append
    note(
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
    if report.outcome is not Outcome.FAILED:
        record_agent_checks(session, stage, report.checks)
