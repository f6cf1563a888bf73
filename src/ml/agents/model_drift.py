"""Whether a model's predictions have moved, and whether it is right as often as before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from src.ml.agents.drift_dependence import design_effect
from src.ml.agents.drift_models import DriftResult, DriftType, Severity
from src.ml.agents.drift_stats import (
    MIN_SAMPLES,
    Shift,
    accuracy_drop,
    accuracy_severity,
    effect_size,
    severity,
    shift,
)
from src.ml.agents.sources import Filter, Op, Query, Source
from src.ml.agents.windows import Windows

#: labelled predictions that a judgement on accuracy needs in both windows together
MIN_LABELLED = 50
#: and in each of them
_MIN_LABELLED_EACH = 10
#: a score from here on predicts the outcome
_CUT = 0.5
_THRESHOLD = 0.1
_COLUMNS = ("prediction_timestamp", "prediction_value", "actual_outcome")


async def predictions(source: Source, model: str, windows: Windows) -> pd.DataFrame:
    """Score, outcome (NaN if unknown) and `is_current` of each prediction in the windows."""
    filters = (
        Filter("model_version", Op.EQ, model),
        Filter("prediction_value", Op.KNOWN),
        Filter("prediction_timestamp", Op.GT, windows.start),
        Filter("prediction_timestamp", Op.LE, windows.end),
    )
    order = ("prediction_timestamp", "prediction_id")
    frame = pd.DataFrame(
        await source.fetch(Query("ml_predictions", _COLUMNS, filters, order)),
        columns=list(_COLUMNS),
    )
    times = frame["prediction_timestamp"]
    score = frame["prediction_value"].astype(float)
    found = pd.DataFrame(
        {
            "score": score,
            "outcome": frame["actual_outcome"].astype(float),
            "is_current": [moment > windows.split for moment in times],
        }
    )
    in_baseline = np.array([moment <= windows.baseline_end for moment in times], dtype=bool)
    in_window = in_baseline | found["is_current"].to_numpy(dtype=bool)
    kept: pd.DataFrame = found[in_window & np.isfinite(score.to_numpy())]
    return kept


def prediction_drift(
    frame: pd.DataFrame, windows: Windows, alpha: float, threshold: float | None
) -> list[DriftResult]:
    """Whether scores and predicted classes have moved."""
    is_current = frame["is_current"].to_numpy(dtype=bool)
    scores = frame["score"].to_numpy(dtype=float)
    before, now = scores[~is_current], scores[is_current]
    names = ("prediction_scores", "prediction_classes")
    sizes = (len(before), len(now))
    if min(sizes) < MIN_SAMPLES:
        return [drift_result(name, DriftType.MODEL, windows, sizes) for name in names]
    found_results = []
    classes = (before >= _CUT, now >= _CUT)
    for name, kind, pair in zip(names, ("float64", "bool"), ((before, now), classes), strict=True):
        dependence = design_effect(*pair, categorical=kind == "bool")
        found, size = shift(kind, *pair, dependence), effect_size(kind, *pair)
        is_found = found.p_value < alpha
        limit = threshold or _THRESHOLD
        grave = severity(found.psi, detected=is_found, threshold=limit, effect=size)
        result = drift_result(name, DriftType.MODEL, windows, sizes, found, grave)
        measured = {"effect_size": size, "design_effect": dependence}
        found_results.append(result.model_copy(update=measured))
    return found_results


def concept_drift(frame: pd.DataFrame, windows: Windows, alpha: float) -> DriftResult:
    """Whether the model is right as often as before."""
    labelled = frame.dropna(subset=["outcome"])
    is_current = labelled["is_current"].to_numpy(dtype=bool)
    right = ((labelled["score"] >= _CUT) == (labelled["outcome"] >= _CUT)).to_numpy(dtype=bool)
    before, now = int((~is_current).sum()), int(is_current.sum())
    if before + now < MIN_LABELLED or min(before, now) < _MIN_LABELLED_EACH:
        return drift_result("model_accuracy", DriftType.CONCEPT, windows, (before, now))
    drop = accuracy_drop(int(right[~is_current].sum()), before, int(right[is_current].sum()), now)
    figures = Shift(drop.z, drop.p_value)
    grave = accuracy_severity(drop, alpha)
    return drift_result("model_accuracy", DriftType.CONCEPT, windows, (before, now), figures, grave)


def drift_result(
    name: str,
    kind: DriftType,
    windows: Windows,
    sizes: tuple[int, int],
    found: Shift | None = None,
    grave: Severity = Severity.NONE,
    p_value_adjusted: float | None = None,
    reasons: Sequence[str] = (),
) -> DriftResult:
    """The result of a check; one without figures or reasons had too few values."""
    return DriftResult(
        feature=name,
        status="checked" if found or reasons else "insufficient_data",
        drift_type=kind,
        test_statistic=found.psi if found else None,
        p_value=found.p_value if found else None,
        p_value_adjusted=p_value_adjusted,
        drift_detected=grave is not Severity.NONE,
        severity=grave,
        n_baseline=sizes[0],
        n_current=sizes[1],
        baseline_period=windows.baseline_period,
        current_period=windows.current_period,
        reasons=list(reasons),
    )
