"""Groups and features of the feature store, with ids that never change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import pandas as pd

from src.ml.synthetic.generators.base import SeriesGenerator
from src.ml.synthetic.generators.draws import frame_of, objects
from src.ml.synthetic.generators.feature_catalogue import FEATURES, GROUPS

_NAMESPACE = UUID("6f1d6c53-9a0e-5c6f-8a39-0d4b7e1f2c85")


class FeatureStoreSeeder(SeriesGenerator):
    """The 4 groups and 15 features; `generate()` returns the features."""

    entity_type = "feature_store_metadata"

    def seed(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """(feature_groups, features): 4 rows of 8 columns and 15 rows of 9 columns."""
        columns: dict[str, list[Any]] = {
            "id": [store_id(group.name) for group in GROUPS],
            "name": [group.name for group in GROUPS],
            "description": [group.description for group in GROUPS],
            "owner": [group.owner for group in GROUPS],
            "tags": [list(group.tags) for group in GROUPS],
            "source_table": [group.source_table for group in GROUPS],
        }
        hours = {
            "expected_update_frequency_hours": [group.update_hours for group in GROUPS],
            "max_age_hours": [group.max_age_hours for group in GROUPS],
        }
        texts = {name: objects(values) for name, values in columns.items()}
        return frame_of(texts | hours), _features()

    def get_feature_ids(self) -> dict[str, str]:
        """Id by feature name."""
        return {name: store_id(name) for name in FEATURES}

    def _slices(self, parts: int) -> Iterator[pd.DataFrame]:
        features = _features()
        for rows in np.array_split(np.arange(len(features)), parts):
            yield features.iloc[rows].reset_index(drop=True)


def store_id(name: str) -> str:
    """The id of a group or feature, the same in every process."""
    return str(uuid5(_NAMESPACE, name))


def _features() -> pd.DataFrame:
    pairs = [(group, feature) for group in GROUPS for feature in group.features]
    return frame_of(
        {
            "id": objects([store_id(f.name) for _, f in pairs]),
            "feature_group_id": objects([store_id(g.name) for g, _ in pairs]),
            "name": objects([f.name for _, f in pairs]),
            "description": objects([f.description for _, f in pairs]),
            "value_type": objects([f.type.value for _, f in pairs]),
            "entity_keys": objects([list(g.entity_keys) for g, _ in pairs]),
            "owner": objects([g.owner for g, _ in pairs]),
            "tags": objects([list(g.tags) for g, _ in pairs]),
            "drift_threshold": [f.drift_threshold for _, f in pairs],
        }
    )
