"""Whose a change is: agents side by side, a person in between, a conductor that is killed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.agent import Job, Outcome, Report
from orchestrator.family.change_log import ChangeLog
from tests.boards import Workspace
from tests.integration.test_changes import acts, changed, git, lay, question, records, write


@pytest.fixture(params=["git", "plain"])
def by(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def repository(root: Path, by: str) -> None:
    if by == "git":
        git(root, "init", "-q")
        git(root, "add", "-A")
        git(root, "commit", "-qm", "base")


def workers(work: Workspace) -> dict[str, str]:
    found = work.conductor().status("WO-512")["question"]["changed_files"]
    return {each["path"]: each["text"] for each in found}


# -- side by side --------------------------------------------------------------------------------


def test_two_stages_at_once_are_told_apart_or_it_is_said(tmp_path: Path, by: str) -> None:
    work = Workspace(tmp_path)
    repository(tmp_path, by)
    together = threading.Barrier(2)

    def build(job: Job) -> Report:
        together.wait(20)
        write("common.txt", "by one of them\n")(job.root)
        report = work.builder.write(job, "second\n")
        together.wait(20)
        return report

    def analyse(job: Job) -> Report:
        together.wait(20)
        report = work.analyst.write(job, "third\n")
        together.wait(20)
        return report

    work.builder.act, work.analyst.act = build, analyse
    work.to_the_end()
    told = workers(work)
    assert set(told) == {"common.txt", "out/first.txt", "out/second.txt", "out/third.txt"}
    assert "by BUILDER · " in told["out/second.txt"]
    assert "by ANALYST · " in told["out/third.txt"]
    # each is named once, though each of them has recorded it
    assert told["common.txt"].count("cannot be distinguished") == 1
    assert told["common.txt"].count("BUILDER") == told["common.txt"].count("ANALYST") == 1
    assert "cannot be distinguished" in question(work)


def test_one_that_fails_does_not_take_the_others_work_back(tmp_path: Path, by: str) -> None:
    work = Workspace(tmp_path)
    repository(tmp_path, by)
    done, together = threading.Event(), threading.Barrier(2)

    def build(job: Job) -> Report:
        if job.attempt == 1:
            together.wait(20)
            write("half.txt", "half\n")(job.root)
            done.wait(20)
            return Report(outcome=Outcome.FAILED, reason="no luck")
        return work.builder.write(job, "second\n")

    def analyse(job: Job) -> Report:
        if job.attempt == 1:
            together.wait(20)
        report = work.analyst.write(job, "third\n")
        done.set()
        return report

    work.builder.act, work.analyst.act = build, analyse
    work.to_the_end()
    assert (tmp_path / "out/third.txt").read_text(encoding="utf-8") == "third\n"
    assert {"out/second.txt", "out/third.txt"} <= set(workers(work))


def test_two_families_at_once_are_told_apart_by_files(tmp_path: Path, by: str) -> None:
    """Two conductors at work in one tree, as two workers of the daemon are."""
    work = lay(tmp_path, "plain", "files: [README.md]")
    other = work.file("WO-512").read_text(encoding="utf-8").replace("WO-512", "WO-513")
    other = other.replace("[README.md]", "[src]")
    (tmp_path / "_WORK_ORDERS/00_INBOX/WO-513_Other.md").write_text(other, encoding="utf-8")
    repository(tmp_path, by)
    together = threading.Barrier(2)

    def act(job: Job) -> Report:
        together.wait(20)
        path = "README.md" if job.ticket == "WO-512" else "src/app.py"
        write(path, f"by {job.ticket}\n")(job.root)
        together.wait(20)
        return Report(outcome=Outcome.DONE)

    work.soop.act = act
    outcomes: dict[str, Any] = {}

    def run(id: str) -> None:
        outcomes[id] = work.conductor().run(id)

    threads = [threading.Thread(target=run, args=(id,)) for id in ("WO-512", "WO-513")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {o.outcome for o in outcomes.values()} == {"waiting"}, outcomes
    assert changed(work) == {"README.md": "edited"}
    found = work.conductor().status("WO-513")["question"]["changed_files"]
    assert [each["path"] for each in found] == ["src/app.py"]


# -- a person --------------------------------------------------------------------------------


def test_what_a_person_did_in_the_agents_place_is_shown_as_hers(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by, "files: [README.md]")
    acts(work, lambda _: None, outcome=Outcome.NEEDS_PERSON, reason="paint it by hand")
    conductor = work.conductor()
    conductor.run("WO-512")
    write("src/app.py", "painted\n")(tmp_path)
    conductor.run("WO-512")
    assert changed(work) == {"src/app.py": "edited"}
    assert "by a person" in workers(work)["src/app.py"]


def test_what_a_person_hands_over_by_status_is_shown_too(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by)
    (tmp_path / "README.md").rename(tmp_path / "READ.md")
    acts(work, lambda _: None, outcome=Outcome.NEEDS_PERSON, reason="paint it by hand")
    conductor = work.conductor()
    conductor.run("WO-512")
    write("README.md", "painted\n")(tmp_path)
    status = "status: " + work.file("WO-512").parent.name
    work.edit("WO-512", status, "status: 04_QA")
    conductor.run("WO-512")
    assert changed(work) == {"README.md": "added"}


def test_edits_between_a_stop_and_the_next_run_are_the_persons(tmp_path: Path, by: str) -> None:
    work = lay(tmp_path, by, "files: [README.md]")

    def stopped(job: Job) -> Report:
        if len(work.soop.jobs) == 1:
            raise KeyboardInterrupt
        write("README.md", "three\n")(job.root)
        return Report(outcome=Outcome.DONE)

    (tmp_path / "README.md").rename(tmp_path / "READ.md")
    work.soop.act = stopped
    with pytest.raises(KeyboardInterrupt):
        work.conductor().run("WO-512")
    write("src/app.py", "mine\n")(tmp_path)
    work.conductor().run("WO-512")
    assert changed(work) == {"README.md": "added"}
    assert (tmp_path / "src/app.py").read_text(encoding="utf-8") == "mine\n"


def test_edits_while_a_killed_conductor_is_away_are_asked_about(
    tmp_path: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = lay(tmp_path, by, "files: [README.md]")
    monkeypatch.setattr(ChangeLog, "stop", lambda *_: None)

    def killed(job: Job) -> Report:
        raise KeyboardInterrupt

    work.soop.act = killed
    with pytest.raises(KeyboardInterrupt):
        work.conductor().run("WO-512")
    write("src/app.py", "whose?\n")(tmp_path)
    outcome = work.conductor().run("WO-512")
    assert outcome.outcome == "waiting"
    assert "the conductor was stopped" in question(work)
    assert changed(work) == {"src/app.py": "edited"}
    assert (tmp_path / "src/app.py").read_text(encoding="utf-8") == "whose?\n"
    assert records(work, "failure") == []
    work.conductor().approve("WO-512")
    work.conductor().run("WO-512")
    assert "USER CHECKPOINT" in question(work)


def test_a_pull_while_an_agent_works_is_asked_about_and_stays(tmp_path: Path) -> None:
    work = lay(tmp_path, "git", "files: [README.md]")

    def act(root: Path) -> None:
        write("README.md", "three\n")(root)
        write("src/app.py", "pulled\n")(root)
        git(root, "commit", "-qm", "somebody's", "--", "src/app.py")

    acts(work, act)
    assert work.conductor().run("WO-512").outcome == "waiting"
    assert "came with a commit or a checkout" in question(work)
    assert "somebody's" in question(work)
    assert (tmp_path / "src/app.py").read_text(encoding="utf-8") == "pulled\n"


# -- a conductor that is killed --------------------------------------------------------------


def test_a_kill_before_the_taking_back_is_made_up_for(
    tmp_path: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.conductor import attempts

    work = lay(tmp_path, by, "files: [README.md]")
    acts(work, lambda root: write("src/app.py", "b\n")(root) if len(work.soop.jobs) == 1 else 0)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(attempts, "undo_attempt", killed)
        with pytest.raises(KeyboardInterrupt):
            work.conductor().run("WO-512")
    assert (tmp_path / "src/app.py").read_text(encoding="utf-8") == "b\n"
    work.conductor().run("WO-512")
    assert (tmp_path / "src/app.py").read_text(encoding="utf-8") == "a = 1\n"
    assert len(work.soop.jobs) == 2
    assert len(records(work, "failure")) == 1


@pytest.mark.parametrize("after", range(1, 9))
def test_a_kill_in_the_middle_of_the_taking_back_loses_nothing(tmp_path: Path, after: int) -> None:
    from orchestrator.storage import syscalls

    work = lay(tmp_path, "git", "files: [README.md]")
    write("mine.txt", "mine\n")(tmp_path)

    def act(root: Path) -> None:
        if len(work.soop.jobs) == 1:
            write("src/app.py", "b\n")(root)
            write("new.py", "n\n")(root)
            (root / "mine.txt").unlink()

    acts(work, act)
    left = after

    def watcher(_: str, path: Path) -> None:
        nonlocal left
        if ".orchestrate/kept" in str(path) or path.name in ("app.py", "new.py", "mine.txt"):
            left -= 1
            if not left:
                raise KeyboardInterrupt

    with syscalls.watched(watcher):
        try:
            work.conductor().run("WO-512")
        except KeyboardInterrupt:
            work.conductor().run("WO-512")
    assert (tmp_path / "src/app.py").read_text(encoding="utf-8") == "a = 1\n"
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "mine\n"
    assert not (tmp_path / "new.py").exists()
    kept = [p.read_text(encoding="utf-8") for p in (tmp_path / ".orchestrate/kept").rglob("*.py*")]
    assert {"b\n", "n\n"} <= set(kept)
