"""What the data agents find of what was planted, and what they report where nothing was.

Prints one JSON line; the last run stands in `agents_truth.json`, and its table in the documents.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
from _common import ROOT
from scipy.signal import lfilter

from src.ml.agents import DriftMonitor, DriftRequest, GapAnalyzer, GapRequest
from src.ml.synthetic.config import REGIONS
from tests.memory_source import END, MemorySource, feature_row, hcp_rows, metric_row, two_windows

_KEPT = ROOT / "benchmarks" / "agents_truth.json"
_SIZES = (100.0, 250.0, 60.0, 180.0)
_QUARTER = date(2024, 10, 1)
_FEATURES = 6
_VALUES = 200

Values = np.ndarray[Any, np.dtype[Any]]
#: draws of a planted or of a calm run: a generator, whether it is planted → baseline, current
Draw = Callable[[np.random.Generator, bool], tuple[Values, Values]]


def gaps(seed: int, spread: float, season: float, planted: float) -> list[str]:
    """The region of each opportunity, by rank, in three years of months; the south is planted."""
    draws, rows = np.random.default_rng(seed), []
    for region, size in zip(REGIONS, _SIZES, strict=True):
        for day in [date(y, m, 1) for y in (2022, 2023, 2024) for m in range(1, 13)]:
            factor = 1 + spread * draws.normal() + season * np.sin(np.pi * day.month / 6)
            hit = planted if region == "south" and day >= _QUARTER else 1.0
            aim = size * (1 + season * np.sin(np.pi * day.month / 6))
            rows.append(metric_row(day, "trx", region, size * factor * hit, aim))
    source = MemorySource(business_metrics=rows, hcp_profiles=hcp_rows(10))
    asked = GapRequest(brand="Remibrutinib", metrics=["trx"], time_period="Q4_2024")
    found = asyncio.run(GapAnalyzer(source).analyze(asked)).prioritized_opportunities
    return [opportunity.gap.segment_value for opportunity in found]


def _memory(draws: np.random.Generator, planted: bool) -> tuple[Values, Values]:
    series = lfilter([0.6], [1.0, -0.8], draws.normal(size=2 * _VALUES + 100))[100:]
    return series[:_VALUES], series[_VALUES:] + 1.5 * planted


DRIFTS: dict[str, Draw] = {
    "shift of half a deviation": lambda r, p: (
        r.normal(size=_VALUES),
        r.normal(0.5 * p, 1, _VALUES),
    ),
    "spread times 1.7": lambda r, p: (r.normal(size=_VALUES), r.normal(0, 1 + 0.7 * p, _VALUES)),
    "counts of 2 become 3": lambda r, p: (
        r.poisson(2, _VALUES).astype(float),
        r.poisson(2 + p, _VALUES).astype(float),
    ),
    "share of .3 becomes .5": lambda r, p: (
        (r.random(_VALUES) < 0.3).astype(float),
        (r.random(_VALUES) < 0.3 + 0.2 * p).astype(float),
    ),
    "30 values, shift of 1.2": lambda r, p: (r.normal(size=30), r.normal(1.2 * p, 1, 30)),
    "memory of .8, shift of 1.5": _memory,
    "a quarter missing": lambda r, p: (
        r.normal(size=_VALUES),
        np.where(r.random(_VALUES) < 0.25 * p, np.nan, r.normal(size=_VALUES)),
    ),
    "rows stop": lambda r, p: (r.normal(size=_VALUES), r.normal(size=0 if p else _VALUES)),
}


def drifts(seed: int, draw: Draw, *, is_planted: bool) -> set[str]:
    """The features that moved, of 6; the first one is planted."""
    draws, features, rows = np.random.default_rng(seed), [], []
    for number in range(_FEATURES):
        feature = feature_row(f"f{number}")
        features.append(feature)
        pair = [
            [None if np.isnan(value) else value for value in part.tolist()]
            for part in draw(draws, is_planted and number == 0)
        ]
        rows += two_windows(feature, pair[0], pair[1])
    source = MemorySource(features=features, feature_values=rows, ml_predictions=[])
    asked = DriftRequest(features=None, time_window="7d", as_of=END)
    return set(asyncio.run(DriftMonitor(source).detect(asked)).features_with_drift)


def measured(runs: int) -> dict[str, dict[str, float]]:
    """Per plant: power, and the share of questions without one that raise any alarm."""
    table: dict[str, dict[str, float]] = {}
    for spread in (0.05, 0.10):
        for season in (0.0, 0.3):
            calm = [gaps(seed, spread, season, 1.0) for seed in range(runs)]
            hit = [gaps(seed, spread, season, 0.8)[:1] == ["south"] for seed in range(runs)]
            name = f"gap of 20 % at rank 1, noise {spread:.0%}" + (", a season" if season else "")
            table[name] = {
                "power": float(np.mean(hit)),
                "false": float(np.mean([*map(bool, calm)])),
            }
    for name, draw in DRIFTS.items():
        quiet = [len(drifts(seed, draw, is_planted=False)) for seed in range(runs)]
        hits = ["f0" in drifts(seed, draw, is_planted=True) for seed in range(runs)]
        table[f"drift: {name}"] = {
            "power": float(np.mean(hits)),
            "false": float(np.mean(np.array(quiet) > 0)),
        }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--keep", action="store_true", help="keep the run for the documents")
    options = parser.parse_args()
    start = time.process_time()
    line = {"benchmark": "agents_truth", "runs": options.runs, "table": measured(options.runs)}
    line["cpu_seconds"] = round(time.process_time() - start, 1)
    print(json.dumps(line))
    if options.keep:
        _KEPT.write_text(json.dumps(line, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
