"""Checks of the columns of single tables, and of the keys between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd

from src.ml.synthetic.config import (
    Brand,
    DataSplit,
    EngagementTypeEnum,
    InsuranceTypeEnum,
    PracticeTypeEnum,
    RegionEnum,
    SpecialtyEnum,
)

#: how many rows and values an error shows
_SHOWN = 10


@dataclass(frozen=True)
class ColumnRule:
    """What one column may hold; an optional one may be absent or null."""

    name: str
    required: bool = True
    values: type[Enum] | None = None
    low: float | None = None
    high: float | None = None
    #: (table, column) that every value must occur in
    references: tuple[str, str] | None = None


def _optional(name: str, **rules: Any) -> ColumnRule:
    return ColumnRule(name, required=False, **rules)


_HCP = ("hcp_profiles", "hcp_id")

SCHEMAS: dict[str, tuple[ColumnRule, ...]] = {
    "hcp_profiles": (
        ColumnRule("hcp_id"),
        ColumnRule("specialty", values=SpecialtyEnum),
        ColumnRule("practice_type", values=PracticeTypeEnum),
        ColumnRule("geographic_region", values=RegionEnum),
        ColumnRule("academic_hcp", low=0, high=1),
        ColumnRule("brand", values=Brand),
        _optional("npi"),
        _optional("years_experience", low=0, high=60),
        _optional("total_patient_volume", low=0),
    ),
    "patient_journeys": (
        ColumnRule("patient_journey_id"),
        ColumnRule("patient_id"),
        ColumnRule("hcp_id", references=_HCP),
        ColumnRule("brand", values=Brand),
        ColumnRule("journey_start_date"),
        ColumnRule("data_split", values=DataSplit),
        ColumnRule("disease_severity", low=0, high=10),
        ColumnRule("academic_hcp", low=0, high=1),
        ColumnRule("engagement_score", low=0, high=10),
        ColumnRule("treatment_initiated", low=0, high=1),
        _optional("days_to_treatment", low=0),
        _optional("geographic_region", values=RegionEnum),
        _optional("insurance_type", values=InsuranceTypeEnum),
        _optional("age_at_diagnosis", low=0, high=120),
    ),
    "engagement_events": (
        ColumnRule("engagement_event_id"),
        ColumnRule("hcp_id", references=_HCP),
        ColumnRule("brand", values=Brand),
        ColumnRule("engagement_date"),
        ColumnRule("engagement_type", values=EngagementTypeEnum),
        _optional("rep_id"),
        _optional("quality_score", low=0, high=10),
        _optional("duration_minutes", low=0),
        _optional("data_split", values=DataSplit),
    ),
}


@dataclass(frozen=True)
class SchemaValidationError:
    """One broken rule; the first rows and values that break it are shown."""

    table: str
    column: str
    #: unknown_table, missing_column, null_value, invalid_enum, below_min, above_max or orphan_fk
    error_type: str
    message: str
    row_indices: list[Any] = field(default_factory=list)
    sample_values: list[Any] = field(default_factory=list)


@dataclass
class SchemaValidationResult:
    """What was found in one table."""

    is_valid: bool
    table_name: str
    total_rows: int
    errors: list[SchemaValidationError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class SchemaValidator:
    """Holds frames against column rules; ids may have any form."""

    def __init__(self, schemas: Mapping[str, tuple[ColumnRule, ...]] | None = None) -> None:
        self.schemas = dict(SCHEMAS if schemas is None else schemas)

    def validate(
        self,
        df: pd.DataFrame,
        table_name: str,
        reference_dfs: Mapping[str, pd.DataFrame] | None = None,
    ) -> SchemaValidationResult:
        """The errors of one table; keys are checked against the reference frames that are given."""
        if table_name not in self.schemas:
            message = f"no rules for table {table_name}; known are {', '.join(self.schemas)}"
            error = SchemaValidationError(table_name, "", "unknown_table", message)
            return SchemaValidationResult(False, table_name, len(df), [error])
        errors = [
            error
            for rule in self.schemas[table_name]
            for error in _column_errors(table_name, df, rule, reference_dfs or {})
        ]
        warnings = [] if len(df) else [f"table {table_name} has no rows"]
        return SchemaValidationResult(not errors, table_name, len(df), errors, warnings)

    def validate_all(
        self, datasets: Mapping[str, pd.DataFrame]
    ) -> dict[str, SchemaValidationResult]:
        """The result of every table, each serving the others as a reference."""
        return {name: self.validate(df, name, datasets) for name, df in datasets.items()}

    def get_validation_summary(
        self, results: Mapping[str, SchemaValidationResult]
    ) -> dict[str, Any]:
        """Totals over all tables, and one entry for each."""
        valid = sum(r.is_valid for r in results.values())
        return {
            "all_valid": valid == len(results),
            "total_tables": len(results),
            "valid_tables": valid,
            "total_errors": sum(len(r.errors) for r in results.values()),
            "total_warnings": sum(len(r.warnings) for r in results.values()),
            "tables": {
                name: {
                    "is_valid": r.is_valid,
                    "total_rows": r.total_rows,
                    "error_count": len(r.errors),
                    "warning_count": len(r.warnings),
                }
                for name, r in results.items()
            },
        }


def _column_errors(
    table: str, df: pd.DataFrame, rule: ColumnRule, references: Mapping[str, pd.DataFrame]
) -> Iterator[SchemaValidationError]:
    """An error for each way in which a row breaks the rule."""
    name = rule.name
    if name not in df:
        if rule.required:
            message = f"column {name} is missing"
            yield SchemaValidationError(table, name, "missing_column", message)
        return
    column = df[name]
    present = column.dropna()
    broken: list[tuple[str, str, pd.Series, pd.Series]] = []
    if rule.required:
        broken.append(("null_value", "must not be null", column, column.isna()))
    if rule.values is not None:
        known = [member.value for member in rule.values]
        text = f"must be one of {', '.join(known)}"
        broken.append(("invalid_enum", text, present, ~present.isin(known)))
    if rule.low is not None or rule.high is not None:
        numbers = pd.to_numeric(present, errors="coerce")
        broken.append(("null_value", "must be a number", present, numbers.isna()))
        if rule.low is not None:
            text = f"must be at least {rule.low}"
            broken.append(("below_min", text, present, numbers < rule.low))
        if rule.high is not None:
            text = f"must be at most {rule.high}"
            broken.append(("above_max", text, present, numbers > rule.high))
    parent, key = rule.references or ("", "")
    if key in references.get(parent, ()):
        text = f"must occur in {parent}.{key}"
        broken.append(("orphan_fk", text, present, ~present.isin(references[parent][key])))
    for kind, text, values, rows in broken:
        marked = values[rows.to_numpy(dtype=np.bool_, na_value=False)]
        if len(marked):
            message = f"{name} {text}: {len(marked)} rows break this"
            shown = marked.head(_SHOWN)
            yield SchemaValidationError(
                table, name, kind, message, shown.index.tolist(), shown.tolist()
            )
