"""Treatment events of the patients who began treatment."""

from __future__ import annotations

import pandas as pd

from src.ml.synthetic.generators.base import Batch
from src.ml.synthetic.generators.dates import iso_dates
from src.ml.synthetic.generators.draws import frame_of, numbered, picked, truncated_normal
from src.ml.synthetic.generators.patient_events import PatientEventGenerator

TREATMENT_TYPES = {"prescription": 0.70, "consultation": 0.15, "lab_test": 0.11, "procedure": 0.04}


class TreatmentGenerator(PatientEventGenerator):
    """Rows of treatment_events; with `patient_df` 7 to 30 days after the start of a journey."""

    entity_type = "treatment_events"

    treated_only = True
    delay = (7, 30)

    def _frame(self, batch: Batch) -> pd.DataFrame:
        rows, rng = self._rows(batch), batch.rng
        size, patients = len(rows), rows.patients
        return frame_of(
            {
                "treatment_event_id": numbered("trx", self._numbers(batch, rows)),
                "patient_journey_id": patients.journey_id,
                "patient_id": patients.patient_id,
                "hcp_id": patients.hcp_id,
                "brand": patients.brand,
                "treatment_date": iso_dates(rows.days),
                "treatment_type": picked(
                    rng, size, list(TREATMENT_TYPES), list(TREATMENT_TYPES.values())
                ),
                "days_supply": rng.integers(7, 90, size=size),
                "refill_number": rng.integers(0, 12, size=size),
                "adherence_score": truncated_normal(rng, size, 0.75, 0.15, (0, 1)).round(2),
                "efficacy_score": truncated_normal(rng, size, 0.65, 0.20, (0, 1)).round(2),
                "data_split": rows.split,
            }
        )
