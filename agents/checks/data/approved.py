"""Whether the target is, after the effects, what was shown and approved before them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from orchestrate_agents.checks.data.arrivals import loads_of
from orchestrate_agents.effect_runner import EffectKind
from orchestrate_agents.sql.arrivals import Query, compare_arrival
from orchestrate_agents.sql.migration_series import read_sql
from orchestrate_agents.sql.on_target import (
    Approved,
    Step,
    approved_state,
    catalog_of,
    target_differences,
)
from orchestrate_agents.sql.prerequisites import prerequisite_sql
from orchestrate_agents.sql.scratch import scratch
from orchestrate_backend.csv_rows import CsvError
from orchestrate_backend.errors import BackendError, TargetError
from orchestrate_backend.targets.base import Target
from orchestrate_backend.targets.choose import choose_target
from orchestrator.gates.checks import (
    Context,
    Phase,
    Result,
    Verdict,
    check,
    failed,
    proven,
    unproven,
)

_LISTED = 6

Records = list[Mapping[str, Any]]


@check(
    "[the] target (is|holds|matches|equals) what was approved",
    name="target.as-approved",
    phase=Phase.EFFECT,
    examples=("The target is what was approved",),
)
def target_is_as_approved(ctx: Context) -> Result:
    """Tables, columns, keys, policies, triggers, grants and loaded rows of the target itself."""
    if ctx.target is None:
        return Result(Verdict.PENDING, "compared on the target, after the effects")
    done = [r for r in ctx.history if r.get("type") == "effect" and r.get("ok")]
    migrations: dict[str, Mapping[str, Any]] = {}
    for record in (r for r in done if r.get("kind") in (EffectKind.APPLY, EffectKind.PREREQUISITE)):
        migrations.update((path, record) for path in record["inputs"])
    texts = {path: _bytes_of(ctx, path, record) for path, record in migrations.items()}
    if lost := [path for path, text in texts.items() if text is None]:
        return unproven(f"the approved bytes of {', '.join(lost)} are not at hand any more", *lost)
    sql = {path: text for path, text in texts.items() if text is not None}
    approved = approved_state(ctx.services, _steps(ctx, sql))
    if approved.blocked:
        return unproven(f"what was approved cannot be made to compare with: {approved.blocked}")
    try:
        if ctx.target.name == "supabase":
            return _judge_by_rest(ctx, approved, tuple(sql))
        wrong, doubtful = _compare(ctx, approved, done)
    except BackendError as exc:
        return unproven(f"the target cannot be asked: {exc}")
    for problems, verdict in ((wrong, failed), (doubtful, unproven)):
        if problems:
            more = f"; and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
            said = f"{ctx.target.describe()}: {'; '.join(problems[:_LISTED])}{more}"
            return verdict(said, *sql, problems=problems[:100])
    tables = ", ".join(approved.tables) or "no table"
    said = f"looked at the target itself, {ctx.target.describe()}: {tables} and "
    said += f"{len(approved.made)} entries of its catalog are as they are on {approved.base}"
    return proven(said, *sql, entries=len(approved.made))


def _bytes_of(ctx: Context, path: str, record: Mapping[str, Any]) -> str | None:
    """The approved text of a file: from its frozen copy, or from the workspace if it is that."""
    frozen = Path(".orchestrate") / "state" / "frozen" / str(record.get("digest", ""))[:32] / path
    for place in (str(frozen), path):
        file = ctx.path(place)
        data = file.read_bytes() if file.is_file() else b""
        if hashlib.sha256(data).hexdigest() == record["inputs"][path]:
            return data.decode("utf-8-sig", "replace")
    return None


def _steps(ctx: Context, texts: Mapping[str, str]) -> tuple[Step, ...]:
    """Migrations by path, in order, each behind what it builds on."""
    steps: dict[str, Step] = {}
    for path, text in texts.items():
        for name, earlier in prerequisite_sql(ctx.root, path, ctx.workflow).items():
            if not _is_among(name, texts):
                steps.setdefault(name, (name, earlier, False))
        steps[path] = (path, text, True)
    return tuple(steps.values())


def _is_among(name: str, paths: Mapping[str, str]) -> bool:
    return any(name in (path, Path(path).name) for path in paths)


def _compare(ctx: Context, approved: Approved, done: Records) -> tuple[list[str], list[str]]:
    """What differs on a target that can be asked, and what cannot be determined."""
    query: Query = ctx.target.query_readonly
    scripts = [r for r in done if r.get("kind") == EffectKind.SCRIPT]
    applied = [r for r in done if r not in scripts]
    changes = [line for r in applied for line in r["figures"].get("catalog", ())]
    wrong = list(target_differences(approved, query, changes, rows=not scripts))
    doubtful = []
    for record in scripts:
        script = next(iter(record["inputs"]), "")
        for sign, kind, name, _ in record["figures"].get("catalog", ()):
            doubtful.append(f"{script} {'made' if sign == '+' else 'removed'} {kind} {name}")
        if "--dry-run" not in record["title"] and "--small" not in record["title"]:
            for differs, text in _compare_loads(ctx, script, record["inputs"]):
                (wrong if differs else doubtful).append(text)
    return list(dict.fromkeys(wrong)), list(dict.fromkeys(doubtful))


def _compare_loads(
    ctx: Context, script: str, inputs: Mapping[str, str]
) -> Iterator[tuple[bool, str]]:
    """(whether it surely differs, what) of the files that a script loads."""
    import psycopg
    from psycopg.rows import dict_row

    try:
        loads = loads_of(ctx, script)
    except CsvError as exc:
        yield False, str(exc)
        return
    with scratch(ctx.services).database() as database, closing(
        psycopg.connect(database.uri, autocommit=True, row_factory=dict_row)
    ) as admin:  # fmt: skip

        def here(sql: str) -> list[dict[str, Any]]:
            return admin.execute(sql.encode()).fetchall()

        for load in loads:
            data = ctx.path(load.path).read_bytes()
            if hashlib.sha256(data).hexdigest() != inputs.get(load.path):
                yield False, f"{load.path} is not the approved one any more"
                continue
            there = ctx.target.query_readonly
            found = compare_arrival(here, there, load.table, load.header, load.records)
            yield from ((True, f"{load.path}: {text}") for text in found.differing)
            yield from ((False, f"{load.path}: {text}") for text in found.doubtful)


def _judge_by_rest(ctx: Context, approved: Approved, paths: tuple[str, ...]) -> Result:
    """What the REST interface shows; the rest was left to USER before the approval."""
    wanted: dict[str, dict[str, str]] = {table: {} for table in approved.tables}
    for kind, name, definition in approved.made:
        table, _, column = name.rpartition(".")
        if kind == "column" and table in wanted:
            wanted[table][column] = definition
    wrong = []
    for table, columns in wanted.items():
        try:
            there = {column.name for column in ctx.target.columns(table)}
        except BackendError as exc:
            wrong.append(str(exc))
            continue
        wrong += [f"{table} has no column {name}" for name in columns if name not in there]
        more = sorted(there - columns.keys())
        wrong += [f"{table} has a column {name}, which was not approved" for name in more]
    if wrong:
        return failed(f"{ctx.target.describe()}: {'; '.join(wrong[:_LISTED])}", *paths)
    said = "through REST only names of columns can be seen, and they are as approved; types, keys,"
    said += " policies, triggers and grants of the target are what USER pasted and attested"
    return proven(said, *paths)


# -- before it is approved -------------------------------------------------------------------------


def find_applied(ctx: Context, paths: Sequence[str]) -> Result:
    """Whether the target has already what migrations make: failed, unproven, or proven if not.

    Asks the configured target, and reads only.
    """
    name = str(ctx.settings.get("database", {}).get("target", "embedded"))
    if name == "embedded" and not (ctx.root / ".orchestrate/postgres/PG_VERSION").is_file():
        return proven("the workspace's own server does not exist yet, so nothing is on it")
    texts = {p: read_sql(ctx.path(p)) for p in paths if ctx.path(p).is_file()}
    if not texts:
        return unproven(f"no migration is there to ask the target ({name}) for")
    approved = approved_state(ctx.services, _steps(ctx, texts))
    if approved.blocked:
        return unproven(f"what it would make is not known: {approved.blocked}")
    try:
        with closing(choose_target(name, os.environ, ctx.root)) as target:
            there, lacking = _look_up(target, approved)
            where = target.describe()
    except BackendError as exc:
        return unproven(f"the target ({name}) cannot be asked: {exc.message}")
    if there and not lacking:
        return failed(f"{where} has all that it makes: {', '.join(there[:_LISTED])}", *texts)
    if there:
        said = f"{where} has some of what it makes: {', '.join(there[:_LISTED])}"
        return unproven(f"{said}; not: {', '.join(lacking[:_LISTED])}", *texts)
    if not lacking:
        return unproven("it changes nothing in a catalog, so no target shows it", *texts)
    return proven(f"{where} has nothing of what it makes", *texts)


def _look_up(target: Target, approved: Approved) -> tuple[list[str], list[str]]:
    """What of the approved SQL is on a target, and what is not."""
    there, lacking = [], []
    if target.name == "supabase":
        for table in approved.tables:
            try:
                target.columns(table)
            except TargetError as exc:
                if exc.code != "table-missing":
                    raise
                lacking.append(f"table {table}")
            else:
                there.append(f"table {table}")
        return there, lacking
    catalog = set(catalog_of(target.query_readonly))
    names = {(kind, name) for kind, name, _ in catalog}
    for kind, name, definition in approved.made:
        # an owner or a default privilege may differ between servers
        exact = kind in ("table", "view", "sequence", "grant", "function", "extension")
        found = (kind, name) in names if exact else (kind, name, definition) in catalog
        if kind != "grant":
            (there if found else lacking).append(f"{kind} {name}")
    return there, lacking
