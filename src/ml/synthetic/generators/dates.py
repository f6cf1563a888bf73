"""Days as numbers, their ISO text, and the chronological split rule."""

from __future__ import annotations

from datetime import date
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from src.ml.synthetic.config import DataSplit

#: days since 1970-01-01
Days: TypeAlias = npt.NDArray[np.int64]
#: the first days of validation, test and holdout
Cutoffs: TypeAlias = npt.NDArray[np.int64]
Text: TypeAlias = npt.NDArray[np.object_]

_SHARES = (0.60, 0.80, 0.95)
_SPLITS: Text = np.array([split.value for split in DataSplit], dtype=object)
_EPOCH = date(1970, 1, 1).toordinal()


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - _EPOCH


def iso_dates(days: Days) -> Text:
    """`YYYY-MM-DD` of every day; each distinct day is written once."""
    if not days.size:
        return np.empty(0, dtype=object)
    first = int(days.min())
    span = np.arange(first, int(days.max()) + 1).astype("datetime64[D]")
    table: Text = np.datetime_as_string(span).astype(object)
    return table.take(days - first)


def days_of(column: pd.Series) -> Days:
    """Days since 1970-01-01 of a column of ISO texts, dates or timestamps."""
    stamps = pd.to_datetime(column).to_numpy().astype("datetime64[D]")
    return stamps.astype(np.int64)


def split_cutoffs(days: Days) -> Cutoffs:
    """The first days of validation, test and holdout: 60, 80 and 95 % of the distinct days."""
    distinct = np.unique(days)
    if not distinct.size:
        return np.zeros(len(_SHARES), dtype=np.int64)
    return distinct[[int(share * distinct.size) for share in _SHARES]]


def splits_of(days: Days, cutoffs: Cutoffs | None = None) -> Text:
    """The split of every day; all rows of a day share one, a single day is holdout."""
    limits = split_cutoffs(days) if cutoffs is None else cutoffs
    return _SPLITS.take(np.searchsorted(limits, days, side="right"))
