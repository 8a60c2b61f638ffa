"""Timeouts of a route: what its past allows, what is too many, and until when."""

from datetime import UTC, datetime, timedelta

import numpy as np

from watchkeeper.latency.memory import HOLD, LONGEST
from watchkeeper.latency.timeouts import look_at_timeouts

START = datetime(2026, 11, 1, tzinfo=UTC)
PER_HOUR = 100


def route(rates, *, seed=1, days=40):
    """Times and timeouts of a route; `rates(day)` is the rate at a time in days from START."""
    rng = np.random.default_rng(seed)
    at = np.sort(START.timestamp() + rng.uniform(0, days * 86_400, days * 24 * PER_HOUR))
    return at, rng.random(at.size) < np.array([rates((t - START.timestamp()) / 86_400) for t in at])


def watched(at, timed_out, *, first, last, before=None):
    """Hours (from START) at which a check found too many, and what it saw."""
    found = {}
    for hour in range(first, last):
        now = START + timedelta(hours=hour)
        until = int(np.searchsorted(at, now.timestamp()))
        seen, before = look_at_timeouts("answers", at[:until], timed_out[:until], before, now)
        if seen is not None:
            found[hour] = seen
    return found


def test_a_rate_that_wobbles_by_the_day_as_it_always_did_is_no_finding():
    at, timed_out = route(lambda day: 0.01 + 0.015 * (int(day) % 5 == 0))
    assert watched(at, timed_out, first=15 * 24, last=40 * 24) == {}


def test_a_fifth_timing_out_is_found_within_the_hour():
    at, timed_out = route(lambda day: 0.2 if day >= 20 else 0.01)
    found = watched(at, timed_out, first=18 * 24, last=20 * 24 + 12)
    assert min(found) == 20 * 24 + 1
    seen = found[min(found)]
    assert abs(seen.usual - 0.01) < 0.003
    assert seen.timed_out / seen.requests == seen.rate > seen.allowed


def test_what_is_allowed_stays_as_it_was_while_requests_time_out_and_two_weeks_at_most():
    at, timed_out = route(lambda day: 0.2 if day >= 16 else 0.01)
    found = watched(at, timed_out, first=16 * 24, last=40 * 24)
    # What was allowed when it began, and not what days of timeouts would allow.
    assert len({each.allowed for each in found.values()}) == 1
    assert timedelta(hours=max(found) - min(found)) == LONGEST - timedelta(hours=1)


def test_it_is_over_six_hours_after_the_rate_was_last_too_high():
    at, timed_out = route(lambda day: 0.5 if 20 <= day < 20.25 else 0.01)
    found = watched(at, timed_out, first=20 * 24, last=22 * 24)
    quiet_from = 20 * 24 + 6 + 3  # three hours are looked at
    assert quiet_from + 4 <= max(found) <= quiet_from + HOLD.seconds // 3600


def test_a_burst_of_hours_ago_that_is_over_opens_nothing():
    at, timed_out = route(lambda day: 0.5 if 20 <= day < 20.25 else 0.01)
    assert watched(at, timed_out, first=20 * 24 + 12, last=20 * 24 + 16) == {}


def test_too_few_requests_allow_no_judgement():
    at, timed_out = route(lambda day: 0.5 if day >= 1 else 0.0, days=2)
    few = slice(None, None, 40)
    assert watched(at[few], timed_out[few], first=24, last=48) == {}


def test_a_flood_of_timeouts_is_no_number_too_large():
    at, timed_out = route(lambda day: 1.0 if day >= 20 else 0.0, days=21)
    assert watched(at, timed_out, first=20 * 24 + 12, last=20 * 24 + 13)
