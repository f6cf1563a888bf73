"""Checkouts and landings that meet what people, agents and git do to repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from orchestrator.approvals import changed_files
from orchestrator.workspaces.checkout import Checkout
from orchestrator.workspaces.landing import LandingError
from tests.repositories import Repository


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    root = tmp_path / "repo"
    root.mkdir()
    return Repository(root)


def once(repo: Repository, command: str) -> None:
    """Let the agent run a command in its first attempt only."""
    mark = repo.root.parent / "done"
    repo.painter.commands = [["sh", "-c", f"test -e {mark} || {{ touch {mark}; {command}; }}"]]


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("rm -rf .git", "`.git` was removed"),
        ("rm -rf .git; echo 'gitdir: ../../../.git' > .git", "`.git` was replaced"),
        ("rm -rf .git; ln -s ../../../.git .git", "`.git` was replaced"),
        ("rm -rf .git/refs; ln -s ../../../../.git/refs .git/refs", "`.git/refs` was removed"),
        ("echo ../../../../.git > .git/commondir", "`.git/commondir` was made"),
        ("rm .git/objects/info/alternates", "alternates` was removed"),
        ("mkdir in && git init -q in && touch in/x", "made in a git repository of its own"),
        (
            "git init -q in && git -C in -c user.name=a -c user.email=b commit -qm x --allow-empty"
            " && git add in 2>/dev/null && git commit -qm in",
            "made in a git repository of its own",
        ),
    ],
)
def test_a_checkout_taken_from_git_fails_the_attempt_and_is_made_again(
    repo: Repository, command: str, named: str
) -> None:
    before = repo.git("rev-parse", "main^{commit}:README.md"), repo.git("config", "--list")
    once(repo, command)
    assert repo.conductor.run("WO-1").outcome == "waiting"
    (failure,) = repo.records("failure")
    assert named in failure["findings"][0]["detail"]
    # nothing of it reached the repository around the checkout
    assert repo.git("symbolic-ref", "HEAD") == "refs/heads/main"
    assert (repo.git("rev-parse", "main:README.md"), repo.git("config", "--list")) == before
    assert repo.git("for-each-ref", "--format=%(refname)", "refs/heads") == "refs/heads/main"
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    assert repo.file_at("main", "colour.txt") == "green"
    assert repo.git("status", "--porcelain") == ""


@pytest.mark.parametrize("merge", ["no-ff", "squash", "ff"])
def test_what_is_reopened_begins_from_what_it_landed(tmp_path: Path, merge: str) -> None:
    repo = Repository(tmp_path, merge=merge)
    repo.conductor.run("WO-1")
    first = repo.git("rev-parse", "refs/orchestrate/work/WO-1")
    repo.approve()
    repo.conductor.run("WO-1")
    repo.painter.files = {"colour": "blue\n"}
    repo.conductor.reopen("WO-1")
    assert repo.conductor.run("WO-1").outcome == "waiting"
    assert repo.question()["effects"][0].startswith("land 1 commit ")
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    assert repo.file_at("main", "colour.txt") == "blue"
    # the first round's commits are kept, though a squash has made another of them
    kept = repo.git("for-each-ref", "--format=%(objectname)", "refs/orchestrate").split()
    assert any(repo.git("merge-base", first, each) == first for each in kept)


def test_a_branch_that_is_gone_is_named_with_what_to_do(repo: Repository) -> None:
    repo.conductor.run("WO-1")
    old = repo.git("rev-parse", "main")
    repo.git("switch", "-q", "-c", "trunk")
    repo.git("branch", "-q", "-D", "main")
    with pytest.raises(LandingError, match="`main`, into which WO-1 lands, is gone") as caught:
        repo.approve()
    assert "git branch main" in caught.value.hint
    repo.git("branch", "main", old)
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    assert repo.file_at("main", "colour.txt") == "green"


def test_a_branch_checked_out_in_another_worktree_moves_with_its_files(repo: Repository) -> None:
    repo.conductor.run("WO-1")
    repo.git("switch", "-q", "-c", "feature")
    repo.git("worktree", "add", "-q", "../other", "main")
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    other = repo.root.parent / "other"
    assert (other / "colour.txt").read_text(encoding="utf-8") == "green\n"
    status = subprocess.run(["git", "status", "--porcelain"], cwd=other, capture_output=True)
    assert status.stdout == b""


@pytest.mark.parametrize("state", ["ignored", "staged", "folder"])
def test_what_is_in_the_way_in_the_main_checkout_stays(repo: Repository, state: str) -> None:
    if state == "ignored":
        repo.write(".gitignore", ".orchestrate/\ncolour.txt\n")
        repo.commit("ignore it")
        repo.painter.commands = [["git", "add", "-f", "colour.txt"]]
    repo.conductor.run("WO-1")
    if state == "folder":
        repo.write("colour.txt/mine", "mine\n")
    else:
        repo.write("colour.txt", "mine\n")
    if state == "staged":
        repo.git("add", "colour.txt")
        # as it will be on the disk, but not what is staged
        repo.write("colour.txt", "green\n")
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "waiting"
    assert "colour.txt" in repo.question()["why"]
    mine = repo.root / ("colour.txt/mine" if state == "folder" else "colour.txt")
    kept = repo.git("show", ":colour.txt") if state == "staged" else mine.read_text().strip()
    assert kept == "mine"


def test_files_that_a_killed_merge_has_written_are_its_own(repo: Repository) -> None:
    repo.painter.files = {"colour": "green\n", "README": "x\n"}
    repo.painter.commands = [["git", "rm", "-q", "workflows/w.md"]]
    repo.conductor.run("WO-1")
    repo.approve()
    repo.write("colour.txt", "green\n")
    (repo.root / "workflows" / "kept.md").write_text("mine\n", encoding="utf-8")
    assert repo.conductor.run("WO-1").outcome in {"complete", "waiting"}
    assert (repo.root / "workflows" / "kept.md").read_text(encoding="utf-8") == "mine\n"
    assert "colour.txt: edited" not in str(repo.records("effect"))


def test_settings_of_a_person_do_not_change_what_lands(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (
        "[merge]\nff=only\n[pull]\nrebase=true\n[core]\nautocrlf=input\n[diff]\nnoprefix=true\n"
        "external=false\nrenames=copies\n[status]\nshowUntrackedFiles=no\n[fetch]\nprune=true\n"
        "[clone]\ndefaultRemoteName=up\n[rerere]\nenabled=true\n[color]\nui=always\n"
        "[log]\nshowSignature=true\n[branch]\nautoSetupMerge=always\n"
    )
    (tmp_path / "gitconfig").write_text(settings, encoding="utf-8")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    repo.git("tag", "main", "HEAD")
    repo.git("tag", "work/WO-1", "HEAD")
    repo.conductor.run("WO-1")
    repo.write("other.txt", "x\n")
    repo.commit("meanwhile")
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    assert repo.file_at("refs/heads/main", "colour.txt") == "green"
    assert repo.file_at("refs/heads/main", "other.txt") == "x"


def test_each_commit_is_put_on_top_of_a_moved_branch_with_its_author(tmp_path: Path) -> None:
    repo = Repository(tmp_path, merge="ff")
    author = "--author=Bo <bo@example.com>"
    repo.painter.commands = [
        ["git", "add", "-A"],
        ["git", "commit", "-q", author, "-m", "one of two"],
        ["sh", "-c", "echo two > two.txt"],
    ]
    repo.conductor.run("WO-1")
    repo.write("other.txt", "x\n")
    repo.commit("meanwhile")
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    assert repo.git("log", "--merges", "--format=%h", "main") == ""
    log = repo.git("log", "--format=%an %s", "main").splitlines()
    assert "Bo one of two" in log
    assert repo.git("log", "--format=%b", "main").count("Orchestrate-Landed: ") == 1


def test_a_landing_that_is_already_there_is_not_made_again(tmp_path: Path) -> None:
    """The squash commit is found behind more commits than anybody would look through."""
    repo = Repository(tmp_path, merge="squash")
    repo.conductor.run("WO-1")
    repo.approve()
    head = repo.git("rev-parse", "refs/orchestrate/work/WO-1")
    tree = repo.git("rev-parse", f"{head}^{{tree}}")
    landed = repo.git(
        "commit-tree", tree, "-p", "main", "-m", f"landed\n\nOrchestrate-Landed: {head}"
    )
    stream = "".join(
        f"commit refs/heads/main\ncommitter a <a@b> {n} +0000\ndata 1\nx\n"
        + (f"from {landed}\n" if n == 0 else "")
        for n in range(250)
    )
    # the board is as it was: the landing did not have it
    board = repo.git("rev-parse", "main:_WORK_ORDERS")
    stream += (
        "commit refs/heads/main\ncommitter a <a@b> 300 +0000\ndata 1\nb\n"
        f"M 040000 {board} _WORK_ORDERS\n"
    )
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=tmp_path, input=stream.encode(), check=True
    )
    repo.git("reset", "-q", "--hard", "main")
    assert repo.conductor.run("WO-1").outcome == "complete"
    assert repo.git("log", "--format=%b", "main").count(f"Orchestrate-Landed: {head}") == 1
    assert "holds it already" in repo.records("effect")[0]["detail"]


def test_a_large_file_is_pointed_out(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changed_files, "_LARGE", 5)
    repo.conductor.run("WO-1")
    (file,) = repo.question()["changed_files"]
    assert "MB, which the repository keeps for good" in file["text"]


def test_submodules_are_named_as_missing(repo: Repository) -> None:
    other = repo.root.parent / "other"
    other.mkdir()
    Repository(other)
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "sub")
    repo.commit("a submodule")
    assert repo.conductor.run("WO-1").outcome == "waiting"
    assert any("submodules are empty" in r["text"] for r in repo.records("notice"))
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    assert repo.git("ls-tree", "main", "sub").startswith("160000 commit")


def test_locks_and_halves_that_a_kill_left_are_no_hindrance(repo: Repository) -> None:
    repo.conductor.run("WO-1")
    for name in ("index.lock", "HEAD.lock", "refs/heads/work/WO-1.lock"):
        (repo.checkout / ".git" / name).touch()
    (repo.checkout.parent / ".WO-1.new.1").mkdir()
    (repo.checkout.parent / ".WO-1.old.1" / "half").mkdir(parents=True)
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    # its ports are given back, too
    assert list(repo.checkout.parent.rglob("*")) == [repo.checkout.parent / ".ports"]


def test_git_in_a_checkout_never_reaches_the_repository_around_it(repo: Repository) -> None:
    checkout = Checkout("WO-9", repo.root, repo.git("rev-parse", "main"), "main")
    checkout.top.mkdir(parents=True)
    with pytest.raises(Exception, match="not a git repository"):
        checkout.git("symbolic-ref", "HEAD", "refs/heads/elsewhere")
    assert repo.git("symbolic-ref", "HEAD") == "refs/heads/main"
