"""Do more requests of a route time out than its last weeks allow."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from watchkeeper.latency.look import BASELINE, GAP
from watchkeeper.latency.memory import HOLD, LONGEST, TimeoutMemory
from watchkeeper.stats.proportions import exact_low
from watchkeeper.stats.rate_change import Detector, allowed_rate

_FEWEST = 200
"""Requests a baseline needs."""
_DAY_S, _FEWEST_A_DAY, _FEWEST_DAYS = 86_400.0, 100, 10
_LATELY = timedelta(hours=3)
_OUTSIDE = 0.05
_BATCH = 50
"""Requests that are taken in together; small, so that no factor leaves what a float can hold."""

_Marks = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut:
    """A route whose requests time out more than usual.

    Attributes:
        rate: Of the last three hours; None without requests.
        allowed: Rate up to which nothing counts as a change.
    """

    route: str
    since: datetime
    rate: float | None
    timed_out: int
    requests: int
    usual: float
    allowed: float


def look_at_timeouts(
    route: str, at: NDArray[np.float64], timed_out: _Marks, before: TimeoutMemory | None, now: datetime
) -> tuple[TimedOut | None, TimeoutMemory | None]:
    """What holds of a route now, and what is to be remembered of it.

    Args:
        at: Seconds since 1970 of its requests, ascending.
        timed_out: Which of them ended in a timeout.
        before: Of the last check; in an incident what was allowed when it began still is.
    """
    present, day = now.timestamp(), GAP.total_seconds()
    if before is not None and now - before.since >= LONGEST:
        before = None
    usual = (before.usual, before.allowed) if before is not None else _allowed(at, timed_out, present - day)
    if usual is None:
        return None, None
    rate, allowed = usual
    recent = at >= present - day
    lately = at >= present - _LATELY.total_seconds()
    count, broken = int(lately.sum()), int(timed_out[lately].sum())
    # By chance a quiet route is above what is allowed now and then, and the day may hold a burst that is over.
    above = exact_low(broken, count, _OUTSIDE) > allowed
    alarmed = above and _alarms(timed_out[recent], allowed)
    if before is None and not alarmed:
        return None, None
    since = before.since if before is not None else now
    last = now if above or before is None else before.last
    if now - last >= HOLD:
        return None, None
    found = TimedOut(
        route=route,
        since=since,
        rate=broken / count if count else None,
        timed_out=broken,
        requests=count,
        usual=rate,
        allowed=allowed,
    )
    return found, TimeoutMemory(since=since, last=last, allowed=allowed, usual=rate)


def _allowed(at: NDArray[np.float64], timed_out: _Marks, until: float) -> tuple[float, float] | None:
    """The baseline's rate, and the largest one that is no change; None with too few requests."""
    past = (at >= until - BASELINE.total_seconds()) & (at < until)
    rows, broken = int(past.sum()), int(timed_out[past].sum())
    if rows < _FEWEST:
        return None
    days = ((until - at[past]) // _DAY_S).astype(np.int64)
    sizes = np.bincount(days)
    rates = np.sort(np.bincount(days, timed_out[past])[sizes >= _FEWEST_A_DAY] / sizes[sizes >= _FEWEST_A_DAY])
    high = float(np.quantile(rates, 0.975, method="inverted_cdf")) if rates.size >= _FEWEST_DAYS else 0.0
    return broken / rows, allowed_rate(broken, rows, high_day=high)


def _alarms(timed_out: _Marks, allowed: float) -> bool:
    detector = Detector(allowed)
    for first in range(0, timed_out.size, _BATCH):
        batch = timed_out[first : first + _BATCH]
        broken = int(batch.sum())
        if detector.see(broken, batch.size - broken):
            return True
    return False
