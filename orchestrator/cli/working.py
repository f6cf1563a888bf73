"""`orchestrate worker` and `orchestrate workers`: agents' work on several machines."""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import datetime
from typing import Annotated

import typer

from orchestrator.cli.failures import on_termination
from orchestrator.cli.text import counted, one_line, paint, say, say_json, table
from orchestrator.cli.workspace import AsJson, workspace
from orchestrator.errors import UsageError

_LOCK = threading.Lock()


def worker(
    context: typer.Context,
    agents: Annotated[
        str, typer.Option("--agents", metavar="NAMES", help="Agents to work as, e.g. BUILDER,SOOP.")
    ],
    slots: Annotated[
        int, typer.Option("--slots", metavar="N", min=1, max=64, help="Jobs at a time.")
    ] = 1,
    labels: Annotated[
        str, typer.Option("--labels", metavar="WORDS", help="What this machine has, e.g. gpu.")
    ] = "",
) -> None:
    """Do agents' work for a board on any machine.

    `[workers]` in orchestrate.toml says where the jobs are. Programs, keys and the sandbox are this
    machine's. The first Ctrl-C or SIGTERM lets what is at work end and takes nothing new; the
    second ends it, and other workers get it.
    """
    from orchestrator.workers.serve import Slots, Worker, known_agents

    here = workspace(context)
    if here.settings.workers.engine == "local":
        raise UsageError(
            '[workers] engine is "local": work stays on the machine with the board',
            path=here.root / "orchestrate.toml",
            code="no-workers",
            hint='[workers] engine = "dbos"',
        )
    names = known_agents(here.settings, _words(agents))
    if not names:
        raise UsageError("--agents names no agent", hint="--agents BUILDER,SOOP")
    own = Worker(here.root, here.settings, names, Slots(slots), _words(labels), _log)
    asked = 0

    def end(_: int) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            own.drain()
        else:
            own.stop()

    on_termination(end)
    signal.signal(signal.SIGINT, lambda number, _: end(number))
    own.run()
    sys.stdout.flush()
    # threads of the queue may sleep for a while yet
    os._exit(0)


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _log(text: str) -> None:
    moment = datetime.now().astimezone().strftime("%H:%M:%S")
    with _LOCK:
        say(f"{paint(moment, 'dim')} {one_line(text)}")
        sys.stdout.flush()


def workers(context: typer.Context, as_json: AsJson = False) -> None:
    """List the workers, their jobs, and what waits for one.

    Of each: its machine, agents and jobs, and its last sign of life.
    """
    from orchestrator.workers.store import who_works

    settings = workspace(context).settings.workers
    found, waiting = who_works(settings)
    if as_json:
        rows = [worker.model_dump(mode="json") for worker in found]
        say_json({"engine": settings.engine, "workers": rows, "waiting": waiting})
        return
    if settings.engine == "local":
        say('Agents work on this machine: [workers] engine is "local".')
        return
    for line in table(_row(each, settings.lease) for each in found):
        say(line)
    if not found:
        say("No worker is there: orchestrate worker --agents BUILDER")
    for queue, number in sorted(waiting.items()):
        name = queue.removeprefix("orchestrate-")
        say(f"{counted(number, 'job')} {'waits' if number == 1 else 'wait'} for {name}")


def _row(worker: object, lease: float) -> list[str]:
    from orchestrator.workers.store import WorkerRow

    assert isinstance(worker, WorkerRow)
    seen = f"seen {worker.age:.0f} s ago"
    if worker.age > lease:
        seen = paint(f"not seen for {worker.age:.0f} s", "red")
    labels = "".join(f" @{label}" for label in worker.labels)
    at_work = ", ".join(worker.jobs) or "idle"
    return [
        one_line(worker.id),
        one_line(",".join(worker.agents) + labels),
        f"{len(worker.jobs)}/{worker.slots}",
        one_line(f"{at_work} {worker.note}".strip()),
        seen,
    ]
