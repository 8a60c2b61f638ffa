"""Spans in the store: any order, repetition and split of what was sent gives the same requests."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchkeeper.database.engine import Store
from watchkeeper.foundation.errors import NotFound
from watchkeeper.observability import otlp, service
from watchkeeper.observability.decoding import pieces_of
from watchkeeper.observability.otlp import Span
from watchkeeper.observability.pieces import Piece, piece_of
from watchkeeper.observability.wire import as_json, request_of

CAPTURED = Path(__file__).parents[2] / "pure" / "observability" / "captured"


def piece(trace: int, number: int, parent: int | None = None, *, log: bool = False, **attributes: Any) -> Piece:
    named = {name.replace("__", "."): value for name, value in attributes.items()}
    start = 10**18 + number * 10**6
    span = Span(
        f"{trace:032x}", f"{number:016x}", f"{parent:016x}" if parent else None, f"span {number}", start,
        start + 10**9, False, "", {}, "", named, (), log,
    )  # fmt: skip
    return piece_of(span, Counter())


def pieces() -> list[Piece]:
    """A request in a web server's span with everything inside, a trace without a root, and two that were captured."""
    chat: dict[str, Any] = {"gen_ai__operation__name": "chat", "gen_ai__usage__input_tokens": 7}
    sent = '[{"role":"user","parts":[{"type":"text","content":"hi"}]}]'
    found = [
        piece(1, 1),
        piece(1, 2, 1, watchkeeper__kind="request", watchkeeper__route="r", watchkeeper__input="hi"),
        piece(1, 3, 2, gen_ai__operation__name="invoke_agent", session__id="s"),
        piece(1, 4, 3, gen_ai__input__messages=sent, **chat),
        piece(1, 4, log=True, gen_ai__output__messages=sent),
        piece(1, 5, 3, watchkeeper__kind="retrieval", gen_ai__retrieval__documents='[{"id":"d","score":1.5}]'),
        piece(1, 6, 3, gen_ai__operation__name="execute_tool", gen_ai__tool__name="t", gen_ai__tool__call__result="x"),
        piece(1, 7, 3, **chat),
        piece(2, 8, 99, **chat),
        piece(2, 9, 99, error__type="x.TimeoutError"),
        piece(3, 10, log=True, gen_ai__output__messages=sent),
    ]
    for name in ("pai", "lgf", "oi_anthropic"):
        decoded = otlp.traces((CAPTURED / f"{name}.otlp.pb").read_bytes(), "protobuf")
        found += pieces_of(decoded)
    return found


ALL = pieces()


NOW = datetime(2026, 11, 24, 23, 59, tzinfo=UTC)


def test_what_was_dropped_is_counted_by_day_with_the_spans_or_without(store: Store) -> None:
    service.take_pieces(store, [piece(1, 1)], {"attribute": 2, "event": 1}, now=NOW)
    service.take_pieces(store, [], {"attribute": 3}, now=NOW + timedelta(minutes=1))
    assert service.intake_counts(store, NOW) == {"attribute": 5, "event": 1}
    assert service.intake_counts(store, NOW + timedelta(minutes=1)) == {"attribute": 3}
    assert service.intake_counts(store, NOW + timedelta(days=2)) == {}


@pytest.mark.parametrize(("ahead_s", "counted"), [(300, 0), (301, 1)])
def test_a_clock_more_than_five_minutes_ahead_is_counted_and_its_span_taken(ahead_s: int, counted: int) -> None:
    start = (int(NOW.timestamp()) + ahead_s) * 10**9
    span = Span("1" * 32, "1" * 16, None, "s", start, start, False, "", {}, "", {}, ())
    decoded = otlp.Decoded(spans=[span])
    assert len(pieces_of(decoded, now=NOW)) == 1
    assert decoded.counts["clock in the future"] == counted


def exported(store: Store) -> list[dict[str, Any]]:
    return [as_json(request) for request in service.export_requests(store)]


def emptied(store: Store) -> None:
    with store.write() as session:
        for table in ("requests", "calls", "retrievals", "tool_calls", "feedback", "texts", "traces"):
            session.connection().execute(sa.text(f"DELETE FROM {table}"))


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[Piece]]:
    order = draw(st.permutations(range(len(ALL))))
    order = list(order) + draw(st.lists(st.sampled_from(range(len(ALL))), max_size=8))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=6)))
    return [[ALL[n] for n in order[a:b]] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=deliveries())
def test_any_order_repetition_and_split_gives_the_same_export(sqlite_store: Store, batches: list[list[Piece]]) -> None:
    emptied(sqlite_store)
    service.take_pieces(sqlite_store, ALL)
    whole = exported(sqlite_store)
    emptied(sqlite_store)
    for batch in batches:
        service.take_pieces(sqlite_store, batch)
    assert exported(sqlite_store) == whole


def test_one_by_one_is_as_all_at_once_on_both_engines(store: Store) -> None:
    for each in reversed(ALL):
        service.take_pieces(store, [each])
    piecewise = exported(store)
    emptied(store)
    service.take_pieces(store, ALL)
    assert exported(store) == piecewise
    first = service.request(store, f"{1:032x}")
    assert (first.route, first.input, first.session_id, len(first.calls)) == ("r", "hi", "s", 2)
    assert first.calls[0].response == "hi"
    assert (first.retrievals[0].documents, first.tool_calls[0].result) == ([{"id": "d", "score": 1.5}], "x")
    assert service.request(store, f"{2:032x}").calls[0].tokens.input == 7


def test_what_came_later_from_elsewhere_stays_when_a_late_span_comes(store: Store) -> None:
    """Feedback and reckoned costs are not in the spans; the span they were given to may prove to be an inner one."""
    service.take_pieces(store, [piece(1, 2, 1, gen_ai__operation__name="chat")])
    with store.write() as session:
        session.connection().execute(
            sa.text(
                "INSERT INTO feedback (trace_id, request_span_id, place, kind, value, more) "
                f"VALUES ('{1:032x}', '{2:016x}', 0, 'thumb', '-1', '{{}}')"
            )
        )
        session.connection().execute(sa.text("UPDATE calls SET cost_nano_usd = 5, price_id = 'p1'"))
    service.take_pieces(store, [piece(1, 1)])
    [request] = service.export_requests(store)
    assert (request.span_id, request.feedback[0].value) == (f"{1:016x}", -1)
    assert request.calls[0].cost_nano_usd == 5
    with store.reader.connect() as connection:
        assert connection.execute(sa.text("SELECT price_id FROM calls")).scalar_one() == "p1"
        assert connection.execute(sa.text("SELECT cost_nano_usd FROM requests")).scalar_one() == 5


def test_a_reckoned_cost_does_not_outlive_the_tokens_it_was_reckoned_from(store: Store) -> None:
    chat: dict[str, Any] = {"gen_ai__operation__name": "chat", "gen_ai__usage__input_tokens": 7}
    service.take_pieces(store, [piece(1, 1, **chat)])
    with store.write() as session:
        session.connection().execute(sa.text("UPDATE calls SET cost_nano_usd = 5, price_id = 'p1'"))
    service.take_pieces(store, [piece(1, 1, **chat, gen_ai__usage__output_tokens=900)])  # the whole of it, later
    [request] = service.export_requests(store)
    assert (request.calls[0].tokens.output, request.calls[0].cost_nano_usd) == (900, None)


def test_of_two_forms_of_a_span_the_fuller_counts_in_either_order(store: Store) -> None:
    part, full = piece(1, 1, watchkeeper__route="r"), piece(1, 1, watchkeeper__route="r", session__id="s")
    for order in ([part, full], [full, part]):
        emptied(store)
        for each in order:
            service.take_pieces(store, [each])
        assert [r.session_id for r in service.export_requests(store)] == ["s"]


def test_an_import_and_its_spans_are_one_request(store: Store) -> None:
    service.take_pieces(store, [piece(1, 1, watchkeeper__route="r", watchkeeper__kind="request")])
    imported = request_of(
        {"trace_id": f"{1:032x}", "span_id": f"{1:016x}", "started_at": "2026-11-24T10:00:00Z", "route": "i"}
    )
    service.import_requests(store, [imported])
    assert [r.route for r in service.export_requests(store)] == ["i"]


@pytest.mark.parametrize("size", [0, 1, 3000])
def test_nothing_one_and_many(store: Store, size: int) -> None:
    assert service.take_pieces(store, [piece(n + 1, n + 1) for n in range(size)]) == size
    assert service.stock(store).total == size


def test_pruning_takes_the_old_with_their_texts_and_nothing_the_others_need(store: Store) -> None:
    service.take_pieces(store, ALL)
    kept = [request_of({"trace_id": f"{n:032x}", "started_at": f"20{n}-11-24T10:00:00Z", "route": "r", "input": "hi",
                        "calls": [{"messages": [{"role": "user", "content": "hi"}]}]}) for n in (30, 31)]  # fmt: skip
    service.import_requests(store, kept)
    old = service.stock(store).total - 2
    cutoff = kept[0].started_at
    assert service.count_before(store, cutoff) == old
    requests, texts = service.prune(store, cutoff)
    assert (requests, texts > 3) == (old, True)
    assert list(service.export_requests(store)) == kept
    with store.reader.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM texts")).scalar_one() == 1
        assert connection.execute(sa.text("SELECT count(*) FROM traces")).scalar_one() == 0
        assert connection.execute(sa.text("SELECT count(*) FROM calls")).scalar_one() == 2
    assert service.prune(store, cutoff) == (0, 0)


def test_why_says_how_far_a_trace_has_come(store: Store) -> None:
    service.take_pieces(store, ALL)
    steps = [(each.step, each.done) for each in service.why(store, f"{1:032x}")]
    assert steps == [("received", True), ("assembled", True), ("priced", False)]
    assert [each.done for each in service.why(store, f"{3:032x}")] == [True, False]
    assert service.why(store, f"{2:032x}")[1].detail.endswith(
        f"its parent {99:016x} has not arrived or is no part of it"
    )
    with pytest.raises(NotFound):
        service.why(store, "f" * 32)
