"""Coding agents in the conductor: turns in one session, the purse, usage limits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator import Board, Conductor
from orchestrator.cli.app import app
from orchestrator.conductor import turns
from orchestrator.domain.agent import UNREACHABLE, Job, Outcome, Report, Usage
from orchestrator.settings.agents import AgentSettings, BudgetSettings, Limits
from orchestrator.settings.config import Settings
from orchestrator.settings.tables import WorkspacesSettings
from orchestrator.storage.history import History
from tests.repositories import TICKET, WORKFLOW

_TICKET = f"{TICKET}- [ ] `shade.txt` exists\n"
Step = Callable[[Job], Report]


class Coder:
    """An agent whose turns a test writes down; the last one is repeated."""

    name = "BUILDER"

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.jobs: list[Job] = []

    def work(self, job: Job) -> Report:
        self.jobs.append(job)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        return step(job)


def writes(*files: str, usd: float | None = 0.25, **more: Any) -> Step:
    """A turn that writes files, and costs something."""

    def step(job: Job) -> Report:
        for file in files:
            (job.root / file).write_text(f"{job.turn}\n", encoding="utf-8")
        used = Usage(model="m-1", input_tokens=1000, output_tokens=200, usd=usd)
        fields: dict[str, Any] = {
            "outcome": Outcome.DONE,
            "section": "## BUILDER\n\nPainted.\n",
            "session": f"s-{job.attempt}",
            "usage": (used,),
            "seconds": 6.0,
            **more,
        }
        return Report(**fields)

    return step


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "_WORK_ORDERS" / "00_INBOX").mkdir(parents=True)
    (tmp_path / "_WORK_ORDERS" / "00_INBOX" / "WO-1_Colours.md").write_text(_TICKET, "utf-8")
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "w.md").write_text(WORKFLOW, "utf-8")
    return tmp_path


def conductor(root: Path, coder: Coder, turns: int = 4, **budget: Limits) -> Conductor:
    settings = Settings(
        agents={"BUILDER": AgentSettings(turns=turns).model_copy(update={"use": "fake"})},
        budget=BudgetSettings(**budget),
        workspaces=WorkspacesSettings(use="never"),
    )
    return Conductor(Board(root), agents={"BUILDER": coder}, settings=settings)


def records(root: Path, kind: str) -> list[dict[str, Any]]:
    return list(History(root / "_WORK_ORDERS", "WO-1").of(kind))


def test_the_same_session_goes_on_with_what_failed(root: Path) -> None:
    coder = Coder(writes("colour.txt"), writes("shade.txt"))
    outcome = conductor(root, coder).run("WO-1")
    assert (outcome.outcome, outcome.stage) == ("waiting", 2)
    first, second = coder.jobs
    assert (first.turn, first.session, first.findings) == (1, "", ())
    assert (second.turn, second.session, second.attempt) == (2, "s-1", 1)
    assert [f.statement for f in second.findings] == ["`shade.txt` exists"]
    assert second.findings[0].receipt
    assert records(root, "failure") == []
    assert [d.text for d in first.demands] == ["`colour.txt` exists", "`shade.txt` exists"]
    assert all(d.checks for d in first.demands)
    text = next((root / "_WORK_ORDERS").rglob("WO-1_*.md")).read_text(encoding="utf-8")
    assert "*fake (m-1) · 2 turns · 2,400 tokens · $0.50 · 12 s*" in text


def test_where_tickets_lie_is_demanded_of_no_agent(root: Path) -> None:
    file = root / "workflows" / "w.md"
    done = "\n\n- WO-1 in `04_QA` with `owner: INSPECTOR`\n- The colour is a nice one"
    text = file.read_text("utf-8")
    file.write_text(text.replace("Paint it.\n", f"Paint it.\n\n**Done when:**{done}\n"), "utf-8")
    coder = Coder(writes("colour.txt", "shade.txt"))
    conductor(root, coder).run("WO-1")
    texts = [demand.text for demand in coder.jobs[0].demands]
    # what no check fits stays: a person looks at it
    assert texts == ["The colour is a nice one", "`colour.txt` exists", "`shade.txt` exists"]


def test_turns_are_limited_and_then_the_attempt_has_failed(root: Path) -> None:
    coder = Coder(writes("colour.txt"))
    outcome = conductor(root, coder, turns=2).run("WO-1")
    assert outcome.outcome == "waiting"
    assert [(j.attempt, j.turn) for j in coder.jobs[:2]] == [(1, 1), (1, 2)]
    receipts = [r for r in records(root, "receipt") if r["verdict"] == "failed"]
    assert [r["statement"]["text"] for r in receipts][:1] == ["`shade.txt` exists"]


@pytest.mark.parametrize(
    ("level", "limits", "words"),
    [
        ("per_attempt", Limits(usd=0.25), "$0.25 of $0.25"),
        ("per_family", Limits(tokens=1000), "1,200 of 1,000 tokens"),
        ("per_day", Limits(minutes=0.1), "0.1 of 0.1 minutes"),
    ],
)
def test_a_spent_budget_is_put_to_user(root: Path, level: str, limits: Limits, words: str) -> None:
    coder = Coder(writes("colour.txt"))
    outcome = conductor(root, coder, **{level: limits}).run("WO-1")
    assert (outcome.outcome, outcome.stage, len(coder.jobs)) == ("waiting", 1, 1)
    question = Conductor(Board(root)).status("WO-1")["question"]
    assert f"the budget `{level}` is spent: {words}" in question["why"]
    assert records(root, "failure") == []
    # more money, and the work goes on in the same session
    coder.steps = [writes("shade.txt")]
    richer = conductor(root, coder, **{level: Limits(usd=9)})
    richer.send_back("WO-1", note="there is more")
    assert richer.run("WO-1").stage == 2
    assert (coder.jobs[-1].session, coder.jobs[-1].words) == ("s-1", "there is more")


def test_the_allowance_is_what_the_tightest_limit_leaves(root: Path) -> None:
    coder = Coder(writes("colour.txt"), writes("shade.txt"))
    conductor(root, coder, per_attempt=Limits(usd=1), per_family=Limits(usd=0.6, tokens=9000)).run(
        "WO-1"
    )
    first, second = (job.allowance for job in coder.jobs)
    assert (first.usd, first.tokens, first.seconds) == (0.6, 9000, None)
    assert (second.usd, second.tokens) == (pytest.approx(0.35), 7800)


def test_an_unknown_price_is_asked_about_once(root: Path) -> None:
    coder = Coder(writes("colour.txt", usd=None))
    make = conductor(root, coder, per_family=Limits(usd=5))
    assert make.run("WO-1").stage == 1
    assert "the price of m-1 is not known" in make.status("WO-1")["question"]["why"]
    coder.steps = [writes("shade.txt", usd=None)]
    make.send_back("WO-1", note="go on")
    assert make.run("WO-1").stage == 2


def test_what_a_killed_turn_took_counts(root: Path) -> None:
    def dies(job: Job) -> Report:
        at = "2026-01-05T10:00:{:02d}+00:00".format
        used = {"model": "m-1", "input_tokens": 5, "output_tokens": 2, "usd": 0.75}
        events = [
            {"at": at(0), "turn": 1, "kind": "start", "session": "s-9"},
            {"at": at(9), "turn": 1, "kind": "usage", "usage": used},
        ]
        text = "".join(json.dumps(e) + "\n" for e in events)
        Path(job.log).write_text(text + "{half a li", encoding="utf-8")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conductor(root, Coder(dies)).run("WO-1")
    coder = Coder(writes("colour.txt", "shade.txt"))
    assert conductor(root, coder).run("WO-1").stage == 2
    assert (coder.jobs[0].turn, coder.jobs[0].session) == (2, "s-9")
    killed, done = records(root, "turn")
    assert (killed["ended"], killed["seconds"], killed["usage"][0]["usd"]) == ("killed", 9.0, 0.75)
    assert done["turn"] == 2


def test_a_usage_limit_is_waited_for_without_a_strike(root: Path) -> None:
    until = time.time() + 1.5
    limited = writes(
        outcome=Outcome.LATER, reason="usage limit until later", resumes_at=until, section=""
    )
    coder = Coder(limited, writes("colour.txt", "shade.txt"))
    make = conductor(root, coder)
    outcome = make.run("WO-1")
    assert (outcome.outcome, outcome.resumes_at) == ("waiting", until)
    assert make.status("WO-1")["state"] == "waiting for a usage limit"
    # too early: nobody is started
    assert make.run("WO-1").resumes_at == until
    assert len(coder.jobs) == 1
    time.sleep(max(until - time.time(), 0) + 0.05)
    assert make.run("WO-1").stage == 2
    assert (coder.jobs[1].session, coder.jobs[1].attempt) == ("s-1", 1)
    assert records(root, "failure") == []


def test_costs_are_listed_by_what_one_asks_for(root: Path) -> None:
    coder = Coder(writes("colour.txt"), writes("shade.txt", usd=None))
    conductor(root, coder).run("WO-1")

    def costs(*words: str) -> Any:
        result = CliRunner().invoke(app, ["-C", str(root), "costs", *words])
        assert result.exit_code == 0, result.output
        return result.stdout

    (row,) = json.loads(costs("WO-1", "--by", "agent", "--json"))["rows"]
    assert row == {
        "agent": "BUILDER (fake)",
        "turns": 2,
        "tokens": 2400,
        "usd": 0.25,
        "seconds": 12.0,
        "unpriced": ["m-1"],
    }
    assert "0.2500 + not known: m-1" in costs()
    assert "m-1" in costs("--by", "model")


def test_the_events_of_agents_are_shown_without_what_is_not_whole(root: Path) -> None:
    logs = root / ".orchestrate" / "logs" / "WO-1"
    logs.mkdir(parents=True)
    events: list[dict[str, Any]] = [
        {"at": "2026-01-05T10:00:00Z", "turn": 1, "kind": "start", "session": "s"},
        {"at": "2026-01-05T10:00:01Z", "turn": 1, "kind": "text", "text": "I paint."},
        {"at": "…", "turn": 1, "kind": "tool", "tool": "Write", "path": "colour.txt"},
        {"at": "…", "turn": 1, "kind": "result", "text": "\n".join(map(str, range(9)))},
        {"at": "…", "turn": 1, "kind": "usage", "usage": {"model": "m", "input_tokens": 7}},
        {"at": "…", "turn": 1, "kind": "end", "text": "success"},
    ]  # fmt: skip
    lines = [json.dumps(e) for e in events]
    (logs / "stage-1-attempt-2.jsonl").write_text("\n".join([*lines, "{half"]), "utf-8")

    def log(*words: str) -> str:
        result = CliRunner().invoke(app, ["-C", str(root), "log", "WO-1", *words])
        assert result.exit_code == 0, result.output
        return result.stdout

    shown = log("--events")
    assert "stage 1, attempt 2, turn 1" in shown
    assert "I paint." in shown
    assert "Write colour.txt" in shown
    assert "… 5 lines more" in shown
    assert "success · m: 7 tokens, cost not known" in shown
    assert "half" not in shown
    assert len(log("--events", "--json").splitlines()) == 6


def test_a_turn_that_stalls_goes_on_in_its_session(root: Path) -> None:
    stalls = writes(
        "colour.txt", outcome=Outcome.FAILED, reason="no word for 300 s", ended="stall", section=""
    )
    coder = Coder(stalls, writes("shade.txt"))
    assert conductor(root, coder).run("WO-1").stage == 2
    assert [(j.attempt, j.turn, j.session) for j in coder.jobs] == [(1, 1, ""), (1, 2, "s-1")]
    assert records(root, "failure") == []
    assert (root / "colour.txt").is_file()


def test_one_that_only_stalls_has_failed(root: Path) -> None:
    stalls = writes(outcome=Outcome.FAILED, reason="no word", ended="stall", section="")
    coder = Coder(stalls)
    assert conductor(root, coder, turns=2).run("WO-1").outcome == "held"
    assert [(j.attempt, j.turn) for j in coder.jobs] == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_a_service_that_is_not_reached_is_tried_again_and_then_asked_about(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PAUSES", (0.0, 0.0))
    away = writes(outcome=Outcome.LATER, reason="no connection", ended=UNREACHABLE, section="")
    coder = Coder(away)
    make = conductor(root, coder, turns=2)
    for _ in range(2):
        outcome = make.run("WO-1")
        assert outcome.outcome == "waiting"
        assert outcome.resumes_at is not None
    assert make.run("WO-1").resumes_at is None
    question = make.status("WO-1")["question"]
    assert question is not None
    assert "no connection (3 tries); once it is there, send the work back" in question["why"]
    assert records(root, "failure") == []
    # what waited is none of the turns that an attempt has
    make.send_back("WO-1", note="it is there")
    coder.steps = [away, writes("colour.txt"), writes("shade.txt")]
    make.run("WO-1")
    assert make.run("WO-1").stage == 2
    assert [job.turn for job in coder.jobs] == [1, 2, 3, 1, 2, 3]
    assert records(root, "failure") == []
