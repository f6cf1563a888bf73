"""How far values depend on each other: neighbours in time, and values of one entity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

Array = np.ndarray[Any, np.dtype[Any]]

#: strongest correlation of neighbours that is allowed for
_MOST = 0.95
_FEWEST_PAIRS = 20
#: correlations below this many standard errors are chance
_CHANCE = 2.0
#: categories told apart; the rare ones count as one
_CATEGORIES = 20


def design_effect(
    baseline: Array, current: Array, entities: Sequence[Array] = (), *, categorical: bool = False
) -> float:
    """How many values say as much as one independent value, 1 or more.

    Values are in the order of time; `entities` holds the entity of each, by window. Values that
    resemble the one before widen every difference by (1 + r)/(1 - r). Values of one entity widen
    it by how unequally the windows hold the entities, as far as they resemble each other.
    """
    sizes = (len(baseline), len(current))
    if min(sizes) < 2:
        return 1.0
    points = _points(np.concatenate([baseline, current]), categorical=categorical)
    window = np.repeat([0, 1], sizes)
    for number in (0, 1):
        points[window == number] -= points[window == number].mean(axis=0)
    scale = float((points**2).sum()) / len(points)
    if scale <= 0:
        return 1.0
    effects = [1.0, _of_neighbours(points / np.sqrt(scale), window)]
    if len(entities) == 2:
        _, entity = np.unique(np.concatenate(list(entities)), return_inverse=True)
        order = np.lexsort((np.arange(len(points)), entity, window))
        cells = entity + window * (entity.max() + 1)
        effects.append(_of_neighbours(*_within(points[order], cells[order])))
        effects.append(_of_entities(points / np.sqrt(scale), entity, window, sizes))
    return max(effects)


def _points(values: Array, *, categorical: bool) -> Array:
    """Ranks of numbers, one column per category of others."""
    if not categorical:
        return np.asarray(stats.rankdata(values), dtype=float)[:, None]
    _, places, counts = np.unique(values.astype(str), return_inverse=True, return_counts=True)
    common = np.argsort(-counts)[: _CATEGORIES - 1]
    found: Array = (places[:, None] == common).astype(float)
    return found


def _of_neighbours(points: Array, cells: Array) -> float:
    """(1 + r)/(1 - r) of the correlation r of neighbours within a cell."""
    together = cells[1:] == cells[:-1]
    pairs = int(together.sum())
    if pairs < _FEWEST_PAIRS:
        return 1.0
    found = float((points[1:] * points[:-1]).sum(axis=1)[together].mean())
    if found < _CHANCE / np.sqrt(pairs):
        return 1.0
    # a short series shows less than there is
    found = min((found * pairs + 1) / max(pairs - 4, 1), _MOST)
    return (1 + found) / (1 - found)


def _within(points: Array, cells: Array) -> tuple[Array, Array]:
    """The points less their cell's mean, of unit size: what a cell has in common is not memory."""
    _, places, sizes = np.unique(cells, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(places, column) for column in points.T], axis=1)
    left = points - (sums / sizes[:, None])[places]
    size = float((left**2).sum()) / max(1, len(points) - len(sizes))
    return (left / np.sqrt(size) if size > 1e-9 * float((points**2).mean()) else left * 0.0), cells


def _of_entities(points: Array, entity: Array, window: Array, sizes: tuple[int, int]) -> float:
    count = int(entity.max()) + 1
    held = np.bincount(entity + count * window, minlength=2 * count).reshape(2, count)
    cells = entity + count * window
    sums = np.stack([np.bincount(cells, column, 2 * count) for column in points.T])
    flat = held.ravel()
    pairs = float((flat * (flat - 1)).sum())
    if pairs < _FEWEST_PAIRS or count == 1:
        return 1.0
    alike = float((sums**2).sum() - (points**2).sum()) / pairs
    unequal = (held[0] / sizes[0] - held[1] / sizes[1]) ** 2
    crowding = float(unequal.sum()) * sizes[0] * sizes[1] / sum(sizes)
    return 1.0 + max(0.0, min(alike, 1.0)) * max(0.0, crowding - 1.0)
