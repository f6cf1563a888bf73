"""How well the built-in effect is found in small loads, read from the database, by process."""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _common import ROOT, report

from orchestrate_backend.targets.choose import EmbeddedTarget
from src.ml.agents.sources import PostgresSource, Query
from src.ml.synthetic.config import DGPType
from src.ml.synthetic.datasets import SMALL_SIZES
from src.ml.synthetic.generators import GeneratorConfig, HCPGenerator, PatientGenerator
from src.ml.synthetic.load_run import SCHEMA
from src.ml.synthetic.loaders import TABLE_COLUMNS, BatchLoader, LoaderConfig
from src.ml.synthetic.validators import CausalValidationResult, CausalValidator

KEPT = ROOT / "benchmarks" / "synthetic_effects.json"
_SEEDS = 20
_PATIENTS = Query("patient_journeys", tuple(TABLE_COLUMNS["patient_journeys"]))


def found(target: EmbeddedTarget, dgp: DGPType, seed: int) -> CausalValidationResult:
    """Load HCPs and patients of one seed over those of the last, and ask the database."""
    base = GeneratorConfig(seed=seed, dgp_type=dgp)
    hcps = HCPGenerator(replace(base, n_records=SMALL_SIZES["hcp_profiles"])).generate()
    size = SMALL_SIZES["patient_journeys"]
    patients = PatientGenerator(replace(base, n_records=size), hcps).generate()
    frames = {"hcp_profiles": hcps, "patient_journeys": patients}
    BatchLoader(LoaderConfig(dsn=target.uri())).load_all(frames)

    async def read() -> pd.DataFrame:
        source = PostgresSource(target.uri())
        try:
            return pd.DataFrame(await source.fetch(_PATIENTS))
        finally:
            await source.close()

    return CausalValidator().validate_dgp(asyncio.run(read()), dgp, run_refutations=False)


def summary(results: list[CausalValidationResult]) -> dict[str, Any]:
    """Mean and scatter of the estimates, and how many are near the truth."""
    slopes = np.array([r.estimated_ate for r in results], dtype=float)
    errors = np.array([r.standard_error for r in results], dtype=float)
    off = np.abs(slopes - results[0].true_ate) / errors
    return {
        "truth": results[0].true_ate,
        "mean": round(float(slopes.mean()), 4),
        "scatter": round(float(slopes.std(ddof=1)), 4),
        "standard_error": round(float(errors.mean()), 4),
        "within_two": int((off <= 2).sum()),
        "most_errors_off": round(float(off.max()), 2),
        "seeds": len(results),
    }


def main() -> None:
    """Measure, print and keep."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        target = EmbeddedTarget(Path(folder))
        target.apply_sql(SCHEMA.read_text(encoding="utf-8"), SCHEMA.name)
        # time_series acts by earlier engagement too, which no table holds
        for dgp in (d for d in DGPType if d is not DGPType.TIME_SERIES):
            figures[dgp.value] = summary([found(target, dgp, seed) for seed in range(_SEEDS)])
        target.close()
    KEPT.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    outside = sum(f["seeds"] - f["within_two"] for f in figures.values())
    report("synthetic_effects", {**figures, "outside": outside}, {"outside": 1})


if __name__ == "__main__":
    main()
