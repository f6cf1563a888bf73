"""Figures of every brand and region, with targets and changes over time.

A row is one figure of one brand in one region for the time its date stands for: the month, where
dates are firsts of months, else as long as from date to date. Counts are what came in that region
and time, so that a brand's month is the sum of its rows; rates hold for region and time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from src.ml.synthetic.config import REGIONS, Brand
from src.ml.synthetic.generators.base import GeneratorConfig, SeriesGenerator
from src.ml.synthetic.generators.dates import Days, Text, day_number, iso_dates, splits_of
from src.ml.synthetic.generators.draws import (
    Floats,
    Ints,
    frame_of,
    objects,
    truncated_normal,
)
from src.ml.synthetic.generators.metric_dates import earlier_places, metric_days, with_burn_in
from src.ml.synthetic.generators.metric_definitions import METRICS, PLACES, Metric

_REGION_FACTORS = (1.05, 1.15, 0.90, 0.95)
#: relative noise, cut off where the change within a month could leave -50..+50 %
_NOISE_SD, _NOISE_LIMIT = 0.13, 0.18
#: largest growth over the whole range, so that long ranges keep to the level
_MOST_GROWTH = 0.2
_DAYS_A_YEAR = 365.25
_DAYS_A_MONTH = _DAYS_A_YEAR / 12
#: an odd factor, so that different numbers below 2**48 stay different
_ID_FACTOR, _ID_BITS = np.uint64(0x9E3779B97F4A7C15), np.uint64((1 << 48) - 1)
_YEAR_1 = day_number(date.min)
_ID_REGIONS, _ID_METRICS = 4, 16


@dataclass(frozen=True)
class _Line:
    """One series: a metric of a brand in a region."""

    metric: Metric
    brand: Brand
    region: int


class BusinessMetricsGenerator(SeriesGenerator):
    """Rows of business_metrics: one for each date, brand, region and metric that the brand has.

    Where n_records are not whole dates, the oldest date has the rows that are left, brand by brand.
    """

    entity_type = "business_metrics"

    def __init__(self, config: GeneratorConfig | None = None) -> None:
        """Raises ValueError where the range has too few days for so many rows."""
        super().__init__(config)
        self._lines = [
            _Line(metric, brand, region)
            for brand in ([self._brand] if self._brand else Brand)
            for region in range(len(REGIONS))
            for metric in METRICS
            if brand in metric.levels
        ]
        self._decimals = np.array([line.metric.decimals for line in self._lines])
        rows = self.config.n_records
        days = (self.config.end_date - self.config.start_date).days + 1
        most = days * len(self._lines)
        if rows > most:
            raise ValueError(
                f"{rows} rows do not fit: {self.config.start_date} to {self.config.end_date} hold "
                f"at most {most}, {len(self._lines)} a day"
            )

    def _slices(self, parts: int) -> Iterator[pd.DataFrame]:
        count, width = self.config.n_records, len(self._lines)
        dates = max(1, -(-count // width))
        days, step = metric_days(self.config.start_date, self.config.end_date, dates)
        rng = np.random.default_rng(self._seed())
        figures = self._figures(rng, days, step)
        extras = {
            "roi": truncated_normal(rng, count, 2.3, 0.8, (0.6, 4.1)).round(2),
            "statistical_significance": rng.uniform(0.001, 0.10, count).round(3),
            "sample_size": rng.integers(500, 5000, count),
        }
        splits = splits_of(days)
        oldest = np.arange(count - (dates - 1) * width)
        places = np.concatenate([oldest, np.arange(width, dates * width)])
        for rows in np.array_split(np.arange(count), parts):
            part = {name: column[rows] for name, column in extras.items()}
            yield self._rows(days, figures, splits, places[rows], part)

    def _figures(self, rng: np.random.Generator, days: Days, step: float) -> dict[str, Floats]:
        """Columns of shape (dates, lines): value, target and changes.

        Every series begins a year before the first date, so that each date has its changes.
        """
        grid = with_burn_in(days, step)
        # level x region x trend, without noise
        share = (step or _DAYS_A_MONTH) / _DAYS_A_MONTH / len(REGIONS)
        level = np.array(
            [
                line.metric.levels[line.brand] * (share if line.metric.is_count else 1.0)
                for line in self._lines
            ]
        )
        weight = np.array([line.metric.region_weight for line in self._lines])
        region = np.array([_REGION_FACTORS[line.region] for line in self._lines])
        growth = np.array([line.metric.growth for line in self._lines])
        years = (days[-1] - days[0]) / _DAYS_A_YEAR
        growth = np.minimum(growth, _MOST_GROWTH / max(years, 1.0))
        since_middle = (grid - (days[0] + days[-1]) / 2) / _DAYS_A_YEAR
        plain = level * region**weight * (1 + np.outer(since_middle, growth))
        bounds = (1 - _NOISE_LIMIT, 1 + _NOISE_LIMIT)
        noise = truncated_normal(rng, plain.size, 1.0, _NOISE_SD, bounds)
        series = _rounded(plain * noise.reshape(plain.shape), self._decimals)
        shown = slice(len(grid) - len(days), None)
        raised = plain[shown] * rng.uniform(1.05, 1.15, (len(days), len(self._lines)))
        changes = {
            name: np.round(series[shown] / series[earlier_places(grid, days, months)] - 1, 3)
            for name, months in (("year_over_year_change", 12), ("month_over_month_change", 1))
        }
        return {"value": series[shown], "target": _rounded(raised, self._decimals), **changes}

    def _rows(
        self,
        dates: Days,
        figures: dict[str, Floats],
        splits: Text,
        rows: Ints,
        extras: dict[str, Any],
    ) -> pd.DataFrame:
        place, line = np.divmod(rows, len(self._lines))
        shown = {name: column[place, line] for name, column in figures.items()}
        value, target = shown.pop("value"), shown.pop("target")
        # 95 % bounds, narrower for larger samples, within what the figure can be
        half = value * 1.96 * 0.8 / np.sqrt(extras["sample_size"])
        ceiling = np.array([x.metric.ceiling for x in self._lines])[line]
        lower = _rounded(np.maximum(value - half, 0), self._decimals[line])
        upper = _rounded(np.minimum(value + half, ceiling), self._decimals[line])
        days, size = dates[place], extras.pop("sample_size")
        return frame_of(
            {
                "metric_id": self._ids(days, line),
                "metric_date": iso_dates(days),
                "metric_type": objects([x.metric.key for x in self._lines])[line],
                "metric_name": objects([x.metric.description for x in self._lines])[line],
                "brand": objects([x.brand.value for x in self._lines])[line],
                "region": objects([REGIONS[x.region] for x in self._lines])[line],
                "value": value,
                "target": target,
                "achievement_rate": np.round(value / target, 3),
                **shown,
                **extras,
                "confidence_interval_lower": np.minimum(lower, value),
                "confidence_interval_upper": np.maximum(upper, value),
                "sample_size": size,
                "data_split": splits[place],
            }
        )

    def _ids(self, days: Days, line: Ints) -> Text:
        """`metric_` and 12 hex digits, another one for every date, brand, region and metric."""
        brands = list(Brand)
        brand = np.array([brands.index(x.brand) for x in self._lines])[line]
        region = np.array([x.region for x in self._lines])[line]
        metric = np.array([PLACES[x.metric.key] for x in self._lines])[line]
        number = days - _YEAR_1  # never negative
        number = (number * len(brands) + brand) * _ID_REGIONS + region
        mixed = (number * _ID_METRICS + metric).astype(np.uint64) * _ID_FACTOR & _ID_BITS
        return objects([f"metric_{code:012x}" for code in mixed.tolist()])


def _rounded(values: Floats, decimals: Ints) -> Floats:
    """Values rounded to their own number of decimals."""
    return np.where(decimals == 2, np.round(values, 2), np.round(values, 4))
