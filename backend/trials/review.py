"""Which rows a delivered trial import would load, read from the script without running it.

Registered as `orchestrate.reviews`: a review shows these rows before the import runs.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrate_agents.review.data import PlannedRows, planned_rows_reader
from orchestrate_agents.syntax import parsed
from orchestrate_backend.errors import BackendError
from orchestrate_backend.trials.sources import find_snapshot, load_trials
from orchestrate_backend.trials.terms import with_known_phrases
from orchestrate_backend.trials.trials import Selector, TrialSpec
from orchestrator.errors import OrchestrateError
from orchestrator.storage.atomic import inside

_MAX_BYTES = 2_000_000


@planned_rows_reader
def select_rows(root: Path, script: str) -> PlannedRows | None:
    """The rows that a script with a `TrialSpec` selects from the snapshot; None for others."""
    arguments = read_spec_arguments(root, script)
    if arguments is None:
        return None
    try:
        spec = TrialSpec(**arguments)
        snapshot = find_snapshot((root,))
        selector = Selector(spec, "conditions" not in arguments, keep_unknown_status=True)
        rows = selector.select(load_trials((snapshot,)).records).rows
    except (BackendError, TypeError, ValueError, AttributeError):
        return None
    where = snapshot.relative_to(root)
    return PlannedRows(spec.table, tuple(rows), f"what {script} selects from {where}")


def read_spec_arguments(root: Path, script: str) -> dict[str, Any] | None:
    """The literal arguments of the script's `SPEC = TrialSpec(…)`, None if it has none."""
    try:
        file = inside(root, script)
        if file.stat().st_size > _MAX_BYTES:
            return None
        tree = parsed(file.read_text(encoding="utf-8"))
    except (OrchestrateError, OSError, SyntaxError, ValueError):
        return None
    names: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            names[node.targets[0].id] = node.value
    call = names.get("SPEC")
    if not isinstance(call, ast.Call) or not _calls(call, "TrialSpec"):
        return None
    try:
        return {str(k.arg): _evaluate(k.value, names) for k in call.keywords}
    except (ValueError, KeyError):
        return None


def _calls(call: ast.Call, name: str) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == name


def _evaluate(node: ast.expr, names: Mapping[str, ast.expr]) -> Any:
    """A literal, a name of one, or the known phrases of one. Raises ValueError, KeyError."""
    if isinstance(node, ast.Name):
        return ast.literal_eval(names[node.id])
    if isinstance(node, ast.Call) and _calls(node, "with_known_phrases"):
        (argument,) = node.args
        return with_known_phrases(_evaluate(argument, names))
    return ast.literal_eval(node)
