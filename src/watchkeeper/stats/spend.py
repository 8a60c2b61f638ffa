"""Is money being spent faster than this hour of this weekday usually costs, and where will the period end.

The expectation of an hour is the mean of the same hour on the same weekdays, scaled by how the last week compares. How
far from it is normal is measured too: inside days (money comes in lumps) and between days. A window's sum is then
compared with a gamma distribution of that mean and variance; fixed ratios, as error budgets use them, would call the
ordinary Monday an incident.

Source of the rules and their error rates: own simulation, docs/statistics.md. Gamma sums of lumpy positive amounts:
P. McCullagh and J. A. Nelder, Generalized Linear Models (1989), chapter 8.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from scipy import special

_WEEK, _MOST_WEEKS = 7, 4
_FEWEST_DAYS = 2
_STEP_S = 300.0
_STEPS_AN_HOUR = 12

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """One window against its expectation. `z` is the normal score of its sum; `ratio` sum over expectation."""

    hours: float
    spent: float
    expected: float
    ratio: float
    z: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """Whether spending is out of the ordinary.

    Attributes:
        fast: A jump that shows within hours.
        slow: A rise that shows within a day.
        windows: What the rules looked at, by hours.
    """

    fast: bool
    slow: bool
    windows: Sequence[Pressure]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """Amounts by five minutes, up to now.

    Attributes:
        start: Local midnight that begins the first day, aware.
        amounts: shape (steps,); the last may be cut short by now.
        now: Aware.
    """

    start: datetime
    amounts: _Floats
    now: datetime

    @property
    def zone(self) -> ZoneInfo:
        """Whose days and hours these are."""
        assert isinstance(self.start.tzinfo, ZoneInfo)
        return self.start.tzinfo

    def midnight(self, days_ago: int = 0) -> datetime:
        """The local midnight that began today, or a day before."""
        return midnight_of(self.now.astimezone(self.zone).date() - timedelta(days=days_ago), self.zone)

    def between(self, since: datetime, until: datetime) -> _Floats:
        """The amounts of a stretch of whole steps; shorter where the history is."""
        # By timestamps: the difference of two local times forgets clock changes.
        began = self.start.timestamp()
        first, last = (max(0, round((at.timestamp() - began) / _STEP_S)) for at in (since, until))
        return self.amounts[first:last]


def midnight_of(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which a local day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=zone)


@lru_cache(maxsize=16)
def local_hours(
    begins: float, count: int, zone: ZoneInfo, *, step_s: float = 3600.0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Weekday (Monday 0) and hour of steps that begin at a timestamp and follow each other."""
    times = [datetime.fromtimestamp(begins + step_s * n, zone) for n in range(count)]
    return np.array([t.weekday() for t in times], np.int64), np.array([t.hour for t in times], np.int64)


def history(at: Sequence[datetime], amounts: Sequence[float], *, now: datetime, zone: ZoneInfo) -> History:
    """Amounts put into five-minute steps; what comes after `now` is left out.

    Args:
        at: Aware times, in any order.
        amounts: Of the same length, >= 0; dollars, or 1 a request.
    """
    first = min((t for t in at if t <= now), default=now).astimezone(zone).date()
    start = midnight_of(first, zone)
    began = start.timestamp()
    steps = math.floor((now.timestamp() - began) / _STEP_S) + 1
    places = np.array([math.floor((t.timestamp() - began) / _STEP_S) for t in at], dtype=np.int64)
    inside = places < steps if places.size else np.zeros(0, bool)
    weights = np.asarray(amounts, float)
    return History(start=start, amounts=np.bincount(places[inside], weights[inside], steps).astype(float), now=now)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Expectation:
    """What an hour usually costs, and how far from it is normal.

    Attributes:
        hourly: shape (7, 24), by weekday (Monday 0) and local hour.
        dispersion: Variance over mean of five minutes inside days.
        daily: Relative standard deviation between days.
    """

    hourly: _Floats
    dispersion: float
    daily: float


def expectation(known: History) -> Expectation | None:
    """From the four weeks that ended at midnight, or what there is of them; None with less than two whole days."""
    midnight = known.midnight()
    whole = min(_WEEK * _MOST_WEEKS, (midnight.date() - known.start.date()).days)
    if whole < _FEWEST_DAYS:
        return None
    days = np.array([_by_hour(known, ago) for ago in range(whole, 0, -1)])  # (whole, 24), oldest first
    weekdays = np.array([(midnight.date() - timedelta(days=ago)).weekday() for ago in range(whole, 0, -1)])
    total = float(days.sum())
    if total <= 0:
        return None
    weekly = whole >= 2 * _WEEK
    profile = np.array([days[weekdays == w].mean(axis=0) if weekly else days.mean(axis=0) for w in range(7)])
    profile = 0.25 * np.roll(profile, 1, axis=1) + 0.5 * profile + 0.25 * np.roll(profile, -1, axis=1)
    recent = float(days[-_WEEK:].sum()) / len(days[-_WEEK:])
    usual = float(profile[weekdays[-_WEEK:]].sum()) / len(days[-_WEEK:])
    scale = recent / usual if usual > 0 else 1.0
    dispersion, daily = _scatter(known, profile, days, weekdays, repeats=whole / _WEEK if weekly else whole)
    return Expectation(hourly=profile * scale, dispersion=dispersion, daily=daily)


def _by_hour(known: History, days_ago: int) -> _Floats:
    """24 sums of a local day; the hour a clock change repeats or skips is scaled to one."""
    steps = known.between(known.midnight(days_ago), known.midnight(days_ago - 1))
    begins = known.midnight(days_ago).timestamp()
    hours = np.array(
        [
            datetime.fromtimestamp(begins + 3600 * n, known.zone).hour
            for n in range(math.ceil(len(steps) / _STEPS_AN_HOUR))
        ]
    )
    sums = np.add.reduceat(steps, np.arange(0, len(steps), _STEPS_AN_HOUR)) if len(steps) else np.zeros(0)
    counts = np.bincount(hours, minlength=24)
    return np.asarray(np.bincount(hours, sums, 24) / np.maximum(1, counts))


def _scatter(
    known: History, profile: _Floats, days: _Floats, weekdays: NDArray[np.int64], *, repeats: float
) -> tuple[float, float]:
    expected = profile[weekdays]
    ratios = days.sum(axis=1) / np.maximum(expected.sum(axis=1), 1e-12)
    logs = np.log(np.maximum(ratios, 1e-3))
    middle = float(np.median(logs))
    spread = float(np.median(np.abs(logs - middle))) * 3
    daily = float(np.sqrt(np.mean(np.clip(logs, middle - spread, middle + spread) ** 2))) if spread else 0.0
    # The profile was fitted to these very days.
    daily *= math.sqrt(repeats / (repeats - 1)) if repeats > 1 else 1.5
    squares, amount = 0.0, 0.0
    for place in range(len(days)):
        ago = len(days) - place
        steps = known.between(known.midnight(ago), known.midnight(ago - 1))
        usual = np.repeat(expected[place] * ratios[place] / _STEPS_AN_HOUR, _STEPS_AN_HOUR)
        same = min(len(steps), len(usual))
        squares += float(((steps[:same] - usual[:same]) ** 2).sum())
        amount += float(steps[:same].sum())
    return (squares / amount if amount > 0 else 0.0), daily


def burn(known: History, usual: Expectation) -> Burn:
    """Whether the last hours cost more than they usually do.

    Fast: one hour 1.8 or three hours 1.6 times the expectation and beyond z 4.3, with the last quarter of an hour still
    above 1.5. Slow: a day 1.15 times and beyond z 3.5, with the last six hours above 1.1.
    """
    seen = _pressures(known, usual, (0.25, 1, 3, 6, 24))
    jumped = any(seen[h].z > 4.3 and seen[h].ratio > ratio for h, ratio in ((1, 1.8), (3, 1.6)))
    return Burn(
        fast=jumped and seen[0.25].ratio > 1.5,
        slow=seen[24].z > 3.5 and seen[24].ratio > 1.15 and seen[6].ratio > 1.1,
        windows=tuple(seen.values()),
    )


def _pressures(known: History, usual: Expectation, lengths: Sequence[float]) -> dict[float, Pressure]:
    """Length in hours -> the window of that length that ends now."""
    # The running step is not over yet: it counts as soon as it is whole.
    whole = len(known.amounts) - 1
    most = min(round(max(lengths) * _STEPS_AN_HOUR), whole)
    ends = known.start.timestamp() + _STEP_S * whole
    # An hour that never cost anything is expected to cost a little: nothing is infinitely surprising.
    least = float(usual.hourly.mean()) / _STEPS_AN_HOUR * 0.02
    weekdays, hours = local_hours(ends - most * _STEP_S, most, known.zone, step_s=_STEP_S)
    expected = np.cumsum(np.maximum(usual.hourly[weekdays, hours] / _STEPS_AN_HOUR, least)[::-1])
    spent = np.cumsum(known.amounts[whole - most : whole][::-1])
    return {hours: _pressure(hours, spent, expected, usual) for hours in lengths}


def _pressure(hours: float, sums: _Floats, expectations: _Floats, usual: Expectation) -> Pressure:
    """One window, from the running sums backward from now."""
    steps = min(round(hours * _STEPS_AN_HOUR), len(sums))
    spent, expected = (float(each[steps - 1]) if steps else 0.0 for each in (sums, expectations))
    if expected <= 0:
        return Pressure(hours=hours, spent=spent, expected=expected, ratio=1.0, z=0.0)
    variance = usual.dispersion * expected + (usual.daily * expected) ** 2
    return Pressure(
        hours=hours, spent=spent, expected=expected, ratio=spent / expected, z=_score(spent, expected, variance)
    )


def _score(spent: float, expected: float, variance: float) -> float:
    """The normal score of a gamma sum; within 40."""
    if variance <= 0:
        return 40.0 if spent > expected else 0.0
    outside = float(special.gammaincc(expected**2 / variance, spent * expected / variance))
    return min(40.0, -float(special.ndtri(min(max(outside, 1e-300), 1 - 1e-16))))
