"""`.orchestrate/` stays out of git in every clone (DESIGN 2.7)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from orchestrate_backend.targets.postgres import EmbeddedTarget
from orchestrator.cli.app import app
from orchestrator.git.ignoring import ignore_in_repository

TICKET = "---\nid: WO-001\nstatus: 00_INBOX\nowner: USER\n---\n# One\n"


def git(root: Path, *args: str) -> str:
    ran = subprocess.run(
        ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", *args],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout


def orchestrate(root: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["-C", str(root), *args])


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a board for which `init` never ran."""
    root = tmp_path / "base"
    ticket = root / "_WORK_ORDERS" / "00_INBOX" / "WO-001_One.md"
    ticket.parent.mkdir(parents=True)
    ticket.write_text(TICKET, encoding="utf-8")
    git(root, "init", "-q", "-b", "main", ".")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "A board")
    return root


def test_init_writes_the_line_that_every_clone_gets(tmp_path: Path) -> None:
    root = tmp_path / "base"
    root.mkdir()
    git(root, "init", "-q", "-b", "main", ".")
    assert "added .orchestrate/ to .gitignore" in orchestrate(root, "init").output
    assert (root / ".gitignore").read_text() == ".orchestrate/\n"
    assert "added .orchestrate/" not in orchestrate(root, "init").output
    assert (root / ".gitignore").read_text() == ".orchestrate/\n"
    git(root, "add", "-A")
    git(root, "commit", "-qm", "init")

    git(tmp_path, "clone", "-q", "base", "clone")
    clone = tmp_path / "clone"
    assert orchestrate(clone, "list").exit_code == 0
    assert (clone / ".orchestrate").is_dir()
    assert git(clone, "status", "--short") == ""
    # nor on a branch that lacks the line
    git(clone, "checkout", "-q", "--orphan", "other")
    git(clone, "rm", "-rfq", ".")
    assert git(clone, "status", "--short", "--untracked-files=all") == ""


def test_a_clone_where_init_never_ran_excludes_it_by_itself(repository: Path) -> None:
    before = (repository / ".git/info/exclude").read_bytes()
    for _ in range(2):
        assert orchestrate(repository, "list").exit_code == 0
    assert (repository / ".orchestrate").is_dir()
    assert git(repository, "status", "--short", "--untracked-files=all") == ""
    assert (repository / ".git/info/exclude").read_bytes() == before + b".orchestrate/\n"
    git(repository, "add", "-A")
    assert git(repository, "diff", "--cached", "--name-only") == ""


def test_a_worktree_and_a_workspace_below_the_top_are_covered(repository: Path) -> None:
    git(repository, "worktree", "add", "-q", "../beside", "-b", "beside")
    beside = repository.parent / "beside"
    below = repository / "products" / "shop"
    (below / "_WORK_ORDERS/00_INBOX").mkdir(parents=True)
    for root in (beside, below):
        assert orchestrate(root, "list").exit_code == 0
        assert (root / ".orchestrate").is_dir()
        assert ".orchestrate" not in git(root, "status", "--short", "--untracked-files=all")
    assert (repository / ".git/info/exclude").read_text().count(".orchestrate/") == 1


def test_init_below_the_top_adds_it_at_the_top(repository: Path) -> None:
    below = repository / "products" / "shop"
    below.mkdir(parents=True)
    made = orchestrate(below, "init", "--nested")
    assert "added .orchestrate/ to ../../.gitignore" in made.output, made.output
    assert (repository / ".gitignore").read_text() == ".orchestrate/\n"
    assert not (below / ".gitignore").exists()


@pytest.mark.parametrize(
    "pattern", ["/.orchestrate/", ".orchestrate/*", ".orch*", "**/.orchestrate"]
)
def test_a_pattern_that_covers_it_is_enough(repository: Path, pattern: str) -> None:
    (repository / ".gitignore").write_text(f"{pattern}\n", encoding="utf-8")
    assert ignore_in_repository(repository) is None
    assert orchestrate(repository, "list").exit_code == 0
    assert (repository / ".gitignore").read_text() == f"{pattern}\n"


def test_a_list_of_this_machine_alone_does_not_spare_init_the_line(repository: Path) -> None:
    (repository / ".git/info/exclude").write_text(".orchestrate/\n", encoding="utf-8")
    assert ignore_in_repository(repository) == repository / ".gitignore"


def test_without_a_repository_nothing_is_written(tmp_path: Path) -> None:
    assert orchestrate(tmp_path, "init").exit_code == 0
    assert not (tmp_path / ".gitignore").exists()


def test_the_doctor_names_tracked_files_and_the_command(repository: Path) -> None:
    state = repository / ".orchestrate/state/index.sqlite"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"")
    git(repository, "add", "-Af")
    git(repository, "commit", "-qm", "With state")
    told = orchestrate(repository, "doctor")
    assert told.exit_code == 1
    assert "state-tracked" in told.output
    assert "git rm -r -q --cached .orchestrate" in told.output
    git(repository, "rm", "-r", "-q", "--cached", ".orchestrate")
    git(repository, "commit", "-qm", "Without state")
    assert "state-tracked" not in orchestrate(repository, "doctor").output
    assert git(repository, "status", "--short") == ""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ignore")
    git(root, "init", "-q", ".")
    return root


@settings(max_examples=40, deadline=None)
@given(
    lines=st.lists(st.sampled_from(["node_modules/", "# kept", "", "*.log", "!keep.log"])),
    end=st.sampled_from(["\n", "\r\n"]),
    closed=st.booleans(),
)
def test_all_that_stood_in_the_file_stays(
    bare: Path, lines: list[str], end: str, closed: bool
) -> None:
    text = end.join(lines) + (end if closed and lines else "")
    (bare / ".gitignore").write_bytes(text.encode())
    assert ignore_in_repository(bare) == bare / ".gitignore"
    after = (bare / ".gitignore").read_bytes()
    assert after.startswith(text.encode())
    assert after.decode().split("\r\n" if "\r\n" in text else "\n")[-2:] == [".orchestrate/", ""]
    assert after.count(b".orchestrate/") == 1
    assert ignore_in_repository(bare) is None


def test_a_script_run_by_hand_makes_a_folder_that_git_ignores(repository: Path) -> None:
    target = EmbeddedTarget(repository)
    target.count("pg_catalog.pg_class")
    target.close()
    assert (repository / ".orchestrate/postgres").is_dir()
    assert git(repository, "status", "--short", "--untracked-files=all") == ""


def test_a_repository_that_is_made_after_init_does_not_take_it(tmp_path: Path) -> None:
    assert orchestrate(tmp_path, "init").exit_code == 0
    git(tmp_path, "init", "-q", ".")
    git(tmp_path, "add", "-A")
    assert ".orchestrate" not in git(tmp_path, "diff", "--cached", "--name-only")


def test_a_line_that_lets_it_in_does_not(repository: Path) -> None:
    (repository / ".gitignore").write_text("!.orchestrate/\n!.orchestrate/**\n", encoding="utf-8")
    assert orchestrate(repository, "list").exit_code == 0
    git(repository, "add", "-A")
    assert ".orchestrate" not in git(repository, "diff", "--cached", "--name-only")
