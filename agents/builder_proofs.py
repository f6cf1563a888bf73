"""What BUILDER proves of its programs before it reports: by running them, never by reading."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from orchestrate_agents.checks.python.behaviour import (
    find_syntax_error,
    judge_handling,
    judge_missing_input,
    run_trial,
)
from orchestrate_agents.checks.typescript.compiler import compiles
from orchestrate_agents.checks.typescript.hook_probe import hook_functions
from orchestrate_agents.checks.typescript.states import states_handled
from orchestrate_agents.checks.typescript.toolchain import toolchain_of
from orchestrate_agents.sandbox.client import SandboxError
from orchestrate_agents.sandbox.runs import RunError
from orchestrate_agents.specification.stage import StageSpec
from orchestrator.errors import MissingToolError
from orchestrator.gates.checks import (
    Context,
    Result,
    Services,
    Verdict,
    failed,
    proven,
    unproven,
)
from orchestrator.gates.proof_cache import user_proof_cache
from orchestrator.settings.config import load_settings

#: files that are proven side by side
_AT_ONCE = 8


def prove_files(
    stage: StageSpec, paths: Iterable[str], kept: Collection[str] = ()
) -> list[tuple[str, Result]]:
    """(path, what was run and seen) for the files, failures included.

    How calls are handled is demanded of what BUILDER wrote. For a kept file it is only reported:
    how that must behave is for the stage's statements to say.
    """
    settings = {"checks": load_settings(stage.root).checks.model_dump(mode="json")}
    # the stage's gate runs none of it again on the very same bytes
    services = Services(user_proof_cache())
    ctx = Context(
        root=stage.root,
        workflow=stage.workflow,
        stage=stage.stage,
        settings=settings,
        services=services,
    )
    named = tuple(paths)
    # most of it is waiting for other processes
    with ctx.services, ThreadPoolExecutor(_AT_ONCE) as pool:
        results = pool.map(lambda path: tuple(_prove(stage, ctx, path, path in kept)), named)
        return [(path, r) for path, each in zip(named, results, strict=True) for r in each]


def _prove(stage: StageSpec, ctx: Context, path: str, kept: bool) -> Iterator[Result]:
    try:
        if path.endswith(".py"):
            yield from _prove_python(stage, ctx, path, kept)
        elif path.endswith((".ts", ".tsx")):
            yield from _prove_typescript(ctx, path)
        elif path.endswith(".json"):
            yield _prove_json(stage, path)
    except (RunError, SandboxError, MissingToolError) as exc:
        yield unproven(str(exc), path)


def _prove_python(stage: StageSpec, ctx: Context, path: str, kept: bool) -> Iterator[Result]:
    problem = find_syntax_error(stage.path(path))
    if problem:
        yield failed(f"{path}{problem}", path)
        return
    yield proven("compiles", path)
    calls = judge_handling(ctx, (path,))
    if calls.verdict is Verdict.FAILED and kept:
        yield unproven(calls.detail, *calls.subjects)
    elif calls.verdict is not Verdict.UNPROVEN:
        yield calls
    if ".csv" in stage.path(path).read_text(encoding="utf-8-sig"):
        yield judge_missing_input(ctx, path)
    elif calls.verdict is not Verdict.UNPROVEN and stage.tables and not kept:
        first = run_trial(ctx, path).first
        if first.run.ok:
            rows = sum(len(rows) for _, rows in first.writes)
            yield proven(f"trial run: exit 0, {rows} rows in {len(first.writes)} writes", path)
        else:
            yield failed(f"trial run: {first.run.ending}", path, **first.run.to_dict())


def _prove_typescript(ctx: Context, path: str) -> Iterator[Result]:
    missing = toolchain_of(ctx).missing
    if missing:
        yield unproven(missing, path)
        return
    compiled = compiles(ctx, (path,))
    yield compiled
    functions = hook_functions(ctx, path)
    if compiled.verdict is Verdict.PROVEN and functions:
        yield states_handled(ctx, path, [f.name for f in functions])


def _prove_json(stage: StageSpec, path: str) -> Result:
    try:
        json.loads(stage.path(path).read_text(encoding="utf-8-sig"))
    except ValueError as exc:
        return failed(f"{path} is not JSON: {exc}", path)
    return proven("is JSON", path)
