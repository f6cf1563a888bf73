"""A small data set of every table, linked as a load links it, for tests."""

from __future__ import annotations

from functools import cache
from typing import Any

import pandas as pd

from src.ml.synthetic.config import COLUMN_RENAMES
from src.ml.synthetic.generators import (
    BusinessMetricsGenerator,
    FeatureStoreSeeder,
    FeatureValueGenerator,
    GeneratorConfig,
    HCPGenerator,
    PatientGenerator,
    PredictionGenerator,
    TreatmentGenerator,
    TriggerGenerator,
)


def config(n: int, **settings: Any) -> GeneratorConfig:
    return GeneratorConfig(n_records=n, **settings)


def linked_tables(seed: int = 42) -> dict[str, pd.DataFrame]:
    """The nine tables at small size, with the generators' own column names."""
    hcps = HCPGenerator(config(500, seed=seed)).generate()
    patients = PatientGenerator(config(2500, seed=seed), hcps).generate()
    groups, features = FeatureStoreSeeder(config(15, seed=seed)).seed()
    return {
        "hcp_profiles": hcps,
        "patient_journeys": patients,
        "treatment_events": TreatmentGenerator(config(7500, seed=seed), patients).generate(),
        "ml_predictions": PredictionGenerator(config(2000, seed=seed), patients).generate(),
        "triggers": TriggerGenerator(config(1200, seed=seed), patients, hcps).generate(),
        "business_metrics": BusinessMetricsGenerator(config(1000, seed=seed)).generate(),
        "feature_groups": groups,
        "features": features,
        "feature_values": FeatureValueGenerator(
            config(5000, seed=seed), features, patients
        ).generate(),
    }


@cache
def _tables() -> dict[str, pd.DataFrame]:
    return linked_tables()


def small_tables() -> dict[str, pd.DataFrame]:
    """Copies of `linked_tables()` with the database's column names."""
    return {
        name: df.rename(columns=COLUMN_RENAMES.get(name, {})).copy(deep=True)
        for name, df in _tables().items()
    }
