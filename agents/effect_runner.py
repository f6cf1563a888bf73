"""Runs effects on one target, from the frozen copy of what was approved."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrate_agents.sandbox.row_changes import RowWatch
from orchestrate_agents.script_settings import ScriptRun, ScriptSettings, settings_for
from orchestrator.agent_process.bounded import attend, end_group, kept_words, start_failure
from orchestrator.agent_process.dispatcher import environment
from orchestrator.approvals.effects import Effect, EffectResult
from orchestrator.errors import MissingToolError
from orchestrator.errors.masking import hand_out, sanitize

# what runs or proves something is imported where it does: a question is only shown and answered
if TYPE_CHECKING:
    from orchestrate_agents.sql.catalog import Snapshot
    from orchestrate_backend.targets.choose import Target

#: what a script needs to reach each target, besides the neutral environment
VARIABLES = {
    "embedded": (),
    "postgres": ("DATABASE_URL",),
    "supabase": ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"),
}
#: an import may ask for thousands of records, one request a second
_TIMEOUT_SECONDS = 3600.0


class EffectKind(StrEnum):
    """The effects that are known here."""

    #: apply a migration
    APPLY = "sql.apply"
    #: have the tables of an earlier migration in place
    PREREQUISITE = "sql.base"
    #: a query that only counts
    COUNT = "sql.count"
    #: run a delivered script
    SCRIPT = "script.run"


class TargetRunner:
    """`orchestrator.approvals.effects.Runner` over a backend target, opened when first needed."""

    def __init__(
        self, name: str, root: Path, settings: Mapping[str, Any], target: Target | None = None
    ) -> None:
        self.name = name
        self.root = root
        self._settings = settings
        self._target = target

    @property
    def target(self) -> Target:
        if self._target is None:
            from orchestrate_backend.targets.choose import choose_target

            self._target = choose_target(self.name, os.environ, self.root)
        return self._target

    def describe(self) -> str:
        return self.target.describe()

    def hold(self) -> Callable[[], object] | None:
        hold: Callable[[], Callable[[], object] | None] | None = getattr(self._target, "hold", None)
        return None if hold is None else hold()

    def close(self) -> None:
        if self._target is not None:
            self._target.close()

    def substitute(self, effect: Effect) -> str:
        """What a script loads in place of live data, "" if it loads live data."""
        return self._script_settings(effect, self.root)[1].loads

    def remarks(self, effects: Sequence[Effect]) -> tuple[str, ...]:
        """Where a script does not load live data, and what is not applied or must be pasted."""
        found = []
        for effect in effects:
            path = effect.inputs[0] if effect.inputs else ""
            match effect.kind:
                case EffectKind.SCRIPT:
                    if loads := self.substitute(effect):
                        found.append(f"`{path}` loads {loads}")
                    if interpreter := self._interpreter():
                        found.append(f"`{path}` is run with {interpreter}")
                case EffectKind.PREREQUISITE if self.name == "embedded":
                    found.append(f"`{path}` is applied first if its tables are missing")
                case EffectKind.PREREQUISITE:
                    found.append(f"`{path}` is not applied; its tables must already exist")
                case EffectKind.APPLY if self.name == "supabase":
                    found.append(
                        f"`{path}` cannot be sent through the REST interface: paste it into the "
                        "SQL editor before you approve; its columns are checked afterwards"
                    )
        return tuple(found)

    def identity(self) -> str:
        return self.target.identity()

    def configuration(self, effects: Sequence[Effect]) -> str:
        runs: list[Any] = []
        for effect in effects:
            if effect.kind == EffectKind.SCRIPT:
                options, added = self._script_settings(effect, self.root)
                given = [o for o in options if o != str(self.root)]
                runs.append([given, dict(added.environment), added.loads, self._interpreter()])
        session: dict[str, str] = getattr(self.target, "session", dict)() if effects else {}
        if session:
            runs.append(session)
        return hashlib.sha256(json.dumps(runs, sort_keys=True).encode()).hexdigest() if runs else ""

    def _interpreter(self) -> str:
        """The workspace's own Python, or what is wrong with it; "" where it has none."""
        from orchestrate_agents.tools.python import find_python

        try:
            python = find_python(self.root, self._settings)
        except MissingToolError as exc:
            return f"no Python: {exc.message}"
        return "" if python.own else python.label

    def run(self, effect: Effect, frozen: Path) -> EffectResult:
        """Run one effect; a failure is a result, not an exception."""
        from orchestrate_backend.errors import BackendError

        try:
            match effect.kind:
                case EffectKind.APPLY:
                    return self._apply(effect, frozen)
                case EffectKind.PREREQUISITE:
                    return self._require(effect, frozen)
                case EffectKind.COUNT:
                    return self._count(effect)
                case _ if "tables" in effect.arguments and self.name != "supabase":
                    return self._run_again(effect, frozen)
                case _:
                    return self._run_script(effect, frozen)
        except (BackendError, MissingToolError) as exc:
            return EffectResult(False, sanitize(str(exc).replace("\n", " ")))
        except OSError as exc:
            return EffectResult(False, f"{exc.filename or effect.title}: {exc.strerror}")

    # -- SQL ---------------------------------------------------------------------------------

    def _apply(self, effect: Effect, frozen: Path) -> EffectResult:
        (path,) = effect.inputs
        sql = (frozen / path).read_text(encoding="utf-8")
        if self.name == "supabase":
            return self._check_pasted(path, sql)
        before = self._catalog()
        self.target.apply_sql(sql, path)
        figures = {"catalog": _catalog_changes(before, self._catalog())}
        return EffectResult(True, f"applied on {self.describe()}", figures)

    def _catalog(self) -> Snapshot:
        """What the target consists of, as far as it can be asked."""
        from orchestrate_agents.sql.on_target import catalog_of

        return () if self.name == "supabase" else catalog_of(self.target.query_readonly)

    def _require(self, effect: Effect, frozen: Path) -> EffectResult:
        """Only the workspace's own server is given what it lacks; no other database is touched."""
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
            return bool(self.target.columns(table))
        except BackendError as exc:
            if exc.code == "table-missing":
                return False
            raise

    def _check_pasted(self, path: str, sql: str) -> EffectResult:
        """DDL cannot go through the REST interface: look at what USER pasted (DESIGN 10.2)."""
        from orchestrate_agents.sql.parse import tables_of

        lacking = []
        for table in tables_of(sql):
            present = {c.name for c in self.target.columns(table.name)}
            missing = [c.name for c in table.columns if c.name not in present]
            if missing:
                lacking.append(f"{table.name} lacks {', '.join(missing)}")
        if lacking:
            return EffectResult(False, f"{'; '.join(lacking)}: paste `{path}` into the SQL editor")
        return EffectResult(True, "its tables and columns exist; USER attests the rest")

    def _count(self, effect: Effect) -> EffectResult:
        if self.name == "supabase":
            figures = {t: self.target.count(t) for t in effect.arguments["tables"]}
        else:
            figures = _name_figures(self.target.query_readonly(effect.arguments["sql"]))
        detail = ", ".join(f"{name}: {value}" for name, value in figures.items())
        return EffectResult(True, detail or "no rows", figures)

    # -- scripts -----------------------------------------------------------------------------

    def _run_again(self, effect: Effect, frozen: Path) -> EffectResult:
        """Run a script that ran before; the rows that it changes are counted in the database."""
        watch = RowWatch(self.target, [t for t in effect.arguments["tables"] if self._has(t)])
        result = self._run_script(effect, frozen)
        changed = watch.changed()
        detail = f"{result.detail} It changed {sum(changed.values()):,} rows."
        return replace(result, detail=detail, figures={**result.figures, "changed": changed})

    def _run_script(self, effect: Effect, frozen: Path) -> EffectResult:
        before = self._catalog()
        result = self._run_program(effect, frozen)
        if changes := _catalog_changes(before, self._catalog()):
            result = replace(result, figures={**result.figures, "catalog": changes})
        return result

    def _run_program(self, effect: Effect, frozen: Path) -> EffectResult:
        from orchestrate_agents.sandbox.runs import python_path
        from orchestrate_agents.tools.lacks import find_missing_package
        from orchestrate_agents.tools.python import find_python

        options, added = self._script_settings(effect, frozen)
        python = find_python(self.root, self._settings)
        env = environment(VARIABLES[self.name])
        env |= {
            **python.variables,
            "ORCHESTRATE_ROOT": str(self.root),
            # as in its proof: what else the path had is not a part of what was approved
            "PYTHONPATH": python_path(frozen),
            "PYTHONDONTWRITEBYTECODE": "1",
            **added.environment,
        }
        self.describe()  # opens the target, so that its server runs
        hand_out(*(os.environ.get(name, "") for name in VARIABLES[self.name]))
        process = subprocess.Popen(
            kept_words([*python.command, str(frozen / effect.inputs[0]), *options]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=frozen,
            env=env,
            start_new_session=True,
        )
        ended = attend(process, lambda: end_group(process), limit=_TIMEOUT_SECONDS)
        end_group(process)
        if why := start_failure(ended):
            return EffectResult(False, f"{python.command[0]}: {why}")
        printed, warned = _lines(ended.out), _lines(ended.err)
        output = "\n".join([*printed, *warned])
        if ended.stopped:
            return EffectResult(False, ended.stopped, {}, output)
        if ended.code:
            last = (warned or printed or ["no output"])[-1]
            detail, figures = (
                f"exit code {ended.code}: {last}",
                {"exit": ended.code},
            )
            lack = find_missing_package(self.root, python, output, effect.inputs)
            if lack is not None:
                detail = f"{detail} ({lack.message})"
        else:
            detail, figures = (printed or ["done"])[-1], {}
        if added.loads:
            detail = f"{detail} It loaded {added.loads}."
        return EffectResult(not ended.code, detail, figures, output)

    def _script_settings(self, effect: Effect, tree: Path) -> tuple[list[str], ScriptSettings]:
        """All options of a script, with `--target` and `--root` where it knows them; the rest."""
        files = [tree / path for path in effect.inputs if path.endswith(".py")]
        source = "\n".join(f.read_text(encoding="utf-8") for f in files if f.is_file())
        given = tuple(effect.arguments["options"])
        added = settings_for(ScriptRun(self.name, effect.inputs, given, source), self._settings)
        options = list(given)
        for flag, value in (("--target", self.name), ("--root", str(self.root))):
            if f'"{flag}"' in source:
                options += [flag, value]
        return [*options, *added.options], added


def _catalog_changes(before: Snapshot, after: Snapshot) -> list[tuple[str, str, str, str]]:
    """What is gone and what is new: sign, kind, name and definition."""
    gone, new = set(before) - set(after), set(after) - set(before)
    return sorted([("-", *row) for row in gone] + [("+", *row) for row in new])


def _name_figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """name → count for rows of two columns, a single row as it is, else the first rows numbered."""
    pairs = [tuple(row.values()) for row in rows]
    if pairs and all(
        len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], int) for pair in pairs
    ):
        return {pair[0]: pair[1] for pair in pairs}
    plain = [
        {str(k): v if isinstance(v, int | float | str | None) else str(v) for k, v in row.items()}
        for row in rows[:20]
    ]
    return plain[0] if len(rows) == 1 else {str(n): row for n, row in enumerate(plain, 1)}


def _lines(output: bytes) -> list[str]:
    text = sanitize(output.decode("utf-8", "replace"))
    return [line.strip() for line in text.splitlines() if line.strip()]
