"""DESIGN 2.1, 8.1, 8.3: stopped anywhere and started again, a story comes to the same end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.timeout(600)
def test_8_1_a_stop_at_any_operation_leads_to_the_undisturbed_end() -> None:
    """Some of the operations and a few random kills; `make crashes` takes them all."""
    done = subprocess.run(
        [sys.executable, "benchmarks/crashes.py", "--every", "41", "--kills", "4", "--verbose"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    line = json.loads(done.stdout.splitlines()[-1])
    assert line["wrong_ends"] == 0, done.stderr
    assert done.returncode == 0
    assert line["operations"] > 200
    assert min(line["stopped"][kind] for kind in ("kill", "full", "denied")) >= 5
    assert line["stopped"]["random"] > 0
