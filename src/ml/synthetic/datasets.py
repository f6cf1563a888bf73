"""All tables of one load, generated in the order in which they refer to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from types import MappingProxyType

import pandas as pd

from src.ml.synthetic.config import DGPType
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
from src.ml.synthetic.loaders import renamed

#: rows, of business_metrics those of whole dates; engagement_events and business_outcomes have no
#: table and are not loaded
FULL_SIZES: Mapping[str, int] = MappingProxyType(
    {
        "hcp_profiles": 5_000,
        "patient_journeys": 25_000,
        "treatment_events": 75_000,
        "ml_predictions": 20_000,
        "triggers": 12_000,
        "business_metrics": 11_560,
        "feature_values": 50_000,
        "engagement_events": 15_000,
        "business_outcomes": 10_000,
    }
)
SMALL_SIZES: Mapping[str, int] = MappingProxyType(
    {name: size // 10 for name, size in FULL_SIZES.items()}
)

#: is told the table that is generated next
Announce = Callable[[str], None]


def start_of_today() -> datetime:
    """Midnight in UTC, so that whatever is generated on one day is the same."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)


@dataclass(frozen=True)
class Recipe:
    """What to generate; two equal recipes give equal tables."""

    sizes: Mapping[str, int]
    dgp: DGPType = DGPType.CONFOUNDED
    seed: int = 42
    #: last day of anything
    end_date: date | None = None
    #: latest feature timestamp, naive UTC; freshness is judged at it
    as_of: datetime | None = None


def generate(recipe: Recipe, announce: Announce = lambda _table: None) -> dict[str, pd.DataFrame]:
    """The nine tables under the database's column names."""
    as_of = recipe.as_of or start_of_today()
    base = GeneratorConfig(
        seed=recipe.seed, dgp_type=recipe.dgp, end_date=recipe.end_date or as_of.date()
    )
    tables: dict[str, pd.DataFrame] = {}

    def config(table: str) -> GeneratorConfig:
        announce(table)
        return replace(base, n_records=recipe.sizes[table])

    tables["hcp_profiles"] = hcps = HCPGenerator(config("hcp_profiles")).generate()
    patients = PatientGenerator(config("patient_journeys"), hcps).generate()
    tables["patient_journeys"] = patients
    tables["treatment_events"] = TreatmentGenerator(config("treatment_events"), patients).generate()
    tables["ml_predictions"] = PredictionGenerator(config("ml_predictions"), patients).generate()
    tables["triggers"] = TriggerGenerator(config("triggers"), patients, hcps).generate()
    tables["business_metrics"] = BusinessMetricsGenerator(config("business_metrics")).generate()
    groups, features = FeatureStoreSeeder(base).seed()
    tables["feature_groups"], tables["features"] = groups, features
    tables["feature_values"] = FeatureValueGenerator(
        config("feature_values"), features, patients, as_of=as_of
    ).generate()
    return renamed(tables)


def sample() -> dict[str, pd.DataFrame]:
    """The nine tables at a tenth of their size, as of today."""
    return generate(Recipe(SMALL_SIZES))
