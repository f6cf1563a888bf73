"""Finding gaps: the mean of each metric in each segment, against target, peers and the past.

A row of `business_metrics` is one figure of one brand in one region for the time its date stands
for (a month, where dates are firsts of months). Counts are what came in that time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from src.ml.agents.drift_stats import adjusted
from src.ml.agents.gap_models import DataGap, DataGapKind, Gap, GapType
from src.ml.agents.gap_noise import (
    Array,
    Panel,
    critical,
    scatters,
    seasonal_change,
    shortfall_p,
)
from src.ml.agents.periods import Period

#: counts; anything else is a rate or a score, which cannot be added up
COUNTS = ("trx", "nrx")
#: share of the segment values that lie below what counts as the potential
_POTENTIAL = 0.9
#: a difference that chance leaves more seldom counts
SIGNIFICANCE = 0.05
#: half of a 95 % interval, in standard errors
_HALF = 1.959964
_FIGURES = ["value", "target", "confidence_interval_lower", "confidence_interval_upper"]
_BEFORE, _PRIOR, _NOW = range(3)


@dataclass
class Found:
    """What a question found, before the threshold."""

    gaps: list[Gap] = field(default_factory=list)
    data_gaps: list[DataGap] = field(default_factory=list)
    #: metrics whose season no earlier year tells
    seasonless: set[str] = field(default_factory=set)

    def judged(self) -> list[Gap]:
        """The gaps with p-values corrected over all of them."""
        levels = adjusted([gap.p_value for gap in self.gaps])
        return [
            gap.model_copy(
                update={"p_value_adjusted": level, "is_significant": level < SIGNIFICANCE}
            )
            for gap, level in zip(self.gaps, levels, strict=True)
        ]


def tidied(rows: Sequence[Mapping[str, Any]], segment: str) -> pd.DataFrame:
    """One figure per metric, place and date; of a whole brand counts are added up over regions."""
    columns = [segment, "region", "metric_type", "metric_date", *_FIGURES, "sample_size"]
    frame = pd.DataFrame(list(rows), columns=list(dict.fromkeys(columns)))
    numbers = frame[[*_FIGURES, "sample_size"]].apply(pd.to_numeric, errors="coerce")
    numbers = numbers.replace([np.inf, -np.inf], np.nan)
    frame["error"] = (numbers.confidence_interval_upper - numbers.confidence_interval_lower) / (
        2 * _HALF
    )
    frame["place"], frame["metric"] = frame[segment].astype(str), frame["metric_type"]
    frame["day"] = pd.to_datetime(frame["metric_date"])
    for column in ("value", "target", "sample_size"):
        frame[column] = numbers[column]
    regions = frame.groupby(["place", "metric"])["region"].nunique()
    frame["square"] = frame["error"] ** 2
    means = {name: (name, "mean") for name in ("value", "target", "square")}
    shown = frame.groupby(["metric", "place", "day"], sort=True).agg(
        **means,
        parts=("value", "size"),
        sample_size=("sample_size", "sum"),
    )
    shown = shown.reset_index()
    shown["error"] = np.sqrt(shown["square"] / shown["parts"])
    if segment == "brand":
        counted = shown["metric"].isin(COUNTS)
        keys = pd.MultiIndex.from_frame(shown[["place", "metric"]])
        factor = regions.reindex(keys).to_numpy()[counted]
        for column in ("value", "target", "error"):
            shown.loc[counted, column] *= factor
    return shown


def per_year(days: Iterable[date]) -> float:
    """How many figures a year has; 12 of a single date, since a row is a month."""
    numbers = sorted({day.toordinal() for day in days})
    if len(numbers) < 2:
        return 12.0
    step = float(np.median(np.diff(numbers)))
    if 28 <= step <= 31:
        return 12.0
    return 4.0 if 89 <= step <= 92 else 365.25 / step


def find_gaps(
    segment: str,
    rows: Sequence[Mapping[str, Any]],
    period: Period,
    types: Iterable[GapType],
    expected: Sequence[str] = (),
    hcps: Mapping[str, int] | None = None,
) -> Found:
    """All gaps of a period, and where nothing can be compared.

    `rows` reach back as far as the noise is to be learnt from; `expected` are the segment values
    that should report, `hcps` their prescribers.
    """
    found = Found()
    frame = tidied(rows, segment)
    if frame.empty:
        return found
    start, prior = pd.Timestamp(period.start), pd.Timestamp(period.prior().start)
    frame["stretch"] = (frame["day"] >= prior).astype(int) + (frame["day"] >= start)
    kinds = tuple(types)
    for metric, part in frame.groupby("metric", sort=True):
        _of_metric(found, segment, str(metric), part, kinds, expected, hcps or {})
    found.gaps.sort(key=lambda gap: (-abs(gap.gap_percentage), gap.gap_id))
    return found


def _of_metric(
    found: Found,
    segment: str,
    metric: str,
    frame: pd.DataFrame,
    kinds: tuple[GapType, ...],
    expected: Sequence[str],
    hcps: Mapping[str, int],
) -> None:
    now = frame[frame["stretch"] == _NOW]
    if now.empty:
        return
    named = partial(DataGap, segment=segment, metric=metric)
    found.data_gaps += [
        named(segment_value=place, kind=kind, message=message, last_reported=last)
        for place, kind, message, last in _silences(frame, now, expected)
    ]
    places = sorted(now.dropna(subset=["value"])["place"].unique())
    if not places:
        return
    frame = frame[frame["place"].isin(places)].dropna(subset=["value"])
    frame = frame.assign(series=frame["place"].map({p: n for n, p in enumerate(places)}))
    comparisons = {
        GapType.VS_TARGET: lambda: _to_target(frame, places),
        GapType.VS_BENCHMARK: lambda: _to_peers(metric, frame, places, hcps, potential=False),
        GapType.VS_POTENTIAL: lambda: _to_peers(metric, frame, places, hcps, potential=True),
        GapType.TEMPORAL: lambda: _to_past(found, metric, frame, places),
    }
    for kind in kinds:
        for place, compared in comparisons[kind]().items():
            own = frame[(frame["place"] == place) & (frame["stretch"] == _NOW)]
            if (gap := _gap(segment, metric, kind, place, own, compared)) is not None:
                found.gaps.append(gap)
                continue
            message = f"{kind}: too few figures to tell a gap from noise"
            found.data_gaps.append(
                named(segment_value=place, kind=DataGapKind.NOISE_UNKNOWN, message=message)
            )


def _gap(
    segment: str, metric: str, kind: GapType, place: str, own: pd.DataFrame, compared: _Comparison
) -> Gap | None:
    """The gap with its interval; None where neither the series nor the rows tell their noise."""
    size = compared.reference - compared.value
    error, df = compared.error, compared.df
    # what the rows themselves say they may be off by is the least
    stored = float(np.sqrt((own["error"] ** 2).sum())) / len(own)
    if stored > 0 and (df <= 0 or stored > error):
        error, df = stored, np.inf
    level = shortfall_p(size, error, df)
    if level is None:
        return None
    reach = error * critical(df)
    return Gap(
        gap_id=f"{segment}_{place}_{metric}_{kind}",
        metric=metric,
        segment=segment,
        segment_value=place,
        current_value=compared.value,
        target_value=compared.reference,
        gap_size=size,
        gap_percentage=100.0 * size / compared.reference,
        gap_type=kind,
        observations=len(own),
        sample_size=int(own["sample_size"].sum()),
        interval_lower=size - reach,
        interval_upper=size + reach,
        p_value=min(1.0, level * compared.chosen_of),
    )


class _Comparison(NamedTuple):
    """A value and what it is compared with, above 0; the standard error of their difference."""

    value: float
    reference: float
    error: float
    df: float
    #: how many comparisons the reference was chosen of
    chosen_of: int = 1


_Compared = dict[str, _Comparison]


def _silences(
    frame: pd.DataFrame, now: pd.DataFrame, expected: Sequence[str]
) -> list[tuple[str, DataGapKind, str, date | None]]:
    """Where figures or targets are lacking that others have."""
    reported: list[tuple[str, DataGapKind, str, date | None]] = []
    days = now["day"].nunique()
    for place in sorted({*frame["place"], *expected}):
        own, every = now[now["place"] == place], frame[frame["place"] == place]
        valued = every.dropna(subset=["value"])
        last = valued["day"].max().date() if len(valued) else None
        have = int(own["value"].notna().sum())
        targets = own["target"]
        add = partial(lambda kind, text, p, d: reported.append((p, kind, text, d)), p=place, d=last)
        if own.empty:
            since = f"none since {last}" if last else "none ever"
            add(DataGapKind.SILENT, f"no rows in the period, {since}")
        elif have == 0:
            add(DataGapKind.NO_VALUE, f"all {len(own)} values are null")
        elif own["day"].max() < now["day"].max():
            add(DataGapKind.STOPPED, f"no rows after {own['day'].max().date()}")
        elif have < days:
            add(DataGapKind.INCOMPLETE, f"{days - have} of {days} figures are missing")
        if len(own) and targets.isna().any():
            add(
                DataGapKind.NO_TARGET, f"{int(targets.isna().sum())} of {len(own)} targets are null"
            )
        if len(own) and (none := int((targets <= 0).sum())):
            below = " or below" if (targets < 0).any() else ""
            add(DataGapKind.ZERO_TARGET, f"{none} of {len(own)} targets are 0{below}")
    return reported


def _panel(frame: pd.DataFrame, values: Array, *, split_prior: bool) -> Panel:
    stretch = frame["stretch"].to_numpy()
    return Panel(
        np.asarray(values, dtype=float),
        frame["series"].to_numpy(),
        stretch if split_prior else np.where(stretch == _NOW, _NOW, _BEFORE),
        (frame["day"] - pd.Timestamp(0)).dt.days.to_numpy(),
        frame["day"].dt.month.to_numpy(),
    )


def _to_target(frame: pd.DataFrame, places: Sequence[str]) -> _Compared:
    kept = frame[frame["target"] > 0]
    ratio = (kept["value"] / kept["target"]).to_numpy()
    noise = scatters(_panel(kept, ratio, split_prior=False), len(places))
    found: _Compared = {}
    for number, place in enumerate(places):
        own = kept[(kept["series"] == number) & (kept["stretch"] == _NOW)]
        if len(own):
            value, target = float(own["value"].mean()), float(own["target"].mean())
            error = noise[number].of_mean(len(own)) * target
            found[place] = _Comparison(value, target, error, noise[number].df)
    return found


def _to_peers(
    metric: str,
    frame: pd.DataFrame,
    places: Sequence[str],
    hcps: Mapping[str, int],
    *,
    potential: bool,
) -> _Compared:
    """Counts are compared by what a place can reach: its target, else its prescribers."""
    scaled = frame.assign(scale=_scales(metric, frame, hcps))
    scaled = scaled[scaled["scale"] > 0]
    scaled = scaled.assign(rate=scaled["value"] / scaled["scale"])
    by_day = scaled.groupby("day")["rate"]
    count, total = by_day.transform("size"), by_day.transform("sum")
    scaled = scaled[count > 1].assign(
        others=((total - scaled["rate"]) / (count - 1).where(count > 1))[count > 1]
    )
    now = scaled[scaled["stretch"] == _NOW]
    if now["series"].nunique() < 2:
        return {}
    difference = (scaled["rate"] - scaled["others"]).to_numpy()
    noise = scatters(_panel(scaled, difference, split_prior=False), len(places))
    means = now.groupby("series")[["rate", "others", "scale", "value"]].mean()
    best = float(np.quantile(means["rate"], _POTENTIAL))
    peers = len(means) - 1
    found: _Compared = {}
    for number, rate, others, scale, value in means.itertuples(name=None):
        own, size = noise[number], int((now["series"] == number).sum())
        error = own.of_mean(size)
        if potential:
            # of two places instead of one and the mean of all others
            error *= float(np.sqrt(2.0 * peers / (peers + 1)))
        reference = best if potential else others
        # the rate, seen at the place's own scale
        aim = value + (reference - rate) * scale
        if aim > 0:
            chosen_of = peers if potential else 1
            found[places[number]] = _Comparison(value, aim, error * scale, own.df, chosen_of)
    return found


def _scales(metric: str, frame: pd.DataFrame, hcps: Mapping[str, int]) -> Array:
    """What a figure is divided by, so that places of any size can be compared; 0 if unknown."""
    if metric not in COUNTS:
        return np.ones(len(frame))
    now = frame[frame["stretch"] == _NOW]
    # where one place lacks its target, it alone is not compared
    if now[now["target"] > 0]["place"].nunique() > 1:
        return frame["target"].fillna(0.0).to_numpy()
    return frame["place"].map(hcps).fillna(0).to_numpy(dtype=float)


def _to_past(found: Found, metric: str, frame: pd.DataFrame, places: Sequence[str]) -> _Compared:
    """Against as many days before, each place by its own level, without the season."""
    compared: _Compared = {}
    levels = frame.groupby("series")["value"].mean()
    kept = frame[frame["series"].map(levels) > 0]
    if kept.empty:
        return compared
    scale = kept["series"].map(levels).to_numpy()
    panel = _panel(kept, kept["value"].to_numpy() / scale, split_prior=True)
    for number, place in enumerate(places):
        own = kept[kept["series"] == number]
        now, prior = (own[own["stretch"] == s]["value"] for s in (_NOW, _PRIOR))
        if now.empty or prior.empty:
            continue
        change, error, df = seasonal_change(panel, number, _PRIOR, _NOW)
        if np.isnan(change):
            found.seasonless.add(metric)
            continue
        level, value = float(levels[number]), float(now.mean())
        if value - change * level > 0:
            compared[place] = _Comparison(value, value - change * level, error * level, df)
    return compared
