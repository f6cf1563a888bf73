"""The process of a built-in or coding agent: JSON job on stdin, JSON report on stdout.

python -m orchestrator.agent_process.worker NAME [coding]
"""

from __future__ import annotations

import contextlib
import os
import sys

from orchestrator import plugins
from orchestrator.domain.agent import Agent, Job, Outcome, Report
from orchestrator.errors import OrchestrateError, UsageError

#: where this program's own agents are
_OWN = "orchestrate_agents."
#: what agents are registered under, but for the adapters of coding agents
GROUP = "agents"


def load_agent(name: str, group: str = GROUP) -> Agent:
    """The agent registered under `orchestrate.<group>`. Raises UsageError if there is none."""
    if entry := plugins.named(group, name):
        agent: Agent = entry.load()()
        return agent
    known = ", ".join(sorted(agent_names())) or "none"
    raise UsageError(
        f"there is no agent {name}",
        code="no-such-agent",
        hint=f"known: {known}; a command can take its place: [agents.{name}] command = [...]",
    )


def agent_names() -> frozenset[str]:
    """The names of the registered agents."""
    return frozenset(entry.name for entry in plugins.registered(GROUP))


def own_agents() -> frozenset[str]:
    """The names of those that come with this program."""
    found = plugins.registered(GROUP)
    return frozenset(entry.name for entry in found if entry.module.startswith(_OWN))


def work_on(agent: Agent, job: Job) -> Report:
    """The agent's report. Input that it refuses is for a person to fix, and costs no strike."""
    try:
        return agent.work(job)
    except OrchestrateError as exc:
        return Report(outcome=Outcome.NEEDS_PERSON, reason=" ".join(str(exc).split()))


def main(argv: list[str]) -> int:
    """Read a job from stdin, work, write the report to stdout; anything printed goes to stderr."""
    # grandchildren (a database server) must not hold the family's lock
    for fd in range(3, 64):
        with contextlib.suppress(OSError):
            os.set_inheritable(fd, False)
    job = Job.model_validate_json(sys.stdin.buffer.read())
    with contextlib.redirect_stdout(sys.stderr):
        report = work_on(load_agent(*argv[1:]), job)
    sys.stdout.write(report.model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
