"""OTLP in JSON, walked by hand: ids are hexadecimal there, which protobuf's own JSON reader corrupts."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson

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

_MOST_CONTAINERS = 2_000_000
"""Objects and lists in one JSON body: 64 MiB of brackets would be gigabytes in memory."""


def take_spans(body: bytes, decoded: Decoded) -> None:
    """The spans of an ExportTraceServiceRequest.

    Raises:
        Unreadable: If the body is none.
    """
    for resource, scope, raw in _walk_json(_json(body), "resourceSpans", "scopeSpans", "spans", decoded):
        _span_of_json(resource, scope, raw, decoded)


def take_logs(body: bytes, decoded: Decoded) -> None:
    """The log records of an ExportLogsServiceRequest.

    Raises:
        Unreadable: If the body is none.
    """
    for resource, _scope, raw in _walk_json(_json(body), "resourceLogs", "scopeLogs", "logRecords", decoded):
        name = raw.get("eventName") or ""
        given = _attributes_of_json(raw.get("attributes"), decoded.counts)
        at = _nanoseconds(raw.get("timeUnixNano")) or _nanoseconds(raw.get("observedTimeUnixNano"))
        inside = _value_of_json(raw["body"], 0) if isinstance(raw.get("body"), dict) else None
        ids = (_hex(raw.get("traceId"), 32), _hex(raw.get("spanId"), 16))
        take_log(decoded, resource, name, given, ids, at or 0, inside)


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
                yield attributes, text(name) if isinstance(name, str) else "", raw


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
    why = problem(trace_id is not None, span_id is not None, start or 0, end or 0)
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
        events.append(Event(text(each["name"]), at, _attributes_of_json(each.get("attributes"), decoded.counts)))
    name, message = raw.get("name"), status.get("message")
    decoded.spans.append(
        Span(
            trace_id,
            span_id,
            parent,
            text(name) if isinstance(name, str) else "",
            start,
            end,
            status.get("code") == 2,
            text(message) if isinstance(message, str) else "",
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
        if value is MALFORMED:
            counts["attribute"] += 1
        else:
            found[text(each["key"])] = value
    return found


def _value_of_json(raw: Any, depth: int) -> Any:
    if not isinstance(raw, dict) or depth > DEEPEST:
        return MALFORMED
    if not raw:
        return None
    kind, value = next(iter(raw.items()))
    match kind, value:
        case (("stringValue" | "bytesValue"), str()):
            return text(value)
        case "boolValue", bool():
            return value
        case "intValue", (int() | str()) if not isinstance(value, bool):
            return _whole(value)
        case "doubleValue", (int() | float()) if not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        case "arrayValue", {"values": list(inside)}:
            values = [_value_of_json(each, depth + 1) for each in inside]
            return MALFORMED if any(v is MALFORMED for v in values) else values
        case "kvlistValue", {"values": list(inside)}:
            if not all(isinstance(each, dict) and isinstance(each.get("key"), str) for each in inside):
                return MALFORMED
            pairs = {text(each["key"]): _value_of_json(each.get("value", {}), depth + 1) for each in inside}
            return MALFORMED if any(v is MALFORMED for v in pairs.values()) else pairs
        case "arrayValue", {}:
            return []
        case "kvlistValue", {}:
            return {}
    return MALFORMED


def _whole(value: int | str) -> Any:
    try:
        number = int(value)
    except ValueError:
        return MALFORMED
    return number if -(2**63) <= number < 2**63 else MALFORMED


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
