"""Columns and cross-column rules that the table schemas are built of."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

import pandas as pd
import pandera.pandas as pa

#: largest difference between the achievement rate and value / target
_ACHIEVEMENT_ERROR = 0.015
DAY = r"^\d{4}-\d{2}-\d{2}$"
#: a day, with a time of day or not
MOMENT = r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}:\d{2}(\.\d+)?)?$"
UUID = r"^[a-f0-9-]{36}$"


def text(pattern: str | None = None, *, unique: bool = False, required: bool = True) -> pa.Column:
    """A text that is not null and fits the pattern."""
    checks = [] if pattern is None else [pa.Check.str_matches(pattern)]
    return pa.Column(str, checks, unique=unique, required=required)


def long_text(length: int) -> pa.Column:
    """A text of more than `length` characters."""
    return pa.Column(str, pa.Check.str_length(min_value=length + 1))


def one_of(values: type[Enum] | Sequence[str], *, required: bool = True) -> pa.Column:
    """A text out of a closed set."""
    known = values if isinstance(values, Sequence) else [member.value for member in values]
    return pa.Column(str, pa.Check.isin(list(known)), required=required)


def whole(
    low: float | None = None, high: float | None = None, *, required: bool = True
) -> pa.Column:
    """A whole number within bounds, both included."""
    return pa.Column("int64", _bounds(low, high), required=required)


def number(
    low: float | None = None,
    high: float | None = None,
    *,
    nullable: bool = False,
    required: bool = True,
) -> pa.Column:
    """A number within bounds, both included."""
    return pa.Column("float64", _bounds(low, high), nullable=nullable, required=required)


def plain(kind: type[dict[Any, Any]] | type[list[Any]], *, required: bool = True) -> pa.Column:
    """Python objects of a type (dict, list), none of them empty."""

    def filled(value: Any) -> bool:
        return isinstance(value, kind) and len(value) > 0

    check = pa.Check(filled, element_wise=True, name=f"filled {kind.__name__}")
    return pa.Column(object, check, required=required)


def with_keys(*keys: str) -> pa.Column:
    """Dicts that have all of the keys."""

    def complete(value: Any) -> bool:
        return isinstance(value, Mapping) and all(key in value for key in keys)

    check = pa.Check(complete, element_wise=True, name=f"keys {', '.join(keys)}")
    return pa.Column(object, check)


def days_only_if_initiated() -> pa.Check:
    """days_to_treatment is null where no treatment began."""
    return _rule(
        "days_to_treatment only if treatment_initiated",
        ("days_to_treatment", "treatment_initiated"),
        lambda df: df["days_to_treatment"].isna() | (df["treatment_initiated"] == 1),
    )


def value_within_interval() -> pa.Check:
    """lower <= value <= upper."""
    return _rule(
        "value within its interval",
        ("value", "confidence_interval_lower", "confidence_interval_upper"),
        lambda df: df["value"].between(
            df["confidence_interval_lower"], df["confidence_interval_upper"]
        ),
    )


def achievement_is_ratio() -> pa.Check:
    """achievement_rate is value / target, but for rounding."""
    return _rule(
        "achievement_rate is value / target",
        ("achievement_rate", "value", "target"),
        lambda df: (df["achievement_rate"] - df["value"] / df["target"]).abs() < _ACHIEVEMENT_ERROR,
    )


def outcome_only_if_accepted() -> pa.Check:
    """outcome_value is null unless the outcome is tracked and the trigger accepted."""
    return _rule(
        "outcome_value only if tracked and accepted",
        ("outcome_value", "outcome_tracked", "acceptance_status"),
        lambda df: (
            df["outcome_value"].isna()
            | (df["outcome_tracked"] & (df["acceptance_status"] == "accepted"))
        ),
    )


def unique_feature_values() -> pa.Check:
    """One value for each feature, entity and timestamp."""

    def first_of_its_kind(df: pd.DataFrame) -> pd.Series:
        entities = [json.dumps(e, sort_keys=True, default=str) for e in df["entity_values"]]
        keys = df[["feature_id", "event_timestamp"]].assign(entity=entities)
        return ~keys.duplicated()

    columns = ("feature_id", "entity_values", "event_timestamp")
    return _rule("feature, entity and timestamp are unique", columns, first_of_its_kind)


def _bounds(low: float | None, high: float | None) -> list[pa.Check]:
    checks = []
    if low is not None:
        checks.append(pa.Check.ge(low))
    if high is not None:
        checks.append(pa.Check.le(high))
    return checks


def _rule(
    name: str, columns: Sequence[str], holds: Callable[[pd.DataFrame], pd.Series]
) -> pa.Check:
    """A rule over rows; a frame without one of its columns has nothing to break."""

    def check(df: pd.DataFrame) -> pd.Series:
        if not set(columns) <= set(df.columns):
            return pd.Series(True, index=df.index)
        return holds(df).fillna(False).astype(bool)

    return pa.Check(check, name=name, error=name)
