"""What installed packages register with this one: agents, checks, effects, reviews."""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points


def registered(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of a group, as they were when this process first asked."""
    return _registered(group, tuple(sys.path))


def load(group: str) -> None:
    """Import all entry points of a group: what they hold registers itself."""
    _load(group, tuple(sys.path))


@cache
def _registered(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=f"orchestrate.{group}"))


@cache
def _load(group: str, path: tuple[str, ...]) -> None:
    for entry in registered(group):
        entry.load()
