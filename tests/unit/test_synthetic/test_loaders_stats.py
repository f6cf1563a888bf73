"""Figures that describe data sets."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.ml.synthetic.loaders import (
    get_all_datasets_stats,
    get_column_stats,
    get_dataset_stats,
    get_split_stats,
    print_dataset_summary,
    validate_supabase_data,
)


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [f"p{n}" for n in range(20)],
            "brand": ["Kisqali"] * 15 + ["Fabhalta"] * 5,
            "score": [float(n) for n in range(19)] + [None],
            "chain": [{"n": n % 2} for n in range(20)],
            "day": [f"2024-01-{n + 1:02d}" for n in range(20)],
            "data_split": ["train"] * 12 + ["validation"] * 4 + ["test"] * 3 + ["holdout"],
        }
    )


def test_a_numeric_column_has_figures() -> None:
    stats = get_column_stats(frame(), "score")
    assert (stats.null_count, stats.null_percentage, stats.unique_count) == (1, 5.0, 19)
    assert (stats.mean, stats.min_value, stats.max_value) == (9.0, 0.0, 18.0)
    assert stats.percentiles == {"25%": 4.5, "50%": 9.0, "75%": 13.5}
    assert stats.std == pytest.approx(5.627, abs=1e-3)


def test_a_text_column_has_none_and_is_an_object() -> None:
    stats = get_column_stats(frame(), "id")
    assert (stats.dtype, stats.mean, stats.percentiles) == ("object", None, None)
    assert stats.sample_values == ["p0", "p1", "p2", "p3", "p4"]
    nullable = pd.DataFrame({"a": pd.array(["x", None], dtype="string")})
    assert get_column_stats(nullable, "a").dtype == "object"


def test_dicts_are_counted_and_truth_values_are_no_numbers() -> None:
    assert get_column_stats(frame(), "chain").unique_count == 2
    assert get_column_stats(pd.DataFrame({"a": [True, False]}), "a").mean is None


def test_one_value_has_no_spread_and_an_empty_column_no_share() -> None:
    assert math.isnan(get_column_stats(pd.DataFrame({"a": [1.0]}), "a").std or 0.0)
    empty = get_column_stats(pd.DataFrame({"a": pd.Series([], dtype=float)}), "a")
    assert (empty.null_percentage, empty.sample_values) == (0.0, [])


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1))
def test_shares_and_bounds_hold_for_any_numbers(values: list[float | None]) -> None:
    stats = get_column_stats(pd.DataFrame({"a": pd.Series(values, dtype=float)}), "a")
    assert stats.null_percentage == pytest.approx(100 * values.count(None) / len(values))
    assert len(stats.sample_values) <= 5
    if stats.null_count < len(values):
        assert stats.min_value is not None
        assert stats.max_value is not None
        assert stats.min_value <= stats.max_value


def test_an_unknown_column_is_an_error() -> None:
    with pytest.raises(KeyError):
        get_column_stats(frame(), "nothing")


def test_splits_come_in_the_order_of_time_with_their_dates() -> None:
    splits = get_split_stats(frame()[::-1], date_column="day")
    assert [s.split_name for s in splits] == ["train", "validation", "test", "holdout"]
    assert [s.record_count for s in splits] == [12, 4, 3, 1]
    assert splits[0].percentage == 60.0
    assert splits[0].date_range == ("2024-01-01", "2024-01-12")
    assert get_split_stats(frame())[0].date_range is None
    assert get_split_stats(frame().drop(columns="data_split")) == []


def test_a_table_is_summed_up() -> None:
    stats = get_dataset_stats(frame(), "patients", date_column="day")
    assert (stats.total_records, stats.column_count) == (20, 6)
    assert stats.brand_distribution == {"Kisqali": 15, "Fabhalta": 5}
    assert stats.memory_usage_mb > 0
    text = get_dataset_stats(pd.concat([frame()] * 100), "patients").summary()
    assert "2,000 records" in text
    assert "split train: 1,200 (60.0%)" in text
    assert "brand Kisqali: 1,500" in text


def test_figures_as_plain_values() -> None:
    plain = get_dataset_stats(frame(), "patients").to_dict()
    assert plain["column_stats"]["score"]["mean"] == 9.0
    assert plain["split_stats"][0]["split_name"] == "train"
    assert plain["memory_usage_mb"] == round(plain["memory_usage_mb"], 2)


def test_tables_without_splits_or_brands() -> None:
    bare = get_all_datasets_stats({"a": frame()[["id"]]})["a"]
    assert (bare.split_stats, bare.brand_distribution) == (None, None)


def test_good_data_are_valid() -> None:
    found = validate_supabase_data({"patients": frame(), "hcps": frame()[["id"]]})
    assert (found["is_valid"], found["errors"], found["warnings"]) == (True, [], [])
    assert found["stats"]["patients"].total_records == 20


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        (frame().iloc[:0], "Empty dataset"),
        (frame().assign(brand="Aspirin"), "Invalid brand"),
        (frame().assign(brand="kisqali"), "Lowercase brand"),
        (frame().iloc[:19], "Missing holdout"),
    ],
)
def test_wrong_data_are_told(changed: pd.DataFrame, error: str) -> None:
    found = validate_supabase_data({"patients": changed})
    assert not found["is_valid"]
    assert found["errors"][0].startswith(error)


def test_a_missing_split_is_a_warning_only() -> None:
    found = validate_supabase_data({"p": frame().query("data_split != 'test'")})
    assert found["is_valid"]
    assert found["warnings"] == ["Missing splits in p: test"]


def test_the_summary_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_dataset_summary({"patients": frame()})
    printed = capsys.readouterr().out
    assert "SYNTHETIC DATA SUMMARY" in printed
    assert "patients: 20 records" in printed
