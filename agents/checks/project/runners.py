"""The test runners of a repository: found, run in a copy, and read by their own reports.

An exit code says nothing of what was tried, so a test script counts only where the runner that it
starts writes a report: `exit 0` proves nothing.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

from orchestrate_agents.checks.project.copies import source_files
from orchestrate_agents.sandbox.proof_tree import workspace_copy, workspace_digest
from orchestrate_agents.sandbox.runs import Run, python_path, run
from orchestrate_agents.tools.lacks import require_module
from orchestrate_agents.tools.node import NodePackages
from orchestrate_agents.tools.programs import resolve_command
from orchestrate_agents.tools.python import find_python
from orchestrate_agents.tools.shadows import require_no_shadow
from orchestrate_agents.tools.unchanged import require_unchanged
from orchestrator.errors import MissingToolError
from orchestrator.gates.checks import Context
from orchestrator.settings.tables import ChecksSettings

#: characters kept of what is said of a test
_TAIL = 2000
#: folders with tests in which a failing one is tried
_PROBED = 3
#: test files that one process runs sooner than several
_FEW = 20
PYTHON_TEST = re.compile(r"(?:^|/)(?:test_[^/]*|[^/]*_test)\.py$")
NODE_TEST = re.compile(r"\.(?:test|spec)\.[cm]?[jt]sx?$|(?:^|/)__tests__/[^/]+\.[cm]?[jt]sx?$")


@dataclass(frozen=True)
class Case:
    """One test as its runner reports it: passed, failed or skipped."""

    file: str
    name: str
    outcome: str
    said: str = ""

    def __str__(self) -> str:
        return f"{self.file}::{self.name}" if self.file else self.name


@dataclass(frozen=True)
class Report:
    """How a run of one runner ended, by its own report."""

    #: what ran, for messages: "pytest with .venv/bin/python (Python 3.12.4)"
    runner: str
    code: int | None
    ending: str
    cases: tuple[Case, ...] = ()
    #: the end of the output
    text: str = ""
    #: whether a test that has to fail was not reported as failed
    hides: bool = False

    def of(self, outcome: str) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if case.outcome == outcome)


@dataclass(frozen=True)
class Suite:
    """The tests of one language in one folder of the workspace."""

    language: str
    #: relative to the workspace, "" for its top
    folder: str
    #: the text that says how they are run
    script: str = ""


class NoReportError(Exception):
    """The tests are run by something whose report cannot be read."""


def find_suites(ctx: Context) -> tuple[Suite, ...]:
    """The suites of a workspace: Python's, that of each `package.json` with tests, Go's, Rust's."""
    files = source_files(ctx)
    found = []
    if any(PYTHON_TEST.search(path) for path in files):
        marks = ("pyproject.toml", "pytest.ini", "tox.ini", "setup.cfg", "setup.py")
        for home in _homes(files, marks) or [""]:
            if any(PYTHON_TEST.search(path) for path in files if path.startswith(home)):
                found.append(Suite("python", home))
    for home in _homes(files, ("package.json",)):
        packages = NodePackages.of(ctx.root / home)
        script = str(packages.scripts.get("test", "")) if packages else ""
        tests = [p for p in files if p.startswith(home) and NODE_TEST.search(p)]
        if tests and (not script or "no test specified" in script):
            script = _guess_node(ctx.root, packages, tests)
        if script and "no test specified" not in script:
            found.append(Suite("node", home, script))
    for language, mark in (("go", "go.mod"), ("rust", "Cargo.toml")):
        found += [Suite(language, home) for home in _homes(files, (mark,))]
    return tuple(found)


def _homes(files: Sequence[str], marks: Sequence[str]) -> list[str]:
    """The top if one of the marks lies there, else the folders (two deep) where one does."""
    homes = {path.rpartition("/")[0] for path in files if path.rpartition("/")[2] in marks}
    if "" in homes:
        return [""]
    return sorted(f"{home}/" for home in homes if home.count("/") < 2)


def _guess_node(root: Path, packages: NodePackages | None, tests: Sequence[str]) -> str:
    """How tests are run that no script runs."""
    for name, script in (("vitest", "vitest run"), ("jest", "jest"), ("mocha", "mocha")):
        if packages and name in packages.declared:
            return script
    texts = [(root / path).read_text(encoding="utf-8", errors="replace") for path in tests]
    return "node --test" if all("node:test" in text for text in texts) else "none"


def run_suite(ctx: Context, suite: Suite, chosen: Sequence[str] = ()) -> Report:
    """Run a suite, or the chosen paths of it, once per content of the workspace.

    Raises NoReportError, and MissingToolError for what is not installed.
    """
    runner = _RUNNERS[suite.language]
    settings = ChecksSettings.model_validate(ctx.settings.get("checks", {}))
    identity = ""
    if suite.language == "python":
        python = find_python(ctx.root / suite.folder, ctx.settings, ctx.services)
        require_module(ctx, python, "pytest")
        for home in {ctx.root, ctx.root / suite.folder}:
            require_no_shadow(home, python.variables.get("PATH", ""), ["pytest"])
        require_unchanged(ctx, python.prefix)
        identity = python.identity
    elif (packages := NodePackages.of(ctx.root / suite.folder)) is not None:
        identity = repr((packages.missing(), shutil.which("node")))
        require_unchanged(ctx, packages.folder.resolve() / "node_modules")
    chosen = tuple(path.removeprefix(suite.folder) for path in chosen)
    key = ("tests", suite.language, suite.folder, suite.script, *chosen, identity)
    key += (workspace_digest(ctx.services, ctx.root),)
    report = ctx.services.remember(
        key, Report, lambda: runner(ctx, suite, chosen, settings.timeout)
    )
    cases = tuple(
        replace(case, file=f"{suite.folder}{case.file}" if case.file else "")
        for case in report.cases
    )
    return replace(report, cases=cases)


# -- Python ----------------------------------------------------------------------------------------


def _run_pytest(ctx: Context, suite: Suite, chosen: Sequence[str], limit: float) -> Report:
    python = find_python(ctx.root / suite.folder, ctx.settings, ctx.services)
    with workspace_copy(ctx.root) as copy, tempfile.TemporaryDirectory() as aside:
        report, home = Path(aside) / "report.xml", copy / suite.folder
        words = [*python.command, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        # what cannot be imported must not hide what fails by itself
        words += ["--continue-on-collection-errors"]
        # starting several processes takes longer than a small suite does
        if "xdist" in python.modules and _count_test_files(ctx, suite, chosen) > _FEW:
            words += ["-n", "auto"]
        env = {**python.variables, "PYTHONPATH": python_path(home), "ORCHESTRATE_SCRATCH": aside}
        command = [*words, "-o", "junit_family=xunit1", f"--junitxml={report}", *chosen]
        ended = run(
            command, cwd=home, env=env, limit=limit, apart_from=ctx.root, write=[Path(aside)]
        )
        cases = tuple(_junit_cases(report)) if report.is_file() else ()
        first = _report(f"pytest with {python.label}", ended, cases)
        if not first.of("passed") or first.of("failed"):
            return first
        # a hook of the workspace may report every test as passed
        folders = sorted({home / Path(case.file).parent for case in cases if case.file})
        probes = [folder / f"test_fails_{n}.py" for n, folder in enumerate(folders[:_PROBED])]
        for probe in probes:
            probe.write_text("def test_fails():\n    assert False\n", encoding="utf-8")
        asked = [*python.command, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        asked += ["-o", "junit_family=xunit1", f"--junitxml={report}", *map(str, probes)]
        again = run(asked, cwd=home, env=env, limit=limit, apart_from=ctx.root, write=[Path(aside)])
        outcomes = {case.outcome for case in _junit_cases(report)} if report.is_file() else set()
        return replace(first, hides=bool(probes) and (again.ok or bool(outcomes - {"failed"})))


def _count_test_files(ctx: Context, suite: Suite, chosen: Sequence[str]) -> int:
    places = [f"{suite.folder}{path}".rstrip("/") for path in chosen] or [suite.folder.rstrip("/")]
    tests = [path for path in source_files(ctx) if PYTHON_TEST.search(path)]
    return sum(any(t == p or not p or t.startswith(f"{p}/") for p in places) for t in tests)


def _report(runner: str, ended: Run, cases: tuple[Case, ...]) -> Report:
    return Report(runner, ended.code, ended.ending, cases, ended.text[-_TAIL:])


def _junit_cases(report: Path) -> Iterator[Case]:
    # the report is the runner's own, written a moment ago
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "passed"
        # a test that is still to be made may fail in node
        if "skipped" in kinds and "error" not in kinds:
            outcome = "skipped"
        texts = "\n".join(f"{c.get('message')}\n{c.text or ''}" for c in case)
        said = texts[-_TAIL:] if outcome != "passed" else ""
        file = case.get("file") or ""
        name = case.get("name") or ""
        if not file and "error" in kinds and (module := case.get("classname")):
            name = f"{module}::{name}"
        elif file and (module := case.get("classname", "")):
            inside = module.removeprefix(file.removesuffix(".py").replace("/", "."))
            name = "::".join([*filter(None, inside.split(".")), name])
        yield Case(file, name, outcome, said)


# -- Node ------------------------------------------------------------------------------------------


def _json_cases(report: Path) -> Iterator[Case]:
    """The report of vitest and jest."""
    for file in json.loads(report.read_text(encoding="utf-8")).get("testResults", ()):
        path, results = str(file.get("name", "")), file.get("assertionResults", ())
        if file.get("status") == "failed" and not any(r.get("status") == "failed" for r in results):
            yield Case(path, "(the file)", "failed", str(file.get("message", ""))[-_TAIL:])
        for found in results:
            status = {"passed": "passed", "failed": "failed"}.get(found.get("status"), "skipped")
            said = "\n".join(map(str, found.get("failureMessages") or ()))[-_TAIL:]
            yield Case(path, str(found.get("fullName") or found.get("title")).strip(), status, said)


def _mocha_cases(report: Path) -> Iterator[Case]:
    results = json.loads(report.read_text(encoding="utf-8"))
    for part, outcome in (("passes", "passed"), ("failures", "failed"), ("pending", "skipped")):
        for found in results.get(part, ()):
            said = str((found.get("err") or {}).get("message", ""))
            yield Case(str(found.get("file", "")), str(found.get("fullTitle")), outcome, said)


@dataclass(frozen=True)
class _NodeRunner:
    #: what the script says, up to where options may stand
    begins: re.Pattern[str]
    options: str
    read: Callable[[Path], Iterator[Case]]


_NODE_RUNNERS = (
    _NodeRunner(
        re.compile(r"vitest(?:\s+run)?(?=\s|$)"),
        "--run --reporter=json --outputFile={report}",
        _json_cases,
    ),
    _NodeRunner(
        re.compile(r"(?:jest|react-scripts\s+test)(?=\s|$)"),
        "--json --outputFile={report} --watchAll=false",
        _json_cases,
    ),
    _NodeRunner(
        re.compile(r"mocha(?=\s|$)"),
        "--reporter json --reporter-option output={report}",
        _mocha_cases,
    ),
    _NodeRunner(
        re.compile(r"(?:node|tsx)(?=\s(?:.*\s)?--test(?:\s|$))"),
        "--test-reporter=junit --test-reporter-destination={report}",
        _junit_cases,
    ),
)
#: what may stand before a runner in a script
_BEFORE = re.compile(r"^(?:cross-env\s+|npx\s+|[A-Z][A-Z0-9_]*=\S*\s+)*")
_OTHER_SCRIPT = re.compile(r"(?:npm|pnpm|yarn)\s+(?:run\s+)?([\w:.-]+)(?:\s+--)?$")


def parse_script(script: str, scripts: dict[str, str], depth: int = 3) -> tuple[str, _NodeRunner]:
    """The script with a place for the runner's options, and its runner, which must come last.

    Raises NoReportError for a script that ends in anything else.
    """
    before, joint, last = script.rpartition("&&")
    last = last.strip()
    if (other := _OTHER_SCRIPT.fullmatch(last)) and depth and other[1] in scripts:
        inner, runner = parse_script(scripts[other[1]], scripts, depth - 1)
        return f"{before}{joint} {inner}".strip(), runner
    start = _BEFORE.match(last)
    words = last[start.end() :] if start else last
    for runner in _NODE_RUNNERS:
        # what follows it could hide that it failed
        if (found := runner.begins.match(words)) and not re.search(r"[|;&<>]", last + before):
            rest = words[found.end() :].replace("--watch", "")
            shown = f"{start[0] if start else ''}{found[0]} {{options}}{rest}"
            return f"{before}{joint} {shown}".strip(), runner
    raise NoReportError(
        f"the tests are run by `{script}`, whose report cannot be read; it is read of vitest, jest,"
        " mocha and node --test where the script ends in one of them"
    )


def _run_node(ctx: Context, suite: Suite, chosen: Sequence[str], limit: float) -> Report:
    packages = NodePackages.of(ctx.root / suite.folder)
    scripts = {name: str(text) for name, text in (packages.scripts if packages else {}).items()}
    script, runner = parse_script(suite.script, scripts)
    if packages is not None and not packages.installed:
        raise packages.lack("")
    _, variables, _ = resolve_command(ctx, ["node"])
    with workspace_copy(ctx.root) as copy, tempfile.TemporaryDirectory() as aside:
        report, home = Path(aside) / "report", (copy / suite.folder).resolve()
        options = runner.options.format(report=shlex.quote(str(report)))
        line = script.replace("{options}", options) + "".join(f" {shlex.quote(p)}" for p in chosen)
        path = f"{home / 'node_modules' / '.bin'}:{variables['PATH']}"
        ended = run(
            ["sh", "-c", line],
            cwd=home,
            env={"PATH": path, "CI": "1"},
            limit=limit,
            apart_from=ctx.root,
            write=[Path(aside)],
        )
        try:
            cases = tuple(runner.read(report)) if report.is_file() else ()
        except (ValueError, ElementTree.ParseError):
            cases = ()
        within = f"{home}/"
        cases = tuple(replace(case, file=case.file.removeprefix(within)) for case in cases)
    return _report(f"`{suite.script}`", ended, cases)


# -- Go and Rust -----------------------------------------------------------------------------------


def _run_go(ctx: Context, suite: Suite, chosen: Sequence[str], limit: float) -> Report:
    targets = [f"./{path.rstrip('/')}/..." for path in chosen] or ["./..."]
    ended = _run_program(ctx, suite, ["go", "test", "-json", *targets], limit)
    outcomes = {"pass": "passed", "fail": "failed", "skip": "skipped"}
    cases = []
    for line in ended.out.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if event.get("Test") and event.get("Action") in outcomes:
            name = f"{event.get('Package', '')}.{event['Test']}"
            cases.append(Case("", name, outcomes[event["Action"]]))
    return _report("go test", ended, tuple(cases))


_RUST_CASE = re.compile(r"^test (.+?)(?: - should panic)? \.\.\. (ok|FAILED|ignored)", re.MULTILINE)


def _run_rust(ctx: Context, suite: Suite, chosen: Sequence[str], limit: float) -> Report:
    if chosen:
        raise NoReportError("cargo runs the tests of a whole crate")
    ended = _run_program(ctx, suite, ["cargo", "test", "--no-fail-fast", "--offline"], limit)
    outcomes = {"ok": "passed", "FAILED": "failed", "ignored": "skipped"}
    found = _RUST_CASE.findall(ended.out)
    return _report("cargo test", ended, tuple(Case("", n, outcomes[said]) for n, said in found))


def _run_program(ctx: Context, suite: Suite, words: list[str], limit: float) -> Run:
    started, variables, _ = resolve_command(ctx, words)
    with workspace_copy(ctx.root) as copy:
        ended = run(
            started, cwd=copy / suite.folder, env=variables, limit=limit, apart_from=ctx.root
        )
    if "no default toolchain" in ended.text or "rustup could not choose" in ended.text:
        raise MissingToolError("no toolchain of Rust is installed", "rustup default stable")
    return ended


_RUNNERS: dict[str, Callable[[Context, Suite, Sequence[str], float], Report]] = {
    "python": _run_pytest,
    "node": _run_node,
    "go": _run_go,
    "rust": _run_rust,
}
