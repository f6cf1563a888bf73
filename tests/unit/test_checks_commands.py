"""A quoted command is run only if the configuration has it word for word (issue: binding)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agent_process.confinement import ability
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Result
from orchestrator.gates.loading import load_checks

BINDER = Binder(load_checks(None))
CONFINED = ability().namespaces


def judge(root: Path, statement: str, *allowed: str, **checks: Any) -> Result:
    """The result of a statement that is one claim, where these commands are allowed."""
    settings = {"checks": {"commands": list(allowed), **checks}}
    artifacts = {"made.txt": {"agent": "BUILDER"}}
    (binding,) = BINDER.bind(statement)
    assert binding.check is not None, binding.problem
    assert binding.check.name == "command.passes"
    context = Context(root=root, settings=settings, artifacts=artifacts)
    return binding.check.function(context, **binding.arguments)


@pytest.mark.parametrize(
    ("command", "verdict"),
    [
        ("test -e made.txt", "proven"),
        ("test -e other.txt", "failed"),
        ("test -e made.txt && test -s made.txt", "proven"),
        ("test -s made.txt && test -e other.txt", "failed"),
    ],
)
def test_an_allowed_command_is_judged_by_its_exit_code(
    tmp_path: Path, command: str, verdict: str
) -> None:
    (tmp_path / "made.txt").write_text("made\n")
    result = judge(tmp_path, f"`{command}` passes", command)
    assert (result.verdict, result.subjects) == (verdict, ("made.txt",))
    assert result.evidence["command"] == command.rpartition(" && ")[2].split()


@pytest.mark.parametrize(
    ("quoted", "allowed"),
    [
        ("touch stolen", "touch other"),
        ("touch stolen", "touch  stolen"),
        ("touch stolen x", "touch stolen"),
    ],
)
def test_a_command_that_is_not_allowed_is_not_run(
    tmp_path: Path, quoted: str, allowed: str
) -> None:
    result = judge(tmp_path, f"`{quoted}` succeeds", allowed)
    assert result.verdict == "unproven"
    assert f'orchestrate checks allow "{quoted}"' in result.detail
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize(
    "command",
    [
        "echo $(touch stolen)",
        "test -e made.txt ; touch stolen",
        "test -e made.txt || touch stolen",
        "cat made.txt | sh",
        "cat made.txt > stolen",
        "touch stolen &",
        "test -e made.txt\u202e",
        "test -e made.txt\u200b",
    ],
)
def test_what_needs_a_shell_is_not_run(tmp_path: Path, command: str) -> None:
    (tmp_path / "made.txt").touch()
    result = judge(tmp_path, f"`{command}` passes", command)
    assert result.verdict == "unproven"
    assert "cannot be run" in result.detail
    assert [p.name for p in tmp_path.iterdir()] == ["made.txt"]


def test_the_command_gets_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "secret")
    result = judge(tmp_path, "`env` runs without errors", "env")
    assert "PATH=" in result.evidence["out"]
    assert "secret" not in result.evidence["out"]


def test_a_command_that_does_not_end_is_stopped_with_its_children(tmp_path: Path) -> None:
    command = "sh -c 'setsid sleep 617 & sleep 617'"
    result = judge(tmp_path, f"`{command}` passes", command, timeout=0.5)
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert "sleep 617" not in shown.stdout
    assert result.verdict == "failed"
    assert "stopped at the limit" in result.detail


def test_a_program_that_is_not_there_proves_nothing(tmp_path: Path) -> None:
    result = judge(tmp_path, "`no-such-program now` passes", "no-such-program now")
    assert result.verdict == "unproven"
    assert "cannot be started" in result.detail


def test_words_that_cannot_be_split_are_refused(tmp_path: Path) -> None:
    result = judge(tmp_path, "`echo 'open` passes", "echo 'open")
    assert result.verdict == "unproven"
    assert "No closing quotation" in result.detail


@pytest.mark.parametrize(
    ("statement", "check"),
    [
        ("No TypeScript errors (`tsc --noEmit` passes)", "typescript.compiles"),
        ("`tools/report.py` runs without error", "python.runs"),
        ("`tsc --noEmit` passes", "command.passes"),
    ],
)
def test_no_other_check_loses_its_statements(statement: str, check: str) -> None:
    assert [b.check.name if b.check else None for b in BINDER.bind(statement)] == [check]


def test_what_a_command_keeps_at_home_is_not_left_in_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "made.txt").touch()
    command = "sh -c 'mkdir -p ~/.npm && echo cached > ~/.npm/log && cat made.txt'"
    assert judge(tmp_path, f"`{command}` passes", command).verdict == "proven"
    assert [p.name for p in tmp_path.iterdir()] == ["made.txt"]


@pytest.mark.parametrize(
    "words", ["rm made.txt && ls", "cp made.txt other.txt", "sed -i s/a/b/ made.txt"]
)
def test_what_a_command_writes_is_not_left_in_the_workspace(tmp_path: Path, words: str) -> None:
    (tmp_path / "made.txt").write_text("a\n")
    judge(tmp_path, f"`{words}` passes", words)
    aside = f"sh -c 'echo b > {tmp_path}/made.txt; cat made.txt'"
    if CONFINED:
        judge(tmp_path, f"`{aside}` passes", aside)
    assert [p.name for p in tmp_path.iterdir()] == ["made.txt"]
    assert (tmp_path / "made.txt").read_text() == "a\n"


@pytest.mark.skipif(not CONFINED, reason="this system allows no network of one's own")
def test_a_command_reaches_itself_and_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "ask.py").write_text(
        "import socket\n"
        "here = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(here.getsockname()).close()\n"
        "try:\n    socket.create_connection(('192.0.2.1', 80), timeout=5)\n"
        "except OSError as exc:\n    print('refused' in str(exc))\n"
    )
    result = judge(tmp_path, "`python -m ask` passes", "python -m ask")
    assert (result.verdict, result.evidence["out"]) == ("proven", "True\n")


def test_a_flood_of_output_is_stopped_and_its_end_kept(tmp_path: Path) -> None:
    result = judge(tmp_path, "`yes now` passes", "yes now", timeout=60)
    assert "stopped" in result.detail
    assert len(result.evidence["out"]) <= 2000


#: commands that succeed whatever there is
BLIND = {
    "nothing": "true",
    "words": "echo ok",
    "a shell": "sh -c 'exit 0'",
    "a failure that is hidden": "sh -c 'python -m pytest -q || true'",
    "another failure": "sh -c 'python -m pytest -q; echo done'",
    "a script": "./check.sh",
    "a target": "make check",
}


@pytest.mark.parametrize("why", BLIND)
def test_a_command_that_cannot_fail_proves_nothing(tmp_path: Path, why: str) -> None:
    lay_tests(tmp_path, "assert True")
    script = tmp_path / "check.sh"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    (tmp_path / "Makefile").write_text("check:\n\t-python -m pytest -q\n")
    result = judge(tmp_path, f"`{BLIND[why]}` passes", BLIND[why])
    assert result.verdict == "unproven", result.detail
    assert "it also succeeds where" in result.detail


def lay_tests(root: Path, *lines: str) -> None:
    (root / "tests").mkdir(exist_ok=True)
    (root / "made.py").write_text("VALUE = 1\n")
    body = "".join(f"def test_{n}():\n    {line}\n" for n, line in enumerate(lines))
    (root / "tests" / "test_made.py").write_text(f"from made import VALUE\n{body}")


@pytest.mark.parametrize(
    ("conftest", "verdict"),
    [
        ("", "failed"),
        ("def pytest_sessionfinish(session): session.exitstatus = 0", "unproven"),
        ("import os; os._exit(0)", "unproven"),
        (
            "import pytest\n@pytest.hookimpl(hookwrapper=True)\n"
            "def pytest_runtest_makereport():\n"
            "    made = yield\n    made.get_result().outcome = 'passed'",
            "unproven",
        ),
        ("def pytest_collection_modifyitems(items): items[:] = []", "unproven"),
    ],
)
def test_a_conftest_cannot_make_a_failing_test_pass(
    tmp_path: Path, conftest: str, verdict: str
) -> None:
    lay_tests(tmp_path, "assert VALUE == 2")
    (tmp_path / "conftest.py").write_text(conftest)
    command = "python -m pytest -q"
    assert judge(tmp_path, f"`{command}` passes", command).verdict == verdict


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ("`python -m pytest -q` passes", "proven"),
        ("`python -m pytest -q` — 2 passed", "proven"),
        ("`python -m pytest -q` — 3 passed", "failed"),
        ("`python -m pytest -q tests/test_made.py::test_0` passes", "proven"),
        ("`python -m pytest -q -k nothing` passes", "unproven"),
        ("`python -m pytest -q tests/test_none.py` passes", "failed"),
        ("`python -m made` prints `one`", "failed"),
        ("`python -m said` prints `said: one`", "proven"),
        ("`python -m said` prints `said: two`", "failed"),
        ("`python -m said` reports no errors", "proven"),
        ("`python -m said` reports no warnings", "failed"),
        ("No warnings reported by `python -m said`", "failed"),
        ("No errors reported by `python -m said`", "proven"),
    ],
)
def test_what_is_said_of_the_output_has_to_hold(
    tmp_path: Path, statement: str, verdict: str
) -> None:
    lay_tests(tmp_path, "assert True", "assert VALUE == 1")
    (tmp_path / "said.py").write_text("print('0 warnings'); print('said: one\\nWarning: old')\n")
    command = statement.split("`")[1]
    settings = {"checks": {"commands": [command]}}
    (binding,) = BINDER.bind(statement)
    assert binding.check is not None
    found = binding.check.function(Context(root=tmp_path, settings=settings), **binding.arguments)
    assert found.verdict == verdict, found.detail


def test_links_within_the_workspace_are_kept_and_others_are_not(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    (root / "web").mkdir(parents=True)
    (root / "made.txt").write_text("made\n")
    (root / "web" / "linked.txt").symlink_to("../made.txt")
    (tmp_path / "outside.txt").write_text("made\n")
    (root / "other.txt").symlink_to(tmp_path / "outside.txt")
    command = "grep made web/linked.txt"
    assert judge(root, f"`{command}` passes", command).verdict == "proven"
    command = "grep made other.txt"
    assert judge(root, f"`{command}` passes", command).verdict == "failed"


def test_a_command_that_wants_the_network_is_unproven(tmp_path: Path) -> None:
    (tmp_path / "made.txt").touch()
    command = "git ls-remote https://example.org/shop.git"
    result = judge(tmp_path, f"`{command}` passes", command)
    assert (result.verdict, "it needs the network" in result.detail) == ("unproven", True)


UNITTEST = """\
import unittest
from made import VALUE
class Made(unittest.TestCase):
    def test_value(self): self.assertEqual(VALUE, {value})
if __name__ == "__main__":
    unittest.main()
"""


@pytest.mark.parametrize(
    "command",
    ["python -m unittest test_made", "python -m unittest test_made.Made.test_value", "make test"],
)
@pytest.mark.parametrize(("value", "verdict"), [(1, "proven"), (2, "failed")])
def test_tests_of_unittest_are_proven_too(
    tmp_path: Path, command: str, value: int, verdict: str
) -> None:
    (tmp_path / "made.py").write_text("VALUE = 1\n")
    (tmp_path / "test_made.py").write_text(UNITTEST.format(value=value))
    (tmp_path / "Makefile").write_text(f"test:\n\t{sys.executable} test_made.py\n")
    found = judge(tmp_path, f"`{command}` passes", command)
    assert found.verdict == verdict, found.detail


@pytest.mark.parametrize(
    "statement",
    [
        "`mypy src` should pass",
        "`npm run build` completes without warnings",
        "`cargo build --release` succeeds with zero warnings",
        "When I run `npm test`, everything passes",
        "`npm run typecheck` has 0 errors",
        "No errors from `ruff check .`",
        "`make test` exit code is 0",
        "`npm test` still passes",
        "`npm audit` reports no vulnerabilities",
        "The command `make docs` finishes without errors",
        "`npm run lint` and `npm run build` both succeed",
        "The exit code of `make lint` is 0",
        "`make lint` produces no output",
        "`pytest` → all green",
        "npm run build works",
        "make lint runs without errors",
    ],
)
def test_a_commands_good_end_is_said_in_many_ways(statement: str) -> None:
    assert [b.check.name if b.check else None for b in BINDER.bind(statement)] == ["command.passes"]


@pytest.mark.parametrize(
    "statement",
    [
        "`npm test` does not pass",
        "`npm test` never passes",
        "`npm test` or `pytest -q` passes",
        "`npm test` passes only on Linux",
        "`npm test` passes unless the network is down",
        "`npm test` mostly passes",
        "`login` works",
        "`npm test` has some errors",
        "`npm test` passes with errors",
        "npm packages are clean",
        "make sure tests pass",
    ],
)
def test_what_changes_the_meaning_is_not_judged_by_the_exit_code(statement: str) -> None:
    assert None in [b.check and b.check.name for b in BINDER.bind(statement)]


def test_silence_has_to_be_silent(tmp_path: Path) -> None:
    (tmp_path / "made.txt").write_text("made\n")
    for command, verdict in (("cat made.txt", "failed"), ("test -e made.txt", "proven")):
        (binding,) = BINDER.bind(f"`{command}` produces no output")
        assert binding.check is not None
        context = Context(root=tmp_path, settings={"checks": {"commands": [command]}})
        assert binding.check.function(context, **binding.arguments).verdict == verdict
