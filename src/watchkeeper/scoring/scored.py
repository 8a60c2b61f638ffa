"""Samples on their way to a score, and with one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

RETRIED = "failed"
"""What the reason of a missing score begins with when asking again may help."""
MOST_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A sample and the names of the scorers that have not scored it."""

    trace_id: str
    span_id: str
    route: str
    u: float
    stratum: str
    inclusion: float
    scorers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A score as it is kept; see scorer.LiveScore."""

    trace_id: str
    span_id: str
    scorer: str
    scorer_version: str
    value: float | None
    label: str | None
    explanation: str | None
    missing: str | None
    inclusion: float
    stratum: str
    judge_model: str | None
    cost_nano_usd: int | None
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredSample:
    """A score with the labels of its request; `inclusion` and `stratum` are the final ones."""

    trace_id: str
    span_id: str
    started_at: datetime
    route: str
    segment: str | None
    prompt: str | None
    model: str | None
    stratum: str
    inclusion: float
    scorer: str
    scorer_version: str
    value: float | None
    missing: str | None
    explanation: str | None
    scored_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledRequest:
    """A sampled request, and (scorer, value, why it is missing) of every score of it."""

    span_id: str
    stratum: str
    inclusion: float
    u: float
    scores: Sequence[tuple[str, float | None, str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is known of runs.

    Attributes:
        salt: Key of the permanent numbers, hexadecimal.
        began: When sampling began.
        owner, seen_at: Who runs at the moment, and the newest sign of life.
        ran_at: When the newest run ended well.
    """

    salt: str
    began: datetime
    owner: str | None = None
    seen_at: datetime | None = None
    ran_at: datetime | None = None
