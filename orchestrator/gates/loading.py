"""Which checks there are: of installed packages, of the workspace, and those that USER took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from orchestrator import plugins
from orchestrator.gates import checks
from orchestrator.gates.checks import Check
from orchestrator.gates.expressions import TYPES, compile_pattern
from orchestrator.gates.proof_cache import user_proof_cache
from orchestrator.gates.workspace_checks import load_workspace_checks

#: find what else a workspace has
_FINDERS: list[Callable[[Path], Sequence[Check]]] = []
#: the checks and types whose patterns were read last
_READ: list[tuple[tuple[Check, ...], tuple[Any, ...]]] = []


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
    known = tuple(checks.REGISTERED.values())
    types = tuple(TYPES.items())
    if (known, types) not in _READ:
        _require_readable(known)
        _READ[:] = [(known, types)]
    own: Sequence[Check] = ()
    if root and any((root / "checks").glob("*.py")):
        own = load_workspace_checks(root, changed, checks.REGISTERED)
    further = [found for finder in _FINDERS for found in finder(root)] if root else []
    return (*known, *own, *further)


def _require_readable(known: Sequence[Check]) -> None:
    """Parse all patterns once for this user. Raises UsageError as `compile_pattern` does."""
    patterns = {pattern for each in known for pattern in each.patterns}
    types = sorted((name, said) for name, (said, _) in TYPES.items())
    cache, key = user_proof_cache(), repr(("patterns", sorted(patterns), types))
    if cache.get(key) is None:
        for pattern in patterns:
            compile_pattern(pattern)
        cache.put(key, b"")
