"""How long a person waits for `orchestrate --help` and for `list` on a board of 5,000 tickets."""

from __future__ import annotations

import tempfile
from pathlib import Path

from _common import checked, make_board, orchestrate, report, seconds

SIZE = 5000


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        root = make_board(Path(folder), SIZE)
        figures = {
            "tickets": SIZE,
            "help_s": seconds(lambda: checked(orchestrate(root, "--help")), 7),
            "list_cold_s": seconds(lambda: checked(orchestrate(root, "list"))),
            "list_warm_s": seconds(lambda: checked(orchestrate(root, "list")), 7),
        }
    report("startup", figures, {"help_s": 0.2, "list_warm_s": 0.3})


if __name__ == "__main__":
    main()
