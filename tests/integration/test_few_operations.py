"""What a family costs the disk: records are written together, and files are written over."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orchestrator.changes.board_files import look_at_board
from orchestrator.conductor.conductor import Conductor
from orchestrator.domain.agent import Job, Outcome, Report
from orchestrator.family.attempt_files import write
from orchestrator.gates.receipts import Gate
from orchestrator.settings.config import Settings
from orchestrator.storage import real_paths, syscalls
from orchestrator.storage.history import FOLDER
from orchestrator.storage.real_paths import below_folder, real_folder
from orchestrator.storage.versions import Versions
from orchestrator.tickets.board import Board
from tests.boards import Workspace

_WORKFLOW = """\
# Four stages

## STAGE 1: LEAD — Look
Look at the ticket.

## STAGE 2: SOOP — Design
Work.

## STAGE 3: BUILDER — Build
Work.

## STAGE 4: ANALYST — Figures
Work.

## STAGE 5: USER CHECKPOINT #1 — The end
"""
_NAMES = ("LEAD", "SOOP", "BUILDER", "ANALYST")


class Idle:
    """Does nothing; `files` are those that are kept of attempts while it works."""

    def __init__(self, name: str, root: Path, files: list[dict[str, int]]) -> None:
        self.name = name
        self.root = root
        self.files = files

    def work(self, job: Job) -> Report:
        kept = (self.root / ".orchestrate" / "changes" / "WO-512").glob("attempt.*.json")
        self.files.append({file.name: file.stat().st_ino for file in kept})
        return Report(outcome=Outcome.DONE)


@pytest.fixture
def files() -> list[dict[str, int]]:
    return []


@pytest.fixture
def conductor(tmp_path: Path, files: list[dict[str, int]]) -> Conductor:
    root = Workspace(tmp_path / "work", _WORKFLOW).root
    agents = {name: Idle(name, root, files) for name in _NAMES}
    return Conductor(Board(root), settings=Settings(), agents=agents)


def records_of(root: Path) -> list[dict[str, Any]]:
    text = (root / "_WORK_ORDERS" / FOLDER / "WO-512.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_records_are_appended_with_what_depends_on_them(conductor: Conductor) -> None:
    """Once for each transition, once before an agent begins, and once at the end."""
    operations: Counter[str] = Counter()
    with syscalls.watched(lambda operation, _: operations.update([operation])):
        conductor.run("WO-512")
    kinds = Counter(record["type"] for record in records_of(conductor.board.root))
    assert kinds["dispatch"] == kinds["report"] == len(_NAMES)
    assert operations["append"] == kinds["transition"] + kinds["dispatch"] + 1


def test_what_is_kept_of_an_attempt_is_written_over(
    conductor: Conductor, files: list[dict[str, int]]
) -> None:
    conductor.run("WO-512")
    names = [f"attempt.{stage}.1.json" for stage in range(1, len(_NAMES) + 1)]
    assert [list(found) for found in files] == [[name] for name in names]
    assert len({inode for found in files for inode in found.values()}) == 1


def test_what_an_attempt_that_failed_left_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it changed has to be known until it is taken back, by whichever process."""
    work = Workspace(tmp_path / "work")
    work.soop.act = lambda job: Report(outcome=Outcome.FAILED, reason="no")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("orchestrator.conductor.attempts.undo_attempt", die)
    with pytest.raises(KeyboardInterrupt):
        work.conductor().run("WO-512")
    folder = work.root / ".orchestrate" / "changes" / "WO-512"
    (last,) = json.loads((folder / "attempt.2.1.json").read_bytes())
    assert last["after"] is not None


def test_a_report_is_written_before_a_proof_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proof may take an hour; what was done before is not done again after a crash."""
    work, prove, last = Workspace(tmp_path / "work"), Gate.prove, list[str]()

    def proving(*given: Any, **named: Any) -> Any:
        last.append(records_of(work.root)[-1]["type"])
        return prove(*given, **named)

    monkeypatch.setattr(Gate, "prove", proving)
    work.conductor().run("WO-512")
    assert last[:1] == ["report"]
    assert set(last) <= {"report", "receipt", "committed", "transition"}


def test_a_new_ticket_is_created_after_the_report_that_brings_it(tmp_path: Path) -> None:
    work = Workspace(tmp_path / "work")
    before: list[str] = []

    def watch(operation: str, path: Path) -> None:
        if operation == "create" and path.parent.name == "03_BUILD":
            before.append(records_of(work.root)[-1]["type"])

    with syscalls.watched(watch):
        work.conductor().run("WO-512")
    assert before[:1] == ["report"]


# -- files that are written over -------------------------------------------------------------------


def test_a_spare_file_is_written_over(tmp_path: Path) -> None:
    spare = tmp_path / "spare"
    spare.write_bytes(b"something longer")
    inode = spare.stat().st_ino
    write(tmp_path / "new", b"short", spare)
    assert (tmp_path / "new").read_bytes() == b"short"
    assert (tmp_path / "new").stat().st_ino == inode
    assert not spare.exists()
    write(tmp_path / "other", b"none was there", spare)
    assert (tmp_path / "other").read_bytes() == b"none was there"


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder"])
def test_what_an_agent_put_in_its_place_is_not(tmp_path: Path, kind: str) -> None:
    spare, other = tmp_path / "spare", tmp_path / "other"
    other.write_bytes(b"a person's")
    if kind == "link":
        spare.symlink_to(other)
    elif kind == "hard link":
        spare.hardlink_to(other)
    elif kind == "pipe":
        os.mkfifo(spare)
    else:
        spare.mkdir()
    write(tmp_path / "new", b"ours", spare)
    assert (tmp_path / "new").read_bytes() == b"ours"
    assert other.read_bytes() == b"a person's"


# -- paths -----------------------------------------------------------------------------------------


def test_a_real_path_is_asked_for_again_where_the_name_leads_elsewhere(tmp_path: Path) -> None:
    here, there, link = tmp_path / "here", tmp_path / "there", tmp_path / "link"
    here.mkdir()
    there.mkdir()
    link.symlink_to(here)
    assert real_folder(link) == real_folder(link) == os.path.realpath(here)
    link.unlink()
    link.symlink_to(there)
    assert real_folder(link) == os.path.realpath(there)
    there.rename(tmp_path / "moved")
    assert real_folder(link) == os.path.realpath(link)


def test_a_known_real_path_is_not_worked_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = real_folder(tmp_path)
    monkeypatch.setattr(real_paths.os.path, "realpath", lambda _: pytest.fail("asked again"))
    assert real_folder(tmp_path) == first


def test_links_below_a_folder_are_followed(tmp_path: Path) -> None:
    home = os.path.realpath(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "out").symlink_to("/")
    (tmp_path / "in").symlink_to("a")
    for text in ("a/b", "a/b/new", "in/b", "out/etc", "out", "a//b/", "./a", "no/such"):
        assert below_folder(home, text) == os.path.realpath(f"{home}/{text}")


# -- looks at the board ----------------------------------------------------------------------------


def notes_of(root: Path) -> list[str]:
    return [n for r in records_of(root) if r["type"] == "changes" for n in r["notes"]]


@pytest.mark.parametrize(("lately", "looks"), [(3600, 5), (0, 8)])
def test_the_board_is_looked_at_once_between_two_agents(
    conductor: Conductor, monkeypatch: pytest.MonkeyPatch, lately: int, looks: int
) -> None:
    """At the end of one and, if that was a moment ago, not again when the next begins."""
    seen: list[str] = []

    def look(board: str, reader: Any) -> dict[str, str]:
        seen.append(board)
        return look_at_board(board, reader)

    monkeypatch.setattr("orchestrator.changes.snapshot.look_at_board", look)
    monkeypatch.setattr("orchestrator.family.change_log._LATELY", lately)
    conductor.run("WO-512")
    assert len(seen) == looks
    assert notes_of(conductor.board.root) == []


def test_a_new_ticket_of_the_conductor_is_not_told_as_an_agents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.family.change_log._LATELY", 3600)
    work = Workspace(tmp_path / "work")
    work.conductor().run("WO-512")
    assert list(work.root.glob("_WORK_ORDERS/*/WO-512a*"))
    assert [note for note in notes_of(work.root) if note.startswith("on the board")] == []


def test_an_edit_while_an_agent_works_is_told_though_the_board_was_not_looked_at_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.family.change_log._LATELY", 3600)
    work = Workspace(tmp_path / "work")
    other = work.root / "_WORK_ORDERS" / "03_BUILD" / "WO-9_other.md"
    other.parent.mkdir(exist_ok=True)
    other.write_text("---\nid: WO-9\nstatus: 03_BUILD\n---\nold\n", encoding="utf-8")
    act = work.soop.act

    def edit(job: Job) -> Report:
        other.write_text(other.read_text(encoding="utf-8") + "new\n", encoding="utf-8")
        return act(job)

    work.soop.act = edit
    work.conductor().run("WO-512")
    assert any("WO-9_other.md (edited)" in note for note in notes_of(work.root))


def test_what_was_written_last_is_read_by_few_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = Versions(tmp_path, "WO-1_a.md")
    versions.remember(b"one\n")
    versions.remember(b"two\n" * 100_000)
    monkeypatch.setattr("builtins.open", None)
    assert versions.last() == b"two\n" * 100_000
