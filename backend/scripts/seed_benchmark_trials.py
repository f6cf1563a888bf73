"""Seed `benchmark_trials` with completed and active psychedelic-therapy trials.

    python backend/scripts/seed_benchmark_trials.py [--offline | --from FILE] [--dry-run]

Records come from ClinicalTrials.gov (API v2), which the U.S. National Library of Medicine
provides. See `--help`, and `backend/trials/trials.py` for how partial dates are stored.
"""

from __future__ import annotations

import sys

from orchestrate_backend.trials.seeding import trials_main
from orchestrate_backend.trials.terms import with_known_phrases
from orchestrate_backend.trials.trials import TrialSpec

TABLE = "benchmark_trials"
#: column → fact of a trial
COLUMNS = {
    "nct_id": "nct_id",
    "title": "title",
    "phase": "phase",
    "status": "status",
    "modality": "modality",
    "conditions": "conditions",
    "country": "country",
    "enrollment_actual": "enrollment_actual",
    "start_date": "start_date",
    "completion_date": "completion_date",
    "primary_outcome_measure": "primary_outcome_measure",
    "source": "source",
}
KEY = ("nct_id",)
BATCH = 50
#: substance → keywords, in order of precedence; known brand and chemical names are added
MODALITIES = {
    "psilocybin": ("psilocybin", "psilocin"),
    "lsd": ("lysergic acid", "lsd-25"),
    "ayahuasca": ("ayahuasca", "dmt", "dimethyltryptamine"),
    "mdma": ("mdma", "3,4-methylenedioxymethamphetamine"),
    "esketamine": ("esketamine", "spravato"),
    "ketamine": ("ketamine",),
}
CONDITIONS = (
    "PTSD",
    "Major Depressive Disorder",
    "Treatment Resistant Depression",
    "Alcohol Use Disorder",
    "Anxiety",
    "OCD",
    "End of Life",
    "Substance Use",
)
STATUSES = ("COMPLETED", "ACTIVE_NOT_RECRUITING")

SPEC = TrialSpec(
    table=TABLE,
    columns=COLUMNS,
    key=KEY,
    batch=BATCH,
    modalities=with_known_phrases(MODALITIES),
    conditions=CONDITIONS,
    statuses=STATUSES,
    expected=300,
)


def main() -> int:
    """Run the command line."""
    return trials_main(SPEC, __file__)


if __name__ == "__main__":
    sys.exit(main())
