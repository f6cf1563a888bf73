"""Runs effects on one target, from the frozen copy of what was approved."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrate_agents.sandbox.row_changes import RowWatch
from orchestrator.agent_process.dispatcher import environment, kill
from orchestrator.approvals.effects import Effect, EffectResult

if TYPE_CHECKING:
    from orchestrate_backend.targets.choose import Target

#: what a script needs to reach each target, besides the neutral environment
VARIABLES = {
    "embedded": (),
    "postgres": ("DATABASE_URL",),
    "supabase": ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"),
}
SNAPSHOT = "the offline snapshot that ships with the product, not the live registry"
#: a registry import asks once a second and has thousands of records
_TIMEOUT = 3600.0


class TargetRunner:
    """`orchestrator.approvals.effects.Runner` over a backend target."""

    def __init__(self, name: str, root: Path, settings: Mapping[str, Any]) -> None:
        self.name = name
        self.root = root
        self.trials = settings.get("trials", {})

    @cached_property
    def _target(self) -> Target:
        from orchestrate_backend.targets.choose import choose_target

        return choose_target(self.name, os.environ, self.root)

    @property
    def target(self) -> Target:
        return self._target

    def describe(self) -> str:
        return self._target.describe()

    def close(self) -> None:
        if "_target" in self.__dict__:
            self._target.close()

    def remarks(self, effects: Sequence[Effect]) -> tuple[str, ...]:
        """Says where the shipped snapshot stands in for the registry, and what has to be pasted."""
        found = []
        for effect in effects:
            if effect.kind == "script.run" and self._loads_snapshot(effect, self.root):
                found.append(f"`{effect.inputs[0]}` loads {SNAPSHOT}")
            if effect.kind == "sql.base":
                found.append(self._about_base(effect))
            if effect.kind == "sql.apply" and self.name == "supabase":
                found.append(
                    f"`{effect.inputs[0]}` cannot be sent through the REST interface: paste it "
                    "into the SQL editor before you approve; its columns are checked afterwards"
                )
        return tuple(found)

    def _about_base(self, effect: Effect) -> str:
        if self.name == "embedded":
            return f"`{effect.inputs[0]}` is applied first where its tables are missing"
        return f"`{effect.inputs[0]}` is not applied, its tables have to be there"

    def _loads_snapshot(self, effect: Effect, tree: Path) -> bool:
        return "--offline" in self._own_options(effect, tree)

    def run(self, effect: Effect, frozen: Path) -> EffectResult:
        """Run one effect; a failure is a result, not an exception."""
        from orchestrate_backend.errors import BackendError

        try:
            if effect.kind == "sql.apply":
                return self._apply(effect, frozen)
            if effect.kind == "sql.base":
                return self._base(effect, frozen)
            if effect.kind == "sql.count":
                return self._count(effect)
            if "tables" in effect.arguments:
                return self._again(effect, frozen)
            return self._script(effect, frozen)
        except BackendError as exc:
            return EffectResult(False, str(exc).replace("\n", " "))
        except OSError as exc:
            return EffectResult(False, f"{exc.filename or effect.title}: {exc.strerror}")

    # -- SQL ---------------------------------------------------------------------------------

    def _apply(self, effect: Effect, frozen: Path) -> EffectResult:
        (path,) = effect.inputs
        sql = (frozen / path).read_text(encoding="utf-8")
        if self.name == "supabase":
            return self._pasted(path, sql)
        self._target.apply_sql(sql, path)
        return EffectResult(True, f"applied on {self.describe()}")

    def _base(self, effect: Effect, frozen: Path) -> EffectResult:
        """The workspace's own server gets what is missing; nobody else's is touched for it."""
        missing = [t for t in effect.arguments["tables"] if not self._has(t)]
        if not missing:
            return EffectResult(True, f"there on {self.describe()}")
        if self.name == "embedded":
            return self._apply(effect, frozen)
        names = ", ".join(missing)
        return EffectResult(False, f"{names} is missing: apply `{effect.inputs[0]}` first")

    def _has(self, table: str) -> bool:
        from orchestrate_backend.errors import BackendError

        try:
            return bool(self._target.columns(table))
        except BackendError as exc:
            if exc.code == "table-missing":
                return False
            raise

    def _pasted(self, path: str, sql: str) -> EffectResult:
        """DDL cannot go through the REST interface: see what USER pasted (DESIGN 10.2)."""
        from orchestrate_agents.sql.parse import tables_of

        missing = []
        for table in tables_of(sql):
            there = {c.name for c in self._target.columns(table.name)}
            gone = [c.name for c in table.columns if c.name not in there]
            missing += [f"{table.name} lacks {', '.join(gone)}"] if gone else []
        if missing:
            return EffectResult(False, f"{'; '.join(missing)}: paste `{path}` into the SQL editor")
        return EffectResult(True, "its tables and columns are there; the rest USER attests")

    def _count(self, effect: Effect) -> EffectResult:
        if self.name == "supabase":
            figures = {t: self._target.count(t) for t in effect.arguments["tables"]}
        else:
            figures = _figures(self._target.query_readonly(effect.arguments["sql"]))
        said = ", ".join(f"{k}: {v}" for k, v in figures.items())
        return EffectResult(True, said or "no rows", figures)

    # -- scripts -----------------------------------------------------------------------------

    def _again(self, effect: Effect, frozen: Path) -> EffectResult:
        """A script that ran before: which rows it changes now is seen in the database itself."""
        if self.name == "supabase":
            return self._script(effect, frozen)
        there = [table for table in effect.arguments["tables"] if self._has(table)]
        watched = RowWatch(self._target, there)
        result = self._script(effect, frozen)
        changed = watched.changed()
        total = sum(changed.values())
        figures = {**result.figures, "changed": changed}
        return replace(
            result, detail=f"{result.detail} It changed {total:,} rows.", figures=figures
        )

    def _script(self, effect: Effect, frozen: Path) -> EffectResult:
        script = effect.inputs[0]
        argv = [sys.executable, str(frozen / script), *effect.arguments["options"]]
        argv += self._own_options(effect, frozen)
        self._target.describe()
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=frozen,
            env=self._environment(frozen),
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            kill(process)
            return EffectResult(False, f"stopped after {_TIMEOUT:g} s")
        except BaseException:
            kill(process)
            raise
        result = _result(process.returncode, out.decode("utf-8", "replace"), err)
        if self._loads_snapshot(effect, frozen):
            return replace(result, detail=f"{result.detail} It loaded {SNAPSHOT}.")
        return result

    def _own_options(self, effect: Effect, tree: Path) -> list[str]:
        """`--target`, `--root` and `--offline`, where the script knows them."""
        source, given = _sources(effect, tree), effect.arguments["options"]
        options = []
        for flag, value in (("--target", self.name), ("--root", str(self.root))):
            if f'"{flag}"' in source:
                options += [flag, value]
        knows = '"--offline"' in source and any(p.endswith(".jsonl") for p in effect.inputs)
        if knows and "--offline" not in given and self._offline():
            options.append("--offline")
        return options

    def _offline(self) -> bool:
        """The shipped snapshot stands in for the registry on the embedded target only."""
        return (
            self.name == "embedded"
            and bool(self.trials.get("offline", True))
            and not self._base_url()
        )

    def _base_url(self) -> str:
        return str(self.trials.get("base_url") or os.environ.get("CTGOV_BASE_URL", ""))

    def _environment(self, frozen: Path) -> dict[str, str]:
        env = environment(VARIABLES[self.name])
        env["ORCHESTRATE_ROOT"] = str(self.root)
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(frozen), env.get("PYTHONPATH", "")]))
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        if self._base_url():
            env["CTGOV_BASE_URL"] = self._base_url()
        return env


def _sources(effect: Effect, tree: Path) -> str:
    """The Python that an effect runs, as one text."""
    files = [tree / p for p in effect.inputs if p.endswith(".py")]
    return "\n".join(f.read_text(encoding="utf-8") for f in files if f.is_file())


def _figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """name → count for rows of two columns, a single row as it is, else the first rows numbered."""
    if rows and all(len(row) == 2 for row in rows):
        pairs = [tuple(row.values()) for row in rows]
        if all(isinstance(name, str) and isinstance(count, int) for name, count in pairs):
            return {str(name): count for name, count in pairs}
    if len(rows) == 1:
        return {str(name): _plain(value) for name, value in rows[0].items()}
    shown = ({str(k): _plain(v) for k, v in row.items()} for row in rows[:20])
    return {str(number): row for number, row in enumerate(shown, 1)}


def _plain(value: Any) -> Any:
    """A database value as JSON can hold it."""
    return value if isinstance(value, int | float | str | None) else str(value)


def _result(code: int, out: str, err: bytes) -> EffectResult:
    errors = err.decode("utf-8", "replace")
    said = [line.strip() for line in out.splitlines() if line.strip()]
    warned = [line.strip() for line in errors.splitlines() if line.strip()]
    output = "\n".join([*said, *warned])
    if code:
        last = (warned or said or ["no output"])[-1]
        return EffectResult(False, f"exit code {code}: {last}", {"exit": code}, output)
    return EffectResult(True, said[-1] if said else "done", {}, output)
