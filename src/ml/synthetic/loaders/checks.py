"""What the database would refuse, found in the coerced frame itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from src.ml.synthetic.loaders.coerce import canonical_json
from src.ml.synthetic.loaders.tables import Column, Kind, Table

_INTEGER_LIMIT = 2**31
_UUID = r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}"
_DATE = r"\d{4}-\d{2}-\d{2}"
_MOMENT = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}\+00:00"

_Mask = np.ndarray[Any, np.dtype[np.bool_]]


def repeated_keys(frame: pd.DataFrame, columns: tuple[str, ...]) -> dict[int, str]:
    """Position → reason of each row whose key an earlier row has; a key with a null repeats none.

    An upsert cannot take one key twice, and if it could, each load would change the row to and fro.
    """
    if not set(columns) <= set(frame.columns) or frame.empty:
        return {}
    keys = frame[list(columns)].map(canonical_json)
    repeated = (keys.duplicated(keep="first") & keys.notna().all(axis=1)).to_numpy()
    reason = f"an earlier row has the same {', '.join(columns)}"
    return dict.fromkeys(np.flatnonzero(repeated).tolist(), reason)


def faults(
    frame: pd.DataFrame, table: Table, parents: Mapping[str, set[Any]], now: pd.Timestamp
) -> dict[int, str]:
    """Position → first reason of each row of a coerced frame that the database would refuse.

    `parents` gives the known keys by parent table; a parent that is not there is not checked.
    `now` is an instant in UTC, which no past timestamp may exceed.
    """
    found: dict[int, str] = {}
    for column in table.columns:
        if column.name in frame.columns:
            for reason, bad in _column_faults(frame[column.name], column, now):
                _note(found, bad, reason)
    for reference in table.references:
        if reference.parent in parents and reference.column in frame.columns:
            values = frame[reference.column]
            orphan = ~values.isin(parents[reference.parent]) & values.notna()
            _note(found, orphan.to_numpy(), f"{reference.column} is not in {reference.parent}")
    good = frame.drop(index=list(found))
    for name in table.unique:
        for position, reason in repeated_keys(good, (name,)).items():
            found.setdefault(int(good.index[position]), reason)
    return found


def _note(found: dict[int, str], bad: _Mask, reason: str) -> None:
    for position in np.flatnonzero(bad).tolist():
        found.setdefault(position, reason)


def _column_faults(
    values: pd.Series[Any], column: Column, now: pd.Timestamp
) -> list[tuple[str, _Mask]]:
    """Reason and mask of each rule that the column has."""
    given = values.notna().to_numpy()
    rules = [(f"{column.name} is null", ~given)] if column.required else []
    if column.kind in _NUMERIC:
        rules += [(reason, given & bad) for reason, bad in _number_faults(values, column)]
    elif column.kind is Kind.JSON:
        rules += _json_faults(values, column, given)
    else:
        rules += [(reason, given & bad) for reason, bad in _text_faults(values, column, now)]
    return rules


_NUMERIC = {Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT}


def _number_faults(values: pd.Series[Any], column: Column) -> list[tuple[str, _Mask]]:
    is_number = _are(values, int if column.kind is Kind.INTEGER else int | float)
    numbers = np.where(is_number, values, 0).astype(float)
    limit = {
        Kind.INTEGER: float(_INTEGER_LIMIT),
        Kind.DECIMAL: 10.0 ** ((column.width or 0) - column.scale),
        Kind.FLOAT: np.inf,
    }[column.kind]
    low = -np.inf if column.low is None else column.low
    high = np.inf if column.high is None else column.high
    return [
        (f"{column.name} is no {column.kind.name.lower()}", ~is_number),
        (f"{column.name} is too large", np.abs(numbers) >= limit),
        (
            f"{column.name} is not between {column.low} and {column.high}",
            (numbers < low) | (numbers > high),
        ),
    ]


def _are(values: pd.Series[Any], kind: Any) -> _Mask:
    return np.array([isinstance(v, kind) and not isinstance(v, bool) for v in values], dtype=bool)


def _text_faults(
    values: pd.Series[Any], column: Column, now: pd.Timestamp
) -> list[tuple[str, _Mask]]:
    name = column.name
    texts = pd.Series(values.astype(object).where(values.notna(), "").map(str), dtype=object)
    if column.kind is Kind.CHOICE:
        return [(f"{name} is none of {', '.join(column.choices)}", _not_in(texts, column.choices))]
    if column.kind is Kind.BOOLEAN:
        return [(f"{name} is neither true nor false", _not_in(texts, ("True", "False")))]
    pattern = {Kind.UUID: _UUID, Kind.DATE: _DATE, Kind.TIMESTAMP: _MOMENT}.get(column.kind)
    if pattern is not None:
        fits = _match(texts, pattern) & (_is_date(texts) | (column.kind is Kind.UUID))
        rules = [(f"{name} is no {column.kind.name.lower()}", ~fits)]
        # the coerced texts sort as their instants do
        limit = now.strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")
        late = (texts > limit).to_numpy(dtype=bool) if column.past else np.zeros(len(texts), bool)
        return [*rules, (f"{name} is in the future", late)]
    rules = [
        (f"{name} holds a NUL character", texts.str.contains("\0", regex=False).to_numpy(bool))
    ]
    if column.width is not None:
        too_long = (texts.str.len() > column.width).to_numpy(dtype=bool)
        rules.append((f"{name} is longer than {column.width} characters", too_long))
    return rules


def _not_in(texts: pd.Series[Any], choices: tuple[str, ...]) -> _Mask:
    return ~texts.isin(choices).to_numpy(dtype=bool)


def _match(texts: pd.Series[Any], pattern: str) -> _Mask:
    return texts.str.fullmatch(pattern).to_numpy(dtype=bool)


def _is_date(texts: pd.Series[Any]) -> _Mask:
    parsed = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
    return parsed.notna().to_numpy(dtype=bool)


def _json_faults(values: pd.Series[Any], column: Column, given: _Mask) -> list[tuple[str, _Mask]]:
    if not column.filled:
        return []
    full = np.array([isinstance(v, list) and len(v) > 0 for v in values], dtype=bool)
    return [(f"{column.name} is not a list with an item", given & ~full)]
