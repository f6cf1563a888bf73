"""The five data-generating processes: who is engaged, and what engagement does.

With severity s, academic practice a and standard normal z and u, engagement e depends on s, a and
z, and a patient begins treatment where k + effect + u > 0: a probit model of the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr

from src.ml.synthetic.config import DGP_CONFIGS, DGPType
from src.ml.synthetic.generators.dates import Days
from src.ml.synthetic.generators.draws import Floats, Ints

#: present engagement first, then one and two periods before; they sum to 1
LAG_WEIGHTS = (0.5, 0.3, 0.2)
LAG_COLUMNS = ("engagement_lag_1", "engagement_lag_2")
#: how much of its chance part a period's engagement keeps from the period after it
_LAG_MEMORY = 0.6
_DAYS_A_YEAR = 365.25
#: severity above which a segment begins
_HIGH, _MEDIUM = 7.0, 4.0
#: half points of severity, and levels of engagement, among which patients count as alike
_STEPS, _LEVELS = 20, 256


@dataclass(frozen=True)
class Structure:
    """Coefficients of the latent outcome besides that of engagement."""

    #: k, chosen so that about half of the patients begin treatment, and not all of any segment
    intercept: float
    severity: float = 0.4
    academic: float = 0.6
    #: amplitude of a yearly wave over the start date
    season: float = 0.0


STRUCTURES: dict[DGPType, Structure] = {
    DGPType.SIMPLE_LINEAR: Structure(-2.0, severity=0.0, academic=0.0),
    DGPType.CONFOUNDED: Structure(-4.25),
    DGPType.HETEROGENEOUS: Structure(-4.9),
    DGPType.TIME_SERIES: Structure(-4.7, season=0.3),
    # of the intercepts near the middle, the one at which the slope is estimated best
    DGPType.SELECTION_BIAS: Structure(-5.25, severity=0.5),
}


@dataclass(frozen=True)
class Patients:
    """What the outcome of n patients depends on; every array has length n."""

    severity: Floats
    academic: Floats
    #: (n, periods) engagement scores in 0..10, the present one first
    engagement: Floats
    days: Days


def draw_engagement(
    rng: np.random.Generator, dgp: DGPType, severity: Floats, academic: Floats
) -> Floats:
    """(n, periods) engagement scores in 0..10 with two decimals, the present one first."""
    periods = 1 + (DGP_CONFIGS[dgp].lag_periods if dgp is DGPType.TIME_SERIES else 0)
    if dgp is DGPType.SIMPLE_LINEAR:
        return np.round(rng.uniform(0, 10, (len(severity), periods)), 2)
    # standard normal, each period correlated with its neighbour
    chance = rng.standard_normal((len(severity), periods))
    for period in range(1, periods):
        kept = _LAG_MEMORY * chance[:, period - 1]
        chance[:, period] = kept + np.sqrt(1 - _LAG_MEMORY**2) * chance[:, period]
    if dgp is DGPType.SELECTION_BIAS:
        drive = (2 + 0.8 * severity)[:, None] + 0.5 * chance
    else:
        drive = (3 + 0.3 * severity + 2 * academic)[:, None] + chance
    return np.round(10 * expit(drive / 3), 2)


def exposure(engagement: Floats) -> Floats:
    """The weighted sum of present and earlier engagement that acts on the outcome."""
    if engagement.shape[1] == 1:
        return engagement[:, 0]
    total: Floats = engagement @ np.array(LAG_WEIGHTS)
    return total


def segments(severity: Floats) -> Ints:
    """0 low, 1 medium, 2 high severity: up to 4, up to 7, above."""
    return np.searchsorted([_MEDIUM, _HIGH], severity, side="left")


def slopes(dgp: DGPType, severity: Floats) -> Floats:
    """The latent effect of one engagement point, for every patient."""
    config = DGP_CONFIGS[dgp]
    if config.cate_by_segment is None:
        return np.full(len(severity), config.true_ate)
    by_segment = [config.cate_by_segment[f"{name}_severity"] for name in ("low", "medium", "high")]
    return np.array(by_segment, dtype=np.float64)[segments(severity)]


def season(days: Days) -> Floats:
    """A wave between -1 and 1 with a period of one year."""
    wave: Floats = np.sin(2 * np.pi * days / _DAYS_A_YEAR)
    return wave


def latent_mean(dgp: DGPType, patients: Patients) -> Floats:
    """k plus all effects: treatment begins with probability Φ of it."""
    shape = STRUCTURES[dgp]
    mean = shape.intercept + slopes(dgp, patients.severity) * exposure(patients.engagement)
    mean += shape.severity * patients.severity + shape.academic * patients.academic
    return mean + shape.season * season(patients.days) if shape.season else mean


def draw_initiation(rng: np.random.Generator, chance: Floats, patients: Patients) -> Ints:
    """0 or 1 for every patient: 1 with the chance given, as if each were drawn.

    Chance is shared out among patients who are alike (systematic sampling along severity and
    engagement), so that of 100 alike with probability .3 about 30 begin treatment. The effect can
    be found in few patients; the usual standard errors, made for independent ones, are too wide.
    """
    half_points = np.minimum(patients.severity * 2, _STEPS - 1).astype(np.uint16)
    level = (exposure(patients.engagement) * ((_LEVELS - 1) / 10)).astype(np.uint16)
    # to and fro, so that neighbours on the way are alike everywhere
    level ^= (half_points & 1) * (_LEVELS - 1)
    way = (patients.academic.astype(np.uint16) * _STEPS + half_points) * _LEVELS + level
    order = np.argsort(way, kind="stable")
    passed = np.floor(np.cumsum(chance[order]) + rng.random())
    initiated = np.empty(len(chance), dtype=np.int64)
    initiated[order[0:1]] = passed[0:1] > 0
    initiated[order[1:]] = passed[1:] > passed[:-1]
    return initiated


def risk_difference(dgp: DGPType, patients: Patients, mean: Floats, chance: Floats) -> float:
    """How much likelier treatment is, on average, with one engagement point more for everybody.

    `mean` is the patients' latent mean, `chance` their probability of treatment. Both potential
    outcomes of every patient are known here; only u is averaged over.
    """
    if not len(mean):
        return 0.0
    raised = ndtr(mean + slopes(dgp, patients.severity))
    return float(np.mean(raised) - np.mean(chance))
