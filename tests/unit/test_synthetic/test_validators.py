"""The validators of columns, splits and causal effects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from src.ml.synthetic.config import DGP_CONFIGS, Brand, DGPType
from src.ml.synthetic.generators import EngagementGenerator, PatientGenerator
from src.ml.synthetic.ground_truth import create_ground_truth_from_dgp_config
from src.ml.synthetic.validators import (
    CausalValidationResult,
    CausalValidator,
    LeakageInfo,
    RefutationResult,
    SchemaValidator,
    SplitValidationResult,
    SplitValidator,
)
from src.ml.synthetic.validators.estimation import EstimationError, estimate_effect
from tests.synthetic_data import config, small_tables


def frame(rows: int = 4, **columns: object) -> pd.DataFrame:
    """A valid frame of patient journeys, with ids of another style."""
    return pd.DataFrame(
        {
            "patient_journey_id": [f"journey_{i:06d}" for i in range(rows)],
            "patient_id": [f"person {i}" for i in range(rows)],
            "hcp_id": ["h1"] * rows,
            "brand": ["Kisqali"] * rows,
            "journey_start_date": ["2024-01-01"] * rows,
            "data_split": ["train"] * rows,
            "disease_severity": [1.0] * rows,
            "academic_hcp": np.ones(rows, dtype=np.int64),
            "engagement_score": [5.5] * rows,
            "treatment_initiated": [1] * rows,
            **columns,
        }
    )


# --- columns ---


def test_generated_tables_keep_their_columns() -> None:
    tables = small_tables()
    chosen = {name: tables[name] for name in ("hcp_profiles", "patient_journeys")}
    hcps = chosen["hcp_profiles"]
    chosen["engagement_events"] = EngagementGenerator(config(500), hcps).generate()
    results = SchemaValidator().validate_all(chosen)
    summary = SchemaValidator().get_validation_summary(results)
    assert (summary["all_valid"], summary["total_tables"], summary["valid_tables"]) == (True, 3, 3)
    assert (summary["total_errors"], summary["total_warnings"]) == (0, 0)
    assert summary["tables"]["hcp_profiles"]["total_rows"] == 500


def test_other_ids_nulls_and_objects_are_accepted() -> None:
    df = frame(
        days_to_treatment=pd.Series([None, np.int64(3), 5, None], dtype=object),
        insurance_type=pd.Series([None, "medicare", None, None], dtype=object),
        academic_hcp=pd.Series([np.int64(0), 1, np.int64(1), 0], dtype=object),
    )
    result = SchemaValidator().validate(df, "patient_journeys")
    assert (result.is_valid, result.errors, result.total_rows) == (True, [], 4)


@pytest.mark.parametrize(
    ("column", "values", "kind", "rows", "shown"),
    [
        (
            "brand",
            ["Kisqali", "kisqali", "Fabhalta", "x"],
            "invalid_enum",
            [1, 3],
            ["kisqali", "x"],
        ),
        ("disease_severity", [0, 10, 10.1, 5], "above_max", [2], [10.1]),
        ("engagement_score", [-0.1, 0, 1, 2], "below_min", [0], [-0.1]),
        ("patient_id", ["a", None, "b", "c"], "null_value", [1], [None]),
        ("age_at_diagnosis", [0, 120, 121, None], "above_max", [2], [121]),
        ("days_to_treatment", [-1, None, 0, 9], "below_min", [0], [-1]),
        ("academic_hcp", [0, 1, "many", 1], "null_value", [2], ["many"]),
    ],
)
def test_a_broken_rule_is_told_with_rows_and_values(
    column: str, values: list[object], kind: str, rows: list[int], shown: list[object]
) -> None:
    df = frame(**{column: pd.Series(values, dtype=object)})
    result = SchemaValidator().validate(df, "patient_journeys")
    [error] = result.errors
    assert not result.is_valid
    assert (error.table, error.column, error.error_type) == ("patient_journeys", column, kind)
    assert (error.row_indices, error.sample_values) == (rows, shown)
    assert column in error.message


def test_rows_with_the_same_label_are_told_apart() -> None:
    df = pd.concat([frame(2), frame(2, brand=["x", "Kisqali"])])
    [error] = SchemaValidator().validate(df, "patient_journeys").errors
    assert (error.row_indices, error.sample_values) == ([0], ["x"])


def test_a_missing_column_is_told() -> None:
    result = SchemaValidator().validate(frame().drop(columns="hcp_id"), "patient_journeys")
    assert [(e.error_type, e.column) for e in result.errors] == [("missing_column", "hcp_id")]


def test_an_unknown_table_is_told() -> None:
    [error] = SchemaValidator().validate(frame(), "invoices").errors
    assert error.error_type == "unknown_table"


def test_an_orphan_is_told_if_the_parents_are_given() -> None:
    hcps = pd.DataFrame({"hcp_id": ["h1"]})
    df = frame(hcp_id=["h1", "h2", "h1", "h1"])
    validator = SchemaValidator()
    assert validator.validate(df, "patient_journeys").is_valid
    result = validator.validate(df, "patient_journeys", {"hcp_profiles": hcps})
    [error] = result.errors
    assert (error.error_type, error.sample_values) == ("orphan_fk", ["h2"])


def test_an_empty_table_is_warned_of() -> None:
    result = SchemaValidator().validate(frame(0), "patient_journeys")
    assert (result.is_valid, len(result.warnings)) == (True, 1)


# --- splits ---


def test_no_patient_is_in_two_splits_of_any_table() -> None:
    tables = small_tables()
    results = SplitValidator().validate_multiple_datasets(tables)
    summary = SplitValidator().get_validation_summary(results)
    assert summary["all_valid"]
    assert summary["critical_leakages"] == 0
    assert list(summary["tables"]) == list(tables)
    checked = [name for name, r in results.items() if r.split_counts]
    assert checked == ["patient_journeys", "treatment_events", "ml_predictions", "triggers"]


def test_a_good_split_is_counted() -> None:
    result = SplitValidator().validate(PatientGenerator(config(2000)).generate())
    assert result.is_valid
    assert sum(result.split_counts.values()) == result.total_records == 2000
    assert result.split_ratios["train"] == pytest.approx(0.6, abs=0.03)
    assert result.expected_ratios == {
        "train": 0.6,
        "validation": 0.2,
        "test": 0.15,
        "holdout": 0.05,
    }
    assert max(result.ratio_errors.values()) < 0.05
    assert (result.leakages, result.warnings, result.errors) == ([], [], [])


def splits(patients: list[str], splits: list[str], **columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"patient_id": patients, "data_split": splits, **columns})


def test_an_entity_in_two_splits_is_critical() -> None:
    result = SplitValidator().validate(splits(["a", "a", "b"], ["train", "test", "train"]))
    [leakage] = result.leakages
    assert not result.is_valid
    assert result.has_critical_leakage()
    assert (leakage.leakage_type, leakage.severity) == ("entity_overlap", "critical")
    assert (leakage.affected_entities, leakage.sample_ids) == (1, ["a"])
    assert leakage.affected_splits == ["test", "train"]


def test_an_overlap_in_time_is_a_warning_only() -> None:
    days = ["2024-01-01", "2024-03-01", "2024-02-01"]
    df = splits(["a", "b", "c"], ["train", "train", "test"], journey_start_date=days)
    result = SplitValidator().validate(df)
    assert result.is_valid
    assert [x.leakage_type for x in result.leakages] == ["temporal_overlap"]
    assert len(result.temporal_violations) == 1
    assert not result.has_critical_leakage()


def test_wrong_ratios_are_warned_of() -> None:
    result = SplitValidator().validate(splits(["a", "b"], ["train", "train"]))
    assert result.is_valid
    # nothing in holdout is off by no more than the tolerance
    assert len(result.warnings) == 3
    assert result.ratio_errors["train"] == pytest.approx(0.4)
    tolerant = SplitValidator(ratio_tolerance=0.5).validate(splits(["a"], ["train"]))
    assert tolerant.warnings == []


def test_a_missing_column_makes_splits_invalid() -> None:
    result = SplitValidator().validate(pd.DataFrame({"patient_id": ["a"]}))
    assert not result.is_valid
    assert result.errors == ["Missing columns: data_split"]


def test_a_target_without_variation_is_warned_of() -> None:
    df = splits(["a", "b", "c"], ["train", "train", "test"]).assign(y=[0, 1, 1])
    validator = SplitValidator(ratio_tolerance=1)
    assert validator.validate(df, target_column="y").warnings == [
        "y has one value only in split test"
    ]
    assert validator.validate(df, target_column="z").warnings == ["the target column z is missing"]


def test_another_split_than_in_the_first_table_is_critical_for_the_later_one() -> None:
    first = splits(["a", "b"], ["train", "test"])
    later = splits(["a", "b", "c"], ["train", "holdout", "test"])
    last = splits(["c"], ["train"])
    results = SplitValidator().validate_multiple_datasets(
        {"first": first, "later": later, "last": last, "none": first[["patient_id"]]}
    )
    assert [r.is_valid for r in results.values()] == [True, False, False, True]
    [leakage] = results["later"].leakages
    assert leakage.leakage_type == "cross_dataset_inconsistency"
    assert leakage.sample_ids == ["b"]
    assert results["none"].warnings


def test_leakages_are_summed_up() -> None:
    result = SplitValidationResult(True, 1)
    result.add_leakage(LeakageInfo("a", "warning", "harmless"))
    assert result.is_valid
    result.add_leakage(LeakageInfo("b", "critical", "bad"))
    assert not result.is_valid
    summary = SplitValidator().get_validation_summary({"t": result})
    assert (summary["total_leakages"], summary["critical_leakages"]) == (2, 1)
    assert (summary["all_valid"], summary["valid_tables"]) == (False, 0)
    assert summary["leakages"][1]["table"] == "t"


# --- effects ---


@pytest.mark.parametrize("dgp", list(DGPType))
def test_every_process_passes_at_two_hundred_thousand(dgp: DGPType) -> None:
    df = PatientGenerator(config(200_000, dgp_type=dgp, seed=7)).generate()
    result = CausalValidator().validate_dgp(df, dgp, run_refutations=False)
    assert result.is_valid
    assert result.ate_within_tolerance
    assert result.estimated_ate == pytest.approx(DGP_CONFIGS[dgp].true_ate, abs=0.05)
    assert result.dgp_type == dgp.value


@pytest.fixture(scope="module")
def patients() -> pd.DataFrame:
    return PatientGenerator(config(30_000)).generate()


def test_refutations_of_a_true_effect_are_passed(patients: pd.DataFrame) -> None:
    validator = CausalValidator()
    truth = create_ground_truth_from_dgp_config(Brand.KISQALI, DGPType.CONFOUNDED)
    result = validator.validate(patients, truth)
    assert result.is_valid
    assert result.meets_criteria()
    names = [r.test_name for r in result.refutation_results]
    assert names == ["placebo_treatment", "dummy_outcome", "random_common_cause", "data_subset"]
    assert result.refutation_pass_rate == 1
    summary = validator.get_validation_summary(result)
    assert [r["test_name"] for r in summary["refutations"]] == names
    assert summary["estimated_ate"] == result.estimated_ate


def test_confounders_are_unbalanced_where_they_confound(patients: pd.DataFrame) -> None:
    result = CausalValidator().validate_dgp(patients, DGPType.CONFOUNDED, run_refutations=False)
    assert result.confounder_balance["academic_hcp"] > 0.5
    assert result.confounder_balance["disease_severity"] > 0.5
    assert len(result.warnings) == 2


def test_an_estimate_without_adjustment_is_found_out(patients: pd.DataFrame) -> None:
    truth = create_ground_truth_from_dgp_config(Brand.KISQALI, DGPType.CONFOUNDED)
    result = CausalValidator().validate(patients, truth, confounders=[], run_refutations=False)
    assert not result.is_valid
    assert result.ate_error is not None
    assert result.ate_error > 0.3


def test_a_linear_model_could_not_meet_the_tolerance(patients: pd.DataFrame) -> None:
    columns = ["engagement_score", "disease_severity", "academic_hcp"]
    matrix = np.column_stack([np.ones(len(patients)), patients[columns]])
    slope = np.linalg.lstsq(matrix, patients["treatment_initiated"], rcond=None)[0][1]
    assert 0.04 < slope < 0.12


def test_missing_columns_are_told() -> None:
    result = CausalValidator().validate_dgp(
        frame().drop(columns="academic_hcp"), DGPType.CONFOUNDED
    )
    assert not result.is_valid
    assert result.errors[0] == "Missing columns: academic_hcp"
    assert result.estimated_ate is None


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"treatment_initiated": [1, 1, 1, 1]}, "no estimate"),
        ({"disease_severity": [1.0, None, 2.0, 3.0]}, "nulls"),
    ],
)
def test_what_cannot_be_estimated_is_told(columns: dict[str, object], message: str) -> None:
    result = CausalValidator().validate_dgp(frame(**columns), DGPType.CONFOUNDED)
    assert not result.is_valid
    assert message in result.errors[0]
    with pytest.raises(EstimationError, match=message):
        estimate_effect(frame(**columns), DGPType.CONFOUNDED, confounders=["disease_severity"])


def test_an_empty_frame_is_told() -> None:
    result = CausalValidator().validate_dgp(frame(0), DGPType.SIMPLE_LINEAR)
    assert result.errors == ["the frame has no rows"]


def test_the_thresholds_are_kept() -> None:
    validator = CausalValidator(0.8, 0.02)
    assert (validator.min_refutation_pass_rate, validator.ate_tolerance) == (0.8, 0.02)


def test_refutations_are_counted() -> None:
    result = CausalValidationResult(True, "confounded", 0.25, ate_within_tolerance=True)
    assert not result.meets_criteria()
    for passed in (True, True, False):
        result.add_refutation(RefutationResult("x", passed))
    assert result.refutation_pass_rate == pytest.approx(2 / 3)
    assert result.meets_criteria()
    result.ate_within_tolerance = False
    assert not result.meets_criteria()
