"""Time periods of a request, relative to the data and never to the clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from statistics import median

_QUARTER = re.compile(r"Q([1-4])_(\d{4})|(\d{4})-Q([1-4])")
_RANGE = re.compile(r"(\d{4}-\d{2}-\d{2})_(\d{4}-\d{2}-\d{2})")
_FORMS = "Q4_2024, 2024-Q4, YTD, MTD, current_quarter, YYYY-MM-DD_YYYY-MM-DD"
_DAY = timedelta(days=1)


class PeriodError(ValueError):
    """A time period that cannot be read."""

    def __init__(self, text: str, why: str = "") -> None:
        super().__init__(f"time_period {text!r}: {why or f'write it as one of {_FORMS}'}")


@dataclass(frozen=True)
class Period:
    """Days from `start` to `end`, both included."""

    start: date
    end: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1

    def prior(self) -> Period:
        """As many days, just before."""
        return Period(self.start - timedelta(days=self.days), self.start - _DAY)

    def __str__(self) -> str:
        return f"{self.start}_{self.end}"


def quarter(year: int, number: int) -> Period:
    """A calendar quarter, `number` 1 to 4."""
    start = date(year, 3 * number - 2, 1)
    after = date(year + number // 4, (3 * number) % 12 + 1, 1)
    return Period(start, after - _DAY)


def quarter_of(day: date) -> Period:
    """The calendar quarter that a day lies in."""
    return quarter(day.year, (day.month + 2) // 3)


def parse_period(text: str, anchor: date) -> Period:
    """The period that `text` names; relative names end with `anchor`. Raises PeriodError."""
    relative = {
        "YTD": anchor.replace(month=1, day=1),
        "MTD": anchor.replace(day=1),
        "CURRENT_QUARTER": quarter_of(anchor).start,
    }
    if text.upper() in relative:
        return Period(relative[text.upper()], anchor)
    try:
        if found := _QUARTER.fullmatch(text):
            number, year = found.group(1, 2) if found.group(1) else found.group(4, 3)
            return quarter(int(year), int(number))
        if found := _RANGE.fullmatch(text):
            return _range(text, *map(date.fromisoformat, found.groups()))
    except ValueError as exc:
        raise PeriodError(text, str(exc)) from exc
    raise PeriodError(text)


def _range(text: str, start: date, end: date) -> Period:
    if start > end:
        raise PeriodError(text, "it ends before it starts")
    return Period(start, end)


def latest_complete_quarter(dates: Sequence[date]) -> Period | None:
    """The last quarter that the sorted, distinct dates of the data cover; None if none is.

    A quarter is covered if, at the data's usual pace, no further date would fall into it, neither
    before the first date nor after the last one.
    """
    if not dates:
        return None
    gaps = [b - a for a, b in pairwise(dates)]
    pace = timedelta(days=median(gap.days for gap in gaps)) if gaps else timedelta(days=1)
    candidate = quarter_of(dates[-1])
    if dates[-1] + pace <= candidate.end:
        candidate = quarter_of(candidate.start - _DAY)
    return candidate if dates[0] - pace < candidate.start else None
