"""Who spends most: an order, shares of the whole, concentration, and who is new."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.database.engine import Store
from watchkeeper.foundation.errors import NothingToCheck
from watchkeeper.observability import service as records
from watchkeeper.observability.request import Call, Request
from watchkeeper.spending import service
from watchkeeper.spending.change import Period

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
WEEK = Period(since=NOW - timedelta(days=7), until=NOW)


def request(number: int, nano: int | None, *, at: datetime = NOW - timedelta(days=1), **changes: Any) -> Request:
    call = Call(span_id=f"{number:016x}", model_served="a", cost_nano_usd=nano)
    made = Request(trace_id=f"{number:032x}", span_id=f"{number:016x}", started_at=at, route="r", calls=[call])
    return replace(made, **changes)


def test_spenders_come_in_the_order_of_cost_with_their_share_of_all(store: Store, tmp_path: Path) -> None:
    before = NOW - timedelta(days=8)
    records.import_requests(
        store,
        [
            request(1, 600, segment="free"),
            request(2, 100, segment="free"),
            request(3, 200, segment="paid"),
            request(4, 50, segment="trial"),
            request(5, None, segment="paid"),
            request(6, 50),
            request(7, 30, segment="paid", at=before),
            request(8, 70, segment="gone", at=before),
        ],
    )
    found = service.ranking(store, tmp_path, "segment", WEEK, limit=2)
    first = [(each.name, each.cost_nano_usd, each.requests, each.share) for each in found.spenders]
    assert first == [("free", 700, 2, 0.7), ("paid", 200, 2, 0.2)]
    assert [each.before_nano_usd for each in found.spenders] == [None, 30]
    assert [each.new for each in found.spenders] == [True, False]
    assert (found.count, found.total_nano_usd, found.nameless, found.nameless_nano_usd) == (3, 1000, 1, 50)
    assert (found.new, found.unpriced) == (2, 1)


def test_concentration_is_the_share_of_the_first_hundredth_and_tenth(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(n, 1000 if n == 1 else 10, job_id=f"job-{n}") for n in range(1, 102)])
    found = service.ranking(store, tmp_path, "job", WEEK)
    assert found.concentration == {0.01: pytest.approx(1010 / 2000), 0.1: pytest.approx(1100 / 2000)}
    assert len(found.spenders) == 20


def test_sessions_without_any_cost_have_no_share(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(1, None, session_id="s")])
    found = service.ranking(store, tmp_path, "session", WEEK)
    assert [(each.name, each.share, each.unpriced) for each in found.spenders] == [("s", None, 1)]
    assert found.concentration == {}


def test_an_empty_window_is_nothing_to_check(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NothingToCheck):
        service.ranking(store, tmp_path, "segment", WEEK)
