"""The check over all programs of a ticket at once: no call's failure goes unnoticed."""

from __future__ import annotations

from orchestrate_agents.checks.code_subjects import delivered, existing
from orchestrate_agents.checks.python.behaviour import judge_handling
from orchestrate_agents.checks.typescript.hook_probe import hook_functions
from orchestrate_agents.checks.typescript.states import states_handled
from orchestrator.gates.checks import SEVERITY, Context, Result, Verdict, check, failed, proven


@check(
    "(all|every) (API/DB|DB/API|API|DB|network|database|API and DB|API and database) (calls|call) "
    "[(is|are)] [wrapped] in (try/catch|try/except|try/catch or try/except|"
    "try/except or try/catch)",
    "(all|every) (API/DB|DB/API|API and DB) (calls|call) (have|has) error handling",
    name="code.calls-handled",
    version=2,
    slow=True,
    examples=("All API/DB calls wrapped in try/catch or try/except",),
)
def all_calls_handled(ctx: Context) -> Result:
    """Python calls have handlers that report; TypeScript hooks throw every error on.

    The client library returns errors; a hook that does not throw them shows its page no data.
    """
    scripts = delivered(ctx, (".py",))
    hooks = {p: found for p in delivered(ctx, (".ts", ".tsx")) if (found := hook_functions(ctx, p))}
    missing = existing(ctx, (*scripts, *hooks))
    if isinstance(missing, Result):
        return missing
    if not scripts and not hooks:
        return failed("no delivered program calls an API or a database")
    results = [judge_handling(ctx, (path,)) for path in scripts]
    results += [states_handled(ctx, p, [s.name for s in found]) for p, found in hooks.items()]
    worst = min(results, key=lambda result: SEVERITY.index(result.verdict))
    if worst.verdict is not Verdict.PROVEN:
        return worst
    detail = "; ".join(f"{r.subjects[0]}: {r.detail}" for r in results)
    return proven(detail, *scripts, *hooks)
