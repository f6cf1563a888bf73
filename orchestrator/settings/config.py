"""Configuration: `orchestrate.toml` at the workspace's root, every key with a default."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
)

from orchestrator import plugins
from orchestrator.domain.states import Part
from orchestrator.errors import UsageError
from orchestrator.markdown.conflicts import conflict_line
from orchestrator.markdown.near_misses import meant
from orchestrator.settings.agents import AgentSettings, BudgetSettings, WorkersSettings
from orchestrator.settings.board import FILE
from orchestrator.settings.tables import (
    ApprovalSettings,
    BoardSettings,
    ChecksSettings,
    DatabaseSettings,
    FactsSettings,
    GitSettings,
    NotifySettings,
    Table,
    TelemetrySettings,
    TrustSettings,
    WorkspacesSettings,
)
from orchestrator.settings.web import WebSettings


class Settings(Table):
    """All of `orchestrate.toml`, apart from the tables that plug-ins define.

    A plug-in registers a pydantic model under `orchestrate.settings`, named like its table. Where
    the file has that table, the loaded settings have a validated field of that name.
    """

    board: BoardSettings = BoardSettings()
    agents: dict[str, AgentSettings] = Field(default_factory=dict)
    budget: BudgetSettings = BudgetSettings()
    git: GitSettings = GitSettings()
    workspaces: WorkspacesSettings = WorkspacesSettings()
    database: DatabaseSettings = DatabaseSettings()
    checks: ChecksSettings = ChecksSettings()
    trust: TrustSettings = TrustSettings()
    approval: ApprovalSettings = ApprovalSettings()
    notify: NotifySettings = NotifySettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    web: WebSettings = WebSettings()
    workers: WorkersSettings = WorkersSettings()
    failure_limit: int = Field(default=2, ge=1)
    #: the most tickets in BUILD at once, further ones wait; 0: no limit
    wip_limit: int = Field(default=0, ge=0)
    #: days after which a ticket that waits for USER is stale; 0: never
    stale_days: int = Field(default=7, ge=0)
    #: files that no agent may change, as patterns (`*` matches slashes too)
    frozen: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ("workflows", ".agent/workflows")
    facts: FactsSettings = FactsSettings()

    @field_validator("agents")
    @classmethod
    def _keep_registered_parts(cls, agents: dict[str, AgentSettings]) -> dict[str, AgentSettings]:
        """Who does the work of an agent that is registered does not change its part."""
        unsaid = {name for name, agent in agents.items() if "part" not in agent.model_fields_set}
        parts = registered_parts() if unsaid else {}
        return {
            name: agent.model_copy(update={"part": parts[name]})
            if name in unsaid and name in parts
            else agent
            for name, agent in agents.items()
        }

    @field_validator("workers")
    @classmethod
    def _have_checkouts(cls, workers: WorkersSettings, info: ValidationInfo) -> WorkersSettings:
        """What goes to workers goes by git, from a checkout."""
        found = info.data.get("workspaces")
        if workers.engine != "local" and found is not None and found.use == "never":
            raise ValueError('workers need checkouts, but [workspaces] use is "never"')
        return workers

    @field_validator("facts", mode="before")
    @classmethod
    def _folder_alone(cls, facts: Any) -> Any:
        return {"folder": facts} if isinstance(facts, str) else facts

    @field_validator("frozen")
    @classmethod
    def _below_the_workspace(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not pattern or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
                raise ValueError(f"{pattern!r} is not a pattern of paths below the workspace")
        return patterns

    def agent(self, name: str) -> AgentSettings:
        """The settings of an agent; by default it plays the part that it is registered for."""
        return self.agents.get(name) or _playing(registered_parts().get(name, Part.MAKER))

    def agent_playing(self, part: Part) -> str | None:
        """The first agent, configured or else registered, that plays a part."""
        for name, settings in self.agents.items():
            if settings.part is part:
                return name
        registered = registered_parts().items()
        return next((n for n, p in registered if p is part and n not in self.agents), None)


@cache
def _playing(part: Part) -> AgentSettings:
    """The settings of an agent of which nothing is configured."""
    return AgentSettings(part=part)


def registered_parts() -> Mapping[str, Part]:
    """Agent → the part that it plays, for the agents registered under `orchestrate.agents`.

    The package of an agent may list the parts of its agents in `PARTS`, so that they need not be
    imported for it; else the agent's class may have an attribute `part`. The default is maker.
    """
    return _parts(tuple(sys.path))


def default_maker() -> str | None:
    """The registered agent that makes what is not given to another: the first maker."""
    return next((name for name, part in registered_parts().items() if part is Part.MAKER), None)


@cache
def _parts(_path: tuple[str, ...]) -> Mapping[str, Part]:
    """What is registered depends on where modules are looked for."""
    entries = plugins.registered("agents")
    names = {entry.name for entry in entries}
    found: dict[str, Part] = {}
    for entry in entries:
        listed = getattr(
            import_module(entry.module.rpartition(".")[0] or entry.module), "PARTS", {}
        )
        found |= {name: Part(part) for name, part in listed.items() if name in names}
        if entry.name not in found:
            found[entry.name] = Part(getattr(entry.load(), "part", Part.MAKER))
    return found


def load_settings(root: Path) -> Settings:
    """Read `root/orchestrate.toml`; defaults where it is absent.

    Raises UsageError with the file (and the line where TOML gives one) when it cannot be used.
    """
    file = root / FILE
    if not os.path.lexists(file):
        return Settings()
    if not file.is_file():
        # a pipe would be waited for, and a device has no end
        hint = "put the settings themselves here"
        raise UsageError("is not a regular file", path=file, code="unreadable", hint=hint)
    if line := conflict_line(file.read_bytes()):
        raise UsageError(
            "the configuration has the marks of an unfinished merge",
            path=file,
            line=line,
            code="merge-conflict",
            hint="decide between the two versions and delete the marks",
        )
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise UsageError(
            f"not valid TOML: {exc}", path=file, hint="fix the line named above"
        ) from exc
    try:
        entries = [entry for entry in plugins.registered("settings") if entry.name in table]
        models: dict[str, Any] = {entry.name: (entry.load(), ...) for entry in entries}
        model = create_model("Settings", __base__=Settings, **models) if models else Settings
        return model.model_validate(table)
    except ValidationError as exc:
        raise _explain(exc, file, model) from exc


def _explain(error: ValidationError, file: Path, model: type[BaseModel]) -> UsageError:
    """The first thing that is wrong with the settings, with its line and what was meant."""
    first = error.errors()[0]
    loc = [str(part) for part in first["loc"]]
    key = ".".join(loc)
    line = _line_of(file.read_text(encoding="utf-8"), loc)
    if first["type"] != "extra_forbidden":
        said = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        hint = "orchestrate docs configuration"
        return UsageError(f"{key}: {said}", path=file, line=line, hint=hint)
    known = _keys_beside(model, loc)
    close = meant(loc[-1], known) or next(iter(get_close_matches(loc[-1], known, 1)), "")
    hint = f"did you mean `{close}`?" if close else f"known here: {', '.join(known)}"
    return UsageError(f"unknown key `{key}`", path=file, line=line, hint=hint)


def _keys_beside(model: Any, loc: Sequence[str]) -> list[str]:
    """The keys of the table in which the last key of `loc` is."""
    for part in loc[:-1]:
        if _is_table(model) and part in model.model_fields:
            model = model.model_fields[part].annotation
        else:
            # a table of tables: [agents.NAME]
            model = next(iter(get_args(model)[-1:]), None)
    return list(model.model_fields) if _is_table(model) else []


def _is_table(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, BaseModel)


def _line_of(text: str, loc: Sequence[str]) -> int | None:
    """The line of a key in a TOML text, else that of the table that is nearest to it."""
    table: list[str] = []
    nearest: tuple[int, int] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^\[\]]+?)\s*\]+", line):
            table = [part.strip(" \"'") for part in header[1].split(".")]
            here = table
        elif named := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            here = [*table, *(part.strip("\"'") for part in named[1].split("."))]
        else:
            continue
        if here and list(loc[: len(here)]) == here and (not nearest or len(here) > nearest[0]):
            nearest = len(here), number
    return nearest[1] if nearest else None
