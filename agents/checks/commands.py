"""The generic check: a command that a statement quotes, if the configuration allows it.

A statement is somebody's text, so nothing in it is run just because it is quoted: `[checks]
commands` of `orchestrate.toml` must list the same command. It runs without a shell and
keys, with the workspace's own Python and Node packages.
"""

from __future__ import annotations

import re
import shlex
import time

from orchestrate_agents.checks.code_subjects import delivered
from orchestrate_agents.checks.typescript.compiler import compiles
from orchestrate_agents.checks.typescript.toolchain import SUFFIXES
from orchestrate_agents.sandbox.runs import run
from orchestrate_agents.tools.programs import find_missing, resolve_command
from orchestrator.config import ChecksSettings
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

# several words, or one that cannot be a path
parameter_type("command", r"`(?:[^`\s]+\s[^`]*|(?!test_)[\w+-]+)`", lambda text: text.strip("` "))
_COMPILER = re.compile(r"(?:npx\s+)?tsc(?:\s+--(?:noEmit|strict))*")


@check(
    "[(run|running)] {command:command} (passes|succeeds|is green|ends well|"
    "(exits|ends|returns) [with] [(code|status)] [exit code] 0|"
    "(runs|completes|finishes) [(without|with no) (error|errors)|cleanly|successfully]|"
    "(reports|finds|gives|shows) no (error|errors|problem|problems|warning|warnings))",
    name="command.passes",
    slow=True,
    examples=("`ruff check .` passes", "`npm run build` succeeds", "`make lint` exits with 0"),
)
def passes(ctx: Context, command: str) -> Result:
    """The command, allowed word for word by `[checks] commands`, ends with exit code 0."""
    settings = ChecksSettings.model_validate(ctx.settings.get("checks", {}))
    if command not in settings.commands:
        if _COMPILER.fullmatch(command):
            return compiles(ctx, delivered(ctx, SUFFIXES))
        return unproven(
            f"`{command}` is not run: `[checks] commands` in orchestrate.toml does not allow it"
        )
    start = time.monotonic()
    try:
        words, variables, label = resolve_command(ctx, shlex.split(command))
        ended = run(words, cwd=ctx.root, env=variables, limit=settings.timeout)
    except ValueError as exc:
        return failed(f"`{command}` cannot be split into words: {exc}")
    except MissingToolError as exc:
        return unproven(f"`{command}` cannot be started: {exc.message}", install=exc.command)
    except OSError as exc:
        return unproven(f"`{command}` cannot be started: {exc.strerror}")
    seconds = round(time.monotonic() - start, 1)
    if not ended.ok and (lack := find_missing(ctx, ended.code, ended.text)):
        said = f"`{command}`: {lack.message}"
        return unproven(said, install=lack.command, **ended.to_dict(), seconds=seconds)
    # a command may look at everything that the family's agents made, so the proof is about that
    subjects = sorted(path for path in ctx.artifacts if ctx.path(path).is_file())
    judge = proven if ended.ok else failed
    with_label = f"`{command}` with {label}" if label else f"`{command}`"
    return judge(f"{with_label}: {ended.ending}", *subjects, **ended.to_dict(), seconds=seconds)
