"""A stream of latencies against its own past: the distribution, the rule, simulated months."""

import numpy as np
import pytest
from scipy import stats

from watchkeeper.stats.slowness import FLOOR, Hour, beta_binomial_tail, burstiness, is_alarm, slower


@pytest.mark.parametrize(("n", "a", "b"), [(10, 0.5, 9.5), (200, 2.45, 46.5), (5000, 5.0, 95.0)])
def test_the_tail_is_the_librarys(n, a, b):
    expected = stats.betabinom(n, a, b)
    for least in (0, 1, n // 10, n // 3, n, n + 1):
        tail = np.exp(expected.logpmf(np.arange(least, n + 1))).sum()  # sf is 1 - cdf: nothing is left of it out there
        assert beta_binomial_tail(least, n, a, b) == pytest.approx(tail, rel=1e-6, abs=1e-300)


def test_independent_requests_are_not_bursty_and_stalls_are():
    rng = np.random.default_rng(61)
    calm = [Hour(requests=200, slow=int(x)) for x in rng.binomial(200, 0.05, 336)]
    stalls = [Hour(requests=200, slow=int(x)) for x in rng.binomial(200, rng.beta(1, 19, 336))]
    assert burstiness(calm) < 0.005
    assert burstiness(stalls) == pytest.approx(1 / 21, rel=0.35)


def test_few_requests_reach_back_for_a_hundred_and_no_further_than_a_day():
    bad = Hour(requests=10, slow=10)
    calm = Hour(requests=10, slow=0)
    assert slower([bad] * 10 + [calm] * 20, 0.01) == slower([bad] * 10, 0.01)
    sparse = Hour(requests=1, slow=1)
    assert slower([sparse] * 40, 0.01) == slower([sparse] * 24, 0.01)


def test_no_requests_are_no_evidence():
    assert slower([Hour(requests=0, slow=0)] * 5, 0.01) is None
    assert not is_alarm(None, 1e-9)


@pytest.mark.parametrize(
    ("now", "before", "alarm"),
    [(1e-6, None, True), (5e-4, 5e-4, True), (5e-4, None, False), (5e-4, 0.2, False), (0.2, 1e-9, False)],
)
def test_one_certain_check_or_two_likely_ones_running_are_an_alarm(now, before, alarm):
    assert is_alarm(now, before) is alarm


def test_many_streams_need_more_evidence_each():
    assert is_alarm(5e-6, None, streams=50)
    assert not is_alarm(5e-6, None, streams=500)
    assert is_alarm(5e-7, None, streams=500)
    assert is_alarm(5e-4, 5e-4, streams=50)
    assert not is_alarm(5e-4, 5e-4, streams=500)
    assert is_alarm(5e-6, None, streams=1)  # and few need no less


def latencies(rng, hours, per_hour):
    """Hour of each request and its milliseconds: a level that wanders, a day's rhythm, rare stalls."""
    steps = hours * 12
    shocks = 0.15 * (1 - 0.9**2) ** 0.5 * rng.normal(size=steps)
    level = np.zeros(steps)
    for step in range(1, steps):
        level[step] = 0.9 * level[step - 1] + shocks[step]
    level += 0.1 * np.sin(np.arange(steps) / 288 * 2 * np.pi)
    counts = rng.poisson(per_hour / 12 * rng.gamma(4, 1 / 4, steps))
    ms = np.exp(6.5 + np.repeat(level, counts) + 0.4 * rng.normal(size=counts.sum()))
    stalled = rng.random(ms.size) < 0.02
    ms[stalled] *= 1 + rng.exponential(3, stalled.sum())
    return np.repeat(np.arange(steps) // 12, counts), ms


def alarms(rng, *, days, per_hour, factor=1.0, onset=None):
    """Hours at which an alarm began, watched hour by hour against the 14 days that ended a day before."""
    hour, ms = latencies(rng, days * 24, per_hour)
    if onset is not None:
        ms = np.where(hour >= onset, ms * factor, ms)
    begins = np.searchsorted(hour, np.arange(days * 24 + 1))
    found, before, last, limit = [], None, -99, 0.0
    for now in range(15 * 24, days * 24):
        if (now % 24 == 0 or not limit) and (onset is None or now <= onset):  # kept as it was in an incident
            first, until = begins[now - 15 * 24], begins[now - 24]
            limit = float(np.quantile(ms[first:until], 0.95))
            above = np.add.reduceat((ms[first:until] > limit).astype(int), begins[now - 15 * 24 : now - 24] - first)
            sizes = np.diff(begins[now - 15 * 24 : now - 23])
            spread = burstiness([Hour(requests=int(n), slow=int(x)) for n, x in zip(sizes, above, strict=True)])
        recent = [ms[begins[now - ago] : begins[now - ago + 1]] for ago in range(24)]
        p = slower([Hour(requests=some.size, slow=int((some > FLOOR * limit).sum())) for some in recent], spread)
        if is_alarm(p, before):
            if now - last > 6:
                found.append(now)
            last = now
        before = p
    return found


def test_two_hundred_days_without_a_change_raise_no_alarm():
    assert alarms(np.random.default_rng(62), days=215, per_hour=200) == []


def test_doubled_latencies_are_seen_within_four_hours():
    rng, delays = np.random.default_rng(63), []
    for _ in range(15):
        onset = 17 * 24 + int(rng.integers(24))
        seen = [hour for hour in alarms(rng, days=20, per_hour=200, factor=2.0, onset=onset) if hour >= onset]
        delays.append(seen[0] - onset + 1 if seen else 99)
    assert np.median(delays) <= 4
