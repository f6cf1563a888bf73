"""The tests that a statement is about: chosen, run by their runners, and what speaks against it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from orchestrate_agents.checks.data.subjects import Amount
from orchestrate_agents.checks.project.copies import source_files
from orchestrate_agents.checks.project.runners import (
    NODE_TEST,
    PYTHON_TEST,
    Case,
    NoReportError,
    Report,
    Suite,
    find_suites,
    run_suite,
)
from orchestrate_agents.checks.project.start import Start, find_start, text_now
from orchestrate_agents.checks.project.weakening import test_names
from orchestrate_agents.sandbox.import_closure import closure_of
from orchestrate_agents.tools.lacks import find_lack
from orchestrate_agents.tools.node import find_missing_node_package
from orchestrate_agents.tools.python import python_of
from orchestrator.gates.checks import (
    Context,
    Result,
    failed,
    parameter_type,
    unproven,
)

LISTED = 5
#: word of a statement → parts of paths by which such tests are known
_KINDS = {
    "unit": ("unit", "units"),
    "integration": ("integration", "int", "it"),
    "e2e": ("e2e", "end2end", "end-to-end"),
    "functional": ("functional",),
    "acceptance": ("acceptance",),
    "smoke": ("smoke",),
    "regression": ("regression", "regressions"),
    "contract": ("contract", "contracts"),
}
_LANGUAGES = {
    "python": "python",
    "pytest": "python",
    "javascript": "node",
    "typescript": "node",
    "node": "node",
    "jest": "node",
    "vitest": "node",
    "go": "go",
    "rust": "rust",
}
_KIND = (
    r"(?:unit|integration|e2e|end[- ]to[- ]end|functional|acceptance|smoke|regression|contract|"
    r"existing|previous|current|old|new|python|pytest|javascript|typescript|node|jest|vitest|go|"
    r"rust|automated)"
)
JOINED = r"\s*(?:,\s*and\s+|,|/|\+|&|\s+and\s+)\s*"
parameter_type(
    "testkinds",
    rf"{_KIND}(?:(?:{JOINED}|\s+){_KIND})*",
    lambda text: tuple(
        re.sub(r"end[- ]to[- ]end", "e2e", w)
        for w in re.findall(_KIND, text.lower(), re.IGNORECASE)
    ),
)
_TEST_NAME = r"`?(?:[\w./-]+::)?(?:[A-Z]\w*::)?test_\w+(?:\[[^\]`]*\])?(?:\(\))?`?"
parameter_type(
    "testids",
    rf"{_TEST_NAME}(?:{JOINED}{_TEST_NAME})*",
    lambda text: tuple(
        part.strip(" `").removesuffix("()") for part in re.split(JOINED, text) if part.strip(" `")
    ),
)


@dataclass(frozen=True)
class Choice:
    """Which tests a statement is about."""

    kinds: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = [*self.kinds, "tests"]
        return " ".join(words) + (f" of {', '.join(self.paths)}" if self.paths else "")


@dataclass(frozen=True)
class Ran:
    """What the runners reported of the chosen tests."""

    reports: tuple[Report, ...]
    cases: tuple[Case, ...]

    def of(self, outcome: str) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if case.outcome == outcome)

    @property
    def runners(self) -> str:
        return ", ".join(dict.fromkeys(report.runner for report in self.reports))

    @property
    def ending(self) -> str:
        return "; ".join(f"{report.runner}: {report.ending}" for report in self.reports)


def counted(ran: Ran) -> str:
    return f"{len(ran.of('passed'))} tests pass"


def figures_of(ran: Ran) -> dict[str, object]:
    broken = [str(case) for case in ran.of("failed")]
    return {
        "passed": len(ran.of("passed")),
        "skipped": len(ran.of("skipped")),
        "broken": broken[:50],
        "runners": [report.runner for report in ran.reports],
    }


def run_tests(ctx: Context, choice: Choice) -> Ran | Result:
    """Run what is chosen. Raises MissingToolError."""
    missing = [path for path in choice.paths if not ctx.path(path).exists()]
    if missing:
        return failed(f"{', '.join(missing)} is missing", *choice.paths)
    languages = {_LANGUAGES[kind] for kind in choice.kinds if kind in _LANGUAGES}
    suites = [s for s in _suites(ctx, choice) if not languages or s.language in languages]
    if not suites:
        named = f"{choice} are not there: " if choice.kinds or choice.paths else ""
        return unproven(
            f"{named}no tests were found (pytest, vitest, jest, mocha, node --test, go, cargo)"
        )
    reports = []
    for suite in suites:
        try:
            reports.append(run_suite(ctx, suite, choice.paths))
        except NoReportError as exc:
            return unproven(str(exc))
    for report in reports:
        _raise_for_lack(ctx, report)
        if report.hides:
            said = "does not report a test that fails as failed, so its report proves nothing"
            return unproven(f"{report.runner} {said}: see the hooks in conftest.py and plug-ins")
    keep = _chooser(ctx, choice)
    if isinstance(keep, Result):
        return keep
    cases = tuple(case for report in reports for case in report.cases if keep(case))
    return Ran(tuple(reports), cases)


def _suites(ctx: Context, choice: Choice) -> Iterable[Suite]:
    if not choice.paths:
        return find_suites(ctx)
    inside = [p for p in source_files(ctx) if _is_below(p, choice.paths)]
    node = [p for p in inside if NODE_TEST.search(p)]
    known = [s for s in find_suites(ctx) if all(p.startswith(s.folder) for p in choice.paths)]
    found = [s for s in known if s.language == ("node" if node else "python")]
    return found or ([] if node else [Suite("python", "")])


def _is_below(path: str, places: Sequence[str]) -> bool:
    return any(path == p or path.startswith(f"{p.rstrip('/')}/") for p in places)


def _raise_for_lack(ctx: Context, report: Report) -> None:
    """Raise MissingToolError if all that did not pass did so for want of a package."""
    said = [case.said for case in report.of("failed") if case.said]
    said += [case.said for case in report.of("skipped") if "could not import" in case.said]
    if not said and report.code != 0 and not report.cases:
        said = [report.text]
    if report.runner.startswith("pytest"):
        python = python_of(ctx)
        lacks = [find_lack(ctx, python, text) for text in said]
    else:
        lacks = [find_missing_node_package(ctx.root, text) for text in said]
    if lacks and lacks[0] is not None and all(lacks):
        raise lacks[0]


def _chooser(ctx: Context, choice: Choice) -> Callable[[Case], bool] | Result:
    """Which reported tests the kinds mean; an unproven result if that cannot be determined."""
    kinds = [kind for kind in choice.kinds if kind in _KINDS]
    tests = [p for p in source_files(ctx) if PYTHON_TEST.search(p) or NODE_TEST.search(p)]
    filters: list[Callable[[Case], bool]] = []
    if kinds and not choice.paths:
        of_kind = {kind: {p for p in tests if _is_of(p, kind)} for kind in _KINDS}
        others = set().union(*(paths for kind, paths in of_kind.items() if kind != "unit"))
        of_kind["unit"] = of_kind["unit"] or set(tests) - others
        for kind in kinds:
            if not of_kind[kind]:
                return unproven(
                    f"no folder or file name tells which tests are {kind} tests",
                )
        chosen = set().union(*(of_kind[kind] for kind in kinds))
        if chosen != set(tests):
            filters.append(lambda case: case.file in chosen)
    start = find_start(ctx)
    if "new" in choice.kinds:
        if start is None or start.lacks:
            return unproven(f"which tests are new is not known: {why_no_start(start)}")
        # one that was moved to another file is not new
        gone = [p for p in start.changed if not ctx.path(p).is_file()]
        moved = {name for p in gone for name in test_names(p, start.text(p) or "")}
        filters.append(lambda case: ctx.path(case.file).is_file() and _is_new(case, start, moved))
    if {"existing", "previous", "current", "old"} & set(choice.kinds) and start is not None:
        filters.append(lambda case: not case.file or start.read(case.file) is not None)
    return lambda case: all(keep(case) for keep in filters)


def why_no_start(start: object) -> str:
    return getattr(start, "lacks", "") or "without git it is not known what was there before"


def _is_of(path: str, kind: str) -> bool:
    words = re.split(r"[/._]|(?<!end)-(?!to|end)", path.lower())
    return any(word in _KINDS[kind] for word in words)


def base_name(name: str) -> str:
    return name.rpartition("::")[2].partition("[")[0]


def _is_new(case: Case, start: Start, moved: set[str]) -> bool:
    before = start.text(case.file)
    known = moved if before is None else {*test_names(case.file, before), *moved}
    return not any(base_name(case.name) == name or case.name.endswith(name) for name in known)


def judge_no_test(ctx: Context, choice: Choice, ran: Ran, wanted: Amount | None) -> Result:
    if any(report.code not in (0, 5) for report in ran.reports) or choice.paths:
        said = f"the {choice} did not run to their end: {ran.ending}"
        if all(report.code == 0 for report in ran.reports):
            said = f"0 tests pass, wanted {wanted or Amount(1)}"
        return failed(said, *subjects_of(ctx, choice, ran))
    if wanted is not None:
        return failed(f"no tests were found, wanted {wanted}")
    return unproven(f"none of the {choice} were found by {ran.ending}")


def find_not_passed(ctx: Context, choice: Choice, ran: Ran, files: Sequence[str]) -> Result | None:
    """Tests that fail, a run that does not end well, tests that are skipped."""
    named = f" of {', '.join(choice.paths)}" if choice.paths else ""
    figures = figures_of(ran)
    if broken := ran.of("failed"):
        listed = "; ".join(map(str, broken[:LISTED]))
        said = f"{len(broken)} tests{named} do not pass: {listed}; run by {ran.runners}"
        return failed(said, *files, **figures)
    if any(report.code != 0 and not report.of("failed") for report in ran.reports):
        return failed(f"the {choice} did not run to their end: {ran.ending}", *files, **figures)
    if skipped := ran.of("skipped"):
        start = find_start(ctx)
        listed = "; ".join(map(str, skipped[:LISTED]))
        said = f"{len(skipped)} tests{named} are skipped: {listed}"
        as_before = start is not None and not any(
            case.file in start.changed or not case.file for case in skipped
        )
        if as_before:
            return unproven(f"{said} (as before; the other tests pass)", *files, **figures)
        return failed(said, *files, **figures)
    return None


def subjects_of(ctx: Context, choice: Choice, ran: Ran) -> list[str]:
    """The test files, and what those in Python import."""
    files = {case.file for case in ran.cases if case.file and ctx.path(case.file).is_file()}
    inside = [p for p in source_files(ctx) if p.endswith(".py")] if choice.paths else []
    files |= {p for p in inside if _is_below(p, choice.paths)}
    covered = {p for file in files if file.endswith(".py") for p in closure_of(ctx, file)}
    return sorted(files | covered)


def find_left_out(ctx: Context, choice: Choice, ran: Ran) -> list[str]:
    """Tests that are written in files that ran, and that no report has."""
    found = []
    seen: dict[str, set[str]] = {}
    for case in ran.cases:
        seen.setdefault(case.file, set()).add(base_name(case.name))
    for file, names in sorted(seen.items()):
        if PYTHON_TEST.search(file) and (text := text_now(ctx.root, file)):
            # a name in a string or a helper is not a test
            written = {n for n in test_names(file, text) if n.startswith("test_")}
            if missing := sorted(written - names):
                found.append(f"{file} has tests that were not run: {', '.join(missing[:3])}")
    if not choice.paths and not choice.kinds and all(seen):
        ran_python = any(file.endswith(".py") for file in seen)
        places = {file.partition("/")[0] for file in seen}
        for path in source_files(ctx):
            known = path in seen or path.partition("/")[0] not in places
            if not ran_python or known or not PYTHON_TEST.search(path):
                continue
            if test_names(path, text_now(ctx.root, path) or ""):
                found.append(f"no test of {path} was run")
    return found


def run_some(
    ctx: Context, choice: Choice, wanted: Amount | None = None
) -> tuple[Ran, Sequence[str]] | Result:
    """What was run, at least one test, and the files that a verdict is about; else why not."""
    ran = run_tests(ctx, choice)
    if isinstance(ran, Result):
        return ran
    if not ran.cases:
        return judge_no_test(ctx, choice, ran, wanted)
    return ran, subjects_of(ctx, choice, ran)
