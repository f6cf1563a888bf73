"""Which checks there are: of installed packages, of the workspace, and those that USER took."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any, TypeGuard

from orchestrator import plugins
from orchestrator.gates import checks, expressions
from orchestrator.gates.checks import Check, Phase, Result
from orchestrator.gates.expressions import TYPES, compile_pattern
from orchestrator.gates.proof_cache import is_product, user_proof_cache
from orchestrator.gates.taken import taken_checks

if TYPE_CHECKING:
    from orchestrator.gates.binding import Binder
    from orchestrator.gates.proof_cache import ProofCache

#: what registers checks → the checks that are known of it without importing them
_LISTED: dict[str, tuple[Check, ...]] = {}
#: the checks and types whose patterns were read last
_READ: list[tuple[tuple[Check, ...], tuple[Any, ...]]] = []


def load_checks(
    root: Path | None = None, changed: frozenset[str] = frozenset()
) -> tuple[Check, ...]:
    """All checks: entry points `orchestrate.checks`, then `checks/*.py` of the workspace.

    Those run in a process of their own (`gates.workspace_checks`). Last come the scripts that USER
    took to prove statements. `changed`: files, as `checks/a.py`, that count once USER took them.
    A check of this product is imported when it is first asked. Raises UsageError, naming the file,
    if a workspace's check cannot be imported or takes the name of another one.
    """
    known = _registered()
    own: Sequence[Check] = ()
    if has_own_checks(root):
        from orchestrator.gates.workspace_checks import load_workspace_checks

        own = load_workspace_checks(root, changed, {check.name: check for check in known})
    return (*known, *own, *(taken_checks(root) if root else ()))


def load_binder(
    root: Path | None, changed: frozenset[str] = frozenset(), cache: ProofCache | None = None
) -> Binder:
    """What binds statements to the checks that `load_checks` gives."""
    # an answer to a question without statements binds none
    from orchestrator.gates.binding import Binder

    return Binder(load_checks(root, changed), cache)


def has_own_checks(root: Path | None) -> TypeGuard[Path]:
    """Whether a workspace has checks of its own, which are code that agents could change."""
    return root is not None and any((root / "checks").glob("*.py"))


def _registered() -> tuple[Check, ...]:
    """The checks of packages; of this one alone, as they were listed when they were last loaded."""
    entries = plugins.registered("checks")
    key = repr(("checks", [entry.value for entry in entries]))
    if not all(is_product(entry.module) for entry in entries):
        return _load()
    if key not in _LISTED:
        cache = user_proof_cache()
        kept = cache.get(key)
        _LISTED[key] = _load() if kept is None else tuple(_from_list(json.loads(kept)))
        if kept is None:
            cache.put(key, json.dumps(_list(_LISTED[key])).encode())
    # a process may register some by itself
    listed = {check.name for check in _LISTED[key]}
    others = [check for name, check in list(checks.REGISTERED.items()) if name not in listed]
    return (*_LISTED[key], *others)


def _load() -> tuple[Check, ...]:
    """Import what registers checks. Raises UsageError for a pattern that cannot be read."""
    plugins.load("checks")
    # only now: a package's modules may use each other's parameter types in any order
    known = tuple(checks.REGISTERED.values())
    types = tuple(TYPES.items())
    if (known, types) not in _READ:
        _require_readable(known)
        _READ[:] = [(known, types)]
    return known


def _require_readable(known: Sequence[Check]) -> None:
    """Parse all patterns once for this user. Raises UsageError as `compile_pattern` does."""
    patterns = {pattern for each in known for pattern in each.patterns}
    types = sorted((name, said) for name, (said, _) in TYPES.items())
    cache, key = user_proof_cache(), repr(("patterns", sorted(patterns), types))
    if cache.get(key) is None:
        for pattern in patterns:
            compile_pattern(pattern)
        cache.put(key, b"")


# -- checks that are known and not imported --------------------------------------------------------


class _Listed:
    """Stands for a check's function until it is asked."""

    def __init__(self, module: str, check: str) -> None:
        self.__module__ = module
        self._check = check

    @property
    def __wrapped__(self) -> checks.CheckFunction:
        # who can forge the list's seal still cannot have other code run
        if not is_product(self.__module__):
            raise ImportError(f"{self.__module__} has no checks of this product")
        import_module(self.__module__)
        return checks.REGISTERED[self._check].function

    @property
    def __code__(self) -> CodeType:
        code: CodeType = self.__wrapped__.__code__
        return code

    def __call__(self, context: checks.Context, **arguments: Any) -> Result:
        return self.__wrapped__(context, **arguments)


def _list(known: Iterable[Check]) -> dict[str, Any]:
    return {
        "types": [[name, TYPES[name][0], at] for name, at in expressions.MODULES.items()],
        "checks": [
            {
                "name": c.name,
                "patterns": c.patterns,
                "module": c.function.__module__,
                "phase": c.phase,
                "version": c.version,
                "summary": c.summary,
                "examples": c.examples,
                "slow": c.slow,
                "evidence": c.evidence,
            }
            for c in known
        ],
    }


def _from_list(kept: Mapping[str, Any]) -> Iterable[Check]:
    for name, pattern, module in kept["types"]:
        expressions.list_type(name, pattern, module)
    for entry in kept["checks"]:
        yield Check(
            entry["name"],
            tuple(entry["patterns"]),
            _Listed(entry["module"], entry["name"]),
            Phase(entry["phase"]),
            entry["version"],
            entry["summary"],
            tuple(entry["examples"]),
            entry["slow"],
            evidence=entry["evidence"],
        )
