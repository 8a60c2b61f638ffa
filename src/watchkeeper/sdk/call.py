"""One inference: what was asked, what came back, when its first piece came."""

import time
from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import SpanKind

from watchkeeper.sdk import responses, values
from watchkeeper.sdk.guard import failed, guarded, say_once
from watchkeeper.sdk.responses import Observed
from watchkeeper.sdk.step import Step

_USAGE = {
    "input": "gen_ai.usage.input_tokens",
    "output": "gen_ai.usage.output_tokens",
    "cache_read": "gen_ai.usage.cache_read.input_tokens",
    "cache_write": "gen_ai.usage.cache_write.input_tokens",
    "reasoning": "gen_ai.usage.reasoning.output_tokens",
}
_PARAMS = {"stop": "stop_sequences", "n": "choice.count", "max_completion_tokens": "max_tokens"}
_NOT_PARAMS = frozenset({"messages", "model", "input"})


class Call(Step):
    """`with request.call(…) as call`: ask the model inside, then `call.finish(…)` or `call.observe(response)`."""

    _span_kind = SpanKind.CLIENT

    def __init__(
        self,
        parent: Step,
        model: object,
        provider: object,
        messages: object,
        params: object,
        unknown: Mapping[str, Any],
    ) -> None:
        name = values.text("model", model)
        attributes: dict[str, Any] = {"gen_ai.operation.name": "chat"}
        if name is not None:
            attributes["gen_ai.request.model"] = name
        if (who := values.text("provider", provider)) is not None:
            attributes["gen_ai.provider.name"] = who
        if (asked := values.messages(messages)) is not None:
            attributes["gen_ai.input.messages"] = asked
        if params is not None:
            attributes.update(_params(params))
        super().__init__("call", f"chat {name}" if name else "chat", attributes, parent)
        self._started = time.perf_counter()
        self._first_piece: float | None = None
        self._pieces: list[str] = []
        self._found = Observed()
        self._output: str | None = None
        if unknown:
            _say_unknown("call", unknown)

    @guarded
    def finish(
        self,
        response: object = None,
        *,
        model_served: object = None,
        usage: object = None,
        finish_reason: object = None,
        system_fingerprint: object = None,
        cost_usd: object = None,
        id: object = None,
        **unknown: Any,
    ) -> None:
        """The answer is there; the call's latency ends here (or where its stream ended).

        Args:
            response: The text; a provider's response object is read as by `observe`.
            model_served: The model the provider says it used.
            usage: Tokens: input (with cache), output (with reasoning), cache_read, cache_write, reasoning;
                or the provider's own usage object.
            finish_reason: e.g. "stop".
            system_fingerprint: OpenAI's.
            cost_usd: What it cost, if you know better than the price list.
            id: The provider's id of the response.
        """
        if self._ended_at is None:
            self._ended_at = time.time_ns()
        if response is not None and not isinstance(response, str) and responses.is_response(response):
            self._observe(response)
        elif response is not None:
            self._found.response = values.content("response", response)
        late: dict[str, Any] = {}
        if model_served is not None:
            late["gen_ai.response.model"] = values.text("model_served", model_served)
        if id is not None:
            late["gen_ai.response.id"] = values.text("id", id)
        if system_fingerprint is not None:
            late["openai.response.system_fingerprint"] = values.text("system_fingerprint", system_fingerprint)
        if cost_usd is not None:
            late["watchkeeper.cost_usd"] = values.number("cost_usd", cost_usd)
        if finish_reason is not None and (reason := values.text("finish_reason", finish_reason)) is not None:
            self._found.finish_reason = reason
        if usage is not None:
            late.update(_usage(usage))
        for key, value in late.items():
            if value is not None:
                self._late[key] = value
        if unknown:
            _say_unknown("finish", unknown)
        if self._span is None:
            self._emit()

    @guarded
    def observe(self, response: object) -> None:
        """Read an OpenAI or Anthropic response (object or mapping) and finish with what it says."""
        self._observe(response)
        self.finish()

    def stream(self, pieces: Any) -> "Stream":
        """`pieces`, handed on one by one; the first that is not empty is the time to first token.

        The text of the pieces is the response unless `finish` says another; a model, a finish reason and usage
        that pieces carry are kept too.
        """
        return Stream(self, pieces)

    def _observe(self, response: object) -> None:
        seen, found = responses.observe(response), self._found
        for name in ("response", "model_served", "id", "finish_reason", "system_fingerprint"):
            value = getattr(seen, name)
            if value is not None:
                setattr(found, name, value)
        found.usage.update(seen.usage)

    def _piece(self, piece: object) -> None:
        try:
            if self._first_piece is None and responses.carries_something(piece):
                self._first_piece = time.perf_counter() - self._started
            if isinstance(piece, str):
                self._pieces.append(piece)
            elif piece is not None and not isinstance(piece, bytes):
                self._pieces.append(responses.piece_text(piece))
                whole, self._found.response = self._found.response, None
                self._observe(piece)
                self._found.response = whole
        except Exception as problem:
            failed("reading a piece", problem)

    def _stream_ended(self) -> None:
        self._ended_at = time.time_ns()

    def __enter__(self) -> "Call":
        super().__enter__()
        self._started = time.perf_counter()
        return self

    def _fill(self, late: dict[str, Any]) -> None:
        found = self._found
        text = found.response
        if text is None and self._pieces:
            text = "".join(self._pieces)
        if text is not None:
            late["gen_ai.output.messages"] = values.answer(text, found.finish_reason)
        if found.finish_reason is not None:
            late["gen_ai.response.finish_reasons"] = [values.sound(found.finish_reason)]
        if found.model_served is not None:
            late.setdefault("gen_ai.response.model", found.model_served)
        if found.id is not None:
            late.setdefault("gen_ai.response.id", found.id)
        if found.system_fingerprint is not None:
            late.setdefault("openai.response.system_fingerprint", found.system_fingerprint)
        if self._first_piece is not None:
            late["gen_ai.response.time_to_first_chunk"] = self._first_piece
        for name, number in found.usage.items():
            late.setdefault(_USAGE[name], number)


class Stream:
    """An iterator, plain or async as its source is, that notes when pieces came; other names are the source's own."""

    def __init__(self, call: Call, pieces: Any) -> None:
        self._call, self._pieces = call, pieces
        self._iterator: Any = None

    def __iter__(self) -> "Stream":
        if self._iterator is None:
            self._iterator = iter(self._pieces)
        return self

    def __next__(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self._pieces)
        try:
            piece = next(self._iterator)
        except StopIteration:
            self._call._stream_ended()
            raise
        self._call._piece(piece)
        return piece

    def __aiter__(self) -> "Stream":
        if self._iterator is None:
            self._iterator = aiter(self._pieces)
        return self

    async def __anext__(self) -> Any:
        if self._iterator is None:
            self._iterator = aiter(self._pieces)
        try:
            piece = await anext(self._iterator)
        except StopAsyncIteration:
            self._call._stream_ended()
            raise
        self._call._piece(piece)
        return piece

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copying and pickling ask before there are any pieces
            raise AttributeError(name)
        return getattr(self._pieces, name)


def _params(params: object) -> dict[str, Any]:
    if not isinstance(params, Mapping):
        values.dropped("params", params)
        return {}
    found: dict[str, Any] = {}
    for key, value in params.items():
        if not isinstance(key, str) or key in _NOT_PARAMS or value is None:
            continue
        name = values.sound(f"gen_ai.request.{_PARAMS.get(key, key)}")
        if key == "stop":
            words = [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else []
            found[name] = [values.sound(word) for word in words if isinstance(word, str)]
        else:
            taken = values.scalar("params", value)
            if taken is not None:
                found[name] = taken
    return found


def _usage(usage: object) -> dict[str, int | None]:
    if isinstance(usage, Mapping) and (not usage or any(name in usage for name in _USAGE)):
        return {_USAGE[name]: values.count(f"usage.{name}", usage[name]) for name in _USAGE if name in usage}
    read = responses.usage(usage)
    if not read:
        values.dropped("usage", usage)
    return {_USAGE[name]: number for name, number in read.items()}


def _say_unknown(where: str, unknown: Mapping[str, Any]) -> None:
    for name in unknown:
        say_once(f"unknown {where} {name}", "watchkeeper: %s() has no %r; dropped", where, name)
