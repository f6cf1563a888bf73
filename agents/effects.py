"""Effects that are known here: apply a migration, run a seed script, count tables (DESIGN 4.3).

Nothing of a workflow is ever given to a shell: a fenced line is split into words, and binds only if
it runs a delivered script with options from a short list. The rest is shown to USER.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from orchestrate_agents.effect_runner import TargetRunner
from orchestrate_agents.sandbox.import_closure import closure
from orchestrate_agents.sql.groundwork import groundwork
from orchestrator.approvals.effects import Bound, Effect, Runner, effect_binder, runner_opener
from orchestrator.domain.workflow import Block, Stage, Workflow
from orchestrator.errors import UnsafePathError
from orchestrator.storage.atomic import inside

_SHELLS = ("bash", "sh", "shell", "console", "zsh", "")
_OPTIONS = ("--dry-run", "--offline", "--all-conditions", "--small")
_APPLY = re.compile(r"\b(execute|apply|run|deploy)\b", re.IGNORECASE)
_SQL_PATH = re.compile(r"`([^`\s]+\.sql)`")
#: a sentence that does not tell to do it now
_HINDERED = re.compile(
    r"\b(?:not|never|without|unless|before|until|don['’]t|no longer|instead of)\b", re.IGNORECASE
)
_THE_MIGRATION = re.compile(
    r"(?:execute|apply|run|deploy) the (?:approved )?migration(?: file| script| SQL)?\.?",
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


@effect_binder
def bind(stage: Stage, workflow: Workflow, root: Path) -> Bound:
    """The effects of a checkpoint in the order of its text, and what is left to USER."""
    delivered = [d.path for _, d in workflow.deliverables if _inside(root, d.path)]
    effects: list[Effect] = []
    by_user: list[tuple[str, int]] = []
    for line, thing in _in_order(stage):
        if isinstance(thing, Block):
            bound, left = _block(thing, delivered, root)
            effects += bound
            by_user += left
        else:
            asked = _applications(thing, line, delivered, root)
            effects += asked
            if not asked and not _introduces(thing):
                by_user.append((thing.strip(), line))
    effects = list(_with_repeats(effects, delivered, root))
    if all(e.read_only for e in effects):
        # looking at a database changes nothing, so it is no reason to ask for one
        by_user += [(f"look: {e.title}", e.line) for e in effects]
        effects = []
    return Bound(tuple(effects), tuple(by_user))


def _with_repeats(
    effects: Sequence[Effect], delivered: Sequence[str], root: Path
) -> Iterator[Effect]:
    """A script that is run a second time in the same way says which rows that changes."""
    seen: set[str] = set()
    for effect in effects:
        if effect.kind == "script.run" and effect.title in seen:
            arguments = {**effect.arguments, "tables": _tables(delivered, root)}
            yield replace(effect, title=f"{effect.title} again", arguments=arguments)
        else:
            yield effect
        seen.add(effect.title)


def _tables(delivered: Sequence[str], root: Path) -> list[str]:
    """The tables that the delivered SQL files make."""
    from orchestrate_agents.sql.migration_series import read_sql
    from orchestrate_agents.sql.parse import SqlError, tables_of

    found: dict[str, None] = {}
    for file in (inside(root, path) for path in delivered if path.endswith(".sql")):
        with contextlib.suppress(SqlError):
            tables = tables_of(read_sql(file)) if file.is_file() else ()
            found.update((table.qualified, None) for table in tables)
    return list(found)


def _in_order(stage: Stage) -> list[tuple[int, Block | str]]:
    stated = {s.line for s in stage.statements}
    things: list[tuple[int, Block | str]] = [(b.line, b) for b in stage.blocks]
    things += [(line, text) for line, text in stage.items if line not in stated]
    return sorted(things, key=lambda pair: pair[0])


def _introduces(text: str) -> bool:
    """A label or a sentence that only leads to the block or the list below it."""
    bare = text.strip()
    return bare.strip("*").rstrip().endswith(":") or (bare.startswith("**") and bare.endswith("**"))


# -- applying a migration --------------------------------------------------------------------


def _applications(text: str, line: int, delivered: Sequence[str], root: Path) -> list[Effect]:
    """What an item asks to apply; nothing if any file of it is no delivered migration."""
    verb = _APPLY.search(text)
    if verb is None or _HINDERED.search(text):
        return []
    paths = list(dict.fromkeys(_SQL_PATH.findall(text)))
    if not paths and _THE_MIGRATION.fullmatch(text.strip()):
        only = [path for path in delivered if path.endswith(".sql")]
        paths = only if len(only) == 1 else []
    if any(path not in delivered for path in paths):
        return []
    return [effect for path in paths for effect in _application(path, line, delivered, root)]


def _application(path: str, line: int, delivered: Sequence[str], root: Path) -> Iterator[Effect]:
    """The migration's effect, behind those that put what it builds on in place."""
    for base in groundwork(root, path, without=delivered):
        names = ", ".join(f"`{t.removeprefix('public.')}`" for t in base.tables)
        title = f"have {names} of `{base.path}` in place"
        yield Effect("sql.base", title, (base.path,), {"tables": list(base.tables)}, line=line)
    yield Effect("sql.apply", f"apply `{path}`", (path,), line=line)


# -- fenced blocks ---------------------------------------------------------------------------


def _block(
    block: Block, delivered: Sequence[str], root: Path
) -> tuple[list[Effect], list[tuple[str, int]]]:
    language = block.language.lower()
    if language in _SQL:
        return _sql(block)
    if language not in _SHELLS:
        return [], []
    if any(_STRUCTURE.search(line) for line in block.text.splitlines()):
        # what a line does depends on the lines around it
        return [], [(f"run yourself:\n```{language}\n{block.text.rstrip()}\n```", block.line)]
    effects, left = [], []
    for number, line in _commands(block):
        effect = _command(line, number, delivered, root)
        if effect is not None:
            effects.append(effect)
        else:
            left.append((f"run yourself: `{line}`", number))
    return effects, left


def _commands(block: Block) -> Iterator[tuple[int, str]]:
    """(line, command) of a block; where some lines have a prompt, the others are output."""
    lines = [(block.line + n, raw.strip()) for n, raw in enumerate(block.text.splitlines(), 1)]
    prompted = [(n, line.removeprefix("$ ")) for n, line in lines if line.startswith("$ ")]
    for number, line in prompted or lines:
        if line and not line.startswith("#") and not _STOPS_AT_FAULTS.fullmatch(line):
            yield number, line


def _command(line: str, number: int, delivered: Sequence[str], root: Path) -> Effect | None:
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
    if any(option not in _OPTIONS for option in options):
        return None
    shown = " ".join([f"`{path}`", *options])
    inputs = (path, *closure(root, path))
    return Effect("script.run", f"run {shown}", inputs, {"options": options}, line=number)


def _sql(block: Block) -> tuple[list[Effect], list[tuple[str, int]]]:
    from orchestrate_agents.sql.read_only import reading

    read = reading(block.text)
    if read.refused:
        shown = f"```sql\n{block.text.rstrip()}\n```"
        return [], [(f"run yourself, since {read.refused}:\n{shown}", block.line)]
    tables = list(read.tables)
    title = f"count {', '.join(f'`{t}`' for t in tables)}" if tables else "read-only query"
    arguments = {"sql": block.text, "tables": tables}
    effect = Effect("sql.count", title, arguments=arguments, read_only=True, line=block.line)
    return [effect], []


def _inside(root: Path, path: str) -> bool:
    try:
        inside(root, path)
    except UnsafePathError:
        return False
    return True


# -- targets ---------------------------------------------------------------------------------


@runner_opener("embedded", "postgres", "supabase")
def open_target(name: str, root: Path, settings: Mapping[str, Any]) -> Runner:
    """The runner of effects on a target. Raises TargetError for missing variables."""
    return TargetRunner(name, root, settings)
