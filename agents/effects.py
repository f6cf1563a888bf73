"""Binds a checkpoint's text to effects: apply a migration, run a script, count rows (DESIGN 4.3).

No text of a workflow is passed to a shell: a fenced line is split into words and binds only if it
runs a delivered script with options from a short list. USER is shown the rest.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from orchestrate_agents.effect_runner import EffectKind, TargetRunner
from orchestrate_agents.script_settings import known_flags
from orchestrator.approvals.effects import (
    Bound,
    Effect,
    EffectForm,
    Runner,
    describe_effects,
    effect_binder,
    runner_opener,
)
from orchestrator.domain.workflow import Block, Stage, Workflow
from orchestrator.errors import UnsafePathError
from orchestrator.storage.atomic import inside

_SHELLS = ("bash", "sh", "shell", "console", "zsh", "")
#: flags that any script may be given; plug-ins know more
_FLAGS = ("--dry-run", "--small")
_APPLY = re.compile(r"\b(execute|apply|run|deploy)\b", re.IGNORECASE)
_SQL_PATH = re.compile(r"`([^`\s]+\.sql)`")
#: a sentence that does not ask to do it now
_HINDERED = re.compile(
    r"\b(?:not|never|without|unless|before|until|don['’]t|no longer|instead of)\b", re.IGNORECASE
)
_THE_MIGRATION = re.compile(
    r"(?:execute|apply|run|deploy) the (?:approved )?migration(?: file| script| SQL)?\.?",
    re.IGNORECASE,
)
_TICKED = r"`[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?`"
_COUNT = re.compile(
    r"count (?:all )?(?:the )?(?:(?:rows|records) )?(?:(?:of|in) )?(?:the )?(?:tables? )?"
    rf"(?P<tables>{_TICKED}(?:(?:, and |, | and ){_TICKED})*)(?: (?:rows|records|tables?))?\.?",
    re.IGNORECASE,
)
_SQL = ("sql", "postgres", "postgresql", "pgsql", "psql")
#: shell lines that change what the lines around them mean
_STRUCTURE = re.compile(
    r"<<|\\\s*$|[{(]\s*$|^\s*[})]|^\s*(?:if|then|else|elif|fi|for|while|until|do|done|case|esac|"
    r"select|function|cd|pushd|popd|exit|return|alias|exec|trap|shopt|break|continue)\b"
)
_STOPS_AT_FAULTS = re.compile(r"set -[eux]+(?:o pipefail)?")
_META = re.compile(r"[|;&<>$`\\(){}*?!\n]")


describe_effects(
    EffectForm(
        EffectKind.APPLY,
        "Apply a delivered migration on the target.",
        (
            "(execute|apply|run|deploy) … `PATH.sql`",
            "(execute|apply|run|deploy) the [approved] migration [(file|script|SQL)]",
        ),
        ("Execute `migrations/004_hours.sql`", "Apply the approved migration"),
        repeatable_by=("sql.idempotent",),
    ),
    EffectForm(
        EffectKind.PREREQUISITE,
        "Have the tables of an earlier migration in place, before one that refers to them.",
        ("follows from applying a migration",),
        repeatable=True,
    ),
    EffectForm(
        EffectKind.SCRIPT,
        "Run a delivered script with the workspace's Python.",
        (f"a line of a fenced bash block: python PATH.py [{'] ['.join(_FLAGS)}]",),
        ("python scripts/seed_hours.py --small",),
        repeatable_by=("python.rerun", "python.idempotent-seeding"),
    ),
    EffectForm(
        EffectKind.COUNT,
        "Count rows on the target, or look at them; nothing is changed.",
        (
            "count [the] [(rows|records)] [(of|in)] `TABLE` [, `TABLE` and `TABLE`] [rows]",
            "a fenced sql block with one SELECT",
        ),
        ("Count `orders`", "Count the rows of `orders` and `customers`"),
    ),
)


@effect_binder
def bind(stage: Stage, workflow: Workflow, root: Path) -> Bound:
    """The effects of a checkpoint in the order of its text, and what is left to USER."""
    delivered = [d.path for _, d in workflow.deliverables if _is_inside(root, d.path)]
    stated = {s.line for s in stage.statements}
    parts: list[tuple[int, Block | str]] = [(b.line, b) for b in stage.blocks]
    parts += [(line, text) for line, text in stage.items if line not in stated]
    effects: list[Effect] = []
    by_user: list[tuple[str, int]] = []
    for line, part in sorted(parts, key=lambda pair: pair[0]):
        if isinstance(part, Block):
            bound, left = _bind_block(part, delivered, root)
        else:
            bound, left = _bind_applications(part, line, delivered, root), []
            bound = bound or _bind_count(part, line)
            if not bound and not _introduces(part):
                left = [(part.strip(), line)]
        effects += bound
        by_user += left
    effects = _mark_repeats(effects, delivered, root)
    if all(e.read_only for e in effects):
        # looking at a database changes nothing, so it is no reason to ask for one
        by_user += [(f"look: {e.title}", e.line) for e in effects]
        effects = []
    return Bound(tuple(effects), tuple(by_user))


def _is_inside(root: Path, path: str) -> bool:
    try:
        inside(root, path)
    except UnsafePathError:
        return False
    return True


def _introduces(text: str) -> bool:
    """Whether it is a label or a sentence that leads to the block or list below it."""
    bare = text.strip()
    return bare.strip("*").rstrip().endswith(":") or (bare.startswith("**") and bare.endswith("**"))


def _mark_repeats(effects: Sequence[Effect], delivered: Sequence[str], root: Path) -> list[Effect]:
    """A script that is run a second time in the same way reports which rows that changes."""
    from orchestrate_agents.sql.migration_series import read_sql
    from orchestrate_agents.sql.parse import SqlError, tables_of

    seen: set[str] = set()
    marked = []
    for effect in effects:
        if effect.kind == EffectKind.SCRIPT and effect.title in seen:
            tables: dict[str, None] = {}
            for file in (inside(root, path) for path in delivered if path.endswith(".sql")):
                with contextlib.suppress(SqlError):
                    declared = tables_of(read_sql(file)) if file.is_file() else ()
                    tables.update((table.qualified, None) for table in declared)
            arguments = {**effect.arguments, "tables": list(tables)}
            marked.append(replace(effect, title=f"{effect.title} again", arguments=arguments))
        else:
            marked.append(effect)
        seen.add(effect.title)
    return marked


def _bind_applications(text: str, line: int, delivered: Sequence[str], root: Path) -> list[Effect]:
    """The migrations that an item asks to apply; none if it names a file that is not delivered."""
    if not _APPLY.search(text) or _HINDERED.search(text):
        return []
    paths = list(dict.fromkeys(_SQL_PATH.findall(text)))
    if not paths and _THE_MIGRATION.fullmatch(text.strip()):
        only = [path for path in delivered if path.endswith(".sql")]
        paths = only if len(only) == 1 else []
    if any(path not in delivered for path in paths):
        return []
    from orchestrate_agents.sql.prerequisites import prerequisites

    effects = []
    for path in paths:
        for base in prerequisites(root, path, without=delivered):
            names = ", ".join(f"`{t.removeprefix('public.')}`" for t in base.tables)
            title = f"have {names} of `{base.path}` in place"
            tables = {"tables": list(base.tables)}
            effects.append(Effect(EffectKind.PREREQUISITE, title, (base.path,), tables, line=line))
        effects.append(Effect(EffectKind.APPLY, f"apply `{path}`", (path,), line=line))
    return effects


def _bind_count(text: str, line: int) -> list[Effect]:
    """The count of the tables that an item asks for."""
    match = _COUNT.fullmatch(text.strip())
    if match is None:
        return []
    tables = tuple(dict.fromkeys(re.findall(r"`([^`]+)`", match["tables"])))
    parts = []
    for table in tables:
        name = ".".join(f'"{part}"' for part in table.split("."))
        parts.append(f"SELECT '{table}' AS name, count(*) AS rows FROM {name}")  # noqa: S608 - names
    sql = " UNION ALL ".join(parts)
    title = f"count {', '.join(f'`{table}`' for table in tables)}"
    arguments = {"sql": sql, "tables": list(tables)}
    return [Effect(EffectKind.COUNT, title, (), arguments, read_only=True, line=line)]


def _bind_block(
    block: Block, delivered: Sequence[str], root: Path
) -> tuple[list[Effect], list[tuple[str, int]]]:
    language, text = block.language.lower(), block.text.rstrip()
    if language in _SQL:
        return _bind_query(block)
    if language not in _SHELLS:
        return [], []
    if any(_STRUCTURE.search(line) for line in block.text.splitlines()):
        # what a line does depends on the lines around it
        return [], [(f"run yourself:\n```{language}\n{text}\n```", block.line)]
    lines = [(block.line + n, raw.strip()) for n, raw in enumerate(block.text.splitlines(), 1)]
    # where some lines have a prompt, the others are output
    prompted = [(n, line.removeprefix("$ ")) for n, line in lines if line.startswith("$ ")]
    effects, left = [], []
    for number, line in prompted or lines:
        if not line or line.startswith("#") or _STOPS_AT_FAULTS.fullmatch(line):
            continue
        effect = _bind_command(line, number, delivered, root)
        if effect is not None:
            effects.append(effect)
        else:
            left.append((f"run yourself: `{line}`", number))
    return effects, left


def _bind_command(line: str, number: int, delivered: Sequence[str], root: Path) -> Effect | None:
    """`python SCRIPT [FLAG …]` with a delivered script; None for everything else."""
    if _META.search(line):
        return None
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return None
    if len(words) < 2 or not re.fullmatch(r"python3?(\.\d+)?", words[0]):
        return None
    path, options = str(PurePosixPath(words[1])), words[2:]
    if path not in delivered or not path.endswith(".py"):
        return None
    if not {*options} <= {*_FLAGS, *known_flags()}:
        return None
    from orchestrate_agents.sandbox.import_closure import closure

    title = " ".join(["run", f"`{path}`", *options])
    inputs = (path, *closure(root, path))
    return Effect(EffectKind.SCRIPT, title, inputs, {"options": options}, line=number)


def _bind_query(block: Block) -> tuple[list[Effect], list[tuple[str, int]]]:
    from orchestrate_agents.sql.read_only import tables_read

    read = tables_read(block.text)
    if read.refused:
        shown = f"```sql\n{block.text.rstrip()}\n```"
        return [], [(f"run yourself, since {read.refused}:\n{shown}", block.line)]
    tables = list(read.tables)
    title = f"count {', '.join(f'`{t}`' for t in tables)}" if tables else "read-only query"
    arguments = {"sql": block.text, "tables": tables}
    return [Effect(EffectKind.COUNT, title, (), arguments, read_only=True, line=block.line)], []


class _ForeseeingRunner(TargetRunner):
    """A runner that also knows what the effects will load."""

    def foresee(self, effects: Sequence[Effect]) -> tuple[Any, Any] | None:
        from orchestrate_agents.review.forecast import foresee_target

        return foresee_target(self, effects)


@runner_opener("embedded", "postgres", "supabase")
def open_target(name: str, root: Path, settings: Mapping[str, Any]) -> Runner:
    """The runner of effects on a target. Raises TargetError for missing variables."""
    return _ForeseeingRunner(name, root, settings)
