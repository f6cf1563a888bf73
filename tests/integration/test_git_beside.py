"""Git beside the conductor: what it takes away is waited for, what it leaves behind is refused."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.domain.agent import Job, Report
from orchestrator.errors import GitAtWorkError, OrchestrateError
from orchestrator.settings.config import Settings, load_settings
from orchestrator.settings.tables import GitSettings
from tests.boards import Workspace
from tests.integration.test_daemon import Running, quiet, running, until


def conflict(ours: str = "mine\n", theirs: str = "yours\n") -> str:
    return f"<<<<<<< HEAD\n{ours}=======\n{theirs}>>>>>>> feature\n"


def git(root: Path, *words: str) -> str:
    known = ("-c", "user.name=t", "-c", "user.email=t@t")
    done = subprocess.run(
        ["git", *known, *words], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    """A repository whose branch `old` has no board, and `main` one that is committed."""
    git(tmp_path, "init", "-q", "-b", "main")
    # as `init` does it
    (tmp_path / ".gitignore").write_text(".orchestrate/\n", encoding="utf-8")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "begin")
    git(tmp_path, "branch", "old")
    work = Workspace(tmp_path)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "board")
    return work


def board(root: Path) -> dict[str, bytes]:
    files = [p for name in ("_WORK_ORDERS", "out") for p in (root / name).rglob("*")]
    return {str(p.relative_to(root)): p.read_bytes() for p in files if p.is_file()}


def waits(found: Running) -> list[str]:
    return [t.text for t in found.told if t.text.startswith("waiting: ")]


# -- what git takes away ---------------------------------------------------------------------------


def test_a_stash_is_no_older_board_to_go_on_from(work: Workspace) -> None:
    work.conductor().run("WO-512")
    at_question = board(work.root)
    git(work.root, "stash", "-u")
    stashed = board(work.root)
    for act in (
        lambda: work.conductor().run("WO-512"),
        lambda: work.conductor().approve("WO-512"),
        lambda: work.conductor().hold("WO-512", reason="x"),
        lambda: work.conductor().run("WO-512a"),
    ):
        with pytest.raises(OrchestrateError, match=r"revision|no ticket"):
            act()
        assert board(work.root) == stashed
    git(work.root, "stash", "pop")
    assert board(work.root) == at_question
    work.conductor().approve("WO-512")
    assert work.conductor().run("WO-512").stage == 7


def test_an_older_branch_is_refused_until_a_person_says_that_it_counts(work: Workspace) -> None:
    git(work.root, "branch", "older")
    committing = Settings(git=GitSettings(commit=True))
    work.conductor(settings=committing).run("WO-512")
    git(work.root, "checkout", "-q", "older")
    with pytest.raises(GitAtWorkError, match="on branch main, and older is checked out") as refused:
        work.conductor(settings=committing).run("WO-512")
    assert refused.value.code == "board-away"
    assert git(work.root, "log", "--format=%s").splitlines() == ["board", "begin"]
    git(work.root, "checkout", "-q", "main")
    assert work.conductor(settings=committing).run("WO-512").stage == 3
    git(work.root, "checkout", "-q", "older")
    # within one second, both histories would be the same to the byte
    time.sleep(1.1)
    assert work.conductor(settings=committing).run("WO-512", from_here=True).stage == 3
    # which is then the newest
    git(work.root, "checkout", "-q", "main")
    with pytest.raises(GitAtWorkError, match="holds another WO-512"):
        work.conductor(settings=committing).run("WO-512")


def test_a_new_branch_with_the_same_board_goes_on(work: Workspace) -> None:
    work.conductor().run("WO-512")
    git(work.root, "checkout", "-q", "-b", "feature")
    work.conductor().approve("WO-512")
    assert work.conductor().run("WO-512").stage == 7


@pytest.mark.parametrize("commit", [True, False])
@pytest.mark.parametrize("take", ["stash", "old"])
def test_a_board_that_is_taken_away_while_an_agent_works_is_waited_for(
    work: Workspace, commit: bool, take: str
) -> None:
    def away() -> None:
        if git(work.root, "status", "--porcelain"):
            git(work.root, "stash", "-u")
        if take == "old":
            git(work.root, "checkout", "-q", "old")

    def back() -> None:
        if take == "old":
            git(work.root, "checkout", "-q", "main")
        if git(work.root, "stash", "list"):
            git(work.root, "stash", "pop")

    def interrupted(job: Job) -> Report:
        away()
        work.soop.act = None
        # an agent that knows nothing of it writes its file all the same
        return work.soop.write(job, "early\n")

    work.soop.act = interrupted
    conductor = work.conductor(settings=Settings(git=GitSettings(commit=commit)))
    with pytest.raises(GitAtWorkError, match="exchanged"):
        conductor.run("WO-512")
    (work.root / "out/first.txt").unlink()
    (work.root / "out").rmdir()
    left = board(work.root)
    with pytest.raises(OrchestrateError, match=r"older|not on this board|not there"):
        work.conductor().run("WO-512")
    assert board(work.root) == left
    back()
    assert conductor.run("WO-512").stage == 3
    assert len(list((work.root / "_WORK_ORDERS").rglob("WO-512*.md"))) == 3


def test_the_daemon_waits_for_a_board_that_is_on_another_branch(work: Workspace) -> None:
    work.conductor(settings=Settings(git=GitSettings(commit=True))).run("WO-512")
    with running(work, poll=0.5, settings=Settings(git=GitSettings(commit=True))) as found:
        quiet(found)
        git(work.root, "checkout", "-q", "old")
        until(lambda: len(waits(found)) == 1)
        time.sleep(1.5)
        assert board(work.root) == {}
        assert waits(found) == [
            "waiting: the board _WORK_ORDERS is not there (the branch old has none); "
            "it is not created again"
        ]
        git(work.root, "checkout", "-q", "main")
        until(lambda: any("board is back" in t.text for t in found.told))
        assert not [t.text for t in found.told if t.kind == "error"]
        # the folders are others than before, and are watched again
        work.edit("WO-512", "status: 05_USER_REVIEW", "status: APPROVED")
        until(lambda: (work.root / "out/third.txt").exists())


def test_the_daemon_goes_on_after_a_stash_without_a_second_board(work: Workspace) -> None:
    work.conductor().run("WO-512")
    with running(work, poll=0.5) as found:
        quiet(found)
        git(work.root, "stash", "-u")
        time.sleep(1.5)
        assert not git(work.root, "status", "--porcelain")
        git(work.root, "stash", "pop")
        quiet(found, 1.2)
        work.edit("WO-512", "status: 05_USER_REVIEW", "status: APPROVED")
        until(lambda: (work.root / "out/third.txt").exists())
    assert len(list((work.root / "_WORK_ORDERS").rglob("WO-512*.md"))) == 3


# -- what git has begun ----------------------------------------------------------------------------

_BEGUN = {
    "merge": "MERGE_HEAD",
    "rebase": "rebase-merge",
    "cherry-pick": "CHERRY_PICK_HEAD",
    "revert": "REVERT_HEAD",
    "bisect": "BISECT_LOG",
}


@pytest.mark.parametrize(("operation", "mark"), list(_BEGUN.items()))
@pytest.mark.parametrize("commit", [True, False])
def test_what_git_has_begun_is_waited_for(
    work: Workspace, operation: str, mark: str, commit: bool
) -> None:
    (work.root / ".git" / mark).write_text("x", encoding="utf-8")
    before = board(work.root)
    with pytest.raises(GitAtWorkError, match=f"a git {operation} is in progress"):
        work.conductor(settings=Settings(git=GitSettings(commit=commit))).run("WO-512")
    assert board(work.root) == before


def test_a_rebase_that_begins_while_an_agent_works_stops_the_next_step(work: Workspace) -> None:
    def begin(job: Job) -> Report:
        (work.root / ".git/rebase-merge").mkdir()
        work.soop.act = None
        return work.soop.write(job, "x\n")

    work.soop.act = begin
    with pytest.raises(GitAtWorkError, match="rebase"):
        work.conductor().run("WO-512")
    assert work.places()["WO-512a"] == "03_BUILD"
    (work.root / ".git/rebase-merge").rmdir()
    assert work.conductor().run("WO-512").stage == 3


def test_the_daemon_says_once_that_it_waits_and_goes_on_by_itself(work: Workspace) -> None:
    work.conductor().run("WO-512")
    with running(work, poll=0.5) as found:
        quiet(found)
        mark = work.root / ".git/MERGE_HEAD"
        mark.write_text("x", encoding="utf-8")
        until(lambda: len(waits(found)) == 1)
        work.edit("WO-512", "status: 05_USER_REVIEW", "status: APPROVED")
        time.sleep(1.2)
        assert not (work.root / "out/third.txt").exists()
        assert waits(found) == ["waiting: a git merge is in progress (MERGE_HEAD)"]
        mark.unlink()
        until(lambda: (work.root / "out/third.txt").exists())


def test_run_waits_and_says_so_once(work: Workspace) -> None:
    mark = work.root / ".git/MERGE_HEAD"
    mark.write_text("x", encoding="utf-8")
    command = [sys.executable, "-m", "orchestrator", "run", "WO-512"]
    with subprocess.Popen(command, cwd=work.root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(1.0)
        mark.unlink()
        rest = process.stdout.read()
    assert "waiting: a git merge is in progress" in first
    assert "waiting: a git" not in rest
    assert "STAGE 1" in rest
    mark.write_text("x", encoding="utf-8")
    done = subprocess.run([*command, "--wait", "0"], cwd=work.root, capture_output=True, text=True)
    assert done.returncode == 1
    assert "error[busy]" in done.stderr


def test_git_that_writes_files_is_outlasted(work: Workspace) -> None:
    lock = work.root / ".git/index.lock"
    lock.touch()
    with subprocess.Popen(["sh", "-c", f"sleep 1; rm {lock}"]):
        assert work.conductor().run("WO-512").stage == 3


# -- what git has left behind ----------------------------------------------------------------------


def _in_keys(text: str) -> str:
    ours, theirs = "owner: LEAD\n", "owner: SOOP\n"
    return text.replace(ours, conflict(ours, theirs))


def _in_text(text: str) -> str:
    return f"{text}\n{conflict()}"


def _half(text: str) -> str:
    return f"{text}\n>>>>>>> feature\n"


def _in_code(text: str) -> str:
    return f"{text}\n```\n{conflict()}```\n"


@pytest.mark.parametrize("leave", [_in_keys, _in_text, _half, _in_code])
def test_a_ticket_with_the_marks_of_a_merge_is_not_begun(
    work: Workspace, leave: Callable[[str], str]
) -> None:
    file = work.file("WO-512")
    text = leave(file.read_text(encoding="utf-8"))
    file.write_text(text, encoding="utf-8")
    with pytest.raises(OrchestrateError) as refused:
        work.conductor().run("WO-512")
    assert refused.value.code == "merge-conflict"
    marks = ("<<<<<<<", ">>>>>>>")
    lines = [n for n, line in enumerate(text.splitlines(), 1) if line.startswith(marks)]
    assert (refused.value.path, refused.value.line) == (str(file), lines[0])
    assert file.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("leave", [_in_text, _half, _in_code])
@pytest.mark.parametrize("member", ["WO-512", "WO-512a"])
def test_a_question_is_not_answered_while_a_member_has_such_marks(
    work: Workspace, leave: Callable[[str], str], member: str
) -> None:
    work.conductor().run("WO-512")
    file = work.file(member)
    clean = file.read_text(encoding="utf-8")
    file.write_text(leave(clean), encoding="utf-8")
    before = board(work.root)
    by_file = leave(clean).replace("status: 05_USER_REVIEW", "status: APPROVED")
    for act in (lambda: work.conductor().approve("WO-512"), lambda: work.conductor().run("WO-512")):
        with pytest.raises(OrchestrateError) as refused:
            act()
        assert refused.value.code == "merge-conflict"
        assert board(work.root) == before
    if member == "WO-512":
        file.write_text(by_file, encoding="utf-8")
        with pytest.raises(OrchestrateError, match="unfinished merge"):
            work.conductor().run("WO-512")
    file.write_text(clean, encoding="utf-8")
    work.conductor().approve("WO-512")
    assert work.conductor().run("WO-512").stage == 7


def test_a_text_about_merges_is_no_merge(work: Workspace) -> None:
    file = work.file("WO-512")
    text = file.read_text(encoding="utf-8")
    about = "Git writes `<<<<<<< HEAD`.\n\n    <<<<<<< HEAD\n\nTitle\n=======\n\n"
    about += "```\n<<<<<<< HEAD\n```\n\n```\n>>>>>>> feature\n```\n"
    file.write_text(text + about, encoding="utf-8")
    assert work.conductor().run("WO-512").stage == 3


def test_a_workflow_with_such_marks_is_refused_even_if_a_good_one_is_known(work: Workspace) -> None:
    work.conductor().run("WO-512")
    file = work.root / "workflows/two-files.md"
    text = file.read_text(encoding="utf-8")
    file.write_text(f"# Two\n\n{conflict()}{text}", encoding="utf-8")
    with pytest.raises(OrchestrateError) as refused:
        work.conductor().approve("WO-512")
    assert (refused.value.code, refused.value.line) == ("merge-conflict", 3)


def test_so_are_settings(work: Workspace) -> None:
    file = work.root / "orchestrate.toml"
    file.write_text("# ours\n" + conflict("wip_limit = 1\n", ""), encoding="utf-8")
    with pytest.raises(OrchestrateError) as refused:
        load_settings(work.root)
    assert (refused.value.code, refused.value.line) == ("merge-conflict", 2)
    done = CliRunner().invoke(app, ["-C", str(work.root), "list"])
    assert "error[merge-conflict]" in done.output
    assert "orchestrate.toml:2:" in done.output
