"""Figures from histories: flow, times in states, waits, failures, costs; and their charts."""

from __future__ import annotations

import json
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.views import charts
from orchestrator.views.statistics import Figures, Statistics

#: seconds: an hour, and 2026-11-01T00:00:00Z
HOUR, START = 3600, 1793491200


@pytest.fixture(autouse=True)
def _utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def at(hours: float) -> str:
    return datetime.fromtimestamp(START + hours * HOUR, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moved(hours: float, question: int = 0, asked: float = 0, **members: str) -> dict[str, Any]:
    open_question = {"number": question, "asked": at(asked)} if question else None
    places = {f"WO-{name}": {"at": role} for name, role in members.items()}
    return {
        "type": "transition",
        "at": at(hours),
        "members": places,
        "flow": {"question": open_question},
    }


def report(hours: float, agent: str, stage: int, attempt: int, outcome: str) -> dict[str, Any]:
    return {
        "type": "report",
        "at": at(hours),
        "agent": agent,
        "stage": stage,
        "attempt": attempt,
        "outcome": outcome,
    }


def turn(hours: float, usd: float | None) -> dict[str, Any]:
    usage = {"model": "m", "input_tokens": 100, "output_tokens": 10, "usd": usd}
    return {
        "type": "turn",
        "at": at(hours),
        "stage": 2,
        "attempt": 1,
        "turn": 1,
        "seconds": 9.0,
        "agent": "BUILDER",
        "adapter": "claude",
        "usage": [usage],
    }


HISTORY = [
    moved(0, a="INBOX"),
    moved(2, a="BUILD", b="BUILD"),
    report(3, "BUILDER", 2, 1, "done"),
    {"type": "failure", "at": at(4), "stage": 2, "stages": [2]},
    report(5, "BUILDER", 2, 2, "done"),
    report(6, "BUILDER", 2, 2, "later"),
    turn(5, 0.5),
    turn(30, None),
    moved(10, a="USER_REVIEW", b="QA", question=1, asked=10),
    moved(11, a="USER_REVIEW", b="QA", question=1, asked=10),
    {"type": "answer", "at": at(12), "answer": "changes requested", "attempts": {"2": 3}},
    moved(12, a="BUILD", b="BUILD"),
    report(13, "BUILDER", 2, 3, "cannot"),
    moved(60, a="USER_REVIEW", b="BUILD", question=2, asked=60),
]


def write(board: Path, name: str, records: list[dict[str, Any]]) -> Path:
    file = board / ".receipts" / f"{name}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


def figures(board: Path, **when: Any) -> Figures:
    return Statistics(board).figures(now=START + 72 * HOUR, **when)


def test_the_figures_of_a_family(tmp_path: Path) -> None:
    write(tmp_path, "WO-a", HISTORY)
    found = figures(tmp_path)
    assert found.days == ("2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04")
    assert found.flow["BUILD"] == (2, 2, 1, 1)
    assert found.flow["USER_REVIEW"] == (0, 0, 1, 1)
    assert "INBOX" not in found.flow
    times = {s.name: (s.count, s.open, s.median / HOUR, s.longest / HOUR) for s in found.states}
    assert times == {
        "INBOX": (1, 0, 2, 2),
        "BUILD": (3, 1, 8, 60),
        "QA": (1, 0, 2, 2),
        "USER_REVIEW": (1, 1, 2, 12),
    }
    user = found.waiting
    assert (user.count, user.open, user.median / HOUR, user.longest / HOUR) == (1, 1, 2, 12)
    assert found.waited == {
        **dict.fromkeys(found.waited, 0),
        "1 to 4 h": 1,
    }
    (builder,) = found.agents
    assert (builder.attempts, builder.failed, builder.sent_back) == (3, 2, 1)
    assert [(c.day, c.usd, c.unpriced) for c in found.costs] == [
        ("2026-11-01", 0.5, ()),
        ("2026-11-02", 0.0, ("m",)),
    ]


def test_only_what_ended_since_then(tmp_path: Path) -> None:
    write(tmp_path, "WO-a", HISTORY)
    found = figures(tmp_path, since=at(12.5))
    assert (found.waiting.count, found.waiting.open) == (0, 1)
    assert [(a.attempts, a.failed) for a in found.agents] == [(1, 1)]
    assert [c.day for c in found.costs] == ["2026-11-02"]


def test_a_history_is_read_on_and_again_when_another_takes_its_place(tmp_path: Path) -> None:
    cache = tmp_path / "state" / "statistics.json"
    file = write(tmp_path, "WO-a", HISTORY[:4])
    with file.open("a") as torn:
        torn.write('{"type": "transition", "at": "20')
    kept = Statistics(tmp_path, cache)
    assert kept.figures(now=START + HOUR).agents[0].failed == 1
    file.write_text("".join(json.dumps(record) + "\n" for record in HISTORY))
    assert kept.figures(now=START + HOUR).agents[0].attempts == 3
    # another process goes on from what was kept, and gets the same
    again = Statistics(tmp_path, cache).figures(now=START + HOUR)
    assert again == kept.figures(now=START + HOUR) == Statistics(tmp_path).figures(now=START + HOUR)
    # git has put a longer one in its place, with the same inode
    other = [report(1, "SOOP", 1, 1, "done"), *HISTORY, *HISTORY]
    write(tmp_path, "WO-a", other)
    assert [a.agent for a in kept.figures().agents] == ["BUILDER", "SOOP"]
    file.unlink()
    assert kept.figures().families == 0
    cache.write_text("[]")
    assert Statistics(tmp_path, cache).figures().families == 0


def test_what_is_no_record_is_left_out(tmp_path: Path) -> None:
    lines = ['{"type": "transition"}', "<<<<<<< HEAD", '{"type": "report", "at": 3}', "[1]", "\xff"]
    file = write(tmp_path, "WO-a", [])
    file.write_text("\n".join(lines) + "\n", encoding="latin-1")
    file.with_name("WO-b.jsonl").symlink_to(file)
    assert figures(tmp_path).agents == ()
    assert set(charts.draw(figures(tmp_path))) == {"flow", "states", "waiting", "failures", "costs"}


def test_charts_can_be_read_without_seeing_them_and_take_the_page_s_color(tmp_path: Path) -> None:
    records = [*HISTORY, turn(60, 1.0), report(9, '<b>&"', 4, 1, "cannot")]
    write(tmp_path, "WO-a", records)
    costs = charts.draw(figures(tmp_path))["costs"]
    for name, drawn in charts.draw(figures(tmp_path)).items():
        svg = ET.fromstring(drawn)
        named = svg.attrib["aria-labelledby"].split()
        texts = {each.attrib.get("id"): each.text for each in svg}
        assert svg.attrib["role"] == "img"
        assert all(texts[id] for id in named), name
        assert "style=" not in drawn
        assert "<b>" not in drawn
        colors = set(re.findall(r'fill="([^"]+)"', drawn))
        assert colors <= {"currentColor", *charts.COLORS}
    # a day without costs is a day too
    assert "2026-11-02: $0.00; 2026-11-03: $1.00" in costs
    # a day without costs is a day too
    assert "2026-11-02: $0.00; 2026-11-03: $1.00" in costs
    assert "BUILDER: 67%: 2 of 3" in charts.draw(figures(tmp_path))["failures"]


@pytest.mark.parametrize("color", charts.COLORS)
@pytest.mark.parametrize("ground", ["#ffffff", "#121212"])
def test_colors_can_be_told_from_light_and_dark(color: str, ground: str) -> None:
    def light(text: str) -> float:
        parts = [int(text[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(color), light(ground)), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 3


def test_the_command_prints_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = tmp_path / "_WORK_ORDERS"
    (board / "00_INBOX").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    assert "no family is conducted yet" in run(app, ["stats"]).output
    write(board, "WO-a", HISTORY)
    shown = run(app, ["stats"]).output
    assert "USER's answers: 1 given, 1 awaited" in shown
    assert re.search(r"BUILDER +█+ +67%: 2 of 3, 1 sent back", shown)
    assert "2026-11-01  ████████████████████████  $0.50" in shown
    data = json.loads(run(app, ["stats", "--json"]).output)
    assert (data["agents"][0]["rate"], data["families"]) == (0.6667, 1)
    assert json.loads(run(app, ["stats", "--since", "1h", "--json"]).output)["agents"] == []
