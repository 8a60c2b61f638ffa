"""Which window a pull reads, and where the watermark stands after it."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.sources.interface import Window
from watchkeeper.sources.pull import PullPlan, moved, pull_window, slices

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PLAN = PullPlan(overlap=timedelta(minutes=15), settle=timedelta(minutes=2), first=timedelta(hours=24))


def ago(**parts: float) -> datetime:
    return NOW - timedelta(**parts)


def test_the_first_pull_begins_as_far_back_as_the_plan_says() -> None:
    assert pull_window(None, PLAN, now=NOW) == Window(since=ago(hours=24), until=ago(minutes=2))


def test_later_ones_begin_an_overlap_before_the_watermark() -> None:
    assert pull_window(ago(minutes=7), PLAN, now=NOW) == Window(since=ago(minutes=22), until=ago(minutes=2))


def test_a_stated_beginning_wins_over_the_watermark() -> None:
    assert pull_window(ago(minutes=7), PLAN, now=NOW, since=ago(days=9)) == Window(
        since=ago(days=9), until=ago(minutes=2)
    )


@pytest.mark.parametrize("since", [ago(minutes=2), ago(minutes=1), NOW + timedelta(days=1)])
def test_what_has_not_settled_is_not_read(since: datetime) -> None:
    assert pull_window(None, PLAN, now=NOW, since=since) is None


def test_a_watermark_in_the_future_is_not_believed() -> None:
    assert pull_window(NOW + timedelta(days=365), PLAN, now=NOW) == pull_window(None, PLAN, now=NOW)
    done = Window(since=ago(hours=1), until=ago(minutes=2))
    assert moved(NOW + timedelta(days=365), done, now=NOW) == ago(minutes=2)


def test_the_watermark_never_goes_back() -> None:
    assert moved(ago(minutes=7), Window(since=ago(days=9), until=ago(days=8)), now=NOW) == ago(minutes=7)


def test_the_watermark_does_not_step_over_a_gap() -> None:
    at = ago(hours=5)
    assert moved(at, Window(since=ago(hours=4), until=ago(hours=3)), now=NOW) == at
    assert moved(at, Window(since=at, until=ago(hours=3)), now=NOW) == ago(hours=3)


@given(st.integers(1, 10_000), st.integers(1, 200))
def test_slices_join_without_gap_or_overlap_and_none_is_too_long(minutes: int, longest: int) -> None:
    window = Window(since=ago(minutes=minutes), until=NOW)
    parts = list(slices(window, timedelta(minutes=longest)))
    assert (parts[0].since, parts[-1].until) == (window.since, window.until)
    assert all(a.until == b.since for a, b in pairwise(parts))
    assert all(timedelta(0) < part.until - part.since <= timedelta(minutes=longest) for part in parts)
