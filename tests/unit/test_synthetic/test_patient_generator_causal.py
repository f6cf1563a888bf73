"""patient_journeys: the causal columns, and the effect that is built into them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import ndtr

from src.ml.synthetic.config import DGP_CONFIGS, Brand, DGPType
from src.ml.synthetic.generators import HCPGenerator, PatientGenerator
from src.ml.synthetic.generators.causal_structure import (
    LAG_COLUMNS,
    LAG_WEIGHTS,
    Patients,
    draw_initiation,
    exposure,
    latent_mean,
    risk_difference,
    segments,
    slopes,
)
from src.ml.synthetic.validators import CausalValidator
from src.ml.synthetic.validators.estimation import estimate_effect
from tests.synthetic_data import config

SEEDS = (1, 42, 77)
each_process = pytest.mark.parametrize("dgp", list(DGPType))


def patients(n: int, dgp: DGPType | None = None, seed: int = 42) -> pd.DataFrame:
    return PatientGenerator(config(n, dgp_type=dgp, seed=seed)).generate()


@pytest.fixture(scope="module")
def five_thousand() -> pd.DataFrame:
    return patients(5000, DGPType.CONFOUNDED)


def test_columns(five_thousand: pd.DataFrame) -> None:
    assert list(five_thousand) == [
        "patient_journey_id",
        "patient_id",
        "hcp_id",
        "brand",
        "journey_start_date",
        "data_split",
        "disease_severity",
        "academic_hcp",
        "engagement_score",
        "treatment_initiated",
        "days_to_treatment",
        "geographic_region",
        "insurance_type",
        "age_at_diagnosis",
    ]
    for column, pattern in {
        "patient_journey_id": r"patient_\d{6}",
        "patient_id": r"pt_\d{6}",
        "hcp_id": r"hcp_\d{5}",
        "journey_start_date": r"\d{4}-\d{2}-\d{2}",
    }.items():
        assert five_thousand[column].str.fullmatch(pattern).all()
    assert five_thousand["patient_journey_id"].is_unique
    assert five_thousand["patient_id"].is_unique


@pytest.mark.parametrize("seed", SEEDS)
def test_bounds(seed: int) -> None:
    df = patients(3000, seed=seed)
    assert df["disease_severity"].between(0, 10).all()
    assert df["engagement_score"].between(0, 10).all()
    assert df["age_at_diagnosis"].between(18, 84).all()
    assert df["age_at_diagnosis"].max() > 80
    assert set(df["academic_hcp"]) == set(df["treatment_initiated"]) == {0, 1}


@pytest.mark.parametrize("seed", SEEDS)
def test_distributions(seed: int) -> None:
    df = patients(3000, seed=seed)
    assert 5 < df["engagement_score"].mean() < 10
    assert df["engagement_score"].std() > 0.5
    assert df["engagement_score"].max() - df["engagement_score"].min() > 2.5
    assert 4 < df["disease_severity"].mean() < 6
    assert 0.20 < df["academic_hcp"].mean() < 0.40
    assert (df["insurance_type"] == "commercial").mean() == pytest.approx(0.60, abs=0.05)
    assert patients(100, seed=seed)["engagement_score"].nunique() > 10


@pytest.mark.parametrize("seed", SEEDS)
def test_splits_follow_time(seed: int) -> None:
    df = patients(2000, seed=seed)
    shares = df["data_split"].value_counts(normalize=True)
    assert 0.55 < shares["train"] < 0.85
    assert 0.05 < shares["validation"] < 0.25
    assert 0.05 < shares["test"] < 0.25
    last = df.groupby("data_split")["journey_start_date"].max()
    first = df.groupby("data_split")["journey_start_date"].min()
    assert last["train"] < first["validation"] <= last["validation"] < first["test"]
    small = patients(500, seed=seed)["data_split"].value_counts(normalize=True)
    assert len(small) == 4
    assert small["train"] > 0.5


def test_days_to_treatment_are_whole_and_only_of_the_treated(five_thousand: pd.DataFrame) -> None:
    days, treated = five_thousand["days_to_treatment"], five_thousand["treatment_initiated"] == 1
    assert str(days.dtype) == "Int64"
    assert days[treated].between(7, 89).all()
    assert days[~treated].isna().all()


def test_the_frame_tells_its_truth(five_thousand: pd.DataFrame) -> None:
    attrs = five_thousand.attrs
    assert (attrs["true_ate"], attrs["dgp_type"]) == (0.25, "confounded")
    assert attrs["confounders"] == ["disease_severity", "academic_hcp"]
    assert 0 < attrs["true_risk_difference"] < 0.25


def test_without_a_process_it_is_the_confounded_one() -> None:
    df = patients(100)
    assert df.attrs["dgp_type"] == "confounded"
    pd.testing.assert_frame_equal(df, patients(100, DGPType.CONFOUNDED))


def test_engagement_and_severity_drive_treatment(five_thousand: pd.DataFrame) -> None:
    df = five_thousand
    e, y, s = df["engagement_score"], df["treatment_initiated"], df["disease_severity"]
    found = stats.pearsonr(e, y)
    assert found.statistic > 0
    assert found.pvalue < 0.05
    assert s.corr(e) > 0
    assert s.corr(y.astype(float)) > 0
    assert y[s > 7].mean() > y[s < 3].mean()
    assert e[df["academic_hcp"] == 1].mean() > e[df["academic_hcp"] == 0].mean()
    assert y[e > e.median()].mean() > y[e <= e.median()].mean()


@each_process
@pytest.mark.parametrize("seed", SEEDS)
def test_between_three_and_seven_of_ten_begin_treatment(dgp: DGPType, seed: int) -> None:
    assert 0.30 < patients(5000, dgp, seed)["treatment_initiated"].mean() < 0.70


@each_process
@pytest.mark.parametrize("seed", range(1, 5))
def test_a_small_load_tells_the_slope_within_a_standard_error(dgp: DGPType, seed: int) -> None:
    df = patients(2500, dgp, seed)
    truth = DGP_CONFIGS[dgp]
    found = estimate_effect(df, dgp, confounders=truth.confounders)
    assert abs(found.slope - truth.true_ate) < found.standard_error
    low, high = found.interval
    assert low < truth.true_ate < high
    assert high - low == pytest.approx(2 * 1.96 * found.standard_error, rel=1e-3)
    assert found.risk_difference == pytest.approx(df.attrs["true_risk_difference"], rel=0.3)
    assert df.attrs["true_ate"] == truth.true_ate


def test_shared_out_chance_leaves_every_patients_probability_as_it_is() -> None:
    size = 60
    rng = np.random.default_rng(5)
    severity, academic = rng.uniform(0, 10, size), (rng.random(size) < 0.3).astype(float)
    days = np.zeros(size, dtype=np.int64)
    people = Patients(severity, academic, rng.uniform(0, 10, (size, 1)), days)
    chance = ndtr(latent_mean(DGPType.CONFOUNDED, people))
    draws = [draw_initiation(np.random.default_rng(n), chance, people) for n in range(2000)]
    assert set(np.unique(draws)) == {0, 1}
    assert np.abs(np.mean(draws, axis=0) - chance).max() < 0.05
    # in all of them together there is hardly any chance left
    assert np.abs(np.sum(draws, axis=1) - chance.sum()).max() < 1.0


@pytest.mark.parametrize("dgp", [DGPType.CONFOUNDED, DGPType.SELECTION_BIAS])
def test_without_adjustment_the_estimate_is_far_off(dgp: DGPType) -> None:
    df = patients(50_000, dgp)
    naive = estimate_effect(df, DGPType.SIMPLE_LINEAR).slope
    assert naive - DGP_CONFIGS[dgp].true_ate > 0.4


def test_in_the_simple_process_nothing_confounds() -> None:
    df = patients(20_000, DGPType.SIMPLE_LINEAR)
    assert abs(df["engagement_score"].corr(df["disease_severity"])) < 0.03
    assert abs(df["engagement_score"].corr(df["academic_hcp"].astype(float))) < 0.03
    assert stats.kstest(df["engagement_score"] / 10, "uniform").statistic < 0.02


@each_process
def test_shuffled_rows_give_the_same_estimate(dgp: DGPType) -> None:
    df = patients(20_000, dgp)
    confounders = DGP_CONFIGS[dgp].confounders
    first = estimate_effect(df, dgp, confounders=confounders)
    again = estimate_effect(df.sample(frac=1, random_state=3), dgp, confounders=confounders)
    assert again.slope == pytest.approx(first.slope, abs=1e-6)


def test_slopes_by_severity_segment() -> None:
    severity = np.array([0.0, 4.0, 4.01, 7.0, 7.01, 10.0])
    assert segments(severity).tolist() == [0, 0, 1, 1, 2, 2]
    assert slopes(DGPType.HETEROGENEOUS, severity).tolist() == [0.15, 0.15, 0.3, 0.3, 0.5, 0.5]
    assert set(slopes(DGPType.CONFOUNDED, severity)) == {0.25}


def test_the_mean_slope_over_severity_is_near_the_stored_one() -> None:
    severity = patients(100_000)["disease_severity"].to_numpy()
    assert slopes(DGPType.HETEROGENEOUS, severity).mean() == pytest.approx(0.285, abs=0.005)


def test_a_time_series_keeps_its_lags() -> None:
    df = patients(2000, DGPType.TIME_SERIES)
    assert set(LAG_COLUMNS) <= set(df)
    assert sum(LAG_WEIGHTS) == pytest.approx(1)
    now, before = df["engagement_score"], df[LAG_COLUMNS[0]]
    assert 0.3 < now.corr(before) < 0.99
    both = exposure(df[["engagement_score", *LAG_COLUMNS]].to_numpy())
    assert both[0] == pytest.approx(0.5 * now[0] + 0.3 * before[0] + 0.2 * df[LAG_COLUMNS[1]][0])


def test_one_more_point_raises_the_latent_outcome_by_the_slope() -> None:
    one = np.array([5.0])
    day = np.zeros(1, dtype=np.int64)
    base = Patients(one, np.array([0.0]), np.array([[6.0]]), day)
    more = Patients(one, np.array([0.0]), np.array([[7.0]]), day)
    for dgp in (DGPType.SIMPLE_LINEAR, DGPType.CONFOUNDED, DGPType.SELECTION_BIAS):
        step = latent_mean(dgp, more) - latent_mean(dgp, base)
        assert step == pytest.approx(DGP_CONFIGS[dgp].true_ate)


def test_the_risk_difference_is_that_of_the_potential_outcomes() -> None:
    rng = np.random.default_rng(5)
    n = 400_000
    group = Patients(
        rng.normal(5, 2, n).clip(0, 10),
        (rng.random(n) < 0.3).astype(float),
        rng.uniform(5, 10, (n, 1)),
        np.zeros(n, dtype=np.int64),
    )
    mean = latent_mean(DGPType.CONFOUNDED, group)
    latent = mean + rng.standard_normal(n)
    simulated = (latent + 0.25 > 0).mean() - (latent > 0).mean()
    found = risk_difference(DGPType.CONFOUNDED, group, mean, ndtr(mean))
    assert found == pytest.approx(simulated, abs=0.003)


@pytest.fixture(scope="module")
def hcps() -> pd.DataFrame:
    return HCPGenerator(config(500)).generate()


def test_patients_take_flag_and_brand_of_their_hcp(hcps: pd.DataFrame) -> None:
    df = PatientGenerator(config(2000), hcps).generate()
    both = df.merge(hcps, on="hcp_id", suffixes=("", "_hcp"))
    assert len(both) == 2000
    assert (both["academic_hcp"] == both["academic_hcp_hcp"]).all()
    assert (both["brand"] == both["brand_hcp"]).all()
    assert 0.2 < df["academic_hcp"].mean() < 0.4
    assert df["hcp_id"].nunique() > 400


def test_where_no_hcp_is_academic_no_patient_is() -> None:
    hcps = pd.DataFrame({"hcp_id": ["hcp_1", "hcp_2"], "academic_hcp": [0, 0]})
    df = PatientGenerator(config(200), hcps).generate()
    assert set(df["academic_hcp"]) == {0}
    assert set(df["hcp_id"]) == {"hcp_1", "hcp_2"}


def test_hcps_of_another_brand_are_better_than_none(hcps: pd.DataFrame) -> None:
    others = hcps[hcps["brand"] == "Kisqali"]
    df = PatientGenerator(config(200, brand=Brand.FABHALTA), others).generate()
    assert set(df["hcp_id"]) <= set(others["hcp_id"])
    assert set(df["brand"]) == {"Fabhalta"}


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"hcp_id": ["hcp_1"]}), "hcp_df lacks the columns academic_hcp"),
        (pd.DataFrame({"hcp_id": [], "academic_hcp": []}), "no HCP"),
    ],
)
def test_unusable_hcps_are_refused(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PatientGenerator(config(10), frame)


def test_placeholder_hcps_come_from_a_pool() -> None:
    assert patients(300)["hcp_id"].nunique() <= 100
    assert 300 < patients(5000)["hcp_id"].nunique() <= 500
    assert (patients(5000).groupby("hcp_id")["academic_hcp"].nunique() == 1).all()


def test_the_validator_agrees_with_the_frame() -> None:
    result = CausalValidator().validate_dgp(patients(50_000), DGPType.CONFOUNDED)
    assert result.is_valid
    assert result.refutation_pass_rate == 1
