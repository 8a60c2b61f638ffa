"""Anthropic's messages API."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from watchkeeper.foundation.errors import Misconfigured, Transient
from watchkeeper.providers.interface import CallFailure, Completion, Message, OfferedModel, Usage
from watchkeeper.providers.retry import Failed, Retrier
from watchkeeper.providers.transport import Refusal, Wire
from watchkeeper.providers.values import count, joined_text, mapping, unreadable, word

_DEFAULT_MAX_TOKENS = 4096  # the API demands one; a suite that wants another says so
_PAGES = 50


class AnthropicWire:
    """One provider that speaks the messages API."""

    def __init__(self, name: str, wire: Wire, retrier: Retrier) -> None:
        self._name, self._wire, self.retrier = name, wire, retrier

    async def complete(
        self, model: str, messages: Sequence[Message], params: Mapping[str, Any]
    ) -> Completion | CallFailure:
        """One answer; see ChatModel."""
        body = _body(model, messages, params)

        async def attempt() -> Completion | Failed:
            try:
                return await (self._streamed(body) if body.get("stream") else self._plain(body))
            except Refusal as refusal:
                return refusal.failed

        return await self.retrier.call(attempt)

    async def list_models(self) -> list[OfferedModel]:
        """The catalogue, all pages of it; see ChatModel."""
        found: list[OfferedModel] = []
        after = ""
        for _ in range(_PAGES):
            try:
                decoded, _headers = await self._wire.get(f"/v1/models?limit=1000{after}")
            except Refusal as refusal:
                failure = refusal.failed.failure
                if failure.error_type == "auth":
                    raise Misconfigured(f"provider {self._name!r} refused the key: {failure.message}") from None
                raise Transient(f"provider {self._name!r}: the model list: {failure.message}") from None
            page = mapping(decoded)
            if not isinstance(page.get("data"), list):
                raise Transient(f"provider {self._name!r}: the model list is of an unknown shape")
            for row in page["data"]:
                if (model := word(mapping(row).get("id"))) is not None:
                    found.append(OfferedModel(id=model, created=word(row.get("created_at")), raw=row))
            if not page.get("has_more"):
                break
            if (last := word(page.get("last_id"))) is None:  # half a list would look like models that are gone
                raise Transient(f"provider {self._name!r}: the model list breaks off after {len(found)} models")
            after = f"&after_id={quote(last, safe='')}"
        if not found:
            raise Transient(f"provider {self._name!r}: the model list is empty")
        return found

    async def aclose(self) -> None:
        """Close the connections."""
        await self._wire.aclose()

    async def _plain(self, body: Mapping[str, Any]) -> Completion | Failed:
        began = time.perf_counter()
        decoded, headers = await self._wire.post("/v1/messages", body)
        answer = mapping(decoded)
        if answer.get("type") == "error":
            return self._wire.failed_of(200, answer, headers)
        if not isinstance(answer.get("content"), list):
            return unreadable("the answer has no content")
        return Completion(
            text=joined_text(answer["content"]),
            model_served=word(answer.get("model")),
            finish_reason=word(answer.get("stop_reason")),
            usage=_usage(answer.get("usage")),
            latency_ms=(time.perf_counter() - began) * 1000,
            request_id=headers.get("request-id") or word(answer.get("id")),
        )

    async def _streamed(self, body: Mapping[str, Any]) -> Completion | Failed:
        began = time.perf_counter()
        parts: list[str] = []
        ttft_ms: float | None = None
        model: str | None = None
        message_id: str | None = None
        finish: str | None = None
        usage: dict[str, Any] = {}
        ended = False
        async with self._wire.stream("/v1/messages", body) as (events, headers):
            async for data in events:
                try:
                    event = mapping(json.loads(data))
                except (ValueError, RecursionError):
                    return unreadable("the stream holds an event that is not JSON")
                match event.get("type"):
                    case "error":
                        return self._wire.failed_of(200, event, headers)
                    case "message_start":
                        message = mapping(event.get("message"))
                        model, message_id = word(message.get("model")), word(message.get("id"))
                        usage |= mapping(message.get("usage"))
                    case "content_block_delta":
                        piece = word(mapping(event.get("delta")).get("text")) or ""
                        if piece and ttft_ms is None:
                            ttft_ms = (time.perf_counter() - began) * 1000
                        parts.append(piece)
                    case "message_delta":
                        finish = word(mapping(event.get("delta")).get("stop_reason")) or finish
                        # Its counts are the final ones, but null where message_start alone counts.
                        usage |= {k: v for k, v in mapping(event.get("usage")).items() if v is not None}
                    case "message_stop":
                        ended = True
        if not ended:
            return unreadable("the stream broke off")
        return Completion(
            text="".join(parts),
            model_served=model,
            finish_reason=finish,
            usage=_usage(usage),
            ttft_ms=ttft_ms,
            latency_ms=(time.perf_counter() - began) * 1000,
            request_id=headers.get("request-id") or message_id,
        )


def _body(model: str, messages: Sequence[Message], params: Mapping[str, Any]) -> dict[str, Any]:
    system = [joined_text(m.get("content")) for m in messages if m.get("role") in {"system", "developer"}]
    body: dict[str, Any] = {
        "max_tokens": _DEFAULT_MAX_TOKENS,
        **params,
        "model": model,
        "messages": [m for m in messages if m.get("role") not in {"system", "developer"}],
    }
    if system:
        body["system"] = "\n\n".join(system)
    return body


def _usage(raw: Any) -> Usage:
    """Anthropic counts cached input apart; ours includes it."""
    counts = mapping(raw)
    fresh, read, written = (
        count(counts.get(name)) for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    return Usage(
        input=None if fresh is None else fresh + (read or 0) + (written or 0),
        output=count(counts.get("output_tokens")),
        cache_read=read,
        cache_write=written,
        reasoning=count(mapping(counts.get("output_tokens_details")).get("reasoning_tokens")),
    )
