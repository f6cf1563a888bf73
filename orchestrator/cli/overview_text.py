"""`orchestrate status` without an id: the whole board on one screen."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

from orchestrator.cli.text import (
    callable_commands,
    counted,
    is_terminal,
    one_line,
    paint,
    say,
    say_wrapped,
    terminal_width,
)
from orchestrator.cli.workspace import Workspace
from orchestrator.views.overview import Line, look_over
from orchestrator.views.plain import columns, fitted
from orchestrator.views.sections import Section

_STYLES = {
    Section.BROKEN: "red",
    Section.ASKS: "yellow",
    Section.NEEDS: "yellow",
    Section.STOPPED: "yellow",
    Section.WORKS: "cyan",
    Section.FAILED: "red",
}
#: lines of a section where there is no terminal, and what the headings take of one
_MOST, _HEADINGS = 40, 6


def say_overview(here: Workspace) -> None:
    """Print the counts of the states, then each section, no longer than the terminal."""
    found = look_over(here.board, lambda id: here.conductor().status(id))
    total = sum(found.counts.values())
    parts = [
        f"{n} {name.replace('_', ' ').lower() or 'in no state'}" for name, n in found.counts.items()
    ]
    say_wrapped(f"{counted(total, 'ticket')}: {' · '.join(parts)}" if total else "no tickets")
    filled = [(section, lines) for section in Section if (lines := found.of(section))]
    rows = shutil.get_terminal_size().lines - _HEADINGS - len(filled) if is_terminal() else 0
    for section, lines in filled:
        # each gets its share of the screen
        most = max(2, rows // (2 * len(filled))) if rows > 0 else _MOST
        say(f"\n{paint(section.value, _STYLES.get(section, 'bold'))} ({len(lines)})")
        for line in lines[:most]:
            _say_line(line)
        if len(lines) > most:
            say(paint(f"  … and {len(lines) - most} more", "dim"))
    if not found.conducted:
        say(callable_commands("\nno family is conducted yet: orchestrate run ID"))


def _say_line(line: Line) -> None:
    if line.error is not None:
        say(f"  {paint(line.id, 'bold')}  {paint('cannot be read', 'red')}")
        say_wrapped(f"{line.error.path}: {line.error.message}", "    ", "    ")
        if line.error.hint:
            say_wrapped(callable_commands(f"hint: {line.error.hint}"), "    ", "    ")
        return
    age = f" · {describe_age(line.since)}" if line.since else ""
    then = callable_commands(f"next: {line.next}") if line.next else ""
    width = terminal_width(2)
    text = f"{line.text}{age}"
    # a long reason is cut before the title is gone
    text = fitted(one_line(text), max(24, width - len(line.id) - 22) if width else 0)
    title = fitted(
        one_line(line.title), max(8, width - len(line.id) - columns(text) - 4) if width else 0
    )
    say(f"  {paint(line.id, 'bold')}  {text}  {paint(title, 'dim')}")
    if then:
        say(f"    {paint(then, 'dim')}")


def describe_age(since: str) -> str:
    """How long ago a time of the history was: `4 min`, `3 h`, `2 days`."""
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()
    except (ValueError, TypeError):
        return ""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size or (unit == "h" and seconds >= size):
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"
