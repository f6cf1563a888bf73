"""What can be drawn of a table, by its columns: rows by category and year, or effect sizes."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrate_agents.seed_data.table_schema import is_sample_size, kind_of, words
from orchestrate_agents.sql.natural_key import natural_key
from orchestrate_agents.sql.parse import Column, Table

Row = Mapping[str, Any]

#: categories and periods that a chart can tell apart
_MOST_CATEGORIES = 14
_MOST_PERIODS = 8
_MOST_POINTS = 60
#: effect sizes beyond this are typing errors, and would squeeze all others together
_LARGEST_EFFECT = 20.0
_EFFECT = frozenset({"hedges", "cohen", "cohens", "smd"})
_START = frozenset({"start", "started", "begin", "began", "first", "opened"})


@dataclass(frozen=True)
class Bars:
    """Rows counted by a category (down) and a period of a date column (stacked)."""

    category: str
    date: str
    categories: tuple[str, ...]
    #: years or ranges of years in order; "no date" last where there are such rows
    periods: tuple[str, ...]
    #: by category, then period
    counts: tuple[tuple[int, ...], ...]
    undated: int = 0

    @property
    def totals(self) -> tuple[int, ...]:
        return tuple(map(sum, self.counts))


@dataclass(frozen=True)
class Point:
    """One row of a forest plot."""

    label: str
    group: str
    effect: float
    n: int | None = None
    #: ends of the interval, if the row gives both
    low: float | None = None
    high: float | None = None

    @property
    def figure(self) -> str:
        """`−0.77`, with the interval where it is known."""
        if self.low is None or self.high is None:
            return f"{self.effect:+.2f}"
        return f"{self.effect:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


@dataclass(frozen=True)
class Forest:
    """Effect sizes by row, in the order of their size."""

    effect: str
    group: str
    points: tuple[Point, ...]
    #: rows of the table, and the names of those without a figure
    rows: int
    without: tuple[str, ...] = ()


# -- effect sizes ----------------------------------------------------------------------------


def forest_of(table: Table, rows: Sequence[Row]) -> Forest | None:
    """The forest plot of a table with an effect-size column; None without one, or two figures."""
    effect = next((c.name for c in table.columns if _is_effect(c)), None)
    name = next((c.name for c in table.columns if _is_name(c)), None)
    if effect is None or name is None:
        return None
    group = _category(table, rows, apart=name) or ""
    points, without = [], []
    for row in rows[:_MOST_POINTS]:
        value = _number(row.get(effect))
        if value is None or abs(value) > _LARGEST_EFFECT:
            without.append(str(row.get(name) or "?"))
        else:
            points.append(_point(table, row, value, name, group))
    if len(points) < 2:
        return None
    points.sort(key=lambda p: (p.effect, p.label))
    return Forest(effect, group, tuple(points), len(rows), tuple(without))


def _point(table: Table, row: Row, effect: float, name: str, group: str) -> Point:
    sample = next((c.name for c in table.columns if is_sample_size(c.name)), "")
    size = _number(row.get(sample))
    low, high = (_number(row.get(c)) for c in _interval(table))
    known = low is not None and high is not None and low <= effect <= high
    return Point(
        str(row.get(name) or "?"),
        str(row.get(group) or "") if group else "",
        effect,
        int(size) if size and size >= 1 else None,
        low if known else None,
        high if known else None,
    )


def _is_effect(column: Column) -> bool:
    found = words(column.name)
    named = {"effect", "size"} <= found or bool(found & _EFFECT)
    return named and kind_of(column.type).numeric and not found & _BOUNDS


_LOW = frozenset({"low", "lower", "lo", "lcl"})
_HIGH = frozenset({"high", "upper", "hi", "ucl"})
_BOUNDS = _LOW | _HIGH | {"se", "sd", "variance", "p"}


def _interval(table: Table) -> tuple[str, str]:
    """The columns of an effect's interval, "" where there are none."""
    interval = frozenset({"ci", "interval", "effect", "hedges", "smd", "lcl", "ucl"})
    of_effect = [c.name for c in table.columns if words(c.name) & interval]
    low = next((n for n in of_effect if words(n) & _LOW), "")
    high = next((n for n in of_effect if words(n) & _HIGH), "")
    return low, high


def _is_name(column: Column) -> bool:
    return column.type in ("text", "character varying", "citext") and column.not_null


# -- counts by category and year -------------------------------------------------------------


def bars_of(table: Table, rows: Sequence[Row]) -> Bars | None:
    """The bars of a table with a date and a category; None where its rows make none."""
    date = _date_column(table)
    category = _category(table, rows)
    if date is None or category is None:
        return None
    years = [_year(row.get(date)) for row in rows]
    periods = _periods(year for year in years if year is not None)
    names = Counter(str(row[category]) for row in rows if row.get(category))
    cells = Counter(
        (str(row.get(category)), periods.get(year) if year else None)
        for row, year in zip(rows, years, strict=True)
    )
    undated = years.count(None)
    columns = [*dict.fromkeys(periods.values()), *([None] if undated else [])]
    return Bars(
        category,
        date,
        tuple(name for name, _ in names.most_common()),
        tuple(c or f"no {date.replace('_', ' ')}" for c in columns),
        tuple(tuple(cells[name, c] for c in columns) for name, _ in names.most_common()),
        undated,
    )


def _date_column(table: Table) -> str | None:
    dates = [c.name for c in table.columns if c.type == "date" or _is_given_time(c)]
    return next((d for d in dates if words(d) & _START), dates[0] if dates else None)


def _is_given_time(column: Column) -> bool:
    """A time stamp that the data gives, not the server."""
    return column.type.startswith("timestamp") and column.default is None


def _category(table: Table, rows: Sequence[Row], apart: str = "") -> str | None:
    """The required text column that sorts the rows into few kinds; the key and names do not."""
    key = natural_key(table)
    alone = key[0] if len(key) == 1 else ""
    for column in table.columns:
        if not _is_name(column) or column.name in (apart, alone):
            continue
        kinds = {str(row[column.name]) for row in rows if row.get(column.name)}
        if 2 <= len(kinds) <= _MOST_CATEGORIES and 2 * len(kinds) <= len(rows):
            return column.name
    return None


def _year(value: Any) -> int | None:
    """The year of a date or of ISO text."""
    found = re.match(r"(\d{4})-\d\d", str(value or ""))
    return int(found.group(1)) if found else None


def _periods(years: Iterable[int]) -> dict[int, str]:
    """year → its period, in order: single years, or ranges of equal length where they are many."""
    known = sorted(set(years))
    if not known:
        return {}
    span = known[-1] - known[0] + 1
    step = next((s for s in (1, 2, 5, 10, 25) if span <= s * _MOST_PERIODS), 100)
    return {year: _period(year - year % step, step) for year in known}


def _period(first: int, step: int) -> str:
    return str(first) if step == 1 else f"{first}–{(first + step - 1) % 100:02d}"


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
