"""What happened since a time, added up by the labels a monitoring system may carry: no texts, no ids.

Missing stays None: tokens nobody reported and costs nobody knows are not zero.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

BOUNDARIES_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Upper ends of a duration's buckets in seconds: OpenTelemetry's for gen_ai.client.operation.duration."""

OTHER = "other"
"""Where the names go that are not among the most frequent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestGroup:
    """Requests of one route and error whose durations fell into the same buckets.

    Attributes:
        error_type: None for those that ended well.
        latency_bucket: Place in BOUNDARIES_S, its length for longer ones, None where nothing was measured.
        latency_ms: Their sum, in milliseconds; likewise `ttft_ms`.
    """

    route: str
    error_type: str | None
    latency_bucket: int | None
    ttft_bucket: int | None
    requests: int
    latency_ms: float | None
    ttft_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallGroup:
    """Calls of one route, model and error, with their sums.

    Attributes:
        model: The one that was served, else the one that was asked for, else None.
        tokens: Bucket -> tokens; buckets do not overlap, one that nobody reported is not there.
        cost_nano_usd: Over the calls that have a cost; None when none has.
        unpriced: Calls that ended well and have no cost.
    """

    route: str
    model: str | None
    error_type: str | None
    calls: int
    tokens: dict[str, int]
    cost_nano_usd: int | None
    unpriced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Everything since a time, the groups in no order; `newest` is when the newest request of all started, or None."""

    requests: Sequence[RequestGroup]
    calls: Sequence[CallGroup]
    newest: datetime | None


def most_frequent(counted: Iterable[tuple[str | None, int]], *, most: int) -> frozenset[str]:
    """The names with the largest sums, at most so many; of equal ones the first by name."""
    sums: dict[str, int] = {}
    for name, count in counted:
        if name is not None:
            sums[name] = sums.get(name, 0) + count
    return frozenset(sorted(sums, key=lambda name: (-sums[name], name))[:most])
