"""Checks of lint, formatting, types and build by the tools that the repository configures.

They run in a copy and change nothing: a formatter only says what it would change.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrate_agents.checks.project.copies import source_files
from orchestrate_agents.checks.project.known_tools import TOOLS, Tool
from orchestrate_agents.checks.project.scripts import find_script, spoil_code
from orchestrate_agents.checks.project.start import text_now
from orchestrate_agents.checks.project.weakening import weakened
from orchestrate_agents.sandbox.proof_tree import workspace_copy, workspace_digest
from orchestrate_agents.sandbox.runs import Run, python_path, run
from orchestrate_agents.tools.node import NodePackages
from orchestrate_agents.tools.programs import find_missing, resolve_command
from orchestrate_agents.tools.python import python_of
from orchestrate_agents.tools.shadows import require_no_shadow
from orchestrator.errors import MissingToolError
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)
from orchestrator.settings.tables import ChecksSettings

#: files in which a formatter of Python is chosen without a table of its own
_CHOICES = ("Makefile", "justfile", ".pre-commit-config.yaml", "tox.ini", "noxfile.py")
_PROGRAMS = sorted({tool.program for tool in TOOLS} - {"go", "cargo"})
_NAMES = "|".join(sorted(_PROGRAMS, key=len, reverse=True))
_SHOWN = {"lint": "linter", "format": "formatter", "types": "type checker", "build": "build"}
parameter_type("lintool", rf"(?:{_NAMES})", str.lower)
_SEVERITY = r"(?:errors?|warnings?|issues?|problems?|violations?|findings?)"
parameter_type("severity", rf"{_SEVERITY}(?:\s*(?:or|and|/)\s*{_SEVERITY})?", str.lower)
parameter_type("newly", r"(?:new|additional)")

_CLEAN = (
    "(passes|pass|passing|succeeds|succeed|is clean|are clean|clean|is green|green|runs clean|"
    "completes|works)"
)
_WITHOUT = "[(cleanly|successfully)] [(without|with no|with zero|with 0) [any] {free:severity}]"
_NO = "[there are] (no|zero|0) [{new:newly}]"


@check(
    f"(lint|linting|the linter|linter|linters|lint checks|the lint check|lint check) {_CLEAN} "
    f"{_WITHOUT} [(in|on|for|of) {{where:path}}]",
    f"{{tool:lintool}} {_CLEAN} {_WITHOUT} [(in|on|for|of) {{where:path}}]",
    f"{_NO} (lint|linting|linter|{{tool:lintool}}) {{free:severity}} [(introduced|added|left)] "
    "[(in|on) {where:path}]",
    "{where:path} (has|have) (no|zero|0) (lint|linting|linter|{tool:lintool}) {free:severity}",
    "{tool:lintool} (reports|finds) (no|zero|0) {free:severity} [(in|on|for) {where:path}]",
    f"[all] [the] (code|files) passes (lint|linting|the linter|lint checks) {_WITHOUT}",
    name="tools.lint",
    slow=True,
    examples=(
        "Lint passes with no warnings",
        "ESLint is clean",
        "No lint errors in `src/`",
        "mypy passes",
    ),
)
def lint(ctx: Context, tool: str = "", where: str = "", free: str = "", new: str = "") -> Result:
    """The linters that the repository configures (or the named tool) report nothing."""
    purpose = next((t.purpose for t in TOOLS if t.program == tool), "lint")
    return judge_tools(ctx, purpose, tool, where, strict="warning" in free, new=bool(new))


@check(
    "[all] [the] (code|files) (is|are) [properly|correctly] formatted [(with|by) {tool:lintool}]",
    f"(formatting|format check|the format check|code formatting) {_CLEAN}",
    f"{_NO} (formatting|format) (errors|issues|changes|violations|differences)",
    "{tool:lintool} (formatted|formatting passes|formatting is clean|format check passes|"
    "check passes)",
    name="tools.format",
    slow=True,
    examples=("The code is formatted with black", "Formatting is clean"),
)
def formatted(ctx: Context, tool: str = "", new: str = "") -> Result:
    """The formatters that the repository configures (or the named one) would change nothing."""
    return judge_tools(ctx, "format", tool, new=bool(new))


@check(
    f"(type check|type-check|typecheck|type checking|type-checking|typechecking|the type checker|"
    f"types|type checks|[the] TypeScript (typecheck|type check|check)) {_CLEAN} {_WITHOUT}",
    "[all] [the] (code|types) (type-checks|typechecks|type checks|type check)",
    f"{_NO} (type|typing|type checking) {{free:severity}} [(introduced|added|left)] "
    "[(in|on) {where:path}]",
    "[there are] (no|zero|0) {new:newly} TypeScript {free:severity} [(introduced|added)]",
    "[there are] (zero|0) TypeScript {free:severity}",
    "TypeScript: (no|zero|0) {free:severity}",
    "[there are] (no|zero|0) TypeScript (compilation|compiler|type) errors",
    name="tools.types",
    slow=True,
    examples=("Type check passes", "No type errors"),
)
def types(ctx: Context, where: str = "", free: str = "", new: str = "") -> Result:
    """The type checkers that the repository configures report nothing."""
    return judge_tools(ctx, "types", "", where, strict="warning" in free, new=bool(new))


@check(
    "[the] [(project|app|application|package|code|production|repository)] (builds|build passes|"
    "build succeeds|build works|build is green|build completes|build is clean|compiles) "
    f"{_WITHOUT}",
    f"(it|everything) (builds|compiles) {_WITHOUT}",
    f"{_NO} build (errors|failures)",
    name="tools.build",
    slow=True,
    examples=("The project builds", "Build succeeds without errors", "No build errors"),
)
def builds(ctx: Context, free: str = "", new: str = "") -> Result:
    """The repository's own build runs in a copy, ends with exit code 0, and leaves files."""
    return judge_tools(ctx, "build", "", strict="warning" in free, new=bool(new))


# -- which tools ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    """A command that is to be run in a folder, and what it is called."""

    folder: str
    words: tuple[str, ...]
    shown: str
    stops: tuple[int, ...] = ()
    #: whether it is a script, which may look at anything or nothing
    scripted: bool = False


def judge_tools(
    ctx: Context,
    purpose: str,
    tool: str = "",
    where: str = "",
    *,
    strict: bool = False,
    new: bool = False,
) -> Result:
    """Run the tools for a purpose. Raises MissingToolError."""
    if where and not ctx.path(where).exists():
        return failed(f"{where} is missing", where)
    files = source_files(ctx)
    jobs = _jobs(ctx, files, purpose, tool, where, strict)
    if isinstance(jobs, str):
        return unproven(jobs)
    if not jobs:
        tools = [t for t in TOOLS if t.purpose == purpose]
        fitting = [t for t in tools if any(path.endswith(t.reads) for path in files)]
        known = sorted({t.program for t in fitting or tools})
        return unproven(
            f"no {tool or _SHOWN[purpose]} is configured for files that are here (known:"
            f" {', '.join(known)}); configure one, or name the command in the statement"
        )
    shown = []
    for job in jobs:
        ended, made, blind = _run_job(ctx, job, files, purpose)
        bad = _judge_job(ctx, job, purpose, ended, made, strict=strict, new=new)
        if bad is None and blind:
            bad = unproven(f"`{job.shown}` proves nothing: {blind}")
        if bad is not None:
            return bad
        shown.append(f"`{job.shown}`: {'nothing to report' if purpose != 'build' else 'exit 0'}")
    if lax := weakened(ctx, purpose):
        return unproven(f"{'; '.join(shown)}; but the work made it laxer: {'; '.join(lax[:5])}")
    reads = tuple(e for t in TOOLS if t.purpose == purpose for e in t.reads)
    seen = [p for p in files if p.endswith(reads) and (not where or p.startswith(where))]
    changed = [p for p in seen if p in ctx.artifacts]
    return proven("; ".join(shown), *changed, files=len(seen))


def _jobs(
    ctx: Context, files: Sequence[str], purpose: str, tool: str, where: str, strict: bool
) -> list[_Job] | str:
    """What is to be run; a text where a script is there that cannot be relied on."""
    found: list[_Job] = []
    if not tool and not where and (script := find_script(ctx.root, files, purpose)):
        if isinstance(script, str):
            return script
        home, name, text = script
        words = ("npm", "run", "--silent", name)
        found.append(_Job(home, words, f"npm run {name} ({text})", scripted=True))
    for known in TOOLS:
        if known.purpose != purpose or (tool and known.program != tool):
            continue
        if found and set(known.reads) & {".ts"}:
            continue
        homes = [""] if tool else _configured(ctx.root, files, known)
        for home in homes:
            if not any(p.endswith(known.reads) and p.startswith(home) for p in files):
                continue
            place = where.removeprefix(home) or "."
            if known.program == "mypy" and not where and _mypy_files(ctx.root / home):
                place = ""
            line = known.words.format(where=place) + (f" {known.strict}" if strict else "")
            found.append(_Job(home, tuple(line.split()), line.strip(), known.stops))
    project = text_now(ctx.root, "pyproject.toml") or ""
    if purpose == "build" and not found and "[build-system]" in project:
        line = "python -m pip wheel --no-deps --no-build-isolation -w built ."
        found.append(_Job("", tuple(line.split()), line))
    return found


def _configured(root: Path, files: Sequence[str], tool: Tool) -> list[str]:
    """The folders (two deep) in which a tool is configured."""
    homes = set()
    for path in files:
        home, _, name = path.rpartition("/")
        if home.count("/") > 1:
            continue
        known = bool(re.search(tool.files, name))
        if name in ("pyproject.toml", "setup.cfg", "tox.ini", "package.json") and tool.tables:
            text = text_now(root, path) or ""
            known = known or any(re.search(_table(t, name), text) for t in tool.tables)
        if tool.program == "ruff" and tool.purpose == "format":
            text = text_now(root, path) or "" if name in (*_CHOICES, "pyproject.toml") else ""
            known = bool(re.search(r"\[tool\.ruff\.format\]|ruff[ -]format", text))
        if known:
            homes.add(f"{home}/" if home else "")
    return [""] if "" in homes else sorted(homes)


def _table(name: str, file: str) -> str:
    if file == "package.json":
        return rf'"{re.escape(name)}"\s*:'
    return rf"(?m)^\[{re.escape(name)}[\].]"


def _mypy_files(home: Path) -> bool:
    """Whether mypy's settings say what it looks at."""
    try:
        table = tomllib.loads((home / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        table = {}
    own = table.get("tool", {}).get("mypy", {})
    texts = [text_now(home, name) or "" for name in ("mypy.ini", ".mypy.ini", "setup.cfg")]
    return any(k in own for k in ("files", "packages", "modules")) or any(
        re.search(r"(?m)^(?:files|packages|modules)\s*=", text) for text in texts
    )


# -- running them ---------------------------------------------------------------------------------


def _run_job(ctx: Context, job: _Job, files: Sequence[str], purpose: str) -> tuple[Run, int, str]:
    """How it ended, how many files a build left, and why a script's good end says nothing."""
    settings = ChecksSettings.model_validate(ctx.settings.get("checks", {}))
    words, variables = _resolve(ctx, job)
    identity = repr((words, sorted(variables.items())))

    def start(copy: Path) -> Run:
        home = copy / job.folder
        path = f"{home.resolve() / 'node_modules' / '.bin'}:{variables.get('PATH', '')}"
        env = {**variables, "PATH": path, "CI": "1", "PYTHONPATH": python_path(home)}
        return run(words, cwd=home, env=env, limit=settings.timeout, apart_from=ctx.root)

    def make() -> tuple[Run, int, str]:
        with workspace_copy(ctx.root) as copy:
            before = _stamps(copy) if purpose == "build" else {}
            ended = start(copy)
            after = _stamps(copy) if purpose == "build" else {}
        made, blind = len(after.items() - before.items()), ""
        if ended.ok and job.scripted:
            with workspace_copy(ctx.root) as copy:
                if not spoil_code(copy, files, purpose, job.shown):
                    blind = "there is no code that it could look at"
                elif start(copy).ok:
                    blind = "it also succeeds where the code is none"
        return ended, made, blind

    key = ("tool", job.folder, job.shown, identity, workspace_digest(ctx.services, ctx.root))
    return ctx.services.remember(key, tuple[Run, int, str], make)


def _stamps(copy: Path) -> dict[str, int]:
    """The files of a copy, each with its time."""
    found = (p for p in copy.rglob("*") if not {"node_modules", ".venv", "venv"} & {*p.parts})
    return {str(p): p.stat().st_mtime_ns for p in found if p.is_file()}


def _resolve(ctx: Context, job: _Job) -> tuple[list[str], dict[str, str]]:
    """The words to start. Raises MissingToolError."""
    program = job.words[0]
    python = None
    if any(t.program == program and ".py" in t.reads for t in TOOLS):
        python = python_of(ctx)
    if python and program in python.packages:
        require_no_shadow(ctx.root / job.folder, python.variables.get("PATH", ""), job.words)
        return [*python.command, "-m", *job.words], dict(python.variables)
    node = NodePackages.of(ctx.root / job.folder)
    if node is not None and program in ("eslint", "biome", "prettier", "tsc", "npm"):
        package = {"tsc": "typescript", "biome": "@biomejs/biome"}.get(program, program)
        if not node.installed or (program != "npm" and not node.has(package)):
            raise node.lack(package)
    words, variables, _ = resolve_command(ctx, job.words)
    return words, variables


def _judge_job(
    ctx: Context, job: _Job, purpose: str, ended: Run, made: int, *, strict: bool, new: bool
) -> Result | None:
    """What speaks against it, None if nothing does."""
    if not ended.ok and (lack := find_missing(ctx, ended.code, ended.text)):
        raise MissingToolError(f"`{job.shown}`: {lack.message}", lack.command)
    if backend := re.search(r"BackendUnavailable: Cannot import '(\w+)", ended.text):
        install = python_of(ctx).install(backend[1], declared=False)
        raise MissingToolError(f"`{job.shown}`: {backend[1]} is not installed", install)
    if ended.code is None or ended.code in job.stops:
        return unproven(f"`{job.shown}` did not run to its end: {ended.ending}", **ended.to_dict())
    if not ended.ok:
        lines = [ln.strip() for ln in ended.text.splitlines() if ln.strip()]
        said = f"`{job.shown}` (exit {ended.code}): {' | '.join(lines[:6])[:600]}"
        if new:
            said = f"which of these are new is not looked at: {said}"
            return unproven(said, **ended.to_dict())
        return failed(said, **ended.to_dict())
    if purpose == "build":
        warned = re.search(r"(?im)^.*\bwarn(?:ing)?s?\b.*$", ended.text) if strict else None
        if warned and not re.search(r"(?i)\b(?:0|no) warnings?", warned[0]):
            return failed(f"`{job.shown}` warns: {warned[0].strip()[:300]}", **ended.to_dict())
        if not made and "noEmit" not in job.shown and not job.shown.startswith(("go", "cargo")):
            return unproven(f"`{job.shown}` ends well and makes no file", **ended.to_dict())
    return None
