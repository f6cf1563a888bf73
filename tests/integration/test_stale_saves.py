"""DESIGN 8.2: no edit of a person is lost or refused, from whatever version it was made."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.domain.agent import Job, Report
from orchestrator.domain.states import FolderRole
from orchestrator.errors import TicketError
from orchestrator.family import stale_writes
from orchestrator.family.additions import Additions
from orchestrator.family.family import Family
from orchestrator.storage import atomic, written
from orchestrator.storage.versions import KEPT, Versions
from orchestrator.tickets.board import Board
from tests.boards import Workspace

ROOT = Path(__file__).resolve().parent.parent.parent
LINE = "A person wrote this."


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    """A family that waits at its first checkpoint."""
    work = Workspace(tmp_path)
    work.conductor().run("WO-512")
    return work


def edited(path: Path, line: str = "A line more.") -> bytes:
    """What an editor holds that has the file open."""
    return path.read_bytes().replace(LINE.encode(), f"{LINE}\n{line}".encode())


def unmarked(text: bytes) -> bytes:
    """A merged text without the mark that tells it from the one before."""
    return re.sub(rb"^  # saves merged: \w+\n", b"", text, count=1, flags=re.MULTILINE)


def told(work: Workspace) -> str:
    return "\n".join(e.text for e in work.events if e.kind == "notice")


# -- at the moment of a kill -----------------------------------------------------------------------


def left_by_a_kill(path: Path, text: bytes) -> None:
    """What a killed process had in its hands when it replaced a ticket."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    path.with_name(f".orchestrate-{gone.pid}-00.tmp").write_bytes(text)


def test_a_save_that_a_killed_process_had_displaced_is_merged(work: Workspace) -> None:
    path = work.file("WO-512")
    left_by_a_kill(path, edited(path))
    work.conductor().run("WO-512")
    assert b"A line more." in work.file("WO-512").read_bytes()
    assert "is merged into" in told(work)


def test_what_a_killed_process_was_about_to_write_is_not(work: Workspace) -> None:
    path = work.file("WO-512")
    before = path.read_bytes()
    # it had not come to put it in its place: only a part of it is there
    written.remember(path, edited(path) + b"and so on")
    left_by_a_kill(path, edited(path))
    work.conductor().run("WO-512")
    assert work.file("WO-512").read_bytes() == before
    (kept,) = (work.root / ".orchestrate/state/displaced").iterdir()
    assert b"A line more." in kept.read_bytes()
    assert str(kept.relative_to(work.root)) in told(work)


def test_nor_is_the_text_that_it_had_read(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    first = work.file("WO-512").read_bytes()
    work.conductor().run("WO-512")
    before = work.file("WO-512").read_bytes()
    # it was killed before it could keep what it had replaced
    shutil.rmtree(tmp_path / ".orchestrate/state/bases")
    left_by_a_kill(work.file("WO-512"), first)
    work.conductor().run("WO-512")
    assert work.file("WO-512").read_bytes() == before
    assert not list(work.root.rglob("*.conflict-*"))


def test_what_it_had_put_in_its_place_is_no_save(tmp_path: Path) -> None:
    """It is most like a version from before the section that it folded."""
    (tmp_path / ".orchestrate").mkdir()
    path = tmp_path / "WO-1_x.md"
    texts = [
        b"---\nid: WO-1\nflow:\n  revision: %d\n---\n# A\n" % n + b"q\n" * (20 if n == 2 else n)
        for n in (1, 2, 3)
    ]
    versions = Versions(tmp_path, path.name)
    versions.remember(texts[0])
    versions.remember(texts[1])
    assert stale_writes.merge_stale_save(tmp_path, path, texts[2]) is not None
    written.remember(path, texts[2])
    assert stale_writes.merge_stale_save(tmp_path, path, texts[2]) is None


# -- at the same path ------------------------------------------------------------------------------


def test_a_save_of_an_older_version_keeps_what_was_written_since(work: Workspace) -> None:
    path = work.file("WO-512")
    held_open = edited(path)
    work.conductor().send_back("WO-512", note="another word")
    work.conductor().run("WO-512")
    path = work.file("WO-512")
    before = path.read_bytes()
    path.write_bytes(held_open)
    work.conductor().run("WO-512")
    text = unmarked(work.file("WO-512").read_bytes())
    assert text == before.replace(LINE.encode(), f"{LINE}\nA line more.".encode())
    assert "a save of an older version" in told(work)


def test_7_3_an_answer_in_a_save_of_an_older_version_is_not_taken(work: Workspace) -> None:
    path = work.file("WO-512")
    held_open = edited(path).replace(
        b"status: 05_USER_REVIEW", b"status: APPROVED\naccept: unproven"
    )
    work.conductor().send_back("WO-512", note="another word")
    work.conductor().run("WO-512")
    work.file("WO-512").write_bytes(held_open)
    outcome = work.conductor().run("WO-512")
    assert (outcome.outcome, outcome.stage) == ("waiting", 3)
    text = work.file("WO-512").read_text(encoding="utf-8")
    assert "status: 05_USER_REVIEW" in text
    assert "accept:" not in text
    assert "A line more." in text
    assert "`APPROVED` is not taken as an answer" in told(work)


def test_a_hold_in_a_save_of_an_older_version_is_a_wish(work: Workspace) -> None:
    path = work.file("WO-512b")
    held_open = path.read_bytes().replace(b"status: 03_BUILD", b"status: HOLD")
    work.conductor().approve("WO-512")
    work.conductor().run("WO-512")
    work.file("WO-512b").write_bytes(held_open)
    assert work.conductor().run("WO-512").outcome == "held"
    assert work.places()["WO-512b"] == "98_HOLD"


def test_an_edit_of_the_newest_version_is_left_as_it_is(work: Workspace) -> None:
    path = work.file("WO-512")
    saved = edited(path)
    path.write_bytes(saved)
    work.conductor().run("WO-512")
    assert path.read_bytes() == saved
    assert "older version" not in told(work)


@pytest.fixture
def merged(work: Workspace) -> Workspace:
    """A family into whose parent a save of an older version was merged."""
    held_open = edited(work.file("WO-512"))
    work.conductor().send_back("WO-512", note="another word")
    work.conductor().run("WO-512")
    work.file("WO-512").write_bytes(held_open)
    work.conductor().run("WO-512")
    assert "A line more." in work.file("WO-512").read_text(encoding="utf-8")
    work.events.clear()
    return work


@pytest.mark.parametrize(
    ("old", "new"),
    [("A line more.", ""), ("A line more.", "A line less."), (f"{LINE}\n", ""), ("# Two", "# No")],
)
def test_what_is_made_from_a_merged_text_is_current(merged: Workspace, old: str, new: str) -> None:
    merged.edit("WO-512", old, new)
    saved = merged.file("WO-512").read_bytes()
    merged.conductor().run("WO-512")
    assert merged.file("WO-512").read_bytes() == saved
    merged.edit("WO-512", "status: 05_USER_REVIEW", "status: APPROVED")
    merged.conductor().run("WO-512")
    text = merged.file("WO-512").read_text(encoding="utf-8")
    assert (old in text, new in text) == (False, True)
    assert "is merged" not in told(merged)
    assert "not taken" not in told(merged)


def test_what_is_made_from_before_a_merge_is_merged_as_well(work: Workspace) -> None:
    held_open = edited(work.file("WO-512"))
    work.conductor().send_back("WO-512", note="another word")
    work.conductor().run("WO-512")
    reopened = work.file("WO-512").read_bytes() + b"And one more.\n"
    work.file("WO-512").write_bytes(held_open)
    work.conductor().run("WO-512")
    work.file("WO-512").write_bytes(reopened)
    work.conductor().run("WO-512")
    text = work.file("WO-512").read_text(encoding="utf-8")
    assert ("A line more." in text, "And one more." in text) == (True, True)


# -- at a path that the ticket has left ------------------------------------------------------------


@pytest.mark.parametrize("member", ["WO-512", "WO-512b"])
def test_a_save_at_the_old_path_is_merged_into_the_living_ticket(
    work: Workspace, member: str
) -> None:
    path = work.file(member)
    held_open = path.read_bytes() + b"\nA line more.\n"
    work.conductor().approve("WO-512")
    work.conductor().run("WO-512")
    before = work.file(member).read_bytes()
    assert not path.exists() or member == "WO-512"
    stray = path if not path.exists() else path.parents[1] / "01_TRIAGE" / path.name
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(held_open)
    work.conductor().run("WO-512")
    text = unmarked(work.file(member).read_bytes())
    assert b"A line more." in text
    assert text.replace(b"\nA line more.\n", b"") == before
    assert "is merged into" in told(work)


def test_a_line_that_a_save_at_the_old_path_never_had_is_not_taken_away(work: Workspace) -> None:
    path = work.file("WO-512")
    line = next(e for e in path.read_bytes().splitlines(keepends=True) if LINE.encode() in e)

    def with_lines(*lines: bytes) -> bytes:
        return held_open.replace(line, b"".join([line, *(text + b"\n" for text in lines)]))

    held_open = path.read_bytes()
    path.write_bytes(with_lines(b"Second.", b"First.", b"Zeroth."))
    work.conductor().approve("WO-512")
    work.conductor().run("WO-512")
    stray = path.parents[1] / "01_TRIAGE" / path.name
    stray.parent.mkdir(exist_ok=True)
    # made when there were only the last two, which nobody but the person has seen
    stray.write_bytes(with_lines(b"Third.", b"First.", b"Zeroth."))
    work.conductor().run("WO-512")
    lines = work.file("WO-512").read_text(encoding="utf-8").splitlines()
    ours = ("Zeroth.", "First.", "Second.", "Third.")
    assert [lines.count(line) for line in ours] == [1, 1, 1, 1]


def test_a_save_at_the_old_path_is_made_from_what_its_editor_wrote_into_the_moved_ticket(
    work: Workspace,
) -> None:
    path = work.file("WO-512")
    opened = edited(path, "first\n")
    path.write_bytes(opened)
    work.conductor().approve("WO-512")
    work.conductor().run("WO-512")
    # an editor that had the file itself open as it left wrote into it where it was then
    without = opened.replace(b"first\n", b"")
    versions = Versions(work.root, path.name)
    atomic.create(versions.slot("01_TRIAGE"), opened)
    atomic.create(versions.slot("03_BUILD"), without)
    text = path.read_bytes()
    assert text.count(b"first\n") == 1
    path.write_bytes(text.replace(b"first\n", b"here 1\nhere 2\n"))
    # and saves at the path that it knows
    stray = path.parents[1] / "01_TRIAGE" / path.name
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(without.replace(LINE.encode(), f"{LINE}\nthere 1\nthere 2\n".encode()))
    work.conductor().run("WO-512")
    lines = work.file("WO-512").read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if line.startswith(("first", "here", "there"))]
    assert sorted(found) == ["here 1", "here 2", "there 1", "there 2"]
    assert not list(work.root.rglob("*.conflict-*"))


def test_a_file_that_has_nothing_in_common_is_set_aside_and_told(work: Workspace) -> None:
    path = work.file("WO-512")
    stray = path.parents[1] / "04_QA" / path.name
    stray.parent.mkdir(exist_ok=True)
    stray.write_text("---\nid: WO-512\n---\nSomething else altogether.\n", encoding="utf-8")
    before = path.read_bytes()
    work.conductor().run("WO-512")
    assert path.read_bytes() == before
    (aside,) = path.parent.glob("WO-512.conflict-*.md")
    assert "Something else altogether." in aside.read_text(encoding="utf-8")
    assert "nothing in common" in told(work)


def test_an_old_version_where_the_ticket_is_to_go_is_not_taken_for_the_ticket(
    work: Workspace,
) -> None:
    """The question of checkpoint 1 lay in USER_REVIEW; that of checkpoint 2 is to lie there too."""
    path = work.file("WO-512")
    held_open = edited(path)

    def late(job: Job) -> Report:
        path.write_bytes(held_open)
        return work.builder.write(job, "second")

    work.builder.act = late
    work.conductor().approve("WO-512")
    for _ in range(2):
        try:
            outcome = work.conductor().run("WO-512")
        except TicketError:
            continue
    assert outcome.stage == 7
    text = work.file("WO-512").read_text(encoding="utf-8")
    assert "A line more." in text
    assert "question 2" in text


def test_two_tickets_with_one_id_are_nobodys_stray(work: Workspace) -> None:
    other = work.root / "_WORK_ORDERS/00_INBOX/WO-512_Another_Name.md"
    other.write_text("---\nid: WO-512\n---\nAnother.\n", encoding="utf-8")
    with pytest.raises(TicketError, match="2 files have the id"):
        work.conductor().run("WO-512")
    assert other.read_text(encoding="utf-8").endswith("Another.\n")


def test_8_1_a_save_that_was_taken_away_before_a_kill_is_merged_later(work: Workspace) -> None:
    path = work.file("WO-512")
    away = work.root / ".orchestrate/state/strays" / f"{path.name}.1.pending"
    away.parent.mkdir(parents=True)
    away.write_bytes(edited(path))
    work.conductor().run("WO-512")
    assert "A line more." in path.read_text(encoding="utf-8")
    assert not away.exists()


# -- versions --------------------------------------------------------------------------------------


def test_only_so_many_versions_are_kept(work: Workspace) -> None:
    path = work.file("WO-512")
    versions = Versions(work.root, path.name)
    for n in range(KEPT + 5):
        data = path.read_bytes()
        atomic.replace(
            path, data + f"{n}\n".encode(), data, stale_writes.replace_options(work.root, path)
        )
    versions.trim()
    assert len(versions.known()) == KEPT + 2
    # and the two of what was written last
    assert len(list(versions.folder.iterdir())) == KEPT + 2


def test_what_was_written_last_outlives_a_write_that_was_cut_off(tmp_path: Path) -> None:
    versions = Versions(tmp_path, "WO-1.md")
    for n in range(5):
        versions.remember(f"text {n}\n".encode(), f"text {n - 1}\n".encode())
    assert versions.last() == b"text 4\n"
    assert sorted(p.name for p in versions.folder.iterdir()) == ["last-0", "last-1"]
    newest = next(p for p in versions.folder.iterdir() if b"text 4" in p.read_bytes())
    newest.write_bytes(newest.read_bytes()[:-3])
    assert versions.last() == b"text 3\n"
    newest.write_bytes(b"")
    assert versions.last() == b"text 3\n"


def test_a_version_that_a_person_wrote_over_is_kept_as_well(tmp_path: Path) -> None:
    versions = Versions(tmp_path, "WO-1.md")
    versions.remember(b"one\n")
    versions.remember(b"two\n", b"one, and a person's line\n")
    versions.remember(b"three\n", b"two\n")
    versions.remember(b"four\n", b"three\n")
    assert versions.known() == [b"four\n", b"three\n", b"one\n"]


def test_a_save_between_two_writes_is_the_newer_one_of_its_record(tmp_path: Path) -> None:
    versions = Versions(tmp_path, "WO-1.md")
    for written_then, saved in ((b"one\n", b"one, saved\n"), (b"two\n", b"two, saved\n")):
        versions.remember(written_then)
        atomic.create(versions.slot("03_BUILD"), saved)
    versions.remember(b"three\n", b"two, saved\n")
    kept = [b"three\n", b"two, saved\n", b"two\n", b"one, saved\n", b"one\n"]
    assert list(dict.fromkeys(versions.known())) == kept
    assert list(versions.seen_at("03_BUILD", "04_QA")) == [b"two, saved\n", b"one, saved\n"]


def test_the_next_save_of_an_editor_is_made_from_the_one_that_was_taken(tmp_path: Path) -> None:
    (tmp_path / ".orchestrate").mkdir()
    path = tmp_path / "03_BUILD" / "WO-1_x.md"
    opened, written_since = (
        b"---\nid: WO-1\nflow:\n  revision: %d\n---\n# A\n\none\ntwo\nthree\n" % revision
        for revision in (1, 2)
    )
    versions = Versions(tmp_path, path.name)
    versions.remember(opened)
    # its first save was there when the ticket was written again
    first = opened.replace(b"two\n", b"")
    atomic.create(versions.slot("03_BUILD"), first)
    versions.remember(written_since.replace(b"two\n", b""), first)
    merged, notice = stale_writes.merge_stale_save(
        tmp_path, path, first.replace(b"three\n", b"two and a half\nthree\n")
    ) or (b"", "")
    assert b"one\ntwo and a half\nthree\n" in merged
    assert "both changed" not in notice


def test_a_save_is_not_made_from_what_was_saved_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / ".orchestrate").mkdir()
    path = tmp_path / "06_COMPLETE" / "WO-1_x.md"
    opened = b"---\nid: WO-1\nflow:\n  revision: 1\n---\n# A\n\n- one\n"
    versions = Versions(tmp_path, path.name)
    versions.remember(opened)
    # two people add lines at the top, one of them where the ticket was before
    here = opened.replace(b"- one\n", b"- here\n- one\n")
    elsewhere = opened.replace(b"- one\n", b"- elsewhere\n- one\n")
    both = opened.replace(b"revision: 1", b"revision: 2").replace(
        b"- one\n", b"- elsewhere\n- here\n- one\n"
    )
    atomic.create(versions.slot("06_COMPLETE"), here)
    versions.remember(both, here)
    # it is kept once it is merged, later than what it was merged into
    atomic.create(versions.slot("05_USER_REVIEW", forked=True), elsewhere)
    more = here.replace(b"- here\n", b"- more\n- here\n")
    merged, _ = stale_writes.merge_stale_save(tmp_path, path, more) or (b"", "")
    lines = sorted(line for line in merged.splitlines() if line.startswith(b"- "))
    assert lines == [b"- elsewhere", b"- here", b"- more", b"- one"]


@pytest.mark.parametrize("when", ["before the look", "after the look", "across the move"])
def test_what_was_saved_right_before_a_move_is_what_a_save_at_the_old_path_is_made_from(
    work: Workspace, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    watch, move, saved = atomic.watch, Board.move, list[bytes]()
    looks, looked_at = atomic.Watched.holds, list[Path]()

    def save(path: Path) -> None:
        if not saved:
            saved.append(edited(path, "first"))
            path.write_bytes(saved[0])

    @contextlib.contextmanager
    def look(path: Path) -> Iterator[atomic.Watched]:
        if when == "before the look":
            save(path)
        with watch(path) as watched:
            looked_at.append(path)
            yield watched

    def save_after_look(watched: atomic.Watched, data: bytes) -> bool:
        holds = looks(watched, data)
        if when == "after the look" and not saved:
            # by renaming over it: nobody is kept out of that
            beside = looked_at[-1].with_name("beside")
            saved.append(edited(looked_at[-1], "first"))
            beside.write_bytes(saved[0])
            beside.replace(looked_at[-1])
            # longer than what file systems count as one moment
            time.sleep(0.02)
        return holds

    def save_around(
        board: Board, source: Path, role: FolderRole, later: set[Path] | None = None
    ) -> Path:
        if not saved and when == "across the move":
            threading.Thread(target=save, args=(source,)).start()
            # it waits for the look to end, and has opened the file by its old path
            time.sleep(0.1)
        target = move(board, source, role, later)
        if len(saved) == 1:
            # an editor that had it open where it was takes the line out, and adds another one
            saved.append(saved[0].replace(b"\nfirst", b"\nsecond"))
            source.write_bytes(saved[1])
        return target

    monkeypatch.setattr(atomic, "watch", look)
    monkeypatch.setattr(atomic.Watched, "holds", save_after_look)
    monkeypatch.setattr(Board, "move", save_around)
    work.conductor().approve("WO-512")
    work.conductor().run("WO-512")
    text = work.file("WO-512").read_text(encoding="utf-8")
    assert len(saved) == 2
    assert f"{LINE}\nsecond" in text
    assert "\nfirst" not in text


def test_of_two_versions_with_its_record_the_newest_that_lay_there_is_the_base(
    tmp_path: Path,
) -> None:
    (tmp_path / ".orchestrate").mkdir()
    path = tmp_path / "05_USER_REVIEW" / "WO-1_x.md"
    text = "---\nid: WO-1\nflow:\n  revision: {}\n---\n# A\n\n{}"

    def version(revision: int, *words: str) -> bytes:
        return text.format(revision, "".join(f"- {word}\n" for word in words)).encode()

    versions = Versions(tmp_path, path.name)
    versions.remember(version(1, "a", "b"))
    # somebody saved there while the ticket was elsewhere, which is merged; then it came back
    atomic.create(
        versions.slot("05_USER_REVIEW", forked=True), version(1, "x", "y", "z", "w", "a", "b")
    )
    versions.remember(version(2, "x", "y", "z", "w", "a", "b"), version(1, "a", "b"))
    saved = version(1, "new", "z", "w", "a", "b")
    merged, _ = stale_writes.merge_stale_save(tmp_path, path, saved) or (b"", "")
    assert merged.endswith(b"\n- new\n- z\n- w\n- a\n- b\n")


def test_a_save_before_a_move_that_fails_is_merged_with_the_ones_after_it(tmp_path: Path) -> None:
    (tmp_path / ".orchestrate").mkdir()
    path = tmp_path / "04_QA" / "WO-1_x.md"
    opened = b"---\nid: WO-1\nflow:\n  revision: 1\n---\n# A\n\n- one\n"
    versions = Versions(tmp_path, path.name)
    versions.remember(opened)
    atomic.create(path, opened)
    first = opened.replace(b"- one\n", b"- first\n- one\n")
    written = opened.replace(b"revision: 1", b"revision: 2")
    atomic.create(versions.slot("04_QA"), opened)
    versions.remember(written, opened)
    # saved over it right before the move, which another file of its name then prevented
    path.write_bytes(first)
    stale_writes.keep_before_move(tmp_path, path, written)
    second = first.replace(b"- first\n", b"- second\n- first\n")
    merged, _ = stale_writes.merge_stale_save(tmp_path, path, second) or (b"", "")
    assert b"- second\n- first\n- one\n" in merged
    # once it has been elsewhere, what is saved where it was is made from what lay there
    assert first not in versions.known("04_QA")
    atomic.create(versions.slot("05_USER_REVIEW"), merged)
    assert first in versions.known("04_QA")


@pytest.mark.timeout(600)
def test_8_2_hundreds_of_edits_against_the_daemon_and_none_is_lost() -> None:
    # a line that two change at once is set aside for its people, which is not counted here
    words = ("--edits=400", "--families=8", "--changes=0")
    done = subprocess.run(
        [sys.executable, "benchmarks/edits.py", *words],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    line = json.loads(done.stdout.splitlines()[-1])
    assert (line["lost"], line["only_set_aside"], line["doubled"]) == (0, 0, 0), line
    assert (line["undone"], line["refused"], line["came_back"]) == (0, 0, 0), done.stderr
    assert (line["daemon_exit"], line["tickets"], line["twins"]) == (0, 8, 8)
    # lines that were added, and lines that were taken out or changed
    assert line["edits"] > 300
    assert line["taken_out"] > 20
    assert line["transitions_meanwhile"] > 40


def test_a_record_that_stays_keeps_what_tells_it_from_the_text_before(work: Workspace) -> None:
    work.conductor().run("WO-512")
    file = work.file("WO-512")
    text = file.read_text(encoding="utf-8")
    file.write_text(
        text.replace("flow:\n", "flow:\n  # saves merged: 0123abcd\n"), encoding="utf-8"
    )
    family = Family(Board(work.root), "WO-512")
    assert b"# saves merged" in family.preview("WO-512", family.flow, Additions())
    other = family.flow.evolve(revision=family.flow.revision + 1)
    assert b"# saves merged" not in family.preview("WO-512", other, Additions())
