"""Statements about a repository's tests: by its own runner, by the runner's own report."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from orchestrate_agents.checks.project.runners import NoReportError, parse_script
from orchestrate_agents.sandbox.runs import tree_copy
from orchestrator.gates.checks import Services
from tests.claims import BINDER, check_of, committed, lay
from tests.claims import judge as judge_by

OLD = "def test_a():\n    assert 1\n\n\ndef test_b():\n    assert 2\n"
NEW = "def test_c():\n    assert 3\n"
BAD = "def test_d():\n    assert 1 == 2\n"
#: most of the time of a small suite is taken by plugins that it does not use
PLAIN = """[tool.pytest.ini_options]
addopts = "-p no:hypothesispytest -p no:anyio -p no:typeguard -p no:xdist -p no:xdist.looponfail"
"""
PYTHON = {"tests/test_old.py": OLD, "pyproject.toml": PLAIN}
NODE = "import test from 'node:test';\nimport assert from 'node:assert';\n"
#: as in a run: tests are run once for statements about the same tree
judge = partial(judge_by, services=Services())
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("All tests pass", "tests.pass"),
        ("Tests pass", "tests.pass"),
        ("All tests passing", "tests.pass"),
        ("All existing tests still pass", "tests.pass"),
        ("existing tests continue to pass", "tests.pass"),
        ("Unit tests pass", "tests.pass"),
        ("All unit and integration tests pass successfully", "tests.pass"),
        ("All new tests pass", "tests.pass"),
        ("E2E tests pass", "tests.pass"),
        ("Every test passes", "tests.pass"),
        ("The full test suite passes", "tests.pass"),
        ("The test suite is green", "tests.pass"),
        ("All 42 tests pass", "tests.pass"),
        ("150+ tests pass", "tests.pass"),
        ("No test failures", "tests.none-fails"),
        ("There are zero failing tests", "tests.none-fails"),
        ("No skipped tests", "tests.none-skipped"),
        ("No existing tests were deleted", "tests.none-lost"),
        ("`test_total_is_rounded` passes", "tests.named"),
        ("`tests/test_a.py::test_b` passes", "tests.named"),
        ("`test_x` exists and passes", "tests.named"),
        ("`test_x` exists", "tests.named"),
        ("The test `adds two numbers` passes", "tests.named"),
        ("At least 3 new tests are added", "tests.added"),
        ("Unit tests added", "tests.added"),
    ],
)
def test_these_wordings_are_taken(statement: str, name: str) -> None:
    assert check_of(statement) == name


@pytest.mark.parametrize(
    "statement",
    [
        "CI is green",
        "All tests pass on CI",
        "All tests pass except the slow ones",
        "Most tests pass",
        "Not all tests pass",
        "Some tests pass",
        "All tests pass or are skipped",
        "All tests pass in under 10 seconds",
        "All tests for the parser pass",
        "All tests should pass",
        "Tests added or updated",
        "Tests added for the parser",
        "No tests pass",
        "At most 3 tests are skipped",
        "No test failures in CI",
        "Only unit tests pass",
        "All tests pass on Windows",
        "At least 3 new tests cover the parser",
    ],
)
def test_what_says_more_or_less_is_not_taken(statement: str) -> None:
    assert all(binding.check is None for binding in BINDER.bind(statement))


def test_all_tests_of_a_repository_are_run(tmp_path: Path) -> None:
    committed(tmp_path, PYTHON)
    result = judge(tmp_path, "All tests pass")
    assert (result.verdict, result.evidence["passed"]) == ("proven", 2)
    assert result.subjects == ("tests/test_old.py",)
    lay(tmp_path, {"tests/test_new.py": BAD})
    result = judge(tmp_path, "All tests pass")
    assert result.verdict == "failed"
    assert "tests/test_new.py::test_d" in result.detail
    assert judge(tmp_path, "No failing tests").verdict == "failed"
    # the new one is none of those that were there
    assert judge(tmp_path, "Existing tests still pass").verdict == "proven"
    assert judge(tmp_path, "All new tests pass").verdict == "failed"


def test_new_tests_pass_only_where_there_are_some(tmp_path: Path) -> None:
    committed(tmp_path, PYTHON)
    for statement in ("All new tests pass", "All new tests in `tests/` pass"):
        assert judge(tmp_path, statement).verdict != "proven"
    lay(tmp_path, {"shop.py": "A = 1\n"})
    for statement in ("All new tests pass", "All new tests in `tests/` pass"):
        assert judge(tmp_path, statement).verdict != "proven"
    # moved, not new
    (tmp_path / "tests/test_old.py").rename(tmp_path / "tests/test_moved.py")
    assert judge(tmp_path, "All new tests pass").verdict != "proven"
    lay(tmp_path, {"tests/test_new.py": NEW})
    assert judge(tmp_path, "All new tests pass").verdict == "proven"


@pytest.mark.parametrize(("files", "several"), [(2, False), (25, True)])
def test_a_small_suite_is_run_by_one_process(tmp_path: Path, files: int, several: bool) -> None:
    test = "import os\n\n\ndef test_w():\n"
    test += f"    assert ('PYTEST_XDIST_WORKER' in os.environ) is {several}\n"
    lean = {"pyproject.toml": PLAIN.replace(" -p no:xdist -p no:xdist.looponfail", "")}
    committed(tmp_path, {f"tests/test_{n}.py": test for n in range(files)} | lean)
    assert judge(tmp_path, "All tests pass").verdict == "proven"


def test_no_test_at_all_proves_nothing(tmp_path: Path) -> None:
    committed(tmp_path, {"shop.py": "A = 1\n", "package.json": '{"scripts": {}}'})
    for statement in ("All tests pass", "No failing tests", "No skipped tests"):
        assert judge(tmp_path, statement).verdict == "unproven"
    lay(tmp_path, {"tests/test_none.py": "A = 1\n"})
    for statement in ("All tests pass", "No failing tests", "No skipped tests"):
        assert judge(tmp_path, statement).verdict == "unproven"


HIDING = "def pytest_runtest_makereport(item, call):\n    return None\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tests/conftest.py": HIDING}, "tests/conftest.py decides by pytest_runtest_makereport"),
        ({"tests/conftest.py": "collect_ignore = ['test_old.py']\n"}, "collect_ignore"),
        ({"pyproject.toml": PLAIN.replace('= "', '= "-k test_a ')}, "not run"),
        ({"tests/test_old.py": OLD.replace("test_b", "test_z")}, "test_b"),
        ({"tests/test_old.py": OLD.replace("assert 2", "pass")}, "1 fewer assertions"),
        ({"tests/test_old.py": NEW}, "2 tests of tests/test_old.py are gone"),
    ],
)
def test_tests_that_the_work_hides_or_removes_leave_it_unproven(
    tmp_path: Path, change: dict[str, str], said: str
) -> None:
    committed(tmp_path, {**PYTHON, "tests/test_more.py": NEW})
    lay(tmp_path, change)
    result = judge(tmp_path, "All tests pass")
    assert result.verdict == "unproven", result.detail
    assert said in result.detail
    assert judge(tmp_path, "No tests are removed").verdict == "failed" or "-k" in str(change)


def test_a_hook_that_was_there_before_counts_as_the_repositorys_own(tmp_path: Path) -> None:
    committed(tmp_path, {**PYTHON, "tests/conftest.py": HIDING.replace("return None", "pass")})
    assert judge(tmp_path, "All tests pass").verdict == "proven"


@pytest.mark.parametrize(
    "hook",
    [
        "@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_makereport(item, call):\n"
        "    outcome = yield\n    outcome.get_result().outcome = 'passed'\n",
        "def pytest_pyfunc_call(pyfuncitem):\n    return True\n",
    ],
)
def test_a_runner_that_reports_failures_as_passed_proves_nothing(tmp_path: Path, hook: str) -> None:
    """Also where the hook is committed, so that no change of the work shows it."""
    files = {"tests/conftest.py": f"import pytest\n\n\n{hook}", "tests/test_bad.py": BAD}
    committed(tmp_path, {**PYTHON, **files})
    result = judge(tmp_path, "All tests pass")
    assert result.verdict == "unproven"
    assert "does not report a test that fails as failed" in result.detail


def test_a_test_that_is_skipped_is_never_one_that_passes(tmp_path: Path) -> None:
    skipped = f"import pytest\n\n\n@pytest.mark.skip\n{NEW}"
    committed(tmp_path, {**PYTHON, "tests/test_skip.py": skipped})
    assert judge(tmp_path, "All tests pass").verdict == "unproven"
    assert judge(tmp_path, "No failing tests").verdict == "proven"
    assert judge(tmp_path, "No skipped tests").verdict == "failed"
    lay(tmp_path, {"tests/test_old.py": f"import pytest\n\n\n@pytest.mark.skip\n{OLD}"})
    assert judge(tmp_path, "All tests pass").verdict == "failed"
    assert judge(tmp_path, "No failing tests").verdict == "unproven"


def test_kinds_are_told_apart_by_folders_and_names(tmp_path: Path) -> None:
    files = {"tests/unit/test_u.py": OLD, "tests/integration/test_i.py": BAD}
    files["pyproject.toml"] = PLAIN
    committed(tmp_path, files)
    assert judge(tmp_path, "Unit tests pass").verdict == "proven"
    assert judge(tmp_path, "Integration tests pass").verdict == "failed"
    assert judge(tmp_path, "Unit and integration tests pass").verdict == "failed"
    assert judge(tmp_path, "E2E tests pass").verdict == "unproven"


def test_a_test_is_found_by_its_name(tmp_path: Path) -> None:
    parametrized = (
        "import pytest\n\n\n@pytest.mark.parametrize('n', [1, 2])\ndef test_n(n):\n    assert n\n"
    )
    committed(tmp_path, {**PYTHON, "tests/test_n.py": parametrized, "tests/test_bad.py": BAD})
    for statement in (
        "`test_a` passes",
        "`test_n` exists and passes",
        "Test `test_old.py::test_b` passes",
    ):
        assert judge(tmp_path, statement).verdict == "proven"
    for statement in (
        "`test_d` passes",
        "`test_e` exists and passes",
        "`test_bad.py::test_a` passes",
    ):
        assert judge(tmp_path, statement).verdict == "failed"


def test_new_tests_are_those_that_were_not_there(tmp_path: Path) -> None:
    committed(tmp_path, PYTHON)
    assert judge(tmp_path, "At least 1 new test is added").verdict == "unproven"
    lay(tmp_path, {"tests/test_old.py": OLD + "\n\n" + NEW})
    assert judge(tmp_path, "At least 1 new test is added").verdict == "proven"
    assert judge(tmp_path, "At least 2 new tests are added").verdict == "failed"
    assert judge(tmp_path, "New tests are added").verdict == "proven"


@needs_node
def test_node_tests_are_read_from_the_runners_report(tmp_path: Path) -> None:
    package = {"type": "module", "scripts": {"test": "npm run unit", "unit": "node --test tests/"}}
    good = f"{NODE}test('adds two numbers', () => assert.equal(1 + 1, 2));\n"
    committed(tmp_path, {"package.json": json.dumps(package), "tests/add.test.js": good})
    assert judge(tmp_path, "All tests pass").verdict == "proven"
    assert judge(tmp_path, "The test `adds two numbers` passes").verdict == "proven"
    lay(tmp_path, {"tests/sub.test.js": f"{NODE}test('sub', () => assert.equal(2 - 1, 2));\n"})
    assert judge(tmp_path, "All tests pass").verdict == "failed"
    package["scripts"]["test"] = "exit 0"  # type: ignore[index]
    lay(tmp_path, {"package.json": json.dumps(package)})
    result = judge(tmp_path, "All tests pass")
    assert result.verdict == "unproven"
    assert "`exit 0`, whose report cannot be read" in result.detail


@pytest.mark.parametrize(
    "script",
    ["exit 0", "true", "node --test || true", "jest; exit 0", "echo vitest run", "jest | cat",
     "node run.js", "node --test && echo done", "npm run other"],
)  # fmt: skip
def test_a_script_that_can_hide_how_its_runner_ended_has_no_report(script: str) -> None:
    with pytest.raises(NoReportError):
        parse_script(script, {"test": script})


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("vitest", "vitest {options}"),
        ("vitest run --coverage", "vitest run {options} --coverage"),
        ("tsc -b && jest --ci", "tsc -b && jest {options} --ci"),
        ("cross-env CI=1 npx mocha test/", "cross-env CI=1 npx mocha {options} test/"),
        ("NODE_ENV=test node --test --import tsx a.test.ts",
         "NODE_ENV=test node {options} --test --import tsx a.test.ts"),
    ],
)  # fmt: skip
def test_the_runners_options_go_where_it_reads_them(script: str, line: str) -> None:
    assert parse_script(script, {})[0] == line


def test_a_board_in_another_folder_is_not_of_the_work(tmp_path: Path) -> None:
    settings = {"board": {"folder": "docs/board"}}
    toml = '[board]\nfolder = "docs/board"\n'
    files = {"tests/test_a.py": NEW, "docs/board/test_ticket.py": BAD, "orchestrate.toml": toml}
    files["pyproject.toml"] = PLAIN
    committed(tmp_path, files)
    with tree_copy(tmp_path) as copy:
        assert sorted(p.name for p in copy.rglob("*.py")) == ["test_a.py"]
    assert judge(tmp_path, "All tests pass", settings=settings).verdict == "proven"
    lay(tmp_path, {"docs/board/WO-1.md": "# One\n", "shop.py": "A = 1\n"})
    assert judge(tmp_path, "only `shop.py` changed", settings=settings).verdict == "proven"
    # tickets that are not the board's
    lay(tmp_path, {"_WORK_ORDERS/a.md": "# One\n"})
    assert judge(tmp_path, "only `shop.py` changed", settings=settings).verdict == "failed"
