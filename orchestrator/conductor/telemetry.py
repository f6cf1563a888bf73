"""OpenTelemetry, where `[telemetry] otlp` names a collector: what a run did, from its records.

Names, numbers and verdicts are sent; no prompt, no text of a ticket and no content of a file.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.domain.record import State
from orchestrator.family.session import ProgressKind, Session
from orchestrator.family.spending import BEGUN, TURN
from orchestrator.storage.history import Record
from orchestrator.telemetry import Sender, make_current, sender

if TYPE_CHECKING:
    from opentelemetry.trace import Span

#: how long a name may be, and what it is made of: agents choose those of their tools
_NAME = re.compile(r"[^\w.:/-]+")
_LONGEST = 64
#: tools of a turn that get a span
_MOST_TOOLS = 500


@contextlib.contextmanager
def traced(session: Session) -> Iterator[None]:
    """Send what happens to a family meanwhile, if a collector is configured.

    A collector that does not answer, or a library that is missing, is reported once, not an error.
    """
    address = session.settings.telemetry.otlp
    if not address:
        yield
        return
    try:
        own = sender(address)
    except ImportError:
        hint = "pip install 'orchestrate-tickets[telemetry]'"
        text = f"[telemetry] otlp needs OpenTelemetry, which is not installed: {hint}"
        session.report_progress(ProgressKind.NOTICE, text)
        yield
        return
    trace = _Trace(own, session)
    session.family.history.on_record = trace.record
    try:
        yield
    finally:
        session.family.history.on_record = None
        trace.close()
        make_current(None)
        if trouble := own.flush():
            session.report_progress(ProgressKind.NOTICE, trouble)


class _Trace:
    """The spans of one run of a family; records come from several threads."""

    def __init__(self, sender: Sender, session: Session) -> None:
        self._sender = sender
        self._session = session
        self._lock = threading.Lock()
        self._family = sender.tracer.start_span(
            "family", attributes={"orchestrate.ticket": session.plan.parent}
        )
        self._stages: dict[int, Span] = {}
        #: (stage, attempt) → the turn at work, and its log
        self._turns: dict[tuple[int, int], tuple[Span, str]] = {}
        self._handlers: dict[str, Callable[[Record], None]] = {
            "dispatch": self._begin_work,
            BEGUN: self._begin_turn,
            TURN: self._end_turn,
            "report": self._end_work,
            "receipt": self._check,
            "transition": self._move,
        }

    def record(self, record: Record) -> None:
        """What a record says. A fault here is none of the run."""
        with self._lock, contextlib.suppress(Exception):
            if handler := self._handlers.get(record["type"]):
                handler(record)

    def close(self) -> None:
        """End what has not ended."""
        with self._lock, contextlib.suppress(Exception):
            for span, _ in self._turns.values():
                span.end()
            for span in self._stages.values():
                span.end()
            self._family.set_attribute("orchestrate.state", self._session.flow.state.value)
            self._family.end()

    def _span(self, name: str, parent: Span, start: int | None = None, **about: Any) -> Span:
        from opentelemetry.trace import set_span_in_context

        known = {f"orchestrate.{k}": v for k, v in about.items() if v not in (None, "")}
        return self._sender.tracer.start_span(
            name, set_span_in_context(parent), attributes=known, start_time=start
        )

    def _stage(self, record: Record) -> Span:
        number = int(record["stage"])
        if number not in self._stages:
            agent = next((s.agent for s in self._session.plan.stages if s.number == number), "")
            self._stages[number] = self._span("stage", self._family, stage=number, agent=agent)
        return self._stages[number]

    def _begin_work(self, record: Record) -> None:
        """An agent that has no turns works in one."""
        if not self._session.settings.agent(record["agent"]).adapter:
            self._begin_turn({**record, "turn": 1})

    def _begin_turn(self, record: Record) -> None:
        about = {k: record.get(k) for k in ("agent", "adapter", "model", "attempt", "turn")}
        span = self._span("turn", self._stage(record), **about)
        self._turns[record["stage"], record["attempt"]] = span, str(record.get("log", ""))
        # records come from the thread that then gives the work out
        make_current(span)

    def _end_turn(self, record: Record) -> None:
        span, log = self._turns.pop((record["stage"], record["attempt"]))
        for used in record["usage"]:
            about = {"agent": record["agent"], "model": used["model"] or "unknown"}
            for kind in ("input", "output", "cache_read", "cache_write"):
                if amount := used.get(f"{kind}_tokens", 0):
                    self._sender.tokens.add(amount, {**about, "kind": kind})
                    span.set_attribute(f"orchestrate.tokens.{kind}", amount)
            if used["usd"] is not None:
                self._sender.cost.add(used["usd"], about)
                span.set_attribute("orchestrate.cost", used["usd"])
        span.set_attribute("orchestrate.outcome", record["outcome"])
        span.set_attribute("orchestrate.ended", record["ended"])
        for name, begun, ended in _tools(Path(log), record["turn"]) if log else ():
            self._span("tool", span, begun, tool=name).end(ended)
        self._end(span, record)

    def _end_work(self, record: Record) -> None:
        found = self._turns.pop((record["stage"], record["attempt"]), None)
        if found is not None:
            found[0].set_attribute("orchestrate.outcome", record["outcome"])
            self._end(found[0], record)

    def _end(self, turn: Span, record: Record) -> None:
        turn.end()
        # proofs that go to workers are the stage's
        make_current(self._stage(record))

    def _check(self, record: Record) -> None:
        stage = self._stage(record)
        self._sender.verdicts.add(1, {"verdict": record["verdict"]})
        for claim in record["claims"]:
            about = {k: claim.get(k) for k in ("check", "phase", "verdict")}
            self._span("check", stage, **about, receipt=record["id"]).end()

    def _move(self, record: Record) -> None:
        if record["state"] != State.RUNNING:
            kind = "question" if record["flow"].get("question") else record["state"]
            self._sender.waits.add(1, {"kind": kind})
        if not str(record["event"]).startswith("begin "):
            for span in self._stages.values():
                span.end()
            self._stages.clear()


def _tools(log: Path, turn: int) -> Iterator[tuple[str, int, int]]:
    """The tools that a turn used, and when (ns), as far as its log tells."""
    begun: tuple[str, int] | None = None
    left = _MOST_TOOLS
    for event in _events(log, turn):
        at = int(datetime.fromisoformat(event["at"]).timestamp() * 1e9)
        if begun is not None:
            yield *begun, max(at, begun[1])
            begun = None
        if event["kind"] == "tool" and left:
            left -= 1
            begun = _NAME.sub("_", str(event.get("tool", "")))[:_LONGEST] or "unknown", at
    if begun is not None:
        yield *begun, max(time.time_ns(), begun[1])


def _events(log: Path, turn: int) -> Iterator[Mapping[str, Any]]:
    with contextlib.suppress(OSError), log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                event = json.loads(line)
                if event["turn"] == turn and {"at", "kind"} <= event.keys():
                    yield event
