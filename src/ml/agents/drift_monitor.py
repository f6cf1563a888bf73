"""The drift monitor: whether features and predictions still look as they did."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

import numpy as np

from src.ml.agents.drift_dependence import design_effect
from src.ml.agents.drift_models import (
    DriftAlert,
    DriftReport,
    DriftRequest,
    DriftResult,
    DriftType,
    Severity,
)
from src.ml.agents.drift_stats import (
    MIN_SAMPLES,
    accuracy_drop,
    accuracy_severity,
    adjusted,
    drift_level,
    drift_score,
    effect_size,
    is_categorical,
    is_thinner,
    severity,
    shift,
    tells_nothing,
    volume_severity,
)
from src.ml.agents.feature_values import Feature, FeatureRepository, Pair
from src.ml.agents.model_drift import (
    concept_drift,
    drift_result,
    prediction_drift,
    predictions,
)
from src.ml.agents.periods import milliseconds
from src.ml.agents.sources import Filter, Op, Source, latest
from src.ml.agents.windows import Windows, as_utc

_ALERTS: Mapping[Severity, Literal["critical", "warning"]] = {
    Severity.CRITICAL: "critical",
    Severity.HIGH: "warning",
}
_ACTIONS = {
    DriftType.MISSING: "Find out why values are missing or rows stop, before anything is retrained",
    DriftType.DATA: "Check the source of these features, then retrain the models that use them",
    DriftType.MODEL: "Compare the model's inputs of both windows before its scores are used",
    DriftType.CONCEPT: "Retrain the model on recent outcomes",
}

#: a feature is stale after so many times the longest pause between its rows
_PAUSES = 3
#: fewer values than this, as far as they are independent, say nothing
_MIN_INDEPENDENT = 10


class DriftMonitor:
    """Answers questions about drift from what a source holds; it never makes values up."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._features = FeatureRepository(source)

    async def detect(self, request: DriftRequest) -> DriftReport:
        """Compare the two windows that end at `as_of`, or at the latest value.

        Raises UnknownNameError for an unknown feature, TargetError without a connection.
        """
        start = time.perf_counter()
        warnings: list[str] = []
        results = await self._data_drift(request, warnings) if request.check_data_drift else []
        results += await self._model_drift(request, warnings)
        checked = [result for result in results if result.status == "checked"]
        drifted = sorted({result.feature for result in checked if result.drift_detected})
        score = drift_score([result.severity for result in checked])
        now = datetime.now(UTC)
        return DriftReport(
            status="completed" if checked else "insufficient_data" if results else "no_data",
            overall_drift_score=score,
            features_checked=sum(result.drift_type is DriftType.DATA for result in checked),
            features_with_drift=drifted,
            results=list(results),
            alerts=alerts(checked, now),
            drift_summary=_summary(results, warnings, drifted, score),
            recommended_actions=[
                action
                for kind, action in _ACTIONS.items()
                if any(_severity_of(r, kind) is not Severity.NONE for r in checked)
            ],
            detection_latency_ms=milliseconds(start, time.perf_counter()),
            timestamp=now,
            warnings=warnings,
        )

    async def _data_drift(self, request: DriftRequest, warnings: list[str]) -> list[DriftResult]:
        features = await self._features.get_features(request.features)
        end = await latest(self._source, "feature_values", "event_timestamp")
        if not features or end is None:
            warnings.append("the feature store holds no features" if not features else _NO_VALUES)
            return []
        now = as_utc(request.as_of or end)
        last = await self._features.get_latest(features, request.brand, request.as_of and now)
        # of its own, so that what comes of other features moves no window
        ends = {f.id: now if request.as_of else last.get(f.id, now) for f in features}
        windows = {id_: Windows(moment, request.days) for id_, moment in ends.items()}
        pairs = await self._features.get_windows(features, windows, request.brand)
        ages = await self._ages(features, windows, pairs, last, now, request.brand)
        warnings += _value_doubts(request, features, pairs)
        warnings += [
            f"{f.name}: {ages[f.id]}, and nothing tells how often it has one"
            for f in features
            if f.id in ages and not ages[f.id].pause and ages[f.id].is_long
        ]
        return feature_results(features, pairs, windows, request, ages)

    async def _ages(
        self,
        features: Sequence[Feature],
        windows: Mapping[str, Windows],
        pairs: Mapping[str, Pair],
        last: Mapping[str, datetime],
        now: datetime,
        brand: str | None,
    ) -> dict[str, Age]:
        """For how long each feature has had no row, by its id."""
        # where one ended long ago, its own last windows tell how often it had rows
        gone = [f for f in features if f.id in last and not pairs[f.id].rows]
        ended = {f.id: Windows(last[f.id], windows[f.id].days) for f in gone}
        own = {**pairs, **await self._features.get_windows(gone, ended, brand)}
        known = [f for f in features if f.id in last]
        ages = {f.id: Age(now - last[f.id], own[f.id], own[f.id].pause) for f in known}
        for f in (f for f in known if ages[f.id].is_long):
            # it may have paused longer before, as between two batches
            start = {**windows, **ended}[f.id].start
            earlier = await self._features.get_latest([f], brand, start)
            ages[f.id] = ages[f.id].since(earlier.get(f.id))
        return ages

    async def _model_drift(self, request: DriftRequest, warnings: list[str]) -> list[DriftResult]:
        if not (request.check_model_drift or request.check_concept_drift):
            return []
        if request.model_id is None:
            warnings.append("no model_id: the checks of a model are skipped")
            return []
        of_model = (Filter("model_version", Op.EQ, request.model_id),)
        end = await latest(self._source, "ml_predictions", "prediction_timestamp", of_model)
        if end is None:
            warnings.append(f"ml_predictions holds no predictions of model {request.model_id!r}")
            return []
        if request.brand:
            warnings.append("predictions name no brand: the model is checked over all brands")
        windows = Windows(as_utc(request.as_of or end), request.days)
        frame = await predictions(self._source, request.model_id, windows)
        alpha, found = request.significance_level, []
        if request.check_model_drift:
            found += prediction_drift(frame, windows, alpha, request.psi_threshold)
        if request.check_concept_drift:
            found.append(concept_drift(frame, windows, alpha))
        return found


_NO_VALUES = "the feature store holds no values"


class Age(NamedTuple):
    """For how long a feature has had no row, and how long it paused before."""

    age: timedelta
    #: the last rows that it had
    pair: Pair
    #: the longest pause; 0 if nothing tells
    pause: timedelta

    @property
    def is_long(self) -> bool:
        """Whether it is much longer than any pause before."""
        return self.pair.rows >= MIN_SAMPLES and self.age > _PAUSES * self.pause

    def since(self, earlier: datetime | None) -> Age:
        """The same with the pause between an earlier row and the first of the pair's.

        A first batch, all rows of a day with none before them, tells no pause.
        """
        if self.pair.ends is None:
            return self
        first, last = self.pair.ends
        if earlier is not None:
            return self._replace(pause=max(self.pause, first - earlier))
        return self._replace(pause=timedelta(0)) if last - first < timedelta(days=1) else self

    def __str__(self) -> str:
        return f"no row for {self.age / timedelta(days=1):.1f} days"


def feature_results(
    features: Sequence[Feature],
    pairs: Mapping[str, Pair],
    windows: Mapping[str, Windows],
    request: DriftRequest,
    ages: Mapping[str, Age] | None = None,
) -> list[DriftResult]:
    """A result per feature, in the order given; too few values are a result too."""
    enough = [f for f in features if _is_comparable(f, pairs[f.id])]
    effects = {f.id: _dependence(f, pairs[f.id]) for f in enough}
    enough = [f for f in enough if min(pairs[f.id].sizes) / effects[f.id] >= _MIN_INDEPENDENT]
    shifts = [
        shift(f.value_type, pairs[f.id].baseline, pairs[f.id].current, effects[f.id])
        for f in enough
    ]
    corrected = adjusted([found.p_value for found in shifts])
    checked = dict(zip((f.id for f in enough), zip(shifts, corrected, strict=True), strict=True))
    losses = _losses(features, pairs, request.significance_level)
    results = []
    for f in features:
        pair = pairs[f.id]
        if ages and f.id in ages:
            losses[f.id] |= _staleness(ages[f.id], request.days)
        found, p_value = checked.get(f.id, (None, None))
        moved, size = Severity.NONE, None
        if found and p_value is not None:
            size = effect_size(f.value_type, pair.baseline, pair.current)
            is_found = p_value < request.significance_level
            limit = request.psi_threshold or f.drift_threshold
            moved = severity(found.psi, detected=is_found, threshold=limit, effect=size)
        lost = _gravest(losses[f.id].values())
        result = drift_result(
            f.name,
            DriftType.DATA,
            windows[f.id],
            pair.sizes,
            found,
            _gravest((moved, lost)),
            p_value,
            tuple(losses[f.id]),
        )
        measured = {
            "shift_severity": moved,
            "loss_severity": lost,
            "effect_size": size,
            "design_effect": effects.get(f.id, 1.0),
        }
        results.append(result.model_copy(update=measured))
    return results


def _gravest(found: Iterable[Severity]) -> Severity:
    return max([Severity.NONE, *found], key=list(Severity).index)


def _is_comparable(feature: Feature, pair: Pair) -> bool:
    """Whether both windows hold enough values, and not each of its own."""
    enough = min(pair.sizes) >= MIN_SAMPLES
    return enough and not tells_nothing(feature.value_type, pair.baseline, pair.current)


def _dependence(feature: Feature, pair: Pair) -> float:
    both = np.concatenate([pair.baseline, pair.current])
    categorical = is_categorical(feature.value_type, both)
    return design_effect(pair.baseline, pair.current, pair.entities, categorical=categorical)


def _staleness(age: Age, days: int) -> dict[str, Severity]:
    """That a feature has had no row for much longer than it ever paused."""
    if not age.pause or not age.is_long:
        return {}
    if age.age < timedelta(days=days):
        return {str(age): Severity.HIGH}
    return {f"{age}, 0 rows after {age.pair.now.rows or age.pair.before.rows}": Severity.CRITICAL}


def _value_doubts(
    request: DriftRequest, features: Sequence[Feature], pairs: Mapping[str, Pair]
) -> list[str]:
    doubts = [
        f"{f.name}: {pairs[f.id].unusable} values are not of its type, and left out"
        for f in features
        if pairs[f.id].unusable
    ]
    doubts += [
        f"{f.name}: {pairs[f.id].now.rows} rows after {pairs[f.id].before.rows}"
        for f in features
        if is_thinner(pairs[f.id].before.rows, pairs[f.id].now.rows)
    ]
    doubts += [
        f"{f.name}: every value is a category of its own, so nothing tells drift from none"
        for f in features
        if min(pairs[f.id].sizes) >= MIN_SAMPLES and not _is_comparable(f, pairs[f.id])
    ]
    others = [feature.name for feature in features if "brand" not in feature.entity_keys]
    if request.brand and others:
        doubts.append(f"not kept by brand, so without values of one: {', '.join(others)}")
    for f in features:
        if _is_comparable(f, pairs[f.id]) and (effect := _dependence(f, pairs[f.id])) >= 2:
            independent = min(pairs[f.id].sizes) / effect
            doubts.append(
                f"{f.name}: values depend on each other, a window says as much as "
                f"{independent:.0f} independent ones"
            )
    return doubts


def _losses(
    features: Sequence[Feature], pairs: Mapping[str, Pair], alpha: float
) -> dict[str, dict[str, Severity]]:
    """What each feature has lost besides its distribution, in words, with how grave that is."""
    found: dict[str, dict[str, Severity]] = {f.id: {} for f in features}
    full = [f for f in features if min(pairs[f.id].before.rows, pairs[f.id].now.rows) > 0]
    drops = [
        accuracy_drop(before.sound, before.rows, now.sound, now.rows)
        for before, now in ((pairs[f.id].before, pairs[f.id].now) for f in full)
    ]
    corrected = adjusted([drop.p_value for drop in drops])
    for f, drop, p_value in zip(full, drops, corrected, strict=True):
        grave = accuracy_severity(drop._replace(p_value=p_value), alpha)
        before, now = pairs[f.id].before, pairs[f.id].now
        # less than one value in twenty is said with the warnings
        slight = grave in (Severity.NONE, Severity.LOW)
        if not slight and min(now.rows, before.rows) >= MIN_SAMPLES:
            shares = (
                (now.missing, before.missing, "missing"),
                (now.mistyped, before.mistyped, f"not of type {f.value_type}"),
            )
            words = [
                f"{part / now.rows:.0%} of its values are {what}, {was / before.rows:.0%} were"
                for part, was, what in shares
                if part
            ]
            found[f.id][", ".join(words)] = grave
    for f in features:
        was, rows = pairs[f.id].before.rows, pairs[f.id].now.rows
        grave = volume_severity(was, rows)
        if grave is not Severity.NONE:
            found[f.id][f"{rows} rows after {was}"] = grave
    return found


def alerts(results: Sequence[DriftResult], now: datetime) -> list[DriftAlert]:
    """One alert per kind of drift and severity, the gravest first."""
    found = []
    for grave, level in _ALERTS.items():
        for kind in DriftType:
            of_kind = [r for r in results if _severity_of(r, kind) is grave]
            names = [r.feature for r in of_kind]
            is_loss = kind is DriftType.MISSING
            reported = [f"{r.feature}: {why}" for r in of_kind for why in r.reasons if is_loss]
            if names:
                found.append(
                    DriftAlert(
                        alert_id=f"drift_{uuid.uuid4().hex[:12]}",
                        severity=level,
                        drift_type=kind,
                        affected_features=sorted(names),
                        message="; ".join(
                            [f"{grave} {kind} drift: {', '.join(sorted(names))}", *sorted(reported)]
                        ),
                        recommended_action=_ACTIONS[kind],
                        timestamp=now,
                    )
                )
    return found


def _severity_of(result: DriftResult, kind: DriftType) -> Severity:
    """How grave a result is as drift of this kind."""
    if result.drift_type is not DriftType.DATA:
        return result.severity if result.drift_type is kind else Severity.NONE
    known = {DriftType.MISSING: result.loss_severity, DriftType.DATA: result.shift_severity}
    return known.get(kind, Severity.NONE)


def _summary(
    results: Sequence[DriftResult],
    warnings: Sequence[str],
    drifted: Sequence[str],
    score: float | None,
) -> str:
    if score is None:
        reason = "too few values" if results else "; ".join(warnings)
        return f"Nothing could be checked: {reason}."
    checked = sum(result.status == "checked" for result in results)
    few = len(results) - checked
    left = f" {few} had too few values." if few else ""
    names = f": {', '.join(drifted)}" if drifted else ""
    return (
        f"{drift_level(score)} drift ({score:.3f}): {len(drifted)} of {checked} moved{names}.{left}"
    )
