"""Checks of tests: all, some kinds, one by name, how many, none skipped, none lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

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
from orchestrate_agents.checks.project.start import find_start, text_now
from orchestrate_agents.checks.project.weakening import test_names, weakened
from orchestrate_agents.sandbox.import_closure import closure
from orchestrate_agents.tools.lacks import find_lack
from orchestrate_agents.tools.node import find_missing_node_package
from orchestrate_agents.tools.python import python_of
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

_LISTED = 5
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
_JOINED = r"\s*(?:,\s*and\s+|,|/|\+|&|\s+and\s+)\s*"
parameter_type(
    "testkinds",
    rf"{_KIND}(?:(?:{_JOINED}|\s+){_KIND})*",
    lambda text: tuple(
        re.sub(r"end[- ]to[- ]end", "e2e", w)
        for w in re.findall(_KIND, text.lower(), re.IGNORECASE)
    ),
)
_TEST_NAME = r"`?(?:[\w./-]+::)?(?:[A-Z]\w*::)?test_\w+(?:\[[^\]`]*\])?(?:\(\))?`?"
parameter_type(
    "testids",
    rf"{_TEST_NAME}(?:{_JOINED}{_TEST_NAME})*",
    lambda text: tuple(
        part.strip(" `").removesuffix("()") for part in re.split(_JOINED, text) if part.strip(" `")
    ),
)

_PASS = (
    "[still|all|now|to] (pass|passes|passing|succeed|succeeds|are green|is green|green|"
    "are passing|is passing|are all green|run green|runs green|stay green|stays green|"
    "continue to pass|continues to pass|run successfully|complete successfully) "
    "[locally|successfully|cleanly] [(without|with no|with zero|with 0) (failures|errors)] "
    "[with [a] 100% [pass] rate]"
)
_BELOW = "(in|of|under|below|from)"
_ARE_ADDED = "(are|were|have been|is|was|has been) (added|written|in place|created)"


@dataclass(frozen=True)
class _Choice:
    """Which tests a statement is about."""

    kinds: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = [*self.kinds, "tests"]
        return " ".join(words) + (f" of {', '.join(self.paths)}" if self.paths else "")


@dataclass(frozen=True)
class _Ran:
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


@check(
    f"[all] [of] [the|our] [{{kinds:testkinds}}] tests {_PASS}",
    f"every [{{kinds:testkinds}}] test {_PASS}",
    f"[the] [(full|entire|whole|complete)] [{{kinds:testkinds}}] test suite {_PASS}",
    f"[all] {{wanted:amount}} [{{kinds:testkinds}}] tests {_PASS}",
    f"[all] [of] [the] [{{kinds:testkinds}}] tests {_BELOW} {{where:path}} {_PASS}",
    f"[all] [of] [the] [{{kinds:testkinds}}] tests {_BELOW} {{paths:paths}} {_PASS}",
    f"{{wanted:amount}} [{{kinds:testkinds}}] tests {_BELOW} {{where:path}} {_PASS}",
    f"{{wanted:amount}} [{{kinds:testkinds}}] tests {_BELOW} {{paths:paths}} {_PASS}",
    "pytest passes (in|on|for|with) {where:path}",
    name="tests.pass",
    version=2,
    slow=True,
    examples=(
        "All tests pass",
        "Existing tests still pass",
        "Unit and integration tests pass",
        "The full test suite is green",
        "All tests in `tests/unit/` pass",
        "The unit tests in `tests/test_a.py` and `tests/test_b.py` pass",
        "At least 40 tests in `tests/unit/` pass",
    ),
)
def pass_all(
    ctx: Context,
    kinds: tuple[str, ...] = (),
    where: str = "",
    paths: tuple[str, ...] = (),
    wanted: Amount | None = None,
) -> Result:
    """Every test that the repository's own runner finds passes, by its report; none is left out."""
    choice = _Choice(kinds, paths or ((where,) if where else ()))
    ran = _run(ctx, choice)
    if isinstance(ran, Result):
        return ran
    if not ran.cases:
        return _no_test(ctx, choice, ran, wanted)
    figures = _figures(ran)
    files = _subjects(ctx, choice, ran)
    if bad := _not_passed(ctx, choice, ran, files):
        return bad
    if doubts := [*_left_out(ctx, choice, ran), *weakened(ctx, "tests")]:
        return unproven(f"{_counted(ran)}, but {'; '.join(doubts[:_LISTED])}", *files, **figures)
    wanted = wanted or Amount(1)
    judge = proven if wanted.holds(len(ran.of("passed"))) else failed
    said = f"{_counted(ran)}, wanted {wanted}; none fails, none is skipped; run with {ran.runners}"
    return judge(said, *files, **figures)


def _counted(ran: _Ran) -> str:
    return f"{len(ran.of('passed'))} tests pass"


def _figures(ran: _Ran) -> dict[str, object]:
    broken = [str(case) for case in ran.of("failed")]
    return {
        "passed": len(ran.of("passed")),
        "skipped": len(ran.of("skipped")),
        "broken": broken[:50],
        "runners": [report.runner for report in ran.reports],
    }


def _run(ctx: Context, choice: _Choice) -> _Ran | Result:
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
    keep = _chooser(ctx, choice)
    if isinstance(keep, Result):
        return keep
    cases = tuple(case for report in reports for case in report.cases if keep(case))
    return _Ran(tuple(reports), cases)


def _suites(ctx: Context, choice: _Choice) -> Iterable[Suite]:
    if not choice.paths:
        return find_suites(ctx)
    inside = [p for p in source_files(ctx.root) if _is_below(p, choice.paths)]
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


def _chooser(ctx: Context, choice: _Choice) -> Callable[[Case], bool] | Result:
    """Which reported tests the kinds mean; an unproven result if that cannot be told."""
    kinds = [kind for kind in choice.kinds if kind in _KINDS]
    tests = [p for p in source_files(ctx.root) if PYTHON_TEST.search(p) or NODE_TEST.search(p)]
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
        # of a path that is named, all tests are meant
        if start is None or start.lacks:
            return (lambda _: True) if choice.paths else unproven(_lacks_start(start))
        filters.append(lambda case: _is_new(case, start.text(case.file) if case.file else None))
    if {"existing", "previous", "current", "old"} & set(choice.kinds) and start is not None:
        filters.append(lambda case: not case.file or start.read(case.file) is not None)
    return lambda case: all(keep(case) for keep in filters)


def _lacks_start(start: object) -> str:
    return getattr(start, "lacks", "") or "without git it is not known what was there before"


def _is_of(path: str, kind: str) -> bool:
    words = re.split(r"[/._]|(?<!end)-(?!to|end)", path.lower())
    return any(word in _KINDS[kind] for word in words)


def _base(name: str) -> str:
    return name.rpartition("::")[2].partition("[")[0]


def _is_new(case: Case, before: str | None) -> bool:
    if before is None or not case.file:
        return case.file != ""
    known = test_names(case.file, before)
    return not any(_base(case.name) == name or case.name.endswith(name) for name in known)


def _no_test(ctx: Context, choice: _Choice, ran: _Ran, wanted: Amount | None) -> Result:
    if any(report.code not in (0, 5) for report in ran.reports) or choice.paths:
        said = f"the {choice} did not run to their end: {ran.ending}"
        if all(report.code == 0 for report in ran.reports):
            said = f"0 tests pass, wanted {wanted or Amount(1)}"
        return failed(said, *_subjects(ctx, choice, ran))
    if wanted is not None:
        return failed(f"no tests were found, wanted {wanted}")
    return unproven(f"none of the {choice} were found by {ran.ending}")


def _not_passed(ctx: Context, choice: _Choice, ran: _Ran, files: Sequence[str]) -> Result | None:
    """Tests that fail, a run that does not end well, tests that are skipped."""
    named = f" of {', '.join(choice.paths)}" if choice.paths else ""
    figures = _figures(ran)
    if broken := ran.of("failed"):
        listed = "; ".join(map(str, broken[:_LISTED]))
        said = f"{len(broken)} tests{named} do not pass: {listed}; run with {ran.runners}"
        return failed(said, *files, **figures)
    if any(report.code != 0 and not report.of("failed") for report in ran.reports):
        return failed(f"the {choice} did not run to their end: {ran.ending}", *files, **figures)
    if skipped := ran.of("skipped"):
        start = find_start(ctx)
        listed = "; ".join(map(str, skipped[:_LISTED]))
        said = f"{len(skipped)} tests{named} are skipped: {listed}"
        as_before = start is not None and not any(
            case.file in start.changed or not case.file for case in skipped
        )
        if as_before:
            return unproven(f"{said} (as before; the other tests pass)", *files, **figures)
        return failed(said, *files, **figures)
    return None


def _subjects(ctx: Context, choice: _Choice, ran: _Ran) -> list[str]:
    """The test files, and what those in Python import."""
    files = {case.file for case in ran.cases if case.file and ctx.path(case.file).is_file()}
    inside = [p for p in source_files(ctx.root) if p.endswith(".py")] if choice.paths else []
    files |= {p for p in inside if _is_below(p, choice.paths)}
    covered = {p for file in files if file.endswith(".py") for p in closure(ctx.root, file)}
    return sorted(files | covered)


def _left_out(ctx: Context, choice: _Choice, ran: _Ran) -> list[str]:
    """Tests that are written in files that ran, and that no report has."""
    found = []
    seen: dict[str, set[str]] = {}
    for case in ran.cases:
        seen.setdefault(case.file, set()).add(_base(case.name))
    for file, names in sorted(seen.items()):
        if PYTHON_TEST.search(file) and (text := text_now(ctx.root, file)):
            # a name in a string or a helper is no test
            written = {n for n in test_names(file, text) if n.startswith("test_")}
            if missing := sorted(written - names):
                found.append(f"{file} has tests that were not run: {', '.join(missing[:3])}")
    if not choice.paths and not choice.kinds and all(seen):
        ran_python = any(file.endswith(".py") for file in seen)
        places = {file.partition("/")[0] for file in seen}
        for path in source_files(ctx.root):
            known = path in seen or path.partition("/")[0] not in places
            if not ran_python or known or not PYTHON_TEST.search(path):
                continue
            if test_names(path, text_now(ctx.root, path) or ""):
                found.append(f"no test of {path} was run")
    return found


# -- none fails, none is skipped, none is lost -----------------------------------------------------


@check(
    "[there are] (no|zero|0) (failing|failed|broken) [{kinds:testkinds}] tests",
    "[there are] (no|zero|0) [{kinds:testkinds}] test failures",
    "no [{kinds:testkinds}] (test fails|tests fail|tests are failing)",
    name="tests.none-fails",
    slow=True,
    examples=("No failing tests", "There are no test failures"),
)
def none_fails(ctx: Context, kinds: tuple[str, ...] = ()) -> Result:
    """The repository's own runner runs at least one test, and reports none that fails."""
    choice = _Choice(kinds)
    ran = _run(ctx, choice)
    if isinstance(ran, Result):
        return ran
    if not ran.cases:
        return _no_test(ctx, choice, ran, None)
    files = _subjects(ctx, choice, ran)
    only_failures = replace(ran, cases=tuple(c for c in ran.cases if c.outcome != "skipped"))
    if bad := _not_passed(ctx, choice, only_failures, files):
        return bad
    if doubts := [*_left_out(ctx, choice, ran), *weakened(ctx, "tests")]:
        return unproven(f"{_counted(ran)}, but {'; '.join(doubts[:_LISTED])}", *files)
    skipped = len(ran.of("skipped"))
    said = f"{_counted(ran)}, none fails, {skipped} are skipped; run with {ran.runners}"
    return proven(said, *files, **_figures(ran))


@check(
    "[there are] no skipped [{kinds:testkinds}] tests",
    "no [{kinds:testkinds}] (test is skipped|tests are skipped|tests were skipped)",
    name="tests.none-skipped",
    slow=True,
    examples=("No tests are skipped", "There are no skipped tests"),
)
def none_skipped(ctx: Context, kinds: tuple[str, ...] = ()) -> Result:
    """The repository's own runner runs at least one test, and skips none."""
    choice = _Choice(kinds)
    ran = _run(ctx, choice)
    if isinstance(ran, Result):
        return ran
    if not ran.cases:
        return _no_test(ctx, choice, ran, None)
    files = _subjects(ctx, choice, ran)
    if skipped := ran.of("skipped"):
        listed = "; ".join(map(str, skipped[:_LISTED]))
        return failed(f"{len(skipped)} tests are skipped: {listed}", *files, **_figures(ran))
    if doubts := _left_out(ctx, choice, ran):
        return unproven("; ".join(doubts[:_LISTED]), *files)
    said = f"{len(ran.cases)} tests run, none is skipped; run with {ran.runners}"
    return proven(said, *files, **_figures(ran))


@check(
    "no [{kinds:testkinds}] (test is|tests are|tests were|test was) "
    "(deleted|removed|disabled|weakened)",
    name="tests.none-lost",
    examples=("No existing tests were deleted", "No tests are removed"),
)
def none_lost(ctx: Context, kinds: tuple[str, ...] = ()) -> Result:
    """Compared with the start: no test is gone, skipped or left out by new settings."""
    if set(kinds) - {"existing", "previous", "current", "old"}:
        return unproven(f"it is not told apart which of the lost tests are {', '.join(kinds)}")
    start = find_start(ctx)
    if start is None or start.lacks:
        return unproven(_lacks_start(start))
    lost = weakened(ctx, "tests")
    tests = [p for p in source_files(ctx.root) if PYTHON_TEST.search(p) or NODE_TEST.search(p)]
    if lost:
        return failed("; ".join(lost[:_LISTED]), *tests)
    return proven(f"every test that was there {start.moment} is there, and none is skipped", *tests)


# -- one by name, how many -------------------------------------------------------------------------


@check(
    "[the|a] [test|tests] {tests:testids} (exist|exists) [and] [(pass|passes|is green)]",
    "[the|a] [test|tests] {tests:testids} (pass|passes|is green|are green|succeeds|succeed)",
    "[the|a] [unit] test [named|called] {title:code} (exists|exists and passes|passes|is green)",
    name="tests.named",
    slow=True,
    examples=(
        "`test_total_is_rounded` exists and passes",
        "The tests `test_a` and `test_b` pass",
        "The test `adds two numbers` passes",
    ),
)
def named_pass(ctx: Context, tests: tuple[str, ...] = (), title: str = "") -> Result:
    """Each named test is run by the repository's own runner, and passes."""
    ran = _run(ctx, _Choice())
    if isinstance(ran, Result):
        return ran
    wanted = tests or (title,)
    found = {name: [c for c in ran.cases if _is_named(c, name)] for name in wanted}
    cases = [case for some in found.values() for case in some]
    files = sorted({case.file for case in cases if case.file})
    if missing := [name for name in wanted if not found[name]]:
        return failed(f"no test is called {', '.join(missing)} ({ran.ending})", *files)
    if bad := [f"{case} ({case.outcome})" for case in cases if case.outcome != "passed"]:
        return failed(f"{'; '.join(bad[:_LISTED])}; run with {ran.runners}", *files)
    hooks = [said for said in weakened(ctx, "tests") if "what a test's result is" in said]
    if hooks:
        return unproven(f"{', '.join(wanted)} pass, but {hooks[0]}", *files)
    return proven(f"{', '.join(map(str, cases[:_LISTED]))} pass; run with {ran.runners}", *files)


def _is_named(case: Case, wanted: str) -> bool:
    *place, name = wanted.split("::")
    known = (case.name, case.name.partition("[")[0], _base(case.name))
    if not (name in known or (" " in name and case.name.endswith(name))):
        return False
    here = [*case.file.split("/"), case.file, *case.name.split("::")]
    return all(part in here for part in place)


@check(
    "[there are] {wanted:amount} new [{kinds:testkinds}] tests",
    f"{{wanted:amount}} [new] [{{kinds:testkinds}}] (test|tests) {_ARE_ADDED}",
    "{wanted:amount} [new] [{kinds:testkinds}] (test|tests) added",
    f"[new] [{{kinds:testkinds}}] tests {_ARE_ADDED}",
    "[new] [{kinds:testkinds}] tests (added|written)",
    name="tests.added",
    slow=True,
    examples=("At least 3 new tests are added", "Unit tests are written"),
)
def added(ctx: Context, wanted: Amount | None = None, kinds: tuple[str, ...] = ()) -> Result:
    """Tests that were not there at the start are run, and pass."""
    ran = _run(ctx, _Choice((*kinds, "new")))
    if isinstance(ran, Result):
        return ran
    wanted = wanted or Amount(1)
    files = sorted({case.file for case in ran.cases if case.file})
    if broken := ran.of("failed"):
        return failed(f"new tests do not pass: {'; '.join(map(str, broken[:_LISTED]))}", *files)
    new = ran.of("passed")
    judge = proven if wanted.holds(len(new)) else failed
    listed = f": {'; '.join(map(str, new[:_LISTED]))}" if new else ""
    return judge(f"{len(new)} new tests pass, wanted {wanted}{listed}", *files)
