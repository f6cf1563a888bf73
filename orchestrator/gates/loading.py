"""Which checks there are: of installed packages, of the workspace, and those that USER took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator import plugins
from orchestrator.gates import checks
from orchestrator.gates.checks import Check
from orchestrator.gates.expressions import compile_pattern
from orchestrator.gates.workspace_checks import load_workspace_checks

#: find what else a workspace has
_FINDERS: list[Callable[[Path], Sequence[Check]]] = []


def register_finder(find: Callable[[Path], Sequence[Check]]) -> None:
    """Let `load_checks` find further checks of a workspace."""
    if find not in _FINDERS:
        _FINDERS.append(find)


def load_checks(
    root: Path | None = None, changed: frozenset[str] = frozenset()
) -> tuple[Check, ...]:
    """All checks: entry points `orchestrate.checks`, then `checks/*.py` of the workspace.

    Those run in a process of their own (`gates.workspace_checks`). Last come the scripts that USER
    took to prove statements. `changed`: files, as `checks/a.py`, that count once USER took them.
    Raises UsageError, naming the file, if a workspace's check cannot be imported or takes the name
    of another one.
    """
    plugins.load("checks")
    # only now: a package's modules may use each other's parameter types in any order
    for pattern in {p for known in checks.REGISTERED.values() for p in known.patterns}:
        compile_pattern(pattern)
    own: Sequence[Check] = ()
    if root and any((root / "checks").glob("*.py")):
        own = load_workspace_checks(root, changed, checks.REGISTERED)
    further = [found for finder in _FINDERS for found in finder(root)] if root else []
    return (*checks.REGISTERED.values(), *own, *further)
