"""The mean of all traffic from a sample in which some answers had a better chance to be taken than others.

Every stratum (a reason to be sampled, or a sampling rate) is estimated by itself and weighted with the number of
requests it stands for: an over-sampled bad stratum cannot hide an empty good one, as it does in any pooled interval.

Sources:
    C.-E. Särndal, B. Swensson and J. Wretman, Model Assisted Survey Sampling (1992), 5.7 and 7.6: Hájek's mean,
    post-stratification.
    L. Kish, Survey Sampling (1965), 11.7: the effective size of a weighted sample.
    The intervals are those of `proportions`; which size goes into Wilson's is measured, see docs/statistics.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from watchkeeper.stats.proportions import Z_95, Part, weighted_sum, wilson

ENOUGH = 30
"""Scored answers of the largest stratum below which an interval is not to be trusted."""

_FEWEST, _ALIKE = 10, 2.0
"""A stratum by sampling rate with fewer rows joins a neighbour whose rate differs by at most this factor."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One sampled answer.

    Attributes:
        value: Its score in [0, 1]; None is a score that is missing.
        inclusion: The probability with which it came into the sample, in (0, 1]; the final one.
        stratum: Why it was sampled; None groups by the inclusion.
        population: Requests in that stratum; None estimates it by the sum of 1/inclusion.
    """

    value: float | None
    inclusion: float
    stratum: str | None = None
    population: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The mean of all traffic.

    Attributes:
        mean: None when no answer has a score.
        interval: 95 %; None when mean is.
        n: Scored answers.
        effective_n: Size of the simple random sample that would be as precise; None when mean is.
        missing: Sampled answers without a score.
        smallest: Scored answers of the stratum that stands for most requests.
    """

    mean: float | None
    interval: tuple[float, float] | None
    n: int
    effective_n: float | None
    missing: int
    smallest: int

    @property
    def enough(self) -> bool:
        """Whether the interval can be trusted; "too few" is to be said otherwise."""
        return self.smallest >= ENOUGH


def estimate(rows: Sequence[Scored], *, finite: bool = False) -> Estimate:
    """The mean score of all requests, from those that were sampled.

    Args:
        finite: Whether the target is just this window's requests; otherwise it is what produces them, and a
            stratum that is scored completely is still uncertain.

    Raises:
        ValueError: If the rows of a stratum disagree about its population, or it is smaller than the sample.
    """
    strata = _strata(rows)
    total = sum(stratum.size for stratum in strata)
    n = sum(stratum.values.size for stratum in strata)
    missing = len(rows) - n
    if not n:
        return Estimate(mean=None, interval=None, n=0, effective_n=None, missing=missing, smallest=0)
    graded = any(((stratum.values != 0) & (stratum.values != 1)).any() for stratum in strata)
    parts = [_part(stratum, stratum.size / total, graded=graded, finite=finite) for stratum in strata]
    mean = sum(part.weight * part.share for part in parts)
    unsure = sum(s.size_variance * (p.share - mean) ** 2 for s, p in zip(strata, parts, strict=True)) / total**2
    mean, interval = weighted_sum(parts, more=Z_95**2 * unsure)
    largest = max(strata, key=lambda stratum: stratum.size)
    return Estimate(
        mean=mean,
        interval=interval,
        n=n,
        effective_n=_effective(mean, interval, strata, total),
        missing=missing,
        smallest=int(largest.values.size),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Stratum:
    """`size`: requests it stands for, with the variance of that figure. Values and weights: (scored,)."""

    size: float
    size_variance: float
    values: _Floats
    weights: _Floats


def _strata(rows: Sequence[Scored]) -> list[_Stratum]:
    named: dict[str, list[Scored]] = {}
    by_rate: dict[float, list[Scored]] = {}
    for row in rows:
        (by_rate if row.stratum is None else named).setdefault(
            row.inclusion if row.stratum is None else row.stratum,  # type: ignore[arg-type]
            [],
        ).append(row)
    return [_stratum(some) for some in (*named.values(), *_neighbours_joined(by_rate))]


def _neighbours_joined(by_rate: dict[float, list[Scored]]) -> list[list[Scored]]:
    """Rates that each come up a few times only are one stratum with their like."""
    joined: list[tuple[float, list[Scored]]] = []
    for rate in sorted(by_rate):
        some = by_rate[rate]
        small = joined and (len(joined[-1][1]) < _FEWEST or len(some) < _FEWEST)
        if small and rate <= joined[-1][0] * _ALIKE:
            joined[-1][1].extend(some)
        else:
            joined.append((rate, list(some)))
    return [some for _, some in joined]


def _stratum(rows: Sequence[Scored]) -> _Stratum:
    said = {row.population for row in rows if row.population is not None}
    if len(said) > 1:
        raise ValueError(f"population: stratum {rows[0].stratum!r} has several: {sorted(said)[:4]}")
    inclusion = np.array([row.inclusion for row in rows])
    scored = np.array([row.value is not None for row in rows])
    size, variance = float((1 / inclusion).sum()), float(((1 - inclusion) / inclusion**2).sum())
    if said:
        size, variance = float(said.pop()), 0.0
        if size < len(rows):
            raise ValueError(f"population: stratum {rows[0].stratum!r} has {size:.0f}, fewer than its {len(rows)} rows")
    values = np.array([row.value for row in rows if row.value is not None], dtype=np.float64)
    return _Stratum(size=size, size_variance=variance, values=values, weights=1 / inclusion[scored])


def _part(stratum: _Stratum, weight: float, *, graded: bool, finite: bool) -> Part:
    values, weights = stratum.values, stratum.weights
    if not values.size:
        return Part(weight=weight, share=0.5, low=0.0, high=1.0)
    if finite and values.size >= stratum.size:
        mean = float(values.mean())
        return Part(weight=weight, share=mean, low=mean, high=mean)
    share, (low, high) = share_of(values, weights, graded=graded, population=stratum.size if finite else None)
    return Part(weight=weight, share=share, low=low, high=high)


def share_of(
    values: _Floats, weights: _Floats, *, graded: bool, population: float | None = None
) -> tuple[float, tuple[float, float]]:
    """Hájek's mean of one stratum and its 95 % interval.

    Args:
        values: shape (n,), in [0, 1]; at least one.
        weights: shape (n,), 1/inclusion.
        graded: Whether values between 0 and 1 occur: then their own spread decides, with a t quantile.
        population: Of the stratum where just its requests are the target; None otherwise.
    """
    total = float(weights.sum())
    mean = min(1.0, max(0.0, float(weights @ values) / total))
    kish = total**2 / float(weights @ weights)
    spread = float((weights**2) @ (values - mean) ** 2) / total**2
    possible = mean * (1 - mean)
    size, z = kish, Z_95
    if graded and kish > 1.5:
        # One more observation with the spread of pass and fail: what was not seen may still be there.
        spread = spread * kish / (kish - 1)
        spread = (spread * kish**2 + possible) / ((kish + 1) * kish)
        size = max(kish, min(possible / spread, 8 * kish)) if spread > 0 else kish
        z = float(special.stdtrit(kish - 1, 0.975))
    elif not graded and values.size > 1 and spread > 0:
        size = min(kish, possible / (spread * values.size / (values.size - 1)))
    if population is not None and size < population:
        size = size / (1 - size / population)
    return mean, wilson(mean, size, z)


def _effective(mean: float, interval: tuple[float, float], strata: Sequence[_Stratum], total: float) -> float:
    """From the interval's width; at 0 and 1, where that says nothing, from the weights."""
    width = interval[1] - interval[0]
    if 0 < mean < 1 and width > 0:
        return mean * (1 - mean) / (width / (2 * Z_95)) ** 2
    spread = sum((s.size / total) ** 2 / s.values.size for s in strata if s.values.size)
    return 1 / spread if spread > 0 and math.isfinite(spread) else 0.0
