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
    attempts: dict[str, Callable[[Question], Estimate]] = {
        "placebo_treatment": _placebo_treatment,
        "dummy_outcome": _dummy_outcome,
        "random_common_cause": _random_cause,
        "data_subset": _subset,
    }
    results = []
    for name, attempt in attempts.items():
        try:
            answer = attempt(question)
        except EstimationError as exc:
            results.append(RefutationResult(name, False, message=str(exc)))
            continue
        vanishes = name in {"placebo_treatment", "dummy_outcome"}
        expected = 0.0 if vanishes else found.slope
        passed = abs(answer.slope - expected) <= _ERRORS * answer.standard_error
        truth = "expected 0" if vanishes else f"it was {found.slope:.4f}"
        text = f"the effect is {answer.slope:.4f}, {truth}"
        results.append(RefutationResult(name, passed, answer.p_value, answer.slope, text))
    return results


def _placebo_treatment(question: Question) -> Estimate:
    """Engagement dealt out again among the patients, which has no effect."""
    order = np.random.default_rng(_SEED).permutation(len(question.df))
    names = [c for c in (question.treatment, *LAG_COLUMNS) if c in question.df]
    dealt = {name: question.df[name].to_numpy()[order] for name in names}
    return question.answer(question.df.assign(**dealt))


def _dummy_outcome(question: Question) -> Estimate:
    """Outcomes dealt out again, which do not depend on engagement."""
    outcome = question.df[question.outcome].to_numpy()
    order = np.random.default_rng(_SEED + 1).permutation(len(outcome))
    return question.answer(question.df.assign(**{question.outcome: outcome[order]}))


def _random_cause(question: Question) -> Estimate:
    """A covariate that has nothing to do with anything, which leaves the estimate as it is."""
    noise = np.random.default_rng(_SEED + 2).standard_normal(len(question.df))
    return question.answer(question.df, noise)


def _subset(question: Question) -> Estimate:
    """Four fifths of the patients, who give much the same estimate."""
    keep = np.random.default_rng(_SEED + 3).random(len(question.df)) < _SUBSET
    return question.answer(question.df[keep])
