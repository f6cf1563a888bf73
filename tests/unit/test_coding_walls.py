"""A coding agent's program behind its walls: it writes in its checkout and its own state."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from orchestrate_agents.coding.acp import AcpAdapter
from orchestrate_agents.coding.claude import Claude
from orchestrate_agents.coding.walls import build_walls, can_confine, version_of
from orchestrator.agent_process.confinement import ability
from orchestrator.domain.agent import Outcome
from orchestrator.settings.agents import AgentSettings
from tests import coding

pytestmark = pytest.mark.skipif(not can_confine(), reason="this machine can confine nothing")

PROGRAM = """\
#!{python}
import json, os, subprocess, sys
from pathlib import Path
tried = {{}}
for name, path in {paths!r}.items():
    try:
        if name.startswith("read"):
            tried[name] = bool(Path(path).read_text())
        else:
            with open(path, "a") as file:
                file.write("x")
            tried[name] = True
    except OSError:
        tried[name] = False
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60) # {mark}"],
    start_new_session=True, stdin=-3, stdout=-3, stderr=-3, env={{}}, close_fds=True)
print(json.dumps({{"type": "result", "is_error": False, "session_id": "s",
    "result": json.dumps(tried)}}), flush=True)
"""


def test_it_writes_in_its_checkout_and_its_state_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, board = tmp_path / "home", tmp_path / "board"
    root = coding.workspace(tmp_path / "checkout")
    for folder in (home / ".ssh", home / ".claude", board / ".git", tmp_path / "more"):
        folder.mkdir(parents=True)
    for file in (home / ".ssh" / "id", home / ".profile", board / "orchestrate.toml"):
        file.write_text("before\n")
    paths = {
        "checkout": root / "a.txt",
        "git": root / ".git" / "x",
        "state": home / ".claude" / "x",
        "state file": home / ".claude.json",
        "more": tmp_path / "more" / "x",
        "home": home / ".profile",
        "board": board / "orchestrate.toml",
        "hooks": board / ".git" / "hook",
        "read key": home / ".ssh" / "id",
        "system": "/etc/orchestrate-was-here",
    }
    mark = f"left-{os.getpid()}"
    program = tmp_path / "bin" / "claude"
    program.parent.mkdir()
    shown = {name: str(path) for name, path in paths.items()}
    program.write_text(PROGRAM.format(python=sys.executable, paths=shown, mark=mark))
    program.chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    report = Claude().work(
        coding.job(root, "claude", agent={"write": [str(tmp_path / "more")]}, home=str(board))
    )
    assert report.outcome is Outcome.DONE, report.reason
    said = json.loads(report.section.splitlines()[2].removeprefix("> "))
    allowed = {"checkout", "git", "state", "state file", "more"}
    assert {name for name, done in said.items() if done} - {"home"} == allowed
    # what it wrote elsewhere was thrown away, or refused
    for file in (home / ".ssh" / "id", home / ".profile", board / "orchestrate.toml"):
        assert file.read_text() == "before\n"
    assert not Path("/etc/orchestrate-was-here").exists()
    assert not (board / ".git" / "hook").exists()
    assert (root / "a.txt").read_text() == "x"
    assert (home / ".claude" / "x").read_text() == "x"
    # a process in a session of its own has ended with it
    assert not [p for p in psutil.process_iter(["cmdline"]) if mark in str(p.info["cmdline"])]


#: appends to each file that it is given, and adds one beside it
WRITER = """\
#!/bin/sh
for file in "$@"; do
    echo x >> "$file"
    echo x > "$(dirname "$file")/new"
done 2> /dev/null
true
"""


def test_it_cannot_write_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, root = tmp_path / "home", tmp_path / "checkout"
    real = home / ".local" / "share" / "claude" / "versions" / "2.0"
    sessions, key = home / ".local" / "share" / "sessions" / "a", tmp_path / "elsewhere" / "key"
    for file in (real, sessions, key, root / "a", home / ".local" / "bin" / "b"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(WRITER)
    real.chmod(0o755)
    link = home / ".local" / "bin" / "claude"
    link.symlink_to(real)
    (home / ".local" / "share" / "out").symlink_to(key.parent)
    monkeypatch.setenv("HOME", str(home))
    path = f"{link.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    tried = [real, link, real.parent.parent / "x", key, sessions, root / "a"]
    with build_walls("claude", root, environment, [".local/share"], ["~/.local"], []) as walls:
        words = walls.words(["claude", *map(str, tried)])
        subprocess.run(words, pass_fds=walls.fds, cwd=root, env=environment, check=True)
    for file in (real, key):
        assert file.read_text() == WRITER
    assert not [p for p in home.rglob("new") if p.parent != sessions.parent]
    assert not (key.parent / "new").exists()
    # where nothing of it lies it writes as before
    assert sessions.read_text() == f"{WRITER}x\n"
    assert (root / "new").exists()


def test_its_version_is_asked_behind_walls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    program = home / ".local" / "share" / "claude" / "claude"
    program.parent.mkdir(parents=True)
    (home / ".profile").write_text("before\n")
    (home / ".ssh").mkdir()
    (home / ".ssh" / "id").write_text("secret\n")
    program.write_text(
        f'#!/bin/sh\necho x >> "{home}/.profile"\necho x >> "$0"\ncat "{home}/.ssh/id"\n'
        'echo "2.0 (it)"\n'
    )
    program.chmod(0o755)
    before = program.read_text()
    monkeypatch.setenv("HOME", str(home))
    assert version_of([str(program)], os.environ) == "2.0 (it)"
    assert program.read_text() == before
    assert (home / ".profile").read_text() == "before\n"
    assert version_of([str(tmp_path / "none")], os.environ) == ""


def test_what_rules_its_program_elsewhere_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, board = tmp_path / "home", tmp_path / "board"
    root = coding.workspace(tmp_path / "checkout")
    for folder in (home / ".claude" / "agents", board):
        folder.mkdir(parents=True)
    settings, helper = home / ".claude" / "settings.json", home / ".claude" / "agents" / "a.md"
    hook, state = home / ".claude" / "hooks", home / ".claude.json"
    for file in (settings, helper):
        file.write_text("before\n")
    state.write_text('{"mcpServers": {"mine": {}}, "projects": {"/p": {"allowedTools": ["Read"]}}}')
    program = tmp_path / "bin" / "claude"
    program.parent.mkdir()
    program.write_text(RULER.format(python=sys.executable, home=str(home)))
    program.chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    report = Claude().work(coding.job(root, "claude", home=str(board)))
    assert report.outcome is Outcome.DONE, report.reason
    if ability().namespaces or ability().bubblewrap:
        assert settings.read_text() == helper.read_text() == "before\n"
        assert sorted(p.name for p in helper.parent.iterdir()) == ["a.md"]
    assert not hook.exists()
    kept = board / ".orchestrate" / "kept" / "WO-001" / "stage-1-rules"
    assert (kept / "hooks-1" / "evil").read_text() == "x"
    said = json.loads(state.read_text())
    assert said["mcpServers"] == {"mine": {}}
    assert said["projects"]["/p"]["allowedTools"] == ["Read"]
    assert "mcpServers" not in said["projects"]["/q"]
    # what is not a rule is its own
    assert said["numStartups"] == 2
    assert (home / ".claude" / "history").read_text() == "x"
    texts = [notice.text for notice in report.notices]
    assert any("hooks, which would rule" in text for text in texts)
    assert any("changed mcpServers, allowedTools in" in text for text in texts)


RULER = """\
#!{python}
import json
from pathlib import Path
home = Path({home!r})
def write(path, text):
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    except OSError:
        pass
for name in ("settings.json", "agents/a.md", "agents/b.md", "hooks/evil", "history"):
    write(home / ".claude" / name, "x")
state = {{"numStartups": 2, "mcpServers": {{"evil": {{"command": "x"}}}}, "projects": {{
    "/p": {{"allowedTools": ["Bash"]}}, "/q": {{"mcpServers": {{"evil": {{}}}}}}}}}}
write(home / ".claude.json", json.dumps(state))
print(json.dumps({{"type": "result", "is_error": False, "session_id": "s", "result": "ok"}}))
"""


@pytest.mark.parametrize(
    ("command", "state"),
    [
        (["claude-code-acp"], (".claude", ".claude.json")),
        (["npx", "-y", "@zed-industries/codex-acp@1.2"], (".codex",)),
        (["opencode", "acp"], (".config/opencode",)),
        (["./tools/goose", "acp"], (".config/goose", ".goose")),
    ],
)
def test_an_acp_agent_has_the_state_of_its_program_alone(
    command: list[str], state: tuple[str, ...]
) -> None:
    found, rules = AcpAdapter.places(AgentSettings(use="acp", command=tuple(command)))
    assert set(state) <= set(found)
    assert not {".config", ".cache", ".local/share", ".local/state"} & set(found)
    others = {".claude", ".codex", ".gemini", ".config/opencode", ".npx"} - set(state)
    assert not others & set(found)
    assert bool(rules) is ("goose" not in command[0])


ASKING = """\
#!{python}
import json, os, socket
said = {{}}
for path in {sockets!r}:
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(path)
        said[path] = True
    except OSError:
        said[path] = False
said["key"] = os.path.exists({key!r}) and os.path.getsize({key!r}) > 0
import pty
pty.openpty()
kinds = [os.stat("/dev/" + name).st_mode >> 12 for name in os.listdir("/dev") if name != "fd"]
said["disks"], said["terminals"] = 6 in kinds, os.listdir("/dev/pts")
print(json.dumps({{"type": "result", "session_id": "s", "result": json.dumps(said)}}), flush=True)
"""


@pytest.mark.skipif(not ability().namespaces, reason="Landlock keeps nobody from a socket")
def test_it_reaches_no_database_no_key_and_no_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only disk keeps nobody from asking a server."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as folder, contextlib.ExitStack() as stack:
        board, home = Path(folder) / "board", Path(folder) / "home"
        root = coding.workspace(board / ".orchestrate" / "workspaces" / "WO-001")
        (board / ".env").write_text("KEY=of-the-workspace\n")
        places = [board / ".orchestrate" / "postgres" / "s", Path(folder) / "other"]
        for place in places:
            place.parent.mkdir(exist_ok=True)
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            server.bind(str(place))
            server.listen()
        program = tmp_path / "bin" / "claude"
        program.parent.mkdir()
        sockets = [str(place) for place in places]
        text = ASKING.format(python=sys.executable, sockets=sockets, key=str(board / ".env"))
        program.write_text(text)
        program.chmod(0o755)
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        report = Claude().work(coding.job(root, "claude", home=str(board)))
        assert report.outcome is Outcome.DONE, report.reason
        said = json.loads(report.section.splitlines()[2].removeprefix("> "))
    assert sorted(said.pop("terminals")) == ["0", "ptmx"]
    assert said == {**dict.fromkeys(sockets, False), "key": False, "disks": False}
