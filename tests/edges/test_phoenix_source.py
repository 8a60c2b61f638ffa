"""Asking a source over real HTTP: pages, refusals, and what a person is told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.edges.phoenix_stand_in import Phoenix as Server
from tests.edges.phoenix_stand_in import phoenix_stand_in, span
from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.sources.connect import connect
from watchkeeper.sources.http import Gone, Pace, SourceFailed
from watchkeeper.sources.interface import Page, SourceConfig, Window
from watchkeeper.sources.phoenix import Phoenix

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
WINDOW = Window(since=NOW - timedelta(hours=1), until=NOW)
AT = NOW - timedelta(minutes=10)
KEY = "px-0123456789-secret"


@pytest.fixture
def server() -> Iterator[Server]:
    with phoenix_stand_in() as server:
        yield server


class Waits:
    """A pace whose waits are written down and not waited for."""

    def __init__(self) -> None:
        self.at = 0.0
        self.waited: list[float] = []
        self.pace = Pace(now=lambda: self.at, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.at += seconds


def source(server: Server, waits: Waits | None = None, **changes: Any) -> Phoenix:
    config = SourceConfig(
        **{"name": "there", "kind": "phoenix", "base_url": server.url, "project": "shop", "key": KEY, **changes}
    )
    return Phoenix(config, (waits or Waits()).pace)


def read(server: Server, waits: Waits | None = None) -> list[Page]:
    return list(source(server, waits).pages(WINDOW))


def test_every_page_is_read_and_the_key_goes_along(server: Server) -> None:
    server.spans = [span(n, AT) for n in range(1, 6)]
    pages = read(server)
    assert [len(page.spans) for page in pages] == [2, 2, 1]
    assert {s.trace_id for page in pages for s in page.spans} == {f"{n:032x}" for n in range(1, 6)}
    assert {headers["authorization"] for _, _, headers in server.asked} == {f"Bearer {KEY}"}


def test_the_window_holds_its_start_and_not_its_end(server: Server) -> None:
    server.spans = [span(1, WINDOW.since), span(2, WINDOW.until)]
    [page] = read(server)
    assert [s.trace_id for s in page.spans] == [f"{1:032x}"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"context": None}, "rejected: trace id"),
        ({"context": {"trace_id": "00", "span_id": "a" * 16}}, "rejected: trace id"),
        ({"context": {"trace_id": "a" * 32, "span_id": None}}, "rejected: span id"),
        ({"end_time": None}, "rejected: time"),
        ({"end_time": "2026-11-24T11:00:00"}, "rejected: time"),
        ({"events": [{"name": 7}]}, "event"),
    ],
)
def test_what_cannot_be_taken_is_counted_and_its_neighbour_is_taken(
    server: Server, change: dict[str, Any], why: str
) -> None:
    server.spans = [span(1, AT, **change), span(2, AT)]
    [page] = read(server)
    assert page.counts == {why: 1}
    assert f"{2:032x}" in {s.trace_id for s in page.spans}


def test_attributes_come_back_as_they_were_sent(server: Server) -> None:
    unpacked = {
        "tool.parameters.id": 17,
        "tool.parameters.with.0.part": "items",
        "tool.parameters.with.1.part": "price",
        "metadata.a": 1,
        "metadata.a.b": 2,
        "llm.token_count.prompt": 3,
    }
    server.spans = [span(1, AT, attributes=unpacked)]
    [page] = read(server)
    assert page.spans[0].attributes == {
        "tool.parameters": {"id": 17, "with": [{"part": "items"}, {"part": "price"}]},
        "metadata": {"a": 1},
        "metadata.a.b": 2,
        "llm.token_count.prompt": 3,
        "openinference.span.kind": "CHAIN",
    }


def annotation(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "span_id": f"{1:016x}",
        "name": name,
        "identifier": "",
        "annotator_kind": "HUMAN",
        "metadata": {},
        "result": {"label": "down", "score": None, "explanation": "wrong"},
        "updated_at": "2026-11-24T11:55:00+00:00",
    } | changes


def test_what_people_said_is_feedback_on_every_page_of_it_and_nothing_else_is(server: Server) -> None:
    server.spans = [span(1, AT)]
    server.annotations = [
        annotation("thumb"),
        annotation("model's", annotator_kind="LLM"),
        annotation("ours", metadata={"pushed_by": "watchkeeper"}),
        annotation("stars", result={"label": None, "score": 0.5, "explanation": None}),
        annotation("nothing", result=None),
    ]
    [page] = read(server)
    assert [(s.feedback.kind, s.feedback.value, s.feedback.comment) for s in page.feedback] == [
        ("thumb", "down", "wrong"),
        ("stars", 0.5, None),
    ]
    assert page.feedback[0].trace_id == f"{1:032x}"
    assert page.feedback[0].feedback.at == datetime(2026, 11, 24, 11, 55, tzinfo=UTC)
    assert page.counts == {"annotation without a word": 1}


def test_a_429_is_waited_out_as_long_as_it_says_and_no_page_is_lost(server: Server) -> None:
    server.spans = [span(n, AT) for n in range(1, 6)]
    server.refusals = [(429, {"retry-after": "7"}, "slow down")]
    waits = Waits()
    assert sum(len(page.spans) for page in read(server, waits)) == 5
    assert waits.waited[0] == pytest.approx(7)


def test_a_server_that_only_says_429_is_given_up_with_its_own_wait(server: Server) -> None:
    server.refusals = [(429, {"retry-after": "9"}, "")] * 6
    with pytest.raises(SourceFailed, match=r"there: told us to slow down 6 times \(429\)") as told:
        read(server)
    assert told.value.retry_after_s == 9


def test_a_server_in_trouble_is_asked_again_and_then_given_up(server: Server) -> None:
    server.spans = [span(1, AT)]
    server.refusals = [(503, {}, "starting")] * 5
    assert len(read(server)) == 1
    server.refusals = [(503, {}, "starting")] * 6
    with pytest.raises(SourceFailed, match="there: answered 503: starting, 6 times"):
        read(server)


def test_a_server_that_is_not_there_is_one_line(server: Server) -> None:
    with pytest.raises(SourceFailed, match=r"there: cannot be reached \(ConnectError\), 6 times"):
        list(source(server, base_url="http://127.0.0.1:9").pages(WINDOW))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_told_without_the_key(server: Server, status: int) -> None:
    server.refusals = [(status, {}, f"no such key: {KEY}")]
    with pytest.raises(Misconfigured) as told:
        read(server)
    assert str(told.value) == f"sources.there: the key was refused ({status}): no such key: ***"


@pytest.mark.parametrize("status", [404, 405, 410])
def test_an_endpoint_that_is_gone_is_its_own_error_so_that_another_may_be_tried(server: Server, status: int) -> None:
    server.refusals = [(status, {}, "Project with name shop not found")]
    with pytest.raises(Gone, match="Project with name shop not found"):
        read(server)


@pytest.mark.parametrize("body", ["<!DOCTYPE html>", "[]", '{"spans": []}'])
def test_an_address_that_is_something_else_is_told(server: Server, body: str) -> None:
    server.refusals = [(200, {}, body)]
    with pytest.raises(SourceFailed, match="base_url"):
        read(server)


def test_a_cursor_that_goes_in_a_circle_ends(server: Server) -> None:
    page = '{"data": [], "next_cursor": "again"}'
    server.refusals = [(200, {}, page)] * 3
    with pytest.raises(SourceFailed, match="twice"):
        read(server)


@pytest.mark.parametrize("project", ["a/b", "a?b", "a#b"])
def test_a_project_name_that_phoenix_cannot_take_is_refused_at_once(server: Server, project: str) -> None:
    with pytest.raises(Misconfigured, match=r"sources\.there\.project"):
        source(server, project=project)


@pytest.mark.parametrize("address", ["phoenix.example", "ftp://phoenix.example", "http://", ""])
def test_an_address_that_is_none_is_refused_at_once(address: str) -> None:
    with pytest.raises(Misconfigured, match=r"sources\.there\.base_url: not a web address"):
        connect(SourceConfig(name="there", kind="phoenix", base_url=address))
