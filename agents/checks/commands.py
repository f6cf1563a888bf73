"""The generic check: a command that a statement quotes, if the configuration allows it.

A statement is somebody's text, so nothing in it is run just because it is quoted: `[checks]
commands` of `orchestrate.toml` must list the same command. It runs without a shell and keys.
"""

from __future__ import annotations

import re
import shlex
import time

from orchestrate_agents.checks.code_subjects import delivered
from orchestrate_agents.checks.typescript.compiler import compiles
from orchestrate_agents.checks.typescript.toolchain import SUFFIXES
from orchestrate_agents.sandbox.runs import run
from orchestrator.config import ChecksSettings
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
parameter_type("command", r"`(?:[^`\s]+\s[^`]*|[\w+-]+)`", lambda text: text.strip("` "))
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
        ended = run(shlex.split(command), cwd=ctx.root, limit=settings.timeout)
    except ValueError as exc:
        return failed(f"`{command}` cannot be split into words: {exc}")
    except OSError as exc:
        return unproven(f"`{command}` cannot be started: {exc.strerror}")
    seconds = round(time.monotonic() - start, 1)
    # a command may look at everything that the family's agents made, so the proof is about that
    subjects = sorted(path for path in ctx.artifacts if ctx.path(path).is_file())
    judge = proven if ended.ok else failed
    return judge(f"`{command}`: {ended.ending}", *subjects, **ended.to_dict(), seconds=seconds)
