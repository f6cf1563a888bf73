"""Workspaces in which something misbehaves, and the inputs that are registered to run in one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent

#: what the conductor has in its environment; the first is handed to the agent
PASSWORD = "pw/7+Qz$9=Zkw"
KEYS = {
    "DEPLOY_TOKEN": "tok?8842/AbCdEf~99",
    "SOME_API_KEY": "c0ffee-1234-beef-5678",
    "DATABASE_URL": f"postgresql://ana:{quote(PASSWORD, safe='')}@db.invalid:5432/shop",
    "ORCHESTRATE_NOTIFY_URLS": "jsons://user:n0tify-pass-77@hooks.invalid/x",
}
_WORKFLOW = """\
# Hostile

## STAGE 1: WORKER — Work
Work.
**Done when:** {done}

## STAGE 2: USER CHECKPOINT #1 — The end
"""
TICKET = """\
---
id: WO-1
title: "Hostile"
status: 03_BUILD
owner: WORKER
pipeline_workflow: workflows/hostile.md
---
# Hostile

A line that a person wrote.
"""
REPORT = 'print(json.dumps({"outcome": "done", "section": "done"}))\n'
BEGIN = "import json, os, pathlib, subprocess, sys, time\njob = json.load(sys.stdin)\n"
_SETTINGS = """\
failure_limit = 1
[agents.WORKER]
command = [{python}, {agent}]
timeout = {limit}
env = ["DEPLOY_TOKEN"]
part = "maker"
[git]
commit = {commit}
[checks]
timeout = 4
"""
#: seconds in which every command has to end, whatever it is told to wait for
LIMIT, _PATIENCE, SLOW = 3, 60, 25
#: the largest resident set that a command may reach (MB), and file that it may leave
MEMORY, FILE = 700, 4200


class Desk:
    """A workspace with one ticket, and an agent that is a program of it."""

    def __init__(self, root: Path, agent: str = REPORT, done: str = "the work is done") -> None:
        self.root, self.agent = root / "work", root / "agent.py"
        self.seconds, self.memory = 0.0, 0
        self.agent.parent.mkdir(parents=True, exist_ok=True)
        self.agent.write_text(BEGIN + agent)
        self.write("workflows/hostile.md", _WORKFLOW.format(done=done))
        self.write("_WORK_ORDERS/03_BUILD/WO-1_Hostile.md", TICKET)
        self.settings()

    def settings(self, more: str = "", commit: bool = False) -> None:
        python = json.dumps(sys.executable)
        agent = json.dumps(str(self.agent))
        text = _SETTINGS.format(python=python, agent=agent, limit=LIMIT, commit=str(commit).lower())
        self.write("orchestrate.toml", text + more)

    def write(self, name: str, text: str | bytes) -> Path:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def git(self, *words: str) -> str:
        own = ["git", "-c", "user.name=ana", "-c", "user.email=ana@localhost", *words]
        return subprocess.run(own, cwd=self.root, check=True, capture_output=True, text=True).stdout

    def call(self, *words: str, patience: float = _PATIENCE) -> subprocess.CompletedProcess[str]:
        """`orchestrate …`; exit code -9 where it had to be killed."""
        with tempfile.TemporaryFile("w+", errors="replace") as out:
            start = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-m", "orchestrator", *words],
                cwd=self.root,
                env={**os.environ, **KEYS, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
            while (done := os.wait4(process.pid, os.WNOHANG))[0] == 0:
                if time.monotonic() - start > patience:
                    os.killpg(process.pid, signal.SIGKILL)
                    done = os.wait4(process.pid, 0)
                    break
                time.sleep(0.02)
            process.returncode = os.waitstatus_to_exitcode(done[1])
            self.seconds, self.memory = time.monotonic() - start, done[2].ru_maxrss // 1024
            out.seek(0)
            said = out.read(50_000_000)
        return subprocess.CompletedProcess(words, process.returncode, said, "")

    def kept(self, below: str = "") -> str:
        """All that is written of the family: tickets, receipts, state, commits."""
        files = [f for f in (self.root / below).rglob("*") if f.is_file() and not f.is_symlink()]
        mine = ("orchestrate.toml", "page.html")
        texts = [f.read_bytes() for f in files if f.name not in mine and ".git" not in f.parts]
        said = b"\n".join(texts).decode("utf-8", "replace")
        return said + (self.git("log", "-p", "--all") if (self.root / ".git").is_dir() else "")

    def shown(self) -> str:
        """All that commands and the review page show of it."""
        self.call("review", "WO-1", "--html", "page.html")
        page = self.root / "page.html"
        words = (["status", "WO-1"], ["log", "WO-1"], ["show", "WO-1"], ["receipts", "WO-1"])
        said = [self.call(*w, *j).stdout for w in words for j in ([], ["--json"])]
        said += [self.call("list", "--json").stdout, self.call("doctor").stdout]
        return "\n".join(said) + (page.read_text("utf-8") if page.exists() else "")


Probe = Callable[[Path], str]
PROBES: dict[str, dict[str, Probe]] = defaultdict(dict)


def probe(kind: str, name: str) -> Callable[[Probe], Probe]:
    def add(function: Probe) -> Probe:
        PROBES[kind][name] = function
        return function

    return add


def agents(kind: str, table: dict[str, str], judge: Callable[[Desk, str], str]) -> None:
    """A probe for each agent of a table; `judge` gets the desk and all that the run printed."""
    for name, code in table.items():

        def run(root: Path, code: str = code) -> str:
            desk = Desk(root, code)
            return judge(desk, desk.call("run", "WO-1", "--json").stdout)

        PROBES[kind][name] = run


def end_left(root: Path) -> int:
    """How many processes still run that belong to a folder; they are ended."""
    found = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            about = (folder / "cmdline").read_bytes() + os.fsencode((folder / "cwd").readlink())
            if os.fsencode(root) in about and int(folder.name) != os.getpid():
                os.kill(int(folder.name), signal.SIGKILL)
                found += 1
    return found


def check(code: str, judge: Callable[[Desk, str], str]) -> Probe:
    """A check that runs a program of the workspace."""

    def run(root: Path) -> str:
        desk = Desk(root, done="`python tool.py` passes.")
        desk.write("tool.py", code)
        desk.call("checks", "allow", "python tool.py")
        return judge(desk, desk.call("run", "WO-1", "--json").stdout)

    return run


def script(code: str, judge: Callable[[Path, float, str], str]) -> Probe:
    """A seed script under proof."""

    def run(root: Path) -> str:
        (root / "seed.py").write_text(code)
        body = (
            "import pathlib, resource; from orchestrate_agents.sandbox.client import Sandbox\n"
            "s = Sandbox()\n"
            f"r = s.run('seed.py', cwd=pathlib.Path({str(root)!r}), limit={LIMIT})\n"
            "s.close(); print(r.run.code, len(r.run.out), r.run.err[-300:], r.run.tried, 'DONE')\n"
        )
        return python(root, body, judge)

    return run


def effect(code: str, judge: Callable[[Path, float, str], str]) -> Probe:
    """A script that runs as an effect."""

    def run(root: Path) -> str:
        (root / "seed.py").write_text(code)
        body = (
            "import pathlib, orchestrate_agents.effect_runner as e\n"
            "from orchestrator.approvals.effects import Effect\n"
            "class T:\n    def describe(self): return 't'\n    def query_readonly(self, *_): return []\n"
            f"e._TIMEOUT_SECONDS = {LIMIT}.0; e.catalog_of = lambda _: ()\n"
            f"r = e.TargetRunner('postgres', pathlib.Path({str(root)!r}), {{}}, T())\n"
            "f = Effect('script.run', 'seed', ('seed.py',), {'options': []})\n"
            f"g = r.run(f, pathlib.Path({str(root)!r}))\n"
            "print(g.ok, g.detail, len(g.output), g.output[:600], 'DONE')\n"
        )
        return python(root, body, judge)

    return run


def python(root: Path, body: str, judge: Callable[[Path, float, str], str]) -> str:
    """Python with this product's packages; the judge is told how long it took and what it said."""
    start = time.monotonic()
    body += (
        "import resource; print('MB', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    with tempfile.TemporaryFile("w+", errors="replace") as out:
        words = [sys.executable, "-c", body]
        env = {**os.environ, **KEYS, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            words, env=env, cwd=root, stdout=out, stderr=out, start_new_session=True
        )
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        out.seek(0)
        return judge(root, time.monotonic() - start, out.read(1_000_000))


def with_git(root: Path, agent: str = REPORT) -> Desk:
    desk = Desk(root, agent)
    desk.settings(commit=True)
    desk.git("init", "-q", "-b", "main")
    desk.write(".gitignore", ".orchestrate/\nfound*.txt\npage.html\n")
    desk.git("add", "-A")
    desk.git("commit", "-qm", "base")
    return desk
