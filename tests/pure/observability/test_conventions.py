"""The same conversation captured from six instrumentations becomes the same record; what each cannot say is stated.

The server said: gpt-4o asked, gpt-4o-2024-08-06 served, 120 tokens in (100 cached), 30 out (10 reasoning); as a
stream with its first words after 55 ms; and "model gone". Anthropic: 20 in + 100 read + 30 written, 40 out.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.observability import otlp
from watchkeeper.observability.assembly import requests_of
from watchkeeper.observability.conventions import error_type, fields_of, finish_reason
from watchkeeper.observability.otlp import Event, Span
from watchkeeper.observability.packing import Texts, pack_values, read_value
from watchkeeper.observability.pieces import Piece, packed, piece_of, unpacked
from watchkeeper.observability.request import Request
from watchkeeper.observability.wire import as_json, request_of

CAPTURED = Path(__file__).parent / "captured"
OPENAI = ("genai", "oi", "lf", "trl", "lgf", "pai")
ANTHROPIC = ("genai_anthropic", "oi_anthropic", "trl_anthropic", "lgf_anthropic")
SENT = [{"role": "system", "content": "You are helpful."}, {"role": "user", "content": "How long do refunds take?"}]
FIELDS: dict[str, Any] = {
    "provider": "openai", "model_requested": "gpt-4o", "model_served": "gpt-4o-2024-08-06", "messages": SENT,
    "response": "Refunds take 5 days.", "finish_reason": "stop", "error_type": None, "response_id": "chatcmpl-1",
    "usage": {"input": 120, "output": 30, "cache_read": 100, "cache_write": None, "reasoning": 10},
    "temperature": 0.2, "max_tokens": 50, "system_fingerprint": "fp_1",
}  # fmt: skip
GAPS: dict[tuple[str, str], Any] = {
    ("lf", "provider"): None,
    ("lf", "model_requested"): None,
    ("lf", "finish_reason"): None,
    ("lf", "response_id"): None,
    ("lf", "system_fingerprint"): None,
    ("lgf", "system_fingerprint"): None,
    ("pai", "system_fingerprint"): None,
    ("pai", "temperature"): None,
    ("pai", "max_tokens"): None,
}
"""What an instrumentation does not send."""


def captured(name: str) -> list[Request]:
    decoded = otlp.traces((CAPTURED / f"{name}.otlp.pb").read_bytes(), "protobuf")
    counts: Counter[str] = Counter()
    traces: dict[str, list[Piece]] = {}
    for span in decoded.spans:
        traces.setdefault(span.trace_id, []).append(piece_of(span, counts))
    assert not counts
    assert not decoded.counts
    return [request for pieces in traces.values() for request in requests_of(pieces)]


def span(attributes: dict[str, Any], number: int = 1, **changes: Any) -> Span:
    plain = Span(
        "a" * 32, f"{number:016x}", None, "span", 10**18 + number, 2 * 10**18, False, "", {}, "scope", attributes, ()
    )
    return plain._replace(**changes)


def piece(attributes: dict[str, Any], number: int = 1, **changes: Any) -> Piece:
    return piece_of(span(attributes, number, **changes), Counter())


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("dialect", OPENAI)
def test_every_instrumentation_gives_the_same_field(dialect: str, field: str) -> None:
    [call] = as_json(captured(dialect)[0])["calls"]
    found = call["params"].get(field) if field in ("temperature", "max_tokens") else call.get(field)
    assert found == GAPS.get((dialect, field), FIELDS[field] if (dialect, field) not in GAPS else None)


@pytest.mark.parametrize("dialect", OPENAI)
def test_the_request_around_it_is_the_same(dialect: str) -> None:
    first = captured(dialect)[0]
    assert (first.input, first.response) == ("How long do refunds take?", "Refunds take 5 days.")
    assert (first.error_type, len(first.calls), first.tool_calls) == (None, 1, [])
    assert first.latency_ms is not None
    assert 5 < first.latency_ms < 50


@pytest.mark.parametrize(("dialect", "place"), [("genai", 1), ("oi", 1), ("trl", 1)])
def test_a_stream_has_its_time_to_first_text(dialect: str, place: int) -> None:
    [call] = captured(dialect)[place].calls
    assert call.ttft_ms is not None
    assert 50 < call.ttft_ms < 60
    assert call.params["stream"] is True
    assert call.tokens.wire_input == 120


@pytest.mark.parametrize(("dialect", "place"), [("genai", 2), ("oi", 2), ("trl", 2), ("lgf", 3)])
def test_a_failed_call_has_our_word_for_it_and_no_model_that_served(dialect: str, place: int) -> None:
    failed = captured(dialect)[place]
    [call] = failed.calls
    assert (failed.error_type, call.error_type) == ("not_found", "not_found")
    assert (call.model_requested, call.model_served, call.response) == ("bad", None, None)
    assert call.more["error_type_raw"].endswith("NotFoundError")


@pytest.mark.parametrize("dialect", ANTHROPIC)
def test_anthropic_tokens_are_the_total_and_its_tool_is_there_once(dialect: str) -> None:
    [request] = captured(dialect)
    [call] = as_json(request)["calls"]
    usage = {"input": 150, "output": 40, "cache_read": 100, "cache_write": 30, "reasoning": None}
    assert (call["usage"], call["finish_reason"], call["messages"]) == (usage, "stop", SENT)
    assert (call["provider"], call["model_requested"]) == ("anthropic", "claude-sonnet-4-5")
    [tool] = request.tool_calls
    assert (tool.name, tool.arguments, tool.more) == ("lookup_order", {"order_id": "A1"}, {"call_id": "toolu_1"})


def test_an_agent_that_repeats_its_childrens_sums_is_not_counted() -> None:
    [request] = captured("pai")
    assert len(request.calls) == 1
    assert request.route == "support"
    assert request.calls[0].cost_nano_usd == 475_000


@pytest.mark.parametrize("dialect", [*OPENAI, *ANTHROPIC])
def test_a_captured_request_survives_export_and_packing(dialect: str) -> None:
    for request in captured(dialect):
        assert request_of(as_json(request)) == request
    for each in otlp.traces((CAPTURED / f"{dialect}.otlp.pb").read_bytes(), "protobuf").spans:
        given, texts = piece_of(each, Counter()), Texts()
        row = packed(given, texts.keep)
        assert unpacked(given.trace_id, read_value(pack_values([[row]])[0])[0], texts.new) == given


@pytest.mark.parametrize("dialect", OPENAI)
def test_json_and_protobuf_say_the_same(dialect: str) -> None:
    by_json = otlp.traces((CAPTURED / f"{dialect}.otlp.json").read_bytes(), "json")
    assert by_json == otlp.traces((CAPTURED / f"{dialect}.otlp.pb").read_bytes(), "protobuf")


OWN = {
    "watchkeeper.kind": "request", "watchkeeper.route": "support.answer", "watchkeeper.segment": "free",
    "watchkeeper.job.id": "t-1", "session.id": "s-1", "watchkeeper.prompt.id": "answer",
    "watchkeeper.prompt.version": "12", "watchkeeper.variant.experiment": "tone", "watchkeeper.variant.name": "b",
    "watchkeeper.input": "in", "watchkeeper.response": "out", "watchkeeper.source": "production",
    "watchkeeper.attribute.shop": "de", "user.id": "max@example.com",
}  # fmt: skip


def test_our_own_spans_become_the_whole_record() -> None:
    resource = {"deployment.environment.name": "staging", "service.version": "1.2", "service.name": "shop"}
    root = piece(OWN, 1, resource=resource)
    call = piece(
        {
            "watchkeeper.kind": "call", "gen_ai.operation.name": "chat", "gen_ai.request.model": "m",
            "gen_ai.response.time_to_first_chunk": 0.25, "watchkeeper.cost_usd": 0.0219,
            "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"x"}]}]',
        },
        2, parent_span_id=root.span_id, start_ns=10**18 + 1_000_001,
    )  # fmt: skip
    search = piece(
        {"watchkeeper.kind": "retrieval", "gen_ai.retrieval.documents": '[{"id":"d","score":0.5},{"id":7}]'},
        3,
        parent_span_id=root.span_id,
    )
    tool = piece(
        {
            "watchkeeper.kind": "tool_call",
            "gen_ai.tool.name": "t",
            "gen_ai.tool.call.arguments": '{"a":1}',
            "gen_ai.tool.call.result": "plain",
        },
        4,
        parent_span_id=root.span_id,
    )
    [request] = requests_of([tool, search, call, root])
    assert (request.route, request.segment, request.job_id, request.session_id) == (
        "support.answer", "free", "t-1", "s-1",
    )  # fmt: skip
    assert request.prompt is not None
    assert (request.prompt.id, request.prompt.version) == ("answer", "12")
    assert request.variant is not None
    assert (request.variant.experiment, request.variant.name) == ("tone", "b")
    assert (request.input, request.response, request.source) == ("in", "out", "production")
    assert (request.environment, request.release) == ("staging", "1.2")
    assert request.attributes == {"shop": "de"}
    assert request.ttft_ms == pytest.approx(251.0)
    assert request.calls[0].cost_nano_usd == 21_900_000
    assert request.retrievals[0].documents == [{"id": "d", "score": 0.5}, {"id": "7", "score": None}]
    assert (request.tool_calls[0].arguments, request.tool_calls[0].result) == ({"a": 1}, "plain")
    assert "max@example.com" not in str(as_json(request))


OLD = [
    ("events", {"gen_ai.system": "openai", "gen_ai.request.model": "m", "gen_ai.usage.prompt_tokens": 5,
                "gen_ai.usage.completion_tokens": 2}),
    ("indexed", {"gen_ai.system": "openai", "llm.request.type": "chat", "gen_ai.request.model": "m",
                 "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "hi", "gen_ai.completion.0.content": "yo",
                 "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.finish_reason": "stop",
                 "gen_ai.usage.prompt_tokens": 5, "gen_ai.usage.completion_tokens": 2}),
    ("vercel", {"ai.operationId": "ai.generateText.doGenerate", "ai.model.provider": "openai", "ai.model.id": "m",
                "ai.prompt.messages": '[{"role":"user","content":"hi"}]', "ai.response.text": "yo",
                "ai.response.finishReason": "stop", "ai.usage.promptTokens": 5, "ai.usage.completionTokens": 2}),
]  # fmt: skip


@pytest.mark.parametrize("attributes", [each[1] for each in OLD], ids=[each[0] for each in OLD])
def test_older_generations_are_read(attributes: dict[str, Any]) -> None:
    events = (
        Event("gen_ai.user.message", 1, {"content": "hi"}),
        Event("gen_ai.choice", 2, {"message": '{"role":"assistant","content":"yo"}'}),
    )
    [request] = requests_of([piece(attributes, events=events)])
    [call] = request.calls
    assert (call.provider, call.model_requested, call.response) == ("openai", "m", "yo")
    assert call.messages == [{"role": "user", "content": "hi"}]
    assert (call.tokens.input, call.tokens.output) == (5, 2)


def test_parts_larger_than_the_whole_were_beside_it() -> None:
    usage = {"gen_ai.usage.input_tokens": 20, "gen_ai.usage.cache_read.input_tokens": 100}
    [request] = requests_of([piece({"gen_ai.operation.name": "chat", **usage})])
    assert request.calls[0].tokens.wire_input == 120


def test_a_stream_logfire_sends_in_two_items_is_one_call() -> None:
    model = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "logfire.span_type": "span"}
    root = piece({}, 1)
    began = piece({**model, "gen_ai.response.model": "m"}, 2, parent_span_id=root.span_id)
    at = began.start_ns + 150_000_000
    ended = piece(
        {
            **model, "logfire.span_type": "log", "duration": 0.14, "gen_ai.usage.output_tokens": 3,
            "gen_ai.response.model": "m-1",
        },
        3, parent_span_id=root.span_id, start_ns=at, end_ns=at,
    )  # fmt: skip
    [request] = requests_of([ended, root, began])
    [call] = request.calls
    assert (call.span_id, call.model_served, call.tokens.output) == (began.span_id, "m-1", 3)


def test_two_instrumentations_of_one_call_count_once() -> None:
    outer = piece({"openinference.span.kind": "LLM", "llm.token_count.prompt": 10}, 1)
    inner = piece(
        {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 10, "gen_ai.response.id": "r"},
        2,
        parent_span_id=outer.span_id,
    )
    [request] = requests_of([inner, outer])
    assert [(c.tokens.input, c.more["response_id"]) for c in request.calls] == [(10, "r")]


def test_two_requests_in_one_trace_are_two() -> None:
    top = piece({}, 1)
    pair = [piece({**OWN, "watchkeeper.route": f"r{n}"}, n, parent_span_id=top.span_id) for n in (2, 3)]
    call = piece({"gen_ai.operation.name": "chat"}, 4, parent_span_id=pair[1].span_id)
    found = requests_of([call, *pair, top])
    assert [(r.route, len(r.calls)) for r in found] == [("r2", 0), ("r3", 1)]


def test_spans_that_are_each_others_parents_are_a_request_still() -> None:
    ring = [piece({}, n, parent_span_id=f"{n % 3 + 1:016x}") for n in (1, 2, 3)]
    assert len(requests_of(ring)) == 1


def test_a_malformed_attribute_costs_itself_and_the_next_name_is_taken() -> None:
    counts: Counter[str] = Counter()
    found, _, _ = fields_of(
        {"gen_ai.usage.input_tokens": "many", "gen_ai.usage.prompt_tokens": 7, "gen_ai.input.messages": "{broken"},
        counts,
    )
    assert found == {"tokens_input": 7}
    assert counts == {"attribute": 2}


@pytest.mark.parametrize(
    ("raw", "ours"),
    [("end_turn", "stop"), ("MAX_TOKENS", "length"), ("tool_use", "tool_calls"), ("SAFETY", "content_filter"),
     ("refusal", "refusal"), ("FinishReason.STOP", "stop"), ("unheard", "other"), (None, None)],
)  # fmt: skip
def test_finish_reasons_are_one_list(raw: str | None, ours: str | None) -> None:
    assert finish_reason(raw) == ours


@pytest.mark.parametrize(
    ("raw", "ours"),
    [("openai.RateLimitError", "rate_limited"), ("429", "rate_limited"), ("httpx.ReadTimeout", "timeout"),
     ("my.OwnError", "OwnError")],
)  # fmt: skip
def test_errors_have_our_word_or_their_name(raw: str, ours: str) -> None:
    assert error_type(raw) == ours


def test_calls_that_are_each_others_parents_are_one_call() -> None:
    ring = [
        piece({"gen_ai.operation.name": "chat"}, n, parent_span_id=f"{n % size + 1:016x}")
        for size in (2, 3)
        for n in range(1, size + 1)
    ]
    for some in (ring[:2], ring[2:]):
        [request] = requests_of(some)
        assert len(request.calls) == 1


def test_thousands_of_calls_inside_each_other_are_a_request_still() -> None:
    chain = [
        piece({"gen_ai.operation.name": "chat"}, n, parent_span_id=f"{n - 1:016x}" if n > 1 else None)
        for n in range(1, 3001)
    ]
    [request] = requests_of(chain)
    assert request.span_id == f"{1:016x}"


def test_an_answers_own_message_may_say_why_it_ended() -> None:
    said = [{"role": "assistant", "parts": [{"type": "text", "content": "hi"}], "finish_reason": "length"}]
    [request] = requests_of([piece({"gen_ai.operation.name": "chat", "gen_ai.output.messages": said})])
    assert (request.calls[0].finish_reason, request.calls[0].response) == ("length", "hi")
