"""A request as rows of its tables, and back; no database here."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from watchkeeper.observability.packing import Texts, pack_values
from watchkeeper.observability.pieces import keep_message, message_at
from watchkeeper.observability.readers import text_json
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

Key = tuple[str, str]
"""Trace id and root span id of a request."""
Row = Mapping[Any, Any]
Children = Mapping[str, Mapping[Key, Sequence[Row]]]
"""Table name -> request -> its rows in order."""

_TOKENS = ("tokens_input", "tokens_output", "tokens_cache_read", "tokens_cache_write", "tokens_reasoning")
_PLACE = ("trace_id", "request_span_id", "place", "more")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "requests": (
        "trace_id", "span_id", "started_at", "route", "source", "segment", "session_id", "job_id", "environment",
        "release", "error_type", "ttft_ms", "latency_ms", "prompt_id", "prompt_version", "experiment", "variant",
        "input_hash", "response_hash", "calls", "unpriced", *_TOKENS, "cost_nano_usd", "retrieval_missed",
        "attributes"),
    "calls": (
        *_PLACE, "span_id", "provider", "model_requested", "model_served", "system_fingerprint", "finish_reason",
        "ttft_ms", "latency_ms", "error_type", "cost_nano_usd", *_TOKENS, "params", "message_hashes",
        "response_hash", "flags", "price_id"),
    "retrievals": (*_PLACE, "span_id", "documents"),
    "tool_calls": (*_PLACE, "span_id", "name", "arguments", "result_hash", "error_type"),
    "feedback": (*_PLACE, "kind", "value", "comment", "at"),
}  # fmt: skip
"""Table -> its columns in the order of `Batch`'s rows."""

CHILDREN = ("calls", "retrievals", "tool_calls", "feedback")
_MORE = _PLACE.index("more")
_PLAIN = COLUMNS["requests"][:13]
_PLAIN_CALL = COLUMNS["calls"][4:14]


class Batch:
    """Rows that are to be written together, as plain tuples; each text once.

    Args:
        texts: Gives texts their keys.
        time: A time as the engine takes it.
        prices: (trace id, span id) of a call -> the price its cost was reckoned with.
    """

    def __init__(
        self, texts: Texts, time: Callable[[datetime], Any], prices: Mapping[Key, str | None] | None = None
    ) -> None:
        self.texts, self.time, self.prices = texts, time, prices or {}
        self.rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in COLUMNS}

    def add(self, r: Request) -> None:
        """Add one request with its spans and texts."""
        keep = self.texts.keep
        if len(r.calls) == 1:
            only = r.calls[0]
            tokens, cost, unpriced = only.tokens, only.cost_nano_usd, int(only.cost_nano_usd is None)
        else:
            sums = totals(r.calls)
            tokens, cost, unpriced = sums.tokens, sums.cost_nano_usd, sums.unpriced
        prompt, variant = r.prompt, r.variant
        self.rows["requests"].append(
            (
                r.trace_id,
                r.span_id,
                self.time(r.started_at),
                r.route,
                r.source,
                r.segment,
                r.session_id,
                r.job_id,
                r.environment,
                r.release,
                r.error_type,
                r.ttft_ms,
                r.latency_ms,
                prompt.id if prompt else None,
                prompt.version if prompt else None,
                variant.experiment if variant else None,
                variant.name if variant else None,
                None if r.input is None else keep(r.input),
                None if r.response is None else keep(r.response),
                len(r.calls),
                unpriced,
                tokens.input,
                tokens.output,
                tokens.cache_read,
                tokens.cache_write,
                tokens.reasoning,
                cost,
                retrieval_missed(r.retrievals),
                _json(r.attributes),
            )
        )
        of = (r.trace_id, r.span_id)
        for place, call in enumerate(r.calls):
            self._call(of, place, call)
        for place, retrieval in enumerate(r.retrievals):
            row = (*of, place, _json(retrieval.more), retrieval.span_id, _json(retrieval.documents))
            self.rows["retrievals"].append(row)
        for place, tool in enumerate(r.tool_calls):
            self.rows["tool_calls"].append(
                (
                    *of,
                    place,
                    _json(tool.more),
                    tool.span_id,
                    tool.name,
                    _value(tool.arguments),
                    None if tool.result is None else keep(_json(tool.result)),
                    tool.error_type,
                )
            )
        for place, said in enumerate(r.feedback):
            at = None if said.at is None else self.time(said.at)
            self.rows["feedback"].append(
                (*of, place, _json(said.more), said.kind, _value(said.value), said.comment, at)
            )

    def written(self, table: str) -> list[tuple[Any, ...]]:
        """The rows of a table in the order of its `COLUMNS`; what calls have beside the named fields compressed."""
        rows = self.rows[table]
        if table != "calls":
            return rows
        packed = pack_values([row[_MORE] for row in rows])
        return [(*row[:_MORE], more, *row[_MORE + 1 :]) for row, more in zip(rows, packed, strict=True)]

    def _call(self, of: Key, place: int, call: Call) -> None:
        keep, tokens = self.texts.keep, call.tokens
        self.rows["calls"].append(
            (
                *of,
                place,
                call.more,
                call.span_id,
                call.provider,
                call.model_requested,
                call.model_served,
                call.system_fingerprint,
                call.finish_reason,
                call.ttft_ms,
                call.latency_ms,
                call.error_type,
                call.cost_nano_usd,
                tokens.input,
                tokens.output,
                tokens.cache_read,
                tokens.cache_write,
                tokens.reasoning,
                _json(call.params),
                _json([keep_message(m, keep) for m in call.messages]),
                None if call.response is None else keep(call.response),
                _json(call.flags),
                self.prices.get((of[0], call.span_id)),
            )
        )


def hashes_of(found: Sequence[Row], children: Children) -> set[str]:
    """Every text that rows point at."""
    hashes = {row[name] for row in found for name in ("input_hash", "response_hash")}
    for row in (row for of_one in children["calls"].values() for row in of_one):
        hashes.add(row["response_hash"])
        hashes.update(each.partition(":")[0] for each in row["message_hashes"])
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
        messages=[message_at(each, texts) for each in row["message_hashes"]],
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


def _text_at(key: str | None, texts: Mapping[str, str]) -> str | None:
    return None if key is None else texts[key]


def _json(value: Any) -> str:
    """JSON text in the order it came."""
    if not value and value is not None:
        if isinstance(value, dict):
            return "{}"
        if isinstance(value, list | tuple):
            return "[]"
    return text_json(value)


def _value(value: Any) -> str | None:
    """JSON text; None for null."""
    return None if value is None else _json(value)


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)
