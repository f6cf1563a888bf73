"""The gap analyzer: periods, gaps, what they are worth, and what is said without data."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrate_backend.errors import TargetError
from src.ml.agents import BusinessMetricRepository, GapAnalysis, GapAnalyzer, GapRequest
from src.ml.agents.gap_analyzer import (
    addressable_value,
    gap_totals,
    quick_wins,
    rank,
    strategic_bets,
)
from src.ml.agents.gap_models import Difficulty, Gap, GapType
from src.ml.agents.gaps import find_gaps, per_year
from src.ml.agents.names import METRICS, UnknownNameError, metric_key
from src.ml.agents.periods import (
    Period,
    PeriodError,
    latest_complete_quarter,
    parse_period,
    quarter,
    quarter_of,
)
from src.ml.agents.roi import (
    closing_cost,
    difficulty,
    estimate_roi,
    payback_months,
    points,
    risk,
    simulated_roi,
    yearly_value,
)
from src.ml.agents.sources import Query, Record
from src.ml.synthetic.config import REGIONS
from src.ml.synthetic.datasets import SMALL_SIZES, Recipe, generate
from tests.memory_source import MemorySource, hcp_rows, metric_row, metric_rows, months

DAYS = st.dates(date(2000, 1, 1), date(2099, 12, 31))


def gap(metric: str = "trx", size: float = 50.0, percentage: float = 8.0, **more: Any) -> Gap:
    values: dict[str, Any] = {
        "gap_id": f"region_south_{metric}_vs_target",
        "metric": metric,
        "segment": "region",
        "segment_value": "south",
        "current_value": 1.0,
        "target_value": 1.0 + size,
        "gap_size": size,
        "gap_percentage": percentage,
        "gap_type": GapType.VS_TARGET,
        "observations": 3,
    }
    return Gap(**{**values, **more})


def analyze(rows: Sequence[Record], hcps: int = 10, **request: Any) -> GapAnalysis:
    source = MemorySource(business_metrics=rows, hcp_profiles=hcp_rows(hcps))
    asked = GapRequest(**{"brand": "Remibrutinib", "metrics": ["trx"], **request})
    return asyncio.run(GapAnalyzer(source).analyze(asked))


# -- periods


@pytest.mark.parametrize("text", ["Q4_2024", "2024-Q4", "2024-10-01_2024-12-31"])
def test_a_quarter_has_several_spellings(text: str) -> None:
    assert parse_period(text, date(2030, 5, 6)) == Period(date(2024, 10, 1), date(2024, 12, 31))


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("YTD", date(2024, 1, 1)),
        ("MTD", date(2024, 8, 1)),
        ("current_quarter", date(2024, 7, 1)),
        ("ytd", date(2024, 1, 1)),
    ],
)
def test_relative_periods_end_with_the_anchor(text: str, start: date) -> None:
    anchor = date(2024, 8, 17)
    assert parse_period(text, anchor) == Period(start, anchor)


@pytest.mark.parametrize(
    "text", ["", "Q5_2024", "2024", "last_year", "Q4-2024", "2024-02-30_2024-03-01", "Q1_0000"]
)
def test_any_other_period_is_refused(text: str) -> None:
    with pytest.raises(PeriodError, match="time_period"):
        parse_period(text, date(2024, 1, 1))


def test_a_period_does_not_end_before_it_starts() -> None:
    with pytest.raises(PeriodError, match="ends before it starts"):
        parse_period("2024-02-01_2024-01-01", date(2024, 1, 1))


@settings(deadline=None)
@given(st.text(max_size=30), DAYS)
def test_text_of_any_kind_is_a_period_or_refused(text: str, anchor: date) -> None:
    try:
        period = parse_period(text, anchor)
    except PeriodError:
        return
    assert period.start <= period.end


@settings(deadline=None)
@given(DAYS, DAYS)
def test_the_prior_period_is_as_long_and_ends_the_day_before(one: date, other: date) -> None:
    period = Period(min(one, other), max(one, other))
    prior = period.prior()
    assert prior.days == period.days
    assert prior.end + timedelta(days=1) == period.start


@settings(deadline=None)
@given(DAYS)
def test_a_day_lies_in_its_quarter_of_90_to_92_days(day: date) -> None:
    found = quarter_of(day)
    assert found.start <= day <= found.end
    assert 90 <= found.days <= 92


def test_the_latest_complete_quarter_of_months() -> None:
    assert latest_complete_quarter(months(2024, 1, 9)) == quarter(2024, 3)
    assert latest_complete_quarter(months(2024, 1, 8)) == quarter(2024, 2)
    assert latest_complete_quarter(months(2024, 1, 12)) == quarter(2024, 4)


def test_the_latest_complete_quarter_of_days() -> None:
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(182)]
    assert latest_complete_quarter(days) == quarter(2024, 2)
    assert latest_complete_quarter(days[:-1]) == quarter(2024, 1)


def test_there_is_no_complete_quarter_in_a_month() -> None:
    assert latest_complete_quarter([]) is None
    assert latest_complete_quarter([date(2024, 2, 5)]) is None


# -- names


@pytest.mark.parametrize(("key", "label"), METRICS.items())
def test_a_metric_is_named_by_key_or_description_in_any_case(key: str, label: str) -> None:
    assert {metric_key(name) for name in (key, key.upper(), label, label.lower(), f" {key} ")} == {
        key
    }


def test_an_unknown_metric_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="'sales'; known are trx, nrx, market_share"):
        metric_key("sales")


@pytest.mark.parametrize(
    "wrong",
    [
        {"brand": "remibrutinib"},
        {"metrics": []},
        {"metrics": ["sales"]},
        {"segments": ["planet"]},
        {"filters": {"colour": "red"}},
        {"filters": {"region": "north"}},
        {"filters": {"region": []}},
        {"time_period": "whenever"},
        {"gap_type": "vs_nothing"},
        {"min_gap_threshold": 101},
        {"max_opportunities": 0},
        {"max_opportunities": 51},
        {"surprise": 1},
    ],
)
def test_a_request_outside_the_rules_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GapRequest(**{"brand": "Remibrutinib", "metrics": ["trx"], **wrong})


# -- gaps


Q1 = quarter(2024, 1)


def found_in(rows: Sequence[Record], *types: GapType, **more: Any) -> dict[str, Gap]:
    """The gaps of the first quarter of 2024, by id."""
    found = find_gaps("region", rows, Q1, types or tuple(GapType), **more)
    return {gap.gap_id: gap for gap in found.judged()}


def one_day(**values: float) -> list[Record]:
    """A row per region whose stored interval is the value itself."""
    rows = [metric_row(date(2024, 1, 1), "trx", r, v, 100.0) for r, v in values.items()]
    for row in rows:
        row["confidence_interval_lower"], row["confidence_interval_upper"] = (
            row["value"] - 1,
            row["value"] + 1,
        )
    return rows


def noisy(
    seed: int,
    spread: float,
    *,
    first: int = 2022,
    season: float = 0.0,
    metric: str = "trx",
    sizes: Sequence[float] = (100.0, 250.0, 60.0, 180.0),
    planted: float = 1.0,
) -> list[Record]:
    """Months up to the end of 2024 about the target; `planted` is midwest's last quarter's."""
    draws, rows = np.random.default_rng(seed), []
    for region, size in zip(REGIONS, sizes, strict=True):
        for day in [date(y, m, 1) for y in range(first, 2025) for m in range(1, 13)]:
            factor = 1 + spread * draws.normal() + season * math.sin(math.pi * day.month / 6)
            hit = planted if (region, day >= date(2024, 10, 1)) == ("midwest", True) else 1.0
            rows.append(metric_row(day, metric, region, size * factor * hit, size))
    return rows


def test_a_gap_is_target_less_current_in_percent_of_the_target() -> None:
    rows = [metric_row(date(2024, m, 1), "trx", "south", 70.0 + 5 * m, 100.0) for m in (1, 2, 3)]
    [gap_] = found_in(rows, GapType.VS_TARGET).values()
    assert (gap_.current_value, gap_.observations, gap_.sample_size) == (80.0, 3, 3000)
    assert (gap_.gap_size, gap_.gap_percentage) == pytest.approx((20.0, 20.0))
    assert gap_.gap_id == "region_south_trx_vs_target"
    assert gap_.interval_lower < 20.0 < gap_.interval_upper


def test_the_benchmark_is_the_mean_of_the_other_regions() -> None:
    found = found_in(one_day(south=80.0, west=100.0, midwest=120.0), GapType.VS_BENCHMARK)
    values = {g.segment_value: g.target_value for g in found.values()}
    assert values == {"south": 110.0, "west": 100.0, "midwest": 90.0}


def test_the_potential_is_the_top_decile_of_the_regions() -> None:
    found = found_in(one_day(south=10.0, west=100.0), GapType.VS_POTENTIAL)
    assert {g.target_value for g in found.values()} == {91.0}


def test_a_lone_region_has_no_peers_and_no_past() -> None:
    assert list(found_in(one_day(south=80.0))) == ["region_south_trx_vs_target"]


def test_regions_of_any_size_are_compared_by_their_targets_or_prescribers() -> None:
    rows = one_day(south=90.0, west=900.0, midwest=450.0)
    for row, target in zip(rows, (100.0, 1000.0, 500.0), strict=True):
        row["target"] = target
    peers = (GapType.VS_BENCHMARK, GapType.VS_POTENTIAL)
    assert {round(g.gap_size) for g in found_in(rows, *peers).values()} == {0}
    for row in rows:
        row["target"] = None
    hcps = {"south": 10, "west": 100, "midwest": 50}
    assert {round(g.gap_size) for g in found_in(rows, *peers, hcps=hcps).values()} == {0}
    assert found_in(rows, *peers) == {}


def test_the_temporal_gap_compares_with_the_prior_period_beside_the_season() -> None:
    rows = noisy(1, 0.01, season=0.3, planted=0.8)
    found = find_gaps("region", rows, quarter(2024, 4), [GapType.TEMPORAL])
    by_place = {g.segment_value: g for g in found.judged()}
    assert by_place["midwest"].gap_percentage == pytest.approx(20, abs=3)
    assert [place for place, g in by_place.items() if g.is_significant] == ["midwest"]


def test_without_an_earlier_year_no_season_is_taken_for_a_change() -> None:
    rows = noisy(1, 0.01, first=2024, season=0.3)
    answer = analyze(rows, gap_type="temporal")
    assert answer.prioritized_opportunities == []
    assert any("season cannot be distinguished" in warning for warning in answer.warnings)


def test_one_row_without_an_interval_says_nothing() -> None:
    found = find_gaps("region", one_day(south=80.0)[:1], Q1, [GapType.VS_TARGET])
    assert found.gaps
    rows = [metric_row(date(2024, 1, 1), "trx", "south", 80.0, 100.0)]
    found = find_gaps("region", rows, Q1, [GapType.VS_TARGET])
    assert [(d.kind, d.segment_value) for d in found.data_gaps] == [("noise_unknown", "south")]
    assert found.gaps == []


@pytest.mark.parametrize("spread", [0.05, 0.10])
def test_noise_is_no_gap_and_a_planted_fifth_is_found_first(spread: float) -> None:
    runs = 4
    quiet = [analyze(noisy(seed, spread)) for seed in range(runs)]
    assert sum(bool(a.prioritized_opportunities) for a in quiet) <= 1
    loud = [analyze(noisy(seed, spread, planted=0.8)) for seed in range(runs)]
    first = [a.prioritized_opportunities[:1] for a in loud]
    assert sum(bool(f) and f[0].gap.segment_value == "midwest" for f in first) >= runs - 1
    assert all(o.gap.is_significant for a in loud for o in a.prioritized_opportunities)


def test_a_region_that_stops_and_targets_that_are_none_are_answers_of_their_own() -> None:
    rows = [r for r in metric_rows(months(2024, 4, 9)) if r["region"] != "west"]
    rows = [r for r in rows if r["region"] != "south" or r["metric_date"].month < 8]
    rows += [metric_row(day, "trx", "west", 90.0, 100.0) for day in months(2024, 4, 6)]
    for row in rows:
        if row["metric_date"].month > 6:
            row["target"] = {"northeast": None, "midwest": 0.0}.get(row["region"], 100.0)
    answer = analyze(rows, gap_type="vs_target", time_period="Q3_2024")
    assert {d.segment_value: d.kind for d in answer.data_gaps} == {
        "northeast": "no_target",
        "south": "stopped",
        "midwest": "zero_target",
        "west": "silent",
    }
    [west] = [d for d in answer.data_gaps if d.segment_value == "west"]
    assert west.last_reported == date(2024, 6, 1)
    assert "none since 2024-06-01" in answer.executive_summary


@pytest.mark.parametrize("target", [None, 0.0, -5.0])
@pytest.mark.parametrize("lacking", [1, 3])
def test_a_target_that_one_region_lacks_changes_nothing_for_the_others(
    target: float | None, lacking: int
) -> None:
    sizes = {"northeast": 100.0, "south": 400.0, "midwest": 250.0, "west": 50.0}
    draws = np.random.default_rng(5)
    rows = [
        metric_row(day, "trx", place, size * draws.normal(1, 0.02), size)
        for day in [day for year in (2022, 2023, 2024) for day in months(year, 1, 12)]
        for place, size in sizes.items()
    ]
    for row in [r for r in rows if r["region"] == "south"][-lacking:]:
        row["target"] = target
    answer = analyze(rows)
    assert answer.prioritized_opportunities == []
    [south] = answer.data_gaps
    assert south.kind == ("no_target" if target is None else "zero_target")
    assert (south.segment_value, south.message[:4]) == ("south", f"{lacking} of")


def test_the_gap_of_a_brand_adds_up_the_counts_of_its_regions() -> None:
    answer = analyze(metric_rows(months(2024, 7, 9)), segments=["brand"], gap_type="vs_target")
    [only] = answer.prioritized_opportunities
    assert only.gap.gap_size == pytest.approx(40.0)


@pytest.mark.parametrize(
    ("days", "figures"),
    [
        (months(2024, 1, 12), 12.0),
        ([date(2024, 1, 1)], 12.0),
        ([date(2024, 1, 1), date(2024, 4, 1), date(2024, 7, 1)], 4.0),
        ([date(2024, 1, 1) + timedelta(days=7 * n) for n in range(9)], 365.25 / 7),
    ],
)
def test_money_a_year_counts_each_figure_of_a_year(days: list[date], figures: float) -> None:
    assert per_year(days) == pytest.approx(figures)
    assert yearly_value(gap("trx", 100.0, per_year=figures), 0) == pytest.approx(85_000 * figures)
    share = gap("market_share", 0.02, per_year=figures)
    assert yearly_value(share, 0) == pytest.approx(1_700)


# -- what a gap is worth


@pytest.mark.parametrize(
    ("metric", "size", "value"),
    [
        ("trx", 100.0, 85_000.0),
        ("nrx", 10.0, 8_500.0),
        ("market_share", 0.02, 1_700.0),
        ("conversion_rate", 0.03, 320.0 * 3 * 50),
        ("hcp_engagement_score", 1.5, 320.0 * 1.5 * 50),
    ],
)
def test_the_yearly_value_takes_rates_in_percentage_points(
    metric: str, size: float, value: float
) -> None:
    assert yearly_value(gap(metric, size), hcps=50) == pytest.approx(value)


@pytest.mark.parametrize(
    ("metric", "size", "cost"),
    [
        ("trx", 10.0, 2500 * 5 * 0.5),
        ("trx", 100.0, 2500 * 5),
        ("nrx", 101.0, 2500 * 5 * 1.5 + 200 * 101),
        ("trx", 5000.0, 2500 * 5 * 2 + 50_000),
        ("market_share", 0.02, 2500 * 10 * 0.5 + 400),
        ("conversion_rate", 0.20, 2500 * 15 * 1.0 + 4000),
        ("hcp_engagement_score", 2.0, 2500 * 8 * 0.5),
    ],
)
def test_the_cost_of_closing_a_gap(metric: str, size: float, cost: float) -> None:
    assert closing_cost(gap(metric, size)) == pytest.approx(cost)


def test_the_sign_of_a_gap_does_not_change_its_size() -> None:
    assert points(gap("market_share", -0.02)) == pytest.approx(2.0)
    assert points(gap("trx", -7.0)) == 7.0


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (gap("trx", 50.0, 8.0), 0.0),
        (gap("trx", 200.0, 30.0), 1 - 0.8 * 0.9),
        (gap("conversion_rate", 0.1, 60.0, observations=1), 1 - 0.7 * 0.5 * 0.75),
        (gap("hcp_engagement_score", 1.0, 8.0, observations=2), 1 - 0.85 * 0.75),
        (gap("nrx", 600.0, 8.0), 0.4),
    ],
)
def test_risks_multiply(asked: Gap, expected: float) -> None:
    assert risk(asked) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "rate", "level"),
    [
        (GapType.VS_TARGET, 1.0, "full"),
        (GapType.VS_BENCHMARK, 0.65, "partial"),
        (GapType.VS_POTENTIAL, 0.35, "shared"),
        (GapType.TEMPORAL, 0.10, "minimal"),
    ],
)
def test_the_expected_roi_counts_the_attributed_share(
    kind: GapType, rate: float, level: str
) -> None:
    roi = estimate_roi(gap("trx", 100.0, 8.0, gap_type=kind), hcps=0)
    assert (roi.attribution_rate, roi.attribution_level) == (rate, level)
    assert roi.estimated_revenue_impact == pytest.approx(85_000 * rate)
    assert roi.expected_roi == pytest.approx((85_000 * rate - 12_500) / 12_500)
    assert roi.risk_adjusted_roi == pytest.approx(roi.expected_roi * roi.confidence)


@pytest.mark.parametrize(
    ("cost", "revenue", "months_"),
    [(12_000, 12_000, 12), (100, 12_000, 1), (1e9, 1, 24), (5, 0, 24), (19_900, 12_000, 19)],
)
def test_payback_in_whole_months_within_two_years(
    cost: float, revenue: float, months_: int
) -> None:
    assert payback_months(cost, revenue) == months_


def test_the_interval_is_the_same_at_every_run_and_differs_by_gap() -> None:
    first = simulated_roi("a", 50_000.0, 12_500.0, 1.0)
    assert simulated_roi("a", 50_000.0, 12_500.0, 1.0) == first
    assert simulated_roi("b", 50_000.0, 12_500.0, 1.0) != first
    assert first.lower_bound < first.median < first.upper_bound


@settings(deadline=None)
@given(
    st.sampled_from(sorted(METRICS)),
    st.floats(0, 1e6),
    st.floats(0, 500),
    st.sampled_from(GapType),
    st.integers(0, 5000),
)
def test_every_estimate_keeps_its_limits(
    metric: str, size: float, percentage: float, kind: GapType, hcps: int
) -> None:
    roi = estimate_roi(gap(metric, size, percentage, gap_type=kind), hcps)
    assert roi.estimated_cost_to_close > 0
    assert 1 <= roi.payback_period_months <= 24
    assert 0 < roi.confidence <= 1
    interval = roi.confidence_interval
    assert interval.lower_bound <= interval.median <= interval.upper_bound
    assert 0 <= interval.probability_target <= interval.probability_positive <= 1
    assert all(math.isfinite(x) for x in (roi.expected_roi, roi.risk_adjusted_roi))


@pytest.mark.parametrize(
    ("asked", "cost", "level"),
    [
        (gap("trx", 10.0, 12.0), 9_999.0, Difficulty.LOW),
        (gap("trx", 10.0, 12.0), 20_000.0, Difficulty.LOW),
        (gap("trx", 101.0, 12.0), 20_000.0, Difficulty.MEDIUM),
        (gap("trx", 101.0, 12.0), 50_001.0, Difficulty.HIGH),
        (gap("market_share", 0.1, 21.0), 20_000.0, Difficulty.MEDIUM),
        (gap("market_share", 0.1, 51.0), 20_000.0, Difficulty.HIGH),
        (gap("nrx", 101.0, 9.0), 50_001.0, Difficulty.MEDIUM),
    ],
)
def test_difficulty_adds_up_cost_size_and_share(asked: Gap, cost: float, level: Difficulty) -> None:
    assert difficulty(asked, cost) is level


# -- ranking


def test_ranks_follow_the_expected_roi() -> None:
    ranked = rank([(gap("trx", s, 8.0, gap_id=f"g{s}"), 0) for s in (20.0, 90.0, 50.0)])
    assert [(o.rank, o.gap.gap_size) for o in ranked] == [(1, 90.0), (2, 50.0), (3, 20.0)]


def test_quick_wins_are_easy_and_bets_are_hard_and_costly() -> None:
    easy = gap("trx", 90.0, 8.0, gap_id="easy")
    hard = gap("trx", 5000.0, 60.0, gap_id="hard")
    poor = gap("market_share", 0.001, 60.0, gap_id="poor")
    ranked = rank([(easy, 0), (hard, 0), (poor, 0)])
    assert [o.gap.gap_id for o in quick_wins(ranked)] == ["easy"]
    assert [o.gap.gap_id for o in strategic_bets(ranked)] == ["hard"]


def test_totals_count_each_segment_value_once_and_never_add_units() -> None:
    ranked = rank(
        [
            (gap("trx", 50.0), 0),
            (gap("trx", 80.0, gap_type=GapType.VS_BENCHMARK, gap_id="b"), 0),
            (gap("trx", 10.0, segment_value="west", gap_id="c"), 0),
            (gap("market_share", 0.02, gap_id="d"), 0),
            (gap("market_share", 0.04, segment_value="west", gap_id="e"), 0),
        ]
    )
    assert gap_totals(ranked) == {"market_share": pytest.approx(0.03), "trx": 90.0}
    by_place = {"trx": 80 * 850 * 0.65, "west": 10 * 850, "share": 0.02 * 85_000 + 0.04 * 85_000}
    assert addressable_value(ranked) == pytest.approx(sum(by_place.values()))
    assert addressable_value([]) == 0


# -- the whole analysis


def test_a_planted_shortfall_of_a_fifth_comes_first() -> None:
    rows = metric_rows(months(2024, 4, 9), "trx", 98.0, 100.0)
    for row in rows:
        if row["region"] == "midwest":
            row["value"] = 80.0
    answer = analyze(rows, gap_type="vs_target")
    [first, *_] = answer.prioritized_opportunities
    assert answer.status == "completed"
    assert (first.rank, first.gap.segment_value, first.gap.gap_percentage) == (1, "midwest", 20.0)
    assert answer.time_period == "2024-07-01_2024-09-30"


def test_no_rows_is_no_data_with_a_warning() -> None:
    for answer in (analyze([]), analyze(metric_rows(months(2024, 1, 3)), time_period="Q1_2020")):
        assert answer.status == "no_data"
        assert answer.prioritized_opportunities == []
        assert answer.warnings
        assert "No data" in answer.executive_summary


def test_relative_periods_count_from_the_last_date_in_the_data_or_as_of() -> None:
    rows = metric_rows(months(2024, 1, 12))
    assert analyze(rows, time_period="YTD").time_period == "2024-01-01_2024-12-01"
    early = analyze(rows, time_period="MTD", as_of=date(2024, 5, 20))
    assert early.time_period == "2024-05-01_2024-05-20"
    assert analyze(rows, as_of=date(2024, 8, 31)).time_period == "2024-04-01_2024-06-30"


def test_rows_after_as_of_do_not_count() -> None:
    rows = [*metric_rows(months(2024, 7, 8)), *metric_rows(months(2024, 9, 9), value=10.0)]
    answer = analyze(rows, time_period="Q3_2024", as_of=date(2024, 8, 15), gap_type="vs_target")
    assert {o.gap.current_value for o in answer.prioritized_opportunities} == {90.0}


def test_a_surplus_is_reported_but_is_no_opportunity() -> None:
    answer = analyze(metric_rows(months(2024, 7, 9), value=130.0), gap_type="vs_target")
    assert answer.prioritized_opportunities == []
    assert any("4 values lie above" in warning for warning in answer.warnings)


def test_filters_and_segments_narrow_the_question() -> None:
    rows = metric_rows(months(2024, 7, 9))
    south = analyze(rows, filters={"region": ["south"]}, gap_type="vs_target")
    assert {o.gap.segment_value for o in south.prioritized_opportunities} == {"south"}
    brand = analyze(rows, segments=["brand"], gap_type="vs_target")
    assert [o.gap.gap_id for o in brand.prioritized_opportunities] == [
        "brand_Remibrutinib_trx_vs_target"
    ]


def test_the_answer_holds_no_more_than_was_asked_for() -> None:
    answer = analyze(metric_rows(months(2024, 7, 9)), max_opportunities=2, gap_type="vs_target")
    assert [o.rank for o in answer.prioritized_opportunities] == [1, 2]
    assert answer.total_gap_value == {"trx": 40.0}
    assert len(answer.key_insights) <= 5


def test_metrics_without_rows_are_named() -> None:
    answer = analyze(metric_rows(months(2024, 7, 9)), metrics=["trx", "Market Share Percentage"])
    assert answer.metrics_analyzed == ["trx", "market_share"]
    assert "no rows of market_share in this period" in answer.warnings


@pytest.mark.parametrize("name", ["adherence", "Adherence_Rate", "Treatment Adherence Rate"])
def test_what_one_brand_has_alone_is_generated_and_answered(name: str) -> None:
    sizes = dict.fromkeys(SMALL_SIZES, 60) | {"business_metrics": 1_200}
    metrics = generate(Recipe(sizes))["business_metrics"]
    rows = metrics.assign(metric_date=pd.to_datetime(metrics["metric_date"]).dt.date)
    answer = analyze(rows.to_dict("records"), brand="Fabhalta", metrics=[name])
    assert (answer.status, answer.metrics_analyzed) == ("completed", ["adherence"])
    assert answer.prioritized_opportunities
    first = answer.prioritized_opportunities[0]
    assert first.gap.metric == "adherence"
    assert 0 < first.gap.current_value < first.gap.target_value < 1


def test_gaps_valued_by_hcp_need_hcps() -> None:
    rows = metric_rows(months(2024, 7, 9), "conversion_rate", 0.10, 0.20)
    asked = {"metrics": ["conversion_rate"], "gap_type": "vs_target"}
    ten, none = analyze(rows, hcps=10, **asked), analyze(rows, hcps=0, **asked)
    impacts = [a.prioritized_opportunities[0].roi_estimate for a in (ten, none)]
    assert [round(i.estimated_revenue_impact) for i in impacts] == [320 * 10 * 10, 0]
    assert any("no HCPs" in warning for warning in none.warnings)


# -- the query layer


def repository(rows: Sequence[Record]) -> BusinessMetricRepository:
    return BusinessMetricRepository(MemorySource(business_metrics=rows))


@pytest.mark.parametrize("name", ["trx", "TRX", "Total Prescriptions", "total prescriptions"])
def test_a_time_series_is_found_by_key_and_description_in_any_case(name: str) -> None:
    days = months(2024, 1, 6)
    rows = asyncio.run(
        repository(metric_rows(days[::-1])).get_time_series(
            name, "Remibrutinib", date(2024, 2, 1), date(2024, 4, 1)
        )
    )
    assert [row["metric_date"] for row in rows[::4]] == days[1:4]
    assert len(rows) == 12
    assert not rows.truncated


def test_a_limit_is_kept_and_reported() -> None:
    asked = repository(metric_rows(months(2024, 1, 3)))
    some = asyncio.run(asked.get_by_kpi("trx", "Remibrutinib", limit=5))
    every = asyncio.run(asked.get_by_region("South", limit=3))
    assert (len(some), some.limit, some.truncated) == (5, 5, True)
    assert (len(every), every.truncated) == (3, False)
    assert some[0]["metric_date"] == date(2024, 3, 1)


def test_a_region_or_brand_that_is_none_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown region 'north'"):
        asyncio.run(repository([]).get_by_region("north"))
    with pytest.raises(UnknownNameError, match="unknown brand 'kisqali'"):
        asyncio.run(repository([]).get_latest_snapshot("kisqali"))


def test_the_snapshot_averages_over_regions_or_takes_the_one_asked_for() -> None:
    rows = metric_rows(months(2024, 1, 2), value=50.0)
    rows[-1]["value"] = 90.0
    asked = repository(rows)
    everywhere = asyncio.run(asked.get_latest_snapshot("Remibrutinib"))
    west = asyncio.run(asked.get_latest_snapshot("Remibrutinib", "west"))
    assert everywhere["trx"]["value"] == 60.0
    assert west["trx"]["value"] == 90.0
    assert west["trx"]["date"] == date(2024, 2, 1)


def test_achievement_and_roi_of_the_latest_date() -> None:
    rows = metric_rows(months(2024, 1, 2))
    rows[-1] |= {"achievement_rate": 1.0, "roi": 4.0}
    asked = repository(rows)
    achieved = asyncio.run(asked.get_achievement_summary("Remibrutinib"))
    assert (achieved["metrics_at_target"], achieved["metrics_below_target"]) == (1, 3)
    assert achieved["total_metrics"] == 4
    roi = asyncio.run(asked.get_roi_summary("Remibrutinib"))
    assert (roi["avg_roi"], roi["max_roi"], roi["min_roi"]) == (2.5, 4.0, 2.0)
    assert roi["total_value"] == {"trx": 360.0}


def test_summaries_of_nothing_say_so() -> None:
    asked = repository([])
    assert asyncio.run(asked.get_latest_snapshot("Kisqali")) == {}
    assert asyncio.run(asked.get_achievement_summary("Kisqali")) == {
        "avg_achievement": None,
        "metrics_at_target": 0,
        "metrics_below_target": 0,
        "total_metrics": 0,
    }
    assert asyncio.run(asked.get_roi_summary("Kisqali"))["avg_roi"] is None


def test_no_connection_is_an_error_and_no_empty_list() -> None:
    class Broken(MemorySource):
        async def fetch(self, query: Query) -> list[Record]:
            raise TargetError("nobody answers", code="unreachable")

    with pytest.raises(TargetError, match="nobody answers"):
        asyncio.run(BusinessMetricRepository(Broken()).get_by_kpi("trx"))
