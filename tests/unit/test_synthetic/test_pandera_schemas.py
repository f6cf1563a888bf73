"""The Pandera schemas: every generated table passes, and every rule has an example against it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from pandera.errors import SchemaError, SchemaErrors

from src.ml.synthetic.config import DGPType
from src.ml.synthetic.validation import (
    SCHEMA_REGISTRY,
    get_combined_summary,
    get_validation_summary,
    quick_validate,
    validate_all_datasets,
    validate_dataframe,
    validate_dataset,
    validate_pipeline_output,
)
from tests.synthetic_data import linked_tables, small_tables

REPEAT = object()
#: (table, column, a value that breaks its rule)
BROKEN: list[tuple[str, str, Any]] = [
    ("hcp_profiles", "hcp_id", "doctor_1"),
    ("hcp_profiles", "hcp_id", REPEAT),
    ("hcp_profiles", "npi", "123456789"),
    ("hcp_profiles", "npi", REPEAT),
    ("hcp_profiles", "specialty", "astrology"),
    ("hcp_profiles", "practice_type", "hospital"),
    ("hcp_profiles", "geographic_region", "South"),
    ("hcp_profiles", "years_experience", -1),
    ("hcp_profiles", "total_patient_volume", 0),
    ("hcp_profiles", "academic_hcp", 2),
    ("hcp_profiles", "brand", "kisqali"),
    ("patient_journeys", "patient_journey_id", "journey_000001"),
    ("patient_journeys", "patient_journey_id", REPEAT),
    ("patient_journeys", "patient_id", "patient_1"),
    ("patient_journeys", "hcp_id", "1"),
    ("patient_journeys", "brand", "fabhalta"),
    ("patient_journeys", "journey_start_date", "01/02/2024"),
    ("patient_journeys", "data_split", "unassigned"),
    ("patient_journeys", "disease_severity", 10.01),
    ("patient_journeys", "disease_severity", None),
    ("patient_journeys", "academic_hcp", -1),
    ("patient_journeys", "engagement_score", -0.01),
    ("patient_journeys", "treatment_initiated", 2),
    ("patient_journeys", "days_to_treatment", -3),
    ("patient_journeys", "geographic_region", "north"),
    ("patient_journeys", "insurance_type", "none"),
    ("patient_journeys", "age_at_diagnosis", 121),
    ("treatment_events", "treatment_event_id", "evt_1"),
    ("treatment_events", "treatment_event_id", REPEAT),
    ("treatment_events", "patient_journey_id", "pt_1"),
    ("treatment_events", "patient_id", "p1"),
    ("treatment_events", "hcp_id", ""),
    ("treatment_events", "brand", "other"),
    ("treatment_events", "event_date", "2024-1-1"),
    ("treatment_events", "event_type", "diagnosis"),
    ("treatment_events", "duration_days", 0),
    ("treatment_events", "refill_number", -1),
    ("treatment_events", "adherence_score", 1.1),
    ("treatment_events", "efficacy_score", -0.1),
    ("treatment_events", "data_split", "train "),
    ("ml_predictions", "prediction_id", "pred_x"),
    ("ml_predictions", "prediction_id", REPEAT),
    ("ml_predictions", "patient_id", "x"),
    ("ml_predictions", "hcp_id", "x"),
    ("ml_predictions", "brand", "x"),
    ("ml_predictions", "prediction_type", "guess"),
    ("ml_predictions", "prediction_value", 1.0001),
    ("ml_predictions", "confidence_score", 1.5),
    ("ml_predictions", "uncertainty", -0.5),
    ("ml_predictions", "model_version", "v1.2.3"),
    ("ml_predictions", "prediction_timestamp", "yesterday"),
    ("ml_predictions", "data_split", "dev"),
    ("triggers", "trigger_id", "trigger_1"),
    ("triggers", "trigger_id", REPEAT),
    ("triggers", "patient_id", "x"),
    ("triggers", "hcp_id", "x"),
    ("triggers", "trigger_timestamp", "2024-01-01 25"),
    ("triggers", "trigger_type", "idea"),
    ("triggers", "priority", "urgent"),
    ("triggers", "confidence_score", 2),
    ("triggers", "lead_time_days", 0),
    ("triggers", "expiration_date", "soon"),
    ("triggers", "delivery_channel", "pigeon"),
    ("triggers", "delivery_status", "lost"),
    ("triggers", "acceptance_status", "maybe"),
    ("triggers", "outcome_value", 1.5),
    ("triggers", "trigger_reason", "too short!"),
    ("triggers", "recommended_action", "call"),
    ("triggers", "causal_chain", {"root_cause": "x"}),
    ("triggers", "supporting_evidence", {}),
    ("triggers", "brand", "x"),
    ("triggers", "data_split", "x"),
    ("business_metrics", "metric_id", "metric_XYZ"),
    ("business_metrics", "metric_id", REPEAT),
    ("business_metrics", "metric_date", "2024-01"),
    ("business_metrics", "metric_type", "Total Prescriptions"),
    ("business_metrics", "metric_name", " "),
    ("business_metrics", "brand", "x"),
    ("business_metrics", "region", "Northeast"),
    ("business_metrics", "value", -1),
    ("business_metrics", "value", 1e9),
    ("business_metrics", "target", 0),
    ("business_metrics", "achievement_rate", 5.1),
    ("business_metrics", "achievement_rate", 2.0),
    ("business_metrics", "year_over_year_change", 2.1),
    ("business_metrics", "month_over_month_change", 0.51),
    ("business_metrics", "month_over_month_change", None),
    ("business_metrics", "roi", -0.1),
    ("business_metrics", "statistical_significance", 1.1),
    ("business_metrics", "confidence_interval_lower", 1e9),
    ("business_metrics", "confidence_interval_upper", -1),
    ("business_metrics", "sample_size", 0),
    ("business_metrics", "data_split", None),
    ("feature_groups", "id", "1"),
    ("feature_groups", "id", REPEAT),
    ("feature_groups", "name", ""),
    ("feature_groups", "name", REPEAT),
    ("feature_groups", "description", None),
    ("feature_groups", "owner", None),
    ("feature_groups", "tags", []),
    ("feature_groups", "source_table", ""),
    ("feature_groups", "expected_update_frequency_hours", 0),
    ("feature_groups", "max_age_hours", 0),
    ("features", "id", "x"),
    ("features", "id", REPEAT),
    ("features", "feature_group_id", "x"),
    ("features", "name", ""),
    ("features", "description", None),
    ("features", "value_type", "decimal"),
    ("features", "entity_keys", []),
    ("features", "owner", None),
    ("features", "tags", "hcp"),
    ("features", "drift_threshold", 1.5),
    ("feature_values", "id", "x"),
    ("feature_values", "id", REPEAT),
    ("feature_values", "feature_id", "x"),
    ("feature_values", "entity_values", {}),
    ("feature_values", "value", {"number": 1}),
    ("feature_values", "event_timestamp", "2024-01-01T00:00:00+00:00"),
    ("feature_values", "freshness_status", "rotten"),
]


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return small_tables()


def broken(df: pd.DataFrame, column: str, value: Any) -> pd.DataFrame:
    values = df[column].astype(object).tolist()
    values[3 if len(values) > 3 else -1] = values[0] if value is REPEAT else value
    return df.assign(**{column: pd.Series(values, dtype=object, index=df.index)})


@pytest.mark.parametrize(
    ("table", "column", "value"),
    BROKEN,
    ids=[f"{t}-{c}-{'repeat' if v is REPEAT else v}" for t, c, v in BROKEN],
)
def test_a_broken_rule_is_found(
    tables: dict[str, pd.DataFrame], table: str, column: str, value: Any
) -> None:
    valid, errors = validate_dataframe(broken(tables[table], column, value), table)
    assert not valid
    assert isinstance(errors, SchemaErrors)
    assert len(errors.failure_cases) >= 1
    assert column in str(errors.failure_cases) + str(errors)


def test_every_column_of_every_schema_has_an_example() -> None:
    shown = {(table, column) for table, column, _ in BROKEN}
    columns = {
        (table, name) for table, schema in SCHEMA_REGISTRY.items() for name in schema.columns
    }
    assert columns - shown == {("triggers", "outcome_tracked")}


def test_an_outcome_that_is_not_tracked_must_be_null(tables: dict[str, pd.DataFrame]) -> None:
    df = tables["triggers"].assign(outcome_tracked=False)
    assert not validate_dataframe(df, "triggers")[0]


def test_an_untreated_patient_has_no_days(tables: dict[str, pd.DataFrame]) -> None:
    df = tables["patient_journeys"].assign(treatment_initiated=0)
    assert not validate_dataframe(df, "patient_journeys")[0]


def test_a_natural_key_may_not_repeat(tables: dict[str, pd.DataFrame]) -> None:
    metrics = tables["business_metrics"]
    twice = pd.concat([metrics, metrics.head(1).assign(metric_id="metric_ffffffffffff")])
    assert not validate_dataframe(twice, "business_metrics")[0]
    values = tables["feature_values"]
    twice = pd.concat([values, values.head(1).assign(id="0" * 36)])
    assert not validate_dataframe(twice, "feature_values")[0]


@pytest.mark.parametrize("table", SCHEMA_REGISTRY)
def test_a_missing_column_is_found(tables: dict[str, pd.DataFrame], table: str) -> None:
    valid, errors = validate_dataframe(tables[table].iloc[:, 1:], table)
    assert not valid
    assert tables[table].columns[0] in str(errors)


@pytest.mark.parametrize("seed", [1, 42])
def test_generated_tables_pass(seed: int) -> None:
    from src.ml.synthetic.config import COLUMN_RENAMES

    generated = {
        name: df.rename(columns=COLUMN_RENAMES.get(name, {}))
        for name, df in linked_tables(seed).items()
    }
    results = validate_all_datasets(generated)
    assert {name: ok for name, (ok, _) in results.items()} == dict.fromkeys(SCHEMA_REGISTRY, True)
    assert get_validation_summary(results).endswith("9 of 9 tables passed")


def test_the_schemas_are_tolerant_and_coerce() -> None:
    assert len(SCHEMA_REGISTRY) == 9
    for schema in SCHEMA_REGISTRY.values():
        assert (schema.strict, schema.coerce) == (False, True)


def test_numbers_in_text_are_coerced(tables: dict[str, pd.DataFrame]) -> None:
    df = tables["hcp_profiles"].assign(years_experience="12", extra="anything")
    assert validate_dataframe(df, "hcp_profiles") == (True, None)


def test_a_frame_without_optional_columns_passes(tables: dict[str, pd.DataFrame]) -> None:
    assert validate_dataframe(tables["hcp_profiles"].drop(columns=["brand"]), "hcp_profiles")[0]
    fewer = tables["patient_journeys"].drop(columns=["days_to_treatment"])
    assert validate_dataframe(fewer, "patient_journeys")[0]


def test_the_first_error_ends_a_check_that_is_not_lazy(tables: dict[str, pd.DataFrame]) -> None:
    df = tables["hcp_profiles"].assign(npi="1", specialty="x")
    _, errors = validate_dataframe(df, "hcp_profiles", lazy=False)
    assert isinstance(errors, SchemaError)
    _, all_errors = validate_dataframe(df, "hcp_profiles")
    assert isinstance(all_errors, SchemaErrors)
    assert {"npi", "specialty"} <= set(all_errors.failure_cases["column"])


def test_a_table_without_a_schema_is_an_error_here_and_valid_in_the_pipeline() -> None:
    df = pd.DataFrame({"a": [1]})
    with pytest.raises(ValueError, match="no schema for invoices"):
        validate_dataframe(df, "invoices")
    assert validate_dataset(df, "invoices").is_valid


def test_the_pipeline_tells_of_every_table(tables: dict[str, pd.DataFrame]) -> None:
    results = validate_pipeline_output(tables)
    text = get_combined_summary(results)
    assert "ALL PASSED" in text
    assert "Tables Validated: 9" in text
    assert all(f"{name}: PASS" in text for name in tables)
    summary = results["triggers"].summary
    assert (summary["table_name"], summary["pandera_valid"]) == ("triggers", True)
    assert summary["overall_valid"]
    assert summary["timestamp"] == results["triggers"].validation_timestamp.isoformat()


def test_one_bad_table_fails_the_pipeline(
    tables: dict[str, pd.DataFrame], capsys: pytest.CaptureFixture[str]
) -> None:
    bad = {**tables, "hcp_profiles": tables["hcp_profiles"].assign(npi="1")}
    assert not quick_validate(bad)
    printed = capsys.readouterr().out
    assert "hcp_profiles: FAIL" in printed
    assert "VALIDATION FAILED" in printed
    assert quick_validate(tables, verbose=False)
    assert capsys.readouterr().out == ""
    assert validate_dataset(bad["hcp_profiles"], "hcp_profiles", run_pandera=False).is_valid


def test_another_process_than_asked_for_is_not_valid(tables: dict[str, pd.DataFrame]) -> None:
    df = tables["patient_journeys"]
    assert validate_dataset(df, "patient_journeys", DGPType.CONFOUNDED).is_valid
    result = validate_dataset(df, "patient_journeys", DGPType.TIME_SERIES)
    assert (result.pandera_valid, result.is_valid) == (True, False)
