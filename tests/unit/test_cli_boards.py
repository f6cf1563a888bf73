"""The commands that show a whole board: list, search, status without an id."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import text
from orchestrator.cli.app import app
from orchestrator.cli.text import table
from orchestrator.views.plain import columns, fitted

FLOW = """flow:
  state: {state}
  stage: 2
  revision: 1
  workflow: workflows/x.md
  sha256: "0"
  reason: {reason}
"""
QUESTION = (
    "  question: {number: 1, stage: 2, kind: checkpoint, digest: d, came_from: BUILD, "
    'asked: "2026-11-30T00:00:00Z"}\n'
)
TICKETS = {
    "05_USER_REVIEW/WO-1000_Asks.md": FLOW.format(state="waiting for USER", reason="Look")
    + QUESTION,
    "98_HOLD/WO-10000_Held.md": FLOW.format(state="held", reason="no ladder"),
    "03_BUILD/WO-2_Person.md": FLOW.format(state="needs a person", reason="no brush"),
    "03_BUILD/WO-3_Failing.md": "failure_count: 2\nlabels: [shed]\n",
    "06_COMPLETE/WO-4_Done.md": FLOW.format(state="complete", reason="''") + "failure_count: 1\n",
    "00_INBOX/WO-5_New.md": "priority: P1\ntitle: 小屋 " + "paint the shed " * 9 + "\n",
    "00_INBOX/WO-6_Broken.md": "flow:\n  stage: x\n",
}

Orchestrate = Callable[..., Result]


@pytest.fixture
def orchestrate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Orchestrate:
    for place, keys in TICKETS.items():
        file = tmp_path / "_WORK_ORDERS" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        id, _, name = file.stem.partition("_")
        title = "" if "title:" in keys else f"title: {name}\n"
        head = f"id: {id}\nstatus: {file.parent.name}\nowner: BUILDER\n{title}"
        file.write_text(f"---\n{head}{keys}---\nThe needle of {id}.\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    return lambda *words: CliRunner().invoke(app, list(words))


def test_the_status_of_the_board_has_counts_and_every_family(orchestrate: Orchestrate) -> None:
    shown = orchestrate("status").stdout
    assert shown.startswith("7 tickets: 2 inbox · 2 build · 1 user review · 1 complete · 1 hold\n")
    assert "Waits for USER (1)\n  WO-1000  waiting for USER · stage 2 · Look · " in shown
    assert "next: orchestrate review WO-1000" in shown
    assert re.search(r"Needs a person \(1\)\n  WO-2 .*no brush.*\n    next: .*run WO-2", shown)
    assert re.search(r"On hold \(1\)\n  WO-10000 .*no ladder.*\n    next: .*resume WO-10000", shown)
    assert "Has failed (1)\n  WO-3  2 times · 03_BUILD · BUILDER" in shown
    assert "Cannot be read (1)\n  WO-6  cannot be read" in shown
    assert "WO-4" not in shown


def test_the_status_of_the_board_fits_the_screen(
    orchestrate: Orchestrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100, 150):
        Path(f"_WORK_ORDERS/98_HOLD/WO-{number}_x.md").write_text(
            f"---\nid: WO-{number}\ntitle: {'long ' * 40}\nstatus: 98_HOLD\n"
            f"{FLOW.format(state='held', reason='because ' * 20)}---\n"
        )
    monkeypatch.setattr("orchestrator.cli.overview_text.is_terminal", lambda: True)
    monkeypatch.setattr(text, "is_terminal", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((80, 24)))
    lines = orchestrate("status").stdout.splitlines()
    assert "On hold (51)" in lines
    assert any(re.fullmatch(r"  … and \d+ more", line) for line in lines)
    assert max(map(len, lines)) <= 80
    # each section shows two at least
    assert len(lines) <= 32


def test_the_list_is_sorted_as_people_count_and_can_be_narrowed(orchestrate: Orchestrate) -> None:
    def ids(*words: str) -> list[str]:
        lines = orchestrate("list", *words).stdout.splitlines()
        return [line.split()[0] for line in lines[1:]]

    assert ids("--sort", "id") == [
        *("WO-2", "WO-3", "WO-4", "WO-5", "WO-6", "WO-1000", "WO-10000"),
    ]
    assert ids("--state", "BUILD", "--sort", "-id") == ["WO-3", "WO-2"]
    assert ids("--status", "build,hold") == ["WO-2", "WO-3", "WO-10000"]
    assert ids("--label", "SHED") == ["WO-3"]
    assert ids("--family", "3") == ["WO-3"]
    assert ids("--sort", "failures", "--limit", "1")[0:1] == ["WO-2"]
    assert "… and 5 more" in orchestrate("list", "--limit", "2").stdout
    assert len(json.loads(orchestrate("list", "--limit", "2", "--json").stdout)) == 2
    refused = orchestrate("list", "--sort", "colour")
    assert (refused.exit_code, "sorted by colour" in refused.output) == (2, True)


def test_the_list_fits_the_terminal(
    orchestrate: Orchestrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "is_terminal", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((60, 24)))
    lines = orchestrate("list").stdout.splitlines()
    assert max(map(columns, lines)) <= 60
    assert "小屋 paint" in lines[1]
    assert lines[1].endswith("…")
    # what is wrong with a file is never cut away
    assert any(line.endswith("]") for line in lines)


def test_search_names_the_line_and_says_when_there_is_nothing(orchestrate: Orchestrate) -> None:
    shown = orchestrate("search", "needle of", "wo-3").stdout.splitlines()
    assert shown[0] == "WO-3  03_BUILD  Failing"
    assert shown[1].endswith(": The needle of WO-3.")
    (hit,) = json.loads(orchestrate("search", "needle", "WO-3", "--json").stdout)
    assert (hit["id"], hit["line"], hit["excerpt"]) == ("WO-3", 9, "The needle of WO-3.")
    assert "no ticket has these words" in orchestrate("search", "haystack").stdout
    assert "… and 5 more" in orchestrate("search", "needle", "--limit", "2").stdout
    assert orchestrate("search", " ").exit_code == 2


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("list --state US", ["USER_REVIEW"]),
        ("list --label s", ["shed"]),
        ("list --sort ch", ["changed"]),
        ("show WO-100", ["WO-1000", "WO-10000"]),
    ],
)
def test_a_shell_completes_states_labels_and_ids(
    orchestrate: Orchestrate, words: str, offered: list[str]
) -> None:
    asked = {"_ORCHESTRATE_COMPLETE": "complete_bash", "COMP_WORDS": f"orchestrate {words}"}
    number = str(len(words.split()))
    done = CliRunner().invoke(app, [], env={**asked, "COMP_CWORD": number}, prog_name="orchestrate")
    assert done.output.split() == offered


def test_wide_characters_take_two_columns() -> None:
    assert columns("a小é\u0301") == 4
    assert fitted("小屋小屋", 5) == "小屋…"
    assert table([("小", "x"), ("ab", "y")]) == ["小  x", "ab  y"]
