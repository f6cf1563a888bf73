"""The query layer of the feature store: values of features in two windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from src.ml.agents.names import UnknownNameError
from src.ml.agents.sources import Filter, Op, Query, Record, Source
from src.ml.agents.windows import Windows

Values = np.ndarray[Any, np.dtype[Any]]

_DEFAULT_THRESHOLD = 0.1


@dataclass(frozen=True)
class Feature:
    """A feature as the store describes it."""

    id: str
    name: str
    value_type: str
    drift_threshold: float
    entity_keys: tuple[str, ...]


class Pair(NamedTuple):
    """The values of the two windows."""

    baseline: Values
    current: Values
    #: rows that hold no usable value
    unusable: int = 0

    @property
    def sizes(self) -> tuple[int, int]:
        return len(self.baseline), len(self.current)


class FeatureRepository:
    """Reads `features` and `feature_values`; raises TargetError without a connection."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def get_features(self, names: Sequence[str] | None) -> list[Feature]:
        """The features of these names, or all, by name.

        Raises UnknownNameError for a name that is not stored, if any feature is.
        """
        columns = ("id", "name", "value_type", "drift_threshold", "entity_keys")
        rows = await self._source.fetch(Query("features", columns, order=("name", "id")))
        features = [
            Feature(
                str(row["id"]),
                row["name"],
                row["value_type"],
                _DEFAULT_THRESHOLD if row["drift_threshold"] is None else row["drift_threshold"],
                tuple(row["entity_keys"]),
            )
            for row in rows
        ]
        known = {feature.name for feature in features}
        if names is None or not known:
            return features
        for name in names:
            if name not in known:
                raise UnknownNameError("feature", name, sorted(known))
        return [feature for feature in features if feature.name in names]

    async def get_windows(
        self, features: Sequence[Feature], windows: Windows, brand: str | None = None
    ) -> dict[str, Pair]:
        """The values of both windows by the feature's id, also of a feature that has none."""
        filters = [
            Filter("feature_id", Op.IN, tuple(feature.id for feature in features)),
            Filter("event_timestamp", Op.GT, windows.start),
            Filter("event_timestamp", Op.LE, windows.end),
        ]
        filters += [Filter("entity_values", Op.CONTAINS, {"brand": brand})] if brand else []
        columns = ("feature_id", "value", "event_timestamp")
        order = ("event_timestamp", "id")
        rows = await self._source.fetch(Query("feature_values", columns, tuple(filters), order))
        by_feature: dict[str, list[Record]] = {feature.id: [] for feature in features}
        for row in rows:
            by_feature[str(row["feature_id"])].append(row)
        pairs = {}
        for feature in features:
            numeric = feature.value_type in {"int64", "float64"}
            found = by_feature[feature.id]
            values: tuple[list[Any], list[Any]] = ([], [])
            for row in found:
                if (value := _value(row["value"], numeric=numeric)) is not None:
                    values[row["event_timestamp"] > windows.split].append(value)
            baseline, current = (np.array(v, dtype=float if numeric else str) for v in values)
            unusable = len(found) - len(baseline) - len(current)
            pairs[feature.id] = Pair(baseline, current, unusable)
        return pairs


def _value(stored: Any, *, numeric: bool) -> float | str | None:
    """The value inside of `{"value": v}`; None if it is not of the feature's type."""
    value = stored.get("value") if isinstance(stored, dict) else None
    if value is None or isinstance(value, dict | list):
        return None
    if not numeric:
        return str(value)
    if isinstance(value, int | float) and np.isfinite(value):
        return float(value)
    return None
