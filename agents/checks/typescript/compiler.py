"""Checks of TypeScript by its compiler: strict mode, exports and types, interfaces and tables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrate_agents.checks.code_subjects import (
    Programs,
    delivered,
    existing,
    resolve,
    specs,
)
from orchestrate_agents.checks.documents import judge_key
from orchestrate_agents.checks.project.tooling import judge_tools
from orchestrate_agents.checks.typescript.equivalence import same_answers
from orchestrate_agents.checks.typescript.hook_probe import observe, workspace_tables
from orchestrate_agents.checks.typescript.modules import closure, sources
from orchestrate_agents.checks.typescript.toolchain import (
    CLIENT_LIBRARY,
    SUFFIXES,
    compile_strictly,
    compiler_errors,
    compiler_findings,
    source_text,
    toolchain_of,
)
from orchestrate_agents.specification.query_module import specified_functions
from orchestrate_agents.specification.typescript import (
    Interface,
    Signature,
    blank_comments,
    column_type,
    exported,
    interface_table,
    interfaces,
)
from orchestrate_agents.sql.parse import Table
from orchestrator.gates.checks import (
    TYPES,
    Context,
    Result,
    Verdict,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

_MAX_LISTED = 4
_EQUATIONS, _EXPORTS = "equations.ts", "exports.ts"
#: a comment that the compiler obeys; in a line of text it follows a quote or a word
_SILENCER = re.compile(r"^[^'\"`\n]*?(?://+|/\*+|^\s*\*)\s*(@ts-(?:ignore|nocheck|expect-error))\b")
#: what has any type, or is said to have another one than the compiler found
_UNTYPED = re.compile(
    r"(\bas\s+any\b|\bas\s+unknown\s+as\b|\bas\s+never\b|[:<,|]\s*any\b(?!\s*\()|<\s*any\s*>)"
)
_SAME = """\
type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
"""

parameter_type(
    "tsmodule",
    r"`?[\w.@+-]+(?:/[\w.@+-]+)*\.[mc]?tsx?`?",
    lambda text: text.strip(" `"),
)
#: the kind of an export → how it is declared
_DECLARED = {
    "class": r"\bclass\s+NAME\b",
    "constant": r"\bconst\s+NAME\b",
    "function": r"\bfunction\s*\*?\s*NAME\b"
    r"|\bconst\s+NAME\b[^;=]*=\s*(?:async\b\s*)?(?:[(<]|function|\w+\s*=>)",
    "interface": r"\binterface\s+NAME\b",
    "type": r"\b(?:type|interface|class|enum)\s+NAME\b",
}
parameter_type(
    "exportkind",
    "classes|class|constants?|functions?|interfaces?|types?",
    lambda text: next(kind for kind in _DECLARED if text.lower().startswith(kind)),
)
# "exports functions" names none
parameter_type(
    "symbols", rf"(?!(?:functions?|types?|interfaces?)\b){TYPES['names'][0]}", TYPES["names"][1]
)


# -- compiling -----------------------------------------------------------------------------------


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
def programs_compile(ctx: Context, programs: tuple[Programs, ...] = (), code: str = "") -> Result:
    """`tsc --noEmit` in strict mode over the delivered files and the workspace's own project."""
    if code and not re.fullmatch(r"(?:npx\s+)?tsc(?:\s+(?:--noEmit|--strict|-p|\.))*", code):
        return unproven(f"`{code}` is not the compiler's own command")
    paths: list[str] = [] if programs else list(delivered(ctx, SUFFIXES))
    if not programs and not paths:
        return judge_tools(ctx, "types", "tsc")
    for phrase in programs:
        found = resolve(ctx, phrase)
        if isinstance(found, Result):
            return found
        others = [path for path in found if not path.endswith(SUFFIXES)]
        # what is said to be of another language, beside what is TypeScript, cannot have such errors
        spoken = any(set(p.suffixes) & set(SUFFIXES) for p in programs)
        if others and spoken and not set(phrase.suffixes) & set(SUFFIXES):
            continue
        if others:
            return unproven(f"“{phrase.text}” means {', '.join(others)}: not TypeScript", *others)
        paths.extend(found)
    return compiles(ctx, paths)


@check(
    "{path:tsmodule} (has|have) no TypeScript errors",
    "{path:tsmodule} compiles [(in strict mode|under `tsc --noEmit`|with tsc)]",
    name="typescript.file-compiles",
    slow=True,
    examples=("`src/lib/benchmarks.ts` has no TypeScript errors", "`src/a.ts` compiles"),
)
def file_compiles(ctx: Context, path: str) -> Result:
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
    reached = dict.fromkeys(place for file in files for place in closure(ctx.root, file))
    silenced = list(_found(ctx, reached, _SILENCER, source_text))
    if silenced:
        return failed(f"comments hide errors from the compiler: {'; '.join(silenced)}", *wanted)
    tools = toolchain_of(ctx)
    if tools.missing:
        return unproven(tools.missing, *wanted)
    ended = compile_strictly(ctx.services, tools, files, {})
    if not ended.ok:
        return failed(compiler_errors(ended.text, ctx.root), *wanted, **ended.to_dict())
    if untyped := list(_found(ctx, reached, _UNTYPED, _code)):
        escapes = "; ".join(untyped[:_MAX_LISTED])
        return unproven(
            f"the compiler finds no errors, but looks away where code says so: {escapes}", *wanted
        )
    installed = tools.package(CLIENT_LIBRARY)
    types = "installed" if installed else f"a shim, since {CLIENT_LIBRARY} is not installed"
    detail = f"tsc --noEmit --strict: no errors in {', '.join(wanted)} (client types: {types})"
    return proven(detail, *wanted, command=list(ended.arguments), exit=ended.code)


def _found(
    ctx: Context, files: Iterable[Path], what: re.Pattern[str], read: Callable[[Path], str]
) -> Iterator[str]:
    """`path:line has …` for every line of the files in which the pattern is found."""
    root = ctx.root.resolve()
    for file in files:
        for line, text in enumerate(read(file).splitlines(), start=1):
            if found := what.search(text):
                yield f"{file.resolve().relative_to(root)}:{line} has {found[1].strip()}"


def _code(file: Path) -> str:
    return blank_comments(source_text(file))


@check(
    "[the] TypeScript [compiler] strict mode is (on|enabled|turned on|active)",
    "TypeScript is in strict mode",
    "(strict|strict mode) is (on|enabled|turned on) for TypeScript",
    name="typescript.strict",
    examples=("TypeScript strict mode is on",),
)
def strict(ctx: Context) -> Result:
    """`strict` of `tsconfig.json` at the top is true; what it inherits is not looked at."""
    return judge_key(ctx, "tsconfig.json", "compilerOptions.strict", "true")


# -- exports -------------------------------------------------------------------------------------


@check(
    "{module:tsmodule} (exports|offers|makes public) [(a|an|the)] [{kind:exportkind}] "
    "{names:symbols}",
    "{module:tsmodule} exports (a|an|the) {names:symbols} {kind:exportkind}",
    "{names:symbols} (is|are) exported (by|from) {module:tsmodule}",
    name="typescript.names",
    version=2,
    slow=True,
    examples=("`src/lib/shop.ts` exports `Basket` and `total`",),
)
def exports_names(ctx: Context, module: str, names: tuple[str, ...], kind: str = "") -> Result:
    """The compiler finds each name among the module's exports, also where it is re-exported."""
    files = existing(ctx, (module,))
    if isinstance(files, Result):
        return files
    tools = toolchain_of(ctx)
    if tools.missing:
        return unproven(tools.missing, module)
    # `a.mts` is imported as `a.mjs`, `a.ts` as `a`
    imported = re.sub(r"\.([mc]?)tsx?$", lambda m: f".{m[1]}js" if m[1] else "", str(files[0]))
    lines = [f"export type {{ {name} }} from {json.dumps(imported)};" for name in names]
    ended = compile_strictly(ctx.services, tools, files, {_EXPORTS: "\n".join(lines) + "\n"})
    own = [e for e in compiler_findings(ended.text) if e["file"].endswith(_EXPORTS)]
    lacking = [names[int(error["line"]) - 1] for error in own]
    if lacking:
        return failed(f"{module} does not export {', '.join(lacking)}", module, **ended.to_dict())
    if not ended.ok:
        return failed(compiler_errors(ended.text, ctx.root), module, **ended.to_dict())
    said = f"{module} exports {', '.join(names)}: the compiler finds them"
    form, text = _DECLARED.get(kind, ""), source_text(files[0])
    unlike = [n for n in names if not re.search(form.replace("NAME", re.escape(n)), text)]
    if unlike:
        return unproven(f"{said}, but it declares no {kind} {', '.join(unlike)}", module)
    return proven(said, module)


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
    """The compiler compares every specified signature with the export, and types with tables.

    The functions have to give what their specification asks for, on rows of a real database.
    """
    files = existing(ctx, (path,))
    if isinstance(files, Result):
        return files
    wanted: dict[str, Signature] = {}
    for spec in specs(ctx):
        if spec.path == path:
            wanted |= specified_functions(spec)
    if not wanted:
        return unproven(f"no specification gives signatures for {path}", path)
    if count is not None and count != len(wanted):
        said = f"says {count} functions, the specification has {len(wanted)}: {', '.join(wanted)}"
        return failed(said, path) if count < len(wanted) else unproven(said, path)
    text = source_text(files[0])
    # what the module exports on, or by a list, the compiler finds
    elsewhere = re.search(r"^\s*export\s*[*{]", blank_comments(text), re.MULTILINE)
    missing = [name for name in wanted if name not in exported(text) and not elsewhere]
    if missing:
        return failed(f"{path} does not export {', '.join(missing)}", path)
    typed = _types_hold(ctx, path, files[0], tuple(wanted.values()))
    if typed.verdict is not Verdict.PROVEN:
        return typed
    misdirected = list(_misdirected(ctx, files[0], wanted))
    if misdirected:
        return failed(f"{path}: {'; '.join(misdirected)}", path)
    compared = same_answers(ctx, path)
    if compared is None:
        return typed
    if compared.verdict is not Verdict.PROVEN:
        return compared
    return replace(typed, detail=f"{typed.detail}; {compared.detail}")


def _misdirected(ctx: Context, file: Path, wanted: Mapping[str, Signature]) -> Iterator[str]:
    """Functions that ask another table than that of their rows, or that do not filter a column by
    the parameter of its name."""
    if ctx.workflow is None:
        return
    tables = workspace_tables(ctx)
    observed = observe(ctx, toolchain_of(ctx), file, wanted)
    if isinstance(observed, str):
        yield observed
        return
    for name, seen in observed.items():
        named = re.match(r"(?:(?:Readonly)?Array<)?\s*(\w+)", wanted[name].result)
        rows_of = interface_table(Interface(named[1], {}, 0, 0), tables) if named else None
        if rows_of is not None and seen.table != rows_of.name:
            yield f"{name}() asks {seen.table or 'no table'}, its rows are of {rows_of.name}"
        columns = {c.name for c in tables[seen.table].columns} if seen.table in tables else set()
        for index, parameter in enumerate(wanted[name].parameters):
            column = seen.filters.get(index, "nothing")
            if parameter.name in columns and column != parameter.name:
                yield f"{name}() filters {column} by its argument {parameter.name}"


# -- types ---------------------------------------------------------------------------------------


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
    """The compiler compares the interface's fields with the table's columns and nullability."""
    paths = (path,) if path else delivered(ctx, SUFFIXES)
    files = existing(ctx, paths)
    if isinstance(files, Result):
        return files
    for name, file in zip(paths, files, strict=True):
        if any(i.name == interface for i in interfaces(sources(ctx.root, file))):
            return _types_hold(ctx, name, file, (), only=interface)
    return failed(f"no delivered module declares {interface}", *paths)


def _types_hold(
    ctx: Context, path: str, file: Path, wanted: Sequence[Signature], only: str = ""
) -> Result:
    """Compile the module together with equations of its types."""
    tools = toolchain_of(ctx)
    if tools.missing:
        return unproven(tools.missing, path)
    text, known = sources(ctx.root, file), workspace_tables(ctx)
    named = {i.name for i in interfaces(source_text(file))}
    named |= {only, *(name for signature in wanted for name in signature.named_types)}
    tables = {
        item.name: table
        for item in interfaces(text)
        if item.name in named
        and only in ("", item.name)
        and (table := interface_table(item, known, text))
    }
    if only and not tables:
        return unproven(f"no table of the workflow belongs to interface {only}", path)
    equations = _type_equations(file, wanted, tables)
    ended = compile_strictly(ctx.services, tools, [file], {_EQUATIONS: equations})
    if not ended.ok:
        lines = equations.splitlines()
        unequal = []
        for error in compiler_findings(ended.text):
            if Path(error["file"]).name == _EQUATIONS:
                equation = re.search(r"Same<(.*)> = true", lines[int(error["line"]) - 1])
                unequal.append(f"not as specified: {equation[1] if equation else error['text']}")
        said = "; ".join(unequal[:_MAX_LISTED]) or compiler_errors(ended.text, ctx.root)
        return failed(said, path, **ended.to_dict())
    parts = [f"{len(wanted)} functions as specified: {', '.join(s.name for s in wanted)}"]
    parts = parts if wanted else []
    parts += [f"{n} has the {len(t.columns)} columns of {t.name}" for n, t in tables.items()]
    return proven("; ".join(parts), path, command=list(ended.arguments), exit=ended.code)


def _type_equations(file: Path, wanted: Sequence[Signature], tables: Mapping[str, Table]) -> str:
    """A module that compiles only if signatures are as wanted and interfaces fit their tables."""
    named = sorted({*tables, *(name for signature in wanted for name in signature.named_types)})
    source = json.dumps(str(file.with_suffix("")).replace("\\", "/"))
    # strict projects refuse an import that nothing uses
    lines = [f"import * as hook from {source};"] if wanted else []
    lines += [f"import type {{ {', '.join(named)} }} from {source};"] if named else []
    lines.append(_SAME)
    for signature in wanted:
        equation = f"Same<typeof hook.{signature.name}, {signature.text}>"
        lines.append(f"export const type_of_{signature.name}: {equation} = true;")
    for interface, table in tables.items():
        keys = " | ".join(json.dumps(c.name) for c in table.columns)
        lines.append(
            f"export const columns_of_{interface}: Same<keyof {interface}, {keys}> = true;"
        )
        for column in table.columns:
            if kind := column_type(column):
                name = interface + "_" + re.sub(r"\W", "_", column.name)
                field = f"{interface}[{json.dumps(column.name)}]"
                lines.append(f"export const {name}: Same<{field}, {kind}> = true;")
    return "\n".join(lines) + "\n"
