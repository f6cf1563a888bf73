"""The command line `orchestrate`: reads arguments, prints answers; all rules live below it."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command line and exit with its code."""
    # what is imported, and a board, are many small objects that live as long as the command
    gc.set_threshold(50_000)
    from orchestrator.cli.app import start

    start()
