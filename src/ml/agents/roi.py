"""What closing a gap costs and is worth."""

from __future__ import annotations

import math
import zlib

import numpy as np

from src.ml.agents.gap_models import (
    ConfidenceInterval,
    Difficulty,
    Gap,
    GapType,
    ROIEstimate,
)

#: dollars for each prescription, and a year for each point of share
_PER_UNIT = 850.0
#: dollars a year for each HCP and point of conversion, engagement, adherence or survival
_PER_HCP = 320.0
_COUNTED = ("trx", "nrx")
_BY_UNIT = (*_COUNTED, "market_share")
#: stored as fractions; the formulas take percentage points
RATES = ("market_share", "conversion_rate", "adherence", "os_rate")
_PER_DAY = 2_500.0
_DAYS = {
    "trx": 5,
    "nrx": 5,
    "conversion_rate": 15,
    "hcp_engagement_score": 8,
    "market_share": 10,
    "adherence": 12,
    "os_rate": 20,
}
#: largest gap that an effort multiplier is for
_EFFORT = ((10, 0.5), (100, 1.0), (1000, 1.5), (math.inf, 2.0))
_CHANGE_PER_UNIT = 200.0
_CHANGE_MOST = 50_000.0
_ATTRIBUTION = {
    GapType.VS_TARGET: ("full", 1.0),
    GapType.VS_BENCHMARK: ("partial", 0.65),
    GapType.VS_POTENTIAL: ("shared", 0.35),
    GapType.TEMPORAL: ("minimal", 0.10),
}
_TECHNICAL_RISK = {"hcp_engagement_score": 0.15, "conversion_rate": 0.30}
_DRAWS = 1000
_SEED = 42
_VALUE_SPREAD = 0.15
_COST_SHAPE = 2.0
#: months until closing a gap of this difficulty shows
TIME_TO_IMPACT = {
    Difficulty.LOW: "1-3 months",
    Difficulty.MEDIUM: "3-6 months",
    Difficulty.HIGH: "6-12 months",
}


def points(gap: Gap) -> float:
    """The size of a gap without sign: percentage points of a rate, units of anything else."""
    return abs(gap.gap_size) * (100.0 if gap.metric in RATES else 1.0)


def yearly_value(gap: Gap, hcps: int) -> float:
    """Dollars a year that closing the gap is worth; `hcps` are those of the segment.

    A shortfall of counts is lost again with each figure of the year, one of a rate is not.
    """
    if gap.metric in _BY_UNIT:
        return _PER_UNIT * points(gap) * (gap.per_year if gap.metric in _COUNTED else 1.0)
    return _PER_HCP * points(gap) * hcps


def closing_cost(gap: Gap) -> float:
    """Dollars: engineering days by the size of the gap, and the management of the change."""
    size = points(gap)
    effort = next(factor for limit, factor in _EFFORT if size <= limit)
    cost = _PER_DAY * _DAYS[gap.metric] * effort
    if size > 100 or gap.metric in RATES:
        cost += min(_CHANGE_MOST, _CHANGE_PER_UNIT * size)
    return cost


def risk(gap: Gap) -> float:
    """The chance, 0..1, that the value does not come: four independent risks."""
    size, percentage = points(gap), abs(gap.gap_percentage)
    factors = (
        _TECHNICAL_RISK.get(gap.metric, 0.0),
        0.40 if size > 500 else 0.20 if size > 100 else 0.0,
        # few observations say little about the current value
        {1: 0.50, 2: 0.25}.get(gap.observations, 0.0),
        0.25 if percentage > 50 else 0.10 if percentage > 20 else 0.0,
    )
    return 1.0 - math.prod(1.0 - factor for factor in factors)


def payback_months(cost: float, revenue: float) -> int:
    """Whole months until the revenue of a year has paid the cost, within 1..24."""
    if cost >= 2.0 * revenue:
        return 24
    return max(1, int(cost / (revenue / 12.0)))


def simulated_roi(gap_id: str, value: float, cost: float, rate: float) -> ConfidenceInterval:
    """The spread of the ROI over 1000 draws, which depend on the gap's id alone."""
    draws = np.random.default_rng([_SEED, zlib.crc32(gap_id.encode())])
    values = np.maximum(draws.normal(value, _VALUE_SPREAD * value, _DRAWS), 0.0)
    costs = draws.gamma(_COST_SHAPE, cost / _COST_SHAPE, _DRAWS)
    roi = (values * rate - costs) / costs
    low, middle, high = np.percentile(roi, [2.5, 50, 97.5]).tolist()
    return ConfidenceInterval(
        lower_bound=low,
        median=middle,
        upper_bound=high,
        probability_positive=float((roi > 1).mean()),
        probability_target=float((roi > 5).mean()),
    )


def estimate_roi(gap: Gap, hcps: int) -> ROIEstimate:
    """What closing the gap is worth, costs and risks; `hcps` are those of the segment."""
    level, rate = _ATTRIBUTION[gap.gap_type]
    value, cost = yearly_value(gap, hcps), closing_cost(gap)
    impact = value * rate
    expected, certain = (impact - cost) / cost, 1.0 - risk(gap)
    return ROIEstimate(
        gap_id=gap.gap_id,
        estimated_revenue_impact=impact,
        estimated_cost_to_close=cost,
        expected_roi=expected,
        risk_adjusted_roi=expected * certain,
        payback_period_months=payback_months(cost, impact),
        confidence_interval=simulated_roi(gap.gap_id, value, cost, rate),
        attribution_level=level,  # type: ignore[arg-type]
        attribution_rate=rate,
        confidence=certain,
    )


def difficulty(gap: Gap, cost: float) -> Difficulty:
    """How hard the gap is to close, by cost, size and share."""
    percentage = abs(gap.gap_percentage)
    score = (cost > 50_000) - (cost < 10_000) + (percentage > 50) - (percentage < 10)
    score += gap.metric in {"trx", "nrx"} and points(gap) > 100
    score += gap.metric in RATES and percentage > 20
    if score <= 0:
        return Difficulty.LOW
    return Difficulty.MEDIUM if score == 1 else Difficulty.HIGH
