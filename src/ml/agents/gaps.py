"""Finding gaps: the mean of each metric in each segment, against target, peers and the past."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from src.ml.agents.gap_models import Gap, GapType

#: share of the segment values that lie below what counts as the potential
_POTENTIAL = 0.9


class Level(NamedTuple):
    """The means of a metric in a segment over a period."""

    value: float
    target: float
    observations: int


#: (segment value, metric) → level
Levels = Mapping[tuple[str, str], Level]


def segment_levels(rows: Sequence[Mapping[str, Any]], segment: str) -> Levels:
    """The means per value of the column `segment` and metric; rows without a value are left out."""
    if not rows:
        return {}
    frame = pd.DataFrame(rows, columns=[segment, "metric_type", "value", "target"])
    frame = frame.dropna(subset=["value"])
    groups = frame.groupby([segment, "metric_type"], sort=True)[["value", "target"]]
    means, sizes = groups.mean(), groups.size()
    return {
        (str(place), str(metric)): Level(float(value), float(target), int(size))
        for ((place, metric), value, target), size in zip(
            means.itertuples(name=None), sizes, strict=True
        )
    }


def find_gaps(
    segment: str,
    current: Levels,
    prior: Levels,
    types: Iterable[GapType],
    threshold: float,
) -> list[Gap]:
    """All gaps of at least `threshold` percent, largest percentage first.

    A value that has nothing to be compared with (no peer, no prior period) has no such gap.
    """
    found = [
        _gap(segment, place, metric, kind, level, reference)
        for kind in types
        for (place, metric), level in current.items()
        if (reference := _reference(kind, place, metric, current, prior)) is not None
    ]
    kept = [gap for gap in found if abs(gap.gap_percentage) >= threshold]
    return sorted(kept, key=lambda gap: (-abs(gap.gap_percentage), gap.gap_id))


def _reference(
    kind: GapType, place: str, metric: str, current: Levels, prior: Levels
) -> float | None:
    """What the value is compared with."""
    if kind is GapType.VS_TARGET:
        target = current[place, metric].target
        return None if np.isnan(target) else target
    if kind is GapType.TEMPORAL:
        before = prior.get((place, metric))
        return before.value if before else None
    peers = {p: level.value for (p, m), level in current.items() if m == metric}
    if len(peers) < 2:
        return None
    if kind is GapType.VS_POTENTIAL:
        return float(np.quantile(list(peers.values()), _POTENTIAL))
    return float(np.mean([value for p, value in peers.items() if p != place]))


def _gap(
    segment: str, place: str, metric: str, kind: GapType, level: Level, reference: float
) -> Gap:
    size = reference - level.value
    return Gap(
        gap_id=f"{segment}_{place}_{metric}_{kind}",
        metric=metric,
        segment=segment,
        segment_value=place,
        current_value=level.value,
        target_value=reference,
        gap_size=size,
        gap_percentage=100.0 * size / reference if reference else 0.0,
        gap_type=kind,
        observations=level.observations,
    )
