"""Bodies that nobody should send: 10,000 of them, from a seed, cost at most themselves."""

import gzip
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from watchkeeper.observability import otlp
from watchkeeper.observability.assembly import requests_of
from watchkeeper.observability.otlp import Encoding, Unreadable
from watchkeeper.observability.otlp import unpacked as gunzipped
from watchkeeper.observability.otlp_elements import too_many
from watchkeeper.observability.packing import Texts, pack_values, read_value
from watchkeeper.observability.pieces import merged_pieces, piece_of, unpacked
from watchkeeper.observability.wire import as_json, request_of

CAPTURED = Path(__file__).parent / "captured"
SEED, MUTANTS = 4, 10_000
ODD: list[Any] = [
    None, True, -1, 2**70, 1e308, "", "\x00", "\ud800", "x" * 3000, [], {}, "NaN", "-1", "[[[[", "{}", "null",
    {"stringValue": 1}, {"arrayValue": {"values": [{"kvlistValue": {}}]}}, {"doubleValue": "NaN"}, [{}], "9" * 400,
    '[{"role":null,"parts":[null,1,{"type":"text"}]}]', '{"a":{"b":' * 60, '["\\u0000"]', '[{"tool_calls":5}]',
    "[" * 300 + "]" * 300, '{"role":7,"content":[1]}', "2026-13-01", "0001-01-01T00:00:00+14:00",
]  # fmt: skip


def bytes_mutated(rng: random.Random, body: bytes) -> bytes:
    data = bytearray(body)
    for _ in range(rng.choice((1, 1, 3, 20))):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randrange(1, 40)]
            case 2:
                data[at:at] = data[at : at + rng.randrange(60)]
            case _:
                data = data[: at + 1]
        if not data:
            return b""
    return bytes(data)


def tree_mutated(rng: random.Random, value: Any) -> Any:
    """Some leaf or branch replaced by something odd."""
    if rng.random() < 0.03 or not isinstance(value, dict | list) or not value:
        return rng.choice(ODD) if rng.random() < 0.6 else value
    if isinstance(value, dict):
        key = rng.choice(list(value))
        return {**value, key: tree_mutated(rng, value[key])}
    at = rng.randrange(len(value))
    return [*value[:at], tree_mutated(rng, value[at]), *value[at + 1 :]]


def mutants() -> Iterator[tuple[bytes, Encoding]]:
    rng = random.Random(SEED)
    plain = [(p.read_bytes(), p.suffix == ".pb") for p in sorted(CAPTURED.iterdir())]
    trees = [json.loads(body) for body, binary in plain if not binary]
    for number in range(MUTANTS):
        if number % 2:
            yield json.dumps(tree_mutated(rng, tree_mutated(rng, rng.choice(trees)))).encode(), "json"
        else:
            body, binary = rng.choice(plain)
            yield bytes_mutated(rng, body), "protobuf" if binary else "json"


def test_ten_thousand_mutants_cost_at_most_themselves() -> None:
    outcomes: Counter[str] = Counter()
    for body, encoding in mutants():
        try:
            decoded = otlp.traces(body, encoding)
        except Unreadable:
            outcomes["unreadable"] += 1
            continue
        assert otlp.answer("traces", encoding, decoded) is not None
        traces: dict[str, list[Any]] = {}
        for span in decoded.spans:
            traces.setdefault(span.trace_id, []).append(piece_of(span, decoded.counts))
        for trace_id, pieces in traces.items():
            texts = Texts()
            [blob] = pack_values([[row for row, _ in merged_pieces([], pieces, texts.keep)]])
            again = [unpacked(trace_id, row, texts.new) for row in read_value(blob)]
            for request in requests_of(again):
                assert as_json(request_of(json.loads(json.dumps(as_json(request))))) == as_json(request)
                json.dumps(as_json(request), allow_nan=False).encode()
        outcomes["taken"] += 1
        outcomes["attributes dropped"] += decoded.counts["attribute"]
        outcomes["spans rejected"] += decoded.rejected
    assert min(outcomes.values()) > 100, outcomes


@pytest.mark.parametrize("members", [1, 2])
def test_gzip_may_have_members_and_come_in_pieces(members: int) -> None:
    packed = gzip.compress(b"some") * members
    pieces = [packed[n : n + 3] for n in range(0, len(packed), 3)]
    assert otlp.within_limit(otlp.unpacked(pieces)) == b"some" * members


def test_a_negative_duration_is_none_and_counted() -> None:
    body = (CAPTURED / "genai.otlp.pb").read_bytes()
    [first, *_] = otlp.traces(body, "protobuf").spans
    counts: Counter[str] = Counter()
    piece = piece_of(first._replace(end_ns=first.start_ns - 5), counts)
    assert piece.end_ns == piece.start_ns
    assert counts == {"duration below zero": 1}


def one_span(**more: Any) -> bytes:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(name="s", **more)
    span.trace_id, span.span_id = b"t" * 16, b"s" * 8
    span.start_time_unix_nano = span.end_time_unix_nano = 10**18
    return bytes(request.SerializeToString())


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a\x00" * 2_100_000,
        b"\x0a\x05\x12\x03\x12\x01\x4a" * 1_000_000,
        b"\x0a\x04\x12\x02\x12\x00" * 800_000,
    ],
    ids=["empty resources", "cut-off spans", "empty spans"],
)
def test_millions_of_empty_elements_are_refused_before_they_are_decoded(body: bytes) -> None:
    with pytest.raises(Unreadable, match=r"2,000,000 elements|is no Export"):
        otlp.traces(body, "protobuf")


def elements(message: Any) -> int:
    """Every field that is set, counted by protobuf's own reflection."""
    found = 0
    for field, value in message.ListFields():
        for each in value if field.is_repeated else [value]:
            found += 1 + (elements(each) if field.message_type else 0)
    return found


@pytest.mark.parametrize("name", ["genai", "oi", "lf", "trl", "lgf", "pai"])
def test_elements_are_counted_as_protobuf_does(name: str) -> None:
    body = (CAPTURED / f"{name}.otlp.pb").read_bytes()
    request = ExportTraceServiceRequest.FromString(body)
    # Flags of a span and the like are fields, too; where there is no message inside, a field is one element.
    exact = elements(request)
    assert not too_many(body, "ExportTraceServiceRequest", exact)
    assert too_many(body, "ExportTraceServiceRequest", exact - 1)


def test_one_huge_text_is_one_element() -> None:
    body = one_span(attributes=[{"key": "k", "value": {"string_value": "x" * 10_000_000}}])
    assert not too_many(body, "ExportTraceServiceRequest")


def test_gzip_that_was_padded_to_whole_blocks_is_read() -> None:
    packed = gzip.compress(b"hello ") + gzip.compress(b"there")
    assert b"".join(gunzipped([packed + bytes(300)])) == b"hello there"
    with pytest.raises(Unreadable):
        b"".join(gunzipped([packed + b"\x00\x01"]))
