"""Which database a script writes to (DESIGN 10.1)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchestrate_backend.errors import TargetError
from orchestrate_backend.targets.base import Rejected, Row, TableColumn, Target, Written
from orchestrate_backend.targets.postgres import EmbeddedTarget, PostgresTarget
from orchestrate_backend.targets.supabase import SupabaseTarget

__all__ = [
    "TARGETS",
    "EmbeddedTarget",
    "PostgresTarget",
    "Rejected",
    "Row",
    "SupabaseTarget",
    "TableColumn",
    "Target",
    "TargetError",
    "Written",
    "choose_target",
]

TARGETS = ("embedded", "postgres", "supabase")
_SUPABASE_VARIABLES = ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY")


def choose_target(name: str | None, env: Mapping[str, str], root: Path) -> Target:
    """The target named, else Supabase if both its variables are set, else the embedded server.

    Raises TargetError for an unknown name or a variable that the target needs and `env` lacks.
    """
    chosen = name or ("supabase" if all(env.get(v) for v in _SUPABASE_VARIABLES) else "embedded")
    if chosen == "embedded":
        return EmbeddedTarget(root)
    if chosen == "postgres":
        return PostgresTarget(_variable(env, "DATABASE_URL", chosen))
    if chosen == "supabase":
        url, key = (_variable(env, v, chosen) for v in _SUPABASE_VARIABLES)
        return SupabaseTarget(url, key)
    raise TargetError(
        f"no such database target: {chosen}",
        hint=f"choose one of {', '.join(TARGETS)}",
        code="target-name",
    )


def _variable(env: Mapping[str, str], variable: str, target: str) -> str:
    value = env.get(variable, "").strip()
    if not value:
        raise TargetError(
            f"target {target} needs the environment variable {variable}",
            hint=f"export {variable}=…, or choose another target with --target",
            code="target-variable",
        )
    return value
