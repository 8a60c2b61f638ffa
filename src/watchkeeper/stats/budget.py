"""One budget: spent so far, what the period will cost, and whether that is a reason to act.

The forecast is the level of the last weeks (half-life 7 days, weekday by weekday) carried to the period's end; its
interval is what the same forecast missed by when it was made over the same number of days in the past.

Source: R. J. Hyndman and G. Athanasopoulos, Forecasting: Principles and Practice (3rd ed., 2021), 5.10 (errors by
horizon, from a rolling origin) and 8.1 (exponential smoothing); coverage is measured, docs/statistics.md.
"""

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from scipy import special

from watchkeeper.stats.spend import Burn, Expectation, History, burn, expectation, local_hours, midnight_of

Period = Literal["day", "week", "month"]
Verdict = Literal["within", "burning", "exceeded"]

_HALF_LIFE, _MOST_DAYS, _FEWEST_DAYS = 7.0, 56, 3
_OUTSIDE = 0.05
"""Left out at each end of the forecast's interval."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What the whole period will have cost.

    Attributes:
        usd: Most likely; None with no spending to go by.
        interval: 90 %; None with too few days to know how wrong a forecast is.
        exhausted_at: When the limit is reached; None if not within the period.
        exhausted_between: The same at the ends of the interval; an end is None beyond the period.
    """

    usd: float | None
    interval: tuple[float, float] | None
    exhausted_at: datetime | None
    exhausted_between: tuple[datetime | None, datetime | None] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """One budget now.

    Attributes:
        starts, ends: Of the period, half-open, local midnights.
        spent: In the period so far, US dollars.
        burn: None with too little history to know what is usual.
    """

    starts: datetime
    ends: datetime
    spent: float
    burn: Burn | None
    forecast: Forecast
    verdict: Verdict


def period_of(now: datetime, period: Period, zone: ZoneInfo, *, week_start: int = 0) -> tuple[datetime, datetime]:
    """The day, week or month that `now` is in, as local midnights; the end is outside.

    Args:
        week_start: Weekday a week begins on; Monday is 0.
    """
    today = now.astimezone(zone).date()
    if period == "day":
        first, after = today, today + timedelta(days=1)
    elif period == "week":
        first = today - timedelta(days=(today.weekday() - week_start) % 7)
        after = first + timedelta(days=7)
    else:
        first = today.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    return midnight_of(first, zone), midnight_of(after, zone)


def budget_state(known: History, *, limit: float, period: Period, spent: float | None = None) -> BudgetState:
    """Look at one budget.

    Args:
        limit: US dollars a period, above 0.
        spent: What the period has cost so far where it is known exactly; None adds up the history.

    Raises:
        ValueError: If the limit is not above 0.
    """
    if not limit > 0:
        raise ValueError(f"the limit must be above 0, not {limit}")
    starts, ends = period_of(known.now, period, known.zone)
    after_start = max(0, round((starts.timestamp() - known.start.timestamp()) / 300))
    spent = float(known.amounts[after_start:].sum()) if spent is None else spent
    usual = expectation(known)
    burning = None if usual is None else burn(known, usual)
    ahead = forecast(known, usual, spent=spent, limit=limit, starts=starts, ends=ends)
    certain = ahead.interval is not None and ahead.interval[0] > limit
    verdict: Verdict = "within"
    if spent >= limit:
        verdict = "exceeded"
    elif certain or (burning is not None and (burning.fast or burning.slow)):
        verdict = "burning"
    return BudgetState(starts=starts, ends=ends, spent=spent, burn=burning, forecast=ahead, verdict=verdict)


def forecast(
    known: History, usual: Expectation | None, *, spent: float, limit: float, starts: datetime, ends: datetime
) -> Forecast:
    """What a period will have cost, and when its limit is reached.

    Args:
        usual: Of the same history; None where there is too little of it: then today's pace is carried on.
        spent: In the period so far, US dollars, as `limit`.
        starts, ends: Of the period, half-open; `ends` in the zone whose days count.
    """
    days = _totals(known)
    if usual is None or len(days) < _FEWEST_DAYS:
        return _by_pace(known, spent=spent, limit=limit, starts=starts, ends=ends)
    today = known.midnight().date()
    factors = _weekday_factors(days, today)
    levels = _levels(days, factors, today)
    shape = usual.hourly / np.maximum(usual.hourly.sum(axis=1, keepdims=True), 1e-12)
    times, shares = _hours_left(known.now, ends)
    weekdays, hours = local_hours(float(times[0]), len(times), known.zone)
    ahead = levels[-1] * factors[weekdays] * shape[weekdays, hours] * shares
    rest = float(ahead.sum())
    width = _log_error(days, factors, today, horizon=max(1, math.ceil(len(times) / 24)))

    def reached(factor: float) -> datetime | None:
        return _when(times, shares, ahead * factor, limit - spent, known.zone) if spent < limit else None

    interval = between = None
    if width is not None:
        interval = (spent + rest * math.exp(-width), spent + rest * math.exp(width))
        between = (reached(math.exp(width)), reached(math.exp(-width)))
    return Forecast(usd=spent + rest, interval=interval, exhausted_at=reached(1.0), exhausted_between=between)


def _by_pace(known: History, *, spent: float, limit: float, starts: datetime, ends: datetime) -> Forecast:
    """Without days to learn from: as fast as up to now."""
    began = max(starts.timestamp(), known.start.timestamp())
    passed, left = known.now.timestamp() - began, ends.timestamp() - known.now.timestamp()
    if spent <= 0 or passed <= 0:
        return Forecast(usd=None, interval=None, exhausted_at=None, exhausted_between=None)
    pace = spent / passed
    at = known.now.timestamp() + (limit - spent) / pace
    reached = datetime.fromtimestamp(at, known.zone) if spent < limit and at < ends.timestamp() else None
    return Forecast(usd=spent + pace * left, interval=None, exhausted_at=reached, exhausted_between=None)


def _totals(known: History) -> _Floats:
    """Totals of the whole days before today, oldest first, at most eight weeks; a day of nothing is nearly nothing."""
    whole = min(_MOST_DAYS, (known.midnight().date() - known.start.date()).days)
    totals = np.array(
        [known.between(known.midnight(ago), known.midnight(ago - 1)).sum() for ago in range(whole, 0, -1)], float
    )
    usual = float(np.median(totals[totals > 0])) if (totals > 0).any() else 0.0
    return np.maximum(totals, usual * 0.01) if usual > 0 else np.zeros(0)


def _weekdays(count: int, today: date) -> NDArray[np.int64]:
    return np.asarray((today.weekday() - np.arange(count, 0, -1)) % 7, dtype=np.int64)


def _weekday_factors(days: _Floats, today: date) -> _Floats:
    """What a Monday is to the average day, …; 1 with less than two weeks to tell."""
    if len(days) < 14:
        return np.ones(7)
    logs, weekday = np.log(days), _weekdays(len(days), today)
    means = np.array([logs[weekday == w].mean() for w in range(7)])
    return np.asarray(np.exp(means - means.mean()))


def _levels(days: _Floats, factors: _Floats, today: date) -> _Floats:
    """The average day as it was known before each day and today: the mean of logarithms with a half-life.

    Returns:
        shape (days + 1,); the first, before any day, is NaN.
    """
    logs = np.log(days) - np.log(factors[_weekdays(len(days), today)])
    decay, total, weight = 0.5 ** (1 / _HALF_LIFE), 0.0, 0.0
    levels = [math.nan]
    for log in logs.tolist():
        total, weight = total * decay + log, weight * decay + 1
        levels.append(math.exp(total / weight))
    return np.array(levels)


def _log_error(days: _Floats, factors: _Floats, today: date, *, horizon: int) -> float | None:
    """Half the width of the interval on the logarithm: what forecasts over so many days missed by."""
    n = len(days)
    origins = np.arange(min(7, max(2, n // 2)), n - horizon + 1)
    if len(origins) < 2:
        if n < 7:
            return None
        # Not one stretch so long: one as long as there is, wider by the root of what is lacking.
        shorter = max(1, (n - 3) // 2)
        if shorter >= horizon:
            return None
        width = _log_error(days, factors, today, horizon=shorter)
        return None if width is None else width * math.sqrt(horizon / shorter)
    spent, expected = (np.append(0.0, np.cumsum(each)) for each in (days, factors[_weekdays(n, today)]))
    forecasts = _levels(days, factors, today)[origins] * (expected[origins + horizon] - expected[origins])
    errors = np.log((spent[origins + horizon] - spent[origins]) / forecasts)
    spread = float(np.sqrt(np.mean(errors**2)))
    freedom = max(3.0, (n - 14) / min(horizon, 7))
    return float(special.stdtrit(freedom, 1 - _OUTSIDE)) * spread


def _hours_left(now: datetime, ends: datetime) -> tuple[_Floats, _Floats]:
    """Start of every hour from now to the end, as timestamps, and how much of it is left; the first is cut short."""
    at, last = now.timestamp(), ends.timestamp()
    starts = np.arange(math.floor(at / 3600 + 1e-9) * 3600, last - 1e-6, 3600)
    following = np.minimum(starts + 3600, last)
    return starts, (following - np.maximum(starts, at)) / 3600


def _when(times: _Floats, shares: _Floats, ahead: _Floats, left: float, zone: ZoneInfo) -> datetime | None:
    """When the hours ahead will have cost what is left."""
    total = np.cumsum(ahead)
    place = int(np.searchsorted(total, left))
    if place >= len(times):
        return None
    before = float(total[place - 1]) if place else 0.0
    part = (left - before) / float(ahead[place]) if ahead[place] > 0 else 0.0
    begins = float(times[place]) + (3600 * (1 - float(shares[0])) if place == 0 else 0.0)
    return datetime.fromtimestamp(begins + part * 3600 * float(shares[place]), zone)
