"""Did the answers of a route get worse: the last day against the seven days before it.

A finding only where the whole interval of the difference is beyond the loss the team accepts. It names the change on
record nearest before the drop, and the five worst answers.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from watchkeeper.foundation.clock import format_time
from watchkeeper.foundation.finding import Finding
from watchkeeper.observability.request import hour_of
from watchkeeper.scoring.hours import SampledHour
from watchkeeper.scoring.report import estimated, newest_versions, sizes_of
from watchkeeper.scoring.scored import ScoredSample
from watchkeeper.scoring.signals import Appearance
from watchkeeper.stats.weighted import Estimate

WINDOW, BASELINE = timedelta(hours=24), timedelta(days=7)
WORST = 5

_SLACK = timedelta(hours=1)
"""How much later than the drop's hour a change may stand on record and still be what came before it."""
_WORDS: Mapping[str, str] = {"prompt": "prompt version", "model": "model", "release": "release"}
_LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that a route did not have before."""

    at: datetime
    dimension: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One scorer on one route, now and before.

    Attributes:
        difference: Now minus before; None where either has too few scores, and then nothing is known.
        interval: Of the difference, 95 %, of the process and not of just these requests.
        dropped: The whole interval is below minus the accepted loss.
        since: Hour at which the scores changed the most.
    """

    route: str
    scorer: str
    now: Estimate
    before: Estimate
    difference: float | None
    interval: tuple[float, float] | None
    dropped: bool
    since: datetime | None = None
    change: Change | None = None
    worst: Sequence[ScoredSample] = ()


def windows(now: datetime) -> tuple[datetime, datetime, datetime]:
    """Where the baseline begins, where the window does, and where it ends: whole hours, the running one in it."""
    end = datetime.fromtimestamp((hour_of(now) + 1) * 3600, UTC)
    return end - WINDOW - BASELINE, end - WINDOW, end


def compare(
    scores: Iterable[ScoredSample],
    hours: Iterable[SampledHour],
    appearances: Mapping[Appearance, datetime],
    *,
    now: datetime,
    loss: float,
) -> list[Comparison]:
    """Every scorer of every route.

    Args:
        scores: Of the baseline and the window.
        hours: What they stand for.
        appearances: When each value first stood in a route.
        loss: What the team accepts to lose, e.g. 0.05.
    """
    began, middle, end = windows(now)
    current = newest_versions(scores := list(scores))
    mine: dict[tuple[str, str], list[ScoredSample]] = {}
    for each in scores:
        if current[each.route, each.scorer] == each.scorer_version and began <= each.started_at < end:
            mine.setdefault((each.route, each.scorer), []).append(each)
    hours = list(hours)
    return [
        _compared(
            route,
            scorer,
            theirs,
            [row for row in hours if row.route == route],
            _changes(appearances, route, began, now),
            middle,
            loss,
        )
        for (route, scorer), theirs in sorted(mine.items())
    ]


def finding(compared: Comparison, loss: float) -> Finding | None:
    """What somebody should know, or None."""
    if not compared.dropped or compared.difference is None or compared.interval is None:
        return None
    change, since = compared.change, compared.since
    named = f" Nearest change before: {_WORDS[change.dimension]} {change.value}." if change else " No change on record."
    low, high = (100 * abs(end) for end in compared.interval)
    return Finding(
        kind="quality-drop",
        severity="error",
        subject={"route": compared.route, "scorer": compared.scorer},
        summary=(
            f"{compared.scorer} of {compared.route} fell from {100 * (compared.before.mean or 0):.1f} to "
            f"{100 * (compared.now.mean or 0):.1f} %: {high:.1f} to {low:.1f} points lost, more than the "
            f"{100 * loss:g} accepted.{named}"
        ),
        evidence={
            "before": _document(compared.before),
            "now": _document(compared.now),
            "difference": compared.difference,
            "interval": list(compared.interval),
            "accepted_loss": loss,
            "corrected": False,
            "since": None if since is None else format_time(since),
            "change": None if change is None else {change.dimension: change.value, "at": format_time(change.at)},
            "worst": [
                {
                    "trace_id": each.trace_id,
                    "value": each.value,
                    "stratum": each.stratum,
                    "explanation": (each.explanation or "")[:_LONGEST] or None,
                }
                for each in compared.worst
            ],
        },
        links={f"Worst answer {n}": f"/api/requests/{each.trace_id}" for n, each in enumerate(compared.worst, start=1)},
    )


def _compared(
    route: str,
    scorer: str,
    scores: Sequence[ScoredSample],
    hours: Sequence[SampledHour],
    changes: Sequence[Change],
    middle: datetime,
    loss: float,
) -> Comparison:
    split = hour_of(middle)
    new = [each for each in scores if each.started_at >= middle]
    old = [each for each in scores if each.started_at < middle]
    now = estimated(new, sizes_of(row for row in hours if row.hour >= split))
    before = estimated(old, sizes_of(row for row in hours if row.hour < split))
    known = now.interval is not None and before.interval is not None and now.enough and before.enough
    if not known or now.mean is None or before.mean is None or now.interval is None or before.interval is None:
        return Comparison(
            route=route, scorer=scorer, now=now, before=before, difference=None, interval=None, dropped=False
        )
    difference = now.mean - before.mean
    low = difference - math.hypot(now.mean - now.interval[0], before.interval[1] - before.mean)
    high = difference + math.hypot(now.interval[1] - now.mean, before.mean - before.interval[0])
    dropped = high < -loss
    since = onset(scores) if dropped else None
    return Comparison(
        route=route,
        scorer=scorer,
        now=now,
        before=before,
        difference=difference,
        interval=(low, high),
        dropped=dropped,
        since=since,
        change=_nearest(changes, since),
        worst=sorted(
            (each for each in new if each.value is not None),
            key=lambda each: (each.value, -each.started_at.timestamp()),
        )[:WORST]
        if dropped
        else (),
    )


def onset(scores: Sequence[ScoredSample]) -> datetime | None:
    """The hour that best parts better scores from worse ones after it; None without scores.

    One change of level: the hour at which the weighted squares around two means are least.
    """
    known = sorted((each for each in scores if each.value is not None), key=lambda each: each.started_at)
    if len(known) < 2:
        return None
    hours = np.array([hour_of(each.started_at) for each in known])
    weights = np.array([1 / each.inclusion for each in known])
    values = np.array([each.value for each in known], np.float64)
    weight, total = np.cumsum(weights), np.cumsum(weights * values)
    splits = np.flatnonzero(np.diff(hours)) + 1
    if not splits.size:
        return None
    before, after = weight[splits - 1], weight[-1] - weight[splits - 1]
    means = total[splits - 1] / before, (total[-1] - total[splits - 1]) / after
    gain = np.where(means[1] < means[0], before * after * (means[0] - means[1]) ** 2, 0.0)
    return datetime.fromtimestamp(int(hours[splits[int(np.argmax(gain))]]) * 3600, UTC)


def _changes(appearances: Mapping[Appearance, datetime], route: str, since: datetime, until: datetime) -> list[Change]:
    """What appeared in a route in a window; what was there when the route began is no change."""
    began = appearances.get((route, "route", ""))
    return [
        Change(at=at, dimension=dimension, value=value)
        for (of, dimension, value), at in appearances.items()
        if of == route and dimension in _WORDS and since <= at <= until and (began is None or at > began + _SLACK)
    ]


def _nearest(changes: Sequence[Change], since: datetime | None) -> Change | None:
    """The newest change that was there when the drop began; prompt before model before release where they are one."""
    if since is None:
        return None
    earlier = [each for each in changes if each.at < since + _SLACK]
    order = list(_WORDS)
    return max(earlier, key=lambda each: (each.at, -order.index(each.dimension)), default=None)


def _document(result: Estimate) -> dict[str, object]:
    return {
        "mean": result.mean,
        "interval": None if result.interval is None else list(result.interval),
        "n": result.n,
        "effective_n": None if result.effective_n is None else round(result.effective_n, 1),
        "missing": result.missing,
    }
