"""Checks of TypeScript: the compiler in strict mode, exports and types, null and error states."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from agents.build.interface import interface_table, table_type
from agents.build.schema import workflow_tables
from agents.build.signatures import Interface, Signature, exported, interfaces, signatures
from agents.checks.code_subjects import (
    Programs,
    delivered,
    existing,
    resolve,
    specs,
    ticket_texts,
)
from agents.checks.node import Toolchain, project, toolchain
from orchestrator.checks import Context, Result, check, failed, proven, unproven

_SUFFIXES = (".ts", ".tsx")
_PROBE = Path(__file__).resolve().parents[1] / "templates" / "checks" / "hook_probe.cjs"
_ERROR = re.compile(
    r"^(?P<file>.+?)\((?P<line>\d+),\d+\): error (?P<code>TS\d+): (?P<text>.*)$", re.M
)
_MAX_LISTED = 4


@check(
    "[{programs:programs}] (has|have) no TypeScript errors",
    "(there are|there is) no TypeScript errors [\\({code:code} passes\\)]",
    "no TypeScript errors [\\({code:code} passes\\)]",
    "TypeScript compiles [without errors] [in strict mode]",
    name="typescript.compiles",
    examples=(
        "No TypeScript errors (`tsc --noEmit` passes)",
        "TypeScript API hook have no TypeScript errors",
    ),
)
def has_no_errors(ctx: Context, programs: tuple[Programs, ...] = (), code: str = "") -> Result:
    """`tsc --noEmit` in strict mode over the delivered files and the workspace's own project."""
    if code and not re.fullmatch(r"(?:npx\s+)?tsc(?:\s+(?:--noEmit|--strict|-p|\.))*", code):
        return unproven(f"`{code}` is not the compiler's own command")
    paths: list[str] = [] if programs else list(delivered(ctx, _SUFFIXES))
    for phrase in programs:
        found = resolve(ctx, phrase)
        if isinstance(found, Result):
            return found
        paths.extend(path for path in found if path.endswith(_SUFFIXES))
    return compiles(ctx, paths or delivered(ctx, _SUFFIXES))


@check(
    "{path:path} (has|have) no TypeScript errors",
    "{path:path} compiles (in strict mode|under `tsc --noEmit`|with tsc)",
    name="typescript.file-compiles",
    examples=("`src/lib/benchmarks.ts` has no TypeScript errors",),
)
def file_has_no_errors(ctx: Context, path: str) -> Result:
    """The file is compiled in strict mode, with what it imports."""
    return compiles(ctx, (path,))


def compiles(ctx: Context, paths: Iterable[str]) -> Result:
    """What the compiler says of these files, with the workspace's project where it has one."""
    wanted = tuple(dict.fromkeys(paths))
    if not wanted:
        return unproven("no TypeScript file is delivered")
    files = existing(ctx, wanted)
    if isinstance(files, Result):
        return files
    tools = toolchain(ctx.root.resolve())
    if tools.missing:
        return unproven(tools.missing, *wanted)
    with tempfile.TemporaryDirectory(prefix="orchestrate-ts-") as folder:
        place = Path(folder).resolve()
        config = project(tools, place, files)
        ended = tools.compile("--noEmit", "-p", str(config.config), cwd=place)
    if not ended.ok:
        return failed(_errors(ended.text, ctx.root), *wanted, **ended.to_dict())
    detail = (
        f"tsc --noEmit --strict: no errors in {', '.join(wanted)} (client types: {config.types})"
    )
    return proven(detail, *wanted, command=list(ended.arguments), exit=ended.code)


def _errors(text: str, root: Path) -> str:
    found = list(_ERROR.finditer(text))
    if not found:
        return f"tsc: {text.strip()[:400]}"
    listed = [
        f"{Path(m['file']).name}:{m['line']} {m['code']} {m['text']}" for m in found[:_MAX_LISTED]
    ]
    return f"{len(found)} errors: {'; '.join(listed)}".replace(f"{root}/", "")


@check(
    "{path:path} exports [(all|both|the)] [{count:int}] functions with [the] (correct|specified) "
    "[TypeScript] types",
    "{path:path} exports [(all|both|the)] [{count:int}] [specified] functions",
    name="typescript.exports",
    examples=("`src/lib/benchmarks.ts` exports all three functions with correct TypeScript types",),
)
def exports_functions(ctx: Context, path: str, count: int | None = None) -> Result:
    """The compiler holds every specified signature against the export, and types against tables."""
    files = existing(ctx, (path,))
    if isinstance(files, Result):
        return files
    wanted = specified_signatures(ctx, path)
    if not wanted:
        return unproven(f"no specification gives signatures for {path}", path)
    if count is not None and count != len(wanted):
        listed = ", ".join(s.name for s in wanted)
        return failed(
            f"says {count} functions, the specification has {len(wanted)}: {listed}", path
        )
    missing = [s.name for s in wanted if s.name not in exported(_text(files[0]))]
    if missing:
        return failed(f"{path} does not export {', '.join(missing)}", path)
    return _assert_types(ctx, path, files[0], wanted)


@check(
    "{path:path} (includes|has|defines|exports) [TypeScript] interface {interface:name} matching "
    "the (DB|database) (schema|table)",
    "[TypeScript] interface {interface:name} (matches|equals) the (DB|database) (schema|table)",
    "include [TypeScript] interface {interface:name} matching the (DB|database) (schema|table)",
    name="typescript.interface",
    examples=("Include TypeScript interface `BenchmarkCohort` matching the DB schema",),
)
def interface_matches(ctx: Context, interface: str, path: str = "") -> Result:
    """The compiler holds the interface's fields against the table's columns and nullability."""
    paths = (path,) if path else delivered(ctx, _SUFFIXES)
    files = existing(ctx, paths)
    if isinstance(files, Result):
        return files
    for name, file in zip(paths, files, strict=True):
        if any(i.name == interface for i in interfaces(_text(file))):
            return _assert_types(ctx, name, file, (), only=interface)
    return failed(f"no delivered module declares {interface}", *paths)


def specified_signatures(ctx: Context, path: str) -> tuple[Signature, ...]:
    """The functions that the workflow and the tickets specify for a module."""
    found: dict[str, Signature] = {}
    for spec in specs(ctx):
        if spec.path == path:
            for block in spec.code:
                for signature in signatures(block.text):
                    found.setdefault(signature.name, signature)
    return tuple(found.values())


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8-sig", errors="replace")


def _assert_types(
    ctx: Context, path: str, file: Path, wanted: Sequence[Signature], only: str = ""
) -> Result:
    """Compile a module of type equations beside the hook."""
    tools = toolchain(ctx.root.resolve())
    if tools.missing:
        return unproven(tools.missing, path)
    equations, tables = type_equations(ctx, file, wanted, only)
    if only and not tables:
        return unproven(f"no table of the workflow belongs to interface {only}", path)
    with tempfile.TemporaryDirectory(prefix="orchestrate-ts-") as folder:
        place = Path(folder).resolve()
        proof = place / "equations.ts"
        proof.write_text(equations, encoding="utf-8")
        config = project(tools, place, [file, proof])
        ended = tools.compile("--noEmit", "-p", str(config.config), cwd=place)
    if not ended.ok:
        return failed(_unequal(ended.text, equations, ctx.root), path, **ended.to_dict())
    parts = [f"{len(wanted)} functions as specified: {', '.join(s.name for s in wanted)}"]
    parts = parts if wanted else []
    parts.extend(f"{name} has the {n} columns of {table}" for name, table, n in tables)
    return proven("; ".join(parts), path, command=list(ended.arguments), exit=ended.code)


_SAME = """\
type Seen<X> = <T>() => T extends X ? 1 : 2;
type Same<A, B> = Seen<A> extends Seen<B> ? true : false;
"""


def type_equations(
    ctx: Context, file: Path, wanted: Sequence[Signature], only: str = ""
) -> tuple[str, list[tuple[str, str, int]]]:
    """A module that compiles only if the hook's types are as they must be, and what it covers."""
    text = _text(file)
    declared = [i for i in interfaces(text) if not only or i.name == only]
    named = {name for signature in wanted for name in signature.named_types}
    named |= {i.name for i in declared if _belongs(ctx, i, text)}
    source = str(file.with_suffix("")).replace("\\", "/")
    lines = [f"import * as hook from {json.dumps(source)};"]
    lines += [f"import type {{ {', '.join(sorted(named))} }} from {json.dumps(source)};"] * bool(
        named
    )
    lines.append(_SAME)
    for signature in wanted:
        equation = f"Same<typeof hook.{signature.name}, {signature.text}>"
        lines.append(f"export const type_of_{signature.name}: {equation} = true;")
    covered = []
    for item in declared:
        table = _belongs(ctx, item, text)
        if table is not None:
            lines.extend(_column_equations(item.name, table))
            covered.append((item.name, table.name, len(table.columns)))
    return "\n".join(lines) + "\n", covered


def _belongs(ctx: Context, item: Interface, text: str) -> Any:
    if ctx.workflow is None:
        return None
    tables = workflow_tables(ctx.workflow, ctx.root, also="\n".join(ticket_texts(ctx)))
    return interface_table(item, tables, text)


def _column_equations(interface: str, table: Any) -> list[str]:
    keys = " | ".join(json.dumps(c.name) for c in table.columns)
    lines = [f"export const columns_of_{interface}: Same<keyof {interface}, {keys}> = true;"]
    for column in table.columns:
        kind = table_type(column)
        if kind:
            field = f"{interface}[{json.dumps(column.name)}]"
            name = re.sub(r"\W", "_", column.name)
            lines.append(f"export const {interface}_{name}: Same<{field}, {kind}> = true;")
    return lines


def _unequal(text: str, equations: str, root: Path) -> str:
    """The equations that do not hold, in words; errors elsewhere as the compiler gives them."""
    lines = equations.splitlines()
    found = []
    for error in _ERROR.finditer(text):
        if Path(error["file"]).name == "equations.ts":
            equation = re.search(r"Same<(.*)> = true", lines[int(error["line"]) - 1])
            found.append(f"not as specified: {equation.group(1) if equation else error['text']}")
    return "; ".join(found[:_MAX_LISTED]) if found else _errors(text, root)


# --- behaviour ----------------------------------------------------------------------------------

_SCENARIOS: dict[str, dict[str, Any]] = {
    "null": {"data": None, "error": None, "count": None},
    "error": {
        "data": None,
        "count": None,
        "error": {"message": "relation does not exist", "code": "42P01", "details": "", "hint": ""},
    },
    "unreachable": {"unreachable": True},
}


@check(
    "[TypeScript] {function:name} [function] handles "
    "(null|null/undefined|null/error|null and error) [(states|returns|values)] [gracefully]",
    name="typescript.null-and-error",
    examples=("TypeScript `getBenchmarkCohorts()` function handles null/error states",),
)
def handles_null_and_error(ctx: Context, function: str) -> Result:
    """The compiled function is called with a client that answers null, an error, or not at all."""
    for path in delivered(ctx, _SUFFIXES):
        file = ctx.path(path)
        if file.is_file() and function in exported(_text(file)):
            return states_handled(ctx, path, (function,))
    return failed(f"no delivered module exports {function}", *delivered(ctx, _SUFFIXES))


@check(
    "all functions [must] handle (null|null/undefined|null/error) [(states|returns|values)] "
    "[gracefully]",
    name="typescript.all-null-and-error",
    examples=("All functions must handle null/undefined returns gracefully",),
)
def all_handle_null_and_error(ctx: Context) -> Result:
    """Every exported function of the delivered hooks, as for one function."""
    hooks = [p for p in delivered(ctx, _SUFFIXES) if hook_functions(ctx, p)]
    if not hooks:
        return failed("no delivered module exports a function that asks the database")
    results = [states_handled(ctx, p, tuple(s.name for s in hook_functions(ctx, p))) for p in hooks]
    bad = next((r for r in results if r.verdict.value != "proven"), None)
    return bad or proven("; ".join(r.detail for r in results), *hooks)


def hook_functions(ctx: Context, path: str) -> list[Signature]:
    """The exported functions of a module that give a promise."""
    file = ctx.path(path)
    text = _text(file) if file.is_file() else ""
    names = exported(text)
    return [s for s in signatures(text) if s.name in names and s.returns.startswith("Promise")]


def states_handled(ctx: Context, path: str, names: Sequence[str]) -> Result:
    """What the named functions of a hook do with null, with an error, and with no answer."""
    tools = toolchain(ctx.root.resolve())
    if tools.missing:
        return unproven(tools.missing, path)
    declared = {s.name: s for s in signatures(_text(ctx.path(path)))}
    if any(name not in declared for name in names):
        return unproven(f"{path}: a function without a declared return type", path)
    answers = probe(tools, ctx.path(path), [declared[name] for name in names])
    if isinstance(answers, str):
        return failed(f"{path}: {answers}", path)
    faults = [
        fault for name in names for fault in _state_faults(declared[name], answers.get(name, {}))
    ]
    if faults:
        return failed("; ".join(faults), path, answers=answers)
    empty = ", ".join(f"{n}() → {answers[n]['null'].get('returned')}" for n in names)
    return proven(
        f"null data: {empty}; errors and lost connections are thrown", path, answers=answers
    )


def _state_faults(signature: Signature, answers: dict[str, Any]) -> list[str]:
    faults = []
    null = answers.get("null", {})
    wanted = _empty(signature)
    if "threw" in null:
        faults.append(f"{signature.name}() throws on null data: {null['threw']}")
    elif null.get("returned") not in wanted:
        faults.append(f"{signature.name}() gives {null.get('returned')} for null data")
    for label in ("error", "unreachable"):
        answer = answers.get(label, {})
        if "threw" not in answer:
            faults.append(
                f"{signature.name}() gives {answer.get('returned')} for an {label} answer"
            )
    return faults


def _empty(signature: Signature) -> tuple[str, ...]:
    """The values that say "nothing there" in the return type."""
    result = re.sub(r"\s", "", signature.result)
    if "null" in result.split("|"):
        return ("null",)
    if result.endswith("[]") or re.match(r"(Readonly)?Array<", result):
        return ("[]",)
    return {"number": ("0",), "boolean": ("false",)}.get(result, ("null", "[]", "0", "{}"))


def probe(
    tools: Toolchain, module: Path, functions: Sequence[Signature]
) -> dict[str, dict[str, Any]] | str:
    """Compile the module and call its functions in every scenario; an error's text if it cannot."""
    with tempfile.TemporaryDirectory(prefix="orchestrate-ts-") as folder:
        place = Path(folder).resolve()
        out = place / "out"
        emitted = project(
            tools, place, [module], noEmit=False, outDir=str(out), rootDir=str(tools.root),
            module="CommonJS", moduleResolution="bundler", noEmitOnError=False,
            allowImportingTsExtensions=False, declaration=False, sourceMap=False, jsx="react-jsx",
            verbatimModuleSyntax=False,
        )  # fmt: skip
        ended = tools.compile("-p", str(emitted.config), cwd=place)
        compiled = out / module.relative_to(tools.root).with_suffix(".js")
        if not compiled.is_file():
            return f"it does not compile: {_errors(ended.text, tools.root)}"
        job = place / "job.json"
        calls = [
            {"name": f.name, "args": [_argument(p.type) for p in f.parameters]} for f in functions
        ]
        body = {"module": str(compiled), "functions": calls, "scenarios": _SCENARIOS}
        job.write_text(json.dumps(body), encoding="utf-8")
        return _answers(tools, job, place)


def _answers(tools: Toolchain, job: Path, place: Path) -> dict[str, dict[str, Any]] | str:
    from agents.checks.runs import run

    ended = run([str(tools.node), str(_PROBE), str(job)], cwd=place, limit=30)
    try:
        answers: dict[str, dict[str, Any]] = json.loads(ended.out)
    except ValueError:
        return ended.ending
    return answers


def _argument(kind: str) -> Any:
    """A value of a parameter's type."""
    plain = kind.strip()
    if plain.endswith("[]"):
        return []
    return {"number": 1, "boolean": True, "string": "x"}.get(
        plain, "x" if "string" in plain else {}
    )
