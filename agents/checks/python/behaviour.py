"""Checks of Python programs: syntax, handled calls, de-duplication, batches, missing input."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from orchestrate_agents.checks.code_subjects import (
    Programs,
    delivered,
    existing,
    resolve,
)
from orchestrate_agents.checks.python.exception_handlers import Handling, OutsideCall, outside_calls
from orchestrate_agents.checks.python.scopes import read_program
from orchestrate_agents.checks.sql.specified_schema import schema_sql
from orchestrate_agents.sandbox.client import (
    IdempotencyTrial,
    create_schema,
    read_contents,
    run_idempotency_trial,
    shared_sandboxes,
)
from orchestrate_agents.sandbox.runs import Run, tree_copy, tree_digest
from orchestrate_agents.sql.scratch import scratch
from orchestrator.gates.checks import Context, Result, Verdict, check, failed, proven, unproven
from orchestrator.storage.atomic import sha256_bytes

_MAX_LISTED = 5


@check(
    "{path:path} (has|have|contains) no [Python] syntax errors",
    "{path:path} (compiles|is valid Python|parses as Python|has valid Python syntax)",
    "{paths:paths} (compile|are valid Python|parse as Python|have valid Python syntax)",
    name="python.syntax",
    examples=(
        "`backend/scripts/seed_benchmark_trials.py` has no Python syntax errors",
        "`tools/load.py` compiles",
    ),
)
def has_valid_syntax(ctx: Context, path: str = "", paths: tuple[str, ...] = ()) -> Result:
    """The files are compiled by Python itself."""
    wanted = paths or (path,)
    others = [p for p in wanted if not p.endswith(".py")]
    if others:
        return unproven(f"{', '.join(others)}: no Python", *wanted)
    missing = [p for p in wanted if not ctx.path(p).is_file()]
    if missing:
        return failed(f"{', '.join(missing)} is missing", *wanted)
    problems = [p + problem for p in wanted if (problem := syntax_problem(ctx.path(p)))]
    if problems:
        return failed("; ".join(problems), *wanted)
    lines = sum(len(ctx.path(p).read_bytes().splitlines()) for p in wanted)
    return proven(f"{', '.join(wanted)} compiles ({lines} lines)", *wanted)


def syntax_problem(file: Path) -> str:
    """`:line: message` of the first syntax error, or ""."""
    try:
        compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
    except SyntaxError as exc:
        return f":{exc.lineno or 1}: {exc.msg}"
    except ValueError as exc:  # a NUL byte in the source
        return f": {exc}"
    return ""


@check(
    "{programs:programs} (has|have|use|uses) (try/catch|try/except|error handling) around "
    "[all|its|the|their|every] (API|network|database|DB|API/DB|API and database) (calls|call)",
    "{programs:programs} (wrap|wraps) [all|its|the|their|every] "
    "(API|network|database|DB|API/DB) (calls|call) in (try/catch|try/except)",
    "{path:path} (has|uses) (try/catch|try/except|error handling) around "
    "[all|its|the|every] (API|network|database|DB|API/DB|API and database) (calls|call)",
    name="python.handled",
    version=2,
    slow=True,
    examples=("Python seed script has try/catch around API calls",),
)
def calls_are_handled(ctx: Context, programs: tuple[Programs, ...] = (), path: str = "") -> Result:
    """Every call to the network or a database stands in a handler that does not swallow."""
    paths = [path] if path else []
    for phrase in programs:
        found = resolve(ctx, phrase)
        if isinstance(found, Result):
            return found
        paths.extend(p for p in found if p.endswith(".py"))
    return handled(ctx, paths)


def handled(ctx: Context, paths: Iterable[str]) -> Result:
    """The verdict on every outside call of these Python programs."""
    wanted = tuple(dict.fromkeys(paths))
    files = existing(ctx, wanted)
    if isinstance(files, Result):
        return files
    calls: list[OutsideCall] = []
    for path, file in zip(wanted, files, strict=True):
        try:
            calls.extend(_outside_calls(ctx, path, file))
        except (SyntaxError, UnicodeDecodeError) as exc:
            return failed(f"{file.name} cannot be parsed: {exc}", *wanted)
    calls = list(dict.fromkeys(calls))
    if not calls:
        return unproven("no call to a network or database library is recognised", *wanted)
    bad = [call for call in calls if call.handling is not Handling.HANDLED]
    if bad:
        shown = "; ".join(map(str, bad[:_MAX_LISTED]))
        return failed(f"{len(bad)} of {len(calls)} calls: {shown}", *wanted)
    blithe = [path for path in wanted if succeeds_without_its_database(ctx, path)]
    if blithe:
        said = f"{', '.join(blithe)}: ends with success though the database refuses every write"
        return failed(said, *wanted)
    return proven(f"all {len(calls)} calls to network and database are handled", *wanted)


def _outside_calls(ctx: Context, path: str, file: Path) -> list[OutsideCall]:
    key = ("outside-calls", path, tree_digest(ctx.services, ctx.root, (".py",)))
    return ctx.services.remember(
        key, list[OutsideCall], lambda: outside_calls(ctx.root.resolve(), file)
    )


def succeeds_without_its_database(ctx: Context, path: str) -> bool:
    """Whether a script that writes rows ends with exit code 0 where it cannot write any."""
    refused = trial_of(ctx, path).refused
    return refused is not None and refused.run.ok


def trial_of(ctx: Context, path: str) -> IdempotencyTrial:
    """The script's two runs, made once for the bytes that it takes in and the tables it fills.

    Raises SandboxError if the tables cannot be made.
    """

    def make() -> IdempotencyTrial:
        libraries, schema = _libraries(ctx, path), tuple(schema_sql(ctx))
        return run_idempotency_trial(
            ctx.services, ctx.root, path, schema=schema, libraries=libraries
        )

    return ctx.services.remember(("seed-trial", *_trial_key(ctx, path)), IdempotencyTrial, make)


def _trial_key(ctx: Context, path: str) -> tuple[Any, ...]:
    """What a trial depends on: every file that the script could read, and the tables."""
    return (
        path,
        tree_digest(ctx.services, ctx.root),
        sha256_bytes("\0".join(schema_sql(ctx)).encode()),
    )


def _libraries(ctx: Context, path: str) -> set[str]:
    """Top-level packages that the script and the workspace's modules below it import."""
    try:
        sources = read_program(ctx.root.resolve(), ctx.path(path))
    except (SyntaxError, UnicodeDecodeError):
        return set()
    return {name.partition(".")[0] for source in sources for name in source.origins}


@check(
    "[{programs:programs}] (deduplicates|deduplicate|de-duplicates|dedupes) (on|by) {column:name} "
    "[before (upsert|upserting|insert|inserting|writing|the upsert)]",
    "[{programs:programs}] (send|sends|upsert|upserts) each {column:name} once",
    name="python.deduplicates",
    version=2,
    slow=True,
    examples=("Python seed script deduplicates on `nct_id` before upsert",),
)
def deduplicates(ctx: Context, column: str, programs: tuple[Programs, ...] = ()) -> Result:
    """Run against a registry that repeats studies: no key is sent twice."""
    paths = _writers_of(ctx, column, programs)
    if isinstance(paths, Result):
        return paths
    details = []
    for path in paths:
        visit = trial_of(ctx, path).first
        run = visit.run
        sent = [row.get(column) for _, rows in visit.writes for row in rows if column in row]
        if not sent:
            return _silent(ctx, path, run, f"no row with {column} was written")
        repeated = len(sent) - len(set(map(str, sent)))
        if repeated:
            return failed(
                f"{path} sent {len(sent)} rows, {repeated} of them again with the same {column}",
                path,
                **run.to_dict(),
            )
        details.append(f"{path} sent {len(sent)} rows, each {column} once")
    return proven(f"{'; '.join(details)} (the source repeats records across pages)", *paths)


def _silent(ctx: Context, path: str, run: Run, what: str) -> Result:
    """A run that wrote nothing: nothing is known only while data for it has yet to come."""
    if run.code == 0 and _awaits_data(ctx):
        return unproven(f"{path}: {what} in a trial run", path, **run.to_dict())
    return failed(f"{path}: {what} ({run.ending})", path, **run.to_dict())


def _awaits_data(ctx: Context) -> bool:
    """Whether a data file that the workflow has delivered is not there yet."""
    every = ctx.workflow.deliverables if ctx.workflow else ()
    named = [d.path for _, d in every if d.path.lower().endswith((".csv", ".tsv", ".jsonl"))]
    return any(not ctx.path(path).is_file() for path in named)


def _writers_of(
    ctx: Context, column: str, programs: tuple[Programs, ...]
) -> tuple[str, ...] | Result:
    """The Python programs among those meant that name the column."""
    paths: tuple[str, ...] = () if programs else delivered(ctx, (".py",))
    for phrase in programs:
        found = resolve(ctx, phrase)
        if isinstance(found, Result):
            return found
        paths = (*paths, *(p for p in found if p.endswith(".py")))
    files = existing(ctx, paths)
    if isinstance(files, Result):
        return files
    naming = tuple(
        path for path, file in zip(paths, files, strict=True) if _mentions(ctx, file, column)
    )
    return naming or failed(f"no delivered Python program has a column {column}", *paths)


def _mentions(ctx: Context, file: Path, word: str) -> bool:
    """Whether a string of the program or of a module that it imports is `word`, comments aside."""
    return any(word in source.strings for source in read_program(ctx.root.resolve(), file))


@check(
    "[{programs:programs}] (upsert|upserts|write|writes|send|sends) [records|rows] in batches of "
    "[at most|up to] {size:int} [records|rows]",
    "batch size: {size:int} [records|rows] [per upsert [call]]",
    name="python.batches",
    version=2,
    slow=True,
    examples=("Batch size: 50 records per upsert call",),
)
def writes_in_batches(ctx: Context, size: int, programs: tuple[Programs, ...] = ()) -> Result:
    """Run against a source with more rows than a batch holds: no write is larger."""
    phrases = programs or (Programs("Python seed scripts", (".py",), True, None),)
    found = resolve(ctx, phrases[0])
    if isinstance(found, Result):
        return found
    seen = []
    for path in found:
        visit = trial_of(ctx, path).first
        run = visit.run
        sizes = [len(rows) for _, rows in visit.writes]
        if not sizes and run.code != 0:
            return _silent(ctx, path, run, "nothing was written")
        if any(n > size for n in sizes):
            return failed(f"{path} wrote {max(sizes)} rows at once", path, **run.to_dict())
        if sum(sizes) > size and len(sizes) > 1:
            seen.append(f"{path} wrote {sum(sizes)} rows in {len(sizes)} calls, at most {size}")
    if not seen:
        return unproven("no script had more than one batch to write in a trial run", *found)
    return proven("; ".join(seen), *found)


@check(
    "{path:path} (handles|survives|tolerates) [a|the] (missing|absent) (CSV|file|input|data file) "
    "[gracefully]",
    "{path:path} exits 0 [with a warning] (if|when) [its|the|a] (CSV|file|input|data file) "
    "is (missing|absent|not there)",
    name="python.missing-input",
    version=2,
    slow=True,
    examples=("`backend/scripts/seed_benchmark_cohorts.py` handles missing CSV gracefully",),
)
def handles_missing_input(ctx: Context, path: str) -> Result:
    """Run in a copy without any CSV: exit 0, a warning, no traceback, nothing written."""
    if not ctx.path(path).is_file():
        return failed(f"{path} is missing", path)
    return missing_input(ctx, path)


def missing_input(ctx: Context, path: str) -> Result:
    """How the script ends when its CSV is not there."""
    with (
        tree_copy(ctx.root) as copy,
        scratch(ctx.services).database() as database,
        shared_sandboxes(ctx.services).acquire() as sandbox,
    ):
        for data in copy.rglob("*.csv"):
            data.unlink()
        create_schema(database, tuple(schema_sql(ctx)))
        before = read_contents(database)
        visit = sandbox.run(path, cwd=copy, database=database, libraries=_libraries(ctx, path))
        after = read_contents(database)
    run = visit.run
    if run.code != 0 or "Traceback" in run.err:
        return failed(f"{path} without its CSV: {run.ending}", path, **run.to_dict())
    if visit.writes or after != before:
        return failed(f"{path} wrote rows without its CSV", path, **run.to_dict())
    if not _warns(run.text):
        return failed(f"{path} says nothing of the missing CSV", path, **run.to_dict())
    return proven(f"{path} without its CSV: {run.ending}", path, **run.to_dict())


def _warns(text: str) -> bool:
    """Whether the output speaks of a file that is not there."""
    lowered = text.lower()
    return ".csv" in lowered and any(
        word in lowered
        for word in ("missing", "not found", "no such", "does not exist", "not there", "absent")
    )


@check(
    "{programs:programs} (is|are) (idempotent|re-runnable|safe to run twice)",
    "running {programs:programs} twice changes nothing",
    "running {path:path} twice changes nothing",
    "(idempotent seeding|seeding is idempotent)",
    "{programs:programs} can be (run twice|re-run) [without (duplicates|doubling rows)]",
    name="python.idempotent-seeding",
    version=2,
    slow=True,
    examples=("Python seed scripts are idempotent",),
)
def seeding_is_idempotent(
    ctx: Context, programs: tuple[Programs, ...] = (), path: str = ""
) -> Result:
    """Every seed script is run twice: the tables hold the same rows after both runs."""
    if path:
        return seeds_twice_alike(ctx, path)
    phrases = programs or (Programs("Python seed scripts", (".py",), True, None),)
    results: list[Result] = []
    for phrase in phrases:
        found = resolve(ctx, phrase)
        if isinstance(found, Result):
            return found
        with ThreadPoolExecutor(max(1, len(found))) as pool:
            results.extend(pool.map(lambda path: seeds_twice_alike(ctx, path), found))
    worst = next((r for r in results if r.verdict is not Verdict.PROVEN), None)
    if worst is not None:
        return worst
    return proven("; ".join(r.detail for r in results), *(s for r in results for s in r.subjects))


def seeds_twice_alike(ctx: Context, path: str) -> Result:
    """Whether a second run of the script leaves the rows as the first did."""
    if not ctx.path(path).is_file():
        return failed(f"{path} is missing", path)
    tried = trial_of(ctx, path)
    counts = tried.added
    if not counts:
        return _silent(ctx, path, tried.first.run, "nothing was written")
    if tried.after_second != tried.after_first:
        then, now = dict(tried.after_first.rows), dict(tried.after_second.rows)
        detail = f"a second run of {path} changed the rows: {then}, then {now}"
        return failed(detail, path, first=then, second=now)
    if not (tried.first.run.ok and tried.second.run.ok):
        broken = tried.second.run if tried.first.run.ok else tried.first.run
        return failed(f"{path}: {broken.ending}", path, **broken.to_dict())
    return proven(f"{path} run twice: the same rows, {counts}", path, counts=counts)


@check(
    "{programs:programs} (exist|exists|are there|are present)",
    name="code.programs-exist",
    examples=("Both Python seed scripts exist", "All three Python scripts exist"),
)
def programs_exist(ctx: Context, programs: tuple[Programs, ...]) -> Result:
    """The specified programs are there, in the number that the statement says, and parse."""
    found: list[str] = []
    for phrase in programs:
        paths = resolve(ctx, phrase)
        if isinstance(paths, Result):
            return paths
        found.extend(paths)
    files = existing(ctx, found)
    if isinstance(files, Result):
        return files
    empty = [p for p, f in zip(found, files, strict=True) if not f.read_bytes().strip()]
    if empty:
        return failed(f"empty: {', '.join(empty)}", *found)
    broken = [f"{f.name}{why}" for f in files if f.suffix == ".py" and (why := syntax_problem(f))]
    if broken:
        return failed("; ".join(broken), *found)
    return proven(f"{len(found)} files: {', '.join(found)}", *found)
