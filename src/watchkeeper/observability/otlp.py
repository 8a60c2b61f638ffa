"""OTLP/HTTP bodies into spans: protobuf and JSON, gzip, every limit kept. The only file that knows protobuf.

A malformed attribute costs that attribute and is counted, never the span. A span without valid ids or
times is rejected and counted. A body that cannot be read at all is `Unreadable`.
"""

import base64
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import orjson
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from watchkeeper.observability import otlp_elements, otlp_json
from watchkeeper.observability.otlp_spans import (
    DEEPEST,
    MALFORMED,
    Decoded,
    Event,
    Span,
    Unreadable,
    problem,
    take_log,
    text,
)

__all__ = ["Decoded", "Event", "Span", "Unreadable", "answer", "logs", "status", "traces", "unpacked", "within_limit"]

LARGEST_BODY = 64 * 1024 * 1024
"""Bytes of one body, packed and unpacked."""

Encoding = Literal["protobuf", "json"]
Signal = Literal["traces", "logs"]


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """gzip data piece by piece, several members too; never more than a bounded piece in memory.

    Raises:
        Unreadable: If it is damaged or ends too early.
    """
    engine, ended, begun = zlib.decompressobj(31), False, False
    try:
        for piece in pieces:
            data = piece
            while data:
                if ended:
                    data = data.lstrip(b"\0")  # some pad what they packed to whole blocks
                    if not data:
                        break
                    engine, ended = zlib.decompressobj(31), False
                begun = True
                yield engine.decompress(data, 1 << 20)
                data = engine.unconsumed_tail
                if engine.eof:
                    ended, data = True, engine.unused_data
    except zlib.error:
        raise Unreadable("the gzip data is damaged") from None
    if begun and not ended:
        yield (rest := engine.flush())
        if not engine.eof and not rest:
            raise Unreadable("the gzip data ends too early")


def within_limit(pieces: Iterable[bytes]) -> bytes:
    """The pieces put together.

    Raises:
        Unreadable: If they are more than 64 MiB; nothing after the limit is looked at.
    """
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > LARGEST_BODY:
            raise Unreadable("a body may have at most 64 MiB, also after unpacking", too_large=True)
    return bytes(body)


def traces(body: bytes, encoding: Encoding) -> Decoded:
    """The spans of an ExportTraceServiceRequest.

    Raises:
        Unreadable: If the body is none.
    """
    decoded = Decoded()
    if encoding == "protobuf":
        _spans_of_protobuf(_parsed(ExportTraceServiceRequest, body), decoded)
    else:
        otlp_json.take_spans(body, decoded)
    return decoded


def logs(body: bytes, encoding: Encoding) -> Decoded:
    """The log records of an ExportLogsServiceRequest that belong to a span; the others are counted.

    Raises:
        Unreadable: If the body is none.
    """
    decoded = Decoded()
    if encoding == "protobuf":
        _logs_of_protobuf(_parsed(ExportLogsServiceRequest, body), decoded)
    else:
        otlp_json.take_logs(body, decoded)
    return decoded


def answer(signal: Signal, encoding: Encoding, decoded: Decoded) -> bytes:
    """The body of a 200: empty when all was taken, else how many were rejected and why."""
    said = [(name.removeprefix("rejected: "), n) for name, n in decoded.counts.items() if name.startswith("rejected")]
    why = ", ".join(f"{n} for their {name}" for name, n in said)
    if encoding == "json":
        count = "rejectedSpans" if signal == "traces" else "rejectedLogRecords"
        partial = {count: str(decoded.rejected), "errorMessage": f"rejected: {why}"}
        return orjson.dumps({"partialSuccess": partial} if decoded.rejected else {})
    if signal == "traces":
        message: Any = ExportTraceServiceResponse()
        partial_success = message.partial_success
        if decoded.rejected:
            partial_success.rejected_spans = decoded.rejected
    else:
        message = ExportLogsServiceResponse()
        partial_success = message.partial_success
        if decoded.rejected:
            partial_success.rejected_log_records = decoded.rejected
    if decoded.rejected:
        partial_success.error_message = f"rejected: {why}"
    written: bytes = message.SerializeToString()
    return written


def status(message: str, encoding: Encoding) -> bytes:
    """A google.rpc.Status with a message for people."""
    if encoding == "json":
        return orjson.dumps({"message": message})
    # Field 2, a string: the type itself lives in a package we need for nothing else.
    text = message.encode()[:2000]
    length = bytes([len(text)]) if len(text) < 128 else bytes([len(text) & 127 | 128, len(text) >> 7])
    return b"\x12" + length + text


def _parsed(kind: Any, body: bytes) -> Any:
    if otlp_elements.too_many(body, kind.DESCRIPTOR.name):
        raise Unreadable("more than 2,000,000 elements in one body; send it in several")
    try:
        return kind.FromString(body)
    except DecodeError:
        raise Unreadable(f"the body is no {kind.DESCRIPTOR.name}") from None


def _spans_of_protobuf(request: Any, decoded: Decoded) -> None:
    counts = decoded.counts
    for of_resource in request.resource_spans:
        resource = _attributes(of_resource.resource.attributes, counts)
        for of_scope in of_resource.scope_spans:
            scope = of_scope.scope.name
            for raw in of_scope.spans:
                trace_id, span_id, parent = raw.trace_id, raw.span_id, raw.parent_span_id
                start, end = raw.start_time_unix_nano, raw.end_time_unix_nano
                why = problem(len(trace_id) == 16 and any(trace_id), len(span_id) == 8 and any(span_id), start, end)
                if why:
                    decoded.reject(why)
                    continue
                if parent and len(parent) != 8:
                    counts["parent"] += 1
                    parent = b""
                events = tuple(
                    Event(text(e.name), e.time_unix_nano, _attributes(e.attributes, counts)) for e in raw.events
                )
                decoded.spans.append(
                    Span(
                        trace_id.hex(),
                        span_id.hex(),
                        parent.hex() if any(parent) else None,
                        text(raw.name),
                        start,
                        end,
                        raw.status.code == 2,
                        text(raw.status.message),
                        resource,
                        scope,
                        _attributes(raw.attributes, counts),
                        events,
                    )
                )


def _logs_of_protobuf(request: Any, decoded: Decoded) -> None:
    for of_resource in request.resource_logs:
        resource = _attributes(of_resource.resource.attributes, decoded.counts)
        for of_scope in of_resource.scope_logs:
            for raw in of_scope.log_records:
                given = _attributes(raw.attributes, decoded.counts)
                inside = _value(raw.body, 0) if raw.HasField("body") else None
                at = raw.time_unix_nano or raw.observed_time_unix_nano
                ids = (
                    raw.trace_id.hex() if len(raw.trace_id) == 16 and any(raw.trace_id) else None,
                    raw.span_id.hex() if len(raw.span_id) == 8 and any(raw.span_id) else None,
                )
                take_log(decoded, resource, raw.event_name, given, ids, at, inside)


def _attributes(raw: Any, counts: Counter[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in raw:
        value = each.value
        match value.WhichOneof("value"):
            case "string_value":
                text = value.string_value
                found[each.key] = text if "\x00" not in text else text.replace("\x00", "\ufffd")
            case "int_value":
                found[each.key] = value.int_value
            case "double_value" if math.isfinite(value.double_value):
                found[each.key] = value.double_value
            case "bool_value":
                found[each.key] = value.bool_value
            case None:
                found[each.key] = None
            case _:
                if (nested := _value(value, 0)) is MALFORMED:
                    counts["attribute"] += 1
                else:
                    found[each.key] = nested
    return found


def _value(raw: Any, depth: int) -> Any:
    kind = raw.WhichOneof("value")
    if depth > DEEPEST:
        return MALFORMED
    match kind:
        case None:
            return None
        case "string_value":
            return text(raw.string_value)
        case "array_value":
            values = [_value(each, depth + 1) for each in raw.array_value.values]
            return MALFORMED if any(v is MALFORMED for v in values) else values
        case "kvlist_value":
            pairs = {text(each.key): _value(each.value, depth + 1) for each in raw.kvlist_value.values}
            return MALFORMED if any(v is MALFORMED for v in pairs.values()) else pairs
        case "bytes_value":
            return base64.b64encode(raw.bytes_value).decode()
        case "double_value":
            return raw.double_value if math.isfinite(raw.double_value) else MALFORMED
        case "int_value" | "bool_value":
            return getattr(raw, kind)
    return MALFORMED
