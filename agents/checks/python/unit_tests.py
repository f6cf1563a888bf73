"""Checks of tests: run in a copy of the workspace, counted from the runner's own report."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

from orchestrate_agents.checks.data.subjects import Amount
from orchestrate_agents.sandbox.import_closure import closure
from orchestrate_agents.sandbox.runs import python_path, run, tree_copy, tree_digest
from orchestrate_agents.tools.lacks import find_lack, require_module
from orchestrate_agents.tools.python import Python, python_of
from orchestrator.config import ChecksSettings
from orchestrator.gates.checks import Context, Result, check, failed, proven

_LISTED = 5
#: characters kept of what is said of a test, and of how many tests
_TAIL, _KEPT = 2000, 200
_BELOW = "(in|of|under|below)"
_PASS = "(pass|succeed|are green) [with [a] 100% [pass] rate]"


@dataclass(frozen=True)
class PytestReport:
    """How a run of pytest ended, by its own report."""

    code: int | None
    ending: str
    #: tests that passed, that were skipped, and the names of those that did neither
    passed: int = 0
    skipped: int = 0
    broken: tuple[str, ...] = ()
    #: what was said of each test that is broken or skipped; where there is none, the output's end
    said: tuple[str, ...] = ()


@check(
    f"[all] [the] [new] [unit] tests {_BELOW} {{where:path}} {_PASS}",
    f"[all] [the] [new] [unit] tests {_BELOW} {{paths:paths}} {_PASS}",
    f"{{wanted:amount}} [new] [unit] tests {_BELOW} {{where:path}} {_PASS}",
    f"{{wanted:amount}} [new] [unit] tests {_BELOW} {{paths:paths}} {_PASS}",
    "pytest passes (in|on|for|with) {where:path}",
    name="tests.pass",
    slow=True,
    examples=(
        "All tests in `tests/unit/` pass",
        "The unit tests in `tests/test_a.py` and `tests/test_b.py` pass",
        "At least 40 tests in `tests/unit/` pass",
    ),
)
def pass_all(
    ctx: Context, where: str = "", paths: tuple[str, ...] = (), wanted: Amount | None = None
) -> Result:
    """pytest runs the tests there: every one that it finds passes, none is skipped."""
    chosen = paths or (where,)
    missing = [path for path in chosen if not ctx.path(path).exists()]
    if missing:
        return failed(f"{', '.join(missing)} is missing", *chosen)
    python = python_of(ctx)
    require_module(ctx, python, "pytest")
    files: list[str] = []
    for path in chosen:
        place = ctx.path(path)
        found = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        files += [file.relative_to(ctx.root).as_posix() for file in found]
    settings = ChecksSettings.model_validate(ctx.settings.get("checks", {}))
    # a test may read any file of the workspace
    key = ("tests.pass", *chosen, tree_digest(ctx.services, ctx.root), python.identity)
    report = ctx.services.remember(
        key, PytestReport, lambda: _run_pytest(ctx.root, python, chosen, settings.timeout)
    )
    lacks = [find_lack(ctx, python, said) for said in report.said]
    if lacks and lacks[0] is not None and all(lacks):
        # every test that did not pass did so for want of a package: none of them was tried
        raise lacks[0]
    judged = _judge_report(ctx, ", ".join(chosen), files, report, wanted or Amount(1))
    return replace(judged, detail=f"{judged.detail}; run with {python.label}")


def _judge_report(
    ctx: Context, named: str, files: Sequence[str], report: PytestReport, wanted: Amount
) -> Result:
    figures = {"passed": report.passed, "skipped": report.skipped, "broken": list(report.broken)}
    if report.broken:
        listed = "; ".join(report.broken[:_LISTED])
        said = f"{len(report.broken)} tests of {named} do not pass: {listed}"
        return failed(said, *files, **figures)
    if report.code != 0:
        return failed(f"the tests of {named} did not run to their end: {report.ending}", *files)
    if report.skipped:
        return failed(f"{report.skipped} tests of {named} are skipped", *files, **figures)
    judge = proven if wanted.holds(report.passed) else failed
    said = f"{report.passed} tests of {named} pass, wanted {wanted}; none fails, none is skipped"
    covered = {path for file in files for path in closure(ctx.root, file)}
    return judge(said, *sorted({*files, *covered}), **figures)


def _run_pytest(root: Path, python: Python, chosen: Sequence[str], limit: float) -> PytestReport:
    with tree_copy(root) as copy, tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        words = [*python.command, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        # a whole folder is run by several processes, where the plugin for that is installed
        if any(not path.endswith(".py") for path in chosen) and "xdist" in python.modules:
            words += ["-n", "auto"]
        env = {**python.variables, "PYTHONPATH": python_path(copy), "ORCHESTRATE_SCRATCH": folder}
        command = [*words, "-o", "junit_family=xunit1", f"--junitxml={report}", *chosen]
        ended = run(command, cwd=copy, env=env, limit=limit)
        passed, skipped, broken, said = 0, 0, [], []
        # the report is pytest's own, written a moment ago
        cases = ElementTree.parse(report).iter("testcase") if report.is_file() else ()  # noqa: S314
        for case in cases:
            kinds = {child.tag for child in case}
            if kinds & {"failure", "error", "skipped"}:
                texts = (f"{child.get('message')}\n{child.text}" for child in case)
                said.append("\n".join(texts)[-_TAIL:])
            if kinds & {"failure", "error"}:
                broken.append(f"{case.get('file') or case.get('classname')}::{case.get('name')}")
            elif "skipped" in kinds:
                skipped += 1
            else:
                passed += 1
        if not ended.ok and not said:
            said.append(ended.text[-_TAIL:])
        return PytestReport(
            ended.code, ended.ending, passed, skipped, tuple(broken), tuple(said[:_KEPT])
        )
