"""What it means to call a model, whatever the wire.

Token counts follow the OpenTelemetry convention: `input` includes cached tokens, `output`
includes reasoning. A count the provider did not give is None.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Message = Mapping[str, Any]
"""One chat message as it goes over the wire: {"role": …, "content": …}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call; None where the provider was silent."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One answer of a model.

    Attributes:
        text: The answer, "" when the model gave none (a refusal, only tool calls).
        model_served: The model the provider says answered; None when it does not say.
        finish_reason: As the provider spells it ("stop", "length", "end_turn", …).
        ttft_ms: Milliseconds to the first piece of text; None unless streamed.
        latency_ms: Milliseconds of the attempt that succeeded.
        request_id: The provider's own id of the request, for their support desk.
        cost_nano_usd: What the provider says it cost (`usage.cost`), in nano-dollars; None when
            it does not say.
        tries: HTTP requests made for it, >= 1.
    """

    text: str
    model_served: str | None = None
    system_fingerprint: str | None = None
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    ttft_ms: float | None = None
    latency_ms: float
    request_id: str | None = None
    cost_nano_usd: int | None = None
    tries: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailure:
    """A call that gave no answer, after every retry it was allowed.

    Attributes:
        error_type: timeout, connect, rate_limited, quota_exhausted, overloaded, auth,
            model_not_found, not_found, context_length, content_filtered, bad_request,
            server_error, bad_response or circuit_open.
        message: One line, without prompt text or secrets.
        status: HTTP status, None when there was no response.
        tries: HTTP requests made, >= 0.
    """

    error_type: str
    message: str
    status: int | None = None
    request_id: str | None = None
    tries: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedModel:
    """One entry of a provider's model list."""

    id: str
    created: str | None = None
    retires_on: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


class ChatModel(Protocol):
    """A provider as the rooms see it."""

    async def complete(
        self, model: str, messages: Sequence[Message], params: Mapping[str, Any]
    ) -> Completion | CallFailure:
        """One answer. Never raises for what the provider does; only for cancellation."""
        ...

    async def list_models(self) -> list[OfferedModel]:
        """The provider's catalogue.

        Raises:
            Transient: If the list could not be read; that is never "all models gone".
            Misconfigured: If the key is missing or refused.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
