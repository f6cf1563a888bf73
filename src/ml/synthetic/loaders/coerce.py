"""Generated frames in the values that a database takes.

A value that does not fit its column is left as it is, or as a text that says so where a server
would read it, so that the database refuses that row and says why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal

import numpy as np
import pandas as pd

from src.ml.synthetic.loaders.tables import RENAMES, Column, Kind, Table

#: values that JSON cannot take as they are
_COMPOUND = (dict, list, tuple, np.ndarray, np.generic, float)
#: types that need no look at their values
_TEXTS = {str, type(None)}
_WHOLE = _TEXTS | {int, bool}

#: between values that are written as JSON together
_MARK = "\0"
_SHOWN_MARK = f", {json.dumps(_MARK)}, "

#: a whole day, with or without a time; no other text is one, whatever pandas makes of it
_ISO = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII
)

#: no DECIMAL column holds more, and larger numbers cannot be rounded
_LARGEST = 1e15

#: also 1 and 0, which are equal to them
_BOOLEANS = {True: True, False: False, "true": True, "false": False}

_DAYS = (Kind.DATE, Kind.TIMESTAMP)

#: a one-dimensional array of Python objects
Objects = np.ndarray[Any, np.dtype[np.object_]]


def renamed(datasets: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The generators' frames under the database's column names."""
    return {
        name: frame.rename(columns=dict(RENAMES.get(name, {}))) for name, frame in datasets.items()
    }


def coerced(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    """The table's columns that `frame` has, as object columns of plain Python values or None.

    Raises ValueError for a column that is there twice.

    Numbers are rounded to the DECIMAL scale, timestamps without a zone are taken as UTC; the index
    counts from 0.
    """
    if not frame.columns.is_unique:
        twice = sorted(set(frame.columns[frame.columns.duplicated()]))
        raise ValueError(f"{table.name} has the columns {', '.join(map(str, twice))} twice")
    sent = [column for column in table.columns if column.name in frame.columns]
    values = {column.name: _coerced(frame[column.name], column) for column in sent}
    return pd.DataFrame(values, index=pd.RangeIndex(len(frame)), dtype=object)


def canonical_json(value: Any) -> Any:
    """A dict or list as JSON text with sorted keys; anything else as it is."""
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return value


def json_texts(values: Sequence[Any]) -> list[Any]:
    """`canonical_json` of every value, all of them in one go where they can be distinguished."""
    compound = [at for at, value in enumerate(values) if isinstance(value, dict | list)]
    marked = [item for at in compound for item in (values[at], _MARK)]
    text = json.dumps(marked, sort_keys=True, ensure_ascii=False)
    texts = text.removeprefix("[").removesuffix(f"{_SHOWN_MARK[:-2]}]").split(_SHOWN_MARK)
    if len(texts) != len(compound):  # a value holds the mark
        return list(map(canonical_json, values))
    found = list(values)
    for at, shown in zip(compound, texts, strict=True):
        found[at] = shown
    return found


def _coerced(series: pd.Series[Any], column: Column) -> Objects:
    """The values as the column takes them; a text that says so of one that does not fit."""
    given = _plain(series)
    wanted: list[Any]
    match column.kind:
        case Kind.JSON:
            return given
        case Kind.TEXT | Kind.CHOICE | Kind.UUID if set(map(type, given)) <= _TEXTS:
            return given
        case Kind.BOOLEAN:
            wanted = [_BOOLEANS.get(v) if isinstance(v, str | float | int) else None for v in given]
        case Kind.TIMESTAMP | Kind.DATE:
            wanted = _dates(series, "us" if column.kind is Kind.TIMESTAMP else "D")
        case Kind.INTEGER | Kind.DECIMAL | Kind.FLOAT:
            wanted = _numbers(series, column)
        case _:
            # also the members of an enum
            wanted = [None if v is None else str(getattr(v, "value", v)) for v in given]
    if None not in wanted:
        return _objects(wanted)
    pairs = zip(wanted, given, strict=True)
    return _objects([_unfit(was, column.kind) if value is None else value for value, was in pairs])


def _unfit(value: Any, kind: Kind) -> Any:
    """What no server takes for a value of the kind; it would read "today", 20240203 or "1_000"."""
    could_be_read = isinstance(value, str) or (kind in _DAYS and value is not None)
    return f"not a valid {kind.name.lower()}: {value!r}" if could_be_read else value


def _plain(series: pd.Series[Any]) -> Objects:
    """The values as plain Python objects, with None for NaN, NaT, NA and the infinities."""
    values = series.astype(object).to_numpy(copy=True)
    if isinstance(series.dtype, np.dtype) and series.dtype.kind == "f":
        values[~np.isfinite(series.to_numpy())] = None
        return values
    types = set(map(type, values))
    if types <= _WHOLE or (types <= {dict, list} and _is_json(values.tolist())):
        return values
    values[pd.isna(values)] = None
    return _objects([_clean(v) if isinstance(v, _COMPOUND) else v for v in values])


def _is_json(values: list[Any]) -> bool:
    """Whether JSON takes all values as they are."""
    try:
        json.dumps(values, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _objects(values: list[Any]) -> Objects:
    """A one-dimensional object array, also of lists of one length."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _numbers(series: pd.Series[Any], column: Column) -> list[Any]:
    """Numbers of the column's kind, None for others; text is read, a boolean is not a number."""
    if (
        isinstance(series.dtype, np.dtype)
        and series.dtype.kind in "biu"
        and column.kind is Kind.INTEGER
    ):
        return list(series.astype(int).tolist())
    if series.dtype == object:
        series = series.map(lambda v: None if isinstance(v, bool | np.bool_ | dict | list) else v)
    numbers = pd.to_numeric(series, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    fits = np.isfinite(numbers)
    numbers = np.where(fits, numbers, 0.0)
    if column.kind is Kind.INTEGER:
        fits &= (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**53)
        numbers = np.where(fits, numbers, 0).astype(np.int64)
    elif column.kind is Kind.DECIMAL:
        fits &= np.abs(numbers) < _LARGEST
        numbers = np.round(np.where(fits, numbers, 0.0), column.scale)
    shown: list[Any] = numbers.tolist()
    return shown if fits.all() else [n if ok else None for n, ok in zip(shown, fits, strict=True)]


def _dates(series: pd.Series[Any], unit: Literal["us", "D"]) -> list[str | None]:
    """Instants in UTC as ISO text, to the microsecond or the day; None for what is none."""
    if series.dtype.kind == "M":
        return _iso_texts(series, unit)
    # a date or a text; a number is neither
    texts = [
        v.isoformat() if isinstance(v, date) else v if isinstance(v, str) else None for v in series
    ]
    # there are few days: each is read once
    codes, distinct = pd.factorize(_objects(texts))
    whole = [text if _ISO.fullmatch(text) else None for text in distinct]
    shown = _iso_texts(pd.Series(whole, dtype=object), unit)
    return [shown[code] if code >= 0 else None for code in codes.tolist()]


def _iso_texts(moments: pd.Series[Any], unit: Literal["us", "D"]) -> list[str | None]:
    parsed = pd.to_datetime(moments, format="ISO8601", utc=True, errors="coerce")
    instants = parsed.dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    zone = "+00:00" if unit == "us" else ""
    shown = np.datetime_as_string(instants, unit=unit).tolist()
    return [
        None if lost else text + zone
        for text, lost in zip(shown, np.isnat(instants).tolist(), strict=True)
    ]


def _clean(value: Any) -> Any:
    """A JSON value without NumPy scalars, NaN or the infinities."""
    if isinstance(value, dict):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_clean(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
