"""Is a stream of latencies slower than its own past, asked every hour of many streams without crying wolf.

The past's quantile is the measure: no more than its share of requests may be slower than `FLOOR` times it. Slow
requests come in bursts, so their count in an hour is beta-binomial, with a spread that the past's own hours show.

Sources:
    W. J. Conover, Practical Nonparametric Statistics (1999), 3.2: testing a quantile by counting exceedances.
    J. G. Skellam, "A probability distribution derived from the binomial distribution by regarding the probability of
    success as variable between the sets of trials", Journal of the Royal Statistical Society B 10 (1948) 257: the
    beta-binomial.
    Limits and false alarms: own simulation, docs/statistics.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

FLOOR = 1.2
"""How many times the past's quantile a request must take to count as slow."""

CERTAIN, LIKELY = 1e-5, 1e-3
"""p below which one check is an alarm, and below which two checks running are."""

STREAMS = 50
"""How many streams the limits serve."""

_ENOUGH = 100
_MOST_HOURS = 24
_LEAST_SPREAD, _MOST_SPREAD = 0.002, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """One hour of a stream: requests, and how many were slower than the limit in question."""

    requests: int
    slow: int


def burstiness(past: Sequence[Hour], *, share: float = 0.05) -> float:
    """How much being slow comes together: the intra-hour correlation, by the method of moments, in [0.002, 0.5].

    Args:
        past: Hours of the baseline; `slow` counts requests above the baseline's own quantile.
        share: Of requests above that quantile: 0.05 for the 95th percentile.
    """
    n = np.array([hour.requests for hour in past if hour.requests > 0], float)
    x = np.array([hour.slow for hour in past if hour.requests > 0], float)
    if n.size < 2 or n.mean() <= 1:
        return _MOST_SPREAD
    excess = float(np.mean((x - n * share) ** 2 / (n * share * (1 - share)))) - 1
    return min(_MOST_SPREAD, max(_LEAST_SPREAD, excess / float(n.mean() - 1)))


def slower(recent: Sequence[Hour], spread: float, *, share: float = 0.05) -> float | None:
    """The p of "no more requests than the past's share are slower than FLOOR times its quantile".

    Args:
        recent: The last hours, newest first; `slow` counts requests above FLOOR times the baseline's quantile. As many
            as make a hundred requests are used, a day's at most.
        spread: Of `burstiness`.

    Returns:
        None where there are no requests at all.
    """
    n = x = 0
    for hour in recent[:_MOST_HOURS]:
        n, x = n + hour.requests, x + hour.slow
        if n >= _ENOUGH:
            break
    if not n:
        return None
    return beta_binomial_tail(x, n, share * (1 - spread) / spread, (1 - share) * (1 - spread) / spread)


def is_alarm(p_now: float | None, p_before: float | None, *, streams: int = STREAMS) -> bool:
    """Whether this check and the one before it are reason to tell somebody.

    Args:
        streams: How many are looked at; the limits serve `STREAMS` of them and are stricter for more.
    """
    if p_now is None:
        return False
    stricter = min(1.0, STREAMS / max(1, streams))
    likely = LIKELY * stricter**0.5  # of two checks running
    return p_now < CERTAIN * stricter or (p_now < likely and p_before is not None and p_before < likely)


def beta_binomial_tail(least: int, n: int, a: float, b: float) -> float:
    """P(X >= least) of a beta-binomial: n trials, their probability drawn from Beta(a, b)."""
    if least <= 0:
        return 1.0
    if least > n:
        return 0.0
    k: NDArray[np.float64] = np.arange(least, n + 1, dtype=float)
    logs = (
        special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
        + special.betaln(k + a, n - k + b) - special.betaln(a, b)
    )  # fmt: skip
    return min(1.0, float(np.exp(special.logsumexp(logs))))
