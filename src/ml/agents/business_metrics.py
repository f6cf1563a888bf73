"""The query layer of `business_metrics`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pandas as pd

from src.ml.agents.names import UnknownNameError, check_brand, check_region, metric_key
from src.ml.agents.sources import Filter, Op, Query, Record, Source
from src.ml.synthetic.loaders.tables import TABLES

_TABLE = "business_metrics"
_COLUMNS = TABLES[_TABLE].names
_ORDER = ("metric_date", "metric_type", "region")


class MetricRows(list[Record]):
    """Rows, and whether the limit left further ones out."""

    def __init__(self, rows: Sequence[Record], limit: int | None = None) -> None:
        super().__init__(rows if limit is None else rows[:limit])
        self.limit = limit
        self.truncated = limit is not None and len(rows) > limit


class BusinessMetricRepository:
    """Reads `business_metrics`.

    Raises TargetError where the database cannot be reached, UnknownNameError for a brand or region
    that is none.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    async def get_time_series(
        self,
        kpi_name: str,
        brand: str,
        start_date: date | None = None,
        end_date: date | None = None,
    ) -> MetricRows:
        """All rows of a KPI (key or description, any case), ascending by date; bounds included."""
        filters = [_kpi(kpi_name), _brand(brand), *_between(start_date, end_date)]
        return await self._rows(filters)

    async def get_by_kpi(
        self, kpi_name: str, brand: str | None = None, limit: int = 100
    ) -> MetricRows:
        """The latest rows of a KPI, at most `limit`; `.truncated` says if there are more."""
        filters = [_kpi(kpi_name), *([_brand(brand)] if brand else [])]
        return await self._rows(filters, limit)

    async def get_by_region(
        self, region: str, brand: str | None = None, limit: int = 100
    ) -> MetricRows:
        """The latest rows of a region, at most `limit`; `.truncated` says if there are more."""
        filters = [Filter("region", Op.EQ, check_region(region))]
        filters += [_brand(brand)] if brand else []
        return await self._rows(filters, limit)

    async def get_many(
        self, kpis: Sequence[str], brand: str, start_date: date, end_date: date
    ) -> MetricRows:
        """All rows of several KPIs, given by key."""
        filters = [Filter("metric_type", Op.IN, tuple(kpis)), _brand(brand)]
        return await self._rows([*filters, *_between(start_date, end_date)])

    async def get_dates(
        self, kpis: Sequence[str], brand: str, until: date | None = None
    ) -> list[date]:
        """The distinct dates that these KPIs have rows for, ascending."""
        filters = (
            Filter("metric_type", Op.IN, tuple(kpis)),
            _brand(brand),
            *_between(None, until),
        )
        rows = await self._source.fetch(
            Query(_TABLE, ("metric_date",), filters, ("metric_date", "metric_id"))
        )
        return sorted({row["metric_date"] for row in rows})

    async def get_latest_snapshot(
        self, brand: str, region: str | None = None
    ) -> dict[str, dict[str, Any]]:
        """Per metric its value, target, achievement_rate, roi and date at the latest date.

        Without a region these are averages over the regions.
        """
        frame = await self._latest(brand, region)
        columns = ["value", "target", "achievement_rate", "roi"]
        return {
            str(metric): {
                **{c: float(rows[c].mean()) for c in columns},
                "date": rows["metric_date"].iloc[0],
            }
            for metric, rows in frame.groupby("metric_type", sort=True)
        }

    async def get_achievement_summary(self, brand: str) -> dict[str, Any]:
        """How many metrics of the latest date (each in each region) are at their target."""
        rates = (await self._latest(brand))["achievement_rate"].dropna().astype(float)
        at_target = int((rates >= 1.0).sum())
        return {
            "avg_achievement": float(rates.mean()) if len(rates) else None,
            "metrics_at_target": at_target,
            "metrics_below_target": len(rates) - at_target,
            "total_metrics": len(rates),
        }

    async def get_roi_summary(self, brand: str) -> dict[str, Any]:
        """The ROI of the latest date's rows; `total_value` per metric, whose units differ."""
        frame = await self._latest(brand)
        roi = frame["roi"].dropna().astype(float)
        totals = frame.groupby("metric_type", sort=True)["value"].sum()
        return {
            "avg_roi": float(roi.mean()) if len(roi) else None,
            "max_roi": float(roi.max()) if len(roi) else None,
            "min_roi": float(roi.min()) if len(roi) else None,
            "total_value": {str(metric): float(total) for metric, total in totals.items()},
        }

    async def _latest(self, brand: str, region: str | None = None) -> pd.DataFrame:
        """The rows of the latest date."""
        filters = [_brand(brand)]
        filters += [Filter("region", Op.EQ, check_region(region))] if region else []
        newest = await self._rows(filters, limit=1)
        if not newest:
            return pd.DataFrame(columns=list(_COLUMNS))
        day = newest[0]["metric_date"]
        return pd.DataFrame(await self._rows([*filters, Filter("metric_date", Op.EQ, day)]))

    async def _rows(self, filters: Sequence[Filter], limit: int | None = None) -> MetricRows:
        """Ascending by date; with a limit the latest ones, newest first."""
        query = Query(
            _TABLE,
            _COLUMNS,
            tuple(filters),
            _ORDER,
            descending=limit is not None,
            limit=None if limit is None else limit + 1,
        )
        return MetricRows(await self._source.fetch(query), limit)


def _kpi(name: str) -> Filter:
    """Matched against the key; a KPI that is not one of ours is taken as the key it may be."""
    try:
        return Filter("metric_type", Op.EQ, metric_key(name))
    except UnknownNameError:
        return Filter("metric_type", Op.EQ, name.strip().lower())


def _brand(name: str) -> Filter:
    return Filter("brand", Op.EQ, check_brand(name))


def _between(start: date | None, end: date | None) -> list[Filter]:
    filters = [Filter("metric_date", Op.GE, start)] if start else []
    return filters + ([Filter("metric_date", Op.LE, end)] if end else [])
