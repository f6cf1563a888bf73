"""Agents that read synthetic data: the gap analyzer and the drift monitor."""

from backend.synthetic.agents.business_metrics import BusinessMetricRepository, MetricRows
from backend.synthetic.agents.drift_models import DriftReport, DriftRequest, DriftResult
from backend.synthetic.agents.drift_monitor import DriftMonitor
from backend.synthetic.agents.feature_values import FeatureRepository
from backend.synthetic.agents.gap_analyzer import GapAnalyzer
from backend.synthetic.agents.gap_models import GapAnalysis, GapRequest
from backend.synthetic.agents.sources import (
    EmbeddedSource,
    PostgresSource,
    Source,
    SupabaseSource,
    open_source,
)

__all__ = [
    "BusinessMetricRepository",
    "DriftMonitor",
    "DriftReport",
    "DriftRequest",
    "DriftResult",
    "EmbeddedSource",
    "FeatureRepository",
    "GapAnalysis",
    "GapAnalyzer",
    "GapRequest",
    "MetricRows",
    "PostgresSource",
    "Source",
    "SupabaseSource",
    "open_source",
]
