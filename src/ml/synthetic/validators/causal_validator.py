"""Checks that the effect built into a data set can be found in it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from src.ml.synthetic.config import Brand, DGPType
from src.ml.synthetic.ground_truth import GroundTruthEffect, create_ground_truth_from_dgp_config
from src.ml.synthetic.validators.estimation import EstimationError
from src.ml.synthetic.validators.refutation import Question, RefutationResult, refute

#: standardised mean difference above which two groups are called unbalanced
_UNBALANCED = 0.1


@dataclass
class CausalValidationResult:
    """The estimate beside the truth, and what tried to refute it."""

    is_valid: bool
    dgp_type: str
    true_ate: float
    estimated_ate: float | None = None
    #: absolute difference to the true effect
    ate_error: float | None = None
    ate_within_tolerance: bool = False
    tolerance: float = 0.05
    refutation_results: list[RefutationResult] = field(default_factory=list)
    refutation_pass_rate: float = 0.0
    min_required_pass_rate: float = 0.60
    #: standardised mean difference of each confounder between high and low treatment
    confounder_balance: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    standard_error: float | None = None
    #: 95 %, for patients who are independent of each other
    confidence_interval: tuple[float, float] | None = None

    def add_refutation(self, result: RefutationResult) -> None:
        """Note an attempt and count the pass rate again."""
        self.refutation_results.append(result)
        passed = sum(r.passed for r in self.refutation_results)
        self.refutation_pass_rate = passed / len(self.refutation_results)

    def __str__(self) -> str:
        """The estimate with its standard error and interval, and the truth."""
        if self.estimated_ate is None or self.confidence_interval is None:
            return f"{self.dgp_type}: no estimate: {'; '.join(self.errors)}"
        low, high = self.confidence_interval
        return (
            f"{self.dgp_type}: {self.estimated_ate:.3f} for {self.true_ate:.3f}, "
            f"standard error {self.standard_error:.3f}, 95 % {low:.3f} to {high:.3f}"
        )

    def meets_criteria(self) -> bool:
        """Whether the estimate is close enough and enough refutations were passed."""
        return (
            self.ate_within_tolerance and self.refutation_pass_rate >= self.min_required_pass_rate
        )


class CausalValidator:
    """Estimates the effect by a probit model and compares it with the truth."""

    def __init__(self, min_refutation_pass_rate: float = 0.60, ate_tolerance: float = 0.05) -> None:
        self.min_refutation_pass_rate = min_refutation_pass_rate
        self.ate_tolerance = ate_tolerance

    def validate(
        self,
        df: pd.DataFrame,
        ground_truth: GroundTruthEffect,
        treatment: str | None = None,
        outcome: str | None = None,
        confounders: Sequence[str] | None = None,
        run_refutations: bool = True,
    ) -> CausalValidationResult:
        """Judge a frame of patient journeys; names that are not given are the truth's own."""
        question = Question(
            df,
            DGPType(ground_truth.dgp_type),
            treatment or ground_truth.treatment_variable,
            outcome or ground_truth.outcome_variable,
            list(ground_truth.confounders if confounders is None else confounders),
        )
        result = CausalValidationResult(
            is_valid=False,
            dgp_type=question.dgp.value,
            true_ate=ground_truth.true_ate,
            tolerance=self.ate_tolerance,
            min_required_pass_rate=self.min_refutation_pass_rate,
        )
        needed = [question.treatment, question.outcome, *question.confounders]
        missing = [column for column in needed if column not in df]
        if missing:
            result.errors.append(f"Missing columns: {', '.join(missing)}")
            return result
        if df.empty:
            result.errors.append("the frame has no rows")
            return result
        result.confounder_balance = _balance(question)
        result.warnings += [
            f"{name} differs by {value:.2f} standard deviations between high and low treatment"
            for name, value in result.confounder_balance.items()
            if abs(value) > _UNBALANCED
        ]
        try:
            found = question.answer(df)
        except EstimationError as exc:
            result.errors.append(str(exc))
            return result
        result.estimated_ate, result.standard_error = found.slope, found.standard_error
        result.confidence_interval = found.interval
        result.ate_error = abs(found.slope - result.true_ate)
        result.ate_within_tolerance = result.ate_error <= self.ate_tolerance
        for refutation in refute(question, found) if run_refutations else ():
            result.add_refutation(refutation)
        judged = result.meets_criteria() if run_refutations else result.ate_within_tolerance
        result.is_valid = judged
        return result

    def validate_dgp(
        self, df: pd.DataFrame, dgp_type: DGPType, run_refutations: bool = True
    ) -> CausalValidationResult:
        """Judge a frame by what the settings of a process promise."""
        truth = create_ground_truth_from_dgp_config(next(iter(Brand)), dgp_type, len(df))
        return self.validate(df, truth, run_refutations=run_refutations)

    def get_validation_summary(self, result: CausalValidationResult) -> dict[str, Any]:
        """The fields of the result, with `refutations` as plain data."""
        fields = asdict(result)
        return {**fields, "refutations": fields["refutation_results"]}


def _balance(question: Question) -> dict[str, float]:
    """Difference of two groups' means in pooled standard deviations, by confounder."""
    treatment = question.df[question.treatment].to_numpy(dtype=np.float64)
    high = treatment >= np.median(treatment)
    balance = {}
    for name in question.confounders:
        values = question.df[name].to_numpy(dtype=np.float64)
        first, second = values[high], values[~high]
        spread = np.sqrt((first.var() + second.var()) / 2) if first.size and second.size else 0.0
        balance[name] = float((first.mean() - second.mean()) / spread) if spread > 0 else 0.0
    return balance
