"""What a command works on: workspace, settings, board and conductor, each opened when needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from orchestrator.errors import OrchestrateError, UsageError

if TYPE_CHECKING:
    from orchestrator.conductor.conductor import Conductor, Progress
    from orchestrator.settings.config import Settings
    from orchestrator.tickets.board import Board

_Word = TypeVar("_Word", str, tuple[str, str])

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
AcceptDoubts = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-doubts",
        metavar="CODE",
        help="Let this doubt about workflow or ticket pass, e.g. human-gate; may be repeated.",
    ),
]


def resolve_id(context: typer.Context, given: str | None) -> str | None:
    """The id of the ticket that a person means: its id in any spelling, its number, its file."""
    if given is None or context.resilient_parsing:
        return given
    return workspace(context).id(given)


def complete_from(
    find: Callable[[Workspace], Iterable[_Word]],
) -> Callable[[typer.Context], list[_Word]]:
    """What a shell offers, from the workspace; nothing where that cannot be read."""

    def complete(context: typer.Context) -> list[_Word]:
        try:
            return list(find(Workspace(context.find_root().params.get("directory"))))
        except (OrchestrateError, OSError):
            return []

    return complete


#: the ids, with the tickets' titles
_complete_id = complete_from(lambda here: [(t.id, t.title) for t in here.board.tickets()])


TicketId = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        callback=resolve_id,
        autocompletion=_complete_id,
        help="Id of a ticket, e.g. WO-231; 231 and its file do.",
    ),
]
AnyTicketId = Annotated[
    str | None,
    typer.Argument(
        metavar="[ID]",
        callback=resolve_id,
        autocompletion=_complete_id,
        help="A ticket; without it, all of them.",
    ),
]
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
        from orchestrator.settings.board import find_root

        start = self.directory or Path.cwd()
        if not start.is_dir():
            raise UsageError("no such folder", path=start, code="no-such-folder")
        return find_root(start)

    @cached_property
    def settings(self) -> Settings:
        from orchestrator.settings.config import load_settings

        return load_settings(self.root)

    @cached_property
    def board(self) -> Board:
        """The board. Raises UsageError (code `no-board`) where there is none."""
        from orchestrator.settings.board import read_board_part

        part = read_board_part(self.root)
        folder = self.root / part.folder
        if not folder.is_dir():
            raise UsageError("no board here", path=folder, code="no-board", hint="orchestrate init")
        from orchestrator.tickets.board import Board

        return Board(
            self.root,
            folders=part.folders_in(self.root),
            failure_limit=part.failure_limit,
            criteria_headings=part.criteria_headings,
            keys=part.keys,
        )

    def id(self, given: str) -> str:
        """The id of a ticket that is named by its id in any spelling, by its number or its file.

        What names no ticket is returned as it is. Raises UsageError for nothing at all,
        TicketError (code `ambiguous-id`) for what may be several.
        """
        if not given.strip():
            raise UsageError("name a ticket", hint="orchestrate list")
        if given.endswith(".md"):
            place = self.file(Path(given))
            file = place.resolve() if place is not None else Path()
            found = [t.id for t in self.board.tickets() if t.path.resolve() == file]
            if found:
                return found[0]
        return self.board.resolve(given)

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
