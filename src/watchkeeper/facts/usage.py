"""What a breakdown of use, cost and speed says."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from watchkeeper.observability.request import Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """Exact percentiles in milliseconds; None when nothing was measured."""

    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One row of a breakdown.

    Attributes:
        labels: Label -> its value; None where the records say none.
        at: Start of the bucket of time; None when time was not broken down.
        requests: None where the breakdown is one of calls: a request may have calls of several models.
        calls: Inferences, those that failed too.
        errors: Requests that ended in an error; calls, where the breakdown is one of calls.
        cost_usd: Exact, of the calls that have a cost; None when none has.
        unpriced: Calls without a cost, those that failed too.
        tokens: In buckets that do not overlap; None where no call says.
        latency_ms: Of requests, or of calls.
        ttft_ms: Milliseconds to the first text; of requests, or of calls.
    """

    labels: Mapping[str, str | None]
    at: datetime | None
    requests: int | None
    calls: int
    errors: int
    cost_usd: Decimal | None
    unpriced: int
    tokens: Tokens
    latency_ms: Duration
    ttft_ms: Duration
