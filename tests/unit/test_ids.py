"""Ids without git: which numbers are taken, series, children, the ledger."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from orchestrator.domain.id_grammar import TICKET_ID, id_from_name, ids_in_field, numbers_in
from orchestrator.tickets.board import Board
from orchestrator.tickets.ids import allocation


def lay(root: Path, place: str, id: str = "") -> Path:
    path = root / "_WORK_ORDERS" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"---\nid: {id}\nstatus: 00_INBOX\n---\n" if id else "x\n", encoding="utf-8")
    return path


def new(root: Path, parent: str = "") -> str:
    with allocation(Board(root)) as ids:
        return ids.child(parent) if parent else ids.new()


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("WO-231_Slug.md", [("", 231)]),
        ("WO-231b.md", [("", 231)]),
        ("WO_010_My_List.md", [("", 10)]),
        ("WO-928.1_Day.md", [("", 928)]),
        ("WO-940-943-EPIC", [("", 940), ("", 943)]),
        ("WO-EPIC-901_x.md", [("", 901)]),
        ("GO-77_hours.md", [("", 77)]),
        ("WO-B7_x.md", [("B", 7)]),
        ("WO-KDRT12a_x.md", [("KDRT", 12)]),
        ("WO-1000.jsonl", [("", 1000)]),
        ("WO-CALENDAR-EXPORT_x.md", []),
        ("WO-20260101_x.md", []),
        ("README.md", []),
        ("", []),
    ],
)
def test_the_numbers_that_a_name_takes(name: str, taken: list[tuple[str, int]]) -> None:
    assert list(numbers_in(name)) == taken


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("WO-KDRT7_x.md", "WO-KDRT7"),
        ("WO-KDRT7a_x.md", "WO-KDRT7a"),
        ("WO-HTML5-EXPORT_x.md", "WO-HTML5-EXPORT"),
    ],
)
def test_ids_with_letters_are_read_like_others(name: str, id: str) -> None:
    assert id_from_name(name) == id
    assert ids_in_field(f"after {id} is done") == (id,)


def test_a_workflow_may_name_them() -> None:
    assert [m.group() for m in TICKET_ID.finditer("Move WO-KDRT7a and WO-KDRT7 to `04_QA`")] == [
        "WO-KDRT7a",
        "WO-KDRT7",
    ]


def test_the_next_number_is_above_all_that_was_ever_used(tmp_path: Path) -> None:
    assert new(tmp_path) == "WO-001"
    lay(tmp_path, "07_ARCHIVED/2024/WO-0231b_x.md", "WO-0231b")
    lay(tmp_path, "00_INBOX/WO-940-943_x.md", "WO-940-943-EPIC")
    assert new(tmp_path) == "WO-944"
    lay(tmp_path, "00_INBOX/WO-12_renumbered.md", "WO-950")
    assert new(tmp_path) == "WO-951"
    lay(tmp_path, "TEMPLATES/WO-960_note.md")
    assert new(tmp_path) == "WO-961"
    lay(tmp_path, ".receipts/WO-1000.jsonl")
    assert new(tmp_path) == "WO-1001"


def test_an_id_that_was_given_out_is_not_given_again(tmp_path: Path) -> None:
    assert [new(tmp_path) for _ in range(3)] == ["WO-001", "WO-002", "WO-003"]
    assert new(tmp_path, "WO-003") == "WO-003a"
    assert new(tmp_path, "WO-003") == "WO-003b"


@pytest.mark.parametrize("held", ["", "{", "[]", '{"_WORK_ORDERS": {"seen": ["WO-005"]}}'])
def test_a_broken_ledger_is_made_anew(tmp_path: Path, held: str) -> None:
    lay(tmp_path, "00_INBOX/WO-006_x.md", "WO-006")
    ledger = tmp_path / ".orchestrate" / "state" / "ids.json"
    ledger.parent.mkdir(parents=True)
    ledger.write_text(held, encoding="utf-8")
    assert new(tmp_path) == "WO-007"


@pytest.mark.parametrize(
    ("there", "parent", "child"),
    [
        ([], "WO-5", "WO-5a"),
        (["WO-5a_x.md", "WO-5b_x.md"], "WO-5", "WO-5c"),
        (["WO-5-B_x.md"], "WO-5", "WO-5c"),
        (["WO-5C_x.md"], "WO-5", "WO-5d"),
        (["WO-55a_x.md", "WO-5.1_x.md"], "WO-5", "WO-5a"),
        (["WO-5z_x.md"], "WO-5", "WO-006"),
        ([], "WO-5a", "WO-006"),
        ([], "WO-CALENDAR", "WO-006"),
        ([], "WO-940-943", "WO-006"),
        ([], "WO.5", "WO-006"),
    ],
)
def test_a_child_gets_the_next_letter_or_a_number(
    tmp_path: Path, there: list[str], parent: str, child: str
) -> None:
    lay(tmp_path, "01_TRIAGE/WO-5_x.md", "WO-5")
    for name in there:
        lay(tmp_path, f"03_BUILD/{name}", id_from_name(name))
    if "55" in "".join(there):
        assert new(tmp_path) == "WO-056"
    assert new(tmp_path, parent) == child


def _many(root: Path, count: int) -> list[str]:
    return [new(root) for _ in range(count)]


def test_many_processes_at_once_get_different_ids(tmp_path: Path) -> None:
    (tmp_path / "_WORK_ORDERS").mkdir()
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        given = [id for ids in pool.starmap(_many, [(tmp_path, 10)] * 4) for id in ids]
    assert sorted(given) == [f"WO-{n:03d}" for n in range(1, 41)]
