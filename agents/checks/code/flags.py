"""Checks of command line flags and of the environment's variables that programs read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from orchestrate_agents.checks.code.declared import PYTHON, READ
from orchestrate_agents.checks.text.kinds import Kind
from orchestrate_agents.checks.text.tree import Area, Source, files_of, read_source, resolve
from orchestrate_agents.syntax import parsed
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

_FLAG = r"`-{1,2}[A-Za-z][\w-]*`"
parameter_type(
    "flags",
    rf"{_FLAG}(?:\s*(?:,\s*and\s+|,\s*|\s+and\s+){_FLAG})*",
    lambda t: tuple(re.findall(r"`([^`]+)`", t)),
)
parameter_type("cli", r"(?:the\s+)?(?:CLI|command line(?: interface)?|program|tool)", str.lower)
#: calls that declare a flag in Python: argparse, click, typer, optparse
_DECLARES = ("add_argument", "option", "Option", "add_option", "Argument")
_JS_OPTION = r"\.(?:option|addOption|requiredOption|flag|boolean|string)\s*\(\s*(?:new\s+\w+\()?"
_FLAG_NOUN = "(flag|flags|option|options|switch|argument)"
_TAKES = "(has|supports|accepts|takes|offers|provides)"


@check(
    f"{{path:program}} {_TAKES} [(a|an|the)] [new] {{flags:flags}} {_FLAG_NOUN}",
    "{path:program} (supports|accepts|takes) {flags:flags}",
    f"{{cli:cli}} {_TAKES} [(a|an|the)] [new] {{flags:flags}} [{_FLAG_NOUN}]",
    f"[the] {{flags:flags}} {_FLAG_NOUN} (is|are) (supported|accepted|available|implemented) "
    "[(in|by) {path:program}]",
    f"[the] {{flags:flags}} {_FLAG_NOUN} (exists|exist) [in {{path:program}}]",
    name="code.flags",
    examples=("`--json` flag is supported by `cli.py`", "The CLI has a `--dry-run` flag"),
)
def has_flags(ctx: Context, flags: tuple[str, ...], path: str = "", cli: str = "") -> Result:
    """A call that declares options names the flag in code; other ways leave it unproven."""
    area = Area("paths", (path,)) if path else Area("product")
    paths = files_of(ctx, area)
    if isinstance(paths, Result):
        return paths
    sources = [
        s for p in paths if p.endswith(READ) and isinstance(s := read_source(ctx, p), Source)
    ]
    said = []
    for flag in flags:
        place = next(filter(None, (_declared(s, flag) for s in sources)), "")
        if not place:
            near = next((s.path for s in sources if flag.lstrip("-") in s.text), "")
            implied = any(re.search(r"\b(?:typer|fire|click|yargs)\b", s.text) for s in sources)
            if near or implied or not sources:
                return unproven(f"no call declares {flag} in {path or cli or 'the code'}; {near}")
            return failed(f"{path or 'the code'} does not declare {flag}", *paths[:20])
        said.append(f"{flag} at {place}")
    return proven(", ".join(said), *dict.fromkeys(p.split(" at ")[1].split(":")[0] for p in said))


def _declared(source: Source, flag: str) -> str:
    """Where a call declares a flag, "" if none does."""
    if not source.path.endswith(PYTHON):
        found = re.search(
            rf"{_JS_OPTION}[\"'`][^\"'`]*(?<![\w-]){re.escape(flag)}(?![\w-])", source.text
        )
        if found and source.parts.kind(found.start()) is Kind.CODE:
            return f"{source.path}:{source.line(found.start())}"
        return ""
    for node in _walk(source):
        if not isinstance(node, ast.Call):
            continue
        called = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        words = [
            a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)
        ]
        if called in _DECLARES and flag in [part for word in words for part in word.split("/")]:
            return f"{source.path}:{node.lineno}"
    return ""


def _walk(source: Source) -> Iterator[ast.AST]:
    try:
        yield from ast.walk(parsed(source.text, source.path))
    except (SyntaxError, ValueError, RecursionError):
        return


# -- the environment -------------------------------------------------------------------------------

_ENV = (
    re.compile(
        r"\b(?:process\.env|import\.meta\.env)(?:\.([A-Z][A-Z0-9_]*)|\[[\"']([A-Z]\w*)[\"']\])"
    ),
    re.compile(r"\benviron(?:\.get\(|\[)\s*[\"'](\w+)[\"']|\bgetenv\(\s*[\"'](\w+)[\"']"),
)
#: given by the platform, in no list of one's own
_GIVEN = frozenset(("NODE_ENV", "PATH", "HOME", "CI", "PWD", "MODE", "DEV", "PROD", "SSR"))


@check(
    "(all|every|each) [used] (environment variable|environment variables|env var|"
    "env vars|env variable|env variables) [(used|read) (by|in) the code] (is|are) "
    "(documented|listed|described|in|included) [in] {path:place}",
    "{path:place} (lists|documents|contains|has|names) (all|every) [used] "
    "(environment variable|environment variables|env var|env vars) [that the code reads]",
    name="code.environment",
    examples=("All environment variables are listed in `.env.example`",),
)
def environment_listed(ctx: Context, path: str) -> Result:
    """Every variable that code without tests reads by name stands in the file."""
    target = resolve(ctx, path)
    if not ctx.path(target).is_file():
        return failed(f"{target} is missing", target)
    listed = read_source(ctx, target)
    if isinstance(listed, str):
        return unproven(listed, target)
    found = _variables_read(ctx)
    if isinstance(found, Result):
        return found
    used, unclear = found
    words = set(re.findall(r"\b[A-Za-z_]\w*\b", listed.text))
    lacking = [f"{n} ({at})" for n, at in used.items() if n not in words | _GIVEN]
    if lacking:
        return failed(f"{target} lacks {', '.join(lacking[:8])}", target)
    if unclear or not used:
        return unproven(unclear or "the code reads no variable that can be seen", target)
    return proven(f"{target} has all {len(used)}: {', '.join(sorted(used)[:12])}", target)


def _variables_read(ctx: Context) -> tuple[dict[str, str], str] | Result:
    """Variable → where code without tests reads it by name, and why there may be more."""
    paths = files_of(ctx, Area("product"))
    if isinstance(paths, Result):
        return paths
    used: dict[str, str] = {}
    unclear = ""
    for source in (read_source(ctx, p) for p in paths if p.endswith((*READ, ".vue", ".svelte"))):
        if isinstance(source, str):
            continue
        for pattern in _ENV:
            for found in pattern.finditer(source.text):
                name = next(filter(None, found.groups()), "")
                at = f"{source.path}:{source.line(found.start())}"
                if source.parts.kind(found.start()) is not Kind.COMMENT:
                    used.setdefault(name, at)
        if re.search(
            r"process\.env\[[^\"']|environ\[[^\"']|BaseSettings|environ\.get\([^\"'\s]", source.text
        ):
            unclear = unclear or f"{source.path} reads variables by names that are not written out"
    return used, unclear


@check(
    "{variable:envname} is read from [the] (environment|env|environment variables)",
    "[the] [environment variable] {variable:envname} (is read|is used) by the (code|app|program)",
    "[the] (code|app|program|application) reads [the] [(environment|env) variable] "
    "{variable:envname} [from the environment]",
    name="code.reads-environment",
    examples=("`DATABASE_URL` is read from the environment",),
)
def reads_environment(ctx: Context, variable: str) -> Result:
    """Code without tests and comments reads a variable of that name."""
    found = _variables_read(ctx)
    if isinstance(found, Result):
        return found
    used, unclear = found
    if variable in used:
        return proven(f"{used[variable]} reads {variable}", used[variable].rpartition(":")[0])
    # a library of settings may read it by the name of a field
    return unproven(unclear or f"no code that can be seen reads {variable} by its name")


parameter_type("envname", r"`[A-Z][A-Z0-9_]+`", lambda text: text.strip("`"))
