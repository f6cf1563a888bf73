"""What a turn of a coding agent costs beside its program: processor time and time, in milliseconds.

The program says its three lines at once. A turn of a conductor that has had one is forked
(`agent_process.forking`); beside it one whose process is started again, and the program alone.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _common import ROOT, report

sys.path.insert(0, str(ROOT))

from orchestrator.agent_process import dispatcher as dispatching
from orchestrator.settings.agents import AgentSettings
from tests import coding

_TURNS = 10
_USAGE = {"input_tokens": 10, "output_tokens": 5}
_TEXT = {"type": "text", "text": "Made it."}
_SAID = [
    {"type": "system", "subtype": "init", "session_id": "s-1", "model": "m"},
    {
        "type": "assistant",
        "message": {"id": "m1", "model": "m", "content": [_TEXT], "usage": _USAGE},
    },
    {"type": "result", "session_id": "s-1", "result": "Made it.", "total_cost_usd": 0.01},
]


class Unforked:
    """What forks nothing, so that each worker is started."""

    def __init__(self, *_: object) -> None:
        raise OSError


def main() -> None:
    """Measure and print."""
    figures: dict[str, float] = {"turns": _TURNS}
    with tempfile.TemporaryDirectory(prefix="orchestrate-turns-") as folder:
        root = coding.workspace(Path(folder) / "shop")
        os.environ["HOME"] = str(Path(folder) / "home")
        program = Path(folder) / "claude"
        lines = "\n".join(map(json.dumps, _SAID))
        program.write_text(f"#!/bin/sh\ncat > /dev/null\ncat <<'END'\n{lines}\nEND\n")
        program.chmod(0o755)
        given = {"use": "claude", "command": [str(program)]}
        job = coding.job(root, "claude", agent=given)
        settings = AgentSettings.model_validate(given)
        forked, started = dispatching.Dispatcher(), dispatching.Dispatcher()
        forking = dispatching.Forking

        def turn(which: dispatching.Dispatcher) -> None:
            dispatching.Forking = Unforked if which is started else forking  # type: ignore[misc, assignment]
            said = which.dispatch(job, settings)
            assert said.outcome.value == "done", said

        def alone() -> None:
            subprocess.run([str(program)], input=b"x" * 4000, capture_output=True, cwd=root)

        # the first one loads
        turn(forked)
        ways = {"forked": lambda: turn(forked), "started": lambda: turn(started), "alone": alone}
        took = {name: measured(way, forked) for name, way in ways.items()}
        for name, (processor, clock) in took.items():
            figures[f"{name}_processor_ms"], figures[f"{name}_ms"] = processor, clock
        figures["overhead_processor_ms"] = round(took["forked"][0] - took["alone"][0], 1)
    report("turns", figures, {"overhead_processor_ms": 150})


def measured(way: Callable[[], object], dispatcher: dispatching.Dispatcher) -> tuple[float, float]:
    """Processor time of all processes, and the median time, of one turn (ms)."""
    before, times = used(dispatcher), []
    for _ in range(_TURNS):
        start = time.perf_counter()
        way()
        times.append(time.perf_counter() - start)
    # the process that is forked counts a worker when it looks for the next
    processor = (used(dispatcher) - before) / _TURNS
    return round(processor * 1000, 1), round(statistics.median(times) * 1000, 1)


def used(dispatcher: dispatching.Dispatcher) -> float:
    """Processor time so far of this process, its children, and what is forked for it (s)."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    own = sum(sum(resource.getrusage(each)[:2]) for each in whose)
    if dispatcher._forking is None:
        return own
    text = Path(f"/proc/{dispatcher._forking._process.pid}/stat").read_text()
    ticks = sum(map(int, text.rpartition(")")[2].split()[11:15]))
    return own + ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
