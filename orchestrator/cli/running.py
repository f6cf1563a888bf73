"""`orchestrate run`: live progress, then the family's state and what USER can do."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.family_text import say_next, say_question
from orchestrator.cli.text import first_line, mark, one_line, paint, say, say_json, terminal_width
from orchestrator.cli.workspace import AsJson, TicketId, WorkflowFile, workspace

if TYPE_CHECKING:
    from orchestrator.conductor.conductor import Progress

#: event → its sign and color; other events are dim
_SIGNS = {
    "agent": ("▸", "cyan"),
    "report": ("◂", "cyan"),
    "move": ("→", "cyan"),
    "effect": ("»", "yellow"),
    "question": ("■", "yellow"),
    "notice": ("!", "yellow"),
}
#: outcome → color
OUTCOMES = {"complete": "green", "waiting": "yellow", "held": "yellow", "failed": "red"}


class ProgressPrinter:
    """Prints events as they come, those of parallel stages too, under their stage's heading."""

    def __init__(self) -> None:
        self._stage: int | None = None
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, event: Progress) -> None:
        # a pending claim is printed when it is judged
        if event.verdict == "pending":
            return
        with self._lock:
            if event.kind == "stage":
                say(f"\n{paint(one_line(event.text), 'bold')}")
                self._stage = event.stage
                self._said.clear()
                return
            line = describe_event(event)
            if event.kind == "statement":
                # a ticket and its workflow often claim the same
                if line in self._said:
                    return
                self._said.add(line)
                if event.stage != self._stage:
                    say(paint(f"  stage {event.stage}:", "dim"))
                    self._stage = event.stage
            say(f"  {line}")


def describe_event(event: Progress) -> str:
    """An event on one line, with its sign."""
    if event.kind == "statement":
        width = terminal_width(4) if event.verdict == "proven" else 0
        return f"{mark(event.verdict)} {one_line(first_line(event.text), width)}"
    text = one_line(event.text)
    if event.kind == "report" and event.agent:
        text = f"{event.agent} {event.verdict.replace('_', ' ')}: {text}"
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
    as_json: AsJson = False,
) -> None:
    """Conduct a family until it is complete or has to stop.

    Exit codes: 0 complete, 10 waiting for USER or a person, 11 held, 1 failed, 2 wrong usage.

    With --json, each event is one line, and the last line has ticket, outcome, stage and reasons.
    """
    here = workspace(context)
    conductor = here.conductor(_say_event_json if as_json else ProgressPrinter())
    outcome = conductor.run(id, workflow=here.file(workflow), until=until, dry_run=dry_run)
    if as_json:
        say_json(outcome.to_dict(), indent=None)
    else:
        say(f"\n{paint(f'{outcome.ticket}: {outcome.outcome}', OUTCOMES[outcome.outcome])}")
        for reason in outcome.reasons:
            say(f"  {one_line(reason)}")
        status = conductor.status(outcome.ticket)
        if status["question"] and not dry_run:
            say()
            say_question(status)
        elif not dry_run:
            say_next(status)
    raise typer.Exit(outcome.exit_code)
