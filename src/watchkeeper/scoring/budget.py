"""How many answers the day's money is enough for: the base rate falls when money is short, and never to zero.

The rate is asked for anew every quarter of an hour, from what is left and what traffic is still to come, with a tenth
held back. A day that turns out busier than it looked lowers the rate of its later hours; it does not end sampling.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from watchkeeper.scoring.sampling import LEAST
from watchkeeper.scoring.signals import STRATA

RESERVE = 1.1
"""The forecast is taken this many times: it errs, and money that is spent does not come back."""

_TODAY, _YESTERDAY = 0.7, 0.3
_WEEK_H, _MOST_WEEKS = 168, 4
_HALVINGS = 50


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traffic:
    """Requests by whole hours of UTC.

    Attributes:
        first: request.hour_of the first; it begins a day.
        counts: shape (hours,); the last one is the hour that runs.
    """

    first: int
    counts: NDArray[np.float64]


def forecast(traffic: Traffic, since: datetime, until: datetime) -> float | None:
    """Requests expected in [since, until); None where there is no traffic to learn from.

    The same hour of the same weekday of up to four weeks (with less than two whole weeks the hour of the day, with less
    than a day the mean), times how yesterday and today compare with it, today counting for more.
    """
    # The running hour is not over yet.
    counts = traffic.counts[:-1]
    if not counts.size or counts.sum() <= 0:
        return None
    usual = _profile(counts, traffic.first)
    scale = _scale(counts, usual, traffic.first)
    expected = 0.0
    hour = int(since.timestamp() // 3600)
    while hour * 3600 < until.timestamp():
        part = min(until.timestamp(), (hour + 1) * 3600) - max(since.timestamp(), hour * 3600)
        expected += usual[hour % _WEEK_H] * part / 3600
        hour += 1
    return float(expected * scale)


def _profile(counts: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    """What each hour of the week has, by its number since 1970 modulo 168."""
    hours = (first + np.arange(counts.size)) % _WEEK_H
    today = (first + counts.size) // 24 * 24 - first
    whole = slice(max(0, today - _MOST_WEEKS * _WEEK_H), today) if today >= 24 else slice(0, counts.size)
    if counts[whole].sum() <= 0:
        whole = slice(0, counts.size)
    learned, places = counts[whole], hours[whole]
    if learned.size < 24:
        return np.full(_WEEK_H, learned.mean())
    if learned.size < 2 * _WEEK_H:
        by_day = np.bincount(places % 24, learned, 24) / np.maximum(1, np.bincount(places % 24, minlength=24))
        return np.asarray(np.tile(by_day, 7))
    return np.asarray(np.bincount(places, learned, _WEEK_H) / np.maximum(1, np.bincount(places, minlength=_WEEK_H)))


def _scale(counts: NDArray[np.float64], usual: NDArray[np.float64], first: int) -> float:
    hours = first + np.arange(counts.size)
    midnight = (first + counts.size) // 24 * 24
    today, yesterday = hours >= midnight, (hours >= midnight - 24) & (hours < midnight)
    scales = []
    for part, weight in ((today, _TODAY), (yesterday, _YESTERDAY)):
        expected = float(usual[hours[part] % _WEEK_H].sum())
        if expected > 0:
            scales.append((float(counts[part].sum()) / expected, weight))
    total = sum(weight for _, weight in scales)
    return sum(scale * weight for scale, weight in scales) / total if total else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Requests that are still to be decided about, of routes that cost the same to score.

    Attributes:
        requests: How many, by the place of their stratum in STRATA.
        cost_nano_usd: Of scoring one of them, nano-dollars.
    """

    requests: Sequence[float]
    cost_nano_usd: float


def cost_at(rate: float, demand: Sequence[Demand], multiples: NDArray[np.float64]) -> float:
    """What scoring costs at a base rate, nano-dollars."""
    inclusion = np.clip(rate * multiples, LEAST, 1.0)
    return float(sum(each.cost_nano_usd * float(inclusion @ np.asarray(each.requests)) for each in demand))


def affordable_rate(
    target: float, left_nano_usd: float, demand: Sequence[Demand], multiples: NDArray[np.float64], *, reserve: float
) -> float:
    """The base rate: the target, or the highest below it that the money is enough for; at least LEAST.

    Args:
        target: The configured share of ordinary responses.
        reserve: Times the demand is taken; RESERVE for a forecast, 1 for what is counted.
    """
    if reserve * cost_at(target, demand, multiples) <= left_nano_usd:
        return max(target, LEAST)
    low, high = 0.0, target
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if reserve * cost_at(middle, demand, multiples) <= left_nano_usd:
            low = middle
        else:
            high = middle
    return max(low, LEAST)


MIX: Mapping[str, float] = {"ordinary": 0.85, "unusual": 0.05, "failed": 0.05, "new_version": 0.05}
"""What traffic is taken to be made of until some of it was looked at."""


def spread_over(requests: float, mix: Mapping[str, float]) -> list[float]:
    """Requests by stratum, in the order of STRATA."""
    total = sum(mix.values()) or 1.0
    return [requests * mix.get(name, 0.0) / total for name in STRATA]


def day_of(at: datetime) -> tuple[datetime, datetime]:
    """The day (UTC) whose budget a time belongs to, as [midnight, next midnight)."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight, midnight + timedelta(days=1)
