"""Agents that read synthetic data: the gap analyzer and the drift monitor."""

from src.ml.agents.business_metrics import BusinessMetricRepository, MetricRows
from src.ml.agents.drift_models import DriftReport, DriftRequest, DriftResult
from src.ml.agents.drift_monitor import DriftMonitor
from src.ml.agents.feature_values import FeatureRepository
from src.ml.agents.gap_analyzer import GapAnalyzer
from src.ml.agents.gap_models import GapAnalysis, GapRequest
from src.ml.agents.sources import (
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
