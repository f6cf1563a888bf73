"""Checks of TypeScript by compiler and by calling; each defect here must be caught (DESIGN 6.6)."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrate_agents.checks.typescript.hook_probe import emitted_by
from orchestrate_agents.checks.typescript.toolchain import (
    Toolchain,
    compile_strictly,
    toolchain,
)
from orchestrate_agents.codegen.hook import render_client, render_hook
from orchestrate_agents.sandbox.runs import Run
from orchestrate_agents.specification.query_module import Client
from orchestrator.gates.checks import Services
from orchestrator.gates.proof_cache import ProofCache
from tests.builds import FIXTURES, TICKET, judge, site

MISSING = toolchain(Path(__file__).parents[2]).missing
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

HOOK = "web/api/hours.ts"
TYPES = f"`{HOOK}` exports all three functions with correct TypeScript types"
COMPILES = "No TypeScript errors (`tsc --noEmit` passes)"
HANDLES = "TypeScript `listHours()` function handles null/error states"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The hook as BUILDER renders it, its client, and the ticket."""
    spec = next(s for s in site(tmp_path).specs if s.path == HOOK)
    put(tmp_path, HOOK, render_hook(spec, site(tmp_path)))
    put(tmp_path, "web/db/supabase.ts", render_client(Client()))
    put(tmp_path, TICKET, (FIXTURES / "WO-640b.md").read_text(encoding="utf-8"))
    return tmp_path


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


def change(root: Path, old: str, new: str) -> None:
    text = (root / HOOK).read_text(encoding="utf-8")
    assert old in text
    put(root, HOOK, text.replace(old, new))


def verdict(root: Path, statement: str) -> str:
    return str(judge(root, statement)[0].verdict)


def detail(root: Path, statement: str) -> str:
    return judge(root, statement)[0].detail


def test_what_builder_renders_holds(workspace: Path) -> None:
    for statement in (COMPILES, TYPES, HANDLES, "All functions must handle null/undefined returns"):
        (result,) = judge(workspace, statement)
        assert result.verdict == "proven", result.detail


def test_a_module_is_compiled_once_for_all_that_call_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    really = Toolchain.compile

    def ask(tools: Toolchain, *arguments: str, cwd: Path) -> Run:
        asked.append(arguments)
        return really(tools, *arguments, cwd=cwd)

    monkeypatch.setattr(Toolchain, "compile", ask)
    root = workspace.resolve()
    tools = toolchain(root)
    first = emitted_by(tools, root / HOOK)
    assert first == emitted_by(tools, root / HOOK)
    assert HOOK.replace(".ts", ".js") in first
    assert len([a for a in asked if "--showConfig" not in a]) == 1
    # another text is compiled again
    change(root, "listHours", "listAllHours")
    again = emitted_by(tools, root / HOOK)
    assert "listAllHours" in again[HOOK.replace(".ts", ".js")]  # type: ignore[index]


@pytest.mark.parametrize(
    ("package", "options"),
    [
        ('{"name": "typescript", "version": "7.0.2"}', ("--checkers", "1")),
        ('{"name": "typescript", "version": "5.9.3"}', ()),
        ('{"name": "another", "version": "7.0.2"}', ()),
        ('{"name": "typescript", "version": 7}', ()),
        ('["typescript"]', ()),
        ("{", ()),
    ],
)
def test_only_an_edition_that_has_several_checkers_is_asked_for_one(
    tmp_path: Path, package: str, options: tuple[str, ...]
) -> None:
    compiler = tmp_path / "typescript" / "lib" / "tsc.js"
    compiler.parent.mkdir(parents=True)
    (tmp_path / "typescript" / "package.json").write_text(package, encoding="utf-8")
    assert Toolchain(tmp_path, None, compiler).sparing == options


def test_the_compiler_makes_one_checker_for_a_module(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def ask(tools: Toolchain, *arguments: str, cwd: Path) -> Run:
        asked.append(arguments)
        return Run((), 0, "", "")

    monkeypatch.setattr(Toolchain, "compile", ask)
    tools = toolchain(workspace.resolve())
    compile_strictly(Services(), tools, [tools.root / HOOK], {})
    (arguments,) = [a for a in asked if "--showConfig" not in a]
    assert arguments[1 : 1 + len(tools.sparing)] == tools.sparing


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where the compiler was asked."""
    asked: list[Path] = []
    really = Toolchain.compile

    def ask(tools: Toolchain, *arguments: str, cwd: Path) -> Run:
        if "--showConfig" not in arguments:
            asked.append(tools.root)
        return really(tools, *arguments, cwd=cwd)

    monkeypatch.setattr(Toolchain, "compile", ask)
    return asked


def compile_in(root: Path, cache: Path, module: str = HOOK) -> bool:
    """Compile a module, with what is known from other workspaces; whether it holds."""
    with Services(ProofCache(cache)) as services:
        tools = replace(toolchain(root), services=services)
        emitted_by(tools, root / module)
        return compile_strictly(services, tools, [root / module], {}).ok


def test_the_same_bytes_are_compiled_once_wherever_they_lie(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory, compiled: list[Path]
) -> None:
    other, cache = tmp_path_factory.mktemp("other") / "copy", tmp_path_factory.mktemp("cache")
    shutil.copytree(workspace, other)
    assert compile_in(workspace.resolve(), cache)
    assert len(compiled) == 2
    assert compile_in(other.resolve(), cache)
    assert len(compiled) == 2
    # what is not among its files counts too: settings elsewhere, a link, a package around it
    put(other, "tsconfig.json", '{"extends": "../settings.json", "include": []}')
    put(other.parent, "settings.json", "{}")
    assert compile_in(other.resolve(), cache)
    assert len(compiled) == 4
    third = tmp_path_factory.mktemp("third") / "copy"
    shutil.copytree(other, third)
    put(third.parent, "settings.json", '{"compilerOptions": {"target": "ES2015"}}')
    compile_in(third.resolve(), cache)
    assert compiled[4:] == [third.resolve()] * 2
    (other / "tsconfig.json").unlink()
    (other / "web/more.ts").symlink_to(other / HOOK)
    assert compile_in(other.resolve(), cache)
    assert len(compiled) == 8


def test_what_was_read_outside_a_workspace_has_to_be_the_same(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory, compiled: list[Path]
) -> None:
    cache = tmp_path_factory.mktemp("cache")
    put(
        workspace, "web/total.ts", "import { one } from '../../one';\nexport const n: number = one;"
    )
    roots = [tmp_path_factory.mktemp("place") / "copy" for _ in range(3)]
    for root, one in zip(roots, ("1", "1", "'1'"), strict=True):
        shutil.copytree(workspace, root)
        put(root.parent, "one.ts", f"export const one = {one};")
    held = [compile_in(root.resolve(), cache, "web/total.ts") for root in roots]
    assert held == [True, True, False]
    assert roots[1].resolve() not in compiled


# --- the compiler -------------------------------------------------------------------------------


def test_an_error_is_named_with_its_line(workspace: Path) -> None:
    change(workspace, "return count ?? 0;", "return count ?? 'none';")
    assert "hours.ts:" in detail(workspace, COMPILES)
    assert "TS2322" in detail(workspace, COMPILES)


def test_strictness_does_not_come_from_the_workspace(workspace: Path) -> None:
    put(workspace, "tsconfig.json", '{"compilerOptions": {"strict": false}, "include": []}')
    change(workspace, "return count ?? 0;", "return count;")
    assert verdict(workspace, COMPILES) == "failed"


def test_the_workspaces_own_project_is_compiled_too(workspace: Path) -> None:
    put(
        workspace,
        "tsconfig.json",
        '{"compilerOptions": {"target": "ES2022", "module": "ESNext", '
        '"moduleResolution": "bundler"}, "include": ["web"]}',
    )
    assert verdict(workspace, COMPILES) == "proven"
    put(workspace, "web/other.ts", "export const n: number = 'x';\n")
    assert "other.ts:1" in detail(workspace, COMPILES)


def test_an_import_that_is_not_there_is_an_error(workspace: Path) -> None:
    (workspace / "web/db/supabase.ts").unlink()
    assert verdict(workspace, COMPILES) == "failed"


def test_a_missing_file_is_no_pass(workspace: Path) -> None:
    (workspace / HOOK).unlink()
    assert verdict(workspace, COMPILES) == "failed"
    assert verdict(workspace, TYPES) == "failed"


def test_another_command_is_not_the_compiler(workspace: Path) -> None:
    (result,) = judge(workspace, "No TypeScript errors (`tsc; rm -rf /` passes)")
    assert result.verdict == "unproven"


def test_without_tools_nothing_is_proven(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrate_agents.checks.typescript.toolchain._tsc", lambda root: None)
    for statement in (COMPILES, TYPES, HANDLES):
        (result,) = judge(workspace, statement)
        assert result.verdict == "unproven"
        assert "npm install" in result.detail


# --- types --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "export async function findHours",
            "async function findHours",
            "does not export findHours",
        ),
        ("weekday?: string", "weekday: string", "listHours"),
        ("Promise<ClinicHour | null>", "Promise<ClinicHour | undefined>", "findHours"),
        ("Promise<ClinicHour[]>", "Promise<any>", "listHours"),
        ("  closes: string | null;\n", "", "keyof ClinicHour"),
        ("  closes: string | null;\n", "  closes: string;\n", 'ClinicHour["closes"]'),
        ("  closes: string | null;\n", "  closes: any;\n", 'ClinicHour["closes"]'),
        ("  closes: string | null;\n", "  closes?: string | null;\n", 'ClinicHour["closes"]'),
        ("  clinic: string;\n", "  clinic: string;\n  mood: string;\n", "keyof ClinicHour"),
        ("share_pct: number | null", "share_pct: string | null", 'ClinicHour["share_pct"]'),
    ],
)
def test_a_type_that_is_not_as_specified(workspace: Path, old: str, new: str, said: str) -> None:
    change(workspace, old, new)
    (result,) = judge(workspace, TYPES)
    assert result.verdict == "failed"
    assert said in result.detail


def test_a_comment_exports_nothing(workspace: Path) -> None:
    change(
        workspace,
        "export async function findHours",
        "// export async function findHours\nfunction f",
    )
    assert "does not export findHours" in detail(workspace, TYPES)


@pytest.mark.parametrize("silencer", ["// @ts-ignore", "/* @ts-expect-error */", "/// @ts-nocheck"])
def test_an_error_that_the_compiler_may_not_tell_is_no_absence_of_errors(
    workspace: Path, silencer: str
) -> None:
    text = (workspace / HOOK).read_text(encoding="utf-8")
    put(workspace, HOOK, f"{silencer}\nexport const wrong: number = 'no';\n{text}")
    assert f"{HOOK}:1 has @ts-" in detail(workspace, COMPILES)
    assert verdict(workspace, f"`{HOOK}` has no TypeScript errors") == "failed"


def test_words_about_silencing_are_no_silence(workspace: Path) -> None:
    text = (workspace / HOOK).read_text(encoding="utf-8")
    put(workspace, HOOK, f"// never use @ts-ignore\nexport const a = '// @ts-ignore';\n{text}")
    assert verdict(workspace, COMPILES) == "proven"


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        (f"`{HOOK}` exports `findHours` and `listHours`", "proven"),
        (f"`findHours` is exported from `{HOOK}`", "proven"),
        (f"`{HOOK}` exports the function `findHour`", "failed"),
    ],
)
def test_names_are_looked_for_among_the_exports(workspace: Path, claim: str, said: str) -> None:
    assert verdict(workspace, claim) == said


def test_a_name_in_a_comment_or_kept_to_the_module_is_no_export(workspace: Path) -> None:
    change(
        workspace, "export async function findHours", "// export {findHours}\nfunction findHours"
    )
    assert "does not export findHours" in detail(workspace, f"`{HOOK}` exports `findHours`")


def test_the_number_of_functions_is_counted(workspace: Path) -> None:
    claim = TYPES.replace("all three", "both")
    assert "says 2 functions, the specification has 3" in detail(workspace, claim)


def test_other_forms_of_the_same_types_hold(workspace: Path) -> None:
    change(workspace, "  closes: string | null;\n", '  "closes": null | string,\n')
    change(workspace, "Promise<ClinicHour[]>", "Promise<Array<ClinicHour>>")
    assert verdict(workspace, TYPES) == "proven"


def test_an_interface_is_held_against_its_table(workspace: Path) -> None:
    claim = "Include TypeScript interface `ClinicHour` matching the DB schema"
    assert "8 columns of clinic_hours" in detail(workspace, claim)
    change(workspace, "  opens: string | null;\n", "")
    assert verdict(workspace, claim) == "failed"
    assert verdict(workspace, claim.replace("ClinicHour", "Lamp")) == "failed"


# --- null and error states ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  if (error) throw new Error(`clinic_hours: ${error.message}`);\n", ""),
        ("throw new Error(`clinic_hours: ${error.message}`)", "return [] as never"),
        ("return (data ?? []) as ClinicHour[];", "return data as unknown as ClinicHour[];"),
    ],
)
def test_a_state_that_is_not_handled(workspace: Path, old: str, new: str) -> None:
    change(workspace, old, new)
    assert verdict(workspace, HANDLES) == "failed"


def test_a_swallowed_lost_connection_is_seen(workspace: Path) -> None:
    change(
        workspace,
        "const { data, error } = await query.order('clinic');",
        "const { data, error } = await query.order('clinic').then((a) => a, () => "
        "({ data: [], error: null }) as never);",
    )
    assert "unreachable" in detail(workspace, HANDLES)


def test_a_comment_handles_nothing(workspace: Path) -> None:
    change(workspace, "  if (error) throw", "  // if (error) throw")
    assert verdict(workspace, "All API/DB calls wrapped in try/catch or try/except") == "failed"


def test_a_function_that_is_not_there(workspace: Path) -> None:
    assert verdict(workspace, HANDLES.replace("listHours", "listLamps")) == "failed"


def test_a_function_that_never_gives_a_row_handles_nothing(workspace: Path) -> None:
    change(workspace, "return (data ?? []) as ClinicHour[];", "return [];")
    assert "where the database has a row" in detail(workspace, HANDLES)


def test_a_filter_on_another_column_is_seen(workspace: Path) -> None:
    text = (workspace / HOOK).read_text(encoding="utf-8")
    column = re.search(r"\.eq\('(\w+)', \1\)", text)
    assert column is not None, text
    change(workspace, column.group(), f".eq('note', {column.group(1)})")
    assert f"filters note by its argument {column.group(1)}" in detail(workspace, TYPES)


def test_another_table_is_seen(workspace: Path) -> None:
    change(workspace, ".from('clinic_hours')", ".from('opening_hours')")
    assert "asks opening_hours, its rows are of clinic_hours" in detail(workspace, TYPES)
