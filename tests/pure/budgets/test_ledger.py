"""What is added up: exactly, only what is the budget's, nothing for free."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa

from watchkeeper.budgets.ledger import ledger_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ZONE = ZoneInfo("UTC")


def facts(*rows):
    """Rows of (hours before NOW, nano-dollars or None, unpriced calls, source)."""
    return pa.table(
        {
            "started_at": pa.array([NOW - timedelta(hours=h) for h, *_ in rows], pa.timestamp("us", tz="UTC")),
            "source": pa.array([source for *_, source in rows], pa.string()),
            "cost_nano_usd": pa.array([nano for _, nano, _, _ in rows], pa.int64()),
            "unpriced": pa.array([count for _, _, count, _ in rows], pa.int64()),
        }
    )


def ledger(*rows, **options):
    return ledger_of(facts(*rows), now=NOW, zone=ZONE, **options)


def test_money_is_exact_where_floats_are_not():
    big = 9_007_199_254_740_993  # 2**53 + 1
    held = ledger((2, big, 0, None), (2, 1, 0, None), (1, 3, 0, None))
    assert held.since(NOW - timedelta(hours=3), "nano") == big + 4


def test_the_window_holds_its_first_step_and_nothing_before():
    held = ledger((3, 10, 0, None), (2, 5, 0, None))
    assert held.since(NOW - timedelta(hours=3), "nano") == 15
    assert held.since(NOW - timedelta(hours=2, minutes=55), "nano") == 5


def test_what_has_no_cost_is_counted_and_is_not_zero():
    held = ledger((1, None, 2, None), (1, 7, 1, None), (1, 8, 0, None), (1, None, 0, None))
    assert held.since(NOW - timedelta(hours=2), "unpriced") == 3
    assert held.since(NOW - timedelta(hours=2), "rows") == 4
    # Money per request is of requests whose whole cost is known.
    spending = held.spending(NOW - timedelta(hours=2), NOW)
    assert (spending.requests, spending.cost) == (1, 8e-9)


def test_each_spend_has_the_records_of_its_own_source():
    rows = [(1, 1, 0, None), (1, 2, 0, "production"), (1, 4, 0, "judge"), (1, 8, 0, "regression")]
    spent = {
        kind: ledger(*rows, spend=kind).since(NOW - timedelta(hours=2), "nano")
        for kind in ("llm", "judge", "regression")
    }
    assert spent == {"llm": 3, "judge": 4, "regression": 8}


def test_calls_without_a_cost_are_unpriced():
    calls = facts((1, None, 0, None), (1, 5, 0, None)).drop_columns(["unpriced"])
    held = ledger_of(calls, now=NOW, zone=ZONE)
    assert (held.since(NOW - timedelta(hours=2), "unpriced"), held.since(NOW - timedelta(hours=2), "nano")) == (1, 5)


def test_nothing_recorded_is_an_empty_ledger():
    held = ledger()
    assert (held.since(NOW - timedelta(days=40), "nano"), held.since(NOW - timedelta(days=40), "rows")) == (0, 0)


def test_a_first_day_that_was_cut_short_is_not_learned_from_and_is_spent_all_the_same():
    held = ledger((24 + 2, 100, 0, None), (1, 7, 0, None))  # the first at 10:00 of the day before
    assert held.since(NOW - timedelta(days=2), "nano") == 107
    assert held.money().start == datetime(2026, 11, 24, tzinfo=ZONE)


def test_the_ledger_of_an_earlier_time_is_the_ledger_that_was():
    rows = [(5, 1, 0, None), (3, 2, 1, None), (1, 4, 0, None)]
    earlier = NOW - timedelta(hours=2)
    then = ledger_of(facts(*rows[:2]), now=earlier, zone=ZONE)
    now = ledger(*rows).upto(earlier)
    for name in ("nano", "rows", "unpriced", "priced", "paid", "squares"):
        assert getattr(now, name).tolist() == getattr(then, name).tolist()
