"""Business outcomes of the patients who began treatment."""

from __future__ import annotations

import numpy as np
import pandas as pd

from src.ml.synthetic.generators.base import Batch
from src.ml.synthetic.generators.dates import iso_dates
from src.ml.synthetic.generators.draws import frame_of, looked_up, numbered, picked
from src.ml.synthetic.generators.patient_events import PatientEventGenerator

_TYPES = {
    "prescription_written": 0.35,
    "prescription_filled": 0.30,
    "treatment_adherent": 0.20,
    "treatment_switch": 0.08,
    "treatment_discontinue": 0.07,
}
#: mean worth in dollars; the others have none
_WORTH = {
    "prescription_written": 0.0,
    "prescription_filled": 5_000.0,
    "treatment_adherent": 15_000.0,
    "treatment_switch": 2_500.0,
    "treatment_discontinue": 0.0,
}
#: sd of the logarithm of the noise
_NOISE = 0.2


class OutcomeGenerator(PatientEventGenerator):
    """Rows of business_outcomes, worth more with engagement and with severity."""

    entity_type = "business_outcomes"

    treated_only = True

    def _frame(self, batch: Batch) -> pd.DataFrame:
        rows, rng = self._rows(batch), batch.rng
        patients = rows.patients
        kind = picked(rng, len(rows), list(_TYPES), list(_TYPES.values()))
        scores = (0.5 + patients.engagement / 10) * (0.75 + patients.severity / 20)
        noise = np.exp(_NOISE * rng.standard_normal(len(rows)) - _NOISE**2 / 2)
        return frame_of(
            {
                "outcome_id": numbered("out", self._numbers(batch, rows)),
                "patient_journey_id": patients.journey_id,
                "patient_id": patients.patient_id,
                "hcp_id": patients.hcp_id,
                "brand": patients.brand,
                "outcome_type": kind,
                "outcome_date": iso_dates(rows.days),
                "outcome_value": np.round(looked_up(kind, _WORTH) * scores * noise, 2),
                "engagement_at_outcome": patients.engagement,
                "disease_severity_at_outcome": patients.severity,
                "data_split": rows.split,
            }
        )
