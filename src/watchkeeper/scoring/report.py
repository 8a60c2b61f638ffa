"""The quality of all traffic, from the scores of its sample: by any labels, always with an interval."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from watchkeeper.observability.request import hour_of
from watchkeeper.scoring.hours import Group, SampledHour
from watchkeeper.scoring.scored import ScoredSample
from watchkeeper.scoring.signals import ORDINARY
from watchkeeper.stats.weighted import Estimate, Scored, estimate

Dimension = Literal["route", "segment", "prompt_version", "model", "hour", "day"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """The mean as people would have judged it.

    Attributes:
        labels: Of people, that it was learned from.
    """

    mean: float
    interval: tuple[float, float]
    labels: int


Correct = Callable[[str, str, Sequence[ScoredSample], Estimate], Corrected | None]
"""(scorer, its version, its scores, the uncorrected estimate) -> the corrected one; None while labels are too few."""


def uncorrected(_scorer: str, _version: str, _scores: Sequence[ScoredSample], _estimate: Estimate) -> Corrected | None:
    """What is known of a judge's errors before anybody has labelled anything: nothing."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """One row of the report.

    Attributes:
        labels: Dimension -> its value; None where the records say none. An hour or a day is its beginning, ISO 8601.
        estimate: Of all eligible traffic with these labels, by the scorer as it is.
        corrected: None: uncorrected.
        population: Eligible requests it speaks for.
        width_at_target: How wide the interval would be had the target rate been affordable; None where it was, or
            there is no interval.
    """

    labels: Mapping[Dimension, str | None]
    scorer: str
    version: str
    estimate: Estimate
    corrected: Corrected | None
    population: int
    width_at_target: float | None


def quality_of(
    scores: Iterable[ScoredSample],
    hours: Iterable[SampledHour],
    by: Sequence[Dimension],
    *,
    target: float,
    correct: Correct = uncorrected,
) -> list[Quality]:
    """A row for every scorer and every combination of labels, in their order.

    Of a scorer only the newest version counts on each route: two versions do not measure the same.

    Args:
        hours: What the scores stand for, of the same window.
        target: The configured base rate.
    """
    current = newest_versions(scores := list(scores))
    mine: dict[tuple[str, str], list[ScoredSample]] = {}
    for each in scores:
        if current[each.route, each.scorer] == each.scorer_version:
            mine.setdefault((each.scorer, each.scorer_version), []).append(each)
    found = []
    hours = list(hours)
    for (scorer, version), theirs in sorted(mine.items()):
        routes = {each.route for each in theirs}
        groups: dict[tuple[str | None, ...], list[ScoredSample]] = {}
        for each in theirs:
            groups.setdefault(tuple(_of_score(each, name) for name in by), []).append(each)
        sizes = _sizes([row for row in hours if row.route in routes], by)
        for key in sorted(groups, key=lambda values: [value or "" for value in values]):
            result = estimated(groups[key], sizes.get(key, {}))
            found.append(
                Quality(
                    labels=dict(zip(by, key, strict=True)),
                    scorer=scorer,
                    version=version,
                    estimate=result,
                    corrected=correct(scorer, version, groups[key], result),
                    population=sum(sizes.get(key, {}).values()),
                    width_at_target=_width_at(target, groups[key], result),
                )
            )
    return found


def newest_versions(scores: Iterable[ScoredSample]) -> dict[tuple[str, str], str]:
    """(route, scorer) -> the version that scored last."""
    newest: dict[tuple[str, str], tuple[datetime, str]] = {}
    for each in scores:
        key = (each.route, each.scorer)
        newest[key] = max(newest.get(key, (each.scored_at, each.scorer_version)), (each.scored_at, each.scorer_version))
    return {key: version for key, (_, version) in newest.items()}


def estimated(scores: Sequence[ScoredSample], sizes: Mapping[str, int]) -> Estimate:
    """The mean of all requests that a sample stands for.

    Args:
        sizes: Stratum -> eligible requests in it. One without any score can be anything from 0 to 1.
    """
    sampled: dict[str, int] = {}
    for each in scores:
        sampled[each.stratum] = sampled.get(each.stratum, 0) + 1
    # A trace that moved to another hour, or was pruned, may leave a stratum with fewer requests than samples.
    whole = {name: max(sizes.get(name, 0), count) for name, count in sampled.items()}
    rows = [
        Scored(value=each.value, inclusion=each.inclusion, stratum=each.stratum, population=whole[each.stratum])
        for each in scores
    ]
    empty = [name for name, size in sizes.items() if size and name not in sampled]
    rows += [Scored(value=None, inclusion=1.0, stratum=name, population=sizes[name]) for name in empty]
    result = estimate(rows)
    return Estimate(
        mean=result.mean,
        interval=result.interval,
        n=result.n,
        effective_n=result.effective_n,
        missing=result.missing - len(empty),
        smallest=result.smallest,
    )


def sizes_of(hours: Iterable[SampledHour]) -> dict[str, int]:
    """Stratum -> eligible requests."""
    return _sizes(hours, ()).get((), {})


def _sizes(hours: Iterable[SampledHour], by: Sequence[Dimension]) -> dict[tuple[str | None, ...], dict[str, int]]:
    found: dict[tuple[str | None, ...], dict[str, int]] = {}
    for row in hours:
        for group in row.population:
            mine = found.setdefault(tuple(_of_group(row, group, name) for name in by), {})
            mine[group.stratum] = mine.get(group.stratum, 0) + group.requests
    return found


def _of_score(each: ScoredSample, dimension: Dimension) -> str | None:
    match dimension:
        case "route":
            return each.route
        case "segment":
            return each.segment
        case "prompt_version":
            return each.prompt
        case "model":
            return each.model
        case _:
            return _begins(hour_of(each.started_at), dimension)


def _of_group(row: SampledHour, group: Group, dimension: Dimension) -> str | None:
    match dimension:
        case "route":
            return row.route
        case "segment":
            return group.segment
        case "prompt_version":
            return group.prompt
        case "model":
            return group.model
        case _:
            return _begins(row.hour, dimension)


def _begins(hour: int, dimension: Dimension) -> str:
    at = datetime.fromtimestamp(hour * 3600, UTC)
    return at.strftime("%Y-%m-%dT%H:00Z" if dimension == "hour" else "%Y-%m-%d")


def _width_at(target: float, scores: Sequence[ScoredSample], result: Estimate) -> float | None:
    """An interval is about as wide as one over the root of the rate."""
    weights = [1 / each.inclusion for each in scores if each.stratum == ORDINARY]
    if result.interval is None or not weights:
        return None
    rate = len(weights) / sum(weights)
    if rate >= target * 0.99:
        return None
    return (result.interval[1] - result.interval[0]) * math.sqrt(rate / target)
