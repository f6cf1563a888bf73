"""The commands that are groups of commands."""

from __future__ import annotations

import typer

from orchestrator.cli.coding import list_agents
from orchestrator.cli.failures import ShowGroup
from orchestrator.cli.later import PLAIN, LaterGroup, add
from orchestrator.cli.proofs import list_checks
from orchestrator.cli.receipts import about

receipts = typer.Typer(cls=ShowGroup, **PLAIN)
receipts.callback()(about)
for _name in ("show", "export", "check", "key"):
    add(receipts, _name, f"receipts.{_name}")

checks = typer.Typer(cls=LaterGroup, **PLAIN)
checks.callback(invoke_without_command=True)(list_checks)
add(checks, "try", "proofs.try_statement")
add(checks, "bind", "binding.bind")
add(checks, "allow", "allowing.allow")
add(checks, "revoke", "allowing.revoke")
add(checks, "propose", "proposing.propose")

workflow = typer.Typer(
    cls=LaterGroup,
    no_args_is_help=True,
    help="Show a workflow as it is understood, and check it.",
    **PLAIN,
)
add(workflow, "check", "workflows.check")
add(workflow, "show", "workflows.show")

config = typer.Typer(cls=LaterGroup, no_args_is_help=True, help="The settings in force.", **PLAIN)
# a callback makes it a group, as it has one command only
config.callback()(lambda: None)
add(config, "show", "configuring.show")

agents = typer.Typer(cls=LaterGroup, **PLAIN)
agents.callback(invoke_without_command=True)(list_agents)
add(agents, "try", "coding.try_agent")
add(agents, "schema", "pages.schema")
