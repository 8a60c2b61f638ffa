"""What is planned to be scored, with which money, and what a run did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from watchkeeper.facts.usage import Usage
from watchkeeper.observability.request import hour_of
from watchkeeper.scoring.budget import MIX, Demand, Traffic, forecast, spread_over
from watchkeeper.scoring.candidates import LIVE_SOURCE
from watchkeeper.scoring.hours import SampledHour
from watchkeeper.scoring.scorer import ScoreMany
from watchkeeper.scoring.signals import STRATA

ASSUMED_NANO_USD = 10_000_000
"""Cost of a judgement of a judge that has made none yet: one US cent, more than most cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the configuration asks for.

    Attributes:
        scorers: Route -> what scores its answers.
        target: Share of ordinary responses to score while money lasts.
        day_nano_usd: Most to spend on a day (UTC), nano-dollars.
        settle: How long ago a request must have ended: until then its feedback and its spans come in.
        own_multiples: Stratum -> multiple of the base rate, where it is not the usual one.
    """

    scorers: Mapping[str, Sequence[ScoreMany]]
    target: float
    day_nano_usd: int
    settle: timedelta
    own_multiples: Mapping[str, float] = field(default_factory=dict)

    @property
    def named(self) -> dict[str, list[tuple[str, str]]]:
        """Route -> name and version of its scorers."""
        return {route: [(each.name, each.version) for each in mine] for route, mine in self.scorers.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What scoring one request of each route costs, nano-dollars.

    Attributes:
        assumed: Judges that never were paid: their cost is assumed, not measured.
    """

    by_route: Mapping[str, float]
    assumed: Sequence[str]


def costs(plan: Plan, measured: Mapping[str, float]) -> Costs:
    """Costs from what scores cost on average lately."""
    paid = {each.name for mine in plan.scorers.values() for each in mine if each.paid}
    cost = {name: measured.get(name, ASSUMED_NANO_USD) for name in paid}
    return Costs(
        by_route={route: sum(cost.get(each.name, 0.0) for each in mine) for route, mine in plan.scorers.items()},
        assumed=sorted(paid - set(measured)),
    )


def expected_demand(
    plan: Plan,
    cost: Costs,
    usage: Sequence[Usage],
    hours: Sequence[SampledHour],
    since: datetime,
    until: datetime,
    *,
    now: datetime,
) -> list[Demand]:
    """Requests of [since, until) that are to be decided about, as far as they can be foreseen.

    Args:
        usage: Requests by route, source and hour up to now, whole days of it.
        hours: Looked at lately: what traffic is made of.
    """
    found = []
    for route in plan.scorers:
        expected = forecast(_traffic(usage, route, now), since, until)
        if expected:
            mine = [row for row in hours if row.route == route]
            mix = _mix(mine)
            found.append(Demand(requests=spread_over(expected, mix), cost_nano_usd=cost.by_route[route]))
    return found


def counted_demand(cost: Costs, eligible: Mapping[str, Mapping[str, int]]) -> list[Demand]:
    """Requests that were counted, by route and stratum."""
    return [
        Demand(requests=[counts.get(name, 0) for name in STRATA], cost_nano_usd=cost.by_route[route])
        for route, counts in eligible.items()
    ]


def _traffic(usage: Sequence[Usage], route: str, now: datetime) -> Traffic:
    mine = [
        row for row in usage if row.at and row.labels["route"] == route and row.labels["source"] in (None, LIVE_SOURCE)
    ]
    last = hour_of(now)
    first = min((hour_of(row.at) for row in mine if row.at), default=last) // 24 * 24
    counts = np.zeros(max(1, last - first + 1))
    for row in mine:
        if row.at and first <= hour_of(row.at) <= last:
            counts[hour_of(row.at) - first] += row.requests or 0
    # Days before the first request are not quiet days: there was nothing yet.
    return Traffic(first=first, counts=counts)


def _mix(hours: Sequence[SampledHour]) -> Mapping[str, float]:
    mix: dict[str, float] = {}
    for row in hours:
        for group in row.population:
            mix[group.stratum] = mix.get(group.stratum, 0.0) + group.requests
    return mix or MIX


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a run would do.

    Attributes:
        rate: Base rate it would sample with.
        eligible: Requests it would look at.
        new: Requests that would be scored.
        waiting: Of earlier samples that would be scored as well.
        cost_nano_usd: Of all of it, from what scores cost lately.
        assumed: Judges whose cost is a guess.
    """

    rate: float
    target: float
    eligible: int
    new: int
    waiting: int
    cost_nano_usd: float
    assumed: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run did.

    Attributes:
        chosen: Requests that came into the sample.
        raised: Samples whose stratum or probability rose.
        scored: Scores that were written, `missing` ones among them.
        cached: Scores that were known already.
        waiting: Samples that still lack a score.
        cost_nano_usd: Paid by this run; None when nothing is priced.
        spent_nano_usd: Paid on this day (UTC) so far.
    """

    rate: float
    target: float
    chosen: int
    raised: int
    scored: int
    missing: int
    cached: int
    waiting: int
    cost_nano_usd: int | None
    spent_nano_usd: int

    @property
    def wider(self) -> float:
        """How many times as wide an interval is as it would be at the target rate; 1 when nothing was saved."""
        return float(np.sqrt(self.target / self.rate)) if 0 < self.rate < self.target else 1.0
