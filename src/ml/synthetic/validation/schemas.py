"""Pandera schemas of the tables, with the column names of the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaError, SchemaErrors

from src.ml.synthetic.config import (
    Brand,
    DataSplit,
    InsuranceTypeEnum,
    PracticeTypeEnum,
    RegionEnum,
    SpecialtyEnum,
)
from src.ml.synthetic.generators.prediction_generator import PREDICTION_TYPES
from src.ml.synthetic.generators.treatment_generator import TREATMENT_TYPES
from src.ml.synthetic.generators.trigger_generator import (
    ANSWERS,
    CHANNELS,
    DELIVERIES,
    PRIORITIES,
    TRIGGER_TEXTS,
)
from src.ml.synthetic.loaders.tables import TABLES

#: largest difference between the achievement rate and value / target
_ACHIEVEMENT_ERROR = 0.015
DAY = r"^\d{4}-\d{2}-\d{2}$"
#: a day, with a time of day or not
MOMENT = r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}:\d{2}(\.\d+)?)?$"
UUID = r"^[a-f0-9-]{36}$"
_HCP, _PATIENT = r"^hcp_\d+$", r"^pt_\d+$"


def text(pattern: str = "", **options: Any) -> pa.Column:
    """A text that is not null and fits the pattern."""
    return pa.Column(str, [pa.Check.str_matches(pattern)] if pattern else [], **options)


def one_of(values: Iterable[str], **options: Any) -> pa.Column:
    """A text out of a closed set; the members of an enum are texts."""
    return pa.Column(str, pa.Check.isin([str(value) for value in values]), **options)


def number(
    low: float | None = None, high: float | None = None, kind: str = "float64", **options: Any
) -> pa.Column:
    """A number within bounds, both included."""
    checks = [] if low is None else [pa.Check.ge(low)]
    checks += [] if high is None else [pa.Check.le(high)]
    return pa.Column(kind, checks, **options)


def whole(low: float | None = None, high: float | None = None, **options: Any) -> pa.Column:
    """A whole number within bounds, both included."""
    return number(low, high, "int64", **options)


def plain(name: str, fits: Callable[[Any], bool]) -> pa.Column:
    """Python objects that each fit."""
    return pa.Column(object, pa.Check(fits, element_wise=True, name=name))


def with_keys(*keys: str) -> pa.Column:
    """Dicts that have all of the keys."""

    def complete(value: Any) -> bool:
        return isinstance(value, Mapping) and all(key in value for key in keys)

    return plain(f"keys {', '.join(keys)}", complete)


def rule(name: str, columns: Iterable[str], holds: Callable[[pd.DataFrame], Any]) -> pa.Check:
    """A rule over rows; a frame without one of its columns has nothing to break."""

    def check(df: pd.DataFrame) -> pd.Series:
        if not set(columns) <= set(df.columns):
            return pd.Series(True, index=df.index)
        return pd.Series(holds(df), index=df.index).fillna(False).astype(bool)

    return pa.Check(check, name=name, error=name)


def _entities_as_text(df: pd.DataFrame) -> pd.DataFrame:
    entities = [json.dumps(e, sort_keys=True, default=str) for e in df["entity_values"]]
    return df[["feature_id", "event_timestamp"]].assign(entity=entities)


FILLED_LIST = plain("filled list", lambda value: isinstance(value, list) and len(value) > 0)
#: more than ten characters
LONG_TEXT = pa.Column(str, pa.Check.str_length(min_value=11))
FILLED_DICT = plain("filled dict", lambda value: isinstance(value, dict) and len(value) > 0)


def _schema(columns: dict[str, pa.Column], **options: Any) -> pa.DataFrameSchema:
    return pa.DataFrameSchema(columns, strict=False, coerce=True, **options)


HCPProfileSchema = _schema(
    {
        "hcp_id": text(_HCP, unique=True),
        "npi": text(r"^\d{10}$", unique=True),
        "specialty": one_of(SpecialtyEnum),
        "practice_type": one_of(PracticeTypeEnum),
        "geographic_region": one_of(RegionEnum),
        "years_experience": whole(0),
        "total_patient_volume": whole(1),
        "academic_hcp": whole(0, 1, required=False),
        "brand": one_of(Brand, required=False),
    }
)

PatientJourneySchema = _schema(
    {
        "patient_journey_id": text(r"^patient_\d+$", unique=True),
        "patient_id": text(_PATIENT),
        "hcp_id": text(_HCP),
        "brand": one_of(Brand),
        "journey_start_date": text(DAY),
        "data_split": one_of(DataSplit),
        "disease_severity": number(0, 10),
        "academic_hcp": whole(0, 1),
        "engagement_score": number(0, 10),
        "treatment_initiated": whole(0, 1),
        "days_to_treatment": number(0, None, "Int64", nullable=True, required=False),
        "geographic_region": one_of(RegionEnum),
        "insurance_type": one_of(InsuranceTypeEnum),
        "age_at_diagnosis": whole(0, 120),
    },
    checks=[
        rule(
            "days_to_treatment only if treatment_initiated",
            ("days_to_treatment", "treatment_initiated"),
            lambda df: df["days_to_treatment"].isna() | (df["treatment_initiated"] == 1),
        )
    ],
)

TreatmentEventSchema = _schema(
    {
        "treatment_event_id": text(r"^trx_\d+$", unique=True),
        "patient_journey_id": text(r"^patient_\d+$"),
        "patient_id": text(_PATIENT),
        "hcp_id": text(_HCP),
        "brand": one_of(Brand),
        "event_date": text(DAY),
        "event_type": one_of(TREATMENT_TYPES),
        "duration_days": whole(1),
        "refill_number": whole(0, required=False),
        "adherence_score": number(0, 1, required=False),
        "efficacy_score": number(0, 1, required=False),
        "data_split": one_of(DataSplit),
    }
)

MLPredictionSchema = _schema(
    {
        "prediction_id": text(r"^pred_\d+$", unique=True),
        "patient_id": text(_PATIENT),
        "hcp_id": text(_HCP),
        "brand": one_of(Brand, required=False),
        "prediction_type": one_of(PREDICTION_TYPES),
        "prediction_value": number(0, 1),
        "confidence_score": number(0, 1),
        "uncertainty": number(0, 1, required=False),
        "model_version": text(r"^v\d+\.\d+$"),
        "prediction_timestamp": text(MOMENT),
        "data_split": one_of(DataSplit),
    }
)

TriggerSchema = _schema(
    {
        "trigger_id": text(r"^trg_\d+$", unique=True),
        "patient_id": text(_PATIENT),
        "hcp_id": text(_HCP),
        "trigger_timestamp": text(MOMENT),
        "trigger_type": one_of(TRIGGER_TEXTS),
        "priority": one_of(PRIORITIES),
        "confidence_score": number(0, 1),
        "lead_time_days": whole(1),
        "expiration_date": text(DAY),
        "delivery_channel": one_of(CHANNELS),
        "delivery_status": one_of(DELIVERIES),
        "acceptance_status": one_of(ANSWERS),
        "outcome_tracked": pa.Column("bool"),
        "outcome_value": number(0, 1, nullable=True, required=False),
        "trigger_reason": LONG_TEXT,
        "recommended_action": LONG_TEXT,
        "causal_chain": with_keys("root_cause", "confidence"),
        "supporting_evidence": with_keys("model_version", "data_sources"),
        "brand": one_of(Brand, required=False),
        "data_split": one_of(DataSplit),
    },
    checks=[
        rule(
            "outcome_value only if tracked and accepted",
            ("outcome_value", "outcome_tracked", "acceptance_status"),
            lambda df: (
                df["outcome_value"].isna()
                | (df["outcome_tracked"] & (df["acceptance_status"] == "accepted"))
            ),
        )
    ],
)

BusinessMetricsSchema = _schema(
    {
        "metric_id": text(r"^metric_[a-f0-9]+$", unique=True),
        "metric_date": text(DAY),
        "metric_type": text(r"^[a-z_]+$"),
        "metric_name": text(r"\S"),
        "brand": one_of(Brand),
        "region": one_of(RegionEnum),
        "value": number(0),
        "target": pa.Column("float64", pa.Check.gt(0)),
        "achievement_rate": number(0, 5),
        "year_over_year_change": number(-1, 2),
        "month_over_month_change": number(-0.5, 0.5),
        "roi": number(0),
        "statistical_significance": number(0, 1),
        "confidence_interval_lower": number(),
        "confidence_interval_upper": number(),
        "sample_size": whole(1),
        "data_split": one_of(DataSplit),
    },
    checks=[
        rule(
            "value within its interval",
            ("value", "confidence_interval_lower", "confidence_interval_upper"),
            lambda df: df["value"].between(
                df["confidence_interval_lower"], df["confidence_interval_upper"]
            ),
        ),
        rule(
            "achievement_rate is value / target",
            ("achievement_rate", "value", "target"),
            lambda df: (
                (df["achievement_rate"] - df["value"] / df["target"]).abs() < _ACHIEVEMENT_ERROR
            ),
        ),
    ],
    unique=["metric_date", "metric_type", "brand", "region"],
)

FeatureGroupsSchema = _schema(
    {
        "id": text(UUID, unique=True),
        "name": text(r"\S", unique=True),
        "description": text(),
        "owner": text(),
        "tags": FILLED_LIST,
        "source_table": text(r"\S"),
        "expected_update_frequency_hours": whole(1),
        "max_age_hours": whole(1),
    }
)

FeaturesSchema = _schema(
    {
        "id": text(UUID, unique=True),
        "feature_group_id": text(UUID),
        "name": text(r"\S"),
        "description": text(),
        "value_type": one_of(TABLES["features"].column("value_type").choices),
        "entity_keys": FILLED_LIST,
        "owner": text(),
        "tags": FILLED_LIST,
        "drift_threshold": number(0, 1),
    },
    unique=["feature_group_id", "name"],
)

FeatureValuesSchema = _schema(
    {
        "id": text(UUID, unique=True),
        "feature_id": text(UUID),
        "entity_values": FILLED_DICT,
        "value": with_keys("value"),
        "event_timestamp": text(MOMENT),
        "freshness_status": one_of(("fresh", "stale", "expired")),
    },
    checks=[
        rule(
            "feature, entity and timestamp are unique",
            ("feature_id", "entity_values", "event_timestamp"),
            lambda df: ~_entities_as_text(df).duplicated(),
        )
    ],
)

SCHEMA_REGISTRY: dict[str, pa.DataFrameSchema] = {
    "hcp_profiles": HCPProfileSchema,
    "patient_journeys": PatientJourneySchema,
    "treatment_events": TreatmentEventSchema,
    "ml_predictions": MLPredictionSchema,
    "triggers": TriggerSchema,
    "business_metrics": BusinessMetricsSchema,
    "feature_groups": FeatureGroupsSchema,
    "features": FeaturesSchema,
    "feature_values": FeatureValuesSchema,
}

#: whether a table is valid, and what was found if not
Verdict = tuple[bool, SchemaErrors | SchemaError | None]


def validate_dataframe(df: pd.DataFrame, table_name: str, lazy: bool = True) -> Verdict:
    """Whether a frame keeps its schema; `lazy` collects every error, else the first ends it.

    Raises ValueError for a table without a schema.
    """
    if table_name not in SCHEMA_REGISTRY:
        raise ValueError(f"no schema for {table_name}; known are {', '.join(SCHEMA_REGISTRY)}")
    try:
        # failures are reported by row number; labels may repeat
        SCHEMA_REGISTRY[table_name].validate(df.reset_index(drop=True), lazy=lazy)
    except (SchemaErrors, SchemaError) as exc:
        return False, exc
    return True, None


def validate_all_datasets(datasets: Mapping[str, pd.DataFrame]) -> dict[str, Verdict]:
    """The verdict on every table. Raises ValueError for a table without a schema."""
    return {name: validate_dataframe(df, name) for name, df in datasets.items()}


def get_validation_summary(results: Mapping[str, Verdict]) -> str:
    """A line for every table, and how many passed."""
    lines = [f"{name}: {'PASS' if ok else 'FAIL'}" for name, (ok, _) in results.items()]
    passed = sum(ok for ok, _ in results.values())
    return "\n".join([*lines, f"{passed} of {len(results)} tables passed"])
