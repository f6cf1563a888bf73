"""Checks of tests: all, some kinds, one by name, how many, none skipped, none lost."""

from __future__ import annotations

from dataclasses import replace

from orchestrate_agents.checks.data.subjects import Amount
from orchestrate_agents.checks.project.chosen import (
    LISTED,
    Choice,
    base_name,
    counted,
    figures_of,
    find_left_out,
    find_not_passed,
    run_some,
    run_tests,
    why_no_start,
)
from orchestrate_agents.checks.project.copies import source_files
from orchestrate_agents.checks.project.runners import NODE_TEST, PYTHON_TEST, Case
from orchestrate_agents.checks.project.start import find_start
from orchestrate_agents.checks.project.weakening import weakened
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

_PASS = (
    "[still|all|now|to] (pass|passes|passing|succeed|succeeds|are green|is green|green|"
    "are passing|is passing|are all green|run green|runs green|stay green|stays green|"
    "continue to pass|continues to pass|run successfully|complete successfully) "
    "[locally|successfully|cleanly] [(without|with no|with zero|with 0) (failures|errors)] "
    "[with [a] 100% [pass] rate]"
)
parameter_type(
    "testfile",
    r"`?(?:[\w.@+-]+/)*(?:test_[\w.-]+\.py|[\w.-]+_test\.(?:py|go)|[\w.-]+\.(?:test|spec)\.\w+)`?",
    lambda text: text.strip(" `"),
)
_BELOW = "(in|of|under|below|from)"
_ARE_ADDED = "(are|were|have been|is|was|has been) (added|written|in place|created)"


@check(
    f"[all] [of] [the|our] [{{kinds:testkinds}}] tests {_PASS}",
    f"every [{{kinds:testkinds}}] test {_PASS}",
    f"[the] [(full|entire|whole|complete)] [{{kinds:testkinds}}] test suite {_PASS}",
    f"[all] {{wanted:amount}} [{{kinds:testkinds}}] tests {_PASS}",
    f"[all] [of] [the] [{{kinds:testkinds}}] tests {_BELOW} {{where:path}} {_PASS}",
    f"[all] [of] [the] [{{kinds:testkinds}}] tests {_BELOW} {{paths:paths}} {_PASS}",
    f"{{wanted:amount}} [{{kinds:testkinds}}] tests {_BELOW} {{where:path}} {_PASS}",
    f"{{wanted:amount}} [{{kinds:testkinds}}] tests {_BELOW} {{paths:paths}} {_PASS}",
    "(all tests|[the] [full|entire] test suite) (pass|passes) (with no|without|with zero) "
    "(skipped tests|skips)",
    "pytest passes (in|on|for|with) {where:path}",
    f"{{where:testfile}} {_PASS}",
    name="tests.pass",
    version=3,
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
    choice = Choice(kinds, paths or ((where,) if where else ()))
    found = run_some(ctx, choice, wanted)
    if isinstance(found, Result):
        return found
    ran, files = found
    figures = figures_of(ran)
    if bad := find_not_passed(ctx, choice, ran, files):
        return bad
    if doubts := [*find_left_out(ctx, choice, ran), *weakened(ctx, "tests")]:
        return unproven(f"{counted(ran)}, but {'; '.join(doubts[:LISTED])}", *files, **figures)
    wanted = wanted or Amount(1)
    judge = proven if wanted.holds(len(ran.of("passed"))) else failed
    said = f"{counted(ran)}, wanted {wanted}; none fails, none is skipped; run by {ran.runners}"
    return judge(said, *files, **figures)


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
    choice = Choice(kinds)
    found = run_some(ctx, choice)
    if isinstance(found, Result):
        return found
    ran, files = found
    only_failures = replace(ran, cases=tuple(c for c in ran.cases if c.outcome != "skipped"))
    if bad := find_not_passed(ctx, choice, only_failures, files):
        return bad
    if doubts := [*find_left_out(ctx, choice, ran), *weakened(ctx, "tests")]:
        return unproven(f"{counted(ran)}, but {'; '.join(doubts[:LISTED])}", *files)
    skipped = len(ran.of("skipped"))
    said = f"{counted(ran)}, none fails, {skipped} are skipped; run by {ran.runners}"
    return proven(said, *files, **figures_of(ran))


@check(
    "[there are] no skipped [{kinds:testkinds}] tests",
    "no [{kinds:testkinds}] (test is skipped|tests are skipped|tests were skipped)",
    name="tests.none-skipped",
    slow=True,
    examples=("No tests are skipped", "There are no skipped tests"),
)
def none_skipped(ctx: Context, kinds: tuple[str, ...] = ()) -> Result:
    """The repository's own runner runs at least one test, and skips none."""
    choice = Choice(kinds)
    found = run_some(ctx, choice)
    if isinstance(found, Result):
        return found
    ran, files = found
    if skipped := ran.of("skipped"):
        listed = "; ".join(map(str, skipped[:LISTED]))
        return failed(f"{len(skipped)} tests are skipped: {listed}", *files, **figures_of(ran))
    if doubts := find_left_out(ctx, choice, ran):
        return unproven("; ".join(doubts[:LISTED]), *files)
    said = f"{len(ran.cases)} tests run, none is skipped; run by {ran.runners}"
    return proven(said, *files, **figures_of(ran))


@check(
    "no [{kinds:testkinds}] (test is|tests are|tests were|test was) "
    "(deleted|removed|disabled|weakened)",
    name="tests.none-lost",
    examples=("No existing tests were deleted", "No tests are removed"),
)
def none_lost(ctx: Context, kinds: tuple[str, ...] = ()) -> Result:
    """Compared with the start: no test is gone, skipped or left out by new settings."""
    if set(kinds) - {"existing", "previous", "current", "old"}:
        return unproven(f"it cannot be determined which of the lost tests are {', '.join(kinds)}")
    start = find_start(ctx)
    if start is None or start.lacks:
        return unproven(why_no_start(start))
    lost = weakened(ctx, "tests")
    tests = [p for p in source_files(ctx) if PYTHON_TEST.search(p) or NODE_TEST.search(p)]
    if lost:
        return failed("; ".join(lost[:LISTED]), *tests)
    return proven(f"every test that was there {start.moment} is there, and none is skipped", *tests)


# -- one by name, how many -------------------------------------------------------------------------


@check(
    "[the|a] [new] [(unit|regression|integration)] [test|tests] {tests:testids} (exist|exists) "
    "[and] [(pass|passes|is green)]",
    "there is a [new] [(unit|regression|integration)] test {tests:testids} [that passes]",
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
    ran = run_tests(ctx, Choice())
    if isinstance(ran, Result):
        return ran
    wanted = tests or (title,)
    found = {name: [c for c in ran.cases if _is_named(c, name)] for name in wanted}
    cases = [case for some in found.values() for case in some]
    files = sorted({case.file for case in cases if case.file})
    if missing := [name for name in wanted if not found[name]]:
        return failed(f"no test is called {', '.join(missing)} ({ran.ending})", *files)
    if bad := [f"{case} ({case.outcome})" for case in cases if case.outcome != "passed"]:
        return failed(f"{'; '.join(bad[:LISTED])}; run by {ran.runners}", *files)
    hooks = [said for said in weakened(ctx, "tests") if "what a test's result is" in said]
    if hooks:
        return unproven(f"{', '.join(wanted)} pass, but {hooks[0]}", *files)
    return proven(f"{', '.join(map(str, cases[:LISTED]))} pass; run by {ran.runners}", *files)


def _is_named(case: Case, wanted: str) -> bool:
    *place, name = wanted.split("::")
    known = (case.name, case.name.partition("[")[0], base_name(case.name))
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
    ran = run_tests(ctx, Choice((*kinds, "new")))
    if isinstance(ran, Result):
        return ran
    wanted = wanted or Amount(1)
    files = sorted({case.file for case in ran.cases if case.file})
    if broken := ran.of("failed"):
        return failed(f"new tests do not pass: {'; '.join(map(str, broken[:LISTED]))}", *files)
    new = ran.of("passed")
    judge = proven if wanted.holds(len(new)) else failed
    listed = f": {'; '.join(map(str, new[:LISTED]))}" if new else ""
    return judge(f"{len(new)} new tests pass, wanted {wanted}{listed}", *files)
