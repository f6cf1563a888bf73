"""`orchestrate watch`: the daemon at a terminal or under a service manager."""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.failures import on_termination
from orchestrator.cli.running import OUTCOMES, describe_event
from orchestrator.cli.text import one_line, paint, say, say_json
from orchestrator.cli.workspace import AsJson, workspace

if TYPE_CHECKING:
    from orchestrator.daemon.daemon import LogLine

_LOCK = threading.Lock()


def watch(
    context: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Advance what can continue, then exit; for cron.")
    ] = False,
    poll: Annotated[
        float,
        typer.Option("--poll", metavar="SECONDS", min=0.1, help="Check every file this often."),
    ] = 60.0,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", min=1, max=32, help="Families at a time.")
    ] = 2,
    as_json: AsJson = False,
) -> None:
    """Advance families whenever a ticket or a workflow changes.

    Answer by editing a ticket's status; the daemon takes it from there. It never touches a ticket
    that is not conducted (`run` or `adopt` starts that). One daemon per board; SIGTERM stops it.
    """
    from orchestrator.daemon.daemon import Daemon, LogLine
    from orchestrator.daemon.notifications import Notifier
    from orchestrator.git.activity import require_quiet

    here = workspace(context)
    log = _log_json if as_json else log_line
    notifier = Notifier(here.settings, lambda text: log(LogLine("", "error", text)))
    daemon = Daemon(
        here.board, settings=here.settings, log=log, notifier=notifier, poll=poll, workers=workers
    )
    if once:
        # nothing would move, and who runs this from cron would not hear of it
        require_quiet(here.root)
        daemon.once()
        notifier.close()
        return
    on_termination(lambda _: daemon.stop())
    signal.signal(signal.SIGINT, lambda *_: daemon.stop())
    daemon.run()
    notifier.close(0.3)
    sys.stdout.flush()
    # a thread that is still proving something must not keep the process: it is safe to kill
    os._exit(0)


def log_line(line: LogLine) -> None:
    """One line of the log for people."""
    moment = datetime.now().astimezone().strftime("%H:%M:%S")
    if line.outcome is not None:
        reasons = "; ".join(one_line(reason) for reason in line.outcome.reasons)
        outcome = paint(line.outcome.outcome, OUTCOMES[line.outcome.outcome])
        text = f"{outcome} {reasons}".rstrip()
    elif line.kind == "error":
        text = f"{paint('error', 'red')} {one_line(line.text)}"
    else:
        used = len(moment) + len(line.family) + 2
        text = describe_event(line.progress, used) if line.progress else one_line(line.text)
    head = f"{paint(moment, 'dim')} {paint(line.family, 'bold')}".rstrip()
    with _LOCK:
        say(f"{head} {text}")


def _log_json(line: LogLine) -> None:
    """The same as one line of JSON."""
    record: dict[str, Any] = {
        "at": datetime.now().astimezone().isoformat(timespec="milliseconds"),
        "family": line.family,
        "event": line.kind,
        "text": line.text,
    }
    if line.progress is not None:
        record |= {"stage": line.progress.stage, "verdict": line.progress.verdict}
    if line.outcome is not None:
        record |= line.outcome.to_dict()
    with _LOCK:
        say_json(record, indent=None)
