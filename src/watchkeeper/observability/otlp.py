"""OTLP/HTTP bodies into spans: protobuf and JSON, gzip, every limit kept. The only file that knows protobuf.

A malformed attribute costs that attribute and is counted, never the span. A span without valid ids or
times is rejected and counted. A body that cannot be read at all is `Unreadable`.
"""

import base64
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

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

LARGEST_BODY = 64 * 1024 * 1024
"""Bytes of one body, packed and unpacked."""

DETAILS_EVENT = "gen_ai.client.inference.operation.details"
"""The log record that holds what a span left out."""

_DEEPEST = 30
_MOST_CONTAINERS = 2_000_000
"""Objects and lists in one JSON body: 64 MiB of brackets would be gigabytes in memory."""

_LAST_NS = 253_402_300_799 * 10**9  # 9999-12-31, the last day a datetime can say
_MALFORMED = object()

Encoding = Literal["protobuf", "json"]
Signal = Literal["traces", "logs"]


class Unreadable(Exception):
    """The body cannot be decoded; sending it again will not help.

    Args:
        too_large: It is over the limit (HTTP 413), not broken (400).
    """

    def __init__(self, problem: str, *, too_large: bool = False) -> None:
        self.problem, self.too_large = problem, too_large
        super().__init__(problem)


class Event(NamedTuple):
    """Something that happened inside a span, with its time in nanoseconds."""

    name: str
    at_ns: int
    attributes: Mapping[str, Any]


class Span(NamedTuple):
    """One span as it was sent; ids in lower-case hex, times in nanoseconds since 1970.

    `error` is whether its status says so. A log record that belongs to a span comes as a Span
    of scope "" with `is_log` set; its times are the record's.
    """

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    start_ns: int
    end_ns: int
    error: bool
    status_message: str
    resource: Mapping[str, Any]
    scope: str
    attributes: Mapping[str, Any]
    events: tuple[Event, ...]
    is_log: bool = False


@dataclass(slots=True)
class Decoded:
    """What a body held. `counts` names what was dropped or mended: "attribute", "rejected: span id", …"""

    spans: list[Span] = field(default_factory=list)
    rejected: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def reject(self, why: str) -> None:
        """Count a span that cannot be taken."""
        self.rejected += 1
        self.counts[f"rejected: {why}"] += 1


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
        for resource, scope, raw in _walk_json(_json(body), "resourceSpans", "scopeSpans", "spans", decoded):
            _span_of_json(resource, scope, raw, decoded)
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
        for resource, _scope, raw in _walk_json(_json(body), "resourceLogs", "scopeLogs", "logRecords", decoded):
            name = raw.get("eventName") or ""
            given = _attributes_of_json(raw.get("attributes"), decoded.counts)
            at = _nanoseconds(raw.get("timeUnixNano")) or _nanoseconds(raw.get("observedTimeUnixNano"))
            inside = _value_of_json(raw["body"], 0) if isinstance(raw.get("body"), dict) else None
            ids = (_hex(raw.get("traceId"), 32), _hex(raw.get("spanId"), 16))
            _take_log(decoded, resource, name, given, ids, at or 0, inside)
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
                why = _problem(len(trace_id) == 16 and any(trace_id), len(span_id) == 8 and any(span_id), start, end)
                if why:
                    decoded.reject(why)
                    continue
                if parent and len(parent) != 8:
                    counts["parent"] += 1
                    parent = b""
                events = tuple(
                    Event(_text(e.name), e.time_unix_nano, _attributes(e.attributes, counts)) for e in raw.events
                )
                decoded.spans.append(
                    Span(
                        trace_id.hex(),
                        span_id.hex(),
                        parent.hex() if any(parent) else None,
                        _text(raw.name),
                        start,
                        end,
                        raw.status.code == 2,
                        _text(raw.status.message),
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
                _take_log(decoded, resource, raw.event_name, given, ids, at, inside)


def _take_log(
    decoded: Decoded,
    resource: Mapping[str, Any],
    name: Any,
    given: dict[str, Any],
    ids: tuple[str | None, str | None],
    at: int,
    inside: Any,
) -> None:
    trace_id, span_id = ids
    if (name or given.get("event.name")) != DETAILS_EVENT or trace_id is None or span_id is None:
        decoded.counts["log records of other kinds"] += 1
        return
    more = inside if isinstance(inside, dict) else {}
    at = at if 0 < at <= _LAST_NS else 0
    decoded.spans.append(
        Span(trace_id, span_id, None, DETAILS_EVENT, at, at, False, "", resource, "", more | given, (), True)
    )


def _problem(trace_id: bool, span_id: bool, start: int, end: int) -> str:
    """Why a span cannot be taken; "" when it can. A duration below zero is one of zero (`conventions`)."""
    if not trace_id:
        return "trace id"
    if not span_id:
        return "span id"
    return "" if 0 < start <= _LAST_NS and 0 < end <= _LAST_NS else "time"


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
                if (nested := _value(value, 0)) is _MALFORMED:
                    counts["attribute"] += 1
                else:
                    found[each.key] = nested
    return found


def _value(raw: Any, depth: int) -> Any:
    kind = raw.WhichOneof("value")
    if depth > _DEEPEST:
        return _MALFORMED
    match kind:
        case None:
            return None
        case "string_value":
            return _text(raw.string_value)
        case "array_value":
            values = [_value(each, depth + 1) for each in raw.array_value.values]
            return _MALFORMED if any(v is _MALFORMED for v in values) else values
        case "kvlist_value":
            pairs = {_text(each.key): _value(each.value, depth + 1) for each in raw.kvlist_value.values}
            return _MALFORMED if any(v is _MALFORMED for v in pairs.values()) else pairs
        case "bytes_value":
            return base64.b64encode(raw.bytes_value).decode()
        case "double_value":
            return raw.double_value if math.isfinite(raw.double_value) else _MALFORMED
        case "int_value" | "bool_value":
            return getattr(raw, kind)
    return _MALFORMED


def _json(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    if body.count(b"{") + body.count(b"[") > _MOST_CONTAINERS:
        raise Unreadable(f"more than {_MOST_CONTAINERS:,} objects and lists in one body; send it in several")
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            found = json.loads(body)  # takes half surrogate pairs and NaN, which cost one attribute only
        except (ValueError, RecursionError):
            raise Unreadable("the body is no JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise Unreadable("the body must be a JSON object")
    return found


def _walk_json(
    body: dict[str, Any], outer: str, middle: str, inner: str, decoded: Decoded
) -> Iterator[tuple[dict[str, Any], str, dict[str, Any]]]:
    for of_resource in _list(body, outer):
        resource = of_resource.get("resource")
        given = resource.get("attributes") if isinstance(resource, dict) else None
        attributes = _attributes_of_json(given, decoded.counts)
        for of_scope in _list(of_resource, middle):
            scope = of_scope.get("scope")
            name = scope.get("name") if isinstance(scope, dict) else ""
            for raw in _list(of_scope, inner):
                yield attributes, _text(name) if isinstance(name, str) else "", raw


def _list(raw: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """A list of objects.

    Raises:
        Unreadable: If it is something else: then this is no OTLP.
    """
    value = raw.get(key)
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return value
    raise Unreadable(f"{key} must be a list of objects")


def _span_of_json(resource: dict[str, Any], scope: str, raw: dict[str, Any], decoded: Decoded) -> None:
    trace_id, span_id = _hex(raw.get("traceId"), 32), _hex(raw.get("spanId"), 16)
    start, end = _nanoseconds(raw.get("startTimeUnixNano")), _nanoseconds(raw.get("endTimeUnixNano"))
    why = _problem(trace_id is not None, span_id is not None, start or 0, end or 0)
    if why or trace_id is None or span_id is None or start is None or end is None:
        decoded.reject(why)
        return
    parent = _hex(raw.get("parentSpanId"), 16)
    if parent is None and raw.get("parentSpanId"):
        decoded.counts["parent"] += 1
    status = raw.get("status")
    status = status if isinstance(status, dict) else {}
    given, events = raw.get("events"), []
    for each in given if isinstance(given, list) else ():
        at = _nanoseconds(each.get("timeUnixNano")) if isinstance(each, dict) else None
        if at is None or not isinstance(each.get("name"), str):
            decoded.counts["event"] += 1
            continue
        events.append(Event(_text(each["name"]), at, _attributes_of_json(each.get("attributes"), decoded.counts)))
    name, message = raw.get("name"), status.get("message")
    decoded.spans.append(
        Span(
            trace_id,
            span_id,
            parent,
            _text(name) if isinstance(name, str) else "",
            start,
            end,
            status.get("code") == 2,
            _text(message) if isinstance(message, str) else "",
            resource,
            scope,
            _attributes_of_json(raw.get("attributes"), decoded.counts),
            tuple(events),
        )
    )


def _attributes_of_json(raw: Any, counts: Counter[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if raw is not None and not isinstance(raw, list):
        counts["attribute"] += 1
        return found
    for each in raw or ():
        if not isinstance(each, dict) or not isinstance(each.get("key"), str):
            counts["attribute"] += 1
            continue
        given = each.get("value")
        value = _value_of_json(given, 0) if given is not None else None
        if value is _MALFORMED:
            counts["attribute"] += 1
        else:
            found[_text(each["key"])] = value
    return found


def _value_of_json(raw: Any, depth: int) -> Any:
    if not isinstance(raw, dict) or depth > _DEEPEST:
        return _MALFORMED
    if not raw:
        return None
    kind, value = next(iter(raw.items()))
    match kind, value:
        case (("stringValue" | "bytesValue"), str()):
            return _text(value)
        case "boolValue", bool():
            return value
        case "intValue", (int() | str()) if not isinstance(value, bool):
            return _whole(value)
        case "doubleValue", (int() | float()) if not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        case "arrayValue", {"values": list(inside)}:
            values = [_value_of_json(each, depth + 1) for each in inside]
            return _MALFORMED if any(v is _MALFORMED for v in values) else values
        case "kvlistValue", {"values": list(inside)}:
            if not all(isinstance(each, dict) and isinstance(each.get("key"), str) for each in inside):
                return _MALFORMED
            pairs = {_text(each["key"]): _value_of_json(each.get("value", {}), depth + 1) for each in inside}
            return _MALFORMED if any(v is _MALFORMED for v in pairs.values()) else pairs
        case "arrayValue", {}:
            return []
        case "kvlistValue", {}:
            return {}
    return _MALFORMED


def _whole(value: int | str) -> Any:
    try:
        number = int(value)
    except ValueError:
        return _MALFORMED
    return number if -(2**63) <= number < 2**63 else _MALFORMED


def _nanoseconds(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    number = _whole(value)
    return number if isinstance(number, int) and number >= 0 else None


def _hex(value: Any, digits: int) -> str | None:
    if not isinstance(value, str) or len(value) != digits or not value.strip("0"):
        return None
    try:
        return bytes.fromhex(value).hex()
    except ValueError:
        return None


def _text(text: str) -> str:
    """Storable on every engine, as `fields.storable_text`."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
