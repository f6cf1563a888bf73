"""What installed packages register with this one (agents, checks, effects, reviews), and extras."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache, reduce
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.errors import MissingExtraError

_GROUPS = "orchestrate."


class EntryPoint(NamedTuple):
    """What an installed package registers under a name: a module, or something in it."""

    group: str
    name: str
    value: str

    @property
    def module(self) -> str:
        return self._place[0]

    def load(self) -> Any:
        """Import it."""
        module, attributes = self._place
        return reduce(getattr, filter(None, attributes.split(".")), import_module(module))

    @property
    def _place(self) -> tuple[str, str]:
        module, _, attributes = self.value.partition("[")[0].partition(":")
        return module.strip(), attributes.strip()


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
    return tuple(entry for entry in _all(path) if entry.group == f"{_GROUPS}{group}")


@cache
def _all(path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """As `importlib.metadata.entry_points`, but only what is registered with this package.

    That reads and parses what every package registers, with a parser of mails.
    """
    finders = (f for f in sys.meta_path if f is not PathFinder)
    if any(map(os.path.isfile, path)) or any(hasattr(f, "find_distributions") for f in finders):
        # packages in archives, or that are found in a way of their own
        from importlib.metadata import entry_points

        groups = [group for group in entry_points().groups if group.startswith(_GROUPS)]
        every = [each for group in groups for each in entry_points(group=group)]
        return tuple(EntryPoint(each.group, each.name, each.value) for each in every)
    texts: dict[str, str] = {}
    for folder in path:
        for package, text in _registrations(folder or "."):
            # the first one on the path is the one that is imported
            texts.setdefault(package, text)
    return tuple(entry for text in texts.values() for entry in _read(text))


def _registrations(folder: str) -> Iterator[tuple[str, str]]:
    """The packages that are installed in a folder, each with its `entry_points.txt`."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - for each folder of the path
    except OSError:
        return
    for name in names:
        if not name.endswith((".dist-info", ".egg-info")):
            continue
        package = name.rpartition(".")[0].partition("-")[0].lower().replace(".", "_")
        try:
            yield package, Path(folder, name, "entry_points.txt").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            yield package, ""


def _read(text: str) -> Iterator[EntryPoint]:
    group = ""
    for line in map(str.strip, text.splitlines() if f"[{_GROUPS}" in text else ()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif group.startswith(_GROUPS) and "=" in line and line[0] not in "#;":
            name, _, value = line.partition("=")
            yield EntryPoint(group, name.strip(), value.strip())


@cache
def _load(group: str, path: tuple[str, ...]) -> None:
    for entry in registered(group):
        register = getattr(entry.load(), "register", None)
        if callable(register):
            register()
