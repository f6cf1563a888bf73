"""What plug-ins add to a seed script's run on a target: options, environment, a remark.

A plug-in registers an object with the two members of `ScriptPlugin` as an entry point of
`orchestrate.script_settings`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrator import plugins


@dataclass(frozen=True)
class ScriptRun:
    """A delivered script that is about to run."""

    #: "embedded", "postgres" or "supabase"
    target: str
    #: the files that it consists of and reads, relative to the workspace
    inputs: tuple[str, ...]
    #: the options that the workflow gives
    options: tuple[str, ...]
    #: the Python of all its files, as one text
    source: str


@dataclass(frozen=True)
class ScriptSettings:
    """What is added to one run."""

    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    #: what the script loads in place of live data, "" if nothing
    loads: str = ""


class ScriptPlugin(Protocol):
    """Knows the scripts of one subject."""

    #: options without a value that a workflow may pass to a script
    flags: tuple[str, ...]

    def settings_for(self, run: ScriptRun, settings: Mapping[str, Any]) -> ScriptSettings:
        """What to add to a run; `settings` is all of `orchestrate.toml`."""
        ...


def known_flags() -> tuple[str, ...]:
    """The flags of all plug-ins."""
    return tuple(flag for plugin in _plugins() for flag in plugin.flags)


def settings_for(run: ScriptRun, settings: Mapping[str, Any]) -> ScriptSettings:
    """What all plug-ins add to a run."""
    added = [plugin.settings_for(run, settings) for plugin in _plugins()]
    return ScriptSettings(
        options=tuple(option for one in added for option in one.options),
        environment={name: value for one in added for name, value in one.environment.items()},
        loads=" and ".join(one.loads for one in added if one.loads),
    )


def _plugins() -> Iterator[ScriptPlugin]:
    for entry in plugins.registered("script_settings"):
        yield entry.load()
