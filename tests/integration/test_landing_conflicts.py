"""A conflict on landing, sent back: the agent gets the conflict to resolve, and it lands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.agent import Job, Outcome, Report
from orchestrator.workspaces import landing
from tests.repositories import Painter, Repository


class Resolver(Painter):
    """Its first attempt paints; the further ones do what they are told, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.then: list[dict[str, str | None]] = []
        self.met: list[str] = []

    def work(self, job: Job) -> Report:
        if not self.jobs:
            return super().work(job)
        self.jobs.append(job)
        file = job.root / "colour.txt"
        self.met.append(file.read_text(encoding="utf-8") if file.exists() else "")
        for name, text in (self.then.pop(0) if self.then else {}).items():
            if text is None:
                (job.root / name).unlink()
            else:
                (job.root / name).write_text(text, encoding="utf-8")
        return Report(outcome=Outcome.DONE, section="## BUILDER\n\nResolved.\n", session="s")


def meet(root: Path, theirs: str | None = "red\n", **settings: Any) -> tuple[Repository, Resolver]:
    """A landing that conflicts with what somebody else has landed meanwhile, sent back."""
    repo = Repository(root, **settings)
    repo.painter = painter = Resolver()
    if theirs is None:
        repo.write("colour.txt", "white\n")
        repo.commit("a colour")
    repo.conductor.run("WO-1")
    if theirs is None:
        (repo.root / "colour.txt").unlink()
    else:
        repo.write("colour.txt", theirs)
    repo.write("other.txt", "x\n")
    repo.commit("meanwhile")
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "waiting"
    why = repo.question()["why"]
    assert "conflicts in colour.txt; send it back" in why
    repo.conductor.send_back("WO-1", note="resolve it")
    return repo, painter


@pytest.mark.parametrize("merge", ["no-ff", "squash", "ff"])
def test_a_conflict_that_is_sent_back_is_resolved_and_lands(tmp_path: Path, merge: str) -> None:
    repo, painter = meet(tmp_path, merge=merge)
    painter.then = [{"colour.txt": "red and green\n"}]
    assert repo.conductor.run("WO-1").outcome == "waiting"
    assert "<<<<<<<" in painter.met[0]
    assert {"red", "green"} <= set(painter.met[0].splitlines())
    (finding,) = painter.jobs[1].findings
    assert finding.statement == "`main` has moved"
    assert "colour.txt holds conflict marks (lines 1, 3, 5): resolve them" in finding.detail
    assert repo.question()["kind"] == "checkpoint"
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    assert repo.file_at("main", "colour.txt") == "red and green"
    assert repo.file_at("main", "other.txt") == "x"
    assert repo.git("status", "--porcelain") == ""


def test_what_is_still_marked_is_given_back_with_its_lines(tmp_path: Path) -> None:
    repo, painter = meet(tmp_path)
    # only the ends are removed, then the rest
    half = "red\n=======\ngreen\n"
    painter.then = [{"colour.txt": half}, {"colour.txt": "both\n"}]
    assert repo.conductor.run("WO-1").outcome == "waiting"
    (finding,) = painter.jobs[2].findings
    assert (finding.source, finding.verdict) == ("colour.txt", "failed")
    assert "colour.txt holds conflict marks (line 2)" in finding.detail
    assert painter.met[1] == half
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    assert repo.file_at("main", "colour.txt") == "both"


def test_what_stays_marked_fails_its_attempts_and_never_lands(tmp_path: Path) -> None:
    repo, painter = meet(tmp_path)
    assert repo.conductor.run("WO-1").outcome != "complete"
    failures = repo.records("failure")
    assert [[f["source"] for f in each["findings"]] for each in failures] == [
        ["colour.txt"] for _ in failures
    ]
    assert failures
    question = repo.conductor.status("WO-1")["question"]
    assert question is None or question["kind"] != "checkpoint"
    assert all("<<<<<<<" in each for each in painter.met)
    assert repo.file_at("main", "colour.txt") == "red"


def test_marks_are_found_where_the_agent_has_moved_them(tmp_path: Path) -> None:
    repo, painter = meet(tmp_path)
    work = painter.work

    def moving(job: Job) -> Report:
        if len(painter.jobs) == 1:
            marked = (job.root / "colour.txt").read_text(encoding="utf-8")
            painter.then = [{"moved.txt": marked, "colour.txt": "fine\n"}, {"moved.txt": "fine\n"}]
        return work(job)

    painter.work = moving  # type: ignore[method-assign]
    assert repo.conductor.run("WO-1").outcome == "waiting"
    assert [f.source for f in painter.jobs[2].findings] == ["moved.txt"]


def test_lines_that_look_like_marks_and_are_a_sides_own_are_none(tmp_path: Path) -> None:
    repo, painter = meet(tmp_path, "Red\n=======\n\n>>>>>>> quoted\n")
    painter.then = [{"colour.txt": "Red and green\n=======\n\n>>>>>>> quoted\n"}]
    assert repo.conductor.run("WO-1").outcome == "waiting"
    assert repo.records("failure") == []
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"


def test_a_file_that_one_side_removed_is_named_though_it_has_no_marks(tmp_path: Path) -> None:
    repo, painter = meet(tmp_path, None)
    painter.then = [{"colour.txt": "green again\n"}]
    assert repo.conductor.run("WO-1").outcome == "waiting"
    (finding,) = painter.jobs[1].findings
    assert "colour.txt conflicts where git sets no marks" in finding.detail
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    assert repo.file_at("main", "colour.txt") == "green again"


def test_a_target_that_merges_cleanly_is_joined_before_a_further_attempt(tmp_path: Path) -> None:
    repo = Repository(tmp_path)
    repo.painter = painter = Resolver()
    repo.conductor.run("WO-1")
    repo.write("other.txt", "x\n")
    repo.commit("meanwhile")
    repo.conductor.send_back("WO-1", note="bluer")
    painter.then = [{"colour.txt": "blue\n"}]
    assert repo.conductor.run("WO-1").outcome == "waiting"
    assert (repo.checkout / "other.txt").read_text(encoding="utf-8") == "x\n"
    assert painter.jobs[1].findings == ()
    assert "land 3 commits" in repo.question()["effects"][0]
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"


def test_a_kill_between_the_record_and_the_files_is_carried_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo, painter = meet(tmp_path)
    painter.then = [{"colour.txt": "both\n"}]
    with monkeypatch.context() as patched:

        def killed(*_: object) -> None:
            (repo.checkout / "other.txt").write_text("x\n", encoding="utf-8")
            raise KeyboardInterrupt

        patched.setattr(landing, "go_to", killed)
        with pytest.raises(KeyboardInterrupt):
            repo.conductor.run("WO-1")
    assert repo.conductor.run("WO-1").outcome == "waiting"
    assert len(repo.records("joined")) == 1
    assert "<<<<<<<" in painter.met[0]
    repo.approve()
    assert repo.conductor.run("WO-1").outcome == "complete"
    assert repo.file_at("main", "colour.txt") == "both"
