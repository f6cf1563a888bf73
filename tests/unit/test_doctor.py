"""DESIGN 2.5, 2.6: what the doctor finds on a board, with code, file and line."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.doctor.fix_runner import plan_fixes
from orchestrator.doctor.fixes import Applicability
from orchestrator.doctor.rules import RULES
from orchestrator.doctor.runner import Checkup, Problem, examine, remember
from orchestrator.domain.record import (
    Flow,
    Place,
    Question,
    QuestionKind,
    State,
    to_lines,
    to_mapping,
)
from orchestrator.domain.states import FolderRole
from orchestrator.git.repository import TrackedFolder
from orchestrator.settings.config import Settings
from orchestrator.tickets.board import Board

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
PACKAGE = Path(__file__).parents[2] / "orchestrator"


def lay(root: Path, place: str, *lines: str, body: str = "", days: int = 0) -> Path:
    """A ticket whose file was written so many days ago."""
    path = root / "_WORK_ORDERS" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = place.split("/")[0]
    status = () if any(line.startswith("status:") for line in lines) else (f"status: {folder}",)
    block = "\n".join(["---", f"id: {path.name.split('_x')[0]}", *status, *lines, "---", body, ""])
    path.write_text(block, encoding="utf-8")
    seconds = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (seconds, seconds))
    return path


def look(root: Path, **settings: Any) -> Checkup:
    return examine(Board(root), Settings(**settings), NOW)


def found(root: Path, **settings: Any) -> list[tuple[str, str, int]]:
    """Code, file and line of all findings."""
    return [(f.code, f.path.split("/", 1)[-1], f.line) for f in look(root, **settings).problems]


def only(root: Path, **settings: Any) -> Problem:
    [one] = look(root, **settings).problems
    return one


# -- one ticket --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "status", "code", "fix"),
    [
        ("06_COMPLETE", "03_BUILD", "status-unfinished", Applicability.SAFE),
        ("07_ARCHIVED", "04_QA", "status-unfinished", Applicability.SAFE),
        ("07_ARCHIVED", "06_COMPLETE", "status-drift", Applicability.SAFE),
        ("03_BUILD", "04_QA", "status-drift", Applicability.UNSAFE),
        ("03_BUILD", "04_BUILD", "status-renumbered", Applicability.SAFE),
        ("03_BUILD", "ASSIGNED", "status-unknown", Applicability.UNSAFE),
    ],
)
def test_a_status_that_is_not_the_folder(
    tmp_path: Path, folder: str, status: str, code: str, fix: Applicability
) -> None:
    lay(tmp_path, f"{folder}/WO-1_x.md", f"status: {status}")
    one = only(tmp_path)
    assert (one.code, one.line, one.fix) == (code, 3, fix)
    assert one.hint.split(";")[0] == f"status: {folder}"


@pytest.mark.parametrize(
    "lines", [("title: No",), ("status: ASSIGNED", "  twice", "list:", "  - a: b: c", "  - 5")]
)
def test_a_repair_that_would_not_be_made_is_not_promised(
    tmp_path: Path, lines: tuple[str, ...]
) -> None:
    lay(tmp_path, "03_BUILD/WO-1_x.md", *lines)
    examined = look(tmp_path)
    assert examined.problems
    mended = plan_fixes(Board(tmp_path), examined, set(RULES)).fixed
    done = {code for each in mended for code in each.codes}
    assert {f.code for f in examined.problems if f.fix is not Applicability.DISPLAY_ONLY} == done


def test_a_status_that_the_board_has_a_word_for_is_understood(tmp_path: Path) -> None:
    (tmp_path / "orchestrate.toml").write_text('[board.aliases]\nREWORK = "BUILD"\n', "utf-8")
    lay(tmp_path, "03_BUILD/WO-1_x.md", "status: REWORK")
    assert found(tmp_path) == []


def test_open_boxes_are_odd_in_complete_alone(tmp_path: Path) -> None:
    body = "# T\n- [ ] none of the criteria\n## Acceptance Criteria\n- [x] a\n- [ ] b\n- [ ] c\n"
    for folder in ("03_BUILD", "06_COMPLETE", "07_ARCHIVED"):
        lay(tmp_path, f"{folder}/WO-{folder[:2]}_x.md", body=body)
    one, *notes = look(tmp_path).problems
    assert {(n.code, n.line, n.note) for n in notes} == {("criteria-unread", 6, True)}
    assert (one.code, one.path, one.line) == (
        "boxes-open",
        "_WORK_ORDERS/06_COMPLETE/WO-06_x.md",
        9,
    )
    assert "2 of 3" in one.message


def test_a_hold_needs_a_reason(tmp_path: Path) -> None:
    lay(tmp_path, "98_HOLD/WO-1_x.md", "hold_reason: waits for a choice")
    lay(tmp_path, "98_HOLD/WO-2_x.md", "hold_reason: ''")
    assert found(tmp_path) == [("hold-reason", "98_HOLD/WO-2_x.md", 0)]


# -- copies and numbers ------------------------------------------------------------------------


def test_a_half_move_says_which_copy_is_newer_and_how_they_differ(tmp_path: Path) -> None:
    lay(tmp_path, "00_INBOX/WO-1_x.md", "owner: LEAD", body="# T\nold", days=2)
    lay(tmp_path, "03_BUILD/WO-1_x.md", "owner: SOOP", body="# T\nnew\nmore", days=1)
    one = only(tmp_path)
    assert (one.code, one.path, one.fix) == (
        "twin",
        "_WORK_ORDERS/03_BUILD/WO-1_x.md",
        Applicability.DISPLAY_ONLY,
    )
    assert "newer: _WORK_ORDERS/03_BUILD/WO-1_x.md (2026-03-19 12:00)" in one.message
    assert "older: _WORK_ORDERS/00_INBOX/WO-1_x.md (2026-03-18 12:00)" in one.message
    assert "`owner`, `status`, 4 lines only in the newer, 3 only in the older" in one.message


def test_identical_copies_are_offered_to_be_put_away(tmp_path: Path) -> None:
    for folder in ("00_INBOX", "03_BUILD"):
        lay(tmp_path, f"{folder}/WO-1_x.md", "status: 03_BUILD")
    [twin] = [f for f in look(tmp_path).problems if f.code == "twin"]
    assert ("the same content" in twin.message, twin.fix) == (True, Applicability.UNSAFE)


def test_one_id_in_two_files_is_told_with_its_line(tmp_path: Path) -> None:
    lay(tmp_path, "00_INBOX/WO-1_x.md")
    path = lay(tmp_path, "03_BUILD/WO-2_x.md")
    path.write_text("---\nid: WO-1\n---\n", encoding="utf-8")
    assert ("duplicate-id", "00_INBOX/WO-1_x.md", 2) in found(tmp_path)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("WO-012", "WO_012", True),
        ("WO-012", "WO-12", True),
        ("WO-901a", "WO-901A", True),
        ("WO-901a", "WO-901-A", False),
        ("WO-901", "WO-901a", False),
        ("WO-1.1", "WO-1.01", False),
        ("WO-10", "GO-10", False),
    ],
)
def test_two_spellings_of_one_number(tmp_path: Path, one: str, other: str, same: bool) -> None:
    for id in (one, other):
        lay(tmp_path, f"00_INBOX/{id}_x.md")
    assert [code for code, _, _ in found(tmp_path)] == ["number-reused"] * same


def test_a_version_that_was_set_aside_is_told_and_hides_nothing(tmp_path: Path) -> None:
    lay(tmp_path, "03_BUILD/WO-1_x.md")
    aside = tmp_path / "_WORK_ORDERS/03_BUILD/WO-1.conflict-20260101T000000.000000Z.md"
    aside.write_text("---\nid: WO-1\n---\n", encoding="utf-8")
    assert found(tmp_path) == [("conflict-file", f"03_BUILD/{aside.name}", 0)]


@pytest.mark.parametrize("name", ["WO-2_x.markdown", "WO-2_x.MDX", "notes.mkd"])
def test_markdown_by_another_name_is_told(tmp_path: Path, name: str) -> None:
    lay(tmp_path, "03_BUILD/WO-1_x.md")
    for other in (name, ".hidden.markdown", "markdown", "picture.png"):
        (tmp_path / "_WORK_ORDERS/03_BUILD" / other).write_text("# A\n", encoding="utf-8")
    assert found(tmp_path) == [("other-suffix", f"03_BUILD/{name}", 0)]


def test_but_not_in_a_folder_that_is_ignored(tmp_path: Path) -> None:
    lay(tmp_path, "03_BUILD/WO-1_x.md")
    (tmp_path / "_WORK_ORDERS/site").mkdir()
    (tmp_path / "_WORK_ORDERS/site/page.mdx").write_text("# A\n", encoding="utf-8")
    assert found(tmp_path) == [("other-suffix", "site/page.mdx", 0)]
    (tmp_path / "orchestrate.toml").write_text('[board]\nignore = ["site"]\n', encoding="utf-8")
    assert found(tmp_path) == []


# -- what tickets say of each other ------------------------------------------------------------


def test_a_ticket_that_lies_in_no_state_is_a_harmless_note(tmp_path: Path) -> None:
    lay(tmp_path, "WO-1_x.md", "status: 00_INBOX")
    lay(tmp_path, "03_BUILD/later/WO-2_x.md")
    lay(tmp_path, "06_COMPLETE/2026/WO-3_x.md")
    lay(tmp_path, "TEMPLATES/WO-4_x.md")
    told = [(f.code, f.path[13:], f.message.split(" is ")[0]) for f in look(tmp_path).problems]
    assert told == [
        ("unknown-folder", "03_BUILD/later/WO-2_x.md", "03_BUILD/later"),
        ("unknown-folder", "WO-1_x.md", "the board itself"),
        ("template", "TEMPLATES/WO-4_x.md", "a template, not a ticket"),
    ]
    assert look(tmp_path).healthy


def test_missing_relatives_are_told_where_they_are_named(tmp_path: Path) -> None:
    lay(tmp_path, "00_INBOX/WO-1_x.md", "parent: WO-7", "children: [WO-8]", "depends_on: WO-9")
    assert found(tmp_path) == [
        ("dependency-missing", "00_INBOX/WO-1_x.md", 6),
        ("parent-missing", "00_INBOX/WO-1_x.md", 4),
        ("child-missing", "00_INBOX/WO-1_x.md", 5),
    ]


@pytest.mark.parametrize(
    ("place", "other", "odd"),
    [
        ("03_BUILD", "04_QA", True),
        ("06_COMPLETE", "03_BUILD", True),
        ("03_BUILD", "06_COMPLETE", False),
        ("03_BUILD", "07_ARCHIVED", False),
        ("01_TRIAGE", "03_BUILD", False),
    ],
)
def test_3_4_what_is_waited_for_is_complete_before_the_build(
    tmp_path: Path, place: str, other: str, odd: bool
) -> None:
    lay(tmp_path, f"{place}/WO-1_x.md", "depends_on: WO-2")
    lay(tmp_path, f"{other}/WO-2_x.md")
    told = [("dependency-open", f"{place}/WO-1_x.md", 4)]
    assert found(tmp_path) == (told if odd else [])


def test_3_4_within_a_family_the_workflow_orders(tmp_path: Path) -> None:
    lay(tmp_path, "01_TRIAGE/WO-1_x.md")
    lay(tmp_path, "03_BUILD/WO-1a_x.md", "parent: WO-1")
    lay(tmp_path, "03_BUILD/WO-1b_x.md", "parent: WO-1", "depends_on: [WO-1a, WO-1]")
    assert found(tmp_path) == []


@pytest.mark.timeout(20)
def test_a_very_long_chain_and_its_ring_are_walked(tmp_path: Path) -> None:
    for number in range(3000):
        lay(tmp_path, f"00_INBOX/WO-{number}_x.md", f"depends_on: WO-{(number + 1) % 3000}")
    one = only(tmp_path)
    assert one.code == "dependency-cycle"
    assert len(one.message) < 200


# -- the board ---------------------------------------------------------------------------------


def test_too_many_in_build_only_where_there_is_a_limit(tmp_path: Path) -> None:
    for number in range(3):
        lay(tmp_path, f"03_BUILD/WO-{number}_x.md")
    assert found(tmp_path) == []
    assert found(tmp_path, wip_limit=3) == []
    assert found(tmp_path, wip_limit=2) == [("wip-limit", "03_BUILD", 0)]


@pytest.mark.parametrize(
    ("days", "limit", "odd"), [(7, 7, True), (6, 7, False), (1, 1, True), (900, 0, False)]
)
def test_what_waits_for_user_too_long_is_stale(
    tmp_path: Path, days: int, limit: int, odd: bool
) -> None:
    lay(tmp_path, "05_USER_REVIEW/WO-1_x.md", days=days)
    lay(tmp_path, "03_BUILD/WO-2_x.md", days=days)
    told = [("stale", "05_USER_REVIEW/WO-1_x.md", 0)]
    assert found(tmp_path, stale_days=limit) == (told if odd else [])


# -- conducted families ------------------------------------------------------------------------


def conducted(root: Path, status: str = "01_TRIAGE", **changes: Any) -> Path:
    """WO-5 in TRIAGE and its child WO-5a in BUILD, with their record."""
    members = {
        "WO-5": Place(at=FolderRole.TRIAGE, was=FolderRole.INBOX),
        "WO-5a": Place(at=FolderRole.BUILD, was=FolderRole.TRIAGE),
    }
    flow = Flow(workflow="w.md", sha256="0" * 64, stage=2, members=members).evolve(**changes)
    (root / "w.md").write_text("# w\n", encoding="utf-8")
    lay(root, "03_BUILD/WO-5a_x.md", "parent: WO-5")
    lines = (f"status: {status}", "flow:", *to_lines(to_mapping(flow)))
    return lay(root, "01_TRIAGE/WO-5_x.md", *lines)


def test_a_family_as_its_record_says_is_healthy(tmp_path: Path) -> None:
    conducted(tmp_path)
    assert found(tmp_path) == []


def test_a_broken_record_is_told_and_raises_nothing(tmp_path: Path) -> None:
    path = conducted(tmp_path)
    path.write_text(path.read_text("utf-8").replace("revision: 0", "revision: many"), "utf-8")
    assert found(tmp_path) == [("record-broken", "01_TRIAGE/WO-5_x.md", 4)]


def test_a_record_that_is_gone_is_known_by_the_history(tmp_path: Path) -> None:
    lay(tmp_path, "01_TRIAGE/WO-5_x.md")
    lay(tmp_path, "01_TRIAGE/WO-6_x.md")
    receipts = tmp_path / "_WORK_ORDERS/.receipts"
    receipts.mkdir()
    (receipts / "WO-5.jsonl").write_text('{"type": "transition"}\n', encoding="utf-8")
    (receipts / "WO-6.jsonl").write_text('{"type": "receipt"}\n{torn', encoding="utf-8")
    assert found(tmp_path) == [("record-broken", "01_TRIAGE/WO-5_x.md", 0)]


def test_a_member_that_is_missing_or_elsewhere(tmp_path: Path) -> None:
    conducted(tmp_path)
    child = tmp_path / "_WORK_ORDERS/03_BUILD/WO-5a_x.md"
    qa = tmp_path / "_WORK_ORDERS/04_QA"
    qa.mkdir()
    child.rename(qa / child.name)
    assert found(tmp_path) == [("member-elsewhere", "04_QA/WO-5a_x.md", 0)]
    (qa / child.name).unlink()
    assert found(tmp_path) == [("member-missing", "01_TRIAGE/WO-5_x.md", 4)]


def test_a_workflow_that_is_gone(tmp_path: Path) -> None:
    conducted(tmp_path)
    (tmp_path / "w.md").unlink()
    assert found(tmp_path) == [("workflow-missing", "01_TRIAGE/WO-5_x.md", 4)]
    conducted(tmp_path, state=State.COMPLETE)
    (tmp_path / "w.md").unlink()
    assert found(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "odd"),
    [
        ("01_TRIAGE", False),
        ("00_INBOX", False),
        ("HOLD", False),
        ("07_ARCHIVED", False),
        ("08_BACKLOG", False),
        ("06_COMPLETE", True),
        ("nonsense", True),
        ("APPROVED", True),
    ],
)
def test_2_2_a_wish_that_cannot_be_taken(tmp_path: Path, status: str, odd: bool) -> None:
    conducted(tmp_path, status)
    told = [("wish-refused", "01_TRIAGE/WO-5_x.md", 3)]
    assert found(tmp_path) == (told if odd else [])


def test_7_2_an_answer_is_a_wish_while_a_question_is_open_and_its_age_counts(
    tmp_path: Path,
) -> None:
    question = Question(
        number=1,
        stage=2,
        kind=QuestionKind.CHECKPOINT,
        digest="0",
        came_from=FolderRole.TRIAGE,
        asked="2026-03-10T12:00:00Z",
    )
    conducted(tmp_path, "APPROVED", question=question)
    one = only(tmp_path)
    assert (one.code, "10 days" in one.message) == ("stale", True)
    assert found(tmp_path, stale_days=11) == []


def test_2_2_the_status_of_a_conducted_ticket_is_a_wish_not_drift(tmp_path: Path) -> None:
    conducted(tmp_path, "HOLD", state=State.RUNNING)
    assert look(tmp_path).healthy


# -- lost tickets ------------------------------------------------------------------------------


def git(root: Path, *words: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    done = subprocess.run(
        ["git", *identity, *words], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(params=["", "deep/down"])
def tracked(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A workspace, at the top of a repository or below it, with two committed tickets."""
    git(tmp_path, "init", "-q")
    root = tmp_path / request.param
    lay(root, "00_INBOX/WO-1_x.md")
    lay(root, "00_INBOX/WO-2_x.md")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "board")
    return root


def test_a_ticket_that_git_has_and_the_board_has_not(tracked: Path) -> None:
    path = tracked / "_WORK_ORDERS/00_INBOX/WO-1_x.md"
    path.unlink()
    one = only(tracked)
    assert (one.code, one.path) == ("lost", "_WORK_ORDERS/00_INBOX/WO-1_x.md")
    command = one.hint
    assert command == "git checkout HEAD -- _WORK_ORDERS/00_INBOX/WO-1_x.md"
    git(tracked, "rm", "-q", "--cached", "_WORK_ORDERS/00_INBOX/WO-1_x.md")
    assert only(tracked).hint == command
    git(tracked, *command.split()[1:])
    assert found(tracked) == []


def test_a_ticket_that_was_renamed_and_then_lost_is_told_once(tracked: Path) -> None:
    inbox = tracked / "_WORK_ORDERS/00_INBOX"
    (inbox / "WO-1_x.md").rename(inbox / "WO-1_renamed.md")
    remember(Board(tracked), look(tracked))
    (inbox / "WO-1_renamed.md").unlink()
    assert only(tracked).path == "_WORK_ORDERS/00_INBOX/WO-1_x.md"


def test_a_ticket_that_was_moved_or_renamed_is_not_lost(tracked: Path) -> None:
    inbox = tracked / "_WORK_ORDERS/00_INBOX"
    (inbox / "WO-1_x.md").rename(inbox / "WO-1_other.md")
    done = tracked / "_WORK_ORDERS/06_COMPLETE"
    done.mkdir()
    (inbox / "WO-2_x.md").rename(done / "WO-2_x.md")
    assert {code for code, _, _ in found(tracked)} == {"status-unfinished"}


def test_8_3_what_lies_in_a_folder_that_cannot_be_entered_is_not_lost(
    tracked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shut = tracked / "_WORK_ORDERS/00_INBOX"
    remember(Board(tracked), look(tracked))
    real_scan, real_stat = os.scandir, Path.lstat

    # the tests may run as root, who may enter every folder
    def scan(path: Any = ".") -> Any:
        if os.fspath(path).endswith("00_INBOX"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real_scan(path)

    def lstat(path: Path) -> os.stat_result:
        if path.parent == shut:
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real_stat(path)

    monkeypatch.setattr(os, "scandir", scan)
    monkeypatch.setattr(Path, "lstat", lstat)
    monkeypatch.setattr(TrackedFolder, "removed", lambda _: ["_WORK_ORDERS/00_INBOX/WO-1_x.md"])
    one = only(tracked)
    assert (one.code, one.path) == ("unreadable", "_WORK_ORDERS/00_INBOX")
    assert "its tickets are not seen" in one.message


def test_a_ticket_that_a_commit_removed_is_told_with_the_commit(tracked: Path) -> None:
    board = Board(tracked)
    remember(board, look(tracked))
    git(tracked, "rm", "-q", "_WORK_ORDERS/00_INBOX/WO-1_x.md")
    git(tracked, "commit", "-qm", "tidy up")
    lay(tracked, "00_INBOX/WO-3_x.md")
    commit = git(tracked, "rev-parse", "--short", "HEAD")
    one = only(tracked)
    assert (one.code, commit in one.message, "tidy up" in one.message) == ("lost", True, True)
    git(tracked, *one.hint.split()[1:])
    assert found(tracked) == []


def test_a_ticket_that_only_the_last_look_knows(tmp_path: Path) -> None:
    path = lay(tmp_path, "00_INBOX/WO-1_x.md")
    remember(Board(tmp_path), look(tmp_path))
    path.unlink()
    assert (only(tmp_path).code, "git does not know it" in only(tmp_path).message) == ("lost", True)
    remember(Board(tmp_path), look(tmp_path))
    assert found(tmp_path) == []


@pytest.mark.parametrize("held", [b"", b"{", b"[]", b'{"a": 1}', b"\xff", b"[" * 99999])
def test_2_7_a_broken_memory_is_none(tmp_path: Path, held: bytes) -> None:
    lay(tmp_path, "00_INBOX/WO-1_x.md")
    state = tmp_path / ".orchestrate/state"
    state.mkdir(parents=True)
    (state / "doctor.json").write_bytes(held)
    assert found(tmp_path) == []


# -- all of it ---------------------------------------------------------------------------------


def test_2_6_one_bad_file_never_hides_the_others(tmp_path: Path) -> None:
    bad = tmp_path / "_WORK_ORDERS/00_INBOX"
    bad.mkdir(parents=True)
    (bad / "WO-1_x.md").write_bytes(b"\x00\xff---\nflow: {")
    (bad / "WO-2_x.md").symlink_to("/etc/hostname")
    (bad / "WO-3_x.md").write_bytes(b"")
    (bad / "WO-4_x.md").write_bytes(b"---\nid: WO-4\nflow: {workflow: 3}\n---\n<<<<<<< a\n")
    (bad / "WO-5_x\x1b[2J.md").write_bytes(b"---\nid: WO-5\nstatus: 03_BUILD\n---\n")
    told = {code for code, _, _ in found(tmp_path)}
    assert {"not-utf8", "link", "empty", "record-broken", "merge-conflict", "status-drift"} <= told


def test_what_did_not_change_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.tickets.index._TICK", 0)
    monkeypatch.setattr("orchestrator.tickets.index._COARSE_TICK", 0)
    for number in range(5):
        lay(tmp_path, f"06_COMPLETE/WO-{number}_x.md", "status: 03_BUILD")
    before = look(tmp_path).problems
    read: list[Path] = []
    monkeypatch.setattr("orchestrator.tickets.ticket.read", lambda path: read.append(path) or b"")
    assert look(tmp_path).problems == before
    assert read == []


def test_one_ticket_is_looked_at_alone(tmp_path: Path) -> None:
    lay(tmp_path, "06_COMPLETE/WO-1_x.md", "status: 03_BUILD")
    lay(tmp_path, "06_COMPLETE/WO-2_x.md", "status: 03_BUILD")
    assert [f.path[-9:] for f in look(tmp_path).of("WO-2").problems] == ["WO-2_x.md"]


def test_notes_are_harmless_and_the_gravest_comes_first(tmp_path: Path) -> None:
    lay(tmp_path, "03_BUILD/WO-940-943-EPIC_x.md")
    alone = look(tmp_path)
    assert ([f.code for f in alone.problems], alone.healthy) == (["id-range"], True)
    lay(tmp_path, "00_INBOX/WO-1_x.md", "x: no")
    lay(tmp_path, "00_INBOX/WO-01_x.md")
    both = look(tmp_path)
    codes = [f.code for f in both.problems]
    assert (codes, both.healthy) == (["number-reused", "yaml-bool", "id-range"], False)


def test_every_code_that_is_given_is_in_the_table_and_the_other_way_round() -> None:
    text = "\n".join(file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py"))
    given = set(re.findall(r"Diagnosis\(\s*\"([a-z][a-z0-9-]+)\"", text))
    # codes that are chosen before they are given
    given |= {
        "bad-history",
        "history-altered",
        "bad-id",
        "no-id",
        "link",
        "unreadable",
        "yaml-refused",
        "yaml-after-quote",
    }
    given |= {"yaml-colon", "parent-missing", "child-missing", "dependency-missing"}
    assert given == set(RULES)
