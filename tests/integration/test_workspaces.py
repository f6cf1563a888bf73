"""Checkouts of families with coding agents, and their landing, on real git."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from orchestrator import Board, Conductor
from orchestrator.domain.agent import Job, Report, Usage
from orchestrator.errors import OrchestrateError
from orchestrator.settings.agents import AgentSettings
from orchestrator.settings.config import Settings
from tests.repositories import TICKET, Repository


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_a_coding_agent_works_beside_the_board_and_lands_after_the_answer(
    repo: Repository,
) -> None:
    before = repo.git("rev-parse", "main")
    assert repo.conductor.run("WO-1").stage == 2
    (job,) = repo.painter.jobs
    assert job.root == repo.checkout
    assert job.home == str(repo.root)
    assert not (repo.root / "colour.txt").exists()
    assert not (repo.checkout / "_WORK_ORDERS").exists()
    question = repo.question()
    (effect,) = question["effects"]
    tree = subprocess.run(
        ["git", "rev-parse", "HEAD^{tree}"], cwd=repo.checkout, capture_output=True, text=True
    ).stdout.strip()
    assert effect == f"land 1 commit of `work/WO-1` in `main` (a merge commit, tree {tree[:12]})"
    assert [s["text"] for s in question["proven"]] == ["`colour.txt` exists"]
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    assert repo.file_at("main", "colour.txt") == "green"
    assert (repo.root / "colour.txt").read_text(encoding="utf-8") == "green\n"
    assert repo.git("status", "--porcelain") == ""
    assert not repo.checkout.exists()
    merge = repo.git("log", "--merges", "-1", "--format=%s|%b", "main")
    assert merge.startswith("WO-1: Colours|Orchestrate-Ticket: WO-1")
    assert repo.git("merge-base", "--is-ancestor", before, "main") == ""
    assert [r["ok"] for r in repo.records("effect")] == [True]


@pytest.mark.parametrize("merge", ["ff", "squash"])
def test_other_ways_to_merge_keep_history_linear(tmp_path: Path, merge: str) -> None:
    repo = Repository(tmp_path, merge=merge)
    repo.painter.commands = [["git", "commit", "--allow-empty", "-q", "-m", "mine"]]
    repo.conductor.run("WO-1")
    repo.write("other.txt", "x\n")
    repo.commit("meanwhile")
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    assert repo.git("log", "--merges", "--format=%h", "main") == ""
    assert repo.file_at("main", "colour.txt") == "green"
    assert repo.file_at("main", "other.txt") == "x"
    assert repo.git("status", "--porcelain") == ""


def test_a_moved_target_is_joined_and_proven_again(repo: Repository) -> None:
    repo.conductor.run("WO-1")
    repo.write("other.txt", "x\n")
    repo.commit("meanwhile")
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    assert len(repo.records("up-to-date")) == 1
    assert repo.records("lapse") == []
    assert repo.file_at("main", "other.txt") == "x"


def test_a_moved_target_that_breaks_a_statement_makes_the_approval_lapse(
    tmp_path: Path,
) -> None:
    repo = Repository(tmp_path)
    ticket = next((repo.root / "_WORK_ORDERS").rglob("WO-1_*.md"))
    ticket.write_text(TICKET + "- [ ] `README.md` contains `one`\n", encoding="utf-8")
    repo.commit("one criterion more")
    repo.conductor.run("WO-1")
    repo.write("README.md", "# Shop\n\ntwo\n")
    repo.commit("meanwhile")
    repo.approve()
    outcome = repo.conductor.run("WO-1")
    assert outcome.outcome == "waiting"
    assert any("README.md" in text for text in repo.records("lapse")[0]["changed"])
    assert "colour.txt" not in repo.git("ls-tree", "--name-only", "main").split()


def test_a_conflict_is_put_to_user_and_nothing_is_lost(repo: Repository) -> None:
    repo.painter.files = {"colour": "green\n"}
    repo.conductor.run("WO-1")
    repo.write("colour.txt", "red\n")
    repo.commit("meanwhile")
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "waiting"
    question = repo.question()
    assert "conflicts in colour.txt" in question["why"]
    assert repo.file_at("main", "colour.txt") == "red"
    assert (repo.checkout / "colour.txt").read_text(encoding="utf-8") == "green\n"


def test_an_edited_main_checkout_is_left_alone(repo: Repository) -> None:
    repo.conductor.run("WO-1")
    repo.approve()
    repo.write("colour.txt", "mine\n")
    assert repo.conductor.run("WO-1").outcome == "waiting"
    assert "colour.txt: edited in the main checkout" in repo.question()["why"]
    assert (repo.root / "colour.txt").read_text(encoding="utf-8") == "mine\n"
    (repo.root / "colour.txt").unlink()
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    assert (repo.root / "colour.txt").read_text(encoding="utf-8") == "green\n"


def test_edits_elsewhere_do_not_hinder_it(repo: Repository) -> None:
    repo.conductor.run("WO-1")
    repo.write("README.md", "# Shop\n\nin work\n")
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    assert (repo.root / "README.md").read_text(encoding="utf-8") == "# Shop\n\nin work\n"
    assert repo.file_at("main", "README.md").endswith("one")


def test_what_is_committed_after_the_answer_is_not_landed(repo: Repository) -> None:
    repo.conductor.run("WO-1")
    repo.approve()
    (repo.checkout / "backdoor.txt").write_text("x\n", encoding="utf-8")
    subprocess.run(["git", "add", "-A"], cwd=repo.checkout, check=True)
    subprocess.run(["git", "commit", "-qm", "more"], cwd=repo.checkout, check=True)
    assert repo.conductor.run("WO-1").outcome == "waiting"
    assert any("work/WO-1" in text for text in repo.records("lapse")[0]["changed"])
    assert "backdoor.txt" not in repo.git("ls-tree", "--name-only", "main").split()


def test_a_lost_checkout_is_made_again_from_what_was_committed(repo: Repository) -> None:
    import shutil

    repo.conductor.run("WO-1")
    shutil.rmtree(repo.checkout)
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    assert repo.file_at("main", "colour.txt") == "green"


def test_programs_that_an_agent_names_in_its_checkout_do_not_run(repo: Repository) -> None:
    mark = repo.root.parent / "ran"
    hook = f"#!/bin/sh\ntouch {mark}\n"
    repo.painter.commands = [
        ["sh", "-c", f"mkdir -p .git/hooks; printf '{hook}' > .git/hooks/post-checkout"],
        ["sh", "-c", "cp .git/hooks/post-checkout .git/hooks/pre-commit; chmod +x .git/hooks/*"],
    ]
    repo.conductor.run("WO-1")
    assert not mark.exists()
    (failure, *_) = repo.records("failure")
    assert ".git/hooks" in json.dumps(failure)


@pytest.mark.parametrize("state", ["none", "unborn", "detached"])
def test_without_a_branch_to_begin_from_it_says_what_to_do(repo: Repository, state: str) -> None:
    import shutil

    if state == "detached":
        repo.git("checkout", "-q", "--detach")
    else:
        shutil.rmtree(repo.root / ".git")
    if state == "unborn":
        repo.git("init", "-q")
    lay = sorted(p for p in repo.root.rglob("*") if ".git" not in p.parts)
    with pytest.raises(OrchestrateError, match="a checkout of its own") as caught:
        Conductor(
            Board(repo.root),
            agents={"BUILDER": repo.painter},
            settings=Settings(
                agents={"BUILDER": AgentSettings().model_copy(update={"use": "fake"})}
            ),
        ).run("WO-1")
    assert caught.value.code == "no-checkout"
    assert caught.value.hint
    assert repo.painter.jobs == []
    # nothing has moved, and nothing is committed
    now = sorted(p for p in repo.root.rglob("*") if not {".git", ".orchestrate"} & set(p.parts))
    assert now == lay
    assert not repo.records("transition")
    if state == "unborn":
        assert repo.git("rev-list", "--all", "--count") == "0"


def test_what_a_failed_attempt_committed_is_taken_back_and_kept(repo: Repository) -> None:
    repo.painter.files = {"colour": "green\n", "secret": "x\n"}
    repo.painter.commands = [
        ["git", "switch", "-q", "-C", "elsewhere"],
        ["git", "add", "-A"],
        ["git", "commit", "-q", "-m", "mine"],
        ["sh", "-c", "echo more > more.txt; git config core.fsmonitor ./evil"],
    ]
    repo.conductor.run("WO-1")
    assert repo.records("failure")
    head, listed = (
        subprocess.run(
            ["git", *words], cwd=repo.checkout, capture_output=True, text=True, check=True
        ).stdout.split()
        for words in (
            ["symbolic-ref", "--short", "HEAD"],
            ["ls-files", "-co", "--exclude-standard"],
        )
    )
    assert head == ["work/WO-1"]
    assert not {"colour.txt", "secret.txt", "more.txt"} & set(listed)
    kept = repo.git("for-each-ref", "--format=%(refname)", "refs/orchestrate/kept").split()
    assert "refs/orchestrate/kept/WO-1/stage-1-attempt-1" in kept
    assert "secret.txt" in repo.git("ls-tree", "--name-only", kept[0]).split()


def test_what_an_agent_puts_in_the_boards_place_fails_the_attempt(repo: Repository) -> None:
    path = "_WORK_ORDERS/04_QA/WO-1_Colours.md"
    repo.painter.commands = [["sh", "-c", f"mkdir -p _WORK_ORDERS/04_QA; echo x > {path}"]]
    assert repo.conductor.run("WO-1").outcome == "held"
    reasons = [f["findings"][0]["detail"] for f in repo.records("failure")]
    assert all(path in reason and "the board is the conductor's" in reason for reason in reasons)
    assert not (repo.checkout / "_WORK_ORDERS").exists()
    assert list((repo.root / ".orchestrate" / "kept").rglob("WO-1_Colours.md"))


def test_the_rules_by_which_work_is_judged_are_not_the_agents(repo: Repository) -> None:
    repo.painter.commands = [["sh", "-c", "echo 'failure_limit = 9' > orchestrate.toml"]]
    repo.conductor.run("WO-1")
    assert "orchestrate.toml, by which work is judged" in json.dumps(repo.records("failure")[0])


def test_what_a_refused_turn_cost_is_counted(repo: Repository) -> None:
    spent = Usage(model="m", input_tokens=5, usd=1.5)
    work = repo.painter.work

    def costly(job: Job) -> Report:
        return work(job).model_copy(update={"usage": (spent,), "seconds": 2.0})

    repo.painter.work = costly  # type: ignore[method-assign]
    repo.painter.commands = [["sh", "-c", "mkdir -p .git/hooks; echo x > .git/hooks/pre-commit"]]
    repo.conductor.run("WO-1")
    assert repo.records("failure")
    assert [r["usage"][0]["usd"] for r in repo.records("turn")] == [1.5, 1.5]
