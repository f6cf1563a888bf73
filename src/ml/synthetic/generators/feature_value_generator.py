"""Time series of feature values, with timestamps that drift windows can be cut from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
import pandas as pd

from src.ml.synthetic.generators.base import GeneratorConfig, SeriesGenerator
from src.ml.synthetic.generators.dates import Text
from src.ml.synthetic.generators.draws import Floats, Ints, collector_paused, frame_of, objects
from src.ml.synthetic.generators.event_times import event_times, freshness_codes, microseconds
from src.ml.synthetic.generators.feature_catalogue import FEATURES, Feature, ValueType
from src.ml.synthetic.generators.feature_entities import Entities, Pools
from src.ml.synthetic.generators.feature_ids import text_hashes, value_ids
from src.ml.synthetic.generators.feature_store_seeder import FeatureStoreSeeder
from src.ml.synthetic.generators.feature_values import drawn, shifted, taken
from src.ml.synthetic.generators.links import required

_FRESHNESS = objects(["fresh", "stale", "expired"])


@dataclass(frozen=True)
class PlantedDrift:
    """A shift to be found: from `start` on, `shift` standard deviations are added to a number.

    Of a flag or a categorical feature the share `shift` (0..1) of the values becomes the last one.
    """

    feature: str
    start: datetime
    shift: float


@dataclass(frozen=True)
class _Series:
    """All values of one feature; arrays have the same length."""

    id: str
    feature: Feature
    entities: Entities
    #: positions among the entities
    entity: Ints
    #: numbers, or positions among the feature's categories
    number: Floats
    #: ascending microseconds since 1970
    times: Ints

    def cut(self, rows: slice) -> _Series:
        return replace(
            self, entity=self.entity[rows], number=self.number[rows], times=self.times[rows]
        )

    def values(self) -> list[str | int | float]:
        """Plain Python values."""
        if self.feature.type is ValueType.FLOAT:
            return list(self.number.tolist())
        whole = self.number.astype(np.int64)
        if self.feature.type is ValueType.INT:
            return list(whole.tolist())
        return list(objects(list(self.feature.shares or {}))[whole])


class FeatureValueGenerator(SeriesGenerator):
    """Rows of feature_values, as many for each feature of `features_df` (default: all 15).

    What is left of n_records after that is one row more for each of the first features.
    `as_of` is the latest possible timestamp and the time at which freshness is judged; without
    it the range's last midnight and the clock. Where `patient_df` is given, ids are taken from
    it, and so are the features that it has as columns.
    """

    entity_type = "feature_values"

    def __init__(
        self,
        config: GeneratorConfig | None = None,
        features_df: pd.DataFrame | None = None,
        patient_df: pd.DataFrame | None = None,
        *,
        as_of: datetime | date | None = None,
        drift: PlantedDrift | None = None,
    ) -> None:
        super().__init__(config)
        self._features = features_df
        self._patients = patient_df
        self._as_of = as_of
        self._drift = drift

    def generate_columnar(self) -> pd.DataFrame:
        """The same rows as `generate()` without a dict for each.

        Columns: id, feature_id, feature_name, one for each entity key, number (categories as
        their position), text (None for numbers), event_timestamp (datetime64), freshness_status.
        """
        return pd.concat([self._flat(s) for s in self._series()], ignore_index=True)

    def _slices(self, parts: int) -> Iterator[pd.DataFrame]:
        series = self._series()
        total = sum(s.times.size for s in series)
        for rows in np.array_split(np.arange(total), parts):
            first, last = (int(rows[0]), int(rows[-1]) + 1) if rows.size else (0, 0)
            yield self._rows(_overlapping(series, first, last))

    def _series(self) -> list[_Series]:
        """Raises ValueError where there are no features, or unknown ones."""
        features = FeatureStoreSeeder().generate() if self._features is None else self._features
        if features.empty:
            raise ValueError("features_df is required to have a row; leave it out for all features")
        required(features, "features_df", ("id", "name", "entity_keys"))
        each, left = divmod(self.config.n_records, len(features))
        pools = Pools.of(self.config, self._patients)
        seeds = self._seed().spawn(len(features))
        start, end = microseconds(self.config.start_date), microseconds(self.config.end_date)
        if self._as_of is not None:
            end = min(end, microseconds(self._as_of))
        series = []
        columns = (features["id"], features["name"], features["entity_keys"])
        for place, (id_, name, keys, seed) in enumerate(zip(*columns, seeds, strict=True)):
            if name not in FEATURES:
                raise ValueError(f"unknown feature {name!r}; known are {', '.join(FEATURES)}")
            feature, entities = FEATURES[name], pools.entities(tuple(keys))
            rng, count = np.random.default_rng(seed), each + (place < left)
            times = event_times(rng, count, start, end)
            entity = rng.integers(len(entities), size=count)
            number = taken(feature, entities, entity)
            if number is None:
                number = drawn(rng, feature, count)
            if self._drift is not None and self._drift.feature == name:
                late = times >= microseconds(self._drift.start)
                number[late] = shifted(rng, feature, number[late], self._drift.shift)
            series.append(_Series(str(id_), feature, entities, entity, number, times))
        return series

    @collector_paused()
    def _rows(self, series: list[_Series]) -> pd.DataFrame:
        return frame_of(
            {
                "id": _joined(series, _ids),
                "feature_id": _joined(series, lambda s: objects([s.id] * len(s.times))),
                "entity_values": _joined(series, lambda s: s.entities.dicts(s.entity)),
                "value": _joined(series, lambda s: objects([{"value": v} for v in s.values()])),
                "event_timestamp": _joined(series, lambda s: _iso_times(s.times)),
                "freshness_status": _joined(series, self._freshness),
            }
        )

    def _freshness(self, series: _Series) -> Text:
        reference = microseconds(self._as_of if self._as_of is not None else datetime.now())
        status: Text = _FRESHNESS[freshness_codes(series.times, reference)]
        return status

    def _flat(self, series: _Series) -> pd.DataFrame:
        is_text = series.feature.type is ValueType.STRING
        size = len(series.times)
        text = objects(series.values()) if is_text else np.full(size, None, dtype=object)
        keys = {
            key: np.full(size, None, dtype=object)
            for key in ("hcp_id", "patient_id", "brand", "region")
        }
        keys |= {key: ids[series.entity] for key, ids in series.entities.columns.items()}
        columns = {
            "id": _ids(series),
            "feature_id": objects([series.id] * size),
            "feature_name": objects([series.feature.name] * size),
            **keys,
            "number": series.number,
            "text": text,
            "event_timestamp": series.times.astype("datetime64[us]"),
            "freshness_status": self._freshness(series),
        }
        return frame_of(columns)


def _overlapping(series: list[_Series], first: int, last: int) -> list[_Series]:
    """The parts of the series within the rows first..last of all of them, one after another."""
    found, offset = [], 0
    for one in series:
        size = one.times.size
        low, high = max(first - offset, 0), min(last - offset, size)
        if low < high:
            found.append(one.cut(slice(low, high)))
        offset += size
    return found


def _joined(series: list[_Series], column: Callable[[_Series], Text]) -> Text:
    return np.concatenate([np.empty(0, dtype=object), *map(column, series)])


def _ids(series: _Series) -> Text:
    feature = text_hashes([series.id])[0]
    return value_ids(feature, series.entities.hashes[series.entity], series.times)


def _iso_times(times: Ints) -> Text:
    text: Text = np.datetime_as_string(times.astype("datetime64[us]")).astype(object)
    return text
