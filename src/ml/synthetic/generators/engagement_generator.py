"""Contacts between representatives and HCPs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from src.ml.synthetic.config import BRANDS
from src.ml.synthetic.generators.base import Batch, GeneratorConfig, RowGenerator
from src.ml.synthetic.generators.dates import iso_dates, splits_of
from src.ml.synthetic.generators.draws import (
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
        """Raises ValueError where the frame that HCPs come from has no hcp_id or no row."""
        super().__init__(config)
        if hcp_df is None and patient_df is not None and "hcp_id" in patient_df:
            # one row for each HCP, with its first patient's brand
            columns = [column for column in ("hcp_id", "brand") if column in patient_df]
            hcp_df = patient_df[columns].dropna(subset=["hcp_id"]).drop_duplicates("hcp_id")
        if hcp_df is None:
            rng = np.random.default_rng(self._seed(1))
            size = max(SMALLEST_POOL, self.config.n_records // 10)
            ids = numbered("hcp", range(size))
            practice = picked(rng, size, list(_TYPES), (0.25, 0.50, 0.25))
            hcp_df = frame_of({"hcp_id": ids, "practice_type": practice})
            hcp_df["brand"] = picked(rng, size, BRANDS, None)
        required(hcp_df, "hcp_df", ("hcp_id",))
        if hcp_df.empty:
            raise ValueError("there is no HCP to engage: the frame that they come from has no row")
        self._ids = objects(hcp_df["hcp_id"].tolist())
        self._practices = objects([_OTHER] * len(hcp_df))
        if "practice_type" in hcp_df:
            given = objects(hcp_df["practice_type"].tolist())
            known = np.isin(given.astype(str), list(_TYPES))
            self._practices = np.where(known, given, _OTHER).astype(object)
        if self._brand is not None or "brand" not in hcp_df:
            names = [self._brand.value] if self._brand else BRANDS
            self._brands = objects(names)[np.arange(len(hcp_df)) % len(names)]
        else:
            self._brands = objects(hcp_df["brand"].tolist())

    def _frame(self, batch: Batch) -> pd.DataFrame:
        rng = batch.rng
        size, days = batch.size, batch.days
        chosen = np.sort(rng.integers(len(self._ids), size=size))
        kind = picked_by_group(rng, self._practices[chosen], _TYPES)
        quality = truncated_normal(rng, size, 6.5, 1.8, (0, 10)).round(1)
        uniform = rng.random(size)
        minutes = np.zeros(size, dtype=np.int64)
        for name, (shortest, longest) in _MINUTES.items():
            rows = kind == name
            minutes[rows] = shortest + (uniform[rows] * (longest - shortest + 1)).astype(np.int64)
        return frame_of(
            {
                "engagement_event_id": numbered("eng", range(batch.offset, batch.offset + size)),
                "hcp_id": self._ids[chosen],
                "rep_id": numbered("rep", range(_REPRESENTATIVES))[chosen % _REPRESENTATIVES],
                "brand": self._brands[chosen],
                "engagement_date": iso_dates(days),
                "engagement_type": kind,
                "quality_score": quality,
                "duration_minutes": minutes,
                "data_split": splits_of(days, batch.cutoffs),
            }
        )
