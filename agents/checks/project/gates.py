"""Several of a repository's gates in one claim: "Lint, typecheck and tests pass"."""

from __future__ import annotations

import re

from orchestrate_agents.checks.project.chosen import JOINED
from orchestrate_agents.checks.project.suites import pass_all
from orchestrate_agents.checks.project.tooling import judge_tools
from orchestrator.gates.checks import SEVERITY, Context, Result, check, parameter_type

_GATES = {
    "test": "tests",
    "lint": "lint",
    "type": "types",
    "build": "build",
    "format": "format",
}
_GATE = (
    r"(?:(?:the )?(?:tests|test suite|test|linting|linter|lint|type[- ]?check(?:s|ing)?|"
    r"types|build|formatting|format check|format))"
)
parameter_type(
    "gates",
    rf"(?:all )?{_GATE}(?:{JOINED}{_GATE})+",
    lambda text: tuple(
        dict.fromkeys(
            next(gate for begins, gate in _GATES.items() if begins in part.lower())
            for part in re.split(JOINED, text)
            if part.strip()
        )
    ),
)


@check(
    "{gates:gates} [all] (pass|passes|passing|succeed|are green|green|are clean|clean)",
    "[all] (quality gates|checks) pass \\({gates:gates}\\)",
    name="tools.several",
    slow=True,
    examples=("Lint, typecheck and tests pass", "Tests, lint and build are green"),
)
def several(ctx: Context, gates: tuple[str, ...]) -> Result:
    """Each of the named gates by the repository's own tools, as in a statement of its own."""
    results = [pass_all(ctx) if gate == "tests" else judge_tools(ctx, gate) for gate in gates]
    worst = min(results, key=lambda result: SEVERITY.index(result.verdict))
    detail = "; ".join(f"{g}: {r.detail}" for g, r in zip(gates, results, strict=True))
    subjects = sorted({path for result in results for path in result.subjects})
    return Result(worst.verdict, detail, tuple(subjects))
