"""The command line `orchestrate`: reads arguments, prints answers; all rules live below it."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its code."""
    from orchestrator.cli.app import start

    start()
