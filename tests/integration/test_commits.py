"""Git commits of transitions: only the paths touched, the user's index intact (DESIGN 9, 8.3)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from orchestrator.conductor.conductor import Conductor
from orchestrator.config import GitSettings, Settings
from orchestrator.errors import BusyError, TicketError
from orchestrator.git.commits import Committer
from orchestrator.tickets.board import Board
from tests.boards import Workspace


def git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    work = Workspace(tmp_path)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "begin")
    return work


def conduct(work: Workspace) -> None:
    settings = Settings(git=GitSettings(commit=True))
    work.conductor(settings=settings).run("WO-512")


def test_one_commit_per_transition_and_a_clean_tree_behind_it(work: Workspace) -> None:
    conduct(work)
    subjects = git(work.root, "log", "--format=%s").splitlines()
    assert all(s.startswith("WO-512: ") for s in subjects[:-1])
    assert len(subjects) > 4
    left = git(work.root, "status", "--porcelain").splitlines()
    assert [line for line in left if ".orchestrate" not in line] == []


def test_what_the_user_has_staged_or_changed_is_left_alone(work: Workspace) -> None:
    (work.root / "mine.txt").write_text("staged", encoding="utf-8")
    git(work.root, "add", "mine.txt")
    (work.root / "workflows/notes.md").write_text("untracked", encoding="utf-8")
    conduct(work)
    status = git(work.root, "status", "--porcelain")
    assert "A  mine.txt" in status
    assert "?? workflows/notes.md" in status
    touched = git(work.root, "log", "--name-only", "--format=", "HEAD").split()
    assert "mine.txt" not in touched
    assert "out/first.txt" in touched


def test_a_merge_in_progress_is_waited_for(work: Workspace) -> None:
    (work.root / ".git/MERGE_HEAD").write_text("0" * 40, encoding="utf-8")
    with pytest.raises(BusyError, match="MERGE_HEAD"):
        conduct(work)
    assert set(work.places().values()) == {"00_INBOX"}


def test_no_repository_is_no_reason_to_fail(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    assert Committer(tmp_path / "nowhere").commit([], "x") == ""
    conduct(work)
    assert work.places()["WO-512"] == "05_USER_REVIEW"


def test_8_5_a_family_that_the_main_worktree_conducts_is_refused_in_others(
    work: Workspace, tmp_path: Path
) -> None:
    other = tmp_path.parent / f"{tmp_path.name}-other"
    git(tmp_path, "worktree", "add", "-q", "-b", "other", str(other))
    try:
        conduct(work)
        board = Board(other)
        before = {p: p.read_bytes() for p in board.paths()}
        with pytest.raises(TicketError, match="main worktree") as refused:
            Conductor(board).run("WO-512")
        assert refused.value.code == "elsewhere"
        assert str(tmp_path) in (refused.value.hint or "")
        assert {p: p.read_bytes() for p in board.paths()} == before
        git(other, "merge", "-q", "main")
        assert Conductor(board).status("WO-512")["state"] == "waiting for USER"
    finally:
        git(tmp_path, "worktree", "remove", "--force", str(other))
