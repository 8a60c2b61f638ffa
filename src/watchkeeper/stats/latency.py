"""Did it become slower: two windows of latencies, their medians and 95th percentiles, bursts allowed for.

Slow requests come together: a stall makes neighbours slow, so a thousand requests tell less than a thousand
independent ones would. How much less is measured from the requests themselves, stretch by stretch of time, and the
order-statistic interval of each quantile is taken at that smaller size.

Sources:
    W. J. Conover, Practical Nonparametric Statistics (1999), 3.2: the interval of a quantile.
    L. Kish, Survey Sampling (1965), 8.2: the design effect. C. Chien, "Batch means", Stanford (1989): its measure.
    G. Y. Zou and A. Donner, Statistics in Medicine 27 (2008) 1693: square-and-add, here on the logarithms.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

FLOOR = 1.2
"""The smallest ratio that is worth a message."""

_ALPHA = 0.0025
"""Of one quantile getting worse; two are looked at."""

_BATCHES = 8
"""Stretches of time a window is cut into: long enough to hold a burst, enough of them to see how they differ."""
_UNKNOWN = 4.0
"""Design effect where there is too little to measure it."""

_Floats = NDArray[np.float64]
Verdict = Literal["regressed", "unchanged", "inconclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The latencies of one window.

    Attributes:
        at: shape (n,), seconds since 1970.
        latency_ms: shape (n,), >= 0.
    """

    at: Sequence[float]
    latency_ms: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantile:
    """One quantile before and after, in milliseconds; None where it cannot be said.

    Attributes:
        ratio: After over before.
        interval: 95 % of the ratio; an end is None where there are too few rows to bound it.
        low: One-sided bound of the ratio, leaving out 0.25 %; None as above.
        high: One-sided bound, leaving out 5 %.
    """

    before: float | None
    after: float | None
    ratio: float | None
    interval: tuple[float | None, float | None] | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyChange:
    """Two windows compared."""

    p50: Quantile
    p95: Quantile
    verdict: Verdict


def compare_latency(before: Window, after: Window, *, floor: float = FLOOR) -> LatencyChange:
    """Compare two windows.

    Regressed: a quantile is slower by at least the floor, and slower at all with 99.75 % confidence. Unchanged: with
    95 % confidence no quantile is slower by the floor. Otherwise inconclusive.

    Args:
        floor: Ratio, above 1, below which a change is not worth a message.
    """
    p50, p95 = (_quantile(share, before, after) for share in (0.5, 0.95))
    return LatencyChange(p50=p50, p95=p95, verdict=_verdict((p50, p95), floor))


def _verdict(quantiles: Sequence[Quantile], floor: float) -> Verdict:
    for q in quantiles:
        if q.ratio is not None and q.low is not None and q.ratio >= floor and q.low > 1:
            return "regressed"
    if all(q.high is not None and q.high < floor for q in quantiles):
        return "unchanged"
    return "inconclusive"


def _quantile(share: float, before: Window, after: Window) -> Quantile:
    old, new = np.sort(np.asarray(before.latency_ms, float)), np.sort(np.asarray(after.latency_ms, float))
    was = float(np.quantile(old, share)) if old.size else None
    now = float(np.quantile(new, share)) if new.size else None
    if was is None or now is None or was <= 0 or now <= 0:
        return Quantile(before=was, after=now, ratio=None, interval=None, low=None, high=None)
    batches = [_batches(window, limit) for window, limit in ((before, was), (after, now))]

    def bound(outside: float, *, low: bool) -> float | None:
        """One end of the ratio's interval."""
        effect = _design_effect(batches, 1 - share, outside)
        sizes = (old.size / effect, new.size / effect)
        upper, lower = (old, new) if low else (new, old)
        at_most = _limit(upper, share, sizes[0 if low else 1], outside, low=False)
        at_least = _limit(lower, share, sizes[1 if low else 0], outside, low=True)
        if at_most is None or at_least is None:
            return None
        there = (math.log(at_most / (was if low else now)), math.log((now if low else was) / at_least))
        return now / was * math.exp((-1 if low else 1) * math.hypot(*there))

    return Quantile(
        before=was,
        after=now,
        ratio=now / was,
        interval=(bound(0.025, low=True), bound(0.025, low=False)),
        low=bound(_ALPHA, low=True),
        high=bound(0.05, low=False),
    )


def _batches(window: Window, limit: float) -> tuple[_Floats, _Floats]:
    """Requests in each of a few equally long stretches, and how many of them are above `limit`."""
    at = np.asarray(window.at, float)
    long = max(1e-9, float(at.max() - at.min()))
    place = np.minimum((at - at.min()) / long * _BATCHES, _BATCHES - 1).astype(np.int64)
    above = np.asarray(window.latency_ms, float) > limit
    return np.bincount(place).astype(float), np.bincount(place, weights=above).astype(float)


def _design_effect(windows: Sequence[tuple[_Floats, _Floats]], share: float, outside: float) -> float:
    """How many requests count as one: variance between stretches over that of independent requests.

    With few stretches it is itself uncertain; a t quantile instead of the normal one allows for that.
    """
    ratios, batches = [], 0
    for sizes, above in windows:
        used = sizes > 0
        if used.sum() > 1:
            off = above[used] - sizes[used] * above.sum() / sizes.sum()
            expected = (sizes[used] * (1 - sizes[used] / sizes.sum())).sum() * share * (1 - share)
            ratios.append((int(used.sum()) - 1, float(off @ off) / float(expected)))
            batches += int(used.sum()) - 1
    if batches < 4:
        return _UNKNOWN
    effect = sum(freedom * ratio for freedom, ratio in ratios) / batches
    return max(1.0, effect) * float(special.stdtrit(batches, 1 - outside) / special.ndtri(1 - outside)) ** 2


def _limit(values: _Floats, share: float, size: float, outside: float, *, low: bool) -> float | None:
    """The value that the true quantile is below (above) with probability `outside` only; None if the sample ends
    before it. `values` ascending."""
    if low:
        if (1 - share) ** size > outside:
            return None
        at = float(special.betaincinv(size * share, size * (1 - share) + 1, outside))
    else:
        if share**size > outside:
            return None
        at = float(special.betaincinv(size * share + 1, size * (1 - share), 1 - outside))
    return max(1e-6, float(np.quantile(values, min(1.0, at))))
