"""Did a request become more expensive: money per request of the last hours against the last weeks.

The total moves with traffic, day by day; money per request hardly does. So a rise of 30 % that is invisible in the
total for days is certain here within hours.

Source of the rule and its error rates: own simulation, docs/statistics.md. Variance of a ratio: W. G. Cochran,
Sampling Techniques (3rd ed., 1977), 2.11.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RATIO, SCORE = 1.12, 5.0
_FLOOR = 0.01
_FEWEST_DAYS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Requests of a stretch of time, what they cost, and the sum of the squares of their costs; US dollars."""

    requests: int
    cost: float
    squares: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCost:
    """Money per request, now and usually; `risen` is whether that is a finding."""

    now: float
    usual: float
    ratio: float
    z: float

    @property
    def risen(self) -> bool:
        """Both certain and large enough to matter."""
        return self.z > SCORE and self.ratio > RATIO


def unit_cost(recent: Spending, days: Sequence[Spending]) -> UnitCost | None:
    """Compare the last hours with whole days before them.

    Args:
        recent: The last six hours, of priced requests.
        days: The four weeks before today, a day each.

    Returns:
        None with less than a week, or nothing spent, to compare with.
    """
    known = [day for day in days if day.requests]
    requests, cost = sum(day.requests for day in known), sum(day.cost for day in known)
    if len(known) < _FEWEST_DAYS or cost <= 0 or not recent.requests:
        return None
    usual = cost / requests
    spread = sum(day.squares for day in known) / requests - usual**2
    by_day = np.array([day.cost / day.requests / usual for day in known])
    # What requests alone make days differ by is no difference between days.
    within = float(np.mean([spread / (usual**2 * day.requests) for day in known]))
    between = max(0.0, float(by_day.var(ddof=1)) - within)
    now = recent.cost / recent.requests
    variance = spread / (usual**2 * recent.requests) + between + _FLOOR**2
    ratio = now / usual
    return UnitCost(now=now, usual=usual, ratio=ratio, z=(ratio - 1) / math.sqrt(variance))
