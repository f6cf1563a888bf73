"""Proofs that workers make: what of them is believed, and where it says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.approvals.answers import AnswerRefusedError
from orchestrator.domain.agent import Outcome, Report
from orchestrator.gates.checks import Verdict
from orchestrator.settings.agents import PROVE
from orchestrator.workers import delivery, engine, proofs
from orchestrator.workers.parcel import Result
from tests.conformance.test_engines import Hand, writes
from tests.workers import Machine, Team

CHECK = '''
from orchestrator.gates.checks import check, failed, proven

@check("the colour is right", name="own.colour", slow=True)
def colour(ctx):
    """The colour is green."""
    text = ctx.path("colour.txt").read_text()
    assert ctx.changed() == {"colour.txt"}, ctx.changed()
    assert ctx.at_start("colour.txt") is None and ctx.at_start("README.md")
    return (proven if text == "green\\n" else failed)(text.strip(), "colour.txt")
'''


@pytest.fixture(scope="module")
def machine(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine") / "root"
    # however slow this machine is, nobody is taken for dead
    with Machine(folder, ("BUILDER", PROVE), lease=60).at_work() as one:
        yield one


@pytest.fixture
def proving(away: Team) -> Team:
    """A repository whose slow proofs are a worker's, by a check that both have."""
    assert away.machine is not None
    worker = away.machine.worker
    for root in (away.root, worker.root):
        (root / "checks").mkdir(exist_ok=True)
        (root / "checks" / "own.py").write_text(CHECK)
    text = (
        (away.root / "workflows/w.md")
        .read_text()
        .replace("Paint it.", "Paint it.\n\n**Done when:** the colour is right")
    )
    away.write("workflows/w.md", text)
    away.commit("a check")
    away.more |= {"prove": True, "lease": 60}
    return away


def machines(team: Team) -> set[str]:
    """Where the receipts of the check say that it ran."""
    claims = [c for r in team.records("receipt") for c in r["claims"] if c["check"] == "own.colour"]
    return {c["evidence"].get("machine", "") for c in claims}


def test_a_slow_proof_is_a_workers_and_its_receipt_says_so(proving: Team) -> None:
    proving.agents["BUILDER"] = Hand(writes(colour="green\n"))
    assert proving.conductor.run("WO-1").outcome == "waiting"
    assert machines(proving) == {proving.machine.worker.id}


def test_what_a_worker_says_against_home_is_tried_at_home(
    proving: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It failed, or was about other files, or by another check: that opens and closes no gate."""
    whole = delivery.Delivery.do
    lies: list[dict[str, Any]] = [
        {"verdict": Verdict.FAILED},
        {"subjects": {"colour.txt": "0" * 64}},
        {"check": "own.colour@1+other"},
    ]

    def lie(self: delivery.Delivery) -> tuple[Result, bytes | None]:
        result, bundle = whole(self)
        if self.parcel.job.agent != PROVE:
            return result, bundle
        made = proofs._Claims.model_validate_json(result.report.section)
        (claim,) = made.claims
        claims = [claim.model_copy(update=lie) for lie in lies]
        said = proofs._Claims(claims=tuple(claims)).model_dump_json()
        report = result.report.model_copy(update={"section": said})
        return result.model_copy(update={"report": report}), bundle

    monkeypatch.setattr(delivery.Delivery, "do", lie)
    proving.agents["BUILDER"] = Hand(writes(colour="green\n"))
    assert proving.conductor.run("WO-1").outcome == "waiting"
    assert machines(proving) == {""}
    assert not proving.records("failure")


def test_a_forged_proof_gets_no_approval(proving: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = delivery.Delivery.do

    def forge(self: delivery.Delivery) -> tuple[Result, bytes | None]:
        result, bundle = whole(self)
        section = result.report.section.replace('"failed"', '"proven"')
        report = result.report.model_copy(update={"section": section})
        return result.model_copy(update={"report": report}), bundle

    monkeypatch.setattr(delivery.Delivery, "do", forge)
    proving.agents["BUILDER"] = Hand(writes(colour="red\n"))
    assert proving.conductor.run("WO-1").outcome == "waiting"
    assert "" not in machines(proving)
    with pytest.raises(AnswerRefusedError, match="the colour is right” was proven, is failed"):
        proving.approve()
    proving.conductor.run("WO-1")
    assert "colour.txt" not in proving.git("ls-tree", "-r", "--name-only", "main")


@pytest.mark.parametrize("why", ["none is there", "it cannot"])
def test_home_proves_what_no_worker_does(
    proving: Team, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "none is there":
        monkeypatch.setattr(engine.Store, "workers", lambda _: [])
    else:
        broken = Report(outcome=Outcome.FAILED, reason="no interpreter")
        monkeypatch.setattr(engine.QueuedDispatcher, "prove", lambda *_: broken)
    proving.agents["BUILDER"] = Hand(writes(colour="green\n"))
    assert proving.conductor.run("WO-1").outcome == "waiting"
    assert machines(proving) == {""}
