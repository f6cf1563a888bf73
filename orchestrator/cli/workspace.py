"""What a command works on: workspace, settings, board and conductor, each opened when needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.conductor.conductor import Conductor, Progress
    from orchestrator.config import Settings
    from orchestrator.tickets.board import Board

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
AcceptDoubts = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-doubts",
        metavar="CODE",
        help="Let this doubt about the workflow pass, e.g. human-gate; may be repeated.",
    ),
]
TicketId = Annotated[str, typer.Argument(metavar="ID", help="Id of a ticket, e.g. WO-231.")]
WorkflowFile = Annotated[
    Path | None,
    typer.Option(
        "--workflow", metavar="FILE", help="Follow this workflow instead of the ticket's own."
    ),
]


@dataclass
class Workspace:
    """The workspace that one call of the command line works on."""

    directory: Path | None = None

    @cached_property
    def root(self) -> Path:
        """The workspace. Raises UsageError if `-C` names no folder."""
        from orchestrator.config import find_root

        start = self.directory or Path.cwd()
        if not start.is_dir():
            raise UsageError("no such folder", path=start, code="no-such-folder")
        return find_root(start)

    @cached_property
    def settings(self) -> Settings:
        from orchestrator.config import load_settings

        return load_settings(self.root)

    @cached_property
    def board(self) -> Board:
        """The board. Raises UsageError (code `no-board`) where there is none."""
        folder = self.root / self.settings.board.folder
        if not folder.is_dir():
            raise UsageError("no board here", path=folder, code="no-board", hint="orchestrate init")
        from orchestrator.tickets.board import Board

        return Board(self.root)

    def file(self, given: Path | None) -> Path | None:
        """A file named on the command line, relative to here or else to the workspace."""
        if given is None or given.is_absolute() or given.exists():
            return given
        return self.root / given

    def conductor(
        self,
        on_event: Callable[[Progress], None] | None = None,
        accept_doubts: Iterable[str] = (),
    ) -> Conductor:
        """A conductor for the board."""
        from orchestrator.conductor.conductor import Conductor

        return Conductor(
            self.board, settings=self.settings, on_event=on_event, accept_doubts=accept_doubts
        )


def workspace(context: typer.Context) -> Workspace:
    """The workspace of a command."""
    found: Workspace = context.obj
    return found
