"""How long the board takes in-process at three sizes: read, find one, find a family."""

from __future__ import annotations

import tempfile
from pathlib import Path

from _common import at_sizes, make_board, plain_read, report, seconds

from orchestrator.tickets.board import Board

SIZES = (1000, 3000, 9000)


def main() -> None:
    """Measure and print."""
    figures, grown = at_sizes(measured, SIZES)
    plain = figures["plain_read_s"]
    ratios = {name: figures[f"{name}_s"] / plain for name in ("read_cold", "read_warm")}
    report("board", {**figures, **grown}, {"read_warm_s": 0.3}, ratios)


def measured(size: int) -> dict[str, float]:
    """The figures of a board with that many tickets (s)."""
    with tempfile.TemporaryDirectory() as folder:
        root, id = make_board(Path(folder), size), f"WO-{1000 + size // 2}"
        return {
            "plain_read_s": plain_read(root),
            "read_cold_s": seconds(lambda: Board(root).tickets()),
            "read_warm_s": seconds(lambda: Board(root).tickets(), 7),
            "find_s": seconds(lambda: Board(root).find(id), 7),
            "family_s": seconds(lambda: Board(root).family(id), 7),
        }


if __name__ == "__main__":
    main()
