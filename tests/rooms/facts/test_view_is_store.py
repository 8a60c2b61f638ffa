"""Whatever arrives, in whatever order, however late: the view is what the store holds, after every step."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchkeeper.cost import service as cost
from watchkeeper.cost.prices import PriceList
from watchkeeper.cost.rates import Override, Rates
from watchkeeper.database.engine import Store
from watchkeeper.facts import service
from watchkeeper.observability import service as records
from watchkeeper.observability.otlp import Span
from watchkeeper.observability.pieces import Piece, piece_of
from watchkeeper.observability.request import Call, Feedback, Request, Tokens

START = datetime(2026, 11, 24, 8, tzinfo=UTC)
ALWAYS = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))

REQUESTS = (
    "SELECT r.trace_id, r.started_at, r.route, r.prompt_version, r.variant, r.error_type, r.latency_ms, r.ttft_ms, "
    "r.tokens_input, r.cost_nano_usd, r.calls, r.unpriced FROM requests r"
)
CALLS = (
    "SELECT r.trace_id, r.started_at, r.route, c.provider, COALESCE(c.model_served, c.model_requested), c.error_type, "
    "c.latency_ms, c.tokens_output, c.cost_nano_usd FROM requests r "
    "JOIN calls c ON c.trace_id = r.trace_id AND c.request_span_id = r.span_id"
)
COLUMNS = {
    "requests": [
        "trace_id", "started_at", "route", "prompt_version", "variant", "error_type", "latency_ms", "ttft_ms",
        "tokens_input", "cost_nano_usd", "calls", "unpriced",
    ],
    "calls": [
        "trace_id", "started_at", "route", "provider", "model", "error_type", "latency_ms", "tokens_output",
        "cost_nano_usd",
    ],
}  # fmt: skip


class Stopped(Exception):
    """The process ends here."""


@dataclass(frozen=True, slots=True)
class Crashing(Store):
    """A store whose first write after the fact file was written never comes."""

    @contextmanager
    def write(self) -> Iterator[Any]:
        raise Stopped
        yield


def in_the_store(store: Store, query: str) -> Counter[tuple[Any, ...]]:
    """Asked of the tables themselves, by another way than the room's own."""
    with store.read() as session:
        found = session.connection().execute(sa.text(query)).all()
    return Counter((row[0], _utc(row[1]), *row[2:]) for row in found)


def _utc(at: datetime | str) -> datetime:
    return datetime.fromisoformat(at).replace(tzinfo=UTC) if isinstance(at, str) else at.astimezone(UTC)


def in_the_view(store: Store, folder: Path, fact: str) -> Counter[tuple[Any, ...]]:
    table = service.read(store, folder, fact, *ALWAYS, columns=COLUMNS[fact])
    return Counter(zip(*(column.to_pylist() for column in table.columns), strict=True))


def check(store: Store, folder: Path) -> None:
    for fact, query in (("requests", REQUESTS), ("calls", CALLS)):
        assert in_the_view(store, folder, fact) == in_the_store(store, query)
    rows = service.usage(store, folder, *ALWAYS, by=["route", "prompt_version"], every=timedelta(hours=1))
    with store.read() as session:
        said = session.connection().execute(sa.text("SELECT COUNT(*), SUM(cost_nano_usd), SUM(unpriced) FROM requests"))
        count, nano, unpriced = said.one()
    assert sum(row.requests or 0 for row in rows) == count
    assert sum((row.cost_usd or Decimal(0)) * 10**9 for row in rows) == (nano or 0)
    assert sum(row.unpriced for row in rows) == (unpriced or 0)


NUMBERS = st.integers(0, 2)
MINUTES = st.sampled_from([0, 30, 59, 60, 90, 120, 150, 240])
ENDS = st.sampled_from([0, 69, 70, 130, 190, 600])
"""Minutes at which facts are written: before the first hour has settled, at that moment, after all have."""


@st.composite
def requests(draw: st.DrawFn) -> Request:
    number = draw(NUMBERS)
    calls = [
        Call(
            span_id=f"{100 * number + place:016x}",
            provider="openai",
            model_served=draw(st.sampled_from(["house-a", "house-b", None])),
            model_requested="house",
            tokens=Tokens(input=draw(st.sampled_from([None, 1_000, 3_000_000_000])), output=draw(st.integers(0, 9))),
            latency_ms=draw(st.sampled_from([None, 1.5, 0.1])),
            error_type=draw(st.sampled_from([None, "timeout"])),
            cost_nano_usd=draw(st.sampled_from([None, 7])),
        )
        for place in range(draw(st.integers(0, 2)))
    ]
    return Request(
        trace_id=f"{number:032x}",
        span_id=f"{1000 + number:016x}",
        started_at=START + timedelta(minutes=draw(MINUTES), microseconds=draw(st.sampled_from([0, 1, 123_000]))),
        route=draw(st.sampled_from(["answers", "search"])),
        latency_ms=draw(st.sampled_from([None, 12.25])),
        calls=calls,
    )


@st.composite
def spans(draw: st.DrawFn) -> Piece:
    """A root, or a call under it that may come before or after it; each in any hour."""
    number, inner = draw(NUMBERS), draw(st.booleans())
    start = int((START + timedelta(minutes=draw(MINUTES))).timestamp()) * 10**9
    root = f"{2000 + number:016x}"
    named: dict[str, Any] = {"watchkeeper.kind": "request", "watchkeeper.route": draw(st.sampled_from(["a", "b"]))}
    if inner:
        named = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "house-a",
            "gen_ai.usage.input_tokens": draw(st.sampled_from([7, 1_000])),
        }
    span = Span(
        f"{number:032x}", f"{3000 + number:016x}" if inner else root, root if inner else None, "span", start,
        start + draw(st.integers(1, 10**9)), False, "", {}, "", named, (), False,
    )  # fmt: skip
    return piece_of(span, Counter())


STEPS = st.one_of(
    st.tuples(st.just("import"), st.lists(requests(), min_size=1, max_size=4)),
    st.tuples(st.just("spans"), st.lists(spans(), min_size=1, max_size=3)),
    st.tuples(st.just("feedback"), NUMBERS),
    st.tuples(st.just("price"), st.sampled_from(["1", "2"])),
    st.tuples(st.just("reprice"), st.sampled_from(["1", "3"])),
    st.tuples(st.just("prune"), MINUTES),
    st.tuples(st.just("write"), ENDS),
    st.tuples(st.just("crash"), ENDS),
)


def prices(rate: str) -> PriceList:
    rates = Rates(input=Decimal(rate), output=Decimal(rate))
    return PriceList(overrides=[Override(provider="*", model="house*", effective_from=ALWAYS[0], rates=rates)])


def take(store: Store, folder: Path, what: str, given: Any) -> None:
    """One step; `given` is what it needs: records, or minutes since the start, or a rate."""
    match what:
        case "import":
            records.import_requests(store, given)
        case "spans":
            records.take_pieces(store, given)
        case "feedback":
            records.feedback(store, f"{given:032x}", Feedback(kind="thumb", value=1), now=START)
        case "price":
            cost.price_calls(store, prices(given), now=START)
        case "reprice":
            cost.reprice(store, prices(given), ALWAYS[0], why="test", now=START)
        case "prune":
            records.prune(store, START + timedelta(minutes=given))
        case "write":
            service.write_settled(store, folder, START + timedelta(minutes=given))
        case "crash":
            stopping = Crashing(url=store.url, reader=store.reader, writer=store.writer)
            with suppress(Stopped):
                service.write_settled(stopping, folder, START + timedelta(minutes=given))


def emptied(store: Store) -> None:
    tables = ("requests", "calls", "feedback", "posted_feedback", "traces", "unpriced_calls", "price_changes")
    with store.write() as session:
        for table in (*tables, "touched_hours", "fact_hours"):
            session.connection().execute(sa.text(f"DELETE FROM {table}"))


LATEST = 600
"""Minutes after the start at which every hour has settled."""


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.tuples(STEPS, st.booleans()), min_size=4, max_size=9))
def test_after_every_step_the_view_is_what_the_store_holds(
    store: Store, steps: list[tuple[tuple[str, Any], bool]]
) -> None:
    """After half of the steps all is written, so that the next one touches hours that are files."""
    emptied(store)
    with tempfile.TemporaryDirectory() as folder:
        for (what, needs), written in steps:
            take(store, Path(folder), what, needs)
            check(store, Path(folder))
            if written:
                take(store, Path(folder), "write", LATEST)
                check(store, Path(folder))


def stored(number: int, minutes: int, *, cost_nano_usd: int | None = None) -> Request:
    call = Call(
        span_id=f"{number:016x}",
        provider="openai",
        model_served="house",
        tokens=Tokens(input=1_000, output=1),
        cost_nano_usd=cost_nano_usd,
    )
    at = START + timedelta(minutes=minutes)
    return Request(trace_id=f"{number:032x}", span_id=f"{number:016x}", started_at=at, route="r", calls=[call])


def span(number: int, minutes: int, *, parent: int | None = None, last_ns: int = 1) -> Piece:
    start = int((START + timedelta(minutes=minutes)).timestamp()) * 10**9
    named = (
        {"gen_ai.operation.name": "chat", "gen_ai.request.model": "house"}
        if parent
        else {"watchkeeper.kind": "request"}
    )
    made = Span(
        f"{7:032x}", f"{number:016x}", f"{parent:016x}" if parent else None, "span", start, start + last_ns, False, "",
        {}, "", named, (), False,
    )  # fmt: skip
    return piece_of(made, Counter())


CHANGES: dict[str, list[tuple[str, Any]]] = {
    "one more": [("import", [stored(1, 5)]), ("import", [stored(2, 6)])],
    "one replaced": [("import", [stored(1, 5)]), ("import", [stored(1, 5, cost_nano_usd=9)])],
    "one moved to another hour": [("import", [stored(1, 5)]), ("import", [stored(1, 65)])],
    "a span later in the same hour": [("spans", [span(1, 5)]), ("spans", [span(2, 5, parent=1)])],
    "a root in another hour": [("spans", [span(2, 65, parent=1)]), ("spans", [span(1, 5)])],
    "a root that moved": [("spans", [span(1, 65)]), ("spans", [span(1, 5, last_ns=9 * 10**12)])],
    "a price": [("import", [stored(1, 5)]), ("price", "1")],
    "another price": [("import", [stored(1, 5)]), ("price", "1"), ("reprice", "3")],
    "pruned": [("import", [stored(1, 5), stored(2, 65)]), ("prune", 60)],
}


@pytest.mark.parametrize("steps", CHANGES.values(), ids=CHANGES)
def test_what_changes_after_it_was_written_is_seen_at_once(
    store: Store, tmp_path: Path, steps: list[tuple[str, Any]]
) -> None:
    for what, needs in steps:
        before = in_the_view(store, tmp_path, "calls"), in_the_view(store, tmp_path, "requests")
        take(store, tmp_path, what, needs)
        check(store, tmp_path)
        assert before != (in_the_view(store, tmp_path, "calls"), in_the_view(store, tmp_path, "requests"))
        take(store, tmp_path, "write", LATEST)
        check(store, tmp_path)


def test_feedback_touches_the_hours_of_its_trace(sqlite_store: Store, tmp_path: Path) -> None:
    take(sqlite_store, tmp_path, "import", [stored(1, 5)])
    take(sqlite_store, tmp_path, "write", LATEST)
    take(sqlite_store, tmp_path, "feedback", 2)
    assert service.state(sqlite_store, tmp_path).oldest_open is None
    take(sqlite_store, tmp_path, "feedback", 1)
    assert service.state(sqlite_store, tmp_path).oldest_open == START
