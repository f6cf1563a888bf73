"""The drift monitor: windows, corrected PSI, tests, severity, and what is said without data."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError
from scipy.signal import lfilter
from scipy.stats import anderson_ksamp

from orchestrate_backend.errors import TargetError
from src.ml.agents import DriftMonitor, DriftReport, DriftRequest
from src.ml.agents.drift_dependence import design_effect
from src.ml.agents.drift_models import DriftResult, Severity
from src.ml.agents.drift_stats import (
    _ad_level,
    accuracy_drop,
    accuracy_severity,
    adjusted,
    categorical_shift,
    corrected_psi,
    drift_level,
    drift_score,
    effect_size,
    is_categorical,
    numeric_shift,
    severity,
    shift,
)
from src.ml.agents.names import UnknownNameError
from src.ml.agents.sources import Query, Record
from src.ml.agents.windows import Windows, as_utc
from src.ml.cli import _drift_lines
from src.ml.synthetic.generators import FeatureStoreSeeder, FeatureValueGenerator, GeneratorConfig
from src.ml.synthetic.generators.feature_value_generator import PlantedDrift
from src.ml.synthetic.plots import drift_figure
from tests.memory_source import END, MemorySource, feature_row, two_windows, value_rows

SEEDS = 200
FINITE = st.floats(-1e9, 1e9)


def detect(
    stored: Sequence[Record], values: Sequence[Record], *more: Record, **request: Any
) -> DriftReport:
    source = MemorySource(features=stored, feature_values=values, ml_predictions=more)
    asked = DriftRequest(**{"features": None, "time_window": "7d", **request})
    return asyncio.run(DriftMonitor(source).detect(asked))


def normal(seed: int, size: int, mean: float = 0.0) -> list[float]:
    return list(np.random.default_rng(seed).normal(mean, 1.0, size))


# -- requests and windows


@pytest.mark.parametrize("text", ["", "7", "d", "0d", "366d", "-1d", "7 d", "7d ", "7D", "1.5d"])
def test_a_time_window_outside_1d_to_365d_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="time_window is 1d to 365d"):
        DriftRequest(features=None, time_window=text)


@settings(deadline=None)
@given(st.integers(1, 365))
def test_every_number_of_days_up_to_a_year_is_a_window(days: int) -> None:
    assert DriftRequest(features=None, time_window=f"{days}d").days == days


@pytest.mark.parametrize(
    "wrong",
    [
        {"significance_level": 0.001},
        {"significance_level": 0.2},
        {"psi_threshold": 0},
        {"brand": "kisqali"},
        {"features": []},
        {"surprise": 1},
    ],
)
def test_a_request_outside_the_rules_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DriftRequest(**{"features": None, "time_window": "7d", **wrong})


def test_the_baseline_ends_where_the_current_window_starts() -> None:
    windows = Windows(END, 7)
    assert windows.end - windows.split == windows.split - windows.start == timedelta(days=7)
    assert windows.baseline_period.split("/")[1] == windows.current_period.split("/")[0]
    assert as_utc(datetime(2026, 1, 1)) == datetime(2026, 1, 1, tzinfo=UTC)


# -- PSI and tests


@pytest.mark.parametrize("size", [30, 100, 200, 1000])
def test_without_drift_the_corrected_psi_is_about_nothing(size: int) -> None:
    found = [
        numeric_shift(np.array(normal(s, size)), np.array(normal(s + 10**6, size))).psi
        for s in range(SEEDS)
    ]
    assert np.median(found) < 0.02
    assert np.mean(np.array(found) >= 0.25) <= 0.06


@pytest.mark.parametrize("size", [30, 200])
def test_without_drift_at_most_one_feature_in_twenty_is_flagged(size: int) -> None:
    kinds = ["numeric", "flag", "text"]
    flagged = 0
    for seed in range(SEEDS):
        draws = np.random.default_rng(seed)
        samples = [
            (draws.normal(size=size), draws.normal(size=size)),
            (draws.random(size) < 0.3, draws.random(size) < 0.3),
            (draws.choice(list("abcde"), size), draws.choice(list("abcde"), size)),
        ]
        tests = [numeric_shift, categorical_shift, categorical_shift]
        ps = [test(*sample).p_value for test, sample in zip(tests, samples, strict=True)]
        flagged += sum(p < 0.05 for p in adjusted(ps))
    assert flagged / (SEEDS * len(kinds)) <= 0.05


def test_a_shift_of_half_a_deviation_is_found_in_full_size_windows() -> None:
    found = [
        numeric_shift(np.array(normal(s, 389)), np.array(normal(s + 10**6, 389, 0.5))).p_value
        for s in range(50)
    ]
    assert np.mean(np.array(found) < 0.05 / 15) >= 0.95


def test_a_shift_of_shares_is_found() -> None:
    draws = np.random.default_rng(1)
    before = draws.choice(["high", "medium", "low"], 200, p=[0.3, 0.5, 0.2])
    after = draws.choice(["high", "medium", "low"], 200, p=[0.6, 0.2, 0.2])
    found = categorical_shift(before, after)
    assert found.p_value < 0.001
    assert found.psi > 0.1


def test_chi_square_of_categories_agrees_with_the_table() -> None:
    before, after = np.repeat(["a", "b"], [60, 40]), np.repeat(["a", "b"], [40, 60])
    assert categorical_shift(before, after).p_value == pytest.approx(0.004678, abs=1e-5)


def test_rare_categories_are_taken_together() -> None:
    common = ["x"] * 50
    before, after = np.array([*common, "a", "b", "c"]), np.array([*common, "d", "e", "f"])
    assert categorical_shift(before, after) == (0.0, 1.0)


def test_a_category_that_is_new_is_found() -> None:
    found = categorical_shift(np.repeat(["a"], 60), np.repeat(["a", "new"], [30, 30]))
    assert found.p_value < 0.001


@settings(deadline=None)
@given(arrays.arrays(float, st.integers(30, 80), elements=FINITE))
def test_a_sample_has_not_drifted_from_itself(values: Any) -> None:
    psi, p_value = numeric_shift(values, values)
    assert (psi, p_value) == (0.0, pytest.approx(1.0))


@settings(deadline=None)
@given(
    arrays.arrays(float, st.integers(30, 80), elements=FINITE),
    arrays.arrays(float, st.integers(30, 80), elements=FINITE),
)
def test_any_numbers_give_a_psi_and_a_p_value(before: Any, after: Any) -> None:
    psi, p_value = numeric_shift(before, after)
    assert psi >= 0
    assert np.isfinite(psi)
    assert 0 <= p_value <= 1


@settings(deadline=None)
@given(
    st.lists(st.text(max_size=3), min_size=30, max_size=60),
    st.lists(st.text(max_size=3), min_size=30, max_size=60),
)
def test_any_words_give_a_psi_and_a_p_value(before: list[str], after: list[str]) -> None:
    psi, p_value = categorical_shift(np.array(before), np.array(after))
    assert psi >= 0
    assert 0 <= p_value <= 1


def test_psi_by_hand() -> None:
    before, after = np.array([50.0, 50.0]), np.array([80.0, 20.0])
    e, a = np.array([0.5, 0.5]), np.array([80.5 / 101, 20.5 / 101])
    plain = ((a - e) * np.log(a / e)).sum()
    assert corrected_psi(before, after) == pytest.approx(plain - 0.02)


def test_values_outside_the_baseline_count() -> None:
    inside = np.linspace(0, 1, 100)
    assert numeric_shift(inside, inside + 5).psi > 1


def test_text_flags_and_numbers_are_told_apart() -> None:
    assert is_categorical("string", np.array(["1", "2"]))
    assert is_categorical("int64", np.array([0.0, 1.0, 1.0]))
    assert not is_categorical("int64", np.array([0.0, 1.0, 2.0]))
    flags = np.repeat([0.0, 1.0], [40, 10]), np.repeat([0.0, 1.0], [20, 30])
    assert shift("int64", *flags) == categorical_shift(*flags)


def test_benjamini_hochberg() -> None:
    assert adjusted([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert adjusted([]) == []


@pytest.mark.parametrize(
    ("psi", "detected", "expected"),
    [
        (0.9, False, Severity.NONE),
        (0.25, True, Severity.CRITICAL),
        (0.249, True, Severity.HIGH),
        (0.20, True, Severity.HIGH),
        (0.199, True, Severity.MEDIUM),
        (0.10, True, Severity.MEDIUM),
        (0.099, True, Severity.LOW),
        (0.0, True, Severity.LOW),
    ],
)
def test_severity_of_a_detected_drift(psi: float, detected: bool, expected: Severity) -> None:
    assert severity(psi, detected=detected, threshold=0.1) is expected


def test_the_score_is_the_mean_weight() -> None:
    assert drift_score(list(Severity)) == 0.5
    assert drift_score([Severity.NONE, Severity.NONE, Severity.CRITICAL]) == 0.333
    assert drift_score([]) is None


@pytest.mark.parametrize(
    ("score", "word"),
    [
        (1.0, "CRITICAL"),
        (0.8, "CRITICAL"),
        (0.6, "HIGH"),
        (0.4, "MODERATE"),
        (0.2, "LOW"),
        (0.1, "MINIMAL"),
    ],
)
def test_the_word_for_a_score(score: float, word: str) -> None:
    assert drift_level(score) == word


@pytest.mark.parametrize(
    ("right_now", "expected"),
    [
        (700, Severity.CRITICAL),
        (790, Severity.HIGH),
        (830, Severity.MEDIUM),
        (865, Severity.LOW),
        (899, Severity.NONE),
        (950, Severity.NONE),
    ],
)
def test_severity_of_a_drop_of_accuracy(right_now: int, expected: Severity) -> None:
    assert accuracy_severity(accuracy_drop(900, 1000, right_now, 1000), 0.05) is expected


def test_the_z_test_of_accuracy_by_hand() -> None:
    drop = accuracy_drop(45, 50, 35, 50)
    assert drop.drop == pytest.approx(0.2)
    assert drop.z == pytest.approx(2.5)
    assert drop.p_value == pytest.approx(0.01242, abs=1e-5)
    assert accuracy_drop(50, 50, 50, 50).p_value == 1.0


# -- the whole report


def test_a_planted_drift_is_found_and_the_rest_is_not() -> None:
    moved, still = feature_row("moved"), feature_row("still")
    values = [
        *two_windows(moved, normal(1, 200), normal(2, 200, 1.0)),
        *two_windows(still, normal(3, 200), normal(4, 200)),
    ]
    report = detect([moved, still], values)
    assert report.status == "completed"
    assert report.features_with_drift == ["moved"]
    assert report.features_checked == 2
    assert report.overall_drift_score == 0.5
    [alert] = report.alerts
    assert (alert.severity, alert.affected_features) == ("critical", ["moved"])
    assert report.recommended_actions


def test_a_report_gives_both_windows_and_their_sizes() -> None:
    feature = feature_row("a")
    [result] = detect([feature], two_windows(feature, normal(1, 40), normal(2, 50))).results
    assert (result.n_baseline, result.n_current) == (40, 50)
    assert result.current_period == "2026-11-13T12:00:00+00:00/2026-11-20T12:00:00+00:00"
    assert result.baseline_period == "2026-11-06T12:00:00+00:00/2026-11-13T12:00:00+00:00"


def test_few_values_are_reported_and_not_dropped() -> None:
    full, few = feature_row("full"), feature_row("few")
    values = [
        *two_windows(full, normal(1, 40), normal(2, 40)),
        *two_windows(few, normal(3, 20), normal(4, 20)),
    ]
    report = detect([full, few], values)
    found = {result.feature: result for result in report.results}
    assert found["few"].status == "insufficient_data"
    assert (found["few"].n_current, found["few"].p_value) == (20, None)
    assert (report.status, report.features_checked) == ("completed", 1)


def test_only_few_values_are_no_report_of_calm() -> None:
    feature = feature_row("few")
    report = detect([feature], two_windows(feature, normal(3, 20), normal(4, 20)))
    assert report.status == "insufficient_data"
    assert report.overall_drift_score is None
    assert "too few values" in report.drift_summary


def test_an_empty_store_has_no_data() -> None:
    for features in ([], [feature_row("a")]):
        report = detect(features, [])
        assert (report.status, report.results) == ("no_data", [])
        assert any("holds no" in warning for warning in report.warnings)


def test_an_unknown_feature_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="unknown feature 'b'; known are a"):
        detect([feature_row("a")], [], features=["a", "b"])


def test_as_of_ends_the_current_window() -> None:
    feature = feature_row("a")
    values = two_windows(feature, normal(1, 100), normal(2, 100, 3.0))
    report = detect([feature], values, as_of=END - timedelta(days=7), time_window="3d")
    assert report.features_with_drift == []
    assert report.results[0].n_current == 43


def test_naive_as_of_is_utc() -> None:
    feature = feature_row("a")
    values = two_windows(feature, normal(1, 40), normal(2, 40))
    report = detect([feature], values, as_of=END.replace(tzinfo=None))
    assert report.results[0].current_period.endswith("2026-11-20T12:00:00+00:00")


def test_a_brand_narrows_the_values_and_says_which_features_have_none() -> None:
    by_brand = feature_row("trx_30d", keys=("brand", "region"))
    by_patient = feature_row("severity")
    values = [
        *two_windows(by_brand, normal(1, 60), normal(2, 60), brand="Kisqali"),
        *two_windows(by_brand, normal(3, 60), normal(4, 60, 9.0), brand="Fabhalta"),
        *two_windows(by_patient, normal(5, 60), normal(6, 60)),
    ]
    report = detect([by_brand, by_patient], values, brand="Kisqali")
    assert report.features_with_drift == []
    assert [r.status for r in report.results] == ["insufficient_data", "checked"]
    assert "not kept by brand, so without values of one: severity" in report.warnings


def test_the_threshold_of_the_feature_or_of_the_request() -> None:
    feature = feature_row("a")
    draws = np.random.default_rng(5)
    values = two_windows(feature, list(draws.normal(0, 1, 2000)), list(draws.normal(0.4, 1, 2000)))
    [ours] = detect([feature], values).results
    [strict] = detect([feature], values, psi_threshold=0.19).results
    assert 0.1 < (ours.test_statistic or 0) < 0.19
    assert (ours.severity, strict.severity) == (Severity.MEDIUM, Severity.LOW)


def test_text_is_tested_as_text() -> None:
    feature = feature_row("tier", "string")
    values = two_windows(feature, ["high", "low"] * 50, ["high"] * 90 + ["low"] * 10)
    assert detect([feature], values).features_with_drift == ["tier"]


def test_values_of_another_type_are_left_out_and_said() -> None:
    feature = feature_row("a")
    values = two_windows(feature, [*normal(1, 40), None], [*normal(2, 40), "high"])
    report = detect([feature], values)
    assert (report.results[0].n_baseline, report.results[0].n_current) == (40, 40)
    assert "a: 2 values are not of its type, and left out" in report.warnings


@pytest.mark.parametrize(
    ("kind", "baseline", "current", "reason"),
    [
        ("float64", normal(1, 500), [*normal(2, 100), *[None] * 400], "80% of its values are miss"),
        ("float64", normal(1, 200), [*normal(2, 150), *["NaN"] * 50], "25% of its values are miss"),
        (
            "string",
            ["a", "b"] * 250,
            [*["a", "b"] * 50, *[None] * 400],
            "80% of its values are mis",
        ),
        ("float64", normal(1, 200), [str(n) for n in normal(2, 200)], "100% of its values are no"),
        (
            "string",
            ["1", "2"] * 100,
            [1, 2] * 100,
            "100% of its values are not of type string, 0% were",
        ),
        ("bool", [True, False] * 100, [True, False, *["yes"] * 60] * 3, "97% of its values are no"),
        ("float64", normal(1, 1000), normal(2, 40), "40 rows after 1000"),
        ("float64", normal(1, 200), [], "0 rows after 200"),
    ],
)
def test_lost_values_types_and_rows_alert(
    kind: str, baseline: list[Any], current: list[Any], reason: str
) -> None:
    other = feature_row("other")
    feature = feature_row("f", kind)
    values = two_windows(feature, baseline, current) + two_windows(
        other, normal(3, 200), normal(4, 200)
    )
    report = detect([feature, other], values)
    result = next(r for r in report.results if r.feature == "f")
    assert result.status == "checked"
    assert result.severity is Severity.CRITICAL
    assert reason in "; ".join(result.reasons)
    assert report.features_with_drift == ["f"]
    assert reason in report.alerts[0].message


@pytest.mark.parametrize(
    ("baseline", "current"),
    [
        (normal(1, 200), [*normal(2, 196), *[None] * 4]),
        ([*normal(1, 100), *[None] * 100], normal(2, 200)),
        (normal(1, 200), normal(2, 90)),
        (normal(1, 60), normal(2, 31)),
    ],
)
def test_few_lost_values_are_no_alarm(baseline: list[Any], current: list[Any]) -> None:
    report = detect([feature_row("f")], two_windows(feature_row("f"), baseline, current))
    assert report.features_with_drift == []
    assert report.results[0].reasons == []


# -- what one feature's rows say, and do not


def test_rows_of_another_feature_move_no_window() -> None:
    one, other = feature_row("one"), feature_row("other")
    values = two_windows(one, normal(1, 200), normal(2, 200))
    alone = detect([one], values).results[0]
    later = value_rows(other, normal(3, 200), END + timedelta(days=2), 7)
    beside = next(r for r in detect([one, other], [*values, *later]).results if r.feature == "one")
    kept = ("n_baseline", "n_current", "current_period", "baseline_period", "p_value")
    assert [getattr(alone, name) for name in kept] == [getattr(beside, name) for name in kept]
    assert (alone.loss_severity, beside.loss_severity) == (Severity.NONE, Severity.HIGH)
    assert beside.reasons == ["no row for 2.0 days"]


def test_what_is_missing_has_an_alert_of_its_own() -> None:
    gone, moved = feature_row("gone"), feature_row("moved")
    values = two_windows(gone, normal(1, 50), [])
    values += two_windows(moved, normal(3, 200), normal(4, 200, 2.0))
    report = detect([gone, moved], values)
    assert [(a.drift_type, a.affected_features) for a in report.alerts] == [
        ("missing", ["gone"]),
        ("data", ["moved"]),
    ]
    assert "no row for 7.0 days, 0 rows after 50" in report.alerts[0].message


@pytest.mark.parametrize("window", ["1d", "7d", "30d"])
def test_a_feature_that_ended_before_both_windows_alerts(window: str) -> None:
    gone, kept = feature_row("gone"), feature_row("kept")
    values = two_windows(kept, normal(1, 400), normal(2, 400))
    values += value_rows(gone, normal(3, 400), END - timedelta(days=100), 14)
    report = detect([gone, kept], values, as_of=END, time_window=window)
    [alert] = report.alerts
    assert (alert.severity, alert.affected_features) == ("critical", ["gone"])
    assert "no row for 100.0 days" in alert.message


@pytest.mark.parametrize(("batches", "minutes"), [(1, 0), (1, 90), (4, 0), (4, 90)])
def test_batches_that_are_not_due_are_no_alarm(batches: int, minutes: int) -> None:
    monthly, daily = feature_row("monthly"), feature_row("daily")
    values = two_windows(daily, normal(1, 200), normal(2, 200))
    for number in range(batches):
        end = END - timedelta(days=10 + 30 * number)
        values += value_rows(monthly, normal(number, 50), end, minutes / 1440)
    report = detect([daily, monthly], values)
    assert (report.alerts, report.features_with_drift) == ([], [])
    told = "monthly: no row for 10.0 days, and nothing tells how often it has one"
    assert (told in report.warnings) == (batches == 1)
    late = detect([daily, monthly], values, as_of=END + timedelta(days=90)).results[1]
    assert (late.loss_severity is Severity.CRITICAL) == (batches == 4)


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_a_number_that_no_float_holds_is_not_of_its_type(value: int) -> None:
    feature = feature_row("f", value_type="int64")
    report = detect([feature], two_windows(feature, [1, 2, 3] * 20, [value] * 60))
    assert "100% of its values are not of type int64" in report.alerts[0].message


def test_a_window_of_days_is_compared_with_the_same_days_of_the_week_before() -> None:
    feature = feature_row("visits")
    draws = np.random.default_rng(4)
    moments = [END - timedelta(hours=h / 4) for h in range(4 * 24 * 15)][::-1]
    rows = value_rows(feature, moments, END, 15)
    for row, moment in zip(rows, moments, strict=True):
        row["event_timestamp"] = moment
        row["value"] = {"value": draws.normal(10.0 if moment.weekday() < 5 else 2.0)}
    sunday = datetime(2026, 11, 15, 23, 59, tzinfo=UTC)
    [result] = detect([feature], rows, time_window="1d", as_of=sunday - timedelta(days=1)).results
    assert (result.drift_detected, result.n_baseline) == (False, 96)
    windows = Windows(END, 1)
    assert windows.end - windows.baseline_end == timedelta(days=7)
    assert windows.baseline_end - windows.start == timedelta(days=1)


# -- values that depend on each other


def autoregressive(seed: int, size: int, phi: float) -> Any:
    noise = np.random.default_rng(seed).normal(size=size + 100) * (1 - phi**2) ** 0.5
    return lfilter([1.0], [1.0, -phi], noise)[100:]


def test_series_with_memory_seldom_raise_a_false_alarm() -> None:
    flags = []
    for seed in range(60):
        series = autoregressive(seed, 400, 0.8)
        effect = design_effect(series[:200], series[200:])
        assert effect > 3
        flags.append(numeric_shift(series[:200], series[200:], effect).p_value < 0.05)
    assert np.mean(flags) <= 0.1
    series = autoregressive(1, 400, 0.8)
    assert numeric_shift(series[:200], series[200:] + 3, 9.0).p_value < 0.001


@pytest.mark.parametrize("kind", ["numbers", "words"])
def test_values_of_few_entities_count_as_few(kind: str) -> None:
    draws, flags = np.random.default_rng(1), []
    places = np.repeat(np.arange(20), 20)
    for _ in range(40):
        level = draws.normal(size=(2, 20))
        before, now = level[0][places], level[1][places]
        if kind == "words":
            before, now = before > 0, now > 0
        entities = (places.astype(str), (places + 20).astype(str))
        effect = design_effect(before, now, entities, categorical=kind == "words")
        assert effect > 10
        flags.append(shift("bool" if kind == "words" else "", before, now, effect).p_value < 0.05)
    assert np.mean(flags) <= 0.1
    # the same entities in both windows take nothing from what the windows say
    draws.shuffle(places)
    level = draws.normal(size=20)[places]
    same = (places.astype(str), places.astype(str))
    assert design_effect(level, level, same) < 2


def test_independent_values_lose_nothing() -> None:
    effects = [design_effect(np.array(normal(s, 200)), np.array(normal(s + 1000, 200)))
               for s in range(30)]  # fmt: skip
    assert np.mean(np.array(effects) == 1.0) > 0.9


# -- what only some tests see


def test_another_spread_is_found() -> None:
    found = [
        numeric_shift(np.array(normal(s, 200)), 2 * np.array(normal(s + 10**6, 200))).p_value
        for s in range(20)
    ]
    assert np.mean(np.array(found) < 0.05 / 15) >= 0.9


def test_counts_with_many_ties_keep_their_level_and_are_found() -> None:
    draws = np.random.default_rng(2)
    calm = [numeric_shift(draws.poisson(1, 40), draws.poisson(1, 40)).p_value for _ in range(60)]
    assert np.mean(np.array(calm) < 0.05) <= 0.1
    assert numeric_shift(draws.poisson(1, 300), draws.poisson(2, 300)).p_value < 1e-6


@pytest.mark.filterwarnings("ignore:Parameter `variant`", "ignore:p-value")
def test_the_anderson_darling_level_agrees_with_scipy() -> None:
    before, now = np.array(normal(1, 150)), np.array(normal(2, 150, 0.2))
    theirs = float(anderson_ksamp([before, now]).pvalue)
    assert 0.001 < theirs < 0.25
    assert _ad_level(before, now, 1.0) == pytest.approx(theirs, rel=0.15)


def test_a_critical_drift_needs_an_effect_size() -> None:
    assert severity(0.3, detected=True, threshold=0.1, effect=0.03) is Severity.MEDIUM
    assert severity(0.3, detected=True, threshold=0.1, effect=0.2) is Severity.CRITICAL
    words = ["a"] * 500
    assert effect_size(
        "string", np.array(words), np.array(words[:400] + ["b"] * 100)
    ) == pytest.approx(0.2)
    assert effect_size("float64", np.arange(100.0), np.arange(100.0) + 25) == pytest.approx(0.25)


def many(seed: int, size: int, first: int = 0, kinds: int = 500) -> list[str]:
    return [str(n) for n in first + np.random.default_rng(seed).integers(0, kinds, size)]


@pytest.mark.parametrize(
    ("baseline", "current", "moved"),
    [
        (many(1, 1000), many(2, 1000), False),
        (many(1, 1000), many(2, 1000, first=500), True),
        (many(1, 1000), many(2, 1000, first=250), True),
        (["a"] * 500 + many(1, 500), ["a"] * 500 + many(2, 500, first=500), True),
        (["a"] * 500 + many(1, 500), ["a"] * 500 + many(2, 500), False),
    ],
)
def test_many_rare_categories_are_compared_by_what_is_new(
    baseline: list[str], current: list[str], moved: bool
) -> None:
    feature = feature_row("f", "string")
    report = detect([feature], two_windows(feature, baseline, current))
    assert report.results[0].status == "checked"
    assert report.results[0].drift_detected is moved


@pytest.mark.parametrize("size", [40, 400])
def test_rare_categories_seldom_raise_a_false_alarm(size: int) -> None:
    flags = [
        categorical_shift(np.array(many(2 * s, size)), np.array(many(2 * s + 1, size))).p_value
        for s in range(SEEDS)
    ]
    assert np.mean(np.array(flags) < 0.05) <= 0.06


def test_values_that_are_all_different_are_not_checked() -> None:
    feature = feature_row("f", "string")
    before, after = [str(n) for n in range(500)], [str(n) for n in range(500, 1000)]
    report = detect([feature], two_windows(feature, before, after))
    assert report.results[0].status == "insufficient_data"
    assert any("a category of its own" in warning for warning in report.warnings)


def test_no_connection_is_an_error_and_no_made_up_data() -> None:
    class Broken(MemorySource):
        async def fetch(self, query: Query) -> list[Record]:
            raise TargetError("nobody answers", code="unreachable")

    with pytest.raises(TargetError, match="nobody answers"):
        asyncio.run(DriftMonitor(Broken()).detect(DriftRequest(features=None, time_window="7d")))


# -- drift that the generator plants


def generated(seed: int, size: int, drift: PlantedDrift | None = None) -> dict[str, DriftResult]:
    """The results for all features of a generated store."""
    config = GeneratorConfig(seed=seed, n_records=size, end_date=END.date())
    _, features = FeatureStoreSeeder(config).seed()
    source = FeatureValueGenerator(config, features, as_of=END.replace(tzinfo=None), drift=drift)
    values = source.generate()
    rows = [
        {
            "id": id_,
            "feature_id": feature,
            "value": value,
            "entity_values": entity,
            "event_timestamp": as_utc(datetime.fromisoformat(time)),
        }
        for id_, feature, value, entity, time in values[
            ["id", "feature_id", "value", "entity_values", "event_timestamp"]
        ].itertuples(index=False, name=None)
    ]
    report = detect(features.to_dict("records"), rows)
    assert len(report.results) == 15
    return {result.feature: result for result in report.results}


def planted(feature: str, shift_: float) -> PlantedDrift:
    return PlantedDrift(feature, END.replace(tzinfo=None) - timedelta(days=7), shift_)


@pytest.mark.parametrize("size", [5_000, 50_000])
def test_generated_data_without_drift_raise_no_alarm(size: int) -> None:
    found = [r for seed in range(3) for r in generated(seed, size).values()]
    assert sum(r.drift_detected for r in found) <= 0.05 * len(found)
    assert {r.status for r in found} == {"checked"}


@pytest.mark.parametrize(
    ("size", "feature", "shift_"),
    [
        (50_000, "engagement_score", 0.5),
        (50_000, "insurance_tier", 0.4),
        (50_000, "academic_flag", 0.4),
        (5_000, "engagement_score", 1.5),
    ],
)
def test_a_planted_drift_is_found_in_generated_data(size: int, feature: str, shift_: float) -> None:
    found = generated(42, size, planted(feature, shift_))
    assert [name for name, result in found.items() if result.drift_detected] == [feature]


# -- models


def prediction_rows(
    scores: Sequence[float], outcomes: Sequence[float | None], end: datetime
) -> list[Record]:
    return [
        {
            "prediction_id": f"pred_{end:%d}{place}",
            "model_version": "v1.0",
            "prediction_timestamp": end - timedelta(minutes=place),
            "prediction_value": score,
            "actual_outcome": outcome,
        }
        for place, (score, outcome) in enumerate(zip(scores, outcomes, strict=True))
    ]


def model_report(
    before: Sequence[float],
    now: Sequence[float],
    outcomes: tuple[Sequence[float | None], Sequence[float | None]] | None = None,
    **request: Any,
) -> DriftReport:
    known = outcomes or ([None] * len(before), [None] * len(now))
    rows = [
        *prediction_rows(before, known[0], END - timedelta(days=8)),
        *prediction_rows(now, known[1], END),
    ]
    return detect([], [], *rows, check_data_drift=False, model_id="v1.0", **request)


def test_without_a_model_its_checks_are_skipped_with_a_warning() -> None:
    feature = feature_row("a")
    report = detect([feature], two_windows(feature, normal(1, 40), normal(2, 40)))
    assert "no model_id: the checks of a model are skipped" in report.warnings
    quiet = detect([], [], check_model_drift=False, check_concept_drift=False)
    assert not any("model" in warning for warning in quiet.warnings)


def test_moved_scores_and_classes_are_found() -> None:
    draws = np.random.default_rng(3)
    report = model_report(list(draws.uniform(0, 0.6, 100)), list(draws.uniform(0.4, 1, 100)))
    assert report.features_with_drift == ["prediction_classes", "prediction_scores"]
    found = {result.feature: result.status for result in report.results}
    assert found["model_accuracy"] == "insufficient_data"


def test_a_model_that_errs_more_often_is_found() -> None:
    scores = [0.9, 0.1] * 50
    right, wrong = [1.0, 0.0] * 50, [0.0, 0.0] * 50
    report = model_report(scores, scores, (right, wrong))
    assert report.features_with_drift == ["model_accuracy"]
    [accuracy] = [r for r in report.results if r.feature == "model_accuracy"]
    assert accuracy.severity is Severity.CRITICAL
    assert report.alerts[0].drift_type == "concept"


def test_accuracy_needs_fifty_labels() -> None:
    scores = [0.9, 0.1] * 50
    few: list[float | None] = [1.0] * 24 + [None] * 76
    report = model_report(scores, scores, (few, few), check_model_drift=False)
    [accuracy] = report.results
    assert accuracy.status == "insufficient_data"
    assert (accuracy.n_baseline, accuracy.n_current) == (24, 24)


def test_a_model_without_predictions_is_said() -> None:
    report = detect([], [], check_data_drift=False, model_id="v9.9")
    assert report.status == "no_data"
    assert "ml_predictions holds no predictions of model 'v9.9'" in report.warnings


@pytest.mark.parametrize("as_of", [END + timedelta(days=90), END - timedelta(days=90)])
def test_windows_without_predictions_are_insufficient_data(as_of: datetime) -> None:
    report = model_report([0.9, 0.1] * 50, [0.9, 0.1] * 50, as_of=as_of)
    assert {result.status for result in report.results} == {"insufficient_data"}


def test_scores_that_are_no_numbers_are_no_scores() -> None:
    report = model_report([0.9, 0.1] * 50, [float("nan")] * 100)
    assert [result.n_current for result in report.results] == [0, 0, 0]


def test_what_has_lost_its_values_can_be_printed_and_drawn() -> None:
    gone = feature_row("gone")
    report = detect([gone], two_windows(gone, normal(1, 200), [None] * 200))
    shown = "\n".join(_drift_lines(report))
    assert "critical" in shown
    assert "100% of its values are missing" in shown
    labels = [text.get_text() for text in drift_figure(report).axes[0].texts]
    assert labels == ["critical, 100% of its values are missing, 0% were (200, 0)"]
