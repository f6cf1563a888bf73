"""Commands whose modules are imported, and whose options are read, when they are called."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from orchestrator.cli.plain_values import spare_coercion

#: plain help starts in a third of the time and pipes well
PLAIN: dict[str, Any] = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "add_completion": False,
}


def add(app: typer.Typer, name: str, place: str, section: str = "") -> None:
    """Add a command, or an app of several, that is at `module.name` of this package."""

    def find() -> Any:
        module, _, there = place.rpartition(".")
        return getattr(import_module(f"{__package__}.{module}"), there)

    app.command(name, cls=_Later, rich_help_panel=section or None)(find)


class _Command(TyperCommand):
    """A command that takes plain values as they are."""

    def get_params(self, ctx: Any) -> list[Any]:
        return spare_coercion(super().get_params(ctx))


class _Later(TyperCommand):
    """Stands for a command until somebody wants to know more than what it is for."""

    @cached_property
    def _found(self) -> typer.Typer | Callable[..., Any]:
        assert self.callback is not None
        found: typer.Typer | Callable[..., Any] = self.callback()
        return found

    @cached_property
    def command(self) -> Any:
        """The command itself."""
        app = self._found
        if not isinstance(app, typer.Typer):
            app = typer.Typer(**PLAIN)
            app.command(self.name, cls=_Command)(self._found)
        command: Any = get_command(app)
        command.name, command.rich_help_panel = self.name, self.rich_help_panel
        return command

    def get_short_help_str(self, limit: int = 45) -> str:
        if isinstance(self._found, typer.Typer):
            return str(self.command.get_short_help_str(limit))
        return TyperCommand(self.name, help=self._found.__doc__).get_short_help_str(limit)


class Commands(UserDict[str, Any]):
    """Commands by their names; `data` has them as they stand."""

    def __getitem__(self, name: str) -> Any:
        command = self.data[name]
        return command.command if isinstance(command, _Later) else command


class LaterGroup(TyperGroup):
    """A group of such commands."""

    def __init__(self, *, commands: Any = None, **rest: Any) -> None:
        super().__init__(commands=commands, **rest)
        self.commands = Commands(self.commands)

    def get_params(self, ctx: Any) -> list[Any]:
        return spare_coercion(super().get_params(ctx))

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands by their sections, not in one long list."""
        assert isinstance(self.commands, Commands)
        sections: dict[str, list[tuple[str, str]]] = {}
        limit = formatter.width - 6 - max(map(len, self.commands))
        for name, command in self.commands.data.items():
            section = getattr(command, "rich_help_panel", None) or "Commands"
            sections.setdefault(section, []).append((name, command.get_short_help_str(limit)))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows, col_max=20)
