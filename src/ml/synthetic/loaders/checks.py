"""What the database would refuse, found in the coerced frame itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from src.ml.synthetic.loaders.coerce import json_texts
from src.ml.synthetic.loaders.tables import Column, Kind, Table

_INTEGER_LIMIT = 2**31
_NUMERIC = {Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT}
_PATTERNS = {
    Kind.UUID: r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}",
    Kind.DATE: r"\d{4}-\d{2}-\d{2}",
    Kind.TIMESTAMP: r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}\+00:00",
}

_Mask = np.ndarray[Any, np.dtype[np.bool_]]


def repeated_keys(frame: pd.DataFrame, columns: tuple[str, ...]) -> dict[int, str]:
    """Position → reason of each row whose key an earlier row has; a key with a null repeats none.

    An upsert cannot take one key twice, and if it could, each load would change the row to and fro.
    """
    if not set(columns) <= set(frame.columns) or frame.empty:
        return {}
    keys = hashable_keys(frame, columns)
    repeated = (keys.duplicated(keep="first") & keys.notna().all(axis=1)).to_numpy()
    reason = f"an earlier row has the same {', '.join(columns)}"
    return dict.fromkeys(np.flatnonzero(repeated).tolist(), reason)


def hashable_keys(frame: pd.DataFrame, key: tuple[str, ...]) -> pd.DataFrame:
    """The key of each row in values that can be hashed; None for a column that is not there."""
    keys = frame.reindex(columns=list(key)).astype(object)
    for name in key:
        if not {dict, list}.isdisjoint(map(type, keys[name])):
            keys[name] = pd.Series(json_texts(keys[name].tolist()), keys.index, dtype=object)
    return keys


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
) -> Iterator[tuple[str, _Mask]]:
    """Reason and mask of each rule that the column has."""
    name, kind = column.name, column.kind
    given = values.notna().to_numpy()
    if column.required:
        yield f"{name} is null", ~given
    if kind in _NUMERIC:
        for reason, bad in _number_faults(values, column):
            yield reason, given & bad
        return
    if kind is Kind.JSON:
        held = pd.Series(json_texts(values.tolist()), dtype=object).map(str)
        sound = np.array(
            [isinstance(v, dict | list) or _is_json(t) for v, t in zip(values, held, strict=True)],
            dtype=bool,
        )
        yield f"{name} is not JSON", given & ~sound
        nul = held.str.contains(r"(?<!\\)(?:\\\\)*\\u0000|[\ud800-\udfff]", regex=True).to_numpy(
            dtype=bool
        )
        yield f"{name} holds a NUL character or half of a surrogate pair", given & nul
        if column.filled:
            full = np.array([isinstance(v, list) and len(v) > 0 for v in values], dtype=bool)
            yield f"{name} is not a list with an item", given & ~full
        return
    texts = pd.Series(values.astype(object).where(values.notna(), "").map(str), dtype=object)
    if kind is Kind.CHOICE:
        unknown = ~texts.isin(column.choices).to_numpy(dtype=bool)
        yield f"{name} is none of {', '.join(column.choices)}", given & unknown
    elif kind is Kind.BOOLEAN:
        unknown = ~texts.isin(("True", "False")).to_numpy(dtype=bool)
        yield f"{name} is neither true nor false", given & unknown
    elif kind in _PATTERNS:
        fits = texts.str.fullmatch(_PATTERNS[kind])
        if kind is not Kind.UUID:
            fits &= pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce").notna()
        yield f"{name} is not a valid {kind.name.lower()}", given & ~fits.to_numpy(dtype=bool)
        if column.past:
            # the coerced texts sort as their instants do
            limit = now.strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")
            yield f"{name} is in the future", given & (texts > limit).to_numpy(dtype=bool)
    else:
        nul = texts.str.contains("\0", regex=False).to_numpy(dtype=bool)
        yield f"{name} holds a NUL character", given & nul
        half = texts.str.contains("[\ud800-\udfff]", regex=True).to_numpy(dtype=bool)
        yield f"{name} holds half of a surrogate pair", given & half
        if column.width is not None:
            too_long = (texts.str.len() > column.width).to_numpy(dtype=bool)
            yield f"{name} is longer than {column.width} characters", given & too_long


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _number_faults(values: pd.Series[Any], column: Column) -> Iterator[tuple[str, _Mask]]:
    types: Any = int if column.kind is Kind.INTEGER else int | float
    is_number = np.array(
        [isinstance(v, types) and not isinstance(v, bool) for v in values], dtype=bool
    )
    numbers = np.where(is_number, values, 0).astype(float)
    limit = {
        Kind.INTEGER: float(_INTEGER_LIMIT),
        Kind.DECIMAL: 10.0 ** ((column.width or 0) - column.scale),
        Kind.FLOAT: np.inf,
    }[column.kind]
    low = -np.inf if column.low is None else column.low
    high = np.inf if column.high is None else column.high
    yield f"{column.name} is not a valid {column.kind.name.lower()}", ~is_number
    yield f"{column.name} is too large", np.abs(numbers) >= limit
    outside = (numbers < low) | (numbers > high)
    yield f"{column.name} is not between {column.low} and {column.high}", outside
