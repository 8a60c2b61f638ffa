"""Exact unconditional tests on paired pass/fail outcomes.

The usual statistics (McNemar's mid-p, Tango's score) are approximations: where nearly every case
changes, their error rates reach 6 %. Here they only order the outcomes; the error rate itself is the
true one, the largest over every share of changed cases that the hypothesis allows.

Sources:
    S. Suissa and J. J. Shuster, "The 2 x 2 matched-pairs trial: exact unconditional design and
    analysis", Biometrics 47 (1991) 361-372.
    K. Sidik, "Exact unconditional tests for testing non-inferiority in matched-pairs design",
    Statistics in Medicine 22 (2003) 265-278.
    M. W. Fagerland, S. Lydersen and P. Laake, "The McNemar test for binary matched-pairs data: mid-p
    and asymptotic are better than exact conditional", BMC Medical Research Methodology 13 (2013) 91.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.05
Z_ONE_SIDED = 1.6448536269514722
"""The normal quantile of 1 - ALPHA: the 90 % interval's."""

_LARGEST_UNCONDITIONAL = 2000
"""Above it the conditional exact test costs no power worth the time."""

_LARGEST_ENUMERATED = 10_000
"""Above it a fixed critical value holds the level: the steps between outcomes are tiny."""
_Z_OF_VERY_MANY_CASES = 1.66

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


@lru_cache(maxsize=4096)
def p_more_lost(lost: int, gained: int, cases: int) -> float:
    """How often at least this much evidence of loss would come up if losses and gains were as likely.

    The outcomes are ordered by McNemar's one-sided mid-p. It depends on the number of cases and not
    only on the changed ones. Up to 2,000 cases unconditional, above the conditional exact test.

    Args:
        lost: Cases right before and wrong now.
        gained: Cases wrong before and right now.
        cases: All cases, at least lost + gained.

    Returns:
        One-sided p in (0, 1]; rejecting at p <= a is wrong at most in a share a of cases.
    """
    from scipy.special import bdtrc

    if cases > _LARGEST_UNCONDITIONAL:
        return float(bdtrc(lost - 1, lost + gained, 0.5)) if lost > 0 else 1.0
    changed = np.arange(cases + 1)
    observed = float(_mid_p(np.array([lost]), np.array([lost + gained]))[0]) * (1 + 1e-9)
    # For each number of changed cases: the fewest losses that are at least as much evidence.
    low, high = np.full(cases + 1, -1), changed + 1
    while np.any(high - low > 1):
        middle = (low + high) // 2
        enough = _mid_p(middle, changed) <= observed
        open_ = high - low > 1
        high, low = np.where(open_ & enough, middle, high), np.where(open_ & ~enough, middle, low)
    tail = np.where(high > changed, 0.0, np.where(high <= 0, 1.0, bdtrc(np.maximum(high, 1) - 1, changed, 0.5)))
    return min(1.0, float((_changed_cases(cases) @ tail).max()))


@lru_cache(maxsize=4096)
def critical_score(cases: int, margin: float) -> float:
    """The Tango score against a loss of `margin` that a pass has to reach.

    Args:
        cases: Number of cases, at least 1.
        margin: The accepted loss, in (0, 1].

    Returns:
        Z >= 1.645, such that a candidate whose true loss is the margin, or larger, passes with
        probability <= 0.05 whatever the share of changed cases. May be out of reach for few cases.
    """
    if cases > _LARGEST_ENUMERATED:
        return _Z_OF_VERY_MANY_CASES
    low, high = Z_ONE_SIDED, 8.0
    if _size(_most_lost(cases, margin, low), cases, margin) <= ALPHA:
        return low
    for _ in range(24):
        middle = (low + high) / 2
        if _size(_most_lost(cases, margin, middle), cases, margin) <= ALPHA:
            high = middle
        else:
            low = middle
    return high


def _mid_p(lost: _Ints, changed: _Ints) -> _Floats:
    """P(X > lost) + P(X = lost) / 2, X ~ Binomial(changed, 1/2); lost = -1 counts as 1."""
    from scipy.special import bdtrc

    inside = np.maximum(lost, 0)
    above = np.where(inside >= changed, 0.0, bdtrc(inside, np.maximum(changed, 1), 0.5))
    from_here = np.where(inside == 0, 1.0, bdtrc(inside - 1.0, np.maximum(changed, 1), 0.5))
    return np.where(lost < 0, 1.0, (above + from_here) / 2)


@lru_cache(maxsize=32)
def _changed_cases(cases: int) -> _Floats:
    """P(number of changed cases), shape (shares of changed cases, cases + 1)."""
    points = max(64, 6 * math.isqrt(cases))
    shares = np.sin(np.linspace(0.0, math.pi / 2, points)) ** 2
    return _binomial(np.arange(cases + 1), cases, shares[:, None])


def _binomial(k: _Ints, n: int, share: _Floats) -> _Floats:
    from scipy.special import xlogy

    return np.asarray(np.exp(_log_ways(n)[k] + xlogy(k, share) + xlogy(n - k, 1 - share)))


@lru_cache(maxsize=32)
def _log_ways(n: int) -> _Floats:
    """The logarithm of n over k, for k = 0..n."""
    from scipy.special import gammaln

    k = np.arange(n + 1)
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))


def _most_lost(cases: int, margin: float, z: float) -> _Ints:
    """For 0..cases gained cases: the most lost ones with a score of at least z; -1 for none."""
    gained = np.arange(cases + 1)
    low, high = np.full(cases + 1, -1), cases - gained + 1
    while np.any(high - low > 1):
        middle = (low + high) // 2
        enough = (_scores(np.maximum(middle, 0), gained, cases, -margin) >= z) & (middle >= 0)
        open_ = high - low > 1
        low, high = np.where(open_ & enough, middle, low), np.where(open_ & ~enough, middle, high)
    return low


def _scores(lost: _Ints, gained: _Ints, cases: int, difference: float) -> _Floats:
    """tango.score over arrays, for a difference < 0 (its variance is then positive unless it is -1)."""
    a = 2 * cases
    b = -lost - gained + (2 * cases - gained + lost) * difference
    c = -lost * difference * (1 - difference)
    rate = np.clip((-b + np.sqrt(np.maximum(b * b - 4 * a * c, 0.0))) / (2 * a), -difference, 1.0)
    variance = cases * (2 * rate + difference * (1 - difference))
    distance = gained - lost - cases * difference
    return np.asarray(distance / np.sqrt(np.maximum(variance, 1e-12)))


def _size(most_lost: _Ints, cases: int, margin: float) -> float:
    """The largest probability of a pass when the true loss is exactly the margin."""
    from scipy.special import bdtr

    points = 48 + 2 * math.isqrt(cases)
    gain_rates = (1 - margin) / 2 * np.sin(np.linspace(0.0, math.pi / 2, points)) ** 2
    largest = 0.0
    for gain_rate in gain_rates:
        gained = _likely(cases, float(gain_rate))
        gained = gained[most_lost[gained] >= 0]
        loss_rate = min(1.0, (gain_rate + margin) / (1 - gain_rate))
        within = bdtr(most_lost[gained].astype(np.float64), cases - gained, loss_rate)
        passing = _binomial(gained, cases, np.asarray(gain_rate)) * within
        largest = max(largest, float(passing.sum()))
    return largest


def _likely(n: int, share: float) -> _Ints:
    """The outcomes of Binomial(n, share) but for tails of less than 1e-14."""
    reach = 9 * math.sqrt(n * share * (1 - share)) + 25
    return np.arange(max(0, int(n * share - reach)), min(n, int(n * share + reach)) + 1)
