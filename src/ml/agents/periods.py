"""Time periods of a request, relative to the data and never to the clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from statistics import median
from typing import TypeVar

_Day = TypeVar("_Day", bound=date)

_QUARTER = re.compile(r"Q([1-4])_(\d{4})|(\d{4})-Q([1-4])", re.ASCII)
_RANGE = re.compile(r"(\d{4}-\d{2}-\d{2})_(\d{4}-\d{2}-\d{2})", re.ASCII)
_FORMS = "Q4_2024, 2024-Q4, YTD, MTD, current_quarter, YYYY-MM-DD_YYYY-MM-DD"
_DAY = timedelta(days=1)
_FIRST_YEAR = 1900
#: so that the windows and quarters around it are within the calendar
_LAST_YEAR = 9998


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
        """As many days, just before; fewer where the calendar begins."""
        first = max(1, self.start.toordinal() - self.days)
        return Period(date.fromordinal(first), self.start - _DAY)

    def __str__(self) -> str:
        return f"{self.start}_{self.end}"


def milliseconds(start: float, end: float) -> float:
    """The time between two readings of a clock in seconds."""
    return round(1000 * (end - start), 3)


def check_anchor(day: _Day | None) -> _Day | None:
    """The day or time that counts as now, if periods can be counted from it. Raises ValueError."""
    if day is not None and not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise ValueError(f"as_of lies in {_FIRST_YEAR} to {_LAST_YEAR}, not in {day.year}")
    return day


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
    word = text.upper()
    if word == "YTD":
        return Period(anchor.replace(month=1, day=1), anchor)
    if word == "MTD":
        return Period(anchor.replace(day=1), anchor)
    if word == "CURRENT_QUARTER":
        return Period(quarter_of(anchor).start, anchor)
    try:
        if found := _QUARTER.fullmatch(text):
            number, year = found.group(1, 2) if found.group(1) else found.group(4, 3)
            period = quarter(int(year), int(number))
        elif found := _RANGE.fullmatch(text):
            period = Period(*map(date.fromisoformat, found.groups()))
        else:
            raise PeriodError(text)
    except (ValueError, OverflowError) as exc:
        raise exc if isinstance(exc, PeriodError) else PeriodError(text, str(exc)) from exc
    if period.start > period.end:
        raise PeriodError(text, "it ends before it starts")
    if period.start.year < _FIRST_YEAR:
        raise PeriodError(text, f"it starts before {_FIRST_YEAR}")
    return period


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
