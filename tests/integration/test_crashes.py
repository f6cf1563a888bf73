"""DESIGN 2.1, 8.1, 8.3: stopped anywhere and started again, a story comes to the same end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def told(*options: str) -> dict[str, Any]:
    """The line of a run, whose ends are all the undisturbed one."""
    done = subprocess.run(
        [sys.executable, "benchmarks/crashes.py", "--verbose", *options],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert line["wrong_ends"] == 0, done.stderr
    assert done.returncode == 0
    return line


@pytest.mark.timeout(600)
def test_8_1_a_stop_at_any_operation_leads_to_the_undisturbed_end() -> None:
    """Some of the operations and a few random kills; `make crashes` takes them all."""
    line = told("--every", "41", "--kills", "4")
    assert line["operations"] > 200
    assert min(line["stopped"][kind] for kind in ("kill", "full", "denied")) >= 5
    assert line["stopped"]["random"] > 0


@pytest.mark.timeout(600)
def test_a_stop_before_any_command_of_git_leads_to_the_undisturbed_landing() -> None:
    """A few of them; `make crashes` takes them all, and the other ways to merge."""
    line = told("--story", "squash", "--every", "83", "--first", "60", "--kills", "0")
    assert line["by_kind"]["git merge"] > 0
    assert line["by_kind"]["git commit-tree"] > 0
    assert line["stopped"]["kill"] >= 3
