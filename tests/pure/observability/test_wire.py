"""Requests as JSON: what is taken, what is refused and how, and that nothing changes on the way back."""

import contextlib
import gzip
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.observability.fields import RejectedRecord
from watchkeeper.observability.plain import render_request
from watchkeeper.observability.request import Request, totals
from watchkeeper.observability.wire import BadLine, as_json, read_file, request_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
FULL: dict[str, Any] = {
    "trace_id": TRACE, "span_id": "b7ad6b7169203331",
    "started_at": "2026-11-24T10:00:00.123Z", "source": "production",
    "route": "support.answer", "segment": "free", "session_id": "s-1", "job_id": "ticket-991",
    "environment": "production", "release": "2026.11.3",
    "prompt": {"id": "answer", "version": "12"}, "variant": {"experiment": "answer-tone", "name": "b"},
    "input": "Where is it?", "response": "On its way.", "error_type": None, "ttft_ms": 310.0, "latency_ms": 1840.0,
    "calls": [{"span_id": "00f067aa0ba902b7", "provider": "openai", "model_requested": "gpt-5",
               "model_served": "gpt-5-2026-08-01", "system_fingerprint": None,
               "params": {"temperature": 0.2, "max_tokens": 800}, "messages": [{"role": "user", "content": "…"}],
               "response": "…", "finish_reason": "stop",
               "usage": {"input": 912, "output": 210, "cache_read": 512, "cache_write": 0, "reasoning": 30},
               "ttft_ms": 310.0, "latency_ms": 1500.0, "error_type": None, "cost_usd": 0.0219}],
    "retrievals": [{"span_id": "00f067aa0ba902b8", "documents": [{"id": "doc-17", "score": 0.82, "page": 3}]}],
    "tool_calls": [{"span_id": "00f067aa0ba902b9", "name": "lookup_order", "arguments": {"id": 7},
                    "result": "shipped", "error_type": None}],
    "feedback": [{"kind": "thumb", "value": -1, "comment": None, "at": "2026-11-24T10:01:00Z"}],
    "attributes": {"shard": 4},
}  # fmt: skip


def record(**changes: Any) -> dict[str, Any]:
    """The smallest request, with changes."""
    return {"trace_id": TRACE, "started_at": "2026-11-24T10:00:00Z", "route": "support.answer", **changes}


def call(**fields: Any) -> dict[str, Any]:
    return record(calls=[fields])


def test_a_full_request_comes_back_exactly_as_it_was_given() -> None:
    assert as_json(request_of(FULL)) == FULL


def test_three_fields_are_enough_and_the_rest_is_unknown_not_zero() -> None:
    request = request_of(record())
    assert (request.latency_ms, request.input, request.prompt, request.variant) == (None, None, None, None)
    given = request_of(call()).calls[0]
    assert (given.cost_nano_usd, given.tokens.input, given.tokens.wire_output, given.latency_ms) == (None,) * 4
    assert totals([given]).cost_nano_usd is None
    assert totals([given]).unpriced == 1


@pytest.mark.parametrize("missing", ["trace_id", "started_at", "route"])
def test_each_of_the_three_is_needed(missing: str) -> None:
    raw = record()
    del raw[missing]
    with pytest.raises(RejectedRecord, match=f"^{missing}: is missing$"):
        request_of(raw)


@pytest.mark.parametrize(
    ("raw", "field", "problem"),
    [
        (record(trace_id="xyz"), "trace_id", "must be 32 hexadecimal digits"),
        (record(trace_id=TRACE[:-1] + "g"), "trace_id", "must be 32 hexadecimal digits"),
        (record(span_id="12"), "span_id", "must be 16 hexadecimal digits"),
        (record(started_at="2026-11-24T10:00:00"), "started_at", "has no time zone"),
        (record(started_at="yesterday"), "started_at", "is not an ISO 8601 time"),
        (record(started_at=1764000000), "started_at", "must be text, got a number"),
        (record(started_at="0001-01-01T00:00:00+14:00"), "started_at", "outside the years"),
        (record(route=""), "route", "is missing"),
        (record(route="r" * 501), "route", "at most 500 characters"),
        (record(latency_ms=-1), "latency_ms", "must be >= 0"),
        (record(latency_ms=True), "latency_ms", "must be a number, got true or false"),
        (record(latency_ms=float("nan")), "latency_ms", "must be a finite number"),
        (record(attributes={"a": [1, float("inf")]}), "attributes.a[1]", "must be a finite number"),
        (record(input=["hi"]), "input", "must be text, got a list"),
        (record(calls={}), "calls", "must be a list, got a JSON object"),
        (record(calls=[7]), "calls[0]", "must be a JSON object, got a number"),
        (call(usage={"input": -5}), "calls[0].usage.input", "must be >= 0"),
        (call(usage={"output": 1.5}), "calls[0].usage.output", "must be a whole number"),
        (call(cost_usd=-0.1), "calls[0].cost_usd", "must be finite and >= 0"),
        (call(cost_usd="0.1"), "calls[0].cost_usd", "must be a number, got text"),
        (record(calls=[{"span_id": "00f067aa0ba902b7"}] * 2), "calls[1].span_id", "an earlier one"),
        (record(feedback=[{"value": 1}]), "feedback[0].kind", "is missing"),
        (record(feedback=[{"kind": "thumb", "at": "10:01"}]), "feedback[0].at", "is not an ISO 8601 time"),
        ([record()], "", "must be a JSON object, got a list"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_field_and_the_problem(raw: Any, field: str, problem: str) -> None:
    with pytest.raises(RejectedRecord) as refused:
        request_of(raw)
    assert refused.value.field == field
    assert problem in refused.value.problem


def test_nesting_without_end_is_refused_and_does_not_break_the_reader() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    with pytest.raises(RejectedRecord, match="nested deeper"):
        request_of(record(attributes={"deep": deep}))


def test_ids_are_lower_case_and_a_missing_span_id_is_the_same_every_time() -> None:
    first, again = request_of(record(trace_id=TRACE.upper())), request_of(record())
    assert first.trace_id == TRACE
    assert first.span_id == again.span_id
    assert len(first.span_id) == 16
    assert request_of(record(trace_id="1" * 32)).span_id != first.span_id


def test_keys_the_format_does_not_name_are_kept() -> None:
    request = request_of(record(tenant="acme", attributes={"shard": 4}, prompt={"id": "a", "hash": "x"}))
    assert request.attributes == {"tenant": "acme", "shard": 4, "prompt.hash": "x"}
    [kept] = as_json(request_of(call(seed=7, usage={"audio": 3})))["calls"]
    assert (kept["seed"], kept["usage.audio"]) == (7, 3)


def test_token_buckets_are_stored_apart_and_written_inclusive() -> None:
    tokens = request_of(FULL).calls[0].tokens
    assert (tokens.input, tokens.cache_read, tokens.output, tokens.reasoning) == (400, 512, 180, 30)
    assert (tokens.wire_input, tokens.wire_output) == (912, 210)


def test_a_total_as_large_as_its_parts_leaves_nothing_and_one_less_is_unknown_and_flagged() -> None:
    exact = request_of(call(usage={"input": 512, "cache_read": 512})).calls[0]
    assert (exact.tokens.input, exact.flags) == (0, [])
    less = request_of(call(usage={"input": 511, "cache_read": 512, "output": 3, "reasoning": 4})).calls[0]
    assert (less.tokens.input, less.tokens.cache_read, less.tokens.output) == (None, 512, None)
    assert less.flags == ["usage.input", "usage.output"]
    written = as_json(request_of(call(usage={"input": 511, "cache_read": 512})))
    assert written["calls"][0]["usage"]["input"] is None
    assert written["calls"][0]["usage.input"] == 511
    assert as_json(request_of(written)) == written


@pytest.mark.parametrize(("dollars", "nano"), [(0.0219, 21_900_000), (0, 0), (1e-9, 1), (12, 12_000_000_000)])
def test_money_is_exact(dollars: float, nano: int) -> None:
    request = request_of(call(cost_usd=dollars))
    assert request.calls[0].cost_nano_usd == nano
    assert as_json(request)["calls"][0]["cost_usd"] == dollars


def test_text_no_store_can_keep_is_replaced_everywhere() -> None:
    raw = json.loads(r'{"input": "a\u0000b", "attributes": {"k\u0000": "\ud800"}, "response": "\ud83d\ude00"}')
    request = request_of(record(**raw))
    assert request.input == "a\ufffdb"
    assert request.attributes == {"k\ufffd": "?"}
    assert request.response == "😀"


def test_microseconds_survive() -> None:
    for at in ("2026-11-24T10:00:00Z", "2026-11-24T10:00:00.120Z", "2026-11-24T10:00:00.000001Z"):
        assert as_json(request_of(record(started_at=at)))["started_at"] == at
    assert as_json(request_of(record(started_at="2026-11-24T12:00:00+02:00")))["started_at"] == "2026-11-24T10:00:00Z"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
COUNTS = st.none() | st.integers(0, 10**6)


@given(
    attributes=st.dictionaries(st.text(), JSON, max_size=3),
    usage=st.fixed_dictionaries(dict.fromkeys(["input", "output", "cache_read", "cache_write", "reasoning"], COUNTS)),
    nano=st.none() | st.integers(0, 10**12),
    result=JSON,
    at=st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29), timezones=st.timezones()),  # noqa: DTZ001
)
def test_whatever_is_taken_is_written_and_taken_again_unchanged(
    attributes: dict[str, Any], usage: dict[str, Any], nano: int | None, result: Any, at: Any
) -> None:
    cost = None if nano is None else nano / 1e9
    raw = record(
        attributes=attributes,
        calls=[{"usage": usage, "cost_usd": cost, "messages": [{"role": "user", "content": result}]}],
        tool_calls=[{"name": "t", "arguments": result, "result": result}],
    )
    request = request_of({**raw, "started_at": at.isoformat()})
    assert request.calls[0].cost_nano_usd == nano
    assert request_of(json.loads(json.dumps(as_json(request)))) == request


@given(st.recursive(JSON, lambda inner: st.dictionaries(st.sampled_from([*FULL, "usage", "span_id"]), inner)))
def test_no_json_value_breaks_the_reader(raw: Any) -> None:
    for value in (raw, record(**raw) if isinstance(raw, dict) else record(calls=raw, prompt=raw)):
        with contextlib.suppress(RejectedRecord):
            request_of(value)


def lines_of(path: Path) -> list[tuple[int, Request | BadLine]]:
    return list(read_file(path))


@pytest.mark.parametrize(("name", "pack"), [("in.jsonl", bytes), ("in.jsonl.gz", gzip.compress)])
def test_a_file_gives_its_good_lines_and_names_the_others(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    lines = [
        b"\xef\xbb\xbf" + json.dumps(record()).encode(), b"", b"{broken", b'"\xff"', b"[" * 100_000,
        b'{"latency_ms": ' + b"9" * 5000 + b"}", json.dumps(record(route=None)).encode(),
        json.dumps(record(latency_ms=1)).replace("1}", "NaN}").encode(), json.dumps(record()).encode(),
    ]  # fmt: skip
    path = tmp_path / name
    path.write_bytes(pack(b"\r\n".join(lines)))
    found = lines_of(path)
    assert [number for number, each in found if isinstance(each, Request)] == [1, 9]
    bad = {number: each for number, each in found if isinstance(each, BadLine)}
    assert sorted(bad) == [3, 4, 5, 6, 7, 8]
    assert bad[3].problem.startswith("not JSON")
    assert bad[3].raw == b"{broken"
    assert bad[4].problem == "not UTF-8"
    assert (bad[7].field, bad[7].problem) == ("route", "is missing")
    assert bad[8].field == "latency_ms"


def test_a_packed_file_that_ends_too_early_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl.gz"
    text = "".join(json.dumps(record(trace_id=f"{n * 7919**8 % 16**32:032x}")) + "\n" for n in range(2000))
    path.write_bytes(gzip.compress(text.encode())[:-2000])
    *good, (_, last) = lines_of(path)
    assert good
    assert all(isinstance(each, Request) for _, each in good)
    assert isinstance(last, BadLine)
    assert "damaged or ends too early" in last.problem


def test_a_terminal_is_shown_hostile_text_and_never_obeys_it() -> None:
    evil = "\x1b[2J\x07\u202e\r\x9b31m"
    raw = record(
        input=evil, response=evil, route=evil, error_type=evil, segment=evil, attributes={evil: evil},
        calls=[{"provider": evil, "model_served": evil, "params": {evil: evil}, "response": evil, "flags": [evil],
                "finish_reason": evil, "messages": [{"role": evil, "content": evil}, {"content": [evil]}]}],
        retrievals=[{"documents": [{"id": evil}]}],
        tool_calls=[{"name": evil, "arguments": evil, "result": evil, "error_type": evil}],
        feedback=[{"kind": evil, "value": evil, "comment": evil}],
    )  # fmt: skip
    shown = render_request(request_of(raw))
    assert not [c for c in shown if c != "\n" and not c.isprintable()]
    assert r"\x1b[2J" in shown
