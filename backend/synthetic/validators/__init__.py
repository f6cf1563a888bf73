"""Checks of generated frames: their columns, their splits, and their causal effect."""

from backend.synthetic.validators.causal_validator import (
    CausalValidationResult,
    CausalValidator,
)
from backend.synthetic.validators.refutation import RefutationResult
from backend.synthetic.validators.schema_validator import (
    SchemaValidationError,
    SchemaValidationResult,
    SchemaValidator,
)
from backend.synthetic.validators.split_validator import (
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
