"""Full-text search: what is found, in which order, and that it follows the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.tickets import index
from orchestrator.tickets.board import Board
from orchestrator.views.search import Search, search_once

TICKETS = {
    "00_INBOX/WO-7_Shed.md": ("title: Paint the shed", "Green, as in WO-70.\n\nThe SHED leaks.\n"),
    "00_INBOX/WO-70_Fence.md": ("title: Mend the fence", "Next to the shed.\nÉté in Köln.\n"),
    "03_BUILD/WO-700_Watershed.md": (
        "title: Watershed\nlabels: [fence]",
        "a\n" + "word " * 100 + "needle (and more) " + "word " * 100,
    ),
}


@pytest.fixture
def board(tmp_path: Path) -> Board:
    for place, (keys, body) in TICKETS.items():
        file = tmp_path / "_WORK_ORDERS" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"---\nid: {file.name.partition('_')[0]}\n{keys}\n---\n{body}")
    return Board(tmp_path)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("shed", "WO-7 WO-700 WO-70"),
        ("wo-70", "WO-70 WO-700 WO-7"),
        ("70", "WO-70 WO-700 WO-7"),
        ("fence", "WO-70 WO-700"),
        ("the shed", "WO-7 WO-70"),
        ('"paint the"', "WO-7"),
        ('"the paint"', ""),
        ("ÉTÉ koln", ""),
        ("ÉTÉ köln", "WO-70"),
        ("don't", ""),
        ('"shed', "WO-7 WO-700 WO-70"),
        ("(and", "WO-700"),
        ("  ", ""),
        ("nothing of the kind", ""),
    ],
)
def test_every_word_has_to_be_there_and_the_best_comes_first(
    board: Board, query: str, found: str
) -> None:
    hits = Search().find(query, board.tickets())
    assert [hit.ticket.id for hit in hits] == found.split()


def test_a_hit_names_its_line(board: Board) -> None:
    by_id = {h.ticket.id: h for h in Search().find("shed", board.tickets())}
    assert (by_id["WO-7"].line, by_id["WO-7"].excerpt) == (7, "The SHED leaks.")
    assert (by_id["WO-700"].line, by_id["WO-700"].excerpt) == (0, "")
    (long,) = Search().find("needle", board.tickets())
    assert "needle (and more)" in long.excerpt
    assert len(long.excerpt) < 170


def test_it_follows_what_changes_on_disk(board: Board) -> None:
    search = Search()
    assert search.find("zebra", board.tickets()) == []
    file = board.find("WO-70").path
    file.write_text(file.read_text() + "A zebra.\n")
    assert [h.ticket.id for h in search.find("zebra", board.tickets())] == ["WO-70"]
    file.unlink()
    assert search.find("zebra", board.tickets()) == []
    assert [h.ticket.id for h in search.find("shed", board.tickets(), 1)] == ["WO-7"]


@pytest.mark.parametrize(
    "query", ["shed", "ÉTÉ köln", "fence", "labels", "wo-70 the", "zebra", " "]
)
def test_one_search_finds_what_a_board_finds_that_keeps_all_texts(board: Board, query: str) -> None:
    odd = board.find("WO-70").path.with_name("WO-71_odd.md")
    odd.write_bytes(
        b"\xef\xbb\xbf\r\n---\r\nid: WO-71\r\nlabels: [shed]\r\n---\r\nThe \xff k\xc3\xb6ln\r\n"
    )
    tickets = board.tickets()
    once, kept = search_once(query, tickets), Search().find(query, tickets)
    assert [(h.ticket.id, h.score, h.line, h.excerpt) for h in once] == [
        (h.ticket.id, h.score, h.line, h.excerpt) for h in kept
    ]


def test_one_search_reads_each_file_once_and_that_of_a_hit_shown_again(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    tickets = board.tickets()
    monkeypatch.setattr("orchestrator.views.search.read", lambda f: read.append(f) or b"shed\n")
    hits = search_once("shed", tickets)
    assert sorted(read) == sorted(str(t.path) for t in tickets)
    assert hits[0].line == 1
    assert len(read) == len(tickets) + 1


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("harbour", "WO-8 WO-7"),
        ("HARBOUR", "WO-8 WO-7"),
        ("quo", "WO-8"),
        ("zürich", "WO-8"),
        ("zurich", ""),
        ("strasse", "WO-8"),
        # an owner, and the label that comes next
        ('"eve p1 harbour"', "WO-8"),
        ('"lake side"', "WO-8"),
        ("created", ""),
    ],
)
def test_labels_are_found_though_they_are_packed(tmp_path: Path, query: str, found: str) -> None:
    folder = tmp_path / "_WORK_ORDERS" / "00_INBOX"
    folder.mkdir(parents=True)
    # none of these words is written as it is said
    labels = r'["h\u0061rbour", "quo\"te", "z\u00fcrich", "stra\u00dfe", "l\u0061ke side"]'
    keys = f"id: WO-8\nowner: EVE\npriority: P1\nlabels: {labels}"
    (folder / "WO-8_a.md").write_text(f"---\n{keys}\n---\nText.\n", encoding="utf-8")
    (folder / "WO-7_a.md").write_text("---\nid: WO-7\n---\nA harbour.\n", encoding="utf-8")
    tickets = Board(tmp_path).tickets()
    assert [h.ticket.id for h in search_once(query, tickets)] == found.split()
    assert [h.ticket.id for h in Search().find(query, tickets)] == found.split()


def test_one_search_unpacks_only_what_may_be_a_hit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "_WORK_ORDERS" / "00_INBOX"
    folder.mkdir(parents=True)
    for number, label in enumerate(("plain", "shed", "other")):
        text = f"---\nid: WO-{number}\nlabels: [{label}]\n---\nOf a shed.\n"
        (folder / f"WO-{number}_a.md").write_text(text, encoding="utf-8")
    tickets = Board(tmp_path).tickets()
    unpacked: list[str] = []
    real = index.IndexRow.say_late

    def say_late(row: index.IndexRow, home: index.Home, name: str) -> object:
        if name == "labels":
            unpacked.append(row.id)
        return real(row, home, name)

    monkeypatch.setattr(index.IndexRow, "say_late", say_late)
    assert [h.ticket.id for h in search_once("shed", tickets)] == ["WO-1", "WO-0", "WO-2"]
    assert unpacked == ["WO-1"]
