"""What happened when a user called the application: one request and everything inside it.

Values only. None means "not known" everywhere, never zero. Text is storable on every engine: it holds
neither NUL nor half a surrogate pair (observability.fields.storable makes it so).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from watchkeeper.foundation import money


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens of one call, in buckets that do not overlap; None where the provider was silent.

    The wire's figures are inclusive (OpenTelemetry); `wire_input` and `wire_output` give them back.

    Attributes:
        input: Neither read from nor written to a cache.
        output: Without reasoning.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None

    @property
    def wire_input(self) -> int | None:
        """Every input token, cached ones too; None when the uncached ones are not known."""
        return None if self.input is None else self.input + (self.cache_read or 0) + (self.cache_write or 0)

    @property
    def wire_output(self) -> int | None:
        """Every output token, reasoning too; None when the visible ones are not known."""
        return None if self.output is None else self.output + (self.reasoning or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One inference inside a request.

    Attributes:
        span_id: 16 hex digits; derived from the request's when the record gave none.
        messages: What was sent, as it went over the wire.
        ttft_ms: Milliseconds to the first piece of text.
        latency_ms: Milliseconds of the whole call.
        cost_nano_usd: Nano-dollars; None is an unpriced call, not a free one.
        flags: What is wrong with the record, e.g. "usage.input": its buckets did not add up.
        more: Keys the format does not name, kept as they came.
    """

    span_id: str
    provider: str | None = None
    model_requested: str | None = None
    model_served: str | None = None
    system_fingerprint: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    messages: Sequence[Mapping[str, Any]] = ()
    response: str | None = None
    finish_reason: str | None = None
    tokens: Tokens = field(default_factory=Tokens)
    ttft_ms: float | None = None
    latency_ms: float | None = None
    error_type: str | None = None
    cost_nano_usd: int | None = None
    flags: Sequence[str] = ()
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """One search for context. `documents` in rank order, each {"id", "score"} and what else came."""

    span_id: str
    documents: Sequence[Mapping[str, Any]] = ()
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One use of a tool; arguments and result are any JSON value."""

    span_id: str
    name: str | None = None
    arguments: Any = None
    result: Any = None
    error_type: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What the user thought: kind "thumb", "edit", …; `value` any JSON value, e.g. -1."""

    kind: str
    value: Any = None
    comment: str | None = None
    at: datetime | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Which words were used."""

    id: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Which arm of which experiment served it."""

    experiment: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of the application by a user: the root span and what happened inside it.

    Attributes:
        trace_id: 32 lower-case hex digits.
        span_id: 16 lower-case hex digits, of the root span.
        started_at: Aware, UTC.
        route: Feature or endpoint; never empty.
        segment: User group, never a raw user id.
        job_id: Unit of work that is resolved or not.
        ttft_ms: Milliseconds to the first piece of text the user saw.
        latency_ms: Milliseconds until the whole answer was there.
        attributes: Everything else, with the top-level keys the format does not name.
    """

    trace_id: str
    span_id: str
    started_at: datetime
    route: str
    source: str | None = None
    segment: str | None = None
    session_id: str | None = None
    job_id: str | None = None
    environment: str | None = None
    release: str | None = None
    prompt: Prompt | None = None
    variant: Variant | None = None
    input: str | None = None
    response: str | None = None
    error_type: str | None = None
    ttft_ms: float | None = None
    latency_ms: float | None = None
    calls: Sequence[Call] = ()
    retrievals: Sequence[Retrieval] = ()
    tool_calls: Sequence[ToolCall] = ()
    feedback: Sequence[Feedback] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """A request's calls added up.

    Attributes:
        tokens: Each bucket over the calls that know it; None when none does.
        cost_nano_usd: Over the priced calls; None when none is priced.
        unpriced: Calls without a cost.
    """

    calls: int
    tokens: Tokens
    cost_nano_usd: int | None
    unpriced: int


def totals(calls: Sequence[Call]) -> Totals:
    """The sums over a request's calls."""
    buckets = {name: _known_sum([getattr(call.tokens, name) for call in calls]) for name in Tokens.__dataclass_fields__}
    return Totals(
        calls=len(calls),
        tokens=Tokens(**buckets),
        cost_nano_usd=money.total(call.cost_nano_usd for call in calls),
        unpriced=sum(call.cost_nano_usd is None for call in calls),
    )


def hour_of(at: datetime) -> int:
    """The hour in which a time lies: whole hours since 1970, UTC."""
    return int(at.timestamp() // 3600)


def retrieval_missed(retrievals: Sequence[Retrieval]) -> bool | None:
    """Whether a search brought no document; None when nothing was searched."""
    return any(not r.documents for r in retrievals) if retrievals else None


def _known_sum(counts: Sequence[int | None]) -> int | None:
    known = [c for c in counts if c is not None]
    return sum(known) if known else None
