"""Coding agents of one family side by side: a checkout each, joined when it is proven."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.domain.agent import Job, Outcome, Report
from orchestrator.workspaces.checkout import Checkout
from orchestrator.workspaces.ports import RANGES, claim_ports, release_ports
from tests.repositories import BESIDE, Repository

Act = Callable[[Path], Report | None]


class Hand:
    """Does at each attempt what it is given, once the other is at work too."""

    def __init__(self, name: str, together: threading.Barrier, *acts: Act):
        self.name, self.together, self.acts = name, together, list(acts)
        self.jobs: list[Job] = []

    def work(self, job: Job) -> Report:
        self.jobs.append(job)
        if len(self.jobs) == 1:
            self.together.wait(5)
        said = self.acts.pop(0)(job.root) if self.acts else None
        if len(self.jobs) == 1:
            self.together.wait(5)
        return said or Report(
            outcome=Outcome.DONE, section=f"## {self.name}\n\nDone.\n", session="s"
        )


def writes(**files: str) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        for name, text in files.items():
            (root / f"{name}.txt").write_text(text, encoding="utf-8")

    return act


class Pair:
    """A repository with two makers side by side."""

    def __init__(self, root: Path, builder: list[Act], tester: list[Act]) -> None:
        self.repo = Repository(root)
        self.repo.write("workflows/w.md", BESIDE)
        self.repo.write("shared.txt", "one\n")
        self.repo.commit("two makers")
        together = threading.Barrier(2)
        self.builder = Hand("BUILDER", together, *builder)
        self.tester = Hand("TESTER", together, *tester)
        self.repo.painter = self.builder  # type: ignore[assignment]
        self.repo.others = {"TESTER": self.tester}
        self.conductor = self.repo.conductor

    @property
    def places(self) -> list[str]:
        return sorted(p.name for p in self.repo.checkout.parent.iterdir() if p.name[0] != ".")

    def land(self) -> None:
        self.repo.approve()
        assert self.conductor.run("WO-1").outcome == "complete"


def test_each_has_a_checkout_of_its_own_and_both_land(tmp_path: Path) -> None:
    pair = Pair(tmp_path, [writes(colour="green\n", both="b\n")], [writes(test="t\n")])
    assert pair.conductor.run("WO-1").stage == 3
    roots = [agent.jobs[0].root.name for agent in (pair.builder, pair.tester)]
    assert roots == ["WO-1+stage-1", "WO-1+stage-2"]
    ports = {agent.jobs[0].environment["PORT"] for agent in (pair.builder, pair.tester)}
    assert len(ports) == 2
    # neither saw the other's, and nobody has to be told apart
    assert pair.places == ["WO-1"]
    texts = {f["path"]: f["text"] for f in pair.repo.question()["changed_files"]}
    assert sorted(texts) == ["both.txt", "colour.txt", "test.txt"]
    assert not any("distinguished" in text for text in texts.values())
    assert pair.repo.git("for-each-ref", "--format=%(refname)", "refs/orchestrate") == (
        "refs/orchestrate/work/WO-1"
    )
    pair.land()
    assert pair.repo.file_at("main", "test.txt") == "t"
    assert pair.repo.file_at("main", "both.txt") == "b"


def test_checkouts_that_a_kill_left_are_removed_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(tmp_path, [writes(colour="green\n", both="b\n")], [writes(test="t\n")])
    with monkeypatch.context() as patch:
        patch.setattr(Checkout, "end", lambda self: None)
        assert pair.conductor.run("WO-1").stage == 3
    assert pair.places == ["WO-1", "WO-1+stage-1", "WO-1+stage-2"]
    (pair.repo.checkout.parent / "WO-1+stage-1" / ".git" / "index.lock").touch()
    assert pair.conductor.run("WO-1").outcome == "waiting"
    assert pair.places == ["WO-1"]
    assert pair.repo.git("for-each-ref", "--format=%(refname)", "refs/orchestrate") == (
        "refs/orchestrate/work/WO-1"
    )


def test_a_conflict_is_a_finding_for_the_later_one(tmp_path: Path) -> None:
    met: list[str] = []

    def resolve(root: Path) -> None:
        met.append((root / "shared.txt").read_text(encoding="utf-8"))
        writes(shared="red and blue\n")(root)

    pair = Pair(
        tmp_path,
        [writes(colour="green\n", shared="red\n")],
        [writes(test="t\n", shared="blue\n"), resolve],
    )
    assert pair.conductor.run("WO-1").stage == 3
    assert len(pair.builder.jobs) == 1
    (failure,) = pair.repo.records("failure")
    assert failure["blamed"] == {"WO-1": [2]}
    assert failure["findings"][0]["detail"].startswith("shared.txt was changed beside it too")
    assert {"red", "blue"} <= set(met[0].splitlines())
    assert "holds conflict marks" in pair.tester.jobs[1].findings[0].detail
    assert pair.tester.jobs[1].root.name == "WO-1+stage-2"
    pair.land()
    assert pair.repo.file_at("main", "shared.txt") == "red and blue"


def test_a_failed_one_does_not_reach_the_others_work(tmp_path: Path) -> None:
    def fails(root: Path) -> Report:
        writes(shared="broken\n", junk="x\n")(root)
        return Report(outcome=Outcome.FAILED, reason="no luck")

    pair = Pair(tmp_path, [fails, writes(colour="green\n")], [writes(test="t\n", shared="two\n")])
    assert pair.conductor.run("WO-1").stage == 3
    assert (pair.repo.checkout / "shared.txt").read_text(encoding="utf-8") == "two\n"
    assert not (pair.repo.checkout / "junk.txt").exists()
    assert len(pair.tester.jobs) == 1
    pair.land()


def test_what_is_asked_of_user_shows_what_is_in_that_checkout(tmp_path: Path) -> None:
    def asks(root: Path) -> Report:
        writes(colour="half\n")(root)
        return Report(outcome=Outcome.CANNOT, reason="which green?", session="s")

    pair = Pair(tmp_path, [asks], [writes(test="t\n")])
    assert pair.conductor.run("WO-1").stage == 1
    question = pair.repo.question()
    assert question["kind"] == "exception"
    assert "colour.txt" in {f["path"] for f in question["changed_files"]}
    # a checkout that is lost meanwhile is made again
    shutil.rmtree(pair.repo.checkout.parent / "WO-1+stage-2")
    pair.conductor.send_back("WO-1", note="dark green")
    pair.builder.acts = [writes(colour="dark green\n")]
    pair.tester.acts = [writes(test="again\n")]
    assert pair.conductor.run("WO-1").stage == 3
    assert pair.builder.jobs[1].words == "dark green"
    assert pair.builder.jobs[1].root.name == "WO-1+stage-1"
    pair.land()
    assert pair.repo.file_at("main", "colour.txt") == "dark green"


def test_each_checkout_has_its_own_ports_until_it_is_gone(tmp_path: Path) -> None:
    found = {name: claim_ports(tmp_path, name) for name in map(str, range(RANGES))}
    assert len({ports[0] for ports in found.values()}) == RANGES
    assert claim_ports(tmp_path, "7") == found["7"]
    release_ports(tmp_path, "7")
    assert claim_ports(tmp_path, "another") == found["7"]
    # all taken: those of checkouts that are gone are free for the next
    assert claim_ports(tmp_path, "one more") in found.values()
    assert len(list((tmp_path / ".ports").iterdir())) == 1
