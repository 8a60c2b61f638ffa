"""What every source does alike, over real HTTP against each one's stand-in: windows, pages, failures, keys, scores."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.edges.source_stand_ins import helicone, langfuse, langsmith, weave
from tests.edges.source_stand_ins.pulling import DAY, HOSTILE, StillClock, stored
from tests.edges.source_stand_ins.server import Fault, StandIn, serving
from watchkeeper.database.engine import Store
from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.observability import service
from watchkeeper.sources.connect import connect
from watchkeeper.sources.http import Pace, SourceFailed
from watchkeeper.sources.interface import Kind, Remote, Score, Source, SourceConfig, Window, span_id_of, trace_id_of

SOURCES: dict[Kind, tuple[Callable[[], StandIn], dict[str, Any], int]] = {
    "langfuse": (langfuse.LangfuseStandIn, {"public_key": langfuse.PUBLIC, "key": langfuse.SECRET}, 1000),
    "langsmith": (langsmith.LangSmithStandIn, {"key": langsmith.KEY, "project": langsmith.PROJECT}, 1000),
    "helicone": (helicone.HeliconeStandIn, {"key": helicone.KEY}, 1000),
    "weave": (weave.WeaveStandIn, {"key": weave.KEY, "project": weave.PROJECT}, 500),
}
TEN = datetime(2026, 11, 24, 10, tzinfo=UTC)


@dataclass
class At:
    """A source and its stand-in. `page` is the most the source asks for at once."""

    kind: Kind
    stand_in: StandIn
    given: dict[str, Any]
    page: int

    def source(self, pace: Pace | None = None, **changed: Any) -> Source:
        given = {"base_url": self.stand_in.base_url, "timeout_s": 5.0, **self.given, **changed}
        return connect(SourceConfig(name="there", kind=self.kind, **given), pace or StillClock().pace())

    def names(self, window: Window = DAY) -> list[str]:
        """The names of the requests a source finds; Weave's are an op's."""
        return [span.name.removeprefix("openai.chat.") for page in self.source().pages(window) for span in page.spans]


@pytest.fixture(params=SOURCES)
def there(request: pytest.FixtureRequest) -> Iterator[At]:
    made, given, page = SOURCES[request.param]
    with serving(made()) as stand_in:
        yield At(kind=request.param, stand_in=stand_in, given=given, page=page)


def stamp(milliseconds: float) -> str:
    """So long after ten o'clock."""
    return (TEN + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_the_window_holds_its_first_instant_and_not_its_last(there: At) -> None:
    for name, after in (("before", -1), ("first", 0), ("last", 9_999), ("after", 10_000)):
        there.stand_in.add(name, stamp(after))
    assert there.names(Window(since=TEN, until=TEN + timedelta(seconds=10))) == ["first", "last"]


def test_windows_that_meet_within_a_millisecond_lose_and_double_nothing(there: At) -> None:
    for n in range(10):
        there.stand_in.add(f"r{n}", stamp(n))
    ends = [TEN + timedelta(microseconds=micro) for micro in (0, 3456, 7999, 20_000)]
    found = [name for a, b in pairwise(ends) for name in there.names(Window(since=a, until=b))]
    assert sorted(found) == [f"r{n}" for n in range(10)]


def test_three_pages_bring_every_request_once(there: At) -> None:
    many = 2 * there.page + 3
    for n in range(many):
        there.stand_in.add(f"r{n}", stamp(n // 2))  # two of the same instant, also where a page ends
    found = there.names()
    assert (len(found), len(set(found))) == (many, many)


def test_an_item_that_is_none_is_counted_and_its_neighbours_are_taken(there: At) -> None:
    there.stand_in.add("one", stamp(0))
    there.stand_in.add_broken()
    there.stand_in.add("when", "yesterday")
    there.stand_in.add("two", stamp(1))
    pages = list(there.source().pages(DAY))
    assert sorted(span.name.removeprefix("openai.chat.") for page in pages for span in page.spans) == ["one", "two"]
    counts = sum((page.counts for page in pages), start=pages[0].counts.__class__())
    assert counts == {"rejected: not an object": 1, "rejected: no start time": 1}


@pytest.mark.parametrize("text", [HOSTILE, "x" * 3_000_000], ids=["hostile", "3 MB"])
def test_hostile_texts_and_three_megabytes_are_stored_as_texts(there: At, sqlite_store: Store, text: str) -> None:
    there.stand_in.add("one", stamp(0), text)
    stored(sqlite_store, there.source().pages(DAY))
    request = service.request(sqlite_store, trace_id_of("one"))
    assert (request.input, request.response) == (text.replace("\x00", "\ufffd"),) * 2


def test_told_to_slow_down_it_waits_as_long_as_it_was_told(there: At) -> None:
    there.stand_in.add("one", stamp(0))
    there.stand_in.fail(Fault(kind=429, retry_after="17"))
    clock = StillClock()
    assert len(next(iter(there.source(clock.pace()).pages(DAY))).spans) == 1
    assert clock.at >= 17


@pytest.mark.parametrize("kind", [429, 500, 503, "cut", "slow"])
def test_one_failure_costs_nothing(there: At, kind: Any) -> None:
    there.stand_in.add("one", stamp(0))
    there.stand_in.fail(Fault(kind=kind))
    assert there.names() == ["one"]


@pytest.mark.parametrize("kind", ["hang", 429, 500, "cut"])
def test_a_server_that_keeps_failing_ends_the_pull_in_one_line(there: At, kind: Any) -> None:
    there.stand_in.fail(*[Fault(kind=kind)] * 20)
    with pytest.raises(SourceFailed, match=r"\Athere: [^\n]*\Z"):
        list(there.source(timeout_s=0.2).pages(DAY))


def test_a_page_of_a_proxy_is_a_failure_and_no_empty_page(there: At) -> None:
    there.stand_in.fail(*[Fault(kind="html")] * 2)
    with pytest.raises(SourceFailed, match=r"\Athere: [^\n]*base_url[^\n]*\Z"):
        list(there.source().pages(DAY))


def test_a_refused_key_is_one_line_that_does_not_show_it(there: At) -> None:
    with pytest.raises(Misconfigured, match=r"\Asources\.there: the key was refused[^\n]*\Z") as refused:
        list(there.source(key="wrong-key-987654").pages(DAY))
    assert "wrong-key" not in str(refused.value)


@pytest.mark.parametrize("lacking", ["key", "public_key", "project"])
def test_what_a_section_lacks_is_said_before_anything_is_asked(there: At, lacking: str) -> None:
    if lacking not in there.given:
        return
    with pytest.raises(Misconfigured, match=rf"\Asources\.there: [^\n]*{lacking}[^\n]*\Z"):
        there.source(**{lacking: None})
    assert there.stand_in.asked == []


def score(value: float, name: str = "tone", of: str = "one") -> Score:
    remote = Remote(trace_id=trace_id_of(of), span_id=span_id_of(of), remote_trace_id=of, remote_id=of)
    return Score(remote=remote, name=name, value=value, label="fine", explanation="It was.")


def test_scores_that_are_pushed_again_are_replaced_not_doubled(there: At) -> None:
    there.source().push([score(0.5), score(0.25, "length"), score(1.0, of="two")])
    there.source().push([score(0.75), score(0.25, "length")])
    assert sorted(there.stand_in.pushed()) == [("length", 0.25), ("tone", 0.75), ("tone", 1.0)]


def test_a_refused_score_is_one_line(there: At) -> None:
    there.stand_in.fail(*[Fault(kind=422)] * 3)
    with pytest.raises(Misconfigured, match=r"\Asources\.there: refused [^\n]* with 422[^\n]*\Z"):
        there.source().push([score(0.5)])
