"""Generators of every table; the same settings give the same frame in every process."""

from src.ml.synthetic.generators.base import BaseGenerator, GenerationResult, GeneratorConfig
from src.ml.synthetic.generators.business_metrics_generator import BusinessMetricsGenerator
from src.ml.synthetic.generators.engagement_generator import EngagementGenerator
from src.ml.synthetic.generators.feature_store_seeder import FeatureStoreSeeder
from src.ml.synthetic.generators.feature_value_generator import (
    FeatureValueGenerator,
    PlantedDrift,
)
from src.ml.synthetic.generators.hcp_generator import HCPGenerator
from src.ml.synthetic.generators.outcome_generator import OutcomeGenerator
from src.ml.synthetic.generators.patient_generator import PatientGenerator
from src.ml.synthetic.generators.prediction_generator import PredictionGenerator
from src.ml.synthetic.generators.treatment_generator import TreatmentGenerator
from src.ml.synthetic.generators.trigger_generator import TriggerGenerator

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
