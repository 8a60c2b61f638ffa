"""The mean of all traffic from an unequal sample: known truth, by simulation and by closed forms."""

import numpy as np
import pytest

from watchkeeper.stats.proportions import wilson
from watchkeeper.stats.weighted import Scored, estimate


def sample(rng, *, n, edge_share, passes, rates, known=True, named=True, graded=False):
    """A window of `n` requests, those of two kinds that were sampled, and the true mean of the window."""
    edge = rng.random(n) < edge_share
    p = np.where(edge, passes[1], passes[0])
    values = rng.beta(3 * p, 3 * (1 - p)) if graded else (rng.random(n) < p).astype(float)
    inclusion = np.where(edge, rates[1], rates[0])
    taken = rng.random(n) < inclusion
    sizes = {True: int(edge.sum()), False: int(n - edge.sum())}
    rows = [
        Scored(
            value=float(v),
            inclusion=float(i),
            stratum=("edge" if e else "base") if named else None,
            population=sizes[bool(e)] if known else None,
        )
        for v, i, e in zip(values[taken], inclusion[taken], edge[taken], strict=True)
    ]
    return rows, float(values.mean())


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(("passes", "rates"), [((0.95, 0.5), (0.02, 0.2)), ((0.9, 0.3), (0.02, 0.6))])
def test_the_interval_covers_the_truth_where_edge_cases_are_sampled_ten_to_thirty_times_as_often(
    passes, rates, named, graded
):
    rng = np.random.default_rng(11)
    covered, off, naive = [], [], []
    for _ in range(500):
        rows, truth = sample(
            rng, n=4500, edge_share=0.05, passes=passes, rates=rates, known=named, named=named, graded=graded
        )
        found = estimate(rows)
        covered.append(found.interval[0] <= truth <= found.interval[1])
        off.append(found.mean - truth)
        naive.append(np.mean([row.value for row in rows]) - truth)
    assert 0.93 <= np.mean(covered) <= 0.98
    assert abs(np.mean(off)) < 0.005
    assert abs(np.mean(naive)) > 0.05


def test_one_stratum_sampled_at_one_rate_is_wilson():
    rows = [Scored(value=float(i < 70), inclusion=0.1, stratum="all", population=1000) for i in range(100)]
    found = estimate(rows)
    assert found.mean == pytest.approx(0.7)
    assert found.interval == pytest.approx(wilson(0.7, 99), abs=2e-3)  # n - 1: the spread is estimated
    assert found.effective_n == pytest.approx(100, rel=0.06)


def test_strata_count_by_what_they_stand_for_not_by_what_was_sampled():
    rows = [Scored(value=1.0, inclusion=0.1, stratum="base", population=900) for _ in range(90)]
    rows += [Scored(value=0.0, inclusion=1.0, stratum="edge", population=100) for _ in range(100)]
    assert estimate(rows).mean == pytest.approx(0.9)
    assert estimate([Scored(value=r.value, inclusion=r.inclusion) for r in rows]).mean == pytest.approx(0.9)


def test_a_missing_score_is_counted_and_never_a_zero():
    rows = [Scored(value=1.0, inclusion=0.5) for _ in range(40)] + [Scored(value=None, inclusion=0.5)] * 10
    found = estimate(rows)
    assert (found.mean, found.n, found.missing) == (1.0, 40, 10)


def test_nothing_scored_is_no_estimate():
    found = estimate([Scored(value=None, inclusion=0.5)])
    assert (found.mean, found.interval, found.effective_n, found.missing) == (None, None, None, 1)


def test_a_stratum_without_a_score_can_be_anything():
    rows = [Scored(value=1.0, inclusion=0.1, stratum="a", population=500) for _ in range(50)]
    rows.append(Scored(value=None, inclusion=0.1, stratum="b", population=500))
    low, high = estimate(rows).interval
    assert low < 0.5
    assert high == 1


def test_no_failure_seen_is_not_certainty():
    found = estimate([Scored(value=1.0, inclusion=0.02) for _ in range(50)])
    assert found.interval[0] < 0.95
    assert found.effective_n == pytest.approx(50)


def test_few_ordinary_answers_are_not_enough():
    few = [Scored(value=1.0, inclusion=0.02, stratum="base", population=5000) for _ in range(29)]
    many_edges = [Scored(value=0.0, inclusion=1.0, stratum="edge", population=200) for _ in range(200)]
    assert not estimate(few + many_edges).enough
    assert estimate(few + few[:1] + many_edges).enough


def test_a_window_that_was_scored_completely_is_known_exactly_if_the_window_is_the_target():
    rows = [Scored(value=float(i % 2), inclusion=1.0, stratum="all", population=10) for i in range(10)]
    assert estimate(rows, finite=True).interval == (0.5, 0.5)
    low, high = estimate(rows).interval
    assert low < 0.3
    assert high > 0.7


def test_rates_that_come_up_once_each_are_one_stratum_with_their_like():
    rng = np.random.default_rng(5)
    covered = []
    for _ in range(300):
        inclusion = rng.uniform(0.02, 0.03, 4000)
        values = (rng.random(4000) < 0.8).astype(float)
        taken = rng.random(4000) < inclusion
        rows = [Scored(value=v, inclusion=i) for v, i in zip(values[taken], inclusion[taken], strict=True)]
        low, high = estimate(rows).interval
        covered.append(low <= 0.8 <= high)
        assert high - low < 0.25
    assert 0.93 <= np.mean(covered) <= 0.98


@pytest.mark.parametrize(("populations", "problem"), [((10, 20), "has several"), ((1, 1), "fewer than its 2 rows")])
def test_populations_that_cannot_be_are_refused(populations, problem):
    rows = [Scored(value=1.0, inclusion=0.5, stratum="a", population=p) for p in populations]
    with pytest.raises(ValueError, match=problem):
        estimate(rows)
