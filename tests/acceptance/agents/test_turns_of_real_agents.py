"""Turns of the real coding agents against the scripted model."""

from __future__ import annotations

import os
import time

import psutil
import pytest

from orchestrator.domain.agent import Allowance, Finding, Outcome
from tests.acceptance.agents.real import REAL, Bench, agents, bench
from tests.model_server import Limit, ModelServer, Run, Say, Unauthorized, Wait, Write

__all__ = ["bench"]


@agents()
def test_its_own_tools_write_and_the_session_goes_on(bench: Bench) -> None:
    steps = [
        Write("a.txt", "hello\n", text="I write the file."),
        Say("Made `a.txt`."),
        Run("echo more > b.txt"),
        Say("Made `b.txt` too."),
    ]
    with ModelServer(steps) as model:
        job = bench.job(model)
        first = bench.turn(job)
        assert first.outcome is Outcome.DONE, first.reason
        assert (bench.root / "a.txt").read_text() == "hello\n"
        assert first.session
        assert "Made `a.txt`." in first.section
        failed = Finding(statement="`b.txt` exists", verdict="failed", detail="no b.txt there")
        second = bench.turn(
            job.model_copy(update={"session": first.session, "turn": 2, "findings": (failed,)})
        )
        told = model.requests[2].text
    assert second.outcome is Outcome.DONE, second.reason
    assert (bench.root / "b.txt").read_text() == "more\n"
    assert second.session == first.session
    # the first turn and the failed receipt, word for word
    assert "I write the file." in told
    assert "no b.txt there" in told
    if "-acp" not in bench.name:
        for report in (first, second):
            assert sum(u.input_tokens for u in report.usage) == 2000, report.usage
            assert sum(u.output_tokens for u in report.usage) == 200
            assert all(u.usd is not None and u.usd > 0 for u in report.usage)


@agents("claude", "codex", "opencode")
def test_a_usage_limit_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    until = int(time.time()) + 7200
    with ModelServer([Limit(until)]) as model:
        job = bench.job(model)
        if bench.name == "claude":
            # only a subscription has a time
            monkeypatch.delenv("ANTHROPIC_API_KEY")
            monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-scripted")
        report = bench.turn(job)
    assert (report.outcome, report.ended) == (Outcome.LATER, "limit"), report.reason
    assert report.resumes_at is not None
    if bench.name != "opencode":
        assert abs(report.resumes_at - until) < 60


@agents(without=("claude-code-acp", "codex-acp"))
def test_who_is_not_signed_in_is_told_what_to_do(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ModelServer([Unauthorized()]) as model:
        job = bench.job(model)
        for key in bench.real.keys:
            # codex does not look at a key before its provider does
            if bench.name != "codex":
                monkeypatch.delenv(key)
        report = bench.turn(job)
    assert report.outcome is Outcome.NEEDS_PERSON, report.reason
    assert "is not signed in" in report.reason


@agents()
def test_a_model_that_says_nothing_ends_the_turn(bench: Bench) -> None:
    with ModelServer([Wait(120), Say("Late.")]) as model:
        report = bench.turn(bench.job(model, agent={"stall": 12.0}))
    assert (report.outcome, report.ended) == (Outcome.FAILED, "stall"), report.reason
    assert report.seconds < 40
    home = f"HOME={bench.home}"
    time.sleep(0.2)
    for process in psutil.process_iter(["pid"]):
        try:
            own = home in [f"{k}={v}" for k, v in process.environ().items()]
        except psutil.Error:
            continue
        assert not own or process.pid == os.getpid(), process.cmdline()


@agents(*[name for name, real in REAL.items() if real.counts])
def test_a_spent_allowance_ends_the_turn(bench: Bench) -> None:
    steps = [Run(f"echo {n} >> steps.txt && sleep 1") for n in range(20)]
    with ModelServer(steps) as model:
        report = bench.turn(bench.job(model, allowance=Allowance(tokens=2500)))
    assert (report.outcome, report.ended) == (Outcome.CANNOT, "budget"), report.reason
    assert len((bench.root / "steps.txt").read_text().splitlines()) < 10


@agents()
def test_a_question_is_asked(bench: Bench) -> None:
    with ModelServer([Say("I looked.\n\nQUESTION: Blue or green?")]) as model:
        report = bench.turn(bench.job(model))
    assert (report.outcome, report.ended) == (Outcome.CANNOT, "question"), report.reason
    assert "Blue or green?" in report.reason


@agents()
def test_it_writes_neither_the_board_nor_what_lies_outside(bench: Bench) -> None:
    board = bench.root.parent / "board"
    board.mkdir()
    (board / "orchestrate.toml").write_text("before\n")
    evil = f"echo x >> {board}/orchestrate.toml; echo x >> ~/.profile; touch done.txt"
    with ModelServer([Run(evil), Say("Done.")]) as model:
        report = bench.turn(bench.job(model))
    assert report.outcome is Outcome.DONE, report.reason
    assert (bench.root / "done.txt").exists()
    assert (board / "orchestrate.toml").read_text() == "before\n"
    assert not (bench.home / ".profile").exists()
