"""Contacts between representatives and HCPs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from src.ml.synthetic.config import BRANDS
from src.ml.synthetic.generators.base import Batch, GeneratorConfig, RowGenerator
from src.ml.synthetic.generators.dates import Text, iso_dates, splits_of
from src.ml.synthetic.generators.draws import (
    Ints,
    frame_of,
    numbered,
    objects,
    picked,
    picked_by_group,
    truncated_normal,
)
from src.ml.synthetic.generators.links import SMALLEST_POOL, required

#: kind of contact → (shortest, longest) minutes
_MINUTES = {
    "detail_visit": (5, 45),
    "digital": (2, 20),
    "speaker_program": (60, 179),
    "sample_request": (2, 15),
    "webinar": (30, 90),
}
#: practice type → share of each kind
_TYPES = {
    practice: dict(zip(_MINUTES, shares, strict=True))
    for practice, shares in {
        "academic": (0.20, 0.25, 0.30, 0.05, 0.20),
        "community": (0.45, 0.20, 0.10, 0.15, 0.10),
        "private": (0.40, 0.30, 0.05, 0.20, 0.05),
    }.items()
}
#: whose shares practices of another kind have
_OTHER = "community"
_REPRESENTATIVES = 200


class EngagementGenerator(RowGenerator):
    """Rows of engagement_events; HCPs come from `hcp_df`, else from `patient_df`, if given."""

    entity_type = "engagement_events"

    def __init__(
        self,
        config: GeneratorConfig | None = None,
        hcp_df: pd.DataFrame | None = None,
        patient_df: pd.DataFrame | None = None,
    ) -> None:
        """Raises ValueError where the frame that HCPs come from has no hcp_id."""
        super().__init__(config)
        source = hcp_df if hcp_df is not None else _hcps_of_patients(patient_df)
        self._hcps = self._invented() if source is None else source
        required(self._hcps, "hcp_df", ("hcp_id",))

    def _invented(self) -> pd.DataFrame:
        rng = np.random.default_rng(self._seed(1))
        size = max(SMALLEST_POOL, self.config.n_records // 10)
        practice = picked(rng, size, list(_TYPES), (0.25, 0.50, 0.25))
        return frame_of({"hcp_id": numbered("hcp", range(size)), "practice_type": practice}).assign(
            brand=picked(rng, size, BRANDS, None)
        )

    def _frame(self, batch: Batch) -> pd.DataFrame:
        rng = batch.rng
        size = batch.size if len(self._hcps) else 0
        days = batch.days[:size]
        chosen = np.sort(rng.integers(max(1, len(self._hcps)), size=size))
        kind = picked_by_group(rng, self._practices()[chosen], _TYPES)
        return frame_of(
            {
                "engagement_event_id": numbered("eng", range(batch.offset, batch.offset + size)),
                "hcp_id": objects(self._hcps["hcp_id"].tolist())[chosen],
                "rep_id": numbered("rep", range(_REPRESENTATIVES))[chosen % _REPRESENTATIVES],
                "brand": self._brands()[chosen],
                "engagement_date": iso_dates(days),
                "engagement_type": kind,
                "quality_score": truncated_normal(rng, size, 6.5, 1.8, (0, 10)).round(1),
                "duration_minutes": _minutes(rng, kind),
                "data_split": splits_of(days, batch.cutoffs),
            }
        )

    def _practices(self) -> Text:
        if "practice_type" not in self._hcps:
            return objects([_OTHER] * len(self._hcps))
        given = objects(self._hcps["practice_type"].tolist())
        known = np.isin(given.astype(str), list(_TYPES))
        return np.where(known, given, _OTHER).astype(object)

    def _brands(self) -> Text:
        if self._brand is not None or "brand" not in self._hcps:
            names = [self._brand.value] if self._brand else BRANDS
            return objects(names)[np.arange(len(self._hcps)) % len(names)]
        return objects(self._hcps["brand"].tolist())


def _hcps_of_patients(df: pd.DataFrame | None) -> pd.DataFrame | None:
    """One row for each HCP of a patient frame, with its first patient's brand."""
    if df is None or "hcp_id" not in df:
        return None
    columns = [column for column in ("hcp_id", "brand") if column in df]
    return df[columns].dropna(subset=["hcp_id"]).drop_duplicates("hcp_id").reset_index(drop=True)


def _minutes(rng: np.random.Generator, kind: Text) -> Ints:
    uniform = rng.random(len(kind))
    found = np.zeros(len(kind), dtype=np.int64)
    for name, (shortest, longest) in _MINUTES.items():
        rows = kind == name
        found[rows] = shortest + (uniform[rows] * (longest - shortest + 1)).astype(np.int64)
    return found
