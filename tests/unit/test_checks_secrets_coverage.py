"""Secrets of a whole repository and of its history; coverage as the runner's tool reports it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.errors import MissingToolError
from tests.claims import BINDER, check_of, committed, judge, lay

KEY = "AKIA" + "QYLPMN5HXZ3VTR7C"
LEAK = f'AWS_ACCESS = "{KEY}"\n'


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("No secrets in the repository", "secrets.repository"),
        ("No hardcoded secrets or credentials", "secrets.repository"),
        ("No secrets or credentials in code", "secrets.repository"),
        ("Secrets are never hard-coded", "secrets.repository"),
        ("No secrets committed", "secrets.committed"),
        ("No credentials are committed to git", "secrets.committed"),
        ("No secrets in the git history", "secrets.history"),
        ("No secrets in delivered files", "files.no-secrets"),
        ("Test coverage ≥ 80%", "tests.coverage"),
        ("Coverage is above 80 %", "tests.coverage"),
        ("80%+ test coverage", "tests.coverage"),
        ("Coverage of `src/shop.py` is at least 90 %", "tests.coverage"),
    ],
)
def test_these_wordings_are_taken(statement: str, name: str) -> None:
    assert check_of(statement) == name


@pytest.mark.parametrize(
    "statement",
    [
        "No secrets in logs",
        "No secrets in the repository except in tests",
        "No secrets in the client bundle",
        "Secrets are stored in environment variables",
        "Secrets are committed",
        "Test coverage does not decrease",
        "Coverage ≥ 80% for new code",
        "Coverage is at most 80%",
        "Branch coverage ≥ 80%",
        "Test coverage is not below 80%",
    ],
)
def test_what_says_more_or_less_is_not_taken(statement: str) -> None:
    assert all(binding.check is None for binding in BINDER.bind(statement))


def test_a_secret_anywhere_in_the_tree_refutes_it(tmp_path: Path) -> None:
    committed(tmp_path, {"a.py": "A = 1\n", ".gitignore": "ignored/\n"})
    lay(tmp_path, {"ignored/a.py": LEAK})
    assert judge(tmp_path, "No secrets in the repository").verdict == "proven"
    lay(tmp_path, {"tests/test_a.py": LEAK})
    assert judge(tmp_path, "No secrets in the repository").verdict == "unproven"
    lay(tmp_path, {"deep/er/settings.py": LEAK})
    result = judge(tmp_path, "No secrets in the repository")
    assert (result.verdict, "deep/er/settings.py line 1" in result.detail) == ("failed", True)
    assert KEY not in result.detail


def test_a_secret_that_was_removed_is_still_in_the_history(tmp_path: Path) -> None:
    committed(tmp_path, {"a.py": "A = 1\n"})
    for statement in ("No secrets in the git history", "No secrets committed"):
        assert judge(tmp_path, statement).verdict == "proven"
    lay(tmp_path, {"a.py": LEAK})
    words = ("-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-qam", "x")
    subprocess.run(["git", *words], cwd=tmp_path, check=True)
    lay(tmp_path, {"a.py": "A = 1\n"})
    subprocess.run(["git", *words], cwd=tmp_path, check=True)
    assert judge(tmp_path, "No secrets in the repository").verdict == "proven"
    for statement in ("No secrets in the git history", "No secrets are committed"):
        assert judge(tmp_path, statement).verdict == "failed"


def test_without_git_there_is_no_history_to_look_at(tmp_path: Path) -> None:
    lay(tmp_path, {"a.py": "A = 1\n"})
    assert judge(tmp_path, "No secrets in the repository").verdict == "proven"
    assert judge(tmp_path, "No secrets committed").verdict == "unproven"


# -- coverage --------------------------------------------------------------------------------------


def test_without_the_tool_it_is_unproven_with_what_installs_it(tmp_path: Path) -> None:
    lay(tmp_path, {"test_a.py": "def test_a():\n    assert 1\n"})
    with pytest.raises(MissingToolError, match=r"coverage is not installed"):
        judge(tmp_path, "Test coverage ≥ 80%")


#: what vitest does, as far as it is asked for here
VITEST = """#!/bin/sh
for word in "$@"; do
  case "$word" in --coverage.reportsDirectory=*) out="${word#*=}" ;; esac
done
printf '%s' '{"total": {"lines": {"pct": 85.5}}, "'"$PWD"'/src/a.js": {"lines": {"pct": 71}}}' \\
  > "$out/coverage-summary.json"
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ("Test coverage ≥ 85.5%", "proven"),
        ("Test coverage > 85.5%", "failed"),
        ("Coverage of `src/` is at least 70 %", "proven"),
        ("Coverage of `src/a.js` is at least 72 %", "failed"),
        ("Coverage of `src/b.js` is at least 10 %", "unproven"),
    ],
)
def test_the_reported_shares_are_compared(tmp_path: Path, statement: str, verdict: str) -> None:
    package = {"scripts": {"test": "vitest run"}, "devDependencies": {"vitest": "3"}}
    lay(tmp_path, {"package.json": json.dumps(package), "src/a.js": "1;\n"})
    lay(tmp_path, {"node_modules/vitest/package.json": "{}", "node_modules/.bin/vitest": VITEST})
    (tmp_path / "node_modules/.bin/vitest").chmod(0o755)
    result = judge(tmp_path, statement)
    assert result.verdict == verdict, result.detail
