"""A statement that binds to nothing gets a check proposed, which counts once USER takes it."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.claims import lay

STATEMENT = "Opening hours are complete and pleasant"
TICKET = f"""\
---
id: WO-002
title: "Hours"
status: 00_INBOX
owner: BUILDER
---
## Acceptance Criteria
- [ ] {STATEMENT}
- [ ] Prices are fair
"""
GOOD = """\
import csv, sys
days = [row["day"] for row in csv.DictReader(open("data/hours.csv"))]
if days != ["1", "2"]:
    sys.exit(f"days are {days}")
"""
#: programs that cannot refute what they are said to prove
BLIND = (
    "print('fine')\n",
    f"try:\n    exec({GOOD!r})\nexcept BaseException:\n    pass\n",
    "import os, sys\nsys.exit(not os.path.exists('data/hours.csv'))\n",
)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A family at its last question, with two statements that nothing proves."""
    files = {"data/hours.csv": "day,open\n1,9\n2,9\n"}
    lay(tmp_path, {**files, "_WORK_ORDERS/00_INBOX/WO-002_Hours.md": TICKET})
    say(tmp_path, "init", "--no-commit")
    say(tmp_path, "run", "WO-002", code=10)
    (file,) = tmp_path.glob("_WORK_ORDERS/*/WO-002*.md")
    text = file.read_text()
    status = next(line for line in text.splitlines() if line.startswith("status:"))
    file.write_text(text.replace(status, "status: 04_QA"))
    say(tmp_path, "run", "WO-002", code=10)
    return tmp_path


def say(root: Path, *words: str, code: int = 0) -> Any:
    """A command's JSON where it prints that, else its output."""
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *words],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if "--json" in words else done.stdout


def question(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = say(root, "status", "WO-002", "--json")["question"]
    return found


def taken(root: Path) -> dict[str, Any]:
    table = tomllib.loads((root / "orchestrate.toml").read_text())
    found: dict[str, Any] = table.get("checks", {}).get("taken", {})
    return found


def propose(root: Path, code: str, *words: str, statement: str = STATEMENT, exit_: int = 0) -> Any:
    lay(root.parent, {"proposal.py": code})
    options = ("--statement", statement, "--from", str(root.parent / "proposal.py"))
    return say(root, "checks", "propose", "WO-002", *options, *words, "--json", code=exit_)


def test_a_proposed_check_is_tried_shown_and_taken_with_the_answer(desk: Path) -> None:
    before = question(desk)["number"]
    found = propose(desk, GOOD, statement="pleasant")
    assert (found["statement"], found["today"]) == (STATEMENT, "proven")
    assert len(found["fails_on"]) >= 2
    # the open question is asked again and lists it; until then nothing is written
    asked = question(desk)
    assert asked["number"] == before + 1
    assert STATEMENT in asked["proposed"][0]
    assert found["script_sha256"][:12] in asked["proposed"][0]
    assert not (desk / found["path"]).exists()
    assert taken(desk) == {}
    say(desk, "approve", "WO-002", "--accept-unproven")
    assert (desk / found["path"]).read_text() == GOOD
    assert taken(desk)[STATEMENT]["sha256"] == found["sha256"]
    # it judges from now on, whatever the work is; an edit of it does not count
    assert say(desk, "checks", "try", STATEMENT, "--json")["verdict"] == "proven"
    lay(desk, {"data/hours.csv": "day,open\n1,9\n"})
    assert say(desk, "checks", "try", STATEMENT, "--json", code=1)["verdict"] == "failed"
    lay(desk, {found["path"]: "print('fine')\n"})
    again = say(desk, "checks", "try", STATEMENT, "--json", code=1)
    assert (again["verdict"], "has changed since" in again["detail"]) == ("unproven", True)
    say(desk, "checks", "revoke", STATEMENT)
    assert taken(desk) == {}


def test_what_is_taken_at_an_open_question_is_judged_in_the_next(desk: Path) -> None:
    assert propose(desk, GOOD, "--take")["taken"] is True
    asked = question(desk)
    assert [s["text"] for s in asked["unproven"]] == ["Prices are fair"]
    assert asked["proposed"] == []


def test_a_proposal_that_is_dropped_is_not_taken(desk: Path) -> None:
    propose(desk, GOOD)
    dropped = say(desk, "checks", "propose", "WO-002", "--drop", "--json")
    assert dropped == {"dropped": [STATEMENT]}
    assert question(desk)["proposed"] == []
    say(desk, "approve", "WO-002", "--accept-unproven")
    assert taken(desk) == {}


def test_a_check_that_cannot_fail_is_refused(desk: Path) -> None:
    for code in BLIND:
        assert propose(desk, code, exit_=2)["error"]["code"] == "check-cannot-fail"
    assert question(desk)["proposed"] == []


def test_what_cannot_be_proposed_is_said(desk: Path) -> None:
    assert "not Python" in propose(desk, "def (:", exit_=2)["error"]["message"]
    none = propose(desk, GOOD, statement="no such words", exit_=2)["error"]
    assert none["code"] == "no-such-statement"
    assert STATEMENT in none["message"]
    several = propose(desk, GOOD, statement="are", exit_=2)["error"]
    assert "several" in several["message"]
    words = ("checks", "propose", "WO-002", "--statement", "pleasant", "--json")
    alone = say(desk, *words, code=2)["error"]
    assert alone["code"] == "no-agent"
    (beginning,) = (desk / ".orchestrate/proposals").glob("*.py")
    assert STATEMENT in beginning.read_text()
    assert say(desk, *words, "--command", "ls | wc", code=2)["error"]["code"] == "usage"
    found = say(desk, *words, "--command", "grep 9 data/hours.csv")
    assert (found["path"], found["today"]) == ("", "proven")


AGENT = """\
import json, pathlib, sys
job = json.load(sys.stdin)
path = job["words"].split("`")[1]
place = pathlib.Path(job["workspace"]) / path
place.parent.mkdir(parents=True)
place.write_text({code!r})
(place.parent.parent.parent / "data/hours.csv").write_text("spoilt")
print(json.dumps({{"outcome": "done"}}))
"""


def test_an_agent_that_is_a_command_writes_the_check_in_a_copy(desk: Path) -> None:
    lay(desk.parent, {"agent.py": AGENT.format(code=GOOD)})
    file = desk / "orchestrate.toml"
    command = json.dumps([sys.executable, str(desk.parent / "agent.py")])
    file.write_text(f"{file.read_text()}\n[agents.CHECKER]\ncommand = {command}\n")
    found = say(desk, "checks", "propose", "WO-002", "--statement", "pleasant", "--json")
    assert found["today"] == "proven"
    assert (desk / "data/hours.csv").read_text() == "day,open\n1,9\n2,9\n"
    assert not (desk / found["path"]).exists()


MAKER = """\
import json, pathlib, sys
job = json.load(sys.stdin)
root = pathlib.Path(job["workspace"])
(root / "checks").mkdir(exist_ok=True)
(root / "checks" / "mine.py").write_text({code!r})
print(json.dumps({{"outcome": "done"}}))
"""
OWN = f"""\
import pathlib
from orchestrator.gates.checks import check, proven
@check({STATEMENT!r}, name="mine.pleasant")
def pleasant(ctx):
    return proven("pleasant")
"""


def test_a_check_that_an_agent_wrote_counts_only_once_it_is_approved(tmp_path: Path) -> None:
    lay(tmp_path, {"agent.py": MAKER.format(code=OWN)})
    # a check is an agent's to write only where the ticket names it
    named = TICKET.replace("owner: BUILDER\n", "owner: BUILDER\nfiles: [checks/mine.py]\n")
    root = lay(tmp_path / "desk", {"_WORK_ORDERS/00_INBOX/WO-002_Hours.md": named})
    say(root, "init", "--no-commit")
    command = json.dumps([sys.executable, str(tmp_path / "agent.py")])
    file = root / "orchestrate.toml"
    file.write_text(f"{file.read_text()}\n[agents.BUILDER]\ncommand = {command}\n")
    say(root, "run", "WO-002", code=10)
    say(root, "run", "WO-002", code=10)
    asked = question(root)
    (told,) = [s["detail"] for s in asked["unproven"] if s["text"] == STATEMENT]
    assert "checks/mine.py was changed with this work" in told
    assert "checks/mine.py" in [each["path"] for each in asked["changed_files"]]
    say(root, "approve", "WO-002", "--accept-unproven")
    say(root, "run", "WO-002")
    found = say(root, "checks", "try", STATEMENT, "--ticket", "WO-002", "--json")
    assert found["verdict"] == "proven"
