"""Check of test coverage: measured by the repository's own tool, in a copy."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from orchestrate_agents.checks.project.copies import source_files
from orchestrate_agents.checks.project.runners import (
    NODE_TEST,
    NoReportError,
    find_suites,
    parse_script,
)
from orchestrate_agents.checks.project.weakening import weakened
from orchestrate_agents.sandbox.proof_tree import workspace_copy, workspace_digest
from orchestrate_agents.sandbox.runs import Run, python_path, run
from orchestrate_agents.tools.declared import declared_packages
from orchestrate_agents.tools.node import NodePackages
from orchestrate_agents.tools.programs import find_missing, resolve_command
from orchestrate_agents.tools.python import python_of
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


@dataclass(frozen=True)
class Least:
    """`≥ 80 %`, `above 80 %`."""

    percent: float
    #: whether that percentage itself is too little
    above: bool

    def holds(self, percent: float) -> bool:
        return percent > self.percent if self.above else percent >= self.percent

    def __str__(self) -> str:
        return f"{'more than' if self.above else 'at least'} {self.percent:g} %"


_N = r"\d+(?:\.\d+)?\s*%"
_OVER = r"(?:>(?!=)|above|over|more than|greater than|exceeds|higher than)"


def _read_least(text: str) -> Least:
    number = re.search(r"\d+(?:\.\d+)?", text)
    assert number is not None
    return Least(float(number[0]), bool(re.match(_OVER, text, re.IGNORECASE)))


parameter_type(
    "lowest",
    rf"(?:(?:≥|>=|at least|no less than|not less than|a minimum of|minimum)\s*{_N}|"
    rf"(?:does not|doesn't|must not|may not|never) (?:drops?|falls?|goes?|sinks?) below\s*{_N}|"
    rf"{_OVER}\s*{_N}|{_N}\s*(?:\+|or (?:more|higher|above|better)))",
    _read_least,
)


@dataclass(frozen=True)
class Measured:
    """The shares of lines that ran: of all files together, and of each."""

    run: Run
    total: float | None
    files: dict[str, float]


@check(
    "[the] [overall|total] [(test|code|unit test|line|statement)] coverage "
    "[(is|of|stays|remains|reaches|at|is at)] {least:lowest}",
    "[the] [overall|total] [(test|code|unit test|line)] coverage (of|for|in) {where:path} "
    "[(is|stays|is at)] {least:lowest}",
    "{where:path} (has|is covered by tests to) {least:lowest} [(test|code|line)] [coverage]",
    "{least:lowest} [(test|code|unit test|line)] coverage [(of|for|in|on) {where:path}]",
    "[(test|code)] coverage meets [the] (threshold|target) \\({least:lowest}\\)",
    name="tests.coverage",
    slow=True,
    examples=("Test coverage ≥ 80%", "Coverage of `src/shop.py` is at least 90 %"),
)
def covered(ctx: Context, least: Least, where: str = "") -> Result:
    """The lines that ran while the tests passed, as coverage.py, vitest or jest report them."""
    suites = [s for s in find_suites(ctx) if s.language in ("python", "node")]
    if len(suites) != 1:
        return unproven(f"{len(suites)} suites of Python or Node are here; one can be measured")
    settings = ChecksSettings.model_validate(ctx.settings.get("checks", {}))
    key = ("coverage", workspace_digest(ctx.services, ctx.root), suites[0].script)

    def measure() -> Measured:
        if suites[0].language == "python":
            return _measure_python(ctx, settings.timeout)
        return _measure_node(ctx, suites[0].folder, suites[0].script, settings.timeout)

    try:
        seen = ctx.services.share(key, measure)
    except NoReportError as exc:
        return unproven(str(exc))
    if not seen.run.ok:
        if lack := find_missing(ctx, seen.run.code, seen.run.text):
            raise lack
        return unproven(f"the tests do not pass, so nothing is measured: {seen.run.ending}")
    percent = seen.total if not where else _share(seen.files, where)
    if percent is None:
        return unproven(f"no coverage is reported of {where or 'the tests'}")
    if lax := weakened(ctx, "coverage", "tests"):
        return unproven(f"{percent:.1f} %, but the work made it laxer: {'; '.join(lax[:5])}")
    tests = [p for p in source_files(ctx) if p.endswith(".py") or NODE_TEST.search(p)]
    said = f"{percent:.1f} % of the lines of {where or f'{len(seen.files)} files'} ran"
    return (proven if least.holds(percent) else failed)(f"{said}, wanted {least}", *tests[:500])


def _share(files: dict[str, float], where: str) -> float | None:
    """The least of the files there: each of them has to reach what is wanted."""
    top = where.rstrip("/")
    return min((n for p, n in files.items() if p == top or p.startswith(f"{top}/")), default=None)


def _measure_python(ctx: Context, limit: float) -> Measured:
    python = python_of(ctx)
    for package in ("coverage", "pytest"):
        if package not in python.packages:
            install = python.install(package, declared=package in declared_packages(ctx.root))
            raise MissingToolError(f"{package} is not installed for {python.label}", install)
    with workspace_copy(ctx.root) as copy, tempfile.TemporaryDirectory() as aside:
        words = [*python.command, "-m", "coverage"]
        data = f"--data-file={aside}/data"
        env = {**python.variables, "PYTHONPATH": python_path(copy), "ORCHESTRATE_SCRATCH": aside}
        # files that no test imports count too; tests do not
        scope = ["--source=.", "--omit=*/test_*,*_test.py,*/tests/*,*/conftest.py,setup.py,.venv/*"]
        tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
        ended = run([*words, "run", data, *scope, *tests], cwd=copy, env=env, limit=limit,
                    apart_from=ctx.root, write=[Path(aside)])  # fmt: skip
        if not ended.ok:
            return Measured(ended, None, {})
        out = Path(aside) / "out.json"
        export = run([*words, "json", data, "-o", str(out)], cwd=copy, env=env, limit=limit)
        if not out.is_file():
            return Measured(export, None, {})
        report = json.loads(out.read_text(encoding="utf-8"))
    files = {path: float(f["summary"]["percent_covered"]) for path, f in report["files"].items()}
    return Measured(ended, float(report["totals"]["percent_covered"]), files)


def _measure_node(ctx: Context, folder: str, script: str, limit: float) -> Measured:
    packages = NodePackages.of(ctx.root / folder)
    if packages is not None and not packages.installed:
        raise packages.lack("")
    scripts = {k: str(v) for k, v in (packages.scripts if packages else {}).items()}
    line, runner = parse_script(script, scripts)
    name = runner.begins.pattern
    with workspace_copy(ctx.root) as copy, tempfile.TemporaryDirectory() as aside:
        if "vitest" in name:
            options = "--run --coverage --coverage.reporter=json-summary"
            options += f" --coverage.reportsDirectory={aside}"
        elif "jest" in name:
            options = f"--coverage --coverageReporters=json-summary --coverageDirectory={aside}"
        else:
            raise NoReportError(f"coverage is read of vitest and jest, not of `{script}`")
        home = (copy / folder).resolve()
        _, variables, _ = resolve_command(ctx, ["node"])
        env = {"PATH": f"{home / 'node_modules' / '.bin'}:{variables['PATH']}", "CI": "1"}
        words = ["sh", "-c", line.replace("{options}", options)]
        ended = run(words, cwd=home, env=env, limit=limit, apart_from=ctx.root, write=[Path(aside)])
        out = Path(aside) / "coverage-summary.json"
        if not ended.ok or not out.is_file():
            return Measured(ended, None, {})
        report = json.loads(out.read_text(encoding="utf-8"))
    shares = {p: float(f["lines"]["pct"]) for p, f in report.items()}
    files = {p.removeprefix(f"{copy.resolve()}/"): n for p, n in shares.items() if p != "total"}
    return Measured(ended, shares.get("total"), files)
