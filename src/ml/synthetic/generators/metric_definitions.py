"""The figures of business_metrics: their names, levels and how far they scatter."""

from __future__ import annotations

from dataclasses import dataclass

from src.ml.synthetic.config import Brand

#: how much of the region's factor counts and rates take over
_COUNT, _RATE = 1.0, 0.5


@dataclass(frozen=True)
class Metric:
    """One figure; its level is the middle of its range, of a count the brand's in a month."""

    key: str
    description: str
    levels: dict[Brand, float]
    decimals: int = 4
    #: exponent of the region's factor
    region_weight: float = _RATE
    #: growth a year, as a share of the level
    growth: float = 0.03
    #: largest possible figure, which its interval keeps too
    ceiling: float = 1.0

    @property
    def is_count(self) -> bool:
        """Whether figures are added up over regions and time."""
        return self.ceiling == _INFINITE


def _levels(remibrutinib: float, fabhalta: float, kisqali: float) -> dict[Brand, float]:
    return dict(zip(Brand, (remibrutinib, fabhalta, kisqali), strict=True))


_INFINITE = float("inf")

#: what every brand has, then what one has alone
METRICS: tuple[Metric, ...] = (
    Metric(
        "trx",
        "Total Prescriptions",
        _levels(27_500, 11_000, 55_000),
        decimals=2,
        region_weight=_COUNT,
        growth=0.06,
        ceiling=_INFINITE,
    ),
    Metric(
        "nrx",
        "New Prescriptions",
        _levels(5_500, 2_200, 11_000),
        decimals=2,
        region_weight=_COUNT,
        growth=0.06,
        ceiling=_INFINITE,
    ),
    Metric("market_share", "Market Share Percentage", _levels(0.135, 0.095, 0.29)),
    Metric("conversion_rate", "HCP Conversion Rate", _levels(0.18, 0.15, 0.29)),
    Metric(
        "hcp_engagement_score",
        "HCP Engagement Score (0-10)",
        _levels(6.9, 6.4, 7.1),
        ceiling=10.0,
    ),
    Metric("adherence", "Treatment Adherence Rate", {Brand.FABHALTA: 0.74}, growth=0.01),
    Metric("os_rate", "Overall Survival Rate", {Brand.KISQALI: 0.71}, growth=0.01),
)
#: numbers within ids; a metric keeps its place
PLACES: dict[str, int] = {m.key: place for place, m in enumerate(METRICS)}
