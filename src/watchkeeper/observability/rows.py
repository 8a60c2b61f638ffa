"""A request as rows of its tables, and back; no database here."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from watchkeeper.observability.request import (
    Call,
    Feedback,
    Prompt,
    Request,
    Retrieval,
    Tokens,
    ToolCall,
    Variant,
    retrieval_missed,
    totals,
)

CHILDREN = ("calls", "retrievals", "tool_calls", "feedback")
Key = tuple[str, str]
"""Trace id and root span id of a request."""
Row = Mapping[Any, Any]
Children = Mapping[str, Mapping[Key, Sequence[Row]]]
"""Table name -> request -> its rows in order."""

_PLAIN = (
    "trace_id", "span_id", "started_at", "route", "source", "segment", "session_id", "job_id", "environment",
    "release", "error_type", "ttft_ms", "latency_ms",
)  # fmt: skip
_PLAIN_CALL = (
    "span_id", "provider", "model_requested", "model_served", "system_fingerprint", "finish_reason", "ttft_ms",
    "latency_ms", "error_type", "cost_nano_usd",
)  # fmt: skip


class Batch:
    """Rows that are to be written together; each text once."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.children: dict[str, list[dict[str, Any]]] = {name: [] for name in CHILDREN}
        self.texts: dict[str, str] = {}

    def add(self, r: Request) -> None:
        """Add one request with its spans and texts."""
        sums = totals(r.calls)
        self.requests.append(
            {
                **{name: getattr(r, name) for name in _PLAIN},
                "prompt_id": r.prompt.id if r.prompt else None,
                "prompt_version": r.prompt.version if r.prompt else None,
                "experiment": r.variant.experiment if r.variant else None,
                "variant": r.variant.name if r.variant else None,
                "input_hash": self._text(r.input),
                "response_hash": self._text(r.response),
                "calls": sums.calls,
                "unpriced": sums.unpriced,
                **_token_columns(sums.tokens),
                "cost_nano_usd": sums.cost_nano_usd,
                "retrieval_missed": retrieval_missed(r.retrievals),
                "attributes": dict(r.attributes),
            }
        )
        for table, spans, columns in self._kinds(r):
            for place, span in enumerate(spans):
                of = {"trace_id": r.trace_id, "request_span_id": r.span_id, "place": place, "more": dict(span.more)}
                self.children[table].append(of | columns(span))

    def _kinds(self, r: Request) -> Iterator[tuple[str, Sequence[Any], Callable[[Any], dict[str, Any]]]]:
        yield "calls", r.calls, self._call
        yield "retrievals", r.retrievals, self._retrieval
        yield "tool_calls", r.tool_calls, self._tool_call
        yield "feedback", r.feedback, self._feedback

    def _text(self, text: str | None) -> str | None:
        if text is None:
            return None
        key = sha256(text.encode()).hexdigest()
        self.texts[key] = text
        return key

    def _call(self, call: Call) -> dict[str, Any]:
        return {
            **{name: getattr(call, name) for name in _PLAIN_CALL},
            **_token_columns(call.tokens),
            "params": dict(call.params),
            "message_hashes": [self._text(_json(message)) for message in call.messages],
            "response_hash": self._text(call.response),
            "flags": list(call.flags),
        }

    def _retrieval(self, retrieval: Retrieval) -> dict[str, Any]:
        return {"span_id": retrieval.span_id, "documents": [dict(d) for d in retrieval.documents]}

    def _tool_call(self, tool_call: ToolCall) -> dict[str, Any]:
        return {
            "span_id": tool_call.span_id,
            "name": tool_call.name,
            "arguments": _json(tool_call.arguments),
            "result_hash": self._text(_json(tool_call.result)),
            "error_type": tool_call.error_type,
        }

    def _feedback(self, feedback: Feedback) -> dict[str, Any]:
        return {
            "kind": feedback.kind,
            "value": _json(feedback.value),
            "comment": feedback.comment,
            "at": feedback.at,
        }


def hashes_of(found: Sequence[Row], children: Children) -> set[str]:
    """Every text that rows point at."""
    hashes = {row[name] for row in found for name in ("input_hash", "response_hash")}
    for row in (row for of_one in children["calls"].values() for row in of_one):
        hashes.add(row["response_hash"])
        hashes.update(row["message_hashes"])
    hashes.update(row["result_hash"] for of_one in children["tool_calls"].values() for row in of_one)
    return hashes - {None}


def request_of(row: Row, children: Children, texts: Mapping[str, str]) -> Request:
    """The request of a row of `requests`; equal to the one that was added."""
    key = (row["trace_id"], row["span_id"])
    prompt = Prompt(id=row["prompt_id"], version=row["prompt_version"])
    variant = Variant(experiment=row["experiment"], name=row["variant"])
    return Request(
        **{name: row[name] for name in _PLAIN},
        prompt=prompt if prompt != Prompt() else None,
        variant=variant if variant != Variant() else None,
        input=_text_at(row["input_hash"], texts),
        response=_text_at(row["response_hash"], texts),
        calls=[_call_of(each, texts) for each in children["calls"].get(key, ())],
        retrievals=[
            Retrieval(span_id=each["span_id"], documents=each["documents"], more=each["more"])
            for each in children["retrievals"].get(key, ())
        ],
        tool_calls=[_tool_call_of(each, texts) for each in children["tool_calls"].get(key, ())],
        feedback=[
            Feedback(
                kind=each["kind"],
                value=_parsed(each["value"]),
                comment=each["comment"],
                at=each["at"],
                more=each["more"],
            )
            for each in children["feedback"].get(key, ())
        ],
        attributes=row["attributes"],
    )


def _call_of(row: Row, texts: Mapping[str, str]) -> Call:
    return Call(
        **{name: row[name] for name in _PLAIN_CALL},
        tokens=Tokens(**{name: row[f"tokens_{name}"] for name in Tokens.__dataclass_fields__}),
        params=row["params"],
        messages=[json.loads(texts[key]) for key in row["message_hashes"]],
        response=_text_at(row["response_hash"], texts),
        flags=row["flags"],
        more=row["more"],
    )


def _tool_call_of(row: Row, texts: Mapping[str, str]) -> ToolCall:
    return ToolCall(
        span_id=row["span_id"],
        name=row["name"],
        arguments=_parsed(row["arguments"]),
        result=_parsed(_text_at(row["result_hash"], texts)),
        error_type=row["error_type"],
        more=row["more"],
    )


def _token_columns(tokens: Tokens) -> dict[str, int | None]:
    return {f"tokens_{name}": getattr(tokens, name) for name in Tokens.__dataclass_fields__}


def _text_at(key: str | None, texts: Mapping[str, str]) -> str | None:
    return None if key is None else texts[key]


def _json(value: Any) -> str | None:
    """JSON text in the order it came; None for null."""
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)
