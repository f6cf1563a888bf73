"""A quoted command is run only if the configuration has it word for word (issue: binding)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Result, load_checks

BINDER = Binder(load_checks(None))


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
    [("test -e made.txt", "proven"), ("test -e other.txt", "failed"), ("true", "proven")],
)
def test_an_allowed_command_is_judged_by_its_exit_code(
    tmp_path: Path, command: str, verdict: str
) -> None:
    (tmp_path / "made.txt").touch()
    result = judge(tmp_path, f"`{command}` passes", command)
    assert (result.verdict, result.subjects) == (verdict, ("made.txt",))
    assert result.evidence["command"] == command.split()


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
    assert "does not allow it" in result.detail
    assert not (tmp_path / "stolen").exists()


def test_no_shell_sees_the_command(tmp_path: Path) -> None:
    command = "echo $(touch stolen) ; touch stolen2 > out"
    result = judge(tmp_path, f"`{command}` passes", command)
    assert result.evidence["out"] == "$(touch stolen) ; touch stolen2 > out\n"
    assert list(tmp_path.iterdir()) == []


def test_the_command_gets_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "secret")
    result = judge(tmp_path, "`env` runs without errors", "env")
    assert "PATH=" in result.evidence["out"]
    assert "secret" not in result.evidence["out"]


def test_a_command_that_does_not_end_is_stopped_with_its_children(tmp_path: Path) -> None:
    command = "sh -c 'sleep 600 & sleep 600'"
    result = judge(tmp_path, f"`{command}` passes", command, timeout=0.5)
    assert result.verdict == "failed"
    assert "stopped at the limit" in result.detail


def test_a_program_that_is_not_there_proves_nothing(tmp_path: Path) -> None:
    result = judge(tmp_path, "`no-such-program now` passes", "no-such-program now")
    assert result.verdict == "unproven"
    assert "cannot be started" in result.detail


def test_words_that_cannot_be_split_are_refused(tmp_path: Path) -> None:
    result = judge(tmp_path, "`echo 'open` passes", "echo 'open")
    assert result.verdict == "failed"
    assert "cannot be split" in result.detail


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
    command = "sh -c 'mkdir -p ~/.npm && echo cached > ~/.npm/log'"
    assert judge(tmp_path, f"`{command}` passes", command).verdict == "proven"
    assert [p.name for p in tmp_path.iterdir()] == ["made.txt"]
