"""Treatments, engagements, outcomes, predictions and triggers, alone and with patients."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from src.ml.synthetic.config import Brand, EngagementTypeEnum
from src.ml.synthetic.generators import (
    EngagementGenerator,
    HCPGenerator,
    OutcomeGenerator,
    PatientGenerator,
    PredictionGenerator,
    TreatmentGenerator,
    TriggerGenerator,
)
from src.ml.synthetic.generators.dates import days_of
from src.ml.synthetic.generators.trigger_generator import _ACQUISITION, _RETENTION
from tests.synthetic_data import config

TRIGGER_COLUMNS = [
    "trigger_id",
    "patient_id",
    "hcp_id",
    "trigger_timestamp",
    "trigger_type",
    "priority",
    "confidence_score",
    "lead_time_days",
    "expiration_date",
    "delivery_channel",
    "delivery_status",
    "acceptance_status",
    "outcome_tracked",
    "outcome_value",
    "trigger_reason",
    "recommended_action",
    "causal_chain",
    "supporting_evidence",
    "brand",
    "data_split",
]


@pytest.fixture(scope="module")
def hcps() -> pd.DataFrame:
    return HCPGenerator(config(300)).generate()


@pytest.fixture(scope="module")
def patients(hcps: pd.DataFrame) -> pd.DataFrame:
    return PatientGenerator(config(1000), hcps).generate()


def linked(kind: str, hcps: pd.DataFrame, patients: pd.DataFrame, n: int = 2500) -> pd.DataFrame:
    settings = config(n)
    if kind == "triggers":
        return TriggerGenerator(settings, patients, hcps).generate()
    makers = {
        "treatments": TreatmentGenerator,
        "outcomes": OutcomeGenerator,
        "predictions": PredictionGenerator,
    }
    return makers[kind](settings, patients).generate()


each_linked = pytest.mark.parametrize("kind", ["treatments", "outcomes", "predictions", "triggers"])


@each_linked
def test_linked_rows_are_as_many_as_asked_and_of_the_patients(
    kind: str, hcps: pd.DataFrame, patients: pd.DataFrame
) -> None:
    df = linked(kind, hcps, patients)
    assert len(df) == 2500
    known = patients.set_index("patient_id")
    theirs = known.loc[df["patient_id"]]
    for column in ("hcp_id", "brand", "data_split"):
        assert (df[column].to_numpy() == theirs[column].to_numpy()).all()
    assert df["patient_id"].nunique() > 300
    assert df["patient_id"].value_counts().nunique() > 3


@each_linked
def test_rows_of_nobody_are_refused_and_none_are_given_with_all_columns(
    kind: str, hcps: pd.DataFrame, patients: pd.DataFrame
) -> None:
    late = patients.assign(journey_start_date="2030-01-01")
    with pytest.raises(ValueError, match=r"50 rows of .* no patient .* by 2024-12-31"):
        linked(kind, hcps, late, 50)
    df = linked(kind, hcps, late, 0)
    assert len(df) == 0
    assert list(df) == list(linked(kind, hcps, patients, 50))


@pytest.mark.parametrize("kind", ["treatments", "outcomes"])
def test_only_treated_patients_have_treatments_and_outcomes(
    kind: str, hcps: pd.DataFrame, patients: pd.DataFrame
) -> None:
    treated = set(patients.loc[patients["treatment_initiated"] == 1, "patient_id"])
    assert set(linked(kind, hcps, patients)["patient_id"]) <= treated
    untreated = patients[patients["treatment_initiated"] == 0]
    with pytest.raises(ValueError, match="no patient begins treatment by 2024-12-31"):
        linked(kind, hcps, untreated)
    assert linked(kind, hcps, untreated, 0).empty


def test_treatments_come_days_after_the_start(hcps: pd.DataFrame, patients: pd.DataFrame) -> None:
    df = linked("treatments", hcps, patients)
    start = patients.set_index("patient_id")["journey_start_date"].loc[df["patient_id"]]
    waited = days_of(df["treatment_date"]) - days_of(start)
    room = days_of(pd.Series([date(2024, 12, 31)]))[0] - days_of(start)
    assert (waited <= 30).all()
    assert (waited[room >= 7] >= 7).all()
    assert set(waited[room >= 30]) == set(range(7, 31))
    assert (waited <= room).all()


def test_a_patient_with_a_lost_split_takes_that_of_the_start(patients: pd.DataFrame) -> None:
    df = TreatmentGenerator(config(500), patients.drop(columns="data_split")).generate()
    expected = patients.set_index("patient_id")["data_split"].loc[df["patient_id"]]
    assert (df["data_split"].to_numpy() == expected.to_numpy()).all()


def test_only_the_patients_of_a_brand_are_taken(patients: pd.DataFrame) -> None:
    df = PredictionGenerator(config(200, brand=Brand.KISQALI), patients).generate()
    mine = set(patients.loc[patients["brand"] == "Kisqali", "patient_id"])
    assert set(df["patient_id"]) <= mine
    assert set(df["brand"]) == {"Kisqali"}


def test_missing_columns_of_patients_are_named() -> None:
    with pytest.raises(ValueError, match="patient_journey_id, hcp_id, journey_start_date"):
        TreatmentGenerator(config(5), pd.DataFrame({"patient_id": ["pt_1"]}))


def test_treatments() -> None:
    df = TreatmentGenerator(config(20_000)).generate()
    assert df["treatment_event_id"].str.fullmatch(r"trx_\d{5,}").all()
    assert df["treatment_event_id"].is_unique
    shares = df["treatment_type"].value_counts(normalize=True)
    assert shares.to_dict() == pytest.approx(
        {"prescription": 0.70, "consultation": 0.15, "lab_test": 0.11, "procedure": 0.04}, abs=0.02
    )
    assert set(df["days_supply"]) == set(range(7, 90))
    assert set(df["refill_number"]) == set(range(12))
    assert df["adherence_score"].between(0, 1).all()
    assert df["adherence_score"].mean() == pytest.approx(0.75, abs=0.03)
    assert df["efficacy_score"].mean() == pytest.approx(0.65, abs=0.03)
    assert (df["adherence_score"] == df["adherence_score"].round(2)).all()


def test_engagements() -> None:
    df = EngagementGenerator(config(5000)).generate()
    assert df["engagement_event_id"].str.fullmatch(r"eng_\d{5}").all()
    assert df["rep_id"].str.fullmatch(r"rep_\d{5}").all()
    assert set(df["engagement_type"]) == {kind.value for kind in EngagementTypeEnum}
    assert df["quality_score"].between(0, 10).all()
    assert (df["quality_score"] == df["quality_score"].round(1)).all()
    assert df["duration_minutes"].between(2, 179).all()
    minutes = df.groupby("engagement_type")["duration_minutes"].mean()
    assert minutes["speaker_program"] > minutes["detail_visit"] > minutes["digital"]


def test_engagements_depend_on_the_practice(hcps: pd.DataFrame) -> None:
    df = EngagementGenerator(config(8000), hcps).generate().merge(hcps, on="hcp_id")
    talks = (df["engagement_type"] == "speaker_program").groupby(df["practice_type"]).mean()
    assert talks["academic"] > talks["community"] > talks["private"]
    assert (df["brand_x"] == df["brand_y"]).all()


def test_engagements_take_hcps_of_patients_if_no_others(patients: pd.DataFrame) -> None:
    df = EngagementGenerator(config(500), patient_df=patients).generate()
    assert set(df["hcp_id"]) <= set(patients["hcp_id"])


def test_an_unknown_practice_is_treated_as_a_community_one() -> None:
    hcps = pd.DataFrame({"hcp_id": ["hcp_1"], "practice_type": ["hospital"]})
    df = EngagementGenerator(config(100), hcps).generate()
    assert df["engagement_type"].notna().all()
    assert (df["duration_minutes"] > 0).all()


def test_engagements_without_any_hcp_are_refused() -> None:
    with pytest.raises(ValueError, match="no HCP to engage"):
        EngagementGenerator(config(10), pd.DataFrame({"hcp_id": []}))


def test_outcomes() -> None:
    df = OutcomeGenerator(config(20_000)).generate()
    assert df["outcome_id"].is_unique
    assert (df["outcome_value"] >= 0).all()
    means = df.groupby("outcome_type")["outcome_value"].mean()
    assert means["prescription_written"] == means["treatment_discontinue"] == 0
    assert means["prescription_filled"] == pytest.approx(5000, rel=0.2)
    assert means["treatment_adherent"] == pytest.approx(15_000, rel=0.2)
    assert means["treatment_switch"] == pytest.approx(2500, rel=0.2)


def test_an_outcome_is_worth_more_with_engagement(
    hcps: pd.DataFrame, patients: pd.DataFrame
) -> None:
    df = linked("outcomes", hcps, patients, 20_000)
    filled = df[df["outcome_type"] == "prescription_filled"]
    assert filled["outcome_value"].corr(filled["engagement_at_outcome"]) > 0.1
    assert filled["outcome_value"].corr(filled["disease_severity_at_outcome"]) > 0.1
    own = patients.set_index("patient_id")["engagement_score"].loc[df["patient_id"]]
    assert (own.to_numpy() == df["engagement_at_outcome"].to_numpy()).all()


def test_predictions() -> None:
    df = PredictionGenerator(config(5000)).generate()
    assert df["prediction_id"].str.fullmatch(r"pred_\d{5}").all()
    assert set(df["prediction_type"]) == {
        "propensity",
        "risk",
        "trigger",
        "churn",
        "next_best_action",
    }
    assert df["prediction_value"].between(0, 1).all()
    assert df["confidence_score"].between(0.60, 0.95).all()
    assert ((df["uncertainty"] + df["confidence_score"] - 1).abs() < 0.001).all()
    assert df["model_version"].str.fullmatch(r"v\d+\.\d+").all()


def test_predictions_come_after_the_start(hcps: pd.DataFrame, patients: pd.DataFrame) -> None:
    df = linked("predictions", hcps, patients)
    start = patients.set_index("patient_id")["journey_start_date"].loc[df["patient_id"]]
    assert (df["prediction_date"].to_numpy() >= start.to_numpy()).all()


def test_triggers() -> None:
    df = TriggerGenerator(config(10_000)).generate()
    assert list(df) == TRIGGER_COLUMNS
    assert df["trigger_timestamp"].str.fullmatch(r"\d{4}-\d{2}-\d{2}").all()
    assert df["confidence_score"].between(0.50, 0.99).all()
    assert set(df["lead_time_days"]) == set(range(3, 30))
    lead = days_of(df["expiration_date"]) - days_of(df["trigger_timestamp"])
    assert (lead == df["lead_time_days"]).all()
    assert df["priority"].value_counts(normalize=True).to_dict() == pytest.approx(
        {"critical": 0.10, "high": 0.30, "medium": 0.40, "low": 0.20}, abs=0.02
    )
    assert df["delivery_status"].value_counts(normalize=True).to_dict() == pytest.approx(
        {"pending": 0.10, "delivered": 0.60, "viewed": 0.25, "failed": 0.05}, abs=0.02
    )
    assert df["outcome_tracked"].mean() == pytest.approx(0.4, abs=0.02)
    for column in ("trigger_reason", "recommended_action"):
        assert (df[column].str.len() > 10).all()


def test_an_answer_needs_delivery_and_an_outcome_an_answer() -> None:
    df = TriggerGenerator(config(3000)).generate()
    reached = df["delivery_status"].isin(["delivered", "viewed"])
    assert set(df.loc[~reached, "acceptance_status"]) == {"pending"}
    known = df["outcome_value"].notna()
    assert (known == (df["outcome_tracked"] & (df["acceptance_status"] == "accepted"))).all()
    assert df.loc[known, "outcome_value"].between(0, 1).all()


def test_every_trigger_has_dicts_of_its_own() -> None:
    df = TriggerGenerator(config(200)).generate()
    for column, keys in {
        "causal_chain": {"root_cause", "confidence"},
        "supporting_evidence": {"model_version", "data_sources"},
    }.items():
        assert {type(value) for value in df[column]} == {dict}
        assert all(set(value) == keys for value in df[column])
        assert df[column].map(id).is_unique
    assert df["supporting_evidence"].map(lambda e: id(e["data_sources"])).is_unique


def test_linked_triggers_have_a_time_and_fit_the_patient(
    hcps: pd.DataFrame, patients: pd.DataFrame
) -> None:
    df = linked("triggers", hcps, patients)
    assert df["trigger_timestamp"].str.fullmatch(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}").all()
    treated = patients.set_index("patient_id")["treatment_initiated"].loc[df["patient_id"]]
    kinds = df.groupby(treated.to_numpy())["trigger_type"].unique()
    assert set(kinds[1]) == set(_RETENTION)
    assert set(kinds[0]) == set(_ACQUISITION)


def test_a_trigger_never_comes_after_the_last_midnight(hcps: pd.DataFrame) -> None:
    day = date(2024, 5, 1)
    settings = config(400, start_date=day, end_date=day)
    patients = PatientGenerator(settings, hcps).generate()
    df = TriggerGenerator(settings, patients, hcps).generate()
    assert set(df["trigger_timestamp"]) == {"2024-05-01 00:00:00"}


def test_a_trigger_names_only_hcps_that_exist(patients: pd.DataFrame) -> None:
    few = pd.DataFrame({"hcp_id": ["hcp_00001", "hcp_00002"]})
    df = TriggerGenerator(config(300), patients, few).generate()
    assert set(df["hcp_id"]) == {"hcp_00001", "hcp_00002"}
    with pytest.raises(ValueError, match="hcp_df holds no HCP"):
        TriggerGenerator(config(300), patients, few.iloc[:0])


def test_a_trigger_with_patients_alone_keeps_their_split(patients: pd.DataFrame) -> None:
    df = TriggerGenerator(config(300), patients).generate()
    expected = patients.set_index("patient_id")["data_split"].loc[df["patient_id"]]
    assert (df["data_split"].to_numpy() == expected.to_numpy()).all()
    assert df["trigger_timestamp"].str.len().eq(10).all()


def test_a_trigger_with_hcps_alone_names_them(hcps: pd.DataFrame) -> None:
    df = TriggerGenerator(config(300), hcp_df=hcps.head(5)).generate()
    assert set(df["hcp_id"]) == set(hcps["hcp_id"].head(5))
