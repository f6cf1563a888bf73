"""DESIGN 2.3, 8.2: files are replaced whole, moved without overwriting; no edit is lost."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import BusyError, UnsafePathError
from orchestrator.family.stale_writes import replace_options
from orchestrator.storage import atomic, syscalls
from orchestrator.storage.locks import family_lock
from orchestrator.storage.merge import merge_lines


@pytest.mark.parametrize("path", ["a.md", "sub/a.md", ".", "not/yet/there.md"])
def test_8_4_a_path_below_the_root_is_given_back_below_it(tmp_path: Path, path: str) -> None:
    assert atomic.inside(tmp_path, path) == tmp_path / path


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a/../b", "a\0b", "~/x"])
def test_8_4_a_path_that_leaves_the_root_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(UnsafePathError, match="leaves the workspace") as raised:
        atomic.inside(tmp_path, path)
    assert raised.value.code == "unsafe-path"
    assert raised.value.hint


def test_8_4_links_are_followed_inside_and_refused_outside(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "real").mkdir(parents=True)
    outside.mkdir()
    (root / "in").symlink_to("real")
    (root / "out").symlink_to(outside)
    (root / "loop").symlink_to("loop")
    assert atomic.inside(root, "in/a") == root / "real" / "a"
    for path in ("out/a", "out", "loop/a"):
        with pytest.raises(UnsafePathError):
            atomic.inside(root, path)


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert atomic.sha256_file(file) == atomic.sha256_bytes(b"abc") == known


# -- replace -------------------------------------------------------------------------------------


def _no_leftovers(folder: Path) -> bool:
    return not [p for p in folder.iterdir() if p.name.startswith(".orchestrate")]


def test_2_3_replace_keeps_the_mode_and_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "WO-1_x.md"
    file.write_bytes(b"old\n")
    file.chmod(0o640)
    result = atomic.replace(file, b"new\n", b"old\n")
    assert (file.read_bytes(), result.data, result.merged) == (b"new\n", b"new\n", False)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert _no_leftovers(tmp_path)


def test_replacing_with_the_same_bytes_does_not_touch_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_bytes(b"same\n")
    before = file.stat()
    atomic.replace(file, b"same\n", b"same\n")
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_8_2_an_edit_made_since_the_read_is_merged(tmp_path: Path) -> None:
    file = tmp_path / "WO-1_x.md"
    base = b"status: 03_BUILD\nowner: BUILDER\n\nbody\n"
    file.write_bytes(base.replace(b"body", b"body, said better"))
    result = atomic.replace(file, base.replace(b"03_BUILD", b"04_QA"), base)
    assert file.read_bytes() == b"status: 04_QA\nowner: BUILDER\n\nbody, said better\n"
    assert result.merged
    assert result.conflict is None


def test_8_2_an_edit_of_the_same_line_is_set_aside_whole(tmp_path: Path) -> None:
    file = tmp_path / "WO-231b_seed.md"
    file.write_bytes(b"status: APPROVED\nkept\n")
    result = atomic.replace(file, b"status: 04_QA\nkept\n", b"status: 03_BUILD\nkept\n")
    assert file.read_bytes() == b"status: 04_QA\nkept\n"
    assert result.conflict is not None
    assert result.conflict.name.startswith("WO-231b.conflict-")
    assert result.conflict.suffix == ".md"
    assert result.conflict.read_bytes() == b"status: APPROVED\nkept\n"


def test_8_2_a_save_between_look_and_rename_is_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.md"
    file.write_bytes(b"one\ntwo\n")
    saved: list[int] = []
    write = atomic._write_temporary

    def save_first(path: Path, data: bytes) -> Path:
        if not saved:
            saved.append(file.write_bytes(b"one\ntwo\nthree, by a person\n"))
        return write(path, data)

    monkeypatch.setattr(atomic, "_write_temporary", save_first)
    result = atomic.replace(file, b"ONE\ntwo\n", b"one\ntwo\n")
    assert file.read_bytes() == result.data == b"ONE\ntwo\nthree, by a person\n"
    assert _no_leftovers(tmp_path)


def test_8_2_a_save_that_was_read_half_done_takes_nothing_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "WO-1_x.md"
    base = b"status: 03_BUILD\nbody\nmore\n"
    # truncated by an editor that is slow to write
    file.write_bytes(b"")
    saved: list[int] = []
    write = atomic._write_temporary

    def save_first(path: Path, data: bytes) -> Path:
        if not saved:
            saved.append(file.write_bytes(base.replace(b"body", b"body, said better")))
        return write(path, data)

    monkeypatch.setattr(atomic, "_write_temporary", save_first)
    result = atomic.replace(file, base.replace(b"03_BUILD", b"04_QA"), base)
    assert file.read_bytes() == result.data == b"status: 04_QA\nbody, said better\nmore\n"
    assert [p.name for p in tmp_path.iterdir()] == [file.name]


def test_8_2_of_two_saves_that_changed_one_line_the_newest_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "WO-1_x.md"
    base = b"flow:\n  revision: 1\nbody\n"
    new = b"flow:\n  revision: 2\nbody\n"
    file.write_bytes(base)
    saves = [base.replace(b"body", b"body 1"), new.replace(b"body", b"body 2")]
    write = atomic._write_temporary

    def save_first(path: Path, data: bytes) -> Path:
        if saves:
            file.write_bytes(saves.pop(0))
        return write(path, data)

    monkeypatch.setattr(atomic, "_write_temporary", save_first)
    result = atomic.replace(file, new, base, replace_options(tmp_path, file))
    # the text that was on disk in between is distinguished from this one
    unmarked = re.sub(rb"  # saves merged: \w+\n", b"", result.data)
    assert file.read_bytes() == result.data
    assert unmarked == new.replace(b"body", b"body 2")
    assert result.conflict is not None
    assert b"body 1" in result.conflict.read_bytes()


def test_8_2_nobody_opens_a_file_for_writing_while_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_bytes(b"whole\n")
    opened = threading.Event()

    def save() -> None:
        with file.open("wb") as editor:
            opened.set()
            editor.write(b"new\n")

    thread = threading.Thread(target=save)
    with file.open("rb") as reader, syscalls.keep_writers_out(reader.fileno()) as writers:
        assert writers.none
        assert not writers.came()
        thread.start()
        assert not opened.wait(0.1)
        assert reader.read() == b"whole\n"
        assert writers.came()
    thread.join()
    with (
        file.open("ab"),
        file.open("rb") as reader,
        syscalls.keep_writers_out(reader.fileno()) as writers,
    ):
        assert not writers.none
        assert writers.came()


def test_8_2_a_writer_that_had_the_file_open_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_bytes(b"one\ntwo\n")
    editor = file.open("ab", buffering=0)

    def finish() -> None:
        with editor:
            editor.write(b"three, saved late\n")

    late = threading.Timer(0.2, finish)
    late.start()
    atomic.replace(file, b"ONE\ntwo\n", b"one\ntwo\n")
    late.join()
    assert file.read_bytes() == b"ONE\ntwo\nthree, saved late\n"


def test_8_2_two_that_edit_one_file_at_once_lose_no_line(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_bytes(b"start\n")

    def add(who: str) -> None:
        for n in range(5):
            base = atomic.read(file)
            atomic.replace(file, base + f"{who}{n}\n".encode(), base)

    _together(lambda: add("a"), lambda: add("b"))
    lines = file.read_text(encoding="utf-8").split()
    assert sorted(lines) == sorted(["start", *(f"{who}{n}" for who in "ab" for n in range(5))])


def test_replace_works_where_the_system_cannot_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscalls, "_libc_renameat2", lambda: None)
    file = tmp_path / "a.md"
    file.write_bytes(b"one\ntwo\n")
    atomic.replace(file, b"ONE\ntwo\n", b"one\ntwo\n")
    assert file.read_bytes() == b"ONE\ntwo\n"
    assert _no_leftovers(tmp_path)


def _together(*works: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_file_that_has_left_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic.replace(tmp_path / "gone.md", b"new", b"old")
    assert list(tmp_path.iterdir()) == []


def test_8_4_a_link_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x")
    link = tmp_path / "link.md"
    link.symlink_to("real")
    with pytest.raises(UnsafePathError, match="is a link"):
        atomic.replace(link, b"new", b"x")
    assert (tmp_path / "real").read_bytes() == b"x"


def test_8_3_a_full_disk_is_said_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.md"
    file.write_bytes(b"old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for work in (
        lambda: atomic.replace(file, b"new", b"old"),
        lambda: atomic.create(tmp_path / "b.md", b"new"),
        lambda: atomic.append_lines(tmp_path / "log", ["{}"]),
    ):
        with pytest.raises(atomic.DiskError, match="disk is full") as raised:
            work()
        assert raised.value.code == "disk"
    assert file.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.md", "log"]
    assert (tmp_path / "log").read_bytes() == b""


# -- merge ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [
        (b"a\nb\nc\n", b"A\nb\nc\n", b"a\nb\nC\n", b"A\nb\nC\n"),
        (b"a\nb\n", b"A\nb\n", b"a\nB\n", b"A\nB\n"),
        (b"a\n", b"a\nours\n", b"a\ntheirs\n", b"a\ntheirs\nours\n"),
        (b"a\nb\n", b"a\nb\nours\n", b"b\n", b"b\nours\n"),
        (b"a\nb\n", b"a\nb\n", b"x\n", b"x\n"),
        (b"a\r\nb\r\n", b"A\r\nb\r\n", b"a\r\nB\r\n", b"A\r\nB\r\n"),
        (b"a\nlast", b"A\nlast", b"a\nmore\nlast", b"A\nmore\nlast"),
        (b"a\nb\n", b"a\nnew\nb\n", b"a\nnew\nb\n", b"a\nnew\nb\n"),
    ],
)
def test_edits_of_different_lines_merge(
    base: bytes, ours: bytes, theirs: bytes, merged: bytes
) -> None:
    assert merge_lines(base, ours, theirs) == (merged, True)


def test_of_two_edits_of_one_line_ours_stands_and_the_conflict_is_said() -> None:
    assert merge_lines(b"a\nb\n", b"1\nb\n", b"2\nb\nc\n") == (b"1\nb\nc\n", False)


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize(
    ("ours", "theirs", "merged"),
    [
        (b"a\nnew\nb\nc\n", b"c\n", b"new\nc\n"),
        (b"a\nb\nnew\nc\n", b"x\ny\n", b"x\ny\nnew\n"),
        (b"1\nc\n", b"a\nnew\nb\nc\n", b"1\nnew\nc\n"),
        (b"a\nnew\nb\nc\n", b"new\nc\nd\n", b"new\nc\nd\n"),
    ],
)
def test_what_is_inserted_among_changed_lines_is_kept(
    ours: bytes, theirs: bytes, merged: bytes, newest: bool
) -> None:
    assert merge_lines(b"a\nb\nc\n", ours, theirs, b"", newest) == (merged, True)


@pytest.mark.parametrize(
    ("one", "other", "merged"),
    [
        (b"new 1\nnew 2\nc\n", b"b\nc\n", b"new 1\nnew 2\nc\n"),
        (b"1\nb\nc\n", b"", b"1\n"),
        (b"a\nc\n", b"a\n2\n", b"a\n2\n"),
    ],
)
def test_of_two_saves_the_lines_of_one_outlive_that_the_other_deletes(
    one: bytes, other: bytes, merged: bytes
) -> None:
    assert merge_lines(b"a\nb\nc\n", one, other, b"", True) == (merged, True)
    assert merge_lines(b"a\nb\nc\n", other, one, b"", True) == (merged, True)


def test_of_two_saves_that_changed_a_line_what_one_added_to_it_stands() -> None:
    merged = merge_lines(b"a\nb\n", b"1\n2\n3\nb\n", b"4\nb\n", b"", True)
    assert merged == (b"4\n1\n2\n3\nb\n", True)
    # what stood there, and the newest took out, is not back
    merged = merge_lines(b"a\nb\n", b"a\n1\n2\n", b"3\n", b"", True)
    assert merged == (b"3\n1\n2\n", True)
    merged = merge_lines(b"owner: A\n", b"owner: B\nnote: x\n", b"owner: C\n", b"", True)
    assert merged == (b"owner: C\n", False)


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (b"status: open\nassignee: A\ntags:\n- a\n", b"status: open\nassignee: B\ntags:\n- a\n"),
        (b"status: open\n", b"status: open\ntags:\n- a\n- b\n"),
        (b"status: open\ntags: [a]\n", b"status: open\ntags:\n- a\n- b\n"),
        (b"status: done\nby: M\ntags:\n- a\n", b"by: T\nstatus: open\ntags:\n- a\n"),
    ],
)
def test_merged_frontmatter_is_never_broken(ours: bytes, theirs: bytes, newest: bool) -> None:
    base = b"---\nid: WO-1\nstatus: open\ntags:\n- a\n---\n# T\n\none\n"
    one = base.replace(b"status: open\ntags:\n- a\n", ours).replace(b"# T", b"# A title")
    other = base.replace(b"status: open\ntags:\n- a\n", theirs) + b"two\n"
    merged, clean = merge_lines(base, one, other, b"", newest)
    head = (other if newest else one).split(b"---\n")[1]
    assert merged == b"---\n" + head + b"---\n# A title\n\none\ntwo\n"
    assert not clean


def test_two_that_both_add_frontmatter_get_that_of_one() -> None:
    one, other = b"---\nstatus: a\n---\n# T\n", b"---\nstatus: b\n---\n# T\nmore\n"
    assert merge_lines(b"# T\n", one, other) == (one, False)
    assert merge_lines(b"# T\n", one, other, b"", True) == (other, False)


def test_of_two_saves_that_changed_a_line_the_newest_stands() -> None:
    assert merge_lines(b"a\nb\n", b"1\nb\n", b"2\nb\n", b"", True) == (b"2\nb\n", False)


_TEXT = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n"]), max_size=8).map(b"".join)


@given(_TEXT, _TEXT, _TEXT)
def test_a_clean_merge_with_oneself_or_the_base_is_exact(
    base: bytes, ours: bytes, theirs: bytes
) -> None:
    assert merge_lines(base, ours, base) == (ours, True)
    assert merge_lines(base, base, theirs) == (theirs, True)
    assert merge_lines(base, ours, ours) == (ours, True)
    merged, clean = merge_lines(base, ours, theirs)
    if clean and base == b"":
        # what both inserted stands once
        wanted = Counter(ours.splitlines()) | Counter(theirs.splitlines())
        assert wanted <= Counter(merged.splitlines()) <= Counter((ours + theirs).splitlines())


@given(
    st.permutations([b"a\n", b"b\n", b"c\n", b"d\n"]).map(b"".join),
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from([b"x\n", b"y\n"]))),
    _TEXT,
    st.booleans(),
)
def test_no_line_that_one_side_only_inserts_is_dropped(
    base: bytes, inserted: list[tuple[int, bytes]], theirs: bytes, newest: bool
) -> None:
    ours = base.splitlines(keepends=True)
    for at, line in inserted:
        ours.insert(at, line)
    for one, other in ((b"".join(ours), theirs), (theirs, b"".join(ours))):
        merged, clean = merge_lines(base, one, other, b"", newest)
        assert clean
        for line in (b"x", b"y"):
            assert merged.splitlines().count(line) == ours.count(line + b"\n")


# -- create, move, append ------------------------------------------------------------------------


def test_create_never_overwrites(tmp_path: Path) -> None:
    file = tmp_path / "new" / "a.md"
    atomic.create(file, b"first")
    with pytest.raises(FileExistsError):
        atomic.create(file, b"second")
    assert file.read_bytes() == b"first"
    assert _no_leftovers(file.parent)


@pytest.mark.parametrize("system", ["with renameat2", "without"])
def test_2_3_a_move_never_overwrites(
    tmp_path: Path, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if system == "without":
        monkeypatch.setattr(syscalls, "_libc_renameat2", lambda: None)
    source, target = tmp_path / "a.md", tmp_path / "made" / "a.md"
    source.write_bytes(b"mine")
    assert atomic.move(source, target) == target
    assert (source.exists(), target.read_bytes()) == (False, b"mine")
    source.write_bytes(b"another")
    with pytest.raises(FileExistsError):
        atomic.move(source, target)
    assert (source.read_bytes(), target.read_bytes()) == (b"another", b"mine")


def test_of_two_movers_to_one_place_one_wins(tmp_path: Path) -> None:
    sources = [tmp_path / "a" / "x.md", tmp_path / "b" / "x.md"]
    for source in sources:
        atomic.create(source, source.parent.name.encode())
    outcomes: list[str] = []

    def go(source: Path) -> None:
        try:
            atomic.move(source, tmp_path / "target" / "x.md")
            outcomes.append("moved")
        except FileExistsError:
            outcomes.append("refused")

    _together(*[lambda source=s: go(source) for s in sources])
    assert sorted(outcomes) == ["moved", "refused"]
    assert sum(source.exists() for source in sources) == 1


def test_appended_lines_stand_one_below_the_other(tmp_path: Path) -> None:
    log = tmp_path / "sub" / "log.jsonl"
    atomic.append_lines(log, ['{"n": 1}'])
    atomic.append_lines(log, ['{"text": "é"}'])
    assert log.read_text(encoding="utf-8") == '{"n": 1}\n{"text": "é"}\n'
    with pytest.raises(ValueError, match="must not contain a line end"):
        atomic.append_lines(log, ["a\nb"])


def test_8_1_a_torn_last_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b'{"n": 1}\n{"n": ')
    atomic.append_lines(log, ['{"n": 3}'])
    assert log.read_bytes().splitlines()[-1] == b'{"n": 3}'


# -- locks ---------------------------------------------------------------------------------------


def test_8_2_a_family_has_one_holder(tmp_path: Path) -> None:
    with family_lock(tmp_path, "WO-1"), family_lock(tmp_path, "WO-2"):
        with (
            pytest.raises(BusyError, match=f"process {os.getpid()}") as raised,
            family_lock(tmp_path, "WO-1"),
        ):
            pass
        assert raised.value.hint
    with family_lock(tmp_path, "WO-1") as lock:
        assert lock.family == "WO-1"


def test_ids_that_differ_in_anything_never_share_a_lock(tmp_path: Path) -> None:
    with (
        family_lock(tmp_path, "WO-1a") as one,
        family_lock(tmp_path, "WO-1A") as other,
        family_lock(tmp_path, "../WO-1a") as odd,
    ):
        assert len({lock.path.name.lower() for lock in (one, other, odd)}) == 3
        assert odd.path.parent == tmp_path / "locks"


def test_5_2_a_child_holds_the_lock_beyond_its_parent(tmp_path: Path) -> None:
    with family_lock(tmp_path, "WO-1") as lock:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock.fd,)
        )
    try:
        with pytest.raises(BusyError), family_lock(tmp_path, "WO-1"):
            pass
    finally:
        child.communicate(b"\n")
    with family_lock(tmp_path, "WO-1"):
        pass


def test_8_1_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from orchestrator.storage.locks import family_lock\n"
        "with family_lock(Path(sys.argv[1]), 'WO-1'): print('held', flush=True); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with (
        pytest.raises(BusyError, match=f"process {holder.pid}"),
        family_lock(tmp_path, "WO-1"),
    ):
        pass
    holder.kill()
    holder.communicate()
    with family_lock(tmp_path, "WO-1", wait=True):
        pass


def test_lines_whose_sync_fails_in_the_background_are_taken_away_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.jsonl"
    atomic.append_lines(log, ['{"n": 1}'])

    def failing(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    wait = atomic.begin_lines(log, ['{"n": 2}'])
    with pytest.raises(atomic.DiskError):
        wait()
    assert log.read_text(encoding="utf-8") == '{"n": 1}\n'
    # what came after them stays
    wait = atomic.begin_lines(log, ['{"n": 2}'])
    atomic.append_lines(log, ['{"n": 3}'], durable=False)
    with pytest.raises(atomic.DiskError):
        wait()
    assert log.read_text(encoding="utf-8").endswith('{"n": 3}\n')


def test_8_1_what_a_killed_process_was_writing_is_set_aside_at_once(tmp_path: Path) -> None:
    living = tmp_path / f".orchestrate-{os.getpid()}-aa.tmp"
    dead, older = tmp_path / ".orchestrate-4194305-bb.tmp", tmp_path / ".orchestrate-cc.tmp"
    for file in (living, dead, older):
        file.write_text("saved", encoding="utf-8")
    assert atomic.sweep(tmp_path, tmp_path / "aside") == [tmp_path / "aside" / dead.name[1:]]
    assert (living.exists(), dead.exists(), older.exists()) == (True, False, True)
