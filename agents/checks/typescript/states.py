"""Checks of what TypeScript hooks do when the database gives nothing, an error, or no answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from orchestrate_agents.checks.code_subjects import delivered
from orchestrate_agents.checks.typescript.hook_probe import hook_functions, observe
from orchestrate_agents.checks.typescript.modules import exported_functions
from orchestrate_agents.checks.typescript.toolchain import SUFFIXES, toolchain_of
from orchestrate_agents.specification.typescript import Signature
from orchestrator.gates.checks import Context, Result, Verdict, check, failed, proven, unproven


@check(
    "[TypeScript] {function:name} [function] (handles|handle) "
    "(null|null/undefined|null/error|null and error) [(states|returns|values)] [gracefully]",
    name="typescript.null-and-error",
    version=3,
    slow=True,
    examples=("TypeScript `getBenchmarkCohorts()` function handles null/error states",),
)
def handles_null_and_error(ctx: Context, function: str) -> Result:
    """The compiled function is called with a client that answers null, an error, or not at all."""
    for path in delivered(ctx, SUFFIXES):
        file = ctx.path(path)
        if file.is_file() and function in exported_functions(ctx.root, file):
            return states_handled(ctx, path, (function,))
    return failed(f"no delivered module exports {function}", *delivered(ctx, SUFFIXES))


@check(
    "(all|every|each) (functions|function|hooks|hook) [must] (handle|handles) "
    "(null|null/undefined|null/error|null and error) [(states|returns|values)] [gracefully]",
    name="typescript.all-null-and-error",
    version=3,
    slow=True,
    examples=("All functions must handle null/undefined returns gracefully",),
)
def all_handle_null_and_error(ctx: Context) -> Result:
    """Every exported function of the delivered hooks, as for one function."""
    hooks = [p for p in delivered(ctx, SUFFIXES) if hook_functions(ctx, p)]
    if not hooks:
        return failed("no delivered module exports a function that asks the database")
    results = [states_handled(ctx, p, [s.name for s in hook_functions(ctx, p)]) for p in hooks]
    bad = next((r for r in results if r.verdict is not Verdict.PROVEN), None)
    return bad or proven("; ".join(r.detail for r in results), *hooks)


def states_handled(ctx: Context, path: str, names: Sequence[str]) -> Result:
    """What the named functions of a hook do with null, with an error, and with no answer."""
    tools = toolchain_of(ctx)
    if tools.missing:
        return unproven(tools.missing, path)
    declared = exported_functions(ctx.root, ctx.path(path))
    if any(name not in declared for name in names):
        return unproven(f"{path}: a function without a declared return type", path)
    observed = observe(ctx, tools, ctx.path(path), {name: declared[name] for name in names})
    if isinstance(observed, str):
        return failed(f"{path}: {observed}", path)
    answers = {name: seen.answers for name, seen in observed.items()}
    faults = [fault for name in names for fault in _state_faults(declared[name], answers[name])]
    if faults:
        return failed("; ".join(faults), path, answers=answers)
    empty = ", ".join(f"{n}() → {answers[n]['null'].get('returned')}" for n in names)
    detail = f"null data: {empty}; rows are returned; errors and lost connections are thrown"
    return proven(detail, path, answers=answers)


def _state_faults(signature: Signature, answers: dict[str, Any]) -> Iterator[str]:
    name, empty = signature.name, _empty_values(signature)
    null = answers.get("null", {})
    if "threw" in null:
        yield f"{name}() throws on null data: {null['threw']}"
    elif null.get("returned") not in empty:
        yield f"{name}() gives {null.get('returned')} for null data"
    for label, answer in answers.items():
        if label != "unreachable" and not label.startswith("error"):
            continue
        if "threw" not in answer:
            yield f"{name}() gives {answer.get('returned')} where the database says {label}"
        elif answer.get("nothing"):
            yield f"{name}() throws nothing to read where the database says {label}"
    rows = answers.get("rows", {})
    if rows.get("calls") and rows.get("returned") in empty:
        yield f"{name}() gives {rows['returned']} where the database has a row"
    if again := rows.get("again"):
        given = again.get("returned", again.get("threw"))
        yield f"{name}() gives {given} after {again['after']} calls, before {rows.get('returned')}"


def _empty_values(signature: Signature) -> tuple[str, ...]:
    """The JSON values that mean "nothing there" in the return type."""
    result = re.sub(r"\s", "", signature.result)
    if "null" in result.split("|"):
        return ("null",)
    if result.endswith("[]") or re.match(r"(Readonly)?Array<", result):
        return ("[]",)
    return {"number": ("0",), "boolean": ("false",)}.get(result, ("null", "[]", "0", "{}"))
