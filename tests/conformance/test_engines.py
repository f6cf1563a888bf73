"""What holds whoever lets agents work: this machine, or workers by a queue."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.agent import Job, Outcome, Report, Usage
from orchestrator.errors import StoppedError
from tests.repositories import BESIDE
from tests.workers import Team, wait_until

Act = Callable[[Path], object]


class Hand:
    """Does at each call what it is given; the last act is repeated."""

    def __init__(self, *acts: Act, name: str = "BUILDER", **report: Any) -> None:
        self.name, self.acts, self.report = name, list(acts), report
        self.jobs: list[Job] = []

    def work(self, job: Job) -> Report:
        self.jobs.append(job)
        act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
        said = act(job.root)
        if isinstance(said, Report):
            return said
        known: dict[str, Any] = {
            "outcome": Outcome.DONE,
            "section": f"## {self.name}\n\nDone.\n",
            "session": f"s-{len(self.jobs)}",
        }
        return Report(**{**known, **self.report})


def writes(**files: str) -> Act:
    def act(root: Path) -> None:
        for name, text in files.items():
            (root / f"{name}.txt").write_text(text, encoding="utf-8")

    return act


def git(root: Path, *words: str) -> None:
    own = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    subprocess.run(["git", *own, *words], cwd=root, check=True, capture_output=True)


def test_work_is_proven_where_the_board_is(team: Team) -> None:
    team.agents["BUILDER"] = Hand(writes(colour="green\n"))
    assert team.conductor.run("WO-1").outcome == "waiting"
    assert (team.checkout / "colour.txt").read_text() == "green\n"
    assert team.question()["proven"]
    team.approve()
    team.conductor.run("WO-1")
    assert team.file_at("main", "colour.txt") == "green"


def test_a_failed_attempt_is_taken_back_and_counted_once(team: Team) -> None:
    def fails(root: Path) -> Report:
        (root / "README.md").write_text("spoilt\n")
        return Report(outcome=Outcome.FAILED, reason="no paint")

    hand = team.agents["BUILDER"] = Hand(fails, writes(colour="green\n"))
    assert team.conductor.run("WO-1").outcome == "waiting"
    assert [job.attempt for job in hand.jobs] == [1, 2]
    assert (team.checkout / "README.md").read_text().startswith("# Shop")
    assert len(team.records("failure")) == 1


def test_what_an_agent_does_with_files_and_git_comes_back_whole(team: Team) -> None:
    def works(root: Path) -> None:
        (root / "colour.txt").write_text("green\n")
        (root / "bytes.bin").write_bytes(bytes(range(256)))
        (root / "run.sh").write_text("#!/bin/sh\n")
        (root / "run.sh").chmod(0o755)
        (root / "link").symlink_to("colour.txt")
        (root / "a name with\nlines").write_text("x")
        git(root, "add", "colour.txt")
        git(root, "commit", "-q", "-m", "Paint")
        (root / "README.md").unlink()

    team.agents["BUILDER"] = Hand(works)
    assert team.conductor.run("WO-1").outcome == "waiting"
    made = team.checkout
    assert (made / "bytes.bin").read_bytes() == bytes(range(256))
    assert (made / "run.sh").stat().st_mode & 0o111
    assert (made / "link").readlink() == Path("colour.txt")
    assert (made / "a name with\nlines").read_text() == "x"
    assert not (made / "README.md").exists()
    assert "Paint" in team.git("log", "--format=%s", "refs/orchestrate/work/WO-1")


def test_two_makers_work_side_by_side(team: Team) -> None:
    team.write("workflows/w.md", BESIDE)
    team.commit("two makers")
    together = threading.Barrier(2)

    def waits(name: str) -> Act:
        def act(root: Path) -> None:
            together.wait(15)
            writes(**{name: "x\n"})(root)

        return act

    team.agents["BUILDER"] = Hand(waits("colour"))
    team.agents["TESTER"] = Hand(waits("test"), name="TESTER")
    assert team.conductor.run("WO-1").outcome == "waiting"
    assert {p.name for p in team.checkout.glob("*.txt")} == {"colour.txt", "test.txt"}


def test_turns_go_on_with_what_was_made_and_cost(team: Team) -> None:
    def second(root: Path) -> None:
        assert (root / "wrong.txt").read_text() == "1\n"
        writes(colour="green\n")(root)

    used = (Usage(model="m", input_tokens=10, output_tokens=1, usd=0.5),)
    hand = team.agents["BUILDER"] = Hand(writes(wrong="1\n"), second, usage=used)
    assert team.conductor.run("WO-1").outcome == "waiting"
    assert [(job.turn, job.session) for job in hand.jobs] == [(1, ""), (2, "s-1")]
    assert hand.jobs[1].findings
    assert [r["usage"][0]["usd"] for r in team.records("turn")] == [0.5, 0.5]


@pytest.mark.parametrize("outcome", [Outcome.CANNOT, Outcome.NEEDS_PERSON])
def test_who_cannot_go_on_costs_no_strike(team: Team, outcome: Outcome) -> None:
    team.agents["BUILDER"] = Hand(lambda _: Report(outcome=outcome, reason="which green?"))
    team.conductor.run("WO-1")
    assert team.records("report")[-1]["report"]["reason"] == "which green?"
    assert not team.records("failure")


def test_the_board_is_no_part_of_a_checkout(team: Team) -> None:
    def forges(root: Path) -> None:
        (root / "_WORK_ORDERS" / "05_USER_REVIEW").mkdir(parents=True)
        (root / "_WORK_ORDERS" / "05_USER_REVIEW" / "WO-1_Colours.md").write_text("APPROVED")

    team.agents["BUILDER"] = Hand(forges, writes(colour="green\n"))
    assert team.conductor.run("WO-1").outcome == "waiting"
    assert "the board is the conductor's" in team.records("report")[0]["report"]["reason"]
    assert len(team.records("failure")) == 1


def test_a_stop_ends_the_agent_and_the_next_run_goes_on(team: Team) -> None:
    begun = threading.Event()

    def waits(root: Path) -> None:
        writes(half="x\n")(root)
        begun.set()
        end.wait(5)

    end = threading.Event()
    team.agents["BUILDER"] = Hand(waits, writes(colour="green\n"))
    conductor = team.conductor
    said: list[BaseException] = []

    def run() -> None:
        try:
            conductor.run("WO-1")
        except StoppedError as exc:
            said.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(begun.is_set)
    conductor.stop()
    if team.machine is None:
        end.set()
    thread.join(10)
    end.set()
    if team.machine is not None:
        assert said
    assert team.conductor.run("WO-1").outcome == "waiting"
    assert not team.records("failure")
