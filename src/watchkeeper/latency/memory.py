"""What is remembered of a stream between two checks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

APART = timedelta(minutes=45)
"""Two checks nearer than this are one: asked twice about the same hour, it is not two hours running."""

RUNNING = timedelta(hours=3)
"""A check longer ago than this is not the one before."""

HOLD = timedelta(hours=6)
"""How long a stream must be as usual again before the incident ends: pauses in one are part of it."""

LONGEST = timedelta(days=14)
"""How long a baseline is kept as it was in an incident: then what was slow is what is usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a quantile of a stream was in the weeks before.

    Attributes:
        share: Of requests above it: 0.05 for p95.
        limit: The quantile, milliseconds.
        spread: Of slowness.burstiness.
        requests: It is made of.
        output: The same quantile of output tokens; None where they are not known.
        per_token: Of milliseconds an output token; None as above.
    """

    share: float
    limit: float
    spread: float
    requests: int
    output: float | None = None
    per_token: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One test of a stream, e.g. its "latency_ms p95".

    Attributes:
        at: Of the last check.
        p: Of that check; None with too few requests.
        p_before: Of the one before it.
        since: When the alarm began; None while there is none.
        last: When it was last seen to be slow.
        longer: The alarm is of answers that became longer, not of slowness.
        baseline: As it was when the first test of the stream began to alarm; None while none does.
    """

    at: datetime
    p: float | None
    p_before: float | None = None
    since: datetime | None = None
    last: datetime | None = None
    longer: bool = False
    baseline: Baseline | None = None


Memory = Mapping[str, Watched]
"""Name of the test -> what is remembered of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutMemory:
    """A route whose requests time out more than usual: since when, and the rate that was allowed then."""

    since: datetime
    last: datetime
    allowed: float
    usual: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memories:
    """All that is remembered: stream key -> tests, route -> timeouts."""

    streams: Mapping[str, Memory] = field(default_factory=dict)
    timeouts: Mapping[str, TimeoutMemory] = field(default_factory=dict)
