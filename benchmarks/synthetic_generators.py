"""How long a million synthetic rows take, beside a row-by-row implementation measured as well.

`times_row_by_row` is the ratio of rows a second. Memory is the peak of Python's and NumPy's
allocations while all rows are made at once, and while batches are made and let go one by one.
"""

from __future__ import annotations

import argparse
import gc
import time
import tracemalloc
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import _synthetic_rows as rows
import pandas as pd
from _common import report

from src.ml.synthetic.generators import (
    BaseGenerator,
    BusinessMetricsGenerator,
    EngagementGenerator,
    FeatureStoreSeeder,
    FeatureValueGenerator,
    GeneratorConfig,
    HCPGenerator,
    OutcomeGenerator,
    PatientGenerator,
    PredictionGenerator,
    TreatmentGenerator,
    TriggerGenerator,
)

#: rows of the row-by-row implementation, and of the measurement of memory
_SLOW_ROWS, _MEMORY_ROWS, _BATCH = 3_000, 200_000, 5_000
#: the frames that linked rows point to
_PATIENTS, _HCPS = 100_000, 10_000

Make = Callable[[int], BaseGenerator]
Slow = Callable[[int], pd.DataFrame]


def config(n: int, **settings: Any) -> GeneratorConfig:
    """Settings for n rows."""
    return GeneratorConfig(n_records=n, **settings)


def pairs() -> Mapping[str, tuple[Make, Slow]]:
    """Every generator, alone and linked, with its row-by-row twin."""
    hcps = HCPGenerator(config(_HCPS)).generate()
    patients = PatientGenerator(config(_PATIENTS), hcps).generate()
    features = FeatureStoreSeeder().generate()
    # a million figures need 16,666 days
    long = {"start_date": date(1975, 1, 1)}
    return {
        "hcp_profiles": (lambda n: HCPGenerator(config(n)), rows.hcps),
        "patient_journeys": (lambda n: PatientGenerator(config(n)), rows.patients),
        "patient_journeys_linked": (
            lambda n: PatientGenerator(config(n), hcps),
            lambda n: rows.patients(n, hcps),
        ),
        "treatment_events": (lambda n: TreatmentGenerator(config(n)), rows.treatments),
        "treatment_events_linked": (
            lambda n: TreatmentGenerator(config(n), patients),
            lambda n: rows.treatments(n, patients),
        ),
        "engagement_events": (lambda n: EngagementGenerator(config(n)), rows.engagements),
        "engagement_events_linked": (
            lambda n: EngagementGenerator(config(n), hcps),
            lambda n: rows.engagements(n, hcps),
        ),
        "business_outcomes": (lambda n: OutcomeGenerator(config(n)), rows.outcomes),
        "business_outcomes_linked": (
            lambda n: OutcomeGenerator(config(n), patients),
            lambda n: rows.outcomes(n, patients),
        ),
        "ml_predictions": (lambda n: PredictionGenerator(config(n)), rows.predictions),
        "ml_predictions_linked": (
            lambda n: PredictionGenerator(config(n), patients),
            lambda n: rows.predictions(n, patients),
        ),
        "triggers": (lambda n: TriggerGenerator(config(n)), rows.triggers),
        "triggers_linked": (
            lambda n: TriggerGenerator(config(n), patients, hcps),
            lambda n: rows.triggers(n, patients),
        ),
        "business_metrics": (lambda n: BusinessMetricsGenerator(config(n, **long)), rows.metrics),
        "feature_values": (
            lambda n: FeatureValueGenerator(config(n), features),
            rows.feature_values,
        ),
        "feature_values_linked": (
            lambda n: FeatureValueGenerator(config(n), features, patients),
            lambda n: rows.feature_values(n, patients),
        ),
    }


def timed(action: Callable[[], pd.DataFrame]) -> tuple[float, int]:
    """Seconds and rows; nothing of another run is left to collect."""
    gc.collect()
    began = time.perf_counter()
    count = len(action())
    return time.perf_counter() - began, count


def measure(make: Make, slow: Slow, n: int) -> dict[str, float]:
    """Seconds, rows a second, and how many times more than row by row."""
    seconds, count = timed(lambda: make(n).generate())
    slow_seconds, slow_count = timed(lambda: slow(_SLOW_ROWS))
    speed = count / seconds
    return {
        "rows": count,
        "seconds": round(seconds, 2),
        "rows_per_s": round(speed),
        "times_row_by_row": round(speed / (slow_count / slow_seconds), 1),
    }


def peak_mb(action: Callable[[], object]) -> float:
    """Megabytes that an action holds at its peak."""
    gc.collect()
    tracemalloc.start()
    try:
        action()
        return round(tracemalloc.get_traced_memory()[1] / 1e6, 1)
    finally:
        tracemalloc.stop()


def memory() -> dict[str, dict[str, float]]:
    """Peak megabytes of all rows at once and of batches, for a table of each kind."""
    features = FeatureStoreSeeder().generate()
    settings = config(_MEMORY_ROWS, batch_size=_BATCH)
    makers: dict[str, Callable[[], BaseGenerator]] = {
        "patient_journeys": lambda: PatientGenerator(settings),
        "triggers": lambda: TriggerGenerator(settings),
        "feature_values": lambda: FeatureValueGenerator(settings, features),
    }
    return {
        name: {
            "at_once_mb": peak_mb(lambda make=make: make().generate()),
            "batches_mb": peak_mb(lambda make=make: sum(len(f) for f in make().generate_batched())),
        }
        for name, make in makers.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    n = parser.parse_args().rows
    found = {name: measure(make, slow, n) for name, (make, slow) in pairs().items()}
    figures = {
        "generators": found,
        "memory_rows": _MEMORY_ROWS,
        "memory": memory(),
        "slowest_s": max(f["seconds"] for f in found.values()),
        "largest_share_of_row_by_row": round(
            max(1 / f["times_row_by_row"] for f in found.values()), 4
        ),
    }
    report(
        "synthetic_generators",
        figures,
        {"slowest_s": 6.0, "largest_share_of_row_by_row": 0.05},
    )


if __name__ == "__main__":
    main()
