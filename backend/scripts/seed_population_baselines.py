"""Load aggregate treatment statistics from their CSV file into population_baselines."""

from __future__ import annotations

import sys
from pathlib import Path

from orchestrate_backend.seeding import CsvSeed, run_seed

SEED = CsvSeed(
    table="population_baselines",
    csv="backend/data/population_baselines_seed.csv",
    columns={
        "source": "text",
        "year": "integer",
        "region": "text",
        "condition": "text",
        "substance": "text",
        "demographic_group": "text",
        "n_episodes": "integer",
        "avg_age": "numeric",
        "pct_female": "numeric",
        "avg_prior_treatments": "numeric",
        "avg_los_days": "numeric",
        "pct_completed_treatment": "numeric",
    },
    required=("source", "year", "region"),
    key=("source", "year", "region", "condition", "substance", "demographic_group"),
    percent=("pct_female", "pct_completed_treatment"),
    what="population baselines",
    provider="ANALYST",
)

if __name__ == "__main__":
    sys.exit(run_seed(SEED, Path(__file__)))
