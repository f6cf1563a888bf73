"""How long a person waits for `--help`, and at three sizes of a board for what reads it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from _common import at_sizes, checked, make_board, orchestrate, plain_read, report, seconds

SIZES = (1000, 3000, 9000)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        help_s = seconds(lambda: checked(orchestrate(Path(folder), "--help")), 7)
    python_s = seconds(lambda: subprocess.run([sys.executable, "-c", ""], check=True), 7)
    figures, grown = at_sizes(measured, SIZES)
    alone = {"help_s": help_s, "python_s": python_s}
    plain = figures["plain_read_s"]
    ratios = {name: figures[f"{name}_s"] / plain for name in ("list_cold", "list_warm", "search")}
    ratios["help"] = help_s / python_s
    targets = {"help_s": 0.12, "list_cold_s": 3.0, "list_warm_s": 0.35, "show_s": 0.2}
    report("startup", {**alone, **figures, **grown}, targets, ratios)


def measured(size: int) -> dict[str, float]:
    """The figures of a board with that many tickets (s)."""
    with tempfile.TemporaryDirectory() as folder:
        root = make_board(Path(folder), size)

        def command(*words: str, repeat: int = 3) -> float:
            return seconds(lambda: checked(orchestrate(root, *words)), repeat)

        return {
            "plain_read_s": plain_read(root),
            "list_cold_s": command("list", repeat=1),
            "list_warm_s": command("list"),
            "status_s": command("status"),
            "inbox_s": command("inbox"),
            "search_s": command("search", "ordinary"),
            "show_s": command("show", f"WO-{1000 + size // 2}"),
        }


if __name__ == "__main__":
    main()
