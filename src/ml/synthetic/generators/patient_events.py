"""What the tables of events have in common: every row belongs to a patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from src.ml.synthetic.generators.base import Batch, GeneratorConfig, RowGenerator
from src.ml.synthetic.generators.dates import Days, Text, day_number, splits_of
from src.ml.synthetic.generators.links import (
    SMALLEST_POOL,
    LinkedPatients,
    invented_patients,
    patients_of,
    starting_by,
)


@dataclass(frozen=True)
class Rows:
    """The patient, day and split of every row of a batch."""

    patients: LinkedPatients
    days: Days
    split: Text

    def __len__(self) -> int:
        return len(self.days)


class PatientEventGenerator(RowGenerator):
    """Rows of patients: those of a frame, which pass on their split, else invented ones."""

    #: whether only patients with treatment have rows
    treated_only: ClassVar[bool] = False
    #: (fewest, most) days from the start of the journey; None up to the end date
    delay: ClassVar[tuple[int, int | None]] = (0, None)

    def __init__(
        self, config: GeneratorConfig | None = None, patient_df: pd.DataFrame | None = None
    ) -> None:
        super().__init__(config)
        self._last = day_number(self.config.end_date)
        self._linked = patient_df is not None
        if patient_df is not None:
            patients = patients_of(patient_df, self._brand)
            self._patients = starting_by(patients, self._last, self.treated_only)
        else:
            size = max(SMALLEST_POOL, self.config.n_records // 10)
            first = day_number(self.config.start_date)
            self._patients = invented_patients(size, self._brand, self._seed(1), first)

    def _rows(self, batch: Batch) -> Rows:
        """A patient and a day for each row. Raises ValueError if nobody is eligible."""
        if batch.size and not len(self._patients):
            needed = "begins treatment" if self.treated_only else "has a journey"
            raise ValueError(
                f"{batch.size} rows of {self.entity_type} are asked for, but no patient {needed} "
                f"by {self.config.end_date}"
            )
        chosen = batch.rng.integers(max(1, len(self._patients)), size=batch.size)
        patients = self._patients.at(np.sort(chosen))
        if not self._linked:
            return Rows(patients, batch.days, splits_of(batch.days, batch.cutoffs))
        # a day after the start of each journey, within the days that the range leaves
        earliest = np.maximum(patients.start, day_number(self.config.start_date))
        least, most = self.delay
        left = self._last - earliest
        high = left if most is None else np.minimum(most, left)
        days = earliest + batch.rng.integers(np.minimum(least, high), high + 1)
        return Rows(patients, days, patients.split)

    def _numbers(self, batch: Batch, rows: Rows) -> range:
        return range(batch.offset, batch.offset + len(rows))
