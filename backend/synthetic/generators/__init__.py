"""Generators of every table; the same settings give the same frame in every process."""

from backend.synthetic.generators.base import BaseGenerator, GenerationResult, GeneratorConfig
from backend.synthetic.generators.business_metrics_generator import BusinessMetricsGenerator
from backend.synthetic.generators.engagement_generator import EngagementGenerator
from backend.synthetic.generators.feature_store_seeder import FeatureStoreSeeder
from backend.synthetic.generators.feature_value_generator import (
    FeatureValueGenerator,
    PlantedDrift,
)
from backend.synthetic.generators.hcp_generator import HCPGenerator
from backend.synthetic.generators.outcome_generator import OutcomeGenerator
from backend.synthetic.generators.patient_generator import PatientGenerator
from backend.synthetic.generators.prediction_generator import PredictionGenerator
from backend.synthetic.generators.treatment_generator import TreatmentGenerator
from backend.synthetic.generators.trigger_generator import TriggerGenerator

__all__ = [
    "BaseGenerator",
    "BusinessMetricsGenerator",
    "EngagementGenerator",
    "FeatureStoreSeeder",
    "FeatureValueGenerator",
    "GenerationResult",
    "GeneratorConfig",
    "HCPGenerator",
    "OutcomeGenerator",
    "PatientGenerator",
    "PlantedDrift",
    "PredictionGenerator",
    "TreatmentGenerator",
    "TriggerGenerator",
]
