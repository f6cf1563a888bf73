"""What is unchanged is read once in a process; what somebody changes is seen all the same."""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path

import pytest

from orchestrator.changes.entries import Contents, Reader
from orchestrator.changes.snapshot import Snapshot, WorkTree
from orchestrator.domain.keys import KeyTable
from orchestrator.domain.workflow import Workflow
from orchestrator.family.held import Held
from orchestrator.family.workflow_discovery import find_workflow
from orchestrator.markdown import body
from orchestrator.settings.config import Settings
from orchestrator.storage import signing, written
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket
from orchestrator.workflow_reader.parser import read_workflow

_OLD = 1_000_000_000


@pytest.fixture
def ticket(tmp_path: Path) -> Path:
    file = tmp_path / "_WORK_ORDERS" / "03_BUILD" / "WO-1_a.md"
    file.parent.mkdir(parents=True)
    (tmp_path / ".orchestrate").mkdir()
    file.write_text("one\n", encoding="utf-8")
    return file


def test_an_unchanged_ticket_is_read_once_for_all_looks_at_a_board(
    ticket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[bytes] = []
    put = Contents.put
    monkeypatch.setattr(Contents, "put", lambda self, data: looks.append(data) or put(self, data))
    monkeypatch.setattr("orchestrator.changes.entries.RACY", 0)
    first = WorkTree(tmp_path, "_WORK_ORDERS").take()
    assert WorkTree(tmp_path, "_WORK_ORDERS").take().board == first.board
    assert looks == [b"one\n"]
    ticket.write_text("two\n", encoding="utf-8")
    assert WorkTree(tmp_path, "_WORK_ORDERS").take().board != first.board


def test_each_work_tree_keeps_as_much_as_the_first(
    ticket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.changes.entries.MOST_KEPT", 1)
    for text in ("two\n", "three\n"):
        ticket.write_text(text, encoding="utf-8")
        tree = WorkTree(tmp_path, "_WORK_ORDERS")
        assert tree.contents.has(tree.take().board[ticket.name])


def test_an_edit_of_the_same_size_in_the_same_moment_is_seen(ticket: Path, tmp_path: Path) -> None:
    tree = WorkTree(tmp_path, "_WORK_ORDERS")
    before = tree.take().board
    times = ticket.stat()
    ticket.write_text("two\n", encoding="utf-8")
    os.utime(ticket, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert tree.take().board != before


def test_a_board_behind_a_link_is_not_followed(ticket: Path, tmp_path: Path) -> None:
    ticket.parents[1].rename(tmp_path / "elsewhere")
    (tmp_path / "_WORK_ORDERS").symlink_to("elsewhere")
    assert set(WorkTree(tmp_path, "_WORK_ORDERS").take().board.values()) == {""}


def test_held_bytes_come_back_though_they_were_held_before(ticket: Path, tmp_path: Path) -> None:
    tree = WorkTree(tmp_path, "_WORK_ORDERS")
    taken = tree.take()
    kept = tree.contents.place(taken.board[ticket.name])
    for damaged in (b"bad\n", b""):
        held = Held([], tree.contents, {})
        held.keep([taken])
        assert not held.put_back()
        kept.write_bytes(damaged)
        assert held.put_back()
        assert kept.read_bytes() == b"one\n"


def test_kept_bytes_are_looked_through_once_in_a_while(tmp_path: Path) -> None:
    contents = Contents(tmp_path)
    wanted, unwanted = contents.put(b"wanted"), contents.put(b"unwanted")
    for sha256 in (wanted, unwanted):
        os.utime(contents.place(sha256), (_OLD, _OLD))
    contents.remove_all_but(lambda: {wanted})
    assert contents.has(wanted)
    assert not contents.has(unwanted)
    contents.remove_all_but(lambda: pytest.fail("it has just looked"))


def test_the_last_writes_of_a_name_are_known_and_no_others(ticket: Path) -> None:
    texts = [f"{n}".encode() for n in range(20)]
    for text in texts:
        written.remember(ticket, text)
    known = [written.was_written(ticket, text, 0) for text in texts]
    assert known == [False] * 12 + [True] * 8
    assert written.was_latest(ticket, texts[-1])


def test_a_board_read_by_several_processes_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "_WORK_ORDERS" / "03_BUILD"
    folder.mkdir(parents=True)
    for n in range(12):
        text = f"---\nid: WO-{n}\ntitle: T{n}\nstatus: BUILD\ndepends_on: WO-{n - 1}\n---\n# T\n"
        (folder / f"WO-{n}_a.md").write_text(text, encoding="utf-8")
    (folder / "WO-90_bad.md").write_bytes(b"\xff\xfe\0")
    alone = Board(tmp_path).tickets()
    shutil.rmtree(tmp_path / ".orchestrate")
    monkeypatch.setattr("orchestrator.tickets.catalog._MANY", 2)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr("threading.active_count", lambda: 1)
    readers: list[object] = []
    read = Board.read
    monkeypatch.setattr(Board, "read", lambda self, path: readers.append(path) or read(self, path))
    assert Board(tmp_path).tickets() == alone
    # the first one, so that what reading imports is there for all
    assert len(readers) == 1


def test_a_snapshot_is_kept_as_what_differs_from_the_start(ticket: Path, tmp_path: Path) -> None:
    tree = WorkTree(tmp_path, "_WORK_ORDERS")
    (ticket.parent / "WO-2_b.md").write_text("two\n", encoding="utf-8")
    (ticket.parent / "WO-3_c.md").write_text("three\n", encoding="utf-8")
    start = tree.take()
    (ticket.parent / "WO-2_b.md").unlink()
    ticket.write_text("other\n", encoding="utf-8")
    (ticket.parent / "WO-4_d.md").write_text("four\n", encoding="utf-8")
    now = tree.take(start)
    kept = json.loads(json.dumps(now.to_dict(start)))
    assert set(kept["board"]) == {"WO-1_a.md", "WO-4_d.md"}
    assert Snapshot.from_dict(kept, start) == now
    assert Snapshot.from_dict(json.loads(json.dumps(now.to_dict())), start) == now


@pytest.mark.parametrize(
    ("body", "alike"),
    [
        ("Write it.", True),
        ("Move the ticket to `04_QA`.", False),
        ("Think of WO-7.", True),
        ("Update ticket WO-7.", False),
        ("Move WO-7 to `04_QA` with `owner: INSPECTOR`.", False),
        ("**Split into:** **WO-7a** → SOOP", True),
    ],
)
def test_4_4_a_workflow_is_read_once_for_tickets_of_which_it_says_the_same(
    tmp_path: Path, body: str, alike: bool
) -> None:
    (tmp_path / "w.md").write_text(f"# W\n\n## STAGE 1: BUILDER — Write\n\n{body}\n", "utf-8")

    def read(id: str, owner: str = "BUILDER") -> Workflow:
        path = tmp_path / f"{id}.md"
        ticket = Ticket(id, path, owner=owner, workflow="w.md", content=b"# T\n")
        return find_workflow(tmp_path, Settings(), ticket, None)

    first, second = read("WO-7"), read("WO-8")
    assert (first is second) is alike
    for id, found in (("WO-7", first), ("WO-8", second)):
        variables = {"id": id, "owner": "BUILDER"}
        assert found == read_workflow(tmp_path / "w.md", root=tmp_path, variables=variables)
    (tmp_path / "w.md").write_text("# W\n\n## STAGE 1: SOOP — Other\n", "utf-8")
    assert read("WO-7").stages[0].agent == "SOOP"


def test_what_a_walk_has_found_is_looked_at_without_looking_for_links_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.txt").write_text("one\n", encoding="utf-8")
    (tmp_path / "elsewhere").symlink_to("/etc")
    looked: list[str] = []
    behind = Reader.is_behind_link

    def look(self: Reader, path: str) -> bool:
        looked.append(path)
        return behind(self, path)

    monkeypatch.setattr(Reader, "is_behind_link", look)
    named = ("elsewhere/passwd", "a/b/c.txt")
    found = WorkTree(tmp_path, "_WORK_ORDERS").take(extra=named, by_git=False)
    assert {path: entry.kind for path, entry in found.entries.items()} == {
        "a/b/c.txt": "file",
        "elsewhere": "link",
    }
    assert "a/b/c.txt" not in looked
    assert "elsewhere/passwd" in looked


def test_a_signature_is_worked_out_once_and_each_other_one_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signature, key = signing.sign(b"said"), signing.own_key()
    other = ("A" if signature[0] != "A" else "B") + signature[1:]
    with monkeypatch.context() as patch:
        patch.setattr(signing.base64, "b64decode", lambda *_, **__: pytest.fail("again"))
        assert signing.is_signed(b"said", key, signature)
    for said, whose, how in ((b"Said", key, signature), (b"said", key, other)):
        assert not signing.is_signed(said, whose, how)
        assert not signing.is_signed(said, whose, how), "what does not fit is not remembered"
    assert not signing.is_signed(signature.encode() + b"said", key, "")


def test_a_key_of_another_form_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key.pem"
    monkeypatch.setenv("ORCHESTRATE_SIGNING_KEY", str(file))
    key = signing.own_key()
    made = file.read_bytes()
    assert signing._OWN_FORM.fullmatch(made)
    for form in (b"a line before\n" + made, made.replace(b"\n", b"\r\n")):
        signing._private_key.cache_clear()
        signing._own_key.cache_clear()
        file.write_bytes(form)
        assert signing.own_key() == key
    for form in (made[:-30], b""):
        signing._private_key.cache_clear()
        signing._own_key.cache_clear()
        file.write_bytes(form)
        assert signing.own_key() == ""


@pytest.mark.parametrize(("at", "value"), [(0, 0), (9, 0), (11, 0), (11, 0x6F), (13, 0xFF)])
def test_a_damaged_key_is_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, value: int
) -> None:
    file = tmp_path / "key.pem"
    monkeypatch.setenv("ORCHESTRATE_SIGNING_KEY", str(file))
    assert signing.own_key()
    begin, middle, end = file.read_bytes().splitlines(keepends=True)
    der = bytearray(base64.b64decode(middle))
    der[at] = value
    file.write_bytes(begin + base64.b64encode(der) + b"\n" + end)
    signing._private_key.cache_clear()
    signing._own_key.cache_clear()
    assert signing.own_key() == ""


def test_prose_of_a_ticket_is_not_tried_as_headings(
    ticket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "---\nid: WO-1\nstatus: 03_BUILD\n---\n# WO-1\n\n" + "A line of prose.\n" * 200
    ticket.write_text(f"{text}\n## Acceptance criteria\n\n- [ ] `a` exists\n", encoding="utf-8")
    tried: list[str] = []
    real = body.parse_heading
    monkeypatch.setattr(body, "parse_heading", lambda line: tried.append(line) or real(line))
    asked: list[object] = []
    found_in = KeyTable.found_in
    monkeypatch.setattr(
        KeyTable, "found_in", lambda keys, meta: asked.append(meta) or found_in(keys, meta)
    )
    read = Board(ticket.parents[2]).read(ticket)
    assert [box.line for box in read.boxes()] == [209]
    assert read.criteria().demanded[0].line == 210
    assert len(tried) < 20
    assert len(asked) == 2
