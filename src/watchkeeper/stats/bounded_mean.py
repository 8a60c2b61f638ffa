"""Bounds for the mean of values with a known largest value, without assuming a shape.

The sample is completed by ONE pseudo-case at the largest possible value, and every case gets a random
weight (uniform on all weightings that sum to 1). The share of weightings whose mean reaches a value is
the p of "the true mean is that large": what has not been seen may still be there, one case's worth of
it. For values that are 0 or 1 this is exactly the Clopper-Pearson bound, for -1 and 1 the exact
McNemar test, for n equal values the smallest p that any valid test can give.

Sources:
    N. Gaffke, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a
    nonnegative variable", Mathematical Methods of Statistics 14 (2005) 451-467.
    E. Learned-Miller and P. S. Thomas, "A new confidence interval for the mean of a bounded random
    variable" (2019), arXiv 1905.06208. Its validity for every shape is measured, not proven.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]

_STEP = 0.125
_NORMAL = NormalDist()

_REACHES = (2.0, 2.5, 3.2, 4.0, 6.0, 9.0, 13.0)
"""Integration ends, in units of asinh(u): the integrand falls like a normal density when many cases
have a part in it, like a power when few have."""
_NEGLIGIBLE = 34.0
"""exp(-34) of the integrand's height is below the precision of a float."""

_LARGEST_BLOCK = 2_000_000

_CHEAPER_TO_MULTIPLY = 8
"""A complex logarithm takes as long as about so many multiplications."""


def share_reaching(values: _Floats, at: float, *, largest: float = 1.0) -> float:
    """The p of the hypothesis "the true mean is at least `at`".

    Args:
        values: shape (cases,), each at most `largest`; at least one.
        at: The mean in question.
        largest: The largest value that any case can have.

    Returns:
        The share of random weightings of the values and one pseudo-case at `largest` whose mean is at
        least `at`, in [0, 1].

    How: a weighted mean reaches `at` when sum (v - at) E > 0 with independent exponential E; that
    probability is the inversion integral of the sum's moment generating function, taken through
    its saddle point, where the trapezoid rule is exact to about ten digits.
    """
    weights, counts = np.unique(np.append(values, largest) - at, return_counts=True)
    kept = np.abs(weights) > 1e-12
    return _positive(weights[kept], counts[kept].astype(np.float64))


def upper_bound(values: _Floats, alpha: float, *, largest: float = 1.0) -> float:
    """The one-sided upper confidence bound of the mean.

    Args:
        values: shape (cases,), each at most `largest`; at least one.
        alpha: The error rate, e.g. 0.025 for the upper end of a two-sided 95 % interval.
        largest: The largest value that any case can have.

    Returns:
        The value that exactly a share `alpha` of the weightings reach; above the sample's mean.
    """
    atoms, counts = np.unique(np.append(values, largest), return_counts=True)
    tally = counts.astype(np.float64)
    mean = float(atoms @ tally / tally.sum())
    if atoms[-1] - atoms[0] < 1e-12:
        return float(atoms[-1])
    # The normal quantile of the share rises nearly straight with the mean in question: a secant finds it.
    spread = math.sqrt(float(tally @ (atoms - mean) ** 2)) / float(tally.sum())
    wanted, slope = _quantile(alpha), 1 / spread
    low, high = float(atoms[0]), float(atoms[-1])
    at = min(mean + wanted * spread, (mean + high) / 2)
    tried: tuple[float, float] | None = None
    for _ in range(80):
        kept = np.abs(atoms - at) > 1e-12
        off = _quantile(_positive((atoms - at)[kept], tally[kept])) - wanted
        low, high = (at, high) if off < 0 else (low, at)
        if abs(off) < 1e-7 or high - low < 1e-12:
            break
        if tried is not None:
            slope = (off - tried[1]) / (at - tried[0])
        tried = at, off
        at = at - off / slope if slope > 0 else low
        if not low < at < high:
            at = (low + high) / 2
    return at


def _quantile(share: float) -> float:
    """The normal value that a share of (0, 1) exceeds."""
    return -_NORMAL.inv_cdf(min(max(share, 1e-300), 1 - 1e-16))


def _positive(weights: _Floats, counts: _Floats) -> float:
    """P(sum of weights times exponentials > 0), each weight `counts` times; weights ascending, none 0."""
    if weights.size == 0 or weights[0] >= 0:
        return 1.0
    if weights[-1] <= 0:
        return 0.0
    t = _saddle(weights, counts)
    scale = 1 / math.sqrt(float(counts @ (weights / (1 - weights * t)) ** 2))
    if abs(t) < 0.5 * scale:
        t = min(0.5 * scale, 0.5 / float(weights[-1]))  # the integrand has a pole at 0
    slopes = weights / (1 - weights * t)
    spread = 1 / math.sqrt(float(counts @ slopes**2))
    x = np.arange(0.0, _reach(slopes * spread, counts), _STEP)
    u = spread * np.sinh(x)
    integrand = _characteristic(slopes, counts, u) / (t + 1j * u)
    terms = integrand.real * np.cosh(x)
    at_saddle = math.exp(min(-float(counts @ np.log1p(-weights * t)), 700.0))
    area = at_saddle * spread * _STEP * (float(terms.sum()) - float(terms[0]) / 2) / math.pi
    return min(1.0, max(0.0, area if t > 0 else 1 + area))


def _reach(slopes: _Floats, counts: _Floats) -> float:
    """How far to integrate, in units of asinh(u)."""
    for reach in _REACHES[:-1]:
        if 0.5 * float(counts @ np.log1p((slopes * math.sinh(reach)) ** 2)) > _NEGLIGIBLE:
            return reach
    return _REACHES[-1]


def _characteristic(slopes: _Floats, counts: _Floats, u: _Floats) -> NDArray[np.complex128]:
    """1 / product of (1 - i u slope) ** count, shape of u."""
    if slopes.size * u.size > _LARGEST_BLOCK:
        half = slopes.size // 2
        return _characteristic(slopes[:half], counts[:half], u) * _characteristic(slopes[half:], counts[half:], u)
    if counts.sum() <= _CHEAPER_TO_MULTIPLY * slopes.size:
        factors = 1 - 1j * np.outer(np.repeat(slopes, counts.astype(np.int64)), u)
        return np.asarray(1 / np.multiply.reduce(factors, axis=0))
    return np.asarray(np.exp(-(counts @ np.log(1 - 1j * np.outer(slopes, u)))))


def _saddle(weights: _Floats, counts: _Floats) -> float:
    """Where the log moment generating function is smallest: Newton's method, guarded by halving."""
    low, high = 1 / float(weights[0]), 1 / float(weights[-1])
    t = 0.0
    for _ in range(100):
        slopes = weights / (1 - weights * t)
        first, second = float(counts @ slopes), float(counts @ slopes**2)
        if first > 0:
            high = t
        else:
            low = t
        step = first / second
        if abs(step) * math.sqrt(second) < 1e-6:
            break
        t -= step
        if not low < t < high:
            t = (low + high) / 2
    return t
