"""A budget: calendar periods, what is usual, where it ends; simulated years with known truth."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from watchkeeper.stats.budget import budget_state, period_of
from watchkeeper.stats.spend import History, burn, expectation, history

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
MONDAY = datetime(2025, 1, 6, tzinfo=ZoneInfo("UTC"))
STEPS = 288


def seasonal(rng, *, days, per_hour, between_days, change=None):
    """Dollars of every five minutes from a Monday on; `change(day, step)` multiplies the requests."""
    hour = 1 + 0.6 * np.sin((np.arange(STEPS) / STEPS - 0.3) * 2 * np.pi)
    week = (1, 1.05, 1.05, 1, 0.95, 0.5, 0.45)
    found = []
    for day in range(days):
        rate = per_hour / 12 * hour * week[day % 7] * np.exp(rng.normal(0, between_days))
        if change is not None:
            rate = rate * np.array([change(day, step) for step in range(STEPS)])
        counts = rng.poisson(rate)
        sums = np.split(rng.lognormal(np.log(0.01), 0.8, counts.sum()), np.cumsum(counts)[:-1])
        found += [float(some.sum()) for some in sums]
    return np.array(found)


def upto(amounts, step):
    """The history as it is known at a step, sixty days of it."""
    first = max(0, step // STEPS - 60) * STEPS
    at = MONDAY + timedelta(minutes=5 * step)
    return History(start=MONDAY + timedelta(minutes=5 * first), amounts=amounts[first : step + 1], now=at)


def incidents(amounts, *, first_day, last_day, every=3):
    """Times (in steps) at which a fast or slow burn began, those nearer than six hours together counted once."""
    begun, last = {"fast": [], "slow": []}, {"fast": -STEPS, "slow": -STEPS}
    for day in range(first_day, last_day):
        usual = expectation(upto(amounts, day * STEPS))
        for step in range(day * STEPS, (day + 1) * STEPS, every):
            found = burn(upto(amounts, step), usual)
            for name in begun:
                if getattr(found, name):
                    if step - last[name] > 72:
                        begun[name].append(step)
                    last[name] = step
    return begun


def test_four_months_of_seasonal_spend_without_a_change_raise_at_most_one_incident():
    amounts = seasonal(np.random.default_rng(51), days=170, per_hour=200, between_days=0.04)
    begun = incidents(amounts, first_day=50, last_day=170)
    assert len(begun["fast"]) + len(begun["slow"]) <= 1


def test_three_times_the_spend_is_seen_within_about_an_hour():
    rng, delays = np.random.default_rng(52), []
    for start in (10, 13, 16, 20):
        amounts = seasonal(
            rng, days=37, per_hour=200, between_days=0.04,
            change=lambda day, step, start=start: 3 if day == 36 and step >= start * 12 else 1,
        )  # fmt: skip
        usual = expectation(upto(amounts, 36 * STEPS))
        first = 36 * STEPS + start * 12
        seen = (n for n in range(36) if burn(upto(amounts, first + n), usual).fast)
        delays.append(next(seen, 36) / 12)
    assert np.median(delays) <= 1.1


def test_the_forecasts_interval_covers_what_came():
    amounts = seasonal(np.random.default_rng(53), days=330, per_hour=60, between_days=0.08)
    covered = {"week": [], "month": []}
    for day in range(65, 295, 2):
        for period in covered:
            known = upto(amounts, day * STEPS)
            state = budget_state(known, limit=1e9, period=period)
            first, last = ((t.timestamp() - MONDAY.timestamp()) / 300 for t in (state.starts, state.ends))
            truth = amounts[int(first) : int(last)].sum()
            covered[period].append(state.forecast.interval[0] <= truth <= state.forecast.interval[1])
    assert 0.85 <= np.mean(covered["week"]) <= 0.98
    assert 0.85 <= np.mean(covered["month"]) <= 0.98


@pytest.mark.parametrize(
    ("now", "period", "zone", "starts", "ends"),
    [
        ("2026-02-28T23:30:00Z", "month", BERLIN, "2026-03-01T00:00+01:00", "2026-04-01T00:00+02:00"),
        ("2028-02-29T12:00:00Z", "month", BERLIN, "2028-02-01T00:00+01:00", "2028-03-01T00:00+01:00"),
        ("2026-12-31T12:00:00Z", "month", BERLIN, "2026-12-01T00:00+01:00", "2027-01-01T00:00+01:00"),
        ("2026-03-29T12:00:00Z", "day", BERLIN, "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"),
        ("2026-11-01T12:00:00Z", "day", NEW_YORK, "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00"),
        ("2026-11-01T12:00:00Z", "week", NEW_YORK, "2026-10-26T00:00-04:00", "2026-11-02T00:00-05:00"),
    ],
)
def test_periods_are_calendar_periods_of_the_budgets_zone(now, period, zone, starts, ends):
    found = period_of(datetime.fromisoformat(now), period, zone)
    assert [each.isoformat(timespec="minutes") for each in found] == [starts, ends]


@pytest.mark.parametrize(("zone", "day", "hours"), [(BERLIN, "2026-03-29", 23), (BERLIN, "2026-10-25", 25)])
def test_a_day_of_a_clock_change_has_its_own_number_of_hours(zone, day, hours):
    noon = datetime.fromisoformat(day).replace(tzinfo=zone, hour=12)
    starts, ends = period_of(noon, "day", zone)
    assert (ends.timestamp() - starts.timestamp()) / 3600 == hours
    each_hour = [datetime.fromtimestamp(starts.timestamp() + 3600 * n, UTC) for n in range(-24, hours)]
    known = history(each_hour, [1.0] * len(each_hour), now=ends.astimezone(UTC) - timedelta(seconds=1), zone=zone)
    assert budget_state(known, limit=1000, period="day").spent == hours


def steady(*, days, per_day, now_hour=12, limit=1000.0, period="month", today=1.0):
    now = datetime(2026, 9, 16, now_hour, tzinfo=UTC)
    midnight = now.replace(hour=0)
    steps = int(days * 24 + now_hour) * 12
    at = [midnight - timedelta(days=days) + timedelta(minutes=5 * n) for n in range(steps)]
    amounts = [per_day / 288 * (today if when >= midnight else 1.0) for when in at]
    return budget_state(history(at, amounts, now=now, zone=ZoneInfo("UTC")), limit=limit, period=period)


def test_steady_spend_under_the_limit_is_within():
    state = steady(days=42, per_day=10)
    assert state.verdict == "within"
    assert state.spent == pytest.approx(155)
    assert state.forecast.usd == pytest.approx(300, rel=0.02)
    assert state.forecast.exhausted_at is None


def test_steady_spend_that_cannot_end_under_the_limit_is_burning_and_says_when():
    state = steady(days=42, per_day=50)
    assert state.verdict == "burning"
    assert not state.burn.fast
    assert state.forecast.exhausted_at == pytest.approx(datetime(2026, 9, 21, tzinfo=UTC), abs=timedelta(hours=6))


def test_a_limit_that_is_reached_is_exceeded():
    assert steady(days=42, per_day=100).verdict == "exceeded"
    assert steady(days=42, per_day=10, limit=155.0).verdict == "exceeded"


def test_a_jump_today_is_burning_though_the_month_would_hold():
    state = steady(days=42, per_day=10, today=4.0)
    assert state.burn.fast
    assert state.verdict == "burning"


def test_hours_of_history_give_a_pace_and_no_certainty():
    state = steady(days=0, per_day=24, now_hour=6, limit=20.0, period="day")
    assert state.burn is None
    assert state.forecast.usd == pytest.approx(24)
    assert state.forecast.interval is None
    assert state.forecast.exhausted_at is not None


def test_no_spending_is_no_forecast():
    known = history([], [], now=datetime(2026, 9, 16, 12, tzinfo=UTC), zone=BERLIN)
    state = budget_state(known, limit=1, period="month")
    assert (state.spent, state.forecast.usd, state.verdict) == (0, None, "within")


def test_a_weekend_without_traffic_breaks_nothing():
    now = datetime(2026, 9, 16, 12, tzinfo=UTC)
    at = [now - timedelta(hours=n) for n in range(24 * 40)]
    at = [when for when in at if when.weekday() < 5]
    state = budget_state(history(at, [1.0] * len(at), now=now, zone=BERLIN), limit=10_000, period="month")
    assert state.verdict == "within"
    assert state.forecast.usd == pytest.approx(22 * 24, rel=0.05)


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_that_is_none_is_refused(limit):
    with pytest.raises(ValueError, match="above 0"):
        budget_state(history([], [], now=datetime.now(UTC), zone=BERLIN), limit=limit, period="day")
