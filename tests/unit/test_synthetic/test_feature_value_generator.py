"""The feature store: groups, features, and values with unique keys and dense windows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from src.ml.synthetic.config import BRANDS, REGIONS, Brand
from src.ml.synthetic.generators import (
    FeatureStoreSeeder,
    FeatureValueGenerator,
    PatientGenerator,
    PlantedDrift,
)
from src.ml.synthetic.generators.event_times import event_times, microseconds
from src.ml.synthetic.generators.feature_catalogue import FEATURES, GROUPS
from src.ml.synthetic.generators.feature_ids import canonical, text_hashes, value_ids
from tests.synthetic_data import config

AS_OF = datetime(2024, 12, 31)
RANGES = {
    "years_experience": (1, 45, int),
    "academic_flag": (0, 1, int),
    "patient_volume_monthly": (20, 300, int),
    "disease_severity": (0, 10, float),
    "age_at_diagnosis": (18, 85, int),
    "comorbidity_count": (0, 8, int),
    "prior_treatment_count": (0, 5, int),
    "trx_30d": (500, 15_000, int),
    "nrx_30d": (100, 3000, int),
    "conversion_rate": (0, 1, float),
    "engagement_score": (0, 10, float),
    "treatment_propensity": (0, 1, float),
    "outcome_probability": (0, 1, float),
}
FEATURE_FRAME = FeatureStoreSeeder().generate()
NAMES = dict(zip(FEATURE_FRAME["id"], FEATURE_FRAME["name"], strict=True))


def values(n: int = 1000, **options: object) -> pd.DataFrame:
    keywords = {k: options.pop(k) for k in ("as_of", "drift", "patient_df") if k in options}
    made = FeatureValueGenerator(config(n, **options), FEATURE_FRAME, **keywords).generate()
    return made.assign(feature=made["feature_id"].map(NAMES))


def raw(df: pd.DataFrame, feature: str) -> list[object]:
    return [v["value"] for v in df.loc[df["feature"] == feature, "value"]]


@pytest.fixture(scope="module")
def thousand() -> pd.DataFrame:
    return values(as_of=AS_OF)


@pytest.fixture(scope="module")
def patients() -> pd.DataFrame:
    return PatientGenerator(config(400)).generate()


def test_the_seeder_makes_four_groups() -> None:
    groups, features = FeatureStoreSeeder().seed()
    assert list(groups) == [
        "id",
        "name",
        "description",
        "owner",
        "tags",
        "source_table",
        "expected_update_frequency_hours",
        "max_age_hours",
    ]
    rows = groups[["name", "owner", "source_table"]].itertuples(index=False, name=None)
    assert list(rows) == [
        ("hcp_demographics", "data-team", "hcp_profiles"),
        ("patient_features", "data-team", "patient_journeys"),
        ("brand_performance", "analytics-team", "business_metrics"),
        ("causal_features", "ml-team", "patient_journeys"),
    ]
    assert groups["expected_update_frequency_hours"].tolist() == [168, 24, 24, 24]
    assert groups["max_age_hours"].tolist() == [720, 168, 168, 72]
    assert set(features["feature_group_id"]) == set(groups["id"])


def test_the_seeder_makes_fifteen_features() -> None:
    features = FeatureStoreSeeder().generate()
    assert list(features) == [
        "id",
        "feature_group_id",
        "name",
        "description",
        "value_type",
        "entity_keys",
        "owner",
        "tags",
        "drift_threshold",
    ]
    assert features.groupby("feature_group_id").size().tolist().count(3) == 2
    assert len(features) == 15 == features["id"].nunique()
    types = features.set_index("name")["value_type"]
    assert types[["specialty_encoded", "insurance_tier"]].tolist() == ["string"] * 2
    assert (types == "int64").sum() == 8
    thresholds = features.set_index("name")["drift_threshold"]
    assert thresholds["engagement_score"] == 0.08
    assert (thresholds["trx_30d"], thresholds["academic_flag"]) == (0.20, 0.05)
    keys = features.set_index("name")["entity_keys"]
    assert keys["trx_30d"] == ["brand", "region"]
    assert keys["academic_flag"] == ["hcp_id"]


def test_store_ids_are_uuids_that_never_change() -> None:
    ids = FeatureStoreSeeder(config(15, seed=9)).get_feature_ids()
    assert ids == FeatureStoreSeeder().get_feature_ids()
    assert list(ids) == list(FEATURES)
    assert ids["engagement_score"] == "7db71555-8a9e-5658-906a-92dcd414a7f3"
    assert all(UUID(id_).version == 5 for id_ in ids.values())


def test_lists_of_one_frame_are_not_shared_with_another() -> None:
    first, second = FeatureStoreSeeder().generate(), FeatureStoreSeeder().generate()
    first["entity_keys"].iloc[0].append("x")
    assert second["entity_keys"].iloc[0] == ["hcp_id"]


def test_without_features_nothing_can_be_made() -> None:
    generator = FeatureValueGenerator(config(100), FEATURE_FRAME.iloc[:0])
    with pytest.raises(ValueError, match="features_df is required"):
        generator.generate()


def test_the_features_are_those_of_the_store_unless_given() -> None:
    """As the plan calls it: `FeatureValueGenerator(GeneratorConfig(n_records=100)).generate()`."""
    found = FeatureValueGenerator(config(100)).generate()
    assert len(found) == 100
    expected = FeatureValueGenerator(config(100), FEATURE_FRAME).generate()
    pd.testing.assert_frame_equal(found, expected)


def test_an_unknown_feature_is_named() -> None:
    strange = FEATURE_FRAME.iloc[:1].assign(name="shoe_size")
    with pytest.raises(ValueError, match="unknown feature 'shoe_size'"):
        FeatureValueGenerator(config(100), strange).generate()


def test_columns_and_plain_types(thousand: pd.DataFrame) -> None:
    assert list(thousand)[:-1] == [
        "id",
        "feature_id",
        "entity_values",
        "value",
        "event_timestamp",
        "freshness_status",
    ]
    assert {type(e) for e in thousand["entity_values"]} == {dict}
    assert {type(v) for v in thousand["value"]} == {dict}
    assert {type(v["value"]) for v in thousand["value"]} == {str, int, float}
    assert {frozenset(v) for v in thousand["value"]} == {frozenset({"value"})}


@pytest.mark.parametrize("n", [0, 14, 15, 100, 1000, 5000])
def test_a_size_is_given_and_features_share_it(n: int) -> None:
    df = values(n, as_of=AS_OF)
    assert len(df) == n
    assert set(df["feature"].value_counts()) <= {n // 15, n // 15 + 1}
    assert df["feature"].nunique() == min(n, 15)


@pytest.mark.parametrize(("feature", "limits"), RANGES.items())
def test_numbers_keep_their_range(
    thousand: pd.DataFrame, feature: str, limits: tuple[int, int, type]
) -> None:
    low, high, kind = limits
    found = raw(thousand, feature)
    assert {type(v) for v in found} == {kind}
    assert all(low <= v <= high for v in found)  # type: ignore[operator]
    assert len(set(found)) > 1


def test_distributions() -> None:
    df = values(30_000, as_of=AS_OF)
    assert np.mean(raw(df, "engagement_score")) == pytest.approx(5.5, abs=0.15)
    assert np.std(raw(df, "engagement_score")) == pytest.approx(2, abs=0.15)
    assert np.mean(raw(df, "treatment_propensity")) == pytest.approx(0.35, abs=0.02)
    assert np.mean(raw(df, "outcome_probability")) == pytest.approx(0.65, abs=0.02)
    assert np.mean(raw(df, "conversion_rate")) == pytest.approx(0.15, abs=0.02)
    assert np.mean(raw(df, "academic_flag")) == pytest.approx(0.30, abs=0.04)
    tiers = pd.Series(raw(df, "insurance_tier")).value_counts(normalize=True)
    assert tiers.to_dict() == pytest.approx({"high": 0.3, "medium": 0.5, "low": 0.2}, abs=0.04)
    assert len(set(raw(df, "specialty_encoded"))) == 5


def test_every_entity_has_the_keys_of_its_feature(thousand: pd.DataFrame) -> None:
    keys = dict(zip(FEATURE_FRAME["id"], map(set, FEATURE_FRAME["entity_keys"]), strict=True))
    pairs = zip(thousand["feature_id"], thousand["entity_values"], strict=True)
    assert all(set(entity) == keys[feature] for feature, entity in pairs)
    found = pd.DataFrame(thousand["entity_values"].tolist())
    assert found["hcp_id"].dropna().str.fullmatch(r"hcp_\d+").all()
    assert found["patient_id"].dropna().str.fullmatch(r"pt_\d+").all()
    assert set(found["brand"].dropna()) == set(BRANDS)
    assert set(found["region"].dropna()) == set(REGIONS)


def test_one_brand_alone() -> None:
    df = values(brand=Brand.KISQALI, as_of=AS_OF)
    assert {e["brand"] for e in df["entity_values"] if "brand" in e} == {"Kisqali"}


def test_values_agree_with_the_patients(patients: pd.DataFrame) -> None:
    df = values(3000, patient_df=patients, as_of=AS_OF)
    known = patients.set_index("patient_id")
    for feature in ("engagement_score", "disease_severity", "age_at_diagnosis"):
        rows = df[df["feature"] == feature]
        own = known.loc[[e["patient_id"] for e in rows["entity_values"]], feature]
        assert [v["value"] for v in rows["value"]] == own.tolist()
    entities = pd.DataFrame(df["entity_values"].tolist())
    assert set(entities["patient_id"].dropna()) <= set(patients["patient_id"])
    assert set(entities["hcp_id"].dropna()) <= set(patients["hcp_id"])


def test_patients_need_no_more_than_ids() -> None:
    df = values(150, patient_df=pd.DataFrame({"patient_id": ["pt_9"]}), as_of=AS_OF)
    assert {e["patient_id"] for e in df["entity_values"] if "patient_id" in e} == {"pt_9"}


@pytest.mark.parametrize(
    "frame", [pd.DataFrame({"id": ["pt_1"]}), pd.DataFrame({"patient_id": []})]
)
def test_unusable_patients_are_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="patient_df"):
        values(150, patient_df=frame)


def test_timestamps_are_naive_ascend_and_stay_inside(thousand: pd.DataFrame) -> None:
    moments = thousand["event_timestamp"].map(datetime.fromisoformat)
    assert moments.map(lambda m: m.tzinfo is None).all()
    assert moments.min() >= datetime(2022, 1, 1)
    assert moments.max() <= datetime(2024, 12, 31)
    for _, one in moments.groupby(thousand["feature_id"]):
        assert one.is_monotonic_increasing
        assert one.is_unique


def test_timestamps_are_denser_towards_the_end() -> None:
    df = values(start_date=date(2024, 1, 1), end_date=date(2024, 12, 31), as_of=AS_OF)
    assert df["event_timestamp"].sort_values().iloc[len(df) // 2] > "2024-07-01"


@pytest.mark.parametrize("seed", [1, 42])
@pytest.mark.parametrize(("n", "least"), [(5000, 30), (50_000, 200)])
def test_every_week_of_the_last_two_is_dense(n: int, least: int, seed: int) -> None:
    df = values(n, as_of=AS_OF, seed=seed)
    moments = pd.to_datetime(df["event_timestamp"])
    end = moments.max()
    for first in range(8):
        low, high = end - timedelta(days=first + 7), end - timedelta(days=first)
        inside = df[(moments > low) & (moments <= high)]
        assert inside.groupby("feature_id").size().min() >= least


def test_natural_keys_are_unique_where_entities_are_few() -> None:
    df = values(60_000, start_date=date(2024, 12, 30), as_of=AS_OF, brand=Brand.KISQALI)
    keys = list(
        zip(df["feature_id"], df["entity_values"].map(str), df["event_timestamp"], strict=True)
    )
    assert len(set(keys)) == len(df) == df["id"].nunique()


@given(st.integers(0, 300), st.integers(0, 400), st.integers(0, 20))
def test_timestamps_differ_even_in_a_range_of_microseconds(size: int, room: int, seed: int) -> None:
    end = size + room
    found = event_times(np.random.default_rng(seed), size, 0, end)
    assert len(set(found.tolist())) == size
    assert ((found >= 0) & (found <= end)).all()


def test_more_values_than_microseconds_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        event_times(np.random.default_rng(0), 12, 0, 10)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2024, 6, 1),
        date(2024, 6, 1),
        datetime(2024, 6, 1, tzinfo=UTC),
        datetime(2024, 6, 1, 2, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_as_of_bounds_the_timestamps(moment: datetime) -> None:
    df = values(as_of=moment)
    assert df["event_timestamp"].max() <= "2024-06-01T00:00:00.000000"
    assert microseconds(moment) == 1_717_200_000_000_000


def test_as_of_judges_freshness(thousand: pd.DataFrame) -> None:
    age = AS_OF - pd.to_datetime(thousand["event_timestamp"])
    expected = np.where(
        age < timedelta(hours=24), "fresh", np.where(age < timedelta(hours=168), "stale", "expired")
    )
    assert (thousand["freshness_status"] == expected).all()
    assert set(expected) == {"fresh", "stale", "expired"}


def test_without_as_of_freshness_is_judged_by_the_clock() -> None:
    assert set(values()["freshness_status"]) == {"expired"}
    today = datetime.now().date()
    new = values(start_date=today - timedelta(days=2), end_date=today)
    assert "fresh" in set(new["freshness_status"])


def test_no_timestamp_lies_in_the_future() -> None:
    today = datetime.now().date()
    df = values(start_date=today - timedelta(days=40), end_date=today)
    assert df["event_timestamp"].max() <= datetime.now().isoformat()


def test_ids_are_the_same_again_and_other_for_other_rows(thousand: pd.DataFrame) -> None:
    assert thousand["id"].str.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").all()
    pd.testing.assert_frame_equal(thousand, values(as_of=AS_OF))
    assert not set(thousand["id"]) & set(values(as_of=AS_OF, seed=1)["id"])


@given(st.lists(st.text(max_size=8), min_size=2, max_size=20, unique=True))
def test_ids_depend_on_feature_entity_and_time(texts: list[str]) -> None:
    words = text_hashes(texts)
    times = np.zeros(len(texts), dtype=np.int64)
    ids = value_ids(words[0], words, times)
    assert len(set(ids)) == len(texts)
    assert not set(ids) & set(value_ids(words[1], words, times))
    assert not set(ids) & set(value_ids(words[0], words, times + 1))


def test_an_entity_is_written_in_one_way_only() -> None:
    columns = {"region": np.array(["west"], dtype=object), "brand": np.array(['K"'], dtype=object)}
    assert canonical(columns) == ['{"brand":"K\\"","region":"west"}']


def test_a_planted_drift_moves_one_feature_from_its_start() -> None:
    start = datetime(2024, 12, 24)
    drift = PlantedDrift("engagement_score", start, 1.0)
    plain, moved = values(15_000, as_of=AS_OF), values(15_000, as_of=AS_OF, drift=drift)
    same = (plain["value"] == moved["value"]) | (plain["feature"] == "engagement_score")
    assert same.all()
    late = pd.to_datetime(plain["event_timestamp"]) >= start
    mine = plain["feature"] == "engagement_score"
    before = pd.Series([v["value"] for v in plain.loc[mine & late, "value"]])
    after = pd.Series([v["value"] for v in moved.loc[mine & late, "value"]])
    assert ((after - (before + 2).clip(upper=10)).abs() < 1e-9).all()
    assert (plain.loc[mine & ~late, "value"] == moved.loc[mine & ~late, "value"]).all()


def test_a_planted_drift_of_shares() -> None:
    drift = PlantedDrift("insurance_tier", datetime(2024, 12, 1), 0.5)
    df = values(15_000, as_of=AS_OF, drift=drift)
    rows = df[(df["feature"] == "insurance_tier") & (df["event_timestamp"] > "2024-12-02")]
    low = np.mean([v["value"] == "low" for v in rows["value"]])
    assert low == pytest.approx(0.6, abs=0.08)


def test_without_drift_two_weeks_look_alike(patients: pd.DataFrame) -> None:
    df = values(50_000, as_of=AS_OF, patient_df=patients)
    moments = pd.to_datetime(df["event_timestamp"])
    week = moments > AS_OF - timedelta(days=7)
    before = (moments > AS_OF - timedelta(days=14)) & ~week
    numeric = [name for name in RANGES if name != "academic_flag"]
    p = [stats.ks_2samp(raw(df[week], name), raw(df[before], name)).pvalue for name in numeric]
    assert min(p) > 0.001


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 400), st.integers(10, 120))
def test_batches_put_together_are_the_whole(n: int, size: int) -> None:
    generator = FeatureValueGenerator(config(n, batch_size=size), FEATURE_FRAME, as_of=AS_OF)
    frames = list(generator.generate_batched())
    assert len(frames) == -(-n // size)
    joined = [row for frame in frames for row in frame.to_dict("records")]
    assert joined == generator.generate().to_dict("records")


def test_the_columnar_form_holds_the_same(patients: pd.DataFrame) -> None:
    generator = FeatureValueGenerator(config(600), FEATURE_FRAME, patients, as_of=AS_OF)
    rows, flat = generator.generate(), generator.generate_columnar()
    assert flat["id"].tolist() == rows["id"].tolist()
    entities = pd.DataFrame(rows["entity_values"].tolist())
    for key in entities:
        assert flat[key].dropna().tolist() == entities[key].dropna().tolist()
    numbers = flat["number"].where(flat["text"].isna(), flat["text"])
    assert numbers.tolist() == [v["value"] for v in rows["value"]]
    assert (flat["event_timestamp"] == pd.to_datetime(rows["event_timestamp"])).all()
    assert flat["freshness_status"].tolist() == rows["freshness_status"].tolist()


def test_the_catalogue_has_each_feature_once() -> None:
    assert sum(len(group.features) for group in GROUPS) == len(FEATURES) == 15


def test_a_million_values_keep_their_keys() -> None:
    generator = FeatureValueGenerator(config(1_000_000), FEATURE_FRAME, as_of=AS_OF)
    flat = generator.generate_columnar()
    assert len(flat) == 1_000_000
    assert flat["id"].is_unique
    assert not flat.duplicated(["feature_id", "event_timestamp"]).any()
