"""Numbers of one feature: drawn, taken from patients, or shifted by a planted drift."""

from __future__ import annotations

import numpy as np

from src.ml.synthetic.generators.draws import (
    Floats,
    Ints,
    truncated_integers,
    truncated_normal,
    weighted_codes,
)
from src.ml.synthetic.generators.feature_catalogue import PATIENT_COLUMNS, Feature, ValueType
from src.ml.synthetic.generators.feature_entities import Entities

_DECIMALS = 4


def drawn(rng: np.random.Generator, feature: Feature, size: int) -> Floats:
    """Values of the feature's own distribution; of categories their positions."""
    if feature.shares is not None:
        codes = weighted_codes(rng.random(size), list(feature.shares.values()))
        return codes.astype(np.float64)
    mean, sd = feature.normal
    low, high = feature.bounds
    if feature.type is ValueType.INT:
        whole = truncated_integers(rng, size, mean, sd, (int(low), int(high)))
        return whole.astype(np.float64)
    return truncated_normal(rng, size, mean, sd, (low, high)).round(_DECIMALS)


def taken(feature: Feature, entities: Entities, rows: Ints) -> Floats | None:
    """The patients' own values; None if there are none, or some are unknown."""
    column = PATIENT_COLUMNS.get(feature.name)
    if not column or column not in entities.patients:
        return None
    values = entities.patients[column].to_numpy(dtype=np.float64, na_value=np.nan)
    return None if np.isnan(values).any() else values[rows]


def shifted(rng: np.random.Generator, feature: Feature, values: Floats, shift: float) -> Floats:
    """Values after a drift, still within the feature's bounds."""
    if feature.shares is not None:
        last = float(len(feature.shares) - 1)
        return np.where(rng.random(len(values)) < shift, last, values)
    moved = np.clip(values + shift * feature.normal[1], *feature.bounds)
    return np.round(moved, 0 if feature.type is ValueType.INT else _DECIMALS)
