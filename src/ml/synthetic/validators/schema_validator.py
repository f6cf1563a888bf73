"""Checks of the columns of single tables, and of the keys between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
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

    @property
    def is_number(self) -> bool:
        """Whether the column has bounds."""
        return self.low is not None or self.high is not None


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
            for error in _Column(table_name, df, rule).errors(reference_dfs or {})
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


@dataclass(frozen=True)
class _Column:
    """One column of a frame and its rule."""

    table: str
    df: pd.DataFrame
    rule: ColumnRule

    def errors(self, references: Mapping[str, pd.DataFrame]) -> Iterator[SchemaValidationError]:
        name = self.rule.name
        if name not in self.df:
            if self.rule.required:
                message = f"column {name} is missing"
                yield SchemaValidationError(self.table, name, "missing_column", message)
            return
        column = self.df[name]
        if self.rule.required:
            yield from self._broken(column, column.isna(), "null_value", "must not be null")
        present = column.dropna()
        yield from self._values(present)
        if self.rule.is_number:
            yield from self._bounds(present)
        if self.rule.references is not None:
            yield from self._keys(present, references)

    def _values(self, present: pd.Series) -> Iterator[SchemaValidationError]:
        if self.rule.values is not None:
            allowed = [member.value for member in self.rule.values]
            text = f"must be one of {', '.join(allowed)}"
            yield from self._broken(present, ~present.isin(allowed), "invalid_enum", text)

    def _bounds(self, present: pd.Series) -> Iterator[SchemaValidationError]:
        numbers = pd.to_numeric(present, errors="coerce")
        yield from self._broken(present, numbers.isna(), "null_value", "must be a number")
        if self.rule.low is not None:
            text = f"must be at least {self.rule.low}"
            yield from self._broken(present, numbers < self.rule.low, "below_min", text)
        if self.rule.high is not None:
            text = f"must be at most {self.rule.high}"
            yield from self._broken(present, numbers > self.rule.high, "above_max", text)

    def _keys(
        self, present: pd.Series, references: Mapping[str, pd.DataFrame]
    ) -> Iterator[SchemaValidationError]:
        assert self.rule.references is not None
        table, column = self.rule.references
        if table in references and column in references[table]:
            known = present.isin(references[table][column])
            yield from self._broken(present, ~known, "orphan_fk", f"must occur in {table}.{column}")

    def _broken(
        self, column: pd.Series, rows: pd.Series, kind: str, text: str
    ) -> Iterator[SchemaValidationError]:
        """One error if any row of the column is marked."""
        marked: npt.NDArray[np.bool_] = rows.to_numpy(dtype=np.bool_, na_value=False)
        if not marked.any():
            return
        shown = column[marked].head(_SHOWN)
        yield SchemaValidationError(
            self.table,
            self.rule.name,
            kind,
            f"{self.rule.name} {text}: {int(marked.sum())} rows break this",
            row_indices=shown.index.tolist(),
            sample_values=shown.tolist(),
        )
