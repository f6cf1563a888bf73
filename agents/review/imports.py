"""Which rows a delivered import would load offline, read from the script without running it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrate_agents.syntax import parsed
from orchestrator.errors import OrchestrateError
from orchestrator.storage.atomic import inside

_MAX_BYTES = 2_000_000


@dataclass(frozen=True)
class Selected:
    """The rows that an import selects from the shipped snapshot."""

    table: str
    rows: tuple[Mapping[str, Any], ...]
    source: str


def select_rows(root: Path, script: str) -> Selected | None:
    """The rows of a script that declares a `TrialSpec`; None for other scripts."""
    from orchestrate_backend.errors import BackendError
    from orchestrate_backend.trials.sources import find_snapshot, load_trials
    from orchestrate_backend.trials.trials import Selector, TrialSpec

    arguments = declared(root, script)
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
    return Selected(spec.table, tuple(rows), f"what {script} selects from {where}")


def declared(root: Path, script: str) -> dict[str, Any] | None:
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
    if not isinstance(call, ast.Call) or _called(call) != "TrialSpec":
        return None
    try:
        return {str(k.arg): _value(k.value, names) for k in call.keywords}
    except (ValueError, KeyError):
        return None


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _value(node: ast.expr, names: Mapping[str, ast.expr]) -> Any:
    """A literal, a name of one, or the known phrases of one. Raises ValueError, KeyError."""
    from orchestrate_backend.trials.terms import with_known_phrases

    if isinstance(node, ast.Name):
        return ast.literal_eval(names[node.id])
    if isinstance(node, ast.Call) and _called(node) == "with_known_phrases":
        (argument,) = node.args
        return with_known_phrases(_value(argument, names))
    return ast.literal_eval(node)
