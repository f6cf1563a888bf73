"""business_metrics: one row for each date, brand, region and metric, and changes that agree."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.ml.synthetic.config import BRANDS, REGIONS, Brand
from src.ml.synthetic.generators import BusinessMetricsGenerator
from src.ml.synthetic.generators.metric_dates import earlier_places, metric_days, shifted
from tests.synthetic_data import config

COLUMNS = [
    "metric_id",
    "metric_date",
    "metric_type",
    "metric_name",
    "brand",
    "region",
    "value",
    "target",
    "achievement_rate",
    "year_over_year_change",
    "month_over_month_change",
    "roi",
    "statistical_significance",
    "confidence_interval_lower",
    "confidence_interval_upper",
    "sample_size",
    "data_split",
]
NAMES = {
    "trx": "Total Prescriptions",
    "nrx": "New Prescriptions",
    "market_share": "Market Share Percentage",
    "conversion_rate": "HCP Conversion Rate",
    "hcp_engagement_score": "HCP Engagement Score (0-10)",
}
#: what one brand has alone
OWN = {
    "adherence": ("Fabhalta", "Treatment Adherence Rate"),
    "os_rate": ("Kisqali", "Overall Survival Rate"),
}
KEY = ["metric_date", "metric_type", "brand", "region"]
SHORT = {"start_date": date(2024, 1, 5), "end_date": date(2024, 1, 20)}
YEAR = {"start_date": date(2024, 1, 1), "end_date": date(2024, 12, 31)}


def metrics(n: int, **settings: object) -> pd.DataFrame:
    return BusinessMetricsGenerator(config(n, **settings)).generate()


@pytest.fixture(scope="module")
def two_thousand() -> pd.DataFrame:
    return metrics(2000)


def test_columns_in_their_order(two_thousand: pd.DataFrame) -> None:
    assert list(two_thousand) == COLUMNS
    assert not two_thousand.isna().any(axis=None)
    assert two_thousand["metric_id"].str.fullmatch(r"metric_[0-9a-f]{12}").all()
    assert str(two_thousand["sample_size"].dtype) == "int64"


def test_every_brand_and_region_has_every_metric(two_thousand: pd.DataFrame) -> None:
    found = set(two_thousand[["brand", "region", "metric_type"]].itertuples(index=False, name=None))
    own = {(brand, region, key) for key, (brand, _) in OWN.items() for region in REGIONS}
    assert found == set(product(BRANDS, REGIONS, NAMES)) | own
    names = dict(zip(two_thousand["metric_type"], two_thousand["metric_name"], strict=True))
    assert names == NAMES | {key: name for key, (_, name) in OWN.items()}


@pytest.mark.parametrize("brand", [None, *Brand])
@pytest.mark.parametrize("asked", [0, 1, 19, 20, 67, 68, 69, 100, 500, 1000, 10_000])
def test_a_size_is_given_and_only_the_oldest_date_is_cut(asked: int, brand: Brand | None) -> None:
    df = metrics(asked, brand=brand)
    assert len(df) == asked
    assert list(df) == COLUMNS
    width = {None: 68, Brand.REMIBRUTINIB: 20}.get(brand, 24)
    a_date = df["metric_date"].value_counts().sort_index().tolist()
    assert a_date[1:] == [width] * (len(a_date) - 1)
    assert set(df["brand"]) <= ({brand.value} if brand else set(BRANDS))
    parts = list(
        BusinessMetricsGenerator(config(asked, brand=brand, batch_size=77)).generate_batched()
    )
    assert sum(len(part) for part in parts) == asked


def test_a_size_that_the_range_cannot_hold_is_refused() -> None:
    assert len(metrics(16 * 68, **SHORT)) == 16 * 68
    with pytest.raises(ValueError, match="2024-01-05 to 2024-01-20 hold at most 1088, 68 a day"):
        metrics(16 * 68 + 1, **SHORT)


def test_dates_are_the_last_firsts_of_months() -> None:
    days = sorted(set(metrics(1000)["metric_date"]))
    assert (days[0], days[-1], len(days)) == ("2023-10-01", "2024-12-01", 15)
    assert all(day.endswith("-01") for day in days)
    assert len({day[:7] for day in days}) == 15


def test_a_range_with_too_few_months_gets_evenly_spaced_days() -> None:
    df = metrics(1000, **YEAR)
    days = sorted(set(df["metric_date"]))
    assert (len(df), len(days), days[0], days[-1]) == (1000, 15, "2024-01-01", "2024-12-31")
    assert len({day[:7] for day in days}) >= 6
    gaps = np.diff(np.array(days, dtype="datetime64[D]").astype(int))
    assert set(gaps) == {26, 27}


def test_one_date_in_a_range_without_a_first_of_a_month() -> None:
    assert set(metrics(60, **SHORT)["metric_date"]) == {"2024-01-20"}


@given(st.dates(date(2000, 1, 1), date(2030, 1, 1)), st.integers(0, 4000), st.integers(1, 400))
def test_metric_days_ascend_inside_the_range(start: date, length: int, count: int) -> None:
    end = start + timedelta(days=length)
    days, _ = metric_days(start, end, count)
    texts = days.astype("datetime64[D]").astype(object).tolist()
    assert start <= texts[0] <= texts[-1] <= end
    assert len(texts) == min(count, length + 1)
    assert (np.diff(days) > 0).all()


@given(st.dates(date(2000, 1, 1), date(2030, 12, 31)), st.integers(1, 24))
def test_a_shift_is_that_of_the_calendar(day: date, months: int) -> None:
    moved = shifted(np.array([np.datetime64(day).astype("datetime64[D]").astype(int)]), months)
    expected = (pd.Timestamp(day) - pd.DateOffset(months=months)).date()
    assert moved.astype("datetime64[D]").astype(object)[0] == expected


@given(st.sets(st.integers(0, 500), min_size=2, max_size=60), st.integers(1, 12))
def test_the_nearest_earlier_date_is_found(points: set[int], months: int) -> None:
    grid = np.array(sorted(points), dtype=np.int64)
    wanted = shifted(grid, months)
    found = grid[earlier_places(grid, grid, months)]
    best = np.abs(grid[None, :] - wanted[:, None]).min(axis=1)
    assert (np.abs(found - wanted) == best).all()


@pytest.mark.parametrize("seed", [1, 42, 99])
@pytest.mark.parametrize(
    ("n", "period"), [(500, {}), (1000, {}), (10_000, {}), (1000, YEAR), (1000, SHORT)]
)
def test_limits(seed: int, n: int, period: dict[str, date]) -> None:
    df = metrics(n, seed=seed, **period)
    assert (df["value"] >= 0).all()
    assert (df["target"] > 0).all()
    assert df["achievement_rate"].between(0, 2.5).all()
    assert df["month_over_month_change"].between(-0.5, 0.5).all()
    assert df["year_over_year_change"].between(-1, 1.5).all()
    assert df["roi"].between(0, 15).all()
    assert df["statistical_significance"].between(0, 0.15).all()
    assert df["sample_size"].between(500, 4999).all()
    assert (df["confidence_interval_lower"] <= df["value"]).all()
    assert (df["value"] <= df["confidence_interval_upper"]).all()
    assert not df.duplicated(KEY).any()
    assert df["metric_id"].is_unique


@pytest.mark.parametrize("seed", [1, 42, 99])
@pytest.mark.parametrize("rows", [1156, 11_560])
def test_levels(seed: int, rows: int) -> None:
    df = metrics(rows, seed=seed)
    months = df["metric_date"].str[:7]
    ranges = {
        ("trx", "Remibrutinib"): (5_000, 50_000),
        ("trx", "Fabhalta"): (2_000, 20_000),
        ("trx", "Kisqali"): (10_000, 100_000),
    }
    for (metric, brand), (low, high) in ranges.items():
        # as a reader adds up: all regions and dates of a month
        own = (df["metric_type"] == metric) & (df["brand"] == brand)
        values = df[own].groupby(months[own])["value"].sum()
        assert values.between(low, high).all()
        assert values.mean() == pytest.approx((low + high) / 2, rel=0.1)
    by_metric = df.groupby("metric_type")["value"]
    assert by_metric.max()["hcp_engagement_score"] <= 10
    assert by_metric.max()[["market_share", "conversion_rate"]].max() < 1
    assert by_metric.mean()["nrx"] == pytest.approx(by_metric.mean()["trx"] / 5, rel=0.05)
    share = df[df["metric_type"] == "market_share"].groupby("brand")["value"].mean()
    assert share["Kisqali"] > share["Remibrutinib"] > share["Fabhalta"]


def test_achievement_is_value_by_target(two_thousand: pd.DataFrame) -> None:
    ratio = two_thousand["value"] / two_thousand["target"]
    assert ((ratio - two_thousand["achievement_rate"]).abs() < 0.015).all()
    assert (ratio < 1).mean() == pytest.approx(0.8, abs=0.06)


def test_rates_keep_four_decimals_and_counts_two(two_thousand: pd.DataFrame) -> None:
    rates = ~two_thousand["metric_type"].isin(["trx", "nrx"])
    for column in ("value", "target"):
        rounded = two_thousand[column]
        assert (rounded[~rates] == rounded[~rates].round(2)).all()
        assert (rounded[rates] == rounded[rates].round(4)).all()
        assert (rounded[rates] != rounded[rates].round(2)).mean() > 0.9


@pytest.mark.parametrize(
    ("column", "months"), [("month_over_month_change", 1), ("year_over_year_change", 12)]
)
def test_changes_agree_with_the_series(
    two_thousand: pd.DataFrame, column: str, months: int
) -> None:
    lines = two_thousand.pivot_table(
        index="metric_date", columns=["brand", "region", "metric_type"], values="value"
    )
    stated = two_thousand.pivot_table(
        index="metric_date", columns=["brand", "region", "metric_type"], values=column
    )
    expected = lines / lines.shift(months) - 1
    assert len(expected) > months
    difference = (expected - stated).iloc[months:].abs()
    assert difference.max(axis=None) < 0.001


def test_changes_between_days_agree_with_the_nearest_date() -> None:
    df = metrics(68 * 53, **YEAR)
    line = df[(df["metric_type"] == "trx") & (df["brand"] == "Kisqali") & (df["region"] == "west")]
    days = pd.to_datetime(line["metric_date"]).reset_index(drop=True)
    values = line["value"].reset_index(drop=True)
    for place in (20, 40, 52):
        before = (days - (days[place] - pd.DateOffset(months=1))).abs().argmin()
        expected = values[place] / values[before] - 1
        assert line["month_over_month_change"].iloc[place] == pytest.approx(expected, abs=0.001)


def test_the_same_seed_gives_the_same_frame_and_another_other_values() -> None:
    first = metrics(500)
    pd.testing.assert_frame_equal(first, metrics(500))
    other = metrics(500, seed=7)
    assert (first["value"] != other["value"]).mean() > 0.99
    assert (first["metric_id"] == other["metric_id"]).all()


def test_an_id_belongs_to_its_key() -> None:
    wide = metrics(2000).set_index(KEY)["metric_id"]
    narrow = metrics(300, brand=Brand.FABHALTA).set_index(KEY)["metric_id"]
    assert (wide.loc[narrow.index] == narrow).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 3000), st.integers(60, 700))
def test_batches_put_together_are_the_whole(n: int, size: int) -> None:
    frames = list(BusinessMetricsGenerator(config(n, batch_size=size)).generate_batched())
    assert len(frames) == -(-n // size)
    assert max(map(len, frames)) <= size
    whole = metrics(n)
    joined = pd.concat([f for f in frames if len(f)], ignore_index=True)
    pd.testing.assert_frame_equal(joined, whole)


def test_splits(two_thousand: pd.DataFrame) -> None:
    shares = two_thousand["data_split"].value_counts(normalize=True)
    assert shares["train"] == pytest.approx(0.60, abs=0.15)
    assert shares["validation"] == pytest.approx(0.20, abs=0.10)
    assert shares["test"] == pytest.approx(0.15, abs=0.10)
    assert (two_thousand.groupby("metric_date")["data_split"].nunique() == 1).all()
    assert set(metrics(68)["data_split"]) == {"holdout"}


def test_a_million_rows_keep_their_keys_and_limits() -> None:
    df = metrics(1_000_000, start_date=date(1975, 1, 1))
    assert len(df) == 1_000_000
    assert df["metric_id"].is_unique
    assert not df.duplicated(KEY).any()
    assert df["month_over_month_change"].between(-0.5, 0.5).all()
    assert df["year_over_year_change"].between(-1, 1.5).all()
