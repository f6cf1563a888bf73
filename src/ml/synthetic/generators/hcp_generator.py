"""Profiles of health-care professionals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from src.ml.synthetic.config import BRANDS, REGIONS, Brand
from src.ml.synthetic.generators.base import Batch, RowGenerator
from src.ml.synthetic.generators.dates import Text
from src.ml.synthetic.generators.draws import (
    Ints,
    frame_of,
    looked_up,
    numbered,
    objects,
    picked,
    picked_by_group,
    truncated_integers,
)

_SPECIALTIES: dict[str, dict[str, float]] = {
    Brand.REMIBRUTINIB.value: {
        "dermatology": 0.50,
        "allergy_immunology": 0.35,
        "rheumatology": 0.15,
    },
    Brand.FABHALTA.value: {"hematology": 0.60, "internal_medicine": 0.30, "neurology": 0.10},
    Brand.KISQALI.value: {"oncology": 1.0},
}
_PRACTICES = {
    "general": {"academic": 0.25, "community": 0.50, "private": 0.25},
    "oncology": {"academic": 0.40, "community": 0.40, "private": 0.20},
}
_REGION_SHARES = (0.22, 0.38, 0.21, 0.19)
_MEAN_VOLUME = {"academic": 300.0, "community": 200.0, "private": 150.0}

#: nine-digit numbers that begin with 1 or 2, as National Provider Identifiers do
_NPI_FIRST, _NPI_COUNT = 100_000_000, 200_000_000
#: coprime to the count, so that distinct rows get distinct numbers
_NPI_STRIDE = 73_939_133
#: what the prefix 80840 of the card issuer adds to the Luhn sum
_NPI_PREFIX_SUM = 24


class HCPGenerator(RowGenerator):
    """Rows of hcp_profiles with unique, Luhn-valid NPIs."""

    entity_type = "hcp_profiles"

    def _frame(self, batch: Batch) -> pd.DataFrame:
        rng, size = batch.rng, batch.size
        brand = picked(rng, size, [self._brand.value] if self._brand else BRANDS, None)
        specialty = picked_by_group(rng, brand, _SPECIALTIES)
        kind = np.where(specialty == "oncology", "oncology", "general").astype(object)
        practice = picked_by_group(rng, kind, _PRACTICES)
        academic = rng.random(size) < np.where(practice == "academic", 0.80, 0.15)
        rows = range(batch.offset, batch.offset + size)
        volume = truncated_integers(rng, size, looked_up(practice, _MEAN_VOLUME), 80, (50, 600))
        return frame_of(
            {
                "hcp_id": numbered("hcp", rows),
                "npi": npis(np.arange(rows.start, rows.stop), self.config.seed),
                "specialty": specialty,
                "practice_type": practice,
                "geographic_region": picked(rng, size, REGIONS, _REGION_SHARES),
                "years_experience": truncated_integers(rng, size, 16, 9, (2, 39)),
                "academic_hcp": academic.astype(np.int64),
                "total_patient_volume": volume,
                "brand": brand,
            }
        )


def npis(numbers: Ints, seed: int = 0) -> Text:
    """Distinct ten-digit National Provider Identifiers for distinct numbers below 200 million.

    The last digit is the Luhn check digit over the prefix 80840 (45 CFR 162.406).
    """
    bases = _NPI_FIRST + (numbers * _NPI_STRIDE + seed) % _NPI_COUNT
    total = np.full(len(bases), _NPI_PREFIX_SUM)
    rest = bases
    for place in range(9):
        rest, digit = np.divmod(rest, 10)
        # every second digit, from the right, counts double; of a two-digit result the sum
        total += digit if place % 2 else np.where(digit > 4, 2 * digit - 9, 2 * digit)
    return objects([str(npi) for npi in (bases * 10 - total % -10).tolist()])
