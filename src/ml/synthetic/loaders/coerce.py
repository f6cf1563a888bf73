"""Generated frames in the values that a database takes.

A value that does not fit its column is left as it is, so that the database refuses that row and
says why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from src.ml.synthetic.loaders.tables import RENAMES, Column, Kind, Table

#: values that JSON cannot take as they are
_COMPOUND = (dict, list, tuple, np.ndarray, np.generic)

#: no DECIMAL column holds more, and larger numbers cannot be rounded
_LARGEST = 1e15

#: also 1 and 0, which are equal to them
_BOOLEANS = {True: True, False: False, "true": True, "false": False}

#: a one-dimensional array of Python objects
Objects = np.ndarray[Any, np.dtype[np.object_]]


def renamed(datasets: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The generators' frames under the database's column names."""
    return {
        name: frame.rename(columns=dict(RENAMES.get(name, {}))) for name, frame in datasets.items()
    }


def coerced(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    """The table's columns that `frame` has, as object columns of plain Python values or None.

    Numbers are rounded to the DECIMAL scale, timestamps without a zone are taken as UTC; the index
    counts from 0.
    """
    sent = [column for column in table.columns if column.name in frame.columns]
    values = {column.name: _coerced(frame[column.name], column) for column in sent}
    return pd.DataFrame(values, index=pd.RangeIndex(len(frame)), dtype=object)


def canonical_json(value: Any) -> Any:
    """A dict or list as JSON text with sorted keys; anything else as it is."""
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return value


def _coerced(series: pd.Series[Any], column: Column) -> Objects:
    given = _plain(series)
    wanted = _COERCIONS.get(column.kind, _as_text)(series, column)
    fits = np.array([value is not None for value in wanted], dtype=bool)
    return np.where(fits, wanted, given)


def _plain(series: pd.Series[Any]) -> Objects:
    """The values as plain Python objects, with None for NaN, NaT, NA and the infinities."""
    values = series.astype(object).to_numpy(copy=True)
    empty = pd.isna(values)
    if series.dtype.kind in "fO":
        numbers = pd.to_numeric(series, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        empty = empty | np.isinf(numbers)
    values[empty] = None
    return _objects([_clean(v) if isinstance(v, _COMPOUND) else v for v in values])


def _objects(values: list[Any]) -> Objects:
    """A one-dimensional object array, also of lists of one length."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _numbers(series: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Finite numbers, else NaN; text is read, a true or false is no number."""
    if series.dtype == object:
        series = series.map(lambda v: None if isinstance(v, bool | np.bool_ | dict | list) else v)
    numbers = pd.to_numeric(series, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _where(fits: np.ndarray[Any, np.dtype[np.bool_]], values: list[Any]) -> Objects:
    """`values` where they fit, else None."""
    chosen = _objects(values)
    chosen[~fits] = None
    return chosen


def _as_integer(series: pd.Series[Any], _: Column) -> Objects:
    if series.dtype == bool:
        return _objects(series.astype(int).tolist())
    numbers = _numbers(series)
    fits = ~np.isnan(numbers) & (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**53)
    return _where(fits, np.where(fits, numbers, 0).astype(np.int64).tolist())


def _as_decimal(series: pd.Series[Any], column: Column) -> Objects:
    numbers = _numbers(series)
    fits = np.abs(numbers) < _LARGEST
    return _where(fits, np.round(np.where(fits, numbers, 0.0), column.scale).tolist())


def _as_float(series: pd.Series[Any], _: Column) -> Objects:
    numbers = _numbers(series)
    return _where(~np.isnan(numbers), numbers.tolist())


def _as_boolean(series: pd.Series[Any], _: Column) -> Objects:
    plain = _plain(series)
    return _objects([_BOOLEANS.get(v) if isinstance(v, str | float | int) else None for v in plain])


def _moments(series: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    """Instants in UTC, NaT for what is none."""
    if series.dtype.kind != "M":
        series = pd.Series([_date_text(v) for v in series], dtype=object)
    parsed = pd.to_datetime(series, format="ISO8601", utc=True, errors="coerce")
    return parsed.dt.tz_localize(None).to_numpy(dtype="datetime64[us]")


def _date_text(value: Any) -> str | None:
    """A date or a text as ISO text; a number is neither."""
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, str) else None


def _as_moment(series: pd.Series[Any], _: Column) -> Objects:
    moments = _moments(series)
    texts = np.datetime_as_string(moments, unit="us").tolist()
    return _where(~np.isnat(moments), [text + "+00:00" for text in texts])


def _as_date(series: pd.Series[Any], _: Column) -> Objects:
    moments = _moments(series)
    return _where(~np.isnat(moments), np.datetime_as_string(moments, unit="D").tolist())


def _as_json(series: pd.Series[Any], _: Column) -> Objects:
    return _plain(series)


def _clean(value: Any) -> Any:
    """A JSON value without NumPy scalars, NaN or the infinities."""
    if isinstance(value, dict):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_clean(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _as_text(series: pd.Series[Any], _: Column) -> Objects:
    """Text, also of enum members."""
    plain = _plain(series)
    return _objects([None if v is None else str(getattr(v, "value", v)) for v in plain])


_Coercion = Callable[["pd.Series[Any]", Column], Objects]

_COERCIONS: Mapping[Kind, _Coercion] = {
    Kind.INTEGER: _as_integer,
    Kind.DECIMAL: _as_decimal,
    Kind.FLOAT: _as_float,
    Kind.BOOLEAN: _as_boolean,
    Kind.TIMESTAMP: _as_moment,
    Kind.DATE: _as_date,
    Kind.JSON: _as_json,
}
