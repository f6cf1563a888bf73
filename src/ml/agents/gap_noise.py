"""How far a metric's series scatters, and what a difference between means of it is worth."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import stats

Array = np.ndarray[Any, np.dtype[Any]]

#: a series with so many degrees of freedom is judged by its own scatter, else by that of all
_OWN_DF = 8
#: strongest correlation of neighbours that is allowed for
_MOST_CORRELATED = 0.8
#: cycles of a season that are needed to tell it from what happened once
_CYCLES = 2
#: days, so that 24 firsts of months are two cycles
_YEAR = 349


class Scatter(NamedTuple):
    """Variance of one figure about its level, and the degrees of freedom behind it."""

    variance: float
    df: float
    #: factor by which neighbours that resemble each other widen a mean's variance
    widening: float = 1.0

    def of_mean(self, count: float) -> float:
        """Standard error of the mean of `count` figures."""
        return float(np.sqrt(self.variance * self.widening / max(count, 1)))


NO_SCATTER = Scatter(0.0, 0.0)


class Panel(NamedTuple):
    """Figures of several series: which series, which stretch of time, which day, which month."""

    values: Array
    series: Array
    stretch: Array
    day: Array
    month: Array


def scatters(panel: Panel, count: int) -> list[Scatter]:
    """The scatter of each of `count` series about its level, a common trend and season.

    Each stretch of each series has a level of its own, so that what is looked for is not noise.
    """
    if not len(panel.values):
        return [NO_SCATTER] * count
    # before that, months would take the noise that all series share for a season
    repeated = np.ptp(panel.day) >= _CYCLES * _YEAR and len(np.unique(panel.month)) == 12
    design = _design(panel, season=repeated)
    residuals = panel.values - design @ np.linalg.lstsq(design, panel.values, rcond=None)[0]
    common = np.linalg.matrix_rank(design) - len(np.unique(_cells(panel)))
    correlation = _neighbours(residuals, panel)
    widening = (1 + correlation) / (1 - correlation)
    df = max(0.0, float(len(residuals) - np.linalg.matrix_rank(design)))
    pooled = Scatter(float(residuals @ residuals) / df if df else 0.0, df, widening)
    found = []
    for number in range(count):
        own = panel.series == number
        levels = len(np.unique(panel.stretch[own]))
        own_df = float(own.sum() - levels - common * own.sum() / len(residuals))
        if own_df >= _OWN_DF:
            variance = float(residuals[own] @ residuals[own]) / own_df
            found.append(Scatter(variance, own_df, widening))
        else:
            found.append(pooled)
    return found


def seasonal_change(panel: Panel, series: int, before: int, now: int) -> tuple[float, float, float]:
    """What changed in a series between two stretches beside the season: change, error and df.

    NaN where no earlier year tells the season.
    """
    design = _design(panel, season=True)
    names = np.unique(_cells(panel))
    wanted = np.zeros(design.shape[1])
    pair = [
        (series * 10 + stretch, (panel.series == series) & (panel.stretch == stretch))
        for stretch in (before, now)
    ]
    if any(not rows.any() for _, rows in pair):
        return np.nan, np.nan, 0.0
    for sign, (cell, rows) in zip((-1.0, 1.0), pair, strict=True):
        wanted[int(np.searchsorted(names, cell))] += sign
        # the trend belongs to the change, the season does not
        wanted[len(names)] += sign * float(design[rows, len(names)].mean())
    inverse = np.linalg.pinv(design.T @ design, rcond=1e-10, hermitian=True)
    if not np.allclose(wanted @ inverse @ (design.T @ design), wanted, atol=1e-6):
        return np.nan, np.nan, 0.0
    fitted = inverse @ design.T @ panel.values
    residuals = panel.values - design @ fitted
    df = float(len(residuals) - np.linalg.matrix_rank(design))
    correlation = _neighbours(residuals, panel)
    variance = float(residuals @ residuals) / df if df > 0 else 0.0
    error = np.sqrt(wanted @ inverse @ wanted * variance * (1 + correlation) / (1 - correlation))
    return float(wanted @ fitted), float(error), max(df, 0.0)


def _cells(panel: Panel) -> Array:
    cells: Array = panel.series * 10 + panel.stretch
    return cells


def _design(panel: Panel, *, season: bool) -> Array:
    """Levels of the cells, one trend, and if wanted the months."""
    cells = _cells(panel)
    levels = (cells[:, None] == np.unique(cells)).astype(float)
    span = float(np.ptp(panel.day)) or 1.0
    trend = (panel.day - panel.day.min())[:, None] / span
    parts = [levels, trend]
    if season:
        parts.append((panel.month[:, None] == np.unique(panel.month)[1:]).astype(float))
    return np.hstack(parts)


def _neighbours(residuals: Array, panel: Panel) -> float:
    """How far the residuals of one date resemble those of the date before, 0 to .8."""
    order = np.lexsort((panel.day, panel.series))
    ordered, series = residuals[order], panel.series[order]
    together = series[1:] == series[:-1]
    total = float(ordered @ ordered)
    pairs = int(together.sum())
    if total <= 1e-20 * len(ordered) or pairs < 3 * _OWN_DF:
        return 0.0
    found = float((ordered[1:] * ordered[:-1])[together].sum()) / total * len(ordered) / pairs
    chance = 1.645 / np.sqrt(pairs)
    return float(min(found, _MOST_CORRELATED)) if found > chance else 0.0


def shortfall_p(size: float, error: float, df: float) -> float | None:
    """How likely chance leaves a shortfall of this size; None if nothing tells the noise."""
    if df <= 0:
        return None
    if error <= 1e-12 * max(1.0, abs(size)):
        return 0.0 if size > 0 else 1.0
    return float(stats.t.sf(size / error, df))


def critical(df: float) -> float:
    """Half of a 95 % interval in standard errors; `df` may be infinite."""
    return float(stats.t.ppf(0.975, df))
