"""A budget through the whole check: simulated spend with known truth, thresholds, what is remembered and said."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from benchmarks.alert_simulation import (
    LEARNED,
    forecast_coverage,
    spend_delays,
    spend_facts,
    spend_incidents,
)

from watchkeeper.budgets.assessment import assess
from watchkeeper.budgets.behind import COLUMNS, behind
from watchkeeper.budgets.budget import Budget
from watchkeeper.budgets.ledger import ledger_of
from watchkeeper.budgets.memory import HOLD, Memory, remembered
from watchkeeper.budgets.words import findings, state_line, threshold_notice

ZONE = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 9, 16, 10, tzinfo=UTC)  # noon in Berlin, a Wednesday


def test_a_quarter_of_seasonal_spend_without_a_change_raises_at_most_one_incident():
    facts = spend_facts(np.random.default_rng(21), days=LEARNED + 91)
    assert len(spend_incidents(facts, LEARNED, LEARNED + 91)) <= 1


def test_three_times_the_requests_are_seen_within_about_an_hour():
    delays = spend_delays(np.random.default_rng(22), runs=8, onsets=(9, 11, 13, 15, 17, 19, 21, 7), volume=3, days=1)
    assert np.median(delays) <= 1.1


def test_a_request_that_costs_30_percent_more_is_seen_within_18_hours():
    delays = spend_delays(np.random.default_rng(23), runs=8, onsets=(9, 15, 21, 3), unit=1.3)
    assert np.quantile(delays, 0.9) <= 18


def test_the_forecasts_interval_holds_the_truth_as_often_as_it_says():
    covered = [
        held
        for seed in range(4)
        for held in forecast_coverage(spend_facts(np.random.default_rng(seed), days=250, per_hour=60), LEARNED, 250)
    ]
    assert 0.85 <= np.mean(covered) <= 0.96


def steady(*, per_day=10.0, days=42, now=NOW, today=1.0, unpriced=0, limit=1000, **changes):
    """Even spend in steps of five minutes, assessed."""
    budget = Budget(**{"name": "all", "period": "month", "limit_nano_usd": limit * 10**9, "zone": ZONE, **changes})
    midnight = now.astimezone(ZONE).replace(hour=0, minute=0)
    count = int(days * 288 + (now - midnight).total_seconds() // 300)
    at = [now - timedelta(minutes=5 * (n + 1)) for n in range(count)]
    nano = [round(per_day / 288 * 1e9 * (today if when >= midnight else 1)) for when in at]
    table = pa.table(
        {
            "started_at": pa.array(at, pa.timestamp("us", tz="UTC")),
            "source": pa.nulls(count, pa.string()),
            "cost_nano_usd": pa.array(nano, pa.int64()),
            "unpriced": pa.array([1 if n < unpriced else 0 for n in range(count)], pa.int64()),
        }
    )
    return assess(budget, ledger_of(table, now=now, zone=ZONE))


def checked(seen, memory=None):
    memory, news = remembered(memory or Memory(), seen)
    return memory, news, {each.kind: each for each in findings(seen, memory, {})}


def test_even_spend_below_the_limit_is_no_finding():
    seen = steady()
    assert seen.spent_nano_usd == pytest.approx(155e9, rel=1e-6)
    assert checked(seen)[2] == {}


def test_spend_that_cannot_end_below_the_limit_says_on_which_day_it_does():
    memory, news, found = checked(steady(per_day=50))
    assert (list(memory.held), news) == (["forecast"], (0.5,))
    assert found["budget-burn"].severity == "warning"
    assert found["budget-burn"].summary == ("Budget all: $775.00 of $1000.00 a month spent. It ends on the 21st.")


def test_a_limit_that_was_raised_out_of_reach_ends_the_forecasts_finding_at_once():
    memory, _, found = checked(steady(per_day=50))
    assert set(found) == {"budget-burn"}
    assert checked(steady(per_day=50, limit=10_000), memory)[2] == {}


def test_a_forecast_that_may_or_may_not_reach_the_limit_is_no_finding():
    facts = spend_facts(np.random.default_rng(1), days=70, per_hour=60, between_days=0.3)
    ledger = ledger_of(facts, now=datetime(2025, 3, 10, tzinfo=UTC), zone=ZoneInfo("UTC"))
    monthly = Budget(name="all", period="month", limit_nano_usd=10**15, zone=ZoneInfo("UTC"))
    low, high = assess(monthly, ledger).forecast.interval
    for limit, rules in ((low * 0.99, {"forecast"}), ((low + high) / 2, set()), (high * 1.01, set())):
        seen = assess(replace(monthly, limit_nano_usd=round(limit * 1e9)), ledger)
        assert seen.rules & {"forecast"} == rules


def test_a_limit_of_the_period_before_is_over_with_it():
    last_of_month = datetime(2026, 9, 30, 21, 50, tzinfo=UTC)  # ten minutes before midnight in Berlin
    memory, _, found = checked(steady(per_day=100, now=last_of_month))
    assert list(found) == ["budget-burn"]
    assert checked(steady(per_day=1, now=last_of_month + timedelta(minutes=20)), memory)[2] == {}


def test_a_limit_that_is_reached_is_an_error():
    _, news, found = checked(steady(per_day=100))
    assert news == (0.5, 0.8, 1.0)
    assert found["budget-burn"].severity == "error"
    assert "$1550.00 of $1000.00 a month spent: the limit is reached." in found["budget-burn"].summary


def test_four_times_the_usual_today_is_a_spike_though_the_month_would_hold():
    _, _, found = checked(steady(today=4.0))
    assert list(found) == ["cost-spike"]
    assert found["cost-spike"].subject == {"budget": "all"}
    assert "$5.00 in the last 3 h, 4.0 times the usual $1.25." in found["cost-spike"].summary


def test_cents_never_alarm():
    cents = {"per_day": 0.1, "today": 4.0}
    assert "cost-spike" in checked(steady(**cents, least_nano_usd=0))[2]
    assert checked(steady(**cents, least_nano_usd=500_000_000))[2] == {}


def test_calls_without_a_price_are_said_beside_the_figure():
    seen = steady(per_day=100, unpriced=12)
    assert "12 calls have no cost and are not in it." in checked(seen)[2]["budget-burn"].summary
    assert "12 calls have no cost" in state_line(seen, "exceeded")


def test_a_threshold_is_told_once_a_period_and_again_in_the_next():
    memory, news, _ = checked(steady(per_day=50))
    assert news == (0.5,)
    later = steady(per_day=50, now=NOW + timedelta(hours=1))
    assert checked(later, memory)[1] == ()
    next_month = steady(per_day=50, now=NOW + timedelta(days=29))  # 15 October, also past the half
    assert checked(next_month, memory)[1] == (0.5,)
    key, text = threshold_notice(later, 0.5)
    assert key == "budget:all:2026-08-31T22:00:00.000Z:0.5"
    assert text.startswith("Budget all: 50% of $1000.00 a month is reached: $777.08 spent.")


def test_a_rolling_threshold_is_told_again_only_after_the_spend_was_well_below_it():
    rolling = {"period": timedelta(hours=24), "limit": 100, "per_day": 10}
    above, just_below, below = (replace(steady(**rolling), spent_nano_usd=spent * 10**9) for spent in (51, 47, 40))
    memory, news, _ = checked(above)
    assert news == (0.5,)
    memory, _, _ = checked(just_below, memory)
    assert checked(above, memory)[1] == ()
    memory, _, _ = checked(below, memory)
    assert checked(above, memory)[1] == (0.5,)


def test_a_spike_is_over_when_spending_was_ordinary_for_six_hours():
    memory, _, _ = checked(steady(today=4.0))
    ordinary = steady()
    almost, over = (replace(ordinary, at=NOW + HOLD + timedelta(minutes=m)) for m in (-1, 0))
    assert "over when it has not been for 6 h" in checked(almost, memory)[2]["cost-spike"].summary
    assert checked(over, memory)[2] == {}


def test_days_of_history_are_too_few_to_call_anything_unusual():
    seen = steady(days=1, today=4.0)
    assert (seen.money, seen.unit, seen.rules) == (None, None, frozenset())


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2026-03-30", "2026-10-26"])
def test_a_clock_change_is_no_spike(day):
    noon = datetime.fromisoformat(day).replace(hour=12, tzinfo=ZONE).astimezone(UTC)
    assert checked(steady(now=noon, limit=100_000))[2] == {}


def calls(*rows):
    """Rows of (route, model, segment, nano-dollars, output tokens)."""
    values = {name: [None] * len(rows) for name in COLUMNS}
    values["route"], values["model"], values["segment"], values["cost_nano_usd"], values["tokens_output"] = (
        map(list, zip(*rows, strict=True)) if rows else ([], [], [], [], [])
    )
    return pa.table({name: pa.array(column) for name, column in values.items()})


def test_the_message_says_who_spent_more_and_what_changed():
    before = calls(*[("answers", "m", "free", 10**9, 100)] * 4, *[("search", "m", "paid", 10**9, 100)] * 2)
    now = calls(*[("answers", "m", "free", 2 * 10**9, 200)] * 4, *[("search", "m", "paid", 10**9, 100)] * 2)
    reason = behind(now, before, hours=3, spend="llm")
    assert [part.name for part in reason.top["route"]] == ["answers"]  # search spent no more than before
    assert reason.change.change == 4 * 10**9
    assert sum(reason.change.parts.values()) == 4 * 10**9
    seen = steady(today=4.0)
    memory, _ = remembered(Memory(), seen)
    [spike] = findings(seen, memory, {3: reason})
    assert (
        "In the last 3 h, above the week before: route answers +$4.00, model m +$4.00, segment free +$4.00."
        in spike.summary
    )
    assert "Against the same hours a week before +$4.00: tokens a request +$4.00." in spike.summary
    assert spike.evidence["parts_usd"]["tokens"] == 4


def test_without_a_week_before_the_change_is_not_explained_and_the_spenders_are():
    reason = behind(calls(("answers", "m", None, 10**9, 1)), calls(), hours=3, spend="llm")
    assert reason.change is None
    assert [part.name for part in reason.top["route"]] == ["answers"]
