"""Checks of what TypeScript hooks do when the database gives nothing, an error, or no answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from orchestrate_agents.checks.code_subjects import delivered, ticket_texts
from orchestrate_agents.checks.typescript.compiler import SUFFIXES, source_text
from orchestrate_agents.checks.typescript.hook_probe import probe
from orchestrate_agents.checks.typescript.toolchain import toolchain
from orchestrate_agents.specification.stage import workflow_tables
from orchestrate_agents.specification.typescript import (
    Signature,
    blank_comments,
    exported,
    signatures,
)
from orchestrator.gates.checks import Context, Result, Verdict, check, failed, proven, unproven

_SCENARIOS: dict[str, dict[str, Any]] = {
    "null": {"data": None, "error": None, "count": None},
    "error": {
        "data": None,
        "count": None,
        "error": {"message": "relation does not exist", "code": "42P01", "details": "", "hint": ""},
    },
    "unreachable": {"unreachable": True},
}
_COUNT = 7


@check(
    "[TypeScript] {function:name} [function] (handles|handle) "
    "(null|null/undefined|null/error|null and error) [(states|returns|values)] [gracefully]",
    name="typescript.null-and-error",
    version=2,
    slow=True,
    examples=("TypeScript `getBenchmarkCohorts()` function handles null/error states",),
)
def handles_null_and_error(ctx: Context, function: str) -> Result:
    """The compiled function is called with a client that answers null, an error, or not at all."""
    for path in delivered(ctx, SUFFIXES):
        file = ctx.path(path)
        if file.is_file() and function in exported(source_text(file)):
            return states_handled(ctx, path, (function,))
    return failed(f"no delivered module exports {function}", *delivered(ctx, SUFFIXES))


@check(
    "(all|every|each) (functions|function|hooks|hook) [must] (handle|handles) "
    "(null|null/undefined|null/error|null and error) [(states|returns|values)] [gracefully]",
    name="typescript.all-null-and-error",
    version=2,
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


def hook_functions(ctx: Context, path: str) -> list[Signature]:
    """The exported functions of a module that asks the database, those that give a promise."""
    file = ctx.path(path)
    text = source_text(file) if file.is_file() else ""
    if not re.search(r"\.(?:from|rpc)\s*\(", blank_comments(text)):
        return []
    names = exported(text)
    return [s for s in signatures(text) if s.name in names and s.returns.startswith("Promise")]


def states_handled(ctx: Context, path: str, names: Sequence[str]) -> Result:
    """What the named functions of a hook do with null, with an error, and with no answer."""
    tools = toolchain(ctx.root.resolve())
    if tools.missing:
        return unproven(tools.missing, path)
    declared = {s.name: s for s in signatures(source_text(ctx.path(path)))}
    if any(name not in declared for name in names):
        return unproven(f"{path}: a function without a declared return type", path)
    calls = {name: [_argument(p.type) for p in declared[name].parameters] for name in names}
    scenarios = {**_SCENARIOS, "rows": {"data": [_row(ctx)], "error": None, "count": _COUNT}}
    answers = probe(ctx.services, tools, ctx.path(path), calls, scenarios=scenarios)
    if isinstance(answers, str):
        return failed(f"{path}: {answers}", path)
    faults = [
        fault for name in names for fault in _state_faults(declared[name], answers.get(name, {}))
    ]
    if faults:
        return failed("; ".join(faults), path, answers=answers)
    empty = ", ".join(f"{n}() → {answers[n]['null'].get('returned')}" for n in names)
    detail = f"null data: {empty}; a row is given on; errors and lost connections are thrown"
    return proven(detail, path, answers=answers)


def _state_faults(signature: Signature, answers: dict[str, Any]) -> list[str]:
    faults = []
    null = answers.get("null", {})
    if "threw" in null:
        faults.append(f"{signature.name}() throws on null data: {null['threw']}")
    elif null.get("returned") not in _empty(signature):
        faults.append(f"{signature.name}() gives {null.get('returned')} for null data")
    for label in ("error", "unreachable"):
        answer = answers.get(label, {})
        if "threw" not in answer:
            gives = answer.get("returned")
            faults.append(f"{signature.name}() gives {gives} where the database says {label}")
    rows = answers.get("rows", {})
    if rows.get("calls") and rows.get("returned") in _empty(signature):
        faults.append(f"{signature.name}() gives {rows['returned']} where the database has a row")
    return faults


def _row(ctx: Context) -> dict[str, Any]:
    """A row with every column of the workflow's tables."""
    if ctx.workflow is None:
        return {"id": "row-1"}
    tables = workflow_tables(ctx.workflow, ctx.root, also="\n".join(ticket_texts(ctx)))
    numeric = ("int", "numeric", "real", "double", "float", "decimal")
    columns = {c.name: c.type for table in tables.values() for c in table.columns}
    return {"id": "row-1"} | {
        name: 1 if kind.lower().startswith(numeric) else [] if kind.endswith("[]") else "x"
        for name, kind in columns.items()
    }


def _empty(signature: Signature) -> tuple[str, ...]:
    """The values that say "nothing there" in the return type."""
    result = re.sub(r"\s", "", signature.result)
    if "null" in result.split("|"):
        return ("null",)
    if result.endswith("[]") or re.match(r"(Readonly)?Array<", result):
        return ("[]",)
    return {"number": ("0",), "boolean": ("false",)}.get(result, ("null", "[]", "0", "{}"))


def _argument(kind: str) -> Any:
    """A value of a parameter's type."""
    plain = kind.strip()
    if plain.endswith("[]"):
        return []
    known = {"number": 1, "boolean": True, "string": "x"}
    return known.get(plain, "x" if "string" in plain else {})
