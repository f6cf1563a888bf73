"""How many rows the effects of a checkpoint will load, where that is known without running them."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrate_agents.effect_runner import EffectKind, TargetRunner
from orchestrate_agents.review.data import planned_rows
from orchestrate_agents.seed_data.csv_file import read_sheet
from orchestrate_agents.syntax import parsed
from orchestrate_backend.errors import BackendError
from orchestrator.approvals.effects import Effect
from orchestrator.errors import OrchestrateError
from orchestrator.storage.atomic import inside

#: more rows than anybody wants at least
_PLENTY = 10**15


@dataclass(frozen=True)
class LoadedTarget:
    """Stands in for a target after the effects: it knows how many rows some tables hold."""

    name: str
    rows: Mapping[str, int]

    def count(self, table: str) -> int:
        """Raises LookupError for a table of which it is not known."""
        return self.rows[table]


def foresee_target(
    runner: TargetRunner, effects: Sequence[Effect]
) -> tuple[LoadedTarget, LoadedTarget] | None:
    """The target as full as the effects can make it, and fuller than that; None if not known.

    Rows that are refused or repeat a key make it emptier, so only a lack of rows is certain.
    """
    if runner.name != "embedded":
        return None  # proving does not touch other databases
    most: Counter[str] = Counter()
    for effect in effects:
        if effect.kind != EffectKind.SCRIPT or "tables" in effect.arguments:
            continue  # a second run changes nothing
        found = _rows_to_load(runner, effect)
        if found is None:
            return None
        most.update(dict([found]))
    # what is there already is not known to be loaded again
    known = {table: n for table, n in most.items() if _is_empty(runner, table)}
    name = f"{runner.name} after loading"
    return LoadedTarget(name, known), LoadedTarget(name, dict.fromkeys(known, _PLENTY))


def _rows_to_load(runner: TargetRunner, effect: Effect) -> tuple[str, int] | None:
    """The table that a script fills, and the most rows that it can load; None if unknown."""
    script = effect.inputs[0]
    if effect.arguments["options"]:
        return None
    if (planned := planned_rows(runner.root, script)) is not None:
        # what is planned is what the snapshot holds; a live source may hold anything
        return (planned.table, len(planned.rows)) if runner.substitute(effect) else None
    try:
        text = inside(runner.root, script).read_text(encoding="utf-8")
        seed = _read_csv_seed(text)
        file = inside(runner.root, seed.get("csv", ""))
        if "table" not in seed or not file.is_file():
            return None
        return seed["table"], len(read_sheet(file, seed["csv"]).rows)
    except (OrchestrateError, OSError, SyntaxError, ValueError):
        return None


def _read_csv_seed(text: str) -> dict[str, str]:
    """The texts in the script's one `CsvSeed(…)`: its table and its file."""
    calls = [
        node
        for node in ast.walk(parsed(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "CsvSeed"
    ]
    if len(calls) != 1:
        return {}
    values = {k.arg: k.value for k in calls[0].keywords if k.arg}
    return {
        name: value.value
        for name, value in values.items()
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    }


def _is_empty(runner: TargetRunner, table: str) -> bool:
    """Whether the workspace's own server holds no row of a table, or does not have it yet."""
    if not (Path(runner.root) / ".orchestrate" / "postgres" / "PG_VERSION").is_file():
        return True
    try:
        return runner.target.count(table) == 0
    except BackendError as exc:
        return exc.code == "table-missing"
