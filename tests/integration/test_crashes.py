"""DESIGN 2.1, 8.1, 8.3: stopped anywhere and started again, a story comes to the same end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.errors import BusyError
from orchestrator.family.spending import BEGUN
from orchestrator.storage.history import History
from orchestrator.storage.locks import family_lock

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


# -- a killed conductor ----------------------------------------------------------------------------

_WORKFLOW = "# Colours\n\n## STAGE 1: BUILDER — Build\n\nPaint it.\n"
_TICKET = """---
id: WO-1
title: Colours
status: 00_INBOX
pipeline_workflow: workflows/w.md
---

# Colours

## Acceptance Criteria

- [ ] `colour.txt` exists
"""
#: never ends, nor does what it starts in a session of its own, without environment and files
_ENDLESS = """#!{python}
import os, subprocess, sys, time
if "--version" in sys.argv:
    print("9.9.9 (stand-in)")
    sys.exit()
subprocess.Popen(["/bin/sleep", "300"], start_new_session=True, env={{}},
    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
time.sleep(300)
"""


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def begun(root: Path) -> int:
    return len(list(History(root / "_WORK_ORDERS", "WO-1").of(BEGUN)))


@pytest.mark.skipif(sys.platform != "linux", reason="processes are followed on Linux")
@pytest.mark.parametrize("use", ['use = "claude"\n', 'part = "maker"\n'])
def test_agents_end_with_their_killed_conductor_and_the_family_goes_on(
    tmp_path: Path, use: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    root, program = tmp_path / "shop", tmp_path / "claude"
    (root / "_WORK_ORDERS" / "00_INBOX").mkdir(parents=True)
    (root / "_WORK_ORDERS" / "00_INBOX" / "WO-1_Colours.md").write_text(_TICKET, "utf-8")
    (root / "workflows").mkdir()
    (root / "workflows" / "w.md").write_text(_WORKFLOW, "utf-8")
    program.write_text(_ENDLESS.format(python=sys.executable), "utf-8")
    program.chmod(0o755)
    said = f'[workspaces]\nuse = "never"\n[agents.BUILDER]\n{use}command = ["{program}"]\n'
    (root / "orchestrate.toml").write_text(said, "utf-8")
    command = [sys.executable, "-m", "orchestrator", "run", "WO-1"]
    for run in (1, 2):
        with (tmp_path / "out").open("wb") as out:
            process = subprocess.Popen(command, cwd=root, stdout=out, stderr=out)
        conductor, found = psutil.Process(process.pid), list[psutil.Process]()

        def all_started(
            found: list[psutil.Process] = found,
            process: subprocess.Popen[bytes] = process,
            conductor: psutil.Process = conductor,
        ) -> bool:
            assert process.poll() is None, (tmp_path / "out").read_text("utf-8")
            found[:] = conductor.children(recursive=True)
            return any(p.name() == "sleep" for p in found)

        until(all_started)
        if "claude" in use:
            assert begun(root) == run
        os.kill(process.pid, signal.SIGKILL)
        # not waited for: also a conductor that nobody has reaped is gone
        _, alive = psutil.wait_procs(found, timeout=5)
        for left in alive:
            left.kill()
        assert alive == []
        with family_lock(root / ".orchestrate" / "state", "WO-1"):
            pass
        process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="holders are found on Linux")
def test_a_lock_names_who_holds_it_and_not_who_is_gone(tmp_path: Path) -> None:
    code = (
        "import os, subprocess, sys; from pathlib import Path\n"
        "from orchestrator.storage.locks import family_lock\n"
        "with family_lock(Path(sys.argv[1]), 'WO-1') as lock:\n"
        "    child = subprocess.Popen(['/bin/sleep', '60'], pass_fds=[lock.fd], stdout=2)\n"
        "    print(child.pid, flush=True); os._exit(0)"
    )
    holder = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, check=True
    )
    left = int(holder.stdout)
    try:
        with (
            pytest.raises(BusyError, match=rf"its agent \(process {left}\) is still") as told,
            family_lock(tmp_path, "WO-1"),
        ):
            pass
        assert told.value.hint == f"it ends by itself, or: kill {left}"
    finally:
        os.kill(left, signal.SIGKILL)
    # at once: what is just ending is waited for
    with family_lock(tmp_path, "WO-1"):
        pass
