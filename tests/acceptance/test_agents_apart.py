"""The real Claude Code, where it is installed, in a network of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import coding

HERE = Path(__file__).parent / "agents"


@pytest.mark.timeout(600)
def test_claude_code_works_for_the_scripted_model() -> None:
    if coding.program("claude") is None:
        pytest.skip("Claude Code is not installed; `make agents` installs it")
    words = [sys.executable, str(HERE / "own_network.py"), sys.executable, "-m", "pytest"]
    options = ["-q", "-p", "no:cacheprovider", "-k", "[claude]", str(HERE)]
    done = subprocess.run([*words, *options], capture_output=True, text=True, timeout=590)
    if done.returncode == 75:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout[-8000:]
