"""Did a failure rate rise, asked after every response without the asking itself raising alarms.

The detector of Shiryaev and Roberts as an e-process: as long as the rate stays at or below what the baseline allows,
its value is on average no more than the number of responses seen, so that the expected number of responses to a
false alarm is at least the limit, however often it is looked at.

Source: J. Shin, A. Ramdas and A. Rinaldo, "E-detectors: a nonparametric framework for sequential change detection",
arXiv 2203.03532 (2022).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from watchkeeper.stats.proportions import exact_high

LIMIT = 876_000
"""Responses to a false alarm, at least: one year of 100 an hour."""

_SLACK, _LEAST = 1.5, 0.005
"""How far above the baseline's upper bound a rate must be to count: daily wobble stays below it."""

_MULTIPLES, _FIXED = (2.0, 3.0, 5.0, 10.0), (0.25, 0.5, 0.9)


def allowed_rate(broken: int, rows: int, *, high_day: float = 0.0) -> float:
    """The largest rate that is still no change.

    Args:
        broken: Failures among the baseline's `rows`.
        high_day: A rate that a day of the baseline reached now and then, e.g. its 97.5 % quantile.
    """
    return min(0.999, max(_LEAST, _SLACK * exact_high(broken, rows, 0.025), high_day))


@dataclass(slots=True)
class Detector:
    """Fed with responses one by one or in batches; `alarmed` once the evidence reaches the limit.

    Args:
        allowed: The rate that is no change, of `allowed_rate`.
        limit: Responses (or batches) to a false alarm.
    """

    allowed: float
    limit: float = LIMIT
    value: float = 0.0
    _evidence: list[float] = field(default_factory=list)
    _broken: list[float] = field(default_factory=list)
    _fine: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        rates = sorted({rate for rate in (*(m * self.allowed for m in _MULTIPLES), *_FIXED) if self.allowed < rate < 1})
        rates = rates or [(1 + self.allowed) / 2]
        self._broken = [rate / self.allowed for rate in rates]
        self._fine = [(1 - rate) / (1 - self.allowed) for rate in rates]
        self._evidence = [0.0] * len(rates)

    @property
    def alarmed(self) -> bool:
        """Whether the evidence has reached the limit."""
        return self.value >= self.limit

    def see(self, broken: int, fine: int = 0) -> bool:
        """Take in one response, or a batch; whether it is an alarm."""
        factors = (
            [up**broken * down**fine for up, down in zip(self._broken, self._fine, strict=True)]
            if broken + fine != 1
            else (self._broken if broken else self._fine)
        )
        self._evidence = [(1 + m) * f for m, f in zip(self._evidence, factors, strict=True)]
        self.value = sum(self._evidence) / len(self._evidence)
        return self.alarmed

    def likely_start(self, seen: Sequence[int]) -> int:
        """Where in `seen` (1 broken, 0 fine, the last is the alarm's) the change most likely began."""
        best = max(range(len(self._evidence)), key=lambda j: self._evidence[j])
        up, down = math.log(self._broken[best]), math.log(self._fine[best])
        total, highest, start = 0.0, 0.0, len(seen) - 1
        for place in range(len(seen) - 1, -1, -1):
            total += up if seen[place] else down
            if total > highest:
                highest, start = total, place
        return start


@dataclass(frozen=True, slots=True, kw_only=True)
class RateChange:
    """What was found in a sequence.

    Attributes:
        baseline_rate: Failures over responses of the baseline.
        allowed: Rate up to which nothing counts as a change.
        alert_at: Place, counted from 0, of the response that raised the alarm; None when none did.
        since_at: Place where the change most likely began; None without an alarm.
        rate_since: Failure rate from there to the end; without an alarm, of everything after the baseline. None when
            nothing came after it.
    """

    baseline_rate: float
    allowed: float
    alert_at: int | None
    since_at: int | None
    rate_since: float | None


def rate_change(broken: Sequence[int], *, baseline: int, day_rates: Iterable[float] = ()) -> RateChange:
    """Look for a rise after the first `baseline` responses.

    Args:
        broken: 1 or 0 a response, in order.
        day_rates: Failure rates of the baseline's days that have enough responses.

    Raises:
        ValueError: If there are fewer responses than the baseline shall have, or it shall have none.
    """
    if not 1 <= baseline <= len(broken):
        raise ValueError(f"the baseline needs between 1 and {len(broken)} rows, not {baseline}")
    failed = sum(broken[:baseline])
    days = sorted(day_rates)
    high_day = days[min(len(days) - 1, math.ceil(0.975 * len(days)) - 1)] if len(days) >= 10 else 0.0
    detector = Detector(allowed_rate(failed, baseline, high_day=high_day))
    after = broken[baseline:]
    alert = next((place for place, value in enumerate(after) if detector.see(value, 1 - value)), None)
    start = None if alert is None else detector.likely_start(after[: alert + 1])
    since = after if start is None else after[start:]
    return RateChange(
        baseline_rate=failed / baseline,
        allowed=detector.allowed,
        alert_at=None if alert is None else baseline + alert,
        since_at=None if start is None else baseline + start,
        rate_since=sum(since) / len(since) if since else None,
    )
