"""Timestamps of feature values: ascending, all different, denser towards the end."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import numpy as np

from src.ml.synthetic.generators.draws import Floats, Ints

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
#: half of the values lie within so many days before the end, or a quarter of a shorter range
_RECENT = 30 * _DAY
#: how much denser the rest is at its end than at its start: e to this power
_DENSITY = 1.5
_FRESH, _STALE = 24 * 3600 * _SECOND, 168 * 3600 * _SECOND


def microseconds(moment: datetime | date) -> int:
    """Microseconds from 1970 to a naive moment, an aware one (in UTC), or the midnight of a day."""
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return int(np.datetime64(moment, "us").astype(np.int64))


def event_times(rng: np.random.Generator, size: int, start: int, end: int) -> Ints:
    """`size` strictly ascending microseconds in start..end, one in each stratum.

    Raises ValueError where the range has fewer microseconds than values.
    """
    span = end - start
    if span + 1 < size:
        raise ValueError(f"{size} different timestamps do not fit into {span + 1} microseconds")
    recent = min(_RECENT, span // 4)
    older = size // 2
    rest = span - recent
    # early ones by the inverse CDF of a density that grows exponentially
    early = rest * (np.log1p(_stratified(rng, older) * np.expm1(_DENSITY)) / _DENSITY)
    late = rest + recent * _stratified(rng, size - older)
    offsets = np.concatenate([early, late]).astype(np.int64)
    # ascending offsets made different, none above the span
    places = np.arange(offsets.size)
    apart = np.maximum.accumulate(offsets - places) + places
    apart = np.minimum(apart, span - places[::-1])
    assert bool((np.diff(apart) > 0).all()), "timestamps of a feature must ascend"
    return start + apart


def freshness_codes(times: Ints, reference: int) -> Ints:
    """0 fresh (younger than a day), 1 stale (than a week), 2 expired."""
    return np.searchsorted([_FRESH, _STALE], reference - times, side="right")


def _stratified(rng: np.random.Generator, size: int) -> Floats:
    """One uniform value in each of `size` equal parts of [0, 1), ascending."""
    return (np.arange(size) + rng.random(size)) / max(size, 1)
