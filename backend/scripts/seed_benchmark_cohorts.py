"""Load the published benchmark cohorts from their CSV file into benchmark_cohorts."""

from __future__ import annotations

import sys
from pathlib import Path

from orchestrate_backend.seeding import CsvSeed, run_seed

SEED = CsvSeed(
    table="benchmark_cohorts",
    csv="backend/data/benchmark_cohorts_seed.csv",
    columns={
        "cohort_name": "text",
        "source_citation": "text",
        "modality": "text",
        "condition": "text",
        "setting": "text",
        "n_participants": "integer",
        "country": "text",
        "instrument": "text",
        "baseline_mean": "numeric",
        "baseline_sd": "numeric",
        "endpoint_mean": "numeric",
        "endpoint_sd": "numeric",
        "followup_weeks": "integer",
        "response_rate_pct": "numeric",
        "remission_rate_pct": "numeric",
        "effect_size_hedges_g": "numeric",
        "adverse_event_rate_pct": "numeric",
        "data_freely_usable": "boolean",
        "license": "text",
        "notes": "text",
    },
    required=(
        "cohort_name",
        "source_citation",
        "modality",
        "condition",
        "n_participants",
        "instrument",
    ),
    key=("cohort_name", "source_citation", "modality", "condition", "instrument"),
    percent=("response_rate_pct", "remission_rate_pct", "adverse_event_rate_pct"),
    what="benchmark cohorts",
    provider="ANALYST",
)

if __name__ == "__main__":
    sys.exit(run_seed(SEED, Path(__file__)))
