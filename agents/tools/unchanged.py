"""That a workspace's tools are still those that were there before an agent worked."""

from __future__ import annotations

from pathlib import Path

from orchestrator.changes.tool_files import KIND, still_changed
from orchestrator.errors import MissingToolError
from orchestrator.gates.checks import Context

_NAMED = 3


def require_unchanged(ctx: Context, environment: Path) -> None:
    """Raise MissingToolError if an agent's attempt changed what starts in an environment.

    What it changed counts until it is as it was, or until USER has answered since.
    """
    root = ctx.root.resolve()
    for record in reversed(ctx.history):
        if record["type"] == "answer":
            return
        if record["type"] != KIND:
            continue
        if found := still_changed(root, record, environment):
            more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            raise MissingToolError(
                f"{', '.join(found[:_NAMED])}{more} changed while {record['agent']} worked "
                f"(stage {record['stage']}, attempt {record['attempt']}), so what it says proves "
                "nothing; install it again, or answer the question to take it as it is"
            )
