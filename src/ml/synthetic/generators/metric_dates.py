"""On which days business metrics are reported, and what lies a month or a year before them."""

from __future__ import annotations

from datetime import date

import numpy as np

from src.ml.synthetic.generators.dates import Days, day_number
from src.ml.synthetic.generators.draws import Ints

#: step of a series of single months, where days count otherwise
MONTHLY = 0.0
_YEAR = 12
_MONTH = np.timedelta64(1, "M")
_DAYS_IN_12_MONTHS = 366


def metric_days(start: date, end: date, count: int) -> tuple[Days, float]:
    """At most `count` days in start..end, ascending, and their step in days.

    Firsts of consecutive months up to the last one in the range, step `MONTHLY`; where the range
    has too few months evenly spaced days, where it has too few days each of them.
    """
    first, last = np.datetime64(start, "D"), np.datetime64(end, "D")
    months = np.arange(_next_month(start), last.astype("datetime64[M]") + _MONTH)
    if len(months) >= count:
        return months[-count:].astype("datetime64[D]").astype(np.int64), MONTHLY
    span = int((last - first).astype(np.int64))
    count = min(count, span + 1)
    if count == 1:
        return np.array([day_number(end)]), float(_DAYS_IN_12_MONTHS // _YEAR)
    step = span / (count - 1)
    return day_number(start) + np.round(np.arange(count) * step).astype(np.int64), step


def with_burn_in(days: Days, step: float) -> Days:
    """The days with as many before them as a look twelve months back needs."""
    if step == MONTHLY:
        # firsts of months, so that a shift is exact
        earlier = [shifted(days[:1], months) for months in range(_YEAR, 0, -1)]
        return np.concatenate([*earlier, days])
    count = int(np.ceil(_DAYS_IN_12_MONTHS / step))
    earlier = days[0] - np.round(np.arange(count, 0, -1) * step).astype(np.int64)
    return np.concatenate([earlier, days])


def earlier_places(grid: Days, days: Days, months: int) -> Ints:
    """Positions in the grid nearest to the same day `months` months before."""
    wanted = shifted(days, months)
    after = np.clip(np.searchsorted(grid, wanted), 1, len(grid) - 1).astype(np.int64)
    return after - (wanted - grid[after - 1] <= grid[after] - wanted)


def shifted(days: Days, months: int) -> Days:
    """The same day of the month `months` earlier, or that month's last day."""
    stamps = days.astype("datetime64[D]")
    month = stamps.astype("datetime64[M]")
    into = stamps - month.astype("datetime64[D]")
    month = month - np.timedelta64(months, "M")
    begin = month.astype("datetime64[D]")
    length = (month + _MONTH).astype("datetime64[D]") - begin
    moved: Days = (begin + np.minimum(into, length - np.timedelta64(1, "D"))).astype(np.int64)
    return moved


def _next_month(day: date) -> np.datetime64:
    """The first month that begins on the day or later."""
    month = np.datetime64(day, "M")
    return month if day.day == 1 else month + _MONTH
