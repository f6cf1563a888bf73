"""The feature store's groups and features, and how their values are distributed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ValueType(StrEnum):
    """Types of the feature store that are in use here."""

    INT = "int64"
    FLOAT = "float64"
    STRING = "string"


@dataclass(frozen=True)
class Feature:
    """One feature. Numbers are truncated normal; shares make it categorical or a flag."""

    name: str
    description: str
    type: ValueType
    drift_threshold: float
    #: (mean, sd) of a numeric feature, within `bounds`, both included
    normal: tuple[float, float] = (0.0, 1.0)
    bounds: tuple[float, float] = (0.0, 1.0)
    #: value: share; the values of a flag are "0" and "1"
    shares: dict[str, float] | None = None


@dataclass(frozen=True)
class Group:
    """Features with the same entity, source and age."""

    name: str
    description: str
    source_table: str
    #: hours between updates, and hours after which a value is too old
    update_hours: int
    max_age_hours: int
    owner: str
    entity_keys: tuple[str, ...]
    tags: tuple[str, ...]
    features: tuple[Feature, ...]


_INT, _FLOAT, _STRING = ValueType.INT, ValueType.FLOAT, ValueType.STRING
_SPECIALTIES = {
    "dermatology": 0.25,
    "allergy_immunology": 0.20,
    "hematology": 0.20,
    "oncology": 0.25,
    "rheumatology": 0.10,
}

GROUPS: tuple[Group, ...] = (
    Group(
        "hcp_demographics",
        "Who an HCP is and how the practice works",
        "hcp_profiles",
        168,
        720,
        "data-team",
        ("hcp_id",),
        ("hcp", "demographics"),
        (
            Feature("specialty_encoded", "Specialty", _STRING, 0.15, shares=_SPECIALTIES),
            Feature("years_experience", "Years in practice", _INT, 0.10, (16, 9), (1, 45)),
            Feature(
                "academic_flag",
                "Whether the practice is academic, 0 or 1",
                _INT,
                0.05,
                shares={"0": 0.70, "1": 0.30},
            ),
            Feature("patient_volume_monthly", "Patients a month", _INT, 0.15, (120, 60), (20, 300)),
        ),
    ),
    Group(
        "patient_features",
        "The state of a patient and of the treatment so far",
        "patient_journeys",
        24,
        168,
        "data-team",
        ("patient_id",),
        ("patient", "clinical"),
        (
            Feature("disease_severity", "Severity, 0 to 10", _FLOAT, 0.10, (5, 2), (0, 10)),
            Feature("age_at_diagnosis", "Age in whole years", _INT, 0.10, (55, 15), (18, 85)),
            Feature("comorbidity_count", "Other conditions", _INT, 0.15, (2, 1.8), (0, 8)),
            Feature("prior_treatment_count", "Treatments before", _INT, 0.10, (1.5, 1.4), (0, 5)),
            Feature(
                "insurance_tier",
                "What the insurance covers",
                _STRING,
                0.10,
                shares={"high": 0.30, "medium": 0.50, "low": 0.20},
            ),
        ),
    ),
    Group(
        "brand_performance",
        "How a brand does in a region",
        "business_metrics",
        24,
        168,
        "analytics-team",
        ("brand", "region"),
        ("brand", "performance"),
        (
            Feature("trx_30d", "Prescriptions in 30 days", _INT, 0.20, (5000, 2500), (500, 15000)),
            Feature(
                "nrx_30d", "New prescriptions in 30 days", _INT, 0.20, (1000, 500), (100, 3000)
            ),
            Feature("conversion_rate", "Share of HCPs won", _FLOAT, 0.10, (0.15, 0.05)),
        ),
    ),
    Group(
        "causal_features",
        "Treatment, propensity and outcome of causal analyses",
        "patient_journeys",
        24,
        72,
        "ml-team",
        ("patient_id",),
        ("patient", "causal"),
        (
            Feature(
                "engagement_score",
                "Engagement of the patient's HCP, 0 to 10",
                _FLOAT,
                0.08,
                (5.5, 2),
                (0, 10),
            ),
            Feature("treatment_propensity", "Chance of treatment", _FLOAT, 0.10, (0.35, 0.15)),
            Feature("outcome_probability", "Chance of success", _FLOAT, 0.10, (0.65, 0.15)),
        ),
    ),
)

FEATURES: dict[str, Feature] = {f.name: f for group in GROUPS for f in group.features}
#: feature → column of patient_journeys that its values are taken from where patients are given
PATIENT_COLUMNS = {
    "academic_flag": "academic_hcp",
    **{name: name for name in ("disease_severity", "age_at_diagnosis", "engagement_score")},
}
