"""Two windows of latencies: bursts, heavy tails, known changes."""

import numpy as np
import pytest

from watchkeeper.stats.latency import Window, compare_latency


def traffic(rng, *, hours, per_hour, level=1.0, bursts=0.15):
    """Lognormal latencies with a level that wanders (five-minute steps) and rare stalls."""
    at, ms, wander = [], [], 0.0
    for step in range(int(hours * 12)):
        wander = 0.9 * wander + bursts * (1 - 0.9**2) ** 0.5 * rng.normal()
        n = rng.poisson(per_hour / 12)
        at += list(step * 300 + rng.random(n) * 300)
        slow = np.where(rng.random(n) < 0.02, rng.exponential(3, n), 0)
        ms += list(800 * level * np.exp(wander + 0.4 * rng.normal(size=n)) * (1 + slow))
    return Window(at=at, latency_ms=ms)


def verdicts(rng, runs, *, hours, per_hour, level):
    return [
        compare_latency(
            traffic(rng, hours=hours, per_hour=per_hour), traffic(rng, hours=hours, per_hour=per_hour, level=level)
        ).verdict
        for _ in range(runs)
    ]


@pytest.mark.parametrize(("hours", "per_hour"), [(24, 30), (24, 200), (6, 200)])
def test_bursty_traffic_without_a_change_is_hardly_ever_called_slower(hours, per_hour):
    found = verdicts(np.random.default_rng(41), 200, hours=hours, per_hour=per_hour, level=1.0)
    assert found.count("regressed") <= 4


def test_a_day_without_a_change_is_unchanged_and_a_doubling_is_seen():
    rng = np.random.default_rng(42)
    assert verdicts(rng, 60, hours=24, per_hour=200, level=1.0).count("unchanged") >= 50
    assert verdicts(rng, 60, hours=24, per_hour=200, level=2.0).count("regressed") == 60
    assert verdicts(rng, 60, hours=24, per_hour=200, level=1.05).count("regressed") <= 1


def test_becoming_faster_is_unchanged():
    assert verdicts(np.random.default_rng(43), 20, hours=24, per_hour=200, level=0.6) == ["unchanged"] * 20


def test_the_interval_covers_the_true_ratio():
    rng, covered = np.random.default_rng(44), {"p50": [], "p95": []}
    for _ in range(300):
        found = compare_latency(traffic(rng, hours=24, per_hour=100), traffic(rng, hours=24, per_hour=100, level=1.4))
        for name in covered:
            low, high = getattr(found, name).interval
            covered[name].append(low <= 1.4 <= high)
    assert 0.9 <= np.mean(covered["p50"]) <= 0.99
    assert 0.92 <= np.mean(covered["p95"]) <= 0.995


def test_a_tail_that_grows_alone_is_seen():
    rng = np.random.default_rng(45)
    before = traffic(rng, hours=24, per_hour=200)
    after = traffic(rng, hours=24, per_hour=200)
    stalled = [ms * 4 if rng.random() < 0.08 else ms for ms in after.latency_ms]
    found = compare_latency(before, Window(at=after.at, latency_ms=stalled))
    assert found.verdict == "regressed"
    assert found.p50.ratio < 1.1
    assert found.p95.ratio > 1.2


def test_the_figures_are_those_of_the_rows():
    before = Window(at=range(0, 100_000, 100), latency_ms=range(1, 1001))
    after = Window(at=range(0, 100_000, 100), latency_ms=[2 * ms for ms in range(1, 1001)])
    found = compare_latency(before, after)
    assert (found.p50.before, found.p50.after, found.p50.ratio) == (500.5, 1001.0, 2.0)
    assert found.p95.ratio == pytest.approx(2.0)


@pytest.mark.parametrize("empty", ["before", "after"])
def test_a_window_without_rows_decides_nothing(empty):
    some, none = Window(at=[0.0, 60.0], latency_ms=[100.0, 120.0]), Window(at=[], latency_ms=[])
    found = compare_latency(*((none, some) if empty == "before" else (some, none)))
    assert found.verdict == "inconclusive"
    assert found.p95.ratio is None


def test_a_few_rows_bound_nothing():
    some = Window(at=[60.0 * n for n in range(8)], latency_ms=[100.0 + n for n in range(8)])
    found = compare_latency(some, some)
    assert found.p95.interval == (None, None)
    assert found.verdict == "inconclusive"
