"""What an agent's work loads, loaded before there is any (`orchestrator.agent_process.forking`)."""

from __future__ import annotations

import contextlib
from importlib import import_module
from pathlib import Path

#: of which all patterns are tried
_ANY_WORKFLOW = """\
# Any

## STAGE 1: MAKER — Make

1. Make `a.txt`. | Then ask.

**Done when:** `a.txt` exists.

## STAGE 2: USER CHECKPOINT #1 — Review

**Done when:** USER approves.
"""
#: what parses SQL and writes it, and what runs it
SQL = ("orchestrate_agents.sql.parse", "pglast.stream", "pglast.printers")
SERVER = (
    *SQL,
    *("orchestrate_agents.sql.scratch", "orchestrate_agents.sql.access_probe"),
    *("psycopg", "pydantic.type_adapter", "psutil", "platformdirs", "fasteners"),
)


def load(*modules: str, checks: bool = False) -> None:
    """Import modules that are there, and what reads workflows; `checks`: what proves statements."""
    for name in ("jinja2.sandbox", "yaml", *modules):
        with contextlib.suppress(ModuleNotFoundError):
            import_module(name)
    read_workflow()
    if checks:
        from orchestrator import plugins

        plugins.load("checks")


def read_workflow() -> None:
    """Compile the patterns by which workflows are read."""
    from orchestrator.workflow_reader.parser import read_workflow_text

    read_workflow_text(_ANY_WORKFLOW, Path("any.md"))
