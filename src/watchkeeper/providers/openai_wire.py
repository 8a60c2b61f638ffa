"""OpenAI's chat completions, which most servers speak."""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from watchkeeper.foundation.errors import Misconfigured, Transient
from watchkeeper.foundation.money import nano_usd
from watchkeeper.providers.interface import CallFailure, Completion, Message, OfferedModel, Usage
from watchkeeper.providers.retry import Failed, Retrier
from watchkeeper.providers.transport import Refusal, Wire
from watchkeeper.providers.values import count, joined_text, mapping, unreadable, word

_RENAMED = {"max_tokens": "max_completion_tokens"}


class OpenAIWire:
    """One provider that speaks chat completions."""

    def __init__(self, name: str, wire: Wire, retrier: Retrier) -> None:
        self._name, self._wire, self.retrier = name, wire, retrier
        self._refused_params: dict[str, set[str]] = {}

    async def complete(
        self, model: str, messages: Sequence[Message], params: Mapping[str, Any]
    ) -> Completion | CallFailure:
        """One answer; see ChatModel."""

        async def attempt() -> Completion | Failed:
            body = {**self._accepted(model, params), "model": model, "messages": messages}
            try:
                if not body.get("stream"):
                    return await self._plain(body)
                if "stream_options" not in self._refused_params.get(model, ()):
                    body["stream_options"] = {"include_usage": True}
                return await self._streamed(body)
            except Refusal as refusal:
                if self._learns(model, refusal.failed, body):
                    return await attempt()
                return refusal.failed

        return await self.retrier.call(attempt)

    async def list_models(self) -> list[OfferedModel]:
        """The catalogue; see ChatModel."""
        try:
            decoded, _ = await self._wire.get("/models")
        except Refusal as refusal:
            failure = refusal.failed.failure
            if failure.error_type == "auth":
                raise Misconfigured(f"provider {self._name!r} refused the key: {failure.message}") from None
            raise Transient(f"provider {self._name!r}: the model list: {failure.message}") from None
        rows = decoded.get("data") if isinstance(decoded, dict) else decoded
        found = [
            OfferedModel(
                id=row["id"],
                created=_instant(row.get("created")),
                retires_on=word(row.get("shutdown_date")) or word(row.get("deprecation")),
                raw=row,
            )
            for row in map(mapping, rows if isinstance(rows, list) else [])
            if word(row.get("id")) is not None
        ]
        if not found:
            raise Transient(f"provider {self._name!r}: the model list is empty or of an unknown shape")
        return found

    async def aclose(self) -> None:
        """Close the connections."""
        await self._wire.aclose()

    async def _plain(self, body: Mapping[str, Any]) -> Completion | Failed:
        began = time.perf_counter()
        decoded, headers = await self._wire.post("/chat/completions", body)
        latency_ms = (time.perf_counter() - began) * 1000
        if not isinstance(decoded, dict):
            return unreadable("the answer is no JSON object")
        if decoded.get("error"):
            return self._wire.failed_of(200, decoded, headers)
        try:
            choice = decoded["choices"][0]
            message = choice["message"]
            text = joined_text(message.get("content")) or joined_text(message.get("refusal"))
            return Completion(
                text=text,
                model_served=word(decoded.get("model")),
                system_fingerprint=word(decoded.get("system_fingerprint")),
                finish_reason=word(choice.get("finish_reason")),
                usage=_usage(decoded.get("usage")),
                latency_ms=latency_ms,
                request_id=headers.get("x-request-id") or word(decoded.get("id")),
                cost_nano_usd=_cost(decoded.get("usage")),
            )
        except (KeyError, IndexError, TypeError, AttributeError):
            return unreadable("the answer has no choices")

    async def _streamed(self, body: Mapping[str, Any]) -> Completion | Failed:
        began = time.perf_counter()
        parts: list[str] = []
        ttft_ms: float | None = None
        last: dict[str, Any] = {}
        finish: str | None = None
        usage: Any = None
        ended = False
        async with self._wire.stream("/chat/completions", body) as (events, headers):
            async for data in events:
                if data == "[DONE]":
                    ended = True
                    break
                try:
                    chunk = mapping(json.loads(data))
                except (ValueError, RecursionError):
                    return unreadable("the stream holds an event that is not JSON")
                if chunk.get("error"):
                    return self._wire.failed_of(200, chunk, headers)
                last = {**last, **{k: v for k, v in chunk.items() if v is not None}}
                usage = chunk.get("usage") or usage
                choices = chunk.get("choices")
                for choice in map(mapping, choices if isinstance(choices, list) else []):
                    delta = mapping(choice.get("delta"))
                    piece = joined_text(delta.get("content")) or joined_text(delta.get("refusal"))
                    if piece and ttft_ms is None:
                        ttft_ms = (time.perf_counter() - began) * 1000
                    parts.append(piece)
                    finish = word(choice.get("finish_reason")) or finish
        if not ended and finish is None:
            return unreadable("the stream broke off")
        return Completion(
            text="".join(parts),
            model_served=word(last.get("model")),
            system_fingerprint=word(last.get("system_fingerprint")),
            finish_reason=finish,
            usage=_usage(usage),
            ttft_ms=ttft_ms,
            latency_ms=(time.perf_counter() - began) * 1000,
            request_id=headers.get("x-request-id") or word(last.get("id")),
            cost_nano_usd=_cost(usage),
        )

    def _accepted(self, model: str, params: Mapping[str, Any]) -> dict[str, Any]:
        refused = self._refused_params.get(model)
        if not refused:
            return dict(params)
        kept = {name: value for name, value in params.items() if name not in refused}
        for old, new in _RENAMED.items():
            if old in refused and old in params and new not in refused:
                kept[new] = params[old]
        return kept

    def _learns(self, model: str, failed: Failed, body: Mapping[str, Any]) -> bool:
        """Whether a 400 named a parameter this model does not take; it is left out from now on."""
        param = failed.param
        refused = self._refused_params.setdefault(model, set())
        named = param is not None and param in body and param not in ("model", "messages") and param not in refused
        if failed.failure.status != 400 or not named or param is None:
            return False
        refused.add(param)
        return True


def _usage(raw: Any) -> Usage:
    if not isinstance(raw, dict):
        return Usage()
    prompt, completion = mapping(raw.get("prompt_tokens_details")), mapping(raw.get("completion_tokens_details"))
    return Usage(
        input=count(raw.get("prompt_tokens")),
        output=count(raw.get("completion_tokens")),
        cache_read=count(prompt.get("cached_tokens")),
        cache_write=count(prompt.get("cache_write_tokens")),
        reasoning=count(completion.get("reasoning_tokens")),
    )


def _cost(raw: Any) -> int | None:
    if (
        not isinstance(raw, dict)
        or isinstance(raw.get("cost"), bool)
        or not isinstance(raw.get("cost"), int | float | str)
    ):
        return None
    try:
        return nano_usd(raw["cost"])
    except (ValueError, ArithmeticError):
        return None


def _instant(created: Any) -> str | None:
    if isinstance(created, bool) or not isinstance(created, int) or created <= 0 or created > 4_102_444_800:
        return None
    return datetime.fromtimestamp(created, UTC).isoformat()
