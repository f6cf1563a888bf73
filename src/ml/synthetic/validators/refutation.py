"""Attempts to refute an estimate: changes under which it has to vanish, or to stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from src.ml.synthetic.config import DGPType
from src.ml.synthetic.generators.causal_structure import LAG_COLUMNS
from src.ml.synthetic.generators.draws import Floats
from src.ml.synthetic.validators.estimation import Estimate, EstimationError, design, estimate

_SEED = 20_240_101
#: standard errors that chance alone may move an estimate by
_ERRORS = 3.0
_SUBSET = 0.8


@dataclass
class RefutationResult:
    """How one attempt went; the effect size is the estimate under the change."""

    test_name: str
    passed: bool
    p_value: float | None = None
    effect_size: float | None = None
    message: str = ""


@dataclass(frozen=True)
class Question:
    """What was estimated."""

    df: pd.DataFrame
    dgp: DGPType
    treatment: str
    outcome: str
    confounders: Sequence[str]

    def answer(self, df: pd.DataFrame, *extra: Floats) -> Estimate:
        """The estimate in a changed frame, with further covariates."""
        outcome = df[self.outcome].to_numpy(dtype=np.float64)
        return estimate(outcome, design(df, self.dgp, self.treatment, self.confounders, *extra))


def refute(question: Question, found: Estimate) -> list[RefutationResult]:
    """The outcome of every attempt, the same for the same frame."""
    attempts: dict[str, Callable[[Question, Estimate], RefutationResult]] = {
        "placebo_treatment": _placebo_treatment,
        "dummy_outcome": _dummy_outcome,
        "random_common_cause": _random_cause,
        "data_subset": _subset,
    }
    return [_attempt(name, test, question, found) for name, test in attempts.items()]


def _attempt(
    name: str,
    test: Callable[[Question, Estimate], RefutationResult],
    question: Question,
    found: Estimate,
) -> RefutationResult:
    try:
        return test(question, found)
    except EstimationError as exc:
        return RefutationResult(name, False, message=str(exc))


def _placebo_treatment(question: Question, found: Estimate) -> RefutationResult:
    """Engagement dealt out anew among the patients has no effect."""
    order = np.random.default_rng(_SEED).permutation(len(question.df))
    names = [c for c in (question.treatment, *LAG_COLUMNS) if c in question.df]
    dealt = {name: question.df[name].to_numpy()[order] for name in names}
    return _vanishes("placebo_treatment", question.answer(question.df.assign(**dealt)))


def _dummy_outcome(question: Question, found: Estimate) -> RefutationResult:
    """Outcomes dealt out anew do not depend on engagement."""
    outcome = question.df[question.outcome].to_numpy()
    order = np.random.default_rng(_SEED + 1).permutation(len(outcome))
    dealt = question.df.assign(**{question.outcome: outcome[order]})
    return _vanishes("dummy_outcome", question.answer(dealt))


def _random_cause(question: Question, found: Estimate) -> RefutationResult:
    """A covariate that has nothing to do with anything leaves the estimate as it is."""
    noise = np.random.default_rng(_SEED + 2).standard_normal(len(question.df))
    return _stays("random_common_cause", question.answer(question.df, noise), found)


def _subset(question: Question, found: Estimate) -> RefutationResult:
    """Four fifths of the patients give much the same estimate."""
    keep = np.random.default_rng(_SEED + 3).random(len(question.df)) < _SUBSET
    return _stays("data_subset", question.answer(question.df[keep]), found)


def _vanishes(name: str, answer: Estimate) -> RefutationResult:
    passed = abs(answer.slope) <= _ERRORS * answer.standard_error
    text = f"the effect is {answer.slope:.4f}, expected 0"
    return RefutationResult(name, passed, answer.p_value, answer.slope, text)


def _stays(name: str, answer: Estimate, found: Estimate) -> RefutationResult:
    passed = abs(answer.slope - found.slope) <= _ERRORS * answer.standard_error
    text = f"the effect is {answer.slope:.4f}, it was {found.slope:.4f}"
    return RefutationResult(name, passed, answer.p_value, answer.slope, text)
