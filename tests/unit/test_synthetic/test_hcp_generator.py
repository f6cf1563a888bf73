"""hcp_profiles: unique, valid identifiers and the shares of specialties and practices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.ml.synthetic.config import BRANDS, Brand, RegionEnum
from src.ml.synthetic.generators import HCPGenerator
from src.ml.synthetic.generators.hcp_generator import npis
from tests.synthetic_data import config


def is_luhn_valid(npi: str) -> bool:
    """The check as published for health-care cards, digit by digit."""
    total = 0
    for place, digit in enumerate(reversed("80840" + npi)):
        number = int(digit) * (1 + place % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


@pytest.fixture(scope="module")
def hcps() -> pd.DataFrame:
    return HCPGenerator(config(5000)).generate()


def test_columns(hcps: pd.DataFrame) -> None:
    assert list(hcps) == [
        "hcp_id",
        "npi",
        "specialty",
        "practice_type",
        "geographic_region",
        "years_experience",
        "academic_hcp",
        "total_patient_volume",
        "brand",
    ]
    assert hcps["hcp_id"].is_unique
    assert hcps["hcp_id"].str.fullmatch(r"hcp_\d{5}").all()


def test_every_npi_is_valid(hcps: pd.DataFrame) -> None:
    assert hcps["npi"].str.fullmatch(r"[12]\d{9}").all()
    assert all(map(is_luhn_valid, hcps["npi"]))


@given(st.integers(0, 199_999_000), st.integers(0, 10**9))
def test_npis_are_valid_and_differ_wherever_they_begin(first: int, seed: int) -> None:
    found = npis(np.arange(first, first + 20), seed)
    assert len(set(found)) == 20
    assert all(is_luhn_valid(npi) and npi[0] in "12" for npi in found)


def test_a_million_npis_are_unique() -> None:
    assert len(set(npis(np.arange(1_000_000), 42))) == 1_000_000


def test_bounds(hcps: pd.DataFrame) -> None:
    assert hcps["years_experience"].between(2, 39).all()
    assert hcps["total_patient_volume"].between(50, 600).all()
    assert set(hcps["academic_hcp"]) == {0, 1}
    assert set(hcps["brand"]) == set(BRANDS)
    assert set(hcps["geographic_region"]) == {region.value for region in RegionEnum}


def test_shares(hcps: pd.DataFrame) -> None:
    assert (hcps["practice_type"] == "community").mean() == pytest.approx(0.50, abs=0.10)
    assert (hcps["geographic_region"] == "south").mean() > 0.30
    academic = hcps.groupby("practice_type")["academic_hcp"].mean()
    assert academic["academic"] == pytest.approx(0.80, abs=0.05)
    assert academic["private"] == pytest.approx(0.15, abs=0.05)
    volume = hcps.groupby("practice_type")["total_patient_volume"].mean()
    assert volume["academic"] > volume["community"] > volume["private"]


@pytest.mark.parametrize(
    ("brand", "shares"),
    [
        (
            Brand.REMIBRUTINIB,
            {"dermatology": 0.5, "allergy_immunology": 0.35, "rheumatology": 0.15},
        ),
        (Brand.FABHALTA, {"hematology": 0.6, "internal_medicine": 0.3, "neurology": 0.1}),
        (Brand.KISQALI, {"oncology": 1.0}),
    ],
)
def test_a_brand_has_its_specialties(brand: Brand, shares: dict[str, float]) -> None:
    found = HCPGenerator(config(3000, brand=brand)).generate()["specialty"].value_counts()
    assert {name: round(count / 3000, 2) for name, count in found.items()} == pytest.approx(
        shares, abs=0.04
    )


def test_oncology_is_more_academic() -> None:
    found = HCPGenerator(config(3000, brand=Brand.KISQALI)).generate()["practice_type"]
    assert (found == "academic").mean() == pytest.approx(0.40, abs=0.04)
