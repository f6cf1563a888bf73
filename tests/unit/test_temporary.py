"""Folders for temporary files go with the process that made them, however it ended."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from orchestrator.storage import temporary
from orchestrator.storage.temporary import Temporary, sweep

_KILLED = (
    "import os, signal; from orchestrator.storage.temporary import Temporary\n"
    "made = Temporary('home'); open(made.name + '/a', 'w').close(); print(made.name, flush=True)\n"
    "os.kill(os.getpid(), signal.SIGKILL)\n"
)


def test_what_a_killed_process_left_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "_PLACES", ())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", _KILLED], capture_output=True, text=True, env=env)
    left = Path(done.stdout.strip())
    (tmp_path / "orchestrate-mine").mkdir()
    (tmp_path / "orchestrate-link.locked").symlink_to(tmp_path / "orchestrate-mine")
    with Temporary("job") as used:
        sweep.cache_clear()
        sweep()
        # it may have been made just now, and not be locked yet
        assert left.exists()
        monkeypatch.setattr(temporary, "_YOUNG", -1.0)
        sweep.cache_clear()
        sweep()
        assert not left.exists()
        assert Path(used).exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "orchestrate-link.locked",
        "orchestrate-mine",
    ]
