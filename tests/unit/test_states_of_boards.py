"""DESIGN 3.1, 4.8: boards with other words, and where the status, not the folder, is the fact."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.domain.folders import EVERYDAY, Folders, normal_status
from orchestrator.domain.states import FolderRole
from orchestrator.errors import UsageError
from orchestrator.settings.config import load_settings
from orchestrator.tickets.board import Board

INBOX, BUILD, QA = FolderRole.INBOX, FolderRole.BUILD, FolderRole.QA
COMPLETE, ARCHIVE, HOLD = FolderRole.COMPLETE, FolderRole.ARCHIVE, FolderRole.HOLD


def lay(root: Path, place: str, *lines: str) -> Path:
    path = root / "_WORK_ORDERS" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["---", *lines, "---", "# x", ""]), encoding="utf-8")
    return path


def configure(root: Path, text: str) -> None:
    (root / "orchestrate.toml").write_text(text, encoding="utf-8")


def orchestrate(root: Path, *args: str) -> str:
    return CliRunner().invoke(app, ["-C", str(root), *args]).output


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("todo", INBOX), ("To Do", INBOX), ("to-do", INBOX), ("open", INBOX), ("READY", INBOX),
        ("planned", INBOX), ("in progress", BUILD), ("inProgress", BUILD), ("Doing", BUILD),
        ("WIP", BUILD), ("started", BUILD), ("in review", QA), ("for_review", QA),
        ("blocked", HOLD), ("On Hold", HOLD), ("paused", HOLD), ("✅ Done", COMPLETE),
        ("closed", COMPLETE), ("Completed", COMPLETE), ("cancelled", ARCHIVE),
        ("canceled", ARCHIVE), ("wontfix", ARCHIVE), ("won't do", ARCHIVE), ("won’t-do", ARCHIVE),
        ("archived", ARCHIVE), ("draft", FolderRole.BACKLOG), ("Backlog", FolderRole.BACKLOG),
        ("ASSIGNED", None), ("PENDING", None), ("Texas", None), ("", None),
    ],
)  # fmt: skip
def test_everyday_words_are_known(text: str, role: FolderRole | None) -> None:
    assert normal_status(text) is role


@given(
    word=st.sampled_from([w for words in EVERYDAY.values() for w in words.split()]),
    glue=st.sampled_from([" ", "-", "_", ""]),
    case=st.sampled_from([str.upper, str.title, str.lower]),
)
def test_in_any_case_and_with_any_separator(word: str, glue: str, case: object) -> None:
    assert callable(case)
    assert normal_status(case(word.replace("_", glue))) is normal_status(word) is not None


words = st.dictionaries(
    st.sampled_from(list(FolderRole)), st.sampled_from(["open", "doing", "review", "closed"])
)


@given(words=words, role=st.sampled_from(list(FolderRole)), other=st.text(max_size=12))
def test_what_is_written_for_a_state_says_it(
    words: dict[FolderRole, str], role: FolderRole, other: str
) -> None:
    for by_status in (True, False):
        folders = Folders(words=words, by_status=by_status)
        word = folders.status_for(role, status=other)
        assert folders.says(word, role)
        assert folders.status_for(role, status=word) == word
        place = folders.place_for("sprint-4", role)
        assert place == "sprint-4" or not by_status
        assert folders.agrees(place, word, role)
    shared = Folders(words={"BUILD": "busy", "QA": "busy"}, by_status=True)
    assert (shared.wish_for(QA), shared.wish_for(BUILD)) == ("QA", "busy")


def test_several_states_share_a_folder_and_the_board_itself_is_one(tmp_path: Path) -> None:
    configure(
        tmp_path,
        '[board.folders]\nINBOX = "."\nBUILD = "doing"\nQA = "doing"\nCOMPLETE = "done/"\n',
    )
    lay(tmp_path, "WO-1_x.md", "id: WO-1")
    lay(tmp_path, "doing/WO-2_x.md", "id: WO-2", "status: in progress")
    lay(tmp_path, "doing/WO-3_x.md", "id: WO-3", "status: QA")
    lay(tmp_path, "doing/WO-4_x.md", "id: WO-4")
    lay(tmp_path, "done/2025/WO-5_x.md", "id: WO-5")
    board = Board(tmp_path)
    assert {t.id: t.role for t in board.tickets()} == {
        "WO-1": INBOX, "WO-2": BUILD, "WO-3": QA, "WO-4": BUILD, "WO-5": COMPLETE,
    }  # fmt: skip
    assert board.folders.place_for("doing", QA) == "doing"
    assert board.folders.place_for("doing", COMPLETE) == "done"
    assert board.folders.place_for("doing", INBOX) == ""
    assert {t.role for t in Board(tmp_path).tickets()} == {INBOX, BUILD, QA, COMPLETE}


def test_sub_folders_of_working_states_on_request(tmp_path: Path) -> None:
    lay(tmp_path, "03_BUILD/login/WO-1_x.md", "id: WO-1")
    assert Board(tmp_path).find("WO-1").role is None
    configure(tmp_path, "[board]\nsubfolders = true\n")
    board = Board(tmp_path)
    assert board.find("WO-1").role is BUILD
    assert board.folders.place_for("03_BUILD/login", QA) == "04_QA/login"


def test_states_without_a_folder_lie_in_the_one_before(tmp_path: Path) -> None:
    folders = Folders(["doing", "done", "to-do", "notes"], share=True, ignore=["*"])
    found = {role: folders.for_role(role) for role in FolderRole}
    assert [found[r] for r in (INBOX, FolderRole.TRIAGE, BUILD, QA, HOLD, COMPLETE, ARCHIVE)] == [
        "to-do", "to-do", "doing", "doing", "doing", "done", "done",
    ]  # fmt: skip
    assert [folders.is_ignored(n) for n in ("notes", "to-do", "doing")] == [True, False, False]


def test_where_the_status_is_the_fact_no_file_is_moved(tmp_path: Path) -> None:
    configure(tmp_path, '[board]\ntruth = "status"\n[board.statuses]\nBUILD = "busy"\n')
    path = lay(tmp_path, "sprint/WO-1_x.md", "id: WO-1", "status: Todo  # mine", "owner: BUILDER")
    orchestrate(tmp_path, "run", "WO-1")
    text = path.read_text(encoding="utf-8")
    assert "\nstatus: busy  # mine\n" in text
    assert "at: BUILD" in text
    orchestrate(tmp_path, "hold", "WO-1", "--reason", "later")
    orchestrate(tmp_path, "run", "WO-1")
    text = path.read_text(encoding="utf-8")
    assert "\nstatus: on_hold  # mine\n" in text
    assert "hold_reason: later" in text
    orchestrate(tmp_path, "resume", "WO-1")
    assert "\nstatus: busy  # mine\n" in path.read_text(encoding="utf-8")
    assert "on hold" not in orchestrate(tmp_path, "doctor")
    assert sorted(p.name for p in (tmp_path / "_WORK_ORDERS").rglob("*.md")) == ["WO-1_x.md"]


def test_there_a_wish_is_a_status_too(tmp_path: Path) -> None:
    configure(tmp_path, '[board]\ntruth = "status"\n')
    path = lay(tmp_path, "WO-1_x.md", "id: WO-1", "status: todo", "owner: BUILDER")
    orchestrate(tmp_path, "run", "WO-1")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("status: in_progress", "status: wontfix"), encoding="utf-8")
    orchestrate(tmp_path, "run", "WO-1")
    text = path.read_text(encoding="utf-8")
    assert "status: wontfix" in text
    assert "WO-1: {at: ARCHIVE" in text


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (("status: frobbed",), "unknown-status"),
        ((), "no-status"),
        (("state: Done",), "not-startable"),
    ],
)
def test_an_unknown_word_is_asked_about_and_nothing_is_guessed(
    tmp_path: Path, lines: tuple[str, ...], code: str
) -> None:
    configure(tmp_path, '[board]\ntruth = "status"\n')
    path = lay(tmp_path, "WO-1_x.md", "id: WO-1", *lines)
    before = path.read_bytes()
    for command in (("run", "WO-1"), ("adopt", "WO-1", "--yes")):
        assert code in orchestrate(tmp_path, *command)
    said = orchestrate(tmp_path, "doctor", "--fix", "--with", "status-unknown", "--no-commit")
    assert code == "not-startable" or {"unknown-status": "[board.aliases]"}.get(code, code) in said
    assert path.read_bytes() == before


def test_every_status_that_is_overwritten_is_shown_with_its_line(tmp_path: Path) -> None:
    lay(tmp_path, "00_INBOX/WO-1_x.md", "id: WO-1", "status: in-progress")
    lay(tmp_path, "06_COMPLETE/WO-2_x.md", "id: WO-2", "status: doing")
    shown = "_WORK_ORDERS/00_INBOX/WO-1_x.md:3: status: in-progress → 00_INBOX"
    fixed = "_WORK_ORDERS/06_COMPLETE/WO-2_x.md:3: status: doing → 06_COMPLETE"
    for args in (("--dry-run",), ("--yes",)):
        assert shown in orchestrate(tmp_path, "adopt", "WO-1", *args)
    for args in (("--dry-run",), ("--fix", "--no-commit")):
        assert fixed in orchestrate(tmp_path, "doctor", *args)


def test_a_configured_word_must_be_one(tmp_path: Path) -> None:
    configure(tmp_path, '[board.statuses]\nBUILD = "a: b"\n')
    with pytest.raises(UsageError, match="not a word for a status"):
        load_settings(tmp_path)


def test_a_family_with_a_finished_child_is_begun_and_the_child_stays(tmp_path: Path) -> None:
    lay(tmp_path, "00_INBOX/WO-1_x.md", "id: WO-1", "status: todo")
    lay(tmp_path, "06_COMPLETE/WO-1a_x.md", "id: WO-1a", "status: done", "parent: WO-1")
    said = orchestrate(tmp_path, "run", "WO-1")
    assert "WO-1: 00_INBOX → 01_TRIAGE" in said
    assert "WO-1a:" not in said
    assert (tmp_path / "_WORK_ORDERS/06_COMPLETE/WO-1a_x.md").is_file()


def test_the_whole_workspace_is_no_board(tmp_path: Path) -> None:
    configure(tmp_path, '[board]\nfolder = "."\n')
    with pytest.raises(UsageError, match="a folder of its own") as raised:
        load_settings(tmp_path)
    assert raised.value.line == 2
