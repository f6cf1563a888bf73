"""Checks of Python programs: syntax, handled calls, de-duplication, batches, missing input."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orchestrate_agents.checks.code_subjects import (
    Programs,
    delivered,
    existing,
    resolve,
    specified_by,
)
from orchestrate_agents.checks.data.arrivals import find_misloads
from orchestrate_agents.checks.python.data_as_code import code_of_data
from orchestrate_agents.checks.python.exception_handlers import (
    Handling,
    OutsideCall,
    find_outside_calls,
)
from orchestrate_agents.checks.python.scopes import find_libraries, read_program
from orchestrate_agents.checks.python.steadiness import tells_itself_apart
from orchestrate_agents.checks.sql.specified_schema import schema_sql
from orchestrate_agents.sandbox.client import (
    IdempotencyTrial,
    create_schema,
    run_idempotency_trial,
    shared_sandboxes,
)
from orchestrate_agents.sandbox.runs import Run, tree_copy, tree_digest
from orchestrate_agents.sandbox.scratch_tables import read_contents
from orchestrate_agents.sql.scratch import scratch
from orchestrate_agents.tools.lacks import raise_for_lack
from orchestrate_agents.tools.python import python_of
from orchestrator.gates.checks import Context, Result, Verdict, check, failed, proven, unproven

_MAX_LISTED = 5


@check(
    "{path:path} (has|have|contains) no Python syntax errors",
    "{path:path} (is valid Python|parses as Python|has valid Python syntax)",
    "{script:script} compiles",
    "[both|all] {scripts:scripts} compile",
    "{paths:paths} (are valid Python|parse as Python|have valid Python syntax)",
    name="python.syntax",
    examples=(
        "`tools/seed_rows.py` has no Python syntax errors",
        "`tools/load.py` compiles",
    ),
)
def has_valid_syntax(
    ctx: Context,
    path: str = "",
    script: str = "",
    paths: tuple[str, ...] = (),
    scripts: tuple[str, ...] = (),
) -> Result:
    """The files are compiled by Python itself."""
    wanted = paths or scripts or (path or script,)
    others = [p for p in wanted if not p.endswith(".py")]
    if others:
        return unproven(f"{', '.join(others)}: not Python", *wanted)
    missing = [p for p in wanted if not ctx.path(p).is_file()]
    if missing:
        return failed(f"{', '.join(missing)} is missing", *wanted)
    problems = [p + problem for p in wanted if (problem := find_syntax_error(ctx.path(p)))]
    if problems:
        return failed("; ".join(problems), *wanted)
    lines = sum(len(ctx.path(p).read_bytes().splitlines()) for p in wanted)
    return proven(f"{', '.join(wanted)} compiles ({lines} lines)", *wanted)


def find_syntax_error(file: Path) -> str:
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
    """Every call to the network or a database is in a handler that does not swallow errors."""
    found = (path,) if path else _resolve_python(ctx, programs)
    return found if isinstance(found, Result) else judge_handling(ctx, found)


def _resolve_python(ctx: Context, phrases: Iterable[Programs]) -> tuple[str, ...] | Result:
    """The Python files that the phrases mean, or the first phrase's failed result."""
    paths: list[str] = []
    for phrase in phrases:
        found = resolve(ctx, phrase)
        if isinstance(found, Result):
            return found
        if others := [p for p in found if not p.endswith(".py")]:
            return unproven(f"“{phrase.text}” means {', '.join(others)}: not Python", *others)
        paths.extend(found)
    return tuple(paths)


def judge_handling(ctx: Context, paths: Iterable[str]) -> Result:
    """The verdict on every outside call of these Python programs."""
    wanted = tuple(dict.fromkeys(paths))
    files = existing(ctx, wanted)
    if isinstance(files, Result):
        return files
    sources = tree_digest(ctx.services, ctx.root, (".py",))
    calls: dict[OutsideCall, None] = {}
    for path, file in zip(wanted, files, strict=True):
        key = ("outside-calls", path, sources)
        try:
            find = partial(find_outside_calls, ctx, path)
            found = ctx.services.remember(key, list[OutsideCall], find)
        except (SyntaxError, UnicodeDecodeError) as exc:
            return failed(f"{file.name} cannot be parsed: {exc}", *wanted)
        calls.update(dict.fromkeys(found))
    if not calls:
        return unproven("no call to a network or database library is recognized", *wanted)
    bad = [call for call in calls if call.handling is not Handling.HANDLED]
    if bad:
        shown = "; ".join(map(str, bad[:_MAX_LISTED]))
        return failed(f"{len(bad)} of {len(calls)} calls: {shown}", *wanted)
    refused = {path: run_trial(ctx, path).refused for path in wanted}
    blithe = [path for path, last in refused.items() if last is not None and last.run.ok]
    if blithe:
        said = f"{', '.join(blithe)}: ends with success though the database refuses every write"
        return failed(said, *wanted)
    return proven(f"all {len(calls)} calls to network and database are handled", *wanted)


def run_trial(ctx: Context, path: str) -> IdempotencyTrial:
    """The script's two runs, run once for the bytes that it depends on and the tables it fills.

    Raises SandboxError if the tables cannot be created, MissingToolError if the script ended for
    want of a package.
    """
    python = python_of(ctx)
    schema = tuple(schema_sql(ctx))
    # every file that the script could read, and the tables
    tree = tree_digest(ctx.services, ctx.root)
    said = specified_by(ctx, path)
    key = ("script-trial", path, tree, repr(said), "\0".join(schema), python.identity)
    run = partial(run_idempotency_trial, ctx.services, ctx.root, path, schema=schema)

    def look() -> IdempotencyTrial:
        return run(libraries=find_libraries(ctx, path), python=python, specified=said)

    trial = ctx.services.remember(key, IdempotencyTrial, look)
    _require_packages(ctx, trial.first.run)
    return trial


def _label(ctx: Context) -> str:
    return f"with {python_of(ctx).label}"


def _require_packages(ctx: Context, run: Run) -> None:
    """Raise MissingToolError if a script ended with an error for want of a package."""
    if not run.ok or "Traceback" in run.err:
        raise_for_lack(ctx, python_of(ctx), run.err)


@check(
    "[{programs:programs}] (deduplicates|deduplicate|de-duplicates|dedupes) (on|by) {column:name} "
    "[before (upsert|upserting|insert|inserting|writing|the upsert)]",
    "[{programs:programs}] (send|sends|upsert|upserts) each {column:name} once",
    name="python.deduplicates",
    version=2,
    slow=True,
    examples=("Python seed script deduplicates on `record_id` before upsert",),
)
def deduplicates(ctx: Context, column: str, programs: tuple[Programs, ...] = ()) -> Result:
    """Run against a source that repeats records: no key is sent twice."""
    found = _resolve_python(ctx, programs) if programs else delivered(ctx, (".py",))
    if isinstance(found, Result):
        return found
    files = existing(ctx, found)
    if isinstance(files, Result):
        return files
    paths = [p for p in found if _has_string(ctx, p, column)]
    if not paths:
        return failed(f"no delivered Python program has a column {column}", *found)
    details = []
    for path in paths:
        first = run_trial(ctx, path).first
        sent = [row.get(column) for _, rows in first.writes for row in rows if column in row]
        if not sent:
            return _judge_silent(ctx, path, first.run, f"no row with {column} was written")
        if repeated := len(sent) - len(set(map(str, sent))):
            said = f"{path} sent {len(sent)} rows, {repeated} of them again with the same {column}"
            return failed(said, path, **first.run.to_dict())
        details.append(f"{path} sent {len(sent)} rows, each {column} once")
    said = f"{'; '.join(details)} (the source repeats records across pages); {_label(ctx)}"
    return proven(said, *paths)


def _has_string(ctx: Context, path: str, text: str) -> bool:
    """Whether a program or a module that it imports has a string; comments do not count."""
    key = ("string", text, path, tree_digest(ctx.services, ctx.root, (".py",)))

    def look() -> bool:
        return any(text in source.strings for source in read_program(ctx, path))

    return ctx.services.remember(key, bool, look)


def _judge_silent(ctx: Context, path: str, run: Run, what: str) -> Result:
    """A run that wrote nothing: unproven only while a delivered data file is still missing."""
    deliverables = ctx.workflow.deliverables if ctx.workflow else ()
    data = [d.path for _, d in deliverables if d.path.lower().endswith((".csv", ".tsv", ".jsonl"))]
    if run.code == 0 and any(not ctx.path(p).is_file() for p in data):
        return unproven(f"{path}: {what} in a trial run", path, **run.to_dict())
    return failed(f"{path}: {what} ({run.ending}), {_label(ctx)}", path, **run.to_dict())


#: what a statement means that names no program
_SEED_SCRIPTS = (Programs("Python seed scripts", (".py",), True, None),)


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
    found = _resolve_python(ctx, programs or _SEED_SCRIPTS)
    if isinstance(found, Result):
        return found
    seen = []
    for path in found:
        first = run_trial(ctx, path).first
        sizes = [len(rows) for _, rows in first.writes]
        if not sizes and first.run.code != 0:
            return _judge_silent(ctx, path, first.run, "nothing was written")
        if any(n > size for n in sizes):
            return failed(f"{path} wrote {max(sizes)} rows at once", path, **first.run.to_dict())
        if sum(sizes) > size and len(sizes) > 1:
            seen.append(f"{path} wrote {sum(sizes)} rows in {len(sizes)} calls, at most {size}")
    if not seen:
        return unproven("no script had more than one batch to write in a trial run", *found)
    return proven(f"{'; '.join(seen)}; {_label(ctx)}", *found)


@check(
    "{path:path} (handles|survives|tolerates) [a|the] (missing|absent) (CSV|file|input|data file) "
    "[gracefully]",
    "{path:path} exits 0 [with a warning] (if|when) [its|the|a] (CSV|file|input|data file) "
    "is (missing|absent|not there)",
    name="python.missing-input",
    version=2,
    slow=True,
    examples=("`tools/seed_rows.py` handles missing CSV gracefully",),
)
def handles_missing_input(ctx: Context, path: str) -> Result:
    """Run in a copy without any CSV: exit 0, a warning, no traceback, nothing written."""
    if not ctx.path(path).is_file():
        return failed(f"{path} is missing", path)
    return judge_missing_input(ctx, path)


@dataclass(frozen=True)
class _WithoutData:
    """How a script ended where there is no CSV, and whether it wrote all the same."""

    run: Run
    wrote: bool


def judge_missing_input(ctx: Context, path: str) -> Result:
    """How the script ends when its CSV is missing; run once for the bytes of the workspace."""
    python, schema = python_of(ctx), tuple(schema_sql(ctx))
    tree = tree_digest(ctx.services, ctx.root)
    key = ("missing-input", path, tree, "\0".join(schema), python.identity)

    def look() -> _WithoutData:
        with (
            tree_copy(ctx.root) as copy,
            scratch(ctx.services).database() as database,
            shared_sandboxes(ctx.services, python).acquire() as sandbox,
        ):
            for data in copy.rglob("*.csv"):
                data.unlink()
            create_schema(database, schema)
            before = read_contents(database)
            libraries = find_libraries(ctx, path)
            ended = sandbox.run(path, cwd=copy, database=database, libraries=libraries)
            return _WithoutData(ended.run, bool(ended.writes) or read_contents(database) != before)

    seen = ctx.services.remember(key, _WithoutData, look)
    run = seen.run
    _require_packages(ctx, run)
    said = run.text.lower()
    missing = ("missing", "not found", "no such", "does not exist", "not there", "absent")
    if run.code != 0 or "Traceback" in run.err:
        return failed(f"{path} without its CSV: {run.ending}", path, **run.to_dict())
    if seen.wrote:
        return failed(f"{path} wrote rows without its CSV", path, **run.to_dict())
    if ".csv" not in said or not any(word in said for word in missing):
        return failed(f"{path} does not mention the missing CSV", path, **run.to_dict())
    return proven(f"{path} without its CSV, {_label(ctx)}: {run.ending}", path, **run.to_dict())


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
        return judge_idempotent(ctx, path)
    found = _resolve_python(ctx, programs or _SEED_SCRIPTS)
    if isinstance(found, Result):
        return found
    with ThreadPoolExecutor(max(1, len(found))) as pool:
        results = list(pool.map(lambda path: judge_idempotent(ctx, path), found))
    worst = next((r for r in results if r.verdict is not Verdict.PROVEN), None)
    if worst is not None:
        return worst
    return proven("; ".join(r.detail for r in results), *(s for r in results for s in r.subjects))


def judge_idempotent(ctx: Context, path: str) -> Result:
    """Whether a second run of the script leaves the rows as the first did."""
    if not ctx.path(path).is_file():
        return failed(f"{path} is missing", path)
    trial = run_trial(ctx, path)
    if not trial.added:
        return _judge_silent(ctx, path, trial.first.run, "nothing was written")
    key = ("code-of-data", path, tree_digest(ctx.services, ctx.root, (".py",)))
    hidden = ctx.services.remember(key, list[str], lambda: list(code_of_data(ctx, path)))
    wrong, doubtful = find_misloads(ctx, path)
    if differing := [*trial.differing, *wrong, *hidden]:
        return failed(f"{path}: {'; '.join(differing[:_MAX_LISTED])}", path, problems=differing)
    if trial.after_second != trial.after_first:
        then, now = dict(trial.after_first.rows), dict(trial.after_second.rows)
        detail = f"a second run of {path} changed the rows: {then}, then {now}"
        return failed(detail, path, first=then, second=now)
    for ended in (trial.first.run, trial.second.run):
        if not ended.ok:
            return failed(f"{path}: {ended.ending}", path, **ended.to_dict())
    key = ("tells-itself-apart", path, tree_digest(ctx.services, ctx.root, (".py",)))
    doubtful += ctx.services.remember(key, list[str], lambda: list(tells_itself_apart(ctx, path)))
    if doubtful:
        return unproven(f"{path}: {'; '.join(doubtful[:_MAX_LISTED])}", path, problems=doubtful)
    said = f"{path} run twice {_label(ctx)}: the same rows, {trial.added}"
    return proven(said, path, counts=trial.added)


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
    scripts = [file for file in files if file.suffix == ".py"]
    broken = [f"{file.name}{why}" for file in scripts if (why := find_syntax_error(file))]
    if broken:
        return failed("; ".join(broken), *found)
    return proven(f"{len(found)} files: {', '.join(found)}", *found)
