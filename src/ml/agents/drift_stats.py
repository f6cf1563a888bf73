"""Two samples, one distribution? The population stability index (PSI) and its tests."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import special, stats

from src.ml.agents.drift_models import Severity

Sample = np.ndarray[Any, np.dtype[Any]]
_Counts = np.ndarray[Any, np.dtype[np.float64]]

#: fewer values in a window say nothing about a distribution
MIN_SAMPLES = 30
#: fewest and most bins; between them one for each ten values of the smaller sample
_BINS = (3, 10)
_PER_BIN = 10
#: added to each count, so that an empty bin has a logarithm
_SMOOTHING = 0.5
#: a chi-square test needs this many expected values in each cell
_MIN_EXPECTED = 5.0
_CRITICAL, _HIGH = 0.25, 0.20
_CRITICAL_EFFECT, _HIGH_EFFECT = 0.15, 0.10
#: values of both windows up to which levels are exact or from permutations
_SMALL = 100
_SHUFFLES, _SEED = 999, 42
_WEIGHTS = {
    Severity.NONE: 0.0,
    Severity.LOW: 0.25,
    Severity.MEDIUM: 0.5,
    Severity.HIGH: 0.75,
    Severity.CRITICAL: 1.0,
}


class Shift(NamedTuple):
    """How far a distribution has moved, and how likely so far by chance."""

    psi: float
    p_value: float


def corrected_psi(baseline: _Counts, current: _Counts, effect: float = 1.0) -> float:
    """PSI of two rows of bin counts, less its expectation without drift; at least 0.

    Without drift PSI is about chi-square distributed: its mean is (bins − 1)(1/n + 1/m), times
    the design effect of values that depend on each other.
    """
    bins, n, m = len(baseline), baseline.sum(), current.sum()
    expected = (baseline + _SMOOTHING) / (n + bins * _SMOOTHING)
    actual = (current + _SMOOTHING) / (m + bins * _SMOOTHING)
    psi = float(((actual - expected) * np.log(actual / expected)).sum())
    return max(0.0, psi - float(effect * (bins - 1) * (1 / n + 1 / m)))


def numeric_shift(baseline: Sample, current: Sample, effect: float = 1.0) -> Shift:
    """PSI over quantile bins with open ends; Kolmogorov-Smirnov and Anderson-Darling tests.

    The first sees a shift, the second also another spread and the tails. Levels of small samples
    are exact or from permutations; `effect` is the design effect of values that depend on each
    other.
    """
    both = np.concatenate([baseline, current]).astype(float)
    fewest = int(min(len(baseline), len(current)) / effect)
    bins = int(np.clip(fewest // _PER_BIN, *_BINS))
    edges = np.unique(np.quantile(both, np.linspace(0, 1, bins + 1)[1:-1]))
    psi = corrected_psi(_binned(baseline, edges), _binned(current, edges), effect)
    levels = (_ks_level(baseline, current, effect), _ad_level(baseline, current, effect))
    return Shift(psi, min(1.0, 2 * min(levels)))


def _ks_level(baseline: Sample, current: Sample, effect: float) -> float:
    n, m = len(baseline), len(current)
    if effect == 1.0:
        method: Literal["exact", "asymp"] = "exact" if n + m <= _SMALL else "asymp"
        with warnings.catch_warnings():
            # where the exact level cannot be had scipy says so and takes the other one
            warnings.simplefilter("ignore", RuntimeWarning)
            return float(stats.ks_2samp(baseline, current, method=method).pvalue)
    distance = largest_difference(baseline, current)
    independent = max(1, round(n * m / (n + m) / effect))
    return float(stats.kstwo.sf(distance, independent))


def largest_difference(baseline: Sample, current: Sample) -> float:
    """By how much the shares of values below some number differ at most: Kolmogorov's D."""
    one, other = np.sort(baseline.astype(float)), np.sort(current.astype(float))
    every = np.concatenate([one, other])
    shares = [np.searchsorted(s, every, side="right") / len(s) for s in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def _ad_level(baseline: Sample, current: Sample, effect: float) -> float:
    """Of the two-sample Anderson-Darling statistic with midranks (Scholz and Stephens 1987)."""
    n, total = len(baseline), len(baseline) + len(current)
    both = np.concatenate([baseline, current]).astype(float)
    order = np.argsort(both, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(both[order]) > 0])
    sizes = np.diff(np.r_[starts, total]).astype(float)
    if len(sizes) == 1:
        return 1.0
    middles = np.cumsum(sizes) - sizes / 2
    weights = sizes / (middles * (total - middles) - total * sizes / 4)
    factor = (total - 1) / total**2 * (1 / n + 1 / (total - n))

    def statistic(labels: Sample) -> Sample:
        own = np.add.reduceat(labels, starts, axis=-1)
        below = np.cumsum(own, axis=-1) - own / 2
        found: Sample = factor * ((total * below - n * middles) ** 2 @ weights)
        return found

    seen = float(statistic((order < n).astype(float)))
    if total > _SMALL or effect != 1.0:
        return _ad_tail(seen / effect)
    as_far = int((statistic(_shuffled(n, total)) >= seen * (1 - 1e-9)).sum())
    return (as_far + 1) / (_SHUFFLES + 1)


@lru_cache(maxsize=16)
def _shuffled(n: int, total: int) -> Sample:
    """Rows of labels, each with `n` ones at random places; the same at every run."""
    labels = np.tile((np.arange(total) < n).astype(np.float32), (_SHUFFLES, 1))
    return np.random.default_rng(_SEED).permuted(labels, axis=1)


def _ad_tail(z: float) -> float:
    """How often the statistic of large samples is above z (Marsaglia and Marsaglia 2004)."""
    if z <= 0:
        return 1.0
    if z < 2:
        inner = (2.00012, 0.247105, -0.0649821, 0.0347962, -0.0116720, 0.00168691)
        below = np.exp(-1.2337141 / z) / np.sqrt(z) * np.polynomial.polynomial.polyval(z, inner)
        return float(np.clip(1.0 - below, 0.0, 1.0))
    outer = (1.0776, -2.30695, 0.43424, -0.082433, 0.008056, -0.0003146)
    # beyond the fit the tail falls with its leading term
    inside = min(z, 10.0)
    power = float(np.polynomial.polynomial.polyval(inside, outer)) - 2 * max(0.0, z - inside)
    return float(-np.expm1(-np.exp(power)))


def _binned(values: Sample, edges: _Counts) -> _Counts:
    places = np.searchsorted(edges, values.astype(float), side="left")
    return np.bincount(places, minlength=len(edges) + 1).astype(float)


def categorical_shift(baseline: Sample, current: Sample, effect: float = 1.0) -> Shift:
    """PSI over categories; chi-square test, of small tables Fisher's. Rare categories are one.

    That new categories took the place of others is a test of its own: among rare ones no other
    sees it.
    """
    words, places = np.unique(np.concatenate([baseline, current]).astype(str), return_inverse=True)
    counts = np.zeros((2, len(words)))
    np.add.at(counts[0], places[: len(baseline)], 1)
    np.add.at(counts[1], places[len(baseline) :], 1)
    merged = _merged(counts)
    found = [_novelty(counts, effect)] if merged.shape[1] < counts.shape[1] else []
    if merged.shape[1] > 1:
        psi = corrected_psi(merged[0], merged[1], effect)
        found.append(Shift(psi, _table_level(merged, effect)))
    if not found:
        return Shift(0.0, 1.0)
    likeliest = min(found, key=lambda shift: shift.p_value)
    return Shift(likeliest.psi, min(1.0, likeliest.p_value * len(found)))


def _table_level(table: _Counts, effect: float) -> float:
    if table.shape[1] == 2 and table.sum() < _SMALL and effect == 1.0:
        return float(stats.fisher_exact(table.astype(int)).pvalue)
    tested = stats.chi2_contingency(table, correction=False)
    return float(stats.chi2.sf(tested.statistic / effect, tested.dof))


def _novelty(counts: _Counts, effect: float) -> Shift:
    """Whether more current values are of categories unseen before than by chance.

    Without drift each value falls into either window: a category of c values lies in the current
    one alone with probability m(m − 1)…/N(N − 1)….
    """
    now, every = counts[1].sum(), counts.sum()
    sizes = counts.sum(axis=0)
    alone = np.exp(
        _log_falling(now, sizes) - _log_falling(every, sizes), where=sizes <= now, out=sizes * 0.0
    )
    unseen = counts[1][counts[0] == 0].sum()
    expected = float((sizes * alone).sum())
    spread = (effect * float((sizes**2 * alone * (1 - alone)).sum())) ** 0.5
    p_value = min(1.0, 2 * float(stats.norm.sf((unseen - expected) / spread))) if spread else 1.0
    rows = np.array([[now - expected, expected], [now - unseen, unseen]])
    return Shift(corrected_psi(rows[0], rows[1]), p_value)


def _log_falling(base: float, count: _Counts) -> _Counts:
    """log(base·(base − 1)·…), `count` factors; anything where there are not as many."""
    left: _Counts = np.maximum(base - count, 0.0)
    return np.asarray(special.gammaln(base + 1) - special.gammaln(left + 1), dtype=float)


def tells_nothing(value_type: str, baseline: Sample, current: Sample) -> bool:
    """Whether every value is a category of its own, as ids are: then any window looks new."""
    both = np.concatenate([baseline, current])
    return is_categorical(value_type, both) and len(np.unique(both)) == len(both) > 2


def _merged(counts: _Counts) -> _Counts:
    """The columns, those with too few expected values added up into the smallest other one."""
    order = np.argsort(counts.sum(axis=0), kind="stable")
    counts = counts[:, order]
    share = counts.sum(axis=1).min() / counts.sum()
    running = np.cumsum(counts.sum(axis=0)) * share
    alone = counts.sum(axis=0) * share >= _MIN_EXPECTED
    if alone.all():
        return counts
    # the first column from which the rare ones before it, itself included, are enough
    last = int(np.argmax(running >= _MIN_EXPECTED)) if (running >= _MIN_EXPECTED).any() else -1
    if last == -1:
        return np.atleast_2d(counts.sum(axis=1)).T
    last = max(last, int(np.flatnonzero(~alone).max()))
    rare = counts[:, : last + 1].sum(axis=1, keepdims=True)
    return np.hstack([rare, counts[:, last + 1 :]])


def is_categorical(value_type: str, values: Sample) -> bool:
    """Whether values are distinguished but not measured: text, true or false, 0 or 1."""
    if value_type in {"string", "bool"} or values.dtype.kind not in "iuf":
        return True
    return bool(np.isin(values, (0, 1)).all())


def shift(value_type: str, baseline: Sample, current: Sample, effect: float = 1.0) -> Shift:
    """The shift by the tests that fit the values."""
    if is_categorical(value_type, np.concatenate([baseline, current])):
        return categorical_shift(baseline, current, effect)
    return numeric_shift(baseline, current, effect)


def effect_size(value_type: str, baseline: Sample, current: Sample) -> float:
    """What share of the values would have to move, 0 to 1, whatever their number.

    Of numbers Kolmogorov's D, of categories half the sum of the differences of their shares.
    """
    both = np.concatenate([baseline, current])
    if not is_categorical(value_type, both):
        return largest_difference(baseline, current)
    _, places = np.unique(both.astype(str), return_inverse=True)
    shares = [
        np.bincount(part, minlength=places.max() + 1) / len(part)
        for part in (places[: len(baseline)], places[len(baseline) :])
    ]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Benjamini-Hochberg over all tests of one question."""
    if not p_values:
        return []
    return [float(p) for p in stats.false_discovery_control(p_values, method="bh")]


def severity(
    psi: float, *, detected: bool, threshold: float, effect: float | None = None
) -> Severity:
    """How grave a drift of this corrected PSI is; not detected is none.

    PSI weighs what was never seen the more the larger the samples are: where the effect size is
    given, a grave drift needs one too.
    """
    if not detected:
        return Severity.NONE
    if psi >= _CRITICAL and (effect is None or effect >= _CRITICAL_EFFECT):
        return Severity.CRITICAL
    if psi >= _HIGH and (effect is None or effect >= _HIGH_EFFECT):
        return Severity.HIGH
    return Severity.MEDIUM if psi >= threshold else Severity.LOW


def drift_score(found: Sequence[Severity]) -> float | None:
    """Mean weight, 0 to 1, to three decimals; None of nothing."""
    if not found:
        return None
    return round(sum(_WEIGHTS[item] for item in found) / len(found), 3)


def drift_level(score: float) -> str:
    """The word for a score."""
    levels = ((0.8, "CRITICAL"), (0.6, "HIGH"), (0.4, "MODERATE"), (0.2, "LOW"))
    return next((word for limit, word in levels if score >= limit), "MINIMAL")


class Drop(NamedTuple):
    """How much rarer a model is right, with the two-proportion z test."""

    drop: float
    z: float
    p_value: float


def accuracy_drop(right_before: int, before: int, right_now: int, now: int) -> Drop:
    """The drop of accuracy from `right_before`/`before` to `right_now`/`now`, two-sided."""
    drop = right_before / before - right_now / now
    pooled = (right_before + right_now) / (before + now)
    spread = (pooled * (1 - pooled) * (1 / before + 1 / now)) ** 0.5
    if spread == 0:
        return Drop(drop, 0.0, 1.0)
    z = drop / spread
    return Drop(drop, z, float(2 * stats.norm.sf(abs(z))))


def accuracy_severity(drop: Drop, alpha: float) -> Severity:
    """How grave a drop of accuracy is; a rise, or what chance explains, is none."""
    if drop.drop <= 0 or drop.p_value >= alpha:
        return Severity.NONE
    steps = ((0.2, Severity.CRITICAL), (0.1, Severity.HIGH), (0.05, Severity.MEDIUM))
    return next((word for limit, word in steps if drop.drop >= limit), Severity.LOW)


#: a window with this share of the rows before it, or less, is reported, is high, is critical
_THINNER = (0.5, 0.2, 0.05)
#: fewer rows come and go by chance
_MIN_VOLUME = 100


def volume_severity(before: int, now: int) -> Severity:
    """How grave a loss of rows between windows of one length is; below half it is only told."""
    if before < _MIN_VOLUME or now > before * _THINNER[1]:
        return Severity.NONE
    return Severity.CRITICAL if now <= before * _THINNER[2] else Severity.HIGH


def is_thinner(before: int, now: int) -> bool:
    """Whether a window has so few rows that a reader should know."""
    return before >= _MIN_VOLUME and now <= before * _THINNER[0]
