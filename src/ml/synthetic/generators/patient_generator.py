"""Patient journeys whose treatment depends on engagement in a known way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from src.ml.synthetic.config import BRANDS, DGP_CONFIGS, REGIONS, DGPType, InsuranceTypeEnum
from src.ml.synthetic.generators.base import Batch, GeneratorConfig, RowGenerator
from src.ml.synthetic.generators.causal_structure import (
    LAG_COLUMNS,
    Patients,
    draw_engagement,
    draw_initiation,
    latent_mean,
    risk_difference,
)
from src.ml.synthetic.generators.dates import Text, iso_dates, splits_of
from src.ml.synthetic.generators.draws import (
    Ints,
    frame_of,
    numbered,
    objects,
    picked,
    truncated_integers,
)
from src.ml.synthetic.generators.links import required

_ACADEMIC_SHARE = 0.30
_INSURANCE_SHARES = (0.60, 0.30, 0.10)


class PatientGenerator(RowGenerator):
    """Rows of patient_journeys; `df.attrs` tells true_ate, dgp_type, confounders, risk difference.

    `true_ate` is the probit slope per engagement point, `true_risk_difference` the change of the
    initiation rate if everybody had one point more. `hcp_df` needs hcp_id and academic_hcp.
    """

    entity_type = "patient_journeys"

    def __init__(
        self, config: GeneratorConfig | None = None, hcp_df: pd.DataFrame | None = None
    ) -> None:
        super().__init__(config)
        self._dgp = DGPType(self.config.dgp_type or DGPType.CONFOUNDED)
        self._hcps = None if hcp_df is None else _Hcps(hcp_df)

    def _frame(self, batch: Batch) -> pd.DataFrame:
        rng, size = batch.rng, batch.size
        names = [self._brand.value] if self._brand else BRANDS
        brand = picked(rng, size, names, None)
        academic = (rng.random(size) < _ACADEMIC_SHARE).astype(np.int64)
        hcp_id, academic = self._assigned(rng, brand, academic)
        severity = np.clip(rng.normal(5, 2, size), 0, 10).round(2)
        engagement = draw_engagement(rng, self._dgp, severity, academic.astype(np.float64))
        patients = Patients(severity, academic.astype(np.float64), engagement, batch.days)
        mean = latent_mean(self._dgp, patients)
        chance = ndtr(mean)
        initiated = draw_initiation(rng, chance, patients)
        # fewer days with more engagement; null where no treatment began
        begun = np.flatnonzero(initiated)
        days = np.zeros(size, dtype=np.int64)
        days[begun] = truncated_integers(
            rng, begun.size, 75 - 4 * engagement[begun, 0], 18, (7, 89)
        )
        rows = range(batch.offset, batch.offset + size)
        columns: dict[str, Any] = {
            "patient_journey_id": numbered("patient", rows, 6),
            "patient_id": numbered("pt", rows, 6),
            "hcp_id": hcp_id,
            "brand": brand,
            "journey_start_date": iso_dates(batch.days),
            "data_split": splits_of(batch.days, batch.cutoffs),
            "disease_severity": severity,
            "academic_hcp": academic,
            "engagement_score": engagement[:, 0],
            "treatment_initiated": initiated,
            "days_to_treatment": pd.arrays.IntegerArray(days, initiated == 0),
            "geographic_region": picked(rng, size, REGIONS, None),
            "insurance_type": picked(
                rng, size, [i.value for i in InsuranceTypeEnum], _INSURANCE_SHARES
            ),
            "age_at_diagnosis": truncated_integers(rng, size, 55, 15, (18, 84)),
        }
        lags = zip(LAG_COLUMNS, engagement.T[1:], strict=False)
        df = frame_of(columns | dict(lags))
        truth = DGP_CONFIGS[self._dgp]
        df.attrs["true_ate"] = truth.true_ate
        df.attrs["dgp_type"] = self._dgp.value
        df.attrs["confounders"] = list(truth.confounders)
        df.attrs["true_risk_difference"] = risk_difference(self._dgp, patients, mean, chance)
        return df

    def _assigned(self, rng: np.random.Generator, brand: Text, academic: Ints) -> tuple[Text, Ints]:
        """An HCP for every patient, and that HCP's academic flag."""
        if self._hcps is not None:
            return self._hcps.assign(rng, brand, academic)
        pool = numbered("hcp", range(max(100, self.config.n_records // 10)))
        flags = np.arange(len(pool)) % 10 < 10 * _ACADEMIC_SHARE
        chosen = _matching(rng, academic, [np.flatnonzero(~flags), np.flatnonzero(flags)])
        return pool.take(chosen), academic


class _Hcps:
    """HCPs to choose from, by academic flag and brand."""

    def __init__(self, df: pd.DataFrame) -> None:
        required(df, "hcp_df", ("hcp_id", "academic_hcp"))
        if df.empty:
            raise ValueError("hcp_df holds no HCP")
        self.ids = objects(df["hcp_id"].tolist())
        if not df["academic_hcp"].isin((0, 1)).all():
            raise ValueError("academic_hcp of hcp_df is 0 or 1 in every row")
        self.flags = df["academic_hcp"].to_numpy(dtype=np.int64)
        self.brands = objects(df["brand"].tolist()) if "brand" in df else None

    def assign(self, rng: np.random.Generator, brand: Text, academic: Ints) -> tuple[Text, Ints]:
        """An HCP with the wanted flag, of the patient's brand where there is one."""
        chosen = np.empty(len(brand), dtype=np.int64)
        for name in BRANDS:
            rows = np.flatnonzero(brand == name)
            choices = []
            for same in (self.flags == 0, self.flags == 1):
                # of the brand if there are any; all HCPs if none has the flag
                both = same if self.brands is None else same & (self.brands == name)
                wanted = both if both.any() else same if same.any() else np.ones(len(same), bool)
                choices.append(np.flatnonzero(wanted))
            chosen[rows] = _matching(rng, academic[rows], choices)
        return self.ids[chosen], self.flags[chosen]


def _matching(rng: np.random.Generator, flags: Ints, choices: list[Ints]) -> Ints:
    """For every flag 0 or 1 one of the choices for it."""
    counts = np.array([len(c) for c in choices])
    places = (rng.random(len(flags)) * counts.take(flags)).astype(np.int64)
    places += flags * counts[0]
    chosen: Ints = np.concatenate(choices).take(places, mode="clip")
    return chosen
