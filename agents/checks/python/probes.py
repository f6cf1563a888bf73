"""Short programs that inspect delivered Python, run in a copy of the workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from orchestrate_agents.sandbox.runs import Run, python_path, run, tree_copy
from orchestrate_agents.tools.lacks import raise_for_lack
from orchestrate_agents.tools.python import python_of
from orchestrator.gates.checks import Context
from orchestrator.settings.tables import ChecksSettings


def run_probe(
    ctx: Context, program: str, words: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Run:
    """Run a probe with the workspace's Python; the workspace's own modules come first.

    Raises MissingToolError if that Python does not start, or if the probe failed for want of a
    package.
    """
    python = python_of(ctx)
    settings = ChecksSettings.model_validate(ctx.settings.get("checks", {}))
    with tree_copy(ctx.root) as copy:
        variables = {**python.variables, "PYTHONPATH": python_path(copy), **(env or {})}
        command = [*python.command, "-c", program, *words]
        ran = run(command, cwd=copy, env=variables, limit=settings.timeout, apart_from=ctx.root)
    if not ran.ok:
        raise_for_lack(ctx, python, ran.err)
    return ran


def module_name(path: str) -> str:
    """`a/b/__init__.py` as `a.b`."""
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
