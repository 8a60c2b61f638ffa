"""The period a budget is in, in its own zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from watchkeeper.budgets.budget import Budget

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


def budget(period, zone=BERLIN, **changes):
    return Budget(name="all", period=period, limit_nano_usd=1, zone=zone, **changes)


@pytest.mark.parametrize(
    ("now", "starts", "ends"),
    [
        ("2026-02-28T22:59:59Z", "2026-02-01T00:00+01:00", "2026-03-01T00:00+01:00"),
        ("2026-02-28T23:00:00Z", "2026-03-01T00:00+01:00", "2026-04-01T00:00+02:00"),
        ("2028-02-29T12:00:00Z", "2028-02-01T00:00+01:00", "2028-03-01T00:00+01:00"),
        ("2026-04-30T21:59:59Z", "2026-04-01T00:00+02:00", "2026-05-01T00:00+02:00"),
        ("2026-12-31T12:00:00Z", "2026-12-01T00:00+01:00", "2027-01-01T00:00+01:00"),
    ],
)
def test_months_have_their_own_lengths_and_begin_at_local_midnight(now, starts, ends):
    term = budget("month").term(datetime.fromisoformat(now))
    assert [each.isoformat(timespec="minutes") for each in (term.starts, term.ends)] == [starts, ends]


@pytest.mark.parametrize(
    ("week_start", "starts", "ends"),
    [(0, "2026-10-19", "2026-10-26"), (6, "2026-10-25", "2026-11-01"), (2, "2026-10-21", "2026-10-28")],
)
def test_a_week_begins_on_its_own_weekday(week_start, starts, ends):
    term = budget("week", week_start=week_start).term(datetime(2026, 10, 25, 12, tzinfo=BERLIN))  # a Sunday
    assert (str(term.starts.date()), str(term.ends.date())) == (starts, ends)
    assert (term.starts.hour, term.ends.hour) == (0, 0)


@pytest.mark.parametrize(
    ("zone", "noon", "hours"),
    [
        (BERLIN, "2026-03-29", 23),
        (BERLIN, "2026-10-25", 25),
        (NEW_YORK, "2026-03-08", 23),
        (NEW_YORK, "2026-11-01", 25),
    ],
)
def test_a_day_of_a_clock_change_is_an_hour_shorter_or_longer(zone, noon, hours):
    term = budget("day", zone).term(datetime.fromisoformat(noon).replace(hour=12, tzinfo=zone))
    assert (term.ends.timestamp() - term.starts.timestamp()) / 3600 == hours


def test_a_rolling_period_begins_at_a_whole_step_and_does_not_end():
    now = datetime(2026, 10, 25, 12, 3, 7, tzinfo=UTC)
    term = budget(timedelta(hours=24)).term(now)
    assert term.starts == datetime(2026, 10, 24, 12, 0, tzinfo=UTC)
    assert term.ends is None
