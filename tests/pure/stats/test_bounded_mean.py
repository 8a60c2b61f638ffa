"""The bound without a shape: it equals the exact tests where those exist."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from watchkeeper.stats.bounded_mean import share_reaching, upper_bound

samples = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60).map(np.array)


@pytest.mark.parametrize("cases", [1, 2, 7, 59, 1000])
def test_equal_values_give_the_smallest_p_any_valid_test_can(cases):
    assert share_reaching(np.full(cases, -0.04), 0.0) == pytest.approx(1.04**-cases, rel=1e-9)


@pytest.mark.parametrize(("lost", "gained"), [(3, 0), (7, 2), (30, 31), (400, 350)])
def test_full_losses_and_gains_give_the_exact_mcnemar_test(lost, gained):
    values = np.repeat([-1.0, 0.0, 1.0], [lost, 25, gained])
    exact = binomtest(lost, lost + gained, 0.5, alternative="greater").pvalue
    assert share_reaching(values, 0.0) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(("ones", "cases"), [(0, 40), (3, 20), (19, 20), (120, 500)])
def test_zeros_and_ones_give_the_clopper_pearson_bound(ones, cases):
    values = np.repeat([1.0, 0.0], [ones, cases - ones])
    assert upper_bound(values, 0.025) == pytest.approx(beta.isf(0.025, ones + 1, cases - ones), abs=1e-6)


def test_the_share_is_that_of_random_weightings():
    rng = np.random.default_rng(4)
    values = rng.uniform(-0.8, 0.6, 12)
    weights = rng.dirichlet(np.ones(13), size=200_000)
    drawn = weights @ np.append(values, 1.0)
    assert share_reaching(values, 0.05) == pytest.approx((drawn >= 0.05).mean(), abs=0.004)


@settings(max_examples=60)
@given(samples, st.sampled_from([0.025, 0.05]))
def test_the_bound_is_reached_by_the_share_asked_for(values, alpha):
    bound = upper_bound(values, alpha)
    assert values.mean() - 1e-9 <= bound <= 1
    if bound < 1:
        assert share_reaching(values, bound) == pytest.approx(alpha, rel=1e-3)


@settings(max_examples=60)
@given(samples, st.integers(0, 59), st.floats(0.01, 1))
def test_a_larger_loss_in_one_case_is_never_less_evidence(values, place, loss):
    worse = values.copy()
    worse[place % values.size] = max(-1.0, worse[place % values.size] - loss)
    assert share_reaching(worse, 0.0) <= share_reaching(values, 0.0) + 1e-9
