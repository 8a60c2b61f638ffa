"""How far requests came on their way to a score; a stage with nothing where the one before had something is a stall."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchkeeper.foundation.clock import format_time
from watchkeeper.foundation.finding import Finding
from watchkeeper.observability.request import hour_of
from watchkeeper.scoring.hours import SampledHour
from watchkeeper.scoring.scored import State

INTERVAL = timedelta(minutes=15)
"""How often the schedule runs."""

CHECK = "score-live"

_SILENT = 3 * INTERVAL
_EXPECTED = 10
"""Requests a stage must have been expected to give before its nothing is a stall and not chance."""
_LEAST_SEEN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """Requests of one route and hour. Every stage is part of the one before.

    Attributes:
        hour: request.hour_of; None where hours are added up.
        judged: With a score or a reason why it is missing.
        valid: With a score.
        expected: How many of the eligible were to be sampled by the rates, for whoever wonders about `sampled`.
    """

    route: str
    hour: int | None
    seen: int
    eligible: int
    sampled: int
    judged: int
    valid: int
    expected: float = 0.0


STAGES = ("seen", "eligible", "sampled", "judged", "valid")


def funnel_of(hours: Iterable[SampledHour], samples: Iterable[tuple[str, datetime, bool, bool]]) -> list[Funnel]:
    """Every route and hour that was looked at, in order.

    Args:
        samples: Route, start, whether it was judged, and validly.
    """
    counts: dict[tuple[str, int], list[int]] = {}
    for route, at, judged, valid in samples:
        mine = counts.setdefault((route, hour_of(at)), [0, 0, 0])
        for place, holds in enumerate((True, judged, valid)):
            mine[place] += holds
    found = []
    for row in sorted(hours, key=lambda each: (each.route, each.hour)):
        sampled, judged_count, valid_count = counts.get((row.route, row.hour), (0, 0, 0))
        known = [rate for rate in row.rates if rate is not None]
        found.append(
            Funnel(
                route=row.route,
                hour=row.hour,
                seen=row.seen,
                eligible=row.eligible,
                sampled=sampled,
                judged=judged_count,
                valid=valid_count,
                expected=row.eligible * min(known, default=0.0),
            )
        )
    return found


def summed(rows: Iterable[Funnel]) -> list[Funnel]:
    """The funnel of every route, its hours added up."""
    by_route: dict[str, list[Funnel]] = {}
    for row in rows:
        by_route.setdefault(row.route, []).append(row)
    return [
        Funnel(
            route=route,
            hour=None,
            **{stage: sum(getattr(row, stage) for row in mine) for stage in STAGES},
            expected=sum(row.expected for row in mine),
        )
        for route, mine in sorted(by_route.items())
    ]


def stall_finding(
    state: State | None, rows: Sequence[Funnel], *, newest: datetime | None, now: datetime
) -> Finding | None:
    """Why live answers are not being scored although there is traffic, or None.

    Args:
        state: Of runs; None before the first.
        rows: Of the last hours that are over.
        newest: When the newest request of a scored route started.
    """
    reasons = [reason for row in summed(rows) if (reason := _stalled_at(row)) is not None]
    if state is not None:
        ran = state.ran_at or state.began
        if now - ran > _SILENT and newest is not None and newest > ran:
            when = f"since {format_time(ran)[:16]}Z" if state.ran_at else "yet"
            reasons.insert(0, f"no run has ended well {when}, and requests came in")
    if not reasons:
        return None
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return Finding(
        kind="check-stalled",
        severity="error",
        subject={"check": CHECK},
        summary=f"Live answers are not being scored: {reasons[0]}{more}.",
        evidence={
            "reasons": reasons,
            "funnel": [{"route": row.route} | {stage: getattr(row, stage) for stage in STAGES} for row in summed(rows)],
        },
    )


def _stalled_at(row: Funnel) -> str | None:
    if row.seen >= _LEAST_SEEN and not row.eligible:
        return (
            f"of {row.seen} requests of {row.route} none is eligible; are answers kept, and is their source production?"
        )
    if row.expected >= _EXPECTED and not row.sampled:
        return f"of {row.eligible} eligible requests of {row.route} none was sampled"
    if row.sampled >= _EXPECTED and not row.judged:
        return f"of {row.sampled} sampled requests of {row.route} none was judged"
    if row.judged >= _EXPECTED and not row.valid:
        return f"of {row.judged} judged requests of {row.route} none has a score"
    return None
