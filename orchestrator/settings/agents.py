"""Settings of agents: who plays a part, where it works, and what it may cost."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from orchestrator import plugins
from orchestrator.domain.states import Part

BUILTIN, COMMAND = "builtin", "command"
#: the name of the queue of proofs, which no agent has
PROVE = "prove"
#: what git takes for the address of a repository, without anything that it would run
_REPOSITORY = re.compile(r"(?:(?:ssh|https|file)://|[\w.-]+@[\w.-]+:|/)[^\s\x00-\x1f]+")


class AgentSettings(BaseModel):
    """`[agents.NAME]`: which part the agent plays, and who does its work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    part: Part = Part.MAKER
    #: `builtin`, `command`, or a coding agent: `claude`, `codex`, `gemini`, `opencode`, `acp`
    use: str = ""
    #: the model, as the coding agent's own command line calls it; "": its default
    model: str = ""
    #: how hard it thinks, where the coding agent has such an option
    effort: str = ""
    #: argv of another agent, or of the coding agent's program where it has another name
    command: tuple[str, ...] = ()
    #: further arguments of a coding agent's program
    args: tuple[str, ...] = ()
    #: environment variables that the agent may see besides the neutral ones
    env: tuple[str, ...] = ()
    #: seconds before the agent and its children are stopped, which fails the attempt
    timeout: float = Field(default=900.0, gt=0)
    #: seconds without an event of a coding agent before its turn is ended
    stall: float = Field(default=300.0, gt=0)
    #: turns of a coding agent in one attempt: each but the first fixes what was not proven
    turns: int = Field(default=4, ge=1)
    #: further places that it may write to, besides its checkout and its program's own state
    write: tuple[str, ...] = ()
    #: passed to the agent unchanged
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def adapter(self) -> str:
        """The coding agent that does the work, or ""."""
        return "" if self.use in ("", BUILTIN, COMMAND) else self.use

    @field_validator("use")
    @classmethod
    def _is_known(cls, use: str) -> str:
        known = sorted(entry.name for entry in plugins.registered("coding"))
        if use and use not in (BUILTIN, COMMAND, *known):
            words = ", ".join((BUILTIN, COMMAND, *known))
            raise ValueError(f"{use!r} is not an agent; known: {words}")
        return use

    @model_validator(mode="after")
    def _has_its_command(self) -> AgentSettings:
        if self.use in (COMMAND, "acp") and not self.command:
            raise ValueError(f'use = "{self.use}" needs `command`: the program and its arguments')
        return self


class Limits(BaseModel):
    """What may be spent. 0: no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: US dollars
    usd: float = Field(default=0.0, ge=0)
    #: input and output together, without what the model's provider had cached
    tokens: int = Field(default=0, ge=0)
    #: of an agent's work
    minutes: float = Field(default=0.0, ge=0)


class BudgetSettings(BaseModel):
    """`[budget]`: what coding agents may spend, e.g. `per_family = { usd = 5 }`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_attempt: Limits = Limits()
    per_family: Limits = Limits()
    #: of all families of this board, by the local calendar day
    per_day: Limits = Limits()


class WorkersSettings(BaseModel):
    """`[workers]`: whether agents work on this machine, or for workers on any machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: `dbos`: by a queue in a PostgreSQL database, which `orchestrate worker` takes jobs from
    engine: Literal["local", "dbos"] = "local"
    #: the environment variable that holds the database's address
    database_url_env: str = Field(default="ORCHESTRATE_WORKERS_URL", pattern=r"^[A-Za-z_]\w*$")
    #: where families' branches go by git (ssh, https, file); "": the repository of the workspace
    repository: str = ""
    #: agents whose work goes to workers; none: that of all
    agents: tuple[str, ...] = ()
    #: agent → the label that its worker has to have, e.g. `BUILDER = "gpu"`
    labels: dict[str, str] = Field(default_factory=dict)
    #: agent → the most jobs of it at a time, on all machines together
    at_once: dict[str, int] = Field(default_factory=dict)
    #: seconds without a sign of life of a worker after which its job is given to another one
    lease: float = Field(default=60.0, ge=1, le=3600)
    #: seconds between two looks at a queue while no notification comes
    poll: float = Field(default=1.0, ge=0.02, le=60)
    #: whether a worker pushes what was made as a branch; else it goes through the database
    push: bool = True
    #: whether slow proofs go to workers too (`orchestrate worker --agents prove`)
    prove: bool = False

    @field_validator("repository")
    @classmethod
    def _is_address(cls, address: str) -> str:
        if address and not _REPOSITORY.fullmatch(address):
            raise ValueError(f"{address!r} is not an address by ssh, https or file")
        return address

    @field_validator("labels")
    @classmethod
    def _are_words(cls, labels: dict[str, str]) -> dict[str, str]:
        for label in labels.values():
            if not re.fullmatch(r"[\w.-]{1,40}", label):
                raise ValueError(f"{label!r} is not a label: letters, digits, `.`, `_` and `-`")
        return labels

    def goes_out(self, agent: str) -> bool:
        """Whether the agent's work goes to workers."""
        return self.engine != "local" and (not self.agents or agent in self.agents)

    def queue(self, agent: str) -> str:
        """The name of the agent's queue."""
        return queue_name(agent, self.labels.get(agent, ""))


def queue_name(agent: str, label: str = "") -> str:
    """The queue of an agent's jobs that ask for a label."""
    return f"orchestrate-{agent}@{label}" if label else f"orchestrate-{agent}"
