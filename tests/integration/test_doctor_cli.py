"""`orchestrate doctor` on real boards in git: diff, repairs, one commit, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.doctor.board_view import ConductedFamily
from orchestrator.doctor.fix_runner import apply_fixes, plan_fixes
from orchestrator.doctor.runner import examine
from orchestrator.settings.config import Settings
from orchestrator.storage.locks import family_lock
from orchestrator.tickets.board import Board
from tests.boards import Workspace

ODD = Path(__file__).parent.parent / "fixtures" / "odd_tickets"
PLACES = {
    name: expected["place_as"]
    for name, expected in json.loads((ODD / "expectations.json").read_text("utf-8")).items()
}


def git(root: Path, *words: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    done = subprocess.run(
        ["git", *identity, *words], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout


def commit(root: Path) -> None:
    git(root, "init", "-q")
    (root / ".git/info/exclude").write_text(".orchestrate/\n", encoding="utf-8")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "board")


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """The odd tickets as a committed board."""
    for name, place in PLACES.items():
        path = tmp_path / "_WORK_ORDERS" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ODD / name, path)
    commit(tmp_path)
    return tmp_path


def lay(root: Path, place: str, text: str) -> Path:
    path = root / "_WORK_ORDERS" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def doctor(root: Path, *words: str, code: int = 1) -> str:
    done = CliRunner().invoke(app, ["-C", str(root), "doctor", *words])
    assert done.exit_code == code, done.output
    return done.output


def as_json(root: Path, *words: str, code: int = 1) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(doctor(root, "--json", *words, code=code))
    return told


def contents(root: Path) -> dict[str, bytes]:
    board = root / "_WORK_ORDERS"
    return {p.relative_to(board).as_posix(): p.read_bytes() for p in board.rglob("*.md")}


# -- reading -----------------------------------------------------------------------------------


def test_a_look_and_a_dry_run_change_nothing(odd: Path) -> None:
    before = contents(odd)
    doctor(odd)
    shown = doctor(odd, "--fix", "--dry-run")
    assert "-status: 04_QA---\n+status: 04_QA\n+---\n" in shown
    assert "--- a/_WORK_ORDERS/04_QA/WO-906_Paper_Cards.md" in shown
    assert contents(odd) == before
    assert git(odd, "log", "--oneline").count("\n") == 1


def test_the_diff_is_one_that_git_applies(odd: Path, tmp_path_factory: Any) -> None:
    told = as_json(odd, "--dry-run")
    patch = tmp_path_factory.mktemp("patch") / "p.diff"
    patch.write_text(told["diff"], encoding="utf-8")
    git(odd, "apply", str(patch))
    by_patch = contents(odd)
    git(odd, "checkout", "-q", ".")
    doctor(odd, "--fix")
    assert contents(odd) == by_patch


def test_json_gives_every_finding_with_its_repair(odd: Path) -> None:
    told = as_json(odd)
    by_code = {f["code"]: f for f in told["findings"]}
    assert list(by_code["yaml-colon"]) == [
        *("code", "path", "line", "message", "hint", "note", "repair", "applied"),
    ]
    assert (by_code["yaml-colon"]["line"], by_code["yaml-colon"]["repair"]) == (10, "certain")
    assert by_code["owner-multiple"]["repair"] == "offered"
    assert by_code["key-alias"]["note"]
    assert (told["healthy"], told["tickets"], told["commit"]) == (False, 27, None)


def test_a_healthy_board_and_harmless_notes_end_with_0(tmp_path: Path) -> None:
    lay(tmp_path, "03_BUILD/WO-1_x.md", "---\nid: WO-1\nstatus: 03_BUILD\n---\n# T\n")
    assert "1 ticket, no problems" in doctor(tmp_path, code=0)
    lay(tmp_path, "03_BUILD/WO-2_x.md", "---\nwo: WO-2\nstatus: 03_BUILD\n---\n# T\n")
    assert "2 tickets, 0 problems, 1 harmless note; " in doctor(tmp_path, code=0)


def test_codes_are_grouped_with_counts_and_few_lines(tmp_path: Path) -> None:
    for number in range(300):
        lay(tmp_path, f"03_BUILD/WO-{number}_x.md", "---\nstatus: 04_QA\n---\n# T\n")
    shown = doctor(tmp_path)
    assert "status-drift  300  status and folder disagree" in shown
    assert "no-id  300" in shown
    assert "… and 292 more (--json for all)" in shown
    assert shown.count("\n") < 30


def test_8_4_a_ticket_cannot_steer_the_terminal(tmp_path: Path) -> None:
    lay(tmp_path, "03_BUILD/WO-1_\x1b[2Jx.md", '---\nstatus: "a\\e[2J"\nx: no\n---\n\x1b]0;t\x07')
    for words in ((), ("--fix", "--with", "status-unknown")):
        assert "\x1b" not in doctor(tmp_path, *words, code=0 if words else 1)


def test_one_ticket_and_one_that_is_not_there(odd: Path) -> None:
    told = as_json(odd, "WO-906")
    assert {f["code"] for f in told["findings"]} == {"closing-fence-glued"}
    doctor(odd, "WO-906", "--fix", code=0)
    assert git(odd, "show", "--name-only", "--format=").split() == [
        "_WORK_ORDERS/04_QA/WO-906_Paper_Cards.md"
    ]
    assert "no-such-ticket" in doctor(odd, "WO-4711", "--json")


def test_a_code_without_a_repair_is_refused(odd: Path) -> None:
    assert "no fix for stale" in doctor(odd, "--with", "stale", "--json", code=2)


# -- mending -----------------------------------------------------------------------------------


def test_a_fix_is_one_commit_that_can_be_reverted_and_a_second_does_nothing(odd: Path) -> None:
    before = contents(odd)
    told = as_json(odd, "--fix")
    assert git(odd, "status", "--porcelain") == ""
    assert git(odd, "log", "--format=%h").split()[1:] != []
    assert git(odd, "rev-parse", "HEAD").startswith(told["commit"])
    applied = {f["path"] for f in told["findings"] if f["applied"]}
    assert set(git(odd, "show", "--name-only", "--format=").split()) == applied
    fixed = contents(odd)
    again = as_json(odd, "--fix")
    assert (again["diff"], again["commit"]) == ("", None)
    assert [f for f in again["findings"] if f["repair"] == "certain"] == []
    assert contents(odd) == fixed
    git(odd, "revert", "--no-edit", "HEAD")
    assert contents(odd) == before


def test_all_that_is_offered_can_be_chosen_and_leaves_a_healthy_board(odd: Path) -> None:
    before = contents(odd)
    offered = {f["code"] for f in as_json(odd)["findings"] if f["repair"] == "offered"}
    words = [word for code in sorted(offered) for word in ("--with", code)]
    told = as_json(odd, "--fix", *words, code=0)
    assert told["healthy"]
    assert (odd / "_WORK_ORDERS/98_HOLD/WO-922_Picture_Jump.md").exists()
    assert not (odd / "_WORK_ORDERS/03_BUILD/WO-922_Picture_Jump.md").exists()
    assert git(odd, "status", "--porcelain") == ""
    git(odd, "revert", "--no-edit", "HEAD")
    assert contents(odd) == before


def test_what_git_does_not_have_is_left_alone_unless_there_is_no_commit(odd: Path) -> None:
    edited = odd / "_WORK_ORDERS/04_QA/WO-906_Paper_Cards.md"
    edited.write_bytes(edited.read_bytes() + b"mine\n")
    new = lay(odd, "06_COMPLETE/WO-77_x y.md", "---\nid: WO-77\nstatus: 03_BUILD\n---\n# T\n")
    held = edited.read_bytes(), new.read_bytes()
    shown = doctor(odd, "--fix")
    assert (edited.read_bytes(), new.read_bytes()) == held
    assert "WO-77_x y.md: it has uncommitted changes" in shown
    told = as_json(odd, "--fix", "--no-commit")
    assert (told["commit"], told["left_alone"]) == (None, {})
    assert edited.read_bytes().endswith(b"mine\n")
    assert b"status: 04_QA\n---\n" in edited.read_bytes()
    assert b"status: 06_COMPLETE\n" in new.read_bytes()


def test_the_users_staged_changes_stay_out_of_the_commit(odd: Path) -> None:
    (odd / "other.txt").write_text("mine\n", encoding="utf-8")
    git(odd, "add", "other.txt")
    doctor(odd, "--fix")
    assert "other.txt" not in git(odd, "show", "--name-only", "--format=")
    assert git(odd, "status", "--porcelain") == "A  other.txt\n"


def test_8_3_a_merge_in_progress_is_waited_for(odd: Path) -> None:
    (odd / ".git/MERGE_HEAD").write_text("0" * 40 + "\n", encoding="utf-8")
    before = contents(odd)
    assert json.loads(doctor(odd, "--fix", "--json"))["error"]["code"] == "busy"
    assert contents(odd) == before


def test_without_git_it_is_mended_and_nothing_committed(tmp_path: Path) -> None:
    path = lay(tmp_path, "06_COMPLETE/WO-1_x.md", "---\nid: WO-1\nstatus: 03_BUILD\n---\n# T\n")
    assert as_json(tmp_path, "--fix", code=0)["commit"] is None
    assert b"status: 06_COMPLETE" in path.read_bytes()


def test_the_staler_of_two_identical_copies_is_put_away_not_deleted(tmp_path: Path) -> None:
    text = "---\nid: WO-1\nstatus: 03_BUILD\n---\n# T\n"
    old, new = lay(tmp_path, "00_INBOX/WO-1_x.md", text), lay(tmp_path, "03_BUILD/WO-1_x.md", text)
    # the copy was written later, but the status says which one was meant
    os.utime(new, (1, 1))
    commit(tmp_path)
    told = as_json(tmp_path, "--fix", "--with", "twin", code=0)
    assert "removed: _WORK_ORDERS/00_INBOX/WO-1_x.md" in told["diff"]
    assert (old.exists(), new.read_text(encoding="utf-8")) == (False, text)
    [kept] = (tmp_path / ".orchestrate/state/displaced").iterdir()
    assert kept.read_text(encoding="utf-8") == text
    assert git(tmp_path, "status", "--porcelain") == ""


def test_copies_that_differ_are_not_put_away(tmp_path: Path) -> None:
    for folder in ("00_INBOX", "03_BUILD"):
        lay(tmp_path, f"{folder}/WO-1_x.md", f"---\nid: WO-1\nstatus: {folder}\n---\n# T\n")
    before = contents(tmp_path)
    assert as_json(tmp_path, "--fix", "--with", "twin")["diff"] == ""
    assert contents(tmp_path) == before


def test_8_2_an_edit_that_comes_between_is_merged(odd: Path) -> None:
    board = Board(odd)
    examined = examine(board, Settings())
    wanted = plan_fixes(board, examined)
    path = odd / "_WORK_ORDERS/04_QA/WO-906_Paper_Cards.md"
    path.write_bytes(path.read_bytes() + b"saved meanwhile\n")
    apply_fixes(board, examined, wanted, commit=False)
    assert b"status: 04_QA\n---\n" in path.read_bytes()
    assert path.read_bytes().endswith(b"saved meanwhile\n")


def test_a_ticket_that_vanishes_or_is_held_does_not_stop_the_rest(odd: Path) -> None:
    board = Board(odd)
    examined = examine(board, Settings())
    wanted = plan_fixes(board, examined)
    (odd / "_WORK_ORDERS/04_QA/WO-906_Paper_Cards.md").unlink()
    with family_lock(odd / ".orchestrate/state", "WO-903"):
        done = apply_fixes(board, examined, wanted, commit=False)
    assert set(done.left) == {
        "_WORK_ORDERS/04_QA/WO-906_Paper_Cards.md",
        "_WORK_ORDERS/04_QA/WO-903_Late-Fee-Rule.md",
    }
    assert len(done.applied) == len(wanted.fixed) - 2


def test_a_loss_is_told_by_the_next_look_also_by_one_that_mends(odd: Path) -> None:
    doctor(odd)
    name = "_WORK_ORDERS/03_BUILD/WO-901_Return_Date_Closed_Days.md"
    git(odd, "rm", "-q", name)
    git(odd, "commit", "-qm", "away with it")
    doctor(odd, "--dry-run")
    doctor(odd, "WO-906")
    told = as_json(odd, "--fix")
    [lost] = [f for f in told["findings"] if f["code"] == "lost"]
    git(odd, *lost["hint"].split()[1:])
    assert (lost["path"], (odd / name).exists()) == (name, True)


# -- conducted families ------------------------------------------------------------------------


@pytest.fixture
def family(tmp_path: Path) -> Workspace:
    """A family that waits at its first checkpoint."""
    workspace = Workspace(tmp_path)
    workspace.conductor().run("WO-512")
    return workspace


def test_a_family_that_is_conducted_is_healthy(family: Workspace) -> None:
    assert as_json(family.root, code=0)["findings"] == []


def test_2_1_of_a_conducted_family_only_the_form_is_mended(family: Workspace) -> None:
    parent, child = family.file("WO-512"), family.file("WO-512b")
    child.write_bytes(b"\n" + child.read_bytes())
    family.edit("WO-512", "zebra: last", "zebra: no")
    family.edit("WO-512", "status: 05_USER_REVIEW", "status: APPROVED")
    family.edit("WO-512b", "failure_count: 0", "failure_count: 2")
    before = parent.read_bytes()
    certain_and_more = ("--with", "status-unknown", "--with", "strike-limit")
    as_json(family.root, "--fix", *certain_and_more, code=0)
    assert parent.read_bytes() == before.replace(b"zebra: no", b"zebra: false")
    assert child.read_bytes().startswith(b"---\n")
    assert b"failure_count: 2" in child.read_bytes()
    [record] = [ConductedFamily.of(t) for t in Board(family.root).tickets() if t.conducted]
    assert record.flow is not None


def test_the_familys_lock_is_taken_for_its_members(family: Workspace) -> None:
    child = family.file("WO-512b")
    child.write_bytes(b"\n" + child.read_bytes())
    with family_lock(family.root / ".orchestrate/state", "WO-512"):
        told = as_json(family.root, "--fix")
    assert list(told["left_alone"]) == [child.relative_to(family.root).as_posix()]
    assert child.read_bytes().startswith(b"\n")


def test_a_board_of_many_odd_tickets_is_mended_once(tmp_path: Path) -> None:
    for turn in range(8):
        for name, place in PLACES.items():
            data = (ODD / name).read_text(encoding="utf-8").replace("WO-9", f"WO-{turn}9")
            lay(tmp_path, place.replace("WO-9", f"WO-{turn}9"), data)
    promised = [f for f in as_json(tmp_path)["findings"] if f["repair"] == "certain"]
    assert len(promised) >= 8 * 8
    first = as_json(tmp_path, "--fix")
    applied = {(f["code"], f["path"]) for f in first["findings"] if f["applied"]}
    assert applied == {(f["code"], f["path"]) for f in promised}
    second = as_json(tmp_path, "--fix")
    assert second["diff"] == ""
    assert [f for f in second["findings"] if f["repair"] == "certain"] == []
