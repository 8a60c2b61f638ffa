"""Langfuse as a source, over real HTTP against a stand-in that speaks its API."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.edges.source_stand_ins.langfuse import PUBLIC, SECRET, LangfuseStandIn
from tests.edges.source_stand_ins.pulling import DAY, TRACE, StillClock, pulled
from tests.edges.source_stand_ins.pulling import SECRET as OUR_SECRET
from tests.edges.source_stand_ins.server import serving
from watchkeeper.database.engine import Store
from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.observability.redact import Policy, user_hash
from watchkeeper.observability.request import Call, Feedback, Prompt, Request, Retrieval, Tokens, ToolCall
from watchkeeper.sources.http import Gone, Pace, SourceFailed
from watchkeeper.sources.interface import Remote, Score, SourceConfig, Window, span_id_of
from watchkeeper.sources.langfuse import Langfuse

OLD = {"/api/public/v2/", "/api/public/v3/"}
RETIRED = {"/api/public/observations", "/api/public/traces", "/api/public/v2/scores"}


@pytest.fixture
def langfuse() -> Iterator[LangfuseStandIn]:
    with serving(LangfuseStandIn()) as stand_in:
        yield stand_in


def source(stand_in: LangfuseStandIn, pace: Pace | None = None, **changed: Any) -> Langfuse:
    given = {"public_key": PUBLIC, "key": SECRET, "base_url": stand_in.base_url, "timeout_s": 5.0, **changed}
    return Langfuse(SourceConfig(name="lf", kind="langfuse", **given), pace or StillClock().pace())


def observation(id: str, start: str, end: str | None, parent: str | None = "root-obs", **more: Any) -> dict[str, Any]:
    """An observation of the trace; times are of 2026-11-24T10:00."""
    return {
        "id": id,
        "traceId": TRACE,
        "projectId": "p-1",
        "startTime": f"2026-11-24T10:00:{start}Z",
        "endTime": end and f"2026-11-24T10:00:{end}Z",
        "parentObservationId": parent,
        "isRootObservation": parent is None,
        "type": "SPAN",
        "name": id,
        "level": "DEFAULT",
        "statusMessage": None,
        "environment": "production",
        "traceName": "support.answer",
        "sessionId": "s-1",
        "userId": "ada@example.com",
        "release": "2026.11.3",
        "tags": ["vip"],
        **more,
    }


def conversation() -> list[dict[str, Any]]:
    """A request: a search, a failed call, a tool, and a streamed call with cached and reasoning tokens."""
    asked = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where is my order?"}]
    tool_call = {"id": "call_1", "type": "function", "function": {"name": "lookup_order", "arguments": '{"id": 991}'}}
    return [
        observation(
            "root-obs", "00.000", "03.500", None, name="answer", input='"Where is my order?"',
            output=json.dumps({"answer": "It arrives on Friday."}), 
            metadata={"segment": "free", "job_id": "ticket-991"},
        ),
        observation(
            "search", "00.100", "00.300", type="RETRIEVER", input='"order"',
            output=json.dumps([{"id": "doc-17", "score": 0.82, "page_content": "Orders …"}, {"id": "doc-3"}]),
        ),
        observation(
            "first-try", "00.400", "00.900", type="GENERATION", providedModelName="gpt-5", level="ERROR",
            statusMessage="RateLimitError: Error code: 429", input=json.dumps(asked), usageDetails={}, costDetails={},
            totalCost=0,
        ),
        observation(
            "lookup_order", "01.000", "01.250", type="TOOL", input='{"id": 991}', output='{"state": "shipped"}',
        ),
        observation(
            "second-try", "01.500", "03.400", type="GENERATION", providedModelName="gpt-5-2026-08-01",
            modelParameters={"temperature": 0.2, "max_tokens": 800}, promptName="answer", promptVersion=12,
            input=json.dumps({"messages": [*asked, {"role": "assistant", "tool_calls": [tool_call]}]}),
            output=json.dumps({"role": "assistant", "content": "It arrives on Friday."}),
            usageDetails={"input": 400, "input_cached_tokens": 512, "output": 150, "output_reasoning_tokens": 60,
                          "total": 1122},
            costDetails={"input": 0.0005, "output": 0.0021, "total": 0.0026}, totalCost=0.0026,
            timeToFirstToken=0.31, latency=1.9,
        ),
    ]  # fmt: skip


def whole_request(user: str = "ada@example.com") -> Request:
    """What the conversation is to us."""
    asked = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where is my order?"}]
    tool_call = {"id": "call_1", "type": "function", "function": {"name": "lookup_order", "arguments": '{"id": 991}'}}
    again = {"role": "assistant", "content": None, "tool_calls": [tool_call]}
    return Request(
        trace_id=TRACE,
        span_id=span_id_of("root-obs"),
        started_at=datetime(2026, 11, 24, 10, tzinfo=UTC),
        route="support.answer",
        segment="free",
        session_id="s-1",
        job_id="ticket-991",
        environment="production",
        release="2026.11.3",
        prompt=Prompt(id="answer", version="12"),
        input="Where is my order?",
        response="It arrives on Friday.",
        ttft_ms=1810.0,
        latency_ms=3500.0,
        calls=[
            Call(
                span_id=span_id_of("first-try"),
                model_requested="gpt-5",
                messages=asked,
                latency_ms=500.0,
                error_type="rate_limited",
                flags=[],
                more={"error_type_raw": "RateLimitError"},
            ),
            Call(
                span_id=span_id_of("second-try"),
                model_served="gpt-5-2026-08-01",
                params={"temperature": 0.2, "max_tokens": 800},
                messages=[*asked, again],
                response="It arrives on Friday.",
                tokens=Tokens(input=400, output=150, cache_read=512, reasoning=60),
                ttft_ms=310.0,
                latency_ms=1900.0,
                cost_nano_usd=2_600_000,
                flags=[],
            ),
        ],
        retrievals=[
            Retrieval(
                span_id=span_id_of("search"),
                documents=[{"id": "doc-17", "score": 0.82}, {"id": "doc-3", "score": None}],
            )
        ],
        tool_calls=[
            ToolCall(
                span_id=span_id_of("lookup_order"),
                name="lookup_order",
                arguments={"id": 991},
                result={"state": "shipped"},
            )
        ],
        feedback=[],
        attributes={"tags": ["vip"], "user_id": user},
    )


def test_a_conversation_becomes_the_request_it_was(langfuse: LangfuseStandIn, store: Store) -> None:
    langfuse.observations = conversation()
    assert pulled(store, source(langfuse).pages(DAY)) == whole_request()


def test_a_server_without_the_new_endpoints_gives_the_same_request(langfuse: LangfuseStandIn, store: Store) -> None:
    langfuse.missing = set(OLD)
    langfuse.observations = conversation()
    langfuse.traces = [
        {
            "id": TRACE, "timestamp": "2026-11-24T10:00:00.000Z", "name": "support.answer", "sessionId": "s-1",
            "userId": "ada@example.com", "release": "2026.11.3", "tags": ["vip"],
        }
    ]  # fmt: skip
    assert pulled(store, source(langfuse).pages(DAY)) == whole_request()
    assert "/api/public/observations" in langfuse.paths()


def test_a_server_whose_old_endpoints_are_retired_is_not_asked_for_them(langfuse: LangfuseStandIn) -> None:
    langfuse.missing = set(RETIRED)
    langfuse.observations = conversation()
    assert len([span for page in source(langfuse).pages(DAY) for span in page.spans]) == 5
    assert langfuse.paths() == ["/api/public/v2/observations", "/api/public/v3/scores"]


def test_a_server_with_neither_is_none(langfuse: LangfuseStandIn) -> None:
    langfuse.missing = {"/"}
    with pytest.raises(Gone, match="404"):
        list(source(langfuse).pages(DAY))


def test_three_pages_bring_each_observation_once(langfuse: LangfuseStandIn) -> None:
    langfuse.observations, langfuse.page_size = conversation(), 2
    pages = list(source(langfuse).pages(DAY))
    assert [len(page.spans) for page in pages] == [2, 2, 1, 0]
    assert [span.name for page in pages for span in page.spans] == [each["name"] for each in conversation()]


def test_an_old_server_is_asked_page_after_page(langfuse: LangfuseStandIn) -> None:
    langfuse.missing = set(OLD)
    langfuse.observations = [observation(f"o-{n}", "00.000", "00.001", None) for n in range(201)]
    assert len({span.span_id for page in source(langfuse).pages(DAY) for span in page.spans}) == 201
    assert [each.params["page"] for each in langfuse.asked if each.path == "/api/public/observations"] == [
        "1",
        "2",
        "3",
    ]


def test_what_cannot_be_taken_is_counted_and_its_neighbours_are_taken(langfuse: LangfuseStandIn) -> None:
    langfuse.observations = [
        observation("good", "00.000", "00.500", None),
        "not an observation",
        observation("no time", "00.000", "00.500", None) | {"startTime": None},
        observation("when", "00.000", "00.500", None) | {"startTime": "yesterday"},
        observation("no trace", "00.000", "00.500", None) | {"traceId": None},
        observation("", "00.000", "00.500", None),
        observation("running", "00.000", None, None),
        observation("good too", "00.000", "00.500", None, type="GENERATION", input="{not json", modelParameters=7),
    ]
    page = next(source(langfuse).pages(DAY))
    assert [span.name for span in page.spans] == ["good", "good too"]
    assert page.counts == {
        "rejected: not an object": 1,
        "rejected: no start time": 2,
        "rejected: no trace id": 1,
        "rejected: no id": 1,
        "not finished": 1,
    }


def test_a_search_that_names_no_documents_is_not_a_search_that_found_none(
    langfuse: LangfuseStandIn, store: Store
) -> None:
    langfuse.observations = [
        observation("root-obs", "00.000", "01.000", None),
        observation("silent", "00.100", "00.200", type="RETRIEVER", output=None),
        observation("empty", "00.300", "00.400", type="RETRIEVER", output="[]"),
    ]
    pages = list(source(langfuse).pages(DAY))
    assert pulled(store, pages).retrievals == [Retrieval(span_id=span_id_of("empty"), documents=[])]
    assert pages[0].counts == {"retrievals that do not name their documents": 1}


def test_who_the_user_is_reaches_the_store_only_as_a_hash(langfuse: LangfuseStandIn, store: Store) -> None:
    langfuse.observations = conversation()
    policy = Policy(secret=OUR_SECRET)
    request = pulled(store, source(langfuse).pages(DAY), policy=policy)
    assert request == whole_request(user=user_hash("ada@example.com", OUR_SECRET))
    assert "ada" not in repr(request)


def test_a_model_without_a_price_has_no_cost_and_a_free_one_costs_nothing(
    langfuse: LangfuseStandIn, store: Store
) -> None:
    langfuse.observations = [
        observation("root-obs", "00.000", "09.000", None),
        observation("unpriced", "01.000", "02.000", type="GENERATION", totalCost=0, costDetails={}),
        observation("free", "03.000", "04.000", type="GENERATION", totalCost=0, costDetails={"input": 0, "total": 0}),
        observation("in parts", "05.000", "06.000", type="GENERATION", costDetails={"input": 0.1, "output": 0.2}),
    ]
    request = pulled(store, source(langfuse).pages(DAY))
    assert [call.cost_nano_usd for call in request.calls] == [None, 0, 300_000_000]


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"input": 10, "output": 5, "total": 15}, Tokens(input=10, output=5)),
        ({"input": 10, "input_audio_tokens": 7, "output": 5, "total": 22}, Tokens(input=17, output=5)),
        (
            {"input": 10, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 3, "output": 5},
            Tokens(input=10, output=5, cache_read=90, cache_write=3),
        ),
        (
            {"input": 90, "input_cached_tokens": 10, "output": 50, "output_reasoning_tokens": 5},
            Tokens(input=90, output=50, cache_read=10, reasoning=5),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5}, Tokens(input=10, output=5)),
        ({"characters": 400}, Tokens()),
        ({}, Tokens()),
    ],
)
def test_usage_types_do_not_overlap(
    langfuse: LangfuseStandIn, sqlite_store: Store, usage: dict[str, int], tokens: Tokens
) -> None:
    langfuse.observations = [observation("call", "00.000", "01.000", None, type="GENERATION", usageDetails=usage)]
    assert pulled(sqlite_store, source(langfuse).pages(DAY)).calls[0].tokens == tokens


def test_the_first_token_is_also_known_by_when_it_came(langfuse: LangfuseStandIn, sqlite_store: Store) -> None:
    first = {"completionStartTime": "2026-11-24T10:00:00.310Z"}
    langfuse.observations = [observation("call", "00.000", "01.000", None, type="GENERATION", output="Hi", **first)]
    assert pulled(sqlite_store, source(langfuse).pages(DAY)).ttft_ms == 310.0


def test_a_roots_page_there_is_known(langfuse: LangfuseStandIn) -> None:
    langfuse.observations = conversation()
    page = next(source(langfuse).pages(DAY))
    assert page.roots == [
        Remote(
            trace_id=TRACE, span_id=span_id_of("root-obs"), remote_trace_id=TRACE, remote_id="root-obs",
            url=f"{langfuse.base_url}/project/p-1/traces/{TRACE}",
        )
    ]  # fmt: skip


def some_scores(stand_in: LangfuseStandIn) -> None:
    trace, given = {"kind": "trace", "id": TRACE}, "2026-11-24T11:00:00.000Z"
    observed = {"kind": "observation", "id": "second-try", "traceId": TRACE}
    for n, score in enumerate((
        {"name": "thumb", "value": True, "dataType": "BOOLEAN", "source": "API", "subject": trace, "comment": "Nice"},
        {"name": "tone", "value": "rude", "dataType": "CATEGORICAL", "source": "ANNOTATION", "subject": observed},
        {"name": "helpful", "value": 0.4, "dataType": "NUMERIC", "source": "EVAL", "subject": trace},
        {"name": "mood", "value": 1, "dataType": "NUMERIC", "source": "API", "subject": {"kind": "session", "id": "s"}},
        {"name": "ours", "value": 1, "dataType": "NUMERIC", "source": "API", "subject": trace,
         "metadata": {"watchkeeper": {"by": "llm"}}},
    )):  # fmt: skip
        stand_in.add_score(id=f"s-{n}", timestamp=given, **score)


@pytest.mark.parametrize("missing", [set(), {"/api/public/v3/"}, {"/api/public/v3/", "/api/public/v2/scores"}])
def test_scores_of_users_are_feedback_and_nobody_elses(langfuse: LangfuseStandIn, missing: set[str]) -> None:
    langfuse.missing = missing
    some_scores(langfuse)
    page = list(source(langfuse).pages(DAY))[-1]
    at = datetime(2026, 11, 24, 11, tzinfo=UTC)
    assert [(said.trace_id, said.feedback) for said in page.feedback] == [
        (TRACE, Feedback(kind="thumb", value=True, comment="Nice", at=at)),
        (TRACE, Feedback(kind="tone", value="rude", at=at)),
    ]
    assert page.counts == {"score of an evaluator there": 1, "score of no trace": 1}


def score(value: float, name: str = "tone") -> Score:
    remote = Remote(trace_id=TRACE, span_id=span_id_of("root-obs"), remote_trace_id=TRACE, remote_id="root-obs")
    return Score(remote=remote, name=name, value=value, label="fine", explanation="It was.")


@pytest.mark.parametrize("missing", [set(), {"/api/public/v3/"}])
def test_a_score_that_is_pushed_again_is_replaced_not_doubled(langfuse: LangfuseStandIn, missing: set[str]) -> None:
    langfuse.missing = missing
    source(langfuse).push([score(0.5), score(0.25, "length")])
    source(langfuse).push([score(0.75)])
    assert {(each["id"], each["name"], each["value"]) for each in langfuse.scores.values()} == {
        (score(0).id, "tone", 0.75),
        (score(0, "length").id, "length", 0.25),
    }
    assert len(langfuse.scores) == 2


def test_a_score_lands_on_the_observation_with_its_reasons_and_is_no_feedback(langfuse: LangfuseStandIn) -> None:
    source(langfuse).push([score(0.5)])
    (sent,) = [each.body for each in langfuse.asked if each.method == "POST"]
    assert sent.pop("timestamp").endswith("Z")
    assert sent == {
        "id": score(0).id, "traceId": TRACE, "observationId": "root-obs", "name": "tone", "value": 0.5,
        "dataType": "NUMERIC", "comment": "It was.", "metadata": {"watchkeeper": {"by": "llm", "label": "fine"}},
    }  # fmt: skip
    forever = Window(since=DAY.since, until=datetime(2100, 1, 1, tzinfo=UTC))
    assert not [said for page in source(langfuse).pages(forever) for said in page.feedback]


def test_a_cursor_that_leads_nowhere_ends_the_pull(langfuse: LangfuseStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    langfuse.observations = conversation()
    langfuse.cursors["again"] = 0
    monkeypatch.setattr(langfuse, "page", lambda items, cursor, limit: (items[:1], "again"))
    with pytest.raises(SourceFailed, match="same page again"):
        list(source(langfuse).pages(DAY))


@pytest.mark.parametrize("lacking", ["key", "public_key"])
def test_a_missing_key_is_said_before_anything_is_asked(langfuse: LangfuseStandIn, lacking: str) -> None:
    with pytest.raises(Misconfigured, match=r"sources\.lf: .*public_key.*key"):
        source(langfuse, **{lacking: None})
    assert langfuse.asked == []
