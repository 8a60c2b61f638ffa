"""Requests in the store, on both engines: taken once, replaced wholly, given back in order."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from watchkeeper.database.engine import Store
from watchkeeper.foundation.errors import NotFound
from watchkeeper.observability import service
from watchkeeper.observability.packing import read_text
from watchkeeper.observability.request import Request
from watchkeeper.observability.wire import as_json, request_of

START = datetime(2026, 11, 24, 10, tzinfo=UTC)
TABLES = ("requests", "calls", "retrievals", "tool_calls", "feedback", "texts")


def request(number: int, *, minutes: float | None = None, **changes: Any) -> Request:
    at = START + timedelta(minutes=number if minutes is None else minutes)
    return request_of(
        {"trace_id": f"{number:032x}", "started_at": at.isoformat(), "route": "support.answer", **changes}
    )


def full(number: int, *, prompt: str = "Be kind.", **changes: Any) -> Request:
    return request(
        number,
        prompt={"id": "answer", "version": "3"},
        variant={"experiment": "tone", "name": "b"},
        input="naïve 😀 \x00",
        response="yes",
        calls=[
            {
                "messages": [{"role": "system", "content": prompt}, {"content": [{"n": number}], "role": "user"}],
                "usage": {"input": 3_000_000_000, "cache_read": 5, "output": 7, "reasoning": 2}, "model_served": "x",
                "cost_usd": 0.1, "response": "yes", "latency_ms": 1.5, "params": {"b": 1, "a": 2}, "seed": 1,
            },
            {"cost_usd": 0.2, "usage": {"output": 1}},
            {"usage": {"input": 1, "cache_read": 2}},
        ],
        retrievals=[{"documents": []}, {"documents": [{"id": "doc", "score": 0.5}]}],
        tool_calls=[{"name": "t", "arguments": "{bad", "result": {"ok": [1, None]}}, {"name": "u", "result": "text"}],
        feedback=[{"kind": "thumb", "value": -1, "at": START.isoformat()}, {"kind": "edit", "value": "better"}],
        attributes={"z": 1, "a": [1.5]},
        **changes,
    )  # fmt: skip


def contents(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    with store.reader.connect() as connection:
        return {
            table: sorted(
                (tuple(map(str, row)) for row in connection.execute(sa.text(f"SELECT * FROM {table}"))),
            )
            for table in TABLES
        }


def exported(store: Store, **window: Any) -> list[int]:
    return [int(r.trace_id, 16) for r in service.export_requests(store, **window)]


def test_a_request_comes_back_equal_with_everything_in_it(store: Store) -> None:
    given = full(1)
    assert service.import_requests(store, [given]) == 1
    found = service.request(store, given.trace_id)
    assert found == given
    assert json.dumps(as_json(found)) == json.dumps(as_json(given))


def test_importing_twice_changes_nothing(store: Store) -> None:
    given = [full(n) for n in range(3)]
    service.import_requests(store, given)
    before = contents(store)
    assert service.import_requests(store, given) == 3
    assert contents(store) == before


def test_a_changed_request_replaces_the_old_one_wholly_and_no_other(store: Store) -> None:
    service.import_requests(store, [full(1), full(2)])
    service.import_requests(store, [request(1, route="new", calls=[{"provider": "openai"}])])
    found = service.request(store, f"{1:032x}")
    assert (found.route, len(found.calls), found.input) == ("new", 1, None)
    assert (found.retrievals, found.tool_calls, found.feedback, found.prompt) == ([], [], [], None)
    assert service.request(store, f"{2:032x}") == full(2)


def test_of_one_request_twice_in_an_import_the_last_counts(store: Store) -> None:
    service.import_requests(store, [full(1), request(1, route="last")])
    assert service.request(store, f"{1:032x}") == request(1, route="last")
    assert service.stock(store).total == 1


def test_a_prompt_sent_many_times_is_stored_once(store: Store) -> None:
    service.import_requests(store, [full(n) for n in range(20)])
    with store.reader.connect() as connection:
        texts = [read_text(row[0]) for row in connection.execute(sa.text("SELECT content FROM texts"))]
    assert texts.count("Be kind.") == 1


def test_a_request_holds_the_totals_of_its_calls_and_unknown_is_not_zero(store: Store) -> None:
    service.import_requests(store, [full(1), request(2, calls=[{}])])
    columns = "calls, unpriced, tokens_input, tokens_output, tokens_cache_read, cost_nano_usd, retrieval_missed"
    with store.reader.connect() as connection:
        rows = [
            tuple(row) for row in connection.execute(sa.text(f"SELECT {columns} FROM requests ORDER BY started_at"))
        ]
    assert rows[0] == (3, 1, 2_999_999_995, 6, 7, 300_000_000, True)
    assert rows[1] == (1, 1, None, None, None, None, None)


def test_two_requests_of_one_trace_are_two(store: Store) -> None:
    first, second = (request(1, minutes=n, span_id=f"{n:016x}", calls=[{}]) for n in (5, 3))
    service.import_requests(store, [first, second])
    assert service.stock(store).total == 2
    assert service.request(store, first.trace_id) == second
    service.import_requests(store, [first])
    assert list(service.export_requests(store)) == [second, first]


def test_the_window_holds_its_start_and_not_its_end(store: Store) -> None:
    service.import_requests(store, [request(n) for n in (3, 1, 2, 4)])
    assert exported(store) == [1, 2, 3, 4]
    assert exported(store, since=START + timedelta(minutes=2), until=START + timedelta(minutes=4)) == [2, 3]
    service.import_requests(store, [request(9, minutes=2.5, route="other")])
    assert exported(store, route="other") == [9]
    assert exported(store, route="none") == []


def test_an_export_longer_than_a_page_misses_none_and_repeats_none(store: Store) -> None:
    """Many start at the same instant, so that a page ends between equals."""
    service.import_requests(store, [request(n, minutes=n // 300) for n in range(1203)])
    assert exported(store) == list(range(1203))


def test_an_import_is_committed_batch_by_batch(store: Store) -> None:
    def breaking() -> Iterator[Request]:
        yield from (request(n) for n in range(700))
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        service.import_requests(store, breaking())
    assert service.stock(store).total == 500


def test_the_stock_is_counted_and_dated(store: Store) -> None:
    assert (service.stock(store).total, service.stock(store).newest) == (0, None)
    service.import_requests(store, [request(n) for n in (3, 1)])
    assert (service.stock(store).total, service.stock(store).newest) == (2, START + timedelta(minutes=3))


def test_a_trace_that_is_not_there_is_named_with_the_newest_that_are(store: Store) -> None:
    service.import_requests(store, [request(1)])
    with pytest.raises(NotFound, match=f"{1:032x}"):
        service.request(store, "f" * 32)
    assert service.request(store, f" {request(1).trace_id.upper()}") == request(1)
