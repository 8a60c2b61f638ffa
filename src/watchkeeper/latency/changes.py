"""Is a route slower than before its last change of prompt version, model or release."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from watchkeeper.latency.look import TESTS
from watchkeeper.latency.streams import Answers, Labels, Marks, Traffic
from watchkeeper.stats.latency import LatencyChange, Quantile, Window, compare_latency

Dimension = Literal["prompt", "model", "release"]
DIMENSIONS: tuple[Dimension, ...] = ("prompt", "model", "release")

LOOKED_AT = timedelta(days=3)
"""How long after a change it may still be found to have made a route slower."""

_WINDOW = timedelta(hours=24)
"""Of requests before the change, and at most so much after it: a whole day, so that its rhythm is in both."""
_SOONEST = timedelta(hours=3)
"""After a change: before, the level of one hour passes for the new one."""
_FEWEST = 200
"""Requests of each window."""
_CERTAIN = 0.75
"""Share of the configured rise that the ratio's lower bound (99.75 %) must reach. A level that wanders for hours is not
in its interval: with a tenth, one in two hundred changes that change nothing would be called slower."""
_LONGER = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A value that a route did not have before."""

    at: datetime
    dimension: Dimension
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowSince:
    """What became slower with a change.

    Attributes:
        test: Of look.TESTS.
        model: Of the requests after the change.
        output_ratio: Output tokens after over before; None where not known.
        longer: The answers became longer; a token takes no longer.
    """

    change: Change
    route: str
    test: str
    model: str | None
    quantile: Quantile
    output_ratio: float | None
    longer: bool


def changes_of(traffic: Traffic, mine: Marks, now: datetime) -> list[Change]:
    """The values of a route that were not there on its first day, the newest first.

    Args:
        mine: The requests of the route.
    """
    if not mine.any():
        return []
    began = float(traffic.at[int(np.argmax(mine))]) + _WINDOW.total_seconds()
    found = []
    for dimension in DIMENSIONS:
        labels: Labels = getattr(traffic, dimension)
        for value, place in labels.first_places(mine).items():
            at = float(traffic.at[place])
            if value is not None and at >= began:
                found.append(Change(at=datetime.fromtimestamp(at, now.tzinfo), dimension=dimension, value=value))
    return sorted(found, key=lambda each: (each.at, DIMENSIONS.index(each.dimension), each.value), reverse=True)


def slow_since(traffic: Traffic, mine: Marks, change: Change, now: datetime, *, ratio: float) -> list[SlowSince]:
    """The models and measures of a route that are slower than before its change.

    Args:
        ratio: Below which a change is not worth a message.
    """
    route = traffic.route.distinct(mine)[0] or ""
    at, window = change.at.timestamp(), _WINDOW.total_seconds()
    if now.timestamp() - at < _SOONEST.total_seconds():
        return []
    # What a canary leaves on the old value after the change is in neither window.
    labels: Labels = getattr(traffic, change.dimension)
    new = mine & labels.having(change.value)
    found = []
    for model in traffic.model.distinct(new):
        of_model = traffic.model.having(model)
        old = mine if change.dimension == "model" else mine & of_model
        before = traffic.answers(old).between(at - window, at)
        after = traffic.answers(new & of_model).between(max(at, now.timestamp() - window), now.timestamp())
        found += [SlowSince(change=change, route=route, model=model, **each) for each in _slower(before, after, ratio)]
    return found


def _slower(before: Answers, after: Answers, ratio: float) -> Iterator[dict[str, Any]]:
    for measure in ("latency_ms", "ttft_ms"):
        old, new = (_window(each, getattr(each, measure)) for each in (before, after))
        if len(old.at) < _FEWEST or len(new.at) < _FEWEST:
            continue
        change = compare_latency(old, new, floor=ratio)
        if (quantile := _worse(change, ratio)) is None:
            continue
        name, worse = quantile
        share = {"p50": 0.5, "p95": 0.95}[name]
        tokens, per_token = (
            _ratio(getattr(before, each), getattr(after, each), share) for each in ("output", "ms_per_token")
        )
        longer = (
            measure == "latency_ms" and tokens is not None and tokens >= _LONGER
            and per_token is not None and per_token < ratio
        )  # fmt: skip
        test = f"{measure} {name}"
        assert test in TESTS
        yield {"test": test, "quantile": worse, "output_ratio": tokens, "longer": longer}


def _worse(change: LatencyChange, ratio: float) -> tuple[str, Quantile] | None:
    """The quantile that is slower, certainly and by enough; the one with the larger ratio."""
    certain = [
        (name, q)
        for name, q in (("p50", change.p50), ("p95", change.p95))
        if q.ratio is not None and q.low is not None and q.ratio >= ratio and q.low >= 1 + _CERTAIN * (ratio - 1)
    ]
    return max(certain, key=lambda each: each[1].ratio or 0.0, default=None)


def _window(answers: Answers, values: NDArray[np.float64]) -> Window:
    known = ~np.isnan(values)
    return Window(at=answers.at[known], latency_ms=values[known])  # type: ignore[arg-type]


def _ratio(before: NDArray[np.float64], after: NDArray[np.float64], share: float) -> float | None:
    old, new = (each[~np.isnan(each)] for each in (before, after))
    if not old.size or not new.size or (was := float(np.quantile(old, share))) <= 0:
        return None
    return float(np.quantile(new, share)) / was
