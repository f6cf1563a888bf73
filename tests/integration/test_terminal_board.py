"""The board at a terminal of 80 × 24: what it shows, its keys, and answers that cover it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.answer import AnswerVerb
from orchestrator.storage.history import History
from tests.boards import Workspace

pytest.importorskip("textual")

from textual.pilot import Pilot
from textual.widgets import Label, RichLog, Static

from orchestrator.tui.board import BoardApp
from orchestrator.tui.dialogs import Approve, AskWords
from orchestrator.tui.screens import Column, Family, Help, Log

#: looks at the screen before something counts as not having come, and seconds between two
_LOOKS, _PAUSE = 1500, 0.02


def play(work: Workspace, act: Callable[[BoardApp, Pilot[None]], Awaitable[None]]) -> None:
    async def run() -> None:
        app = BoardApp(work.conductor)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            await act(app, pilot)

    asyncio.run(run())


async def until(pilot: Pilot[None], holds: Callable[[], Any]) -> None:
    for _ in range(_LOOKS):
        if holds():
            return
        await pilot.pause(_PAUSE)
    raise AssertionError(f"not so within {_LOOKS * _PAUSE} s")


def columns(app: BoardApp) -> dict[str, list[str]]:
    """Column → its cards' first lines."""
    return {
        column.title: [str(o.prompt).splitlines()[0] for o in column.list.options]
        for column in app.screen_stack[0].query(Column)
    }


def text_of(app: BoardApp, selector: str = "#text") -> str:
    return str(app.screen.query_one(selector, Static).content)


def answer_in(work: Workspace) -> dict[str, Any]:
    record = History(work.root / "_WORK_ORDERS", "WO-512").latest("answer")
    assert record is not None
    return dict(record)


def titles_with_focus(app: BoardApp) -> list[str]:
    base = app.screen_stack[0]
    return [column.title for column in base.query(Column) if column.list is base.focused]


def test_the_questions_come_first_and_the_keys_go_everywhere(asked: Workspace) -> None:
    async def act(app: BoardApp, pilot: Pilot[None]) -> None:
        found = columns(app)
        assert list(found)[:2] == ["questions", "build"]
        assert (found["questions"], found["build"]) == (["WO-512"], ["WO-512b"])
        assert titles_with_focus(app) == ["questions"]
        await pilot.press("right", "right")
        assert titles_with_focus(app) == ["qa"]
        await pilot.press("left", "left", "left", "question_mark")
        assert isinstance(app.screen, Help)
        await pilot.press("escape", "enter")
        assert isinstance(app.screen, Family)
        await until(pilot, lambda: "reading" not in text_of(app))
        assert "Question 1: USER CHECKPOINT #1: First look" in text_of(app)
        assert "A person wrote this." in text_of(app)
        await pilot.press("l")
        await until(pilot, lambda: isinstance(app.screen, Log))
        told = [line.text for line in app.screen.query_one(RichLog).lines]
        assert any("SOOP · done" in line for line in told)
        log = asked.root / ".orchestrate" / "logs" / "WO-512"
        log.mkdir(parents=True, exist_ok=True)
        (log / "stage-2-attempt-1.jsonl").write_text(
            '{"kind": "tool", "tool": "Write", "path": "a\\u001b[2J.txt"}\nno event\n'
        )
        written = app.screen.query_one(RichLog)
        await until(pilot, lambda: "▸ Write a⟨U+001B⟩[2J" in written.lines[-1].text)
        await pilot.press("escape", "escape")
        assert titles_with_focus(app) == ["questions"]

    play(asked, act)


def test_it_shows_what_happens_and_what_is_searched_for(asked: Workspace) -> None:
    async def act(app: BoardApp, pilot: Pilot[None]) -> None:
        inbox = asked.root / "_WORK_ORDERS" / "00_INBOX"
        inbox.mkdir(exist_ok=True)
        for number in (1000, 10000, 9):
            (inbox / f"WO-{number}_x.md").write_text(
                f'---\nid: WO-{number}\ntitle: "[b]un\\e[2J"\nfailure_count: 3\n---\n'
                f"A needle {number}.\n"
            )
        await until(pilot, lambda: len(columns(app).get("inbox", [])) == 3)
        assert columns(app)["inbox"] == ["WO-9 ✗3", "WO-1000 ✗3", "WO-10000 ✗3"]
        shown = str(
            next(c for c in app.screen_stack[0].query(Column) if c.title == "inbox")
            .list.options[0]
            .prompt
        )
        # nothing of a ticket is markup, or controls the terminal
        assert "[b]un⟨U+001B⟩[2J" in shown
        await pilot.press("slash", *"needle 1000")
        await until(pilot, lambda: columns(app).get("inbox") == ["WO-1000 ✗3", "WO-10000 ✗3"])
        assert columns(app)["questions"] == []
        await pilot.press("enter")
        assert titles_with_focus(app) == ["inbox"]
        await pilot.press("a")
        await until(pilot, lambda: [n.message for n in app._notifications])
        assert "no open question" in next(n.message for n in app._notifications)
        await pilot.press("escape")
        await until(pilot, lambda: columns(app).get("questions") == ["WO-512"])

    play(asked, act)


async def dialog(app: BoardApp, pilot: Pilot[None], key: str, kind: type) -> None:
    await pilot.press(key)
    await until(pilot, lambda: isinstance(app.screen, kind))


def test_a_family_is_held_with_a_reason_and_taken_up_again(asked: Workspace) -> None:
    async def act(app: BoardApp, pilot: Pilot[None]) -> None:
        await dialog(app, pilot, "h", AskWords)
        await pilot.press("enter")
        assert "words are needed" in str(app.screen.query_one("#lacking", Label).content)
        await pilot.press(*"why", "enter")
        await until(pilot, lambda: "WO-512" in columns(app).get("hold", []))
        for column in app.screen_stack[0].query(Column):
            if column.title == "hold":
                column.list.focus()
        await pilot.press("r")
        # it goes on by itself, to its question
        await until(pilot, lambda: columns(app).get("questions") == ["WO-512"])
        assert not columns(app).get("hold")

    play(asked, act)


def test_an_answer_covers_what_the_dialog_showed(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    work.conductor().run("WO-512")

    async def act(app: BoardApp, pilot: Pilot[None]) -> None:
        # what is covered changes while it is looked at
        await dialog(app, pilot, "a", Approve)
        (tmp_path / "out" / "first.txt").write_text("another\n")
        await pilot.press("enter")
        await until(pilot, lambda: list(app._notifications))
        (told,) = app._notifications
        assert (told.severity, "the answer is not taken" in told.message) == ("error", True)
        # the question that is asked instead can be answered
        await until(pilot, lambda: [q.number for q in app._live.view.questions] == [2])
        await app.show()
        await until(pilot, lambda: app._chosen is not None)
        await dialog(app, pilot, "a", Approve)
        await pilot.press("enter")
        # and what follows from it is done here
        await until(pilot, lambda: [q.number for q in app._live.view.questions] == [3])
        await until(pilot, lambda: not app._going_on.families)

    play(work, act)
    found = answer_in(work)
    assert found["question"] == 2
    assert (found["answer"], found["via"]) == (AnswerVerb.APPROVED, "terminal board")


def test_a_column_that_comes_or_goes_takes_the_focus_from_no_other(asked: Workspace) -> None:
    async def act(app: BoardApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: titles_with_focus(app) == ["questions"])
        await pilot.press("right", "right")
        shown = [str(column.id).removeprefix("column-") for column in app._lists()]
        assert titles_with_focus(app) == [app._lists()[2].title]
        options = app._lists()[2].list
        for names in (
            [shown[0], "TRIAGE", *shown[1:]],
            [shown[0], *shown[2:]],
            [*shown[2:], shown[0]],
        ):
            await app._arrange(names)
            assert [column.id for column in app._lists()] == [f"column-{name}" for name in names]
            assert (app.focused, options.highlighted) == (options, 0)
        # the one that has it goes, and comes again
        for names in ([shown[0]], ["TRIAGE"], shown, ["BUILD"], shown):
            await app._arrange(names)
            assert app.focused in [column.list for column in app._lists()]

    play(asked, act)
