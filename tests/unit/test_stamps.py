"""The daemon's look at all files: what is new, gone or changed, and nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

from orchestrator.daemon.presence import absence
from orchestrator.daemon.stamps import differing, stamps_below


def test_what_differs_is_found_by_times_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / ".receipts").mkdir()
    names = ("a/1.md", "a/2.md", "3.md", "a/.4.md", ".receipts/5.md", "a/6.txt")
    files = {name: tmp_path / name for name in names}
    for path in files.values():
        path.write_text("one", encoding="utf-8")
    first = stamps_below(tmp_path)
    assert {Path(name) for name in first} == {files[n] for n in names[:3]}
    # what was written a moment ago may be written again without its times showing it
    assert set(differing(first, stamps_below(tmp_path))) >= {
        Path(name) for name, stamp in first.items() if stamp is None
    }
    time.sleep(0.05)
    settled = stamps_below(tmp_path)
    assert None not in settled.values()
    assert differing(settled, stamps_below(tmp_path)) == ()
    before = files["a/1.md"].stat()
    files["a/1.md"].write_text("two", encoding="utf-8")
    os.utime(files["a/1.md"], ns=(before.st_atime_ns, before.st_mtime_ns))
    files["a/2.md"].rename(tmp_path / "2.md")
    files["3.md"].unlink()
    changed = differing(settled, stamps_below(tmp_path))
    expected = {files["a/1.md"], files["a/2.md"], tmp_path / "2.md", files["3.md"]}
    assert set(changed) == expected


def test_a_board_is_there_as_long_as_it_has_a_file(tmp_path: Path) -> None:
    board = tmp_path / "board"
    assert "is not there" in absence(tmp_path, board)
    (board / "a" / "b").mkdir(parents=True)
    (board / "c").mkdir()
    assert "is not there" in absence(tmp_path, board)
    (board / "a" / "b" / "1.md").touch()
    assert absence(tmp_path, board) == ""
