"""Hostile and broken input, through the command line: nothing leaves the workspace or is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKFLOW = """\
# Evil

## STAGE 1: {agent} — Build
1. Create `{path}`:

```{language}
{content}
```

**Done when:** `{path}` exists.

## STAGE 2: USER CHECKPOINT #1 — Look

1. Apply `{path}`.
2. Run it:
   ```bash
   python {path}
   ```

**Done when:** USER approves.
"""
TICKET = """\
---
id: WO-1
title: Evil
status: 00_INBOX
owner: BUILDER
pipeline_workflow: workflows/evil.md
---
"""
CONTENT = {
    "py": ("python", "print(1)"),
    "sql": ("sql", "CREATE TABLE t (id int PRIMARY KEY);"),
    "csv": ("csv", "day,visitors"),
}


class Place:
    """A workspace inside a folder that nothing may be written to."""

    def __init__(self, outside: Path) -> None:
        self.outside = outside
        self.root = outside / "deep" / "workspace"
        (self.root / "_WORK_ORDERS/00_INBOX").mkdir(parents=True)
        (self.root / "workflows").mkdir()
        (self.root / "link").symlink_to(outside)
        self.ticket = self.root / "_WORK_ORDERS/00_INBOX/WO-1_Evil.md"
        self.ticket.write_text(TICKET, encoding="utf-8")

    def workflow(self, agent: str, path: str) -> None:
        language, content = CONTENT[path.rpartition(".")[2]]
        text = WORKFLOW.format(agent=agent, path=path, language=language, content=content)
        (self.root / "workflows/evil.md").write_text(text, encoding="utf-8")

    def orchestrate(self, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "orchestrator", *words]
        return subprocess.run(
            command, cwd=self.root, capture_output=True, text=True, timeout=120, **options
        )

    def run(self) -> dict[str, object]:
        done = self.orchestrate("run", "WO-1", "--json")
        assert "Traceback" not in done.stderr, done.stderr
        outcome: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        return outcome

    def escaped(self) -> list[str]:
        """Files outside the workspace."""
        files = (p for p in self.outside.rglob("*") if p.is_file())
        return [str(p) for p in files if not p.is_relative_to(self.root)]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


OUTSIDE = ("../../evil", "link/evil", "~/evil", "workflows/../../../evil")


@pytest.mark.parametrize(
    ("agent", "suffix"), [("BUILDER", "py"), ("SOOP", "sql"), ("ANALYST", "csv")]
)
@pytest.mark.parametrize("path", OUTSIDE)
def test_8_4_a_deliverable_outside_the_workspace_is_for_a_person(
    place: Place, agent: str, suffix: str, path: str
) -> None:
    place.workflow(agent, f"{path}.{suffix}")
    outcome = place.run()
    assert (outcome["outcome"], outcome["stage"]) == ("waiting", 1)
    assert "leaves the workspace" in str(outcome["reasons"])
    assert place.escaped() == []
    (ticket,) = place.root.glob("_WORK_ORDERS/*/WO-1_Evil.md")
    assert "failure_count" not in ticket.read_text(encoding="utf-8")


def test_8_4_a_split_with_a_migration_outside_is_for_a_person(place: Place) -> None:
    place.workflow("SOOP", "../../evil.sql")
    file = place.root / "workflows/evil.md"
    split = (
        "## STAGE 0: LEAD — Split\n1. Read WO-1\n2. Split: **WO-1a** → SOOP (table)\n\n## STAGE 1"
    )
    text = file.read_text(encoding="utf-8").replace("## STAGE 1", split, 1)
    file.write_text(text, encoding="utf-8")
    outcome = place.run()
    assert (outcome["outcome"], outcome["stage"]) == ("waiting", 0)
    assert "leaves the workspace" in str(outcome["reasons"])
    assert place.escaped() == []


def test_8_4_a_command_that_reports_a_file_outside_is_not_believed(place: Place) -> None:
    place.workflow("BUILDER", "out/good.py")
    report = {"outcome": "done", "artifacts": [{"path": "../../evil.py", "sha256": "0" * 64}]}
    script = place.root / "agent.py"
    script.write_text(f"print({json.dumps(json.dumps(report))})\n", encoding="utf-8")
    command = json.dumps([sys.executable, str(script)])
    config = f"failure_limit = 1\n[agents.BUILDER]\ncommand = {command}\n"
    (place.root / "orchestrate.toml").write_text(config, encoding="utf-8")
    done = place.orchestrate("run", "WO-1")
    assert done.returncode in (1, 10, 11), done.stdout
    assert "evil.py" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("id", ["../../evil", "WO-1/../../x", "$(touch pwned)", "WO-1 WO-2"])
def test_8_4_an_id_that_is_no_id_names_no_file(place: Place, id: str) -> None:
    bad = place.ticket.with_name("WO-66_Bad.md")
    bad.write_text(TICKET.replace("id: WO-1", f"id: '{id}'"), encoding="utf-8")
    listed = place.orchestrate("list", "--json")
    assert listed.returncode == 0, listed.stderr
    (ticket,) = [t for t in json.loads(listed.stdout) if t["path"].endswith("WO-66_Bad.md")]
    assert ticket["diagnosis"]
    place.workflow("BUILDER", "out/good.py")
    done = place.orchestrate("run", id)
    assert done.returncode in (1, 2), done.stdout
    assert "Traceback" not in done.stderr
    assert place.escaped() == []
    assert not list(place.root.rglob("pwned"))


def test_8_4_a_ticket_that_is_a_link_is_neither_read_nor_moved(place: Place) -> None:
    secret = place.outside / "secret.md"
    secret.write_text(TICKET.replace("WO-1", "WO-2").replace("Evil", "s3cr3t"), encoding="utf-8")
    before = secret.read_bytes()
    link = place.ticket.with_name("WO-2_Link.md")
    link.symlink_to(secret)
    done = place.orchestrate("run", "WO-2")
    assert done.returncode in (1, 2), done.stdout
    assert "Traceback" not in done.stderr
    assert secret.read_bytes() == before
    assert link.is_symlink()


def test_a_history_with_a_broken_line_hides_no_question(place: Place) -> None:
    place.workflow("BUILDER", "out/good.py")
    assert place.run()["stage"] == 2
    history = place.root / "_WORK_ORDERS/.receipts/WO-1.jsonl"
    history.write_bytes(b"{ this is not JSON\n\xff\xfe\n" + history.read_bytes())
    refused = place.run()
    assert "bad-history" in str(refused)
    status = json.loads(place.orchestrate("status", "WO-1", "--json").stdout)
    assert status["question"]["number"] == 1
    history.write_bytes(history.read_bytes().split(b"\n", 2)[2])
    assert place.run()["stage"] == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("## STAGE 1: BUILDER — A\n\n## STAGE 1: BUILDER — B\n", "duplicate-stage"),
        ("## STAGE 1: BUILDER — A (Parallel with STAGE 9)\n", "parallel-unknown"),
        ("## STAGE 1: BUILDER — A\n\n```\nx\n\n## STAGE 2: USER — B\n", "unclosed-fence"),
        ("nothing\n", "no-stage"),
    ],
)
def test_4_7_a_workflow_that_cannot_be_understood_moves_nothing(
    place: Place, text: str, says: str
) -> None:
    (place.root / "workflows/evil.md").write_text(text, encoding="utf-8")
    before = place.ticket.read_bytes()
    done = place.orchestrate("run", "WO-1")
    assert done.returncode == 1
    assert f"error[{says}]: " in done.stderr
    assert "workflows/evil.md" in done.stderr
    assert place.ticket.read_bytes() == before


def test_an_answer_of_nonsense_is_explained_and_changes_nothing(place: Place) -> None:
    place.workflow("BUILDER", "out/good.py")
    place.run()
    (ticket,) = place.root.glob("_WORK_ORDERS/*/WO-1_Evil.md")
    text = ticket.read_text(encoding="utf-8").replace("status: 05_USER_REVIEW", "status: APROVED")
    ticket.write_text(text, encoding="utf-8")
    outcome = place.run()
    assert outcome["outcome"] == "waiting"
    assert "APROVED" in str(outcome["reasons"])
    assert ticket.read_text(encoding="utf-8") == text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_ticket_is_listed_and_hides_no_other(place: Place) -> None:
    other = place.ticket.with_name("WO-3_Closed.md")
    other.write_text(TICKET.replace("WO-1", "WO-3"), encoding="utf-8")
    other.chmod(0)
    try:
        listed = json.loads(place.orchestrate("list", "--json").stdout)
    finally:
        other.chmod(0o644)
    assert {t["id"]: bool(t["diagnosis"]) for t in listed} == {"WO-1": False, "WO-3": True}
    assert [d["message"] for t in listed for d in t["diagnosis"]] == ["Permission denied"]
