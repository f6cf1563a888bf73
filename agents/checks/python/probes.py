"""Short programs of our own that look at delivered Python, run in a copy of the workspace."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from orchestrate_agents.sandbox.runs import Run, run, tree_copy
from orchestrator.config import ChecksSettings
from orchestrator.gates.checks import Context


def probed(
    ctx: Context, program: str, words: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Run:
    """Run a probe with these arguments; the workspace's own modules come first."""
    settings = ChecksSettings.model_validate(ctx.settings.get("checks", {}))
    with tree_copy(ctx.root) as copy:
        command = [sys.executable, "-P", "-c", program, *words]
        given = {"PYTHONPATH": str(copy), **(env or {})}
        return run(command, cwd=copy, env=given, limit=settings.timeout)
