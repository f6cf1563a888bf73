"""Git commits of transitions: only the paths touched, the user's index intact (DESIGN 9, 8.3)."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.conductor.conductor import Conductor
from orchestrator.errors import BusyError, HookError, OrchestrateError, TicketError
from orchestrator.git.commits import Committer
from orchestrator.settings.config import Settings
from orchestrator.settings.tables import GitSettings
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


def test_8_1_what_a_kill_left_out_of_git_is_told_and_made_up(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work.root / "orchestrate.toml").write_text("[git]\ncommit = true\n", encoding="utf-8")
    conduct(work)
    with monkeypatch.context() as killed:
        killed.setattr(Committer, "try_commit", lambda *_, **__: None)
        work.conductor().approve("WO-512")
        conduct(work)
    told = CliRunner().invoke(app, ["-C", str(work.root), "doctor"]).output
    assert "not-committed" in told
    conduct(work)
    board = work.root / "_WORK_ORDERS"
    here = sorted(p.relative_to(work.root).as_posix() for p in board.glob("*/WO-512*.md"))
    tree = git(work.root, "ls-tree", "-r", "--name-only", "HEAD").splitlines()
    assert [name for name in tree if "/WO-512" in name and name.endswith(".md")] == here
    assert {"out/first.txt", "out/second.txt", "out/third.txt"} <= set(tree)
    left = git(work.root, "status", "--porcelain").splitlines()
    assert [line for line in left if ".orchestrate" not in line] == ["?? orchestrate.toml"]
    told = CliRunner().invoke(app, ["-C", str(work.root), "doctor"]).output
    assert "not-committed" not in told


def test_a_lock_that_a_killed_git_left_is_told(work: Workspace) -> None:
    (work.root / "orchestrate.toml").write_text("[git]\ncommit = true\n", encoding="utf-8")
    lock = work.root / ".git/index.lock"
    lock.touch()
    assert "not-committed" not in CliRunner().invoke(app, ["-C", str(work.root), "doctor"]).output
    os.utime(lock, (1, 1))
    assert "not-committed" in CliRunner().invoke(app, ["-C", str(work.root), "doctor"]).output


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


def hook(root: Path, name: str, script: str) -> Path:
    path = root / ".git/hooks" / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def trailers(root: Path, branch: str = "HEAD") -> list[tuple[str, str]]:
    keys = ("Ticket", "Stage")
    wanted = "|".join(f"%(trailers:key=Orchestrate-{key},valueonly,separator=)" for key in keys)
    lines = git(root, "log", f"--format={wanted}", branch).splitlines()
    return [(ticket, stage) for ticket, _, stage in (line.partition("|") for line in lines)]


def files_below(root: Path, *folders: str) -> list[Path]:
    return [path for name in folders for path in (root / name).rglob("*") if path.is_file()]


def committed_by(work: Workspace, **settings: str | bool) -> None:
    chosen = Settings(git=GitSettings.model_validate({"commit": True, **settings}))
    work.conductor(settings=chosen).run("WO-512")


def test_commits_name_ticket_and_stage_and_the_configured_author(work: Workspace) -> None:
    committed_by(work, author="Conductor <c@example.org>")
    found = trailers(work.root)
    assert found[-1] == ("", "")
    assert {ticket for ticket, _ in found[:-1]} == {"WO-512"}
    assert {"1", "2"} <= {stage for _, stage in found[:-1]}
    authors = git(work.root, "log", "--format=%an <%ae>").splitlines()
    assert set(authors[:-1]) == {"Conductor <c@example.org>"}
    assert authors[-1] == "t <t@t>"


@pytest.mark.parametrize("author", ["Ana", "<a@b>", "Ana <a b>", "A\nB <a@b>"])
def test_an_author_without_name_or_mail_is_refused(author: str) -> None:
    with pytest.raises(ValueError, match="Name <mail>"):
        GitSettings(author=author)


@pytest.mark.parametrize("branch", ["", "orchestrate/board"])
@pytest.mark.parametrize("name", ["pre-commit", "commit-msg"])
def test_a_hook_that_refuses_stops_the_run_and_its_commit_is_made_later(
    work: Workspace, name: str, branch: str
) -> None:
    (work.root / "mine.txt").write_text("staged", encoding="utf-8")
    git(work.root, "add", "mine.txt")
    refusing = hook(work.root, name, "echo 'no ticket may go' >&2; exit 1")
    for _ in range(2):
        with pytest.raises(HookError, match=f"the {name} hook refused .*no ticket may go"):
            committed_by(work, branch=branch)
        assert git(work.root, "log", "--format=%s").splitlines() == ["begin"]
        assert git(work.root, "diff", "--cached", "--name-only").split() == ["mine.txt"]
    refusing.unlink()
    committed_by(work, branch=branch)
    assert work.places()["WO-512"] == "05_USER_REVIEW"
    where = branch or "main"
    on_disk = {str(p.relative_to(work.root)) for p in files_below(work.root, "_WORK_ORDERS", "out")}
    kept = git(work.root, "ls-tree", "-r", "--name-only", where).splitlines()
    assert {name for name in kept if name.startswith(("_WORK_ORDERS", "out"))} == on_disk
    for name in on_disk:
        text = (work.root / name).read_text(encoding="utf-8")
        assert git(work.root, "show", f"{where}:{name}") == text
    assert "not committed before" in git(work.root, "log", "--format=%s", where)
    assert git(work.root, "diff", "--cached", "--name-only").split() == ["mine.txt"]


def test_a_refused_commit_swallows_neither_the_question_nor_the_answer(work: Workspace) -> None:
    """What a move leads to is reported though its commit is not made, and an answer is taken."""
    hook(work.root, "commit-msg", 'grep -q ": question" "$1" && exit 1; exit 0')
    with pytest.raises(HookError):
        committed_by(work)
    assert work.places()["WO-512"] == "05_USER_REVIEW"
    assert [e.kind.value for e in work.events].count("question") == 1
    hook(work.root, "commit-msg", "exit 1")
    settings = Settings(git=GitSettings(commit=True))
    with pytest.raises(HookError):
        work.conductor(settings=settings).send_back("WO-512", member="WO-512a", note="once more")
    assert work.places()["WO-512"] == "01_TRIAGE"


def test_a_lock_that_passes_is_waited_for(work: Workspace) -> None:
    lock = work.root / ".git/index.lock"
    lock.touch()
    timer = threading.Timer(1.5, lock.unlink)
    timer.start()
    committed_by(work)
    timer.join()
    assert work.places()["WO-512"] == "05_USER_REVIEW"
    assert len(git(work.root, "log", "--format=%s").splitlines()) > 4


@pytest.mark.parametrize("branch", ["", "orchestrate/board"])
def test_hooks_see_what_is_committed_and_may_change_the_message(
    work: Workspace, branch: str
) -> None:
    log = work.root.parent / f"{work.root.name}-hook.log"
    # the pattern would be a file's name if the conductor's own settings reached the hook
    hook(work.root, "pre-commit", f"git diff --cached --name-only -- '*.md' >> {log}")
    hook(work.root, "commit-msg", "sed -i '1s/^/chore: /' \"$1\"")
    committed_by(work, branch=branch)
    subjects = git(work.root, "log", "--format=%s", branch or "main").splitlines()
    assert all(subject.startswith("chore: WO-512: ") for subject in subjects[:-1])
    assert "_WORK_ORDERS/05_USER_REVIEW" in log.read_text(encoding="utf-8")


def test_hooks_can_be_left_out(work: Workspace) -> None:
    hook(work.root, "pre-commit", "exit 1")
    committed_by(work, hooks=False)
    assert len(trailers(work.root)) > 4


def test_a_branch_of_their_own_leaves_the_one_in_hand_alone(work: Workspace) -> None:
    (work.root / ".gitignore").write_text("out/second.txt\n", encoding="utf-8")
    (work.root / "mine.txt").write_text("staged", encoding="utf-8")
    git(work.root, "add", "mine.txt")
    index = (work.root / ".git/index").read_bytes()
    committed_by(work, branch="orchestrate/board")
    assert (work.root / ".git/index").read_bytes() == index
    assert git(work.root, "log", "--format=%s").splitlines() == ["begin"]
    assert git(work.root, "symbolic-ref", "HEAD").strip() == "refs/heads/main"
    subjects = git(work.root, "log", "--format=%s", "orchestrate/board").splitlines()
    assert subjects[-1] == "begin"
    assert len(subjects) > 4
    kept = git(work.root, "ls-tree", "-r", "--name-only", "orchestrate/board").split()
    assert "out/first.txt" in kept
    assert not {"mine.txt", "out/second.txt"} & set(kept)
    assert [name.split("/")[1] for name in kept if "WO-512_" in name] == ["05_USER_REVIEW"]
    assert trailers(work.root, "orchestrate/board")[0][0] == "WO-512"


def test_a_branch_that_another_worktree_has_in_hand_is_refused(work: Workspace) -> None:
    other = work.root.parent / f"{work.root.name}-other"
    git(work.root, "worktree", "add", "-q", "-b", "orchestrate/board", str(other))
    with pytest.raises(OrchestrateError, match="checked out elsewhere"):
        committed_by(work, branch="orchestrate/board")
    assert not git(other, "status", "--porcelain")


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


def test_8_5_it_is_refused_too_where_both_worktrees_hold_the_same_state(
    work: Workspace, tmp_path: Path
) -> None:
    conduct(work)
    other = tmp_path.parent / f"{tmp_path.name}-other"
    git(tmp_path, "worktree", "add", "-q", "-b", "other", str(other))
    try:
        beside = Conductor(Board(other))
        before = {p: p.read_bytes() for p in files_below(other, "_WORK_ORDERS")}
        for refused in (
            lambda: beside.run("WO-512"),
            lambda: beside.approve("WO-512", accept_unproven=True),
        ):
            with pytest.raises(TicketError, match="main worktree") as raised:
                refused()
            assert raised.value.code == "elsewhere"
        assert {p: p.read_bytes() for p in files_below(other, "_WORK_ORDERS")} == before
    finally:
        git(tmp_path, "worktree", "remove", "--force", str(other))


def test_8_5_a_family_that_one_linked_worktree_conducts_is_refused_in_all_others(
    work: Workspace, tmp_path: Path
) -> None:
    first, second = (tmp_path.parent / f"{tmp_path.name}-{name}" for name in ("first", "second"))
    for place in (first, second):
        git(tmp_path, "worktree", "add", "-q", "-b", place.name, str(place))
    try:
        beside = Workspace.__new__(Workspace)
        beside.__dict__.update(work.__dict__, root=first)
        conduct(beside)
        for place in (second, tmp_path):
            before = {p: p.read_bytes() for p in files_below(place, "_WORK_ORDERS")}
            with pytest.raises(TicketError, match="is conducted in the worktree") as refused:
                Conductor(Board(place)).run("WO-512")
            assert refused.value.code == "elsewhere"
            assert str(first) in (refused.value.hint or "")
            assert {p: p.read_bytes() for p in files_below(place, "_WORK_ORDERS")} == before
        # what was merged can go on here, and then no longer there
        git(tmp_path, "merge", "-q", first.name)
        Conductor(Board(tmp_path)).approve("WO-512", accept_unproven=True)
        with pytest.raises(TicketError, match="main worktree"):
            Conductor(Board(first)).run("WO-512")
    finally:
        for place in (first, second):
            git(tmp_path, "worktree", "remove", "--force", str(place))


def test_what_a_hook_formats_does_not_stay_staged_in_its_old_version(work: Workspace) -> None:
    (work.root / "mine.txt").write_text("staged\n", encoding="utf-8")
    (work.root / "named.txt").write_text("committed\n", encoding="utf-8")
    git(work.root, "add", "named.txt")
    git(work.root, "commit", "-qm", "named")
    git(work.root, "add", "mine.txt")
    # it edits what is committed, and a file that is not, and adds both
    script = (
        "f=$(git diff --cached --name-only --diff-filter=AM -- out)\n"
        '[ -z "$f" ] || { for n in $f named.txt; do echo formatted >> $n; git add $n; done; }'
    )
    hook(work.root, "pre-commit", script)
    conduct(work)
    made = (work.root / "out/first.txt").read_text(encoding="utf-8")
    assert made.endswith("formatted\n")
    assert git(work.root, "show", "HEAD:out/first.txt") == made
    assert git(work.root, "show", "HEAD:named.txt").endswith("formatted\n")
    # the next commit of the person takes their own change along, and nothing else
    assert git(work.root, "diff", "--cached", "--name-only").split() == ["mine.txt"]
    git(work.root, "commit", "-qm", "mine", "--no-verify")
    assert git(work.root, "show", "HEAD:out/first.txt") == made


@pytest.mark.parametrize("moved", [False, True])
def test_the_documented_commands_merge_the_own_branch(work: Workspace, moved: bool) -> None:
    committed_by(work, branch="orchestrate/board")
    (work.root / "mine.txt").write_text("mine", encoding="utf-8")
    if moved:
        (work.root / "main.txt").write_text("main", encoding="utf-8")
        git(work.root, "add", "main.txt")
        git(work.root, "commit", "-qm", "beside")
    before = {p: p.read_bytes() for p in files_below(work.root, "_WORK_ORDERS", "out")}
    page = Path(__file__).parents[2] / "docs/configuration.md"
    commands = page.read_text(encoding="utf-8").split("Merge beside it")[1].split("```")[1]
    for line in commands.removeprefix("sh\n").splitlines():
        git(work.root, *line.split()[1:])
    try:
        git(work.root, "merge-base", "--is-ancestor", "orchestrate/board", "HEAD")
        assert {p: p.read_bytes() for p in before} == before
        left = git(work.root, "status", "--porcelain").splitlines()
        assert left == ["?? mine.txt"]
        assert git(work.root, "branch", "--list", "board-merged") == ""
        assert work.conductor(settings=Settings(git=GitSettings(commit=True))).status("WO-512")
    finally:
        assert not (work.root.parent / "board-merged").exists()


def test_what_init_creates_is_committed_by_the_command_that_it_prints(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "mine.txt").write_text("staged", encoding="utf-8")
    git(root, "add", "mine.txt")
    said = CliRunner().invoke(app, ["-C", str(root), "init"]).output
    command = next(line.strip() for line in said.splitlines() if "git add" in line)
    assert CliRunner().invoke(app, ["-C", str(root), "run", "WO-001"]).exit_code == 10
    told = CliRunner().invoke(app, ["-C", str(root), "doctor"]).output
    assert "not-in-git  2" in told, told
    git(root, "config", "user.name", "t")
    git(root, "config", "user.email", "t@t")
    subprocess.run(command, shell=True, cwd=root, check=True, capture_output=True)
    assert "not-in-git" not in CliRunner().invoke(app, ["-C", str(root), "doctor"]).output
    assert git(root, "diff", "--cached", "--name-only").split() == ["mine.txt"]
    git(tmp_path, "clone", "-q", str(root), "clone")
    verified = CliRunner().invoke(app, ["-C", str(tmp_path / "clone"), "verify", "WO-001"])
    assert "no-such-workflow" not in verified.output
    assert git(tmp_path / "clone", "status", "--porcelain") == ""
    assert "git add" not in CliRunner().invoke(app, ["-C", str(root), "init"]).output


def test_a_single_look_says_that_a_merge_is_in_progress(work: Workspace) -> None:
    (work.root / ".git/MERGE_HEAD").write_text("0" * 40, encoding="utf-8")
    looked = CliRunner().invoke(app, ["-C", str(work.root), "watch", "--once"])
    assert looked.exit_code != 0
    assert "MERGE_HEAD" in str(looked.exception) + looked.output


@pytest.mark.parametrize("branch", ["HEAD", "head", "@", "refs/heads/board"])
def test_a_word_that_is_no_branch_of_its_own_is_refused(branch: str) -> None:
    with pytest.raises(ValueError, match="means something else to git"):
        GitSettings(branch=branch)


def test_a_bare_repository_gets_no_board(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    before = sorted(tmp_path.rglob("*"))
    refused = CliRunner().invoke(app, ["-C", str(tmp_path / "bare.git"), "init"])
    assert getattr(refused.exception, "code", "") == "bare-repository" or (
        "bare-repository" in refused.output
    )
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("branch", ["", "orchestrate/board"])
def test_a_hook_whose_interpreter_is_missing_is_named(work: Workspace, branch: str) -> None:
    path = hook(work.root, "pre-commit", "")
    path.write_text("#!/nowhere/python9\n", encoding="utf-8")
    with pytest.raises(HookError, match="pre-commit"):
        committed_by(work, branch=branch)
