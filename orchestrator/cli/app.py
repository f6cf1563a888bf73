"""Every command of `orchestrate`, in the order in which a newcomer needs them."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import (
    adopting,
    answering,
    configuring,
    doctoring,
    pages,
    proofs,
    reading,
    reviewing,
    running,
    starting,
    watching,
    workflows,
)
from orchestrator.cli.failures import (
    BROKEN_PIPE,
    Group,
    discard_stdout,
    on_termination,
    terminate,
)
from orchestrator.cli.workspace import Workspace

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    # plain help starts in a third of the time and pipes well
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
workflow = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
checks = typer.Typer(rich_markup_mode=None)
agents = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
config = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


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


app.command("run")(running.run)
app.command("watch")(watching.watch)
app.command("status")(reading.status)
app.command("inbox")(reading.inbox)
app.command("review")(reviewing.review)
app.command("approve")(answering.approve)
app.command("send-back")(answering.send_back)
app.command("hold")(answering.hold)
app.command("resume")(answering.resume)
app.command("shelve")(answering.shelve)
app.command("archive")(answering.archive)
app.command("reopen")(answering.reopen)
app.command("undo")(answering.undo)
app.command("adopt")(adopting.adopt)
app.command("list")(reading.list_tickets)
app.command("show")(reading.show)
app.command("log")(reading.log)
app.command("verify")(proofs.verify)
app.command("doctor")(doctoring.doctor)
app.command("receipts")(proofs.receipts)
app.command("new")(starting.new)
app.command("init")(starting.init)
app.add_typer(workflow, name="workflow", help="Show a workflow as it is understood, and check it.")
workflow.command("check")(workflows.check)
workflow.command("show")(workflows.show)
app.add_typer(checks, name="checks")
checks.callback(invoke_without_command=True)(proofs.list_checks)
checks.command("try")(proofs.try_statement)
app.command("effects")(proofs.list_effects)
app.add_typer(agents, name="agents", help="What agents are told and what they report.")
agents.command("schema")(pages.schema)
app.add_typer(config, name="config", help="The settings in force.")
config.command("show")(configuring.show)
app.command("docs")(pages.docs)


def start() -> None:
    """Run the command line; characters that the terminal cannot show are replaced."""
    # a board is tens of thousands of small objects that live as long as the command
    gc.set_threshold(50_000)
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
