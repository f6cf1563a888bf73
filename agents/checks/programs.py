"""Checks of one named program: it runs, and it may run again."""

from __future__ import annotations

import re

from orchestrate_agents.checks.python.behaviour import judge_idempotent, run_trial
from orchestrate_agents.tools.python import python_of
from orchestrator.gates.checks import Context, Result, check, failed, parameter_type, proven

_SCRIPT = r"`?[\w.@+-]*(?:/[\w.@+-]+)*\.py`?"
_AND = r"\s*(?:,\s*and\s+|,|\s+and\s+)\s*"
parameter_type("script", _SCRIPT, lambda text: text.strip("`"))
parameter_type(
    "scripts",
    rf"{_SCRIPT}(?:{_AND}{_SCRIPT})+",
    lambda text: tuple(part.strip(" `") for part in re.split(_AND, text)),
)


@check(
    "{path:script} (runs|executes) [(without|with no) (error|errors)|cleanly|successfully]",
    "{path:script} (exits|ends) [with] [(code|status)] 0",
    name="python.runs",
    version=2,
    slow=True,
    examples=("`tools/report.py` runs without error",),
)
def runs_without_error(ctx: Context, path: str) -> Result:
    """The program ends with exit code 0 in a copy of the workspace, on a trial database."""
    if not ctx.path(path).is_file():
        return failed(f"{path} is missing", path)
    run = run_trial(ctx, path).first.run
    judge = proven if run.ok and "Traceback" not in run.err else failed
    said = f"{path} with {python_of(ctx).label}: {run.ending}"
    return judge(said, path, **run.to_dict())


@check(
    "{path:script} is (idempotent|re-runnable|safe to (re-run|run twice))",
    "(run|running) {path:script} (again|a second time) (changes nothing|changes no row|"
    "adds nothing|adds no row|has no effect|doubles nothing)",
    "(run|running) {path:script} twice (changes no row|adds nothing|adds no row|has no effect|"
    "doubles nothing)",
    "{path:script} (can be run|may be run|runs) (twice|again|a second time) "
    "[(without|with no) (error|errors|duplicates|doubling rows|change|changes)]",
    name="python.rerun",
    version=2,
    slow=True,
    examples=("Running `tools/load.py` again changes nothing", "`tools/load.py` is idempotent"),
)
def changes_nothing_again(ctx: Context, path: str) -> Result:
    """The program is run twice on a trial database, and leaves the rows of its first run."""
    return judge_idempotent(ctx, path)
