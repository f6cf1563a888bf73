"""An in-memory twin of the agents' source, with the tables that they read."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from src.ml.agents.sources import Filter, Op, Query, Record
from src.ml.synthetic.config import REGIONS

END = datetime(2026, 11, 20, 12, tzinfo=UTC)


class MemorySource:
    """Rows by table; remembers the queries."""

    def __init__(self, **tables: Sequence[Record]) -> None:
        self.tables = {name: list(rows) for name, rows in tables.items()}
        self.queries: list[Query] = []

    async def fetch(self, query: Query) -> list[Record]:
        self.queries.append(query)
        rows = [r for r in self.tables.get(query.table, []) if _holds(r, query.filters)]
        if query.order:
            rows.sort(key=lambda r: [r[c] for c in query.order], reverse=query.descending)
        return [{c: row[c] for c in query.columns} for row in rows[: query.limit]]

    async def count(self, query: Query) -> int:
        return len(await self.fetch(query))

    async def close(self) -> None:
        self.tables = {}


def _holds(row: Record, filters: Iterable[Filter]) -> bool:
    return all(_one(row[item.column], item) for item in filters)


def _one(value: Any, item: Filter) -> bool:
    if item.op is Op.KNOWN:
        return value is not None
    if item.op is Op.IN:
        return value in item.value
    if item.op is Op.CONTAINS:
        return item.value.items() <= value.items()
    return {
        Op.EQ: lambda: value == item.value,
        Op.GT: lambda: value > item.value,
        Op.GE: lambda: value >= item.value,
        Op.LE: lambda: value <= item.value,
    }[item.op]()


_NUMBERS = itertools.count(1)


def metric_row(
    day: date, metric: str, region: str, value: float, target: float, **more: Any
) -> Record:
    """A row of business_metrics."""
    return {
        "metric_id": f"metric_{next(_NUMBERS):012x}",
        "metric_date": day,
        "metric_type": metric,
        "metric_name": metric,
        "brand": "Remibrutinib",
        "region": region,
        "value": value,
        "target": target,
        "achievement_rate": round(value / target, 3),
        "year_over_year_change": 0.0,
        "month_over_month_change": 0.0,
        "roi": 2.0,
        "statistical_significance": 0.01,
        "confidence_interval_lower": value,
        "confidence_interval_upper": value,
        "sample_size": 1000,
        "data_split": "train",
        **more,
    }


def months(year: int, first: int, last: int) -> list[date]:
    return [date(year, month, 1) for month in range(first, last + 1)]


def metric_rows(
    days: Sequence[date], metric: str = "trx", value: float = 90.0, target: float = 100.0
) -> list[Record]:
    """The same value for each day and region."""
    return [metric_row(day, metric, region, value, target) for day in days for region in REGIONS]


def hcp_rows(per_region: int = 10) -> list[Record]:
    return [
        {"hcp_id": f"hcp_{n}", "geographic_region": region}
        for n, region in enumerate(REGIONS * per_region)
    ]


def feature_row(
    name: str, value_type: str = "float64", keys: Sequence[str] = ("patient_id",)
) -> Record:
    return {
        "id": uuid.uuid5(uuid.NAMESPACE_URL, name),
        "name": name,
        "value_type": value_type,
        "drift_threshold": 0.1,
        "entity_keys": list(keys),
    }


def value_rows(
    feature: Record, values: Sequence[Any], end: datetime, days: float, **entity: str
) -> list[Record]:
    """Values spread evenly over the `days` that end with `end`, the last one at `end`."""
    step = timedelta(days=days) / max(1, len(values))
    return [
        {
            "id": uuid.uuid4(),
            "feature_id": str(feature["id"]),
            "value": {"value": value},
            "entity_values": entity or {"patient_id": "pt_1"},
            "event_timestamp": end - step * (len(values) - 1 - place),
        }
        for place, value in enumerate(values)
    ]


def two_windows(
    feature: Record, baseline: Sequence[Any], current: Sequence[Any], days: int = 7, **entity: str
) -> list[Record]:
    """A baseline and a current window of `days` each, the latter ending at `END`."""
    split = END - timedelta(days=days)
    return [
        *value_rows(feature, baseline, split, days, **entity),
        *value_rows(feature, current, END, days, **entity),
    ]
