"""`orchestrate stats`: the figures of the board."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from orchestrator.cli.text import counted, paint, say, say_json, table, terminal_width
from orchestrator.cli.workspace import AsJson, workspace

#: eighths of a bar's last character, and heights of a line of days
_EIGHTHS, _HEIGHTS = " ▏▎▍▌▋▊▉", " ▁▂▃▄▅▆▇█"
#: columns of a bar, and days of a line
_BAR, _DAYS = 24, 40
#: days of costs that are shown
_COSTS = 14


def stats(
    context: typer.Context,
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="WHEN", help="Only what ended later: 2026-11-01, or 4h, 30d, 8w."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show figures of the board: flow, times, failures, costs.

    Times are those in each state, and USER's waits. They come from the histories of conducted
    families. Durations in JSON are seconds.
    """
    from orchestrator.views.filters import moment
    from orchestrator.views.statistics import Statistics

    here = workspace(context)
    begin = moment(since) if since else ""
    figures = Statistics.of(here.root, here.board.path).figures(begin)
    if as_json:
        say_json(figures.to_dict())
        return
    from orchestrator.views.charts import describe_seconds, state_words

    if not figures.families:
        say("no family is conducted yet, so there are no figures")
        return
    if figures.days:
        days = figures.days[-_DAYS:]
        _say_table(
            f"Tickets by state, {days[0]} to {days[-1]}",
            (
                (state_words(name), str(row[-1]), _line(row[-_DAYS:]))
                for name, row in figures.flow.items()
            ),
        )
    _say_table(
        "Time in each state: tickets that left it, those in it now, median, longest",
        (
            (
                *(state_words(s.name), str(s.count), str(s.open)),
                *(describe_seconds(s.median), describe_seconds(s.longest)),
            )
            for s in figures.states
        ),
    )
    user = figures.waiting
    if user.count or user.open:
        took = f"median {describe_seconds(user.median)}, longest {describe_seconds(user.longest)}"
        _say_bars(
            f"USER's answers: {user.count} given, {user.open} awaited; {took}",
            [(name, count, str(count)) for name, count in figures.waited.items()],
        )
    _say_bars(
        "Failed attempts by agent",
        [
            (
                a.agent,
                a.rate,
                f"{a.rate:.0%}: {a.failed} of {a.attempts}"
                + (f", {a.sent_back} sent back" if a.sent_back else ""),
            )
            for a in figures.agents
        ],
    )
    total = sum(each.usd for each in figures.costs)
    _say_bars(
        f"Cost by day: ${total:,.2f} in {counted(len(figures.costs), 'day')}",
        [
            (c.day, c.usd, f"${c.usd:,.2f}" + (" and what is not known" if c.unpriced else ""))
            for c in figures.costs[-_COSTS:]
        ],
    )


def _say_table(title: str, rows: Iterable[Sequence[str]]) -> None:
    held = list(rows)
    if held:
        say(paint(title, "bold"))
        say("\n".join(f"  {line}" for line in table(held, terminal_width(2))) + "\n")


def _say_bars(title: str, rows: Sequence[tuple[str, float, str]]) -> None:
    most = max((value for _, value, _ in rows), default=0)
    _say_table(title, ((name, _bar(value, most), words) for name, value, words in rows))


def _bar(value: float, most: float) -> str:
    eighths = round(8 * _BAR * value / most) if most else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _line(values: Sequence[int]) -> str:
    """A value for each day as a small bar."""
    most = max(values) or 1
    return "".join(_HEIGHTS[-(-8 * value // most)] for value in values)
