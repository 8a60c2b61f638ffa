"""Cost of one resolved job, and cost of one request: ratios of sums, with what is known about them.

A job is the unit: its retries and failures are its own cost, however many calls they were.

Sources:
    W. G. Cochran, Sampling Techniques (3rd ed., 1977), 2.11 and 6.4: the ratio estimator and its variance.
    The logarithm's interval is inside (0, infinity) and nearly symmetric for skewed costs; coverage is measured,
    docs/statistics.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

_FEWEST = 5
"""Resolved jobs below which the interval is not given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Total cost over what was got for it.

    Attributes:
        value: None when nothing was got.
        interval: 95 %; None with too few to say.
        total: All of the cost.
        units: Jobs, resolved or not.
        got: Resolved jobs.
    """

    value: float | None
    interval: tuple[float, float] | None
    total: float
    units: int
    got: int


def cost_per_resolution(costs: Sequence[float], resolved: Sequence[bool]) -> Ratio:
    """What one resolved job costs, those that were not resolved paid for by those that were.

    Args:
        costs: Of every job, all of its attempts together, US dollars.
        resolved: Of the same length.
    """
    cost, good = np.asarray(costs, float), np.asarray(resolved, float)
    n, got, total = cost.size, int(good.sum()), float(cost.sum())
    if not got:
        return Ratio(value=None, interval=None, total=total, units=n, got=0)
    value = total / got
    interval = None
    if got >= _FEWEST and value > 0:
        off = cost - value * good
        variance = float(off @ off) / (n - 1) / n / float(good.mean()) ** 2
        half = float(special.stdtrit(got - 1, 0.975)) * math.sqrt(variance) / value
        interval = (value * math.exp(-half), value * math.exp(half))
    return Ratio(value=value, interval=interval, total=total, units=n, got=got)
