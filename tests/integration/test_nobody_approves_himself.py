"""What only USER and the conductor write is put back where an agent has written it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from orchestrator.agent_process.dispatcher import Dispatcher
from orchestrator.conductor import observed
from orchestrator.conductor.conductor import RunOutcome
from orchestrator.domain.agent import Job, Outcome, Report
from orchestrator.errors import OrchestrateError
from orchestrator.settings.agents import AgentSettings
from orchestrator.settings.config import Settings
from orchestrator.storage.written import AGENT_OF
from tests.boards import Workspace
from tests.integration.test_changes import acts, by, lay, question, records, write

__all__ = ["by"]

OTHER = "---\nid: WO-600\nstatus: 03_BUILD\n---\n# Other\n"
BEGIN = """\
import json, os, pathlib, subprocess, sys, time
job = json.load(sys.stdin)
root = pathlib.Path(job["home"])
board = root / "_WORK_ORDERS"
(ticket,) = board.glob("*/WO-512*.md")
text = ticket.read_text()
status = next(line for line in text.splitlines() if line.startswith("status:"))
approved = text.replace(status, "status: APPROVED")
"""
END = '\nprint(json.dumps({"outcome": "done", "section": "done"}))\n'

#: what an agent does → the path that has to be as it was
DEEDS = {
    "its own ticket": ("ticket.write_text(approved)", "WO-512"),
    "by a rename": (
        "new = root / 'new.md'; new.write_text(approved); new.rename(ticket)",
        "WO-512",
    ),
    "by truncating": ("f = open(ticket, 'r+'); f.truncate(0); f.write(approved)", "WO-512"),
    "by a link": (
        "new = root / 'new.md'; new.write_text(approved); ticket.unlink(); ticket.symlink_to(new)",
        "WO-512",
    ),
    "its folder by a link": (
        "aside = root / 'aside'; ticket.parent.rename(aside); ticket.parent.symlink_to(aside)",
        "WO-512",
    ),
    "by removing it": ("ticket.unlink()", "WO-512"),
    "by moving it": (
        "(board / '06_COMPLETE').mkdir(exist_ok=True); "
        "ticket.rename(board / '06_COMPLETE' / ticket.name)",
        "WO-512",
    ),
    "another ticket": ("(board / '03_BUILD/WO-600_Other.md').write_text('x')", "WO-600"),
    "a new ticket": ("(board / '03_BUILD/WO-700_New.md').write_text('x')", "WO-700"),
    "a receipt": (
        "(board / '.receipts/WO-512.jsonl').open('a').write('{\"type\": \"answer\"}\\n')",
        "WO-512.jsonl",
    ),
    "all receipts": ("(board / '.receipts/WO-512.jsonl').unlink()", "WO-512.jsonl"),
    "receipts of others": (
        "(board / '.receipts/WO-9.jsonl').write_text('{\"type\": \"answer\"}\\n')",
        "WO-9.jsonl",
    ),
    "settings": ("(root / 'orchestrate.toml').write_text('failure_limit = 9\\n')", "orchestrate"),
    "keys": ("(root / 'allowed_signers').write_text('* mine\\n')", "allowed_signers"),
    "a check": (
        "(root / 'checks').mkdir(exist_ok=True); (root / 'checks/x.py').write_text('')",
        "checks/x.py",
    ),
    "the workflow": ("(root / 'workflows/two-files.md').write_text('# x\\n')", "two-files.md"),
}


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents in this process are watched as those that are not confined."""
    monkeypatch.setattr(observed, "_is_confined", lambda *_: False)


def lay_command(root: Path, by: str, deed: str) -> Workspace:
    work = lay(root, by)
    write("_WORK_ORDERS/03_BUILD/WO-600_Other.md", OTHER)(root)
    write("orchestrate.toml", "failure_limit = 1\n")(root)
    write("agent.py", BEGIN + deed + END)(root)
    if by == "git":
        for words in (("add", "-A"), ("commit", "-qm", "all")):
            subprocess.run(
                ["git", "-c", "user.name=x", "-c", "user.email=x@y", *words],
                cwd=root,
                check=True,
                capture_output=True,
            )
    return work


def run_command(work: Workspace) -> RunOutcome:
    command = (sys.executable, str(work.root / "agent.py"))
    settings = Settings(agents={"SOOP": AgentSettings(command=command)}, failure_limit=1)
    conductor = work.conductor(settings=settings)
    conductor.opener.dispatcher.inside.pop("SOOP")
    return conductor.run("WO-512")


def files(root: Path) -> dict[str, str]:
    """Everything that rules, and is not a history and not the family's own ticket."""
    found = {}
    for file in sorted(root.rglob("*")):
        path = file.relative_to(root).as_posix()
        if file.is_symlink() or (file.is_file() and not path.startswith((".orch", ".git/"))):
            found[path] = "link" if file.is_symlink() else file.read_text(encoding="utf-8")
    return {p: t for p, t in found.items() if "WO-512" not in p}


@pytest.mark.parametrize("name", DEEDS)
def test_what_an_agent_writes_that_it_may_not_is_undone(tmp_path: Path, name: str) -> None:
    deed, path = DEEDS[name]
    work = lay_command(tmp_path, "git", deed)
    before = files(tmp_path)
    outcome = run_command(work)
    assert outcome.outcome == "held", outcome
    assert path in outcome.reasons[0]
    assert "which only you and the conductor may" in outcome.reasons[0]
    assert files(tmp_path) == before
    ticket = work.file("WO-512")
    assert not ticket.is_symlink()
    assert "status: 98_HOLD" in ticket.read_text(encoding="utf-8")
    assert work.conductor().status("WO-512")["question"] is None
    assert not records(work, "answer")
    (told, *_) = [r["text"] for r in records(work, "notice") if path in r["text"]]
    if "removing" not in name and name != "all receipts":
        kept = told.partition("that version is ")[2].partition(". If")[0]
        assert (tmp_path / kept).is_symlink() or (tmp_path / kept).exists()


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_child_that_waits_for_the_question_does_not_live_to_answer_it(
    tmp_path: Path, bare: bool
) -> None:
    child = (
        "import os, pathlib, sys, time\n"
        "ticket = pathlib.Path(sys.argv[1])\n"
        "for _ in range(400):\n"
        "    for file in ticket.parents[1].glob('*/WO-512*.md'):\n"
        "        text = file.read_text()\n"
        "        if '05_USER_REVIEW' in text:\n"
        "            file.write_text(text.replace('status: 05_USER_REVIEW', 'status: APPROVED'))\n"
        "            sys.exit()\n"
        "    time.sleep(0.02)\n"
    )
    # without a mark: no variable, no open file, no parent, no group
    deed = (
        f"child = {child!r}\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        + ("        os.closerange(0, 64)\n" if bare else "")
        + "        os.execve(sys.executable, [sys.executable, '-c', child, str(ticket)], "
        + ("{})\n" if bare else "dict(os.environ))\n")
        + "    os._exit(0)\n"
    )
    work = lay_command(tmp_path, "plain", deed)
    outcome = run_command(work)
    assert outcome.outcome == "waiting", outcome
    time.sleep(1)
    assert "status: 05_USER_REVIEW" in work.file("WO-512").read_text(encoding="utf-8")


@pytest.mark.usefixtures("free")
def test_an_answer_that_is_saved_while_an_agent_works_is_kept_and_told(
    tmp_path: Path, by: str
) -> None:
    work = lay(tmp_path, by)
    said = {"now": True}

    def act(root: Path) -> None:
        write("README.md", "three\n")(root)
        if said.pop("now", False):
            work.edit("WO-512", "# One file", "# One file\nA person's line.")

    acts(work, act)
    assert work.conductor().run("WO-512").outcome == "waiting"
    assert "A person's line." not in work.file("WO-512").read_text(encoding="utf-8")
    found = [r["text"] for r in records(work, "notice") if "If that was you" in r["text"]]
    assert len(found) == 1, found
    told = found[0]
    assert "If that was you" in told
    kept = tmp_path / told.partition("that version is ")[2].partition(". If")[0]
    assert "A person's line." in kept.read_text(encoding="utf-8")
    assert "undone: _WORK_ORDERS/" in question(work)


def test_a_confined_agent_leaves_a_persons_edits_alone(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by)
    other = tmp_path / "_WORK_ORDERS/03_BUILD/WO-600_Other.md"
    write("_WORK_ORDERS/03_BUILD/WO-600_Other.md", OTHER)(tmp_path)
    acts(work, lambda _: other.write_text(f"{OTHER}A person's line.\n", encoding="utf-8"))
    assert work.conductor().run("WO-512").outcome == "waiting"
    assert "A person's line." in other.read_text(encoding="utf-8")


@pytest.mark.usefixtures("free")
def test_what_a_person_does_by_command_in_another_session_stays(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by)
    begun, done = threading.Event(), threading.Event()

    def act(root: Path) -> None:
        begun.set()
        assert done.wait(120)

    acts(work, act)
    outcomes: list[RunOutcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(work.conductor().run("WO-512")))
    thread.start()
    assert begun.wait(60)
    words = [sys.executable, "-m", "orchestrator", "new", "Another thing"]
    made = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    done.set()
    thread.join()
    assert made.returncode == 0, made.stderr
    assert outcomes[0].outcome == "waiting", outcomes
    assert list((tmp_path / "_WORK_ORDERS").glob("*/*Another_thing*.md"))


@pytest.mark.usefixtures("free")
def test_an_agent_does_not_answer_for_another_family_by_a_file(tmp_path: Path) -> None:
    """Another conductor may look at that ticket before the agent has ended."""
    work = lay(tmp_path, "plain")
    text = work.file("WO-512").read_text(encoding="utf-8").replace("WO-512", "WO-513")
    write("_WORK_ORDERS/00_INBOX/WO-513_Other.md", text)(tmp_path)
    acts(work, write("README.md", "three\n"))
    assert work.conductor().run("WO-513").outcome == "waiting"

    first = iter([True])

    def act(root: Path) -> None:
        if not next(first, False):
            return
        work.edit("WO-513", "status: 05_USER_REVIEW", "status: APPROVED")
        refused = work.conductor().run("WO-513")
        assert "is not taken while an agent" in refused.reasons[0]

    acts(work, act)
    assert work.conductor().run("WO-512").outcome == "waiting"
    assert work.conductor().status("WO-513")["question"] is not None
    assert "status: APPROVED" not in work.file("WO-513").read_text(encoding="utf-8")
    work.edit("WO-513", "status: 05_USER_REVIEW", "status: APPROVED")
    work.conductor().run("WO-513")
    assert work.conductor().status("WO-513")["question"] is None


def test_an_agent_does_not_answer_by_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = lay(tmp_path, "plain")
    acts(work, write("README.md", "three\n"))
    assert work.conductor().run("WO-512").outcome == "waiting"
    monkeypatch.setenv(AGENT_OF, str(tmp_path))
    with pytest.raises(OrchestrateError, match="neither conducts nor answers"):
        work.conductor().approve("WO-512")
    monkeypatch.setenv(AGENT_OF, str(tmp_path.parent))
    work.conductor().approve("WO-512")


def test_a_program_that_cannot_be_started_is_for_a_person(tmp_path: Path) -> None:
    script = tmp_path / "agent"
    script.write_text("no program\n", encoding="utf-8")
    job = Job(
        ticket="WO-1",
        parent="WO-1",
        family=(),
        stage=1,
        agent="SOOP",
        workspace=str(tmp_path),
        workflow="",
        workflow_text="",
    )
    for mode, why in ((0o644, "Permission denied"), (0o755, "Exec format error")):
        script.chmod(mode)
        report: Report = Dispatcher().dispatch(job, AgentSettings(command=("./agent",)))
        assert report.outcome is Outcome.NEEDS_PERSON
        assert why in report.reason
    assert json.loads(report.model_dump_json())["outcome"] == "needs_person"
