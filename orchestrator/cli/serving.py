"""`orchestrate mcp`: tools for models."""

from __future__ import annotations

import typer

from orchestrator.cli.workspace import workspace


def mcp(context: typer.Context) -> None:
    """Serve tools over the Model Context Protocol, on standard input and output.

    They read the board, its receipts and states, and prove statements. None approves, moves, holds
    or edits anything. An agent at work asks and proposes with them too. For a client:
    `claude mcp add orchestrate -- orchestrate mcp`.
    """
    from orchestrator.mcp.server import serve

    serve(lambda: workspace(context).root)
