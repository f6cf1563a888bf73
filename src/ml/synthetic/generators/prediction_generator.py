"""Predictions of models about patients."""

from __future__ import annotations

import pandas as pd

from src.ml.synthetic.generators.base import Batch
from src.ml.synthetic.generators.dates import iso_dates
from src.ml.synthetic.generators.draws import frame_of, numbered, objects, picked
from src.ml.synthetic.generators.patient_events import PatientEventGenerator

PREDICTION_TYPES = {
    "propensity": 0.30,
    "risk": 0.25,
    "trigger": 0.20,
    "churn": 0.15,
    "next_best_action": 0.10,
}
_VERSIONS = objects([f"v{major}.{minor}" for major in (1, 2, 3) for minor in range(5)])


class PredictionGenerator(PatientEventGenerator):
    """Rows of ml_predictions, made between the start of a journey and the end date."""

    entity_type = "ml_predictions"

    def _frame(self, batch: Batch) -> pd.DataFrame:
        rows, rng = self._rows(batch), batch.rng
        size, patients = len(rows), rows.patients
        # thousandths, so that rounding cannot leave the range
        confidence = rng.integers(600, 951, size=size)
        return frame_of(
            {
                "prediction_id": numbered("pred", self._numbers(batch, rows)),
                "patient_journey_id": patients.journey_id,
                "patient_id": patients.patient_id,
                "hcp_id": patients.hcp_id,
                "brand": patients.brand,
                "prediction_type": picked(
                    rng, size, list(PREDICTION_TYPES), list(PREDICTION_TYPES.values())
                ),
                "prediction_value": rng.beta(2, 3, size=size).round(4),
                "confidence_score": confidence / 1000,
                "uncertainty": (1000 - confidence) / 1000,
                "model_version": _VERSIONS[rng.integers(len(_VERSIONS), size=size)],
                "prediction_date": iso_dates(rows.days),
                "data_split": rows.split,
            }
        )
