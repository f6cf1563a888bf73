"""The query layer of the feature store: values of features in two windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from src.ml.agents.names import UnknownNameError
from src.ml.agents.sources import Filter, Op, Query, Record, Source, latest
from src.ml.agents.windows import Windows, as_utc

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
    #: the entity of each value, by window
    entities: tuple[Values, ...] = ()
    #: rows from the start of the baseline on, the longest time between two, the first and last
    rows: int = 0
    pause: timedelta = timedelta(0)
    ends: tuple[datetime, datetime] | None = None

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

    async def get_latest(
        self,
        features: Sequence[Feature],
        brand: str | None = None,
        until: datetime | None = None,
    ) -> dict[str, datetime]:
        """The time of each feature's last row, by its id; none of a feature without rows."""
        of_brand = _of_brand(brand)
        if until is not None:
            of_brand += (Filter("event_timestamp", Op.LE, until),)
        found = {}
        for feature in features:
            filters = (Filter("feature_id", Op.EQ, feature.id), *of_brand)
            moment = await latest(self._source, "feature_values", "event_timestamp", filters)
            if moment is not None:
                found[feature.id] = as_utc(moment)
        return found

    async def get_windows(
        self,
        features: Sequence[Feature],
        windows: Windows | Mapping[str, Windows],
        brand: str | None = None,
    ) -> dict[str, Pair]:
        """The values of both windows by the feature's id, also of a feature that has none.

        Windows are one for all, or each feature's own by its id.
        """
        own = {f.id: windows if isinstance(windows, Windows) else windows[f.id] for f in features}
        pairs: dict[str, Pair] = {}
        for cut in dict.fromkeys(own.values()):
            alike = [feature for feature in features if own[feature.id] == cut]
            filters = [
                Filter("feature_id", Op.IN, tuple(feature.id for feature in alike)),
                Filter("event_timestamp", Op.GT, cut.start),
                Filter("event_timestamp", Op.LE, cut.end),
                *_of_brand(brand),
            ]
            columns = ("feature_id", "value", "event_timestamp", "entity_values")
            order = ("event_timestamp", "id")
            query = Query("feature_values", columns, tuple(filters), order)
            by_feature: dict[str, list[Record]] = {feature.id: [] for feature in alike}
            for row in await self._source.fetch(query):
                by_feature[str(row["feature_id"])].append(row)
            for feature in alike:
                pairs[feature.id] = _pair(feature, by_feature[feature.id], cut)
        return pairs


def _of_brand(brand: str | None) -> tuple[Filter, ...]:
    return (Filter("entity_values", Op.CONTAINS, {"brand": brand}),) if brand else ()


def _pair(feature: Feature, rows: Sequence[Record], windows: Windows) -> Pair:
    """The rows in their windows; between the baseline and the current one they count as neither."""
    numeric = feature.value_type in {"int64", "float64"}
    of_window: tuple[list[Record], list[Record]] = ([], [])
    baseline_end, split = windows.baseline_end, windows.split
    for row in rows:
        moment = row["event_timestamp"]
        if moment <= baseline_end or moment > split:
            of_window[moment > split].append(row)
    values, counts, entities = [], [], []
    for part in of_window:
        stored = [_stored(row["value"]) for row in part]
        missing = sum(map(_is_missing, stored))
        mistyped = sum(not (_is_missing(v) or _is_of(feature, v)) for v in stored)
        usable = [_value(value, numeric=numeric) for value in stored]
        values.append(np.array([v for v in usable if v is not None], float if numeric else str))
        entities.append(
            np.array(
                [
                    repr(row["entity_values"])
                    for row, value in zip(part, usable, strict=True)
                    if value is not None
                ],
                dtype=str,
            )
        )
        counts.append(Rows(len(part), missing, mistyped))
    times = [row["event_timestamp"] for row in rows]
    pause = max((b - a for a, b in pairwise(times)), default=timedelta(0))
    return Pair(
        values[0],
        values[1],
        counts[0],
        counts[1],
        (entities[0], entities[1]),
        len(rows),
        pause,
        (times[0], times[-1]) if times else None,
    )


def _stored(value: Any) -> Any:
    """What lies inside of `{"value": v}`."""
    return value.get("value") if isinstance(value, dict) else None


def _is_missing(stored: Any) -> bool:
    """Null, or what stands for it in text."""
    return stored is None or (isinstance(stored, str) and stored.strip().lower() in _NOTHING)


_NOTHING = frozenset(("", "nan", "null", "none", "n/a"))


def _is_of(feature: Feature, stored: Any) -> bool:
    """Whether a value is of its feature's type, as JSON has it."""
    if feature.value_type in {"int64", "float64"}:
        return not isinstance(stored, bool) and _value(stored, numeric=True) is not None
    wanted = {"string": str, "bool": bool}.get(feature.value_type)
    return wanted is None or isinstance(stored, wanted)


def _value(value: Any, *, numeric: bool) -> float | str | None:
    """The value; None if it is not of the feature's type."""
    if value is None or isinstance(value, dict | list):
        return None
    if not numeric:
        return str(value)
    with suppress(OverflowError):
        if isinstance(value, int | float) and isfinite(value):
            return float(value)
    return None
