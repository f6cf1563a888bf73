"""DESIGN 2.3, 2.6, 2.7, 3.1: the board finds every ticket and family, and moves safely."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import pickle
import shutil
import sqlite3
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import pytest

from orchestrator.doctor.runner import examine
from orchestrator.errors import OrchestrateError, TicketError, UnsafePathError
from orchestrator.settings.config import Settings
from orchestrator.tickets.board import Board, FolderRole, Folders, normal_status
from orchestrator.tickets.index import Index, IndexRow, Listing
from orchestrator.tickets.ticket import Ticket

ODD = Path(__file__).parent.parent / "fixtures" / "odd_tickets"


def lay(root: Path, place: str, text: str = "") -> Path:
    path = root / "_WORK_ORDERS" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def ticket(id: str, *lines: str) -> str:
    return "\n".join(["---", f"id: {id}", *lines, "---", f"# {id}", ""])


@pytest.fixture
def odd_board(tmp_path: Path) -> Board:
    places = json.loads((ODD / "expectations.json").read_text(encoding="utf-8"))
    for name, expected in places.items():
        path = tmp_path / "_WORK_ORDERS" / expected["place_as"]
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ODD / name, path)
    return Board(tmp_path)


# -- folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("04_QA", FolderRole.QA), ("05_QA", FolderRole.QA), ("qa", FolderRole.QA),
        (" 03_build/ ", FolderRole.BUILD), ("097_BACKLOG", FolderRole.BACKLOG),
        ("99_COMPLETED", FolderRole.COMPLETE), ("07_ARCHIVED", FolderRole.ARCHIVE),
        ("02.5_PRE-BUILD_REVIEW", FolderRole.REVIEW), ("USER REVIEW", FolderRole.USER_REVIEW),
        ("98_HOLD", FolderRole.HOLD), ("INBOX", FolderRole.INBOX),
        ("ASSIGNED", None), ("PENDING", None), ("999_UNKNOWN", None), ("", None),
    ],
)  # fmt: skip
def test_3_1_a_place_is_known_by_its_name(text: str, role: FolderRole | None) -> None:
    assert normal_status(text) is role


def test_3_1_the_folder_of_a_role_is_the_one_that_exists() -> None:
    folders = Folders(["02_TRIAGE", "05_QA", "04_QA", "TEMPLATES"])
    assert folders.for_role(FolderRole.TRIAGE) == "02_TRIAGE"
    assert folders.for_role(FolderRole.QA) == "04_QA"
    assert folders.for_role(FolderRole.HOLD) == "98_HOLD"
    assert folders.role_of("TEMPLATES") is None
    assert "05_QA" in folders
    assert "TEMPLATES" not in folders


def test_3_1_names_and_aliases_come_from_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "orchestrate.toml").write_text(
        'failure_limit = 3\n[board]\nfolder = "desk"\n'
        '[board.folders]\nBUILD = "05_IMPLEMENTATION"\n'
        '[board.aliases]\nREWORK_REQUIRED = "BUILD"\n',
        encoding="utf-8",
    )
    path = tmp_path / "desk" / "05_IMPLEMENTATION" / "WO-1_x.md"
    path.parent.mkdir(parents=True)
    path.write_text(ticket("WO-1", "failure_count: 2"), encoding="utf-8")
    board = Board(tmp_path)
    found = board.find("WO-1")
    assert (found.role, found.folder, found.diagnoses) == (
        FolderRole.BUILD,
        "05_IMPLEMENTATION",
        (),
    )
    assert found.source == "desk/05_IMPLEMENTATION/WO-1_x.md"
    assert board.folders.for_role(FolderRole.BUILD) == "05_IMPLEMENTATION"
    assert board.folders.role_of_status("rework-required") is FolderRole.BUILD


def test_a_configured_role_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    toml = tmp_path / "orchestrate.toml"
    toml.write_text('[board.folders]\nBULD = "x"\n', encoding="utf-8")
    with pytest.raises(OrchestrateError, match="BULD") as raised:
        Board(tmp_path)
    assert (raised.value.code, raised.value.path) == ("usage", str(toml))


def test_8_4_a_board_outside_the_workspace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafePathError):
        Board(tmp_path, "../elsewhere")


# -- reading -------------------------------------------------------------------------------------


def test_2_6_every_ticket_is_listed_wherever_it_lies(tmp_path: Path) -> None:
    lay(tmp_path, "WO-1_root.md", ticket("WO-1"))
    lay(tmp_path, "03_BUILD/WO-2_x.md", ticket("WO-2"))
    lay(tmp_path, "999_UNKNOWN/WO-3_x.md", ticket("WO-3"))
    lay(tmp_path, "07_ARCHIVED/2025/WO-4_x.md", ticket("WO-4"))
    lay(tmp_path, "04_QA/quarantine/WO-5_x.md", ticket("WO-5"))
    lay(tmp_path, "03_BUILD/WO-6_x.MD", "no frontmatter\n")
    lay(tmp_path, "00_INBOX/idea.md", ticket("WO-7", "status: 00_INBOX"))
    for other in (
        "README.md",
        "TEMPLATES/WO_Template.md",
        ".receipts/WO-9.md",
        "03_BUILD/.orchestrate-1.tmp",
        "03_BUILD/WO-2.conflict-20250101T000000.000000Z.md",
        "03_BUILD/WO-2.txt",
    ):
        lay(tmp_path, other, "# text\n")
    found = {t.id: (t.folder, t.role) for t in Board(tmp_path).tickets()}
    assert found == {
        "WO-1": ("", None),
        "WO-2": ("03_BUILD", FolderRole.BUILD),
        "WO-3": ("999_UNKNOWN", None),
        "WO-4": ("07_ARCHIVED/2025", FolderRole.ARCHIVE),
        "WO-5": ("04_QA/quarantine", None),
        "WO-6": ("03_BUILD", FolderRole.BUILD),
        "WO-7": ("00_INBOX", FolderRole.INBOX),
    }


def test_2_6_the_odd_tickets_hide_nothing(odd_board: Board) -> None:
    assert len(odd_board.tickets()) == 27
    assert [note.source for note in odd_board.notes()] == ["_WORK_ORDERS/TEMPLATES/WO_Template.md"]
    together = {"twin", "duplicate-id", "parent-missing", "child-missing", "dependency-missing"}
    assert not together & {d.code for d in examine(odd_board, Settings()).problems}


def test_8_4_linked_folders_are_not_entered(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "WO-9_x.md").write_text(ticket("WO-9"), encoding="utf-8")
    root = tmp_path / "root"
    lay(root, "00_INBOX/WO-1_x.md", ticket("WO-1"))
    (root / "_WORK_ORDERS" / "03_BUILD").symlink_to(outside)
    board = Board(root)
    assert [t.id for t in board.tickets()] == ["WO-1"]
    with pytest.raises(UnsafePathError):
        board.move(board.find("WO-1").path, FolderRole.BUILD)


def test_2_6_a_missing_board_is_empty(tmp_path: Path) -> None:
    assert Board(tmp_path).tickets() == []


# -- finding -------------------------------------------------------------------------------------


def test_an_unknown_id_is_said_with_near_misses(tmp_path: Path) -> None:
    lay(tmp_path, "00_INBOX/WO-231_x.md", ticket("WO-231"))
    with pytest.raises(TicketError, match="there is no ticket WO-213") as raised:
        Board(tmp_path).find("WO-213")
    assert (raised.value.code, "WO-231" in raised.value.hint) == ("no-such-ticket", True)


def test_two_files_with_one_id_are_both_named(tmp_path: Path) -> None:
    lay(tmp_path, "00_INBOX/WO-1_a.md", ticket("WO-1"))
    lay(tmp_path, "03_BUILD/WO-2_b.md", ticket("WO-1"))
    with pytest.raises(TicketError) as raised:
        Board(tmp_path).find("WO-1")
    assert raised.value.code == "duplicate-id"
    assert "00_INBOX/WO-1_a.md" in raised.value.message
    assert "03_BUILD/WO-2_b.md" in raised.value.message


def test_ids_that_look_alike_are_different_tickets(tmp_path: Path) -> None:
    for name in ("WO-010", "WO_010", "WO-901a", "WO-901-A"):
        lay(tmp_path, f"00_INBOX/{name}_x.md", ticket(name))
    board = Board(tmp_path)
    assert board.find("WO_010").path.name == "WO_010_x.md"
    assert board.find("WO-901-A").path.name == "WO-901-A_x.md"


def test_a_note_named_like_a_ticket_does_not_take_its_id(tmp_path: Path) -> None:
    lay(tmp_path, "00_INBOX/WO-1_x.md", ticket("WO-1"))
    lay(tmp_path, "00_INBOX/WO-1_review.md", "---\n\n## Review\n- **a**\n---\n")
    lay(tmp_path, "03_BUILD/WO-1_thoughts.md", "Some thoughts.\n")
    assert Board(tmp_path).find("WO-1").path.name == "WO-1_x.md"


# -- families ------------------------------------------------------------------------------------


def test_a_family_is_the_same_from_any_member_parent_first(tmp_path: Path) -> None:
    lay(tmp_path, "01_TRIAGE/WO-5_x.md", ticket("WO-5", "children: [WO-5b, WO-5-C]"))
    lay(tmp_path, "03_BUILD/WO-5a_x.md", ticket("WO-5a", "parent: WO-5"))
    lay(tmp_path, "03_BUILD/WO-5b_x.md", ticket("WO-5b", "parent_ticket: WO-5"))
    lay(tmp_path, "98_HOLD/WO-5-C_x.md", ticket("WO-5-C"))
    lay(tmp_path, "98_HOLD/WO-50_x.md", ticket("WO-50"))
    board = Board(tmp_path)
    expected = ["WO-5", "WO-5b", "WO-5-C", "WO-5a"]
    for member in expected:
        assert [t.id for t in board.family(member)] == expected
    assert [t.id for t in board.family("WO-50")] == ["WO-50"]


def test_a_child_whose_parent_is_gone_is_a_family_of_its_own(tmp_path: Path) -> None:
    lay(tmp_path, "03_BUILD/WO-5a_x.md", ticket("WO-5a", "parent: WO-5"))
    board = Board(tmp_path)
    assert [t.id for t in board.family("WO-5a")] == ["WO-5a"]
    assert [d.code for d in examine(board, Settings()).problems] == ["parent-missing"]


def test_parents_in_a_circle_do_not_hang_the_board(tmp_path: Path) -> None:
    lay(tmp_path, "03_BUILD/WO-1_x.md", ticket("WO-1", "parent: WO-2"))
    lay(tmp_path, "03_BUILD/WO-2_x.md", ticket("WO-2", "parent: WO-1"))
    assert {t.id for t in Board(tmp_path).family("WO-1")} == {"WO-1", "WO-2"}


def test_3_4_dependencies_in_a_circle_are_named(tmp_path: Path) -> None:
    for one, other in (("WO-1", "WO-2"), ("WO-2", "WO-3"), ("WO-3", "WO-2"), ("WO-4", "WO-9")):
        lay(tmp_path, f"00_INBOX/{one}_x.md", ticket(one, f"depends_on: {other}"))
    found = {d.code: d.message for d in examine(Board(tmp_path), Settings()).problems}
    assert found["dependency-cycle"].endswith("WO-2 → WO-3 → WO-2")
    assert "WO-9" in found["dependency-missing"]
    assert len(found) == 2


@pytest.mark.parametrize(
    ("second", "code", "words"),
    [
        ("03_BUILD/WO-1_x.md", "twin", "the same content"),
        ("03_BUILD/WO-1_y.md", "duplicate-id", "is held by"),
    ],
)
def test_a_half_move_and_a_second_holder_are_told_apart(
    tmp_path: Path, second: str, code: str, words: str
) -> None:
    lay(tmp_path, "00_INBOX/WO-1_x.md", ticket("WO-1"))
    lay(tmp_path, second, ticket("WO-1"))
    [found] = examine(Board(tmp_path), Settings()).problems
    assert (found.code, words in found.message) == (code, True)


# -- moving --------------------------------------------------------------------------------------


def test_2_3_a_move_makes_the_folder_and_never_overwrites(tmp_path: Path) -> None:
    path = lay(tmp_path, "00_INBOX/WO-1_x.md", ticket("WO-1"))
    board = Board(tmp_path)
    moved = board.move(path, FolderRole.HOLD)
    assert moved == tmp_path / "_WORK_ORDERS" / "98_HOLD" / "WO-1_x.md"
    assert board.find("WO-1").path == moved
    lay(tmp_path, "00_INBOX/WO-1_x.md", "another")
    with pytest.raises(TicketError) as raised:
        board.move(path, FolderRole.HOLD)
    assert raised.value.code == "occupied"
    assert path.read_text(encoding="utf-8") == "another"


def test_8_1_what_a_killed_process_left_is_put_away_and_kept(tmp_path: Path) -> None:
    left = lay(tmp_path, "03_BUILD/.orchestrate-00ff.tmp", "saved by a person")
    fresh = lay(tmp_path, "03_BUILD/.orchestrate-00fe.tmp", "in use")
    os.utime(left, (1, 1))
    [kept] = Board(tmp_path).sweep()
    assert kept.is_relative_to(tmp_path / ".orchestrate" / "state")
    assert kept.read_text(encoding="utf-8") == "saved by a person"
    assert (left.exists(), fresh.exists()) == (False, True)


# -- index ---------------------------------------------------------------------------------------


def _settle(root: Path) -> None:
    """Make files older than the index's tick, as they are on a board at rest."""
    for path in (root / "_WORK_ORDERS").rglob("*.md"):
        os.utime(path, ns=(10**18 + 1, 10**18 + 1))


@pytest.fixture
def indexed(odd_board: Board, monkeypatch: pytest.MonkeyPatch) -> Board:
    monkeypatch.setattr("orchestrator.tickets.index._TICK", 0)
    _settle(odd_board.root)
    odd_board.tickets()
    return odd_board


def _index(board: Board) -> Path:
    return board.root / ".orchestrate" / "state" / "index.sqlite"


def _in_index(board: Board) -> set[str]:
    with contextlib.closing(sqlite3.connect(_index(board))) as db:
        return {key for (key,) in db.execute("SELECT key FROM ticket")}


def test_2_7_tickets_from_the_index_are_those_from_the_files(indexed: Board) -> None:
    assert len(_in_index(indexed)) == 28
    warm = Board(indexed.root).tickets()
    _index(indexed).unlink()
    cold = Board(indexed.root).tickets()
    assert warm == cold
    assert [t.meta for t in warm] == [t.meta for t in cold]
    assert [t.acceptance() for t in warm] == [t.acceptance() for t in cold]


def test_2_7_a_ticket_from_the_index_says_in_each_field_what_the_file_says(indexed: Board) -> None:
    text = ticket(
        "WO-955", "title: All", "status: 00_INBOX", "owner: LEAD -> SOOP", "parent: WO-901",
        "children: [WO-955a (SOOP)]", "depends_on: WO-902 and some more", "files: [src/a.ts]",
        "failure_count: 1", "created: 2026-02-20", "priority: P1", "tags: [one, two]",
        "pipeline_workflow: w.md", "flow:", "  members:", "    WO-955:", "      at: INBOX",
    )  # fmt: skip
    path = lay(indexed.root, "00_INBOX/WO-955_all.md", text)
    _settle(indexed.root)
    indexed.tickets()
    read = indexed.read(path).without_text()
    said = {f.name: f for f in fields(Ticket) if f.compare and f.name != "scope"}
    unsaid = {"note": False}
    assert {name for name in said if not getattr(read, name)} == unsaid.keys()
    for name in said:
        (known,) = (t for t in Board(indexed.root).tickets() if t.id == "WO-955")
        assert getattr(known, name) == getattr(read, name), name
    (known,) = (t for t in Board(indexed.root).tickets() if t.id == "WO-955")
    assert pickle.loads(pickle.dumps(known)) == copy.copy(known) == read
    with pytest.raises(AttributeError, match="no_such"):
        known.no_such  # type: ignore[attr-defined]  # noqa: B018


def test_2_7_names_and_texts_that_are_not_utf8_keep_no_board_from_its_index(
    indexed: Board,
) -> None:
    folder = os.fsencode(indexed.root / "_WORK_ORDERS") + b"/00_INBOX"
    Path(os.fsdecode(folder + b"/WO-956_\xff.md")).write_text(ticket("WO-956"), encoding="utf-8")
    odd = lay(indexed.root, "00_INBOX/WO-957.md")
    odd.write_bytes(ticket("WO-957", "owner: B\udcff").encode("utf-8", "surrogateescape"))
    _settle(indexed.root)
    before = indexed.tickets()
    assert "00_INBOX/WO-957.md" in _in_index(indexed)
    assert len(_in_index(indexed)) == 29
    assert Board(indexed.root).tickets() == before


def test_2_7_with_a_warm_index_no_file_is_read(
    indexed: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise AssertionError(path)

    monkeypatch.setattr("orchestrator.tickets.ticket.read", refuse)
    assert len(Board(indexed.root).tickets()) == 27


@pytest.mark.parametrize("held", [b"", b"{", b"\xff" * 5000, b"SQLite format 3\0" + b"\0" * 9000])
def test_2_7_a_broken_index_is_made_anew(indexed: Board, held: bytes) -> None:
    before = _in_index(indexed)
    _index(indexed).write_bytes(held)
    assert len(Board(indexed.root).tickets()) == 27
    assert len(Board(indexed.root).tickets()) == 27
    assert _in_index(indexed) == before


@pytest.mark.parametrize("data", ["NULL", "'['", "'[[], []]'", "'[1, 2]'", "x'ff'", "7"])
@pytest.mark.parametrize("column", ["links", "problems", "rest"])
def test_2_7_rows_that_are_broken_are_read_again(indexed: Board, data: str, column: str) -> None:
    _spoil(indexed, f"{column} = {data}")


@pytest.mark.parametrize(
    "data", ["title = NULL", "id = x'ff'", "status = 7", "failure_count = 'x'"]
)
def test_2_7_rows_of_another_kind_are_read_again(indexed: Board, data: str) -> None:
    _spoil(indexed, data)


def _spoil(indexed: Board, data: str) -> None:
    before = indexed.tickets()
    with contextlib.closing(sqlite3.connect(_index(indexed))) as db, db:
        db.execute(f"UPDATE ticket SET {data}")
    assert Board(indexed.root).find("WO-901").status == "03_BUILD"
    assert Board(indexed.root).tickets() == before


def test_2_7_a_look_at_every_file_mends_what_the_index_says_of_folders(indexed: Board) -> None:
    with contextlib.closing(sqlite3.connect(_index(indexed))) as db, db:
        before = db.execute("SELECT * FROM folder").fetchall()
        db.execute("UPDATE folder SET files = '{}'")
    Board(indexed.root).tickets()
    with contextlib.closing(sqlite3.connect(_index(indexed))) as db:
        assert db.execute("SELECT * FROM folder").fetchall() == before


def test_2_7_a_look_that_finds_nothing_new_writes_nothing(
    indexed: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    Board(indexed.root).tickets()
    monkeypatch.setattr("orchestrator.tickets.index.Index.store", lambda *a: pytest.fail(str(a)))
    assert len(Board(indexed.root).tickets()) == 27


def test_2_7_a_ticket_is_looked_up_as_it_is_found(
    indexed: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [t.id for t in indexed.tickets() if t.id not in indexed.duplicate_ids()]
    wanted = [indexed.find(id).without_text() for id in ids]
    path = wanted[0].path
    with monkeypatch.context() as patch:
        patch.setattr("orchestrator.tickets.board.Board.read", lambda _, path: pytest.fail(path))
        assert [Board(indexed.root).look_up(id) for id in ids] == wanted
    path.write_bytes(path.read_bytes().replace(b"\nowner: ", b"\nowner: X"))
    assert indexed.look_up(ids[0]).owner == f"X{wanted[0].owner}"
    assert Board(indexed.root).look_up(ids[0]) == indexed.find(ids[0]).without_text()
    with pytest.raises(TicketError, match="no ticket"):
        indexed.look_up("WO-1")


def test_2_7_who_asks_for_one_ticket_takes_its_row_alone(
    indexed: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, family = indexed.look_up("WO-901"), indexed.family("WO-901")
    taken: list[str] = []
    rows_at = Index.rows_at

    def watch(index: Index, keys: Iterable[str]) -> dict[str, IndexRow]:
        taken.extend(keys := list(keys))
        return rows_at(index, keys)

    monkeypatch.setattr("orchestrator.tickets.index.Index.rows_at", watch)
    monkeypatch.setattr("orchestrator.tickets.index.Index.load", lambda _: pytest.fail("all rows"))
    board = Board(indexed.root)
    assert board.look_up("WO-901") == wanted
    assert taken == [wanted.path.relative_to(indexed.path).as_posix()]
    assert board.family("WO-901") == family
    assert len(taken) == len({*taken}) <= len(family)


def test_2_7_who_asks_for_many_tickets_takes_all_rows_at_once(
    indexed: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [t.id for t in indexed.tickets() if t.id not in indexed.duplicate_ids()]
    wanted = [indexed.look_up(id) for id in ids]
    monkeypatch.setattr("orchestrator.tickets.catalog._FEW", 2)
    loads: list[int] = []
    load = Index.load

    def count(index: Index) -> tuple[dict[str, IndexRow], dict[str, Listing]]:
        loads.append(1)
        return load(index)

    monkeypatch.setattr("orchestrator.tickets.index.Index.load", count)
    board = Board(indexed.root)
    assert [board.look_up(id) for id in ids] == wanted
    assert board.duplicate_ids() == indexed.duplicate_ids()
    assert loads == [1]
    assert board.tickets() == indexed.tickets()
    assert loads == [1]


@pytest.mark.parametrize("few", [0, 32])
def test_2_7_a_row_that_the_index_has_lost_meanwhile_is_read_from_its_file(
    indexed: Board, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("orchestrator.tickets.catalog._FEW", few)
    board = Board(indexed.root)
    board.look()
    _index(indexed).unlink()
    assert board.look_up("WO-901") == indexed.look_up("WO-901")
    gone = indexed.find("WO-902").path
    gone.unlink()
    with pytest.raises(TicketError, match="no ticket"):
        board.look_up("WO-902")
    assert board.tickets() == Board(indexed.root).tickets()


def test_2_7_a_row_that_another_process_wrote_meanwhile_names_no_other_ticket(
    indexed: Board,
) -> None:
    board = Board(indexed.root)
    board.look()
    path = indexed.find("WO-902").path
    path.write_bytes(path.read_bytes().replace(b"WO-902", b"WO-9020"))
    os.utime(path, ns=(10**18 + 2, 10**18 + 2))
    Board(indexed.root).tickets()
    assert board.holders("WO-902") == []
    assert board.find("WO-9020").id == "WO-9020"


def test_2_7_an_index_of_an_older_layout_is_made_anew(indexed: Board) -> None:
    with contextlib.closing(sqlite3.connect(_index(indexed))) as db, db:
        db.execute("DROP TABLE ticket")
        db.execute("CREATE TABLE ticket (key TEXT PRIMARY KEY, data TEXT) WITHOUT ROWID")
        db.execute("UPDATE signature SET text = '7 and so on'")
    assert len(Board(indexed.root).tickets()) == 27
    assert len(_in_index(indexed)) == 28


def test_2_7_an_index_of_another_version_is_not_believed(indexed: Board) -> None:
    with contextlib.closing(sqlite3.connect(_index(indexed))) as db, db:
        db.execute("UPDATE signature SET text = 'another'")
        db.execute("UPDATE ticket SET id = 'WO-1'")
    assert Board(indexed.root).find("WO-901").id == "WO-901"


def test_2_7_an_index_that_another_process_writes_is_not_waited_for_long(indexed: Board) -> None:
    with contextlib.closing(sqlite3.connect(_index(indexed))) as db:
        db.execute("BEGIN EXCLUSIVE")
        assert len(Board(indexed.root).tickets()) == 27


def test_a_change_of_equal_size_and_time_is_seen(indexed: Board) -> None:
    path = indexed.find("WO-901").path
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"owner: BUILDER", b"owner: ANALYST"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    owners = {t.id: t.owner for t in indexed.tickets()}
    assert owners["WO-901"] == "ANALYST"


def test_a_file_changed_just_now_is_not_remembered(odd_board: Board) -> None:
    path = lay(odd_board.root, "00_INBOX/WO-1_x.md", ticket("WO-1"))
    odd_board.tickets()
    os.utime(path, ns=(2**62, 2**62))
    odd_board.tickets()
    assert "00_INBOX/WO-1_x.md" not in _in_index(odd_board)


def test_2_7_a_board_that_cannot_be_written_is_read_all_the_same(
    odd_board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.tickets.index._TICK", 0)
    _settle(odd_board.root)
    shutil.rmtree(odd_board.root / ".orchestrate")
    (odd_board.root / ".orchestrate").write_text("a file where the folder should be")
    assert len(odd_board.tickets()) == 27


def test_a_removed_ticket_leaves_the_index(indexed: Board) -> None:
    indexed.find("WO-901").path.unlink()
    assert "WO-901" not in {t.id for t in indexed.tickets()}
    assert not [key for key in _in_index(indexed) if "WO-901" in key]


# -- finding without looking at every file ---------------------------------------------------------


def test_a_new_a_moved_and_a_removed_ticket_are_found_by_their_folders(indexed: Board) -> None:
    indexed.find("WO-901")
    lay(indexed.root, "00_INBOX/WO-77_New.md", ticket("WO-77"))
    assert indexed.find("WO-77").folder == "00_INBOX"
    moved = indexed.path / "04_QA" / "WO-77_New.md"
    (indexed.path / "00_INBOX" / "WO-77_New.md").rename(moved)
    assert indexed.find("WO-77").folder == "04_QA"
    moved.unlink()
    with pytest.raises(TicketError, match="there is no ticket WO-77"):
        indexed.find("WO-77")


def test_an_id_written_into_a_file_in_place_is_found(indexed: Board) -> None:
    path = indexed.find("WO-901").path
    path.write_bytes(path.read_bytes().replace(b"id: WO-901", b"id: WO-81"))
    assert indexed.find("WO-81").path == path
    with pytest.raises(TicketError, match="WO-901"):
        indexed.find("WO-901")


def test_a_copy_in_another_folder_stops_the_ticket_at_once(indexed: Board) -> None:
    path = indexed.find("WO-901").path
    shutil.copy(path, indexed.path / "04_QA" / path.name)
    with pytest.raises(TicketError, match="2 files have the id"):
        indexed.find("WO-901")


def test_a_family_is_put_together_from_parents_and_lists_of_children(tmp_path: Path) -> None:
    lay(tmp_path, "01_TRIAGE/WO-5_P.md", ticket("WO-5", "children: [WO-5b, WO-6]"))
    lay(tmp_path, "03_BUILD/WO-5a_A.md", ticket("WO-5a", "parent: WO-5"))
    lay(tmp_path, "03_BUILD/WO-5b_B.md", ticket("WO-5b"))
    lay(tmp_path, "03_BUILD/WO-6_C.md", ticket("WO-6", "parent: WO-9"))
    board = Board(tmp_path)
    for id in ("WO-5", "WO-5a", "WO-5b"):
        assert [t.id for t in board.family(id)] == ["WO-5", "WO-5b", "WO-5a"]


@pytest.mark.parametrize("warm", [False, True])
def test_a_ticket_that_moves_while_the_board_is_listed_is_not_missed(
    odd_board: Board, monkeypatch: pytest.MonkeyPatch, warm: bool
) -> None:
    path = lay(odd_board.root, "04_QA/WO-900_Moves.md", ticket("WO-900"))
    if warm:
        _settle(odd_board.root)
        odd_board.tickets()
    scandir = os.scandir

    def moves_meanwhile(place: str) -> contextlib.AbstractContextManager[list[os.DirEntry[str]]]:
        with scandir(place) as scan:
            found = list(scan)
        if path.exists() and place.endswith("00_INBOX"):
            path.rename(odd_board.path / "00_INBOX" / path.name)
        return contextlib.nullcontext(found)

    monkeypatch.setattr("orchestrator.tickets.catalog.os.scandir", moves_meanwhile)
    ids = [t.id for t in Board(odd_board.root).tickets()]
    assert not path.exists()
    assert ids.count("WO-900") == 1


def test_a_pipe_that_is_named_like_a_ticket_is_not_waited_for(odd_board: Board) -> None:
    os.mkfifo(odd_board.path / "00_INBOX" / "WO-99901_Pipe.md")
    (found,) = [t for t in odd_board.tickets() if t.id == "WO-99901"]
    assert [d.code for d in found.diagnoses] == ["unreadable"]
