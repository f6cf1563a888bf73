"""Rows that point to patients: those of a given frame, else invented ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from src.ml.synthetic.config import BRANDS, Brand
from src.ml.synthetic.generators.dates import (
    Days,
    Text,
    days_of,
    splits_of,
)
from src.ml.synthetic.generators.draws import (
    Floats,
    Ints,
    numbered,
    objects,
    picked,
    truncated_normal,
)

#: ids of invented HCPs and patients are drawn from at least so many
SMALLEST_POOL = 100


@dataclass(frozen=True)
class LinkedPatients:
    """Columns of the patients that rows may point to; every array has the same length."""

    journey_id: Text
    patient_id: Text
    hcp_id: Text
    brand: Text
    #: days since 1970-01-01
    start: Days
    split: Text
    initiated: Ints
    engagement: Floats
    severity: Floats

    def __len__(self) -> int:
        return len(self.patient_id)

    def at(self, rows: Ints) -> LinkedPatients:
        """The patients at the given positions, repeated as given."""
        return LinkedPatients(*(getattr(self, f.name)[rows] for f in fields(self)))


def required(df: pd.DataFrame, name: str, columns: Sequence[str]) -> None:
    """Raises ValueError naming the columns that a frame lacks."""
    missing = [column for column in columns if column not in df]
    if missing:
        raise ValueError(f"{name} lacks the columns {', '.join(missing)}")


def patients_of(df: pd.DataFrame, brand: Brand | None) -> LinkedPatients:
    """The patients of a frame of patient_journeys; of one brand if there are any of it.

    Raises ValueError where patient_journey_id, patient_id, hcp_id or journey_start_date is
    missing. Without treatment_initiated everybody counts as treated.
    """
    required(df, "patient_df", ("patient_journey_id", "patient_id", "hcp_id", "journey_start_date"))
    start = days_of(df["journey_start_date"])
    if brand is None and "brand" not in df:
        raise ValueError("patient_df lacks the column brand, and the settings name none")
    same = np.ones(len(df), dtype=np.bool_)
    if brand is not None and "brand" in df:
        same = df["brand"].to_numpy() == brand.value
    found = LinkedPatients(
        journey_id=objects(df["patient_journey_id"].tolist()),
        patient_id=objects(df["patient_id"].tolist()),
        hcp_id=objects(df["hcp_id"].tolist()),
        brand=objects([brand.value] * len(df) if brand else df["brand"].tolist()),
        start=start,
        split=objects(df["data_split"].tolist()) if "data_split" in df else splits_of(start),
        initiated=_numbers(df, "treatment_initiated", 1.0, 0.0).astype(np.int64),
        engagement=_numbers(df, "engagement_score", 5.0, 5.0),
        severity=_numbers(df, "disease_severity", 5.0, 5.0),
    )
    return found.at(np.flatnonzero(same)) if same.any() else found


def invented_patients(
    size: int, brand: Brand | None, seed: np.random.SeedSequence, first_day: int
) -> LinkedPatients:
    """`size` treated patients with ids, HCPs, brands and scores of their own."""
    rng = np.random.default_rng(seed)
    hcps = numbered("hcp", range(size))
    return LinkedPatients(
        journey_id=numbered("patient", range(size), 6),
        patient_id=numbered("pt", range(size), 6),
        hcp_id=hcps[rng.integers(size, size=size)],
        brand=picked(rng, size, [brand.value] if brand else BRANDS, None),
        start=np.full(size, first_day, dtype=np.int64),
        split=np.full(size, None, dtype=object),
        initiated=np.ones(size, dtype=np.int64),
        engagement=np.round(truncated_normal(rng, size, 6, 2, (0, 10)), 2),
        severity=np.round(truncated_normal(rng, size, 5, 2, (0, 10)), 2),
    )


def starting_by(patients: LinkedPatients, last_day: int, treated: bool) -> LinkedPatients:
    """Those whose journey begins by the day; only treated ones if asked."""
    rows = patients.start <= last_day
    if treated:
        rows &= patients.initiated == 1
    return patients.at(np.flatnonzero(rows))


def _numbers(df: pd.DataFrame, column: str, absent: float, null: float) -> Floats:
    if column not in df:
        return np.full(len(df), absent)
    return df[column].to_numpy(dtype=np.float64, na_value=null)
