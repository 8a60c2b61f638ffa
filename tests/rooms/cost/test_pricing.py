"""Stored calls get their cost once, and again on request, on both engines."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from watchkeeper.cost import service
from watchkeeper.cost.prices import PriceList
from watchkeeper.cost.rates import Override, Rates
from watchkeeper.database.engine import Store
from watchkeeper.observability import service as records
from watchkeeper.observability.request import Call, Request, Tokens

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MILLION = Tokens(input=1_000_000, output=0)


def call(number: int, model: str = "gpt-4o", *, tokens: Tokens = MILLION, **changes: object) -> Call:
    made = Call(span_id=f"{number:016x}", provider="openai", model_served=model, tokens=tokens)
    return replace(made, **changes)  # type: ignore[arg-type]


def request(number: int, calls: Sequence[Call], *, at: datetime = NOW - timedelta(hours=1)) -> Request:
    return Request(trace_id=f"{number:032x}", span_id=f"{number:016x}", started_at=at, route="r", calls=calls)


def prices(rate: str = "2", *, since: datetime = NOW - timedelta(days=30), model: str = "gpt-4o") -> PriceList:
    rates = Rates(input=Decimal(rate), output=Decimal(rate))
    return PriceList(overrides=[Override(provider="openai", model=model, effective_from=since, rates=rates)])


def totals(store: Store, number: int) -> tuple[int | None, int]:
    with store.read() as session:
        query = sa.text("SELECT cost_nano_usd, unpriced FROM requests WHERE trace_id = :t")
        row = session.connection().execute(query, {"t": f"{number:032x}"}).one()
    return row[0], row[1]


def reasons(store: Store) -> list[tuple[str | None, str | None, int]]:
    return [(group.model, group.reason, group.calls) for group in service.unpriced_groups(store)]


def test_calls_get_a_cost_or_a_reason_and_requests_their_totals(store: Store) -> None:
    wrong = call(6, tokens=Tokens(cache_read=20, output=1), flags=["usage.input"])
    calls = [call(1), call(2), call(3, "no-such"), call(4, tokens=Tokens()), wrong]
    records.import_requests(store, [request(1, calls), request(2, [call(7)])])
    done = service.price_calls(store, PriceList(), now=NOW)
    assert (done.priced, done.unpriced) == (3, 3)
    assert totals(store, 1) == (5_000_000_000, 3)
    assert totals(store, 2) == (2_500_000_000, 0)
    assert sorted(reasons(store), key=str) == [
        ("gpt-4o", "no_usage", 1), ("gpt-4o", "suspect", 1), ("no-such", "unknown_model", 1)
    ]  # fmt: skip
    stored = records.request(store, f"{1:032x}")
    assert [each.cost_nano_usd for each in stored.calls] == [2_500_000_000, 2_500_000_000, None, None, None]


def test_pricing_again_changes_nothing_and_looks_at_nothing_twice(store: Store) -> None:
    records.import_requests(store, [request(1, [call(1), call(2, "no-such")])])
    service.price_calls(store, PriceList(), now=NOW)
    again = service.price_calls(store, PriceList(), now=NOW)
    assert (again.priced, again.unpriced) == (0, 0)
    assert totals(store, 1) == (2_500_000_000, 1)


def test_a_new_override_prices_what_had_a_reason(store: Store) -> None:
    records.import_requests(store, [request(1, [call(1, "own-model")])])
    service.price_calls(store, PriceList(), now=NOW)
    assert service.price_calls(store, prices(model="own-*"), now=NOW).priced == 1
    assert totals(store, 1) == (2_000_000_000, 0)
    assert reasons(store) == []


def test_a_call_whose_tokens_came_later_is_looked_at_again(store: Store) -> None:
    records.import_requests(store, [request(1, [call(1, tokens=Tokens())])])
    assert service.price_calls(store, PriceList(), now=NOW).unpriced == 1
    records.import_requests(store, [request(1, [call(1)])])
    assert service.price_calls(store, PriceList(), now=NOW).priced == 1


def test_a_cost_that_came_with_the_record_stays(store: Store) -> None:
    records.import_requests(store, [request(1, [call(1, cost_nano_usd=7), call(2)])])
    service.price_calls(store, PriceList(), now=NOW)
    assert totals(store, 1) == (2_500_000_007, 0)
    service.reprice(store, prices("1"), NOW - timedelta(days=1), why="test", now=NOW)
    assert totals(store, 1) == (1_000_000_007, 0)


def test_the_price_is_that_of_the_day_of_the_call(store: Store) -> None:
    old = request(1, [call(1, "o3")], at=datetime(2025, 5, 1, tzinfo=UTC))
    records.import_requests(store, [old, request(2, [call(2, "o3")])])
    service.price_calls(store, PriceList(), now=NOW)
    assert (totals(store, 1)[0], totals(store, 2)[0]) == (10_000_000_000, 2_000_000_000)


def test_only_calls_since_a_time_are_priced_in_as_many_batches_as_it_takes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_TOGETHER", 3)
    made = [request(n, [call(n), call(1000 + n, "no-such")], at=NOW - timedelta(minutes=n // 2)) for n in range(1, 12)]
    records.import_requests(store, made)
    done = service.price_calls(store, PriceList(), NOW - timedelta(minutes=3), now=NOW)
    assert (done.priced, done.unpriced) == (7, 7)
    assert service.price_calls(store, PriceList(), now=NOW).priced == 4
    assert all(totals(store, n) == (2_500_000_000, 1) for n in range(1, 12))


def test_reckoning_again_keeps_the_old_figure_and_says_the_totals(store: Store) -> None:
    records.import_requests(store, [request(1, [call(1), call(2, "gpt-5")]), request(2, [call(3)])])
    service.price_calls(store, PriceList(), now=NOW)
    since = NOW - timedelta(days=1)
    said = service.reprice(store, prices("2"), since, why="contract", now=NOW, dry_run=True)
    assert totals(store, 1)[0] == 3_750_000_000
    done = service.reprice(store, prices("2"), since, why="contract", now=NOW)
    assert said == done
    assert [(m.model, m.changed, m.old_nano_usd, m.new_nano_usd) for m in done.models] == [
        ("gpt-4o", 2, 5_000_000_000, 4_000_000_000), ("gpt-5", 0, 1_250_000_000, 1_250_000_000)
    ]  # fmt: skip
    assert totals(store, 1) == (3_250_000_000, 0)
    [change] = service.changes_of(store, f"{1:032x}")
    assert (change["old_cost_nano_usd"], change["new_cost_nano_usd"], change["why"]) == (
        2_500_000_000, 2_000_000_000, "contract"
    )  # fmt: skip
    assert service.reprice(store, prices("2"), since, why="again", now=NOW).changed == 0


def test_a_call_whose_price_is_not_known_any_more_keeps_its_figure(store: Store) -> None:
    records.import_requests(store, [request(1, [call(1, "own")])])
    service.price_calls(store, prices(model="own"), now=NOW)
    done = service.reprice(store, PriceList(), NOW - timedelta(days=1), why="test", now=NOW)
    assert [(m.unknown, m.changed) for m in done.models] == [(1, 0)]
    assert totals(store, 1) == (2_000_000_000, 0)


def test_reckoning_again_ends_where_it_is_told(store: Store) -> None:
    records.import_requests(store, [request(n, [call(n)], at=NOW - timedelta(hours=n)) for n in (1, 2, 3)])
    service.price_calls(store, PriceList(), now=NOW)
    service.reprice(store, prices("1"), NOW - timedelta(hours=2), NOW - timedelta(hours=1), why="test", now=NOW)
    assert [totals(store, n)[0] for n in (1, 2, 3)] == [2_500_000_000, 1_000_000_000, 2_500_000_000]


def test_reasons_of_calls_that_are_gone_are_forgotten(store: Store) -> None:
    records.import_requests(store, [request(1, [call(1, "no-such"), call(2, "no-such")])])
    service.price_calls(store, PriceList(), now=NOW)
    records.import_requests(store, [request(1, [call(1, "no-such")])])
    service.tidy(store)
    with store.read() as session:
        left = session.connection().execute(sa.text("SELECT span_id FROM unpriced_calls")).scalars().all()
    assert left == [f"{1:016x}"]


def test_pricers_and_writers_at_once_leave_right_totals(store: Store) -> None:
    made = [request(n, [call(n), call(1000 + n), call(2000 + n, "no-such")]) for n in range(1, 120)]
    records.import_requests(store, made)
    problems: list[Exception] = []

    def repeatedly(work: Callable[[], object]) -> None:
        try:
            for _ in range(4):
                work()
        except Exception as problem:
            problems.append(problem)

    works: list[Callable[[], object]] = [
        lambda: service.price_calls(store, PriceList(), now=NOW),
        lambda: service.price_calls(store, PriceList(), now=NOW),
        lambda: records.import_requests(store, made[::3]),
        lambda: service.reprice(store, prices("2"), NOW - timedelta(days=1), why="test", now=NOW),
    ]
    threads = [threading.Thread(target=repeatedly, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    service.price_calls(store, PriceList(), now=NOW)
    service.reprice(store, PriceList(), NOW - timedelta(days=1), why="test", now=NOW)
    assert {totals(store, n) for n in range(1, 120)} == {(5_000_000_000, 1)}
