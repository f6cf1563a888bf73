"""Configuration: `orchestrate.toml` at the workspace's root, every key with a default."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)

from orchestrator.errors import UsageError

FILE = "orchestrate.toml"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AgentSettings(_Table):
    """`[agents.NAME]`: which part the agent plays, and a command in place of a built-in module."""

    #: triager, maker, provider (makes things without a ticket of its own) or inspector
    part: Literal["triager", "maker", "provider", "inspector"] = "maker"
    #: argv of another agent: gets the job as JSON on stdin, answers with a report on stdout
    command: tuple[str, ...] = ()
    #: environment variables that the agent may see besides the neutral ones
    env: tuple[str, ...] = ()
    #: seconds before the agent and its children are stopped; that is a failure of the attempt
    timeout: float = 900.0
    #: handed to the agent as they are
    options: dict[str, Any] = Field(default_factory=dict)


class BoardSettings(_Table):
    """`[board]`: where the board lies, and the folders of a board with names of its own."""

    folder: str = "_WORK_ORDERS"
    #: role → folder, e.g. `QA = "05_QA"`
    folders: dict[str, str] = Field(default_factory=dict)
    #: further status or folder names → role, e.g. `REWORK_REQUIRED = "BUILD"`
    aliases: dict[str, str] = Field(default_factory=dict)


class GitSettings(_Table):
    commit: bool = False


class DatabaseSettings(_Table):
    """`[database]`: the target of effects. Chosen here, never by what is in the environment."""

    target: Literal["embedded", "postgres", "supabase"] = "embedded"


class ChecksSettings(_Table):
    """`[checks]`: what a statement may have run."""

    #: commands that a statement may quote and the generic check may run, word for word
    commands: tuple[str, ...] = ()
    #: seconds before such a command and its children are stopped, which is a failure
    timeout: float = Field(default=120.0, gt=0)


class TrialsSettings(_Table):
    """`[trials]`: options for a registry import run as an effect."""

    base_url: str = ""
    #: on the embedded target only: load the shipped snapshot instead of asking the registry
    offline: bool = True


class NotifySettings(_Table):
    """`[notify]`: who is told, elsewhere, that the board needs a person."""

    #: addresses as https://appriseit.com lists them; better in ORCHESTRATE_NOTIFY_URLS
    urls: tuple[SecretStr, ...] = ()
    #: what is told: USER is asked, a ticket is held, the board is unhealthy
    events: tuple[Literal["question", "held", "board"], ...] = ("question", "held", "board")


_PARTS: dict[str, Literal["triager", "maker", "provider", "inspector"]] = {
    "LEAD": "triager",
    "ANALYST": "provider",
    "INSPECTOR": "inspector",
}


class Settings(_Table):
    """All of `orchestrate.toml`."""

    board: BoardSettings = BoardSettings()
    agents: dict[str, AgentSettings] = Field(default_factory=dict)
    git: GitSettings = GitSettings()
    database: DatabaseSettings = DatabaseSettings()
    checks: ChecksSettings = ChecksSettings()
    trials: TrialsSettings = TrialsSettings()
    notify: NotifySettings = NotifySettings()
    failure_limit: int = Field(default=2, ge=1)
    #: so many tickets may lie in BUILD, further ones wait; 0: no limit
    wip_limit: int = Field(default=0, ge=0)
    #: a ticket that waits for USER for so many days is stale; 0 is never
    stale_days: int = Field(default=7, ge=0)
    #: files that no agent may change, as patterns (`*` stands for slashes too)
    frozen: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ("workflows", ".agent/workflows")
    #: a folder of verified facts for providers of seed data
    facts: str = "facts"

    @field_validator("frozen")
    @classmethod
    def _below_the_workspace(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not pattern or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
                raise ValueError(f"{pattern!r} is no pattern of paths below the workspace")
        return patterns

    def agent(self, name: str) -> AgentSettings:
        """The settings of an agent, by default with the part that its name is known for."""
        return self.agents.get(name) or AgentSettings(part=_PARTS.get(name, "maker"))

    def agent_playing(self, part: str) -> str | None:
        """The first agent, configured or known, that plays a part."""
        for name, settings in self.agents.items():
            if settings.part == part:
                return name
        return next((n for n, p in _PARTS.items() if p == part and n not in self.agents), None)


def load_settings(root: Path) -> Settings:
    """Read `root/orchestrate.toml`; defaults where it is absent.

    Raises UsageError with the file (and the line where TOML gives one) when it cannot be used.
    """
    file = root / FILE
    if not file.exists():
        return Settings()
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise UsageError(
            f"is not valid TOML: {exc}", path=file, hint="mend the named line"
        ) from exc
    try:
        return Settings.model_validate(table)
    except ValidationError as exc:
        first = exc.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"{key}: {first['msg']}", path=file, hint="see docs/configuration.md"
        ) from exc


def find_root(start: Path) -> Path:
    """The workspace: the nearest folder upwards with a configuration or a board, else `start`."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / FILE).exists() or (folder / "_WORK_ORDERS").is_dir():
            return folder
    return start
