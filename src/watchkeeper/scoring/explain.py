"""Whether one request was eligible, sampled and judged, in the words of somebody who asks why."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np

from watchkeeper.observability.request import Request
from watchkeeper.observability.steps import Step
from watchkeeper.scoring.candidates import LIVE_SOURCE
from watchkeeper.scoring.hours import SampledHour
from watchkeeper.scoring.planning import Plan
from watchkeeper.scoring.sampling import LEAST, SLOT_S
from watchkeeper.scoring.scored import SampledRequest


def scoring_steps(
    request: Request,
    sampled: SampledRequest | None,
    hour: SampledHour | None,
    plan: Plan,
    *,
    u: float | None,
    now: datetime,
) -> Iterator[Step]:
    """The steps of one request. None of them is needed: most requests are not scored, and that is right.

    Args:
        hour: What is known of its hour and route; None where nobody looked at it.
        u: Its trace's permanent number; None before the first run.
    """
    reason = _not_eligible(request, plan, now)
    if reason is not None and sampled is None:
        yield Step(step="eligible", done=False, detail=f"skipped because {reason}", needed=False)
        return
    yield Step(step="eligible", done=True, detail="a settled answer of a real user", needed=False)
    if sampled is None:
        yield Step(step="sampled", done=False, detail=_not_chosen(request, hour, u), needed=False)
        return
    yield Step(
        step="sampled",
        done=True,
        detail=f"{sampled.stratum.replace('_', ' ')}: u {sampled.u:.4f} < {sampled.inclusion:.4g}",
        needed=False,
    )
    yield _judged(sampled)


def _not_eligible(request: Request, plan: Plan, now: datetime) -> str | None:
    if request.route not in plan.scorers:
        return f"nothing scores the route {request.route}"
    if request.source not in (None, LIVE_SOURCE):
        return f"source={request.source}"
    if request.response is None:
        return "it has no response"
    settled = request.started_at + timedelta(milliseconds=request.latency_ms or 0.0) + plan.settle
    if settled > now:
        return f"it is not settled: it ended less than {plan.settle // timedelta(minutes=1)} minutes ago"
    return None


def _not_chosen(request: Request, hour: SampledHour | None, u: float | None) -> str:
    if hour is None or u is None:
        return "not looked at yet: no run of score-live since it settled, or it is older than sampling"
    slot = int(request.started_at.timestamp() % 3600 // SLOT_S)
    rate = hour.rates[slot]
    if rate is None:
        return "not looked at yet: no run of score-live since it settled"
    # Of an ordinary request; one with a signal had a higher probability, and u was not below that either.
    inclusion = float(np.clip(rate, LEAST, 1.0))
    return f"not chosen: u {u:.4f} >= {inclusion:.4g}" if u >= inclusion else "not looked at since it changed"


def _judged(sampled: SampledRequest) -> Step:
    if not sampled.scores:
        return Step(step="judged", done=False, detail="chosen, and waits for the next run", needed=False)
    told = "; ".join(
        f"{name} {value:.2f}" if value is not None else f"{name} missing: {missing}"
        for name, value, missing in sampled.scores
    )
    return Step(step="judged", done=any(value is not None for _, value, _ in sampled.scores), detail=told, needed=False)
