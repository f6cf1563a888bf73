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


class Rows(NamedTuple):
    """How many rows a window has, and how many of them hold nothing, or another type."""

    rows: int = 0
    missing: int = 0
    mistyped: int = 0

    @property
    def sound(self) -> int:
        return self.rows - self.missing - self.mistyped


class Pair(NamedTuple):
    """The values of the two windows."""

    baseline: Values
    current: Values
    before: Rows = Rows()
    now: Rows = Rows()

    @property
    def sizes(self) -> tuple[int, int]:
        return len(self.baseline), len(self.current)

    @property
    def unusable(self) -> int:
        """Rows that hold no usable value."""
        return self.before.rows + self.now.rows - sum(self.sizes)


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
            values: tuple[list[Any], list[Any]] = ([], [])
            counts = [[0, 0, 0], [0, 0, 0]]
            for row in by_feature[feature.id]:
                window = row["event_timestamp"] > windows.split
                stored = row["value"].get("value") if isinstance(row["value"], dict) else None
                counts[window][0] += 1
                counts[window][1] += _is_missing(stored)
                counts[window][2] += not (_is_missing(stored) or _is_of(feature, stored))
                if (value := _value(row["value"], numeric=numeric)) is not None:
                    values[window].append(value)
            baseline, current = (np.array(v, dtype=float if numeric else str) for v in values)
            before, now = (Rows(*count) for count in counts)
            pairs[feature.id] = Pair(baseline, current, before, now)
        return pairs


def _is_missing(stored: Any) -> bool:
    """Null, or what stands for it in text."""
    return stored is None or (isinstance(stored, str) and stored.strip().lower() in _NOTHING)


_NOTHING = frozenset(("", "nan", "null", "none", "n/a"))


def _is_of(feature: Feature, stored: Any) -> bool:
    """Whether a value is of its feature's type, as JSON has it."""
    if feature.value_type in {"int64", "float64"}:
        number = isinstance(stored, int | float) and not isinstance(stored, bool)
        return number and bool(np.isfinite(stored))
    wanted = {"string": str, "bool": bool}.get(feature.value_type)
    return wanted is None or isinstance(stored, wanted)


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
