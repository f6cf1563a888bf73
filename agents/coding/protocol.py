"""What an adapter of a coding agent has to say, and what it is told about a turn."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from orchestrate_agents.coding.events import Event
from orchestrator.domain.agent import Job
from orchestrator.settings.agents import AgentSettings


@dataclass(frozen=True)
class ToolServer:
    """The MCP server that gives the agent the tools of its job."""

    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]

    name: ClassVar[str] = "orchestrate"


@dataclass(frozen=True)
class Task:
    """One turn, as an adapter is told about it."""

    job: Job
    settings: AgentSettings
    #: argv of the program, as configured or the adapter's own
    program: tuple[str, ...]
    environment: Mapping[str, str]
    prompt: str
    #: the session that goes on, "" for a new one
    session: str
    tools: ToolServer | None
    #: whether the program runs behind walls, so that it may be left to do what it wants
    confined: bool


class Running(Protocol):
    """A turn at work."""

    @property
    def code(self) -> int | None:
        """The program's exit code, None while it runs."""
        ...

    @property
    def tail(self) -> str:
        """The last of what the program wrote beside its events."""
        ...

    def next(self, seconds: float) -> Event | None:
        """The next event; None when it has ended. Raises TimeoutError if there is none in time."""
        ...

    def stop(self) -> None:
        """End it with everything that it started."""
        ...


class Adapter(ABC):
    """One coding agent. A new one is made for each turn."""

    #: as in `use`
    name: ClassVar[str]
    #: argv of its program
    program: ClassVar[tuple[str, ...]]
    #: the command that installs it, and what to do to sign in
    install: ClassVar[str]
    sign_in: ClassVar[str]
    #: its own variables that it may see, besides those that `env` names
    variables: ClassVar[tuple[str, ...]] = ()
    #: folders below HOME where it keeps its sessions and settings
    state: ClassVar[tuple[str, ...]] = ()
    #: what of it decides what it runs and may, also when its owner starts it: hooks, servers, rules
    rules: ClassVar[tuple[str, ...]] = ()
    #: what the tool `ask_user` is called for it
    ask_as: ClassVar[str] = "ask_user"
    #: loaded before a turn, where they are installed
    modules: ClassVar[tuple[str, ...]] = ("genai_prices",)
    #: set for it unless the environment has another value
    quiet: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def places(cls, settings: AgentSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Its state and its rules, as the settings have it: paths below HOME."""
        return cls.state, cls.rules

    @abstractmethod
    def arguments(self, task: Task) -> Sequence[str]:
        """What follows the program's name, with `args` of the settings.

        The prompt goes to its standard input.
        """

    def environment(self, task: Task) -> Mapping[str, str]:
        """Further variables of the turn."""
        return {}

    def resume(self, task: Task) -> None:  # noqa: B027 - most have nothing to do
        """Make ready what its program keeps of the session of the turn."""

    @abstractmethod
    def read(self, line: bytes) -> Iterable[Event]:
        """The events of one line of output; none for what is not an event."""

    def complain(self, line: bytes) -> Iterable[Event]:
        """The events of one line of standard error; most programs tell none there."""
        return ()


class JsonLines(Adapter):
    """An adapter of a program that prints one JSON object on each line."""

    def read(self, line: bytes) -> Iterable[Event]:
        try:
            said = json.loads(line.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return ()
        if not isinstance(said, dict):
            return ()
        try:
            return tuple(self.events(said))
        except (KeyError, TypeError, ValueError, AttributeError):
            # another version of the program, or a line that a tool printed in between
            return ()

    @abstractmethod
    def events(self, said: Mapping[str, Any]) -> Iterator[Event]:
        """The events of one object. What it lacks may raise KeyError or TypeError."""
