"""The line that says what goes on and for how long, at a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
from io import StringIO
from pathlib import Path

import pytest

from orchestrator.cli import text
from orchestrator.cli.elapsed import ElapsedLine


class Stream(StringIO):
    """Tells when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.wrote = threading.Event()

    def write(self, text: str) -> int:
        self.wrote.set()
        return super().write(text)


def test_the_line_goes_before_anything_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Stream()
    line = ElapsedLine("reading\x1b[2J the board", stream, every=0.02)
    line.start()
    try:
        assert stream.wrote.wait(5)
        text.say("done")
    finally:
        line.stop()
    told = stream.getvalue()
    assert re.match(r"\r\x1b\[2K… reading⟨U\+001B⟩\[2J the board · 0 s", told)
    # it is taken back, and nothing of it stays
    assert told.endswith("\r\x1b[2K")
    assert capsys.readouterr().out == "done\n"
    told = stream.getvalue()
    text.say("more")
    assert stream.getvalue() == told


def test_a_slow_command_at_a_terminal_has_a_line_and_a_piped_one_none(tmp_path: Path) -> None:
    code = (
        "import sys, time, threading; from orchestrator.cli import elapsed; elapsed._EVERY = 0.05\n"
        "elapsed.ElapsedLine.__init__.__defaults__ = (0.05,)\n"
        "elapsed.start_line('verify'); time.sleep(0.3); elapsed.stop_line(); print('end')"
    )

    def run(out: int) -> None:
        call = [sys.executable, "-c", code]
        env = {**os.environ, "TERM": "xterm"}
        subprocess.run(call, stdout=out, stderr=out, check=True, cwd=tmp_path, env=env, timeout=60)

    ours, theirs = pty.openpty()
    run(theirs)
    told = os.read(ours, 65_536).decode()
    assert "… verify · 0 s" in told
    assert told.rstrip().endswith("end")
    os.close(ours)
    os.close(theirs)
    reading, writing = os.pipe()
    run(writing)
    assert os.read(reading, 65_536) == b"end\n"
    os.close(reading)
    os.close(writing)
