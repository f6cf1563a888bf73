"""Turns of coding agents begin in a process that is forked from one that has loaded all of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.agent_process.dispatcher import Dispatcher
from orchestrator.domain.agent import Job, Outcome
from orchestrator.errors import StoppedError
from orchestrator.settings.agents import AgentSettings
from tests import coding

#: Claude Code, which says what it was given
_CLAUDE = """\
#!/bin/sh
cat > /dev/null
echo "$FIRST $SECOND $ORCHESTRATE_AGENT_OF" >> told.txt
[ -z "$WAIT" ] || { echo $$ > waits; sleep 60; }
echo '{"type": "assistant", "message": {"id": "m", "model": "m", "content": []}}'
echo '{"type": "result", "session_id": "s-1", "result": "Done.", "modelUsage": {}}'
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    root = coding.workspace(tmp_path / "shop")
    (tmp_path / "claude").write_text(_CLAUDE)
    (tmp_path / "claude").chmod(0o755)
    return root


def settings(root: Path, **fields: Any) -> AgentSettings:
    command = [str(root.parent / "claude")]
    return AgentSettings.model_validate({"use": "claude", "command": command, **fields})


def job(root: Path, **fields: Any) -> Job:
    return coding.job(root, "claude", agent=settings(root, **fields).model_dump(mode="json"))


def waits(root: Path) -> int:
    """The program that waits, once it does."""
    for _ in range(200):
        if (root / "waits").exists() and (root / "waits").read_text().strip():
            break
        time.sleep(0.05)
    shop = str(root)
    (found,) = [p.pid for p in psutil.process_iter() if p.name() == "sleep" and place(p) == shop]
    return found


def place(process: psutil.Process) -> str:
    try:
        return process.cwd()
    except psutil.Error:
        return ""


def test_each_turn_has_its_own_variables_and_the_process_is_made_anew(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST", "one")
    monkeypatch.setenv("SECOND", "two")
    dispatcher = Dispatcher()
    dispatcher.prepare({"claude": settings(root)})
    for env in (["FIRST"], ["SECOND"], []):
        report = dispatcher.dispatch(job(root, env=env), settings(root, env=env))
        assert report.outcome is Outcome.DONE, report.reason
        assert dispatcher._forking is not None
        if env == ["SECOND"]:
            # as if nobody had needed it for a while
            dispatcher._forking._process.kill()
            dispatcher._forking._process.wait()
    assert (root / "told.txt").read_text() == f"one  {root}\n two {root}\n  {root}\n"
    environ = Path(f"/proc/{dispatcher._forking._process.pid}/environ")
    if environ.exists():
        assert b"FIRST" not in environ.read_bytes()


def test_a_turn_is_stopped_with_all_that_it_started(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAIT", "1")
    dispatcher, seen = Dispatcher(), []

    def turn() -> None:
        try:
            dispatcher.dispatch(job(root, env=["WAIT"]), settings(root, env=["WAIT"]))
        except StoppedError as exc:
            seen.append(exc)

    thread = threading.Thread(target=turn)
    thread.start()
    program = waits(root)
    dispatcher.stop()
    thread.join(10)
    assert len(seen) == 1
    assert not psutil.pid_exists(program)


def test_a_turn_ends_with_its_conductor(root: Path) -> None:
    given = job(root, env=["WAIT"]).model_dump_json()
    code = (
        "import sys; from orchestrator.agent_process.dispatcher import Dispatcher\n"
        "from orchestrator.domain.agent import Job\n"
        "from orchestrator.settings.agents import AgentSettings\n"
        "job = Job.model_validate_json(sys.argv[1])\n"
        "Dispatcher().dispatch(job, AgentSettings.model_validate(job.settings['agent']))\n"
    )
    env = {**os.environ, "WAIT": "1"}
    conductor = subprocess.Popen([sys.executable, "-c", code, given], env=env)
    program = waits(root)
    conductor.send_signal(signal.SIGKILL)
    conductor.wait()
    psutil.wait_procs([psutil.Process(program)] if psutil.pid_exists(program) else [], 10)
    assert not psutil.pid_exists(program)
    assert json.loads(given)["workspace"] not in [place(p) for p in psutil.process_iter()]


def built_in(root: Path, agent: str) -> Job:
    """A job that the agent refuses."""
    return Job(
        ticket="WO-1",
        parent="WO-1",
        family=(),
        stage=1,
        agent=agent,
        workspace=str(root),
        workflow="workflows/any.md",
        workflow_text="# Any\n\n## STAGE 1: INSPECTOR — Look\n\n**Done when:** `a.txt` exists.\n",
    )


def test_built_in_agents_begin_in_one_process(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    popen = subprocess.Popen

    def start(words: list[str], *args: Any, **options: Any) -> Any:
        started.append(words)
        return popen(words, *args, **options)

    monkeypatch.setattr(subprocess, "Popen", start)
    dispatcher, own = Dispatcher(), AgentSettings()
    dispatcher.prepare({"INSPECTOR": own, "SOOP": own})
    for agent in ("INSPECTOR", "ANALYST", "INSPECTOR"):
        report = dispatcher.dispatch(built_in(root, agent), own)
        assert report.outcome is Outcome.NEEDS_PERSON, report.reason
    assert [words[-2:] for words in started] == [["agents/INSPECTOR", "agents/SOOP"]]


def test_what_an_agent_in_this_process_or_a_command_needs_is_not_loaded(root: Path) -> None:
    dispatcher = Dispatcher({"INSPECTOR": object()})  # type: ignore[dict-item]
    dispatcher.prepare({"INSPECTOR": AgentSettings(), "SOOP": AgentSettings(command=("soop",))})
    assert dispatcher._forking is None


def test_what_built_in_agents_need_is_there_before_they_work(root: Path) -> None:
    # a module that is loaded in the work is loaded by each of them
    code = (
        "import sys\n"
        "from orchestrator.agent_process import worker\n"
        "for name in ('LEAD', 'SOOP', 'BUILDER', 'ANALYST', 'INSPECTOR'):\n"
        "    worker.load_agent(name).prepare()\n"
        "print(*sys.modules)\n"
    )
    words = [sys.executable, "-c", code]
    loaded = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    needed = {"jinja2", "yaml", "markdown_it", "pglast.stream", "psycopg", "pydantic.type_adapter"}
    assert needed <= set(loaded)
    assert not {"pandas", "numpy", "pandera"} & set(loaded)
