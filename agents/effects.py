"""Effects that are known here: apply a migration, run a seed script, count tables (DESIGN 4.3).

Nothing of a workflow is ever given to a shell: a fenced line is split into words, and binds only if
it runs a delivered script with options from a short list. The rest is shown to USER.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from agents.closure import closure
from agents.effect_runner import TargetRunner
from orchestrator.effects import Bound, Effect, Runner, effect_binder, runner_opener
from orchestrator.workflow import Block, Stage, StatementKind, Workflow

_SHELLS = ("bash", "sh", "shell", "console", "zsh", "")
_OPTIONS = ("--dry-run", "--offline", "--all-conditions")
_APPLY = re.compile(r"\b(execute|apply|run|deploy)\b", re.IGNORECASE)
_SQL_PATH = re.compile(r"`([^`\s]+\.sql)`")
_META = re.compile(r"[|;&<>$`\\(){}*?!\n]")


@effect_binder
def bind(stage: Stage, workflow: Workflow, root: Path) -> Bound:
    """The effects of a checkpoint in the order of its text, and what is left to USER."""
    delivered = {d.path for _, d in workflow.deliverables}
    effects: list[Effect] = []
    by_user: list[tuple[str, int]] = []
    for line, thing in _in_order(stage):
        if isinstance(thing, Block):
            bound, left = _block(thing, delivered, root)
            effects += bound
            by_user += left
        else:
            effect = _apply_item(thing, line, delivered)
            if effect is not None:
                effects.append(effect)
            elif not _introduces(thing, line, stage):
                by_user.append((thing.strip(), line))
    if all(e.read_only for e in effects):
        # looking at a database changes nothing, so it is no reason to ask for one
        by_user += [(f"look: {e.title}", e.line) for e in effects]
        effects = []
    return Bound(tuple(effects), tuple(by_user))


def _in_order(stage: Stage) -> list[tuple[int, Block | str]]:
    stated = {s.line for s in stage.statements if s.kind is not StatementKind.EXPECTATION}
    things: list[tuple[int, Block | str]] = [(b.line, b) for b in stage.blocks]
    for line, text in stage.items:
        expected = any(s.line == line for s in stage.statements)
        if line not in stated and not expected:
            things.append((line, text))
    return sorted(things, key=lambda pair: pair[0])


def _introduces(text: str, line: int, stage: Stage) -> bool:
    """A label or a sentence that only leads to the block or the list below it."""
    bare = text.strip().strip("*").rstrip()
    return bare.endswith(":") or (text.strip().startswith("**") and text.strip().endswith("**"))


def _apply_item(text: str, line: int, delivered: set[str]) -> Effect | None:
    path = _SQL_PATH.search(text)
    if path is None or path.group(1) not in delivered or not _APPLY.search(text):
        return None
    return Effect("sql.apply", f"apply `{path.group(1)}`", (path.group(1),), line=line)


# -- fenced blocks ---------------------------------------------------------------------------


def _block(
    block: Block, delivered: set[str], root: Path
) -> tuple[list[Effect], list[tuple[str, int]]]:
    if block.language.lower() == "sql":
        return _sql(block)
    if block.language.lower() not in _SHELLS:
        return [], []
    effects, left = [], []
    for offset, raw in enumerate(block.text.splitlines(), 1):
        line = raw.strip().removeprefix("$ ")
        if not line or line.startswith("#"):
            continue
        effect = _command(line, block.line + offset, delivered, root)
        if effect is not None:
            effects.append(effect)
        else:
            left.append((f"run yourself: `{line}`", block.line + offset))
    return effects, left


def _command(line: str, number: int, delivered: set[str], root: Path) -> Effect | None:
    if _META.search(line):
        return None
    try:
        words = shlex.split(line)
    except ValueError:
        return None
    if len(words) < 2 or not re.fullmatch(r"python3?(\.\d+)?", words[0]):
        return None
    path, options = str(PurePosixPath(words[1])), words[2:]
    if path not in delivered or not path.endswith(".py"):
        return None
    if any(option not in _OPTIONS for option in options):
        return None
    shown = " ".join([f"`{path}`", *options])
    inputs = (path, *closure(root, path))
    return Effect("script.run", f"run {shown}", inputs, {"options": options}, line=number)


def _sql(block: Block) -> tuple[list[Effect], list[tuple[str, int]]]:
    tables = _selected(block.text)
    if tables is None:
        return [], [
            (f"run yourself, this SQL writes:\n```sql\n{block.text.rstrip()}\n```", block.line)
        ]
    title = f"count {', '.join(f'`{t}`' for t in tables)}" if tables else "read-only query"
    effect = Effect(
        "sql.count",
        title,
        arguments={"sql": block.text, "tables": list(tables)},
        read_only=True,
        line=block.line,
    )
    return [effect], []


def _selected(sql: str) -> tuple[str, ...] | None:
    """The tables that plain SELECTs read, or None where anything else is asked for."""
    import pglast
    from pglast.visitors import Visitor

    try:
        statements = pglast.parse_sql(sql)
    except pglast.parser.ParseError:
        return None
    names: list[str] = []

    class Reads(Visitor):
        def visit_RangeVar(self, _: Any, node: Any) -> None:  # noqa: N802 - pglast's naming
            schema = f"{node.schemaname}." if node.schemaname not in (None, "public") else ""
            names.append(f"{schema}{node.relname}")

    for raw in statements:
        statement: Any = raw.stmt
        if type(statement).__name__ != "SelectStmt":
            return None
        if statement.intoClause or statement.lockingClause:
            return None
    Reads()(statements)
    return tuple(dict.fromkeys(names))


# -- targets ---------------------------------------------------------------------------------


@runner_opener
def open_target(name: str, root: Path, settings: Mapping[str, Any]) -> Runner:
    """The runner of effects on a target. Raises TargetError for missing variables."""
    return TargetRunner(name, root, settings)
