"""Which tickets a filter lets pass, and in which order, from options and from a URL."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import UsageError
from orchestrator.settings.agents import AgentSettings
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import priority_rank
from orchestrator.views.filters import Filter, moment, natural_key

TICKETS = {
    "03_BUILD/WO-10000_Ten.md": 'owner: BUILDER\npriority: P1\nlabels: [api, "needs review"]',
    "03_BUILD/WO-1000_Thousand.md": "owner: SOOP\npriority: high\ntags: API, docs",
    "00_INBOX/WO-9_Nine.md": "owner: '@anna'\ntitle: Round totals to cents",
    "05_USER_REVIEW/WO-231_Parent.md": "owner: USER\nchild_tickets: [WO-231a (SOOP)]",
    "04_QA/WO-231a_Child.md": "owner: INSPECTOR\nparent: WO-231",
}


@pytest.fixture
def board(tmp_path: Path) -> Board:
    for place, keys in TICKETS.items():
        file = tmp_path / "_WORK_ORDERS" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        id = file.name.partition("_")[0]
        file.write_text(f"---\nid: {id}\nstatus: {file.parent.name}\n{keys}\n---\nText.\n")
    return Board(tmp_path)


def ids(board: Board, query: str, **kinds: object) -> list[str]:
    made = Filter.parse(parse_qsl(query), board, **kinds)  # type: ignore[arg-type]
    # what a link carries is the same filter
    assert Filter.parse(parse_qsl(made.query), board, **kinds) == made  # type: ignore[arg-type]
    return [ticket.id for ticket in made.select(board.tickets())]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "WO-9 WO-1000 WO-10000 WO-231a WO-231"),
        ("owner=&state=", "WO-9 WO-1000 WO-10000 WO-231a WO-231"),
        ("state=build", "WO-1000 WO-10000"),
        ("state=03_BUILD,qa", "WO-1000 WO-10000 WO-231a"),
        ("state=in_progress&state=todo", "WO-9 WO-1000 WO-10000"),
        ("owner=anna&owner=soop", "WO-9 WO-1000"),
        ("agent=soop", "WO-1000 WO-231a"),
        ("agent=claude", "WO-10000"),
        ("family=231a", "WO-231a WO-231"),
        ("label=api", "WO-1000 WO-10000"),
        ("label=needs review", "WO-10000"),
        ("priority=p1,HIGH", "WO-1000 WO-10000"),
        ("mine=1", "WO-9 WO-231"),
        ("mine=0&waiting=1", "WO-231"),
        ("q=CENTS round", "WO-9"),
        ("q=docs", "WO-1000"),
        ("q=231", "WO-231a WO-231"),
        ("sort=id", "WO-9 WO-231 WO-231a WO-1000 WO-10000"),
        ("sort=-priority&limit=3", "WO-9 WO-231 WO-231a"),
        ("sort=priority&limit=2", "WO-1000 WO-10000"),
        ("sort=-id&limit=1", "WO-10000"),
    ],
)
def test_a_query_narrows_and_sorts(board: Board, query: str, found: str) -> None:
    agents = {"BUILDER": AgentSettings(use="claude")}
    assert ids(board, query, agents=agents, me=["@Anna"]) == found.split()


def test_only_what_was_written_since_then(board: Board) -> None:
    old = board.find("WO-1000").path
    os.utime(old, (1, 1))
    assert "WO-1000" not in ids(board, "since=2d")
    assert ids(board, "sort=changed")[0] == "WO-1000"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("state=LIMBO", "LIMBO is not a place"),
        ("sort=colour", "sorted by colour"),
        ("limit=-3", "is not a number"),
        ("since=soon", "is not a time"),
        ("since=999999w", "is not a time"),
        ("colour=red", "colour is not a filter"),
    ],
)
def test_what_is_no_filter_is_told(board: Board, query: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Filter.parse(parse_qsl(query), board)


@given(st.lists(st.text("aB019-_.٣²", max_size=8), max_size=6))
def test_any_ids_can_be_ordered(names: list[str]) -> None:
    sorted(names, key=natural_key)


def test_ids_are_ordered_as_people_count() -> None:
    ordered = ["WO-2", "WO-10", "WO-10a", "WO-10b", "WO-11", "WO-1000", "WO-10000", "WP02", "WP10"]
    assert sorted(sorted(ordered), key=natural_key) == ordered
    assert sorted(["task-008", "TASK-7"], key=natural_key) == ["TASK-7", "task-008"]


def test_words_and_numbers_of_priorities_have_one_order() -> None:
    texts = ["P0", "prio 1", "High", "2", "P2 - normal", "low", "someday", "", "purple"]
    assert [priority_rank(text) for text in texts] == [0, 1, 1, 2, 2, 3, 4, 99, 99]


def test_a_time_is_written_as_histories_write_it() -> None:
    assert moment("2026-11-29T12:00:00+02:00") == "2026-11-29T10:00:00Z"
