"""Intervals of shares against a trusted library and against closed forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from watchkeeper.stats.proportions import Part, exact_high, exact_low, weighted_sum, wilson

counts = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts)
def test_wilson_is_the_librarys(found):
    successes, n = found
    expected = proportion_confint(successes, n, method="wilson")
    assert wilson(successes / n, n) == pytest.approx(expected, abs=1e-9)


@given(counts)
def test_clopper_pearson_is_the_librarys(found):
    successes, n = found
    expected = proportion_confint(successes, n, method="beta")
    assert (exact_low(successes, n, 0.025), exact_high(successes, n, 0.025)) == pytest.approx(expected, abs=1e-9)


@given(counts)
def test_no_interval_has_width_zero(found):
    successes, n = found
    low, high = wilson(successes / n, n)
    assert low <= successes / n <= high
    assert high - low > 0


def test_an_empty_sample_says_nothing():
    assert wilson(0.5, 0) == (0, 1)


def test_square_and_add_of_one_part_is_that_part():
    share, interval = weighted_sum([Part(weight=1, share=0.2, low=0.1, high=0.4)])
    assert (share, *interval) == pytest.approx((0.2, 0.1, 0.4))


def test_square_and_add_of_two_parts_is_newcombes():
    parts = [Part(weight=0.5, share=0.2, low=0.1, high=0.4), Part(weight=0.5, share=0.6, low=0.5, high=0.8)]
    share, interval = weighted_sum(parts)
    assert share == pytest.approx(0.4)
    assert interval == pytest.approx((0.4 - 0.05 * 2**0.5, 0.4 + 0.1 * 2**0.5))
