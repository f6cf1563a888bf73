"""The gap analyzer: where metrics fall short, and what closing the gaps is worth."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime

from src.ml.agents.business_metrics import BusinessMetricRepository
from src.ml.agents.gap_models import (
    DataGap,
    Difficulty,
    Gap,
    GapAnalysis,
    GapRequest,
    Opportunity,
)
from src.ml.agents.gaps import Found, find_gaps, per_year
from src.ml.agents.names import METRICS
from src.ml.agents.periods import (
    Period,
    latest_complete_quarter,
    milliseconds,
    parse_period,
    quarter_of,
)
from src.ml.agents.roi import RATES, TIME_TO_IMPACT, difficulty, estimate_roi
from src.ml.agents.sources import Filter, Op, Query, Source
from src.ml.synthetic.config import REGIONS

#: at most so many quick wins, strategic bets and insights each
_MOST = 5
_BET_COST = 50_000.0
#: days before the period from which noise and season are learnt
_HISTORY = 1096
_ACTIONS = {
    "trx": "Raise call frequency and samples for prescribers",
    "nrx": "Find and win new prescribers",
    "market_share": "Answer the competitors' message with payers and prescribers",
    "conversion_rate": "Redesign the path from first contact to prescription",
    "hcp_engagement_score": "Tailor content and channels to HCPs' preferences",
    "adherence": "Remind and support patients to stay on therapy",
    "os_rate": "Show prescribers who gains from an earlier start",
}
#: metrics that cannot be added up over segments
_MEANS = (*RATES, "hcp_engagement_score")


class GapAnalyzer:
    """Answers questions about gaps from what a source holds."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._metrics = BusinessMetricRepository(source)

    async def analyze(self, request: GapRequest) -> GapAnalysis:
        """The gaps of a brand and what they are worth; `no_data` if the period has no rows.

        Raises PeriodError for a time period that cannot be read, TargetError without a connection.
        """
        start = time.perf_counter()
        warnings: list[str] = []
        period = await self._period(request, warnings)
        found = await self._found(request, period, warnings) if period else None
        gaps, data_gaps = found or (None, [])
        detected = time.perf_counter()
        ranked = await self._ranked(gaps or [], warnings)
        done = time.perf_counter()
        chosen = ranked[: request.max_opportunities]
        return GapAnalysis(
            analysis_id=f"gap_{uuid.uuid4().hex[:12]}",
            status="no_data" if gaps is None else "completed",
            brand=request.brand,
            query=request.query,
            time_period=str(period) if period else None,
            metrics_analyzed=request.metric_keys,
            segments_analyzed=request.segments,
            prioritized_opportunities=chosen,
            data_gaps=data_gaps,
            quick_wins=quick_wins(ranked),
            strategic_bets=strategic_bets(ranked),
            total_addressable_value=addressable_value(ranked),
            total_gap_value=gap_totals(ranked),
            executive_summary=_summary(request, period, gaps, ranked, data_gaps),
            key_insights=_insights(ranked),
            detection_latency_ms=milliseconds(start, detected),
            roi_latency_ms=milliseconds(detected, done),
            total_latency_ms=milliseconds(start, time.perf_counter()),
            timestamp=datetime.now(UTC),
            warnings=warnings,
        )

    async def _period(self, request: GapRequest, warnings: list[str]) -> Period | None:
        """The period asked for, or the latest complete quarter in the data."""
        dates = await self._metrics.get_dates(request.metric_keys, request.brand, request.as_of)
        if request.time_period is not None:
            anchor = request.as_of or (dates[-1] if dates else datetime.now(UTC).date())
            return parse_period(request.time_period, anchor)
        if not dates:
            warnings.append(f"business_metrics holds no rows of {request.brand} for these metrics")
            return None
        found = latest_complete_quarter(dates)
        if found is None:
            found = Period(quarter_of(dates[-1]).start, dates[-1])
            warnings.append(f"the data cover no whole quarter; {found} is analysed")
        return found

    async def _found(
        self, request: GapRequest, period: Period, warnings: list[str]
    ) -> tuple[list[Gap], list[DataGap]] | None:
        """The gaps of every segment beyond noise and threshold; None if the period has no rows."""
        learnt = max(1, period.start.toordinal() - max(_HISTORY, period.days))
        rows = await self._metrics.get_many(
            request.metric_keys, request.brand, date.fromordinal(learnt), period.end
        )
        allowed = request.filter_values.items()
        kept = [row for row in rows if all(row[column] in given for column, given in allowed)]
        if request.as_of:
            kept = [row for row in kept if row["metric_date"] <= request.as_of]
        current = [row for row in kept if row["metric_date"] >= period.start]
        if not current:
            warnings.append(f"business_metrics holds no rows of {request.brand} in {period}")
            return None
        before, prior = period.prior(), "temporal" in request.gap_types
        found_metrics = {row["metric_type"] for row in current}
        warnings += [
            f"no rows of {metric} in this period"
            for metric in request.metric_keys
            if metric not in found_metrics
        ]
        if prior and not any(before.start <= row["metric_date"] < period.start for row in kept):
            warnings.append("no rows in the prior period: there is no temporal gap")
        found, yearly = Found(), per_year(row["metric_date"] for row in kept)
        for segment in request.segments:
            by_region = segment == "region"
            places = request.filter_values.get("region", REGIONS) if by_region else ()
            hcps = {place: await self._hcps(segment, place) for place in places}
            part = find_gaps(segment, kept, period, request.gap_types, places, hcps)
            found.gaps += part.gaps
            found.data_gaps += part.data_gaps
            found.seasonless |= part.seasonless
        if found.seasonless:
            warnings.append(
                "without an earlier year a season cannot be distinguished from a change, so there "
                f"is no temporal gap of {', '.join(sorted(found.seasonless))}"
            )
        return self._beyond(request, found, yearly, warnings), found.data_gaps

    def _beyond(
        self, request: GapRequest, found: Found, yearly: float, warnings: list[str]
    ) -> list[Gap]:
        """The gaps of the size asked for that chance does not explain, and all surpluses."""
        judged = [gap.model_copy(update={"per_year": yearly}) for gap in found.judged()]
        wide = [gap for gap in judged if abs(gap.gap_percentage) >= request.min_gap_threshold]
        noise = [gap for gap in wide if gap.gap_size > 0 and not gap.is_significant]
        if noise:
            warnings.append(
                f"{len(noise)} shortfalls of {request.min_gap_threshold:g} % or more lie within "
                "the noise of their series: no opportunity"
            )
        return [gap for gap in wide if gap.is_significant or gap.gap_size <= 0]

    async def _ranked(self, gaps: Sequence[Gap], warnings: list[str]) -> list[Opportunity]:
        """The shortfalls by expected ROI; a surplus is not an opportunity."""
        shortfalls = [gap for gap in gaps if gap.gap_size > 0]
        if len(shortfalls) < len(gaps):
            more = len(gaps) - len(shortfalls)
            warnings.append(f"{more} values lie above what they are compared with: no opportunity")
        hcps = {
            place: await self._hcps(*place)
            for place in dict.fromkeys((gap.segment, gap.segment_value) for gap in shortfalls)
        }
        if shortfalls and not any(hcps.values()):
            warnings.append("hcp_profiles holds no HCPs here, so gaps valued by HCP are worth 0")
        return rank([(gap, hcps[gap.segment, gap.segment_value]) for gap in shortfalls])

    async def _hcps(self, segment: str, value: str) -> int:
        """HCPs of a region; of a brand all, since profiles name no brand."""
        filters = (Filter("geographic_region", Op.EQ, value),) if segment == "region" else ()
        return await self._source.count(Query("hcp_profiles", ("hcp_id",), filters))


def rank(gaps: Sequence[tuple[Gap, int]]) -> list[Opportunity]:
    """Gaps, each with the HCPs of its segment, as opportunities by expected ROI from rank 1 on."""
    pairs = [(gap, estimate_roi(gap, hcps)) for gap, hcps in gaps]
    pairs.sort(key=lambda pair: (-pair[1].expected_roi, pair[0].gap_id))
    opportunities = []
    for place, (gap, roi) in enumerate(pairs, start=1):
        level = difficulty(gap, roi.estimated_cost_to_close)
        opportunities.append(
            Opportunity(
                rank=place,
                gap=gap,
                roi_estimate=roi,
                recommended_action=f"{_ACTIONS[gap.metric]} ({gap.segment} {gap.segment_value})",
                implementation_difficulty=level,
                time_to_impact=TIME_TO_IMPACT[level],
            )
        )
    return opportunities


def quick_wins(ranked: Sequence[Opportunity]) -> list[Opportunity]:
    """Easy ones that pay more than twice their cost, at most five."""
    return [
        o
        for o in ranked
        if o.implementation_difficulty is Difficulty.LOW and o.roi_estimate.expected_roi > 1
    ][:_MOST]


def strategic_bets(ranked: Sequence[Opportunity]) -> list[Opportunity]:
    """Hard, costly ones that pay more than three times their cost, at most five."""
    return [
        o
        for o in ranked
        if o.implementation_difficulty is Difficulty.HIGH
        and o.roi_estimate.expected_roi > 2
        and o.roi_estimate.estimated_cost_to_close > _BET_COST
    ][:_MOST]


def addressable_value(ranked: Sequence[Opportunity]) -> float:
    """Dollars a year: of the gaps of one segment value and metric the most valuable one counts."""
    best: dict[tuple[str, str], float] = {}
    for o in _first_segment(ranked):
        key = (o.gap.segment_value, o.gap.metric)
        best[key] = max(best.get(key, 0.0), o.roi_estimate.estimated_revenue_impact)
    return sum(best.values())


def gap_totals(ranked: Sequence[Opportunity]) -> dict[str, float]:
    """By metric the shortfall over all segment values, in the metric's unit, by the largest gap."""
    largest: dict[str, dict[str, float]] = {}
    for o in _first_segment(ranked):
        sizes = largest.setdefault(o.gap.metric, {})
        sizes[o.gap.segment_value] = max(sizes.get(o.gap.segment_value, 0.0), o.gap.gap_size)
    return {
        metric: sum(sizes.values()) / (len(sizes) if metric in _MEANS else 1)
        for metric, sizes in sorted(largest.items())
    }


def _first_segment(ranked: Sequence[Opportunity]) -> list[Opportunity]:
    """Those of one way to cut the data: two ways count the same shortfall twice."""
    segments = {o.gap.segment for o in ranked}
    chosen = "region" if "region" in segments else next(iter(segments), "")
    return [o for o in ranked if o.gap.segment == chosen]


def _summary(
    request: GapRequest,
    period: Period | None,
    gaps: Sequence[Gap] | None,
    ranked: Sequence[Opportunity],
    data_gaps: Sequence[DataGap],
) -> str:
    if gaps is None:
        return f"No data for {request.brand}: nothing can be said about gaps."
    where = f"{request.brand}, {period}"
    lacking = [f"{d.segment_value}, {METRICS[d.metric]}: {d.message}." for d in data_gaps]
    reported = " ".join(["", *lacking[:_MOST]]) + (" …" if len(lacking) > _MOST else "")
    if not ranked:
        return f"{where}: no shortfall of {request.min_gap_threshold:g} % beyond noise.{reported}"
    best = ranked[0]
    return (
        f"{where}: {len(ranked)} shortfalls, {_dollars(addressable_value(ranked))} a year "
        f"addressable. First: {_named(best)}, expected ROI {best.roi_estimate.expected_roi:.1f}."
        f"{reported}"
    )


def _insights(ranked: Sequence[Opportunity]) -> list[str]:
    """Up to five sentences, each about another metric or group."""
    if not ranked:
        return []
    widest = max(ranked, key=lambda o: o.gap.gap_percentage)
    insights = [f"Widest gap: {_named(widest)}."]
    wins, bets = quick_wins(ranked), strategic_bets(ranked)
    if wins:
        insights.append(f"{len(wins)} quick wins, the best {_named(wins[0])}.")
    if bets:
        insights.append(f"{len(bets)} strategic bets, the best {_named(bets[0])}.")
    losing = [o for o in ranked if o.roi_estimate.expected_roi <= 0]
    if losing:
        insights.append(f"{len(losing)} shortfalls cost more to close than they are worth.")
    places = dict.fromkeys(o.gap.segment_value for o in _first_segment(ranked))
    values = {p: addressable_value([o for o in ranked if o.gap.segment_value == p]) for p in places}
    place = max(values, key=lambda name: values[name])
    insights.append(f"Most of the value is in {place}: {_dollars(values[place])} a year.")
    return insights[:_MOST]


def _named(o: Opportunity) -> str:
    gap, against = o.gap, o.gap.gap_type.replace("_", " ")
    where = f"{METRICS[gap.metric]} in {gap.segment_value}"
    return f"{where}, {gap.gap_percentage:.1f} % short ({against})"


def _dollars(value: float) -> str:
    return f"${value:,.0f}"
