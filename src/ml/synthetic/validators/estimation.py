"""The effect of engagement, estimated by a probit model of the 0/1 outcome.

The true effect is a latent probit slope. A linear model of the outcome estimates a difference of
probabilities, which is several times smaller.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr
from scipy.stats import norm
from statsmodels.discrete.discrete_model import Probit
from statsmodels.tools.sm_exceptions import ModelWarning, PerfectSeparationError

from src.ml.synthetic.config import DGPType
from src.ml.synthetic.generators.causal_structure import LAG_COLUMNS, season, segments
from src.ml.synthetic.generators.dates import days_of
from src.ml.synthetic.generators.draws import Floats

_SEGMENTS = 3
_MAX_STEPS = 100


class EstimationError(ValueError):
    """The outcome cannot be modelled: it does not vary, or a covariate tells it entirely."""


@dataclass(frozen=True)
class Design:
    """What the outcome is regressed on: n rows, and the weights that make the effect of a slope."""

    #: (n, k) with the constant first
    matrix: Floats
    #: (k,) the effect is the sum of the coefficients, weighted by these
    weights: Floats
    #: (n, k) by how much one more point of treatment raises each row's columns
    raised: Floats


@dataclass(frozen=True)
class Estimate:
    """The slope per point of treatment, its standard error and two-sided p-value."""

    slope: float
    standard_error: float
    p_value: float
    #: mean change of the outcome's probability with one point more
    risk_difference: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the slope."""
        half = float(norm.ppf(0.975)) * self.standard_error
        return self.slope - half, self.slope + half


def design(
    df: pd.DataFrame, dgp: DGPType, treatment: str, confounders: Sequence[str], *extra: Floats
) -> Design:
    """The design for a process: slopes by severity segment, or summed over lags, where it asks.

    For time_series, academic practice and the season are adjusted for besides the confounders.
    """
    others = [_column(df, name) for name in confounders]
    if dgp is DGPType.TIME_SERIES:
        # what else acts on the outcome, known before the treatment
        if "academic_hcp" in df and "academic_hcp" not in confounders:
            others.append(_column(df, "academic_hcp"))
        if "journey_start_date" in df:
            others.append(season(days_of(df["journey_start_date"])))
    controls = np.column_stack([np.ones(len(df)), *others, *extra])
    # every slope: its column, and by how much one more point of treatment changes that
    value, one = _column(df, treatment), np.ones(len(df))
    effects = [(value, one)]
    if dgp is DGPType.HETEROGENEOUS and "disease_severity" in df:
        segment = segments(_column(df, "disease_severity"))
        members = [(segment == s).astype(np.float64) for s in range(_SEGMENTS)]
        effects = [(value * member, member) for member in members if member.any()]
    elif dgp is DGPType.TIME_SERIES:
        effects += [(_column(df, name), one) for name in LAG_COLUMNS if name in df]
    shown = np.column_stack([column for column, _ in effects])
    step = np.column_stack([change for _, change in effects])
    raised = np.hstack([np.zeros_like(controls), step])
    return Design(np.hstack([controls, shown]), raised.mean(axis=0), raised)


def estimate(outcome: Floats, columns: Design) -> Estimate:
    """Fit the probit. Raises EstimationError where no estimate exists."""
    if not (np.isfinite(outcome).all() and np.isfinite(columns.matrix).all()):
        raise EstimationError("outcome, treatment or confounders hold nulls")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ModelWarning)
        warnings.simplefilter("error", RuntimeWarning)
        try:
            model = Probit(outcome, columns.matrix).fit(disp=0, maxiter=_MAX_STEPS)
            fit, covariance = np.asarray(model.params), np.asarray(model.cov_params())
        except (ModelWarning, RuntimeWarning, PerfectSeparationError, np.linalg.LinAlgError) as exc:
            raise EstimationError(f"the probit model has no estimate: {exc}") from exc
    slope = float(columns.weights @ fit)
    error = float(np.sqrt(columns.weights @ covariance @ columns.weights))
    latent = columns.matrix @ fit
    change = ndtr(latent + columns.raised @ fit) - ndtr(latent)
    return Estimate(slope, error, float(2 * norm.sf(abs(slope / error))), float(change.mean()))


def estimate_effect(
    df: pd.DataFrame,
    dgp: DGPType,
    *,
    treatment: str = "engagement_score",
    outcome: str = "treatment_initiated",
    confounders: Sequence[str] = (),
) -> Estimate:
    """The effect of the treatment in a frame of patient journeys. Raises EstimationError."""
    return estimate(_column(df, outcome), design(df, dgp, treatment, confounders))


def _column(df: pd.DataFrame, name: str) -> Floats:
    return df[name].to_numpy(dtype=np.float64, na_value=np.nan)
