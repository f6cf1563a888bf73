"""What installed packages register with this one (agents, checks, effects, reviews), and extras."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from orchestrator.errors import MissingExtraError


def registered(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of a group, as they were when this process first asked."""
    return _registered(group, tuple(sys.path))


def named(group: str, name: str) -> EntryPoint | None:
    """The entry point of a group that has a name."""
    return next((entry for entry in registered(group) if entry.name == name), None)


def load(group: str) -> None:
    """Import every entry point of a group; what they contain registers itself then, or when the
    `register()` that it has is called.
    """
    _load(group, tuple(sys.path))


def require_extra(module: str, extra: str, purpose: str) -> Any:
    """Import a library that an extra brings: `require_extra("pandera", "synthetic", "this check")`.

    Raises MissingExtraError, which names the command that installs it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name is not None and not f"{module}.".startswith(f"{exc.name}."):
            raise  # the library is installed, but lacks one of its own dependencies
        raise MissingExtraError(purpose, module.partition(".")[0], extra) from exc


@cache
def _registered(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=f"orchestrate.{group}"))


@cache
def _load(group: str, path: tuple[str, ...]) -> None:
    for entry in registered(group):
        register = getattr(entry.load(), "register", None)
        if callable(register):
            register()
