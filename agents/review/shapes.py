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

#: categories and periods that can be distinguished in a chart
_MOST_CATEGORIES = 14
_MOST_PERIODS = 8
_MOST_POINTS = 60
#: effect sizes beyond this are typos, and would squeeze all others together
_LARGEST_EFFECT = 20.0
_EFFECT = frozenset({"hedges", "cohen", "cohens", "smd"})
_LOW = frozenset({"low", "lower", "lo", "lcl"})
_HIGH = frozenset({"high", "upper", "hi", "ucl"})
_BOUNDS = _LOW | _HIGH | {"se", "sd", "variance", "p"}
#: words of the columns of an effect's interval
_INTERVAL = frozenset({"ci", "interval", "effect", "hedges", "smd", "lcl", "ucl"})
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


def build_forest(table: Table, rows: Sequence[Row]) -> Forest | None:
    """The forest plot of a table with an effect-size column; None without one, or two figures."""
    effect = next((c.name for c in table.columns if _is_effect(c)), None)
    name = next((c.name for c in table.columns if _is_required_text(c)), None)
    if effect is None or name is None:
        return None
    group = _find_category(table, rows, apart=name) or ""
    sample = next((c.name for c in table.columns if is_sample_size(c.name)), "")
    about = [c.name for c in table.columns if words(c.name) & _INTERVAL]
    low_column = next((n for n in about if words(n) & _LOW), "")
    high_column = next((n for n in about if words(n) & _HIGH), "")
    points, without = [], []
    for row in rows[:_MOST_POINTS]:
        label = str(row.get(name) or "?")
        value = _parse_number(row.get(effect))
        if value is None or abs(value) > _LARGEST_EFFECT:
            without.append(label)
            continue
        size = _parse_number(row.get(sample))
        low, high = _parse_number(row.get(low_column)), _parse_number(row.get(high_column))
        if low is None or high is None or not low <= value <= high:
            low = high = None
        sized = int(size) if size and size >= 1 else None
        points.append(Point(label, str(row.get(group) or ""), value, sized, low, high))
    if len(points) < 2:
        return None
    points.sort(key=lambda p: (p.effect, p.label))
    return Forest(effect, group, tuple(points), len(rows), tuple(without))


def _is_effect(column: Column) -> bool:
    found = words(column.name)
    named = {"effect", "size"} <= found or bool(found & _EFFECT)
    return named and kind_of(column.type).numeric and not found & _BOUNDS


def _is_required_text(column: Column) -> bool:
    return column.type in ("text", "character varying", "citext") and column.not_null


def build_bars(table: Table, rows: Sequence[Row]) -> Bars | None:
    """The bars of a table with a date and a category; None where its rows make none."""
    # a time stamp counts if it comes from the data, not from the server
    dates = [
        c.name
        for c in table.columns
        if c.type == "date" or (c.type.startswith("timestamp") and c.default is None)
    ]
    date = next((d for d in dates if words(d) & _START), dates[0] if dates else None)
    category = _find_category(table, rows)
    if date is None or category is None:
        return None
    matches = [re.match(r"(\d{4})-\d\d", str(row.get(date) or "")) for row in rows]
    years = [int(found[1]) if found else None for found in matches]
    periods = _group_years(year for year in years if year is not None)
    counted = Counter(str(row[category]) for row in rows if row.get(category))
    names = [name for name, _ in counted.most_common()]
    cells = Counter(
        (str(row.get(category)), periods.get(year) if year else None)
        for row, year in zip(rows, years, strict=True)
    )
    undated = years.count(None)
    columns = [*dict.fromkeys(periods.values()), *([None] if undated else [])]
    return Bars(
        category,
        date,
        tuple(names),
        tuple(c or f"no {date.replace('_', ' ')}" for c in columns),
        tuple(tuple(cells[name, c] for c in columns) for name in names),
        undated,
    )


def _find_category(table: Table, rows: Sequence[Row], apart: str = "") -> str | None:
    """The required text column that sorts the rows into few kinds; the key and names do not."""
    key = natural_key(table)
    alone = key[0] if len(key) == 1 else ""
    for column in table.columns:
        if not _is_required_text(column) or column.name in (apart, alone):
            continue
        kinds = {str(row[column.name]) for row in rows if row.get(column.name)}
        if 2 <= len(kinds) <= _MOST_CATEGORIES and 2 * len(kinds) <= len(rows):
            return column.name
    return None


def _group_years(years: Iterable[int]) -> dict[int, str]:
    """year → its period, in order: single years, or ranges of equal length where they are many."""
    known = sorted(set(years))
    if not known:
        return {}
    span = known[-1] - known[0] + 1
    step = next((s for s in (1, 2, 5, 10, 25) if span <= s * _MOST_PERIODS), 100)
    if step == 1:
        return {year: str(year) for year in known}
    firsts = {year: year - year % step for year in known}
    return {year: f"{first}–{(first + step - 1) % 100:02d}" for year, first in firsts.items()}


def _parse_number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
