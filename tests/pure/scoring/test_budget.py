"""The rate follows the money: it falls when the day is busier than it looked, and does not stop."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from watchkeeper.observability.request import hour_of
from watchkeeper.scoring.budget import (
    MIX,
    RESERVE,
    Demand,
    Traffic,
    affordable_rate,
    cost_at,
    day_of,
    forecast,
    spread_over,
)
from watchkeeper.scoring.sampling import LEAST
from watchkeeper.scoring.signals import multiples

WEIGHTS = multiples({})
MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
SHAPE = 1 + 0.8 * np.sin((np.arange(24) - 8) / 24 * 2 * np.pi)


def demand(requests: float, cost: float = 1.0) -> list[Demand]:
    return [Demand(requests=spread_over(requests, MIX), cost_nano_usd=cost)]


def test_with_money_enough_the_rate_is_the_target() -> None:
    assert affordable_rate(0.02, 1e9, demand(1000), WEIGHTS, reserve=RESERVE) == 0.02


def test_short_of_money_the_rate_is_the_highest_that_is_covered_with_the_reserve() -> None:
    left = 40.0
    rate = affordable_rate(0.2, left, demand(1000), WEIGHTS, reserve=RESERVE)
    assert LEAST < rate < 0.2
    assert RESERVE * cost_at(rate, demand(1000), WEIGHTS) == pytest.approx(left, rel=1e-6)


@pytest.mark.parametrize("left", [0.0, -5.0])
def test_with_no_money_left_the_rate_is_the_least_and_not_zero(left: float) -> None:
    assert affordable_rate(0.02, left, demand(1000), WEIGHTS, reserve=RESERVE) == LEAST


def test_what_costs_nothing_is_sampled_at_the_target() -> None:
    assert affordable_rate(0.02, 0.0, demand(1000, cost=0.0), WEIGHTS, reserve=RESERVE) == 0.02


def test_the_forecast_of_steady_traffic_is_the_traffic() -> None:
    now = MIDNIGHT + timedelta(hours=10, minutes=30)
    counts = np.tile(100 * SHAPE, 21)[: 20 * 24 + 11]
    traffic = Traffic(first=hour_of(MIDNIGHT - timedelta(days=20)), counts=counts)
    expected = 100 * (SHAPE[10] / 2 + SHAPE[11:].sum())
    assert forecast(traffic, now, MIDNIGHT + timedelta(days=1)) == pytest.approx(expected)


def test_a_day_twice_as_busy_so_far_counts_for_seven_tenths() -> None:
    now = MIDNIGHT + timedelta(hours=12)
    days = np.tile(100 * SHAPE, 20)
    traffic = Traffic(
        first=hour_of(MIDNIGHT - timedelta(days=20)), counts=np.concatenate([days, 200 * SHAPE[:12], [0.0]])
    )
    expected = (0.7 * 2 + 0.3 * 1) * 100 * SHAPE[12:].sum()
    assert forecast(traffic, now, MIDNIGHT + timedelta(days=1)) == pytest.approx(expected)


def test_the_first_hours_of_an_installation_forecast_their_own_mean() -> None:
    traffic = Traffic(first=hour_of(MIDNIGHT), counts=np.array([60.0, 60.0, 3.0]))
    now = MIDNIGHT + timedelta(hours=2)
    assert forecast(traffic, now, now + timedelta(hours=10)) == pytest.approx(600.0)


def test_without_traffic_there_is_no_forecast() -> None:
    assert forecast(Traffic(first=hour_of(MIDNIGHT), counts=np.zeros(5)), MIDNIGHT, MIDNIGHT) is None


def test_a_day_is_one_of_utc() -> None:
    assert day_of(MIDNIGHT + timedelta(hours=23)) == (MIDNIGHT, MIDNIGHT + timedelta(days=1))


def spent_on_a_day(rng: np.random.Generator, budget: float) -> float:
    """A day whose volume nobody could foresee, run every quarter of an hour; what it cost."""
    past = [rng.lognormal(0, 0.5) * 400 * SHAPE for _ in range(14)]
    today = rng.lognormal(0, 0.5) * 400 * SHAPE
    mix = np.array(spread_over(1.0, MIX))
    counts = list(rng.poisson(np.concatenate(past)).astype(float))
    first, spent, running = hour_of(MIDNIGHT - timedelta(days=14)), 0.0, 0.0
    for step in range(96):
        now = MIDNIGHT + timedelta(minutes=15 * step)
        traffic = Traffic(first=first, counts=np.array([*counts, running]))
        expected = forecast(traffic, now, MIDNIGHT + timedelta(days=1))
        assert expected is not None
        rate = affordable_rate(0.05, budget - spent, demand(expected), WEIGHTS, reserve=RESERVE)
        requests = rng.poisson(today[step // 4] / 4)
        running += requests
        spent += rng.poisson(requests * float(np.clip(rate * WEIGHTS, LEAST, 1) @ mix))
        if step % 4 == 3:
            counts.append(running)
            running = 0.0
    return spent / budget


def test_simulated_days_use_their_budget_and_hardly_overrun_it() -> None:
    """Volume of a day off by a lognormal of sd 0.5; the budget is a third of what the target would cost."""
    rng = np.random.default_rng(7)
    usual = 400 * 24 * float(np.clip(0.05 * WEIGHTS, LEAST, 1) @ np.array(spread_over(1.0, MIX)))
    shares = np.array([spent_on_a_day(rng, usual / 3) for _ in range(60)])
    overrun = np.maximum(shares - 1, 0)
    assert overrun.mean() < 0.005
    assert overrun.max() < 0.05
    assert shares.mean() > 0.93
