"""How long the board takes in-process, with 5,000 tickets: read, find one, find a family."""

from __future__ import annotations

import tempfile
from pathlib import Path

from _common import make_board, report, seconds

from orchestrator.tickets.board import Board

SIZE = 5000


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        root = make_board(Path(folder), SIZE)
        figures = {
            "tickets": SIZE,
            "read_cold_s": seconds(lambda: Board(root).tickets()),
            "read_warm_s": seconds(lambda: Board(root).tickets(), 7),
            "find_s": seconds(lambda: Board(root).find("WO-3500"), 7),
            "family_s": seconds(lambda: Board(root).family("WO-3500"), 7),
        }
    report("board", figures, {"read_warm_s": 0.3})


if __name__ == "__main__":
    main()
