"""`orchestrate run`: live progress, then the family's state and what USER can do."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.elapsed import going_on
from orchestrator.cli.family_text import say_next, say_question
from orchestrator.cli.text import (
    callable_commands,
    first_line,
    mark,
    one_line,
    paint,
    say,
    say_json,
    say_wrapped,
    terminal_width,
)
from orchestrator.cli.workspace import AcceptDoubts, AsJson, TicketId, WorkflowFile, workspace

if TYPE_CHECKING:
    from orchestrator.conductor.conductor import Progress, RunOutcome

#: event → its sign and color; other events are dim
_SIGNS = {
    "agent": ("▸", "cyan"),
    "report": ("◂", "cyan"),
    "move": ("→", "cyan"),
    "effect": ("»", "yellow"),
    "question": ("■", "yellow"),
    "notice": ("!", "yellow"),
}
#: columns of a proven statement where there is no terminal
_PROVEN = 120
#: outcome → color
OUTCOMES = {"complete": "green", "failed": "red"} | dict.fromkeys(
    ("archived", "waiting", "held"), "yellow"
)


#: verdicts that are not reported as they come: a pending claim is when it is judged, and the
#: question lists what is unproven or was accepted
_UNREPORTED = ("pending", "unproven", "accepted")
#: seconds that a script waits for git, and between two looks
_WAIT, _LOOK_EVERY = 10.0, 0.3


class ProgressPrinter:
    """Prints events as they come, those of parallel stages too, under their stage's heading.

    What the question after them lists is left to it, so that nothing is reported twice.
    """

    def __init__(self) -> None:
        self._stage: int | None = None
        self._said: set[str] = set()
        #: how many stages have begun
        self._begun = 0
        #: what failed and is reported now or by a question, whichever comes
        self._failed: list[Progress] = []
        self._lock = threading.Lock()

    def __call__(self, event: Progress) -> None:
        if event.kind in ("stage", "agent", "effect"):
            going_on(event.text)
        with self._lock:
            if event.kind in ("statement", "effect") and event.verdict == "failed":
                self._failed.append(event)
                return
            if event.kind == "statement":
                if event.verdict not in _UNREPORTED:
                    self._say_statement(event)
                return
            if event.kind == "question":
                self._failed.clear()
                return
            # a file that moves does not say yet whether USER is asked
            if event.kind != "move":
                self._say_failed()
            if event.kind == "stage":
                say(f"\n{paint(one_line(event.text), 'bold')}")
                self._stage = event.stage
                self._begun += 1
            else:
                _say_event(event)

    def close(self) -> None:
        """Print what was held back: no question came."""
        with self._lock:
            self._say_failed()

    def _say_failed(self) -> None:
        failed, self._failed = self._failed, []
        for event in failed:
            self._say_statement(event) if event.kind == "statement" else _say_event(event)

    def _say_statement(self, event: Progress) -> None:
        # a ticket and its workflow often claim the same
        line = describe_event(event)
        # what fails again in the next attempt is news
        key = f"{self._begun} {line}" if event.verdict == "failed" else line
        if key in self._said:
            return
        self._said.add(key)
        if event.stage != self._stage:
            say(paint(f"  stage {event.stage}:", "dim"))
            self._stage = event.stage
        _say_event(event)


def _say_event(event: Progress) -> None:
    """An event in the log of a run: on one line if it is in order, else on as many as it needs."""
    line = describe_event(event)
    if event.kind == "statement" and event.verdict == "proven":
        say(f"  {line}")
    else:
        sign, _, text = line.partition(" ")
        say_wrapped(text, f"  {sign} ", "    ")


def describe_event(event: Progress, used: int = 2) -> str:
    """An event on one line, with its sign; `used`: the columns before it."""
    if event.kind == "statement":
        # `review --full` and `receipts` show all that a proof found
        width = (terminal_width(used + 2) or _PROVEN) if event.verdict == "proven" else 0
        return f"{mark(event.verdict)} {one_line(first_line(event.text), width)}"
    text = one_line(event.text)
    if event.kind == "report" and event.agent:
        did = f"{event.agent} {event.verdict.replace('_', ' ')}"
        text = did if text in ("", event.verdict) else f"{did}: {text}"
    took = paint(f" ({event.seconds:.1f} s)", "dim") if event.seconds else ""
    if event.kind in _SIGNS:
        sign, style = _SIGNS[event.kind]
        return f"{paint(sign, style)} {text}{took}"
    return paint(text, "dim") + took


def _say_event_json(event: Progress) -> None:
    say_json(
        {
            "event": event.kind,
            "stage": event.stage,
            "agent": event.agent,
            "verdict": event.verdict,
            "text": event.text,
            "seconds": round(event.seconds, 3),
        },
        indent=None,
    )


def _outlast(
    act: Callable[..., RunOutcome],
    listener: Callable[[Progress], None],
    wait: float | None,
    from_here: bool,
) -> RunOutcome:
    """Run; what ends by itself (git at work, an agent's usage limit) is said once and awaited."""
    from orchestrator.errors import GitAtWorkError
    from orchestrator.family.session import Progress, ProgressKind

    if wait is None:
        wait = float("inf") if sys.stdin.isatty() and sys.stdout.isatty() else _WAIT
    deadline = time.monotonic() + wait
    reported = ""
    while True:
        try:
            outcome = act(from_here=from_here)
            rest = (outcome.resumes_at or 0.0) - time.time()
            if outcome.resumes_at is None or time.monotonic() + rest > deadline:
                return outcome
            listener(Progress(ProgressKind.NOTICE, f"waiting: {'; '.join(outcome.reasons)}"))
            time.sleep(max(rest, 0.0))
            continue
        except GitAtWorkError as exc:
            if time.monotonic() >= deadline:
                raise
            if reported != exc.message:
                reported = exc.message
                text = f"waiting: {exc.message}; {exc.hint}"
                listener(Progress(ProgressKind.NOTICE, text))
        time.sleep(_LOOK_EVERY)


def run(
    context: typer.Context,
    id: TicketId,
    workflow: WorkflowFile = None,
    until: Annotated[
        int | None, typer.Option("--until", metavar="N", help="Stop after stage N.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")
    ] = False,
    accept_doubts: AcceptDoubts = None,
    wait: Annotated[
        float | None,
        typer.Option(
            "--wait",
            metavar="SECONDS",
            min=0,
            help="Wait so long for a merge, rebase, checkout or stash, or an agent's usage limit, "
            f"to end (at a terminal until it ends, else {_WAIT:.0f}).",
        ),
    ] = None,
    from_here: Annotated[
        bool,
        typer.Option(
            "--from-here", help="Go on from a board that is older than what was done here."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Conduct a family until it is complete or has to stop.

    Exit codes: 0 complete, archived or --dry-run, 10 waiting for USER or a person, 11 held,
    1 failed, 2 wrong usage.

    With --json, each event is one line, and the last line has ticket, outcome, stage and reasons.
    """
    here = workspace(context)
    printer = ProgressPrinter()
    listener = _say_event_json if as_json else printer
    conductor = here.conductor(listener, accept_doubts or ())
    act = partial(conductor.run, id, workflow=here.file(workflow), until=until, dry_run=dry_run)
    try:
        outcome = _outlast(act, listener, wait, from_here)
    finally:
        printer.close()
    if as_json:
        say_json(outcome.to_dict(), indent=None)
    elif dry_run:
        say(f"{outcome.ticket}: {outcome.reasons[0]}; nothing is changed")
        say("\n".join(f"  {line}" for line in outcome.reasons[1:]))
    else:
        _say_outcome(outcome, conductor.status(outcome.ticket))
    raise typer.Exit(0 if dry_run else outcome.exit_code)


def _say_outcome(outcome: RunOutcome, status: Mapping[str, Any]) -> None:
    """Where a run ended, why, and what comes next."""
    say(f"\n{paint(f'{outcome.ticket}: {outcome.outcome}', OUTCOMES[outcome.outcome])}")
    for reason in outcome.reasons:
        # the question that follows says so itself
        if not (status["question"] and reason in status["reasons"]):
            say_wrapped(callable_commands(reason), "  ", "  ")
    if status["question"]:
        say()
        say_question(status)
    else:
        say_next(status)
