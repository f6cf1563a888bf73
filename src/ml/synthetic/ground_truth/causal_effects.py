"""Known causal effects, by brand and data-generating process."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any

from src.ml.synthetic.config import DGP_CONFIGS, Brand, DGPType


@dataclass
class GroundTruthEffect:
    """The effect that a data set was made with; `true_ate` is a probit slope per point."""

    brand: Brand
    dgp_type: DGPType
    true_ate: float
    #: largest error of an estimate that still counts as right
    tolerance: float
    confounders: list[str]
    treatment_variable: str
    outcome_variable: str
    generation_timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))
    cate_by_segment: dict[str, float] | None = None
    n_samples: int = 0
    data_split_counts: dict[str, int] = field(default_factory=dict)

    def is_estimate_valid(self, estimated_ate: float) -> bool:
        """Whether the estimate lies within the tolerance, its bounds included."""
        return self.get_error(estimated_ate) <= self.tolerance

    def get_error(self, estimated_ate: float) -> float:
        """The absolute difference to the true effect."""
        return abs(estimated_ate - self.true_ate)

    def to_dict(self) -> dict[str, Any]:
        """Every field; enums as text, the time as ISO text."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


class GroundTruthStore:
    """Effects by (brand, process); the last one stored wins."""

    def __init__(self) -> None:
        self._effects: dict[tuple[Brand, DGPType], GroundTruthEffect] = {}

    def store(self, effect: GroundTruthEffect) -> None:
        """Keep an effect in place of an earlier one with the same key."""
        self._effects[_key(effect.brand, effect.dgp_type)] = effect

    def get(self, brand: Brand, dgp: DGPType) -> GroundTruthEffect | None:
        """The effect, or None. Raises ValueError for a brand or process that does not exist."""
        return self._effects.get(_key(brand, dgp))

    def get_all(self) -> list[GroundTruthEffect]:
        """Every effect, in the order of first storing."""
        return list(self._effects.values())

    def clear(self) -> None:
        """Forget all effects."""
        self._effects.clear()

    def validate_estimate(
        self, brand: Brand, dgp_type: DGPType, estimated_ate: float
    ) -> dict[str, Any]:
        """Whether an estimate is right; `error` is a number, or a message for an unknown effect."""
        effect = self.get(brand, dgp_type)
        name, process = Brand(brand).value, DGPType(dgp_type).value
        return {
            "is_valid": effect is not None and effect.is_estimate_valid(estimated_ate),
            "true_ate": effect.true_ate if effect else None,
            "error": effect.get_error(estimated_ate)
            if effect
            else f"no ground truth for {name} and {process}",
            "tolerance": effect.tolerance if effect else None,
            "estimated_ate": estimated_ate,
            "brand": name,
            "dgp_type": process,
        }


@cache
def get_global_store() -> GroundTruthStore:
    """The store of this process."""
    return GroundTruthStore()


def get_ground_truth(brand: Brand, dgp: DGPType) -> GroundTruthEffect | None:
    """The effect in the process's store, or None."""
    return get_global_store().get(brand, dgp)


def store_ground_truth(effect: GroundTruthEffect) -> None:
    """Keep an effect in the process's store."""
    get_global_store().store(effect)


def validate_estimate(brand: Brand, dgp_type: DGPType, estimated_ate: float) -> dict[str, Any]:
    """Judge an estimate by the process's store, as `GroundTruthStore.validate_estimate` does."""
    return get_global_store().validate_estimate(brand, dgp_type, estimated_ate)


def create_ground_truth_from_dgp_config(
    brand: Brand,
    dgp_type: DGPType,
    n_samples: int = 0,
    data_split_counts: dict[str, int] | None = None,
) -> GroundTruthEffect:
    """The effect that the settings of a process promise; its lists are copies."""
    config = DGP_CONFIGS[DGPType(dgp_type)]
    return GroundTruthEffect(
        brand=Brand(brand),
        dgp_type=config.dgp_type,
        true_ate=config.true_ate,
        tolerance=config.tolerance,
        confounders=list(config.confounders),
        treatment_variable=config.treatment_variable,
        outcome_variable=config.outcome_variable,
        cate_by_segment=None if config.cate_by_segment is None else dict(config.cate_by_segment),
        n_samples=n_samples,
        data_split_counts=dict(data_split_counts or {}),
    )


def _key(brand: Brand, dgp: DGPType) -> tuple[Brand, DGPType]:
    return Brand(brand), DGPType(dgp)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return value.isoformat() if isinstance(value, datetime) else value
