"""Checks of TypeScript by its compiler: strict mode, exports and types, interfaces and tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrate_agents.checks.code_subjects import (
    Programs,
    delivered,
    existing,
    resolve,
    specs,
    ticket_texts,
)
from orchestrate_agents.checks.typescript.equivalence import same_answers
from orchestrate_agents.checks.typescript.hook_probe import asked_by
from orchestrate_agents.checks.typescript.toolchain import (
    compiled,
    compiler_errors,
    compiler_findings,
    library_types,
    toolchain,
)
from orchestrate_agents.specification.stage import workflow_tables
from orchestrate_agents.specification.typescript import (
    Interface,
    Signature,
    column_type,
    exported,
    interface_table,
    interfaces,
    signatures,
)
from orchestrate_agents.sql.parse import Table
from orchestrator.gates.checks import Context, Result, Verdict, check, failed, proven, unproven

SUFFIXES = (".ts", ".tsx")
_MAX_LISTED = 4


@check(
    "[{programs:programs}] (has|have) no TypeScript errors",
    "(there are|there is) no TypeScript errors [\\({code:code} passes\\)]",
    "no TypeScript errors [\\({code:code} passes\\)]",
    "TypeScript compiles [without errors] [in strict mode]",
    name="typescript.compiles",
    slow=True,
    examples=(
        "No TypeScript errors (`tsc --noEmit` passes)",
        "TypeScript API hook have no TypeScript errors",
    ),
)
def has_nocompiler_errors(
    ctx: Context, programs: tuple[Programs, ...] = (), code: str = ""
) -> Result:
    """`tsc --noEmit` in strict mode over the delivered files and the workspace's own project."""
    if code and not re.fullmatch(r"(?:npx\s+)?tsc(?:\s+(?:--noEmit|--strict|-p|\.))*", code):
        return unproven(f"`{code}` is not the compiler's own command")
    paths: list[str] = [] if programs else list(delivered(ctx, SUFFIXES))
    for phrase in programs:
        found = resolve(ctx, phrase)
        if isinstance(found, Result):
            return found
        paths.extend(path for path in found if path.endswith(SUFFIXES))
    return compiles(ctx, paths or delivered(ctx, SUFFIXES))


@check(
    "{path:path} (has|have) no TypeScript errors",
    "{path:path} compiles (in strict mode|under `tsc --noEmit`|with tsc)",
    name="typescript.file-compiles",
    slow=True,
    examples=("`src/lib/benchmarks.ts` has no TypeScript errors",),
)
def file_has_nocompiler_errors(ctx: Context, path: str) -> Result:
    """The file is compiled in strict mode, with what it imports."""
    return compiles(ctx, (path,))


#: a comment that the compiler obeys; in a line of text it stands behind a quote or a word
_SILENCER = re.compile(r"^[^'\"`\n]*?(?://+|/\*+|^\s*\*)\s*(@ts-(?:ignore|nocheck|expect-error))\b")


def _silenced(path: str, file: Path) -> list[str]:
    """The lines that hide errors from the compiler's report."""
    found = enumerate(map(_SILENCER.search, source_text(file).splitlines()), start=1)
    return [f"{path}:{line} has {comment[1]}" for line, comment in found if comment]


def compiles(ctx: Context, paths: Iterable[str]) -> Result:
    """What the compiler says of these files, with the workspace's project where it has one."""
    wanted = tuple(dict.fromkeys(paths))
    if not wanted:
        return unproven("no TypeScript file is delivered")
    files = existing(ctx, wanted)
    if isinstance(files, Result):
        return files
    silenced = [
        place for path, file in zip(wanted, files, strict=True) for place in _silenced(path, file)
    ]
    if silenced:
        return failed(f"the compiler is kept from judging: {'; '.join(silenced)}", *wanted)
    tools = toolchain(ctx.root.resolve())
    if tools.missing:
        return unproven(tools.missing, *wanted)
    ended = compiled(ctx.services, tools, files, {})
    if not ended.ok:
        return failed(compiler_errors(ended.text, ctx.root), *wanted, **ended.to_dict())
    detail = (
        f"tsc --noEmit --strict: no errors in {', '.join(wanted)} "
        f"(client types: {library_types(tools)})"
    )
    return proven(detail, *wanted, command=list(ended.arguments), exit=ended.code)


@check(
    "{path:path} exports [{count:quantity}] functions with [the] (correct|specified) "
    "[TypeScript] types",
    "{path:path} exports [{count:quantity}] [specified] functions",
    name="typescript.exports",
    version=3,
    slow=True,
    examples=("`src/lib/benchmarks.ts` exports all three functions with correct TypeScript types",),
)
def exports_functions(ctx: Context, path: str, count: int | None = None) -> Result:
    """The compiler holds every specified signature against the export, and types against tables.

    A module by another hand than BUILDER's has to give what the specification's functions give.
    """
    files = existing(ctx, (path,))
    if isinstance(files, Result):
        return files
    wanted = specified_signatures(ctx, path)
    if not wanted:
        return unproven(f"no specification gives signatures for {path}", path)
    if count is not None and count != len(wanted):
        listed = ", ".join(s.name for s in wanted)
        said = f"says {count} functions, the specification has {len(wanted)}: {listed}"
        return failed(said, path) if count < len(wanted) else unproven(said, path)
    missing = [s.name for s in wanted if s.name not in exported(source_text(files[0]))]
    if missing:
        return failed(f"{path} does not export {', '.join(missing)}", path)
    typed = _assert_types(ctx, path, files[0], wanted)
    if typed.verdict is not Verdict.PROVEN:
        return typed
    misdirected = _misdirected(ctx, files[0], wanted)
    if misdirected:
        return failed(f"{path}: {'; '.join(misdirected)}", path)
    compared = same_answers(ctx, path)
    if compared is None:
        return typed
    if compared.verdict is not Verdict.PROVEN:
        return compared
    return replace(typed, detail=f"{typed.detail}; {compared.detail}")


def _misdirected(ctx: Context, file: Path, wanted: Sequence[Signature]) -> list[str]:
    """Functions that ask another table than their rows are of, or do not filter a column by the
    parameter that bears its name. They are called with a client that records.
    """
    if ctx.workflow is None:
        return []
    tables = workflow_tables(ctx.workflow, ctx.root, also="\n".join(ticket_texts(ctx)))
    tools, functions = toolchain(ctx.root.resolve()), {s.name: s for s in wanted}
    asked = asked_by(ctx.services, tools, file, functions)
    if isinstance(asked, str):
        return [asked]
    faults = []
    for name, signature in functions.items():
        table, filters = asked[name]
        rows_of = _rows_of(signature, tables)
        if rows_of and table != rows_of:
            faults.append(f"{name}() asks {table or 'no table'}, its rows are of {rows_of}")
        columns = {c.name for c in tables[table].columns} if table in tables else set()
        for index, parameter in enumerate(signature.parameters):
            if parameter.name in columns and filters.get(index) != parameter.name:
                found = filters.get(index, "nothing")
                faults.append(f"{name}() filters {found} by its argument {parameter.name}")
    return faults


def _rows_of(signature: Signature, tables: Mapping[str, Table]) -> str:
    """The table whose rows a function gives, by the name of its return type; "" if none."""
    named = re.match(r"(?:(?:Readonly)?Array<)?\s*(\w+)", signature.result)
    item = Interface(named.group(1), {}, 0, 0) if named else None
    table = interface_table(item, tables) if item else None
    return table.name if table else ""


@check(
    "{path:path} (includes|has|defines|exports) [TypeScript] interface {interface:name} matching "
    "the (DB|database) (schema|table)",
    "[TypeScript] interface {interface:name} (matches|equals) the (DB|database) (schema|table)",
    "include [TypeScript] interface {interface:name} matching the (DB|database) (schema|table)",
    name="typescript.interface",
    slow=True,
    examples=("Include TypeScript interface `BenchmarkCohort` matching the DB schema",),
)
def interface_matches(ctx: Context, interface: str, path: str = "") -> Result:
    """The compiler holds the interface's fields against the table's columns and nullability."""
    paths = (path,) if path else delivered(ctx, SUFFIXES)
    files = existing(ctx, paths)
    if isinstance(files, Result):
        return files
    for name, file in zip(paths, files, strict=True):
        if any(i.name == interface for i in interfaces(source_text(file))):
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


def source_text(file: Path) -> str:
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
    ended = compiled(ctx.services, tools, [file], {"equations.ts": equations})
    if not ended.ok:
        return failed(_unequal(ended.text, equations, ctx.root), path, **ended.to_dict())
    parts = [f"{len(wanted)} functions as specified: {', '.join(s.name for s in wanted)}"]
    parts = parts if wanted else []
    parts.extend(f"{name} has the {n} columns of {table}" for name, table, n in tables)
    return proven("; ".join(parts), path, command=list(ended.arguments), exit=ended.code)


_SAME = """\
type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
"""


def type_equations(
    ctx: Context, file: Path, wanted: Sequence[Signature], only: str = ""
) -> tuple[str, list[tuple[str, str, int]]]:
    """A module that compiles only if the hook's types are as they must be, and what it covers."""
    text = source_text(file)
    declared = [i for i in interfaces(text) if not only or i.name == only]
    named = {name for signature in wanted for name in signature.named_types}
    named |= {i.name for i in declared if _belongs(ctx, i, text)}
    source = str(file.with_suffix("")).replace("\\", "/")
    # strict projects refuse an import that nothing uses
    lines = [f"import * as hook from {json.dumps(source)};"] if wanted else []
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
        kind = column_type(column)
        if kind:
            field = f"{interface}[{json.dumps(column.name)}]"
            name = re.sub(r"\W", "_", column.name)
            lines.append(f"export const {interface}_{name}: Same<{field}, {kind}> = true;")
    return lines


def _unequal(text: str, equations: str, root: Path) -> str:
    """The equations that do not hold, in words; errors elsewhere as the compiler gives them."""
    lines = equations.splitlines()
    found = []
    for error in compiler_findings(text):
        if Path(error["file"]).name == "equations.ts":
            equation = re.search(r"Same<(.*)> = true", lines[int(error["line"]) - 1])
            found.append(f"not as specified: {equation.group(1) if equation else error['text']}")
    return "; ".join(found[:_MAX_LISTED]) if found else compiler_errors(text, root)
