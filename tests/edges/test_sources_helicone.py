"""Helicone as a source, over real HTTP against a stand-in that speaks its API."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.edges.source_stand_ins.helicone import ELSEWHERE, KEY, HeliconeStandIn
from tests.edges.source_stand_ins.pulling import DAY, SECRET, StillClock, pulled, stored
from tests.edges.source_stand_ins.server import Fault, serving
from watchkeeper.database.engine import Store
from watchkeeper.observability import service
from watchkeeper.observability.redact import Policy, user_hash
from watchkeeper.observability.request import Call, Feedback, Prompt, Request, Retrieval, Tokens, ToolCall
from watchkeeper.sources.helicone import Helicone, web_address
from watchkeeper.sources.http import SourceFailed
from watchkeeper.sources.interface import Remote, Score, SourceConfig, Window, span_id_of, trace_id_of

ID = "0193a1b2-0000-7000-8000-000000000000"
TRACE_ID = trace_id_of(ID)
ASKED = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where is my order?"}]


@pytest.fixture
def helicone() -> Iterator[HeliconeStandIn]:
    with serving(HeliconeStandIn()) as stand_in:
        yield stand_in


def source(stand_in: HeliconeStandIn, **changed: Any) -> Helicone:
    given = {"key": KEY, "base_url": stand_in.base_url, "timeout_s": 5.0, **changed}
    return Helicone(SourceConfig(name="hc", kind="helicone", **given), StillClock().pace())


def row(id: str = ID, **more: Any) -> dict[str, Any]:
    """A request as ClickHouse has it: times without a zone, bodies elsewhere, whole numbers as text now and then."""
    return {
        "request_id": id,
        "response_id": "r",
        "request_created_at": "2026-11-24 10:00:00.123",
        "response_created_at": "2026-11-24 10:00:01.963",
        "response_status": 200,
        "delay_ms": 1840,
        "time_to_first_token": None,
        "provider": "OPENAI",
        "request_model": "gpt-5",
        "request_body": ELSEWHERE,
        "response_body": ELSEWHERE,
        "request_user_id": "",
        "properties": {},
        "scores": {},
        "cost": 0,
        **more,
    }


def streamed(stand_in: HeliconeStandIn) -> None:
    """A streamed answer with cached and reasoning tokens, its bodies in the object store."""
    stand_in.rows = [
        row(
            signed_body_url=stand_in.signed(ID),
            time_to_first_token=310,
            prompt_tokens="600",
            completion_tokens=210,
            prompt_cache_read_tokens=312,
            cost=0.0026,
            request_user_id="ada@example.com",
            prompt_id="answer",
            prompt_version="12",
            properties={
                "Helicone-Session-Id": "s-1",
                "Helicone-Session-Name": "support.answer",
                "Helicone-Session-Path": "/answer",
                "Segment": "free",
                "job_id": "ticket-991",
                "env": "production",
                "release": "2026.11.3",
                "tier": "gold",
            },
        )
    ]
    stand_in.bodies[ID] = {
        "request": {"model": "gpt-5", "messages": ASKED, "temperature": 0.2, "max_tokens": 800, "stream": True,
                    "user": "ada@example.com", "tools": [{"type": "function"}]},
        "response": {
            "id": "chatcmpl-1", "model": "gpt-5-2026-08-01", "system_fingerprint": "fp_1",
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": "It arrives on Friday."}}],
            "usage": {"prompt_tokens": 912, "completion_tokens": 210, "total_tokens": 1122,
                      "prompt_tokens_details": {"cached_tokens": 312},
                      "completion_tokens_details": {"reasoning_tokens": 60}},
        },
    }  # fmt: skip


def whole_request(user: str = "ada@example.com") -> Request:
    """What the streamed answer is to us."""
    about = {"user_id": user, "metadata": {"Helicone-Session-Path": "/answer", "tier": "gold"}}
    return Request(
        trace_id=TRACE_ID,
        span_id=span_id_of(ID),
        started_at=datetime(2026, 11, 24, 10, 0, 0, 123_000, tzinfo=UTC),
        route="support.answer",
        segment="free",
        session_id="s-1",
        job_id="ticket-991",
        environment="production",
        release="2026.11.3",
        prompt=Prompt(id="answer", version="12"),
        input="Where is my order?",
        response="It arrives on Friday.",
        ttft_ms=310.0,
        latency_ms=1840.0,
        calls=[
            Call(
                span_id=span_id_of(ID),
                provider="openai",
                model_requested="gpt-5",
                model_served="gpt-5-2026-08-01",
                system_fingerprint="fp_1",
                params={"max_tokens": 800, "stream": True, "temperature": 0.2},
                messages=ASKED,
                response="It arrives on Friday.",
                finish_reason="stop",
                tokens=Tokens(input=600, output=150, cache_read=312, reasoning=60),
                ttft_ms=310.0,
                latency_ms=1840.0,
                cost_nano_usd=2_600_000,
                flags=[],
                more={"attributes": about, "response_id": "chatcmpl-1"},
            )
        ],
        retrievals=[],
        tool_calls=[],
        feedback=[],
    )


def test_a_logged_request_becomes_the_request_it_was(helicone: HeliconeStandIn, store: Store) -> None:
    streamed(helicone)
    assert pulled(store, source(helicone).pages(DAY), TRACE_ID) == whole_request()


def test_who_the_user_is_reaches_the_store_only_as_a_hash(helicone: HeliconeStandIn, sqlite_store: Store) -> None:
    streamed(helicone)
    request = pulled(sqlite_store, source(helicone).pages(DAY), TRACE_ID, Policy(secret=SECRET))
    assert request == whole_request(user=user_hash("ada@example.com", SECRET))
    assert "ada@" not in repr(request)


@pytest.mark.parametrize("signature", ["good", "too old"])
def test_a_body_that_is_gone_costs_the_texts_and_not_the_request(
    helicone: HeliconeStandIn, sqlite_store: Store, signature: str
) -> None:
    streamed(helicone)
    helicone.bodies.clear()
    helicone.rows[0]["signed_body_url"] = helicone.signed(ID, signature)
    pages = list(source(helicone).pages(DAY))
    request = pulled(sqlite_store, pages, TRACE_ID)
    assert pages[0].counts == {"texts whose body is gone": 1}
    assert (request.input, request.response, request.route) == (None, None, "support.answer")
    assert request.calls[0].tokens == Tokens(input=600, output=210, cache_read=312)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "nowhere", 7, "http://[bad", "https://exa mple:port/", "http://"]
)
def test_an_address_that_is_none_is_not_asked(helicone: HeliconeStandIn, url: Any) -> None:
    helicone.rows = [row(signed_body_url=url)]
    page = next(source(helicone).pages(DAY))
    assert (len(page.spans), page.counts) == (1, {"texts whose body is gone": 1})


def test_a_body_that_is_a_page_instead_of_json_costs_the_texts_only(helicone: HeliconeStandIn) -> None:
    streamed(helicone)
    helicone.fail(Fault(kind="html", path="/bodies/"))
    page = next(source(helicone).pages(DAY))
    assert (len(page.spans), page.counts) == (1, {"texts whose body is gone": 1})


def test_an_object_store_that_is_down_ends_the_pull_so_that_no_text_is_lost(helicone: HeliconeStandIn) -> None:
    streamed(helicone)
    helicone.fail(*[Fault(kind=500, path="/bodies/")] * 20)
    with pytest.raises(SourceFailed, match=r"\Ahc: answered 500[^\n]*\Z"):
        list(source(helicone).pages(DAY))


def test_bodies_outside_of_the_window_are_not_fetched(helicone: HeliconeStandIn) -> None:
    streamed(helicone)
    helicone.rows[0]["request_created_at"] = "2026-11-24 10:00:00.000"  # the window begins within that millisecond
    window = Window(since=datetime(2026, 11, 24, 10, 0, 0, 500, tzinfo=UTC), until=DAY.until)
    assert [len(page.spans) for page in source(helicone).pages(window)] == [0]
    assert helicone.paths() == ["/v1/request/query-clickhouse"]


@pytest.mark.parametrize(
    ("status", "error", "raw"),
    [(429, "rate_limited", "429"), (503, "overloaded", "503"), (-3, "cancelled", None), (-1, "error", None)],
)
def test_a_failed_call_has_its_error_and_no_answer(
    helicone: HeliconeStandIn, sqlite_store: Store, status: int, error: str, raw: str | None
) -> None:
    body = {"error": {"message": "no", "type": "x", "code": None}}
    helicone.rows = [row(response_status=status, request_body={"messages": ASKED}, response_body=body)]
    request = pulled(sqlite_store, source(helicone).pages(DAY), TRACE_ID)
    assert (request.error_type, request.calls[0].error_type) == (error, error)
    assert request.calls[0].more.get("error_type_raw") == raw
    assert (request.response, request.calls[0].cost_nano_usd) == (None, None)


def test_anthropics_answer_counts_what_was_cached_beside_its_input(
    helicone: HeliconeStandIn, sqlite_store: Store
) -> None:
    helicone.rows = [
        row(
            provider="ANTHROPIC",
            request_body={"model": "claude", "system": "Be kind.", "messages": ASKED[1:], "max_tokens": 9},
            response_body={
                "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": "tool_use",
                "content": [{"type": "text", "text": "Let me look."},
                            {"type": "tool_use", "id": "toolu_1", "name": "lookup_order", "input": {"id": 991}}],
                "usage": {"input_tokens": 100, "cache_read_input_tokens": 900, "cache_creation_input_tokens": 50,
                          "output_tokens": 30},
            },
        )
    ]  # fmt: skip
    request = pulled(sqlite_store, source(helicone).pages(DAY), TRACE_ID)
    (call,) = request.calls
    assert call.messages == ASKED
    assert (call.response, call.finish_reason, call.model_served) == ("Let me look.", "tool_calls", "claude-x")
    assert call.tokens == Tokens(input=100, output=30, cache_read=900, cache_write=50)
    assert [(tool.name, tool.arguments) for tool in request.tool_calls] == [("lookup_order", {"id": 991})]


def test_geminis_answer_has_its_thoughts_in_the_output(helicone: HeliconeStandIn, sqlite_store: Store) -> None:
    helicone.rows = [
        row(
            request_body={
                "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
                "systemInstruction": {"parts": [{"text": "Be kind."}]},
                "generationConfig": {"temperature": 0.5},
            },
            response_body={
                "candidates": [{"content": {"role": "model", "parts": [{"text": "Hello!"}]}, "finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 7,
                                  "cachedContentTokenCount": 4},
                "modelVersion": "gemini-x-001",
            },
        )
    ]  # fmt: skip
    (call,) = pulled(sqlite_store, source(helicone).pages(DAY), TRACE_ID).calls
    assert call.messages == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    assert (call.response, call.finish_reason, call.model_served) == ("Hello!", "stop", "gemini-x-001")
    assert (call.tokens, call.params) == (
        Tokens(input=6, output=3, cache_read=4, reasoning=7),
        {"temperature": 0.5},
    )


def test_openais_responses_are_read_too(helicone: HeliconeStandIn, sqlite_store: Store) -> None:
    asked = [
        {"role": "user", "content": "Hi"},
        {"type": "function_call", "call_id": "call_0", "name": "look", "arguments": '{"at": "me"}'},
        {"type": "function_call_output", "call_id": "call_0", "output": "seen"},
    ]
    output = [
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello!"}]},
        {"type": "function_call", "call_id": "call_1", "name": "wave", "arguments": "{}"},
    ]
    usage = {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 10,
             "output_tokens_details": {"reasoning_tokens": 7}}  # fmt: skip
    helicone.rows = [
        row(
            request_body={"model": "gpt-5", "input": asked, "instructions": "Be kind."},
            response_body={"id": "resp_1", "model": "gpt-5-x", "status": "completed", "output": output, "usage": usage},
        )
    ]
    request = pulled(sqlite_store, source(helicone).pages(DAY), TRACE_ID)
    (call,) = request.calls
    looked = {"id": "call_0", "name": "look", "arguments": {"at": "me"}}
    assert call.messages == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [looked]},
        {"role": "tool", "content": "seen", "tool_call_id": "call_0"},
    ]
    assert (call.response, call.finish_reason) == ("Hello!", "stop")
    assert call.tokens == Tokens(input=6, output=3, cache_read=4, reasoning=7)
    assert [(tool.name, tool.arguments) for tool in request.tool_calls] == [("wave", {})]


def test_logged_tools_and_searches_are_no_calls(helicone: HeliconeStandIn, sqlite_store: Store) -> None:
    helicone.rows = [
        row("t", request_model="tool:lookup", request_body={"_type": "tool", "toolName": "lookup", "input": {"id": 1}},
            response_body={"state": "shipped"}),
        row("v", request_body={"_type": "vector_db", "operation": "search", "text": "order"},
            response_body={"results": [{"id": "doc-17", "score": 0.82}]}),
    ]  # fmt: skip
    stored(sqlite_store, source(helicone).pages(DAY))
    tool, search = (service.request(sqlite_store, trace_id_of(id)) for id in ("t", "v"))
    assert (tool.calls, search.calls) == ([], [])
    assert tool.tool_calls == [
        ToolCall(span_id=span_id_of("t"), name="lookup", arguments={"id": 1}, result={"state": "shipped"})
    ]
    assert search.retrievals == [Retrieval(span_id=span_id_of("v"), documents=[{"id": "doc-17", "score": 0.82}])]


def test_a_request_that_is_under_way_waits_for_its_end(helicone: HeliconeStandIn) -> None:
    helicone.rows = [row(response_status=-2), row("x", delay_ms=None, response_created_at=None)]
    page = next(source(helicone).pages(DAY))
    assert (list(page.spans), page.counts) == ([], {"not finished": 2})


def test_rows_that_arrive_while_pages_are_read_hide_none(helicone: HeliconeStandIn) -> None:
    for n in range(1500):
        helicone.add(f"r{n}", f"2026-11-24T10:00:{n // 100:02}.{n // 100:03}Z")
    late = HeliconeStandIn()
    for n in range(300):
        late.add(f"late{n}", "2026-11-24T09:00:00.000Z")
    helicone.arriving = late.rows
    found = {span.name for page in source(helicone).pages(DAY) for span in page.spans}
    assert {f"r{n}" for n in range(1500)} <= found


def test_more_requests_of_one_instant_than_a_page_holds_are_all_found(helicone: HeliconeStandIn) -> None:
    for n in range(2500):
        helicone.add(f"r{n}", "2026-11-24T10:00:00.000Z")
    found = [span.name for page in source(helicone).pages(DAY) for span in page.spans]
    assert (len(found), len(set(found))) == (2500, 2500)


def test_thumbs_and_scores_of_others_are_feedback_and_ours_are_not(helicone: HeliconeStandIn) -> None:
    helicone.rows = [
        row(
            "up",
            scores={"helicone-score-feedback": 1, "watchkeeper-tone": 50, "politeness": 80, "solved-hcone-bool": 0},
        ),
        row("down", scores={"helicone-score-feedback": {"value": 0, "valueType": "boolean"}}),
        row("old", feedback_rating=False, feedback_created_at="2026-11-24 11:00:00"),
        row("none", scores=None),
    ]
    (page,) = source(helicone).pages(DAY)
    assert [(said.trace_id, said.feedback) for said in page.feedback] == [
        (trace_id_of("up"), Feedback(kind="thumb", value=1)),
        (trace_id_of("up"), Feedback(kind="politeness", value=80)),
        (trace_id_of("up"), Feedback(kind="solved", value=False)),
        (trace_id_of("down"), Feedback(kind="thumb", value=-1)),
        (trace_id_of("old"), Feedback(kind="thumb", value=-1, at=datetime(2026, 11, 24, 11, tzinfo=UTC))),
    ]


def score(value: float, name: str) -> Score:
    remote = Remote(trace_id=TRACE_ID, span_id=span_id_of(ID), remote_trace_id=ID, remote_id=ID)
    return Score(remote=remote, name=name, value=value)


def test_all_scores_of_a_request_go_in_one_as_whole_hundredths(helicone: HeliconeStandIn) -> None:
    source(helicone).push([score(0.125, "even"), score(0.135, "also even"), score(1.0, "best"), score(0.0, "worst")])
    (asked,) = helicone.asked
    assert asked.path == f"/v1/request/{ID}/score"
    assert asked.body == {"scores": {
        "watchkeeper-even": 12, "watchkeeper-also even": 14, "watchkeeper-best": 100, "watchkeeper-worst": 0,
    }}  # fmt: skip


@pytest.mark.parametrize(
    ("api", "web"),
    [
        ("https://api.helicone.ai", "https://us.helicone.ai"),
        ("https://eu.api.helicone.ai/", "https://eu.helicone.ai"),
        ("http://127.0.0.1:8585", None),
    ],
)
def test_where_helicone_itself_serves_it_people_see_requests(api: str, web: str | None) -> None:
    assert web_address(api) == web


def test_a_request_of_a_server_of_ones_own_has_no_page_we_know(helicone: HeliconeStandIn) -> None:
    helicone.rows = [row()]
    assert [remote.url for page in source(helicone).pages(DAY) for remote in page.roots] == [None]


def test_an_error_inside_a_good_status_is_a_failure(helicone: HeliconeStandIn) -> None:
    helicone.error_inside = "out of memory"
    with pytest.raises(SourceFailed, match=r"\Ahc: could not answer the query: out of memory\Z"):
        list(source(helicone).pages(DAY))
