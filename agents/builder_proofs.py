"""What BUILDER proves of its programs before it reports: by running them, never by reading."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

from orchestrate_agents.checks.python.behaviour import (
    handled,
    missing_input,
    syntax_problem,
    trial_of,
)
from orchestrate_agents.checks.typescript.compiler import compiles
from orchestrate_agents.checks.typescript.states import hook_functions, states_handled
from orchestrate_agents.checks.typescript.toolchain import toolchain
from orchestrate_agents.sandbox.client import SandboxError
from orchestrate_agents.sandbox.runs import RunError
from orchestrate_agents.specification.stage import StageSpec
from orchestrator.gates.checks import Context, Result, Verdict, failed, proven, unproven


def context(site: StageSpec) -> Context:
    """The site as a check sees it."""
    return Context(root=site.root, workflow=site.workflow, stage=site.stage)


def prove(
    site: StageSpec, paths: tuple[str, ...], kept: Collection[str] = ()
) -> dict[str, list[Result]]:
    """For each file what was run and seen, failed findings included.

    How a file handles its calls is demanded of what BUILDER wrote; of what it kept it is told, and
    only the stage's statements say how that has to run.
    """
    ctx = context(site)
    with ctx.services:
        return {path: list(_proofs(site, ctx, path, path in kept)) for path in paths}


def _proofs(site: StageSpec, ctx: Context, path: str, kept: bool) -> Iterator[Result]:
    try:
        if path.endswith(".py"):
            yield from _python(site, ctx, path, kept)
        elif path.endswith((".ts", ".tsx")):
            yield from _typescript(ctx, path)
        elif path.endswith(".json"):
            yield _json(site, path)
    except (RunError, SandboxError) as exc:
        yield unproven(str(exc), path)


def _python(site: StageSpec, ctx: Context, path: str, kept: bool) -> Iterator[Result]:
    problem = syntax_problem(site.path(path))
    if problem:
        yield failed(f"{path}{problem}", path)
        return
    yield proven("compiles", path)
    calls = handled(ctx, (path,))
    if calls.verdict is Verdict.FAILED and kept:
        yield unproven(calls.detail, *calls.subjects)
    elif calls.verdict is not Verdict.UNPROVEN:
        yield calls
    source = site.path(path).read_text(encoding="utf-8-sig")
    if ".csv" in source:
        yield missing_input(ctx, path)
    elif calls.verdict is not Verdict.UNPROVEN and site.tables and not kept:
        yield _trial_run(ctx, path)


def _trial_run(ctx: Context, path: str) -> Result:
    """A run against a registry and a store on this machine."""
    visit = trial_of(ctx, path).first
    run, rows = visit.run, sum(len(rows) for _, rows in visit.writes)
    if not run.ok:
        return failed(f"trial run: {run.ending}", path, **run.to_dict())
    return proven(f"trial run: exit 0, {rows} rows in {len(visit.writes)} writes", path)


def _typescript(ctx: Context, path: str) -> Iterator[Result]:
    missing = toolchain(ctx.root.resolve()).missing
    if missing:
        yield unproven(missing, path)
        return
    compiled = compiles(ctx, (path,))
    yield compiled
    functions = hook_functions(ctx, path)
    if compiled.verdict is Verdict.PROVEN and functions:
        yield states_handled(ctx, path, [f.name for f in functions])


def _json(site: StageSpec, path: str) -> Result:
    try:
        json.loads(site.path(path).read_text(encoding="utf-8-sig"))
    except ValueError as exc:
        return failed(f"{path} is no JSON: {exc}", path)
    return proven("is JSON", path)
