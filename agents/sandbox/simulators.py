"""Outside services that scripts find in the sandbox, provided by plug-ins.

Simulators are found by the entry points `orchestrate.simulators`: a class without arguments, of
which each script run gets a new instance.
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
def serve_simulators() -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """(base URL by host name, environment) of all simulators; host `""` is the default."""
    routes: dict[str, str] = {}
    environment: dict[str, str] = {}
    with ExitStack() as stack:
        for entry in plugins.registered("simulators"):
            simulator: Simulator = entry.load()()
            url = stack.enter_context(simulator)
            routes |= dict.fromkeys(simulator.hosts or [""], url)
            environment |= simulator.environment(url)
        yield routes, environment
