"""`orchestrate watch`: the daemon at a terminal or under a service manager."""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.failures import on_ending
from orchestrator.cli.running import OUTCOMES, line_of
from orchestrator.cli.session import AsJson, session
from orchestrator.cli.text import one_line, paint, say, say_json

if TYPE_CHECKING:
    from orchestrator.daemon.daemon import Told

_LOCK = threading.Lock()


def watch(
    context: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Advance what can go on, then end; for cron.")
    ] = False,
    poll: Annotated[
        float,
        typer.Option("--poll", metavar="SECONDS", min=0.1, help="Look at every file this often."),
    ] = 30.0,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", min=1, max=32, help="Families at a time.")
    ] = 2,
    as_json: AsJson = False,
) -> None:
    """Advance every conducted family by itself, whenever a ticket or a workflow changes.

    Answer by editing a ticket's status; the daemon takes it from there. It never touches a ticket
    that is not conducted (`run` or `adopt` begin). One daemon per board; SIGTERM ends it.
    """
    from orchestrator.daemon.daemon import Daemon, Told
    from orchestrator.daemon.notifications import Notifier

    here = session(context)
    tell = _tell_json if as_json else _tell
    notifier = Notifier(here.settings, lambda text: tell(Told("", "error", text)))
    daemon = Daemon(
        here.board,
        settings=here.settings,
        tell=tell,
        notifier=notifier,
        poll=poll,
        workers=workers,
    )
    if once:
        daemon.once()
        notifier.close()
        return
    on_ending(lambda _: daemon.stop())
    signal.signal(signal.SIGINT, lambda *_: daemon.stop())
    daemon.run()
    notifier.close(0.3)
    sys.stdout.flush()
    # a thread that still proves something must not keep the process: it can be killed at any time
    os._exit(0)


def _tell(told: Told) -> None:
    """One line of the log for people."""
    moment = datetime.now().astimezone().strftime("%H:%M:%S")
    head = f"{paint(moment, 'dim')} {paint(told.family, 'bold')}".rstrip()
    with _LOCK:
        say(f"{head} {_text(told)}")


def _text(told: Told) -> str:
    if told.outcome is not None:
        reasons = "; ".join(one_line(reason) for reason in told.outcome.reasons)
        said = paint(told.outcome.outcome, OUTCOMES[told.outcome.outcome])
        return f"{said} {reasons}".rstrip()
    if told.kind == "error":
        return f"{paint('error', 'red')} {one_line(told.text)}"
    return line_of(told.progress) if told.progress is not None else one_line(told.text)


def _tell_json(told: Told) -> None:
    """The same as one line of JSON."""
    line: dict[str, Any] = {
        "at": datetime.now().astimezone().isoformat(timespec="milliseconds"),
        "family": told.family,
        "event": told.kind,
        "text": told.text,
    }
    if told.progress is not None:
        line |= {"stage": told.progress.stage, "verdict": told.progress.verdict}
    if told.outcome is not None:
        line |= told.outcome.to_dict()
    with _LOCK:
        say_json(line, indent=None)
