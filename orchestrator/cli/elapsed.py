"""A line at the terminal with what is going on and for how long, while nothing else is printed."""

from __future__ import annotations

import sys
import threading
import time
from typing import IO

from orchestrator.cli import text
from orchestrator.views.plain import fitted

#: seconds before there is a line, and between two of its states
_EVERY = 1.0
#: commands that show by themselves what goes on, or wait for a person
_LIVE = frozenset({"watch", "mcp", "log", "board", "init", "new"})


class ElapsedLine:
    """Written to stderr from the second second on, and taken back before any other output."""

    def __init__(self, label: str, stream: IO[str], every: float = _EVERY) -> None:
        self._label = label
        self._stream = stream
        self._every = every
        self._begun = time.monotonic()
        #: when something was printed last
        self._printed = self._begun
        self._shown = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="elapsed", daemon=True)

    def start(self) -> None:
        """Begin to count."""
        text.before_output(self._clear)
        self._thread.start()

    def stop(self) -> None:
        """Take the line back for good."""
        self._stopped.set()
        text.before_output(None)
        with text.OUTPUT:
            self._clear()

    def now(self, label: str) -> None:
        """What is going on from now on."""
        self._label = label
        self._begun = time.monotonic()

    def _draw(self) -> None:
        while not self._stopped.wait(self._every):
            with text.OUTPUT:
                now = time.monotonic()
                if self._stopped.is_set() or now - self._printed < self._every:
                    continue
                seconds = int(now - self._begun)
                took = f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60} s"
                width = text.terminal_width(len(took) + 6)
                label = fitted(text.one_line(self._label), width)
                line = text.paint(text.clean(f"… {label} · {took}"), "dim")
                self._stream.write(f"\r\x1b[2K{line}")
                self._stream.flush()
                self._shown = True

    def _clear(self) -> None:
        self._printed = time.monotonic()
        if self._shown:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
            self._shown = False


_current: list[ElapsedLine] = []


def start_line(command: str | None) -> None:
    """Begin a command's line, if it is called at a terminal."""
    if command and command not in _LIVE and text.is_terminal() and sys.stderr.isatty():
        line = ElapsedLine(command, sys.stderr)
        _current.append(line)
        line.start()


def stop_line() -> None:
    """No line any more: the command is over, or asks something."""
    while _current:
        _current.pop().stop()


def going_on(label: str) -> None:
    """What the command does now, for its line."""
    for line in _current:
        line.now(label)
