"""The data in a review: row counts, rows by category and year, effect sizes as a forest plot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from orchestrate_agents.review import drawing
from orchestrate_agents.review.data import Dataset, read_datasets
from orchestrate_agents.review.shapes import Bars, Forest, build_bars, build_forest
from orchestrator.gates.checks import Context
from orchestrator.review.panels import Cell, Chart, Grid, Panel, Tone


def show_row_counts(context: Context, paths: Sequence[str]) -> Iterator[Panel]:
    """How many rows each table will get, and has."""
    rows = []
    for dataset in _read_once(context, paths):
        planned = len(dataset.planned.rows) if dataset.planned else None
        stored = len(dataset.stored.rows) if dataset.stored else dataset.counted
        source = dataset.best.source or "the effect's own count"
        counts = (Cell("—", Tone.QUIET) if n is None else Cell(f"{n:,}") for n in (planned, stored))
        rows.append((Cell(dataset.table.name), *counts, Cell(source, Tone.QUIET)))
    if rows:
        columns = ("table", "to load", "stored", "read from")
        grid = Grid(columns, tuple(rows), "Rows by table", frozenset(columns[1:3]))
        yield Panel("Rows", blocks=(grid,))


def show_charts(context: Context, paths: Sequence[str]) -> Iterator[Panel]:
    """A chart for each table whose columns and rows make one."""
    for dataset in _read_once(context, paths):
        source = f"Read from {dataset.best.source}."
        if forest := build_forest(dataset.table, dataset.best.rows):
            yield _forest_panel(dataset, forest, source)
        elif bars := build_bars(dataset.table, dataset.best.rows):
            yield _bars_panel(dataset, bars, source)


def _read_once(context: Context, paths: Sequence[str]) -> tuple[Dataset, ...]:
    """The datasets, read once for all panels of a review."""
    key = ("review.datasets", tuple(paths))
    found: tuple[Dataset, ...] = context.services.share(key, lambda: read_datasets(context, paths))
    return found


def _label(name: str) -> str:
    return name.replace("_", " ")


def _bars_panel(dataset: Dataset, bars: Bars, source: str) -> Panel:
    name, category, date = map(_label, (dataset.table.name, bars.category, bars.date))
    rows = tuple(
        (Cell(category), *(Cell(str(n or "·")) for n in counts), Cell(str(sum(counts))))
        for category, counts in zip(bars.categories, bars.counts, strict=True)
    )
    columns = (category, *bars.periods, "all")
    grid = Grid(columns, rows, f"Rows by {bars.category} and {bars.date}", frozenset(columns[1:]))
    total = sum(bars.totals)
    most, leader = max(zip(bars.totals, bars.categories, strict=True))
    alt = (
        f"Stacked bars: {total} {name} by {category} and year of {date}; "
        f"the most are {leader} with {most}."
    )
    words = [f"{total} rows by {category} and {date}.", source]
    if bars.undated:
        words.insert(1, f"{bars.undated} of them give no {date}.")
    chart = Chart(alt, grid, partial(drawing.draw_bars, bars))
    return Panel(name.capitalize(), (" ".join(words),), (chart,))


def _forest_panel(dataset: Dataset, forest: Forest, source: str) -> Panel:
    name, effect, points = _label(dataset.table.name), _label(forest.effect), forest.points
    rows = tuple(
        (Cell(p.label), Cell(f"{p.n:,}" if p.n else "—"), Cell(p.figure), Cell(p.group))
        for p in points
    )
    columns = (name, "n", effect, _label(forest.group))
    grid = Grid(columns, rows, f"{effect} by row", frozenset(columns[1:3]))
    low, high = points[0], points[-1]
    alt = (
        f"Forest plot of {effect} for {len(points)} of {forest.rows} rows, "
        f"from {low.effect:+.2f} ({low.label}) to {high.effect:+.2f} ({high.label})."
    )
    words = [f"{effect.capitalize()} as stored; a marker's area is the sample size."]
    intervals = sum(p.low is not None for p in points)
    if intervals:
        words.append(f"{intervals} of {len(points)} rows give an interval.")
    else:
        words.append("No interval is drawn, because no row gives one.")
    if forest.without:
        words.append(f"Without a figure: {'; '.join(forest.without)}.")
    chart = Chart(alt, grid, partial(drawing.draw_forest, forest))
    return Panel(name.capitalize(), (" ".join(words), source), (chart,))
