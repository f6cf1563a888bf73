"""What can be said of a coding agent's program without letting it work."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from orchestrate_agents.coding.protocol import Adapter
from orchestrate_agents.coding.walls import version_of
from orchestrator.domain.agent import AgentInfo
from orchestrator.settings.agents import AgentSettings

#: adapter → the files below HOME in which its program keeps who is signed in
_CREDENTIALS: Mapping[str, tuple[str, ...]] = {
    "claude": (".claude/.credentials.json",),
    "codex": (".codex/auth.json",),
    "gemini": (".gemini/oauth_creds.json",),
    "opencode": (".local/share/opencode/auth.json",),
}
#: ends of the names of variables that hold a key
_KEYS = ("_KEY", "_TOKEN")


def program_of(adapter: type[Adapter], settings: AgentSettings, root: Path) -> tuple[str, ...]:
    """The program's argv; a path in it is relative to `root`, the workspace with the board."""
    first, *rest = settings.command or adapter.program
    return (str(root / first) if "/" in first else first, *rest)


def about(adapter: type[Adapter], settings: AgentSettings, root: Path) -> AgentInfo:
    """Whether the program is there, its version, and whether somebody is signed in."""
    first, *rest = program_of(adapter, settings, root)
    found = shutil.which(first) or ""
    if not found:
        return AgentInfo(notes=(f"{first} is not installed: {adapter.install}",))
    notes = []
    signed_in = _is_signed_in(adapter, settings)
    if signed_in is False:
        notes.append(f"nobody seems to be signed in: {adapter.sign_in}")
    state, _ = adapter.places(settings)
    places = ", ".join(["its checkout", *(f"~/{name}" for name in state), *settings.write])
    notes.append(f"writes to {places}")
    version = version_of((found, *rest), os.environ)
    return AgentInfo(found=found, version=version, signed_in=signed_in, notes=tuple(notes))


def _is_signed_in(adapter: type[Adapter], settings: AgentSettings) -> bool | None:
    names = (*adapter.variables, *settings.env)
    if any(os.environ.get(name) for name in names if name.endswith(_KEYS)):
        return True
    files = _CREDENTIALS.get(adapter.name)
    if files is None:
        return None
    return any((Path.home() / name).is_file() for name in files)
