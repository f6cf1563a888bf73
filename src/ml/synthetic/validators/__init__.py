"""Checks of generated frames: their columns, their splits, and their causal effect."""

from src.ml.synthetic.validators.causal_validator import (
    CausalValidationResult,
    CausalValidator,
)
from src.ml.synthetic.validators.refutation import RefutationResult
from src.ml.synthetic.validators.schema_validator import (
    SchemaValidationError,
    SchemaValidationResult,
    SchemaValidator,
)
from src.ml.synthetic.validators.split_validator import (
    LeakageInfo,
    SplitValidationResult,
    SplitValidator,
)

__all__ = [
    "CausalValidationResult",
    "CausalValidator",
    "LeakageInfo",
    "RefutationResult",
    "SchemaValidationError",
    "SchemaValidationResult",
    "SchemaValidator",
    "SplitValidationResult",
    "SplitValidator",
]
