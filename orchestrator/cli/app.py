"""Every command of `orchestrate`, in the order in which a newcomer needs them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.elapsed import start_line
from orchestrator.cli.failures import (
    BROKEN_PIPE,
    Group,
    discard_stdout,
    on_termination,
    terminate,
)
from orchestrator.cli.later import PLAIN, add
from orchestrator.cli.workspace import Workspace
from orchestrator.errors.masking import hide_environment

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    **PLAIN | {"add_completion": True},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"orchestrate {version('orchestrate-tickets')}")
        raise typer.Exit


@app.callback()
def orchestrate(
    context: typer.Context,
    directory: Annotated[
        Path | None,
        typer.Option("-C", metavar="DIR", help="Use the workspace of this folder."),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Conduct teams that keep their work as markdown tickets."""
    context.obj = Workspace(directory)
    start_line(context.invoked_subcommand)


#: the commands by what people want, in the order in which a newcomer needs them
_SECTIONS = {
    "Start": {"init": "starting.init", "new": "starting.new", "adopt": "adopting.adopt"},
    "Conduct": {"run": "running.run", "watch": "watching.watch", "worker": "working.worker"},
    "Answer": {
        "inbox": "reading.inbox",
        "review": "reviewing.review",
        "approve": "answering.approve",
        "send-back": "answering.send_back",
        "hold": "answering.hold",
        "resume": "answering.resume",
        "shelve": "answering.shelve",
        "archive": "answering.archive",
        "reopen": "answering.reopen",
        "undo": "answering.undo",
    },
    "Look": {
        "status": "reading.status",
        "list": "listing.list_tickets",
        "search": "listing.search",
        "show": "reading.show",
        "log": "reading.log",
        "doctor": "doctoring.doctor",
        "costs": "costs.costs",
        "stats": "stats.stats",
        "workers": "working.workers",
    },
    "Prove": {"verify": "proofs.verify"},
    "Set up and read on": {
        "effects": "proofs.list_effects",
        "serve": "serving.serve",
        "board": "serving.board",
        "mcp": "serving.mcp",
        "docs": "pages.docs",
    },
}
_GROUPS = {
    "Prove": ("receipts", "checks"),
    "Set up and read on": ("workflow", "config", "agents"),
}
for _section, _commands in _SECTIONS.items():
    for _name, _place in _commands.items():
        add(app, _name, _place, _section)
for _section, _names in _GROUPS.items():
    for _name in _names:
        add(app, _name, f"groups.{_name}", _section)


def start() -> None:
    """Run the command line; characters that the terminal cannot show are replaced."""
    hide_environment()
    on_termination(terminate)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        app(prog_name="orchestrate")
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            discard_stdout()
            os._exit(BROKEN_PIPE)
