"""What is true of synthetic data, kept beside it."""

from src.ml.synthetic.ground_truth.causal_effects import (
    GroundTruthEffect,
    GroundTruthStore,
    create_ground_truth_from_dgp_config,
    get_global_store,
    get_ground_truth,
    store_ground_truth,
    validate_estimate,
)

__all__ = [
    "GroundTruthEffect",
    "GroundTruthStore",
    "create_ground_truth_from_dgp_config",
    "get_global_store",
    "get_ground_truth",
    "store_ground_truth",
    "validate_estimate",
]
