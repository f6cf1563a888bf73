"""What the gap analyzer is asked, and what it answers."""

from __future__ import annotations

import math
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from src.ml.agents.names import Text, UnknownNameError, check_brand, metric_key
from src.ml.agents.periods import check_anchor, parse_period
from src.ml.synthetic.config import REGIONS, DataSplit

#: columns that rows may be grouped by
SEGMENTS = ("region", "brand")
#: columns that rows may be filtered by, and their values
FILTERS = {"region": tuple(REGIONS), "data_split": tuple(split.value for split in DataSplit)}


class GapType(StrEnum):
    """What a value is compared with."""

    VS_TARGET = "vs_target"
    VS_BENCHMARK = "vs_benchmark"
    VS_POTENTIAL = "vs_potential"
    TEMPORAL = "temporal"


class DataGapKind(StrEnum):
    """What is lacking, so that nothing can be said, or less."""

    SILENT = "silent"
    STOPPED = "stopped"
    INCOMPLETE = "incomplete"
    NO_VALUE = "no_value"
    NO_TARGET = "no_target"
    ZERO_TARGET = "zero_target"
    NOISE_UNKNOWN = "noise_unknown"


class Difficulty(StrEnum):
    """How hard a gap is to close."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class GapRequest(_Model):
    """A question to the gap analyzer. Unknown names raise a validation error naming the known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    brand: str
    #: keys or descriptions, any case
    metrics: Annotated[list[str], Field(min_length=1)]
    query: Text | None = None
    #: each counts once
    segments: Annotated[
        list[str], Field(min_length=1), AfterValidator(lambda names: list(dict.fromkeys(names)))
    ] = ["region"]
    time_period: str | None = None
    gap_type: GapType | Literal["all"] = "all"
    #: percent
    min_gap_threshold: Annotated[float, Field(ge=0, le=100)] = 5.0
    max_opportunities: Annotated[int, Field(ge=1, le=50)] = 10
    #: column → value, or values
    filters: dict[str, str | list[str]] = {}
    #: the day that counts as today; by default the last date in the data
    as_of: Annotated[date | None, AfterValidator(check_anchor)] = None

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        check_brand(self.brand)
        for metric in self.metrics:
            metric_key(metric)
        for segment in self.segments:
            if segment not in SEGMENTS:
                raise UnknownNameError("segment", segment, SEGMENTS)
        if self.time_period is not None:
            parse_period(self.time_period, date(2000, 1, 1))
        for column, given in self.filters.items():
            if column not in FILTERS:
                raise UnknownNameError("filter", column, FILTERS)
            if not given:
                raise ValueError(f"the filter {column} lets nothing through: give it a value")
            for value in [given] if isinstance(given, str) else given:
                if value not in FILTERS[column]:
                    raise UnknownNameError(column, value, FILTERS[column])
        return self

    @property
    def metric_keys(self) -> list[str]:
        """The metrics by key, each once."""
        return list(dict.fromkeys(map(metric_key, self.metrics)))

    @property
    def gap_types(self) -> tuple[GapType, ...]:
        return tuple(GapType) if self.gap_type == "all" else (GapType(self.gap_type),)

    @property
    def filter_values(self) -> dict[str, list[str]]:
        """The values that each filter lets through."""
        return {c: [v] if isinstance(v, str) else v for c, v in self.filters.items()}


class Gap(_Model):
    """How far a segment's value is from what it is compared with, in the metric's unit."""

    gap_id: str
    metric: str
    segment: str
    segment_value: str
    current_value: float
    target_value: float
    #: target − current: above 0 is a shortfall
    gap_size: float
    #: percent of the target
    gap_percentage: float
    gap_type: GapType
    #: figures that the current value is the mean of
    observations: int
    #: what those figures were drawn from, added up
    sample_size: int = 0
    #: 95 % interval of `gap_size`
    interval_lower: float = -math.inf
    interval_upper: float = math.inf
    #: how likely chance leaves such a shortfall; adjusted by Benjamini-Hochberg over the question
    p_value: float = 1.0
    p_value_adjusted: float = 1.0
    #: a gap counts if chance explains it too seldom
    is_significant: bool = False
    #: figures a year, by which a shortfall of counts is a yearly one
    per_year: float = 1.0


class DataGap(_Model):
    """Where a figure or its target is lacking: an answer of its own."""

    segment: str
    segment_value: str
    metric: str
    kind: DataGapKind
    message: str
    last_reported: date | None = None


class ConfidenceInterval(_Model):
    """Percentiles 2.5, 50 and 97.5 of the simulated ROI."""

    lower_bound: float
    median: float
    upper_bound: float
    #: P(ROI > 1)
    probability_positive: float
    #: P(ROI > 5)
    probability_target: float


class ROIEstimate(_Model):
    """What closing a gap is worth, in dollars a year."""

    gap_id: str
    #: value of closing the gap times the attribution rate
    estimated_revenue_impact: float
    estimated_cost_to_close: float
    #: (impact − cost) / cost
    expected_roi: float
    risk_adjusted_roi: float
    #: whole months, 1 to 24
    payback_period_months: int
    confidence_interval: ConfidenceInterval
    attribution_level: Literal["full", "partial", "shared", "minimal"]
    attribution_rate: float
    #: 1 − risk
    confidence: float


class Opportunity(_Model):
    """A gap worth closing."""

    rank: int
    gap: Gap
    roi_estimate: ROIEstimate
    recommended_action: str
    implementation_difficulty: Difficulty
    time_to_impact: str


class GapAnalysis(_Model):
    """The gap analyzer's answer."""

    analysis_id: str
    status: Literal["completed", "no_data"]
    brand: str
    query: str | None
    #: days that current values are means over, `YYYY-MM-DD_YYYY-MM-DD`
    time_period: str | None
    metrics_analyzed: list[str]
    segments_analyzed: list[str]
    prioritized_opportunities: list[Opportunity]
    #: places that stopped reporting, figures or targets that are null or zero
    data_gaps: list[DataGap] = []
    quick_wins: list[Opportunity]
    strategic_bets: list[Opportunity]
    #: dollars; each segment value and metric counts once, by its most valuable gap
    total_addressable_value: float
    #: by metric, in its unit: counts are added, rates and scores averaged
    total_gap_value: dict[str, float]
    executive_summary: str
    key_insights: list[str]
    detection_latency_ms: float
    roi_latency_ms: float
    total_latency_ms: float
    timestamp: datetime
    warnings: list[str]
