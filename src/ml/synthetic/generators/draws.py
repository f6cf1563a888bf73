"""Vectorised draws and the columns made of them."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr, ndtri

from src.ml.synthetic.generators.dates import Text

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@contextmanager
def collector_paused() -> Iterator[None]:
    """No cyclic garbage collection meanwhile: it would walk over all new dicts again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def objects(values: Sequence[Any]) -> Text:
    """A one-dimensional object array, also of lists and dicts."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


#: the last three digits of a number
_ONES = objects([f"{number:03d}" for number in range(1000)])


def picked(
    rng: np.random.Generator, size: int, values: Sequence[str], weights: Sequence[float] | None
) -> Text:
    """Values drawn with weights that sum to 1; equal ones if None."""
    if weights is None:
        return objects(values).take(rng.integers(len(values), size=size))
    return objects(values).take(weighted_codes(rng.random(size), weights))


def weighted_codes(uniform: Floats, weights: Sequence[float]) -> Ints:
    """Positions among `weights` at the given quantiles in [0, 1)."""
    edges = np.cumsum(weights)[:-1]
    return np.searchsorted(edges, uniform, side="right")


def picked_by_group(
    rng: np.random.Generator,
    groups: Text,
    tables: Mapping[str, Mapping[str, float]],
) -> Text:
    """For every row a value of its group's table {value: weight}."""
    uniform = rng.random(len(groups))
    found = np.empty(len(groups), dtype=object)
    for group, table in tables.items():
        rows = groups == group
        codes = weighted_codes(uniform[rows], list(table.values()))
        found[rows] = objects(list(table))[codes]
    return found


def looked_up(keys: Text, table: Mapping[str, float]) -> Floats:
    """The number of every key; there are few distinct ones."""
    found = np.empty(len(keys), dtype=np.float64)
    for key, number in table.items():
        found[keys == key] = number
    return found


def truncated_normal(
    rng: np.random.Generator,
    size: int,
    mean: float | Floats,
    sd: float,
    bounds: tuple[float, float],
) -> Floats:
    """Normal values inside [low, high], by the inverse CDF: nothing piles up at the bounds."""
    low, high = bounds
    lowest, highest = ndtr((low - mean) / sd), ndtr((high - mean) / sd)
    uniform = lowest + (highest - lowest) * rng.random(size)
    # the CDF rounds to 1 far outside; the bound still holds
    return np.clip(mean + sd * ndtri(uniform), low, high)


def truncated_integers(
    rng: np.random.Generator,
    size: int,
    mean: float | Floats,
    sd: float,
    bounds: tuple[int, int],
) -> Ints:
    """Whole numbers in low..high, both included, shaped like a normal."""
    low, high = bounds
    values = truncated_normal(rng, size, mean, sd, (low, high + 1))
    return np.minimum(values.astype(np.int64), high)


def numbered(prefix: str, numbers: range, width: int = 5) -> Text:
    """Ids like `hcp_00012` of ascending numbers from 0 on."""
    # joining the words of thousands and ones is cheaper than formatting each number
    heads = range(numbers.start // 1000, (numbers.stop + 999) // 1000)
    words = objects([f"{prefix}_{number:0{width - 3}d}" for number in heads])
    texts: Text = np.add.outer(words, _ONES).ravel()
    first = numbers.start - heads.start * 1000
    return texts[first : first + len(numbers)]


def frame_of(columns: Mapping[str, Any]) -> pd.DataFrame:
    """A frame whose texts, lists and dicts stay plain objects under every version of pandas."""
    return pd.DataFrame(
        {
            name: pd.Series(values, dtype=object, copy=False)
            if isinstance(values, np.ndarray) and values.dtype == object
            else values
            for name, values in columns.items()
        },
        copy=False,
    )
