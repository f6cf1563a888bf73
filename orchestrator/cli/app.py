"""Every command of `orchestrate`, in the order in which a newcomer needs them."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import (
    adopting,
    allowing,
    answering,
    binding,
    coding,
    configuring,
    costs,
    doctoring,
    listing,
    pages,
    proofs,
    proposing,
    reading,
    receipts,
    reviewing,
    running,
    serving,
    starting,
    stats,
    watching,
    workflows,
    working,
)
from orchestrator.cli.elapsed import start_line
from orchestrator.cli.failures import (
    BROKEN_PIPE,
    Group,
    ShowGroup,
    discard_stdout,
    on_termination,
    terminate,
)
from orchestrator.cli.workspace import Workspace
from orchestrator.errors.masking import hide_environment

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    # plain help starts in a third of the time and pipes well
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
workflow = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
receipt = typer.Typer(cls=ShowGroup, rich_markup_mode=None)
checks = typer.Typer(rich_markup_mode=None)
agents = typer.Typer(rich_markup_mode=None)
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
    start_line(context.invoked_subcommand)


#: the commands by what people want, in the order in which a newcomer needs them
_SECTIONS: dict[str, dict[str, Callable[..., None]]] = {
    "Start": {"init": starting.init, "new": starting.new, "adopt": adopting.adopt},
    "Conduct": {"run": running.run, "watch": watching.watch, "worker": working.worker},
    "Answer": {
        "inbox": reading.inbox,
        "review": reviewing.review,
        "approve": answering.approve,
        "send-back": answering.send_back,
        "hold": answering.hold,
        "resume": answering.resume,
        "shelve": answering.shelve,
        "archive": answering.archive,
        "reopen": answering.reopen,
        "undo": answering.undo,
    },
    "Look": {
        "status": reading.status,
        "list": listing.list_tickets,
        "search": listing.search,
        "show": reading.show,
        "log": reading.log,
        "doctor": doctoring.doctor,
        "costs": costs.costs,
        "stats": stats.stats,
        "workers": working.workers,
    },
    "Prove": {"verify": proofs.verify},
}
for _section, _commands in _SECTIONS.items():
    for _name, _function in _commands.items():
        app.command(_name, rich_help_panel=_section)(_function)
app.add_typer(receipt, name="receipts", rich_help_panel="Prove")
receipt.callback()(receipts.about)
receipt.command("show")(receipts.show)
receipt.command("export")(receipts.export)
receipt.command("check")(receipts.check)
receipt.command("key")(receipts.key)
app.add_typer(checks, name="checks", rich_help_panel="Prove")
checks.callback(invoke_without_command=True)(proofs.list_checks)
checks.command("try")(proofs.try_statement)
checks.command("bind")(binding.bind)
checks.command("allow")(allowing.allow)
checks.command("revoke")(allowing.revoke)
checks.command("propose")(proposing.propose)
_SETTINGS = "Set up and read on"
app.add_typer(
    workflow,
    name="workflow",
    help="Show a workflow as it is understood, and check it.",
    rich_help_panel=_SETTINGS,
)
workflow.command("check")(workflows.check)
workflow.command("show")(workflows.show)
app.add_typer(config, name="config", help="The settings in force.", rich_help_panel=_SETTINGS)
config.command("show")(configuring.show)
app.add_typer(
    agents,
    name="agents",
    rich_help_panel=_SETTINGS,
)
agents.callback(invoke_without_command=True)(coding.list_agents)
agents.command("try")(coding.try_agent)
agents.command("schema")(pages.schema)
app.command("effects", rich_help_panel=_SETTINGS)(proofs.list_effects)
app.command("serve", rich_help_panel=_SETTINGS)(serving.serve)
app.command("board", rich_help_panel=_SETTINGS)(serving.board)
app.command("mcp", rich_help_panel=_SETTINGS)(serving.mcp)
app.command("docs", rich_help_panel=_SETTINGS)(pages.docs)


def start() -> None:
    """Run the command line; characters that the terminal cannot show are replaced."""
    # a board is tens of thousands of small objects that live as long as the command
    gc.set_threshold(50_000)
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
