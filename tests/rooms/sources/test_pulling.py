"""Pulling into a real store: what is kept when it is cut short, repeated, or begun twice."""

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from watchkeeper.database.engine import Store, open_store
from watchkeeper.foundation.clock import FrozenClock
from watchkeeper.foundation.errors import Conflict, Misconfigured
from watchkeeper.observability import service as observability
from watchkeeper.observability.otlp import Span
from watchkeeper.observability.redact import Policy
from watchkeeper.observability.request import Feedback
from watchkeeper.sources import service
from watchkeeper.sources.http import Gone, SourceFailed
from watchkeeper.sources.interface import Page, Remote, Said, Score, Scored, Window
from watchkeeper.sources.pull import PullPlan
from watchkeeper.sources.service import Pulled

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PLAN = PullPlan(overlap=timedelta(minutes=15), settle=timedelta(minutes=2), first=timedelta(hours=3))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SPAN = "00000000000000a1"


def ago(**parts: float) -> datetime:
    return NOW - timedelta(**parts)


def span(number: int, at: datetime, *, child: bool = False) -> Span:
    start = (at - EPOCH) // timedelta(microseconds=1) * 1000
    return Span(
        trace_id=f"{number:032x}",
        span_id="00000000000000b2" if child else _SPAN,
        parent_span_id=_SPAN if child else None,
        name="answer",
        start_ns=start,
        end_ns=start + 10**9,
        error=False,
        status_message="",
        resource={},
        scope="",
        attributes={"gen_ai.operation.name": "chat"} if child else {"watchkeeper.route": "answers"},
        events=(),
    )


class Recorder:
    """A source that records spans, three a page; what a test wants to go wrong, it does.

    Attributes:
        asked: The windows it was asked for.
        took: Score id -> the newest score with it.
    """

    def __init__(self, *spans: Span) -> None:
        self.spans = list(spans)
        self.feedback: list[Said] = []
        self.asked: list[Window] = []
        self.took: dict[str, Score] = {}
        self.trouble: Callable[[int], None] = lambda page: None
        self.given = 0

    def pages(self, window: Window) -> Iterator[Page]:
        self.asked.append(window)
        inside = [s for s in self.spans if window.since <= EPOCH + timedelta(seconds=s.start_ns / 1e9) < window.until]
        for start in range(0, len(inside), 3):
            self.given += 1
            self.trouble(self.given)
            some = inside[start : start + 3]
            roots = [
                Remote(
                    trace_id=s.trace_id,
                    span_id=s.span_id,
                    remote_trace_id=f"T{s.trace_id}",
                    remote_id=f"R{s.trace_id}",
                    url="https://there",
                )
                for s in some
                if s.parent_span_id is None
            ]
            ids = {s.trace_id for s in some}
            said = [each for each in self.feedback if each.trace_id in ids]
            yield Page(spans=some, roots=roots, feedback=said, counts=Counter({"rejected: time": 1}))

    def push(self, scores: Sequence[Score]) -> None:
        self.took |= {score.id: score for score in scores}


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(NOW)


def pull(opened: Store, source: Recorder, clock: FrozenClock, since: datetime | None = None) -> Pulled:
    return service.pull(opened, "there", lambda: source, plan=PLAN, clock=clock, since=since)


def traces(opened: Store) -> list[int]:
    return sorted(int(r.trace_id, 16) for r in observability.export_requests(opened))


def until(opened: Store) -> datetime | None:
    return service.watermarks(opened)["there"].pulled_until


def test_what_started_in_the_window_is_stored_and_the_watermark_stands_at_its_end(
    store: Store, clock: FrozenClock
) -> None:
    source = Recorder(
        span(1, ago(hours=4)), *(span(n, ago(minutes=10 * n)) for n in range(2, 9)), span(9, ago(minutes=1))
    )
    pulled = pull(store, source, clock)
    assert traces(store) == list(range(2, 9))
    assert (pulled.requests, pulled.spans, pulled.since, pulled.until) == (7, 7, ago(hours=3), ago(minutes=2))
    assert pulled.counts["rejected: time"] == pulled.pages
    assert until(store) == ago(minutes=2)
    mark = service.watermarks(store)["there"]
    assert (mark.pulled_at, mark.error, mark.owner) == (NOW, None, None)


def test_pulling_again_changes_nothing_and_reads_only_the_overlap(store: Store, clock: FrozenClock) -> None:
    source = Recorder(span(1, ago(minutes=10)), span(1, ago(minutes=9), child=True), span(2, ago(hours=1)))
    source.feedback = [Said(trace_id=f"{1:032x}", feedback=Feedback(kind="thumb", value=-1, at=ago(minutes=5)))]
    pull(store, source, clock)
    before = list(observability.export_requests(store))
    source.asked.clear()
    clock.advance(timedelta(minutes=5))
    pull(store, source, clock)
    assert list(observability.export_requests(store)) == before
    assert source.asked == [Window(since=ago(minutes=17), until=NOW + timedelta(minutes=3))]
    assert [len(r.feedback) for r in before] == [0, 1]


def test_a_child_that_comes_late_joins_its_request(sqlite_store: Store, clock: FrozenClock) -> None:
    source = Recorder(span(1, ago(minutes=10)))
    pull(sqlite_store, source, clock)
    source.spans.append(span(1, ago(minutes=9), child=True))
    clock.advance(timedelta(minutes=5))
    pull(sqlite_store, source, clock)
    [request] = observability.export_requests(sqlite_store)
    assert len(request.calls) == 1


def test_the_record_says_where_it_was_pulled_from_and_its_source_stays_what_the_sender_said(
    sqlite_store: Store, clock: FrozenClock
) -> None:
    said = span(1, ago(minutes=10))
    pull(sqlite_store, Recorder(said._replace(attributes={**said.attributes, "watchkeeper.source": "staging"})), clock)
    [request] = observability.export_requests(sqlite_store)
    assert request.attributes == {"pulled_from": "there"}
    assert request.source == "staging"


def test_a_pull_that_is_killed_begins_its_slice_again_and_doubles_nothing(store: Store, clock: FrozenClock) -> None:
    spans = [span(n, ago(hours=3) + timedelta(minutes=10 * n)) for n in range(1, 17)]
    source = Recorder(*spans)

    def killed(page: int) -> None:
        if page == 4:
            raise KeyboardInterrupt

    source.trouble = killed
    with pytest.raises(KeyboardInterrupt):
        pull(store, source, clock)
    assert until(store) == ago(hours=2)  # the first slice was whole
    assert len(traces(store)) > 5  # of the second a page was stored
    assert service.watermarks(store)["there"].error is None
    source.trouble = lambda page: None
    source.asked.clear()
    pull(store, source, clock)
    assert source.asked[0].since == ago(hours=2) - PLAN.overlap
    assert traces(store) == list(range(1, 17))


def test_a_failure_is_kept_with_its_first_time_until_a_pull_ends_well(store: Store, clock: FrozenClock) -> None:
    source = Recorder(span(1, ago(minutes=10)))

    def down(page: int) -> None:
        raise SourceFailed("there: answered 503")

    source.trouble = down
    for _ in range(2):
        with pytest.raises(SourceFailed):
            pull(store, source, clock)
        clock.advance(timedelta(minutes=5))
    mark = service.watermarks(store)["there"]
    assert (mark.error, mark.failing_since, mark.failed_at) == ("there: answered 503", NOW, NOW + timedelta(minutes=5))
    assert mark.owner is None
    source.trouble = lambda page: None
    pull(store, source, clock)
    mark = service.watermarks(store)["there"]
    assert (mark.error, mark.failing_since, mark.failed_at) == (None, None, None)


def test_a_source_that_cannot_even_be_set_up_is_kept_as_failing(sqlite_store: Store, clock: FrozenClock) -> None:
    def refuse() -> Recorder:
        raise Misconfigured("sources.there: the environment variable KEY is not set")

    with pytest.raises(Misconfigured):
        service.pull(sqlite_store, "there", refuse, plan=PLAN, clock=clock)
    assert service.watermarks(sqlite_store)["there"].error == "sources.there: the environment variable KEY is not set"


@pytest.mark.parametrize(
    ("raised", "told", "said"),
    [
        (Gone("GET /v1/spans: 404: not found"), Misconfigured, "sources.there.base_url"),
        (KeyError("a customer's words"), SourceFailed, "there: unexpected KeyError in what the source answered"),
    ],
)
def test_whatever_a_source_raises_ends_in_one_line(
    sqlite_store: Store, clock: FrozenClock, raised: Exception, told: type[Exception], said: str
) -> None:
    source = Recorder(span(1, ago(minutes=10)))

    def trouble(page: int) -> None:
        raise raised

    source.trouble = trouble
    with pytest.raises(told, match=said):
        pull(sqlite_store, source, clock)
    assert "customer" not in (service.watermarks(sqlite_store)["there"].error or "")


def test_of_two_pulls_of_one_source_the_second_ends_and_the_first_goes_on(store: Store, clock: FrozenClock) -> None:
    source = Recorder(span(1, ago(minutes=10)))
    seen: list[str] = []

    def meanwhile(page: int) -> None:
        with pytest.raises(Conflict) as told:
            pull(store, Recorder(), clock)
        seen.append(str(told.value))
        service.pull(store, "another", lambda: Recorder(), plan=PLAN, clock=clock)

    source.trouble = meanwhile
    pull(store, source, clock)
    assert seen == ["source 'there' is being pulled at the moment; wait for it, or end it"]
    assert traces(store) == [1]
    assert service.watermarks(store)["there"].error is None


def killed_while_pulling(url: str) -> None:
    """In a process of its own: begin a pull and die by SIGKILL after the first page."""
    source = Recorder(*(span(n, ago(minutes=20 + n)) for n in range(1, 7)))

    def die(page: int) -> None:
        if page == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    source.trouble = die
    pull(open_store(url), source, FrozenClock(NOW))


def test_after_a_sigkill_the_source_is_free_at_once_and_nothing_is_doubled(
    sqlite_store: Store, clock: FrozenClock
) -> None:
    process = multiprocessing.get_context("spawn").Process(target=killed_while_pulling, args=(sqlite_store.url,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert service.watermarks(sqlite_store)["there"].owner is not None
    assert len(traces(sqlite_store)) == 3
    pull(sqlite_store, Recorder(*(span(n, ago(minutes=20 + n)) for n in range(1, 7))), clock)
    assert traces(sqlite_store) == list(range(1, 7))


def held_elsewhere(opened: Store, *, seen_at: datetime) -> None:
    with opened.write() as session:
        session.connection().execute(
            sa.text("INSERT INTO watermarks (source, owner, seen_at) VALUES ('there', 'ab@elsewhere:1:1', :at)"),
            {"at": seen_at if opened.dialect == "postgresql" else seen_at.replace(tzinfo=None).isoformat(" ")},
        )


def test_a_pull_of_another_machine_is_taken_over_only_after_a_long_silence(store: Store, clock: FrozenClock) -> None:
    held_elsewhere(store, seen_at=ago(minutes=15))
    with pytest.raises(Conflict):
        pull(store, Recorder(), clock)
    clock.advance(timedelta(seconds=1))
    pull(store, Recorder(), clock)


def test_a_hold_from_the_future_is_taken_over_for_the_clock_was_put_back(
    sqlite_store: Store, clock: FrozenClock
) -> None:
    held_elsewhere(sqlite_store, seen_at=NOW + timedelta(days=365))
    pull(sqlite_store, Recorder(), clock)


def test_a_pull_that_was_taken_over_ends_and_moves_nothing(sqlite_store: Store, clock: FrozenClock) -> None:
    source = Recorder(span(1, ago(minutes=10)))

    def taken(page: int) -> None:
        with sqlite_store.write() as session:
            session.connection().execute(
                sa.text("UPDATE watermarks SET owner = 'ab@elsewhere:1:1', pulled_until = NULL")
            )

    source.trouble = taken
    with pytest.raises(Conflict, match="taken over"):
        pull(sqlite_store, source, clock)
    mark = service.watermarks(sqlite_store)["there"]
    assert (mark.owner, mark.pulled_until, mark.error) == ("ab@elsewhere:1:1", None, None)


def test_a_clock_that_ran_ahead_and_was_put_right_leaves_no_gap(sqlite_store: Store, clock: FrozenClock) -> None:
    source = Recorder()
    ahead = FrozenClock(NOW + timedelta(days=2))
    pull(sqlite_store, source, ahead)
    source.spans = [span(1, ago(minutes=10))]
    pull(sqlite_store, source, clock)
    assert traces(sqlite_store) == [1]
    assert until(sqlite_store) == ago(minutes=2)


def test_an_early_beginning_rereads_and_the_watermark_does_not_go_back(sqlite_store: Store, clock: FrozenClock) -> None:
    source = Recorder(span(1, ago(days=2)))
    pull(sqlite_store, source, clock)
    assert traces(sqlite_store) == []
    source.trouble = lambda page: (_ for _ in ()).throw(SourceFailed("down"))
    with pytest.raises(SourceFailed):
        pull(sqlite_store, source, clock, since=ago(days=3))
    assert until(sqlite_store) == ago(minutes=2)
    source.trouble = lambda page: None
    pull(sqlite_store, source, clock, since=ago(days=3))
    assert traces(sqlite_store) == [1]
    assert until(sqlite_store) == ago(minutes=2)


def test_nothing_is_asked_where_nothing_has_settled(sqlite_store: Store, clock: FrozenClock) -> None:
    def unreachable() -> Recorder:
        raise AssertionError("not to be connected to")

    pulled = service.pull(sqlite_store, "there", unreachable, plan=PLAN, clock=clock, since=ago(minutes=1))
    assert (pulled.since, pulled.until, pulled.pages) == (None, None, 0)


def test_what_is_private_is_taken_out_before_it_is_stored(sqlite_store: Store, clock: FrozenClock) -> None:
    said = span(1, ago(minutes=10))
    source = Recorder(said._replace(attributes={**said.attributes, "input.value": "I am a@b.example"}))
    comment = Feedback(kind="thumb", value=-1, comment="write to a@b.example")
    source.feedback = [Said(trace_id=said.trace_id, feedback=comment)]
    service.pull(sqlite_store, "there", lambda: source, plan=PLAN, clock=clock, policy=Policy())
    [request] = observability.export_requests(sqlite_store)
    assert "a@b.example" not in f"{request.input}{request.feedback}"
    assert "[" in (request.input or "")


def test_a_score_finds_its_way_back_with_the_same_id_each_time(store: Store, clock: FrozenClock) -> None:
    source = Recorder(span(1, ago(minutes=10)), span(2, ago(minutes=9)))
    pull(store, source, clock)
    scores = [
        Scored(trace_id=f"{1:032x}", name="tone", value=0.5),
        Scored(trace_id=f"{3:032x}", name="tone", value=0.5),
        Scored(trace_id=f"{2:032x}", span_id="00000000000000ff", name="tone", value=0.5),
        Scored(trace_id=f"{2:032x}", span_id=_SPAN, name="tone", value=1),
    ]
    for _ in range(2):
        pushed = service.push(store, "there", source, scores)
        assert (pushed.pushed, list(pushed.unknown)) == (2, [1, 2])
    assert sorted((s.remote.remote_id, s.value) for s in source.took.values()) == [
        (f"R{1:032x}", 0.5),
        (f"R{2:032x}", 1),
    ]
    assert service.push(store, "another", source, scores).pushed == 0


def test_a_request_knows_its_page_at_the_source_until_it_is_pruned(store: Store, clock: FrozenClock) -> None:
    source = Recorder(span(1, ago(minutes=10)), span(2, ago(hours=2)))
    pull(store, source, clock)
    pull(store, source, clock)
    [(name, remote)] = service.remote_of(store, f"{2:032x}")
    assert (name, remote.url, remote.remote_trace_id) == ("there", "https://there", f"T{2:032x}")
    observability.prune(store, ago(hours=1))
    service.tidy(store)
    assert service.remote_of(store, f"{2:032x}") == []
    assert len(service.remote_of(store, f"{1:032x}")) == 1
