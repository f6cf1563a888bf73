"""The settings: value sets, data-generating processes, boundaries, volumes."""

from __future__ import annotations

from datetime import date, timedelta
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.ml.synthetic import config as module
from src.ml.synthetic.config import (
    BRANDS,
    DEFAULT_CONFIG,
    DGP_CONFIGS,
    DGP_TYPES,
    Brand,
    DataSplit,
    DGPConfig,
    DGPType,
    EngagementTypeEnum,
    EntityVolumes,
    InsuranceTypeEnum,
    PracticeTypeEnum,
    RegionEnum,
    SpecialtyEnum,
    SplitBoundaries,
)

VALUES: dict[type[Enum], str] = {
    Brand: "Remibrutinib Fabhalta Kisqali",
    DGPType: "simple_linear confounded heterogeneous time_series selection_bias",
    DataSplit: "train validation test holdout",
    SpecialtyEnum: "dermatology hematology oncology neurology rheumatology internal_medicine "
    "general_practice allergy_immunology",
    PracticeTypeEnum: "academic community private",
    RegionEnum: "northeast south midwest west",
    InsuranceTypeEnum: "commercial medicare medicaid",
    EngagementTypeEnum: "detail_visit digital speaker_program sample_request webinar",
}


def _named(value: object) -> str:
    return getattr(value, "__name__", "")


@pytest.mark.parametrize(("enum", "values"), VALUES.items(), ids=_named)
def test_an_enum_has_its_values_in_order(enum: type[Enum], values: str) -> None:
    assert [member.value for member in enum] == values.split()
    assert [member.name for member in enum] == values.upper().split()
    assert all(isinstance(member, str) for member in enum)


def test_the_lists_hold_plain_strings() -> None:
    assert BRANDS == ["Remibrutinib", "Fabhalta", "Kisqali"]
    assert VALUES[DGPType].split() == DGP_TYPES
    assert {type(text) for text in BRANDS + DGP_TYPES} == {str}


def test_a_wrong_name_is_an_error_that_says_the_right_ones() -> None:
    with pytest.raises(ValueError, match="'kisqali' is not a Brand; known are Remibrutinib, Fab"):
        Brand("kisqali")


@pytest.mark.parametrize(
    ("dgp", "ate", "confounders"),
    [
        ("simple_linear", 0.40, []),
        ("confounded", 0.25, ["disease_severity", "academic_hcp"]),
        ("heterogeneous", 0.30, ["disease_severity", "academic_hcp"]),
        ("time_series", 0.30, ["disease_severity"]),
        ("selection_bias", 0.35, ["disease_severity", "academic_hcp"]),
    ],
)
def test_a_process_promises_its_effect(dgp: str, ate: float, confounders: list[str]) -> None:
    found = DGP_CONFIGS[DGPType(dgp)]
    assert (found.dgp_type, found.true_ate, found.confounders) == (dgp, ate, confounders)
    assert found.tolerance == 0.05
    assert found.description


def test_what_only_one_process_has() -> None:
    segments = {"high_severity": 0.50, "medium_severity": 0.30, "low_severity": 0.15}
    assert DGP_CONFIGS[DGPType.HETEROGENEOUS].cate_by_segment == segments
    series = DGP_CONFIGS[DGPType.TIME_SERIES]
    assert (series.lag_periods, series.include_seasonality) == (2, True)
    assert DGP_CONFIGS[DGPType.CONFOUNDED].cate_by_segment is None


def test_a_process_has_defaults() -> None:
    found = DGPConfig(DGPType.CONFOUNDED, 0.1)
    assert (found.tolerance, found.confounders, found.lag_periods) == (0.05, [], 1)
    assert (found.treatment_variable, found.outcome_variable) == (
        "engagement_score",
        "treatment_initiated",
    )


@pytest.mark.parametrize(
    ("day", "split"),
    [
        (date(2022, 1, 1), "train"),
        (date(2023, 6, 30), "train"),
        (date(2023, 7, 1), "validation"),
        (date(2024, 3, 31), "validation"),
        (date(2024, 9, 30), "test"),
        (date(2024, 10, 1), "holdout"),
    ],
)
def test_an_end_date_belongs_to_its_split(day: date, split: str) -> None:
    assert SplitBoundaries().get_split_for_date(day) == split


@given(st.dates(date(2020, 1, 1), date(2027, 1, 1)), st.integers(0, 1000))
def test_a_later_day_is_never_in_an_earlier_split(day: date, later: int) -> None:
    order = list(DataSplit)
    boundaries = SplitBoundaries()
    first = boundaries.get_split_for_date(day)
    second = boundaries.get_split_for_date(day + timedelta(days=later))
    assert order.index(first) <= order.index(second)


def test_the_ratios_sum_to_one() -> None:
    assert sum(SplitBoundaries().ratios.values()) == pytest.approx(1)
    assert list(SplitBoundaries().ratios) == [split.value for split in DataSplit]


def test_the_volumes_count_all_brands() -> None:
    volumes = EntityVolumes()
    assert (volumes.total_hcps, volumes.total_patients) == (15_000, 84_999)
    assert volumes.treatment_events_per_patient == (10, 40)


def test_the_default_settings_are_one_object() -> None:
    from src.ml.synthetic.config import DEFAULT_CONFIG as AGAIN

    assert AGAIN is DEFAULT_CONFIG is module.DEFAULT_CONFIG
    assert (DEFAULT_CONFIG.config_name, DEFAULT_CONFIG.config_version) == (
        "e2i_synthetic_v1",
        "1.0.0",
    )
    assert 0 < DEFAULT_CONFIG.missingness_rates["insurance_type"] < 1
    assert DEFAULT_CONFIG.measurement_error_std["disease_severity"] > 0


def test_the_settings_know_every_process() -> None:
    assert set(DEFAULT_CONFIG.get_all_dgp_configs()) == set(DGPType)
    assert DEFAULT_CONFIG.get_dgp_config(DGPType.CONFOUNDED).true_ate == 0.25
    with pytest.raises(ValueError, match="nonsense"):
        DEFAULT_CONFIG.get_dgp_config("nonsense")  # type: ignore[arg-type]
