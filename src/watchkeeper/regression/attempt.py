"""One answer, or one absence of an answer, of one case."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from watchkeeper.providers.interface import CallFailure, Completion, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """What came of asking one case once.

    Attributes:
        response: The answer, or None when there is none; then `error_type` says why.
        cost_nano_usd: Nano-dollars, None when unpriced.
        tries: HTTP requests made for it.
    """

    case_id: str
    repeat: int
    response: str | None
    error_type: str | None = None
    error: str | None = None
    model_served: str | None = None
    system_fingerprint: str | None = None
    finish_reason: str | None = None
    request_id: str | None = None
    usage: Usage = field(default_factory=Usage)
    cost_nano_usd: int | None = None
    ttft_ms: float | None = None
    latency_ms: float | None = None
    tries: int = 1
    finished_at: datetime


Attempts = Mapping[tuple[str, int], AttemptResult]
"""(case id, repeat) -> what came of it; a key that is absent was never asked."""


def attempt_of(
    case_id: str, repeat: int, outcome: Completion | CallFailure, *, cost_nano_usd: int | None, at: datetime
) -> AttemptResult:
    """The attempt that a provider's outcome makes."""
    if isinstance(outcome, CallFailure):
        return AttemptResult(
            case_id=case_id,
            repeat=repeat,
            response=None,
            error_type=outcome.error_type,
            error=outcome.message,
            request_id=outcome.request_id,
            tries=outcome.tries,
            finished_at=at,
        )
    return AttemptResult(
        case_id=case_id,
        repeat=repeat,
        response=outcome.text,
        model_served=outcome.model_served,
        system_fingerprint=outcome.system_fingerprint,
        finish_reason=outcome.finish_reason,
        request_id=outcome.request_id,
        usage=outcome.usage,
        cost_nano_usd=cost_nano_usd,
        ttft_ms=outcome.ttft_ms,
        latency_ms=outcome.latency_ms,
        tries=outcome.tries,
        finished_at=at,
    )
