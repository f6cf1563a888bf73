"""One run of all schemas over a generated data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from pandera.errors import SchemaError, SchemaErrors

from src.ml.synthetic.config import DGPType
from src.ml.synthetic.validation.schemas import SCHEMA_REGISTRY, validate_dataframe


@dataclass
class PipelineValidationResult:
    """What was found in one table."""

    table_name: str
    pandera_valid: bool
    pandera_errors: SchemaErrors | SchemaError | None = None
    validation_timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))
    #: whether the frame comes from the data-generating process that was asked for
    process_valid: bool = True

    @property
    def is_valid(self) -> bool:
        """Whether everything that was checked holds."""
        return self.pandera_valid and self.process_valid

    @property
    def summary(self) -> dict[str, Any]:
        """Table, verdicts and time (ISO) as plain data."""
        return {
            "table_name": self.table_name,
            "pandera_valid": self.pandera_valid,
            "overall_valid": self.is_valid,
            "timestamp": self.validation_timestamp.isoformat(),
        }


def validate_dataset(
    df: pd.DataFrame,
    table_name: str,
    dgp_type: DGPType | None = None,
    run_pandera: bool = True,
) -> PipelineValidationResult:
    """Check one table; one without a schema counts as valid.

    A frame whose `attrs` name another data-generating process than `dgp_type` is not valid.
    """
    valid, errors = True, None
    if run_pandera and table_name in SCHEMA_REGISTRY:
        valid, errors = validate_dataframe(df, table_name)
    named = df.attrs.get("dgp_type")
    from_process = dgp_type is None or named is None or named == DGPType(dgp_type).value
    return PipelineValidationResult(table_name, valid, errors, process_valid=from_process)


def validate_pipeline_output(
    datasets: Mapping[str, pd.DataFrame],
    dgp_type: DGPType | None = None,
    run_pandera: bool = True,
) -> dict[str, PipelineValidationResult]:
    """Check every table."""
    return {
        name: validate_dataset(df, name, dgp_type, run_pandera) for name, df in datasets.items()
    }


def get_combined_summary(results: Mapping[str, PipelineValidationResult]) -> str:
    """A line for every table and the verdict on all of them."""
    lines = [f"Tables Validated: {len(results)}"]
    lines += [f"  {name}: {'PASS' if r.is_valid else 'FAIL'}" for name, r in results.items()]
    passed = all(r.is_valid for r in results.values())
    return "\n".join([*lines, "ALL PASSED" if passed else "VALIDATION FAILED"])


def quick_validate(
    datasets: Mapping[str, pd.DataFrame],
    dgp_type: DGPType | None = None,
    verbose: bool = True,
) -> bool:
    """Whether every table is valid; prints the summary unless told not to."""
    results = validate_pipeline_output(datasets, dgp_type)
    if verbose:
        print(get_combined_summary(results))
    return all(r.is_valid for r in results.values())
