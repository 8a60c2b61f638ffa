"""Cost of a resolved job, and of a request: closed forms and simulated truth."""

import numpy as np
import pytest

from watchkeeper.stats.ratios import cost_per_resolution
from watchkeeper.stats.unit_cost import Spending, unit_cost


def test_what_was_not_resolved_is_paid_for_by_what_was():
    found = cost_per_resolution([1.0, 2.0, 3.0], [True, False, True])
    assert (found.value, found.total, found.units, found.got) == (3.0, 6.0, 3, 2)


def test_nothing_resolved_has_no_cost_per_resolution():
    found = cost_per_resolution([1.0, 2.0], [False, False])
    assert (found.value, found.interval, found.total) == (None, None, 3.0)


def test_a_few_jobs_have_no_interval():
    assert cost_per_resolution([1.0] * 4, [True] * 4).interval is None


@pytest.mark.parametrize(("jobs", "share"), [(60, 0.8), (300, 0.4)])
def test_the_interval_covers_the_true_cost_of_a_resolution(jobs, share):
    rng, covered = np.random.default_rng(71), []
    for _ in range(1000):
        resolved = rng.random(jobs) < share
        costs = rng.lognormal(-3, 0.9, jobs) * np.where(resolved, 1, 2)  # what fails was tried twice
        truth = np.exp(-3 + 0.9**2 / 2) * (share + 2 * (1 - share)) / share
        low, high = cost_per_resolution(costs, resolved).interval
        covered.append(low <= truth <= high)
    assert 0.91 <= np.mean(covered) <= 0.975


def day(rng, *, per_hour, price=1.0):
    drift = np.exp(rng.normal(0, 0.02))
    return [rng.lognormal(np.log(0.01), 0.8, rng.poisson(per_hour)) * price * drift for _ in range(24)]


def spending(hours):
    costs = np.concatenate(hours)
    return Spending(requests=costs.size, cost=float(costs.sum()), squares=float(costs @ costs))


def test_half_a_year_without_a_change_of_price_finds_none():
    rng = np.random.default_rng(72)
    days = [day(rng, per_hour=200) for _ in range(210)]
    sums, hours = [spending(each) for each in days], [hour for each in days for hour in each]
    risen = [
        unit_cost(spending(hours[at - 5 : at + 1]), sums[at // 24 - 28 : at // 24]).risen
        for at in range(28 * 24, 210 * 24, 2)
    ]
    assert not any(risen)


def test_a_third_more_for_a_request_is_seen_within_eighteen_hours():
    rng, delays = np.random.default_rng(73), []
    for _ in range(40):
        before = [day(rng, per_hour=200) for _ in range(28)]
        hours = [*before[-1], *day(rng, per_hour=200, price=1.3)]
        sums = [spending(each) for each in before]
        seen = (n + 1 for n in range(24) if unit_cost(spending(hours[24 + n - 5 : 24 + n + 1]), sums).risen)
        delays.append(next(seen, 99))
    assert np.quantile(delays, 0.9) <= 18


@pytest.mark.parametrize("days", [[], [Spending(requests=10, cost=1.0, squares=0.1)] * 6])
def test_less_than_a_week_compares_with_nothing(days):
    assert unit_cost(Spending(requests=10, cost=1.0, squares=0.1), days) is None
