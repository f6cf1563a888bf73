"""Short programs that inspect delivered Python, run in a copy of the workspace."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from orchestrate_agents.sandbox.runs import Run, run, tree_copy
from orchestrator.config import ChecksSettings
from orchestrator.gates.checks import Context


def run_probe(
    ctx: Context, program: str, words: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Run:
    """Run a probe with these arguments; the workspace's own modules come first."""
    settings = ChecksSettings.model_validate(ctx.settings.get("checks", {}))
    with tree_copy(ctx.root) as copy:
        command = [sys.executable, "-P", "-c", program, *words]
        variables = {"PYTHONPATH": str(copy), **(env or {})}
        return run(command, cwd=copy, env=variables, limit=settings.timeout)


def module_name(path: str) -> str:
    """`a/b/__init__.py` as `a.b`."""
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
