"""A turn of an agent that speaks the Agent Client Protocol."""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrate_agents.coding.acp import Acp, Gemini, choose_sign_in
from orchestrator.domain.agent import Outcome, Report
from tests import coding

AGENT = Path(__file__).parent.parent / "fixtures" / "coding" / "acp_agent.py"


class Talk:
    """A workspace and an agent in it."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = coding.workspace(root / "shop")
        self._told = root / "told.jsonl"
        self._patch = monkeypatch
        monkeypatch.setattr("orchestrate_agents.coding.agent.can_confine", lambda: False)
        monkeypatch.setenv("HOME", str(root))
        monkeypatch.setenv("ACP_TOLD", str(self._told))
        monkeypatch.delenv("GEMINI_API_KEY", raising=False)

    def turn(self, plan: dict[str, Any], kind: type[Acp] = Acp, **fields: Any) -> Report:
        """One turn, in which the agent does what the plan says."""
        self._patch.setenv("ACP_PLAN", json.dumps(plan))
        settings = {"command": [sys.executable, str(AGENT)], **fields.pop("agent", {})}
        use = "gemini" if kind is Gemini else "acp"
        return kind().work(coding.job(self.root, use, agent=settings, **fields))

    def told(self, method: str) -> list[dict[str, Any]]:
        """The parameters of each call of a method."""
        lines = self._told.read_text("utf-8").splitlines()
        return [said["params"] for said in map(json.loads, lines) if said["method"] == method]

    def events(self) -> list[dict[str, Any]]:
        return coding.events(coding.job(self.root, "gemini"))


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Talk:
    return Talk(tmp_path, monkeypatch)


def test_a_turn_works_and_is_reported(talk: Talk) -> None:
    used = {"totalTokens": 110, "inputTokens": 100, "outputTokens": 10}
    report = talk.turn({"usage": used, "cost": 0.25})
    assert report.outcome is Outcome.DONE, report.reason
    assert (talk.root / "a.txt").read_text() == "made\n"
    assert report.session == "s-1"
    assert "> Made `a.txt`." in report.section
    assert "begin" not in report.section
    (one,) = report.usage
    assert (one.input_tokens, one.output_tokens, one.usd) == (100, 10, 0.25)
    kinds = [(e["kind"], e.get("text")) for e in talk.events()]
    assert ("text", "I begin.") in kinds
    assert ("tool", "Write a.txt") in kinds
    (asked,) = talk.told("session/prompt")
    assert "a.txt` exists" in asked["prompt"][0]["text"]
    # without walls around it, it gets no more than edits
    assert [m["modeId"] for m in talk.told("session/set_mode")] == ["acceptEdits"]


def test_a_session_goes_on_without_its_old_messages_and_costs(talk: Talk) -> None:
    talk.turn({"cost": 0.25})
    report = talk.turn({"cost": 0.35}, session="s-1", turn=2)
    (loaded,) = talk.told("session/load")
    assert loaded["sessionId"] == "s-1"
    assert "an old message" not in [e.get("text") for e in talk.events()]
    # the agent counts its whole session
    assert report.usage[0].usd == pytest.approx(0.1)


@pytest.mark.parametrize("plan", [{"gone": True}, {"loads": False}])
def test_a_session_that_is_gone_begins_anew(talk: Talk, plan: dict[str, Any]) -> None:
    report = talk.turn(plan, session="s-0", turn=2)
    assert report.outcome is Outcome.DONE
    assert report.session == "s-1"
    (asked,) = talk.told("session/prompt")
    assert "Make `a.txt`." in asked["prompt"][0]["text"]


def test_who_is_not_signed_in_needs_a_person(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    report = talk.turn({"auth": True}, Gemini)
    assert report.outcome is Outcome.NEEDS_PERSON
    assert "GEMINI_API_KEY" in report.reason
    monkeypatch.setenv("GEMINI_API_KEY", "k-123456789")
    assert talk.turn({"auth": True}, Gemini).outcome is Outcome.DONE
    assert [a["methodId"] for a in talk.told("authenticate")] == ["gemini-api-key"]


def test_a_usage_limit_is_later(talk: Talk) -> None:
    report = talk.turn({"fail": "You have exhausted your capacity. It resets in 1h 30m."})
    assert (report.outcome, report.ended) == (Outcome.LATER, "limit")
    assert report.resumes_at is not None
    assert report.resumes_at - time.time() == pytest.approx(5400, abs=60)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"die": True}, "out of memory"),
        ({"fail": "it broke"}, "it broke"),
        ({"stop": "max_tokens"}, "max_tokens"),
    ],
)
def test_what_goes_wrong_is_the_reason(talk: Talk, plan: dict[str, Any], said: str) -> None:
    report = talk.turn(plan)
    assert report.outcome is Outcome.FAILED
    assert said in report.reason


def test_a_program_that_speaks_something_else_has_failed(talk: Talk) -> None:
    command = [sys.executable, "-c", "print('hello'); print('{}'); import sys; sys.exit(1)"]
    report = Acp().work(coding.job(talk.root, "acp", agent={"command": command}))
    assert report.outcome is Outcome.FAILED


def test_silence_ends_the_turn(talk: Talk) -> None:
    report = talk.turn({"sleep": 30}, agent={"stall": 1.5})
    assert report.ended == "stall"
    assert report.session == "s-1"
    assert report.seconds < 8


@pytest.mark.parametrize(("connected", "ended"), [(False, "unreachable"), (True, "stall")])
def test_one_that_says_nothing_reaches_its_service_if_it_is_connected(
    talk: Talk, connected: bool, ended: str
) -> None:
    """Some try again without a word; a model that thinks holds its connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1] if connected else 0
        report = talk.turn({"mute": port}, agent={"stall": 0.8})
    assert report.ended == ended
    assert report.outcome is (Outcome.FAILED if connected else Outcome.LATER)


def test_a_missing_program_needs_a_person(talk: Talk) -> None:
    report = talk.turn({}, agent={"command": ["no-such-agent"]})
    assert report.outcome is Outcome.NEEDS_PERSON
    assert "no-such-agent is not installed" in report.reason


def test_a_way_to_sign_in_needs_its_variable() -> None:
    class Method:
        def __init__(self, id: str) -> None:
            self.id = id

    methods = [Method("oauth-personal"), Method("gemini-api-key")]
    assert choose_sign_in(methods, {}) == ""
    assert choose_sign_in(methods, {"GEMINI_API_KEY": "k"}) == "gemini-api-key"
