"""Pandera schemas of the generated tables, and the run over all of them."""

from src.ml.synthetic.validation.pipeline import (
    PipelineValidationResult,
    get_combined_summary,
    quick_validate,
    validate_dataset,
    validate_pipeline_output,
)
from src.ml.synthetic.validation.schemas import (
    SCHEMA_REGISTRY,
    get_validation_summary,
    validate_all_datasets,
    validate_dataframe,
)

__all__ = [
    "SCHEMA_REGISTRY",
    "PipelineValidationResult",
    "get_combined_summary",
    "get_validation_summary",
    "quick_validate",
    "validate_all_datasets",
    "validate_dataframe",
    "validate_dataset",
    "validate_pipeline_output",
]
