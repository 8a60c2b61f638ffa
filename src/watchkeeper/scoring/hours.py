"""What is decided about one hour of traffic: who is sampled, and how many requests every stratum has.

The same hour may be decided again and again, when something late came in: an earlier decision is never taken back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from watchkeeper.scoring.candidates import Candidates
from watchkeeper.scoring.sampling import SLOT_S, SLOTS, Before, Key, Sample, choose, inclusions
from watchkeeper.scoring.signals import STRATA, Appearance, Said, Usual, strata_of

Rates = tuple[float | None, ...]
"""The base rate of each quarter of an hour; None where nothing was decided yet."""

NO_RATES: Rates = (None,) * SLOTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Eligible requests of an hour and a route that have the same labels; None is "the record says none"."""

    segment: str | None
    prompt: str | None
    model: str | None
    stratum: str
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledHour:
    """An hour of a route.

    Attributes:
        hour: request.hour_of.
        version: Of the hour in the store when it was looked at.
        seen: All its requests.
        eligible: Those that could be sampled, the sum of its population.
        unsettled: Those that will be eligible when they have ended long enough ago.
    """

    hour: int
    route: str
    version: int
    seen: int
    eligible: int
    unsettled: int
    rates: Rates
    population: Sequence[Group]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Knowledge:
    """What decides beside the requests themselves.

    Attributes:
        multiples: In the order of STRATA.
        first_seen: Seconds since 1970.
        settled_before: A request must have ended before this time, seconds since 1970.
        raising: Whether a higher rate counts for quarters that have one already.
    """

    salt: bytes
    multiples: NDArray[np.float64]
    usual: Mapping[str, Usual]
    first_seen: Mapping[Appearance, float]
    said: Said
    settled_before: float
    raising: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """An hour of every route that is scored, and its whole sample."""

    hours: Sequence[SampledHour]
    samples: Sequence[Sample]


@dataclass(slots=True)
class Totals:
    """What was decided so far: eligible requests by route and stratum, and samples by route."""

    eligible: dict[str, dict[str, int]] = field(default_factory=dict)
    new: dict[str, int] = field(default_factory=dict)
    raised: int = 0

    def add(self, decided: Decided) -> None:
        for row in decided.hours:
            mine = self.eligible.setdefault(row.route, {})
            for group in row.population:
                mine[group.stratum] = mine.get(group.stratum, 0) + group.requests
        for each in decided.samples:
            self.new[each.route] = self.new.get(each.route, 0) + int(each.new)
            self.raised += each.raised


def decide(
    requests: Candidates,
    hour: int,
    version: int,
    *,
    rates: Mapping[str, float],
    known: Mapping[str, SampledHour],
    before: Mapping[Key, Before],
    by: Knowledge,
) -> Decided:
    """Decide about all requests of an hour.

    Args:
        rates: Route -> the base rate of quarters that have none yet; routes that are not in it are left alone.
        known: Route -> what was decided of this hour earlier.
        before: What was decided of its sampled requests earlier.
    """
    scored = requests.route.of(*rates)
    ended = requests.live & requests.responded & scored
    eligible = ended & requests.ended(by.settled_before)
    strata = strata_of(requests, usual=by.usual, first_seen=by.first_seen, said=by.said)
    slots = np.clip((requests.at % 3600) // SLOT_S, 0, SLOTS - 1).astype(np.int64)
    held = {
        route: _rates(requests, eligible, slots, route, rates[route], known.get(route), by.raising) for route in rates
    }
    base = _base_rates(requests, slots, held)
    chosen = choose(requests, eligible, strata, inclusions(strata, base, by.multiples), salt=by.salt, before=before)
    rows = []
    for route in sorted(rates):
        mine = requests.route.of(route)
        row = SampledHour(
            hour=hour,
            route=route,
            version=version,
            seen=int(mine.sum()),
            eligible=int((mine & eligible).sum()),
            unsettled=int((mine & ended & ~eligible).sum()),
            rates=held[route],
            population=_population(requests, mine & eligible, chosen.strata),
        )
        rows.append(_unpruned(row, known.get(route)))
    return Decided(hours=rows, samples=chosen.samples)


def _rates(
    requests: Candidates,
    eligible: NDArray[np.bool_],
    slots: NDArray[np.int64],
    route: str,
    rate: float,
    known: SampledHour | None,
    raising: bool,
) -> Rates:
    """A quarter keeps its rate; one that has its first eligible request gets the rate of now."""
    occupied = set(np.unique(slots[eligible & requests.route.of(route)]).tolist())
    before = known.rates if known else NO_RATES
    return tuple(
        (rate if slot in occupied else None) if old is None else max(old, rate) if raising and slot in occupied else old
        for slot, old in enumerate(before)
    )


def _base_rates(requests: Candidates, slots: NDArray[np.int64], held: Mapping[str, Rates]) -> NDArray[np.float64]:
    table = np.array(
        [[rate or 0.0 for rate in held.get(route, NO_RATES)] for route in requests.route.names] or [[0.0] * SLOTS]
    )
    return np.asarray(table[requests.route.codes, slots])


def _population(requests: Candidates, mine: NDArray[np.bool_], strata: NDArray[np.int8]) -> list[Group]:
    labels = (requests.segment, requests.prompt, requests.model)
    sizes = [len(each.names) + 1 for each in labels]
    # One number for all four: sorting it is ten times as fast as sorting rows.
    key = np.zeros(requests.size, np.int64)
    for each, size in zip(labels, sizes, strict=True):
        key = key * size + each.codes + 1
    found, counts = np.unique((key * len(STRATA) + strata)[mine], return_counts=True)
    groups = []
    for number, count in zip(found.tolist(), counts.tolist(), strict=True):
        rest, stratum = divmod(number, len(STRATA))
        names: list[str | None] = []
        for each, size in zip(reversed(labels), reversed(sizes), strict=True):
            rest, code = divmod(rest, size)
            names.append(each.names[code - 1] if code else None)
        model, prompt, segment = names
        groups.append(Group(segment=segment, prompt=prompt, model=model, stratum=STRATA[stratum], requests=count))
    return groups


def _unpruned(row: SampledHour, known: SampledHour | None) -> SampledHour:
    """Where records were deleted the hour keeps what it was: its samples still stand for all of it."""
    if known is None or row.seen >= known.seen:
        return row
    return SampledHour(
        hour=row.hour,
        route=row.route,
        version=row.version,
        seen=known.seen,
        eligible=known.eligible,
        unsettled=0,
        rates=known.rates,
        population=known.population,
    )


def due(
    touched: Mapping[int, int],
    looked_at: Sequence[SampledHour],
    routes: Iterable[str],
    *,
    began: int | None,
) -> list[int]:
    """The hours to decide about: those that are new or have changed since.

    Args:
        touched: Hour -> its version in the store.
        began: The hour sampling began; hours before it are left alone unless they were looked at. None takes all.
    """
    known: dict[int, dict[str, SampledHour]] = {}
    for row in looked_at:
        known.setdefault(row.hour, {})[row.route] = row
    found = []
    for hour, version in touched.items():
        rows = known.get(hour, {})
        changed = any(row.version != version or row.unsettled for row in rows.values())
        lacking = (began is not None and hour >= began) and any(route not in rows for route in routes)
        if began is None or changed or lacking:
            found.append(hour)
    return found
