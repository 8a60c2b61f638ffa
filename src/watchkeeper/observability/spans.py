"""The spans inside a request as JSON: read with every problem named, written the same again."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from watchkeeper.foundation.clock import as_utc
from watchkeeper.foundation.money import usd
from watchkeeper.observability import fields
from watchkeeper.observability.fields import RejectedRecord
from watchkeeper.observability.request import Call, Feedback, Retrieval, Tokens, ToolCall

_BUCKETS = ("input", "output", "cache_read", "cache_write", "reasoning")
_CALL = frozenset(Call.__dataclass_fields__) - {"tokens", "cost_nano_usd", "more"} | {"usage", "cost_usd"}
_RETRIEVAL = frozenset({"span_id", "documents"})
_TOOL_CALL = frozenset({"span_id", "name", "arguments", "result", "error_type"})
_FEEDBACK = frozenset({"kind", "value", "comment", "at"})


def call_of(raw: Mapping[str, Any], at: str, span_id: str) -> Call:
    """One inference; `at` is where it stands, e.g. "calls[0]."."""
    tokens, flags, kept = _tokens(raw, at)
    return Call(
        span_id=span_id,
        provider=fields.label(raw, "provider", at),
        model_requested=fields.label(raw, "model_requested", at),
        model_served=fields.label(raw, "model_served", at),
        system_fingerprint=fields.label(raw, "system_fingerprint", at),
        params=fields.mapping(raw, "params", at),
        messages=fields.objects(raw, "messages", at),
        response=fields.text(raw, "response", at),
        finish_reason=fields.label(raw, "finish_reason", at),
        tokens=tokens,
        ttft_ms=fields.milliseconds(raw, "ttft_ms", at),
        latency_ms=fields.milliseconds(raw, "latency_ms", at),
        error_type=fields.text(raw, "error_type", at),
        cost_nano_usd=fields.cost(raw, "cost_usd", at),
        flags=list(dict.fromkeys([*_flags(raw, at), *flags])),
        more=unnamed(raw, _CALL) | kept,
    )


def _tokens(raw: Mapping[str, Any], at: str) -> tuple[Tokens, list[str], dict[str, Any]]:
    """Disjoint buckets; a total smaller than its part is not known, flagged, and kept beside."""
    usage, inside = fields.mapping(raw, "usage", at), f"{at}usage."
    given = {name: fields.count(usage, name, inside) for name in _BUCKETS}
    kept = {f"usage.{key}": value for key, value in usage.items() if key not in _BUCKETS}
    flags = []
    parts = {
        "input": (given["cache_read"] or 0) + (given["cache_write"] or 0),
        "output": given["reasoning"] or 0,
    }
    for name, part in parts.items():
        whole = given[name]
        if whole is not None and whole < part:
            flags.append(f"usage.{name}")
            kept[f"usage.{name}"] = whole
            given[name] = None
        elif whole is not None:
            given[name] = whole - part
    return Tokens(**given), flags, kept


def _flags(raw: Mapping[str, Any], at: str) -> list[str]:
    value = raw.get("flags")
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(flag, str) for flag in value):
        return value
    raise RejectedRecord(f"{at}flags", "must be a list of texts")


def retrieval_of(raw: Mapping[str, Any], at: str, span_id: str) -> Retrieval:
    """One search; its documents keep every key they came with."""
    documents = []
    for place, document in enumerate(fields.objects(raw, "documents", at)):
        inside = f"{at}documents[{place}]."
        known = {
            "id": fields.label(document, "id", inside, longest=2000),
            "score": fields.number(document, "score", inside),
        }
        documents.append({**document, **known})
    return Retrieval(span_id=span_id, documents=documents, more=unnamed(raw, _RETRIEVAL))


def tool_call_of(raw: Mapping[str, Any], at: str, span_id: str) -> ToolCall:
    """One use of a tool."""
    return ToolCall(
        span_id=span_id,
        name=fields.label(raw, "name", at),
        arguments=raw.get("arguments"),
        result=raw.get("result"),
        error_type=fields.text(raw, "error_type", at),
        more=unnamed(raw, _TOOL_CALL),
    )


def feedback_of(raw: Mapping[str, Any], at: str) -> Feedback:
    """One thing the user said or did about the answer."""
    return Feedback(
        kind=fields.required(fields.label(raw, "kind", at), f"{at}kind"),
        value=raw.get("value"),
        comment=fields.text(raw, "comment", at),
        at=fields.instant(raw, "at", at),
        more=unnamed(raw, _FEEDBACK),
    )


def unnamed(raw: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """What came under keys the format does not name."""
    return {key: value for key, value in raw.items() if key not in known}


def call_json(call: Call) -> dict[str, Any]:
    """One call with inclusive token figures; `flags` only where there are any."""
    tokens = call.tokens
    return {
        "span_id": call.span_id,
        "provider": call.provider,
        "model_requested": call.model_requested,
        "model_served": call.model_served,
        "system_fingerprint": call.system_fingerprint,
        "params": dict(call.params),
        "messages": list(call.messages),
        "response": call.response,
        "finish_reason": call.finish_reason,
        "usage": {
            "input": tokens.wire_input,
            "output": tokens.wire_output,
            "cache_read": tokens.cache_read,
            "cache_write": tokens.cache_write,
            "reasoning": tokens.reasoning,
        },
        "ttft_ms": call.ttft_ms,
        "latency_ms": call.latency_ms,
        "error_type": call.error_type,
        "cost_usd": None if call.cost_nano_usd is None else float(usd(call.cost_nano_usd)),
        **({"flags": list(call.flags)} if call.flags else {}),
        **call.more,
    }


def retrieval_json(each: Retrieval) -> dict[str, Any]:
    """One retrieval."""
    return {"span_id": each.span_id, "documents": list(each.documents), **each.more}


def tool_call_json(each: ToolCall) -> dict[str, Any]:
    """One tool call."""
    return {
        "span_id": each.span_id,
        "name": each.name,
        "arguments": each.arguments,
        "result": each.result,
        "error_type": each.error_type,
        **each.more,
    }


def feedback_json(each: Feedback) -> dict[str, Any]:
    """One feedback."""
    at = None if each.at is None else time_json(each.at)
    return {"kind": each.kind, "value": each.value, "comment": each.comment, "at": at, **each.more}


def time_json(at: datetime) -> str:
    """ISO 8601 in UTC with Z and the fraction that is there: none, milliseconds or microseconds."""
    precision = "seconds" if at.microsecond == 0 else "milliseconds" if at.microsecond % 1000 == 0 else "microseconds"
    return as_utc(at).isoformat(timespec=precision).replace("+00:00", "Z")
