"""Tango's interval: published figures, and what must hold for every table."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.stats import tango

Z95 = 1.959963984540054


@st.composite
def tables(draw):
    cases = draw(st.integers(1, 400))
    lost = draw(st.integers(0, cases))
    return lost, draw(st.integers(0, cases - lost)), cases


def test_the_interval_of_one_lost_case_in_44_is_the_published_one():
    assert tango.interval(1, 0, 44, Z95) == pytest.approx((-0.118, 0.059), abs=5e-4)


def test_the_score_against_no_difference_is_mcnemars():
    assert tango.score(9, 4, 100, 0.0) == pytest.approx((4 - 9) / math.sqrt(13))


@given(tables())
def test_swapping_the_sides_mirrors_the_interval(table):
    lost, gained, cases = table
    low, high = tango.interval(lost, gained, cases, Z95)
    assert tango.interval(gained, lost, cases, Z95) == (-high, -low)


@given(tables())
def test_the_interval_holds_what_was_seen_and_is_never_empty(table):
    lost, gained, cases = table
    low, high = tango.interval(lost, gained, cases, Z95)
    assert -1 <= low <= (gained - lost) / cases <= high <= 1
    assert high - low > 1e-4


def test_at_each_bound_the_score_is_the_quantile():
    low, high = tango.interval(7, 3, 60, Z95)
    assert tango.score(7, 3, 60, low) == pytest.approx(Z95, abs=1e-9)
    assert tango.score(7, 3, 60, high) == pytest.approx(-Z95, abs=1e-9)
