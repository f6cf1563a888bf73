"""Settings of agents: who plays a part, and what it may cost."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from orchestrator import plugins
from orchestrator.domain.states import Part

BUILTIN, COMMAND = "builtin", "command"


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
    #: turns of a coding agent in one attempt: each but the first mends what was not proven
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
            raise ValueError(f"{use!r} is no agent; known: {', '.join((BUILTIN, COMMAND, *known))}")
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
