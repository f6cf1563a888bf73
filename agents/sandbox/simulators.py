"""Outside services that scripts find in the sandbox, provided by plug-ins.

Simulators are found by the entry points `orchestrate.simulators`: a class without arguments, of
which each script run gets a new instance. One that serves records may tell them, so that a table
can be compared with all of them: it has `source` ("" for an even source, "rough", "broken",
"expired", "short" and "few" for others), `counted` (whether it was asked for the number of
records), `asked` (the words of each request) and `served()`, a list of `{"key": …, "values":
{pattern of a column's name: [what it may hold, …]}, "names": [what it was found by, …], "source":
host, "optional": whether it may be left out in silence}`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Protocol

from orchestrator import plugins


class Simulator(Protocol):
    """An HTTP service on a local port, served while the context is open."""

    #: host names that it answers for; empty for every host that no other simulator claims
    hosts: Collection[str]

    def __enter__(self) -> str:
        """Start serving; the base URL."""

    def __exit__(self, *exc: object) -> None: ...

    def environment(self, url: str) -> Mapping[str, str]:
        """Variables that tell a script where the service is."""


@contextmanager
def serve_simulators(
    source: str = "", running: list[Simulator] | None = None
) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """(base URL by host name, environment) of all simulators; host `""` is the default.

    `source`: how those that serve records behave. `running` gets the instances.
    """
    routes: dict[str, str] = {}
    environment: dict[str, str] = {}
    with ExitStack() as stack:
        for entry in plugins.registered("simulators"):
            simulator: Simulator = entry.load()()
            if hasattr(simulator, "source"):
                simulator.source = source
            url = stack.enter_context(simulator)
            if running is not None:
                running.append(simulator)
            routes |= dict.fromkeys(simulator.hosts or [""], url)
            environment |= simulator.environment(url)
        yield routes, environment
