"""The turns of a coding agent: work, prove, and go on in its session with what was not proven."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from orchestrator.conductor.observed import dispatch
from orchestrator.conductor.rejoining import conflict_findings
from orchestrator.domain.agent import (
    LIMIT,
    UNREACHABLE,
    Demand,
    Finding,
    Job,
    Outcome,
    Report,
    Usage,
)
from orchestrator.domain.states import Part
from orchestrator.domain.workflow import Stage, Statement
from orchestrator.family.attempt_files import Seen
from orchestrator.family.session import ProgressKind, Session
from orchestrator.family.spending import (
    BEGUN,
    TURN,
    Purse,
    Turn,
    describe,
    sum_of,
    turns_in,
    turns_of_board,
)
from orchestrator.gates.checks import Phase
from orchestrator.gates.receipts import Receipt
from orchestrator.settings.agents import AgentSettings
from orchestrator.workspaces.ports import database_folder

#: `Report.ended` of what was not even begun
UNPRICED, BUDGET, STALL = "unpriced", "budget", "stall"
#: seconds until a service that is not reached is tried again; then USER is asked
PAUSES = (60.0, 300.0, 900.0, 3_600.0)


def work_in_turns(session: Session, stage: Stage, job: Job) -> tuple[Report, Seen | None]:
    """Let an agent work on a stage; its last report, and what it changed (None: it did not begin).

    A coding agent that has not satisfied the stage's statements goes on in the same session, with
    the receipts that failed, for as many turns as its settings allow. Raises StoppedError, and
    GitError where git fails in a repository.
    """
    settings = session.settings.agent(stage.agent)
    if not settings.adapter:
        return dispatch(session, stage, job)
    count_killed_turns(session, stage, job)
    is_maker = session.plan.part(stage) in (Part.MAKER, Part.PROVIDER)
    job = _prepare(session, stage, job, settings)
    seen: Seen | None = None
    reported: Report | None = None
    # a turn in which nothing could be done is none of those that it has
    waited = sum(t.ended in (LIMIT, UNREACHABLE) for t in _turns_of(session, job))
    for turn in count(job.turn):
        # what other families spent is read from all histories of the board: once for each turn
        purse = _purse(session, job)
        refused = _refusal(session, stage, job, purse)
        if refused is not None:
            return refused, seen
        job = job.model_copy(update={"turn": turn, "allowance": purse.allowance()})
        said, seen = _take_turn(session, stage, job, settings)
        # what an earlier turn proposed and reported is not lost with its report
        report = reported = _joined(reported, said)
        if report.ended == UNREACHABLE:
            report = _tried_again(session, job, report)
        if turn - waited >= settings.turns:
            break
        if report.ended == STALL:
            # what it has done so far is there; it is spoken to again
            job = job.model_copy(update={"session": report.session})
            continue
        if report.outcome is not Outcome.DONE or not is_maker:
            break
        findings = [
            *(to_finding(r, job.ticket) for r in session.failing(_prove(session, stage))),
            *conflict_findings(session, job.ticket),
        ]
        if not findings:
            break
        session.report_progress(
            ProgressKind.NOTICE,
            f"{stage.agent}: {len(findings)} not proven after turn {turn} of {settings.turns}; "
            "it goes on",
            stage=stage.number,
            agent=stage.agent,
        )
        job = job.model_copy(
            update={"findings": tuple(findings), "session": report.session, "words": ""}
        )
    return _with_costs(session, job, report), seen


def _prepare(session: Session, stage: Stage, job: Job, settings: AgentSettings) -> Job:
    """The job with what a coding agent has to know, and the session in which it goes on."""
    worker = session.worker_of(stage)
    records = session.family.history.counted
    before = [t for t in turns_in(records, session.plan.parent) if t.stage == stage.number]
    last = before[-1] if before else None
    same = last is not None and last.attempt == job.attempt
    logs = session.board.root / ".orchestrate" / "logs" / session.plan.parent
    logs.mkdir(parents=True, exist_ok=True)
    return job.model_copy(
        update={
            "demands": tuple(_demand(session, s) for s in _demanded(session, stage)),
            "files": worker.files,
            "frozen": session.settings.frozen,
            "environment": session.checkout.environment if session.checkout else {},
            "log": str(logs / f"stage-{stage.number}-attempt-{job.attempt}.jsonl"),
            "settings": {
                **job.settings,
                "agent": settings.model_dump(mode="json"),
                "database": _database(session),
            },
            "turn": last.turn + 1 if last is not None and same else 1,
            # what a failed attempt remembers of the files was taken back
            "session": last.session if last is not None and _goes_on(session, job, same) else "",
        }
    )


def _database(session: Session) -> str:
    """The folder of the checkout's own database, "" if it has none."""
    own = session.checkout
    if own is None or not session.settings.workspaces.database:
        return ""
    return str(database_folder(own.home, own.name))


def _goes_on(session: Session, job: Job, same: bool) -> bool:
    """Whether the last session of the stage still knows how things are."""
    if same or job.words:
        return True
    stored = session.family.history.latest("report", stage=job.stage, attempt=job.attempt - 1)
    return stored is not None and stored["outcome"] != Outcome.FAILED


def _demanded(session: Session, stage: Stage) -> list[Statement]:
    """The stage's statements, and its ticket's criteria, which are judged later."""
    member = session.plan.members(stage, session.flow)[0]
    found = [*session.statements(stage)]
    if session.plan.part(stage) is Part.MAKER:
        found += session.criteria(member).statements
    return [s for s in dict.fromkeys(found) if not _is_of_conductor(session, s)]


def _left_to_others(session: Session, stage: Stage) -> tuple[Statement, ...]:
    """The criteria of a ticket of which others make parts at the same time, in their checkouts."""
    plan, flow = session.plan, session.flow
    member = plan.members(stage, flow)[0]
    others = [
        s for s in plan.makers_of(member, flow) if s.number not in (*flow.finished, stage.number)
    ]
    return session.criteria(member).statements if session.main is not None and others else ()


def _is_of_conductor(session: Session, statement: Statement) -> bool:
    """Whether a statement is about where tickets lie, or USER's answer, and nothing else."""
    bound = session.binder.bind(statement.text)
    phases = {b.check.phase if b.check is not None else None for b in bound}
    return bool(phases) and phases <= {Phase.POSITION, Phase.ANSWER}


def _demand(session: Session, statement: Statement) -> Demand:
    bound = session.binder.bind(statement.text)
    return Demand(
        text=statement.text,
        checks=tuple(dict.fromkeys(b.check.name for b in bound if b.check is not None)),
        source=f"{statement.source}:{statement.line}",
        group=statement.group,
    )


def _joined(before: Report | None, said: Report) -> Report:
    """The report of a turn, with what the turns before it told and proposed."""
    if before is None or said.outcome is Outcome.FAILED:
        return said
    fields = ("notices", "tickets", "checks")
    return said.model_copy(
        update={
            name: tuple(dict.fromkeys((*getattr(before, name), *getattr(said, name))))
            for name in fields
        }
    )


def _prove(session: Session, stage: Stage) -> Sequence[Receipt]:
    """The verdicts between two turns; the receipts that count are made when the work is over."""
    statements = [s for s in _demanded(session, stage) if s not in _left_to_others(session, stage)]
    gate = session.far_gate(stage, between_turns=True)
    return gate.prove(statements, session.context(stage), (Phase.CONTENT,))


def to_finding(receipt: Receipt, member: str, *, accepted: bool = False) -> Finding:
    """A receipt as agents see it; `member`: whose maker is responsible for it, "" if nobody's."""
    return Finding(
        statement=receipt.statement.text,
        verdict="accepted" if accepted else receipt.verdict.value,
        detail=receipt.detail,
        receipt=receipt.id,
        source=f"{receipt.statement.source}:{receipt.statement.line}",
        group=receipt.statement.group,
        member=member,
    )


# -- one turn --------------------------------------------------------------------------------


def _take_turn(
    session: Session, stage: Stage, job: Job, settings: AgentSettings
) -> tuple[Report, Seen]:
    history = session.family.history
    about = {
        "stage": stage.number,
        "attempt": job.attempt,
        "turn": job.turn,
        "agent": stage.agent,
        "adapter": settings.adapter,
    }
    started = time.monotonic()
    history.append(BEGUN, **about, log=job.log, model=settings.model)
    said, seen = dispatch(session, stage, job)
    history.append(
        TURN,
        **about,
        usage=[u.model_dump(mode="json") for u in said.usage],
        seconds=round(said.seconds or time.monotonic() - started, 1),
        session=said.session,
        ended=said.ended,
        outcome=said.outcome.value,
    )
    return said, seen


def goes_on(session: Session, stage: Stage, job: Job) -> bool:
    """Whether a worker still has the job of a stage, or its result."""
    asked = [job.model_copy(update={"turn": t["turn"]}) for t in _open_turns(session, stage, job)]
    if not session.settings.agent(stage.agent).adapter:
        asked = [job]
    return any(map(session.dispatcher.has, asked))


def _open_turns(session: Session, stage: Stage, job: Job | None = None) -> list[dict[str, Any]]:
    """The turns of a stage (of the job's attempt) that have begun and not ended."""
    history = session.family.history
    keys = ("attempt", "turn")
    ended = {tuple(r[k] for k in keys) for r in history.of(TURN) if r["stage"] == stage.number}
    begun = {tuple(r[k] for k in keys): r for r in history.of(BEGUN) if r["stage"] == stage.number}
    return [
        record
        for of, record in begun.items()
        if of not in ended and (job is None or record["attempt"] == job.attempt)
    ]


def count_killed_turns(session: Session, stage: Stage, job: Job) -> None:
    """Write down what a turn took that was stopped before it could report, from its events.

    One that goes on with a worker has not ended.
    """
    history = session.family.history
    keys = ("stage", "attempt", "turn")
    for begun in _open_turns(session, stage):
        same = {"attempt": begun["attempt"], "turn": begun["turn"]}
        if session.dispatcher.has(job.model_copy(update=same)):
            continue
        usage, seconds, named = _usage_in(Path(begun["log"]), begun["turn"])
        unknown = [Usage(model=begun["model"])]
        history.append(
            TURN,
            **{k: begun[k] for k in (*keys, "agent", "adapter")},
            # what nobody knows is not nothing
            usage=[u.model_dump(mode="json") for u in usage or unknown],
            seconds=round(seconds, 1),
            session=named,
            ended="killed",
            outcome="",
        )


def _usage_in(log: Path, turn: int) -> tuple[list[Usage], float, str]:
    """What the events of a turn say that it took: by model, in seconds, and its session."""
    usage: dict[str, Usage] = {}
    times: list[datetime] = []
    named = ""
    lines = log.read_text("utf-8", "replace").splitlines() if log.is_file() else []
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            event = json.loads(line)
            if event["turn"] != turn:
                continue
            times.append(datetime.fromisoformat(event["at"]))
            named = str(event.get("session") or named)
            if event["kind"] == "usage":
                # each event has the turn's sum so far
                used = Usage.model_validate(event["usage"])
                usage[used.model] = used
    seconds = (times[-1] - times[0]).total_seconds() if times else 0.0
    return list(usage.values()), seconds, named


def _turns_of(session: Session, job: Job) -> list[Turn]:
    """The turns of this attempt at the stage, those that were killed included."""
    found = turns_in(session.family.history.records, session.plan.parent)
    return [t for t in found if (t.stage, t.attempt) == (job.stage, job.attempt)]


def _tried_again(session: Session, job: Job, report: Report) -> Report:
    """When a service that is not reached is tried again; USER is asked if it was often enough."""
    since = takewhile(lambda t: t.ended == UNREACHABLE, reversed(_turns_of(session, job)))
    tries = len(list(since))
    if tries <= len(PAUSES):
        return report.model_copy(update={"resumes_at": time.time() + PAUSES[tries - 1]})
    reason = f"{report.reason} ({tries} tries); once it is there, send the work back"
    return report.model_copy(update={"outcome": Outcome.CANNOT, "reason": reason})


# -- what keeps a turn from beginning --------------------------------------------------------


def _purse(session: Session, job: Job) -> Purse:
    family = session.plan.parent
    others = (t for t in turns_of_board(session.board.path) if t.family != family)
    own = turns_in(session.family.history.records, family)
    return Purse.of(session.settings.budget, [*others, *own], family, job.stage, job.attempt)


def _refusal(session: Session, stage: Stage, job: Job, purse: Purse) -> Report | None:
    """Why the next turn does not begin: a usage limit that lasts, or the budget."""
    history = session.family.history
    stored = history.latest("report", stage=stage.number, attempt=job.attempt)
    if stored is not None and stored["outcome"] == Outcome.LATER:
        report = Report.model_validate(stored["report"])
        if report.resumes_at is not None and report.resumes_at > time.time():
            return report
    if reason := purse.refusal():
        return Report(outcome=Outcome.CANNOT, reason=reason, ended=BUDGET, session=job.session)
    asked = any(r["report"].get("ended") == UNPRICED for r in history.of("report"))
    if not asked and (models := purse.unpriced()):
        reason = (
            f"the price of {models} is not known, so that a limit in dollars cannot stop it: set "
            "a limit of tokens or minutes beside it in orchestrate.toml, then send the work back; "
            "sent back without one, it goes on"
        )
        return Report(outcome=Outcome.CANNOT, reason=reason, ended=UNPRICED, session=job.session)
    return None


def _with_costs(session: Session, job: Job, report: Report) -> Report:
    """The report, whose section ends with what the attempt took."""
    if not report.section.strip():
        return report
    turns = _turns_of(session, job)
    models = ", ".join(dict.fromkeys(u.model for t in turns for u in t.usage if u.model))
    line = f"{turns[-1].adapter}{f' ({models})' if models else ''} · {describe(sum_of(turns))}"
    return report.model_copy(update={"section": f"{report.section.rstrip()}\n\n*{line}*\n"})
