"""The data in a review: row counts, rows by category and year, effect sizes as a forest plot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from orchestrate_agents.review import drawing
from orchestrate_agents.review.data import Dataset, datasets
from orchestrate_agents.review.shapes import Bars, Forest, bars_of, forest_of
from orchestrator.gates.checks import Context
from orchestrator.review.panels import Cell, Chart, Grid, Panel, Tone


def _label(table: str) -> str:
    return table.replace("_", " ")


# -- counts ----------------------------------------------------------------------------------


def row_counts(context: Context, paths: Sequence[str]) -> Iterator[Panel]:
    """How many rows each table will get, and has."""
    found = _datasets(context, paths)
    if not found:
        return
    columns = ("table", "to load", "stored", "read from")
    rows = tuple(_counts(dataset) for dataset in found)
    grid = Grid(columns, rows, "Rows by table", frozenset(columns[1:3]))
    yield Panel("Rows", blocks=(grid,))


def _counts(dataset: Dataset) -> tuple[Cell, ...]:
    planned = len(dataset.planned.rows) if dataset.planned else None
    stored = len(dataset.stored.rows) if dataset.stored else dataset.counted
    source = dataset.best.source or "the effect's own count"
    return (Cell(dataset.table.name), _count(planned), _count(stored), Cell(source, Tone.QUIET))


def _count(rows: int | None) -> Cell:
    return Cell("—", Tone.QUIET) if rows is None else Cell(f"{rows:,}")


def _datasets(context: Context, paths: Sequence[str]) -> tuple[Dataset, ...]:
    """The datasets, read once for all panels of a review."""
    key = ("review.datasets", tuple(paths))
    found: tuple[Dataset, ...] = context.services.share(key, lambda: datasets(context, paths))
    return found


# -- charts ----------------------------------------------------------------------------------


def charts(context: Context, paths: Sequence[str]) -> Iterator[Panel]:
    """A chart for each table whose columns and rows make one."""
    for dataset in _datasets(context, paths):
        forest = forest_of(dataset.table, dataset.best.rows)
        bars = None if forest else bars_of(dataset.table, dataset.best.rows)
        source = f"Read from {dataset.best.source}."
        if forest is not None:
            yield _forest_panel(dataset, forest, source)
        if bars is not None:
            yield _bars_panel(dataset, bars, source)


def _bars_panel(dataset: Dataset, bars: Bars, source: str) -> Panel:
    name = _label(dataset.table.name)
    rows = tuple(
        (Cell(category), *(Cell(str(n or "·")) for n in counts), Cell(str(sum(counts))))
        for category, counts in zip(bars.categories, bars.counts, strict=True)
    )
    columns = (_label(bars.category), *bars.periods, "all")
    grid = Grid(columns, rows, f"Rows by {bars.category} and {bars.date}", frozenset(columns[1:]))
    most = max(zip(bars.totals, bars.categories, strict=True))
    alt = (
        f"Stacked bars: {sum(bars.totals)} {name} by {_label(bars.category)} and year of "
        f"{_label(bars.date)}; the most are {most[1]} with {most[0]}."
    )
    chart = Chart(alt, grid, partial(drawing.draw_bars, bars))
    words = [f"{sum(bars.totals)} rows by {_label(bars.category)} and {_label(bars.date)}.", source]
    if bars.undated:
        words.insert(1, f"{bars.undated} of them give no {_label(bars.date)}.")
    return Panel(name.capitalize(), (" ".join(words),), (chart,))


def _forest_panel(dataset: Dataset, forest: Forest, source: str) -> Panel:
    name = _label(dataset.table.name)
    rows = tuple(
        (Cell(p.label), Cell(f"{p.n:,}" if p.n else "—"), Cell(p.figure), Cell(p.group))
        for p in forest.points
    )
    columns = (name, "n", _label(forest.effect), _label(forest.group))
    grid = Grid(columns, rows, f"{_label(forest.effect)} by row", frozenset(columns[1:3]))
    low, high = forest.points[0], forest.points[-1]
    alt = (
        f"Forest plot of {_label(forest.effect)} for {len(forest.points)} of {forest.rows} rows, "
        f"from {low.effect:+.2f} ({low.label}) to {high.effect:+.2f} ({high.label})."
    )
    chart = Chart(alt, grid, partial(drawing.draw_forest, forest))
    return Panel(name.capitalize(), (_forest_words(forest), source), (chart,))


def _forest_words(forest: Forest) -> str:
    words = [f"{_label(forest.effect).capitalize()} as stored; a marker's area is the sample size."]
    intervals = sum(p.low is not None for p in forest.points)
    if intervals:
        words.append(f"{intervals} of {len(forest.points)} rows give an interval.")
    else:
        words.append("No interval is drawn, because no row gives one.")
    if forest.without:
        words.append(f"Without a figure: {'; '.join(forest.without)}.")
    return " ".join(words)
