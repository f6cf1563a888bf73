"""Bad input through the command line: what, where, what to do; the exit code; nothing lost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boards import TICKET, WORKFLOW, Workspace


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def orchestrate(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *words],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
    )


def tree(root: Path) -> dict[str, bytes]:
    """Every file that is not the conductor's own scratch, or says that git is to ignore that."""
    files = (p for p in root.rglob("*") if p.is_file() and ".orchestrate" not in p.parts)
    return {
        str(p.relative_to(root)): p.read_bytes()
        for p in files
        if p.parts[-2:] != ("info", "exclude")
    }


def refused(work: Workspace, *words: str, code: int = 1) -> str:
    """The error of a command that has to change nothing."""
    before = tree(work.root)
    done = orchestrate(work.root, *words)
    assert done.returncode == code, done.stdout + done.stderr
    assert tree(work.root) == before
    assert "Traceback" not in done.stderr
    assert re.search(r"^error\[[a-z-]+\]: ", done.stderr, re.MULTILINE), done.stderr
    assert "hint: " in done.stderr
    return done.stderr


def change(work: Workspace, old: str, new: str) -> None:
    (work.root / "workflows/two-files.md").write_text(WORKFLOW.replace(old, new), encoding="utf-8")


def two_with_one_id(work: Workspace) -> None:
    other = work.root / "_WORK_ORDERS/02_DESIGN"
    other.mkdir()
    (other / "WO-512_b.md").write_text(TICKET, encoding="utf-8")


def unknown_folder(work: Workspace) -> None:
    strange = work.root / "_WORK_ORDERS/42_LIMBO"
    strange.mkdir()
    work.file("WO-512").rename(strange / "WO-512_Two_Files.md")


def merge_in_progress(work: Workspace) -> None:
    subprocess.run(["git", "init", "-q"], cwd=work.root, check=True)
    (work.root / "orchestrate.toml").write_text("[git]\ncommit = true\n", encoding="utf-8")
    (work.root / ".git/MERGE_HEAD").write_text("0" * 40, encoding="utf-8")


def cycle(work: Workspace) -> None:
    work.edit("WO-512", "zebra: last", "depends_on: WO-100")
    (work.root / "_WORK_ORDERS/00_INBOX/WO-100_x.md").write_text(
        "---\nid: WO-100\nstatus: 00_INBOX\ndepends_on: [WO-512]\n---\n", encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("prepare", "words", "says"),
    [
        (None, ("run", "WO-999"), "no-such-ticket"),
        (None, ("run", "../../etc/passwd"), "no-such-ticket"),
        (two_with_one_id, ("run", "WO-512"), "duplicate-id"),
        (unknown_folder, ("run", "WO-512"), "unknown-folder"),
        (None, ("run", "WO-512", "--workflow", "nowhere.md"), "no-such-workflow"),
        (
            lambda w: change(w, "SOOP — First", "PAINTER — First"),
            ("run", "WO-512"),
            "no-such-agent",
        ),
        (
            lambda w: change(w, "WO-512a to `04_QA`", "WO-600a to `04_QA`"),
            ("run", "WO-512"),
            "foreign-ticket",
        ),
        (lambda w: change(w, "STAGE", "CHAPTER"), ("run", "WO-512"), "no-stage"),
        (merge_in_progress, ("run", "WO-512"), "busy"),
        (None, ("approve", "WO-512"), "not-conducted"),
        (None, ("verify", "WO-512"), "not-conducted"),
        # what else is wrong with it does not matter before it is conducted
        (
            lambda w: change(w, "SOOP — First", "PAINTER — First"),
            ("approve", "WO-512"),
            "not-conducted",
        ),
    ],
)
def test_what_cannot_begin_is_refused_and_nothing_is_lost(
    work: Workspace, prepare: Callable[[Workspace], None] | None, words: tuple[str, ...], says: str
) -> None:
    if prepare is not None:
        prepare(work)
    assert f"error[{says}]" in refused(work, *words)


@pytest.mark.parametrize(
    ("text", "says"),
    [("x = [", "TOML"), ('[git]\ncommit = "maybe"\n', "git.commit"), ("[nonsense]\n", "nonsense")],
)
def test_a_configuration_that_cannot_be_used_is_a_usage_error(
    work: Workspace, text: str, says: str
) -> None:
    (work.root / "orchestrate.toml").write_text(text, encoding="utf-8")
    said = refused(work, "run", "WO-512", code=2)
    assert says in said
    assert "orchestrate.toml" in said


def test_a_cycle_of_dependencies_is_named(work: Workspace) -> None:
    cycle(work)
    done = orchestrate(work.root, "run", "WO-512")
    assert done.returncode == 1
    assert "WO-512 → WO-100 → WO-512" in done.stderr


def test_a_workflow_that_the_ticket_names_outside_is_not_read(work: Workspace) -> None:
    work.edit("WO-512", "workflows/two-files.md", "../../../etc/hostname.md")
    assert "error[no-such-workflow]" in refused(work, "run", "WO-512")


def test_unreadable_frontmatter_is_listed_with_its_diagnosis_and_hides_no_other(
    work: Workspace,
) -> None:
    bad = work.root / "_WORK_ORDERS/03_BUILD"
    bad.mkdir()
    (bad / "WO-600_bad.md").write_text("---\nid: WO-600\ntitle: a: b\n---\n", encoding="utf-8")
    done = orchestrate(work.root, "list", "--json")
    listed = {t["id"]: t["diagnosis"] for t in json.loads(done.stdout)}
    assert set(listed) == {"WO-512", "WO-600"}
    assert listed["WO-600"]
    assert not listed["WO-512"]


def test_a_record_edited_to_nonsense_stops_the_family_with_the_place(work: Workspace) -> None:
    work.conductor().run("WO-512")
    work.edit("WO-512", "  stage: 3", "  stage: banana")
    said = refused(work, "run", "WO-512")
    assert "error[bad-record]" in said
    assert "stage" in said


def test_a_vanished_workflow_stops_the_family_until_it_is_back(work: Workspace) -> None:
    work.conductor().run("WO-512")
    file = work.root / "workflows/two-files.md"
    text = file.read_bytes()
    file.unlink()
    assert "two-files.md" in refused(work, "run", "WO-512")
    file.write_bytes(text)
    assert orchestrate(work.root, "run", "WO-512").returncode == 10


def test_a_history_cut_short_takes_no_answer(work: Workspace) -> None:
    work.conductor().run("WO-512")
    history = work.root / "_WORK_ORDERS/.receipts/WO-512.jsonl"
    history.write_bytes(history.read_bytes()[:300])
    done = orchestrate(work.root, "approve", "WO-512")
    assert done.returncode == 1
    assert "error[history-altered]" in done.stderr
    assert work.places()["WO-512"] == "05_USER_REVIEW"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_board_is_said_so(work: Workspace) -> None:
    inbox = work.root / "_WORK_ORDERS/00_INBOX"
    inbox.chmod(0o555)
    try:
        done = orchestrate(work.root, "run", "WO-512")
    finally:
        inbox.chmod(0o755)
    assert done.returncode == 1
    assert "00_INBOX" in done.stderr
    assert set(work.places().values()) == {"00_INBOX"}


def test_4_7_an_approval_that_is_not_understood_stops_the_start(work: Workspace) -> None:
    change(work, "## STAGE 2", "## HUMAN GATE — look at it\n\n## STAGE 2")
    said = refused(work, "run", "WO-512")
    assert "error[human-gate]" in said
    assert "workflows/two-files.md:" in said
    done = orchestrate(work.root, "run", "WO-512", "--accept-doubts", "human-gate")
    assert done.returncode == 10, done.stderr
    checked = orchestrate(work.root, "workflow", "check", "workflows/two-files.md")
    assert (checked.returncode, "human-gate" in checked.stdout) == (1, True)
